"""Regions: how often the place of a drawn region is right, and how often "not found" is said rightly, with its time.

    python benchmarks/roi.py [--seed 2026] [--cases 50] [--elsewhere 300] [--landmarks FILE]

Films of ../shared/data/radiographs. A place is right when its box and the true one have an intersection over union of
at least 0.5. Kinds 1-9 are a film and the same film changed, `--cases` of each; kind 10 is every ordered pair of two
patients' films with one landmark marked by hand (../shared/data/landmarks.csv); a case of another region is a region of
one film and the film of another part of the body. The ways are the paper's, the box copied to the same relative place
without a search, and ours, which is asked with polarity `either` for kind 8 alone. Times are of ten films of 512 px,
the fastest of five turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from _common import RADIOGRAPHS, machine, skip, table
from _roi_cases import KINDS, Case, Films, changed, elsewhere, iou, landmark_pairs

from radretrieval.imaging.resample import resample
from radretrieval.search.region import find_region, find_regions
from radretrieval.search.roi import Region, match, match_all

SHARES = ((1, 2, 3, 4, 5, 6, 7), (8,), (9,), (10,))


def main() -> None:
    """Make the cases, ask the ways, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=2026, help="of the cases (default: %(default)s)")
    parser.add_argument("--cases", type=int, default=50, help="of each of kinds 1 to 9 (default: %(default)s)")
    parser.add_argument("--elsewhere", type=int, default=300, help="cases of another region (default: %(default)s)")
    parser.add_argument("--landmarks", type=Path, default=RADIOGRAPHS.parent / "landmarks.csv", help="for kind 10")
    arguments = parser.parse_args()
    if not RADIOGRAPHS.is_dir() or not arguments.landmarks.is_file():
        skip(f"{RADIOGRAPHS} or {arguments.landmarks} is not there")
    films = Films(RADIOGRAPHS)
    rng = np.random.default_rng(arguments.seed)
    cases = [changed(films, rng, kind) for kind in range(1, 10) for _ in range(arguments.cases)]
    cases += landmark_pairs(films, arguments.landmarks)
    others = [elsewhere(films, rng) for _ in range(arguments.elsewhere)]
    print(f"seed {arguments.seed}; {machine('numpy', 'scipy', 'pillow')}")
    ours = [ask(case) for case in cases]
    print_places(cases, ours)
    print_not_found(cases, ours, [ask(case) for case in others])
    print_times(films, rng)


def ask(case: Case) -> Region:
    """Our answer."""
    polarity = "either" if case.kind == 8 else "same"
    return find_region(case.query, case.roi, case.image, polarity=polarity)


def print_places(cases: list[Case], ours: list[Region]) -> None:
    """Right places in percent, kind by kind."""
    ways = {
        "paper": [right(case, match(case.query, case.roi, case.image)) for case in cases],
        "copied": [right(case, copied(case)) for case in cases],
        "ours": [right(case, found) for case, found in zip(cases, ours, strict=True)],
    }
    kinds = [case.kind for case in cases]
    rows = [[f"{kind:2} {name}", *_shares(ways, [own == kind for own in kinds])] for kind, name in KINDS.items()]
    for chosen in SHARES:
        name = f"kinds {chosen[0]}-{chosen[-1]}" if len(chosen) > 1 else f"kind {chosen[0]}"
        rows.append([name, *_shares(ways, [kind in chosen for kind in kinds])])
    landmarks = dict.fromkeys(case.what for case in cases if case.kind == 10)
    rows += [[f"   {name}", *_shares(ways, [case.what == name for case in cases])] for name in landmarks]
    print("\nright places, %")
    table(["", "cases", *ways], rows)


def print_not_found(cases: list[Case], ours: list[Region], others: list[Region]) -> None:
    """Boxes that stay, of right places and of wrong ones; and boxes of films of another region."""
    rows = []
    for chosen in SHARES:
        known = [(case, found) for case, found in zip(cases, ours, strict=True) if case.kind in chosen]
        name = f"kinds {chosen[0]}-{chosen[-1]}" if len(chosen) > 1 else f"kind {chosen[0]}"
        for wanted in (True, False):
            kept = [found.found for case, found in known if right(case, found) == wanted]
            rows.append([f"{name}, {'right' if wanted else 'wrong'} places", str(len(kept)), _percent(kept)])
    rows.append(["films of another region", str(len(others)), _percent([found.found for found in others])])
    print('\nboxes drawn (not "not found"), %')
    table(["", "cases", "ours"], rows)


def print_times(films: Films, rng: np.random.Generator) -> None:
    """Milliseconds of ten films at 512 pixels."""
    query, *images = [resample(films.pixels(films.drawn(rng)), 512) for _ in range(11)]
    roi = (150, 130, 143, 143)
    ways: dict[str, Callable[[], object]] = {
        "paper": lambda: match_all(query, roi, images),
        "ours": lambda: find_regions(query, roi, images),
    }
    times = {name: min(_clock(way) for _ in range(5)) for name, way in ways.items()}
    print("\nten films at 512 pixels, ms of CPU time")
    table(
        ["", "ms", "of the paper's"],
        [[name, f"{1e3 * spent:.0f}", f"{spent / times['paper']:.2f}"] for name, spent in times.items()],
    )


def copied(case: Case) -> Region:
    """The region at the same relative place: no search at all."""
    across, down = case.image.shape[1] / case.query.shape[1], case.image.shape[0] / case.query.shape[0]
    x, y, width, height = case.roi
    return Region(round(x * across), round(y * down), round(width * across), round(height * down), 0.0)


def right(case: Case, found: Region) -> bool:
    """Whether the box is the true one."""
    assert case.box is not None
    return iou(found[:4], case.box) >= 0.5


def _shares(ways: dict[str, list[bool]], chosen: list[bool]) -> list[str]:
    return [
        str(sum(chosen)),
        *(_percent(value for value, own in zip(way, chosen, strict=True) if own) for way in ways.values()),
    ]


def _percent(values: Iterable[bool]) -> str:
    known = list(values)
    return f"{100 * sum(known) / len(known):.1f}" if known else "-"


def _clock(way: Callable[[], object]) -> float:
    start = time.process_time()
    way()
    return time.process_time() - start


if __name__ == "__main__":
    main()
