"""`export` by the real command line: what leaves, what stays, and that it goes on where it was ended."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import COMMAND, Run, clean_environment
from databases import Server
from PIL import Image, PngImagePlugin
from planted import Planted
from pydicom import dcmread
from recording import names_to_the_disk, order, record
from tiny import add_encoder

from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.export.write_image import ExportJob, write_image
from radretrieval.files import atomic
from radretrieval.files.uris import to_uri
from radretrieval.imaging.reader import decode_image
from radretrieval.storage.reading import Reading

KEYS = {"seen", "exported", "unchanged", "failed", "flagged", "rows", "failures", "seconds"}


@pytest.fixture(scope="module")
def made(
    server: Server, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path, list[str]]]:
    """An archive with codes, its folder, and the texts that must not leave de-identified.

    Two films of one patient that refer to each other, one with burned-in text, a PNG and a JPEG with comments.
    """
    folder = tmp_path_factory.mktemp("export")
    films = folder / "LEAKFOLDER"
    films.mkdir()
    first = Planted()
    second = Planted()
    second.ds.PatientID, second.ds.StudyDate = first.ds.PatientID, "20240210"
    second.ds.SOPInstanceUID = "1.2.276.0.99.2"
    second.ds.ReferencedImageSequence[0].ReferencedSOPInstanceUID = first.ds.SOPInstanceUID
    burned = Planted()
    burned.ds.BurnedInAnnotation, burned.ds.SOPInstanceUID = "YES", "1.2.276.0.99.3"
    for number, (planted, syntax) in enumerate([(first, "RLE"), (second, "implicit"), (burned, "explicit")]):
        (films / f"LEAKNAME{number}.dcm").write_bytes(planted.file(syntax, np.roll(_PIXELS, number)))
    told = PngImagePlugin.PngInfo()
    told.add_text("Comment", "LEAKPNG")
    deep = np.arange(40 * 30, dtype=np.uint16).reshape(40, 30) * 50
    Image.fromarray(deep).save(films / "LEAKNAME.png", pnginfo=told)
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "LEAKEXIF", 6
    colour = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    Image.fromarray(colour).save(films / "LEAKNAME.jpg", exif=exif, comment=b"LEAKJPEG")
    (folder / "labels.csv").write_text("file,patient_id,split\nLEAKFOLDER/LEAKNAME.png,LEAKLABEL,train\n")
    with server.database(template=migrated_template) as url:
        environment = clean_environment(folder / "home", url)

        def run(*arguments: object) -> None:
            subprocess.run(
                [COMMAND, *map(str, arguments)], env=environment, check=True, timeout=120, capture_output=True
            )

        run("ingest", films, "--labels", folder / "labels.csv")
        with Database(url).connection() as connection:
            add_encoder(connection)
        run("work", "--once", "--device", "cpu")
        yield url, folder, ["LEAK", *first.tokens, *second.tokens, *burned.tokens]


_PIXELS = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)


@pytest.fixture
def export(made: tuple[str, Path, list[str]], inside: Callable[..., Run], tmp_path: Path) -> Callable[..., Run]:
    """The command on that archive, into `out` of this test's folder; its home has the archive's key."""
    url, folder, _ = made
    shutil.copytree(folder / "home", tmp_path / "home", dirs_exist_ok=True, ignore=shutil.ignore_patterns("embedded*"))

    def run(*arguments: object, check: bool = True, **more: Any) -> Run:
        return inside("export", tmp_path / "out", "--workers", 1, *arguments, url=url, check=check, **more)

    return run


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_nothing_that_identifies_leaves_in_any_file_or_name(
    export: Callable[..., Run], made: tuple[str, Path, list[str]], tmp_path: Path
) -> None:
    url, _, tokens = made
    done = export("--deidentify", "--json", check=False)
    assert done.returncode == 1
    assert set(done.json) == KEYS
    assert {name: done.json[name] for name in ("seen", "exported", "failed", "rows")} == {
        "seen": 5,
        "exported": 4,
        "failed": 1,
        "rows": 5,
    }
    (failure,) = done.json["failures"]
    assert failure["error"] == "BurnedInRisk"
    assert "--accept-burned-in" in failure["message"]
    out = tmp_path / "out"
    with Database(url).connection() as connection:
        columns = "sha256, pixels_sha256, sop_instance_uid, study_instance_uid, series_instance_uid, patient_key"
        for row in connection.execute(f"SELECT {columns} FROM image"):
            tokens = tokens + [v.hex() if isinstance(v, bytes) else v for v in row.values() if v is not None]
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len([path for path in files if path.suffix in (".dcm", ".png")]) == 4
    for path in files:
        text = path.read_bytes()
        assert [t for t in tokens if t.encode() in text or t in str(path.relative_to(out))] == [], path
    assert json.loads((out / "manifest.json").read_text())["deidentified"] is True


def test_what_leaves_is_linked_and_shows_the_same(
    export: Callable[..., Run], made: tuple[str, Path, list[str]], tmp_path: Path
) -> None:
    folder = made[1]
    export("--deidentify", "--accept-burned-in", "--json")
    out = tmp_path / "out"
    rows = _rows(out / "index.csv")
    films = {path.name: dcmread(path) for path in out.rglob("*.dcm")}
    assert len(films) == 3
    assert len({ds.PatientID for ds in films.values()}) == 1
    days = sorted(date.fromisoformat(ds.StudyDate) for ds in films.values())
    assert [(day - days[0]).days for day in days] == [0, 0, 10]
    references = {ds.ReferencedImageSequence[0].ReferencedSOPInstanceUID for ds in films.values()}
    assert references & {ds.SOPInstanceUID for ds in films.values()}
    for row in rows:
        if row["file"].endswith(".dcm"):
            ds = films[Path(row["file"]).name]
            assert (row["sop_instance_uid"], row["patient_key"]) == (ds.SOPInstanceUID, ds.PatientID)
            assert row["study_date"].replace("-", "") == ds.StudyDate
        assert len(row["cnnc"]) == 250
        assert len(row["barcode"]) == 1088
    flagged = {row["file"]: row["burned_in"] for row in _rows(out / "files.csv")}
    assert sorted(told.split(" ")[0] for told in flagged.values()) == ["", "", "its", "not", "not"]
    before = sorted(decode_image(p.read_bytes()).pixels.tobytes() for p in (folder / "LEAKFOLDER").iterdir())
    after = sorted(decode_image(p.read_bytes()).pixels.tobytes() for p in (out / "images").rglob("*.*"))
    assert before == after


def test_it_goes_on_and_says_what_is_unchanged(export: Callable[..., Run], tmp_path: Path) -> None:
    export("--deidentify", "--accept-burned-in", "--json")
    out = tmp_path / "out"
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (out / "images").rglob("*.*")}
    lists = (out / "files.csv").read_bytes(), (out / "index.csv").read_bytes()
    again = export("--deidentify", "--accept-burned-in", "--json").json
    assert (again["exported"], again["unchanged"]) == (0, 5)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    assert ((out / "files.csv").read_bytes(), (out / "index.csv").read_bytes()) == lists
    next(iter(before)).unlink()
    with (out / "files.csv").open("ab") as file:
        file.write(b"images/00/half a li")  # as kill -9 leaves it
    again = export("--deidentify", "--accept-burned-in", "--json").json
    assert (again["exported"], again["unchanged"]) == (1, 4)
    assert {path: path.read_bytes() for path in before} == {path: data for path, (data, _) in before.items()}
    refused = export("--deidentify", "--json", check=False).json  # what was accepted is not any more
    assert (refused["unchanged"], refused["failed"]) == (4, 1)
    assert len([*(out / "images").rglob("*.dcm")]) == 2


def test_the_same_key_gives_the_same_names_elsewhere_and_another_key_others(
    export: Callable[..., Run], tmp_path: Path
) -> None:
    names = []
    for name, key in (("a", b"a" * 32), ("b", b"a" * 32), ("c", b"c" * 32)):
        (tmp_path / f"{name}.key").write_bytes(key)
        export("--deidentify", "--key", tmp_path / f"{name}.key", "--accept-burned-in")
        (tmp_path / "out").rename(tmp_path / name)
        names.append(sorted(str(p.relative_to(tmp_path / name)) for p in (tmp_path / name / "images").rglob("*.*")))
    assert names[0] == names[1]
    assert not {*names[0]} & {*names[2]}
    assert (tmp_path / "a" / "index.csv").read_bytes() == (tmp_path / "b" / "index.csv").read_bytes()


def test_without_hiding_files_leave_as_they_are(
    export: Callable[..., Run], made: tuple[str, Path, list[str]], tmp_path: Path
) -> None:
    from pyarrow import parquet

    done = export("--where", "format=dicom", "--where", "study_date>=2024-01-01", "--format", "parquet", "--json").json
    assert (done["seen"], done["exported"], done["rows"]) == (3, 3, 3)
    contents = {p.read_bytes() for p in (made[1] / "LEAKFOLDER").iterdir()}
    out = tmp_path / "out"
    assert {p.read_bytes() for p in (out / "images").rglob("*.*")} <= contents
    rows = parquet.read_table(out / "index.parquet").to_pylist()
    assert all(len(row["cnnc"]) == 125 and row["uri"].startswith("file:") for row in rows)
    few = export("--ids", f"{rows[0]['id']},{rows[1]['id']}-{rows[1]['id']}", "--index", "--json").json
    assert (few["seen"], few["rows"]) == (0, 2)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--ids", "7-x"), "7,9,20-29"),
        (("--ids", "999"), "has no image 999"),
        (("--where", "colour=red"), "colour"),
        (("--key", "k"), "--deidentify"),
        (("--deidentify", "--key", "nowhere"), "cannot be read"),
        (("--encoder", "77"), "no encoder 77"),
    ],
)
def test_a_request_that_cannot_be_is_told(arguments: tuple[str, ...], told: str, export: Callable[..., Run]) -> None:
    refused = export(*arguments, check=False)
    assert refused.returncode in (2, 3)
    assert told in refused.stderr


def test_folders_of_others_stay_untouched(export: Callable[..., Run], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    assert "holds no export" in export(check=False).stderr
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    (out / "mine.txt").unlink()
    export("--index")
    assert "name a new folder" in export("--deidentify", "--index", check=False).stderr


def test_a_file_that_is_gone_is_named_and_the_others_leave(
    archive_url: str, inside: Callable[..., Run], tmp_path: Path
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for number in range(3):
        Image.fromarray(np.full((9, 9), number, np.uint8)).save(films / f"{number}.png")
    inside("ingest", films)
    (films / "1.png").unlink()
    done = inside("export", tmp_path / "out", "--json", check=False)
    assert done.returncode == 1
    assert (done.json["exported"], done.json["failed"], done.json["rows"]) == (2, 1, 3)
    assert done.json["failures"][0]["path"] == str(films / "1.png")
    assert sorted(row["file"] != "" for row in _rows(tmp_path / "out" / "index.csv")) == [False, True, True]


def test_killed_in_the_middle_it_goes_on(archive_url: str, inside: Callable[..., Run], tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    rng = np.random.default_rng(0)
    for number in range(60):
        Image.fromarray(rng.integers(0, 256, (200, 200), np.uint8)).save(films / f"{number}.png")
    inside("ingest", films)
    out, command = tmp_path / "out", [COMMAND, "export", tmp_path / "out", "--deidentify", "--workers", "1"]
    with subprocess.Popen(command, env=clean_environment(tmp_path / "home", archive_url)) as process:
        while process.poll() is None and len([*out.rglob("*.png")]) < 5:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    there = [*out.rglob("*.png")]
    assert all(decode_image(path.read_bytes()).rows == 200 for path in there if not path.name.startswith("."))
    assert json.loads((out / "manifest.json").read_text())["complete"] is False
    done = inside("export", out, "--deidentify", "--json").json
    assert done["exported"] + done["unchanged"] == 60
    assert done["failed"] == 0
    assert len([*out.rglob("*.png")]) == len(_rows(out / "files.csv")) == 60
    assert not [*out.rglob("*.part")]


def test_what_is_exported_is_on_the_disk_before_it_is_listed_as_complete(
    export: Callable[..., Run], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a file, as a worker process writes it
    (tmp_path / "x.png").write_bytes(b"a film")
    (tmp_path / "there").mkdir()  # by another process, which may not have synced it
    target = tmp_path / "there" / "images" / "ab" / "x.png"
    job = ExportJob(to_uri(tmp_path / "x.png"), sha256(b"a film").digest(), False, "file", str(target))
    monkeypatch.setattr(atomic, "_synced", set())
    steps = record(monkeypatch)
    write_image(job, reading=Reading.of(settings), replacements=None, accept_burned_in=False)
    assert (steps[0][0], steps[0][1].endswith(".part")) == ("fsync", True)
    wanted = (("rename", str(target)), *names_to_the_disk(target, tmp_path / "there"))
    assert order(steps, *wanted) == list(range(1, len(wanted) + 1))

    # the lists, and that it is complete
    steps.clear()
    export()
    renamed = [Path(where).name for step, where in steps if step == "rename"]
    assert renamed == ["manifest.json", "README.md", "files.csv", "index.csv", "manifest.json", "README.md"]
    for number, (step, where) in enumerate(steps):
        if step == "rename":
            assert (steps[number - 1][0], steps[number - 1][1].endswith(".part")) == ("fsync", True)
            assert steps[number + 1] == ("fsync", str(Path(where).parent))
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["complete"]
