"""What the quality benchmark trains, and what the trained networks say of every film: kept in files, done once."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _quality_tasks import PARTS, Task
from numpy.typing import NDArray
from torch import Tensor

from radretrieval.coding.checkpoint import Checkpoint
from radretrieval.coding.cnnc import Coder, pack
from radretrieval.coding.holdout import hold_out
from radretrieval.coding.progress import Moment
from radretrieval.coding.training import TrainingSet, train_network
from radretrieval.profile import FineTuning, Profile

BATCH = 64
SHIFTS = ((0, 0), (4, 0), (-4, 0), (0, 4), (0, -4))  # rows and columns, in pixels of 128


@dataclass(frozen=True)
class Outputs:
    """What a network gives for the films of each part.

    Attributes
    ----------
    reals : float32 (n, values) by part. codes : uint8 (n, bytes) by part, packed; empty for real-valued networks.
    answers : class numbers (n,) by part, the likeliest.
    facts : seconds, threads, epochs, losses, and the commit of the code that trained it.
    """

    reals: Mapping[str, NDArray[np.float32]]
    codes: Mapping[str, NDArray[np.uint8]]
    answers: Mapping[str, NDArray[np.int64]]
    facts: dict[str, Any]


@dataclass(frozen=True)
class Learner:
    """A way to make a network of a task.

    Attributes
    ----------
    name : in tables and files. identity : differs where another network or other outputs would come out.
    make : (task, seed, a file for checkpoints) → weights and facts.
    outputs : (weights, task, part) → reals, codes or None, answers.
    random : seeds change the network.
    base : whose weights it takes, instead of `make`.
    """

    name: str
    identity: str
    make: Callable[[Task, int, Path], tuple[bytes, dict[str, Any]]]
    outputs: Callable[[bytes, Task, str], tuple[NDArray[Any], NDArray[Any] | None, NDArray[Any]]]
    random: bool = True
    base: Learner | None = None

    def place(self, folder: Path, task: Task, seed: int) -> Path:
        """The file of its outputs; weights and facts lie beside it."""
        key = hashlib.sha256(f"{task.digest} {self.identity}".encode()).hexdigest()[:12]
        name = self.name.replace(" ", "-").replace(",", "")
        return folder / "trained" / f"{task.name}-{name}-{key}-seed{seed}.npz"

    def kept(self, folder: Path, task: Task, seed: int) -> Outputs | None:
        """What an earlier run made, None where there is nothing."""
        file = self.place(folder, task, seed)
        if not file.exists():
            return None
        parts: dict[str, dict[str, NDArray[Any]]] = {"reals": {}, "codes": {}, "answers": {}}
        with np.load(file) as stored:
            for name in stored.files:
                kind, part = name.split("-")
                parts[kind][part] = stored[name]
        weights = (self.base or self).place(folder, task, seed)
        return Outputs(parts["reals"], parts["codes"], parts["answers"], _facts(weights))

    def run(self, folder: Path, task: Task, seed: int) -> None:
        """Train and write the outputs, unless an earlier run did; weights that are there are not trained again."""
        target = self.place(folder, task, seed)
        if target.exists():
            return
        print(f"{task.name}: {self.name}, seed {seed}", file=sys.stderr, flush=True)
        weights = (self.base or self)._weights(folder, task, seed)
        arrays = {}
        for part in PARTS:
            if task.codes(part):
                found = self.outputs(weights, task, part)
                arrays |= {f"{kind}-{part}": values for kind, values in zip(_KINDS, found, strict=True)}
        draft = target.with_suffix(".part.npz")
        np.savez(draft, **{name: values for name, values in arrays.items() if values is not None})
        draft.replace(target)

    def _weights(self, folder: Path, task: Task, seed: int) -> bytes:
        target = self.place(folder, task, seed)
        file = target.with_suffix(".safetensors")
        if not file.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            started = time.monotonic()
            checkpoint = target.with_suffix(".checkpoint")
            weights, facts = self.make(task, seed, checkpoint)
            facts |= {"seconds": round(time.monotonic() - started), "threads": torch.get_num_threads()}
            target.with_suffix(".json").write_text(json.dumps({**facts, "commit": _commit()}))
            draft = file.with_suffix(".part")
            draft.write_bytes(weights)
            draft.replace(file)
            checkpoint.unlink(missing_ok=True)
        return file.read_bytes()


NOTHING_LEARNT = Outputs({}, {}, {}, {})
_KINDS = ("reals", "codes", "answers")


def of_profile(
    name: str, profile: Profile, backbone: Mapping[str, Tensor] | None = None, epochs: int | None = None
) -> Learner:
    """The product's own trainer and coder with this profile, from these backbone weights or from random ones.

    As `train` does, films are held out of training by the profile's share; they are searched like the others.
    """
    training = profile.training
    random = training.epochs_from_random if isinstance(training, FineTuning) else training.epochs
    passes = epochs or (training.epochs if backbone else random)

    def make(task: Task, seed: int, checkpoint: Path) -> tuple[bytes, dict[str, Any]]:
        pixels = task.images("train", profile.network.input_size).astype(np.float16)
        held = hold_out(task.codes("train"), task.patients("train"), training.held_out, seed)

        def told(moment: Moment) -> None:
            print(f"\r  epoch {moment.epoch + 1}/{passes}, {moment.so_far} ", end="", file=sys.stderr, flush=True)

        made = train_network(
            TrainingSet(pixels, task.labels, task.classes, held),
            profile,
            backbone=backbone,
            epochs=passes,
            seed=seed,
            checkpoint=Checkpoint(checkpoint),
            on_batch=told,
        )
        print(file=sys.stderr)
        losses = {"losses": made.losses, "accuracies": made.accuracies}
        return made.weights, {"epochs": made.best + 1, "precision": made.precision, **losses}

    def outputs(weights: bytes, task: Task, part: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        coder = Coder(weights, profile)
        found = [(*coder.reals_and_classes(block), coder.codes(block)) for block in _blocks(task, part, profile)]
        reals, answers, codes = (np.concatenate(column) for column in zip(*found, strict=True))
        return reals, codes, answers

    return Learner(name, f"{profile.hash} {passes} {'given' if backbone else 'random'}", make, outputs)


def with_shifts(learner: Learner, profile: Profile) -> Learner:
    """The same network; the code layer is the mean over `SHIFTS` of an image, of queries and of training films."""

    def outputs(weights: bytes, task: Task, part: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        coder = Coder(weights, profile)
        reals, answers = [], []
        for block in _blocks(task, part, profile):
            step = profile.network.input_size / 128
            moved = [coder.preactivations(_shifted(block, round(r * step), round(c * step))) for r, c in SHIFTS]
            reals.append(np.mean(moved, axis=0, dtype=np.float32))
            answers.append(coder.reals_and_classes(block)[1])
        values = np.concatenate(reals)
        return values, pack(values), np.concatenate(answers)

    return Learner(f"{learner.name}, shifts", f"{learner.identity} {SHIFTS}", learner.make, outputs, base=learner)


def _blocks(task: Task, part: str, profile: Profile) -> list[NDArray[np.float32]]:
    images = task.images(part, profile.network.input_size)
    return [np.array(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]


def _shifted(images: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Moved by so many pixels; the border pixels are repeated."""
    most = max(abs(rows), abs(columns))
    if not most:
        return images
    side = images.shape[1]
    padded = np.pad(images, ((0, 0), (most, most), (most, most)), mode="edge")
    moved = padded[:, most + rows : most + rows + side, most + columns : most + columns + side]
    return np.ascontiguousarray(moved)


def _facts(outputs: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(outputs.with_suffix(".json").read_text())
    return facts


def _commit() -> str:
    """The last commit that changed the package."""
    words = ["git", "log", "-1", "--format=%h", "--", "../radretrieval"]
    done = subprocess.run(words, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()
