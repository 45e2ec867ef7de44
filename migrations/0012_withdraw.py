"""Images that are withdrawn from searches, and their codes, kept apart; groups of anchors; who sent what failed.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from pgvector.sqlalchemy import BIT

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

S = "radretrieval"
SQL = Path(__file__).parent / "sql"


def upgrade() -> None:
    _exact_groups()
    op.add_column("image", sa.Column("hidden_at", sa.TIMESTAMP(timezone=True)), schema=S)
    op.create_index("image_hidden_idx", "image", ["id"], schema=S, postgresql_where=sa.text("hidden_at IS NOT NULL"))
    op.create_table(
        "cnnc_hidden",
        sa.Column("encoder_id", sa.Integer, nullable=False),
        sa.Column("image_id", sa.BigInteger, nullable=False),
        sa.Column("code", BIT(1000), nullable=False),
        sa.ForeignKeyConstraint(
            ["encoder_id"], [f"{S}.encoder.id"], name="cnnc_hidden_encoder_id_fkey", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["image_id"], [f"{S}.image.id"], name="cnnc_hidden_image_id_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("image_id", "encoder_id", name="cnnc_hidden_pkey"),
        schema=S,
    )
    op.add_column("ingest_failure", sa.Column("origin", sa.Text), schema=S)
    op.add_column("ingest_failure", sa.Column("sop_instance_uid", sa.Text), schema=S)
    # who reads image column by column reads the new one; who deletes codes of images whose pixels changed, these too
    op.execute(
        f"""DO $$DECLARE given record; BEGIN
    FOR given IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role,
                        n.name, n.columns
        FROM (VALUES ('{S}.image', 'withdrawn', 'hidden_at'),
                     ('{S}.ingest_failure', 'attempts', 'origin, sop_instance_uid')) n (name, beside, columns),
             pg_attribute t, aclexplode(t.attacl) a
        WHERE t.attrelid = n.name::regclass AND t.attname = n.beside AND a.privilege_type = 'SELECT'
    LOOP
        EXECUTE format('GRANT SELECT (%s) ON %s TO %s', given.columns, given.name, given.role);
    END LOOP;
    FOR given IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = '{S}.cnnc'::regclass AND a.grantee <> c.relowner AND a.privilege_type = 'DELETE'
    LOOP
        EXECUTE format('GRANT SELECT, DELETE ON {S}.cnnc_hidden TO %s', given.role);
    END LOOP;
END$$"""
    )


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


def downgrade() -> None:
    op.execute(
        f"DO $$BEGIN IF EXISTS (SELECT FROM {S}.image WHERE hidden_at IS NOT NULL) THEN "
        "RAISE EXCEPTION USING MESSAGE = 'images are withdrawn from searches, which revision 0012 brought, and without "
        "it they would be found; "
        "whoever wants that takes it back first: radretrieval withdraw --undo'; END IF; END$$"
    )
    op.execute((SQL / "0012_views.sql").read_text(encoding="utf-8"))
    op.execute(
        f"CREATE OR REPLACE TRIGGER pending_notice AFTER INSERT ON {S}.image "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {S}.pending_notice()"
    )
    op.drop_table("exact_group", schema=S)
    for function in (
        "exact_anchor_near(integer, bit)",
        "exact_labels(bigint[])",
        "federated_nearest(bit, integer, text, jsonb, jsonb)",
        "federated_similar(bigint, integer, integer, jsonb, interval)",
        "federated_similar_partial(bigint, integer, integer, jsonb, interval)",
    ):
        op.execute(f"DROP FUNCTION IF EXISTS {S}.{function}")
    op.drop_table("cnnc_hidden", schema=S)
    op.drop_column("image", "hidden_at", schema=S)
    op.drop_column("ingest_failure", "sop_instance_uid", schema=S)
    op.drop_column("ingest_failure", "origin", schema=S)
