"""What the tables of the archive share: their schema, the naming of constraints, columns with a point in time."""

from __future__ import annotations

import sqlalchemy as sa

SCHEMA = "radretrieval"
CODE_BITS = 1000

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


def moment(name: str) -> sa.Column[object]:
    """A column with a point in time, by default that of the insertion."""
    return sa.Column(name, sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now())
