"""What trials beside real peers and servers asked for.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

S = "radretrieval"


def upgrade() -> None:
    op.add_column("image", sa.Column("flat", sa.Boolean), schema=S)


def downgrade() -> None:
    op.drop_column("image", "flat", schema=S)  # verify sees it again in the files
