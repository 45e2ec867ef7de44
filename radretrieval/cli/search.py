"""`radretrieval search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radretrieval.cli.common import AsJson, Device, EncoderId, opened, path_of, print_json, tell

if TYPE_CHECKING:
    from radretrieval.retrieval.answer import Answer, Request


def search(
    context: typer.Context,
    query: Annotated[str, typer.Argument(metavar="FILE|id:N", help="A radiograph, or an image of the archive.")],
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
        typer.Option("--where", metavar="COL=VALUE", help="Only images with this; may be repeated."),
    ] = None,
    exclude_same_patient: Annotated[
        bool, typer.Option("--exclude-same-patient", help="Leave out images of the query's patient.")
    ] = False,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="PNG", help="Write the query and its hits as a picture."),
    ] = None,
    encoder: EncoderId = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Find the images most like a given one. The query image itself is never among its hits."""
    from radretrieval.retrieval.answer import Request
    from radretrieval.retrieval.query import Searcher

    if picture is not None:
        from radretrieval.report.output import check_output

        check_output(picture, ".png", "picture")
    request = Request(
        query=_query(query),
        top=top,
        candidates=candidates,
        roi=_roi(roi),
        where=tuple(_pair(text) for text in where or ()),
        exclude_same_patient=exclude_same_patient,
    )
    with opened(context) as (archive, settings), Searcher(archive, settings, device, encoder) as searcher:
        answer = searcher.search(request)
        if picture is not None:
            from radretrieval.report.answer import write_picture

            write_picture(picture, searcher, request, answer)
    if as_json:
        print_json(_document(answer))
    else:
        _print(answer, request)
    _tell(answer, request)


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
    from radretrieval.retrieval.roi import parse_roi

    return parse_roi(text)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        from radretrieval.errors import UsageError

        raise UsageError(f"--where {text!r} is not of the form COLUMN=VALUE, as in --where modality=CR")
    return name.strip(), value


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
        }
        for hit in answer.hits
    ]
    return {
        "encoder_id": answer.encoder_id,
        "query_image_id": answer.query_image_id,
        "path": answer.path,
        "requested": answer.requested,
        "returned": answer.returned,
        "candidates": answer.candidates,
        "hits": hits,
        "timings_ms": answer.timings_ms,
    }


def _print(answer: Answer, request: Request) -> None:
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
                path_of(hit.uri),
            ]
        )
    table(columns, rows)


def _tell(answer: Answer, request: Request) -> None:
    """What a reader of the answer must know besides."""
    for hit in answer.hits:
        if hit.roi_error:
            tell(f"no ROI in image {hit.image_id}: its file {hit.roi_error}")
    if answer.returned < answer.requested:
        waiting = f"; {answer.pending} images have no code yet (radretrieval work --once)" if answer.pending else ""
        filtered = " that pass the filter" if request.where or request.exclude_same_patient else ""
        tell(f"{answer.returned} of {answer.requested} hits: the archive has no more coded images{filtered}{waiting}")
