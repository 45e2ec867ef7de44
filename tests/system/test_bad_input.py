"""What a user can get wrong: each ends with one clear message, the contract's exit code and no traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from PIL import Image
from tiny import add_encoder

from radretrieval.archive import images
from radretrieval.archive.connections import Database
from radretrieval.archive.schema.revision import REVISION
from radretrieval.config import Settings
from radretrieval.ingest.run import ingest
from radretrieval.jobs.encode import EncodeOptions, encode

Cli = Callable[..., Run]


def png(path: Path, seed: int = 0) -> Path:
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 30), np.uint8)).save(path)
    return path


@pytest.fixture
def few(archive_url: str, tmp_path: Path) -> Path:
    """An archive of 12 coded images, all of one split; the folder of their files."""
    folder = tmp_path / "few"
    folder.mkdir()
    database, settings = Database(archive_url), Settings(home=tmp_path / "home")
    ingest(database, settings, [png(folder / f"{seed:02}.png", seed) for seed in range(12)], split="train")
    with database.connection() as connection:
        add_encoder(connection)
    encode(database, settings, EncodeOptions(device="cpu"))
    return folder


def refused(done: Run, code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr


def test_ingest(cli: Cli, tmp_path: Path) -> None:
    refused(cli("ingest", "nowhere", check=False), 2, "nowhere does not exist")
    refused(cli("ingest", check=False), 2, "PATH")
    (tmp_path / "labels.csv").write_text("name,code\na,b\n")
    png(tmp_path / "a.png")
    done = cli("ingest", "a.png", "--labels", "labels.csv", check=False)
    refused(done, 2, "no column 'file'", "name, code", "irma_code")
    refused(cli("ingest", "a.png", "--labels", "none.csv", check=False), 2, "none.csv do not exist")
    (tmp_path / "labels.csv").write_text("file,split\na.png,train\nc.png,train\n")
    done = cli("ingest", "a.png", "--labels", "labels.csv")  # labels may name more than what is ingested now
    assert "rows that name none of these files: 1" in done.stderr
    assert f"{tmp_path / 'c.png'}: {tmp_path / 'labels.csv'} has a row for it" in done.stderr
    (tmp_path / "b.png").write_text("not an image")
    done = cli("ingest", "a.png", "b.png", "--json", check=False)
    assert done.returncode == 1
    assert (done.json["unchanged"], done.json["failed"]) == (1, 1)
    failure = done.json["failures"][0]
    assert failure["path"] == str(tmp_path / "b.png")
    assert failure["error"] == "ImageError"
    assert "PNG, JPEG, TIFF and DICOM are read" in failure["message"]


def test_an_unreadable_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "dangling.png").symlink_to("nothing")
    done = cli("ingest", tmp_path / "folder.png", "--json")
    assert done.json["seen"] == 0
    refused(cli("ingest", "dangling.png", check=False), 2, "dangling.png does not exist")


def test_an_empty_archive(cli: Cli, tmp_path: Path) -> None:
    png(tmp_path / "a.png")
    refused(cli("search", "a.png", check=False), 3, "no encoder yet", "radretrieval train")
    refused(cli("work", "--once", check=False), 3, "no encoder yet", "radretrieval train")
    refused(cli("train", check=False), 2, "'train' has no image with an IRMA code", "archive is empty", "--labels")
    refused(cli("evaluate", check=False), 3, "no encoder yet")
    assert cli("status", "--json").json["images"] == 0


def test_an_encoder_but_no_codes(cli: Cli, archive_url: str, tmp_path: Path) -> None:
    png(tmp_path / "a.png")
    with Database(archive_url).connection() as connection:
        add_encoder(connection)
    refused(cli("search", "a.png", check=False), 2, "no image to compare with", "radretrieval ingest FOLDER")
    cli("ingest", png(tmp_path / "b.png", 1))
    refused(cli("search", "a.png", check=False), 2, "1 wait", "radretrieval work --once")


def test_queries(cli: Cli, few: Path, tmp_path: Path) -> None:
    refused(cli("search", "nowhere.png", check=False), 2, "nowhere.png does not exist")
    refused(cli("search", few, check=False), 2, "is a folder")
    (tmp_path / "text.png").write_text("not an image")
    refused(cli("search", "text.png", check=False), 2, "text.png", "not a radiograph format")
    refused(cli("search", "id:99", check=False), 2, "no image 99")
    refused(cli("search", "id:x", check=False), 2, "id:N")
    refused(cli("search", "7", check=False), 2, "asked for as id:7")
    refused(cli("search", "id:99999999999999999999", check=False), 2, "no image")
    refused(cli("search", "id:" + "9" * 5000, check=False), 2, "id:N")
    refused(cli("search", "id:1", "--encoder", 99999999999, check=False), 2, "--encoder")
    refused(cli("search", "id:1", "--where", "modality=\udcff", check=False), 2, "modality")
    refused(cli("search", "id:1", "--top", 0, check=False), 2, "--top 0", "1 to 100000")
    refused(cli("search", "id:1", "--top", 60, check=False), 2, "--candidates 50", "--top 60")
    refused(cli("search", "id:1", "--where", "colour=red", check=False), 2, "colour", "the columns are: modality")
    refused(cli("search", "id:1", "--where", "modality", check=False), 2, "COLUMN=VALUE")
    refused(cli("search", "id:1", "--where", "withdrawn=maybe", check=False), 2, "withdrawn", "it is true or false")
    refused(cli("search", "id:1", "--encoder", 9, check=False), 2, "no encoder 9; it has: 1")
    refused(cli("search", "id:1", "--exclude-same-patient", check=False), 2, "patient of the query is not known")
    refused(cli("search", "id:1", "--picture", "no/such/a.png", check=False), 2, "folder no/such")
    refused(cli("search", "id:1", "--device", "abacus", few / "nothing", check=False), 2)


def test_regions(cli: Cli, few: Path) -> None:
    refused(cli("search", "id:1", "--roi", "0,0,31,5", check=False), 2, "0,0,31,5", "30 pixels wide", "40 high")
    refused(cli("search", "id:1", "--roi", "0,0,0,5", check=False), 2, "0,0,0,5")
    refused(cli("search", "id:1", "--roi=-1,0,5,5", check=False), 2, "-1,0,5,5")
    refused(cli("search", "id:1", "--roi", "1,2,3", check=False), 2, "x,y,width,height")


def test_a_hit_whose_file_is_gone_is_still_a_hit(cli: Cli, few: Path) -> None:
    (few / "03.png").unlink()
    done = cli("search", "id:1", "--roi", "2,2,5,5", "--top", "11", "--json")
    gone = [hit for hit in done.json["hits"] if hit["roi"] is None]
    assert [hit["image_id"] for hit in gone] == [4]
    assert "no ROI in image 4" in cli("search", "id:1", "--roi", "2,2,5,5", "--top", "11").stderr
    cli("search", "id:1", "--top", "11", "--picture", "gone.png")


def test_a_region_in_a_reduced_copy_says_so(cli: Cli, few: Path) -> None:
    other = few / "new" / "99.png"
    other.parent.mkdir()
    png(other, 99)
    cli("ingest", other, "--keep", "reduced")
    cli("work", "--once", "--device", "cpu")
    other.unlink()
    options = ("--roi", "2,2,5,5", "--top", "12", "--candidates", "12")
    done = cli("search", "id:1", *options, "--json", "--picture", "answer.png")
    (hit,) = [hit for hit in done.json["hits"] if hit["reduced"]]
    assert (Path(hit["uri"]).name, hit["roi"]["width"]) == ("99.png", 5)
    assert f"the ROI in image {hit['image_id']} is of a reduced copy: its file is gone" in done.stderr


def test_a_file_that_was_overwritten_is_never_taken_for_the_image(cli: Cli, few: Path) -> None:
    png(few / "03.png", 99)
    done = cli("search", "id:1", "--roi", "2,2,5,5", "--top", "11", "--json")
    assert [hit["image_id"] for hit in done.json["hits"] if hit["roi"] is None] == [4]
    assert "no ROI in image 4: its file is not the file that was ingested" in done.stderr
    refused(cli("search", "id:4", "--roi", "2,2,5,5", check=False), 2, "03.png is not the file that was ingested")


def test_fewer_than_fifty_images(cli: Cli, few: Path) -> None:
    done = cli("search", "id:1", "--json")
    assert (done.json["requested"], done.json["returned"], done.json["candidates"]) == (10, 10, 11)
    done = cli("search", "id:1", "--top", 20)
    assert "11 of 20 hits: the archive has no more coded images" in done.stderr


def test_splits(cli: Cli, few: Path) -> None:
    refused(cli("evaluate", check=False), 2, "'test' has no image", "train (12 images)")
    refused(cli("train", "--split", "practice", check=False), 2, "'practice' has no image", "train (12 images)")
    refused(cli("train", check=False), 2, "'train' has no image with an IRMA code")
    refused(cli("train", "--profile", "strange", check=False), 2, "the profiles are: paper")


def test_one_class_cannot_be_trained(cli: Cli, archive_url: str, few: Path) -> None:
    with Database(archive_url).connection() as connection:
        for number in range(1, 13):
            labels = dict.fromkeys(("split", "patient_key", "modality", "body_part", "view_position", "laterality"))
            images.relabel(connection, number, {**labels, "irma_code": "1121-127-700-500"})
    refused(cli("train", check=False), 2, "at least two IRMA codes", "12 images of 1")


def test_encoders_and_indexes(cli: Cli, few: Path) -> None:
    refused(cli("encoder", "activate", 7, check=False), 2, "no encoder 7; it has: 1")
    refused(cli("index", "audit", check=False), 2, "index build --kind hnsw")
    refused(cli("index", "build", "--kind", "magic", check=False), 2, "hnsw")


def test_devices(cli: Cli, few: Path, tmp_path: Path) -> None:
    png(few / "new.png", 77)
    refused(cli("search", few / "new.png", "--device", "abacus", check=False), 3, "'abacus'", "--device cpu")
    cli("work", "--once", "--device", "abacus")  # nothing is left to do: no device is asked for
    cli("ingest", few / "new.png")
    refused(cli("work", "--once", "--device", "abacus", check=False), 3, "'abacus'")


def test_databases(cli: Cli, empty_database_url: str) -> None:
    done = cli("search", "id:1", url="postgresql://nobody:geheim@127.0.0.1:9/x", check=False)
    refused(done, 3, "127.0.0.1:9", "RADRETRIEVAL_DATABASE_URL")
    assert "geheim" not in done.stderr
    refused(cli("status", url="sqlite:///x", check=False), 3, "postgresql://")
    refused(cli("status", url=empty_database_url, check=False), 3, "not set up yet", "radretrieval db upgrade")
    assert cli("db", "upgrade", "--json", url=empty_database_url).json["revision"] == REVISION
    assert cli("db", "check", "--json", url=empty_database_url).json["head"] == REVISION
    refused(cli("db", "stop", url=empty_database_url, check=False), 2, "embedded server only")


def test_settings(cli: Cli) -> None:
    refused(cli("status", check=False, RADRETRIEVAL_MAX_PIXELS="many"), 2, "RADRETRIEVAL_MAX_PIXELS")
    cli("status", RADRETRIEVAL_MAX_PIXELS="")  # empty is not set


def test_a_traceback_only_when_asked_for(cli: Cli) -> None:
    assert "Traceback" not in cli("search", "id:1", check=False).stderr
    assert "Traceback" in cli("-v", "search", "id:1", check=False).stderr
