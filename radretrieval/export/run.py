"""Images and index out of the archive, into a folder: resumable, each file whole or not there, each failure named.

De-identified, nothing in the folder tells of the archive or of a patient but under the key: names, UIDs, pseudonyms and
days are keyed, and the order of rows and files is drawn by it, for the order of ingestion would tell that of the days.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radretrieval.archive import codes, encoders, exports
from radretrieval.archive.connections import Database
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.filters import Filter
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable, NoEncoder, UsageError
from radretrieval.export import index_file, manifest
from radretrieval.export.manifest import Journal
from radretrieval.export.write_image import How, Leaving, Left, export_file, file_name, leave, subject_of_row
from radretrieval.files.atomic import DRAFT_SUFFIX
from radretrieval.files.uris import printable, shown
from radretrieval.privacy.pseudonyms import read_key
from radretrieval.privacy.replacements import Keyed
from radretrieval.storage.worker_pool import Decoders

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

BATCH = 256
_WAY = "name a file with at least 32 random characters with --key"
_EVERY = Filter()
_RULE = 1  # raised when what is made of a file changes: files of earlier runs are made anew


@dataclass(frozen=True)
class Wanted:
    """What is exported.

    Attributes
    ----------
    where, ids : which images; of `ids`, where given, those that pass the filter.
    images, index : their files, and what the archive knows of them with codes and barcodes.
    deidentify : nothing leaves that identifies a patient. key : the file of its key; default `export.key` in the home,
        made when first needed. accept_burned_in : images leave, flagged, whose pixels may show names.
    form : of the index, csv or parquet. encoder : whose codes; None for the active one.
    workers : writing processes; None for one a core.
    """

    where: Filter = _EVERY
    ids: tuple[int, ...] | None = None
    images: bool = True
    index: bool = True
    deidentify: bool = False
    key: Path | None = None
    accept_burned_in: bool = False
    form: str = "csv"
    encoder: int | None = None
    workers: int | None = None


@dataclass
class ExportReport:
    """What became of the files: seen = exported + unchanged + failed. `rows` of the index; `flagged` of the exported
    files may show names in their pixels, or cannot say."""

    seen: int = 0
    exported: int = 0
    unchanged: int = 0
    failed: int = 0
    flagged: int = 0
    rows: int = 0
    failures: list[dict[str, str]] = field(default_factory=list)  # path, error, message
    seconds: float = 0.0

    def fail(self, uri: str, error: Exception) -> None:
        """This image did not leave, and why."""
        self.failed += 1
        message = printable(str(error)) or type(error).__name__
        self.failures.append({"path": shown(uri), "error": type(error).__name__, "message": message})


def export(
    database: Database,
    settings: Settings,
    folder: Path,
    wanted: Wanted,
    advance: Callable[[int], None] | None = None,
    expect: Callable[[int], None] | None = None,
) -> ExportReport:
    """Write images, index and what they are into a folder; what an earlier run has written there stays.

    Parameters
    ----------
    advance : called with the number of images that were finished. expect : called with how many there will be.

    Raises
    ------
    UsageError : a filter, id or format that cannot be, or a folder that holds something else.
    EnvironmentUnusable : the folder cannot be written, the key cannot be read.
    DatabaseUnavailable : the database went away; run it again, it goes on from there.
    """
    started = time.monotonic()
    index_file.check_format(wanted.form)
    with database.connection() as connection:
        chosen = _chosen(connection, wanted)
        run = _Run(connection, settings, folder, wanted, _keyed(settings, wanted))
        if run.keyed is not None:
            random.Random(run.keyed.name("order")).shuffle(chosen)
        if expect is not None:
            expect(len(chosen) * (wanted.images + wanted.index))
        with run.opened():
            if wanted.images:
                run.write_images(chosen, advance or (lambda count: None))
            if wanted.index:
                run.write_index(chosen, advance or (lambda count: None))
            run.write_manifest(complete=True)
    run.report.seconds = time.monotonic() - started
    return run.report


def _chosen(connection: Connection, wanted: Wanted) -> array[int]:
    if wanted.ids is not None and (missing := sorted({*wanted.ids} - exports.known(connection, wanted.ids))):
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise UsageError(f"the archive has no image {', '.join(map(str, missing[:5]))}{more}; --ids takes those it has")
    return exports.ids(connection, wanted.where, wanted.ids)


def _keyed(settings: Settings, wanted: Wanted) -> Keyed | None:
    if not wanted.deidentify:
        return None
    path = wanted.key or settings.home / "export.key"
    return Keyed(read_key(path, made=wanted.key is None, what="de-identified exports", way=_WAY))


class _Run:
    """One export into one folder."""

    def __init__(
        self, connection: Connection, settings: Settings, folder: Path, wanted: Wanted, keyed: Keyed | None
    ) -> None:
        self.connection = connection
        self.settings = settings
        self.folder = folder
        self.wanted = wanted
        self.keyed = keyed
        self.report = ExportReport()
        self.files = 0
        self.index = f"index.{wanted.form}"
        self.encoder: Encoder | None = None
        self.geometry: int | None = None
        try:
            self.encoder = encoders.get(connection, wanted.encoder)
        except NoEncoder:  # without codes the index still tells what the archive knows
            return
        shape = self.encoder.profile.barcode
        from radretrieval.coding.radon import bins

        self.geometry = codes.known_geometry(connection, shape.size, shape.angles, bins(shape.size), shape.rule)
        connection.commit()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """The folder, ours alone, made if it is not there. Raises UsageError where it holds something else."""
        handle = None
        try:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._enter()
            except BlockingIOError:
                raise UsageError(f"another export writes to {self.folder}; wait for it, or name another") from None
            except OSError as error:
                raise EnvironmentUnusable(f"{self.folder} cannot be used ({error.strerror}); name another") from error
            yield
        finally:
            if handle is not None:
                os.close(handle)

    def _enter(self) -> None:
        manifest = self.folder / "manifest.json"
        if manifest.exists():
            try:
                told = json.loads(manifest.read_text(encoding="utf-8"))
            except ValueError:
                raise UsageError(f"{manifest} is damaged; name a new folder") from None
            self._check(told)
            for draft in () if told.get("complete") else self.folder.rglob(f".*{DRAFT_SUFFIX}"):
                draft.unlink(missing_ok=True)  # of a run that was killed
        elif any(path.name != ".lock" and path.suffix != DRAFT_SUFFIX for path in self.folder.iterdir()):
            (self.folder / ".lock").unlink()
            raise UsageError(f"{self.folder} is not empty and holds no export; name a new folder")
        self.write_manifest(complete=False)

    def _check(self, manifest: Any) -> None:
        if not isinstance(manifest, dict) or manifest.get("export") != "radretrieval":
            raise UsageError(f"{self.folder}/manifest.json is of something else; name a new folder")
        if manifest.get("key") != (self.keyed.fingerprint() if self.keyed else None):
            kind = "is de-identified" if manifest.get("key") else "is not de-identified"
            raise UsageError(f"{self.folder} holds an export that {kind}, or is of another key; name a new folder")

    def write_images(self, chosen: Sequence[int], advance: Callable[[int], None]) -> None:
        """The files of the images, each once, by several processes."""
        settings, wanted = self.settings, self.wanted
        job: Callable[[Leaving], Left] = partial(leave, how=How(settings.reading, self.keyed, wanted.accept_burned_in))
        with (
            Journal(self.folder) as noted,
            Decoders(
                wanted.workers or os.cpu_count() or 1,
                job,
                timeout=settings.decode_seconds,
                megabytes=settings.decode_megabytes,
            ) as writers,
        ):
            for leaving, left in writers.map(self._waiting(chosen, noted, advance)):
                if isinstance(left, Left):
                    noted.add(os.path.relpath(leaving.target, self.folder), left, self._state(leaving))
                    self.report.exported += 1
                    self.report.flagged += bool(left.burned_in)
                else:
                    self.report.fail(leaving.uri, left)
                advance(1)
            self.files = noted.close()

    def _waiting(self, chosen: Sequence[int], noted: Journal, advance: Callable[[int], None]) -> Iterator[Leaving]:
        """What is to be written; what is there already is counted."""
        several: set[bytes] = set()  # files with several images, one a frame
        for row in self._rows(chosen):
            if "#frame=" in row["uri"]:
                if row["sha256"] in several:
                    advance(1)
                    continue
                several.add(row["sha256"])
            self.report.seen += 1
            name = file_name(row, self.keyed)
            dicom = row["format"] == "dicom"
            leaving = Leaving(row["uri"], row["sha256"], dicom, subject_of_row(row), str(self.folder / name))
            if noted.has(name, self._state(leaving), self.wanted.accept_burned_in or not dicom):
                self.report.unchanged += 1
                advance(1)
            else:
                yield leaving

    def _state(self, leaving: Leaving) -> str:
        """From what a file is made, under the key if there is one."""
        if self.keyed is None:
            return leaving.sha256.hex()[:16]
        return self.keyed.name(f"{_RULE} {leaving.sha256.hex()} {leaving.subject}")[:16]

    def _rows(self, chosen: Sequence[int], codes: bool = False) -> Iterator[dict[str, Any]]:
        for start in range(0, len(chosen), BATCH):
            encoder = self.encoder.id if codes and self.encoder else None
            yield from exports.rows(self.connection, chosen[start : start + BATCH], encoder, self.geometry)

    def write_index(self, chosen: Sequence[int], advance: Callable[[int], None]) -> None:
        """What the archive knows of the images."""
        columns = tuple(index_file.columns_of(self.keyed))
        with index_file.index_file(self.folder / self.index, columns) as take:
            for row in self._rows(chosen, codes=True):
                name = file_name(row, self.keyed)
                take(index_file.shown(row, name if (self.folder / name).exists() else "", self.keyed))
                self.report.rows += 1
                advance(1)

    def write_manifest(self, complete: bool) -> None:
        """manifest.json: what the export is, and by which encoder, with the hashes of its lists; and README.md."""
        lists = ("files.csv", self.index)
        encoder = self.encoder if self.wanted.index else None
        document = {
            "export": "radretrieval",
            "version": 1,
            "complete": complete,
            "deidentified": self.keyed is not None,
            "key": self.keyed.fingerprint() if self.keyed else None,
            "files": self.files,
            "rows": self.report.rows,
            "sha256": {name: _sha256(self.folder / name) for name in lists if (self.folder / name).exists()},
            "encoder": encoder
            and {
                "profile": encoder.profile.as_json(),
                "profile_hash": encoder.profile.hash,
                "weights_sha256": encoder.weights_sha256.hex(),
                "classes": list(encoder.classes),
            },
            "columns": {"files.csv": manifest.COLUMNS, self.index: index_file.columns_of(self.keyed)},
        }
        with ExitStack() as stack:
            draft = stack.enter_context(export_file(self.folder / "manifest.json"))
            draft.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            draft = stack.enter_context(export_file(self.folder / "README.md"))
            draft.write_text(_readme(document), encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _readme(document: dict[str, Any]) -> str:
    hidden = (
        "It is de-identified by the basic profile of DICOM PS3.15 (2026c): patients and UIDs are export_file, days are "
        "moved back by a number of days that is the same for all images of a patient. Nobody has looked at the pixels: "
        "the column burned_in of files.csv tells where text in them must be feared.\n\n"
        if document["deidentified"]
        else "It is not de-identified.\n\n"
    )
    lines = ["# Radiographs, exported by radretrieval\n", hidden.rstrip("\n"), ""]
    for name, columns in document["columns"].items():
        lines += [f"## {name}\n", *(f"- `{column}`: {what}" for column, what in columns.items()), ""]
    lines.append("manifest.json has the encoder that the codes are of, and the SHA-256 of the two lists.\n")
    return "\n".join(lines)
