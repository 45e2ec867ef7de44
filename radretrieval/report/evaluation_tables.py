"""The tables of an evaluation."""

from __future__ import annotations

from radretrieval.evaluation import Evaluation, ScoredRanking
from radretrieval.evaluation.scores import PERMUTATIONS, Comparison, SizeScore
from radretrieval.report.table import table

RULE_NAMES = {"imageclef": "ImageCLEF's hierarchical error", "paper": "the paper's Eq. 1, literally"}


def print_evaluation(result: Evaluation) -> None:
    """Print every figure: the rankings beside what was published, axes, class sizes, baselines, the comparison."""
    options = result.options
    searched = "everything" if "all" in options.against else " and ".join(options.against)
    print(
        f"{len(result.queries.image_ids)} queries of {options.split} against {len(result.searched.image_ids)} images "
        f"of {searched}; error: {RULE_NAMES[options.rule]}"
    )
    _rankings(result)
    print(
        "CNNC(128): the 1000-bit CNN codes of a network whose input is 128 x 128 pixels; RBC: Radon barcodes; "
        "alone: images are ordered by these only"
    )
    print(result.caveat)
    print()
    _axes(result)
    print()
    _sizes(result)
    if result.reliability:
        told = result.reliability
        print(
            f"probabilities of the hits of encoder {result.runs[0].encoder.id}: calibration error "
            f"{told.calibration_error:.4f}, of first hits {told.first_hit_error:.4f}; nothing similar to "
            f"{told.nothing_similar:.1%} of the queries"
        )
    if result.comparison:
        print()
        _comparison(result.comparison)


def _rankings(result: Evaluation) -> None:
    """Rankings, baselines and, on the classes of 2009, published errors, by ascending error."""
    rows: list[tuple[float, list[object]]] = [
        (
            row.score.error_score,
            [
                row.ranking.name,
                encoder_of(row),
                f"{row.score.error_score:.2f}",
                f"{row.score.ci95[0]:.2f} to {row.score.ci95[1]:.2f}",
                f"{row.score.error_per_image:.4f}",
                f"{row.score.first_hit_accuracy:.1%}",
            ],
        )
        for row in result.rows
    ]
    rows += [
        (
            baseline.error_score,
            [
                f"{baseline.name}: {baseline.irma_code}",
                "no image",
                f"{baseline.error_score:.2f}",
                "",
                f"{baseline.error_score / len(result.queries.image_ids):.4f}",
                f"{baseline.first_hit_accuracy:.1%}",
            ],
        )
        for baseline in result.baselines
    ]
    rows += [
        (row.error_score, [row.name, "published", f"{row.error_score:.2f}", "", "", ""]) for row in result.published
    ]
    head = ["ranking", "encoder", "error (sum)", "95 % interval", "error per image", "first hit right"]
    table(head, [cells for _, cells in sorted(rows, key=lambda row: row[0])], align="lrrrrr")


def encoder_of(row: ScoredRanking) -> str:
    """The encoder of a ranking; empty for barcodes, which depend on none."""
    return "" if row.ranking.kind == "rbc" else str(row.ranking.encoder_id)


def _axes(result: Evaluation) -> None:
    axes = ("T technique", "D direction", "A anatomy", "B biosystem")
    rows = [
        [row.ranking.name, encoder_of(row), *(f"{value:.4f}" for value in row.score.axes.values())]
        for row in result.rows
    ]
    table(["mean error of each axis", "encoder", *axes], rows, align="lrrrrr")


def _sizes(result: Evaluation) -> None:
    rows = [
        [
            size_of(size),
            size.classes,
            size.queries,
            f"{size.error_score:.2f}",
            f"{size.error_per_image:.4f}",
            f"{size.first_hit_accuracy:.1%}",
        ]
        for size in result.sizes
        if size.queries
    ]
    head = [f"{result.rows[0].ranking.name}, searched images of the class", "classes", "queries", "error (sum)",
            "error per image", "first hit right"]  # fmt: skip
    table(head, rows, align="lrrrrr")


def size_of(size: SizeScore) -> str:
    """The range of a class size in words, such as `1 to 4`."""
    if size.most is None:
        return f"{size.least} and more"
    return f"{size.least} to {size.most}" if size.most != size.least else str(size.least)


def _comparison(found: Comparison) -> None:
    low, high = found.ci95
    queries = found.a_better + found.b_better + found.equal
    print(f"{found.a} against {found.b}, query by query:")
    print(
        f"  error of the first less the second's: {found.difference:+.2f} (95 % interval {low:+.2f} to {high:+.2f}; "
        f"permutation test p {_p(found.p_value)})"
    )
    print(
        f"  the first is better on {found.a_better} queries, the second on {found.b_better}, equal on {found.equal} of "
        f"{queries}"
    )
    print(f"  first hit right {found.accuracy_difference:+.1%} (McNemar's exact test p {_p(found.accuracy_p_value)})")


def _p(value: float) -> str:
    """A p-value; a permutation test resolves none below one in its number of permutations."""
    return f"= {value:.2g}" if value > 1 / PERMUTATIONS else f"< {1 / PERMUTATIONS:g}"
