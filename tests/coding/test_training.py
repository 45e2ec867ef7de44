"""A training that is killed goes on as if it had not been; the best epoch is kept; figures and stages are told."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import CLASSES, TINY

from radretrieval.coding import training
from radretrieval.coding.checkpoint import Checkpoint
from radretrieval.coding.progress import STAGES, Moment
from radretrieval.coding.training import TrainedNetwork, TrainingSet, train_network
from radretrieval.errors import UsageError
from radretrieval.profile import STRONG, Profile

SMALL: Profile = replace(
    STRONG, network=replace(STRONG.network, input_size=32), training=replace(STRONG.training, batch=8)
)


def films(count: int, held: int = 0) -> TrainingSet:
    """Bright squares at the left (class 0) or the right (class 1); the last are held out."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    images = rng.random((count, 32, 32)) * 0.3
    for image, label in zip(images, labels, strict=True):
        image[8:24, 4 + 14 * label : 14 + 14 * label] += 0.6
    return TrainingSet(images.astype(np.float16), labels, CLASSES, np.arange(count) >= count - held)


class Once(Checkpoint):
    """Due when it is told."""

    due = False

    def save(self, state: dict[str, Any]) -> None:
        self.due = False
        super().save(state)


class Always(Checkpoint):
    """Due after each batch."""

    due = True


class StoppedError(Exception):
    """In place of a kill."""


def interrupted(data: TrainingSet, profile: Profile, path: Path, batches: int) -> None:
    """Train until so many batches were learnt, save behind the next, and learn a little more."""
    checkpoint, told = Once(path), []

    def learnt(moment: Moment) -> None:
        told.append(moment)
        checkpoint.due |= len(told) == batches
        if len(told) == batches + 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        train_network(data, profile, epochs=2, device="cpu", seed=2, checkpoint=checkpoint, on_batch=learnt)


def same(one: TrainedNetwork, other: TrainedNetwork) -> bool:
    return (one.weights, one.epochs, one.best) == (other.weights, other.epochs, other.best)


@pytest.mark.parametrize(
    ("profile", "count", "held", "places"), [(TINY, 150, 0, (1, 2, 3)), (SMALL, 20, 4, (1,))], ids=["paper", "strong"]
)
def test_an_interrupted_training_ends_with_the_same_weights(
    tmp_path: Path, profile: Profile, count: int, held: int, places: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    data = films(count, held)
    whole = train_network(data, profile, epochs=2, device="cpu", seed=2)
    assert not whole.resumed
    for batches in places:  # within the first epoch, at its end, in the second
        path = tmp_path / f"checkpoint-{batches}.pt"
        interrupted(data, profile, path, batches)
        moments: list[Moment] = []
        again = train_network(
            data, profile, epochs=2, device="cpu", seed=2, checkpoint=Once(path), on_batch=moments.append
        )
        assert same(again, whole)
        assert again.resumed
        assert sum(moment.images for moment in moments) == 2 * (count - held)  # those of before in the first
        assert "goes on in epoch" in caplog.text


def test_what_was_learnt_to_its_end_is_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    first = train_network(films(64), TINY, epochs=1, device="cpu", checkpoint=Always(path))
    again = train_network(films(64), TINY, epochs=1, device="cpu", checkpoint=Once(path))
    assert same(first, again)
    assert again.seconds["step"] == 0


PROGRAM = """
import sys, time
from pathlib import Path
sys.path[:0] = {paths!r}
from test_training import Always, films
from tiny import TINY
from radretrieval.coding.training import train_network

def learnt(moment):
    time.sleep(0.1)

trained = train_network(films(150), TINY, epochs=3, device="cpu", seed=2, checkpoint=Always(Path("checkpoint.pt")),
                        on_batch=learnt)
Path("weights").write_bytes(trained.weights)
print(trained.resumed)
"""


def test_kill_9(tmp_path: Path) -> None:
    folder = Path(__file__).parent
    program = PROGRAM.format(paths=[str(folder), str(folder.parent / "support")])
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(command, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "checkpoint.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
    finally:
        process.kill()
        assert process.wait() == -9
    assert not (tmp_path / "weights").exists()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "True\n"
    whole = train_network(films(150), TINY, epochs=3, device="cpu", seed=2)
    assert (tmp_path / "weights").read_bytes() == whole.weights


def test_a_checkpoint_that_was_damaged_anywhere_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "checkpoint.pt"
    Checkpoint(path).save({"weights": torch.arange(5000.0)})
    assert Checkpoint(path).load() is not None
    whole = path.read_bytes()
    for place in range(0, len(whole), len(whole) // 20):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert Checkpoint(path).load() is None
        assert f"{path} is damaged, training begins anew" in caplog.text
        caplog.clear()


def test_a_loss_that_is_not_a_number_ends_the_training() -> None:
    data = films(80, 16)
    blank = replace(data, images=np.full_like(data.images, np.nan))
    with pytest.raises(UsageError, match="the loss of epoch 1 is not a number: .* --weights"):
        train_network(blank, TINY, epochs=2, device="cpu", seed=2)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04" + bytes(500)])
def test_a_checkpoint_that_cannot_be_read_is_not_used(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    assert Checkpoint(path).load() is None
    assert "training begins anew" in caplog.text


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save({"state": Evil()}, tmp_path / "checkpoint.pt")
    whole = (tmp_path / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(whole + hashlib.sha256(whole).digest())
    assert Checkpoint(tmp_path / "checkpoint.pt").load() is None
    assert not (tmp_path / "ran").exists()


def test_checkpoints_are_rare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def slow(state: Any, draft: Path) -> None:
        now[0] += 10
        draft.write_bytes(b"x")

    monkeypatch.setattr(torch, "save", slow)
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt")
    assert not checkpoint.due
    now[0] = 60
    assert checkpoint.due
    checkpoint.save({})
    now[0] += 499  # 50 times its own time, not 60 s
    assert not checkpoint.due
    now[0] += 1
    assert checkpoint.due


def test_a_full_disk_costs_the_checkpoint_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = Always(tmp_path / "no folder" / "checkpoint.pt")
    trained = train_network(films(64), TINY, epochs=1, device="cpu", checkpoint=checkpoint)
    assert len(trained.epochs) == 1
    assert "no checkpoint can be written" in caplog.text


def test_the_best_epoch_is_kept_and_training_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    data = films(80, 16)
    first_half, then = [0.1] * 6, [0.5, 0.3, 0.4, 0.3, 0.6, 0.7]
    losses = iter([*first_half, *then])
    monkeypatch.setattr(training._Run, "_measure", lambda self, on_batch: [next(losses), 0.5])
    monkeypatch.setattr(type(TINY.training), "patience", 3)
    trained = train_network(data, TINY, epochs=12, device="cpu", seed=2)
    assert [figures.held_loss for figures in trained.epochs] == [*first_half, *then[:5]]
    assert trained.best == 7
    losses = iter([*first_half, *then])
    monkeypatch.setattr(training._Run, "ended", lambda self: len(self.figures) == 8)
    assert train_network(data, TINY, epochs=12, device="cpu", seed=2).weights == trained.weights


def test_films_held_out_are_measured_and_not_learnt() -> None:
    data = films(80, 16)
    moments: list[Moment] = []
    trained = train_network(data, TINY, epochs=2, device="cpu", seed=2, on_batch=moments.append)
    assert [moment.images for moment in moments] == [64, 0, 64, 0]  # 0: held out, whose memory can be released too
    other = replace(data, images=np.where(data.held[:, None, None], np.float16(0.5), data.images))
    blank = train_network(other, TINY, epochs=2, device="cpu", seed=2)
    assert [figures.loss for figures in blank.epochs] == [figures.loss for figures in trained.epochs]
    assert blank.epochs[0].held_loss != trained.epochs[0].held_loss
    assert 0 <= (trained.epochs[0].held_accuracy or -1) <= 1
    assert "; held out " in str(trained.epochs[0])
    assert set(trained.seconds) == set(STAGES)
    assert trained.seconds["validation"] > 0
