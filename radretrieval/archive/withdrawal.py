"""Images that are withdrawn from searches: `image.hidden_at`, and their codes in `cnnc_hidden`.

Searches read `cnnc` and its indexes, where codes of these images are not: no statement of theirs has to leave them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from radretrieval.archive.connections import Connection
from radretrieval.archive.forgetting import Choice, condition
from radretrieval.archive.queries import sql


@dataclass(frozen=True)
class Chosen:
    """An image of a choice: its study, and whether it is withdrawn."""

    id: int
    study: str | None
    hidden: bool


def find(connection: Connection, choice: Choice, *, lock: bool) -> list[Chosen]:
    """The images of a choice by id, with all others of their files; `lock` their rows until the transaction ends."""
    if lock:
        connection.execute(sql("withdraw_neighbours_lock"))
    statement = sql("withdraw_images").replace("{condition}", condition(choice.kind))
    statement = statement.replace("{lock}", "FOR UPDATE" if lock else "")
    rows = connection.execute(statement, vars(choice) | {"patients": list(choice.patients)})
    return [Chosen(**row) for row in rows]


def codes(connection: Connection, ids: Sequence[int], *, hidden: bool) -> int:
    """How many codes these images have, of those that searches read or of those that are kept apart."""
    row = connection.execute(sql("withdraw_codes"), {"ids": list(ids)}).fetchone()
    assert row is not None
    return int(row["hidden" if hidden else "shown"])


def same_pixels(connection: Connection, ids: Sequence[int]) -> list[int]:
    """Other images that are found, by id, and have the pixels of one of these; the first hundred."""
    return [row["id"] for row in connection.execute(sql("withdraw_same_pixels"), {"ids": list(ids)})]


def hide(connection: Connection, ids: Sequence[int]) -> int:
    """Withdraw images, whose rows the caller has locked; returns how many codes went."""
    given = {"ids": list(ids), "hide": True}
    connection.execute(sql("withdraw_mark"), given)
    moved = connection.execute(sql("withdraw_hide"), given).rowcount
    connection.execute(sql("withdraw_neighbours_off"), given)
    return moved


def show(connection: Connection, ids: Sequence[int]) -> int:
    """Have images found again, whose rows the caller has locked; returns how many codes came back."""
    given = {"ids": list(ids), "hide": False}
    connection.execute(sql("withdraw_mark"), given)
    return connection.execute(sql("withdraw_show"), given).rowcount
