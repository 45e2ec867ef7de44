"""Radon barcodes: the literal implementation on scikit-image's `radon` against ours, in one run.

    python benchmarks/barcode.py [--images 64] [--repeats 5] [--json FILE]

Both take the same 8-bit images at 192×192 with 16 angles in one process and one thread; repeats alternate
between the two, so that a busy machine slows both. Images are ../shared/data/radiographs where that exists,
else synthetic.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radretrieval.coding import radon

RADIOGRAPHS = Path(__file__).parents[2] / "shared" / "data" / "radiographs" / "images"
BATCH = 64


def main() -> None:
    """Measure, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=BATCH, help="how many images (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="how often each is measured (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if arguments.images < 1 or arguments.repeats < 1:
        parser.error("--images and --repeats are at least 1")

    source, images = load(arguments.images)
    start = time.perf_counter()
    radon.barcode(images[:1])
    first = time.perf_counter() - start
    literal(images[:1])  # imports and first allocations are no part of the comparison
    radon.barcode(images)
    times: dict[str, list[float]] = {"scikit-image": [], "ours, batched": [], "ours, one by one": []}
    for _ in range(arguments.repeats):
        times["scikit-image"].append(clock(lambda: literal(images)))
        times["ours, batched"].append(clock(lambda: batched(images)))
        times["ours, one by one"].append(clock(lambda: [radon.barcode(image[None]) for image in images]))
    per_image = {name: 1e3 * statistics.median(taken) / len(images) for name, taken in times.items()}
    bits, coin_flips = literal(images)
    equal = np.unpackbits(batched(images), axis=1).astype(bool) == bits

    side, angles = radon.SIZE, radon.ANGLES
    print(f"{len(images)} images ({source}), {side}×{side}, {angles} angles, batches of {BATCH}")
    print(f"{'':18}{'ms per image':>14}{'faster':>9}")
    for name, milliseconds in per_image.items():
        print(f"{name:18}{milliseconds:14.3f}{per_image['scikit-image'] / milliseconds:8.1f}×")
    print(f"first barcode of a process, with the import of scipy and the matrix: {first:.2f} s")
    wrong = int(np.sum(~equal & ~coin_flips))
    print(f"bits equal: {100 * equal.mean():.5f} % of {equal.size}; {wrong} differ where more than")
    print("scikit-image's round-off (two bins within 1e-9 of the threshold) decides")
    if arguments.json:
        figures = {
            "images": len(images),
            "source": source,
            "ms_per_image": per_image,
            "ratio": per_image["scikit-image"] / per_image["ours, batched"],
            "ratio_one_by_one": per_image["scikit-image"] / per_image["ours, one by one"],
            "first_seconds": first,
            "bits_equal": float(equal.mean()),
            "bits_wrong": wrong,
        }
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def load(count: int) -> tuple[str, NDArray[np.uint8]]:
    """Where the images are from, and `count` of them, uint8 (count, 192, 192)."""
    side = radon.SIZE
    files = sorted(RADIOGRAPHS.glob("*.png"))
    if not files:
        print(f"{RADIOGRAPHS} is absent: synthetic images", file=sys.stderr)
        y, x = np.mgrid[:side, :side] / side
        rng = np.random.default_rng(0)
        centres, noise = rng.uniform(0.2, 0.8, (count, 4)), rng.integers(0, 32, (count, side, side))
        blobs = [np.exp(-20 * ((x - a) ** 2 + (y - b) ** 2)) + np.hypot(x - c, y - d) for a, b, c, d in centres]
        return "synthetic", np.asarray(100 * np.stack(blobs) + noise).astype(np.uint8)
    from PIL import Image

    chosen = [files[i * len(files) // count] for i in range(count)]
    pixels = [np.asarray(Image.open(file).convert("L").resize((side, side))) for file in chosen]
    return "radiographs", np.stack(pixels)


def literal(images: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The definition, image by image: bits (n, bits), and where round-off alone decided them."""
    from skimage.transform import radon as skimage_radon

    degrees = np.arange(radon.ANGLES) * 180 / radon.ANGLES
    bits, coin_flips = [], []
    for image in images:
        sinogram = skimage_radon(image, degrees, circle=False)  # type: ignore[no-untyped-call]
        for p in sinogram.T:
            threshold = np.median(p[p > 0]) if (p > 0).any() else 0.0
            bits.append(p > threshold)
            near = abs(p - threshold) <= 1e-9 * threshold
            coin_flips.append(near & (near.sum() > 1))
    return np.reshape(bits, (len(images), -1)), np.reshape(coin_flips, (len(images), -1))


def batched(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Our barcodes, as the worker asks for them."""
    return np.concatenate([radon.barcode(images[i : i + BATCH]) for i in range(0, len(images), BATCH)])


def clock(call: Callable[[], object]) -> float:
    """Seconds that the call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
