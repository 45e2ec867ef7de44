"""Makes radretrieval/irma/terms.csv and imageclef2009.csv from the public lists in shared/data/irma.

    python benchmarks/make_irma_terms.py ../shared/data/irma radretrieval/irma

Terms: every node of the tree with the number of its children (the error's weights need it); English words only for
the nodes on the paths of the 193 classes. Classes: the 193 codes of ImageCLEF 2009 with their sizes.
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
    """Write both files."""
    _terms(source, target / "terms.csv")
    _classes(source / "class_counts.csv", target / "imageclef2009.csv")


def _classes(counts: Path, target: Path) -> None:
    """The classes that the release of 2009 has, the largest first."""
    with counts.open(encoding="utf-8", newline="") as file:
        rows = [(row["irma_code"], int(row["n_train_2009"]), int(row["n_test_2009"])) for row in csv.DictReader(file)]
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("irma_code", "train", "test"))
        writer.writerows(sorted((row for row in rows if row[1]), key=lambda row: (-row[1], row[0])))


def _terms(source: Path, target: Path) -> None:
    """The terms, ordered by axis and prefix."""
    branching = json.loads((source / "branching.json").read_text(encoding="utf-8"))
    with (source / "code_tree.csv").open(encoding="utf-8", newline="") as file:
        tree = list(csv.DictReader(file))
    labels = {(row["axis"], row["code"]): row["label_en"] for row in tree}
    labels |= {(row["axis"], ""): row["axis_name"] for row in tree}
    used = {(axis, "") for axis in AXES} | set(_paths(source / "class_counts.csv"))
    nodes = labels.keys() | {(axis, prefix) for axis in AXES for prefix in branching[axis]}
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
