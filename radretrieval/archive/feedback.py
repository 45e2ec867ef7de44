"""The table `feedback`: which hits users call relevant to which query."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from radretrieval.archive import audit
from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql
from radretrieval.errors import NotInArchive

_BATCH = 5_000


@dataclass(frozen=True)
class Judged:
    """A hit of a query, as an answer showed it.

    Attributes
    ----------
    query_image_id : the query, an image of the archive; or else query_sha256, the SHA-256 of its file.
    hit_image_id : the hit. encoder_id, rank, cnnc_distance, rbc_distance : of the answer; None where not known.
    """

    query_image_id: int | None
    query_sha256: bytes | None
    hit_image_id: int
    encoder_id: int | None = None
    rank: int | None = None
    cnnc_distance: int | None = None
    rbc_distance: int | None = None


@dataclass(frozen=True)
class Opinion:
    """A row of feedback, with the classes of the query (None also where it is no image of the archive) and the hit."""

    id: int
    at: datetime
    who: str
    query_image_id: int | None
    query_sha256: str | None
    query_irma_code: str | None
    hit_image_id: int
    hit_irma_code: str | None
    relevant: bool
    encoder_id: int | None
    rank: int | None
    cnnc_distance: int | None
    rbc_distance: int | None


def give(connection: Connection, who: str, judged: Judged, relevant: bool | None) -> None:
    """Store a user's opinion in place of an earlier one on the same hit of the same query, and note it in the audit.

    Parameters
    ----------
    relevant : None takes an earlier opinion back.

    Raises NotInArchive where the query, the hit or the encoder is not there.
    """
    values = asdict(judged) | {"who": who, "relevant": relevant}
    digest = None if judged.query_sha256 is None else judged.query_sha256.hex()
    with connection.transaction(), _known():
        done = connection.execute(sql("feedback_off") if relevant is None else sql("feedback_give"), values)
        if relevant is not None and not done.rowcount:
            raise NotInArchive("the query or the hit is withdrawn from searches")
        detail = asdict(judged) | {"query_sha256": digest, "relevant": relevant}
        audit.record(connection, who, "feedback", {name: value for name, value in detail.items() if value is not None})


def given(
    connection: Connection,
    *,
    who: str | None = None,
    query: int | bytes | None = None,
    after: int = 0,
    limit: int | None = None,
) -> Iterator[Opinion]:
    """The opinions, in the order that they were first given in.

    Parameters
    ----------
    who : of this user only. query : on the hits of this image, or of the file with this SHA-256, only.
    after : those whose id is larger. limit : so many at most.
    """
    values: dict[str, Any] = {
        "who": who,
        "image": query if isinstance(query, int) else None,
        "sha256": query if isinstance(query, bytes) else None,
        "after": after,
        "limit": limit,
    }
    with connection.transaction(), connection.cursor("feedback") as cursor:  # named: the rows stay with the server
        cursor.execute(sql("feedback_given"), values)
        while rows := cursor.fetchmany(_BATCH):
            yield from (Opinion(**row) for row in rows)


@contextmanager
def _known() -> Iterator[None]:
    """Say which of the things that an opinion names is not there."""
    from psycopg import errors

    try:
        yield
    except errors.ForeignKeyViolation as error:
        what = {
            "feedback_encoder_id_fkey": "no such encoder",
            "feedback_query_image_id_fkey": "no image that is the query",
        }.get(error.diag.constraint_name or "", "no image that is the hit")
        raise NotInArchive(f"the archive has {what}; it may have been deleted") from error
