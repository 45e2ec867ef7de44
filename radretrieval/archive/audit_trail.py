"""Reading the table `audit`: its rows, whether their chain is whole, how far it was exported; and pruning it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from radretrieval.archive import audit, connections, locks
from radretrieval.archive.connections import Connection, Database
from radretrieval.archive.queries import sql

_BATCH = 1000


class AuditRow(NamedTuple):
    """A row of the audit; columns of the table."""

    id: int
    at: datetime
    who: str
    db_role: str | None
    action: str
    detail: dict[str, Any]
    hash: bytes


@dataclass(frozen=True)
class AuditFilter:
    """Which rows of the audit: of a time (`until` is not part of it), a user, an action, or with larger numbers."""

    since: datetime | None = None
    until: datetime | None = None
    who: str | None = None
    action: str | None = None
    after: int = 0


@dataclass(frozen=True)
class ChainVerdict:
    """Whether the audit is as it was written.

    Attributes
    ----------
    rows, first_id, last_id : what is there; None without rows.
    finding : None where all is well; else changed, missing, inserted, reordered or truncated.
    id : of the first row that differs, or, where rows are missing, of the first of them.
    message : the finding in words. last_hash : of the last row, to be noted elsewhere; hexadecimal digits.
    """

    rows: int
    first_id: int | None
    last_id: int | None
    finding: str | None
    id: int | None
    message: str
    last_hash: str | None


@dataclass(frozen=True)
class Pruned:
    """What `prune` dropped: months, as 2026-01, and how many rows; the number and hash of the last of these."""

    months: list[str]
    rows: int
    last_id: int | None
    last_hash: str | None


def rows(database: Database, chosen: AuditFilter) -> Iterator[list[AuditRow]]:
    """The rows by number, up to a thousand at a time; no transaction is open meanwhile."""
    values: dict[str, Any] = {**vars(chosen), "limit": _BATCH}
    while True:
        with database.connection() as connection:
            listed = connection.execute(sql("audit_rows"), values).fetchall()
        found = [AuditRow(**row | {"hash": bytes(row["hash"])}) for row in listed]
        if found:
            yield found
        if len(found) < _BATCH:
            return
        values["after"] = found[-1].id


def verify(connection: Connection) -> ChainVerdict:
    """Compute the hash of every row from the row before it, and compare the last one with `audit_head`."""
    connections.snapshot(connection)
    facts = connection.execute(sql("audit_chain")).fetchone()
    assert facts is not None
    head = connection.execute(sql("audit_head")).fetchone()
    values = {"id": facts["wrong_id"], "at": facts["wrong_at"]}
    near = connection.execute(sql("audit_until"), values).fetchall()
    last, before = near[0] if near else None, near[1] if len(near) > 1 else None
    if facts["wrong_id"] is None:
        finding, number, message = _end(last, head)
    else:
        after = connection.execute(sql("audit_next"), values).fetchone()
        finding, number, message = _broken(last, before, after, head)
    return ChainVerdict(
        rows=facts["rows"],
        first_id=facts["first_id"],
        last_id=facts["last_id"],
        finding=finding,
        id=number,
        message=message,
        last_hash=bytes(last["hash"]).hex() if last is not None and finding is None else None,
    )


def _broken(row: Any, before: Any, after: Any, head: Any) -> tuple[str | None, int | None, str]:
    """What is wrong with the first row that does not follow from the one before it."""
    number = row["id"]
    if before is None:
        if number > 1:
            return "missing", 1, f"rows before {number} are missing, and audit prune did not drop them"
        return "changed", number, f"row {number}, the first, is not as it was written"
    if head is not None and number > head["last_id"]:
        return "inserted", number, f"row {number} was inserted: the last row that was written is {head['last_id']}"
    if number == before["id"]:
        return "inserted", number, f"there are two rows {number}: one was inserted"
    if row["at"] < before["at"] or (after is not None and after["at"] < row["at"]):
        return "reordered", number, f"row {number} is not between the times of its neighbours: it was moved or changed"
    if number > before["id"] + 1:
        missing = before["id"] + 1
        named = f"row {missing} is" if number == missing + 1 else f"rows {missing} to {number - 1} are"
        return "missing", missing, f"{named} missing"
    return "changed", number, f"row {number} does not follow from row {before['id']}: one of them was changed"


def _end(last: Any, head: Any) -> tuple[str | None, int | None, str]:
    """Whether the chain ends where it was written to."""
    if head is None:
        return "changed", None, "audit_head, which has the end of the chain, has no row"
    number = 0 if last is None else last["id"]
    if number < head["last_id"]:
        return "truncated", number + 1, f"the end is missing: rows {number + 1} to {head['last_id']}"
    if number > head["last_id"]:
        return "inserted", number, f"row {number} was inserted: the last row that was written is {head['last_id']}"
    if last is not None and (bytes(last["hash"]), last["at"]) != (bytes(head["hash"]), head["at"]):
        return "changed", number, f"row {number}, the last, is not the one that audit_head names"
    return None, None, "the chain is whole"


def prune(connection: Connection, before: datetime, who: str) -> Pruned:
    """Drop the months that ended before a moment, and add a row that has the hash from which the chain goes on.

    The months are dropped only as far as their rows have smaller numbers than all others. Takes ACCESS EXCLUSIVE on
    `audit`, with a timeout, and again after a pause.

    Raises psycopg's InsufficientPrivilege for any role but the owner.
    """

    def drop() -> Pruned:
        connection.execute(sql("audit_head_lock"))  # before the tables: who adds a row takes the locks in this order
        months = connection.execute(sql("audit_months")).fetchall()
        count = sum(month["ended"] <= before for month in months)
        while count and any(left["first_id"] < old["last_id"] for left in months[count:] for old in months[:count]):
            count -= 1
        if not count:
            return Pruned([], 0, None, None)
        old = months[:count]
        number = max(month["last_id"] for month in old)
        row = connection.execute(sql("audit_hash_of"), {"id": number}).fetchone()
        assert row is not None
        done = Pruned(
            months=[month["name"].rpartition("audit_")[2].replace("_", "-") for month in old],
            rows=sum(month["rows"] for month in old),
            last_id=number,
            last_hash=bytes(row["hash"]).hex(),
        )
        for month in old:
            connection.execute(sql("table_off").replace("{table}", month["name"]))
        audit.record(connection, who, "audit prune", vars(done))
        return done

    return locks.while_locked(connection, ["audit"], drop, readers=True)


def exported(connection: Connection, target: str) -> int | None:
    """Number of the last row that a target of exports has; None where it has none."""
    row = connection.execute(sql("audit_exported"), {"target": target}).fetchone()
    return None if row is None else int(row["last_id"])


def remember(connection: Connection, target: str, number: int) -> None:
    """Note that a target of exports has the rows up to this one."""
    connection.execute(sql("audit_exported_to"), {"target": target, "id": number})
