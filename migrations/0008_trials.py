"""What trials beside real peers and servers asked for.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

S = "radretrieval"
# of the triggers that keep exact indexes true; without the per cent sign, which printed SQL would double
TRIGGERS = f"""
DO $$
DECLARE
    change text;
BEGIN
    FOR change IN SELECT 'ALTER TABLE ONLY ' || t.tgrelid::regclass || ' ENABLE {{state}} TRIGGER ' || t.tgname
                  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
                  WHERE c.relnamespace = '{S}'::regnamespace AND t.tgname ~ '^exact_' AND t.tgenabled = '{{now}}' LOOP
        EXECUTE change;
    END LOOP;
END
$$
"""

NOTED = f"obj_description('{S}.image_patient_key_idx'::regclass, 'pg_class')"


def _rights_of_image(table: str) -> None:
    """Grant on a new table what the site has granted on `image`: who may write the one writes the other."""
    op.execute(
        "DO $$DECLARE given record; BEGIN FOR given IN "
        "SELECT DISTINCT a.privilege_type AS privilege, "
        "CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role "
        "FROM pg_class c, aclexplode(c.relacl) a "
        f"WHERE c.oid = '{S}.image'::regclass AND a.grantee <> c.relowner "
        f"LOOP EXECUTE 'GRANT ' || given.privilege || ' ON {S}.{table} TO ' || given.role; END LOOP; END$$"
    )


def _patient_key_check() -> None:
    op.create_table(
        "patient_key_check",
        sa.Column("id", sa.SmallInteger, nullable=False, server_default="1"),
        sa.Column("check_value", sa.Text),
        sa.Column("plain_issuer", sa.Text),
        sa.Column("recorded_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("id", name="patient_key_check_pkey"),
        sa.CheckConstraint("id = 1", name="patient_key_check_id_check"),
        schema=S,
    )
    _rights_of_image("patient_key_check")
    # a search that compares patients reads it, whatever rights were given before
    op.execute(f"GRANT SELECT ON {S}.patient_key_check TO PUBLIC")
    # 0007 noted the check value in a comment, from the first rotation on
    op.execute(
        f"INSERT INTO {S}.patient_key_check (check_value) SELECT substring({NOTED} FROM '[0-9a-f]{{32}}$') "
        f"WHERE {NOTED} IS NOT NULL OR EXISTS (SELECT FROM {S}.image WHERE patient_key IS NOT NULL)"
    )
    op.execute(f"COMMENT ON INDEX {S}.image_patient_key_idx IS NULL")


def upgrade() -> None:
    op.add_column("image", sa.Column("flat", sa.Boolean), schema=S)
    shown = sa.CheckConstraint("octet_length(shown_sha256) = 32", name="image_shown_sha256_check")
    op.add_column("image", sa.Column("shown_sha256", BYTEA, shown), schema=S)
    _patient_key_check()
    _corrections()
    _exact()
    _write_lock()


def downgrade() -> None:
    # 0007 makes pseudonyms without the issuer: further images of a patient would be those of another one
    op.execute(
        f"DO $$BEGIN IF EXISTS (SELECT FROM {S}.patient_key_check WHERE plain_issuer IS NOT NULL) "
        f"AND EXISTS (SELECT FROM {S}.image WHERE patient_key IS NOT NULL) THEN RAISE EXCEPTION USING MESSAGE = "
        "'the pseudonyms of this archive take the issuer of identifiers, which revision 0007 does not; "
        "to go back, restore a backup that was made before the upgrade'; END IF; END$$"
    )
    for function in ("lock_named(text, double precision)", "lock_contents(bytea[], double precision)"):
        op.execute(f"DROP FUNCTION {S}.{function}")
    op.drop_table("write_lock", schema=S)
    _exact_as_before()
    op.execute(
        f"DO $$BEGIN IF EXISTS (SELECT FROM {S}.image_history) "
        f"OR EXISTS (SELECT FROM {S}.image WHERE labelled <> '{{}}') THEN RAISE EXCEPTION USING MESSAGE = "
        "'the table and the column that revision 0008 brought hold data of corrections and labels; "
        "to go back, restore a backup that was made before the upgrade'; END IF; END$$"
    )
    op.drop_index("arrival_sop_instance_uid_idx", table_name="arrival", schema=S)
    op.drop_table("image_history", schema=S)
    op.drop_column("image", "labelled", schema=S)
    op.execute(
        f"DO $$BEGIN EXECUTE (SELECT format('COMMENT ON INDEX {S}.image_patient_key_idx IS %L', "
        f"'check value of the key of patient_key ' || check_value) FROM {S}.patient_key_check "
        "WHERE check_value IS NOT NULL); EXCEPTION WHEN null_value_not_allowed THEN NULL; END$$"
    )
    op.drop_table("patient_key_check", schema=S)
    op.drop_column("image", "shown_sha256", schema=S)
    op.drop_column("image", "flat", schema=S)  # verify sees it again in the files
    for name in ("image", "image_decoded"):
        op.execute(f"COMMENT ON COLUMN {S}.{name}.uri IS 'Where the file was seen last, file:///….'")
    op.execute(f"COMMENT ON COLUMN {S}.ingest_failure.uri IS 'Where the file lies, file:///….'")


def _corrections() -> None:
    """What a newer file replaced in the row of its image, and what no file replaces."""
    labelled = sa.Column("labelled", ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'"))
    op.add_column("image", labelled, schema=S)
    op.create_table(
        "image_history",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("image_id", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("origin", sa.Text),
        sa.Column("sha256", BYTEA, nullable=False),
        sa.Column("old", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name="image_history_pkey"),
        sa.ForeignKeyConstraint(
            ["image_id"], [f"{S}.image.id"], name="image_history_image_id_fkey", ondelete="CASCADE"
        ),
        schema=S,
    )
    _rights_of_image("image_history")
    op.create_index("image_history_image_id_idx", "image_history", ["image_id"], schema=S)
    op.create_index("arrival_sop_instance_uid_idx", "arrival", ["sop_instance_uid"], schema=S)


def _exact() -> None:
    op.add_column("exact_index", sa.Column("bypassed", sa.Boolean, nullable=False, server_default=sa.false()), schema=S)
    op.add_column("exact_touched", sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True), schema=S)
    op.create_primary_key("exact_touched_pkey", "exact_touched", ["id"], schema=S)
    op.execute(TRIGGERS.format(state="ALWAYS", now="O"))


def _exact_as_before() -> None:
    op.execute(f"DROP TRIGGER exact_applied ON {S}.cnnc")
    op.execute(f"DROP TRIGGER exact_facet_applied ON {S}.image")
    op.execute(TRIGGERS.format(state="", now="A"))
    for function in (
        "exact_cnnc_applied()",
        "exact_image_applied()",
        "exact_applies()",
        "exact_relabel(bigint[])",
        "exact_distrust()",
        "exact_of(integer)",
        "exact_kept(integer, integer)",
        "exact_followed(integer, integer)",
        "exact_subscribed(text)",
    ):
        op.execute(f"DROP FUNCTION {S}.{function}")
    op.drop_column("exact_touched", "id", schema=S)
    op.drop_column("exact_index", "bypassed", schema=S)


def _write_lock() -> None:
    name = sa.Column("name", sa.Text, nullable=False)
    op.create_table("write_lock", name, sa.PrimaryKeyConstraint("name", name="write_lock_pkey"), schema=S)
    _rights_of_image("write_lock")
