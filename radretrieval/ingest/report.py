"""The report of an ingestion: its files, its labels and its codes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from radretrieval.files.failures import FailureList
from radretrieval.ingest.labels_csv import Labels
from radretrieval.ingest.problem import OF_PIXELS, Problem
from radretrieval.irma.tree import known


@dataclass
class InboxReport:
    """Outcomes of files that were received or pulled: added + unchanged + updated + forgotten + failed.

    `forgotten` were forgotten (`radretrieval forget`), and are not taken again.
    `updated` are corrections: files with the pixels of an image and another header, which its row has now.
    `problems` are things to look at, though no file failed because of them; their error is one of `problem.KINDS`.
    """

    added: int = 0
    unchanged: int = 0
    updated: int = 0
    failed: int = 0
    forgotten: int = 0
    failures: FailureList = field(default_factory=FailureList.first_thousand)
    problems: FailureList = field(default_factory=FailureList.first_thousand)

    def add(self, other: InboxReport) -> None:
        """Count the outcomes of another batch or run too."""
        for name, value in vars(other).items():
            if isinstance(value, int | float):
                setattr(self, name, getattr(self, name) + value)
        self.failures.merge(other.failures)
        self.problems.merge(other.problems)

    def count(self, outcome: str) -> None:
        """Count the outcome of an image (`RegisteredImage.outcome`)."""
        name = outcome if outcome in ("added", "updated", "forgotten") else "unchanged"
        setattr(self, name, getattr(self, name) + 1)

    def fail(self, path: str, error: Exception | str, message: str | None = None) -> dict[str, str]:
        """Count and list a file that could not be ingested; returns its entry."""
        self.failed += 1
        return self.failures.add(path, error, message)

    def note(self, problem: Problem) -> None:
        """List a problem."""
        self.problems.add(*problem)


@dataclass
class IngestReport(InboxReport):
    """Outcomes of the files of an ingestion: seen = added + unchanged + updated + failed.

    Files that were forgotten have failed, since somebody should delete them; `forgotten` is 0.
    Every failure and problem is listed. Problems of a release count as failed inputs (exit code 1); those of a labels
    CSV, and of pixels, are reported only.
    """

    failures: FailureList = field(default_factory=FailureList)
    problems: FailureList = field(default_factory=FailureList)
    seen: int = 0
    passed_over: int = 0  # files beside the images that are none, as Thumbs.db: not among those seen
    relabelled: int = 0  # of the unchanged, those whose labels changed
    hidden: int = 0  # of the unchanged, those that are withdrawn from searches, and stay so
    unlabelled: int = 0  # files that the labels do not name
    no_code: int = 0  # files that the labels declare to have no IRMA code
    unmatched: int = 0  # rows of the labels that name none of the files
    unknown_codes: dict[str, int] = field(default_factory=dict)  # IRMA codes that the tree does not have: files
    recognised: str | None = None  # description of the release that was recognised
    seconds: float = 0.0

    @property
    def unsound(self) -> bool:
        """Whether a file failed, or the release is not as it was published."""
        misfits = any(problem["error"] not in OF_PIXELS for problem in self.problems)
        return bool(self.failed or (self.recognised and misfits))

    @classmethod
    def bounded(cls) -> IngestReport:
        """The sum of a watch that runs for years: the first 1000 failures and problems are listed."""
        return cls(failures=FailureList.first_thousand(), problems=FailureList.first_thousand())

    def add(self, other: InboxReport) -> None:
        super().add(other)
        for code, files in other.unknown_codes.items() if isinstance(other, IngestReport) else ():
            self.unknown_codes[code] = self.unknown_codes.get(code, 0) + files

    def labels_read(self, labels: Labels) -> None:
        """Take over what reading the labels found."""
        self.recognised = labels.recognised
        for problem in labels.problems:
            self.note(problem)

    def no_row(self, path: str, labels: Labels) -> None:
        """Count a file without a row of labels; list it where every image should have one."""
        folder = labels.folder(path)
        self.unlabelled += folder is not None or not labels.folders
        if folder is not None and folder.rows_in is not None:
            self.note(
                Problem(path, "ImageWithoutRow", f"{folder.rows_in} has no row for it; a label that it had stays")
            )

    def rows_left(self, paths: Iterable[str], labels: Labels) -> None:
        """List rows of a labels CSV whose files were not met; a release's are compared when it is read."""
        # one text for all: there may be as many as rows
        message = f"{', '.join(labels.sources)} has a row for it, but it is not among these files"
        for path in sorted(paths) if not labels.folders else ():
            self.note(Problem(path, "RowWithoutImage", message))
        self.unmatched = sum(problem["error"] == "RowWithoutImage" for problem in self.problems)

    def count_unchanged(self, code: str | None, hidden: bool) -> None:
        """Count a file whose content the archive has; `hidden`: it is withdrawn from searches."""
        self.unchanged += 1
        self.hidden += hidden
        self.count_code(code)

    def count_code(self, code: str | None) -> None:
        """Count a code that the IRMA tree does not have: it is accepted and reported."""
        if code is not None and not known(code):
            self.unknown_codes[code] = self.unknown_codes.get(code, 0) + 1
