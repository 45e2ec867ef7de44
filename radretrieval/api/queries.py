"""Searches of an archive, one query or many."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from radretrieval.api.base import ArchiveBase, Progress, StrPath, counted
from radretrieval.api.noting import operator
from radretrieval.errors import InputMissing, RadretrievalError, UsageError

if TYPE_CHECKING:
    from radretrieval.archive.audit import Asked, Outcome
    from radretrieval.archive.filters import Condition
    from radretrieval.results.outputs import AnswerOutputs
    from radretrieval.search.batch.execute import HitRow
    from radretrieval.search.batch.run import BatchReport
    from radretrieval.search.batch.sources import BatchQuery
    from radretrieval.search.request import Answer, Request
    from radretrieval.search.searcher import Searcher

Where = Mapping[str, object] | Iterable[str]


class ArchiveQueries(ArchiveBase):
    """The part of `Archive` that searches."""

    def search(
        self,
        query: StrPath | int,
        *,
        top: int = 10,
        candidates: int = 50,
        roi: tuple[int, int, int, int] | str | None = None,
        roi_method: str = "context",
        roi_polarity: str = "same",
        where: Where = (),
        where_sql: str | None = None,
        one_per: str | None = None,
        max_distance: int | None = None,
        exclude_same_patient: bool = False,
        explain: bool = False,
        relevant: Iterable[int] = (),
        not_relevant: Iterable[int] = (),
        encoder: int | None = None,
        device: str = "auto",
        outputs: AnswerOutputs | None = None,
    ) -> Answer:
        """Find the images most like a given one; it is never among its own hits.

        It is a row of the table audit, where the role may write one. The network is loaded for the first file that
        needs it, and kept for the next searches.

        Parameters
        ----------
        query : a radiograph's file, or the id of an image of the archive (7 or "id:7").
        top, candidates : how many hits, from how many of the nearest codes.
        roi : x, y, width, height in pixels of the query; the region is found in each hit.
        roi_method : `context`, the region with its surroundings, or `paper`.
        roi_polarity : `same`, or `either` for films of which some have dark and bright exchanged.
        where : column → value (or several, of which one holds; None: has none), or conditions as `modality=CR`,
            `study_date>=2026-01-01`. A value of irma_code may be a pattern, as 1121-*.
        where_sql : a condition on image i, for roles that may.
        one_per : `patient` or `study`: of each only the nearest image.
        max_distance : bits by which a candidate's CNN code may differ.
        exclude_same_patient : leave out images of the query's patient.
        explain : whether each hit gets an `explanation`.
        relevant, not_relevant : images of the archive by which the search is refined, by id: those that are like what
            is looked for, and those that are not, which are left out.
        encoder, device : as in `encode`.
        outputs : files of the answer, which are written; `send` sends what is made for peers.

        Raises
        ------
        UsageError : an argument that is not possible, an unreadable query, an archive without codes.
        NoEncoder, DatabaseUnavailable : there is no encoder; the database went away.
        """
        from radretrieval.search.request import Request

        request = Request(
            query=query_of(query),
            top=top,
            candidates=candidates,
            roi=_roi(roi),
            roi_method=roi_method,
            roi_polarity=roi_polarity,
            where=conditions(where),
            where_sql=where_sql,
            one_per=one_per,
            max_distance=max_distance,
            exclude_same_patient=exclude_same_patient,
            explain=explain,
            relevant=tuple(relevant),
            not_relevant=tuple(not_relevant),
        )
        if outputs is None:
            answer = self._read_answer(request, encoder, device) or self._answered_at_once(request, encoder, device)
            if answer is not None:
                return answer
        else:
            outputs.check()
        searcher = self._searcher(encoder, device)
        subject = None if outputs is None else outputs.subject(searcher, request)
        answer = searcher.search(request)
        self._recorded(searcher, answer)
        if outputs is not None:
            outputs.write(searcher, answer, subject)
            if outputs.given():
                self._note("output", outputs.recorded)
        return answer

    def _read_answer(self, request: Request, encoder: int | None, device: str) -> Answer | None:
        """The answer of a standby, which the primary confirms; None where the primary has to answer."""
        if self._database.reader is None:
            return None
        from radretrieval.search.reading import answered, from_reader
        from radretrieval.search.searcher import Searcher

        searcher = self._open_searcher(Searcher, encoder, device) or self._searcher(encoder, device)
        return from_reader(searcher, lambda source: answered(source, request, self._operator))

    def _answered_at_once(self, request: Request, encoder: int | None, device: str) -> Answer | None:
        """The answer of the searcher that is open; None where there is none, or its encoder was changed meanwhile."""
        from radretrieval.archive.audit import Asked, Outcome
        from radretrieval.search.searcher import Searcher

        searcher = self._open_searcher(Searcher, encoder, device)
        if searcher is None:
            return None
        try:
            answer = searcher.search(request)
            outcome = self._recorded(searcher, answer, Asked(encoder, searcher.encoder.state))
        except RadretrievalError:
            if _unchanged(searcher):
                raise
            return None
        kept = outcome is Outcome.ADDED or (outcome is not Outcome.STALE and _unchanged(searcher))
        return answer if kept else None

    def _recorded(self, searcher: Searcher, answer: Answer, asked: Asked | None = None) -> Outcome:
        """Add the row of an answer to the audit."""
        from radretrieval.search.reading import begin_row

        return begin_row(searcher, self._operator, answer, asked)()

    @cached_property
    def _operator(self) -> str:
        return operator()

    def send(self, outputs: AnswerOutputs) -> Iterator[str]:
        """Send the DICOM objects that a search has made for peers; yields in words what each peer says and stores."""
        if not outputs.peers():
            return
        sent = {"to": outputs.peers(), **outputs.recorded}
        self._note("send", sent | {"begun": True})  # a peer may have it of a run that is killed
        with self._noted("send", **sent):
            yield from outputs.send(self.settings)

    def search_many(
        self,
        queries: StrPath | Iterable[StrPath | int] | None = None,
        *,
        top: int = 10,
        candidates: int = 50,
        where: Where = (),
        where_sql: str | None = None,
        one_per: str | None = None,
        max_distance: int | None = None,
        exclude_same_patient: bool = False,
        encoder: int | None = None,
        device: str = "auto",
    ) -> BatchSearch:
        """Find the images most like each of many; nothing is searched before the result is iterated over or written.

        Parameters
        ----------
        queries : a folder of radiographs; a CSV with a column `file`, `image_id` or `id`; files and ids; None for every
            image that has a code.
        top, candidates, where, where_sql, one_per, max_distance, exclude_same_patient : as in `search`.
        encoder, device : as in `encode`.
        """
        from radretrieval.search.request import Request

        request = Request(
            query=0,
            top=top,
            candidates=candidates,
            where=conditions(where),
            where_sql=where_sql,
            one_per=one_per,
            max_distance=max_distance,
            exclude_same_patient=exclude_same_patient,
        )
        return BatchSearch(request, queries, lambda: self._searcher(encoder, device))


def _unchanged(searcher: Searcher) -> bool:
    """Whether the encoder has the state that the searcher read; False also where the connection was lost."""
    before = searcher.encoder.state
    try:
        return searcher.refresh() and searcher.encoder.state == before
    except RadretrievalError:
        return False


class BatchSearch:
    """A search for many queries: iterate over it for the hits (`HitRow`), or `write` them to a file.

    Attributes
    ----------
    report : of the last run: how many queries were answered, and those that failed.
    """

    def __init__(
        self,
        request: Request,
        queries: StrPath | Iterable[StrPath | int] | None,
        searcher: Callable[[], Searcher],
    ) -> None:
        from radretrieval.search.batch.run import BatchReport

        self._request = request
        self._queries = queries
        self._searcher = searcher
        self.report = BatchReport()

    def __iter__(self) -> Iterator[HitRow]:
        queries = self._source(None)
        for rows in self._run(self._searcher(), queries):
            yield from rows

    def write(self, out: StrPath, progress: Progress | None = None) -> BatchReport:
        """Write the hits to a file: a row a hit, in the order of the queries.

        A query without hits has one row, without a rank.

        Parameters
        ----------
        out : a .csv, or a .parquet (which needs pyarrow).

        Raises
        ------
        UsageError : the file cannot be written; a number or filter is not possible; no query.
        """
        from radretrieval.results.rows import check_hits_file, hits_file
        from radretrieval.search.batch.run import BatchReport

        target = check_hits_file(Path(out))
        queries = self._source(target)
        searcher = self._searcher()
        total = sum(1 for _ in queries(searcher, BatchReport())) if progress else None
        with hits_file(target) as append:
            for rows in self._run(searcher, queries, counted(progress, total)):
                append(rows)
        return self.report

    def _source(self, leave_out: Path | None) -> Callable[[Searcher, BatchReport], Iterator[BatchQuery]]:
        """The queries, read anew at each call; files that are passed over are counted in the report."""
        from radretrieval.archive.search.stored import coded_ids
        from radretrieval.search.batch.sources import batch_query, query_source

        given = self._queries
        if given is None:
            return lambda searcher, report: map(batch_query, coded_ids(searcher.connection, searcher.encoder.id))
        if isinstance(given, str | os.PathLike):
            source = query_source(Path(given), leave_out=leave_out)
            return lambda searcher, report: source(report.pass_over)
        several = list(given)
        return lambda searcher, report: map(batch_query, several)

    def _run(
        self,
        searcher: Searcher,
        queries: Callable[[Searcher, BatchReport], Iterator[BatchQuery]],
        advance: Callable[[int], None] | None = None,
    ) -> Iterator[list[HitRow]]:
        from radretrieval.archive import audit, connections
        from radretrieval.search.batch.run import BatchReport, search_batch
        from radretrieval.search.recorded import parameters

        report = self.report = BatchReport()
        asked = queries(searcher, report)
        # before the first answer, for a batch may be broken off
        how = {"encoder_id": searcher.encoder.id, "parameters": parameters(self._request)}
        with connections.database_errors(searcher.database.url):
            audit.note(searcher.connection, operator(), "search many", how | {"all": self._queries is None})
        return search_batch(searcher, self._request, asked, report, advance or (lambda count: None))


def conditions(where: Where) -> tuple[Condition, ...]:
    """The conditions of column → value, or of texts COLUMN=VALUE; raises UsageError for another form."""
    from radretrieval.archive.filters import parse

    if isinstance(where, str):
        return (parse(where),)
    if not isinstance(where, Mapping):
        return tuple(map(parse, where))
    pairs = [
        (column, one)
        for column, value in where.items()
        for one in (value if isinstance(value, list | tuple | set) else [value])
    ]
    return tuple(parse(f"{column}={'' if one is None else one}") for column, one in pairs)


def query_of(query: StrPath | int) -> Path | int:
    """A file, or the id of an image, of what was given as a query; raises UsageError for a form that is neither."""
    if isinstance(query, int):
        return query
    text, path = os.fspath(query), Path(query)
    if text.startswith("id:"):
        if not (text[3:].isascii() and text[3:].isdecimal() and len(text) < 24):
            raise UsageError(f"{text!r} is not of the form id:N with a whole number N, as `search` and SQL show them")
        return int(text[3:])
    if text.isdecimal() and not path.exists():
        raise InputMissing(f"there is no file {text}; an image of the archive is asked for as id:{text}")
    return path


def _roi(roi: tuple[int, int, int, int] | str | None) -> tuple[int, int, int, int] | None:
    if not isinstance(roi, str):
        return roi
    from radretrieval.search.roi import parse_roi

    return parse_roi(roi)
