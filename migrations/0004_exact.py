"""Exact search at any size: an index by anchors on plain B-trees, filters with a guaranteed k, functions for analysts.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from pgvector.sqlalchemy import BIT

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

S = "radretrieval"
SQL = Path(__file__).parent / "sql"
SCRIPTS = ("0004_exact_keep", "0004_filter_parts", "0004_filter", "0004_nearest", "0004_triggers")


def _moment(name: str, comment: str, *, nullable: bool = False) -> sa.Column[object]:
    default = None if nullable else sa.func.now()
    return sa.Column(name, sa.TIMESTAMP(timezone=True), nullable=nullable, server_default=default, comment=comment)


def _facet() -> None:
    text = "modality", "body_part", "view_position", "laterality", "irma_code", "split"
    op.create_table(
        "facet",
        sa.Column("id", sa.Integer, sa.Identity(always=True), nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("photometric", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in text),
        sa.Column("withdrawn", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="facet_pkey"),
        sa.UniqueConstraint("format", "photometric", *text, "withdrawn", name="facet_format_key"),
        schema=S,
        comment="Each combination that images have of the columns with few values; what an image has not is ''.",
    )


def _index() -> None:
    op.create_table(
        "exact_index",
        sa.Column("id", sa.Integer, sa.Identity(always=True), nullable=False),
        sa.Column("encoder_id", sa.Integer, nullable=False, comment="Whose codes it finds."),
        sa.Column("live", sa.Boolean, nullable=False, comment="Searches use it; false while it is built."),
        _moment("begun_at", "When its building began."),
        _moment("live_at", "When searches began to use it.", nullable=True),
        sa.PrimaryKeyConstraint("id", name="exact_index_pkey"),
        sa.ForeignKeyConstraint(
            ["encoder_id"], [f"{S}.encoder.id"], name="exact_index_encoder_id_fkey", ondelete="CASCADE"
        ),
        schema=S,
        comment="Exact indexes: each has its rows, with a copy of the codes, in a table exact_<id>.",
    )
    op.create_index(
        "exact_index_one_live", "exact_index", ["encoder_id"], unique=True, postgresql_where=sa.text("live"), schema=S
    )


def _to_index(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["index_id"], [f"{S}.exact_index.id"], name=f"{table}_index_id_fkey", ondelete="CASCADE"
    )


def _parts() -> None:
    op.create_table(
        "exact_anchor",
        sa.Column("index_id", sa.Integer, nullable=False),
        sa.Column("anchor", sa.Integer, nullable=False, comment="Number of the anchor: key / 1024 of its codes."),
        sa.Column("nearest", sa.Integer, nullable=False, comment="No code of this anchor is nearer to it."),
        sa.Column("farthest", sa.Integer, nullable=False, comment="No code of this anchor is farther from it."),
        sa.Column("codes", sa.Integer, nullable=False, comment="How many codes it had when the index went live."),
        sa.Column("code", BIT(1000), nullable=False),
        sa.PrimaryKeyConstraint("index_id", "anchor", name="exact_anchor_pkey"),
        _to_index("exact_anchor"),
        schema=S,
        comment="The codes that stand for the others: a search looks at those near some of them.",
    )
    op.create_table(
        "exact_cell",
        sa.Column("index_id", sa.Integer, nullable=False),
        sa.Column("facet_id", sa.Integer, nullable=False),
        sa.Column("anchor", sa.Integer, nullable=False),
        sa.Column("codes", sa.Integer, nullable=False, comment="How many when it was noted; a statistic."),
        sa.PrimaryKeyConstraint("index_id", "facet_id", "anchor", name="exact_cell_pkey"),
        _to_index("exact_cell"),
        schema=S,
        comment="Which facets the codes of an anchor have: a filtered search leaves the other anchors out.",
    )
    op.create_table(
        "exact_touched",
        sa.Column("index_id", sa.Integer, nullable=False),
        sa.Column("image_id", sa.BigInteger, nullable=False),
        _to_index("exact_touched"),
        schema=S,
        comment="Images that changed while an index is built; its builder looks at them again.",
    )
    op.create_index("exact_touched_index_id_idx", "exact_touched", ["index_id"], schema=S)


def _audit() -> None:
    op.create_table(
        "hnsw_audit",
        sa.Column("encoder_id", sa.Integer, nullable=False),
        sa.Column("recall", sa.Double, nullable=False, comment="Mean share of the true nearest that were found."),
        sa.Column("recall_worst", sa.Double, nullable=False, comment="The same of the worst query."),
        sa.Column("sample", sa.Integer, nullable=False, comment="How many codes were asked for."),
        sa.Column("codes", sa.BigInteger, nullable=False, comment="How many codes there were."),
        _moment("measured_at", "When."),
        sa.PrimaryKeyConstraint("encoder_id", name="hnsw_audit_pkey"),
        sa.ForeignKeyConstraint(
            ["encoder_id"], [f"{S}.encoder.id"], name="hnsw_audit_encoder_id_fkey", ondelete="CASCADE"
        ),
        schema=S,
        comment="What index audit measured last of an encoder's HNSW index.",
    )


def upgrade() -> None:
    _facet()
    _index()
    _parts()
    _audit()
    for name in SCRIPTS:
        op.execute((SQL / f"{name}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute(
        "DO $$ DECLARE x text; BEGIN "
        f"FOR x IN SELECT 'exact_' || id FROM {S}.exact_index LOOP EXECUTE 'DROP TABLE {S}.' || x; END LOOP; "
        f"FOR x IN SELECT 'cnnc' UNION ALL SELECT 'cnnc_' || id FROM {S}.encoder LOOP "
        f"EXECUTE 'DROP TRIGGER exact_put ON {S}.' || x || '; DROP TRIGGER exact_change ON {S}.' || x "
        f"|| '; DROP TRIGGER exact_take ON {S}.' || x || '; DROP TRIGGER exact_empty ON {S}.' || x; END LOOP; END $$"
    )
    op.execute(f"DROP TRIGGER exact_facet ON {S}.image")
    for function in (
        "cnnc_within(bit, integer, integer, integer)",
        "cnnc_matched(integer, jsonb, integer)",
        "cnnc_nearest(bit, integer, integer, jsonb)",
        f"exact_nearest(integer, bit, integer, {S}.filter_parts)",
        "exact_scan(integer, bit, integer, text, bigint[], integer)",
        "exact_ball(integer, bit, integer, integer[], boolean, text, float8, bigint[], integer, float8)",
        "filter_rows(text)",
        "filter_read(jsonb)",
        "filter_sql(text)",
        "filter_columns()",
        "filter_literal(text, text, text)",
        "filter_condition(text, text, jsonb)",
        "irma_like(text)",
        "exact_image_changed()",
        "exact_attend(regclass)",
        "exact_cnnc_emptied()",
        "exact_cnnc_changed()",
        "exact_writer_sees()",
        "exact_put_one(integer, bigint, bit, integer)",
        "exact_put(integer, bigint[], integer[])",
        "exact_none_missing(integer, bigint)",
        "exact_not_put(integer, bigint[], bigint)",
        "exact_facets(bigint[])",
        "exact_widen(integer, jsonb)",
        "exact_put_statement(integer, text)",
    ):
        op.execute(f"DROP FUNCTION {S}.{function}")
    op.execute(f"DROP TYPE {S}.filter_parts")
    for table in ("hnsw_audit", "exact_touched", "exact_cell", "exact_anchor", "exact_index", "facet"):
        op.drop_table(table, schema=S)
