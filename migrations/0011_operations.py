"""The audit as a hash chain, partitioned by month; services that run; what was forgotten; primary keys by image.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, JSONB

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

S = "radretrieval"


def upgrade() -> None:
    _audit()
    _heartbeat()
    _tombstone()
    _primary_keys("image_id, {0}")


def _primary_keys(columns: str) -> None:
    """Primary keys that begin with the image: for each that is deleted, a server before 18 reads whole indexes that
    begin with the encoder or the geometry.
    """
    for table, other in (("cnnc", "encoder_id"), ("barcode", "geometry_id"), ("coding_failure", "encoder_id")):
        op.execute(
            f"ALTER TABLE {S}.{table} DROP CONSTRAINT {table}_pkey, "
            f"ADD CONSTRAINT {table}_pkey PRIMARY KEY ({columns.format(other)})"
        )


def _audit() -> None:
    op.execute(f"ALTER TABLE {S}.audit RENAME TO audit_before")
    op.execute(f"ALTER TABLE {S}.audit_before RENAME CONSTRAINT audit_pkey TO audit_before_pkey")
    op.execute(f"DROP INDEX {S}.audit_at_idx")
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger, nullable=False),
        sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("db_role", sa.Text),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("detail", JSONB, nullable=False),
        sa.Column("hash", BYTEA, nullable=False),
        sa.PrimaryKeyConstraint("id", "at", name="audit_pkey"),
        schema=S,
        postgresql_partition_by="RANGE (at)",
    )
    op.create_index("audit_at_idx", "audit", ["at"], schema=S, postgresql_using="brin")
    op.create_table(
        "audit_head",
        sa.Column("id", sa.SmallInteger, nullable=False, server_default="1"),
        sa.Column("last_id", sa.BigInteger, nullable=False),
        sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("hash", BYTEA, nullable=False),
        sa.PrimaryKeyConstraint("id", name="audit_head_pkey"),
        sa.CheckConstraint("id = 1", name="audit_head_id_check"),
        schema=S,
    )
    op.execute(f"ALTER TABLE {S}.audit_head SET (fillfactor = 20)")  # one row, updated in its page
    op.create_table(
        "audit_export",
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("last_id", sa.BigInteger, nullable=False),
        sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("target", name="audit_export_pkey"),
        schema=S,
    )
    _chain_rows_of_before()
    _rights_of_before()
    op.drop_table("audit_before", schema=S)


def _chain_rows_of_before() -> None:
    """Copy the rows into partitions, each with its hash, as audit_hash computes it; db_role is not known."""
    op.execute(
        f"""DO $$DECLARE
    month timestamptz;
    one record;
    head bytea := '';
    number bigint := 0;
    moment timestamptz := 'epoch';
BEGIN
    FOR month IN SELECT DISTINCT date_trunc('month', b.at, 'UTC') FROM {S}.audit_before b ORDER BY 1 LOOP
        EXECUTE format('CREATE TABLE {S}.%I PARTITION OF {S}.audit FOR VALUES FROM (%L) TO (%L)',
            'audit_' || to_char(month AT TIME ZONE 'UTC', 'YYYY_MM'), month,
            (month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC');
    END LOOP;
    FOR one IN SELECT * FROM {S}.audit_before b ORDER BY b.id LOOP
        head := sha256(head || convert_to(jsonb_build_array(one.id, (extract(epoch FROM one.at) * 1000000)::bigint,
            one.who, NULL, one.action, one.detail)::text, 'UTF8'));
        INSERT INTO {S}.audit (id, at, who, action, detail, hash)
        VALUES (one.id, one.at, one.who, one.action, one.detail, head);
        number := one.id;
        moment := greatest(moment, one.at);
    END LOOP;
    INSERT INTO {S}.audit_head (last_id, at, hash) VALUES (number, moment, head);
END$$"""
    )


def _rights_of_before() -> None:
    """Who read audit reads it; who inserted may execute audit_add, whose body comes with the other functions."""
    op.execute(
        f"CREATE FUNCTION {S}.audit_add(who text, action text, detail jsonb) RETURNS bigint "
        "LANGUAGE sql AS 'SELECT 0::bigint'"
    )
    op.execute(f"REVOKE ALL ON FUNCTION {S}.audit_add(text, text, jsonb) FROM PUBLIC")
    op.execute(
        f"""DO $$DECLARE given record; BEGIN
    FOR given IN
        SELECT DISTINCT a.privilege_type AS privilege,
            CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = '{S}.audit_before'::regclass AND a.grantee <> c.relowner
          AND a.privilege_type IN ('SELECT', 'INSERT')
    LOOP
        IF given.privilege = 'SELECT' THEN
            EXECUTE 'GRANT SELECT ON {S}.audit, {S}.audit_head, {S}.audit_export TO ' || given.role;
        ELSE
            EXECUTE 'GRANT EXECUTE ON FUNCTION {S}.audit_add(text, text, jsonb) TO ' || given.role;
        END IF;
    END LOOP;
END$$"""
    )


def _heartbeat() -> None:
    op.create_table(
        "heartbeat",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("program", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("started_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("beat_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("id", name="heartbeat_pkey"),
        schema=S,
    )
    # services write rows: roles that write images, arrivals or codes; who reads images may see which run
    op.execute(
        f"""DO $$DECLARE given record; BEGIN
    FOR given IN
        SELECT DISTINCT
            CASE a.privilege_type WHEN 'SELECT' THEN 'SELECT' ELSE 'SELECT, INSERT, UPDATE, DELETE' END AS rights,
            CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid IN ('{S}.image'::regclass, '{S}.arrival'::regclass, '{S}.cnnc'::regclass)
          AND a.grantee <> c.relowner AND a.privilege_type IN ('SELECT', 'INSERT')
    LOOP
        EXECUTE 'GRANT ' || given.rights || ' ON {S}.heartbeat TO ' || given.role;
    END LOOP;
END$$"""
    )


def _tombstone() -> None:
    op.create_table(
        "tombstone",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("digest", BYTEA, nullable=False),
        sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("content", BYTEA),
        sa.PrimaryKeyConstraint("kind", "digest", name="tombstone_pkey"),
        sa.CheckConstraint("kind IN ('patient', 'study', 'sop', 'sha256')", name="tombstone_kind_check"),
        sa.CheckConstraint("octet_length(digest) = 16", name="tombstone_digest_check"),
        sa.CheckConstraint("octet_length(content) = 32", name="tombstone_content_check"),
        schema=S,
    )
    op.create_index(
        "tombstone_unfinished_idx", "tombstone", ["content"], schema=S, postgresql_where=sa.text("content IS NOT NULL")
    )
    # who writes images has to ask whether one was forgotten; who deletes them forgets
    op.execute(
        f"""DO $$DECLARE given record; BEGIN
    FOR given IN
        SELECT a.privilege_type AS privilege,
            CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = '{S}.image'::regclass AND a.grantee <> c.relowner
          AND a.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
    LOOP
        EXECUTE format('GRANT %s ON {S}.tombstone TO %s', given.privilege, given.role);
    END LOOP;
END$$"""
    )


def downgrade() -> None:
    op.execute(
        f"DO $$BEGIN IF EXISTS (SELECT FROM {S}.audit) THEN RAISE EXCEPTION USING MESSAGE = "
        "'the table audit, which revision 0011 made a hash chain, has rows; "
        "to go back, restore a backup that was made before the upgrade'; END IF; END$$"
    )
    op.execute(
        f"DO $$BEGIN IF EXISTS (SELECT FROM {S}.tombstone) THEN RAISE EXCEPTION USING MESSAGE = "
        "'the table tombstone says what was forgotten, and without it that would come back; "
        "whoever wants that deletes its rows first'; END IF; END$$"
    )
    _primary_keys("{0}, image_id")
    for table in ("tombstone", "heartbeat", "audit_export", "audit_head", "audit"):
        op.drop_table(table, schema=S)
    for function in (
        "audit_add(text, text, jsonb)",
        "audit_partition(timestamptz)",
        "image_readable(bigint[])",
        "audit_hash(bytea, bigint, timestamptz, text, text, text, jsonb)",
    ):
        op.execute(f"DROP FUNCTION IF EXISTS {S}.{function}")
    for trigger in ("cnnc_applied", "cnnc_changed", "cnnc_emptied", "image_applied", "image_changed"):
        op.execute(f"GRANT EXECUTE ON FUNCTION {S}.exact_{trigger}() TO PUBLIC")
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("detail", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name="audit_pkey"),
        schema=S,
    )
    op.create_index("audit_at_idx", "audit", ["at"], schema=S, postgresql_using="brin")
    op.execute(
        f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {S}.audit "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {S}.audit_append_only()"
    )
