"""What the row of the audit adds to a search, and how long values with counts take in a large archive.

    python benchmarks/recorded.py [--images 1000000]

The searches are of stored images, the shortest there are; a new file takes the network's time besides. The values are
counted over images that have no codes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from _common import database, machine, table

from radretrieval.archive import audit, codes, encoders
from radretrieval.archive.connections import Connection, Database
from radretrieval.archive.facets import FacetCounts
from radretrieval.archive.filters import parse
from radretrieval.profile import STRONG
from radretrieval.search.recorded import recorded
from radretrieval.search.request import Request
from radretrieval.search.searcher import Searcher

CODED, SEARCHES = 2_561, 300  # as many images as benchmarks/search.py has
IMAGES = """
INSERT INTO image (sha256, uri, format, rows, columns, bits_stored, photometric, modality, body_part, view_position,
                   laterality, manufacturer, study_date)
SELECT sha256(n::text::bytea), 'file:///' || n, 'dicom', 2000, 2500, 12, 'MONOCHROME2',
       (ARRAY['CR', 'DX', 'MG'])[n %% 3 + 1],
       'PART ' || n %% 37, (ARRAY['PA', 'AP', 'LL', NULL])[n %% 4 + 1], (ARRAY['L', 'R', NULL])[n %% 5 %% 3 + 1],
       'Maker ' || n %% 11 %% 7, date '2005-01-01' + (n * 7919 %% 7300)::int
FROM generate_series(%s::bigint, %s) n
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000, help="of which values are counted")
    images = parser.parse_args().images
    print(machine("psycopg"))
    with database() as (where, settings):
        with where.connection() as connection:
            fill(connection)
        with Searcher(where, settings) as searcher:
            searches(searcher)
        with where.connection() as connection:
            connection.execute(IMAGES, (CODED + 1, images))
        with where.connection() as connection:
            connection.autocommit = True
            connection.execute("ANALYZE image")
        facets(where, images)


def fill(connection: Connection) -> None:
    """Images with random codes and barcodes."""
    random = np.random.default_rng(0)
    connection.execute(IMAGES, (1, CODED))
    number = encoders.add(connection, STRONG, b"", ["a"], {})
    ids = list(range(1, CODED + 1))
    codes.write_cnnc(connection, number, ids, random.integers(0, 256, (CODED, 125), np.uint8), 1000)
    geometry = codes.geometry_id(connection, 192, 16, 272, "median-positive")
    codes.write_barcodes(connection, geometry, ids, random.integers(0, 256, (CODED, 544), np.uint8))


def searches(searcher: Searcher) -> None:
    """Medians of a search by id, of its row, and of one whose commit waits for the disk."""
    spent: dict[str, list[float]] = {"search": [], "its row": [], "a row that waits for the disk": []}

    def timed(name: str, act: Callable[[], object]) -> object:
        begun = time.perf_counter()
        found = act()
        spent[name].append(1000 * (time.perf_counter() - begun))
        return found

    for number in range(1, SEARCHES + 1):
        answer = timed("search", lambda number=number: searcher.search(Request(number)))  # type: ignore[misc]
        detail = recorded(answer)  # type: ignore[arg-type]
        row = searcher.connection, "user", "search", detail
        timed("its row", lambda row=row: audit.note(*row))  # type: ignore[misc]
        timed("a row that waits for the disk", lambda row=row: audit.record(*row))  # type: ignore[misc]
    medians = {name: float(np.median(values)) for name, values in spent.items()}
    rows = [[name, f"{value:.2f}", f"{value / medians['search']:.1%}"] for name, value in medians.items()]
    table([f"{SEARCHES} searches by id of {CODED} images", "ms, median", "of the search"], rows)


def facets(where: Database, images: int) -> None:
    """The first count, and further ones under filters of the columns that are counted."""
    counts, rows = FacetCounts(), []
    for text in ("", "modality=CR", "body_part=PART 7", "study_date>=2020-01-01"):
        begun = time.perf_counter()
        found = counts.count(where, [parse(text)] if text else [])
        rows.append([text or "(no filter, first)", str(found.images), f"{1000 * (time.perf_counter() - begun):.0f}"])
    print()
    table([f"values of {images} images", "pass", "ms"], rows)


if __name__ == "__main__":
    main()
