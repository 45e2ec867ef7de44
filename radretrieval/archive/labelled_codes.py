"""Every code of an encoder with the barcode and the labels of its image, as numbers: some 700 bytes an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql
from radretrieval.coding.label_votes import NONE

FIELDS = ("irma_code", "body_part", "view_position", "laterality")
_BATCH = 4096


@dataclass(frozen=True)
class LabelledCodes:
    """Codes of images by id, and the values of `FIELDS`.

    Attributes
    ----------
    image_ids : int64 (n,), ascending. cnnc : uint8 (n, bytes).
    rbc : uint8 (n, bytes of the geometry); barcoded : bool (n,), False where an image has no barcode.
    patients : int32 (n,), equal for images of one patient; `NONE` where the patient is not known.
    values : of each field int32 (n,), places in its `terms`; `NONE` where the image has no value.
    terms : of each field its different values, sorted.
    """

    image_ids: NDArray[np.int64]
    cnnc: NDArray[np.uint8]
    rbc: NDArray[np.uint8]
    barcoded: NDArray[np.bool_]
    patients: NDArray[np.int32]
    values: dict[str, NDArray[np.int32]]
    terms: dict[str, list[str]]

    def value(self, field: str, place: int) -> str | None:
        """What the image at a place has in a field."""
        number = int(self.values[field][place])
        return None if number == NONE else self.terms[field][number]


def labelled_codes(connection: Connection, encoder_id: int, geometry: int | None, length: int) -> LabelledCodes:
    """All codes of an encoder; an IRMA code that its publisher took back counts as none.

    Parameters
    ----------
    geometry : id of that of the barcodes; None where no barcode has it. length : bytes of a barcode.
    """
    ids: list[NDArray[np.int64]] = []
    codes: list[NDArray[np.uint8]] = []
    barcodes: list[NDArray[np.uint8]] = []
    barcoded: list[NDArray[np.bool_]] = []
    names = ("patient_key", *FIELDS)
    numbers: dict[str, dict[str, int]] = {name: {} for name in names}
    columns: dict[str, list[NDArray[np.int32]]] = {name: [] for name in names}
    with connection.cursor("labelled_codes", binary=True) as cursor:  # named: the rows stay with the server
        cursor.execute(sql("labelled_codes"), {"encoder": encoder_id, "geometry": geometry})
        while rows := cursor.fetchmany(_BATCH):
            ids.append(np.array([row["image_id"] for row in rows], np.int64))
            codes.append(np.frombuffer(b"".join(row["code"] for row in rows), np.uint8).reshape(len(rows), -1))
            joined_rows = b"".join(row["barcode"] or bytes(length) for row in rows)
            barcodes.append(np.frombuffer(joined_rows, np.uint8).reshape(len(rows), length))
            barcoded.append(np.array([row["barcode"] is not None for row in rows]))
            for name in names:
                known = numbers[name]
                found = (NONE if (v := row[name]) is None else known.setdefault(v, len(known)) for row in rows)
                columns[name].append(np.fromiter(found, np.int32, len(rows)))
    joined = {name: np.concatenate([np.empty(0, np.int32), *columns[name]]) for name in names}
    ordered = {name: _sorted(joined[name], list(numbers[name])) for name in FIELDS}
    return LabelledCodes(
        image_ids=np.concatenate([np.empty(0, np.int64), *ids]),
        cnnc=np.concatenate(codes) if codes else np.empty((0, 0), np.uint8),
        rbc=np.concatenate([np.empty((0, length), np.uint8), *barcodes]),
        barcoded=np.concatenate([np.empty(0, bool), *barcoded]),
        patients=joined["patient_key"],
        values={name: values for name, (values, _) in ordered.items()},
        terms={name: terms for name, (_, terms) in ordered.items()},
    )


def _sorted(values: NDArray[np.int32], terms: list[str]) -> tuple[NDArray[np.int32], list[str]]:
    """The same values with terms in order, so that nothing depends on the order of the rows."""
    place = {term: number for number, term in enumerate(sorted(terms))}
    moved = np.array([*(place[term] for term in terms), NONE], np.int32)  # NONE is the last one's index
    return moved[values], sorted(terms)
