"""Batch search: many queries, each answered as `search` answers it alone, at the speed of database and device.

A block of queries is looked up by one statement. Files without stored codes are decoded in processes while earlier
blocks are encoded on the device, and the blocks before those are answered over a few connections, several queries a
statement. Answers come in the order of the queries. Each query sees one snapshot of the archive, which may change
between two queries.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from radretrieval.archive import codes, connections
from radretrieval.archive.search import stored
from radretrieval.files.failures import FailureList
from radretrieval.search.batch.execute import AnsweredQuery, BatchExecutor, HitRow, SubmittedBlock
from radretrieval.search.batch.lookup import LoadedQuery, QueryLoader
from radretrieval.search.batch.sources import BatchQuery
from radretrieval.search.request import Request, check_request
from radretrieval.search.searcher import Searcher

BLOCK = 64  # queries that are looked up, and encoded, at a time
AHEAD = 2  # blocks that are decoded, and blocks that are answered, before they are needed


@dataclass
class BatchReport:
    """The result of a batch: queries = answered + failures.

    Attributes
    ----------
    encoder_id : whose codes were compared. recall : as in `Answer`.
    flat : answered queries whose pixels show nothing.
    nothing_similar : answered queries with nothing similar in the archive; None where the encoder has no calibration.
    short : answered queries with fewer hits than were asked for.
    passed_over : files of the folder that are known to be no images, as `labels.csv`: no queries.
    path : answered queries by the way their candidates were found.
    """

    encoder_id: int | None = None
    recall: tuple[float, float] | None = None
    queries: int = 0
    answered: int = 0
    flat: int = 0
    nothing_similar: int | None = None
    short: int = 0
    passed_over: int = 0
    rows: int = 0
    failures: FailureList = field(default_factory=FailureList)
    path: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def pass_over(self) -> None:
        """Count a file of the folder that is no image."""
        self.passed_over += 1

    @property
    def queries_per_second(self) -> float:
        """Rate over the whole run."""
        return self.queries / self.seconds if self.seconds else 0.0

    def document(self, out: Path) -> dict[str, Any]:
        """The report as one JSON document; `out` is the file of the hits."""
        return {
            "encoder_id": self.encoder_id,
            "queries": self.queries,
            "answered": self.answered,
            "flat": self.flat,
            "nothing_similar": self.nothing_similar,
            "failed": len(self.failures),
            "failures": self.failures,
            "passed_over": self.passed_over,
            "rows": self.rows,
            "out": str(out),
            "seconds": round(self.seconds, 3),
            "queries_per_second": round(self.queries_per_second, 3),
            "path": dict(sorted(self.path.items())),
        }


def search_batch(
    searcher: Searcher,
    request: Request,
    queries: Iterable[BatchQuery],
    report: BatchReport,
    advance: Callable[[int], None],
) -> Iterator[list[HitRow]]:
    """Answer every query, in their order.

    Parameters
    ----------
    request : asked of each query; its own `query` is ignored, and it has no ROI.
    report : is filled meanwhile. A query that has no answer is a failure and has no row.
    advance : called with the number of queries that were finished.

    Yields
    ------
    The rows of some queries, in order.

    Raises
    ------
    UsageError : a number or filter that is not possible, or an archive without codes.
    DatabaseUnavailable : the database went away.
    """
    check_request(request)
    started = time.monotonic()
    report.encoder_id, report.recall = searcher.encoder.id, searcher.encoder.recall
    report.nothing_similar = None if searcher.encoder.calibration is None else 0
    with connections.database_errors(searcher.database.url), ExitStack() as stack:
        if next(stored.coded_ids(searcher.connection, searcher.encoder.id), None) is None:
            searcher.raise_no_codes(codes.pending_count(searcher.connection, searcher.encoder.id))
        loader = QueryLoader(searcher, request.exclude_same_patient, stack)
        for block in _answers(loader, BatchExecutor(searcher, request, stack), queries):
            rows = []
            for query, answer in block:
                report.queries += 1
                if answer is None:
                    assert query.error is not None
                    report.failures.add(query.name, query.error, str(query.error))
                    continue
                report.answered += 1
                report.flat += query.flat
                if report.nothing_similar is not None:
                    report.nothing_similar += bool(answer.rows[0].nothing_similar)
                report.short += answer.hits < request.top
                report.path[answer.path] += 1
                rows += answer.rows
            report.rows += len(rows)
            report.seconds = time.monotonic() - started
            yield rows
            advance(len(block))
    report.seconds = time.monotonic() - started


def _answers(
    loader: QueryLoader, executor: BatchExecutor, queries: Iterable[BatchQuery]
) -> Iterator[list[tuple[LoadedQuery, AnsweredQuery | None]]]:
    """Block after block, each query with its answer (None for one that failed)."""
    left = iter(queries)
    loaded: deque[list[LoadedQuery]] = deque()
    submitted: deque[SubmittedBlock] = deque()
    while (block := list(islice(left, BLOCK))) or loaded:
        if block:
            loaded.append(loader.load(block))
        if not block or len(loaded) > AHEAD:
            submitted.append(executor.submit(loader.encode(loaded.popleft())))
        if len(submitted) > AHEAD:
            yield submitted.popleft().results()
    while submitted:
        yield submitted.popleft().results()
