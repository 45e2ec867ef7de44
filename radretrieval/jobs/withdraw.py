"""Withdrawing: images of a patient, a study or a file are hidden from searches and kept, until that is taken back.

All of it is one transaction, with a row of the audit: a run that is killed has changed nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from radretrieval.archive import audit, images, withdrawal
from radretrieval.archive.connections import Connection, Database
from radretrieval.archive.forgetting import Choice
from radretrieval.config import Settings
from radretrieval.errors import NotInArchive, UsageError
from radretrieval.jobs.embedding_map import drop_maps
from radretrieval.privacy.archive_key import archive_key
from radretrieval.privacy.tombstones import pseudonyms_of


@dataclass(frozen=True)
class Withdraw:
    """What is to be withdrawn: one of `patient`, `study`, `image`.

    Attributes
    ----------
    patient : identifier, or pseudonym. issuer : who gave the identifier.
    study : UID. image : id.
    reason : for the audit. dry_run : only count. undo : have them found again.
    """

    patient: str | None = None
    issuer: str | None = None
    study: str | None = None
    image: int | None = None
    reason: str | None = None
    dry_run: bool = False
    undo: bool = False

    def __post_init__(self) -> None:
        if len(self._named()) != 1:
            raise UsageError("name one: a patient, a study, or an image")
        if self.issuer is not None and self.patient is None:
            raise UsageError("--issuer goes with --patient; say that too, or leave it out")

    def _named(self) -> list[str]:
        given = {"patient": self.patient, "study": self.study, "image": self.image}
        return [kind for kind, value in given.items() if value is not None]

    @property
    def kind(self) -> str:
        """Which one is given."""
        return self._named()[0]


@dataclass
class WithdrawReport:
    """What was withdrawn, or taken back, or would be.

    Attributes
    ----------
    images, studies : of them. codes : of the images, by all encoders.
    unchanged : images that were withdrawn already, or, with `undo`, were not.
    same_pixels : other images, the first hundred, that are found and have the pixels of a withdrawn one.
    """

    images: int = 0
    studies: int = 0
    codes: int = 0
    unchanged: int = 0
    same_pixels: list[int] = field(default_factory=list)
    undo: bool = False
    dry_run: bool = False


def withdraw(database: Database, settings: Settings, what: Withdraw, who: str) -> WithdrawReport:
    """Hide images from searches, or take that back: those that are there now, not what comes later.

    Raises
    ------
    NotInArchive : there are none. UsageError : they are not named as they must be.
    WrongPatientKey, EnvironmentUnusable : a patient is named, and the archive's key is not here.
    """
    report = WithdrawReport(undo=what.undo, dry_run=what.dry_run)
    with database.connection() as connection:
        choice = _choice(connection, settings, what)
        if not what.dry_run:  # as whoever ingests or forgets: two that lock rows in different orders would deadlock
            images.lock_ingestion(connection)
        chosen = withdrawal.find(connection, choice, lock=not what.dry_run)
        if not chosen:
            connection.rollback()
            raise NotInArchive(_nothing(what))
        changed = [one for one in chosen if one.hidden == what.undo]
        report.images, report.unchanged = len(changed), len(chosen) - len(changed)
        report.studies = len({one.study for one in changed if one.study is not None})
        ids = [one.id for one in chosen]  # codes of all: what somebody wrote by hand goes too
        if what.dry_run:
            report.codes = withdrawal.codes(connection, ids, hidden=what.undo)
        else:
            report.codes = (withdrawal.show if what.undo else withdrawal.hide)(connection, ids)
            audit.record(connection, who, "withdraw", _recorded(what, choice, report))
        connection.commit()
        if not what.undo:
            report.same_pixels = withdrawal.same_pixels(connection, ids)
    if not what.dry_run:
        drop_maps(settings)
    return report


def _choice(connection: Connection, settings: Settings, what: Withdraw) -> Choice:
    if what.kind == "patient":
        key = archive_key(connection, settings)
        return Choice("patient", patients=pseudonyms_of(key, str(what.patient), what.issuer))
    if what.kind == "study":
        return Choice("study", study=str(what.study).strip())
    return Choice("image", image=what.image)


def _recorded(what: Withdraw, choice: Choice, report: WithdrawReport) -> dict[str, object]:
    """The detail of the row in the audit: counts, and of an image its number; of a patient or study no identifier."""
    detail: dict[str, object] = {"kind": choice.kind, "undo": what.undo, "image_id": choice.image}
    detail |= {name: getattr(report, name) for name in ("images", "studies", "codes", "unchanged")}
    return {name: value for name, value in (detail | {"reason": what.reason or None}).items() if value is not None}


def _nothing(what: Withdraw) -> str:
    hint = "; where an issuer gave the identifier, name it with --issuer" if what.patient and not what.issuer else ""
    named = str(what.image) if what.kind == "image" else f"of this {what.kind}"
    return f"the archive has no image {named}; check what you named{hint}"
