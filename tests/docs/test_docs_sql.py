"""Every SQL of docs/sql.md runs, as the role that it sets up, and answers something."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from filled import CLASSES, fill
from roled import service_roles
from tiny import add_encoder

from radretrieval.archive import codes, images
from radretrieval.archive.connections import Database
from radretrieval.archive.images import NewImage

PAGE = (Path(__file__).parents[2] / "docs" / "sql.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
# what the owner does; all the rest is for those who only read
OWNERS = ("GRANT", "CALL")


@pytest.fixture
def owner(database: Database) -> Iterator[Any]:
    """The owner of an archive where there is something to answer to each question, with the roles of the services."""
    with service_roles(database.url), database.connection() as made:
        made.commit()
        made.autocommit = True
        first = fill(made).encoders[0]
        with made.transaction():
            images.add(made, [NewImage(bytes([255 - i]) * 32, f"file:///w{i}", "png", 5, 4, 8, "M") for i in range(3)])
        codes.keep_failure(made, first, 402, "ImageError", "is gone")
        made.execute("INSERT INTO ingest_failure (uri, error, message) VALUES ('file:///x', 'ImageError', 'no image')")
        made.execute(
            "INSERT INTO feedback (who, query_image_id, hit_image_id, relevant, encoder_id) "
            "VALUES ('a', 1, 2, true, %s), ('b', 1, 2, false, %s)",
            (first, first),
        )
        # a wrong label: all images near to the first are of CLASSES[0]
        made.execute("UPDATE image SET irma_code = %s WHERE id = 1", (CLASSES[1],))
        yield made


@pytest.fixture
def analyst(owner: Any, archive_url: str) -> Iterator[Any]:
    """A role without any right but to connect, and its connection."""
    name = f"analyst_{secrets.token_hex(4)}"
    owner.execute(f"CREATE ROLE {name}")
    try:
        with psycopg.connect(archive_url, autocommit=True) as made:
            made.execute(f"SET ROLE {name}")
            yield name, made
    finally:
        owner.execute(f"DROP OWNED BY {name} CASCADE")
        owner.execute(f"DROP ROLE {name}")


def test_every_block_answers(owner: Any, analyst: tuple[str, Any]) -> None:
    name, reader = analyst
    assert len(BLOCKS) >= 20
    for block in BLOCKS:
        query = re.sub(r"\banalyst\b", name, block)
        if query.startswith(OWNERS):
            owner.execute(query)
        elif query.startswith("SET"):
            reader.execute(query)
        else:
            assert reader.execute(query).fetchall(), block
    # what comes later can be read too, and nothing be written
    with owner.transaction():
        number = add_encoder(owner)
    assert reader.execute(f"SELECT count(*) FROM cnnc_{number}").fetchone() == (0,)
    for query in ("DELETE FROM image", "CALL fill_neighbours()", "UPDATE neighbour SET rank = 1"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute(query)


def test_the_filters_are_those_that_there_are(owner: Any) -> None:
    table = PAGE[PAGE.index("| member |") : PAGE.index("The columns are")]
    members = re.findall(r"^\| `(\".*?)` \|", table, re.MULTILINE)
    assert len(members) == 10
    for member in members:
        owner.execute("SELECT * FROM similar(7, filter => %s::jsonb)", (f"{{{member}}}",))
    (named,) = re.findall(r"^The columns are (.*?)\.$", PAGE, re.MULTILINE | re.DOTALL)
    known = owner.execute("SELECT name FROM filter_columns()")
    assert sorted(re.findall(r"`(\w+)`", named)) == sorted(row["name"] for row in known)


def test_the_functions_are_those_that_there_are(owner: Any) -> None:
    table = PAGE[PAGE.index("| name |") : PAGE.index("Distances are Hamming")]
    named = set(re.findall(r"`(\w+)", "".join(line.split("|")[1] for line in table.splitlines()[2:] if line)))
    known = owner.execute(
        "SELECT proname AS name FROM pg_proc WHERE pronamespace = 'radretrieval'::regnamespace "
        "UNION SELECT relname FROM pg_class WHERE relnamespace = 'radretrieval'::regnamespace"
    )
    assert named - {row["name"] for row in known} == set()
