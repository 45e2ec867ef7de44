"""The audit without an index that no query needs; who ingests adds no image that is withdrawn; codes are not looked up
one by one; an exact index knows how many codes it had.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

S = "radretrieval"

# %1$s: the columns, %2$s: the role; of who may write cnnc_hidden, and so withdraws, nothing is taken
_CHANGE = """DO $$DECLARE given record; BEGIN
    FOR given IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role,
               (SELECT string_agg(quote_ident(t.attname), ', ') FROM pg_attribute t
                WHERE t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped AND t.attname <> 'hidden_at')
               AS columns
        FROM pg_class c, pg_attribute i, aclexplode({rights}) a
        WHERE c.oid = '{S}.image'::regclass AND i.attrelid = c.oid AND i.attname = 'uri'
          AND a.grantee <> c.relowner AND a.privilege_type = 'INSERT'
          AND NOT EXISTS (SELECT FROM pg_class h, aclexplode(h.relacl) w WHERE h.oid = '{S}.cnnc_hidden'::regclass
                          AND w.grantee = a.grantee AND w.privilege_type = 'INSERT')
    LOOP
        EXECUTE format('REVOKE INSERT {before} ON {S}.image FROM %2$s', given.columns, given.role);
        EXECUTE format('GRANT INSERT {after} ON {S}.image TO %2$s', given.columns, given.role);
    END LOOP;
END$$"""


def upgrade() -> None:
    # rows of a time are found by their months and the primary key, (id, at); each row that was added paid for the index
    op.drop_index("audit_at_idx", "audit", schema=S)
    # audit_add alone writes the head, and leaves id to its default: the check cost each row, and its guard is the key
    op.drop_constraint(op.f("audit_head_audit_head_id_check_check"), "audit_head", schema=S)
    op.execute(_CHANGE.format(S=S, rights="c.relacl", before="", after="(%1$s)"))
    # a look-up for each code, of an encoder that the partition implies: encoder_codes_kept() guards that
    op.drop_constraint("cnnc_encoder_id_fkey", "cnnc", schema=S)
    # read at each search
    op.add_column("exact_index", sa.Column("codes", sa.BigInteger), schema=S)
    op.execute(
        f"UPDATE {S}.exact_index x SET codes = (SELECT sum(a.codes) FROM {S}.exact_anchor a WHERE a.index_id = x.id)"
        " WHERE x.live"
    )


def downgrade() -> None:
    op.create_foreign_key(
        "cnnc_encoder_id_fkey", "cnnc", "encoder", ["encoder_id"], ["id"], source_schema=S, referent_schema=S
    )
    op.execute(f"DROP TRIGGER IF EXISTS codes_kept ON {S}.encoder")
    op.execute(f"DROP FUNCTION IF EXISTS {S}.encoder_codes_kept()")
    op.execute(
        f"DO $$DECLARE f record; BEGIN FOR f IN SELECT p.oid::regprocedure AS name FROM pg_proc p "
        f"WHERE p.pronamespace = '{S}'::regnamespace AND p.proname ~ '^exact_near_[0-9]+$' LOOP "
        "EXECUTE 'DROP FUNCTION ' || f.name; END LOOP; END$$"
    )
    # the last of them gave fewer columns before: the program of 0013 makes it again
    for name in (
        "exact_create_search(integer)",
        "exact_terms(integer)",
        "no_code_error(bigint, integer)",
        "search_constants()",
    ):
        op.execute(f"DROP FUNCTION IF EXISTS {S}.{name}")
    op.drop_column("exact_index", "codes", schema=S)
    # what 0013 puts into an index is within the sum of both distances, and not looked at beyond that
    op.execute(
        f"UPDATE {S}.exact_group g SET reach = n.reach FROM ("
        "SELECT o.index_id, o.first, max(bit_count(a.code # o.code)::int + a.farthest) AS reach "
        f"FROM {S}.exact_group o "
        f"JOIN {S}.exact_anchor a ON a.index_id = o.index_id AND a.anchor BETWEEN o.first AND o.last "
        "WHERE a.nearest <= a.farthest GROUP BY 1, 2) n WHERE g.index_id = n.index_id AND g.first = n.first"
    )
    op.execute(_CHANGE.format(S=S, rights="i.attacl", before="(%1$s)", after=""))
    op.execute(f"DROP TRIGGER IF EXISTS hidden ON {S}.image")
    op.execute(f"DROP FUNCTION IF EXISTS {S}.image_hidden()")
    op.create_check_constraint(op.f("audit_head_audit_head_id_check_check"), "audit_head", "id = 1", schema=S)
    op.create_index("audit_at_idx", "audit", ["at"], schema=S, postgresql_using="brin")
