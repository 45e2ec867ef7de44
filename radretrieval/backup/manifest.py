"""The folder of a backup: its lock, its manifest, and the list of its files with their SHA-256.

`manifest.json` is written last, and replaced as a whole: a folder without one holds no backup. It names the folder of
the dump, which a later run does not touch before its own manifest is there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from radretrieval.errors import EnvironmentUnusable, UsageError
from radretrieval.files.atomic import write_bytes
from radretrieval.files.regular import open_regular, read_regular
from radretrieval.files.text import printable

NAME = "manifest.json"
STORE = "store"
DUMP = "database"  # in the folder of the dump
FILES = "files.sha256"  # there too
FORMAT = 1
LARGEST = 2**28  # bytes of a manifest; that of an archive with a thousand encoders has one million
_LOCK = ".lock"
_STORED = re.compile(rf"{STORE}/([0-9a-f]{{2}})/([0-9a-f]{{2}})/(\1\2[0-9a-f]{{60}})(\.[1-9][0-9]{{0,9}}\.png)?")


@dataclass(frozen=True)
class Manifest:
    """What a backup is of, and what must come back.

    Attributes
    ----------
    folder : of the dump and of the list of files. files_sha256 : of that list.
    archive : which one, see `contents.identity`. revision : of its schema.
    server, program : major versions of the server and of pg_dump. pgvector_schema : where the extension lies.
    tables : rows and digest of each. encoders : see `contents.encoders`. answers : see `answers.ask`, by image.
    elsewhere : images whose files are not in the store, so that the backup has them not.
    """

    made_at: str
    version: str
    archive: str
    revision: str
    server: int
    server_version: str
    pgvector_version: str
    pgvector_schema: str
    program: int
    folder: str
    files_sha256: str
    database_bytes: int
    store_files: int
    store_bytes: int
    elsewhere: int
    tables: dict[str, dict[str, Any]]
    encoders: list[dict[str, Any]]
    answers: dict[str, list[list[int]]]

    @property
    def images(self) -> int:
        """How many images the archive had."""
        return int(self.tables["image"]["rows"])

    @property
    def dump(self) -> Path:
        """Where pg_dump's folder is, in that of the backup."""
        return Path(self.folder, DUMP)

    def write(self, folder: Path) -> None:
        """Write manifest.json in place of the one before. Raises OSError."""
        document = {"backup": "radretrieval", "format": FORMAT, **asdict(self)}
        text = json.dumps({**document, "sha256": _digest(document)}, indent=1)
        write_bytes(folder / NAME, f"{text}\n".encode(), mode=0o600)

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a folder. Raises UsageError where it holds no whole backup, or one that is damaged."""
        path = folder / NAME
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder; name the folder of a backup")
        if not path.exists():
            raise UsageError(
                f"{folder} holds no whole backup (there is no {NAME}, which is written last): name another one, or "
                "finish it: radretrieval backup DIR"
            )
        try:
            document = json.loads(read_regular(path, LARGEST))
            if document.pop("backup") != "radretrieval" or (form := document.pop("format")) > FORMAT:
                raise UsageError(f"{path} is of something else, or of a newer radretrieval: upgrade it")
            told = document.pop("sha256")
            if told != _digest({"backup": "radretrieval", "format": form, **document}):
                raise ValueError
            manifest = cls(**document)
            if not manifest._sound():
                raise ValueError
            return manifest
        except OSError as error:
            raise EnvironmentUnusable(f"{path} cannot be read ({error.strerror})") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise UsageError(f"{path} is damaged; name another backup") from None

    def _sound(self) -> bool:
        """Whether every value has its type, and the folder is one beside the manifest."""
        kinds = {"str": str, "int": int}
        plain = all(type(getattr(self, one.name)) is kinds[one.type] for one in fields(self) if one.type in kinds)
        tables = all(type(table["rows"]) is int for table in self.tables.values())
        answers = all(key.isdecimal() and isinstance(hits, list) for key, hits in self.answers.items())
        return plain and tables and answers and is_dump_folder(self.folder)


def _digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def listed(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """SHA-256 and path of every file of a backup, those of the store first, in the order of their contents.

    Raises UsageError where the list is missing or damaged, or names a file elsewhere.
    """
    path = folder / manifest.folder / FILES
    try:
        with open_regular(path) as file:
            sound = hashlib.file_digest(file, "sha256").hexdigest() == manifest.files_sha256
    except OSError:
        sound = False
    if not sound:
        raise UsageError(f"{path} is missing or damaged; name another backup")
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            digest, _, name = line.rstrip("\n").partition("  ")
            if not _is_inside(digest, name, manifest):
                raise UsageError(f"{path} names {printable(name)}, which is no file of a backup; name another backup")
            yield digest, name


def _is_inside(digest: str, name: str, manifest: Manifest) -> bool:
    """Whether a path is that of a file of the dump, or of one of the store, whose name has its SHA-256."""
    if stored := _STORED.fullmatch(name):
        return stored[4] is not None or stored[3] == digest
    parent, _, file = name.rpartition("/")
    return parent == manifest.dump.as_posix() and file not in ("", ".", "..")


@contextmanager
def locked(folder: Path, *, writing: bool) -> Iterator[None]:
    """Lock the folder of a backup; several may read it.

    Raises UsageError where another process has it, EnvironmentUnusable where it cannot be used.
    """
    try:
        handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT if writing else os.O_RDONLY, 0o600)
    except FileNotFoundError:  # a copy of a backup that somebody made without it
        yield
        return
    except OSError as error:
        raise EnvironmentUnusable(f"{folder} cannot be used ({error.strerror}); name another folder") from error
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if writing else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UsageError(f"another process uses the backup in {folder}; wait for it to end") from None
    finally:
        os.close(handle)


def prepare(folder: Path) -> Manifest | None:
    """Make the folder; the manifest of the backup that it holds, None where it is empty or its first run was killed.

    Raises UsageError where it holds something else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        there = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise EnvironmentUnusable(f"{folder} cannot be used ({error.strerror}); name another folder") from error
    if NAME in there:
        return Manifest.read(folder)
    if strange := sorted(name for name in there if name not in (_LOCK, STORE) and not is_dump_folder(name)):
        named = ", ".join(map(printable, strange[:3]))
        raise UsageError(f"{folder} is not empty and holds no backup ({named}); name a new folder")
    return None


def is_dump_folder(name: str) -> bool:
    """Whether this is the name of a dump's folder, as 20261128T184200Z."""
    return len(name) == 16 and name[8] == "T" and name[15] == "Z" and (name[:8] + name[9:15]).isdecimal()
