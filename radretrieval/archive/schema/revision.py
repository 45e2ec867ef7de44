"""The revision that this version needs, apart from `schema` so that a search need not import SQLAlchemy for it."""

REVISION = "0006"
