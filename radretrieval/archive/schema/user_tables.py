"""The tables of what users say and do, for SQLAlchemy and Alembic."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, JSONB

from radretrieval.archive.schema.metadata import metadata, moment

feedback = sa.Table(
    "feedback",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    moment("at"),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("query_image_id", sa.BigInteger, sa.ForeignKey("radretrieval.image.id", ondelete="CASCADE")),
    sa.Column("query_sha256", BYTEA, sa.CheckConstraint("octet_length(query_sha256) = 32", name="query_sha256")),
    sa.Column(
        "hit_image_id",
        sa.BigInteger,
        sa.ForeignKey("radretrieval.image.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("relevant", sa.Boolean, nullable=False),
    sa.Column("encoder_id", sa.Integer, sa.ForeignKey("radretrieval.encoder.id", ondelete="SET NULL")),
    sa.Column("rank", sa.Integer),
    sa.Column("cnnc_distance", sa.Integer),
    sa.Column("rbc_distance", sa.Integer),
    sa.CheckConstraint("num_nonnulls(query_image_id, query_sha256) = 1", name="query"),
    sa.UniqueConstraint(
        *("query_image_id", "query_sha256", "hit_image_id", "who"),
        postgresql_nulls_not_distinct=True,
    ),
)

label_report = sa.Table(
    "label_report",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    moment("at"),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("image_id", sa.BigInteger, sa.ForeignKey("radretrieval.image.id", ondelete="CASCADE"), nullable=False),
    sa.Column("expected", sa.Text, sa.CheckConstraint("radretrieval.irma_code_check(expected)", name="expected")),
    sa.Column("remark", sa.Text),
    sa.Column("labels", JSONB, nullable=False),
    sa.CheckConstraint("num_nonnulls(expected, remark) > 0", name="said"),
    sa.UniqueConstraint("image_id", "who"),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.TIMESTAMP(timezone=True), primary_key=True),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("db_role", sa.Text),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("detail", JSONB, nullable=False),
    sa.Column("hash", BYTEA, nullable=False),
    postgresql_partition_by="RANGE (at)",
)

audit_head = sa.Table(
    "audit_head",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, server_default="1"),
    sa.Column("last_id", sa.BigInteger, nullable=False),
    sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.Column("hash", BYTEA, nullable=False),
)

audit_export = sa.Table(
    "audit_export",
    metadata,
    sa.Column("target", sa.Text, primary_key=True),
    sa.Column("last_id", sa.BigInteger, nullable=False),
    moment("at"),
)
