"""The columns of `image` that files and labels fill: one table, of which statements and records are made.

Nothing but the standard library is imported, so that the command line and decoding processes may read it.
"""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """A column of `image`.

    Attributes
    ----------
    name : as in SQL.
    type : of PostgreSQL, as COPY names it.
    required : NOT NULL.
    facet : exact indexes keep it beside the codes, so that filters on it are fast.
    label : a person may set it (`ingest --labels`); else it comes from the file.
    completed : `verify` fills it from the header where an older version ingested the image.
    header : a DICOM header fills it: it follows the newest file with the image's pixels.
    """

    name: str
    type: str
    required: bool = False
    facet: bool = False
    label: bool = False
    completed: bool = False
    header: bool = False


IMAGE = (
    Column("sha256", "bytea", required=True),
    Column("uri", "text", required=True),
    Column("format", "text", required=True, facet=True),
    Column("rows", "int4", required=True),
    Column("columns", "int4", required=True),
    Column("bits_stored", "int2", required=True),
    Column("photometric", "text", required=True, facet=True),
    Column("irma_code", "text", facet=True, label=True),
    Column("split", "text", facet=True, label=True),
    Column("patient_key", "text", label=True, header=True),
    Column("modality", "text", facet=True, label=True, header=True),
    Column("body_part", "text", facet=True, label=True, header=True),
    Column("view_position", "text", facet=True, label=True, header=True),
    Column("laterality", "text", facet=True, label=True, header=True),
    Column("withdrawn", "bool", required=True, facet=True, label=True),
    Column("sop_instance_uid", "text"),
    Column("series_instance_uid", "text", header=True),
    Column("study_instance_uid", "text", header=True),
    Column("frame", "int4", required=True),
    Column("sop_class_uid", "text", completed=True, header=True),
    Column("transfer_syntax_uid", "text", completed=True),
    Column("pixels_sha256", "bytea", completed=True),
    Column("same_uid", "bool", required=True),
    Column("study_date", "date", completed=True, header=True),
    Column("manufacturer", "text", completed=True, header=True),
    Column("row_spacing", "float8", completed=True, header=True),
    Column("column_spacing", "float8", completed=True, header=True),
    Column("kvp", "float8", completed=True, header=True),
    Column("exposure", "float8", completed=True, header=True),
    Column("shown_sha256", "bytea", completed=True),
    Column("flat", "bool", completed=True),
    Column("header", "jsonb", header=True),
    Column("origin", "text"),
    Column("kept", "text"),
    Column("labelled", "text[]", required=True),
)

FACETS = tuple(column.name for column in IMAGE if column.facet)
LABELS = tuple(column.name for column in IMAGE if column.label)
COMPLETED = tuple(column.name for column in IMAGE if column.completed)
HEADER = tuple(column.name for column in IMAGE if column.header)
FILE = ("sha256", "uri", "format", "transfer_syntax_uid", "origin", "kept", "shown_sha256", "flat")  # follow every file
LABELLED = tuple(column.name for column in IMAGE if column.header and column.label)
