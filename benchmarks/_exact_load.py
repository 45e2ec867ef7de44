"""Exact search under filters, by several clients at once, and after a start of the server."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from _exact_data import RANDOM, Codes, Filled, K, codes_of_kinds, recall, spread, with_ties
from _exact_peers import OURS, SCAN, same
from numpy.typing import NDArray

from radretrieval.archive.connections import connect
from radretrieval.archive.embedded import shared_server
from radretrieval.archive.opening import open_database
from radretrieval.archive.schema.names import partition
from radretrieval.archive.search.nearest import bit_text
from radretrieval.coding.hamming import distances

FILTERED = (
    "SELECT c.image_id, (c.code <~> %(code)s::bit(1000))::int AS distance FROM {partition} c "
    "JOIN image i ON i.id = c.image_id WHERE {condition} ORDER BY distance, c.image_id LIMIT %(k)s"
)
# name, filter and the same in SQL, of the columns that are drawn at random
CONDITIONS: dict[str, tuple[str, dict[str, Any], str]] = {
    "laterality": ("10 % random", {"laterality": ["L"]}, "i.laterality = 'L'"),
    "view_position": ("1 % random", {"view_position": ["LL"]}, "i.view_position = 'LL'"),
    "body_part": ("0.1 % random", {"body_part": ["FOOT"]}, "i.body_part = 'FOOT'"),
    "rows": ("10 % random, no facet", {"rows": {"from": 3000}}, "i.rows >= 3000"),
}
SHARES = (0.1, 0.01, 0.001)  # of other classes than the query's
FEWEST = 1 / 3  # of such a share, and at most three times it: else the model has no such class
CLIENTS = (1, 2, 4, 8, 16)


def filters(database: Filled, queries: Codes, kinds: NDArray[np.int16]) -> dict[str, Any]:
    """Latency and recall of ours and of the plain scan under filters, all in turn, query by query."""
    print(f"asking {len(queries)} queries with filters", file=sys.stderr)
    sizes = np.bincount(database.kinds, minlength=int(max(database.kinds.max(), kinds.max())) + 1)
    names = codes_of_kinds(len(sizes))
    others = _other_classes(sizes)
    rows: dict[str, dict[str, Any]] = {}
    with database.connect() as one, database.connect() as two, one.cursor(binary=True) as ours, two.cursor() as scan:
        for place, (code, kind) in enumerate(zip(queries, kinds.tolist(), strict=True)):
            far, text = distances(code, database.codes), bit_text(code)
            asked = [(*CONDITIONS[name], database.flags[name]) for name in RANDOM]
            for name, other in {"own class": kind, **others}.items():
                if name == "own class" or other != kind:
                    where = f"i.irma_code = '{names[other]}'"
                    asked.append((name, {"irma_code": [names[other]]}, where, database.kinds == other))
            for name, wanted, condition, mask in asked:
                row = rows.setdefault(name, {"ours": [], "scan": [], "recall": [], "wrong": 0, "paths": Counter()})
                true = with_ties(far, K, mask)
                values = {"code": text, "k": K, "encoder": database.encoder.id, "filter": json.dumps(wanted)}
                before = time.perf_counter()
                found = ours.execute(OURS, values).fetchall()
                between = time.perf_counter()
                if place >= 5:  # the first ones fetch what was never read
                    row["ours"].append(between - before)
                    row["scan"].append(_scanned(scan, database, condition, values))
                    row["share"] = float(mask.mean())
                row["recall"].append(recall([found_one[1] for found_one in found], true[1]))
                row["wrong"] += not same(([r[0] - 1 for r in found], [r[1] for r in found]), true)
                row["paths"][found[0][2] if found else "nothing"] += 1
    return {
        name: {
            "share": row["share"],
            "ours": spread(row["ours"]),
            "scan": spread(row["scan"]),
            "recall": float(np.mean(row["recall"])),
            "recall_worst": min(row["recall"]),
            "wrong": row["wrong"],
            "paths": {path: count / row["paths"].total() for path, count in row["paths"].most_common()},
        }
        for name, row in rows.items()
        if row["ours"]
    }


def _scanned(cursor: Any, database: Filled, condition: str, values: Mapping[str, Any]) -> float:
    """Seconds of the plain statement with the filter, as the planner would have it for these values."""
    statement = FILTERED.replace("{partition}", partition(database.encoder.id)).replace("{condition}", condition)
    before = time.perf_counter()
    cursor.execute(statement, {"code": values["code"], "k": K}, prepare=False).fetchall()
    return time.perf_counter() - before


def _other_classes(sizes: NDArray[np.int64]) -> dict[str, int]:
    """A class of about each share of `SHARES`, where there is one."""
    found = {}
    with np.errstate(divide="ignore"):
        logs = np.log(sizes / sizes.sum())
    for share in SHARES:
        kind = int(np.abs(logs - np.log(share)).argmin())
        if abs(logs[kind] - np.log(share)) <= -np.log(FEWEST):
            found[f"another class, about {100 * share:g} %"] = kind
    return found


def clients(database: Filled, queries: Codes, seconds: float) -> dict[str, Any]:
    """Answers a second and latency of so many clients at once, each a process with a connection of its own."""
    scan = SCAN.replace("{partition}", partition(database.encoder.id))
    context = multiprocessing.get_context("fork")  # a fresh process would load all that this one has, torch too
    result: dict[str, Any] = {"ours": {}, "plain scan": {}}
    for number in CLIENTS:
        for name, statement in (("ours", OURS), ("plain scan", scan)):
            print(f"{number} clients: {name}", file=sys.stderr)
            start, answers = context.Barrier(number), context.Queue()
            values = {"k": K, "encoder": database.encoder.id, "filter": "{}"}
            processes = [
                context.Process(
                    target=_client,
                    args=(database.where.url, statement, values, queries[place::number], seconds, start, answers),
                )
                for place in range(number)
            ]
            for process in processes:
                process.start()
            told = [answers.get(timeout=600) for _ in processes]
            for process in processes:
                process.join()
            spent = [one for times, _ in told for one in times]
            rate = sum(len(times) / whole for times, whole in told)
            result[name][str(number)] = {"per_second": rate, **spread(spent)}
    return result


def _client(
    url: str, statement: str, values: dict[str, Any], queries: Codes, seconds: float, start: Any, answers: Any
) -> None:
    spent = []
    with connect(url, autocommit=True) as connection, connection.cursor(binary=True) as cursor:
        texts = [bit_text(code) for code in queries]
        for text in texts[:6]:  # from the sixth on the statement is prepared
            cursor.execute(statement, values | {"code": text}).fetchall()
        start.wait()
        begun = time.perf_counter()
        while (now := time.perf_counter()) < begun + seconds:
            cursor.execute(statement, values | {"code": texts[len(spent) % len(texts)]}).fetchall()
            spent.append(time.perf_counter() - now)
        whole = time.perf_counter() - begun
    answers.put((spent, whole))


def cold(database: Filled, queries: Codes) -> dict[str, Any]:
    """Milliseconds of the first 50 queries after a start of the server, without the system's cache if we may."""
    print("starting the server anew", file=sys.stderr)
    shared_server.stop(database.settings.home)
    dropped = _drop_caches()
    open_database(database.settings)
    spent = []
    with database.connect() as connection, connection.cursor(binary=True) as cursor:
        values = {"k": K, "encoder": database.encoder.id, "filter": "{}"}
        for code in queries[:50]:
            before = time.perf_counter()
            cursor.execute(OURS, values | {"code": bit_text(code)}).fetchall()
            spent.append(time.perf_counter() - before)
    return {"system_cache_dropped": dropped, "first": 1e3 * spent[0], **spread(spent)}


def _drop_caches() -> bool:
    """Ask Linux to forget what it has read; only root may."""
    try:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except OSError:
        return False
    return True
