"""What `status` and the page for IT say of an archive: each finding names what mends it."""

from __future__ import annotations

from typing import Any

import pytest

from radretrieval.report.advice import advice

WELL: dict[str, Any] = dict.fromkeys(("pending", "arrived", "gone", "same_uid", "flat", "failed"), 0) | {
    "readers": [],
    "images": 9,
    "coded": 9,
    "encoders": 1,
    "index": {"kind": "exact", "advice": None, "unfinished": 0},
}


def test_what_is_well_has_none() -> None:
    assert list(advice(WELL)) == []
    assert list(advice(WELL | {"index": None})) == []


@pytest.mark.parametrize(
    ("status", "kind", "command"),
    [
        ({"pending": 2}, "pending", "radretrieval work --once"),
        ({"pending": 9, "encoders": 0}, "no_encoder", "radretrieval train"),
        ({"arrived": 3}, "arrived", "radretrieval receive"),
        ({"gone": 1}, "gone", "radretrieval verify"),
        ({"same_uid": 1}, "same_uid", None),
        ({"readers": [{"server": "one", "problem": "it is away"}]}, "readers", None),
        ({"index": {"advice": None, "unfinished": 1}}, "unfinished", "radretrieval index build"),
        (
            {"index": {"advice": "of 7 codes; build it anew: radretrieval index build", "unfinished": 0}},
            "index",
            "radretrieval index build",
        ),
        (
            {"index": {"advice": "off; run: radretrieval db upgrade, then: radretrieval index build", "unfinished": 0}},
            "index",
            "radretrieval db upgrade && radretrieval index build",
        ),
    ],
)
def test_a_finding_names_its_command(status: dict[str, Any], kind: str, command: str | None) -> None:
    (found,) = advice(WELL | status)
    assert (found.kind, found.command) == (kind, command)
    assert command is None or all(part in found.text for part in command.split(" && "))
