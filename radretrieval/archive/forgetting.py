"""What is forgotten: finding and deleting the rows of a patient, a study or an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from radretrieval.archive import images
from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql

# Keys of queries that name somebody, by what the archive does not have and cannot compare: a name, 47*, an order.
_OF_PERSONS = ("Patient", "OtherPatient", "Accession")


@dataclass(frozen=True)
class Choice:
    """Which images are forgotten.

    Attributes
    ----------
    kind : `patient`, `study`, `image` or `age`.
    patients : pseudonyms. study : UID. image : id.
    age, origin, limit : those older than an interval of PostgreSQL, of one origin (None: of all), so many at a time.
    names : other names that a pull may have asked by: the patient's identifier.
    failed : URIs of failed files whose headers say that they belong to these. failed_contents : their SHA-256.
    """

    kind: str
    patients: tuple[str, ...] = ()
    study: str | None = None
    image: int | None = None
    age: str | None = None
    origin: str | None = None
    limit: int = 0
    names: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    failed_contents: tuple[bytes, ...] = ()


@dataclass
class Found:
    """What there is of a choice.

    Attributes
    ----------
    ids : images. uids : their SOP Instance UIDs. own_uids : those of them that no other image has.
    studies : Study Instance UIDs. contents : SHA-256 of their files, of files before corrections, of arrivals and
        failures. stored : whether the store has to have one of them.
    arrivals : ids. failures : URIs. feedback : opinions on them.
    by_study : `own_uids` and `contents` of each study; what belongs to none that is known comes last.
    """

    ids: list[int] = field(default_factory=list)
    uids: list[str] = field(default_factory=list)
    own_uids: list[str] = field(default_factory=list)
    studies: list[str] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    stored: bool = False
    arrivals: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    feedback: int = 0
    by_study: list[tuple[list[str], list[bytes]]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.ids or self.arrivals or self.failures)

    def counts(self) -> dict[str, int]:
        """How many of each there are."""
        lists: dict[str, Sequence[object]] = {"images": self.ids, "studies": self.studies, "failures": self.failures}
        lists["arrivals"] = self.arrivals
        return {name: len(values) for name, values in lists.items()} | {"feedback": self.feedback}


def condition(kind: str) -> str:
    """The SQL condition on image i of a choice of this kind."""
    return {
        "patient": sql("forget_of_patient"),
        "study": sql("forget_of_study"),
        "image": sql("forget_of_image"),
        "age": sql("forget_of_age"),
    }[kind]


def find(connection: Connection, choice: Choice) -> Found:
    """The rows of a choice, as they are now."""
    statement = sql("forget_images").replace("{condition}", condition(choice.kind))
    rows = connection.execute(statement, vars(choice) | {"patients": list(choice.patients)}).fetchall()
    ids = [row["id"] for row in rows]
    uids = sorted({row["sop_instance_uid"] for row in rows if row["sop_instance_uid"]})
    shared = {row["uid"] for row in connection.execute(sql("forget_shared_uids"), {"uids": uids, "ids": ids})}
    own = [uid for uid in uids if uid not in shared]
    contents = {bytes(row["sha256"]) for row in rows} | {bytes(one) for row in rows for one in row["replaced"]}
    contents |= set(choice.failed_contents)
    asked = {"contents": sorted(contents), "uids": own, "uris": list(choice.failed)}
    arrivals = connection.execute(sql("forget_arrivals"), asked).fetchall()
    studies = sorted({row["study_instance_uid"] for row in rows if row["study_instance_uid"]})
    if choice.kind in ("patient", "study"):  # also of what could not be fetched: its address has the study
        asked["uids"] = [*own, *studies, *([choice.study] if choice.study is not None else [])]
    failures = connection.execute(sql("forget_failures"), asked).fetchall()
    contents |= {bytes(row["sha256"]) for row in (*arrivals, *failures) if row["sha256"] is not None}
    opinions = connection.execute(sql("forget_feedback"), {"ids": ids, "contents": sorted(contents)}).fetchone()
    return Found(
        ids,
        uids,
        own,
        studies,
        sorted(contents),
        any(row["stored"] for row in rows) or bool(arrivals) or any(row["sha256"] for row in failures),
        [row["id"] for row in arrivals],
        [row["uri"] for row in failures],
        0 if opinions is None else int(opinions["rows"]),
        _by_study([*rows, *arrivals], own, sorted(contents)),
    )


def _by_study(
    rows: Sequence[dict[str, Any]], uids: Sequence[str], contents: Sequence[bytes]
) -> list[tuple[list[str], list[bytes]]]:
    """SOP Instance UIDs and contents of each study of images, and of arrivals, which come after them."""
    numbers: dict[str | bytes, int] = {}
    study_of: dict[str | bytes | None, int] = {}
    for row in rows:
        if (number := study_of.get(row["sop_instance_uid"])) is None:
            study = row.get("study_instance_uid") or row["sop_instance_uid"] or bytes(row["sha256"])
            number = numbers.setdefault(study, len(numbers))
        for name in (row["sop_instance_uid"], *map(bytes, (row["sha256"], *row.get("replaced", ())))):
            if name is not None:
                study_of.setdefault(name, number)
    parts: list[tuple[list[str], list[bytes]]] = [([], []) for _ in range(len(numbers) + 1)]
    for uid in uids:
        parts[study_of.get(uid, -1)][0].append(uid)
    for content in contents:
        parts[study_of.get(content, -1)][1].append(content)
    return parts


def delete(connection: Connection, choice: Choice, found: Found) -> datetime:
    """Delete what was found, in the caller's transaction, which holds the locks; returns the time of the database."""
    given: dict[str, Any] = {"ids": found.ids, "contents": found.contents}
    connection.execute(sql("forget_lock"), given)
    for statement in (sql("forget_codes_off"), sql("forget_images_off"), sql("forget_feedback_off")):
        connection.execute(statement, given)
    connection.execute(sql("forget_arrivals_off"), {"ids": found.arrivals})
    images.forget_failures(connection, found.failures)
    if choice.patients:
        _unsay(connection, "patient_key", choice.patients)
    if choice.study is not None:
        _unsay(connection, "study_instance_uid", [choice.study])
    named = {*choice.names, *found.uids, *found.studies, *([choice.study] if choice.study else [])}
    for row in connection.execute(sql("forget_pulls")).fetchall():
        if any(value in named or name.startswith(_OF_PERSONS) for name, value in parse_qsl(row["query"])):
            connection.execute(sql("forget_pull_off"), row)
    now = connection.execute(sql("now")).fetchone()
    assert now is not None
    at: datetime = now["now"]
    return at


def failed_files(connection: Connection) -> list[dict[str, Any]]:
    """Files that were not taken: uri, sha256."""
    return connection.execute(sql("failed_files")).fetchall()


def _unsay(connection: Connection, column: str, values: Sequence[str]) -> None:
    connection.execute(sql("forget_history_off"), {"column": column, "values": list(values)})
