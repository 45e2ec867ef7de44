"""The check of an exact index: its invariants over the whole table, and its answers against a full scan."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from radretrieval.archive import connections
from radretrieval.archive.connections import Connection, Database
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.queries import sql
from radretrieval.archive.schema.names import exact_table, partition
from radretrieval.archive.search.nearest import bit_text
from radretrieval.errors import EnvironmentUnusable, UsageError

KINDS = ("a stored code", "a stored code with some bits changed", "random bits")


@dataclass(frozen=True)
class ExactCheck:
    """Counts of a check; all but `codes`, `anchors` and `queries` are 0 in a sound index.

    Attributes
    ----------
    missing : codes without a row in the index. extra : rows without a code, or with another one.
    distances : rows with a wrong distance to their anchor, or with an anchor that does not exist.
    bounds : rows outside of their anchor's bounds, or farther than their group's reach.
    facets : rows whose facet is not their image's.
    cells : facets of an anchor without a cell. queries, wrong : answers that were compared, and that differed.
    bypassed : searches do not use it, for its triggers were off while rows were written, or its table was emptied.
    """

    codes: int
    anchors: int
    missing: int
    extra: int
    distances: int
    bounds: int
    facets: int
    cells: int
    queries: int
    wrong: int
    bypassed: bool

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        fine = {"codes", "anchors", "queries"}
        return not any(number for name, number in asdict(self).items() if name not in fine)


def check(database: Database, encoder: Encoder, queries: int, k: int, seed: int = 0) -> ExactCheck:
    """Check an encoder's exact index in one snapshot, while workers write.

    Parameters
    ----------
    queries : how many answers of the k nearest are compared with a full scan's: of stored codes, of stored codes with
        some bits changed, and of random bits, in turn.

    Raises UsageError when there is no exact index, EnvironmentUnusable for a damaged page of a B-tree.
    """
    with database.connection() as connection:
        connections.snapshot(connection)
        row = connection.execute(sql("exact_of"), {"encoder": encoder.id}).fetchone()
        if row is None:
            raise UsageError(f"encoder {encoder.id} has no exact index; build one with: radretrieval index build")

        def named(statement: str) -> str:
            filled = statement.replace("{partition}", partition(encoder.id)).replace("{exact}", exact_table(row["id"]))
            return filled.replace("{index}", str(row["id"]))

        def one(statement: str) -> dict[str, Any]:
            found = connection.execute(named(statement)).fetchone()
            assert found is not None
            return found

        kept = one(sql("exact_kept"))["kept"]
        facts = one(sql("exact_check_codes")) | one(sql("exact_check_rows")) | one(sql("exact_check_facets"))
        wrong = sum(
            not _equal(connection, encoder, code, k) for code in _queries(connection, encoder, queries, facts, seed)
        )
        _read_trees(connection, named(sql("exact_check_trees")))
        return ExactCheck(**facts, queries=queries, wrong=wrong, bypassed=not kept)


def _read_trees(connection: Connection, listing: str) -> None:
    """Read every page of the B-trees that searches use; last in a transaction, whose plans it changes."""
    from psycopg import errors

    trees = connection.execute(listing).fetchall()
    connection.execute(sql("exact_check_settings"))
    for tree in trees:
        if tree["amcheck"] is not None:
            statement = sql("exact_check_amcheck").replace("{amcheck}", tree["amcheck"])
        else:
            statement = sql("exact_check_by_tree").replace("{table}", tree["table"])
            statement = statement.replace("{columns}", tree["columns"])
        try:
            connection.execute(statement, {"name": tree["name"]})
        except (errors.DataCorrupted, errors.IndexCorrupted) as error:
            raise EnvironmentUnusable(
                f"the database's files are damaged where {tree['name']} is ({str(error).splitlines()[0]}): make it "
                f"anew, and check the disk: REINDEX INDEX {tree['name']}; what REINDEX cannot read is in the backup"
            ) from error


def _queries(connection: Connection, encoder: Encoder, count: int, facts: dict[str, Any], seed: int) -> list[str]:
    """Bit strings of each of `KINDS` in turn."""
    random = np.random.default_rng(seed)
    statement = sql("index_sample").replace("{partition}", partition(encoder.id))
    stored = [row["code"] for row in connection.execute(statement, {"sample": count})] if facts["codes"] else []
    asked = []
    for number in range(count):
        kind = KINDS[number % len(KINDS)] if stored else KINDS[-1]
        if kind == KINDS[-1]:
            asked.append(bit_text(random.integers(0, 256, encoder.profile.network.code_bits // 8, np.uint8)))
            continue
        bits = np.frombuffer(stored[number % len(stored)].encode("ascii"), np.uint8).copy()
        if kind == KINDS[1]:
            bits ^= (random.random(len(bits)) < random.uniform(0.01, 0.3)).astype(np.uint8)  # '0' and '1' differ in it
        asked.append(bits.tobytes().decode("ascii"))
    return asked


def _equal(connection: Connection, encoder: Encoder, code: str, k: int) -> bool:
    values = {"code": code, "encoder": encoder.id, "k": k}
    answers = [
        [(row["image_id"], row["distance"]) for row in connection.execute(statement, values)]
        for statement in (sql("exact_check_nearest"), sql("exact_check_scan"))
    ]
    return answers[0] == answers[1]
