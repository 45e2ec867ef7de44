"""Functions, views and triggers are applied from files (radretrieval/archive/sql), and what was applied is noted.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

S = "radretrieval"
SQL = Path(__file__).parent / "sql"
# The functions and views as they are at revision 0006; each may be run again
SCRIPTS = (
    *("0001_pending_notice", "0001_irma_words", "0003_image_decoded", "0003_irma", "0004_exact_keep", "0004_filter"),
    *("0004_nearest", "0005_analysts", "0005_neighbours", "0006_dicom"),
)


def upgrade() -> None:
    op.create_table(
        "schema_object",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("source", BYTEA, nullable=False),
        sa.Column("definition", BYTEA, nullable=False),
        sa.Column("server", sa.Integer, nullable=False),
        sa.Column("applied_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("kind", "name", name="schema_object_pkey"),
        schema=S,
    )
    # who opens the archive reads it, whatever rights they were given before
    op.execute(f"GRANT SELECT ON {S}.schema_object TO PUBLIC")


def downgrade() -> None:
    for name in SCRIPTS:
        op.execute((SQL / f"{name}.sql").read_text(encoding="utf-8"))
    op.execute(f"DROP VIEW IF EXISTS {S}.image_facet")
    for function in ("exact_create_triggers(regclass)", "exact_index_used(integer)", "search_constants()"):
        op.execute(f"DROP FUNCTION IF EXISTS {S}.{function}")
    op.drop_table("schema_object", schema=S)
