"""What benchmarks of exact search share: where codes come from, an archive of many images, queries and the truth."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from _code_model import Flat, Model, fit, flat, load, outside, preactivations
from _common import RADIOGRAPHS, database, skip
from numpy.typing import NDArray

from radretrieval.archive import encoders
from radretrieval.archive.bulk_copy import copy_codes, copy_rows
from radretrieval.archive.connections import Database, connect
from radretrieval.archive.embedded import shared_server
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.opening import open_database
from radretrieval.coding.hamming import distances as hamming
from radretrieval.config import Settings
from radretrieval.irma.imageclef import classes
from radretrieval.profile import PAPER, Network, Profile

K = 50
TIES = 10_000  # as many as cnnc_nearest gives beyond k
CHUNK, IMAGES = 50_000, 1_000_000  # rows of a COPY; images of a transaction
TINY = replace(PAPER, name="tiny", network=Network(input_size=32, convolutions=(4, 8, 8)))

# Columns that a filter may name and how many of the images, drawn at random, have the rarer value.
RANDOM = {"laterality": 0.1, "view_position": 0.01, "body_part": 0.001, "rows": 0.1}

_IMAGES = """
INSERT INTO image (sha256, uri, format, rows, columns, bits_stored, photometric, modality, laterality, view_position,
                   body_part, patient_key, irma_code, split)
SELECT sha256(int8send(n.place)), 'file:///archive/' || n.place || '.png', 'png', 2000 + 1000 * n.rows, 2500, 12,
       'MONOCHROME2', 'DX', (ARRAY['R', 'L'])[n.laterality + 1], (ARRAY['PA', 'LL'])[n.view_position + 1],
       (ARRAY['CHEST', 'FOOT'])[n.body_part + 1], md5((n.place / 4)::text), (%(codes)s::text[])[n.kind + 1], 'train'
FROM new_image n ORDER BY n.place
"""

Codes = NDArray[np.uint8]
Flags = dict[str, NDArray[np.bool_]]


@dataclass
class Filled:
    """An archive that was filled: the image with id n + 1 has codes[n]."""

    where: Database
    settings: Settings
    encoder: Encoder
    codes: Codes
    kinds: NDArray[np.int16]
    flags: Flags

    def connect(self, **options: Any) -> Any:
        """A connection of its own, autocommit, which gives rows as tuples."""
        from psycopg.rows import tuple_row

        connection = connect(self.where.url, autocommit=True, **options)
        connection.row_factory = tuple_row
        return connection

    def one(self, statement: str) -> Any:
        """The first column of the only row."""
        with self.connect() as connection:
            return connection.execute(statement).fetchone()[0]


def model_of(file: Path | None, home: Path | None, quick: bool = False) -> Model:
    """The model in `file`; else one after the archive of `home`; else one after an archive that is trained now."""
    if file is not None:
        return load(file)
    if home is not None:
        with database(home) as (where, settings):
            return fit(*preactivations(where, settings))
    if not (RADIOGRAPHS / "metadata.csv").exists():
        skip("../shared/data/radiographs is absent; --model or --home name something else")
    from corpus import encoder, ingest

    with database() as (where, settings):
        ingest(settings)
        encoder(where, settings, PAPER, epochs=5 if quick else None)
        return fit(*preactivations(where, settings))


def source(model: Model, variant: str) -> Model | Flat:
    """What codes of a variant are drawn from."""
    return flat() if variant == "flat" else model.variant(variant)


@contextmanager
def tuned(codes: int, home: Path | None = None) -> Iterator[tuple[Database, Settings, str]]:
    """An archive on a server of its own, set as the admin of so many images would; the settings in words.

    In `home` it is kept, else it is for this run only.
    """
    # a million codes with their index are half a gigabyte, a million images with their indexes another one
    third = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 3
    buffers = min(max(2, round(1.2 * codes / 1e6)), max(1, int(third / 1e9)))
    wanted = {"shared_buffers": f"{buffers}GB", "max_wal_size": "8GB"}
    if home is not None:
        home.mkdir(exist_ok=True)
        home.chmod(0o755)
    with database(home) as (_, settings):
        shared_server.stop(settings.home)
        with (settings.home / "postgres" / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in wanted.items())
        yield open_database(settings), settings, ", ".join(f"{name} {value}" for name, value in wanted.items())


def fill(
    where: Database,
    settings: Settings,
    codes: Codes,
    kinds: NDArray[np.int16],
    profile: Profile = TINY,
    weights: bytes = b"no weights are needed",
) -> Filled:
    """Images, an encoder and its codes, as the archive's triggers and constraints have them; no index yet.

    Of an archive that was kept, what it does not have yet: whoever was stopped goes on.
    """
    flags = flags_of(len(codes), 0)
    print(f"{len(codes)} images", file=sys.stderr)
    with where.connection() as connection:
        known = connection.execute("SELECT id FROM encoder").fetchone()
        number = known["id"] if known else encoders.add(connection, profile, weights, [], {})
        had = {
            table: connection.execute(f"SELECT coalesce(max({column}), 0) AS n FROM {table}").fetchone()["n"]  # type: ignore[index]
            for table, column in (("image", "id"), ("cnnc", "image_id"))
        }
    for start in range(had["image"], len(codes), IMAGES):
        part = slice(start, start + IMAGES)
        with where.connection() as connection:
            add_images(connection, start, kinds[part], {name: flag[part] for name, flag in flags.items()})
    print("their codes", file=sys.stderr)
    for start in range(had["cnnc"], len(codes), CHUNK):
        part = slice(start, start + CHUNK)
        with where.connection() as connection:
            copy_codes(connection, "cnnc", number, np.arange(len(codes))[part] + 1, codes[part], 1000)
    vacuum(where)
    return Filled(where, settings, encoder_of(where, number), codes, kinds, flags)


def encoder_of(where: Database, number: int) -> Encoder:
    """The encoder as it stands."""
    with where.connection() as connection:
        return encoders.get(connection, number)


def vacuum(where: Database, *tables: str) -> None:
    """Statistics, and marks of what every search can see."""
    with connect(where.url, autocommit=True) as connection:
        connection.execute(f"VACUUM ANALYZE {', '.join(tables)}")


def flags_of(count: int, seed: int) -> Flags:
    """Which images have the rarer value of each column of `RANDOM`."""
    rng = np.random.default_rng([seed, 1])
    return {name: rng.random(count) < share for name, share in RANDOM.items()}


def add_images(connection: Any, first: int, kinds: NDArray[np.int16], flags: Flags) -> None:
    """Images number `first` and following, of these classes, in one statement."""
    names = ", ".join(flags)
    columns = ", ".join(f"{name} smallint" for name in ("kind", *flags))
    connection.execute("DROP TABLE IF EXISTS new_image")
    connection.execute(f"CREATE TEMP TABLE new_image (place bigint, {columns})")
    values = [(first + np.arange(len(kinds)), ">i8"), (kinds, ">i2"), *((flag, ">i2") for flag in flags.values())]
    copy_rows(connection, f"new_image (place, kind, {names})", values)
    connection.execute("ANALYZE new_image")
    connection.execute(_IMAGES, {"codes": codes_of_kinds(int(kinds.max()) + 1)})


def codes_of_kinds(count: int) -> list[str]:
    """The IRMA code of each class of a model; where it has more than the release, codes stand for several."""
    known = [kind.irma_code for kind in classes()]
    return [known[kind % len(known)] for kind in range(count)]


def queries_of(drawn: Model | Flat, codes: Codes, count: int, far: int, seed: int = 2) -> tuple[dict[str, Codes], Any]:
    """Queries by kind, and the classes of the first: new draws, random bits, and mixtures of two codes."""
    within, kinds = drawn.draw(count, seed)
    strange = outside(codes, 2 * far, seed)
    return {"within": within, "random": strange[:far], "mixture": strange[far:]}, kinds


class Truth:
    """The k nearest codes and all that tie with the last, by faiss if it is there, else by numpy."""

    def __init__(self, codes: Codes, index: Any = None) -> None:
        self.codes, self.index = codes, index

    def of(self, query: Codes, k: int = K) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Places and distances, by (distance, place)."""
        if self.index is None:
            return with_ties(hamming(query, self.codes), k)
        last = int(self.index.search(query[None], k)[0][0, -1])
        _, far, places = self.index.range_search(query[None], last + 1)  # smaller, not equal
        order = np.lexsort((places, far))[: k + TIES]
        return places[order], far[order].astype(np.int32)


def with_ties(
    far: NDArray[np.int32], k: int, mask: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Places and distances of the k nearest, and of all that tie with the last, where `mask` holds."""
    places = np.arange(len(far)) if mask is None else np.flatnonzero(mask)
    far = far[places]
    if len(far) > k:
        near = far <= np.partition(far, k - 1)[k - 1]
        places, far = places[near], far[near]
    order = np.lexsort((places, far))[: k + TIES]
    return places[order], far[order]


def recall(found: Sequence[int] | NDArray[Any], true: NDArray[np.int32], k: int = K) -> float:
    """Share of the true k that were found; of those that tie with the last, any will do."""
    if not len(true):
        return 1.0
    last = true[min(k, len(true)) - 1]
    return min(int((np.asarray(found) <= last).sum()), k, len(true)) / min(k, len(true))


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds."""
    values = 1e3 * np.asarray(seconds)
    p50, p95, p99 = np.percentile(values, [50, 95, 99]).tolist()
    return {
        "queries": len(values),
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "max": float(values.max()),
        "sum": float(values.sum()),
    }


def cells(figures: Mapping[str, float], *names: str) -> list[str]:
    """Numbers for a table, with three figures each."""
    return [number(figures[name]) for name in names]


def number(value: float) -> str:
    """Three figures, and no exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
