"""What an encoder's probabilities are calculated by; an index of hidden paths.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

S = "radretrieval"


def upgrade() -> None:
    op.add_column("encoder", sa.Column("calibration", JSONB), schema=S)
    # whether an archive hides paths is asked at the begin of each ingestion
    op.create_index(
        "image_hidden_path_idx", "image", ["id"], schema=S, postgresql_where=sa.text("starts_with(uri, 'file:hidden/')")
    )


def downgrade() -> None:
    op.execute(
        f"DO $$BEGIN IF EXISTS (SELECT FROM {S}.encoder WHERE calibration IS NOT NULL) THEN RAISE EXCEPTION USING "
        "MESSAGE = 'the column that revision 0009 brought holds calibrations, which only a training makes anew; "
        "to go back, restore a backup that was made before the upgrade'; END IF; END$$"
    )
    # 0008 makes the first with other columns, and has no third
    for function in (
        "retrieve(bigint, integer, integer, integer, jsonb)",
        "retrieve_by(bit, bytea, integer, integer, integer, jsonb)",
        "calibrated(jsonb, double precision[])",
    ):
        op.execute(f"DROP FUNCTION IF EXISTS {S}.{function}")
    op.drop_index("image_hidden_path_idx", "image", schema=S)
    op.drop_column("encoder", "calibration", schema=S)
