"""The SQL functions of IRMA codes say what the Python functions say."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from radretrieval.archive.connections import Database
from radretrieval.errors import UsageError
from radretrieval.irma import tree
from radretrieval.irma.code import normalise
from radretrieval.irma.error import irma_error
from radretrieval.irma.imageclef import classes

SHARED = Path(__file__).parents[3] / "shared" / "data" / "irma"
LENGTHS = {"T": 4, "D": 3, "A": 3, "B": 3}


@pytest.fixture
def connection(database: Database) -> Iterator[Any]:
    with database.connection() as made:
        yield made


def pairs(count: int) -> list[tuple[str, str]]:
    """True and predicted codes: real ones, neighbours that differ in a few characters, clutter, `*`, and any others."""
    rng = np.random.default_rng(7)
    real = [kind.irma_code.replace("-", "") for kind in classes()]
    characters = list("0123456789abcdefc")

    def mangled(code: str, letters: list[str]) -> str:
        changed = list(code)
        for place in rng.choice(13, int(rng.integers(0, 5)), replace=False):
            changed[place] = str(rng.choice(letters))
        return "".join(changed)

    found = []
    for _ in range(count):
        true = mangled(str(rng.choice(real)), characters)
        base = true if rng.random() < 0.7 else str(rng.choice(real))
        found.append((normalise(true), normalise(mangled(base, [*characters, "*", "*"]), wildcard=True)))
    return found


def in_sql(connection: Any, found: list[tuple[str, str]]) -> list[float]:
    rows = connection.execute(
        "SELECT irma_error(t, p) AS e FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS u (t, p, n) ORDER BY n",
        ([t for t, _ in found], [p for _, p in found]),
    )
    return [row["e"] for row in rows]


def test_the_error_equals_pythons_on_ten_thousand_pairs(connection: Any) -> None:
    found = pairs(10_000)
    wanted = np.array([irma_error(*pair) for pair in found], np.float32)
    np.testing.assert_array_equal(np.array(in_sql(connection, found), np.float32), wanted)
    assert 0.05 < (wanted == 0).mean() < 0.9, "the pairs are neither all right nor all wrong"


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the golden values are not at {SHARED}")
def test_the_error_equals_every_golden_pair(connection: Any) -> None:
    with (SHARED / "error_golden.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = [
        (row["true_code"].split()[0] + "000000000", row["predicted_code"] + "000000000")
        if "only" in row["true_code"]
        else (row["true_code"], row["predicted_code"])
        for row in rows
    ]
    assert in_sql(connection, found) == pytest.approx([float(row["error"]) for row in rows], abs=1e-6)


def test_the_error_is_immutable_and_a_real(connection: Any) -> None:
    row = connection.execute(
        "SELECT provolatile, prorettype::regtype::text AS kind, proisstrict FROM pg_proc "
        "WHERE oid = 'radretrieval.irma_error(text, text)'::regprocedure"
    ).fetchone()
    assert row == {"provolatile": "i", "kind": "real", "proisstrict": True}
    # an index may stand on it
    connection.execute("CREATE INDEX ON image (irma_error(irma_code, '1121-120-942-700'))")
    assert connection.execute("SELECT irma_error(NULL, '1121-120-942-700') AS e").fetchone()["e"] is None


TEXTS = [
    *("1121-120-942-700", " 11214A0914700 ", "1121120-942-700\n", "1121-120-942-70*", "****-***-***-***"),
    *("1121-127", "", "1121-120-942-7000", "é121-120-942-700", "1121_120_942_700", "İ121-120-942-700"),
    *("\x1c1121-120-942-700", "\xa01121-120-942-700"),
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("wildcard", [False, True])
def test_the_written_form_equals_pythons(connection: Any, text: str, wildcard: bool) -> None:
    question = ("SELECT irma_normalise(%s, %s) AS code", (text, wildcard))
    try:
        wanted, refusal = normalise(text, wildcard), ""
    except UsageError as error:
        wanted, refusal = "", str(error).partition(" is not ")[2]
    if refusal:
        with pytest.raises(psycopg.errors.CheckViolation) as caught:
            connection.execute(*question)
        assert str(caught.value).partition("\n")[0].partition(" is not ")[2] == refusal
    else:
        assert connection.execute(*question).fetchone()["code"] == wanted


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1121-127", "'1121-127' is not an IRMA code; the form is TTTT-DDD-AAA-BBB, 13 characters 0-9 or a-z"),
        ("1121-120-942-70*", "stands in predictions only"),
        ("1121120942700", "must be stored in its written form, 1121-120-942-700"),
        ("1121-4A0-914-700", "must be stored in its written form, 1121-4a0-914-700"),
    ],
)
def test_a_malformed_code_is_refused_on_entry(connection: Any, code: str, message: str) -> None:
    insert = (
        "INSERT INTO image (sha256, uri, format, rows, columns, bits_stored, photometric, irma_code) "
        "VALUES (sha256(%s::text::bytea), 'x', 'png', 1, 1, 8, 'MONOCHROME2', %s)"
    )
    with pytest.raises(psycopg.errors.CheckViolation, match=message):
        connection.execute(insert, (code, code))
    connection.rollback()
    connection.execute(insert, ("a", "9zzz-zzz-zzz-zzz"))
    connection.execute(insert, ("b", None))
    with pytest.raises(psycopg.errors.CheckViolation, match=message):
        connection.execute("UPDATE image SET irma_code = %s", (code,))


def test_known_codes_are_those_of_python(connection: Any) -> None:
    listed = [kind.irma_code for kind in classes()] + [true for true, _ in pairs(1000)]
    rows = connection.execute(
        "SELECT irma_known(c) AS known FROM unnest(%s::text[]) WITH ORDINALITY u (c, n) ORDER BY n", (listed,)
    )
    found = [row["known"] for row in rows]
    assert found == [tree.known(code) for code in listed]
    assert all(found[:193])
    assert not all(found)
    row = connection.execute("SELECT irma_known(' 1121120942700') AS known").fetchone()
    assert row["known"] is True


@pytest.mark.parametrize("text", ["", "1121", "1121-120-942", "1121-120-942-7000", "1121-120-942-70*"])
def test_what_is_no_code_is_not_asked_for_in_the_tree(connection: Any, text: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="is not an IRMA code"):
        connection.execute("SELECT irma_known(%s)", (text,))
    with pytest.raises(UsageError, match="is not an IRMA code"):
        tree.known(text)


def test_the_terms_are_the_tree_of_the_package(connection: Any) -> None:
    rows = connection.execute("SELECT axis, prefix, label, children FROM irma_term").fetchall()
    assert {tuple(row.values()) for row in rows} == set(tree.rows())


def test_an_archive_of_0001_gets_the_whole_tree(empty_database_url: str) -> None:
    from radretrieval.archive import migrations

    migrations.upgrade(empty_database_url, "0001")
    with Database(empty_database_url).connection() as connection:
        connection.execute("DELETE FROM irma_term WHERE label = ''")
        connection.execute("UPDATE irma_term SET label = 'old' WHERE prefix = '942'")
    migrations.upgrade(empty_database_url)
    with Database(empty_database_url).connection() as connection:
        test_the_terms_are_the_tree_of_the_package(connection)


def test_classes_in_words_with_their_counts(connection: Any) -> None:
    for number, (code, split, withdrawn) in enumerate(
        [
            ("1121-120-942-700", "train", False),
            ("1121-120-942-700", "train", True),
            ("1121-120-942-700", "test", False),
            ("1121-120-942-700", None, False),
            ("1121-120-942-700", "", False),
            ("9zzz-120-942-700", "validation", False),
            (None, "train", False),
        ]
    ):
        connection.execute(
            "INSERT INTO image (sha256, uri, format, rows, columns, bits_stored, photometric, irma_code, split, "
            "withdrawn) VALUES (sha256(%s::text::bytea), 'x', 'png', 1, 1, 8, 'MONOCHROME2', %s, %s, %s)",
            (number, code, split, withdrawn),
        )
    first, second = connection.execute("SELECT * FROM irma_class ORDER BY irma_code").fetchall()
    words = dict(
        zip(("technique", "direction", "anatomy", "biosystem"), tree.describe("1121-120-942-700"), strict=True)
    )
    assert first == words | {
        "irma_code": "1121-120-942-700", "known": True, "images": 5, "withdrawn": 1, "train": 2, "test": 1,
        "by_split": {"train": 2, "test": 1, "": 2},
    }  # fmt: skip
    assert (second["irma_code"], second["known"], second["images"], second["train"]) == (
        "9zzz-120-942-700",
        False,
        1,
        0,
    )
    decoded = connection.execute("SELECT withdrawn, anatomy FROM image_decoded WHERE withdrawn").fetchall()
    assert decoded == [{"withdrawn": True, "anatomy": words["anatomy"]}]
