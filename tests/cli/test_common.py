"""What the commands tell on stderr of inputs that failed."""

from __future__ import annotations

import pytest

from radretrieval.cli.common import tell_failures
from radretrieval.files.failures import FailureList


@pytest.mark.parametrize(
    ("failed", "limit", "last"),
    [
        (20, None, "failed: 19.png: is no image"),
        (21, None, "… and 1 more (all of them with --json)"),
        (50, 30, "… and 30 more (the first 30 with --json)"),
    ],
)
def test_failures_that_are_not_named_are_counted(
    capsys: pytest.CaptureFixture[str], failed: int, limit: int | None, last: str
) -> None:
    failures = FailureList(limit=limit)
    for number in range(failed):
        failures.add(f"{number}.png", "ImageError", "is no image")
    tell_failures(failures)
    lines = capsys.readouterr().err.splitlines()
    assert (len(lines), lines[-1]) == (min(failed, 20) + (failed > 20), last)
