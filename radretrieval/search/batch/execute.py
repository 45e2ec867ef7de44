"""The answers of a batch: candidates of several queries by one statement, over a few connections, re-ranked."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from radretrieval.archive import connections
from radretrieval.archive.connections import Connection
from radretrieval.archive.search import nearest, stored
from radretrieval.archive.search.nearest import Candidates
from radretrieval.archive.search.stored import HitFacts
from radretrieval.coding.rerank import Weights, rerank_many
from radretrieval.files.text import shown
from radretrieval.irma.code import AXES
from radretrieval.search.batch.lookup import LoadedQuery
from radretrieval.search.judge import considered, judge
from radretrieval.search.request import Hit, Request, Similarity
from radretrieval.search.searcher import Searcher

CHUNK = 16  # queries of one statement: short enough for a server with a statement timeout
CONNECTIONS = 4
RANKED = 1 << 16  # candidates that are re-ranked at a time: with barcodes of 544 bytes, 36 MB

_Hit = tuple[int, int, int]  # image id, distance of the codes, distance of the barcodes


class HitRow(NamedTuple):
    """A hit of a query; a query without hits has one row, in which `rank` and the columns of the hit are None.

    `query` and `file` are absolute paths; a query by id is id:N.
    """

    query: str
    query_image_id: int | None
    query_irma_code: str | None
    rank: int | None
    image_id: int | None
    file: str | None
    irma_code: str | None
    cnnc_distance: int | None
    rbc_distance: int | None
    path: str
    encoder_id: int
    patient_key: str | None = None
    study_instance_uid: str | None = None
    study_date: date | None = None
    modality: str | None = None
    body_part: str | None = None
    view_position: str | None = None
    laterality: str | None = None
    roi_x: int | None = None
    roi_y: int | None = None
    roi_width: int | None = None
    roi_height: int | None = None
    roi_score: float | None = None
    roi_found: bool | None = None
    probability: float | None = None
    probability_t: float | None = None
    probability_d: float | None = None
    probability_a: float | None = None
    probability_b: float | None = None
    nothing_similar: bool | None = None


_FACTS = ("patient_key", "study_instance_uid", "study_date", "modality", "body_part", "view_position", "laterality")
_PROBABILITIES = ("probability", *(f"probability_{axis}" for axis in AXES.lower()))


def hit_rows(
    query: tuple[str, int | None, str | None],
    hits: Sequence[Hit],
    similarity: Similarity | None,
    path: str,
    encoder_id: int,
) -> list[HitRow]:
    """The rows of one query, which is given by its name, image id and IRMA code."""
    nothing = similarity.nothing if similarity else None
    if not hits:
        return [HitRow(*query, None, None, None, None, None, None, path, encoder_id, nothing_similar=nothing)]
    return [_row(query, hit, path, encoder_id)._replace(nothing_similar=nothing) for hit in hits]


def _row(query: tuple[str, int | None, str | None], hit: Hit, path: str, encoder_id: int) -> HitRow:
    image = (hit.image_id, shown(hit.uri), hit.irma_code)
    row = HitRow(*query, hit.rank, *image, hit.cnnc_distance, hit.rbc_distance, path, encoder_id)
    row = row._replace(**{name: getattr(hit, name) for name in _FACTS})
    if hit.likelihood is not None:
        probabilities: dict[str, Any] = dict(zip(_PROBABILITIES, hit.likelihood, strict=True))
        row = row._replace(**probabilities)
    if hit.roi is None:
        return row
    x, y, width, height, score, there = hit.roi
    return row._replace(roi_x=x, roi_y=y, roi_width=width, roi_height=height, roi_score=score, roi_found=there)


@dataclass(frozen=True)
class AnsweredQuery:
    """The answer to one query: its rows, and how many of them are hits."""

    path: str
    rows: list[HitRow]
    hits: int


@dataclass
class SubmittedBlock:
    """A block of queries whose answers are being computed."""

    block: list[LoadedQuery]
    chunks: list[Future[list[AnsweredQuery]]]

    def results(self) -> list[tuple[LoadedQuery, AnsweredQuery | None]]:
        """Each query with its answer, None for one that failed; waits for them."""
        answers = iter([answer for chunk in self.chunks for answer in chunk.result()])
        return [(query, next(answers) if query.error is None else None) for query in self.block]


class BatchExecutor:
    """Answers queries over connections of its own; they and its threads end with `stack`."""

    def __init__(self, searcher: Searcher, request: Request, stack: ExitStack) -> None:
        self.searcher = searcher
        self.request = request
        self.free: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self.threads = ThreadPoolExecutor(CONNECTIONS)
        opened = []
        for _ in range(CONNECTIONS):
            opened.append(connections.connect(searcher.database.url, autocommit=True))
            stack.callback(opened[-1].close)
            self.free.put(opened[-1])
        stack.push(partial(_end, self.threads, opened))

    def submit(self, block: list[LoadedQuery]) -> SubmittedBlock:
        """Begin to answer the queries of a block."""
        able = [query for query in block if query.error is None]
        chunks = [able[start : start + CHUNK] for start in range(0, len(able), CHUNK)]
        return SubmittedBlock(block, [self.threads.submit(self._answer, chunk) for chunk in chunks])

    def _answer(self, chunk: list[LoadedQuery]) -> list[AnsweredQuery]:
        """The answers to some queries, in one snapshot of the archive."""
        searcher, request = self.searcher, self.request
        filters = [request.filter(query.image_id, query.patient_key) for query in chunk]
        cnnc = [query.cnnc for query in chunk if query.cnnc is not None]
        where = (searcher.encoder, searcher.geometry)
        with self._connection() as connection, connection.transaction():
            connections.snapshot(connection)
            near = nearest.nearest_of_codes(connection, *where, cnnc, request.candidates, filters)
            ranked = _ranked(chunk, near, considered(request.top), Weights.of(searcher.encoder.profile))
            facts = stored.hit_facts(connection, sorted({hit[0] for hits in ranked for hit in hits}))
        return [self._rows(query, one, hits, facts) for query, one, hits in zip(chunk, near, ranked, strict=True)]

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        connection = self.free.get()
        try:
            yield connection
        finally:
            self.free.put(connection)

    def _rows(
        self, query: LoadedQuery, near: Candidates, hits: list[_Hit], facts: dict[int, HitFacts]
    ) -> AnsweredQuery:
        encoder = self.searcher.encoder
        ranked = [
            Hit(**vars(facts[image_id]), rank=rank, image_id=image_id, cnnc_distance=cnnc, rbc_distance=rbc)
            for rank, (image_id, cnnc, rbc) in enumerate(hits, start=1)
        ]
        head = (query.name, query.image_id, query.irma_code)
        answered, similarity = judge(ranked, near.distances.tolist(), self.request, encoder)
        return AnsweredQuery(near.path, hit_rows(head, answered, similarity, near.path, encoder.id), len(answered))


def _ranked(chunk: Sequence[LoadedQuery], near: Sequence[Candidates], top: int, weights: Weights) -> list[list[_Hit]]:
    """The hits of each query; queries with similar numbers of candidates are ranked by one call."""
    hits: list[list[_Hit]] = [[] for _ in chunk]
    places = sorted(
        (place for place, one in enumerate(near) if len(one.image_ids)), key=lambda p: len(near[p].image_ids)
    )
    while places:
        # the last has the most candidates; the call is padded to them
        width = len(near[places[-1]].image_ids)
        together = places[-max(1, RANKED // width) :]
        del places[-len(together) :]
        ids = np.full((len(together), width), -1, np.int64)
        far = np.zeros(ids.shape, np.int32)
        bars = np.zeros((*ids.shape, near[together[0]].barcodes.shape[1]), np.uint8)
        for row, place in enumerate(together):
            n = len(near[place].image_ids)
            ids[row, :n], far[row, :n], bars[row, :n] = (
                near[place].image_ids,
                near[place].distances,
                near[place].barcodes,
            )
        queries = np.stack([bits for place in together if (bits := chunk[place].rbc) is not None])
        order, rbc = rerank_many(queries, bars, far, ids, weights)
        best = order[:, :top]
        columns = [np.take_along_axis(values, best, 1).tolist() for values in (ids, far, rbc)]
        for place, *row_of in zip(together, *columns, strict=True):
            hits[place] = [hit for hit in zip(*row_of, strict=True) if hit[0] >= 0]
    return hits


def _end(threads: ThreadPoolExecutor, opened: list[Connection], *problem: Any) -> None:
    """End the threads; after an error, statements that still run are cancelled."""
    threads.shutdown(wait=False, cancel_futures=True)
    if problem[0] is not None:
        for connection in opened:
            with suppress(Exception):
                connection.cancel_safe(timeout=2)
    threads.shutdown(wait=True)
