"""The picture of an answer: the query and its hits with distances, codes and ROI boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radretrieval.files.uris import to_path
from radretrieval.report.picture import HitView, QueryView, compose, search_picture
from radretrieval.search.request import Answer, Hit, Request
from radretrieval.search.searcher import Searcher


def write_picture(path: Path, searcher: Searcher, request: Request, answer: Answer) -> None:
    """Write the query and its hits as a PNG; an image whose file cannot be read any more is drawn as a gap.

    Raises UsageError when `path` cannot be written or does not end in .png.
    """
    search_picture(path, *_views(searcher, request, answer, files=True))


def sheet(searcher: Searcher, request: Request, answer: Answer) -> NDArray[np.uint8]:
    """The same picture as pixels, uint8 (rows, columns, 3), RGB, without the names of files.

    Whoever named a file may have put a patient's name into it, and this goes into another patient's record.
    """
    return np.asarray(compose(*_views(searcher, request, answer, files=False)))


def _views(searcher: Searcher, request: Request, answer: Answer, files: bool) -> tuple[QueryView, list[HitView]]:
    query = QueryView(
        pixels=searcher.query_pixels(request),
        caption=[_query_name(request)] if files or isinstance(request.query, int) else [],
        irma_code=answer.query_irma_code,
        roi=request.roi,
    )
    return query, [_view(searcher, hit, answer.query_irma_code, files) for hit in answer.hits]


def _query_name(request: Request) -> str:
    return f"image {request.query}" if isinstance(request.query, int) else request.query.name


def _view(searcher: Searcher, hit: Hit, wanted: str | None, files: bool) -> HitView:
    found = searcher.hit_radiograph(hit)
    caption = [f"image {hit.image_id}", *([_file_name(hit)] if files else [])]
    if not isinstance(found, str) and found.unreachable:
        caption.append("reduced copy, original not reached")
    return HitView(
        pixels=None if isinstance(found, str) else found.pixels,
        cnnc_distance=hit.cnnc_distance,
        rbc_distance=hit.rbc_distance,
        caption=caption,
        irma_code=hit.irma_code,
        roi=(hit.roi.x, hit.roi.y, hit.roi.width, hit.roi.height) if hit.roi else None,
        correct=None if wanted is None or hit.irma_code is None else hit.irma_code == wanted,
    )


def _file_name(hit: Hit) -> str:
    return to_path(hit.uri).name if hit.uri.startswith("file:") else hit.uri
