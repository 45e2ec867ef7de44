"""IRMA codes as data: every node of the tree, the error as an SQL function, a CHECK that says what is legal.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import csv
from importlib import resources
from pathlib import Path

import sqlalchemy as sa

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

S = "radretrieval"
SQL = Path(__file__).parent / "sql"
TERMS = sa.table(
    "irma_term",
    *(sa.column(name, sa.Text) for name in ("axis", "prefix", "label")),
    sa.column("children", sa.Integer),
    schema=S,
)
COMMENT = "Each image with its IRMA code in words."
FORM = "^[0-9a-z]{4}-[0-9a-z]{3}-[0-9a-z]{3}-[0-9a-z]{3}$"


def upgrade() -> None:
    text = resources.files("radretrieval.irma").joinpath("terms.csv").read_text(encoding="utf-8")
    terms = [{**row, "children": int(row["children"])} for row in csv.DictReader(text.splitlines())]
    # an archive of revision 0001 may hold the nodes of the 193 classes only
    op.execute(f"DELETE FROM {S}.irma_term")
    op.bulk_insert(TERMS, terms)
    for name in ("0003_image_decoded", "0003_irma"):
        op.execute((SQL / f"{name}.sql").read_text(encoding="utf-8"))
    op.execute(f"ALTER TABLE {S}.image DROP CONSTRAINT image_irma_code_check")
    op.execute(f"ALTER TABLE {S}.image ADD CONSTRAINT image_irma_code_check CHECK ({S}.irma_code_check(irma_code))")


def downgrade() -> None:
    op.execute(f"DROP VIEW {S}.irma_class")
    # a view can be given a column, but not be rid of the one that 0002 takes away
    op.execute(f"DROP VIEW {S}.image_decoded")
    view = (SQL / "0003_image_decoded.sql").read_text(encoding="utf-8")
    op.execute(view.replace(", i.withdrawn", "") + f"; COMMENT ON VIEW {S}.image_decoded IS '{COMMENT}'")
    op.execute(f"ALTER TABLE {S}.image DROP CONSTRAINT image_irma_code_check")
    op.execute(f"ALTER TABLE {S}.image ADD CONSTRAINT image_irma_code_check CHECK (irma_code ~ '{FORM}')")
    for function in (
        "irma_error(text, text)",
        "irma_code_check(text)",
        "irma_normalise(text, boolean)",
        "irma_known(text)",
    ):
        op.execute(f"DROP FUNCTION {S}.{function}")
