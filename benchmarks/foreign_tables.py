"""Codes in several databases, asked through postgres_fdw: which form of the statement, and what of it the shards do.

    python benchmarks/foreign_tables.py [--codes 100000] [--shards 3] [--queries 40] [--json FILE]

One server has all databases, so that the forms are compared and not networks. Each shard has its part of the codes,
compared with all (exact), then with pgvector's HNSW. The forms, in turns over the same queries:

    one table        all codes in one local table, the plain scan or HNSW: what sharding is compared with
    parent           a partitioned table whose partitions are foreign tables
    union            UNION ALL of a statement with ORDER BY and LIMIT for each foreign table, ordered by distance and id
    union, async     the same ordered by distance + 0, so that the planner appends and does not merge
    client           a connection to each shard in a thread of this process, and the lists merged here

Ends with 1 where an exact form gives another list than brute force.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from _code_model import flat
from _common import database, machine, table
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from radretrieval.archive.bulk_copy import copy_rows
from radretrieval.archive.search.nearest import bit_text
from radretrieval.coding.hamming import distances

K = 50
ONE = (
    f"SELECT id, (code <~> %(code)s::bit(1000))::int AS d FROM {{}} ORDER BY code <~> %(code)s::bit(1000), id LIMIT {K}"
)
Rows = list[tuple[int, int]]
Form = Callable[[str], Rows]


@dataclass
class Shards:
    """The databases: connections to the one that asks and to each shard."""

    asking: psycopg.Connection[Any]
    shards: list[psycopg.Connection[Any]]

    def forms(self) -> dict[str, Form]:
        """Each way to ask."""
        arms = " UNION ALL ".join(f"({ONE.format(f's{n}')})" for n in range(len(self.shards)))
        statements = {
            "one table": ONE.format("one"),
            "parent": ONE.format("parent"),
            "union": f"SELECT id, d FROM ({arms}) x ORDER BY d, id LIMIT {K}",
            "union, async": f"SELECT id, d FROM ({arms}) x ORDER BY d + 0, id LIMIT {K}",
        }
        threads = ThreadPoolExecutor(len(self.shards))

        def ask(connection: psycopg.Connection[Any], statement: str, code: str) -> Rows:
            return connection.execute(statement, {"code": code}, prepare=False).fetchall()

        def client(code: str) -> Rows:
            parts = threads.map(lambda shard: ask(shard, ONE.format("codes"), code), self.shards)
            return sorted((row for part in parts for row in part), key=lambda row: (row[1], row[0]))[:K]

        found = {name: lambda code, s=statement: ask(self.asking, s, code) for name, statement in statements.items()}
        return found | {"client": client}

    def remote(self, form: str, code: str) -> str:
        """What the shards are asked in a form, as EXPLAIN tells it."""
        arms = " UNION ALL ".join(f"({ONE.format(f's{n}')})" for n in range(len(self.shards)))
        order = {"union": "d, id", "union, async": "d + 0, id"}.get(form)
        statement = (
            ONE.format("parent") if order is None else f"SELECT id, d FROM ({arms}) x ORDER BY {order} LIMIT {K}"
        )
        rows = self.asking.execute(
            f"EXPLAIN (VERBOSE, COSTS OFF) {statement}", {"code": code}, prepare=False
        ).fetchall()
        plan = "\n".join(row[0] for row in rows)
        pushed = [name for name in ("ORDER BY", "LIMIT") if re.search(rf"Remote SQL: .*{name}", plan)]
        way = "async" if "Async Foreign Scan" in plan else "one after the other"
        return f"shards do {' and '.join(pushed) or 'neither'}; {way}"


@contextmanager
def made(codes: np.ndarray, count: int) -> Iterator[Shards]:
    """Fill the databases; code n has the id n + 1 and lies in shard n % count."""
    with database() as (where, _), ExitStack() as stack:
        own = conninfo_to_dict(where.url)

        def connected(name: str) -> psycopg.Connection[Any]:
            return stack.enter_context(psycopg.connect(make_conninfo(**own | {"dbname": name}), autocommit=True))

        names = [f"shard{n}" for n in range(count)]
        with psycopg.connect(where.url, autocommit=True) as connection:
            for name in ("asking", *names):
                connection.execute(f"CREATE DATABASE {name}")
        shards = Shards(connected("asking"), [connected(name) for name in names])
        for connection in (shards.asking, *shards.shards):
            connection.execute("CREATE EXTENSION vector")
        ids = np.arange(len(codes)) + 1
        fill(shards.asking, "one", ids, codes)
        for n, shard in enumerate(shards.shards):
            fill(shard, "codes", ids[n::count], codes[n::count])
        shards.asking.execute("CREATE EXTENSION postgres_fdw")
        columns = "id bigint, code bit(1000), shard int"
        shards.asking.execute(f"CREATE TABLE parent ({columns}) PARTITION BY LIST (shard)")
        for n, name in enumerate(names):
            shards.asking.execute(
                f"CREATE SERVER {name} FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{own['host']}', port "
                f"'{own.get('port', 5432)}', dbname '{name}', extensions 'vector', async_capable 'true', "
                "use_remote_estimate 'true', fetch_size '50', options '-c hnsw.ef_search=200')"
            )
            shards.asking.execute(f"CREATE USER MAPPING FOR CURRENT_USER SERVER {name} OPTIONS (user '{own['user']}')")
            shards.asking.execute(f"CREATE FOREIGN TABLE s{n} ({columns}) SERVER {name} OPTIONS (table_name 'codes')")
            shards.asking.execute(
                f"CREATE FOREIGN TABLE part{n} PARTITION OF parent FOR VALUES IN ({n}) SERVER {name}"
                " OPTIONS (table_name 'codes')"
            )
        for connection in (shards.asking, *shards.shards):
            connection.execute("SET hnsw.ef_search = 200")
        yield shards


def fill(connection: psycopg.Connection[Any], name: str, ids: np.ndarray, codes: np.ndarray) -> None:
    """A table of codes."""
    connection.execute(f"CREATE TABLE {name} (id bigint PRIMARY KEY, code bit(1000) NOT NULL, shard int)")
    copy_rows(connection, f"{name} (id, code)", [(ids, ">i8")], codes, 1000)
    connection.execute(f"VACUUM ANALYZE {name}")


def main() -> None:
    """Ask in each form, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=int, default=100_000, help="in all (default: %(default)s)")
    parser.add_argument("--shards", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--queries", type=int, default=40, help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    codes, _ = flat().draw(arguments.codes, 1)
    queries, _ = flat().draw(arguments.queries, 2)
    texts = [bit_text(query) for query in queries]
    with made(codes, arguments.shards) as shards:
        truths = []
        for query in queries:
            apart = distances(query, codes)
            best = np.lexsort((np.arange(len(codes)), apart))[:K]
            truths.append([(int(n) + 1, int(apart[n])) for n in best])
        exact, wrong = timed(shards, texts, truths)
        told = {form: shards.remote(form, texts[0]) for form in ("parent", "union", "union, async")}
        for connection, name in [(shards.asking, "one"), *((shard, "codes") for shard in shards.shards)]:
            print(f"HNSW of {name}", file=sys.stderr)
            connection.execute(f"CREATE INDEX ON {name} USING hnsw (code bit_hamming_ops)")
        graph, _ = timed(shards, texts, truths)
    print(
        f"{arguments.codes} codes in {arguments.shards} databases, the {K} nearest, {arguments.queries} queries in turn"
    )
    print(machine("numpy", "psycopg"))
    head = ("median ms, and of one table's", "exact", "", "HNSW, ef_search 200", "", "")
    rows = [
        [name, *(f"{value:.{digits}f}" for found in (exact, graph) for value, digits in
                 ((found[name], 1), (found[name] / found["one table"], 2))), told.get(name, "")]
        for name in exact
    ]  # fmt: skip
    table(head, rows)
    print(f"wrong lists of the exact forms: {wrong}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"exact": exact, "hnsw": graph, "remote": told}, indent=1) + "\n")
    sys.exit(1 if wrong else 0)


def timed(shards: Shards, texts: list[str], truths: list[Rows]) -> tuple[dict[str, float], int]:
    """Median milliseconds of each form, in turns; how many lists are not those of brute force."""
    forms, wrong = shards.forms(), 0
    spent: dict[str, list[float]] = {name: [] for name in forms}
    for name in forms:
        forms[name](texts[0])
    for text, truth in zip(texts, truths, strict=True):
        for name, form in forms.items():
            before = time.perf_counter()
            found = form(text)
            spent[name].append(1e3 * (time.perf_counter() - before))
            wrong += found != truth
    return {name: statistics.median(times) for name, times in spent.items()}, wrong


if __name__ == "__main__":
    main()
