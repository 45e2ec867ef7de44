"""Synthetic CNN codes by the million, spread like real ones: a smoothed bootstrap of a network's pre-activations.

    python benchmarks/_code_model.py --home DIR [--count N] [--save FILE]

How fast an exact search is depends on how codes lie: random bits, or random centres with random flips, say nothing of
it. Here each item is the mean of its class, plus a real image's deviation from it, plus a little noise of the class'
own covariance; a bit is the sign. The archive of DIR (see corpus.py) has few classes: the model has the 193 of
ImageCLEF 2009 in their sizes, as copies of the real ones with other units. Run by itself, this prints how well the
model fits.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from _common import database, machine, table
from numpy.typing import NDArray

from radretrieval.archive import encoders, images
from radretrieval.archive.connections import Database
from radretrieval.coding.cnnc import Coder, pack
from radretrieval.coding.hamming import nearest
from radretrieval.config import Settings
from radretrieval.irma.imageclef import classes as release_classes
from radretrieval.storage.prepare import PrepareTask, prepare
from radretrieval.storage.reading import Reading
from radretrieval.storage.source import SourceFile

BITS = 1000
RANK = 200  # of a class' covariance: 50 dimensions have 98 % of the variance
GROUPS = 48  # copies of real classes; the 193 classes are these and about three siblings of each
BATCH = 64  # images that are encoded at a time
BLOCK = 1 << 14  # codes that are drawn at a time: the largest class' reals stay within some 12 MB

SHIFT, PART = 1.0, 0.3  # a sibling's mean: standard deviations along the covariance, and part of another class' mean
SCALE = 0.2  # standard deviation of the logarithm of a class' scale
SMOOTHING = {"real": 0.4, "tight": 0.15}  # h: 0 repeats the real images, 1 is normal
FLATTENED, WIDER, NOISE = 0.7, 1.5, 0.3  # `diffuse`: power of the variances, scale, independent noise over the rms

VARIANTS = ("real", "diffuse", "tight")
SIZES, SUBSETS = (250, 500, 1000, 2000), 5  # of the fit's table
RANKS = (1, 10, 50)

Reals = NDArray[np.float32]
Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class Model:
    """Where codes come from. Fields of reals are in the units of the real network; a group renames them.

    Attributes
    ----------
    residuals : float32 (items, 1000), real images minus the mean of their class, class by class.
    first : int64 (real classes + 1), the first residual of each real class, and the end.
    factors : float32 (real classes, RANK, 1000): eps @ factor has the covariance of the class if eps is normal.
    order : int16 (groups, 1000), a permutation of the units. flips : bool (groups, 1000), units with the other sign.
    base, group : int64 (classes,), the real class that a class is like, and its group.
    means : float32 (classes, 1000). scales : float32 (classes,), of the deviations from the mean.
    weights : float64 (classes,), shares of the classes, with the sum 1.
    smoothing : h, 0…1. noise : of every unit by itself, as a part of the class' root mean square.
    """

    residuals: Reals
    first: NDArray[np.int64]
    factors: Reals
    order: NDArray[np.int16]
    flips: NDArray[np.bool_]
    base: NDArray[np.int64]
    group: NDArray[np.int64]
    means: Reals
    scales: Reals
    weights: NDArray[np.float64]
    smoothing: float = SMOOTHING["real"]
    noise: float = 0.0

    def variant(self, name: str) -> Model:
        """This model, as it was fitted, with the spread of `VARIANTS`: as real, twice as wide, or narrower."""
        if name in SMOOTHING:
            return replace(self, smoothing=SMOOTHING[name])
        if name != "diffuse":
            raise ValueError(f"{name!r} is none of {', '.join(VARIANTS)}")
        variances = np.square(self.factors).sum(-1, keepdims=True)
        flat = variances**FLATTENED
        flat *= variances.sum(1, keepdims=True) / flat.sum(1, keepdims=True)
        # a class of fewer than RANK images has factors of length zero, which stay so
        gain = np.sqrt(np.divide(flat, variances, out=np.zeros_like(flat), where=variances > 0))
        return replace(self, factors=self.factors * gain, scales=WIDER * self.scales, smoothing=1.0, noise=NOISE)

    def draw(self, count: int, seed: int) -> tuple[Codes, NDArray[np.int16]]:
        """Codes, uint8 (count, 125), packed MSB first, and their classes, int16 (count,), 0…classes - 1, in no order.

        Beyond the result it takes about 100 MB. Equal seeds give equal results on equal machines.
        """
        codes, chosen = np.empty((count, BITS // 8), np.uint8), np.empty(count, np.int16)
        residuals = np.float32(np.sqrt(1 - self.smoothing**2)) * self.residuals
        factors = np.float32(self.smoothing) * self.factors
        for block, start in enumerate(range(0, count, BLOCK)):
            rng = np.random.default_rng([seed, block])
            size = min(BLOCK, count - start)
            # class by class, for matrix products; shuffled afterwards
            numbers = rng.multinomial(size, self.weights)
            places = start + rng.permutation(size)
            for kind, mine in enumerate(np.split(places, numbers.cumsum()[:-1])):
                if len(mine):
                    codes[mine] = self._of_class(kind, len(mine), residuals, factors, rng)
                    chosen[mine] = kind
        return codes, chosen

    def _of_class(self, kind: int, count: int, residuals: Reals, factors: Reals, rng: np.random.Generator) -> Codes:
        """Codes of one class, (count, 125); residuals and factors have their share of the variance already."""
        base, group = self.base[kind], self.group[kind]
        reals = rng.standard_normal((count, RANK), np.float32) @ factors[base]
        reals += residuals[rng.integers(self.first[base], self.first[base + 1], count)]
        if self.noise:
            level = self.noise * np.sqrt(np.square(self.factors[base]).sum() / BITS)
            # uniform with that standard deviation: drawn twice as fast as normal numbers
            reals += np.float32(level * np.sqrt(12)) * (rng.random(reals.shape, np.float32) - np.float32(0.5))
        bits = reals > -self.means[kind] / self.scales[kind]  # the sign of mean + scale * reals
        return np.packbits(bits.take(self.order[group], axis=1) ^ self.flips[group], axis=1)


@dataclass(frozen=True)
class Flat:
    """Codes without an inner structure: random `centres`, uint8 (centres, 125), with 5…15 % of the bits flipped."""

    centres: Codes

    def draw(self, count: int, seed: int) -> tuple[Codes, NDArray[np.int16]]:
        """Codes, uint8 (count, 125), and the centres that they belong to, int16 (count,)."""
        codes, chosen = np.empty((count, BITS // 8), np.uint8), np.empty(count, np.int16)
        for block, start in enumerate(range(0, count, BLOCK)):
            rng = np.random.default_rng([seed, block])
            part = slice(start, min(start + BLOCK, count))
            chosen[part] = rng.integers(len(self.centres), size=len(chosen[part]))
            rates = rng.uniform(0.05, 0.15, (len(chosen[part]), 1)).astype(np.float32)
            flipped = rng.random((len(rates), BITS), np.float32) < rates
            codes[part] = self.centres[chosen[part]] ^ np.packbits(flipped, axis=1)
        return codes, chosen


def flat(centres: int = 2000, seed: int = 0) -> Flat:
    """The variant `flat`: centres of random bits, of equal sizes."""
    return Flat(np.random.default_rng(seed).integers(0, 256, (centres, BITS // 8), np.uint8))


def preactivations(
    where: Database, settings: Settings, splits: Sequence[str] = ("train", "test")
) -> tuple[Reals, list[str]]:
    """What the active encoder makes of the labelled images of these splits, from their files.

    Returns float32 (n, 1000), the reals whose signs are the codes, split by split and by id, and n IRMA codes.
    Raises ImageError for a file that is gone or changed, NoEncoder, UsageError for a split without labelled images.
    """
    with where.connection() as connection:
        encoder = encoders.get(connection)
        coder = Coder(encoders.weights(connection, encoder, settings.home / "weights"), encoder.profile)
        rows = [row for split in splits for row in images.training(connection, split)]
    size = encoder.profile.network.input_size
    reals = []
    for start in range(0, len(rows), BATCH):
        sources = [SourceFile(row["uri"], bytes(row["sha256"])) for row in rows[start : start + BATCH]]
        pixels = [prepare(PrepareTask(source, size), Reading.of(settings)).network_input for source in sources]
        reals.append(coder.preactivations(np.stack(pixels)))
    return np.concatenate(reals), [str(row["irma_code"]) for row in rows]


def fit(values: Reals, labels: Sequence[str], classes: int = 193, groups: int = GROUPS, seed: int = 0) -> Model:
    """The model `real` of the first `classes` classes of ImageCLEF 2009, in their sizes, after these images.

    Parameters
    ----------
    values : float32 (n, 1000), pre-activations. labels : n classes; those of a single image are left out.
    groups : copies of real classes, each with units in another order and with other signs, so that two groups are as
        far apart as unlike classes are (about 450 bits). The classes of one group are its copy and siblings of it.
    """
    real = resampled(values, labels)
    rng = np.random.default_rng(seed)
    kinds = np.arange(classes)
    group = kinds % groups
    base = group % len(real.means)  # the largest first in both: the largest class is a copy of the largest real one
    means = real.means[base]
    for kind in kinds[groups:]:  # the first of each group is the copy itself
        along = SHIFT * rng.standard_normal(RANK, np.float32) @ real.factors[base[kind]]
        other = real.means[rng.choice(np.delete(np.arange(len(real.means)), base[kind]))]
        means[kind] = (1 - PART) * means[kind] + PART * other + along
    sizes = np.array([known.train for known in release_classes()[:classes]], float)
    return replace(
        real,
        order=np.stack([rng.permutation(BITS) for _ in range(groups)]).astype(np.int16),
        flips=rng.random((groups, BITS)) < 0.5,
        base=base,
        group=group,
        means=means,
        scales=np.exp(rng.normal(0, SCALE, classes)).astype(np.float32),
        weights=sizes / sizes.sum(),
    )


def resampled(values: Reals, labels: Sequence[str]) -> Model:
    """The real classes alone, in their own sizes, the largest first: what is held against the real codes."""
    names, sizes = np.unique(labels, return_counts=True)
    names, sizes = names[np.argsort(-sizes, kind="stable")], np.sort(sizes)[::-1]
    names, sizes = names[sizes > 1], sizes[sizes > 1]
    if len(names) < 2:
        raise ValueError("the model needs at least two classes of more than one image")
    members = [values[np.asarray(labels) == name] for name in names]
    means = np.stack([member.mean(0) for member in members])
    residuals = [member - mean for member, mean in zip(members, means, strict=True)]
    count = len(names)
    return Model(
        residuals=np.concatenate(residuals),
        first=np.concatenate([[0], sizes.cumsum()]).astype(np.int64),
        factors=np.stack([factor(rows) for rows in residuals]),
        order=np.arange(BITS, dtype=np.int16)[None],
        flips=np.zeros((1, BITS), bool),
        base=np.arange(count),
        group=np.zeros(count, np.int64),
        means=means,
        scales=np.ones(count, np.float32),
        weights=sizes / sizes.sum(),
    )


def factor(residuals: Reals) -> Reals:
    """The factor of a covariance, float32 (RANK, 1000); rows beyond its rank are zero."""
    _, lengths, axes = np.linalg.svd(residuals / np.sqrt(np.float32(len(residuals) - 1)), full_matrices=False)
    result = np.zeros((RANK, residuals.shape[1]), np.float32)
    result[: len(axes)] = (lengths[:, None] * axes)[:RANK]
    return result


def outside(codes: Codes, count: int, seed: int) -> Codes:
    """Queries that are like nothing among `codes`, uint8 (count, 125).

    The first half (rounded up) are random bits; in the others each bit is that of one or the other of two codes.
    """
    rng = np.random.default_rng(seed)
    queries = rng.integers(0, 256, (count, codes.shape[1]), np.uint8)
    masks = queries[(count + 1) // 2 :]
    one, other = (codes[rng.integers(len(codes), size=len(masks))] for _ in range(2))
    masks[:] = (one & masks) | (other & ~masks)
    return queries


def save(model: Model, path: Path) -> None:
    """Keep a fitted model in a .npz file."""
    arrays: dict[str, Any] = {field.name: getattr(model, field.name) for field in fields(model)}
    np.savez(path, **arrays)


def load(path: Path) -> Model:
    """The model that `save` wrote."""
    with np.load(path, allow_pickle=False) as kept:
        arrays: dict[str, Any] = {name: kept[name] if kept[name].ndim else float(kept[name]) for name in kept.files}
    return Model(**arrays)


def neighbours(queries: Codes, codes: Codes) -> NDArray[np.int32]:
    """Distances (queries, 3) of the neighbours `RANKS`."""
    return nearest(queries, codes, max(RANKS))[1][:, np.array(RANKS) - 1]


def of_real(train: Codes, test: Codes, size: int) -> NDArray[np.int32]:
    """Distances of test codes to `size` random ones of train, `SUBSETS` times."""
    rng = np.random.default_rng(0)
    return np.concatenate([neighbours(test, rng.permutation(train)[:size]) for _ in range(SUBSETS)])


def of_model(model: Model, queries: int, size: int) -> NDArray[np.int32]:
    """Distances of draws to `size` other draws, `SUBSETS` times."""
    pairs = [(model.draw(queries, 2 * time)[0], model.draw(size, 2 * time + 1)[0]) for time in range(SUBSETS)]
    return np.concatenate([neighbours(*pair) for pair in pairs])


def medians(distances: NDArray[np.int32]) -> str:
    """In one cell."""
    return " / ".join(f"{value:g}" for value in np.median(distances, axis=0))


def main() -> None:
    """Fit to an archive, print how well, keep the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, metavar="DIR", required=True, help="the archive, with an active encoder")
    parser.add_argument("--count", type=int, default=100_000, help="codes of the variants (default: %(default)s)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the model of 193 classes there (.npz)")
    arguments = parser.parse_args()
    if arguments.count < max(RANKS):
        parser.error(f"--count is at least {max(RANKS)}")
    with database(arguments.home) as (where, settings):
        train, test = (preactivations(where, settings, [split]) for split in ("train", "test"))
    values, labels = np.concatenate([train[0], test[0]]), train[1] + test[1]
    show_fit(resampled(values, labels), pack(train[0]), pack(test[0]))
    model = fit(values, labels)
    show_variants(model, arguments.count)
    if arguments.save:
        save(model, arguments.save)


def show_fit(model: Model, train: Codes, test: Codes) -> None:
    """Real codes beside the same numbers of the model's; its variants too, on the real classes."""
    print(f"distances (bits) of the neighbours {' / '.join(map(str, RANKS))}, medians")
    print(machine("numpy", "torch"))
    rows = []
    for size in (min(size, len(train)) for size in SIZES):
        drawn = [of_model(model.variant(name), len(test), size) for name in VARIANTS]
        rows.append([f"{size}", *map(medians, [of_real(train, test, size), *drawn])])
    table(["codes of the real classes", "test to train", *VARIANTS], rows)


def show_variants(model: Model, count: int) -> None:
    """The variants with all classes."""
    sources: dict[str, Model | Flat] = {name: model.variant(name) for name in VARIANTS}
    rows = []
    for name, source in {**sources, "flat": flat()}.items():
        queries, codes = source.draw(500, 2)[0], source.draw(count, 1)[0]
        found = neighbours(queries, codes)
        far = nearest(outside(codes, 50, 3), codes, 1)[1]
        rows.append([name, medians(found), f"{np.percentile(found[:, -1], 95):.0f}", f"{np.median(far):.0f}"])
    table([f"{count} codes of {len(model.means)} classes", "within", "p95 of the last", "outside, first"], rows)


if __name__ == "__main__":
    main()
