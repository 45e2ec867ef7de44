"""An archive with an exact index that is large enough to be used, and what brute force says of it.

`Truth` is read from the tables anew whenever it is asked for, and knows neither anchors nor facets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from databases import Server, database_of
from numpy.typing import NDArray
from psycopg.rows import tuple_row
from tiny import add_encoder

from radretrieval.archive import codes, connections, encoders, images
from radretrieval.archive.connections import Database
from radretrieval.archive.images import NewImage
from radretrieval.archive.search import exact_check, exact_index
from radretrieval.coding.hamming import distances

COUNT, CLUSTERS, EQUAL = 8000, 40, 350
CLASSES = ("1121-120-942-700", "1121-127-700-500", "1121-4a0-914-700", "1124-410-620-625", "1131-115-700-400")
TEXT = ("modality", "body_part", "view_position", "laterality", "split", "format", "photometric", "irma_code")
IDS = ("patient_key", "study_instance_uid", "series_instance_uid", "sop_instance_uid")
NUMBERS = ("rows", "columns", "bits_stored")
Hit = tuple[int, int]  # id, distance
NEW_IMAGES = (
    "INSERT INTO image (sha256, uri, format, rows, columns, bits_stored, photometric, modality, split) "
    "SELECT sha256(n::text::bytea), 'x' || n, 'png', 1, 1, 8, 'M', 'new ' || n %% 5, 'train' "
    "FROM generate_series(1, %s) n RETURNING id"
)


@dataclass(frozen=True)
class Anchored:
    """The database to copy, and the encoder whose codes are indexed in it."""

    template: str
    encoder: int


def new_image(i: int, rng: np.random.Generator) -> NewImage:
    """Image i of cluster i modulo CLUSTERS; its class and body part go with the cluster, the rest does not."""
    cluster, chance = i % CLUSTERS, rng.random()
    return NewImage(
        *(i.to_bytes(32, "big"), f"file:///{i}.png", "png" if i % 7 else "dicom"),
        *(1000 + int(rng.integers(0, 1000)), 1500 + i % 30, 8 if i % 3 else 12, f"MONOCHROME{1 + i % 2}"),
        modality=("CR", "DX", None)[int(rng.choice(3, p=[0.7, 0.2, 0.1]))],
        body_part=("CHEST", "HAND", "SKULL", None)[cluster % 4],
        view_position="RARE" if chance < 0.001 else "SOME" if chance < 0.011 else "TENTH" if chance < 0.111 else "AP",
        laterality=("L", "R")[int(rng.integers(2))],
        sop_instance_uid=f"1.9.{i}",
        series_instance_uid=f"1.3.{i // 2}",
        study_instance_uid=None if i % 11 == 0 else f"1.2.{i // 4}",
        patient_key=None if i % 13 == 0 else f"patient {i // 9}",
        irma_code=None if cluster % 8 == 7 else CLASSES[cluster % 5],
        split="test" if rng.random() < 0.1 else "train",
        withdrawn=bool(rng.random() < 0.05),
    )


def new_codes(count: int, seed: int = 1) -> NDArray[np.uint8]:
    """Packed codes around CLUSTERS centres, up to 160 bits away; the last EQUAL are all the same."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (CLUSTERS, 1000), np.uint8)[np.arange(count) % CLUSTERS]
    for row, changed in zip(bits, rng.integers(0, 161, count), strict=True):
        row[rng.integers(0, 1000, changed)] ^= 1
    bits[-EQUAL:] = bits[-1]
    return np.packbits(bits, axis=1)


def new_images(connection: Any, count: int) -> list[int]:
    return [int(row[0]) for row in rows(connection, NEW_IMAGES, (count,))]


def far_codes(count: int, seed: int = 5) -> NDArray[np.uint8]:
    """Outside of every cluster, so that bounds must widen."""
    return np.random.default_rng(seed).integers(0, 256, (count, 125), np.uint8)


@contextmanager
def made(server: Server, migrated: str) -> Iterator[Anchored]:
    """The template: COUNT images, coded; an exact index; days of ingestion from 2026-01-01 on."""
    with server.database(template=migrated) as url:
        database = Database(url)
        rng = np.random.default_rng(0)
        with database.connection() as connection:
            images.add(connection, [new_image(i, rng) for i in range(COUNT)])
            connection.execute("UPDATE image SET ingested_at = timestamptz '2026-01-01' + id % 60 * interval '6 hours'")
            number = add_encoder(connection)
            codes.geometry_id(connection, 192, 16, 272, "median-positive")
            codes.write_cnnc(connection, number, list(range(1, COUNT + 1)), new_codes(COUNT), 1000)
            encoder = encoders.get(connection, number)
        with connections.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE)")
        exact_index.build(database, encoder)
        yield Anchored(database_of(url), number)


@contextmanager
def asking(url: str) -> Iterator[Any]:
    """A connection in which each statement is a transaction, with the schema in its path."""
    with connections.connect(url, autocommit=True) as connection:
        yield connection


def rows(connection: Any, query: str, values: Any = None) -> list[tuple[Any, ...]]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        return list(cursor.execute(query, values))


def text(code: NDArray[np.uint8]) -> str:
    return "".join(map(str, np.unpackbits(code)))


def disturbed(code: NDArray[np.uint8], bits: int, seed: int = 0) -> NDArray[np.uint8]:
    """A code with so many of its bits changed."""
    loose = np.unpackbits(code)
    loose[np.random.default_rng(seed).choice(1000, bits, replace=False)] ^= 1
    return np.packbits(loose)


def nearest(connection: Any, query: NDArray[np.uint8], k: int, filter_: Any = None, encoder: int | None = None) -> Any:
    """Hits of cnnc_nearest in their order, and the set of paths."""
    given = (text(query), k, encoder, json.dumps(filter_ or {}))
    found = rows(connection, "SELECT * FROM cnnc_nearest(%s::bit(1000), %s, %s, %s)", given)
    return [(image, far) for image, far, _ in found], {path for _, _, path in found}


class Truth:
    """Ids, codes and images as the tables have them; brute force over them."""

    def __init__(self, connection: Any, encoder: int) -> None:
        query = (
            "SELECT i.*, substring(bit_send(c.code) FROM 5) AS code FROM cnnc c JOIN image i ON i.id = c.image_id "
            "WHERE c.encoder_id = %s ORDER BY i.id"
        )
        with connection.cursor(binary=True) as cursor:
            self.images = cursor.execute(query, (encoder,)).fetchall()
        self.ids = np.array([image["id"] for image in self.images], np.int64)
        self.codes = np.frombuffer(b"".join(image["code"] for image in self.images), np.uint8).reshape(-1, 125)

    def code(self, image_id: int) -> NDArray[np.uint8]:
        return self.codes[int(np.flatnonzero(self.ids == image_id)[0])]

    def passing(self, filter_: dict[str, Any], sql: Callable[[Any], bool] = lambda image: True) -> NDArray[np.bool_]:
        """Which images pass the columns and exclusions of a filter; `sql` is what its sql says, in Python."""
        return np.array([passes(image, filter_) and sql(image) for image in self.images], bool)

    def nearest(
        self, query: NDArray[np.uint8], k: int, keep: NDArray[np.bool_] | None = None, most: int = 1000
    ) -> list[Hit]:
        """The k nearest of those kept with all ties, by (distance, id)."""
        far = distances(query, self.codes) if len(self.codes) else np.zeros(0, np.int32)
        kept = far <= most if keep is None else keep & (far <= most)
        order = np.lexsort((self.ids[kept], far[kept]))
        ids, far = self.ids[kept][order], far[kept][order]
        if len(far) > k:
            ids, far = ids[far <= far[k - 1]][: k + 10_000], far[far <= far[k - 1]][: k + 10_000]
        return list(zip(ids.tolist(), far.tolist(), strict=True))

    def one_per(self, query: NDArray[np.uint8], k: int, keep: NDArray[np.bool_], column: str) -> list[Hit]:
        """The nearest image of each of k patients or studies, all that tie; who has none stands for itself."""
        groups = {image["id"]: image[column] or ("alone", image["id"]) for image in self.images}
        seen: dict[Any, Hit] = {}
        for image, far in self.nearest(query, len(self.ids) + 1, keep):
            seen.setdefault(groups[image], (image, far))
        hits = list(seen.values())
        return [hit for hit in hits if len(hits) <= k or hit[1] <= hits[k - 1][1]]


def passes(image: dict[str, Any], filter_: dict[str, Any]) -> bool:
    for key, wanted in filter_.items():
        if key == "not_image":
            ok = image["id"] not in (wanted if isinstance(wanted, list) else [wanted])
        elif key == "not_patient":
            ok = image["patient_key"] != wanted
        elif key in ("one_per", "max_distance", "sql"):
            ok = True
        else:
            ok = _value(image[key], wanted, key)
        if not ok:
            return False
    return True


def _value(has: Any, wanted: Any, key: str) -> bool:
    if isinstance(wanted, list):
        return any(_value(has, one, key) for one in wanted)
    if isinstance(wanted, dict):
        if "not" in wanted and _value(has, wanted["not"], key):
            return False
        if "from" in wanted and not (has is not None and _plain(has) >= type(_plain(has))(wanted["from"])):
            return False
        return not ("before" in wanted and not (has is not None and _plain(has) < type(_plain(has))(wanted["before"])))
    if wanted in (None, ""):
        return has is None
    if has is None:
        return False
    if key == "irma_code" and "*" in str(wanted):
        axes = [*str(wanted).split("-"), "*", "*", "*"][:4]
        return re.fullmatch("-".join(re.escape(a).replace(r"\*", "[0-9a-z]*") for a in axes), has) is not None
    if key == "ingested_at":
        return str(_plain(has))[:10] == wanted
    if key == "irma_code":
        return str(has).replace("-", "") == str(wanted).replace("-", "").lower()
    return str(has).lower() == str(wanted).lower() if isinstance(has, bool) else str(has) == str(wanted)


def _plain(value: Any) -> Any:
    """Moments as text that sorts as they do; numbers as they are."""
    return value.isoformat(sep=" ") if hasattr(value, "isoformat") else value


def sound(database: Database, encoder: int, queries: int = 6) -> exact_check.ExactCheck:
    """What `index check` finds, asserted to be sound."""
    with database.connection() as connection:
        chosen = encoders.get(connection, encoder)
    found = exact_check.check(database, chosen, queries, 20)
    assert found.sound, found
    return found


def refused(connection: Any, query: str, values: Any = None) -> str:
    """The message of the error that a query ends with."""
    try:
        with connection.transaction():
            connection.execute(query, values)
    except psycopg.Error as error:
        return str(error)
    raise AssertionError(f"not refused: {query}")
