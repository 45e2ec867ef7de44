"""Synthetic radiographs a second on one core, and closed formulas against marching along the rays, in one run.

    python benchmarks/phantom.py [--repeats 3] [--size 256] [--step 0.1] [--json FILE]

Every class of ImageCLEF 2009 is drawn `--repeats` times; the mean is weighted by the classes' sizes in the release.
Times are processor time of all of the process's threads. The peer samples the same bodies, each only in the box of its
shadow and of its depth, every `--step` cm; both make the line integrals of one image of each of the largest classes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from _common import machine, table

from radretrieval.irma.imageclef import classes
from radretrieval.phantom import radiograph
from radretrieval.phantom.anatomy import scene, shot
from radretrieval.phantom.directions import direction
from radretrieval.phantom.projection import Array, Projection
from radretrieval.phantom.writing import png

Result = TypeVar("Result")
LARGEST = 8
TOLD = 100  # images a second and core that the issue asks for, written


def main() -> None:
    """Measure, print the tables, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="images of each class (default: %(default)s)")
    parser.add_argument("--size", type=int, default=256, help="side in pixels (default: %(default)s)")
    parser.add_argument("--step", type=float, default=0.1, help="the peer's step, cm (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if arguments.repeats < 1 or arguments.size < 16 or arguments.step <= 0:
        parser.error("--repeats is at least 1, --size at least 16, --step more than 0")
    print(machine("numpy"))
    rates = throughput(arguments.repeats, arguments.size)
    table(
        ("193 classes in the release's proportions", "images/s/core"),
        [(name, f"{rate:.0f}") for name, rate in rates.items()],
    )
    print(f"asked for: {TOLD} written\n")
    ours, theirs, apart = against_marching(arguments.size, arguments.step)
    table(
        (f"line integrals of {LARGEST} images, {arguments.size}×{arguments.size}", "ms/image", "faster"),
        [
            (f"marching, {arguments.step} cm", f"{1e3 * theirs:.0f}", "1×"),
            ("closed formulas", f"{1e3 * ours:.1f}", f"{theirs / ours:.0f}×"),
        ],
    )
    print(f"they differ by {apart:.4f} on average (attenuation; a hand is about 0.5, a pelvis 4)")
    if arguments.json:
        figures = {
            "images_per_second_core": rates,
            "size": arguments.size,
            "ms_per_image": {"ours": 1e3 * ours, "marching": 1e3 * theirs},
            "ratio": theirs / ours,
            "mean_difference": apart,
        }
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def throughput(repeats: int, size: int) -> dict[str, float]:
    """Images a second and core: drawn, and drawn and packed as PNG."""
    weights = np.array([known.train + known.test for known in classes()])
    seconds = np.array([np.mean([draw(known.irma_code, k, size) for k in range(repeats)], 0) for known in classes()])
    rates = weights.sum() / (weights @ seconds)
    return {"drawn": float(rates[0]), "drawn and packed as PNG": float(rates[1])}


def draw(code: str, seed: int, size: int) -> tuple[float, float]:
    """Seconds to draw one image, and to draw and pack it; its scene is there already."""
    rng = np.random.default_rng(seed)
    radiograph(code, np.random.default_rng(seed), 16)
    drawn, grey = clock(lambda: radiograph(code, rng, size))
    packed, _ = clock(lambda: png((grey * 255 + 0.5).astype(np.uint8)))
    return drawn, drawn + packed


def against_marching(size: int, step: float) -> tuple[float, float, float]:
    """Seconds an image by closed formulas and by marching, and how far they are apart."""
    figures = [compare(known.irma_code, size, step) for known in classes()[:LARGEST]]
    ours, theirs, apart = np.mean(figures, 0).tolist()
    return ours, theirs, apart


def compare(code: str, size: int, step: float) -> tuple[float, float, float]:
    """The same for one image of a class."""
    means, angle, place, system = code.split("-")
    taken = shot(means, angle, place, system)
    assert taken is not None, "every class of the release is drawn"
    way = direction(angle, taken.frame, mirrored=False)
    assert way is not None, "and so is every direction"
    bodies, rng = scene(taken.model, 0), np.random.default_rng(1)
    patient, view, depth = bodies.vary(rng, taken.middle), way.pose(rng), 0.3 * taken.field
    grid = (((np.arange(size) + 0.5) / size - 0.5) * taken.field).astype(np.float32)

    def closed() -> Array:
        return Projection(bodies, patient, view, way.focus, depth).line_integrals(grid, grid)

    closed()
    ours, exact = clock(closed)
    projection = Projection(bodies, patient, view, way.focus, depth)
    nearer = way.focus - depth + (patient.centre @ view.T)[:, 2:]
    enlarged = patient.half * way.focus / np.maximum(nearer, way.focus / 2)
    theirs, sampled = clock(lambda: march(projection, enlarged, grid, step))
    return ours, theirs, float(abs(exact - sampled).mean())


def march(projection: Projection, half: np.typing.NDArray[np.float64], grid: Array, step: float) -> Array:
    """The same integrals by samples along each ray."""
    bodies = projection.scene
    layers = {name: np.zeros((grid.size, grid.size), np.float32) for name in bodies.union}
    for body in np.flatnonzero(projection.coefficient[: bodies.count]).tolist():
        middle, reach = projection.place[body], projection.reach[body]
        columns, rows = (np.flatnonzero(abs(grid - middle[k]) <= reach[k]) for k in (0, 1))
        if not (columns.size and rows.size):
            continue
        deep = float(np.linalg.norm(projection.axes[body, 2] * half[body]))
        if bodies.cylinder[body]:
            deep = float(abs(projection.axes[body, 2]) @ half[body])
        steps = np.arange(middle[2] - deep + step / 2, middle[2] + deep, step, np.float32)
        at = np.meshgrid(grid[columns], grid[rows], steps, indexing="xy", sparse=True)
        path = projection.coefficient[body] * step * inside(projection, half, body, at).sum(-1, dtype=np.float32)
        part = layers[bodies.union[body]][rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        (np.maximum if bodies.union[body] else np.add)(part, path, out=part)
    return np.sum(list(layers.values()), axis=0)


def inside(projection: Projection, half: np.typing.NDArray[np.float64], body: int, at: tuple[Array, ...]) -> Array:
    """How much of the body is at those points: 0 or 1, or between them where it is fuzzy."""
    bodies = projection.scene
    away = [axis - np.float32(place) for axis, place in zip(at, projection.place[body], strict=True)]
    scaled = [
        sum(np.float32(projection.axes[body, k, axis] / half[body, axis]) * away[k] for k in range(3))
        for axis in range(3)
    ]
    flat = bodies.cylinder[body]
    square = scaled[0] ** 2 + scaled[1] ** 2 + (0 if flat else scaled[2] ** 2)
    there = square <= 1
    if flat:
        there &= abs(scaled[2]) <= 1
    comb, within = bodies.comb[body], bodies.within[body]
    if comb is not None:
        normal, period, share = comb
        along = projection.view @ np.asarray(normal) / (np.linalg.norm(normal) * period)
        there &= sum(np.float32(part) * axis for part, axis in zip(along, at, strict=True)) % 1 < share
    if within is not None:
        there &= inside(projection, half, within, at) > 0
    return (1 - square) * there if bodies.fuzzy[body] else there


def clock(call: Callable[[], Result]) -> tuple[float, Result]:
    """Processor seconds that the call takes, and what it returns."""
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


if __name__ == "__main__":
    main()
