"""Many queries, each answered as `search` answers it alone, at the speed of the archive and the device.

A block of queries is looked up by one statement; files that have no codes yet are decoded in processes while earlier
blocks are encoded on the device, and those before them are answered over a few connections, some queries a statement.
Answers come in the order of the queries, whatever overtook what. Each query is answered as of one moment; the archive
may change between two of them.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice

from radretrieval.archive import codes, connections
from radretrieval.archive.search import batch
from radretrieval.files.uris import printable
from radretrieval.search.batch.execute import Answered, Asker, Asking, Row
from radretrieval.search.batch.lookup import Opener, Query
from radretrieval.search.batch.sources import Asked
from radretrieval.search.request import Request, check
from radretrieval.search.searcher import Searcher

BLOCK = 64  # queries that are looked up, and encoded, at a time
AHEAD = 2  # blocks that are decoded, and blocks that are answered, before they are needed


@dataclass
class BatchReport:
    """What became of the queries: queries = answered + failed.

    `short` of the answered have fewer hits than were asked for.
    """

    queries: int = 0
    answered: int = 0
    short: int = 0
    rows: int = 0
    failures: list[dict[str, str]] = field(default_factory=list)  # path, error, message
    path: Counter[str] = field(default_factory=Counter)  # queries by the way their candidates were found
    seconds: float = 0.0

    @property
    def queries_per_second(self) -> float:
        """Rate over the whole run."""
        return self.queries / self.seconds if self.seconds else 0.0


def search_many(
    searcher: Searcher, request: Request, queries: Iterable[Asked], report: BatchReport, advance: Callable[[int], None]
) -> Iterator[list[Row]]:
    """Answer every query, in their order.

    Parameters
    ----------
    request : what is asked of each; its own `query` is not looked at, an ROI cannot be asked for.
    report : is filled meanwhile. A query that cannot be answered is a failure of it and has no row.
    advance : called with the number of queries that were finished.

    Yields
    ------
    The rows of some queries after each other.

    Raises
    ------
    UsageError : a number or filter that cannot be, or an archive without codes.
    DatabaseUnavailable : the database went away.
    """
    check(request)
    started = time.monotonic()
    with connections.translated(searcher.database.url), ExitStack() as stack:
        if next(batch.coded_ids(searcher.connection, searcher.encoder), None) is None:
            searcher.explain_nothing(codes.pending_count(searcher.connection, searcher.encoder.id))
        opener = Opener(searcher, request.exclude_same_patient, stack)
        for block in _answers(opener, Asker(searcher, request, stack), queries):
            rows = []
            for query, answer in block:
                report.queries += 1
                if answer is None:
                    kind, message = type(query.error).__name__, printable(str(query.error))
                    report.failures.append({"path": query.name, "error": kind, "message": message})
                    continue
                report.answered += 1
                report.short += answer.hits < request.top
                report.path[answer.path] += 1
                rows += answer.rows
            report.rows += len(rows)
            report.seconds = time.monotonic() - started
            yield rows
            advance(len(block))
    report.seconds = time.monotonic() - started


def _answers(opener: Opener, asker: Asker, queries: Iterable[Asked]) -> Iterator[list[tuple[Query, Answered | None]]]:
    """Each query of a block with its answer, None for one that failed; block after block."""
    left = iter(queries)
    opened: deque[list[Query]] = deque()
    asked: deque[Asking] = deque()
    while (block := list(islice(left, BLOCK))) or opened:
        if block:
            opened.append(opener.open(block))
        if not block or len(opened) > AHEAD:
            asked.append(asker.ask(opener.encoded(opened.popleft())))
        if len(asked) > AHEAD:
            yield asked.popleft().results()
    while asked:
        yield asked.popleft().results()
