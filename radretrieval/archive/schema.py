"""The tables of the archive, for SQLAlchemy and Alembic. A test asserts that the migrations make exactly these."""

from __future__ import annotations

import sqlalchemy as sa
from pgvector.sqlalchemy import BIT
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB

SCHEMA = "radretrieval"
CODE_BITS = 1000
IRMA_FORM = "^[0-9a-z]{4}-[0-9a-z]{3}-[0-9a-z]{3}-[0-9a-z]{3}$"

metadata = sa.MetaData(
    schema=SCHEMA,
    naming_convention={
        "ix": "%(table_name)s_%(column_0_name)s_idx",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    },
)


def _moment(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now())


image = sa.Table(
    "image",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column(
        "sha256",
        BYTEA,
        sa.CheckConstraint("octet_length(sha256) = 32", name="sha256"),
        nullable=False,
        unique=True,
    ),
    sa.Column("uri", sa.Text, nullable=False, index=True),
    sa.Column("format", sa.Text, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("columns", sa.Integer, nullable=False),
    sa.Column("bits_stored", sa.SmallInteger, nullable=False),
    sa.Column("photometric", sa.Text, nullable=False),
    sa.Column("modality", sa.Text),
    sa.Column("body_part", sa.Text),
    sa.Column("view_position", sa.Text),
    sa.Column("laterality", sa.Text),
    sa.Column("sop_instance_uid", sa.Text, unique=True),
    sa.Column("series_instance_uid", sa.Text),
    sa.Column("study_instance_uid", sa.Text, index=True),
    sa.Column("patient_key", sa.Text, index=True),
    sa.Column("irma_code", sa.Text, sa.CheckConstraint(f"irma_code ~ '{IRMA_FORM}'", name="irma_code"), index=True),
    sa.Column("split", sa.Text, index=True),
    _moment("ingested_at"),
    sa.Column(
        "withdrawn",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="Its label was taken back by its publisher: kept and searchable, "
        "left out of training and scores unless asked.",
    ),
)

ingest_failure = sa.Table(
    "ingest_failure",
    metadata,
    sa.Column("uri", sa.Text, primary_key=True),
    sa.Column("sha256", BYTEA),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="1"),
    _moment("last_at"),
)

encoder = sa.Table(
    "encoder",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("profile", JSONB, nullable=False),
    sa.Column("profile_hash", sa.Text, nullable=False),
    sa.Column("classes", ARRAY(sa.Text), nullable=False),
    sa.Column("weights", BYTEA, nullable=False),
    sa.Column("weights_sha256", BYTEA, nullable=False),
    sa.Column("metrics", JSONB, nullable=False),
    _moment("created_at"),
    sa.Column("active", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("encoder_one_active", "active", unique=True, postgresql_where=sa.text("active")),
)

cnnc = sa.Table(
    "cnnc",
    metadata,
    sa.Column("encoder_id", sa.Integer, sa.ForeignKey(encoder.c.id), primary_key=True),
    sa.Column("image_id", sa.BigInteger, sa.ForeignKey(image.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("code", BIT(CODE_BITS), nullable=False),
    postgresql_partition_by="LIST (encoder_id)",
)

geometry = sa.Table(
    "geometry",
    metadata,
    sa.Column("id", sa.SmallInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("angles", sa.Integer, nullable=False),
    sa.Column("bins", sa.Integer, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.UniqueConstraint("size", "angles", "bins", "rule"),
)

barcode = sa.Table(
    "barcode",
    metadata,
    sa.Column("geometry_id", sa.SmallInteger, sa.ForeignKey(geometry.c.id), primary_key=True),
    sa.Column("image_id", sa.BigInteger, sa.ForeignKey(image.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("code", BYTEA, nullable=False),
)

coding_failure = sa.Table(
    "coding_failure",
    metadata,
    sa.Column("encoder_id", sa.Integer, sa.ForeignKey(encoder.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("image_id", sa.BigInteger, sa.ForeignKey(image.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="1"),
    _moment("last_at"),
)

irma_term = sa.Table(
    "irma_term",
    metadata,
    sa.Column("axis", sa.Text, sa.CheckConstraint("axis IN ('T', 'D', 'A', 'B')", name="axis"), primary_key=True),
    sa.Column("prefix", sa.Text, primary_key=True),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("children", sa.Integer, nullable=False),
)
