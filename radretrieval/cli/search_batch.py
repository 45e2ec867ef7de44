"""`radretrieval search --batch` and `--all`: many queries, their hits in one file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from radretrieval.cli.common import bar, opened, print_json, tell, tell_failures

if TYPE_CHECKING:
    from radretrieval.archive.encoders import Encoder
    from radretrieval.search.batch.run import BatchReport
    from radretrieval.search.batch.sources import BatchQuery
    from radretrieval.search.request import Request
    from radretrieval.search.searcher import Searcher


def check_options(
    query: str | None, batch: Path | None, everything: bool, out: Path | None, single: dict[str, bool]
) -> bool:
    """Whether many queries are asked, not one; raises UsageError for options that do not go together.

    `single` tells which options of one query were given, by name.
    """
    from radretrieval.errors import UsageError

    if sum((query is not None, batch is not None, everything)) != 1:
        raise UsageError("search takes one of: FILE or id:N, --batch PATH (a folder or a CSV), --all")
    if query is not None:
        if out is not None:
            raise UsageError(
                "--out is where the hits of --batch or --all go; one query's go to --csv, or stdout (--json)"
            )
        return False
    name = "--all" if everything else "--batch"
    for option, given in single.items():
        if given:
            raise UsageError(f"{option} is of one query and cannot stand beside {name}; leave one of them out")
    if out is None:
        raise UsageError(f"{name} needs --out FILE.csv or FILE.parquet: where the hits go")
    if batch is not None and batch.resolve() == out.resolve():
        raise UsageError(f"--out {out} is the CSV of the queries itself; name another file")
    return True


def search_batch(
    context: typer.Context,
    request: Request,
    batch: Path | None,
    out: Path,
    device: str,
    encoder: int | None,
    as_json: bool,
) -> None:
    """Answer the queries of `batch`, or all images where that is None, into the file `out`."""
    from radretrieval.results.rows import check_hits_file, hits_file
    from radretrieval.search.batch import run
    from radretrieval.search.searcher import Searcher

    check_hits_file(out)
    given = _given(batch, out)
    with opened(context) as (database, settings), Searcher(database, settings, device, encoder) as searcher:
        source = given or _everything(searcher)
        total = sum(1 for _ in source()) if sys.stderr.isatty() else None
        report = run.BatchReport()
        with hits_file(out) as write, bar("search", total) as advance:
            for rows in run.search_batch(searcher, request, source(), report, advance):
                write(rows)
        document = _document(report, searcher.encoder, out)
    if as_json:
        print_json(document)
    else:
        _print(document)
        tell_failures(report.failures)
    _tell(report, searcher.encoder, request.top)
    if report.failures:
        raise typer.Exit(1)


def _given(batch: Path | None, out: Path) -> Callable[[], Iterator[BatchQuery]] | None:
    from radretrieval.search.batch.sources import query_source

    return None if batch is None else query_source(batch, leave_out=out)


def _everything(searcher: Searcher) -> Callable[[], Iterator[BatchQuery]]:
    from radretrieval.archive.search.batch import coded_ids
    from radretrieval.search.batch.sources import image_query

    return lambda: map(image_query, coded_ids(searcher.connection, searcher.encoder))


def _document(report: BatchReport, encoder: Encoder, out: Path) -> dict[str, Any]:
    return {
        "encoder_id": encoder.id,
        "queries": report.queries,
        "answered": report.answered,
        "failed": len(report.failures),
        "failures": report.failures,
        "rows": report.rows,
        "out": str(out),
        "seconds": round(report.seconds, 3),
        "queries_per_second": round(report.queries_per_second, 3),
        "path": dict(sorted(report.path.items())),
    }


def _print(document: dict[str, Any]) -> None:
    from radretrieval.report.table import key_values

    ways = ", ".join(f"{name} ({count})" for name, count in document["path"].items())
    shown = {name: value for name, value in document.items() if name != "failures"} | {"path": ways or None}
    key_values(shown.items())


def _tell(report: BatchReport, encoder: Encoder, top: int) -> None:
    if report.short:
        tell(f"{report.short} queries have fewer than {top} hits: no more coded images pass for them")
    if report.path["hnsw"]:
        from radretrieval.cli.search import tell_recall

        tell_recall(encoder.recall)
