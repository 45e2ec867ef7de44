"""Every query of an evaluation with its hits, as a CSV from which each score can be recomputed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from radretrieval.evaluation import Evaluation
from radretrieval.evaluation.rankings import Ranking
from radretrieval.evaluation.scores import errors
from radretrieval.files.output import check_output, output_file
from radretrieval.files.table_files import table_file
from radretrieval.files.text import shown

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


def write_evaluation_csv(path: Path, result: Evaluation) -> None:
    """Write a row for each hit of each query in each ranking.

    `error` is that of answering with this hit; the score of a ranking is the sum over its rows of rank 1. The softmax
    has one row a query, without an image; so has a query without hits.

    Raises UsageError when the name does not end in .csv or cannot be written.
    """
    columns = dict.fromkeys(COLUMNS, "string")
    with (
        output_file(check_output(path, ".csv", "list of hits"), "list of hits") as draft,
        table_file(draft, columns) as append,
    ):
        for row in result.rows:
            append(_rows(result, row.ranking))


def _rows(result: Evaluation, ranking: Ranking) -> Iterator[tuple[object, ...]]:
    queries, labels = result.queries, result.searched.labels
    for place, (image_id, code) in enumerate(zip(queries.image_ids.tolist(), queries.labels, strict=True)):
        head = (image_id, shown(queries.uris[place]), code, ranking.encoder_id, ranking.name)
        hits = [hit for hit in ranking.places[place].tolist() if hit >= 0]
        if not hits:
            predicted = ranking.predicted[place]
            yield (*head, 1, "", "", predicted, "", "", _error(code, predicted, result.options.rule))
        for rank, hit in enumerate(hits):
            found = labels[hit]
            distances = (_known(ranking.cnnc[place, rank]), _known(ranking.rbc[place, rank]))
            error = _error(code, found, result.options.rule)
            hit_id = int(result.searched.image_ids[hit])
            yield (*head, rank + 1, hit_id, shown(result.searched.uris[hit]), found, *distances, error)


def _error(true: str, predicted: str, rule: str) -> float:
    return float(errors([true], [predicted], rule).sum())


def _known(distance: int) -> int | str:
    return int(distance) if distance >= 0 else ""
