"""SQL for analysts: similar images, the two-stage query, near duplicates, neighbours, a comment on everything.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import re
from pathlib import Path

import sqlalchemy as sa

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

S = "radretrieval"
SQL = Path(__file__).parent / "sql"
SCRIPTS = ("0005_analysts", "0005_neighbours", "0005_comments")


def _to(column: str, table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{S}.{table}.id"], name=f"neighbour_{column}_fkey", ondelete="CASCADE")


def _neighbour() -> None:
    op.create_table(
        "neighbour",
        sa.Column("encoder_id", sa.Integer, nullable=False),
        sa.Column("image_id", sa.BigInteger, nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("neighbour_id", sa.BigInteger, nullable=False),
        sa.Column("distance", sa.Integer, nullable=False),
        sa.Column("filled_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
        # the image first: that is what is looked up when an image goes
        sa.PrimaryKeyConstraint("image_id", "encoder_id", "rank", name="neighbour_pkey"),
        _to("encoder_id", "encoder"),
        _to("image_id", "image"),
        _to("neighbour_id", "image"),
        schema=S,
    )
    op.create_index("neighbour_neighbour_id_idx", "neighbour", ["neighbour_id"], schema=S)


def upgrade() -> None:
    _neighbour()
    for name in SCRIPTS:
        op.execute((SQL / f"{name}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    comments = (SQL / "0005_comments.sql").read_text(encoding="utf-8")
    for what in re.findall(r"^COMMENT ON (.+?) IS\b", comments, re.MULTILINE):
        if not re.search(rf"{S}\.(neighbour|coverage|pending)\b", what):
            op.execute(f"COMMENT ON {what} IS NULL")
    for view in ("pending", "coverage"):
        op.execute(f"DROP VIEW {S}.{view}")
    op.execute(f"DROP PROCEDURE {S}.fill_neighbours(integer, integer, boolean)")
    for function in (
        "neighbours_by_class(integer, integer)",
        "fill_neighbours_batch(integer, integer, bigint, bigint, timestamptz, integer)",
        "near_duplicates(integer, integer)",
        "retrieve(bigint, integer, integer, integer, jsonb)",
        "retrieve_by(bit, bytea, integer, integer, integer, jsonb)",
        "image_distance(bigint, bigint, integer)",
        "rbc_distance(bytea, bytea)",
        "similar(bigint, integer, integer, jsonb)",
        "similar_to(bit, integer, integer, jsonb)",
        "filter_without(jsonb, bigint)",
        "barcode_of(bigint, integer)",
        "code_of(bigint, integer)",
        "why_no_code(bigint, integer)",
        "encoder_geometry(integer)",
        "encoder_number(integer)",
    ):
        op.execute(f"DROP FUNCTION IF EXISTS {S}.{function}")
    op.drop_table("neighbour", schema=S)
