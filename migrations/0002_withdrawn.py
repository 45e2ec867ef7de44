"""Images whose label was taken back by its publisher are marked.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

S = "radretrieval"


def upgrade() -> None:
    column = sa.Column(
        "withdrawn",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="Its label was taken back by its publisher: kept and searchable, "
        "left out of training and scores unless asked.",
    )
    # a constant default writes no row: instant, whatever the table's size
    op.add_column("image", column, schema=S)


def downgrade() -> None:
    op.execute(
        f"DO $$BEGIN IF EXISTS (SELECT FROM {S}.image WHERE withdrawn) THEN RAISE EXCEPTION USING MESSAGE = "
        "'images are marked as withdrawn, which revision 0002 brought; "
        "to go back, restore a backup that was made before the upgrade'; END IF; END$$"
    )
    op.drop_column("image", "withdrawn", schema=S)
