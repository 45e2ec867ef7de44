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

from _code_model import flat
from _common import machine, table
from _exact_data import fill, tuned, vacuum
from fastapi.testclient import TestClient
from search import random_weights

from radretrieval.archive.connections import Database
from radretrieval.archive.search import exact_index
from radretrieval.config import ServeSettings, Settings
from radretrieval.profile import PAPER
from radretrieval.serve import analysis, state
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
QUESTIONS = {
    "GET /api/admin": ("/api/admin", "FRESH_SECONDS"),
    "GET /api/admin/failures": ("/api/admin/failures?limit=200&offset=5000", None),
    "GET /api/classes": ("/api/classes", "CLASSES_SECONDS"),
    "GET /api/classes/…/images": ("/api/classes/1121-120-942-700/images?limit=24", None),
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
    for name, (path, constant) in QUESTIONS.items():
        first, size = _times(settings, path, 1)
        later, _ = _times(settings, path, again, **({constant: 0.0} if constant else {}))
        kept, _ = _times(settings, path, again)
        median = statistics.median(kept[1:]) if constant else None
        rows[name] = {"first": first[0], "next": statistics.median(later[1:]), "kept": median, "kB": size}
    for name in ("GET /api/map, computed", "GET /api/map, from its file"):
        with _client(settings) as client:
            until, size = _timed(lambda: _map(client))
            kept = [_timed(lambda: _map(client))[0] for _ in range(again)]
        rows[name] = {"first": until, "next": None, "kept": statistics.median(kept), "kB": size}
    return rows


def _client(settings: Settings, **constants: float) -> TestClient:
    for name, value in constants.items():
        setattr(state if name == "FRESH_SECONDS" else analysis, name, value)
    return TestClient(create_app(settings, ServeSettings()), base_url="http://127.0.0.1")


def _times(settings: Settings, path: str, again: int, **constants: float) -> tuple[list[float], float]:
    before = {name: getattr(state if name == "FRESH_SECONDS" else analysis, name) for name in constants}
    with _client(settings, **constants) as client:
        found = [_timed(lambda: client.get(path)) for _ in range(again + 1)]
    _client(settings, **before).close()
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
