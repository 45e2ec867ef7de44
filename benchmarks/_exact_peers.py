"""Engines that find the nearest codes, ours and others, and a measurement of all of them in turn."""

from __future__ import annotations

import gc
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from _exact_data import Codes, Filled, K, Truth, recall, spread
from numpy.typing import NDArray

from radretrieval.archive.schema.names import exact_table, partition
from radretrieval.archive.search import nearest
from radretrieval.archive.search.nearest import bit_text
from radretrieval.coding import hamming

OURS = (
    "SELECT image_id, distance, path FROM cnnc_nearest(%(code)s::bit(1000), %(k)s, %(encoder)s, %(filter)s) "
    "ORDER BY distance, image_id"
)
SCAN = (
    "SELECT image_id, (code <~> %(code)s::bit(1000))::int AS distance FROM {partition} "
    "ORDER BY distance, image_id LIMIT %(k)s"
)
HNSW = (
    "SELECT image_id, code <~> %(code)s::bit(1000) AS distance FROM peer_hnsw "
    "ORDER BY code <~> %(code)s::bit(1000) LIMIT %(k)s"
)
EF, EF_CONSTRUCTION = 400, 64
WARM, WARM_OUTSIDE = 20, 2  # queries that each engine answers beforehand; ours ten times as many
SLOW, MANY = 10, 200_000  # of the new draws, slow engines answer each so many-th; the plain scan from so many codes on
LARGE = 10_000_000  # from so many codes on the only peers are faiss' flat index and the plain scan, of every 50th draw

Found = tuple[Any, Any]  # places (or nothing) and distances


@dataclass
class Engine:
    """One way to find the nearest codes.

    Attributes
    ----------
    ask : places and distances of the K nearest to a packed code.
    every : it answers only each so many-th query of the distribution. far : it answers the others too.
    seconds, size : of building it; bytes that it takes beyond the codes' own table, or in memory.
    whole : gives all that tie with the last, in the order (distance, place).
    """

    name: str
    ask: Callable[[Codes], Found]
    every: int = 1
    far: bool = True
    seconds: float | None = None
    size: int | None = None
    whole: bool = False


@contextmanager
def engines_of(database: Filled, built: float, graphs: bool) -> Iterator[tuple[list[Engine], Any]]:
    """All that can be had here, and faiss' flat index (None where faiss is not installed).

    Parameters
    ----------
    built : seconds that our index took. graphs : with the HNSW graphs, which take minutes to build.
    """
    with ExitStack() as stack:
        made = [*_of_ours(database, built, stack), *_of_scan(database, stack)]
        if graphs:
            made.append(_pgvector(database, stack))
        flat, others = _faiss(database.codes, graphs)
        made += others
        if graphs:
            made += _usearch(database.codes)
        if len(database.codes) < LARGE:
            made.append(
                Engine(
                    "numpy",
                    lambda code: hamming.nearest(code, database.codes, K),
                    2 * SLOW,
                    False,
                    0.0,
                    database.codes.nbytes,
                )
            )
        yield made, flat


def _of_ours(database: Filled, built: float, stack: ExitStack) -> list[Engine]:
    connection = stack.enter_context(database.connect())
    cursor = stack.enter_context(connection.cursor(binary=True))
    values = {"k": K, "encoder": database.encoder.id, "filter": "{}"}

    def ask(code: Codes) -> Found:
        rows = cursor.execute(OURS, values | {"code": bit_text(code)}).fetchall()
        return [row[0] - 1 for row in rows], [row[1] for row in rows]

    from radretrieval.archive.connections import connect

    product = stack.enter_context(connect(database.where.url, autocommit=True))

    def ask_all(code: Codes) -> Found:
        found, _ = nearest.candidates(product, database.encoder, 0, code, K)
        return [one.image_id - 1 for one in found], [one.cnnc_distance for one in found]

    size = sum(
        database.one(f"SELECT pg_total_relation_size('{table}')")
        for table in (exact_table(database.encoder.exact or 0), "exact_anchor", "exact_cell", "facet")
    )
    return [
        Engine("ours", ask, seconds=built, size=size, whole=True),
        Engine("ours, with the images' rows", ask_all, seconds=built, size=size, whole=True),
    ]


def _of_scan(database: Filled, stack: ExitStack) -> list[Engine]:
    """The same statement, without an index, as the server runs it and in one process."""
    made, large = [], len(database.codes) >= LARGE
    every = 5 * SLOW if large else SLOW if len(database.codes) > MANY else 1
    for name, workers in (("plain scan", None), ("plain scan, 1 process", 0))[: 1 if large else 2]:
        connection = stack.enter_context(database.connect())
        if workers is not None:
            connection.execute(f"SET max_parallel_workers_per_gather = {workers}")
        statement = SCAN.replace("{partition}", partition(database.encoder.id))
        made.append(Engine(name, _sql(connection, statement, stack), every=every, seconds=0.0, size=0))
    return made


def _sql(connection: Any, statement: str, stack: ExitStack) -> Callable[[Codes], Found]:
    cursor = stack.enter_context(connection.cursor(binary=True))

    def ask(code: Codes) -> Found:
        rows = cursor.execute(statement, {"code": bit_text(code), "k": K}).fetchall()
        return [row[0] - 1 for row in rows], [row[1] for row in rows]

    return ask


def _pgvector(database: Filled, stack: ExitStack) -> Engine:
    """A graph on a table of its own: on ours it would slow insertion down."""
    print("building pgvector's HNSW graph", file=sys.stderr)
    connection = stack.enter_context(database.connect())
    connection.execute("SET maintenance_work_mem = '2GB'")
    source = partition(database.encoder.id)
    connection.execute(f"CREATE TABLE peer_hnsw AS SELECT image_id, code FROM {source} ORDER BY image_id")
    started = time.perf_counter()
    connection.execute(
        "CREATE INDEX peer_hnsw_code ON peer_hnsw USING hnsw (code bit_hamming_ops) "
        f"WITH (m = 32, ef_construction = {EF_CONSTRUCTION})"
    )
    seconds = time.perf_counter() - started
    connection.execute("VACUUM ANALYZE peer_hnsw")
    for setting in (f"hnsw.ef_search = {EF}", "enable_seqscan = off", "enable_sort = off"):
        connection.execute(f"SET {setting}")
    size = database.one("SELECT pg_relation_size('peer_hnsw_code')")
    return Engine(f"pgvector HNSW m=32 ef={EF}", _sql(connection, HNSW, stack), seconds=seconds, size=size)


def _resident() -> int:
    """Bytes of this process, after what is free was given back."""
    import ctypes

    import psutil

    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_info().rss)


def _in_memory(name: str, make: Callable[[], Any], ask: Callable[[Any, Codes], Found]) -> tuple[Engine, Any]:
    print(f"building {name}", file=sys.stderr)
    before, started = _resident(), time.perf_counter()
    index = make()
    seconds = time.perf_counter() - started
    return Engine(name, lambda code: ask(index, code), seconds=seconds, size=_resident() - before), index


def _faiss(codes: Codes, graphs: bool) -> tuple[Any, list[Engine]]:
    try:
        import faiss
    except ImportError:
        print("faiss-cpu is not installed: no figures of it", file=sys.stderr)
        return None, []
    bits = 8 * codes.shape[1]
    faiss.omp_set_num_threads(os.cpu_count() or 1)

    def ask(index: Any, code: Codes) -> Found:
        far, places = index.search(code[None], K)
        return places[0], far[0]

    def flat() -> Any:
        index = faiss.IndexBinaryFlat(bits)
        index.add(codes)
        return index

    lists = 2 ** round(math.log2(2 * math.sqrt(len(codes))))

    def inverted() -> Any:
        quantizer = faiss.IndexBinaryFlat(bits)
        index = faiss.IndexBinaryIVF(quantizer, bits, lists)
        index.kept = quantizer
        index.train(codes[np.random.default_rng(0).permutation(len(codes))[: 50 * lists]])
        index.add(codes)
        index.nprobe = 32
        return index

    def graph() -> Any:
        index = faiss.IndexBinaryHNSW(bits, 16)
        index.hnsw.efConstruction, index.hnsw.efSearch = EF_CONSTRUCTION, EF
        index.add(codes)
        return index

    first, index = _in_memory("faiss BinaryFlat", flat, ask)
    made = [first]
    if len(codes) < LARGE:
        made.append(_in_memory(f"faiss BinaryIVF {lists} lists nprobe=32", inverted, ask)[0])
    if graphs:
        made.append(_in_memory(f"faiss BinaryHNSW M=16 ef={EF}", graph, ask)[0])
    faiss.omp_set_num_threads(1)
    return index, made


def _usearch(codes: Codes) -> list[Engine]:
    try:
        from usearch.index import Index, MetricKind, ScalarKind
    except ImportError:
        print("usearch is not installed: no figures of it", file=sys.stderr)
        return []

    def make() -> Any:
        index = Index(
            ndim=8 * codes.shape[1],
            metric=MetricKind.Hamming,
            dtype=ScalarKind.B1,
            connectivity=16,
            expansion_add=EF_CONSTRUCTION,
            expansion_search=EF,
        )
        index.add(np.arange(len(codes)), codes, threads=os.cpu_count() or 1)
        return index

    def ask(index: Any, code: Codes) -> Found:
        found = index.search(code, K, threads=1)
        return found.keys, found.distances

    return [_in_memory(f"usearch b1 M=16 ef={EF}", make, ask)[0]]


def measure(
    engines: list[Engine], queries: Mapping[str, Codes], truth: Truth, warm: Mapping[str, Codes], turn: int
) -> dict[str, Any]:
    """Latency and recall of each engine by kind of query. They answer in turn, `turn` queries each.

    Returns
    -------
    Of each kind and engine: milliseconds, the recall's mean and minimum, and for those that are `whole` the number of
    wrong lists.
    """
    for engine in engines:
        for code in warm["within"][: WARM * (10 if engine.whole else 1)]:
            engine.ask(code)
        for kind in ("random", "mixture"):
            for code in warm[kind][: WARM_OUTSIDE if engine.far else 0]:
                engine.ask(code)
    figures: dict[str, Any] = {}
    for kind, asked in queries.items():
        print(f"asking {len(asked)} queries: {kind}", file=sys.stderr)
        true = [truth.of(code) for code in asked]
        able = [engine for engine in engines if engine.far or kind == "within"]
        spent: dict[str, list[float]] = {engine.name: [] for engine in able}
        shares: dict[str, list[float]] = {engine.name: [] for engine in able}
        wrong = dict.fromkeys((engine.name for engine in able if engine.whole), 0)
        for start in range(0, len(asked), turn):
            first = start // turn % len(able)
            for engine in able[first:] + able[:first]:
                for place in range(start, min(start + turn, len(asked))):
                    if kind == "within" and place % engine.every:
                        continue
                    before = time.perf_counter()
                    places, far = engine.ask(asked[place])
                    spent[engine.name].append(time.perf_counter() - before)
                    shares[engine.name].append(recall(far, true[place][1]))
                    if engine.whole:
                        wrong[engine.name] += not same((places, far), true[place])
        figures[kind] = {
            engine.name: spread(spent[engine.name])
            | {"recall": float(np.mean(shares[engine.name])), "recall_worst": min(shares[engine.name])}
            | ({"wrong": wrong[engine.name]} if engine.whole else {})
            for engine in able
        }
    return figures


def same(found: Found, true: tuple[NDArray[np.int64], NDArray[np.int32]]) -> bool:
    """Whether a list is the true one, with its ties and in its order."""
    return bool(np.array_equal(found[0], true[0]) and np.array_equal(found[1], true[1]))


def check_more(ours: Engine, queries: Mapping[str, Codes], truth: Truth) -> tuple[int, int]:
    """How many further lists were compared, and how many of them were wrong."""
    asked = [code for codes in queries.values() for code in codes]
    return len(asked), sum(not same(ours.ask(code), truth.of(code)) for code in asked)
