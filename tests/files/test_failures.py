"""The failures of a run: the first of them are kept, all are counted."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from radretrieval.errors import ImageError
from radretrieval.files.failures import FailureList


@dataclass
class Report:
    failures: FailureList = field(default_factory=FailureList)


def test_a_failure_has_the_form_of_the_reports() -> None:
    report = Report()
    report.failures.add("/films/caf\udce9.png", ImageError("has no\tpixels"))
    report.failures.add("/films/b.png", OSError())
    report.failures.add("/films/c.png", "gone", "was there yesterday")
    assert json.loads(json.dumps(asdict(report), ensure_ascii=False)) == {
        "failures": [
            {"path": "/films/caf\\udce9.png", "error": "ImageError", "message": "has no\\tpixels"},
            {"path": "/films/b.png", "error": "OSError", "message": "OSError"},
            {"path": "/films/c.png", "error": "gone", "message": "was there yesterday"},
        ]
    }


def test_the_first_are_kept_and_all_are_counted() -> None:
    failures = FailureList.first_thousand()
    for number in range(1500):
        failures.add(f"{number}.png", "gone", "")
    assert (len(failures), failures.total) == (1000, 1500)
    assert failures[-1]["path"] == "999.png"
    everything = FailureList()
    everything.merge(failures)
    for number in range(1500):
        everything.add(f"{number}.png", "gone", "")
    assert (len(everything), everything.total) == (2500, 3000)
    assert len(FailureList(everything)) == 2500


def test_merging_keeps_to_the_limit() -> None:
    failures = FailureList(limit=3)
    failures.add("1", "gone", "")
    other = FailureList()
    for number in range(5):
        other.add(f"of the other {number}", "gone", "")
    failures.merge(other)
    assert [failure["path"] for failure in failures] == ["1", "of the other 0", "of the other 1"]
    assert failures.total == 6
    failures.merge(other)
    assert (len(failures), failures.total) == (3, 11)
