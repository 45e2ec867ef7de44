"""The index of exported images as CSV or Parquet: a row an image, with its codes; under a key de-identified."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from radretrieval.export.write_image import export_file, subject_of_row
from radretrieval.files.table_files import table_file
from radretrieval.privacy.code_strings import known
from radretrieval.privacy.replacements import KeyedReplacements

# The columns of every export with their descriptions; types as Parquet calls them, a string where none is named.
COLUMNS = {
    "file": "the image's file below this folder; empty where none was exported",
    "frame": "which frame of the file, from 1",
    "format": "what kind of file the archive has: png, jpeg, tiff or dicom",
    "rows": "height in pixels",
    "columns": "width in pixels",
    "bits_stored": "bits of a grey value",
    "photometric": "what pixel values mean, in DICOM's words",
    "modality": "DICOM modality",
    "body_part": "examined part of the body, in DICOM's words",
    "view_position": "direction of the view, in DICOM's words",
    "laterality": "side of a paired part of the body, R or L",
    "irma_code": "IRMA code TTTT-DDD-AAA-BBB",
    "split": "train, test, …",
    "withdrawn": "its label was taken back by its publisher",
    "sop_instance_uid": "DICOM SOP Instance UID",
    "series_instance_uid": "DICOM Series Instance UID",
    "study_instance_uid": "DICOM Study Instance UID",
    "sop_class_uid": "DICOM SOP Class UID",
    "transfer_syntax_uid": "DICOM Transfer Syntax UID",
    "patient_key": "pseudonym of the patient",
    "study_date": "DICOM Study Date",
    "manufacturer": "manufacturer of the equipment",
    "row_spacing": "distance of neighbouring rows in mm",
    "column_spacing": "distance of neighbouring columns in mm",
    "kvp": "peak voltage of the X-ray tube in kV",
    "exposure": "exposure in mAs",
    "cnnc": "CNN code, 1000 bits packed MSB first; hexadecimal digits in a CSV",
    "barcode": "Radon barcode, bits packed MSB first; hexadecimal digits in a CSV",
}
# Further columns of an export that is not de-identified.
OPEN_COLUMNS = {
    "id": "number of the image in the archive",
    "uri": "where the archive has the file",
    "sha256": "SHA-256 of the file",
    "pixels_sha256": "SHA-256 of the stored pixel values",
}
_TYPES = {
    **dict.fromkeys(("frame", "rows", "columns", "bits_stored"), "int32"),
    **dict.fromkeys(("row_spacing", "column_spacing", "kvp", "exposure"), "float64"),
    **dict.fromkeys(("cnnc", "barcode"), "binary"),
    "withdrawn": "bool_",
    "study_date": "date32",
    "id": "int64",
}
_GROUP = 10_000  # rows of a row group
# Columns of Code Strings: what is no known term may be a name; labels have terms in lower case too.
_TERMS = ("modality", "body_part", "view_position", "laterality")

AppendRow = Callable[[dict[str, Any]], None]


def columns_of(replacements: KeyedReplacements | None) -> dict[str, str]:
    """The columns of an index with their descriptions."""
    return COLUMNS if replacements is not None else COLUMNS | OPEN_COLUMNS


def index_row(row: dict[str, Any], file: str, replacements: KeyedReplacements | None) -> dict[str, Any]:
    """A row of the index from a row of the archive; with `replacements` without what identifies the patient."""
    values = {name: row[name] for name in columns_of(replacements) if name != "file"} | {"file": file}
    for name in ("sha256", "pixels_sha256"):
        if values.get(name) is not None:
            values[name] = values[name].hex()
    if replacements is None:
        return values
    subject = subject_of_row(row)
    for name in ("sop_instance_uid", "series_instance_uid", "study_instance_uid"):
        values[name] = replacements.uid(row[name]) if row[name] else None
    values["patient_key"] = replacements.pseudonym(subject) if row["patient_key"] else None
    values["study_date"] = replacements.date(subject, row["study_date"]) if row["study_date"] else None
    for name in _TERMS:
        if values[name] is not None and not known(values[name].upper()):
            values[name] = None
    for name in ("sop_class_uid", "transfer_syntax_uid"):
        values[name] = values[name] if _of_the_standard(values[name]) else None
    values["manufacturer"] = None  # free text, and the archive has no names to look for in it: the file tells
    return values


def _of_the_standard(uid: str | None) -> bool:
    """Whether a UID is one of PS3.6; another may have a number of the patient in it."""
    from pydicom.uid import UID

    return bool(uid) and UID(str(uid)).name != uid


@contextmanager
def index_file(path: Path, columns: Sequence[str]) -> Iterator[AppendRow]:
    """A function that appends rows to a file, which exists, whole, when the block has ended without an exception.

    It is a Parquet file where the path ends in .parquet, else a CSV.
    """
    kinds = {name: _TYPES.get(name, "string") for name in columns}
    parquet = path.suffix == ".parquet"
    with export_file(path) as draft, table_file(draft, kinds, parquet=parquet, group=_GROUP) as append:
        yield lambda row: append([[row[name] for name in columns]])
