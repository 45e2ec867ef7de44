"""Forgetting: rows, codes and files of a patient, a study or an image go, and a tombstone keeps them from coming back.

All rows go in one transaction, with the tombstones and a row of the audit. The SHA-256 of files that the store has stay
with the tombstones until the files are deleted, which comes after the commit: a run that is killed in between is
finished by the next `forget` or `verify --tidy`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

from radretrieval.archive import audit, forgetting, images, inbox, tombstones
from radretrieval.archive.connections import Connection, Database
from radretrieval.archive.forgetting import Choice, Found
from radretrieval.archive.tombstones import Digest, Tombstone
from radretrieval.config import Settings
from radretrieval.errors import ImageError, NotInArchive, UsageError
from radretrieval.files.uris import to_path
from radretrieval.jobs.embedding_map import drop_maps
from radretrieval.jobs.forgotten_files import drop_cached, drop_stored
from radretrieval.privacy.archive_key import ArchiveKey, archive_key
from radretrieval.privacy.tombstones import digest, pseudonyms_of, stones
from radretrieval.storage.content_store import ContentStore
from radretrieval.storage.worker_pool import WorkerPool

BATCH = 500  # images of one transaction, where they are forgotten by age
_AGE = re.compile(r"([1-9][0-9]{0,3})([dwmy])")
_UNITS = {"d": "days", "w": "weeks", "m": "months", "y": "years"}


@dataclass(frozen=True)
class Forget:
    """What is to be forgotten: one of `patient`, `study`, `image`, `older_than`; none to finish an earlier run.

    Attributes
    ----------
    patient : identifier, or pseudonym. issuer : who gave the identifier.
    study : UID. image : id.
    older_than : as 10y, 18m, 6w, 90d: by the date of the study, without one by that of ingestion.
    origin : AE title or URL: only images from there.
    reason : for the audit. dry_run : only count. allow : take back, so that it may be taken again.
    """

    patient: str | None = None
    issuer: str | None = None
    study: str | None = None
    image: int | None = None
    older_than: str | None = None
    origin: str | None = None
    reason: str | None = None
    dry_run: bool = False
    allow: bool = False

    def __post_init__(self) -> None:
        if len(self._named()) > 1:
            raise UsageError("name one: a patient, a study, an image, or an age")
        if self.origin is not None and self.older_than is None:
            raise UsageError("--origin is about --older-than; say that too, or leave it out")
        if self.issuer is not None and self.patient is None:
            raise UsageError("--issuer goes with --patient; say that too, or leave it out")

    def _named(self) -> list[str]:
        given = {"patient": self.patient, "study": self.study, "image": self.image, "age": self.older_than}
        return [kind for kind, value in given.items() if value is not None]

    @property
    def kind(self) -> str | None:
        """Which one is given; None for none."""
        named = self._named()
        return named[0] if named else None


@dataclass
class ForgetReport:
    """What was forgotten, or would be.

    Attributes
    ----------
    images, studies : of them. feedback : opinions on them. failures, arrivals : files that were no images.
    allowed : tombstones that were taken back.
    files : deleted from the store, with their reduced copies; left : still to be deleted there.
    cached : files, and films of training, that were deleted from the caches of this host.
    """

    images: int = 0
    studies: int = 0
    feedback: int = 0
    failures: int = 0
    arrivals: int = 0
    allowed: int = 0
    files: int = 0
    left: int = 0
    cached: int = 0
    dry_run: bool = False

    def add(self, found: Found) -> None:
        """Count what was found."""
        for name, count in found.counts().items():
            setattr(self, name, getattr(self, name) + count)


def forget(database: Database, settings: Settings, what: Forget, who: str) -> ForgetReport:
    """Forget, and delete what the store and the caches of this host have of it.

    Raises
    ------
    NotInArchive : there is nothing of it, and it was not forgotten before. UsageError : it is not named as it must be.
    WrongPatientKey, EnvironmentUnusable : the archive's key is not here.
    """
    report = ForgetReport(dry_run=what.dry_run)
    with database.connection() as connection:
        if what.kind is not None:
            key = archive_key(connection, settings)
            choice, named = _choice(connection, settings, key, what)
            if what.allow:
                report.allowed = _allow(connection, key, what, named, who)
                return report
            task = _Task(what, choice, named, who)
            while _forget_some(connection, key, task, report) and choice.kind == "age":
                pass
        elif what.allow:
            raise UsageError("--allow takes back what was forgotten: name a patient or a study")
        if not what.dry_run:
            report.files, report.left = drop_stored(connection, settings)
            report.cached = drop_cached(connection, settings) + (drop_maps(settings) if report.images else 0)
    return report


@dataclass(frozen=True)
class _Task:
    what: Forget
    choice: Choice
    named: list[Digest]
    who: str


def _choice(connection: Connection, settings: Settings, key: ArchiveKey, what: Forget) -> tuple[Choice, list[Digest]]:
    """Which rows, and the tombstones that name them: the failures of a patient or study are read for whose they are."""
    if what.kind == "patient":
        patients = pseudonyms_of(key, str(what.patient), what.issuer)
        choice = Choice("patient", patients=patients, names=(str(what.patient),))
        named = [digest(key.secret, "patient", one) for one in choice.patients]
    elif what.kind == "study":
        choice = Choice("study", study=str(what.study).strip())
        kinds = ("study", "sop") if what.allow else ("study",)
        named = [digest(key.secret, kind, str(choice.study)) for kind in kinds]
    elif what.kind == "image":
        return Choice("image", image=what.image), []
    else:
        age = _AGE.fullmatch(str(what.older_than))
        if age is None:
            raise UsageError(f"--older-than {what.older_than}: give a number of years, months, weeks or days, as 10y")
        interval = f"{age[1]} {_UNITS[age[2]]}"
        return Choice("age", age=interval, origin=what.origin, limit=2**31 - 1 if what.dry_run else BATCH), []
    if what.allow:
        return choice, named
    failed = _failed_of(connection, settings, key, choice)
    return replace(choice, failed=tuple(failed), failed_contents=tuple(failed.values())), named


def _forget_some(connection: Connection, key: ArchiveKey, task: _Task, report: ForgetReport) -> int:
    """Forget in one transaction; returns how many images."""
    found = _locked(connection, task)
    report.add(found)
    if not found:
        if task.choice.kind != "age" and not tombstones.find(connection, task.named):
            connection.rollback()
            raise NotInArchive(_nothing(task.what))
        connection.rollback()
        return 0
    if task.what.dry_run:
        connection.rollback()
        return 0
    at = forgetting.delete(connection, task.choice, found)
    rows = [Tombstone(one, at) for one in task.named]
    # what has the same time is taken back together: of those that are only old, each study by itself
    parts = found.by_study if task.choice.kind == "age" else [(found.own_uids, found.contents)]
    for number, (uids, contents) in enumerate(parts):
        rows += stones(key.secret, at + timedelta(microseconds=number), uids, contents)
    tombstones.add(connection, rows if found.stored else [row._replace(content=None) for row in rows])
    key.confirm(connection)
    detail = {"kind": task.choice.kind, **found.counts(), **_reason(task.what)}
    audit.record(connection, task.who, "forget", detail)
    connection.commit()
    return len(found.ids)


def _locked(connection: Connection, task: _Task) -> Found:
    """What there is, with the locks of its contents and then of ingestion, so that nothing of it comes meanwhile."""
    locked: set[bytes] | None = None
    while True:
        found = forgetting.find(connection, task.choice)
        if task.what.dry_run or (locked is not None and locked.issuperset(found.contents)):
            return found
        connection.rollback()
        locked = set(found.contents)
        inbox.hold(connection, *found.contents)
        images.lock_ingestion(connection)


def _reason(what: Forget) -> dict[str, str]:
    return {"reason": what.reason} if what.reason else {}


def _nothing(what: Forget) -> str:
    hint = "; where an issuer gave the identifier, name it with --issuer" if what.patient and not what.issuer else ""
    return f"the archive has nothing of this {what.kind}, and nothing was forgotten; check what you named{hint}"


def _allow(connection: Connection, key: ArchiveKey, what: Forget, named: list[Digest], who: str) -> int:
    """Take back tombstones of a patient or study, and of what was forgotten with it."""
    if what.kind not in ("patient", "study"):
        raise UsageError("--allow takes back what was forgotten: name a patient or a study")
    there = tombstones.find(connection, named)
    if not there:
        raise NotInArchive(f"no such {what.kind} was forgotten; check what you named")
    if what.dry_run:
        return len(there)
    images.lock_ingestion(connection)
    removed = tombstones.remove(connection, named)
    key.confirm(connection)
    audit.record(connection, who, "forget", {"kind": what.kind, "allowed": removed, **_reason(what)})
    connection.commit()
    return removed


@dataclass(frozen=True)
class _Header:
    """Whose a failed file is, as its header says."""

    patient: str | None
    issuer: str | None
    study: str | None
    sha256: bytes


def _header(path: str, max_pixels: int) -> _Header:
    """Read the header of a file, in a decoding process."""
    from radretrieval.imaging.dicom import read_data_set
    from radretrieval.imaging.header import described
    from radretrieval.imaging.reader import read_bytes

    data = read_bytes(path, max_pixels=max_pixels)
    told = described(read_data_set(data, max_pixels)[0])
    sha256 = hashlib.sha256(data).digest()
    return _Header(told["patient_id"], told["issuer"], told["study_instance_uid"], sha256)


def _failed_of(connection: Connection, settings: Settings, key: ArchiveKey, choice: Choice) -> dict[str, bytes]:
    """Failed files of a patient or study, as far as their headers can be read: URI → SHA-256."""
    store = ContentStore(settings.store_folder)
    paths: dict[str, list[str]] = {}
    for row in forgetting.failed_files(connection):
        place = _place(row, store, settings)
        if place is not None:
            paths.setdefault(place, []).append(row["uri"])
    connection.rollback()
    found: dict[str, bytes] = {}
    if paths:
        job = partial(_header, max_pixels=settings.max_pixels)
        with WorkerPool.of(settings, job) as pool:
            for path, header in pool.map(paths):
                if isinstance(header, _Header) and _is_of(header, key, choice):
                    found |= dict.fromkeys(paths[path], header.sha256)
    return found


def _place(row: dict[str, Any], store: ContentStore, settings: Settings) -> str | None:
    """The path of a failed file; None where it is not at hand."""
    try:
        kept = row["sha256"] is not None and store.path(bytes(row["sha256"])).exists()
        path = store.path(bytes(row["sha256"])) if kept else to_path(row["uri"], settings.path_key_file)
        return str(path) if path.is_file() else None
    except (ImageError, OSError, ValueError):
        return None


def _is_of(header: _Header, key: ArchiveKey, choice: Choice) -> bool:
    if choice.study is not None:
        return header.study == choice.study
    return header.patient is not None and key.pseudonym(header.patient, header.issuer) in choice.patients
