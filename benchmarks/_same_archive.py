"""An archive of any version of radretrieval, met by its command line and by SQL only; for same_answers.py."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pydicom
from psycopg.rows import dict_row

Dump = dict[str, dict[str, Any]]  # values by kind and key

VOLATILE = re.compile(
    "timings_ms|seconds|.*_per_second|database_bytes|waiting|.*_at|effectiveDateTime|issued|timestamp"
)
FRESH = re.compile(r"\b2\.25\.\d+|urn:uuid:[0-9a-f-]+")  # numbered in the order of their appearance
BITS = re.compile("[01]{100,}")
# which of two files with one UID is in the archive by then, so that its number is known, depends on the moment
OTHER = re.compile(r"that of image \d+ \(([^)]*)\)")
GIVEN_DATES = ("StudyDate", "StudyTime", "PatientBirthDate")  # of the query; the others are those of the writing


class Archive:
    """One archive of the version under test: its commands, its SQL, and where what they say is noted."""

    def __init__(self, name: str, folder: Path, shared: Path, found: Dump) -> None:
        self.name, self.folder, self.shared, self.found = name, folder / name, shared, found
        (self.folder / "watched").mkdir(parents=True)
        for path in (folder, self.folder):
            path.chmod(0o755)  # as root the server runs as another user, who must be able to enter
        self.places = {str(folder): "<dir>", str(shared): "<shared>"}
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("RADRETRIEVAL_")},
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),  # sums in one order
            "COLUMNS": "200",
            "RADRETRIEVAL_HOME": str(self.folder / "home"),
            "RADRETRIEVAL_PATIENT_KEY_FILE": str(folder / "patient.key"),
            "RADRETRIEVAL_HEADER_MORE": "StationName,PatientOrientation",
        }

    @contextmanager
    def serving(self) -> Iterator[Archive]:
        """Keep the embedded server up, by a command that watches an empty folder."""
        words = [sys.executable, "-m", "radretrieval", "ingest", "--watch", str(self.folder / "watched")]
        told = self.folder / "watch.log"
        with told.open("w") as log:
            watching = subprocess.Popen(words, env=self.environment, cwd=self.folder, stdout=log, stderr=log)
        try:
            while "watching" not in told.read_text():
                if watching.poll() is not None:
                    raise SystemExit(told.read_text())
                time.sleep(0.2)
            self.environment["RADRETRIEVAL_DATABASE_URL"] = self.run("db", "url").stdout.strip()
            yield self
        finally:
            watching.send_signal(signal.SIGTERM)
            watching.wait(60)

    def run(self, *words: object, codes: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
        """A command in a process of its own; another exit code than these ends the dump."""
        begun = time.monotonic()
        command = [sys.executable, "-m", "radretrieval", *map(str, words)]
        done = subprocess.run(command, env=self.environment, cwd=self.folder, capture_output=True, text=True)
        print(f"{time.monotonic() - begun:6.1f} s  {self.name}: {' '.join(command[3:])[:160]}", file=sys.stderr)
        if done.returncode not in codes:
            raise SystemExit(f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def command(self, *words: object, codes: tuple[int, ...] = (0, 1)) -> None:
        """Note the exit code and the JSON, or else the error, of a command."""
        done = self.run(*words, "--json", codes=codes)
        answer = json.loads(done.stdout) if done.stdout else done.stderr
        self.note(str(words[0]), " ".join(map(str, words)), {"code": done.returncode, "answer": answer})

    def printed(self, *words: object) -> None:
        """Note what a command prints for people."""
        self.note("printed", " ".join(map(str, words)), self.run(*words, codes=(0, 1)).stdout.splitlines())

    def words(self, text: str) -> list[str]:
        """Arguments that _same_questions.py has in one text."""
        return [word.format(dir=self.folder, shared=self.shared) for word in text.split()]

    def note(self, kind: str, key: str, value: Any) -> None:
        """Keep a value, without what differs from run to run."""
        self.found[f"{self.name} {kind}"][str(self.plain(key, {}))] = self.plain(value, {})

    def plain(self, value: Any, fresh: dict[str, str]) -> Any:
        """A value for JSON, without places and fresh UIDs of this run, and without times."""
        if isinstance(value, Mapping):
            return {key: self.plain(one, fresh) for key, one in value.items() if not VOLATILE.fullmatch(key)}
        if isinstance(value, list | tuple):
            return [self.plain(one, fresh) for one in value]
        if isinstance(value, bytes):
            return value.hex() if len(value) <= 32 else hashlib.sha256(value).hexdigest()
        if value is None or isinstance(value, bool | int | float):
            return value
        text = str(value)
        if BITS.fullmatch(text):
            return hashlib.sha256(text.encode()).hexdigest()
        for path, name in self.places.items():
            text = text.replace(path, name)
        text = OTHER.sub(r"that of \1", text)
        return FRESH.sub(lambda found: fresh.setdefault(found[0], f"<fresh {len(fresh)}>"), text)

    def rows(self, statement: Any, values: Any = None) -> list[dict[str, Any]]:
        """The rows of a statement; none where it gives none."""
        url = self.environment["RADRETRIEVAL_DATABASE_URL"]
        path = "-c search_path=radretrieval,public"
        with psycopg.connect(url, autocommit=True, options=path, row_factory=dict_row) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def table(self, kind: str, statement: str, by: str | None = None) -> None:
        """Note the rows of a statement by one of their columns, the first if none is named."""
        self.grouped(kind, ((str(row[by or next(iter(row))]), row) for row in self.rows(statement)))

    def csv(self, kind: str, path: Path) -> None:
        """Note the rows of a CSV by their first column."""
        with path.open(encoding="utf-8", newline="") as file:
            head, *rows = csv.reader(file)
        kept = [place for place, name in enumerate(head) if not VOLATILE.fullmatch(name)]
        lines = ((f"{path.name} {row[0]}", "|".join(row[place] for place in kept)) for row in [head, *rows])
        self.grouped(kind, lines)

    def grouped(self, kind: str, pairs: Iterable[tuple[str, Any]]) -> None:
        """Note values by key, several of one key as a list in their order."""
        groups: dict[str, list[Any]] = defaultdict(list)
        for key, value in pairs:
            groups[key].append(value)
        for key, values in groups.items():
            self.note(kind, key, values)

    def files(self, kind: str, folder: Path) -> None:
        """Note every file below a folder: what is in a CSV or JSON, the digest of another."""
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            if path.suffix == ".csv":
                self.csv(kind, path)
            elif path.suffix == ".json":
                self.json(kind, path)
            else:
                self.note(kind, str(path.relative_to(folder.parent)), hashlib.sha256(path.read_bytes()).digest())

    def json(self, kind: str, path: Path) -> None:
        """Note a JSON document; but for digests of files that hold places of this run and are noted themselves."""
        document = json.loads(path.read_text(encoding="utf-8"))
        document.pop("sha256", None)
        self.note(kind, f"{path.parent.name}/{path.name}", document)

    def dicom(self, kind: str, path: Path) -> None:
        """Note every element of a DICOM file that was written now."""
        ds = pydicom.dcmread(path)
        pixels = hashlib.sha256(ds.get("PixelData", b"")).hexdigest()
        for element in ds.iterall():
            if (element.VR in ("DA", "TM", "DT") and element.keyword not in GIVEN_DATES) or element.VR in ("OB", "OW"):
                element.value = None
        # with the header; but its length, which is that of fresh UIDs
        lines = [line for line in str(ds).splitlines() if not line.startswith("(0002,0000)")]
        self.note(kind, path.name, [*lines, pixels])
