"""The report of a pull."""

from __future__ import annotations

from dataclasses import dataclass

from radretrieval.ingest.report import InboxReport


@dataclass
class PullReport(InboxReport):
    """Outcomes of the instances of a pull.

    seen = added + unchanged + updated + skipped + forgotten + failed, but for studies that were not listed.

    Attributes
    ----------
    seen : instances that were listed, and those of earlier pulls that were retrieved again.
    skipped : no projection radiography. gone, back : images that the source was found to have no longer, and to have
    again. seconds : duration.
    """

    seen: int = 0
    skipped: int = 0
    gone: int = 0
    back: int = 0
    seconds: float = 0.0
