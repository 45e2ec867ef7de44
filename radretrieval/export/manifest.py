"""files.csv of an export: which files are in it.

A line is added when a file is done, so that the next run goes on where one was ended.
"""

from __future__ import annotations

import csv
import hashlib
import os
from pathlib import Path
from types import TracebackType

from radretrieval.export.write_image import Left, export_file

COLUMNS = {
    "file": "the file below this folder",
    "sha256": "SHA-256 of it",
    "bytes": "its size",
    "burned_in": "why text in its pixels must be feared; empty where it need not",
    "state": "from what it was made: the same as long as nothing has changed",
}


class Journal:
    """The files of one export. Takes some 0.2 kB of memory a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "files.csv"
        self._done: dict[bytes, bytes] = {}  # digests of names: digests of their last lines
        self._mend()
        self._file = self.path.open("a", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        if self.path.stat().st_size == 0:
            self._writer.writerow(COLUMNS)
        with self.path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                self._note(row["file"], row["bytes"], row["burned_in"], row["state"])

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def has(self, name: str, state: str, risky: bool) -> bool:
        """Whether this file is there as it would be written now; with `risky` text in its pixels is no matter."""
        noted = self._done.get(_digest(name))
        if noted is None:
            return False
        try:
            size = os.stat(self.folder / name).st_size
        except OSError:
            return False
        calm = noted == _digest(str(size), state, "calm")
        return calm or (risky and noted == _digest(str(size), state, "risky"))

    def add(self, name: str, left: Left, state: str) -> None:
        """This file is there now."""
        self._writer.writerow((name, left.sha256, left.size, left.burned_in, state))
        self._file.flush()
        self._note(name, str(left.size), left.burned_in, state)

    def close(self) -> int:
        """Write each file once, and only those that are there. Returns how many there are."""
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

    def _mend(self) -> None:
        """Take a last line away that a killed run did not finish."""
        if self.path.exists():
            with self.path.open("rb+") as file:
                size = file.seek(0, os.SEEK_END)
                back = min(size, 4096)
                file.seek(size - back)
                file.truncate(size - back + file.read().rfind(b"\n") + 1)


def _digest(*parts: str) -> bytes:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()
