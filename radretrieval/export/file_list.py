"""files.csv of an export: the image files in its folder.

A line is appended when a file has been written, so that a run that was interrupted can be continued.
"""

from __future__ import annotations

import csv
import hashlib
import os
from pathlib import Path
from types import TracebackType

from radretrieval.export.write_image import ExportedFile, export_file

COLUMNS = {
    "file": "the file below this folder",
    "sha256": "SHA-256 of it",
    "bytes": "its size",
    "burned_in": "why its pixels may identify the patient; empty where there is no reason to think so",
    "state": "digest of what it was made from; equal as long as nothing has changed",
}


class FileList:
    """files.csv of one export. Takes some 0.2 kB of memory a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "files.csv"
        self._done: dict[bytes, bytes] = {}  # digests of names: digests of their last lines
        self._cut_unfinished_line()
        self._file = self.path.open("a", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        if self.path.stat().st_size == 0:
            self._writer.writerow(COLUMNS)
        with self.path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                self._note(row["file"], row["bytes"], row["burned_in"], row["state"])

    def __enter__(self) -> FileList:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def has(self, name: str, state: str, risky: bool) -> bool:
        """Whether this file is there as it would be written now; with `risky` also if its pixels are a risk."""
        noted = self._done.get(_digest(name))
        if noted is None:
            return False
        try:
            size = os.stat(self.folder / name).st_size
        except OSError:
            return False
        calm = noted == _digest(str(size), state, "calm")
        return calm or (risky and noted == _digest(str(size), state, "risky"))

    def add(self, name: str, file: ExportedFile, state: str) -> None:
        """Append a file that was written."""
        self._writer.writerow((name, file.sha256, file.size, file.burned_in, state))
        self._file.flush()
        self._note(name, str(file.size), file.burned_in, state)

    def close(self) -> int:
        """Rewrite the list with each file once, and only those that exist. Returns how many there are."""
        self._file.close()
        files, written = 0, set[bytes]()
        with (
            export_file(self.path) as draft,
            self.path.open(encoding="utf-8", newline="") as old,
            draft.open("w", encoding="utf-8", newline="") as new,
        ):
            writer = csv.DictWriter(new, COLUMNS, lineterminator="\n")
            writer.writeheader()
            for row in csv.DictReader(old):
                name = _digest(row["file"])
                last = self._done.get(name) == self._line(row["bytes"], row["burned_in"], row["state"])
                if last and name not in written and (self.folder / row["file"]).exists():
                    writer.writerow(row)
                    written.add(name)
                    files += 1
        return files

    def _note(self, name: str, size: str, burned_in: str, state: str) -> None:
        self._done[_digest(name)] = self._line(size, burned_in, state)

    @staticmethod
    def _line(size: str, burned_in: str, state: str) -> bytes:
        return _digest(size, state, "risky" if burned_in else "calm")

    def _cut_unfinished_line(self) -> None:
        """Remove a last line that a killed run did not finish."""
        if self.path.exists():
            with self.path.open("rb+") as file:
                size = file.seek(0, os.SEEK_END)
                back = min(size, 4096)
                file.seek(size - back)
                file.truncate(size - back + file.read().rfind(b"\n") + 1)


def _digest(*parts: str) -> bytes:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()
