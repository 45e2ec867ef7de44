"""What users say of hits and labels, and who did what.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, JSONB

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

S = "radretrieval"


def _key() -> sa.Column[object]:
    return sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False)


def _moment() -> sa.Column[object]:
    return sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now())


def _of(table: str, column: str, to: str, ondelete: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{S}.{to}.id"], name=f"{table}_{column}_fkey", ondelete=ondelete)


def _rights_of_image(table: str, *privileges: str) -> None:
    """Grant those of these privileges on a new table that the site has granted on `image`."""
    op.execute(
        "DO $$DECLARE given record; BEGIN FOR given IN "
        "SELECT DISTINCT a.privilege_type AS privilege, "
        "CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role "
        "FROM pg_class c, aclexplode(c.relacl) a "
        f"WHERE c.oid = '{S}.image'::regclass AND a.grantee <> c.relowner "
        f"AND a.privilege_type IN ({', '.join(map(repr, privileges))}) "
        f"LOOP EXECUTE 'GRANT ' || given.privilege || ' ON {S}.{table} TO ' || given.role; END LOOP; END$$"
    )


def upgrade() -> None:
    op.create_table(
        "feedback",
        _key(),
        _moment(),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("query_image_id", sa.BigInteger),
        sa.Column("query_sha256", BYTEA),
        sa.Column("hit_image_id", sa.BigInteger, nullable=False),
        sa.Column("relevant", sa.Boolean, nullable=False),
        sa.Column("encoder_id", sa.Integer),
        sa.Column("rank", sa.Integer),
        sa.Column("cnnc_distance", sa.Integer),
        sa.Column("rbc_distance", sa.Integer),
        sa.PrimaryKeyConstraint("id", name="feedback_pkey"),
        sa.CheckConstraint("num_nonnulls(query_image_id, query_sha256) = 1", name="feedback_query_check"),
        sa.CheckConstraint("octet_length(query_sha256) = 32", name="feedback_query_sha256_check"),
        _of("feedback", "query_image_id", "image", "CASCADE"),
        _of("feedback", "hit_image_id", "image", "CASCADE"),
        _of("feedback", "encoder_id", "encoder", "SET NULL"),
        # one opinion, the last, of a person on a hit of a query
        sa.UniqueConstraint(
            *("query_image_id", "query_sha256", "hit_image_id", "who"),
            name="feedback_query_image_id_key",
            postgresql_nulls_not_distinct=True,
        ),
        schema=S,
    )
    op.create_index("feedback_hit_image_id_idx", "feedback", ["hit_image_id"], schema=S)
    op.create_table(
        "label_report",
        _key(),
        _moment(),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("image_id", sa.BigInteger, nullable=False),
        sa.Column("expected", sa.Text),
        sa.Column("remark", sa.Text),
        sa.Column("labels", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name="label_report_pkey"),
        sa.CheckConstraint(f"{S}.irma_code_check(expected)", name="label_report_expected_check"),
        sa.CheckConstraint("num_nonnulls(expected, remark) > 0", name="label_report_said_check"),
        _of("label_report", "image_id", "image", "CASCADE"),
        sa.UniqueConstraint("image_id", "who", name="label_report_image_id_key"),
        schema=S,
    )
    op.create_table(
        "audit",
        _key(),
        _moment(),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("detail", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name="audit_pkey"),
        schema=S,
    )
    op.create_index("audit_at_idx", "audit", ["at"], schema=S, postgresql_using="brin")
    for table in ("feedback", "label_report"):
        _rights_of_image(table, "SELECT", "INSERT", "UPDATE", "DELETE")
    _rights_of_image("audit", "INSERT")


def downgrade() -> None:
    op.execute(
        f"DO $$BEGIN IF EXISTS (SELECT FROM {S}.feedback) OR EXISTS (SELECT FROM {S}.label_report) "
        f"OR EXISTS (SELECT FROM {S}.audit) THEN RAISE EXCEPTION USING MESSAGE = "
        "'the tables that revision 0010 brought hold what users have said and done; "
        "to go back, restore a backup that was made before the upgrade'; END IF; END$$"
    )
    op.execute(f"DROP VIEW IF EXISTS {S}.feedback_by_class")
    for table in ("audit", "label_report", "feedback"):
        op.drop_table(table, schema=S)
    op.execute(f"DROP FUNCTION IF EXISTS {S}.audit_append_only()")
