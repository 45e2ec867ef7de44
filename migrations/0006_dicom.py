"""DICOM: what headers say beside the pixels, frames, files that were received, where pulls stand.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, JSONB

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

S = "radretrieval"
SQL = Path(__file__).parent / "sql"
CHECKS = {
    "frame": "frame >= 1",
    "pixels_sha256": "octet_length(pixels_sha256) = 32",
    "kept": "kept IN ('copy', 'reduced')",
}


def _columns() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column(
            "frame",
            sa.Integer,
            nullable=False,
            server_default="1",
            comment="Which frame of the file, from 1; 1 of files with one.",
        ),
        sa.Column(
            "sop_class_uid", sa.Text, comment="DICOM SOP Class UID: what kind of object it is; NULL of other files."
        ),
        sa.Column(
            "transfer_syntax_uid",
            sa.Text,
            comment="DICOM Transfer Syntax UID: how its file is encoded; NULL of other files.",
        ),
        sa.Column(
            "pixels_sha256",
            BYTEA,
            comment="SHA-256 of the stored pixel values, 32 bytes: equal in every lossless encoding; "
            "NULL where not known.",
        ),
        sa.Column(
            "same_uid",
            sa.Boolean,
            nullable=False,
            server_default=sa.false(),
            comment="Its SOP Instance UID was another image's already, whose pixels differ: one of the two is wrong.",
        ),
        sa.Column("study_date", sa.Date, comment="DICOM Study Date; NULL where nobody told."),
        sa.Column("manufacturer", sa.Text, comment="Manufacturer of the equipment; NULL where nobody told."),
        sa.Column("row_spacing", sa.Double, comment="Distance of neighbouring rows in mm; NULL where nobody told."),
        sa.Column(
            "column_spacing", sa.Double, comment="Distance of neighbouring columns in mm; NULL where nobody told."
        ),
        sa.Column("kvp", sa.Double, comment="Peak voltage of the X-ray tube in kV; NULL where nobody told."),
        sa.Column("exposure", sa.Double, comment="Exposure in mAs; NULL where nobody told."),
        sa.Column(
            "header",
            JSONB,
            comment="Other attributes of the DICOM header by keyword, where RADRETRIEVAL_HEADER_MORE asked for them.",
        ),
        sa.Column(
            "origin", sa.Text, comment="AE title or URL of the peer that it came from; NULL of files that were found."
        ),
        sa.Column(
            "kept",
            sa.Text,
            comment="What the store keeps of it: copy, the file; reduced, its pixels at a lower size; NULL, nothing.",
        ),
        sa.Column(
            "gone_at",
            sa.TIMESTAMP(timezone=True),
            comment="When its file, or the peer that it came from, was found to have it no more.",
        ),
    )


def _moment(name: str, comment: str, *, nullable: bool = False) -> sa.Column[object]:
    default = None if nullable else sa.func.now()
    return sa.Column(name, sa.TIMESTAMP(timezone=True), nullable=nullable, server_default=default, comment=comment)


def _image() -> None:
    for column in _columns():
        op.add_column("image", column, schema=S)
    for name, condition in CHECKS.items():
        op.create_check_constraint(f"image_{name}_check", "image", condition, schema=S)
    op.drop_constraint("image_sha256_key", "image", schema=S)
    op.create_unique_constraint("image_sha256_key", "image", ["sha256", "frame"], schema=S)
    op.drop_constraint("image_sop_instance_uid_key", "image", schema=S)
    op.create_index(
        "image_sop_instance_uid_key",
        "image",
        ["sop_instance_uid", "frame"],
        unique=True,
        postgresql_where=sa.text("NOT same_uid"),
        schema=S,
    )
    # for those who look a UID up, whether flagged or not
    op.create_index("image_sop_instance_uid_idx", "image", ["sop_instance_uid"], schema=S)
    op.create_index("image_study_date_idx", "image", ["study_date"], schema=S)


def _arrival() -> None:
    op.create_table(
        "arrival",
        sa.Column(
            "id", sa.BigInteger, sa.Identity(always=True), nullable=False, comment="Number, in order of arrival."
        ),
        sa.Column("sha256", BYTEA, nullable=False, comment="SHA-256 of the file, 32 bytes: its name in the store."),
        sa.Column("uri", sa.Text, nullable=False, comment="What the image will have as its uri."),
        sa.Column("origin", sa.Text, comment="AE title or URL of the peer that it came from."),
        sa.Column("sop_instance_uid", sa.Text, comment="DICOM SOP Instance UID that its sender named."),
        _moment("arrived_at", "When it was on the disk."),
        sa.PrimaryKeyConstraint("id", name="arrival_pkey"),
        sa.UniqueConstraint("sha256", name="arrival_sha256_key"),
        schema=S,
        comment="Files that came from peers and lie in the store, until they are images or have failed.",
    )


def _pull() -> None:
    op.create_table(
        "pull",
        sa.Column("url", sa.Text, nullable=False, comment="DICOMweb root, or AE@host:port, of the peer."),
        sa.Column("query", sa.Text, nullable=False, comment="What it was asked for, beside dates."),
        sa.Column("change", sa.BigInteger, comment="Orthanc: the last change that was followed."),
        sa.Column("study_date", sa.Date, comment="Studies before this date are complete here."),
        _moment("pulled_at", "When a pull ended last."),
        _moment("reconciled_at", "When deletions were looked for last.", nullable=True),
        sa.PrimaryKeyConstraint("url", "query", name="pull_pkey"),
        schema=S,
        comment="How far pulls from peers have come; the next one goes on from there.",
    )


def upgrade() -> None:
    _image()
    _arrival()
    _pull()
    op.execute((SQL / "0006_dicom.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    # the key of an image has two parts, so that rows of later frames and equal UIDs are among what would be lost
    values = ", ".join(column.name for column in _columns() if column.nullable)
    op.execute(
        f"DO $$BEGIN IF EXISTS (SELECT FROM {S}.image WHERE frame > 1 OR same_uid OR num_nonnulls({values}) > 0) "
        f"OR EXISTS (SELECT FROM {S}.arrival) OR EXISTS (SELECT FROM {S}.pull) THEN RAISE EXCEPTION USING MESSAGE = "
        "'the columns and tables that revision 0006 brought hold data of DICOM files; "
        "to go back, restore a backup that was made before the upgrade'; END IF; END$$"
    )
    op.execute((SQL / "0004_filter.sql").read_text(encoding="utf-8"))
    op.drop_table("pull", schema=S)
    op.drop_table("arrival", schema=S)
    op.drop_index("image_study_date_idx", "image", schema=S)
    op.drop_index("image_sop_instance_uid_idx", "image", schema=S)
    op.drop_index("image_sop_instance_uid_key", "image", schema=S)
    op.create_unique_constraint("image_sop_instance_uid_key", "image", ["sop_instance_uid"], schema=S)
    op.drop_constraint("image_sha256_key", "image", schema=S)
    op.create_unique_constraint("image_sha256_key", "image", ["sha256"], schema=S)
    for column in reversed(_columns()):
        op.drop_column("image", column.name, schema=S)
