"""Makes radretrieval/irma/terms.csv from the public code tree in shared/data/irma.

    python benchmarks/make_irma_terms.py ../shared/data/irma radretrieval/irma/terms.csv

Kept are the nodes that have children (the error's weights need their number) and the nodes on the paths
of the 193 classes, with their English words.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

AXES = "TDAB"
# Slips of the published list that a radiologist would stumble over.
SPELLING = {
    "musculosceletal": "musculoskeletal",
    "unkle": "ankle",
    "unspecfied": "unspecified",
    "sarcral": "sacral",
    "right Side": "right side",
    "desoxyribonucleid": "deoxyribonucleic",
    "tranparent": "transparent",
}


def main(source: Path, target: Path) -> None:
    """Write the terms, ordered by axis and prefix."""
    branching = json.loads((source / "branching.json").read_text(encoding="utf-8"))
    with (source / "code_tree.csv").open(encoding="utf-8", newline="") as file:
        tree = list(csv.DictReader(file))
    labels = {(row["axis"], row["code"]): row["label_en"] for row in tree}
    labels |= {(row["axis"], ""): row["axis_name"] for row in tree}
    used = {(axis, "") for axis in AXES} | set(_paths(source / "class_counts.csv"))
    nodes = used & labels.keys() | {(axis, prefix) for axis in AXES for prefix in branching[axis]}
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("axis", "prefix", "children", "label"))
        for axis, prefix in sorted(nodes, key=lambda node: (AXES.index(node[0]), node[1])):
            label = _spelled(labels.get((axis, prefix), "")) if (axis, prefix) in used else ""
            writer.writerow((axis, prefix, branching[axis].get(prefix, 0), label))


def _paths(counts: Path) -> list[tuple[str, str]]:
    with counts.open(encoding="utf-8", newline="") as file:
        codes = [row["irma_code"].split("-") for row in csv.DictReader(file)]
    return [
        (axis, text[:length])
        for code in codes
        for axis, text in zip(AXES, code, strict=True)
        for length in range(1, len(text) + 1)
    ]


def _spelled(label: str) -> str:
    for slip, word in SPELLING.items():
        label = label.replace(slip, word)
    return label.strip()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
