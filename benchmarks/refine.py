"""What refining a search gains: users are simulated who call hits with the query's fine code relevant, and others not.

    python benchmarks/refine.py [--work DIR]

Queries are the test films of ../shared/data/radiographs whose fine code at least 20 searched films have; the searched
ones are all others. In the first round the user judges the ten hits, in the second the ten of the refined answer. What
was judged is left out of every figure: the precision of the next ten, by the refined query and without it. Networks are
those of benchmarks/quality.py (tasks c and b, seed 0; `paper` of 12 epochs), and trained where they are not there,
which takes an hour: no part of `make bench`. Skipped where the data is absent.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from _common import machine, skip, table
from _quality_tasks import Task, tasks
from _quality_trained import Learner, of_profile
from numpy.typing import NDArray

from radretrieval.coding.backbone import backbone_weights
from radretrieval.coding.hamming import distances
from radretrieval.coding.radon import bins
from radretrieval.coding.refine import agreement, order, refined
from radretrieval.coding.rerank import Weights, rerank
from radretrieval.profile import PAPER, STRONG, Profile

SEARCHED = ("train", "validation", "distractor")
TOP, CANDIDATES, FEWEST = 10, 50, 20
FARTHEST = 9999  # bits: no film is that far
PAPER_EPOCHS = 12
Places = NDArray[np.intp]
Judge = Callable[[list[int], list[int]], tuple[list[int], list[int]]]  # of right and wrong hits, those that are judged
WAYS: dict[str, Judge] = {
    "all ten": lambda right, wrong: (right, wrong),
    "the wrong ones": lambda right, wrong: ([], wrong),
    "the right ones": lambda right, wrong: (right, []),
    "the first of each": lambda right, wrong: (right[:1], wrong[:1]),
}


@dataclass(frozen=True)
class Films:
    """The searched films and the queries, coded; same : bool (queries, films), whether a film has the query's code."""

    profile: Profile
    cnnc: NDArray[np.uint8]
    rbc: NDArray[np.uint8]
    query_cnnc: NDArray[np.uint8]
    query_rbc: NDArray[np.uint8]
    same: NDArray[np.bool_]

    @cached_property
    def far(self) -> NDArray[np.int32]:
        """The CNNC distance of every film to each query, (queries, films)."""
        return distances(self.query_cnnc, self.cnnc)

    def nearest(self, far: NDArray[np.int32], leave_out: Places) -> Places:
        """The candidates: the nearest that are not left out, with all that tie with the last."""
        left = far.copy()
        left[leave_out] = FARTHEST
        return np.flatnonzero(left <= np.partition(left, CANDIDATES - 1)[CANDIDATES - 1])

    def found(self, query: int, leave_out: Places) -> Places:
        """The hits of the search without a judgement."""
        far = self.far[query]
        near = self.nearest(far, leave_out)
        best, _ = rerank(self.query_rbc[query], self.rbc[near], far[near], near, Weights.of(self.profile))
        return near[best[:TOP]]

    def refined(self, query: int, right: list[int], wrong: list[int], leave_out: Places) -> Places:
        """The hits of the refined search: its candidates are the nearest to the query and to the refined code."""
        bits, barcode = self.profile.network.code_bits, self.profile.barcode
        rbc_bits = barcode.angles * bins(barcode.size)
        by_code = refined(self.query_cnnc[query], self.cnnc[right], self.cnnc[wrong], bits)
        by_barcode = refined(self.query_rbc[query], self.rbc[right], self.rbc[wrong], rbc_bits)
        both = self.far[query], distances(by_code.code, self.cnnc)
        pool = np.unique(np.concatenate([self.nearest(far, leave_out) for far in both]))
        parts = agreement(by_code.weights, self.cnnc[pool]), agreement(by_barcode.weights, self.rbc[pool])
        return pool[order(parts[0], bits, parts[1], rbc_bits, pool)[:TOP]]


@dataclass(frozen=True)
class Session:
    """The precision of a query's first ten, and of the next ten after each round: without a judgement, refined."""

    first: float
    rounds: tuple[tuple[float, float], ...]


def main() -> None:
    """Simulate and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, metavar="DIR", help="where quality.py keeps what it trained")
    folder = parser.parse_args().work or Path.home() / ".cache" / "radretrieval-quality"
    made, backbone = {task.name: task for task in tasks("bc", folder, None)}, backbone_weights()
    if not made:
        skip("../shared/data/radiographs is absent")
    if backbone is None:
        skip("the extra strong is not installed")
    paper, strong = of_profile("paper", PAPER, epochs=PAPER_EPOCHS), of_profile("strong", STRONG, backbone.tensors)
    fine, coarse = made["c"], made["b"]
    cases = {
        "paper, 64 px, learnt the fine codes": films(paper, PAPER, fine, fine, folder),
        "strong, 64 px, learnt the fine codes": films(strong, STRONG, fine, fine, folder),
        "paper, learnt the coarse codes": films(paper, PAPER, coarse, fine, folder),
        "strong, learnt the coarse codes": films(strong, STRONG, coarse, fine, folder),
    }
    print(machine("numpy"))
    for title, one in cases.items():
        show(title, one)


def films(learner: Learner, profile: Profile, task: Task, wanted: Task, folder: Path) -> Films:
    """The films of a task by a network that learnt its codes; the user looks for the codes of `wanted`."""
    learner.run(folder, task, 0)
    outputs = learner.kept(folder, task, 0)
    assert outputs is not None
    codes = np.array([code for part in SEARCHED for code in wanted.codes(part)])
    return Films(
        profile,
        np.concatenate([outputs.codes[part] for part in SEARCHED]),
        np.concatenate([task.barcodes(part) for part in SEARCHED]),
        outputs.codes["test"],
        task.barcodes("test"),
        codes == np.array(wanted.codes("test"))[:, None],
    )


def session(films: Films, query: int, judge: Judge, rounds: int) -> Session:
    """One user who judges so often."""
    same, told = films.same[query], list[tuple[float, float]]()
    shown = first = films.found(query, np.empty(0, np.intp))
    seen, right, wrong = np.empty(0, np.intp), list[int](), list[int]()
    for _ in range(rounds):
        judged = judge([one for one in shown.tolist() if same[one]], [one for one in shown.tolist() if not same[one]])
        right, wrong, seen = right + judged[0], wrong + judged[1], np.concatenate([seen, shown])
        shown = films.refined(query, right, wrong, seen)
        told.append((float(same[films.found(query, seen)].mean()), float(same[shown].mean())))
    return Session(float(same[first].mean()), tuple(told))


def show(title: str, films: Films) -> None:
    """A table of one network."""
    queries = np.flatnonzero(films.same.sum(1) >= FEWEST).tolist()
    rows = []
    for name, judge in WAYS.items():
        rounds = 2 if name == "all ten" else 1
        sessions = [session(films, query, judge, rounds) for query in queries]
        chosen = {"all": sessions, "with a wrong one": [one for one in sessions if one.first < 1]}
        for which, some in chosen.items():
            rows += [[which, name, str(place + 1), str(len(some)), *gain(some, place)] for place in range(rounds)]
        right = np.mean([one.first for one in sessions])
    print(f"\n{title}: {len(queries)} of {len(films.same)} queries, {right:.4f} of their first ten right")
    table(["queries", "judged", "round", "n", "next ten", "refined", "gain (95 %)", "worse"], sorted(rows))


def gain(sessions: list[Session], place: int) -> list[str]:
    """Precision without and with refining, the difference with its bootstrap interval, how many queries lost by it."""
    before, after = np.array([one.rounds[place] for one in sessions]).T
    drawn = np.random.default_rng(0).integers(0, len(before), (2000, len(before)))
    low, high = np.quantile((after - before)[drawn].mean(1), (0.025, 0.975))
    difference = f"{(after - before).mean():+.4f} ({low:+.4f} to {high:+.4f})"
    return [f"{before.mean():.4f}", f"{after.mean():.4f}", difference, f"{(after < before).mean():.1%}"]


if __name__ == "__main__":
    main()
