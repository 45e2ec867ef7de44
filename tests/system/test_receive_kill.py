"""kill -9 of the node under four senders: twice here, fifty by benchmarks/soak_receive.py."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

from receiving import kill_receivers


def test_nothing_that_was_answered_with_success_is_lost(archive_url: str, tmp_path: Path) -> None:
    seed = time.time_ns()  # other moments in each run
    print(f"seed {seed}")
    tally = kill_receivers(tmp_path / "home", archive_url, 2, Random(seed))
    assert tally.lost == []
    assert tally.hits > 0
