"""Deletion of an encoder, with everything that was computed by it.

What is derived from codes goes first, then the exact index, last the codes with the encoder, in one transaction. An
interruption leaves an encoder without indexes, which can be deleted again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from radretrieval.archive import connections, encoders, locks
from radretrieval.archive.connections import Connection, Database
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.queries import sql
from radretrieval.archive.schema.names import partition
from radretrieval.archive.search import exact_index
from radretrieval.errors import EnvironmentUnusable, UsageError


@dataclass(frozen=True)
class DeletedEncoder:
    """What was deleted: an encoder with its weights, and how many rows, indexes and files of it.

    Attributes
    ----------
    neighbours : rows of the table neighbour. exact_indexes : those that were begun and not finished too.
    cached_weights : files in this host's cache; none where another encoder has the same weights.
    """

    encoder_id: int
    profile: str
    codes: int
    coding_failures: int
    neighbours: int
    exact_indexes: int
    hnsw_indexes: int
    audits: int
    cached_weights: int


def delete(database: Database, encoder_id: int, cache: Path) -> DeletedEncoder:
    """Delete an encoder that is not active: its codes, indexes, neighbours, failures, audit and weights.

    Barcodes stay: they are computed from pixels without an encoder. Searches and workers wait for a moment at the end.

    Parameters
    ----------
    cache : the folder of this host's cached weights.

    Raises
    ------
    UsageError : an unknown encoder, the active one, or one whose index another process builds.
    EnvironmentUnusable : this role does not own the codes, or a pooler gives no session; nothing is deleted then.
    """
    connections.require_session(database)
    with database.connection() as connection:
        encoder = _inactive(connection, encoder_id)
        facts = connection.execute(_named(sql("encoder_facts"), encoder), {"id": encoder_id}).fetchone()
        assert facts is not None
        if not facts["owned"]:
            raise EnvironmentUnusable(
                f"only the owner of the schema radretrieval can delete an encoder, this role is not a member; log "
                f"in as the owner of the table {partition(encoder_id)}: nothing was deleted"
            )
        derived = {
            "neighbours": _count(connection, sql("encoder_neighbours_off"), encoder),
            "failures": _count(connection, sql("encoder_failures_off"), encoder),
        }
    with exact_index.dropped(database, encoder) as connection:
        codes, shared = _drop_codes(connection, encoder)
    cached = encoders.cached_weights(cache, encoder)
    found = cached.exists() and not shared
    if found:
        cached.unlink(missing_ok=True)
    return DeletedEncoder(
        encoder_id=encoder_id,
        profile=encoder.profile.name,
        codes=codes,
        coding_failures=derived["failures"],
        neighbours=derived["neighbours"],
        exact_indexes=facts["exact_indexes"],
        hnsw_indexes=int(encoder.hnsw),
        audits=facts["audits"],
        cached_weights=int(found),
    )


def _inactive(connection: Connection, encoder_id: int) -> Encoder:
    encoder = encoders.get(connection, encoder_id)
    if encoder.active:
        raise UsageError(
            f"encoder {encoder_id} is active, and searches use its codes; activate another first (radretrieval encoder "
            "list names them, radretrieval train makes one): radretrieval encoder activate ID"
        )
    return encoder


def _named(statement: str, encoder: Encoder) -> str:
    return statement.replace("{partition}", partition(encoder.id))


def _count(connection: Connection, statement: str, encoder: Encoder) -> int:
    row = connection.execute(statement, {"id": encoder.id}).fetchone()
    assert row is not None
    return int(row["rows"])


def _drop_codes(connection: Connection, encoder: Encoder) -> tuple[int, bool]:
    """Drop the codes and the row of an encoder in one transaction; connection : autocommit.

    Returns the number of codes, and whether another encoder has the same weights.
    """

    def drop() -> tuple[int, bool]:
        connection.execute(sql("encoder_lock"))
        _inactive(connection, encoder.id)
        connection.execute(_named(sql("encoder_codes_lock"), encoder))
        codes = _count(connection, sql("encoder_codes"), encoder)
        connection.execute(_named(sql("encoder_codes_off"), encoder))
        row = connection.execute(sql("encoder_delete"), {"id": encoder.id}).fetchone()
        assert row is not None
        return codes, bool(row["shared"])

    return locks.while_locked(connection, ["cnnc", partition(encoder.id)], drop, readers=True)
