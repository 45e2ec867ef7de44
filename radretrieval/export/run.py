"""Export of images and index into a folder; a run that was interrupted is continued by the next one.

Each file is written whole or not at all, each failure is reported. A de-identified export reveals nothing about the
archive or a patient without the key: names, UIDs, pseudonyms and dates are keyed replacements, and rows and files are
in an order derived from the key, since the order of ingestion would reveal that of the dates.
"""

from __future__ import annotations

import fcntl
import os
import random
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from radretrieval.archive import codes, encoders, exports
from radretrieval.archive.connections import Connection, Database
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.filters import Filter
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable, NoEncoder, UsageError
from radretrieval.export import file_list, index_file
from radretrieval.export.file_list import FileList
from radretrieval.export.manifest import check_manifest, write_manifest
from radretrieval.export.write_image import ExportedFile, ExportJob, file_name, subject_of_row, write_image
from radretrieval.files.atomic import DRAFT_SUFFIX
from radretrieval.files.failures import FailureList
from radretrieval.files.table_files import load_pyarrow
from radretrieval.files.text import shown
from radretrieval.privacy.pseudonyms import read_key
from radretrieval.privacy.replacements import KeyedReplacements
from radretrieval.storage.reading import Reading
from radretrieval.storage.worker_pool import WorkerPool

BATCH = 256
_WAY = "name a file with at least 32 random characters with --key"
_EVERY = Filter()
_RULE = 3  # raised when the content of exported files changes: files of earlier runs are then written again


@dataclass(frozen=True)
class ExportOptions:
    """What is exported.

    Attributes
    ----------
    where, ids : which images; of `ids`, where given, those that pass the filter.
    images, index : export the image files; export the rows of the archive with codes and barcodes.
    deidentify : remove what identifies a patient. key : the file of its key; None for `export.key` in the home, which
        is made when it is missing. accept_burned_in : export, flagged, images whose pixels may identify the patient.
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
    """What became of the image files: seen = exported + unchanged + failed.

    flagged : exported files whose pixels may identify the patient. rows : of the index.
    """

    seen: int = 0
    exported: int = 0
    unchanged: int = 0
    failed: int = 0
    flagged: int = 0
    rows: int = 0
    failures: FailureList = field(default_factory=FailureList)
    seconds: float = 0.0


def export(
    database: Database,
    settings: Settings,
    folder: Path,
    options: ExportOptions,
    advance: Callable[[int], None] | None = None,
    expect: Callable[[int], None] | None = None,
) -> ExportReport:
    """Write image files, index and manifest into a folder; files of an earlier run that are unchanged stay.

    Parameters
    ----------
    advance : called with the number of images that were finished. expect : called with how many there will be.

    Raises
    ------
    UsageError : an unknown filter, id or format, or a folder that holds something else.
    EnvironmentUnusable : the folder cannot be written, the key cannot be read.
    DatabaseUnavailable : the database went away; the next run continues.
    """
    started = time.monotonic()
    if options.form == "parquet":
        load_pyarrow()
    advance = advance or (lambda count: None)
    with database.connection() as connection:
        chosen = _chosen(connection, options)
        run = ExportRun(connection, settings, folder, options)
        if run.replacements is not None:
            random.Random(run.replacements.name("order")).shuffle(chosen)
        if expect is not None:
            expect(len(chosen) * (options.images + options.index))
        with run.locked_folder():
            if options.images:
                run.write_images(chosen, advance)
            if options.index:
                run.write_index(chosen, advance)
            run.write_manifest(complete=True)
    run.report.seconds = time.monotonic() - started
    return run.report


def _chosen(connection: Connection, options: ExportOptions) -> array[int]:
    if options.ids is not None and (missing := sorted({*options.ids} - exports.known(connection, options.ids))):
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise UsageError(f"the archive has no image {', '.join(map(str, missing[:5]))}{more}; --ids takes those it has")
    return exports.ids(connection, options.where, options.ids)


def _replacements(settings: Settings, options: ExportOptions) -> KeyedReplacements | None:
    if not options.deidentify:
        return None
    path = options.key or settings.home / "export.key"
    return KeyedReplacements(read_key(path, made=options.key is None, what="de-identified exports", way=_WAY))


class ExportRun:
    """One export into one folder."""

    def __init__(self, connection: Connection, settings: Settings, folder: Path, options: ExportOptions) -> None:
        self.connection = connection
        self.settings = settings
        self.folder = folder
        self.options = options
        self.replacements = _replacements(settings, options)
        self.report = ExportReport()
        self.files = 0
        self.index = f"index.{options.form}"
        self.encoder: Encoder | None = None
        self.geometry: int | None = None
        try:
            self.encoder = encoders.get(connection, options.encoder)
        except NoEncoder:  # the index is written without codes
            return
        from radretrieval.coding.radon import geometry

        self.geometry = codes.known_geometry(connection, *geometry(self.encoder.profile.barcode))
        connection.commit()

    @contextmanager
    def locked_folder(self) -> Iterator[None]:
        """Make the folder and lock it. Raises UsageError where another export has it or it holds something else."""
        handle = None
        try:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._check_folder()
                self.write_manifest(complete=False)
            except BlockingIOError:
                raise UsageError(f"another export writes to {self.folder}; wait for it, or name another") from None
            except OSError as error:
                raise EnvironmentUnusable(f"{self.folder} cannot be used ({error.strerror}); name another") from error
            yield
        finally:
            if handle is not None:
                os.close(handle)

    def _check_folder(self) -> None:
        """Remove the drafts of an interrupted run; refuse a folder that is neither empty nor an export."""
        complete = check_manifest(self.folder, self.replacements)
        if complete is None:
            if any(path.name != ".lock" and path.suffix != DRAFT_SUFFIX for path in self.folder.iterdir()):
                (self.folder / ".lock").unlink()
                raise UsageError(f"{self.folder} is not empty and holds no export; name a new folder")
        elif not complete:
            for draft in self.folder.rglob(f".*{DRAFT_SUFFIX}"):
                draft.unlink(missing_ok=True)

    def write_images(self, chosen: Sequence[int], advance: Callable[[int], None]) -> None:
        """Write the files of the images, each once, in several processes."""
        settings, options = self.settings, self.options
        write: Callable[[ExportJob], ExportedFile] = partial(
            write_image,
            reading=Reading.of(settings),
            replacements=self.replacements,
            accept_burned_in=options.accept_burned_in,
        )
        with FileList(self.folder) as written, WorkerPool.of(settings, write, options.workers) as writers:
            for job, file in writers.map(self._jobs(chosen, written, advance)):
                if isinstance(file, ExportedFile):
                    written.add(os.path.relpath(job.target, self.folder), file, self._state(job))
                    self.report.exported += 1
                    self.report.flagged += bool(file.burned_in)
                else:
                    self.report.failed += 1
                    self.report.failures.add(shown(job.uri, self.settings.path_key_file), file)
                advance(1)
            self._remove_replaced()
            self.files = written.close()

    def _remove_replaced(self) -> None:
        """Remove files that any run wrote of images before their correction, which this run may not have chosen."""
        for row in self._rows(exports.corrected(self.connection)):
            for sha256 in row["replaced"]:
                (self.folder / file_name({**row, "sha256": sha256}, self.replacements)).unlink(missing_ok=True)

    def _jobs(self, chosen: Sequence[int], written: FileList, advance: Callable[[int], None]) -> Iterator[ExportJob]:
        """The files that are to be written; those that an earlier run has written are counted."""
        several: set[bytes] = set()  # files with an image a frame
        for row in self._rows(chosen):
            if "#frame=" in row["uri"]:
                if row["sha256"] in several:
                    advance(1)
                    continue
                several.add(row["sha256"])
            self.report.seen += 1
            name = file_name(row, self.replacements)
            dicom = row["format"] == "dicom"
            job = ExportJob(row["uri"], row["sha256"], dicom, subject_of_row(row), str(self.folder / name))
            if written.has(name, self._state(job), self.options.accept_burned_in or not dicom):
                self.report.unchanged += 1
                advance(1)
            else:
                yield job

    def _state(self, job: ExportJob) -> str:
        """A digest of what a file is made from."""
        if self.replacements is None:
            return job.sha256.hex()[:16]
        return self.replacements.name(f"{_RULE} {job.sha256.hex()} {job.subject}")[:16]

    def _rows(self, chosen: Sequence[int], codes: bool = False) -> Iterator[dict[str, Any]]:
        for start in range(0, len(chosen), BATCH):
            encoder = self.encoder.id if codes and self.encoder else None
            yield from exports.rows(self.connection, chosen[start : start + BATCH], encoder, self.geometry)

    def write_index(self, chosen: Sequence[int], advance: Callable[[int], None]) -> None:
        """Write the rows of the images, with their codes."""
        columns = tuple(index_file.columns_of(self.replacements))
        with index_file.index_file(self.folder / self.index, columns) as append:
            for row in self._rows(chosen, codes=True):
                name = file_name(row, self.replacements)
                file = name if (self.folder / name).exists() else ""
                append(index_file.index_row(row, file, self.replacements))
                self.report.rows += 1
                advance(1)

    def write_manifest(self, complete: bool) -> None:
        """Write manifest.json and README.md."""
        write_manifest(
            self.folder,
            complete=complete,
            replacements=self.replacements,
            files=self.files,
            rows=self.report.rows,
            encoder=self.encoder if self.options.index else None,
            lists={"files.csv": file_list.COLUMNS, self.index: index_file.columns_of(self.replacements)},
        )
