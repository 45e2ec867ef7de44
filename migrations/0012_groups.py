"""Groups of the anchors of exact indexes.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from pgvector.sqlalchemy import BIT

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

S = "radretrieval"


def _exact_groups() -> None:
    op.create_table(
        "exact_group",
        sa.Column("index_id", sa.Integer, nullable=False),
        sa.Column("first", sa.Integer, nullable=False),
        sa.Column("last", sa.Integer, nullable=False),
        sa.Column("reach", sa.Integer, nullable=False),
        sa.Column("codes", sa.Integer, nullable=False),
        sa.Column("code", BIT(1000), nullable=False),
        sa.PrimaryKeyConstraint("index_id", "first", name="exact_group_pkey"),
        sa.ForeignKeyConstraint(
            ["index_id"], [f"{S}.exact_index.id"], name="exact_group_index_id_fkey", ondelete="CASCADE"
        ),
        schema=S,
    )
    # who reads anchors reads their groups
    op.execute(
        f"""DO $$DECLARE given record; BEGIN
    FOR given IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = '{S}.exact_anchor'::regclass AND a.grantee <> c.relowner AND a.privilege_type = 'SELECT'
    LOOP
        EXECUTE format('GRANT SELECT ON {S}.exact_group TO %s', given.role);
    END LOOP;
END$$"""
    )


def upgrade() -> None:
    _exact_groups()


def downgrade() -> None:
    for function in ("exact_anchor_near(integer, bit)",
        "exact_labels(bigint[])",):
        op.execute(f"DROP FUNCTION IF EXISTS {S}.{function}")
    op.drop_table("exact_group", schema=S)
