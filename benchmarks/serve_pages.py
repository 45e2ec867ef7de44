"""The pages for IT and for analysts on a large archive: how long their requests take.

    python benchmarks/serve_pages.py [--codes N] [--again N] [--json FILE]

The archive is synthetic: images of 193 classes from 20 senders, codes about 193 centres, 1 % without a code, 10,000
files that failed for 60 reasons, an exact index. `first` is the first request after the server has started; `next`
those after what was computed is too old (the server does not compute it for every request), `kept` those before. The
map is computed in the background: `first` is the time until it is there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from _code_model import flat
from _common import machine, table
from _exact_data import fill, tuned, vacuum
from fastapi.testclient import TestClient
from search import random_weights

from radretrieval.archive.connections import Database
from radretrieval.archive.search import exact_index
from radretrieval.config import ServeSettings, Settings
from radretrieval.profile import PAPER
from radretrieval.serve import analysis, archive_state, cached_value
from radretrieval.serve.app import create_app

SENDERS = 20
FAILURES = 10_000

_WRONG = f"""
UPDATE image SET origin = 'SENDER' || id % {SENDERS} WHERE id % 3 > 0;
DELETE FROM cnnc WHERE image_id % 100 = 7;
INSERT INTO ingest_failure (uri, sha256, error, message)
SELECT 'file:///films/' || n, sha256(int4send(n)), 'ImageError',
       chr(97 + n % 20) || chr(97 + n % 15) || ' is wrong at ' || n
FROM generate_series(1, {FAILURES}) n
"""
# Whether what a request tells is kept for a while.
QUESTIONS = {
    "GET /api/admin": ("/api/admin", True),
    "GET /api/admin/failures": ("/api/admin/failures?limit=200&offset=5000", False),
    "GET /api/classes": ("/api/classes", True),
    "GET /api/classes/…/images": ("/api/classes/1121-120-942-700/images?limit=24", False),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--codes", type=int, default=1_000_000)
    options.add_argument("--again", type=int, default=5)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    with tuned(given.codes) as (where, settings, said):
        _filled(where, settings, given.codes)
        rows = _measured(settings, given.again)
    print(machine("fastapi", "numpy", "psycopg"), f"{given.codes} images, {said}", sep="; ")
    cells = [[name, *map(_cell, row.values())] for name, row in rows.items()]
    table(["milliseconds", "first", "next", "kept", "kB"], cells)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2))


def _filled(where: Database, settings: Settings, count: int) -> None:
    codes, kinds = flat(193).draw(count, 0)
    filled = fill(where, settings, codes, kinds, PAPER, random_weights())
    with where.connection() as connection:
        for statement in _WRONG.split(";"):
            connection.execute(statement)
    print("an exact index", file=sys.stderr)
    exact_index.build(where, filled.encoder)
    vacuum(where)


def _measured(settings: Settings, again: int) -> dict[str, dict[str, float | None]]:
    rows: dict[str, dict[str, float | None]] = {}
    for name, (path, is_kept) in QUESTIONS.items():
        with (
            patch.object(cached_value, "SPARED", 0),
            patch.multiple(archive_state, FRESH_SECONDS=0.0),
            patch.multiple(analysis, CLASSES_SECONDS=0.0),
        ):
            (first, *later), size = _times(settings, path, again)
        (_, *kept), _ = _times(settings, path, again)
        median = statistics.median(kept) if is_kept else None
        rows[name] = {"first": first, "next": statistics.median(later), "kept": median, "kB": size}
    for name in ("GET /api/map, computed", "GET /api/map, from its file"):
        with _client(settings) as client:
            until, size = _timed(lambda: _map(client))
            kept = [_timed(lambda: _map(client))[0] for _ in range(again)]
        rows[name] = {"first": until, "next": None, "kept": statistics.median(kept), "kB": size}
    return rows


def _client(settings: Settings) -> TestClient:
    return TestClient(create_app(settings, ServeSettings()), base_url="http://127.0.0.1")


def _times(settings: Settings, path: str, again: int) -> tuple[list[float], float]:
    with _client(settings) as client:
        found = [_timed(lambda: client.get(path)) for _ in range(again + 1)]
    return [time for time, _ in found], found[0][1]


def _map(client: TestClient) -> Any:
    while (answer := client.get("/api/map")).json()["state"] != "ready":
        time.sleep(0.05)
    return answer


def _timed(ask: Callable[[], Any]) -> tuple[float, float]:
    """Milliseconds, and kB of the body."""
    start = time.perf_counter()
    answer = ask()
    assert answer.status_code == 200, answer.text
    return 1e3 * (time.perf_counter() - start), len(answer.content) / 1e3


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


if __name__ == "__main__":
    main()
