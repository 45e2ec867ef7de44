"""What an ingestion tells of its files, its labels and its codes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from radretrieval.files.uris import printable
from radretrieval.ingest.labels_csv import Labels
from radretrieval.ingest.problem import Problem
from radretrieval.irma.tree import known


@dataclass
class IngestReport:
    """What became of the files: seen = added + unchanged + failed.

    Of a release, `problems` are inputs that failed (exit code 1); of a labels CSV they are only told.
    """

    seen: int = 0
    added: int = 0
    unchanged: int = 0
    failed: int = 0
    relabelled: int = 0  # of the unchanged, those whose labels are others now
    unlabelled: int = 0  # files that the labels do not name
    no_code: int = 0  # files of which the labels say that they have no IRMA code
    unmatched: int = 0  # rows of the labels that name none of the files
    failures: list[dict[str, str]] = field(default_factory=list)  # path, error, message
    problems: list[dict[str, str]] = field(default_factory=list)  # the same; error is one of `problems.KINDS`
    unknown_codes: dict[str, int] = field(default_factory=dict)  # IRMA codes that the tree does not have: files
    recognised: str | None = None  # the release that was found, in words
    seconds: float = 0.0

    def add(self, other: IngestReport, most: int = 1000) -> None:
        """Count the files of another run too; of what failed and was amiss the first `most` are kept."""
        for name in ("seen", "added", "unchanged", "failed", "relabelled", "unlabelled", "no_code", "unmatched"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.failures = [*self.failures, *other.failures][:most]
        self.problems = [*self.problems, *other.problems][:most]
        for code, files in other.unknown_codes.items():
            self.unknown_codes[code] = self.unknown_codes.get(code, 0) + files
        self.seconds += other.seconds

    def fail(self, path: str, error: str, message: str) -> None:
        """This file was not taken, and why."""
        self.failed += 1
        self.failures.append({"path": printable(path), "error": error, "message": message})

    def note(self, problem: Problem) -> None:
        """Something is amiss, though no file fails of it."""
        path, error, message = problem
        self.problems.append({"path": printable(path), "error": error, "message": printable(message)})

    def labels_read(self, labels: Labels) -> None:
        """What was told by the labels themselves."""
        self.recognised = labels.recognised
        for problem in labels.problems:
            self.note(problem)

    def no_row(self, path: str, labels: Labels) -> None:
        """No row is about this file: it is counted, and named where every image should have one."""
        folder = labels.folder(path)
        self.unlabelled += folder is not None or not labels.folders
        if folder is not None and folder.rows_in is not None:
            self.note(
                Problem(path, "ImageWithoutRow", f"{folder.rows_in} has no row for it; a label that it had stays")
            )

    def rows_left(self, paths: Iterable[str], labels: Labels) -> None:
        """Rows of a labels CSV whose files did not come; a release's were compared when it was read."""
        # one text for all: there may be as many as rows
        message = f"{', '.join(labels.sources)} has a row for it, but it is not among these files"
        for path in sorted(paths) if not labels.folders else ():
            self.note(Problem(path, "RowWithoutImage", message))
        self.unmatched = sum(problem["error"] == "RowWithoutImage" for problem in self.problems)

    def count_code(self, code: str | None) -> None:
        """A code that the tree does not have is taken, and told."""
        if code is not None and not known(code):
            self.unknown_codes[code] = self.unknown_codes.get(code, 0) + 1
