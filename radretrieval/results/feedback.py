"""What users say of hits as a CSV or a Parquet file."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

from radretrieval.archive import feedback
from radretrieval.archive.connections import Database
from radretrieval.archive.feedback import Opinion
from radretrieval.errors import UsageError
from radretrieval.files.output import check_output, output_file
from radretrieval.files.table_files import load_pyarrow, table_file
from radretrieval.files.text import printable

SUFFIXES = (".csv", ".parquet")
_WHAT = "list of feedback"
_TYPES = {
    **dict.fromkeys(("id", "query_image_id", "hit_image_id"), "int64"),
    **dict.fromkeys(("encoder_id", "rank", "cnnc_distance", "rbc_distance"), "int32"),
    "relevant": "bool_",
}
COLUMNS = {name: _TYPES.get(name, "string") for name in (one.name for one in fields(Opinion))}


def write_feedback(database: Database, path: Path) -> int:
    """Write all opinions, a row each; returns how many there are.

    Raises UsageError when the name does not end in .csv or .parquet, the file cannot be written, or pyarrow is missing.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path} is not a name for a {_WHAT}; let it end in {' or '.join(SUFFIXES)}")
    if suffix == ".parquet":
        load_pyarrow()
    target, count = check_output(path, suffix, _WHAT), 0
    with (
        database.connection() as connection,
        output_file(target, _WHAT) as draft,
        table_file(draft, COLUMNS, parquet=suffix == ".parquet") as append,
    ):
        for one in feedback.given(connection):
            row = asdict(one) | {"at": one.at.isoformat(timespec="seconds"), "who": printable(one.who)}
            append([tuple(row.values())])
            count += 1
    return count
