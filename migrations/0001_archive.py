"""The archive: images, encoders, codes, barcodes, failures, IRMA terms.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import csv
from importlib import resources
from pathlib import Path

import sqlalchemy as sa
from pgvector.sqlalchemy import BIT
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

S = "radretrieval"
SQL = Path(__file__).parent / "sql"


def _moment(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now())


def _image() -> None:
    op.create_table(
        "image",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("sha256", BYTEA, nullable=False),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("columns", sa.Integer, nullable=False),
        sa.Column("bits_stored", sa.SmallInteger, nullable=False),
        sa.Column("photometric", sa.Text, nullable=False),
        sa.Column("modality", sa.Text),
        sa.Column("body_part", sa.Text),
        sa.Column("view_position", sa.Text),
        sa.Column("laterality", sa.Text),
        sa.Column("sop_instance_uid", sa.Text),
        sa.Column("series_instance_uid", sa.Text),
        sa.Column("study_instance_uid", sa.Text),
        sa.Column("patient_key", sa.Text),
        sa.Column("irma_code", sa.Text),
        sa.Column("split", sa.Text),
        _moment("ingested_at"),
        sa.PrimaryKeyConstraint("id", name="image_pkey"),
        sa.UniqueConstraint("sha256", name="image_sha256_key"),
        sa.UniqueConstraint("sop_instance_uid", name="image_sop_instance_uid_key"),
        sa.CheckConstraint("octet_length(sha256) = 32", name=op.f("image_sha256_check")),
        sa.CheckConstraint(
            "irma_code ~ '^[0-9a-z]{4}-[0-9a-z]{3}-[0-9a-z]{3}-[0-9a-z]{3}$'",
            name=op.f("image_irma_code_check"),
        ),
        schema=S,
    )
    for column in ("uri", "study_instance_uid", "patient_key", "irma_code", "split"):
        op.create_index(f"image_{column}_idx", "image", [column], schema=S)


def _failures() -> None:
    op.create_table(
        "ingest_failure",
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("sha256", BYTEA),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="1"),
        _moment("last_at"),
        sa.PrimaryKeyConstraint("uri", name="ingest_failure_pkey"),
        schema=S,
    )
    op.create_table(
        "coding_failure",
        sa.Column("encoder_id", sa.Integer, nullable=False),
        sa.Column("image_id", sa.BigInteger, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="1"),
        _moment("last_at"),
        sa.PrimaryKeyConstraint("encoder_id", "image_id", name="coding_failure_pkey"),
        _to_encoder("coding_failure", ondelete="CASCADE"),
        _to_image("coding_failure"),
        schema=S,
    )


def _to_image(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["image_id"], [f"{S}.image.id"], name=f"{table}_image_id_fkey", ondelete="CASCADE")


def _to_encoder(table: str, ondelete: str | None = None) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["encoder_id"], [f"{S}.encoder.id"], name=f"{table}_encoder_id_fkey", ondelete=ondelete
    )


def _encoder() -> None:
    op.create_table(
        "encoder",
        sa.Column("id", sa.Integer, sa.Identity(always=True), nullable=False),
        sa.Column("profile", JSONB, nullable=False),
        sa.Column("profile_hash", sa.Text, nullable=False),
        sa.Column("classes", ARRAY(sa.Text), nullable=False),
        sa.Column("weights", BYTEA, nullable=False),
        sa.Column("weights_sha256", BYTEA, nullable=False),
        sa.Column("metrics", JSONB, nullable=False),
        _moment("created_at"),
        sa.Column("active", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("id", name="encoder_pkey"),
        schema=S,
    )
    op.create_index(
        "encoder_one_active", "encoder", ["active"], unique=True, postgresql_where=sa.text("active"), schema=S
    )
    # floats do not compress: trying costs seconds for a hundred megabytes of weights
    op.execute(f"ALTER TABLE {S}.encoder ALTER COLUMN weights SET STORAGE EXTERNAL")


def _codes() -> None:
    op.create_table(
        "cnnc",
        sa.Column("encoder_id", sa.Integer, nullable=False),
        sa.Column("image_id", sa.BigInteger, nullable=False),
        sa.Column("code", BIT(1000), nullable=False),
        sa.PrimaryKeyConstraint("encoder_id", "image_id", name="cnnc_pkey"),
        _to_encoder("cnnc"),
        _to_image("cnnc"),
        schema=S,
        postgresql_partition_by="LIST (encoder_id)",
    )
    op.create_table(
        "geometry",
        sa.Column("id", sa.SmallInteger, sa.Identity(always=True), nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("angles", sa.Integer, nullable=False),
        sa.Column("bins", sa.Integer, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="geometry_pkey"),
        sa.UniqueConstraint("size", "angles", "bins", "rule", name="geometry_size_key"),
        schema=S,
    )
    op.create_table(
        "barcode",
        sa.Column("geometry_id", sa.SmallInteger, nullable=False),
        sa.Column("image_id", sa.BigInteger, nullable=False),
        sa.Column("code", BYTEA, nullable=False),
        sa.PrimaryKeyConstraint("geometry_id", "image_id", name="barcode_pkey"),
        sa.ForeignKeyConstraint(["geometry_id"], [f"{S}.geometry.id"], name="barcode_geometry_id_fkey"),
        _to_image("barcode"),
        schema=S,
    )


def _irma() -> None:
    terms = op.create_table(
        "irma_term",
        sa.Column("axis", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("children", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("axis", "prefix", name="irma_term_pkey"),
        sa.CheckConstraint("axis IN ('T', 'D', 'A', 'B')", name=op.f("irma_term_axis_check")),
        schema=S,
    )
    text = resources.files("radretrieval.irma").joinpath("terms.csv").read_text(encoding="utf-8")
    rows = [{**row, "children": int(row["children"])} for row in csv.DictReader(text.splitlines())]
    op.bulk_insert(terms, rows)


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    _image()
    _encoder()
    _failures()
    _codes()
    _irma()
    for name in ("0001_pending_notice", "0001_irma_words", "0001_image_decoded"):
        op.execute((SQL / f"{name}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    held = " OR ".join(f"EXISTS (SELECT FROM {S}.{table})" for table in ("image", "encoder", "ingest_failure"))
    op.execute(
        f"DO $$BEGIN IF {held} THEN RAISE EXCEPTION USING MESSAGE = 'the archive holds images, encoders or failures; "
        f"to be rid of it, drop the schema {S}'; END IF; END$$"
    )
    op.execute(f"DROP VIEW {S}.image_decoded")
    op.execute(f"DROP FUNCTION {S}.irma_words(text)")
    for table in (
        "irma_term",
        "barcode",
        "geometry",
        "cnnc",
        "coding_failure",
        "ingest_failure",
        "encoder",
        "image",
    ):
        op.drop_table(table, schema=S)
    op.execute(f"DROP FUNCTION {S}.pending_notice()")
    # the extension stays: other schemas of this database may use it
