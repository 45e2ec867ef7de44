"""How good the answers are: `paper`, `strong` and what a user would pick instead, on four tasks, three seeds each.

    python benchmarks/quality.py [--tasks abcd] [--rows TEXT …] [--seeds N] [--report] [--split validation] [--write]

Trains what is missing, keeps it in --work, and prints the tables; with --report it trains nothing, and says what is
missing. --write puts the tables below the notes of benchmarks/results/quality.md; those of tasks that were not asked
for stay as they are there. A choice is made by --split
validation; --split test is looked at once it is made. All of it takes a day on two cores (task (a) most of it): hence
no part of `make bench`. The peers need faiss: pip install faiss-cpu. Tasks (b) to (d) are left out where
../shared/data is absent.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import machine
from _quality_rows import REFERENCE, Row, rows
from _quality_scores import Figures, buckets, figures, ratio
from _quality_tasks import Task, tasks
from _quality_time import query_times
from _quality_trained import NOTHING_LEARNT

RESULT = Path(__file__).parent / "results" / "quality.md"
MARK = "<!-- what stands below is written by benchmarks/quality.py --write -->\n"
SPLITS = ("validation", "test")
HEAD = ("", "seeds", "error", "per film", f"of {REFERENCE}'s", "95 %", "first hit", "10 hits", "MAP", "flagged")
Cells = dict[str, list[Figures]]


def main() -> None:
    """Train, report, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--tasks", default="bcda", help="letters of the tasks, in this order (default: bcda)")
    add("--rows", nargs="+", metavar="TEXT", help="train and show only rows with one of these texts in their names")
    add("--changes", action="store_true", help="train the changes of strong, too")
    add("--seeds", type=int, default=3, help="networks of each kind (default: 3)")
    add("--report", action="store_true", help="train nothing")
    add("--split", choices=SPLITS, help="show this one only (default: both)")
    add("--write", action="store_true", help=f"write the tables into {RESULT.name}")
    add("--threads", type=int, default=os.cpu_count(), help="of torch (default: one a core)")
    add("--phantoms", type=int, metavar="N", help="so many films in task (a) instead of 14,410")
    add("--paper-epochs", type=int, metavar="N", help="of the profile paper (default: its 50)")
    add("--work", type=Path, metavar="DIR", help="keeps what was trained (default: ~/.cache/radretrieval-quality)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    folder = arguments.work or Path.home() / ".cache" / "radretrieval-quality"
    shown, films = rows(arguments.paper_epochs), tasks(arguments.tasks, folder, arguments.phantoms)
    chosen = [row for row in shown if arguments.changes or not row.change]
    if arguments.rows:
        chosen = [row for row in shown if any(text in row.name for text in arguments.rows)]
        shown = [row for row in shown if row.name == REFERENCE or row in chosen]
    if not arguments.report:
        train(chosen, films, folder, arguments.seeds)
    splits = [arguments.split] if arguments.split else SPLITS
    texts = {task.name: report(task, shown, folder, arguments.seeds, splits) for task in films}
    print("\n".join(texts.values()))
    if arguments.write:
        write(texts)


def train(chosen: Sequence[Row], films: Sequence[Task], folder: Path, seeds: int) -> None:
    """Train what is missing, seed by seed, so that a broken-off run has one of each first."""
    for seed in range(seeds):
        for task in films:
            for row in chosen:
                if row.learner and (row.learner.random or seed == 0):
                    row.learner.run(folder, task, seed)


def report(task: Task, chosen: Sequence[Row], folder: Path, seeds: int, splits: Sequence[str]) -> str:
    """The tables of a task, in Markdown."""
    lines = [f"## {task}", "", machine("torch", "numpy"), ""]
    for split in splits:
        cells = {row.name: scored(row, task, folder, seeds, split) for row in chosen}
        lines += [f"### ({task.name}) {split}", "", *main_table(cells), "", *size_table(task, split, cells), ""]
    lines += [*trainings(chosen, task, folder, seeds), "", *times(chosen, task, folder)]
    return "\n".join(lines)


def write(texts: dict[str, str]) -> None:
    """Put tables of tasks into the result, where those of the others stay."""
    head, _, rest = RESULT.read_text(encoding="utf-8").partition(MARK)
    kept = {part[4]: part for part in re.split(r"^(?=## \()", rest, flags=re.MULTILINE)[1:]}
    tables = [part.strip() + "\n" for _, part in sorted((kept | texts).items())]
    RESULT.write_text("\n".join([head + MARK, *tables]), encoding="utf-8")


def scored(row: Row, task: Task, folder: Path, seeds: int, split: str) -> list[Figures]:
    """The figures of each seed that was trained."""
    if row.learner is None:
        networks = [NOTHING_LEARNT]
    else:
        found = [row.learner.kept(folder, task, seed) for seed in range(seeds if row.learner.random else 1)]
        networks = [made for made in found if made is not None]
    strange = bool(task.codes("distractor"))
    return [
        figures(task, split, row.rank(task, made, split), row.rank(task, made, "distractor") if strange else None)
        for made in networks
    ]


def main_table(cells: Cells) -> list[str]:
    """One line a row: the figures are means over seeds."""
    lines = _head(HEAD)
    for name, found in cells.items():
        if not found:
            continue
        errors = np.stack([each.errors for each in found])
        words = [name, str(len(found)), f"{errors.sum(1).mean():.2f}", f"{errors.mean():.4f}"]
        if cells.get(REFERENCE):
            share, low, high = ratio(found, cells[REFERENCE])
            words += [f"{share:.3f}", f"{low:.2f} to {high:.2f}"]
        else:
            words += ["", ""]
        shares = [[each.right.mean(), each.precision, each.mean_precision, each.flagged] for each in found]
        lines.append(_line([*words, *map(_percent, zip(*shares, strict=True))]))
    return lines


def size_table(task: Task, split: str, cells: Cells) -> list[str]:
    """The error per film by the size of its class in train; one line a row."""
    groups = buckets(task, split)
    lines = _head(["error per film, class has", *(f"{name} ({chosen.sum()})" for name, chosen in groups)])
    for name, found in cells.items():
        if found:
            means = [np.mean([each.errors[chosen].mean() for each in found]) for _, chosen in groups]
            lines.append(_line([name, *(f"{mean:.4f}" for mean in means)]))
    return lines


def trainings(chosen: Sequence[Row], task: Task, folder: Path, seeds: int) -> list[str]:
    """What was trained, and how long it took; an epoch is that whose weights were kept. Below: what was not."""
    lines = _head(["network", "seeds", "epoch", "minutes", "threads", "last loss", "code of"])
    learners = {row.learner.name: row.learner for row in chosen if row.learner}
    missing = []
    for name, learner in learners.items():
        wanted = range(seeds if learner.random else 1)
        made = [kept.facts for seed in wanted if (kept := learner.kept(folder, task, seed))]
        if len(made) < len(wanted):
            missing.append(f"{name} ({len(wanted) - len(made)} of {len(wanted)} seeds)")
        if made and learner.base is None:
            minutes = np.mean([facts["seconds"] for facts in made]) / 60
            last = [facts["losses"][-1] for facts in made if facts.get("losses")]
            told = [str(len(made)), _all(made, "epochs"), f"{minutes:.1f}", _all(made, "threads")]
            lines.append(_line([name, *told, f"{np.mean(last):.3f}" if last else "", _all(made, "commit")]))
    return [*lines, "", f"Missing, not trained yet: {'; '.join(missing)}."] if missing else lines


def times(chosen: Sequence[Row], task: Task, folder: Path) -> list[str]:
    """How long a query takes, where all that are timed are trained."""
    found = query_times([(row.learner, row.timed) for row in chosen if row.learner and row.timed], task, folder)
    if not found:
        return []
    reference = found[REFERENCE]
    parts = [
        f"{name}: network {network:.1f} ms, query {query:.1f} ms ({query / reference[1]:.2f} of {REFERENCE}'s)"
        for name, (network, query) in found.items()
    ]
    return ["One query in memory, without reading the file and without regions: " + "; ".join(parts) + ".", ""]


def _all(made: Sequence[dict[str, Any]], key: str) -> str:
    return ", ".join(sorted({str(facts[key]) for facts in made}))


def _percent(shares: Sequence[float | None]) -> str:
    return "" if None in shares else f"{100 * np.mean(np.array(shares, float)):.1f} %"


def _head(words: Sequence[str]) -> list[str]:
    return [_line(words), _line(["---", *["---:"] * (len(words) - 1)])]


def _line(words: Sequence[str]) -> str:
    return "| " + " | ".join(words) + " |"


if __name__ == "__main__":
    main()
