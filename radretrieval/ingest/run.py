"""Files → archive: every file ends as added, unchanged, updated or failed.

Files are walked lazily, hashed in threads, looked up in batches; only contents that are new are decoded, in
processes. Each batch is one transaction: a run that is killed loses at most a batch and the next run finishes it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from radretrieval.archive import images
from radretrieval.archive.connections import Connection, Database
from radretrieval.archive.images import Failure, NewImage
from radretrieval.archive.schema.columns import LABELLED, LABELS
from radretrieval.config import Settings
from radretrieval.errors import Forgotten, ImageError, InputMissing, LabelsError
from radretrieval.files.text import printable, shown
from radretrieval.files.uris import file_uri, to_path, to_uri
from radretrieval.files.walk import FoundPaths, is_beside_images, walk
from radretrieval.ingest.imageclef_release import codes_files, recognise
from radretrieval.ingest.inspect_file import LONGEST_URI, InspectedFile, InspectOptions, hashed, inspect_file
from radretrieval.ingest.labels_csv import Labels, check_split
from radretrieval.ingest.needless import drop_needless
from radretrieval.ingest.path_key import check_path_key
from radretrieval.ingest.problem import Problem, of_issuers
from radretrieval.ingest.refused import keep_failures
from radretrieval.ingest.register import log_updates, register_images
from radretrieval.ingest.report import IngestReport
from radretrieval.ingest.store_check import check_keeping
from radretrieval.privacy import tombstones
from radretrieval.privacy.archive_key import ArchiveKey, archive_key
from radretrieval.storage.content_store import ContentStore
from radretrieval.storage.worker_pool import WorkerPool

BATCH = 256
FLUSH_SECONDS = 2.0  # large files: what is done is committed, and seen, before a batch is full


def ingest(
    database: Database,
    settings: Settings,
    paths: Sequence[Path],
    *,
    labels: Labels | None = None,
    split: str | None = None,
    workers: int | None = None,
    advance: Callable[[int], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> IngestReport:
    """Bring files into the archive.

    Parameters
    ----------
    paths : files and folders (recursive). A file that is named itself corrects its image whatever it says; one that is
        found in a folder, or is of `FoundPaths`, does not bring back a header from before a correction, if it lay there
        then.
    labels : what a labels CSV says; its own file is not taken for a radiograph. Without one, a release that
        `release.recognise` knows labels its images itself.
    split : the split of files whose labels name none.
    workers : decoding processes; None for one a core.
    advance : called with the number of files that were finished.
    tell : called with the release that was recognised, before its images are read.

    Raises
    ------
    InputMissing : a path does not exist (before anything is read).
    LabelsError : the codes of a release cannot be used at all (before any image is read).
    EnvironmentUnusable : the archive hides paths, and the settings name no key of paths.
    WrongPatientKey, StoreUnavailable : the key of pseudonyms, or the store of kept files, is not the archive's.
    DatabaseUnavailable : the database went away; what was committed stays, the next run goes on from there.
    """
    check_split(split)
    for path in paths:
        if not os.path.exists(path):
            raise InputMissing(f"{path} does not exist; name a radiograph or a folder of radiographs")
    started = time.monotonic()
    # given labels win, but the CSVs of a release are no radiographs whoever labels
    passed = codes_files(paths) if labels else ()
    labels = labels or recognise(paths)
    if tell is not None and labels is not None and labels.recognised:
        tell(labels.recognised)
    with (
        database.connection() as connection,
        ThreadPoolExecutor(4) as threads,
        WorkerPool.of(settings, partial(inspect_file, options=InspectOptions.of(settings)), workers) as pool,
    ):
        check_path_key(connection, settings.path_key_file)
        check_keeping(connection, settings)
        run = IngestRun(connection, settings, labels, split, advance or (lambda count: None))
        run.named = frozenset[str]() if isinstance(paths, FoundPaths) else frozenset(map(os.path.abspath, paths))
        files = run.without_others(walk(paths, frozenset((*(labels.sources if labels else ()), *passed))))
        for name, found in pool.map(run.new_contents(files, threads)):
            run.decoded(name, found)
        run.flush()
        run.forget_gone(paths)
    if labels is not None:
        run.report.rows_left(run.rows_left, labels)
    run.report.seconds = time.monotonic() - started
    return run.report


class IngestRun:
    """One ingestion: the report, and what waits for the next transaction."""

    def __init__(
        self,
        connection: Connection,
        settings: Settings,
        labels: Labels | None,
        split: str | None,
        advance: Callable[[int], None],
    ) -> None:
        self.connection = connection
        self.settings = settings
        self.labels = labels
        self.split = split
        self.advance = advance
        self.report = IngestReport()
        self.images: list[NewImage] = []
        self.failures: list[tuple[Failure, bytes | None]] = []
        self.contents: dict[str, bytes] = {}  # of the files that are decoded, by path
        self.key: ArchiveKey | None = None
        self.named: frozenset[str] = frozenset()
        self.lain_since: dict[str, datetime] = {}  # of the files in `images` that were not named themselves, by URI
        self.flushed = time.monotonic()
        self.rows_left = set(labels.rows) if labels is not None else set()
        if labels is not None:
            self.report.labels_read(labels)

    def without_others(self, files: Iterator[str]) -> Iterator[str]:
        """Those files that may be images; others that were found in a folder are counted, and passed over."""
        for path in files:
            if path in self.named or not is_beside_images(path):
                yield path
            else:
                self.report.passed_over += 1

    def new_contents(self, files: Iterator[str], threads: ThreadPoolExecutor) -> Iterator[str]:
        """Those files whose content the archive does not have; the others are finished here."""
        while batch := list(islice(files, BATCH)):
            self.report.seen += len(batch)
            self.rows_left.difference_update(batch)
            hash_file = partial(hashed, path_key_file=self.settings.path_key_file)
            hashes = dict(zip(batch, threads.map(hash_file, batch), strict=True))
            good = {path: value for path, value in hashes.items() if isinstance(value, bytes)}
            rows = images.known(self.connection, list(good.values()))
            if rows:
                images.lock_ingestion(self.connection)
            unchanged = [path for path, sha256 in good.items() if sha256 in rows and self.unchanged(path, rows[sha256])]
            images.forget_failures(self.connection, [self.uri(path) for path in unchanged])
            self.commit()
            self.advance(len(unchanged))
            for path, value in hashes.items():
                if isinstance(value, Exception):
                    self.fail(path, None, value)
                elif value not in rows:
                    self.contents[path] = value
                    yield path

    def unchanged(self, path: str, row: dict[str, Any]) -> bool:
        """The archive has this content; its place and labels may be new. False when its labels are wrong."""
        try:
            labels = self.labels_of(path, None)
        except LabelsError as error:
            self.fail(path, None, error)
            return False
        uri, before = self.uri(path), file_uri(row["uri"])
        own_row = False
        here = before in (uri, to_uri(path))  # the second: it was stored before the site hid its paths
        gone = row["gone_at"] is not None and (here or not before.startswith("store:"))
        if gone or (here and before != uri) or not self.exists(before):
            images.moved(self.connection, row["id"], uri)
        elif not here:
            own_row = self.is_copy(path, row["uri"])
        no_code = self.labels is not None and path in self.labels.no_code
        if not own_row and (no_code or any(value is not None for value in labels.values())):
            self.report.relabelled += images.relabel(self.connection, row["id"], labels, no_code)
        self.report.count_unchanged(labels["irma_code"], row["hidden_at"] is not None)
        return True

    def is_copy(self, path: str, uri: str) -> bool:
        """Whether the image's own file, at `uri`, has a row: that decides; a row of this copy that differs is named."""
        if self.labels is None or not uri.startswith("file:"):
            return False
        own = self.path(uri)
        if own not in self.labels.rows:
            return False
        if self.labels.rows.get(path, self.labels.rows[own]) != self.labels.rows[own]:
            message = f"has the content of {own} but a different code or split; that file's count. Keep one of the two"
            self.report.note(Problem(path, "CopyWithOtherLabels", message))
        return True

    def decoded(self, path: str, found: InspectedFile | Exception) -> None:
        """A decoding process has finished with a file."""
        sha256 = self.contents.pop(path)
        if isinstance(found, Exception):
            self.fail(path, None, found, sha256)
            return
        try:
            labels = self.labels_of(path, found.patient_id, found.issuer)
        except LabelsError as error:
            self.fail(path, sha256, error)
            return
        given: dict[str, Any] = {name: value for name, value in labels.items() if value is not None}
        self.images += [replace(image, **given) for image in found.images]
        for problem in found.problems:
            self.report.note(problem)
        if path not in self.named:
            with contextlib.suppress(OSError):
                self.lain_since[self.uri(path)] = datetime.fromtimestamp(os.stat(path).st_ctime, UTC)
        if len(self.images) >= BATCH or time.monotonic() - self.flushed > FLUSH_SECONDS:
            self.flush()

    def labels_of(self, path: str, patient_id: str | None, issuer: str | None = None) -> dict[str, Any]:
        """Columns of `image` that come from the labels, the options and the header's patient."""
        labels: dict[str, Any] = {}
        if self.labels is not None:
            labels.update(self.labels.of(path))
            labels["withdrawn"] = self.labels.is_withdrawn(labels["irma_code"])
            self.report.no_code += path in self.labels.no_code
            if path not in self.labels.rows:
                self.report.no_row(path, self.labels)
        labelled = tuple(name for name in LABELLED if labels.get("patient_id" if name == "patient_key" else name))
        if given := labels.pop("patient_id", None):
            patient_id, issuer = given, None  # a header's issuer says nothing of an identifier in the labels
        labels["split"] = labels.get("split") or self.split
        if patient_id is not None:
            if self.key is None:
                self.key = archive_key(self.connection, self.settings)
            patient_id = self.key.pseudonym(patient_id, issuer)
        return {**dict.fromkeys(LABELS), **labels, "patient_key": patient_id, "labelled": labelled or None}

    def fail(self, path: str, sha256: bytes | None, error: Exception, content: bytes | None = None) -> None:
        """This file was not taken, and why."""
        failure = self.report.fail(path, error)
        message = failure["message"]
        if self.settings.path_key_file is not None:
            message = message.replace(printable(path), "the file")
        kept = Failure(self.uri(path)[:LONGEST_URI], sha256, failure["error"], message)
        self.failures.append((kept, sha256 or content))
        if len(self.failures) >= BATCH:
            self.flush()
        self.advance(1)

    def flush(self) -> None:
        """Write what waits, in one transaction."""
        batch, self.images = self.images, []
        lain_since, self.lain_since = self.lain_since, {}
        two = self.key.now_two(self.connection) if self.key is not None else {}
        written = register_images(self.connection, self.settings, batch, lain_since)
        key_file = self.settings.path_key_file
        finished = {one.image.uri.partition("#")[0] for one in written}
        for one in written:
            if one.image.frame > 1:
                continue  # a file counts once
            if one.forgotten_at is None:
                self.report.count(one.outcome)
            else:
                self.report.fail(shown(one.image.uri, key_file), Forgotten(tombstones.message(one.forgotten_at)))
            self.report.count_code(one.image.irma_code)
            if one.problem:
                self.report.note(Problem(shown(one.image.uri, key_file), "SameUid", one.problem))
        left = self.key.still_two(self.connection, two) if self.key is not None else {}
        for problem in of_issuers(left, [one.image for one in written]):
            self.report.note(problem._replace(path=shown(problem.path, key_file)))
        copies = [one.image for one in written if one.outcome == "unchanged"]
        rows = images.known(self.connection, [image.sha256 for image in copies if self.labels is not None])
        for image in copies if rows else ():
            self.is_copy(self.path(image.uri), rows[image.sha256]["uri"])
        images.forget_failures(self.connection, sorted(finished))
        idle = keep_failures(self.connection, self.settings, self.failures)
        self.failures = []
        self.commit()
        log_updates(written)
        idle += [one.image.sha256 for one in written if one.forgotten_at or (one.outcome == "same" and one.image.kept)]
        idle += [one.replaced for one in written if one.replaced is not None]
        if idle:
            drop_needless(self.connection, ContentStore(self.settings.store_folder), idle)
        self.flushed = time.monotonic()
        self.advance(len(finished))

    def uri(self, path: str) -> str:
        """The URI of a file, with its path hidden where the settings ask for that."""
        return to_uri(path, self.settings.path_key_file)

    def path(self, uri: str) -> str:
        """The path of a `file:` URI; the URI itself where it was hidden with another key."""
        try:
            return str(to_path(file_uri(uri), self.settings.path_key_file))
        except ImageError:
            return uri

    def exists(self, uri: str) -> bool:
        """Whether an image's file is there, as far as it can be told here."""
        if not uri.startswith("file:"):
            return True  # its place is the store or a server: a file that turns up is another copy
        try:
            return to_path(uri, self.settings.path_key_file).exists()
        except (ImageError, OSError):
            return False  # hidden with another key: the file at hand is one that can be read

    def commit(self) -> None:
        """Commit, unless pseudonyms were written with a key that is not the archive's."""
        if self.key is not None:
            self.key.confirm(self.connection)
        self.connection.commit()

    def forget_gone(self, paths: Sequence[Path]) -> None:
        """Failures of files that were below these paths and are no more, or that are no images, as the labels."""
        folders = [os.path.abspath(path) for path in paths]
        own = self.labels.sources if self.labels else ()
        gone = []
        for uri in images.failed_uris(self.connection):
            path = self.path(uri)
            below = any(path == folder or path.startswith(folder + os.sep) for folder in folders)
            other = path not in self.named and is_beside_images(path)  # an older version took it for an image
            if path in own or (below and other) or (below and len(uri) < LONGEST_URI and not os.path.lexists(path)):
                gone.append(uri)
        images.forget_failures(self.connection, gone)
        self.connection.commit()
