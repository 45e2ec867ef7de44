"""What became of a pull."""

from __future__ import annotations

from dataclasses import dataclass, field

from radretrieval.files.uris import printable
from radretrieval.ingest.report import InboxReport

MOST_NAMED = 1000


@dataclass
class PullReport:
    """What became of what a peer has.

    Attributes
    ----------
    seen : instances that it listed, and that were known to it before and asked for again.
    added : images. unchanged : instances that were here already. skipped : no projection radiography.
    failed : not fetched, not listed, or no radiograph; failures : of the first thousand path, error, message.
    problems : what a person should look at, though nothing failed. gone, back : images that the peer was found to
    have no more, and to have again. seconds : how long it took.
    """

    seen: int = 0
    added: int = 0
    unchanged: int = 0
    skipped: int = 0
    failed: int = 0
    failures: list[dict[str, str]] = field(default_factory=list)
    problems: list[dict[str, str]] = field(default_factory=list)
    gone: int = 0
    back: int = 0
    seconds: float = 0.0

    def fail(self, path: str, error: Exception) -> None:
        """This was not had, and why."""
        self.failed += 1
        if len(self.failures) < MOST_NAMED:
            self.failures.append(
                {"path": printable(path), "error": type(error).__name__, "message": printable(str(error))}
            )

    def take(self, intake: InboxReport) -> None:
        """What became of the files that were fetched."""
        self.added += intake.added
        self.unchanged += intake.unchanged
        self.failed += intake.failed
        self.failures += intake.failures[: MOST_NAMED - len(self.failures)]
        self.problems += intake.problems
