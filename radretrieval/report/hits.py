"""Every query with its hits, as a CSV: what anyone needs to recompute each score of an evaluation."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from radretrieval.archive.codes import CodeSet
from radretrieval.evaluation import Evaluation
from radretrieval.evaluation.rankings import Ranking
from radretrieval.evaluation.scores import errors
from radretrieval.files.output import check_output, whole
from radretrieval.files.uris import shown

COLUMNS = (
    "query_image_id",
    "query_file",
    "irma_code",
    "encoder_id",
    "ranking",
    "rank",
    "image_id",
    "file",
    "hit_irma_code",
    "cnnc_distance",
    "rbc_distance",
    "error",
)


def write_hits(path: Path, result: Evaluation) -> None:
    """Write a row for each hit of each query in each ranking.

    `error` is that of answering with this hit; the score of a ranking is the sum over its rows of rank 1. The softmax
    has one row a query, without an image; so has a query for which nothing was found.

    Raises UsageError when the name does not end in .csv or cannot be written.
    """
    with (
        whole(check_output(path, ".csv", "list of hits"), "list of hits") as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in result.rows:
            writer.writerows(_rows(result, row.ranking))


def _rows(result: Evaluation, ranking: Ranking) -> Iterator[tuple[object, ...]]:
    queries, labels = result.queries, result.searched.labels
    for place, (image_id, code) in enumerate(zip(queries.image_ids.tolist(), queries.labels, strict=True)):
        head = (image_id, _file(queries, place), code, ranking.encoder_id, ranking.name)
        hits = [hit for hit in ranking.places[place].tolist() if hit >= 0]
        if not hits:
            predicted = ranking.predicted[place]
            yield (*head, 1, "", "", predicted, "", "", _error(code, predicted, result.options.rule))
        for rank, hit in enumerate(hits):
            found = labels[hit]
            distances = (_known(ranking.cnnc[place, rank]), _known(ranking.rbc[place, rank]))
            error = _error(code, found, result.options.rule)
            hit_id = int(result.searched.image_ids[hit])
            yield (*head, rank + 1, hit_id, _file(result.searched, hit), found, *distances, error)


def _error(true: str, predicted: str, rule: str) -> float:
    return float(errors([true], [predicted], rule).sum())


def _known(distance: int) -> int | str:
    return int(distance) if distance >= 0 else ""


def _file(images: CodeSet, place: int) -> str:
    return shown(images.uris[place])
