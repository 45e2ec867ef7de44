"""kill -9 of `receive` at random moments under four senders: what was answered with success must be there.

python benchmarks/soak_receive.py [--kills 50] [--seed N]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from _common import database

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from receiving import SENDERS, kill_receivers


def main() -> None:
    """Kill, print the figures; exit code 1 when anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of the moments (default: a new one)")
    arguments = parser.parse_args()
    seed = time.time_ns() if arguments.seed is None else arguments.seed
    with database() as (where, _), tempfile.TemporaryDirectory() as folder:
        tally = kill_receivers(Path(folder) / "home", where.url, arguments.kills, Random(seed))
    print(f"seed {seed}: {tally.kills} kills under {SENDERS} senders in {tally.seconds:.0f} s, {tally.hits} in mid-run")
    print(f"{tally.answered} files answered with success, {len(tally.lost)} lost; {tally.drafts} drafts left behind")
    for fault in tally.lost:
        print(fault)
    sys.exit(bool(tally.lost))


if __name__ == "__main__":
    main()
