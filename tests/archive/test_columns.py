"""One table of the columns of `image`: records, statements and the database's own tables agree with it."""

from __future__ import annotations

from dataclasses import fields

from radretrieval.archive.connections import Database
from radretrieval.archive.images import NewImage
from radretrieval.archive.schema import tables
from radretrieval.archive.schema.columns import FACETS, IMAGE
from radretrieval.ingest.labels_csv import COLUMNS

NAMES = {"int4": "integer", "int2": "smallint", "bool": "boolean", "float8": "double precision"}


def test_the_database_has_these_columns(database: Database) -> None:
    query = """SELECT attname, format_type(atttypid, atttypmod) AS type FROM pg_attribute
        WHERE attrelid = 'radretrieval.image'::regclass AND attnum > 0 AND NOT attisdropped"""
    with database.connection() as connection:
        found = {row["attname"]: row["type"] for row in connection.execute(query)}
    assert {column.name: NAMES.get(column.type, column.type) for column in IMAGE}.items() <= found.items()
    assert found.keys() - {column.name for column in IMAGE} == {"id", "ingested_at", "gone_at", "hidden_at"}


def test_a_new_image_has_a_field_for_each_column() -> None:
    assert {field.name for field in fields(NewImage)} == {column.name for column in IMAGE}


def test_the_facets_are_the_columns_of_the_table_facet() -> None:
    assert set(FACETS) == {column.name for column in tables.facet.columns} - {"id"}


def test_a_labels_csv_gives_the_columns_that_a_person_may_set() -> None:
    assert COLUMNS == ("irma_code", "split", "patient_id", "modality", "body_part", "view_position", "laterality")
