"""Training from an archive: the films are decoded once, kept on disk, and learnt as they always were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from numpy.typing import NDArray
from PIL import Image
from tiny import TINY

from radretrieval.archive import encoders
from radretrieval.archive.connections import Database
from radretrieval.coding import calibration
from radretrieval.config import Settings
from radretrieval.ingest.labels_csv import read_labels
from radretrieval.ingest.run import ingest
from radretrieval.jobs import training_films
from radretrieval.jobs.train import TrainOptions, TrainReport, train
from radretrieval.profile import FineTuning

CODES = ("1121-120-942-700", "1121-127-700-500")
FILMS = 24
OPTIONS = TrainOptions(TINY, epochs=2, device="cpu", seed=5)


def film(number: int) -> NDArray[np.uint8]:
    """Noise with a bright square at the left or the right, as the class says."""
    pixels = np.random.default_rng(number).integers(0, 90, (32, 32), np.uint8)
    pixels[10:20, 4 + 16 * (number % 2) : 12 + 16 * (number % 2)] += 140
    return pixels


@pytest.fixture
def films(database: Database, settings: Settings, tmp_path: Path) -> Path:
    """The folder of films that the archive has, labelled."""
    folder = tmp_path / "films"
    folder.mkdir()
    rows = ["file,irma_code,split"]
    for number in range(FILMS):
        Image.fromarray(film(number)).save(folder / f"{number:02}.png")
        rows.append(f"{number:02}.png,{CODES[number % 2]},train")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    ingest(database, settings, [folder], labels=read_labels(folder / "labels.csv"), workers=1)
    return folder


def weights(database: Database, settings: Settings, report: TrainReport) -> bytes:
    with database.connection() as connection:
        return encoders.weights(connection, encoders.get(connection, report.encoder_id), settings.weights_folder)


def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The files that are decoded from now on."""
    found: list[Any] = []
    decode = training_films._decode

    def noting(files: list[Any], *arguments: Any) -> Any:
        found.extend(files)
        return decode(files, *arguments)

    monkeypatch.setattr(training_films, "_decode", noting)
    return found


def test_films_are_decoded_once_and_learnt_as_from_memory(
    database: Database, settings: Settings, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from radretrieval.coding.training import TrainingSet, train_network

    read = decoded(monkeypatch)
    seen: list[tuple[int, int, str]] = []
    first = train(database, settings, OPTIONS, advance=lambda *told: seen.append(told))
    assert (first.images, first.classes, first.active, len(read)) == (FILMS, 2, True, FILMS)
    assert sum(count for count, _, _ in seen) == seen[-1][1] == 3 * FILMS
    again = train(database, settings, OPTIONS)
    assert len(read) == FILMS
    (films / "00.png").unlink()  # it is not read again
    train(database, settings, OPTIONS)
    assert len(read) == FILMS

    with database.connection() as connection:
        rows = connection.execute("SELECT uri, irma_code FROM image ORDER BY id").fetchall()
    numbers = [int(Path(row["uri"]).stem) for row in rows]
    pixels = np.stack([film(number) for number in numbers]).astype(np.float32) / 255
    labels = np.array([CODES.index(row["irma_code"]) for row in rows])
    plain = train_network(TrainingSet(pixels.astype(np.float16), labels, CODES), TINY, epochs=2, device="cpu", seed=5)
    assert weights(database, settings, first) == weights(database, settings, again) == plain.weights


def test_films_that_cannot_be_read_are_left_out(
    database: Database, settings: Settings, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = decoded(monkeypatch)
    (films / "03.png").rename(films / "away.png")
    report = train(database, settings, OPTIONS)
    assert (report.images, [Path(failure["path"]).name for failure in report.failures]) == (FILMS - 1, ["03.png"])
    (films / "away.png").rename(films / "03.png")
    report = train(database, settings, OPTIONS)
    assert (report.images, len(report.failures), len(read)) == (FILMS, 0, FILMS + 1)


class StoppedError(Exception):
    """In place of a kill."""


def test_an_interrupted_training_goes_on(
    database: Database, settings: Settings, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from radretrieval.coding.checkpoint import Checkpoint

    def run(stop: int | None = None, **changes: Any) -> TrainReport:
        """A training, or one that is stopped when so many images were read or learnt."""
        seen = [0]

        def advance(count: int, total: int, step: str) -> None:
            seen[0] += count
            if stop is not None and seen[0] > stop:
                raise StoppedError

        return train(database, settings, replace(OPTIONS, epochs=4, **changes), advance=advance)

    def checkpoints() -> int:
        return len(list(settings.training_folder.glob("checkpoint-*")))

    monkeypatch.setattr(Checkpoint, "due", True)
    whole = run()
    assert (whole.resumed, checkpoints()) == (False, 0)
    with pytest.raises(StoppedError):
        run(stop=3 * FILMS)
    assert checkpoints() == 1
    other = run(seed=6)  # other options do not take it up
    assert (other.resumed, checkpoints()) == (False, 1)
    gone_on = run()
    assert (gone_on.resumed, checkpoints()) == (True, 0)
    assert gone_on.losses == whole.losses
    assert weights(database, settings, gone_on) == weights(database, settings, whole)

    with pytest.raises(StoppedError):
        run(stop=3 * FILMS)
    assert (run(restart=True).resumed, checkpoints()) == (False, 0)
    with pytest.raises(StoppedError):
        run(stop=3 * FILMS)
    monkeypatch.setattr("radretrieval.jobs.train.STALE_SECONDS", -1)
    run(seed=7)
    assert checkpoints() == 0  # one that nobody went on with


def test_the_command_tells_figures_and_draws_the_curve(
    inside: Callable[..., Run], database: Database, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import radretrieval.profile

    held = replace(TINY, name="held", training=replace(TINY.training, epochs=2))
    monkeypatch.setattr(type(held.training), "held_out", 0.34)
    monkeypatch.setitem(radretrieval.profile.PROFILES, "held", held)
    given = ("train", "--profile", "held", "--device", "cpu", "--curve", tmp_path / "curve.png")
    told = inside("-v", *given)
    assert "epoch 2 of 2: loss " in told.stderr
    assert "; held out " in told.stderr
    assert "held_out_accuracy" in told.stdout
    assert "losses" not in told.stdout
    assert "step " in told.stdout
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.size == (1200, 520)
    report = inside(*given, "--restart", "--json").json
    assert (report["held_out"], report["images"], report["epochs"]) == (8, FILMS, 2)
    assert len(report["losses"]) == len(report["held_out_losses"]) == 2
    assert (
        report["held_out_loss"] == min(report["held_out_losses"]) == report["held_out_losses"][report["best_epoch"] - 1]
    )
    assert set(report["stages"]) == {"data", "step", "validation", "checkpoint"}
    with database.connection() as connection:
        metrics = encoders.metrics(connection, encoders.get(connection, report["encoder_id"]))
    assert metrics["held_out_losses"] == report["held_out_losses"]
    assert metrics["held_out_accuracies"] == report["held_out_accuracies"]
    assert inside(*given[:-1], tmp_path / "curve.jpg", check=False).returncode == 2


def test_an_encoder_is_calibrated_on_the_films_held_out(
    database: Database,
    settings: Settings,
    films: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(calibration, "FEWEST", 4)
    held = replace(TINY, name="held", training=FineTuning(held_out=0.25))
    report = train(database, settings, replace(OPTIONS, profile=held))
    plain = train(database, settings, OPTIONS)
    with database.connection() as connection:
        made = encoders.get(connection, report.encoder_id).calibration
        assert encoders.get(connection, plain.encoder_id).calibration is None
    assert made is not None
    assert made.films == report.calibrated_on == report.held_out == 2 * (FILMS // 8)
    assert plain.calibrated_on is None
    monkeypatch.setattr(calibration, "FEWEST", 30)
    assert train(database, settings, replace(OPTIONS, profile=held)).calibrated_on is None
    films.rename(films.with_name("away"))  # what was decoded before is learnt, and cannot be calibrated on
    assert train(database, settings, replace(OPTIONS, profile=held, seed=5)).calibrated_on is None
    assert "will state no probabilities" in caplog.text
