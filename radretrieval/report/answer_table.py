"""The answer to one query as tables on stdout."""

from __future__ import annotations

from collections.abc import Mapping

from radretrieval.files.text import shown
from radretrieval.report.likelihood import axes_in_words, in_words
from radretrieval.report.table import table
from radretrieval.search.federated import FederatedAnswer, SiteHit
from radretrieval.search.request import Answer, Explanation, Hit


def print_answer(answer: Answer) -> None:
    """Print the hits, and why each stands where it does if that was asked for."""
    with_roi = answer.request.roi is not None
    judged = any(hit.likelihood for hit in answer.hits)
    sites = isinstance(answer, FederatedAnswer)
    rows = []
    for hit in answer.hits:
        likely = [in_words(hit.likelihood.code) if hit.likelihood else "-"] if judged else []
        site = [hit.site] if isinstance(hit, SiteHit) else []
        cells = [hit.rank, *site, hit.image_id, hit.cnnc_distance, hit.rbc_distance, hit.irma_code or "-"]
        rows.append([*cells, *likely, *(_region(hit) if with_roi else []), shown(hit.uri)])
    optional = [*(["same code as query"] if judged else []), *(["ROI", "score"] if with_roi else [])]
    table(["rank", *(["site"] if sites else []), "image", "CNNC", "RBC", "IRMA code", *optional, "file"], rows)
    if answer.request.explain:
        _print_explanations(answer)


def _region(hit: Hit) -> list[str]:
    """The cells of a hit's region and its score."""
    if hit.roi is None:
        return ["-", "-"]
    return [",".join(map(str, hit.roi[:4])) if hit.roi.found else "not found", f"{hit.roi.score:.2f}"]


def _print_explanations(answer: Answer) -> None:
    judged = any(hit.likelihood for hit in answer.hits)
    rows = [
        [
            *(hit.rank, hit.image_id, why.cnnc_rank, _key(why)),
            *(agreeing(why.as_query), agreeing(why.as_most)),
            *([axes_in_words(hit.likelihood)] if judged else []),
            " ".join(f"{bits:3}" for bits in why.angle_distances),
        ]
        for hit in answer.hits
        if (why := hit.explanation) is not None
    ]
    print()
    likely = ["same axes as query"] if judged else []
    columns = ["rank", "image", "by CNNC", "key: CNNC + RBC", "as query", "as most", *likely]
    columns.append("RBC of each projection, from 0°")
    table(columns, rows, title=f"query {answer.query_irma_code or '-'}, most hits {answer.majority_irma_code or '-'}")


def _key(why: Explanation) -> str:
    """The two parts of a hit's key; a dash in a refined answer."""
    return "-" if why.cnnc_part is None or why.rbc_part is None else f"{why.cnnc_part:.4f} + {why.rbc_part:.4f}"


def agreeing(axes: Mapping[str, bool | None]) -> str:
    """The letters of the axes that agree, a dot for one that does not; `-` where a code is missing.

    Examples
    --------
    >>> agreeing({"T": True, "D": False, "A": True, "B": True}), agreeing(dict.fromkeys("TDAB"))
    ('T.AB', '-')
    """
    if None in axes.values():
        return "-"
    return "".join(axis if same else "." for axis, same in axes.items())
