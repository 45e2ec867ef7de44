"""An archive for questions of analysts: classes, patients, two encoders, codes in clusters with many ties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tiny import FUSED, add_encoder

from radretrieval.archive import codes, images
from radretrieval.archive.images import NewImage

CLASSES = ("1121-120-942-700", "1121-127-700-500", "1121-4a0-914-700", "1124-410-620-625", "1121-115-700-400")


@dataclass(frozen=True)
class Filled:
    """What was written. The i-th image has the id i + 1; encoders[0] is active; encoders[1] orders by both
    distances.

    Attributes
    ----------
    cnnc : uint8 (n, 125) of each encoder. rbc : uint8 (n, 544). classes : IRMA code of each image, None for some.
    """

    encoders: tuple[int, int]
    geometry: int
    cnnc: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    rbc: NDArray[np.uint8]
    classes: list[str | None]


def clustered(count: int, centres: int, flips: int, length: int = 1000, seed: int = 0) -> NDArray[np.uint8]:
    """Packed codes (count, length / 8) near to a few centres: 0 to `flips` bits are other than the centre's.

    Code i is of the centre i modulo `centres`; distances are few, so that they tie.
    """
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (centres, length), np.uint8)[np.arange(count) % centres]
    for row, changed in zip(bits, rng.integers(0, flips + 1, count), strict=True):
        row[rng.choice(length, changed, replace=False)] ^= 1
    return np.packbits(bits, axis=1)


def fill(connection: Any, count: int = 400, flips: int = 12) -> Filled:
    """Images 1 … count, three a patient, coded by two encoders, with barcodes; every tenth without class."""
    classes = [None if i % 10 == 9 else CLASSES[i % len(CLASSES)] for i in range(count)]
    with connection.transaction():
        images.add(
            connection,
            [
                NewImage(
                    *(i.to_bytes(32, "big"), f"file:///{i}.png", "png", 4, 5, 8, "MONOCHROME2"),
                    modality="CR" if i % 3 else "DX",
                    body_part="CHEST" if i % 2 else "HAND",
                    study_instance_uid=f"1.2.{i // 2}",
                    patient_key=f"patient {i // 3}",
                    irma_code=classes[i],
                    split="test" if i % 4 == 0 else "train",
                )
                for i in range(count)
            ],
        )
        encoders = add_encoder(connection), add_encoder(connection, seed=1, profile=FUSED)
        geometry = codes.geometry_id(connection, 192, 16, 272, "median-positive")
        ids = list(range(1, count + 1))
        cnnc = tuple(clustered(count, len(CLASSES), flips, seed=seed) for seed in (1, 2))
        for encoder, of_encoder in zip(encoders, cnnc, strict=True):
            codes.write_cnnc(connection, encoder, ids, of_encoder, 1000)
        rbc = clustered(count, len(CLASSES), 6, 4352, seed=3)
        codes.write_barcodes(connection, geometry, ids, rbc)
    return Filled((encoders[0], encoders[1]), geometry, (cnnc[0], cnnc[1]), rbc, classes)


def build_exact(connection: Any, encoder: int, anchors: int = 16) -> int:
    """An exact index of an encoder's codes, with some of them as its anchors; its id."""
    row = connection.execute(
        "INSERT INTO exact_index (encoder_id, live) VALUES (%s, true) RETURNING id", (encoder,)
    ).fetchone()
    index, table = row["id"], f"exact_{row['id']}"
    connection.execute(
        f"CREATE TABLE radretrieval.{table} "
        "(key int NOT NULL, facet_id int NOT NULL, image_id bigint PRIMARY KEY, code bit(1000) NOT NULL)"
    )
    connection.execute(f"CREATE INDEX ON radretrieval.{table} (key)")
    connection.execute(f"CREATE INDEX ON radretrieval.{table} (facet_id)")
    connection.execute(
        "INSERT INTO exact_anchor (index_id, anchor, nearest, farthest, codes, code) "
        "SELECT %s, row_number() OVER () - 1, 1000, 0, 0, c.code FROM ("
        "SELECT DISTINCT code FROM cnnc WHERE encoder_id = %s AND image_id <= %s) c",
        (index, encoder, anchors),
    )
    connection.execute(
        "SELECT exact_put(%s, array_agg(image_id), array_agg(NULL::int)) FROM cnnc WHERE encoder_id = %s",
        (index, encoder),
    )
    connection.execute(
        f"UPDATE exact_anchor a SET codes = (SELECT count(*) FROM {table} e WHERE e.key >> 10 = a.anchor) "
        "WHERE index_id = %s",
        (index,),
    )
    return int(index)
