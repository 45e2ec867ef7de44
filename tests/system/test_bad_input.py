"""What a user can get wrong: each ends with one clear message, the contract's exit code and no traceback."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from databases import Server, database_of
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


@pytest.fixture(scope="module")
def prepared(
    server: Server, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """An archive of 12 coded images, all of one split, to be copied: the name of its database, and its files."""
    folder = tmp_path_factory.mktemp("few")
    with server.database(template=migrated_template) as url:
        database, settings = Database(url), Settings(home=folder / "home")
        (folder / "in").mkdir()
        files = [png(folder / "in" / f"{seed:02}.png", seed) for seed in range(12)]
        ingest(database, settings, files, split="train", workers=1)
        with database.connection() as connection:
            add_encoder(connection)
        encode(database, settings, EncodeOptions(device="cpu", workers=1))
        yield database_of(url), folder / "in"


@pytest.fixture
def archive_url(server: Server, migrated_template: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """An archive of this test's own: the copy of the prepared one where `few` is asked for, else an empty one."""
    filled = "few" in request.fixturenames
    template = request.getfixturevalue("prepared")[0] if filled else migrated_template
    with server.database(template=template) as url:
        yield url


@pytest.fixture
def few(archive_url: str, prepared: tuple[str, Path], tmp_path: Path) -> Path:
    """The folder of the files of that copy."""
    folder = tmp_path / "few"
    shutil.copytree(prepared[1], folder)
    with Database(archive_url).connection() as connection:
        places = (prepared[1].as_uri(), folder.as_uri())
        connection.execute("UPDATE image SET uri = replace(uri, %s, %s)", places)
    return folder


def refused(done: Run, code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr


def test_ingest(inside: Cli, tmp_path: Path) -> None:
    refused(inside("ingest", "nowhere", check=False), 2, "nowhere does not exist")
    refused(inside("ingest", check=False), 2, "PATH")
    (tmp_path / "labels.csv").write_text("name,code\na,b\n")
    png(tmp_path / "a.png")
    done = inside("ingest", "a.png", "--labels", "labels.csv", check=False)
    refused(done, 2, "no column 'file'", "name, code", "irma_code")
    refused(inside("ingest", "a.png", "--labels", "none.csv", check=False), 2, "none.csv do not exist")
    (tmp_path / "labels.csv").write_text("file,split\na.png,train\nc.png,train\n")
    done = inside("ingest", "a.png", "--labels", "labels.csv")  # labels may name more than what is ingested now
    assert "rows that name none of these files: 1" in done.stderr
    assert f"{tmp_path / 'c.png'}: {tmp_path / 'labels.csv'} has a row for it" in done.stderr
    (tmp_path / "b.png").write_text("not an image")
    done = inside("ingest", "a.png", "b.png", "--json", check=False)
    assert done.returncode == 1
    assert (done.json["unchanged"], done.json["failed"]) == (1, 1)
    failure = done.json["failures"][0]
    assert failure["path"] == str(tmp_path / "b.png")
    assert failure["error"] == "ImageError"
    assert "PNG, JPEG, TIFF and DICOM are read" in failure["message"]


def test_an_unreadable_file(inside: Cli, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "dangling.png").symlink_to("nothing")
    done = inside("ingest", tmp_path / "folder.png", "--json")
    assert done.json["seen"] == 0
    refused(inside("ingest", "dangling.png", check=False), 2, "dangling.png does not exist")


def test_an_empty_archive(inside: Cli, tmp_path: Path) -> None:
    png(tmp_path / "a.png")
    refused(inside("search", "a.png", check=False), 3, "no encoder yet", "radretrieval train")
    refused(inside("work", "--once", check=False), 3, "no encoder yet", "radretrieval train")
    refused(inside("train", check=False), 2, "'train' has no image with an IRMA code", "archive is empty", "--labels")
    refused(inside("evaluate", check=False), 3, "no encoder yet")
    assert inside("status", "--json").json["images"] == 0


def test_an_encoder_but_no_codes(inside: Cli, archive_url: str, tmp_path: Path) -> None:
    png(tmp_path / "a.png")
    with Database(archive_url).connection() as connection:
        add_encoder(connection)
    refused(inside("search", "a.png", check=False), 2, "no image to compare with", "radretrieval ingest FOLDER")
    inside("ingest", png(tmp_path / "b.png", 1))
    refused(inside("search", "a.png", check=False), 2, "1 wait", "radretrieval work --once")


def test_queries(inside: Cli, few: Path, tmp_path: Path) -> None:
    refused(inside("search", "nowhere.png", check=False), 2, "nowhere.png does not exist")
    refused(inside("search", few, check=False), 2, "is a folder")
    (tmp_path / "text.png").write_text("not an image")
    refused(inside("search", "text.png", check=False), 2, "text.png", "not a radiograph format")
    refused(inside("search", "id:99", check=False), 2, "no image 99")
    refused(inside("search", "id:x", check=False), 2, "id:N")
    refused(inside("search", "7", check=False), 2, "asked for as id:7")
    refused(inside("search", "id:99999999999999999999", check=False), 2, "no image")
    refused(inside("search", "id:" + "9" * 5000, check=False), 2, "id:N")
    refused(inside("search", "id:1", "--encoder", 99999999999, check=False), 2, "--encoder")
    refused(inside("search", "id:1", "--where", "modality=\udcff", check=False), 2, "modality")
    refused(inside("search", "id:1", "--top", 0, check=False), 2, "--top 0", "1 to 100000")
    refused(inside("search", "id:1", "--top", 60, check=False), 2, "--candidates 50", "--top 60")
    refused(inside("search", "id:1", "--where", "colour=red", check=False), 2, "colour", "the columns are: modality")
    refused(inside("search", "id:1", "--where", "modality", check=False), 2, "COLUMN=VALUE")
    refused(inside("search", "id:1", "--where", "withdrawn=maybe", check=False), 2, "withdrawn", "it is true or false")
    refused(inside("search", "id:1", "--encoder", 9, check=False), 2, "no encoder 9; it has: 1")
    refused(inside("search", "id:1", "--exclude-same-patient", check=False), 2, "patient of the query is not known")
    refused(inside("search", "id:1", "--picture", "no/such/a.png", check=False), 2, "folder no/such")
    refused(inside("search", "id:1", "--device", "abacus", few / "nothing", check=False), 2)


def test_regions(inside: Cli, few: Path) -> None:
    refused(inside("search", "id:1", "--roi", "0,0,31,5", check=False), 2, "0,0,31,5", "30 pixels wide", "40 high")
    refused(inside("search", "id:1", "--roi", "0,0,0,5", check=False), 2, "0,0,0,5")
    refused(inside("search", "id:1", "--roi=-1,0,5,5", check=False), 2, "-1,0,5,5")
    refused(inside("search", "id:1", "--roi", "1,2,3", check=False), 2, "x,y,width,height")
    refused(inside("search", "id:1", "--roi", "0,0,1,1", check=False), 2, "0,0,1,1", "too small", "at least 8")
    paper = inside("search", "id:1", "--roi", "0,0,1,1", "--roi-method", "paper", "--json")
    assert any(hit["roi"] for hit in paper.json["hits"])


def test_a_hit_whose_file_is_gone_is_still_a_hit(inside: Cli, few: Path) -> None:
    (few / "03.png").unlink()
    done = inside("search", "id:1", "--roi", "2,2,8,8", "--top", "11", "--json")
    gone = [hit for hit in done.json["hits"] if hit["roi"] is None]
    assert [hit["image_id"] for hit in gone] == [4]
    assert "no ROI in image 4" in inside("search", "id:1", "--roi", "2,2,8,8", "--top", "11").stderr
    inside("search", "id:1", "--top", "11", "--picture", "gone.png")


def test_a_region_in_a_reduced_copy_says_so(inside: Cli, few: Path) -> None:
    other = few / "new" / "99.png"
    other.parent.mkdir()
    png(other, 99)
    inside("ingest", other, "--keep", "reduced")
    inside("work", "--once", "--device", "cpu")
    other.unlink()
    options = ("--roi", "2,2,8,8", "--top", "12", "--candidates", "12")
    done = inside("search", "id:1", *options, "--json", "--picture", "answer.png")
    (hit,) = [hit for hit in done.json["hits"] if hit["reduced"]]
    assert (Path(hit["uri"]).name, hit["roi"]["width"]) == ("99.png", 8)
    assert f"the ROI in image {hit['image_id']} is of a reduced copy: its file is gone" in done.stderr


def test_a_file_that_was_overwritten_is_never_taken_for_the_image(inside: Cli, few: Path) -> None:
    png(few / "03.png", 99)
    done = inside("search", "id:1", "--roi", "2,2,8,8", "--top", "11", "--json")
    assert [hit["image_id"] for hit in done.json["hits"] if hit["roi"] is None] == [4]
    assert "no ROI in image 4: its file is not the file that was ingested" in done.stderr
    refused(inside("search", "id:4", "--roi", "2,2,8,8", check=False), 2, "03.png is not the file that was ingested")


def test_fewer_than_fifty_images(inside: Cli, few: Path) -> None:
    done = inside("search", "id:1", "--json")
    assert (done.json["requested"], done.json["returned"], done.json["candidates"]) == (10, 10, 11)
    done = inside("search", "id:1", "--top", 20)
    assert "11 of 20 hits: the archive has no more coded images" in done.stderr


def test_splits(inside: Cli, few: Path) -> None:
    refused(inside("evaluate", check=False), 2, "'test' has no image", "train (12 images)")
    refused(inside("train", "--split", "practice", check=False), 2, "'practice' has no image", "train (12 images)")
    refused(inside("train", check=False), 2, "'train' has no image with an IRMA code")
    refused(inside("train", "--profile", "strange", check=False), 2, "the profiles are: paper")


def test_one_class_cannot_be_trained(inside: Cli, archive_url: str, few: Path) -> None:
    with Database(archive_url).connection() as connection:
        for number in range(1, 13):
            labels = dict.fromkeys(("split", "patient_key", "modality", "body_part", "view_position", "laterality"))
            images.relabel(connection, number, {**labels, "irma_code": "1121-127-700-500"})
    refused(inside("train", check=False), 2, "at least two IRMA codes", "12 images of 1")


def test_encoders_and_indexes(inside: Cli, few: Path) -> None:
    refused(inside("encoder", "activate", 7, check=False), 2, "no encoder 7; it has: 1")
    refused(inside("index", "audit", check=False), 2, "index build --kind hnsw")
    refused(inside("index", "build", "--kind", "magic", check=False), 2, "hnsw")


def test_devices(inside: Cli, few: Path, tmp_path: Path) -> None:
    png(few / "new.png", 77)
    refused(inside("search", few / "new.png", "--device", "abacus", check=False), 3, "'abacus'", "--device cpu")
    inside("work", "--once", "--device", "abacus")  # nothing is left to do: no device is asked for
    inside("ingest", few / "new.png")
    refused(inside("work", "--once", "--device", "abacus", check=False), 3, "'abacus'")


def test_databases(inside: Cli, empty_database_url: str) -> None:
    done = inside("search", "id:1", url="postgresql://nobody:geheim@127.0.0.1:9/x", check=False)
    refused(done, 3, "127.0.0.1:9", "RADRETRIEVAL_DATABASE_URL")
    assert "geheim" not in done.stderr
    refused(inside("status", url="sqlite:///x", check=False), 3, "postgresql://")
    refused(inside("status", url=empty_database_url, check=False), 3, "not set up yet", "radretrieval db upgrade")
    assert inside("db", "upgrade", "--json", url=empty_database_url).json["revision"] == REVISION
    assert inside("db", "check", "--json", url=empty_database_url).json["head"] == REVISION
    refused(inside("db", "stop", url=empty_database_url, check=False), 2, "embedded server only")


def test_settings(inside: Cli) -> None:
    refused(inside("status", check=False, RADRETRIEVAL_MAX_PIXELS="many"), 2, "RADRETRIEVAL_MAX_PIXELS")
    inside("status", RADRETRIEVAL_MAX_PIXELS="")  # empty is not set


def test_a_traceback_only_when_asked_for(cli: Cli) -> None:
    assert "Traceback" not in cli("search", "id:1", check=False).stderr
    assert "Traceback" in cli("-v", "search", "id:1", check=False).stderr
