"""The tables `image` and `ingest_failure`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from radretrieval.archive import locks
from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql
from radretrieval.archive.schema.columns import COMPLETED, HEADER, IMAGE, LABELLED, LABELS
from radretrieval.errors import UsageError


@dataclass(frozen=True)
class NewImage:
    """A row of `image` before it has an id; its fields are the columns of `schema.columns.IMAGE`."""

    sha256: bytes
    uri: str
    format: str
    rows: int
    columns: int
    bits_stored: int
    photometric: str
    modality: str | None = None
    body_part: str | None = None
    view_position: str | None = None
    laterality: str | None = None
    sop_instance_uid: str | None = None
    series_instance_uid: str | None = None
    study_instance_uid: str | None = None
    patient_key: str | None = None
    irma_code: str | None = None
    split: str | None = None
    withdrawn: bool = False  # its publisher withdrew the label: searchable, but neither trained on nor scored
    frame: int = 1
    sop_class_uid: str | None = None
    transfer_syntax_uid: str | None = None
    pixels_sha256: bytes | None = None
    shown_sha256: bytes | None = None
    same_uid: bool = False  # another image, whose pixels differ, has its SOP Instance UID
    study_date: date | None = None
    manufacturer: str | None = None
    row_spacing: float | None = None
    column_spacing: float | None = None
    kvp: float | None = None
    exposure: float | None = None
    flat: bool | None = None  # its pixels show nothing
    header: dict[str, str] | None = None
    origin: str | None = None
    kept: str | None = None
    labelled: tuple[str, ...] = ()  # columns that a header fills and that a person set: no header changes them


@dataclass(frozen=True)
class Identity:
    """DICOM identity of an image (PS3.3 C.12.1, C.7.3.1, C.7.2.1), and its patient.

    Attributes
    ----------
    frame : which frame of the object, from 1.
    same_uid : another image, whose pixels differ, has its SOP Instance UID.
    patient_key : the pseudonym, None where the patient is not known.
    uri, sha256 : its file, as the archive has it.
    """

    sop_class_uid: str | None
    sop_instance_uid: str | None
    series_instance_uid: str | None
    study_instance_uid: str | None
    frame: int = 1
    same_uid: bool = False
    modality: str | None = None
    patient_key: str | None = None
    uri: str = ""
    sha256: bytes = b""


@dataclass(frozen=True)
class Failure:
    """Why a file could not be ingested; `origin` and `sop_instance_uid`, as in `Arrival`, of what came from a peer."""

    uri: str
    sha256: bytes | None
    error: str
    message: str
    origin: str | None = None
    sop_instance_uid: str | None = None


def known(connection: Connection, hashes: Sequence[bytes]) -> dict[bytes, dict[str, Any]]:
    """Rows (id, uri, gone_at, hidden_at) of the images with these contents, by SHA-256; of several frames the first."""
    found = connection.execute(sql("images_known"), {"sha256": list(hashes)})
    return {row["sha256"]: row for row in found}


def lock_ingestion(connection: Connection) -> None:
    """Take the lock of ingestion until the transaction ends: two that write in different orders would deadlock."""
    locks.lock(connection, locks.INGESTION)


def add(connection: Connection, images: Sequence[NewImage]) -> set[bytes]:
    """Add images in order, by binary COPY; those whose content or SOP Instance UID exists are left out.

    Returns the SHA-256 of the images that were added.
    """
    if not images:
        return set()
    lock_ingestion(connection)
    connection.execute(sql("images_staging"))
    names = ", ".join(column.name for column in IMAGE)
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY incoming (id, {names}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int8", *(column.type for column in IMAGE)])
            for place, image in enumerate(images):
                copy.write_row((place, *(_value(image, column.name) for column in IMAGE)))
        added = cursor.execute(sql("images_merge").replace("{columns}", names))
        return {row["sha256"] for row in added}


def _value(image: NewImage, name: str) -> Any:
    value = getattr(image, name)
    if name == "header" and value is not None:
        from psycopg.types.json import Jsonb

        return Jsonb(value)
    return list(value) if name == "labelled" else value


def by_sop_instance(connection: Connection, uids: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of the images that hold these SOP Instance UIDs, by id: identity, file and the columns of `HEADER`."""
    statement = sql("image_by_sop").replace("{header}", ", ".join(HEADER))
    return connection.execute(statement, {"uids": list(uids)}).fetchall()


def newest_kept(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """The newest images whose file, or its reduced pixels, the store has, of the newest thousand: sha256, frame, kept.

    Those that `verify` found gone are left out.
    """
    return connection.execute(sql("images_newest_kept"), {"limit": limit}).fetchall()


def first_of_study(connection: Connection, uid: str) -> int | None:
    """The first image with this Study Instance UID, if there is one that is not withdrawn; None where there is none."""
    row = connection.execute(sql("image_of_study"), {"uid": uid}).fetchone()
    return None if row is None else int(row["id"])


def relabel(connection: Connection, image_id: int, labels: dict[str, Any], no_code: bool = False) -> bool:
    """Set those of `LABELS` that are named and not None; returns whether anything changed.

    With `no_code` the IRMA code becomes NULL: the labels declare that the image has none. Those that a header fills too
    are noted in the column `labelled`.
    """
    noted = [name for name in LABELLED if labels.get(name) is not None]
    if noted:
        connection.execute(sql("image_labelled"), {"id": image_id, "labelled": noted})
    values = {**dict.fromkeys(LABELS), **labels, "id": image_id, "no_code": no_code}
    plain = [name for name in LABELS if name not in ("irma_code", "withdrawn")]
    parts = {
        "{labels}": ", ".join(LABELS),
        "{new}": ", ".join(f"n.{name}" for name in LABELS),
        "{old}": ", ".join(f"i.{name}" for name in LABELS),
        "{given}": ", ".join(f"coalesce(%({name})s, o.{name}) AS {name}" for name in plain),
    }
    statement = sql("image_relabel")
    for mark, part in parts.items():
        statement = statement.replace(mark, part)
    return connection.execute(statement, values).rowcount > 0


def moved(connection: Connection, image_id: int, uri: str, kept: str | None = None) -> None:
    """Set the URI of an image's file, and clear `gone_at`; `kept` None leaves that column as it is."""
    connection.execute(sql("image_moved"), {"id": image_id, "uri": uri, "kept": kept})


def lock(connection: Connection, ids: Sequence[int]) -> None:
    """Lock rows, before any is changed: a change locks rows of exact indexes, which encoding locks after its images."""
    if ids:
        connection.execute(sql("images_lock"), {"ids": list(ids)})


def follow(connection: Connection, image_id: int, image: NewImage, columns: Sequence[str]) -> None:
    """Set columns of an image to those of a newer file with the same pixels, and clear `gone_at`."""
    statement = sql("image_follow").replace("{columns}", ", ".join(f"{name} = %({name})s" for name in columns))
    connection.execute(statement, {"id": image_id, **{name: _value(image, name) for name in columns}})


def moved_from(connection: Connection, old: str, new: str) -> None:
    """Change the URI `old` of images and failures to `new`."""
    connection.execute(sql("image_moved_from"), {"old": old, "new": new})
    connection.execute(sql("failure_moved_from"), {"old": old, "new": new})
    forget_failures(connection, [old])


def hide_path(connection: Connection, old: str, new: str, path: str) -> None:
    """Change the URI `old` of images and failures to `new`, and take the path out of the messages of their failures."""
    moved_from(connection, old, new)
    connection.execute(sql("path_taken_out"), {"uri": new, "path": path})


def after(connection: Connection, image_id: int, limit: int) -> list[dict[str, Any]]:
    """The next images by id: id, uri, sha256, frame; `incomplete` if an older version ingested them."""
    return connection.execute(sql("images_after"), {"after": image_id, "limit": limit}).fetchall()


def named(connection: Connection, hashes: Sequence[bytes]) -> set[bytes]:
    """Those of these SHA-256 that an image, an arrival or a failure names."""
    return {row["sha256"] for row in connection.execute(sql("content_named"), {"sha256": list(hashes)})}


def complete(connection: Connection, image_id: int, image: NewImage) -> None:
    """Fill those columns of `COMPLETED` that are NULL."""
    values = {name: getattr(image, name) for name in COMPLETED}
    columns = ", ".join(f"{name} = coalesce({name}, %({name})s)" for name in COMPLETED)
    connection.execute(sql("image_complete").replace("{columns}", columns), {"id": image_id, **values})


def keep_failures(connection: Connection, failures: Iterable[Failure]) -> None:
    """Insert failures; a repeated one increments `attempts`."""
    for failure in failures:
        connection.execute(sql("failure_keep"), vars(failure))


def forget_failures(connection: Connection, uris: Sequence[str]) -> None:
    """Delete the failures of these files."""
    if uris:
        connection.execute(sql("failure_forget"), {"uris": list(uris)})


def hidden_uri(connection: Connection) -> str | None:
    """The URI of the newest image whose path is hidden; None where none is."""
    row = connection.execute(sql("hidden_uri")).fetchone()
    return None if row is None else str(row["uri"])


def failed_uris(connection: Connection) -> list[str]:
    """URIs of the files with a failure."""
    return [row["uri"] for row in connection.execute(sql("failure_uris"))]


def identities(connection: Connection, ids: Sequence[int]) -> dict[int, Identity]:
    """DICOM identities of images by id; ids without an image are left out."""
    rows = connection.execute(sql("image_identities"), {"ids": list(ids)})
    return {row.pop("id"): Identity(**row) for row in rows}


def row(connection: Connection, image_id: int) -> dict[str, Any] | None:
    """What is shown of an image: columns by name, `uri` and `sha256` of its file among them; None for an unknown id."""
    return connection.execute(sql("image_row"), {"id": image_id}).fetchone()


def absent(connection: Connection, image_id: int) -> str:
    """Why an image cannot be asked for: the archive does not have it, or it is withdrawn from searches."""
    row = connection.execute(sql("images_hidden"), {"ids": [image_id]}).fetchone() if 0 <= image_id < 2**63 else None
    if row is not None and row["hidden"]:
        return f"image {image_id} is withdrawn from searches"
    return f"the archive has no image {image_id}"


def training(connection: Connection, split: str) -> list[dict[str, Any]]:
    """Images of a split with a class: uri, sha256, irma_code, patient_key, by id; a withdrawn class or image does not
    count.

    Raises UsageError when there is none.
    """
    rows = connection.execute(sql("training"), {"split": split}).fetchall()
    if not rows:
        raise UsageError(
            f"the split {split!r} has no image with an IRMA code; {splits_phrase(connection)}. "
            "Labels come with: radretrieval ingest FOLDER --labels labels.csv"
        )
    return rows


def splits_phrase(connection: Connection) -> str:
    """The splits of the archive, for messages."""
    rows = connection.execute(sql("splits")).fetchall()
    if not rows:
        return "the archive is empty"
    return "the archive has " + ", ".join(f"{row['split']} ({row['images']} images)" for row in rows)


def counts(connection: Connection) -> dict[str, Any]:
    """images, coded (by the active one), failed, encoders, arrived (not images yet), hidden (withdrawn from searches),
    gone, same_uid, flat, database_bytes."""
    row = connection.execute(sql("counts")).fetchone()
    assert row is not None
    return row


def left_out(connection: Connection, splits: Sequence[str] | None, withdrawn: bool) -> dict[str, int]:
    """How many images of these splits (None: of all) are `labelled` and scored, and how many are not, and why.

    The others are `unlabelled`, or `withdrawn` unless those are asked for.
    """
    values = {"splits": None if splits is None else list(splits), "withdrawn": withdrawn}
    row = connection.execute(sql("left_out"), values).fetchone()
    assert row is not None
    return row
