"""The tables of the archive, for SQLAlchemy and Alembic. A test asserts that the migrations make exactly these.

What each table and column is stands in archive/sql/tables, as comments of the database."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from pgvector.sqlalchemy import BIT
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB

from radretrieval.archive.schema.columns import FACETS, IMAGE
from radretrieval.archive.schema.metadata import CODE_BITS, SCHEMA, metadata, moment
from radretrieval.archive.schema.user_tables import audit, audit_export, audit_head, feedback, label_report

__all__ = ("CODE_BITS", "SCHEMA", "audit", "audit_export", "audit_head", "feedback", "label_report", "metadata")

_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "bytea": BYTEA(),
    "text": sa.Text(),
    "int4": sa.Integer(),
    "int2": sa.SmallInteger(),
    "bool": sa.Boolean(),
    "float8": sa.Double(),
    "date": sa.Date(),
    "jsonb": JSONB(),
    "text[]": ARRAY(sa.Text),
}
_DEFAULTS: dict[str, Any] = {
    "withdrawn": sa.false(),
    "same_uid": sa.false(),
    "frame": sa.text("1"),
    "labelled": sa.text("'{}'"),
}
_INDEXED = {"uri", "sop_instance_uid", "study_instance_uid", "patient_key", "irma_code", "split", "study_date"}
_CHECKS = {
    "sha256": "octet_length(sha256) = 32",
    "irma_code": "radretrieval.irma_code_check(irma_code)",  # archive/sql/functions/irma_code_check.sql
    "frame": "frame >= 1",
    "pixels_sha256": "octet_length(pixels_sha256) = 32",
    "shown_sha256": "octet_length(shown_sha256) = 32",
    "kept": "kept IN ('copy', 'reduced')",
}

image = sa.Table(
    "image",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    *(
        sa.Column(
            column.name,
            _TYPES[column.type],
            *([sa.CheckConstraint(_CHECKS[column.name], name=column.name)] if column.name in _CHECKS else []),
            nullable=not column.required,
            server_default=_DEFAULTS.get(column.name),
            index=column.name in _INDEXED,
        )
        for column in IMAGE
    ),
    moment("ingested_at"),
    sa.Column("gone_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("hidden_at", sa.TIMESTAMP(timezone=True)),
    sa.UniqueConstraint("sha256", "frame"),
    sa.Index(
        "image_sop_instance_uid_key",
        *("sop_instance_uid", "frame"),
        unique=True,
        postgresql_where=sa.text("NOT same_uid"),
    ),
    sa.Index("image_hidden_path_idx", "id", postgresql_where=sa.text("starts_with(uri, 'file:hidden/')")),
    sa.Index("image_hidden_idx", "id", postgresql_where=sa.text("hidden_at IS NOT NULL")),
)

patient_key_check = sa.Table(
    "patient_key_check",
    metadata,
    sa.Column("id", sa.SmallInteger, sa.CheckConstraint("id = 1", name="id"), primary_key=True, server_default="1"),
    sa.Column("check_value", sa.Text),
    sa.Column("plain_issuer", sa.Text),
    moment("recorded_at"),
)

image_history = sa.Table(
    "image_history",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("image_id", sa.BigInteger, sa.ForeignKey(image.c.id, ondelete="CASCADE"), nullable=False, index=True),
    moment("changed_at"),
    sa.Column("origin", sa.Text),
    sa.Column("sha256", BYTEA, nullable=False),
    sa.Column("old", JSONB, nullable=False),
)

ingest_failure = sa.Table(
    "ingest_failure",
    metadata,
    sa.Column("uri", sa.Text, primary_key=True),
    sa.Column("sha256", BYTEA),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("error", "message")),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="1"),
    moment("last_at"),
    sa.Column("origin", sa.Text),
    sa.Column("sop_instance_uid", sa.Text),
)

arrival = sa.Table(
    "arrival",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("sha256", BYTEA, nullable=False, unique=True),
    sa.Column("uri", sa.Text, nullable=False),
    sa.Column("origin", sa.Text),
    sa.Column("sop_instance_uid", sa.Text, index=True),
    moment("arrived_at"),
)

pull = sa.Table(
    "pull",
    metadata,
    sa.Column("url", sa.Text, primary_key=True),
    sa.Column("query", sa.Text, primary_key=True),
    sa.Column("change", sa.BigInteger),
    sa.Column("study_date", sa.Date),
    moment("pulled_at"),
    sa.Column("reconciled_at", sa.TIMESTAMP(timezone=True)),
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
    moment("created_at"),
    sa.Column("active", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("calibration", JSONB),
    sa.Index("encoder_one_active", "active", unique=True, postgresql_where=sa.text("active")),
)

cnnc = sa.Table(
    "cnnc",
    metadata,
    sa.Column("encoder_id", sa.Integer),  # encoder_codes_kept() stands for the foreign key
    sa.Column("image_id", sa.BigInteger, sa.ForeignKey(image.c.id, ondelete="CASCADE")),
    sa.Column("code", BIT(CODE_BITS), nullable=False),
    sa.PrimaryKeyConstraint("image_id", "encoder_id"),
    postgresql_partition_by="LIST (encoder_id)",
)

cnnc_hidden = sa.Table(
    "cnnc_hidden",
    metadata,
    sa.Column("encoder_id", sa.Integer, sa.ForeignKey(encoder.c.id, ondelete="CASCADE")),
    sa.Column("image_id", sa.BigInteger, sa.ForeignKey(image.c.id, ondelete="CASCADE")),
    sa.Column("code", BIT(CODE_BITS), nullable=False),
    sa.PrimaryKeyConstraint("image_id", "encoder_id"),
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
    sa.Column("geometry_id", sa.SmallInteger, sa.ForeignKey(geometry.c.id)),
    sa.Column("image_id", sa.BigInteger, sa.ForeignKey(image.c.id, ondelete="CASCADE")),
    sa.Column("code", BYTEA, nullable=False),
    sa.PrimaryKeyConstraint("image_id", "geometry_id"),
)

coding_failure = sa.Table(
    "coding_failure",
    metadata,
    sa.Column("encoder_id", sa.Integer, sa.ForeignKey(encoder.c.id, ondelete="CASCADE")),
    sa.Column("image_id", sa.BigInteger, sa.ForeignKey(image.c.id, ondelete="CASCADE")),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="1"),
    moment("last_at"),
    sa.PrimaryKeyConstraint("image_id", "encoder_id"),
)

irma_term = sa.Table(
    "irma_term",
    metadata,
    sa.Column("axis", sa.Text, sa.CheckConstraint("axis IN ('T', 'D', 'A', 'B')", name="axis"), primary_key=True),
    sa.Column("prefix", sa.Text, primary_key=True),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("children", sa.Integer, nullable=False),
)

# The exact index: see archive/sql/functions/exact_ball.sql. The rows of an index lie in a table of its own, exact_<id>.
facet = sa.Table(
    "facet",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    *(sa.Column(column.name, _TYPES[column.type], nullable=False) for column in IMAGE if column.facet),
    sa.UniqueConstraint(*FACETS),
)

exact_index = sa.Table(
    "exact_index",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("encoder_id", sa.Integer, sa.ForeignKey(encoder.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("live", sa.Boolean, nullable=False),
    sa.Column("bypassed", sa.Boolean, nullable=False, server_default=sa.false()),
    moment("begun_at"),
    sa.Column("live_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("codes", sa.BigInteger),
    sa.Index("exact_index_one_live", "encoder_id", unique=True, postgresql_where=sa.text("live")),
)


def _of_index(*, primary_key: bool) -> sa.Column[object]:
    key = sa.ForeignKey(exact_index.c.id, ondelete="CASCADE")
    return sa.Column("index_id", sa.Integer, key, primary_key=primary_key, nullable=False)


exact_anchor = sa.Table(
    "exact_anchor",
    metadata,
    _of_index(primary_key=True),
    sa.Column("anchor", sa.Integer, primary_key=True),
    *(sa.Column(name, sa.Integer, nullable=False) for name in ("nearest", "farthest", "codes")),
    sa.Column("code", BIT(CODE_BITS), nullable=False),
)

exact_group = sa.Table(
    "exact_group",
    metadata,
    _of_index(primary_key=True),
    sa.Column("first", sa.Integer, primary_key=True),
    *(sa.Column(name, sa.Integer, nullable=False) for name in ("last", "reach", "codes")),
    sa.Column("code", BIT(CODE_BITS), nullable=False),
)

exact_cell = sa.Table(
    "exact_cell",
    metadata,
    _of_index(primary_key=True),
    sa.Column("facet_id", sa.Integer, primary_key=True),
    sa.Column("anchor", sa.Integer, primary_key=True),
    sa.Column("codes", sa.Integer, nullable=False),
)

exact_touched = sa.Table(
    "exact_touched",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    _of_index(primary_key=False),
    sa.Column("image_id", sa.BigInteger, nullable=False),
    sa.Index("exact_touched_index_id_idx", "index_id"),
)

hnsw_audit = sa.Table(
    "hnsw_audit",
    metadata,
    sa.Column("encoder_id", sa.Integer, sa.ForeignKey(encoder.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("recall", sa.Double, nullable=False),
    sa.Column("recall_worst", sa.Double, nullable=False),
    sa.Column("sample", sa.Integer, nullable=False),
    sa.Column("codes", sa.BigInteger, nullable=False),
    moment("measured_at"),
)

neighbour = sa.Table(
    "neighbour",
    metadata,
    sa.Column("encoder_id", sa.Integer, sa.ForeignKey(encoder.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("image_id", sa.BigInteger, sa.ForeignKey(image.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("rank", sa.Integer, nullable=False),
    sa.Column("neighbour_id", sa.BigInteger, sa.ForeignKey(image.c.id, ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("distance", sa.Integer, nullable=False),
    moment("filled_at"),
    sa.PrimaryKeyConstraint("image_id", "encoder_id", "rank"),
)

write_lock = sa.Table("write_lock", metadata, sa.Column("name", sa.Text, primary_key=True))

schema_object = sa.Table(
    "schema_object",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("source", BYTEA, nullable=False),
    sa.Column("definition", BYTEA, nullable=False),
    sa.Column("server", sa.Integer, nullable=False),
    moment("applied_at"),
)

heartbeat = sa.Table(
    "heartbeat",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("program", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    moment("started_at"),
    moment("beat_at"),
)

tombstone = sa.Table(
    "tombstone",
    metadata,
    sa.Column(
        "kind",
        sa.Text,
        sa.CheckConstraint("kind IN ('patient', 'study', 'sop', 'sha256')", name="kind"),
        primary_key=True,
    ),
    sa.Column("digest", BYTEA, sa.CheckConstraint("octet_length(digest) = 16", name="digest"), primary_key=True),
    moment("at"),
    sa.Column("content", BYTEA, sa.CheckConstraint("octet_length(content) = 32", name="content")),
    sa.Index("tombstone_unfinished_idx", "content", postgresql_where=sa.text("content IS NOT NULL")),
)
