"""A large archive made of a small one, for tests of what a page does with many images.

What is synthetic: each further row of `image` is a copy of one of the small archive's with UIDs, patient, study date
and maker of its own, and its CNN code and barcode are the copy's with some bits flipped at random, so that images of
one class lie together as an encoder puts them. Its film is that of the row it was copied from: both name the same file.
Files, their SHA-256, header, pixels and codes of the small archive are real.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive import codes, encoders
from radretrieval.archive.connections import Database
from radretrieval.archive.schema.columns import IMAGE
from radretrieval.archive.search import exact_index
from radretrieval.coding.radon import geometry

OWN = {
    "frame": "n",  # (sha256, frame) is unique; which frame of a file is read says the URI
    "pixels_sha256": "sha256(('pixels of ' || n)::bytea)",
    "shown_sha256": "sha256(('picture of ' || n)::bytea)",
    "sop_instance_uid": "'2.25.1' || n",
    "series_instance_uid": "'2.25.2' || n",
    "study_instance_uid": "'2.25.3' || n",
    "patient_key": "encode(sha256(('patient ' || n / 4)::bytea), 'hex')",
    "study_date": "date '2016-01-01' + n / 4",
    "manufacturer": "'Maker ' || chr(65 + n %% 5)",
}
LEAST, MOST = 20, 120  # flipped bits of a copy's code: no image is the near-duplicate of another


def enlarge(database: Database, count: int) -> None:
    """Add images to an archive of few until it has so many, with codes of its encoder, and build its exact index."""
    names = [column.name for column in IMAGE]
    values = [OWN.get(name, f"i.{name}") for name in names]
    with database.connection() as connection:
        encoder = encoders.get(connection)
        number = codes.geometry_id(connection, *geometry(encoder.profile.barcode))
        known = codes.of_splits(connection, encoder.id, number, None)
        few = len(known.image_ids)
        row = connection.execute(
            f"WITH added AS (INSERT INTO image ({', '.join(names)}) "
            f"SELECT {', '.join(values)} FROM generate_series(%(few)s + 1, %(count)s) n "
            "JOIN image i ON i.id = 1 + n %% %(few)s ORDER BY n RETURNING id) "
            "SELECT array_agg(id ORDER BY id) AS ids FROM added",
            {"few": few, "count": count},
        ).fetchone()
        assert row is not None
        ids = row["ids"]
        places = np.arange(few + 1, count + 1) % few  # whose copy each is
        codes.write_cnnc(connection, encoder.id, ids, flipped(known.cnnc[places]), 1000)
        codes.write_barcodes(connection, number, ids, flipped(known.rbc[places]))
    exact_index.build(database, encoder)


def flipped(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes (n, bytes) with `LEAST` to `MOST` bits of each flipped, fewer where one is drawn twice."""
    draw = np.random.default_rng(0)
    changed = packed.copy()
    for row, bits in zip(changed, draw.integers(LEAST, MOST, len(packed)), strict=True):
        at = draw.integers(0, 8 * packed.shape[1], bits)
        np.bitwise_xor.at(row, at // 8, (128 >> at % 8).astype(np.uint8))
    return changed
