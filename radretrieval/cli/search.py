"""`radretrieval search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radretrieval.cli.common import AsJson, Device, EncoderId, opened, print_json, tell
from radretrieval.cli.search_out import (
    AeTitle,
    Csv,
    Fhir,
    Outputs,
    Picture,
    Sc,
    Sr,
    StoreTo,
    Stow,
    send,
    subject,
    write,
)

if TYPE_CHECKING:
    from radretrieval.archive.search.nearest import FilterEffect
    from radretrieval.search.request import Answer, Request


def search(
    context: typer.Context,
    query: Annotated[
        str | None,
        typer.Argument(metavar="FILE|id:N", help="A radiograph, or an image of the archive.", show_default=False),
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(
            "--batch",
            metavar="DIR|CSV",
            help="Many queries instead: every file of a folder and below it, or the rows of a CSV with a column file "
            "(relative to the CSV), image_id or id.",
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every image that has a code is a query instead, by id.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Where the hits of --batch or --all go: a .csv, or a .parquet (pip install 'radretrieval[parquet]'); "
            "a row a hit, in the order of the queries, and one without a rank for a query without hits.",
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", help="How many hits.")] = 10,
    candidates: Annotated[
        int, typer.Option("--candidates", metavar="N", help="How many of the nearest codes are re-ranked.")
    ] = 50,
    roi: Annotated[
        str | None,
        typer.Option("--roi", metavar="X,Y,W,H", help="Find this region of the query in each hit (pixels)."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="COL=VALUE",
            help="Only images with this, or COL!=VALUE, COL>=VALUE, COL<VALUE; may be repeated. An IRMA code may be a "
            "pattern, as 1121-* or *-*-5*.",
        ),
    ] = None,
    where_sql: Annotated[
        str | None,
        typer.Option("--where-sql", metavar="SQL", help="A condition on image i, for roles that may (docs/sql.md)."),
    ] = None,
    one_per: Annotated[
        str | None, typer.Option("--one-per", metavar="patient|study", help="Of each only the nearest image.")
    ] = None,
    max_distance: Annotated[
        int | None, typer.Option("--max-distance", metavar="BITS", help="No candidate farther than this.")
    ] = None,
    exclude_same_patient: Annotated[
        bool, typer.Option("--exclude-same-patient", help="Leave out images of the query's patient.")
    ] = False,
    picture: Picture = None,
    sr: Sr = None,
    sc: Sc = None,
    fhir: Fhir = None,
    csv: Csv = None,
    store_to: StoreTo = None,
    stow: Stow = None,
    ae_title: AeTitle = "RADRETRIEVAL",
    encoder: EncoderId = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Find the images most like a given one, or like each of many. A query image is never among its own hits.

    --batch and --all answer each query as it would be answered alone, as of one moment; the archive may change between
    two queries.
    """
    from radretrieval.archive.filters import parse
    from radretrieval.cli.search_batch import check_options, search_batch
    from radretrieval.search.request import Request

    outputs = Outputs(picture, sr, sc, fhir, csv, store_to, stow, ae_title)
    single = {"--roi": roi is not None, **outputs.given()}
    many = check_options(query, batch, everything, out, single)
    request = Request(
        query=0 if query is None else _query(query),
        top=top,
        candidates=candidates,
        roi=_roi(roi),
        where=tuple(parse(text) for text in where or ()),
        where_sql=where_sql,
        one_per=one_per,
        max_distance=max_distance,
        exclude_same_patient=exclude_same_patient,
    )
    if many and out is not None:
        search_batch(context, request, batch, out, device, encoder, as_json)
    else:
        _search_one(context, request, outputs, device, encoder, as_json)


def _search_one(
    context: typer.Context, request: Request, outputs: Outputs, device: str, encoder: int | None, as_json: bool
) -> None:
    from radretrieval.search.searcher import Searcher

    outputs.check()
    with opened(context) as (database, settings), Searcher(database, settings, device, encoder) as searcher:
        about = subject(outputs, searcher, request)
        answer = searcher.search(request)
        made = write(outputs, searcher, request, answer, about)
    if as_json:
        print_json(_document(answer))
    else:
        _print(answer, request)
    _tell(answer, request)
    send(outputs, settings, made)


def _query(text: str) -> Path | int:
    if text.startswith("id:"):
        from radretrieval.errors import UsageError

        if not (text[3:].isascii() and text[3:].isdecimal() and len(text) < 24):
            raise UsageError(f"{text!r} is not of the form id:N with a whole number N, as `search` and SQL show them")
        return int(text[3:])
    path = Path(text)
    if text.isdecimal() and not path.exists():
        from radretrieval.errors import InputMissing

        raise InputMissing(f"there is no file {text}; an image of the archive is asked for as id:{text}")
    return path


def _roi(text: str | None) -> tuple[int, int, int, int] | None:
    if text is None:
        return None
    from radretrieval.search.roi import parse_roi

    return parse_roi(text)


def _document(answer: Answer) -> dict[str, Any]:
    hits = [
        {
            "rank": hit.rank,
            "image_id": hit.image_id,
            "uri": hit.uri,
            "irma_code": hit.irma_code,
            "cnnc_distance": hit.cnnc_distance,
            "rbc_distance": hit.rbc_distance,
            "roi": hit.roi._asdict() if hit.roi else None,
            "reduced": hit.reduced,
        }
        for hit in answer.hits
    ]
    return {
        "encoder_id": answer.encoder_id,
        "query_image_id": answer.query_image_id,
        "path": answer.path,
        "recall": answer.recall[0] if answer.recall else None,
        "recall_worst": answer.recall[1] if answer.recall else None,
        "requested": answer.requested,
        "returned": answer.returned,
        "candidates": answer.candidates,
        **_effect(answer.effect),
        "hits": hits,
        "timings_ms": answer.timings_ms,
    }


def _effect(effect: FilterEffect | None) -> dict[str, Any]:
    """What the filter did; `…_at_least` where counting ended there."""
    if effect is None:
        return {"matched": None, "hidden": None}
    from radretrieval.archive.search.nearest import COUNTED, HIDDEN

    return {
        "matched": effect.matched,
        "matched_at_least": effect.matched == COUNTED,
        "hidden": effect.hidden,
        "hidden_at_least": effect.hidden == HIDDEN,
    }


def _print(answer: Answer, request: Request) -> None:
    from radretrieval.files.uris import shown
    from radretrieval.report.table import table

    columns = ["rank", "image", "CNNC", "RBC", "IRMA code", *(["ROI"] if request.roi else []), "file"]
    rows = []
    for hit in answer.hits:
        box = []
        if request.roi:
            box = [f"{hit.roi.x},{hit.roi.y},{hit.roi.width},{hit.roi.height}" if hit.roi else "-"]
        rows.append(
            [
                hit.rank,
                hit.image_id,
                hit.cnnc_distance,
                hit.rbc_distance,
                hit.irma_code or "-",
                *box,
                shown(hit.uri),
            ]
        )
    table(columns, rows)


def _tell(answer: Answer, request: Request) -> None:
    """What a reader of the answer must know besides."""
    for hit in answer.hits:
        if hit.roi_error:
            tell(f"no ROI in image {hit.image_id}: its file {hit.roi_error}")
        elif hit.reduced:
            tell(f"the ROI in image {hit.image_id} is of a reduced copy: its file {hit.reduced}")
    if answer.effect is not None:
        from radretrieval.archive.search.nearest import COUNTED, HIDDEN

        matched, hidden = answer.effect.matched, answer.effect.hidden
        nearer = "" if not hidden else f"; nearer ones that it hid: {hidden}{'' if hidden < HIDDEN else ' or more'}"
        tell(f"images that pass the filter: {matched}{'' if matched < COUNTED else ' or more'}{nearer}")
    if answer.path == "hnsw":
        tell_recall(answer.recall)
    if answer.returned < answer.requested:
        waiting = f"; {answer.pending} images have no code yet (radretrieval work --once)" if answer.pending else ""
        filtered = " that pass the filter" if answer.effect is not None else ""
        tell(f"{answer.returned} of {answer.requested} hits: the archive has no more coded images{filtered}{waiting}")


def tell_recall(recall: tuple[float, float] | None) -> None:
    """That candidates are of an approximate index, and what is known of it."""
    measured = "never measured: radretrieval index audit"
    if recall is not None:
        measured = f"last measured to find {recall[0]:.1%} of the true nearest, {recall[1]:.1%} at worst"
    tell(f"the candidates are of an approximate index (HNSW), {measured}")
