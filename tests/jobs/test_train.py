"""Training from an archive: the films are decoded once, kept on disk, and learnt as they always were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tiny import TINY

from radretrieval.archive import encoders
from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.ingest.labels_csv import read_labels
from radretrieval.ingest.run import ingest
from radretrieval.jobs import training_films
from radretrieval.jobs.train import TrainOptions, TrainReport, train

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
