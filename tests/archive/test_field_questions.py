"""Questions of analysts that went wrong in trials: wrong arguments, unknown numbers, row-level security, ties."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from answering import Made
from databases import as_role, database_of
from filled import fill
from psycopg import sql
from psycopg.rows import tuple_row

from radretrieval.archive import encoders
from radretrieval.archive.connections import Database
from radretrieval.archive.search import hnsw, nearest

SQL_PAGE = Path(__file__).parents[2] / "docs" / "sql.md"


@pytest.fixture
def connection(database: Database) -> Iterator[Any]:
    with database.connection() as made:
        yield made


def refused(connection: Any, query: str) -> psycopg.Error:
    """The error that a query ends with; the transaction goes on."""
    with pytest.raises(psycopg.Error) as caught, connection.transaction():
        connection.execute(query)
    return caught.value


NO_OBJECT = """a filter is a JSON object, as {"modality": "CR"}, and not """
NO_IDS = "; it is the id of an image, or a list of ids"
WRONG = [
    *(
        (query.format(json), NO_OBJECT + json)
        for query in (
            "similar(7, filter => '{}')",
            "similar_to(code_of(7), filter => '{}')",
            "retrieve(7, filter => '{}')",
            "retrieve_by(code_of(7), barcode_of(7), filter => '{}')",
            "cnnc_nearest(code_of(7), 5, filter => '{}')",
            "cnnc_matched(1, '{}')",
        )
        for json in ("[]", "null", "7", '"CR"', "true")
    ),
    ("""similar(7, filter => '{"not_image": "seven"}')""", 'the filter not_image cannot be "seven"' + NO_IDS),
    ("""similar(7, filter => '{"not_image": [12, 7.5]}')""", "the filter not_image cannot be 7.5" + NO_IDS),
    ("""cnnc_nearest(code_of(7), 5, filter => '{"not_image": {"a": 1}}')""", 'not_image cannot be {"a": 1}' + NO_IDS),
    ("""cnnc_matched(1, '{"not_image": 99999999999999999999}')""", "cannot be 99999999999999999999" + NO_IDS),
    ("""similar(7, filter => '{"not_patient": ["a"]}')""", """not_patient cannot be ["a"]; it is one patient_key"""),
    ("""similar(7, filter => '{"sql": ["true"]}')""", """sql cannot be ["true"]; it is a condition on image i"""),
    ("cnnc_within(code_of(7), 30, 99)", "the archive has no encoder 99; it has: 1, 2"),
    ("cnnc_within(B'101', 30)", "a CNN code has 1000 bits, the query has 3"),
    ("cnnc_within(code_of(7), 30, most => -1)", "most is -1; it takes a number from 0 on"),
    ("cnnc_matched(99, '{}')", "the archive has no encoder 99; it has: 1, 2"),
    ("cnnc_matched(1, '{}', -1)", "most is -1; it takes a number from 0 on"),
    ("image_distance(7, 999999)", "the archive has no image 999999; radretrieval.image lists those there are"),
    ("image_distance(999999, 7)", "the archive has no image 999999; radretrieval.image lists those there are"),
    ("image_distance(7, NULL)", "the archive has no image NULL; radretrieval.image lists those there are"),
    ("similar(999999)", "the archive has no image 999999; radretrieval.image lists those there are"),
]


def test_field_22_what_cannot_be_asked_for_is_named_with_a_hint(connection: Any) -> None:
    fill(connection, 20)
    for query, message in WRONG:
        error = refused(connection, f"SELECT * FROM {query}")
        assert message in str(error.diag.message_primary), (query, error)
        assert (error.sqlstate, bool(error.diag.message_hint)) == ("22023", True), query
    found = connection.execute("SELECT cnnc_within(NULL, 30) IS NULL AND cnnc_within(code_of(7), NULL) IS NULL AS yes")
    assert found.fetchone()["yes"]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("not_image=seven", 'the filter not_image cannot be "seven"'),
        ("not_image!=7", 'the filter not_image cannot be {"not": ["7"]}'),
        ("not_patient=x", "--where not_patient: this is no column of image; use patient_key!=KEY"),
        ("sql=true", "--where sql: this is no column of image; use --where-sql"),
        ("one_per=patient", "--where one_per: this is no column of image; use --one-per"),
    ],
)
def test_field_22_a_filter_of_the_command_line_is_refused_with_the_message_that_was_meant(
    answers: Made, condition: str, message: str, tmp_path: Path
) -> None:
    for command in (("search", "id:1"), ("search", "--all", "--out", tmp_path / "o.csv"), ("export", tmp_path / "x")):
        done = answers.run(*command, "--where", condition, check=False)
        assert (done.returncode, message in done.stderr) == (2, True), done.stderr


def test_field_22_an_image_that_a_condition_leaves_out_is_no_hit(answers: Made) -> None:
    hits = answers.search("id:1", "--where", "not_image=2", "--where", "not_image=3", "--json").json["hits"]
    assert sorted(hit["image_id"] for hit in hits) == [4, 5, 6, 7, 8, 9, 10]


def test_field_22_no_immutable_function_calls_one_that_is_not(connection: Any) -> None:
    functions = connection.execute(
        "SELECT proname, provolatile, prosrc FROM pg_proc WHERE pronamespace = 'radretrieval'::regnamespace"
    ).fetchall()
    changing = {row["proname"] for row in functions if row["provolatile"] != "i"}
    assert "filter_condition" in changing
    for row in functions:
        if row["provolatile"] == "i":
            assert not changing & set(re.findall(r"\b(\w+)\(", row["prosrc"])), row["proname"]


def test_field_22_which_places_changed_keeps_ties(connection: Any) -> None:
    """All candidates tie with the fiftieth by code: the barcodes decide which of them are hits."""
    filled = fill(connection, 120)
    connection.execute("UPDATE cnnc SET code = code_of(7)")
    (query,) = re.findall(r"Which places the second stage changed.*?```sql\n(.*?);\n```", SQL_PAGE.read_text(), re.S)
    with connection.cursor(row_factory=tuple_row) as cursor:
        found = {row[0]: row[2] for row in cursor.execute(query)}
        hits = dict(cursor.execute("SELECT image_id, rank FROM retrieve(7, 50)").fetchall())
    assert len(filled.rbc) == 120
    assert found == hits
    assert len(hits) == 50


@contextmanager
def restricted(database: Database) -> Iterator[Database]:
    """The archive for a role to whom a policy shows only the images of modality CR."""
    role = f"rr_reader_{database_of(database.url)}"
    with psycopg.connect(database.url, autocommit=True) as owner:
        named = sql.Identifier(role)
        for statement in (
            "CREATE ROLE {}",
            "GRANT USAGE ON SCHEMA radretrieval TO {}",
            "GRANT SELECT ON ALL TABLES IN SCHEMA radretrieval TO {}",
            "ALTER TABLE radretrieval.image ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY plain_films ON radretrieval.image FOR SELECT TO {} USING (modality = 'CR')",
        ):
            owner.execute(sql.SQL(statement).format(named))
        try:
            yield Database(as_role(database.url, role))
        finally:
            owner.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(named))


def test_field_22_searches_by_the_index_show_what_row_level_security_shows(indexed: Database) -> None:
    with indexed.connection() as owner:
        seen = {row["id"] for row in owner.execute("SELECT id FROM image WHERE modality = 'CR'")}
        query = min(seen)
        unrestricted = owner.execute("SELECT image_id, path FROM cnnc_nearest(code_of(%s), 60)", (query,)).fetchall()
        filtered = owner.execute(
            """SELECT image_id FROM cnnc_nearest(code_of(%s), 60, filter => '{"modality": "CR"}')""", (query,)
        ).fetchall()
    assert {row["path"] for row in unrestricted} == {"exact-index"}
    assert not {row["image_id"] for row in unrestricted} <= seen, "the policy hides nothing of this search"
    with restricted(indexed) as its, its.connection() as reader:
        assert reader.execute("SELECT image_id FROM cnnc_nearest(code_of(%s), 60)", (query,)).fetchall() == filtered
        similar = reader.execute("SELECT image_id FROM similar(%s, 60)", (query,)).fetchall()
        assert (len(similar), {row["image_id"] for row in similar} <= seen) == (60, True)
        per_patient = reader.execute(
            """SELECT image_id FROM cnnc_nearest(code_of(%s), 9, filter => '{"one_per": "patient"}')""", (query,)
        ).fetchall()
        assert (len(per_patient) >= 9, {row["image_id"] for row in per_patient} <= seen) == (True, True)
        counted = reader.execute(
            "SELECT cnnc_within(code_of(%s), 1000, most => NULL) AS near, "
            """cnnc_matched(NULL, '{"split": "train"}', NULL) AS matched""",
            (query,),
        ).fetchone()
        visible = "SELECT count(*) AS near, count(*) FILTER (WHERE split = 'train') AS matched FROM image"
        assert counted == reader.execute(visible).fetchone()


def test_field_22_no_function_shows_an_image_that_row_level_security_hides(database: Database) -> None:
    with database.connection() as owner:
        fill(owner, 400)
    with database.connection() as owner:
        encoder = encoders.get(owner)
        hnsw.build(owner, encoder)
        assert encoders.get(owner).hnsw
        seen = {row["id"] for row in owner.execute("SELECT id FROM image WHERE modality = 'CR'")}
        pairs = owner.execute("SELECT * FROM near_duplicates(8)").fetchall()
        code = np.frombuffer(owner.execute("SELECT bit_send(code_of(2)) AS code").fetchone()["code"][4:], np.uint8)
    with restricted(database) as its, its.connection() as reader:
        found, path = nearest.candidates(reader, encoders.get(reader), 1, code, 50)
        assert (path, len(found) >= 50, {one.image_id for one in found} <= seen) == ("exact-filter", True, True)
        rows = reader.execute("SELECT image_id FROM retrieve(2, 50)").fetchall()
        assert (len(rows), {row["image_id"] for row in rows} <= seen) == (50, True)
        of_both = [pair for pair in pairs if pair["image_id"] in seen and pair["other_id"] in seen]
        shown = reader.execute("SELECT * FROM near_duplicates(8)").fetchall()
        assert sorted(map(str, shown)) == sorted(map(str, of_both))
        assert 0 < len(of_both) < len(pairs)
        for function in ("code_of(1)", "barcode_of(1)", "similar(1)", "image_distance(1, 2)", "why_no_code(1)"):
            if function.startswith("why"):
                assert "no image 1" in str(reader.execute(f"SELECT {function} AS why").fetchone()["why"])
            else:
                assert "no image 1" in str(refused(reader, f"SELECT {function}"))
