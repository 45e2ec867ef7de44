"""Training beside a bare PyTorch loop over tensors in memory, on a CPU, in one run.

    python benchmarks/train.py [--films 200] [--epochs 2] [--repeats 3] [--threads N]

Both learn the same synthetic films with the same network, loss, optimiser and precision, and keep freed memory in the
process. The loop has its films in memory as float32, and does nothing but learn: no augmentation, no checkpoint, no
figures but the loss. Ours reads its films from the file that they are decoded into, augments them, and counts. Repeats
alternate, so that a busy machine slows both. A checkpoint is written once beside, to say what it takes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _common import machine, table
from numpy.typing import NDArray

from radretrieval.coding import network, training
from radretrieval.coding.allocator import freed_memory_kept
from radretrieval.coding.checkpoint import Checkpoint
from radretrieval.coding.progress import STAGES
from radretrieval.coding.recipes import recipe_of
from radretrieval.coding.training import TrainedNetwork, TrainingSet, train_network
from radretrieval.profile import PROFILES, Profile
from radretrieval.storage.decoded import MappedFilms, open_decoded
from radretrieval.storage.source import SourceFile

CLASSES = ("1121-120-942-700", "1121-127-700-500", "1121-4a0-914-700", "1124-410-620-625")


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=200, help="how many (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=2, help="passes over them (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="how often each is measured (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="of PyTorch; default as many as it takes by itself")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    print(f"{machine('torch')}, {torch.get_num_threads()} threads; {arguments.films} films, {arguments.epochs} epochs")
    rows = [measured(PROFILES[name], arguments) for name in ("paper", "strong")]
    table(["profile", "ours, s", "bare loop, s", "ratio", *STAGES, "checkpoint, s", "MB"], rows)
    print("ratio: at most 1.30 is wanted. The stages are shares of ours; checkpoints are written so seldom that they")
    print("take less than 2 % of the time, and in a run as short as this none")


def measured(profile: Profile, arguments: argparse.Namespace) -> list[str]:
    """The row of a profile."""
    with tempfile.TemporaryDirectory(prefix="rr-bench-") as folder:
        films = decoded(Path(folder), profile.network.input_size, arguments.films)
        labels = np.arange(arguments.films) % len(CLASSES)
        data = TrainingSet(films.pixels, labels, CLASSES)
        images = films.pixels.astype(np.float32)
        ours: list[float] = []
        bare: list[float] = []
        for repeat in range(arguments.repeats):
            print(f"{profile.name}, {repeat + 1} of {arguments.repeats}", file=sys.stderr)
            started = time.perf_counter()
            trained = learnt(data, films, profile, arguments.epochs)
            ours.append(time.perf_counter() - started)
            started = time.perf_counter()
            loop(images, labels, profile, arguments.epochs)
            bare.append(time.perf_counter() - started)
        seconds, size = saved(Path(folder), data, profile)
    total = sum(trained.seconds.values())
    taken, least = statistics.median(ours), statistics.median(bare)
    stages = [f"{trained.seconds[stage] / total:.1%}" for stage in STAGES]
    return [
        *(profile.name, f"{taken:.1f}", f"{least:.1f}", f"{taken / least:.2f}"),
        *stages,
        *(f"{seconds:.1f}", f"{size / 1e6:.0f}"),
    ]


def decoded(folder: Path, side: int, count: int) -> MappedFilms:
    """Synthetic films in the file that training maps."""
    rng = np.random.default_rng(0)
    files = [SourceFile(f"file:///{number}", number.to_bytes(32, "big")) for number in range(count)]
    with open_decoded(folder, side) as films:
        for file in files:
            films.add(file, rng.random((side, side), np.float32))
        return films.films(files)


def learnt(data: TrainingSet, films: MappedFilms, profile: Profile, epochs: int) -> TrainedNetwork:
    """As `jobs.train` does it."""
    return train_network(data, profile, epochs=epochs, device="cpu", on_batch=lambda moment: films.release())


@freed_memory_kept()
def loop(images: NDArray[np.float32], labels: NDArray[np.int64], profile: Profile, epochs: int) -> None:
    """The least that learns."""
    x, y = torch.from_numpy(images)[:, None], torch.from_numpy(labels)
    model = network.build(profile.network, len(CLASSES))
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    precision = training._precision(torch.device("cpu"))
    recipe = recipe_of(profile.training, CLASSES, y)
    optimiser, schedule = recipe.optimiser(model, epochs * len(recipe.batches(y)))
    model.train()
    for _ in range(epochs):
        for chosen in recipe.batches(torch.randperm(len(x))):
            batch = x[chosen].to(memory_format=torch.channels_last)
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
                loss = recipe.loss(model(batch), y[chosen])
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            loss.item()


def saved(folder: Path, data: TrainingSet, profile: Profile) -> tuple[float, int]:
    """Seconds and bytes of a checkpoint: with 64 films, of which some are held out where the profile does that."""
    held = np.arange(64) < 64 * profile.training.held_out
    few = TrainingSet(data.images[:64], data.labels[:64], CLASSES, held)
    checkpoint = Checkpoint(folder / "checkpoint.pt", seconds=0.0)
    train_network(few, profile, epochs=1, device="cpu", checkpoint=checkpoint)
    state = checkpoint.load()
    assert state is not None
    started = time.perf_counter()
    checkpoint.save(state)
    return time.perf_counter() - started, (folder / "checkpoint.pt").stat().st_size


if __name__ == "__main__":
    main()
