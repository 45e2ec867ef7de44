"""The ImageCLEF 2009 release: recognised in both layouts, labelled by its own CSVs, and whatever is amiss is named."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from PIL import Image

from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.errors import LabelsError
from radretrieval.files.uris import to_uri
from radretrieval.ingest import run as module
from radretrieval.ingest.imageclef_release import recognise
from radretrieval.ingest.labels_csv import read_labels
from radretrieval.ingest.problem import KINDS
from radretrieval.ingest.report import IngestReport
from radretrieval.ingest.run import ingest
from radretrieval.irma.imageclef import ID_COLUMN, LABEL_COLUMN, NO_LABEL, PARTS, WITHDRAWN, Part

TRAIN, TEST = PARTS
HAND, CHEST, KNEE = "1121-120-414-700", "1123-127-500-000", "1121-120-942-700"
Lines = Iterable[tuple[str, str]]


def png(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 20), np.uint8)).save(path)
    return path


def codes(path: Path, part: Part, lines: Lines) -> Path:
    """A codes CSV with all columns of the real one: what stands in the others must not matter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [";".join(part.columns)]
    for number, code in lines:
        others = {name: "1111-111-111-111" if "irma" in name else "7" for name in part.columns}
        row = others | {ID_COLUMN: number, LABEL_COLUMN: code}
        rows.append(";".join(row[name] for name in part.columns))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


TRAIN_LINES = [("1880", HAND), ("00001881", CHEST.replace("-", "").upper()), ("7", WITHDRAWN[0]), ("8", KNEE)]
TEST_LINES = [("900", CHEST), ("901", NO_LABEL)]


def release(root: Path, train: Lines = TRAIN_LINES, test: Lines = TEST_LINES) -> Path:
    """A small release: four images to train with, two to test, in both paddings."""
    for seed, name in enumerate(("1880", "1881", "00000007", "8")):
        png(root / TRAIN.folder / f"{name}.png", seed)
    for seed, name in enumerate(("900", "00000901")):
        png(root / TEST.folder / f"{name}.png", seed + 50)
    codes(root / TRAIN.codes, TRAIN, train)
    codes(root / TEST.codes, TEST, test)
    return root


def nested(root: Path, csv_inside: bool) -> Path:
    """The same as Kaggle has it: every image folder in a folder of its own name."""
    release(root)
    for part in PARTS:
        shutil.move(root / part.folder, root / "moving")
        (root / part.folder).mkdir()
        shutil.move(root / "moving", root / part.folder / part.folder)
        if csv_inside:
            shutil.move(root / part.codes, root / part.folder / part.codes)
    return root


def rows(database: Database) -> dict[str, tuple[Any, ...]]:
    """number → code, split, withdrawn"""
    with database.connection() as connection:
        found = connection.execute("SELECT uri, irma_code, split, withdrawn FROM image").fetchall()
    return {
        row["uri"].rpartition("/")[2].removesuffix(".png").lstrip("0"): (
            row["irma_code"],
            row["split"],
            row["withdrawn"],
        )
        for row in found
    }


ALL = {
    "1880": (HAND, "train", False),
    "1881": (CHEST, "train", False),
    "7": (WITHDRAWN[0], "train", True),
    "8": (KNEE, "train", False),
    "900": (CHEST, "test", False),
    "901": (None, "test", False),
}
RECOGNISED = "ImageCLEF 2009 release: train 4 images (1 of withdrawn codes), test 2 (1 without a code of that year)"


def kinds(report: IngestReport) -> Counter[str]:
    assert report.seen == report.added + report.unchanged + report.failed
    assert {problem["error"] for problem in report.problems} <= set(KINDS)
    return Counter(problem["error"] for problem in report.problems)


def messages(report: IngestReport, kind: str) -> str:
    return "\n".join(f"{one['path']}: {one['message']}" for one in report.problems if one["error"] == kind)


@pytest.mark.parametrize("layout", ["release", "above", "kaggle", "kaggle, CSVs inside"])
def test_both_layouts_and_a_second_run(database: Database, settings: Settings, tmp_path: Path, layout: str) -> None:
    root = tmp_path / "data" / "2009"
    if layout.startswith("kaggle"):
        nested(root, csv_inside="inside" in layout)
    else:
        release(root)
    path = tmp_path / "data" if layout == "above" else root
    told: list[str] = []
    report = ingest(database, settings, [path], tell=told.append)
    assert told == [report.recognised] == [RECOGNISED]
    assert (report.seen, report.added, report.failed, report.problems) == (6, 6, 0, [])
    assert (report.unlabelled, report.unmatched, report.no_code, report.unknown_codes) == (0, 0, 1, {})
    assert rows(database) == ALL
    again = ingest(database, settings, [path])
    assert (again.seen, again.unchanged, again.relabelled, again.problems) == (6, 6, 0, [])
    assert rows(database) == ALL


@pytest.mark.parametrize(
    "names",
    [
        [TRAIN.folder],
        [f"{TRAIN.folder}/{TRAIN.folder}"],
        [f"{TRAIN.folder}/{TRAIN.folder}/{name}.png" for name in ("1880", "1881", "00000007", "8")],
        [TRAIN.folder, TRAIN.codes],
    ],
)
@pytest.mark.parametrize("csv_inside", [False, True])
def test_an_image_folder_named_directly(
    database: Database, settings: Settings, tmp_path: Path, names: list[str], csv_inside: bool
) -> None:
    root = nested(tmp_path, csv_inside)
    report = ingest(database, settings, [root / name for name in names if (root / name).exists()])
    assert report.recognised == RECOGNISED.partition(", test")[0]
    assert (report.seen, report.added, report.problems) == (4, 4, [])
    assert rows(database) == {number: row for number, row in ALL.items() if row[1] == "train"}


def test_everything_in_the_release_named_one_by_one(database: Database, settings: Settings, tmp_path: Path) -> None:
    report = ingest(database, settings, sorted(release(tmp_path / "in").iterdir()))  # as the shell does for in/*
    assert (report.recognised, report.added, report.failed, report.problems) == (RECOGNISED, 6, 0, [])


def test_two_copies_beside_other_radiographs(database: Database, settings: Settings, tmp_path: Path) -> None:
    release(tmp_path / "a")
    nested(tmp_path / "b", csv_inside=False)
    png(tmp_path / "z" / "x.png", 99)
    report = ingest(database, settings, [tmp_path])
    assert report.recognised is not None
    assert report.recognised.count("train 4 images") == 2
    assert f"release in {tmp_path / 'b'}: " in report.recognised
    assert (report.added, report.unchanged, report.problems) == (7, 6, [])
    assert report.unlabelled == 0  # nobody said that x.png has a row
    assert rows(database) == ALL | {"x": (None, None, False)}
    assert ingest(database, settings, [tmp_path]).relabelled == 0


def test_a_run_that_was_killed_is_finished_by_the_next(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 2)

    def killed(_: int) -> None:
        if rows(database):
            raise KeyboardInterrupt

    root = release(tmp_path / "in")
    with pytest.raises(KeyboardInterrupt):
        ingest(database, settings, [root], advance=killed)
    assert 0 < len(rows(database)) < 6
    report = ingest(database, settings, [root])
    assert (report.added + report.unchanged, report.relabelled, report.problems) == (6, 0, [])
    assert rows(database) == ALL


def test_given_labels_win(database: Database, settings: Settings, tmp_path: Path) -> None:
    root = release(tmp_path)
    (tmp_path / "mine.csv").write_text(f"file,irma_code,split\n{TRAIN.folder}/1880.png,{KNEE},mine\n")
    report = ingest(database, settings, [root / TRAIN.folder], labels=read_labels(tmp_path / "mine.csv"), split="rest")
    assert (report.recognised, report.problems, report.unlabelled) == (None, [], 3)
    assert rows(database)["1880"] == (KNEE, "mine", False)
    assert rows(database)["7"] == (None, "rest", False)
    again = ingest(database, settings, [root], labels=read_labels(tmp_path / "mine.csv"), split="rest")
    assert (again.seen, again.failures) == (6, []), "the release's own CSVs are no radiographs whoever labels"
    ingest(database, settings, [root / TRAIN.folder])
    assert rows(database)["1880"] == (HAND, "train", False)
    assert rows(database)["7"] == (WITHDRAWN[0], "train", True)


def test_what_is_no_release_is_not_recognised(tmp_path: Path) -> None:
    png(tmp_path / "ImageCLEFmed2009" / "1880.png", 1)
    (tmp_path / ".hidden").mkdir()
    release(tmp_path / ".hidden" / "2009")
    release(tmp_path / "a" / "b" / "c" / "too deep")
    assert recognise([tmp_path]) is None
    assert recognise([tmp_path / "a"]) is not None


# Half a release


def test_codes_without_images(database: Database, settings: Settings, tmp_path: Path) -> None:
    root = release(tmp_path / "in")
    shutil.rmtree(root / TEST.folder)
    for paths in ([root], sorted(root.iterdir())):
        report = ingest(database, settings, paths)
        assert (report.seen, kinds(report)) == (4, {"HalfRelease": 1})
        text = messages(report, "HalfRelease")
        assert f"{root / TEST.folder}: the folder of the test images is missing; the 2 rows of" in text
        assert "run the command again" in text
    release(root)
    assert kinds(ingest(database, settings, [root])) == {}
    assert rows(database) == ALL


def test_images_without_codes(database: Database, settings: Settings, tmp_path: Path) -> None:
    root = release(tmp_path / "in")
    (root / TRAIN.codes).unlink()
    report = ingest(database, settings, [root])
    assert (report.added, report.unlabelled, kinds(report)) == (6, 4, {"HalfRelease": 1})
    text = messages(report, "HalfRelease")
    assert f"{root / TRAIN.codes}: the codes of the train images are missing; the 4 images" in text
    assert "in the split 'train', without codes (what they had stays)" in text
    assert report.recognised is not None
    assert "train 4 images (codes missing), test 2 (1" in report.recognised
    assert rows(database)["8"] == (None, "train", False)
    release(root)
    report = ingest(database, settings, [root])
    assert (report.unchanged, report.relabelled, report.problems) == (6, 4, [])
    assert rows(database) == ALL


def test_one_half_alone(database: Database, settings: Settings, tmp_path: Path) -> None:
    root = release(tmp_path / "in")
    shutil.rmtree(root / TEST.folder)
    (root / TEST.codes).unlink()
    report = ingest(database, settings, [root])
    assert (report.added, kinds(report)) == (4, {"HalfRelease": 1})
    text = messages(report, "HalfRelease")
    assert "nothing of test was ingested" in text
    assert f"or name only the other part: {root / TRAIN.folder}" in text
    assert kinds(ingest(database, settings, [root / TRAIN.folder])) == {}  # the way out that it names


@pytest.mark.parametrize(("state", "word"), [("empty", "holds no PNG file"), ("link", "is a link")])
def test_an_image_folder_that_holds_nothing_to_walk(
    database: Database, settings: Settings, tmp_path: Path, state: str, word: str
) -> None:
    root = release(tmp_path / "in")
    shutil.move(root / TEST.folder, tmp_path / "elsewhere")
    if state == "empty":
        (root / TEST.folder).mkdir()
    else:
        (root / TEST.folder).symlink_to(tmp_path / "elsewhere")
    report = ingest(database, settings, [root])
    assert (report.seen, kinds(report)) == (4, {"HalfRelease": 1})
    assert word in messages(report, "HalfRelease")
    if state == "link":  # named itself it is walked
        assert kinds(ingest(database, settings, [root, root / TEST.folder])) == {}
        assert rows(database) == ALL


# Codes that cannot be used at all: nothing is read


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", ["no column 'image_id' and no column '08_irma_code'", "they have: nothing"]),
        (b"image_id;07_irma_code\n1880;1121-120-414-700\n", ["no column '08_irma_code'", "image_id, 07_irma_code"]),
        (b"1880;1121-120-414-700\n", ["they have: 1880, 1121-120-414-700", "needed: image_id and 08_irma_code"]),
        (b"image_id;08_irma_code\n", ["hold no row"]),
        (b"image_id;08_irma_code\nx;1121-120-414-700\n", ["hold no row"]),
        ("image_id;08_irma_code\n1880;1121-120-414-700\n".encode("utf-16"), ["UTF-8", "save the file again"]),
        (b"image_id;08_irma_code;\xfcber\n1880;1121-120-414-700;\n", ["UTF-8"]),
    ],
)
def test_codes_that_cannot_be_used(
    database: Database, settings: Settings, tmp_path: Path, text: bytes, words: list[str]
) -> None:
    root = release(tmp_path / "in")
    (root / TEST.codes).write_bytes(text)
    with pytest.raises(LabelsError) as caught:
        ingest(database, settings, [root])
    for word in [str(root / TEST.codes), *words]:
        assert word in str(caught.value)
    assert rows(database) == {}


def test_columns_are_found_by_name(database: Database, settings: Settings, tmp_path: Path) -> None:
    root = release(tmp_path / "in")
    (root / TRAIN.codes).write_text(
        f"\ufeff08_irma_code , image_id\n{HAND},1880\n{KNEE},8\n{CHEST},1881\n{WITHDRAWN[0]},7\n"
    )
    assert kinds(ingest(database, settings, [root])) == {}
    assert rows(database) == ALL


# Rows and images that do not fit


def test_images_without_rows_and_rows_without_images(database: Database, settings: Settings, tmp_path: Path) -> None:
    root = release(tmp_path / "in", train=[*TRAIN_LINES[:3], ("0009", HAND), ("10", "nonsense")])
    png(root / TRAIN.folder / "scan.png", 70)
    (root / TRAIN.folder / "notes.txt").write_text("no picture")
    report = ingest(database, settings, [root])
    assert kinds(report) == {"ImageWithoutRow": 2, "RowWithoutImage": 2}
    assert (report.unlabelled, report.unmatched) == (2, 2)
    text = messages(report, "ImageWithoutRow")
    assert f"{root / TRAIN.folder / '8.png'}: {root / TRAIN.codes} has no row for it" in text
    assert "scan.png" in text
    text = messages(report, "RowWithoutImage")
    assert f"{root / TRAIN.codes}: line 5: there is no image 9 in {root / TRAIN.folder}" in text
    assert "line 6: there is no image 10" in text
    assert [Path(failure["path"]).name for failure in report.failures] == ["notes.txt"]
    assert rows(database) == ALL | {"8": (None, "train", False), "scan": (None, "train", False)}
    again = ingest(database, settings, [root])
    assert (kinds(again), again.relabelled) == (kinds(report), 0)


def test_rows_that_come_twice(database: Database, settings: Settings, tmp_path: Path) -> None:
    equal = ("0" * 4 + "1880", HAND.replace("-", ""))
    root = release(tmp_path / "in", train=[*TRAIN_LINES, equal, ("008", CHEST), ("7", NO_LABEL)])
    report = ingest(database, settings, [root])
    assert kinds(report) == {"RepeatedRow": 1}
    assert "lines 2 and 6 say the same of image 1880" in messages(report, "RepeatedRow")
    assert {failure["error"] for failure in report.failures} == {"LabelsError"}
    failed = {Path(failure["path"]).name: failure["message"] for failure in report.failures}
    twice = f"lines 5 and 7: image 8 has rows with different codes, {KNEE} and {CHEST}"
    assert f"{root / TRAIN.codes}, {twice}" in failed["8.png"]
    assert rf"lines 4 and 8: image 7 has rows with different codes, {WITHDRAWN[0]} and \N" in failed["00000007.png"]
    assert rows(database) == {number: row for number, row in ALL.items() if number not in ("7", "8")}
    release(root)
    assert kinds(ingest(database, settings, [root])) == {}
    assert rows(database) == ALL


def test_two_files_of_one_image(database: Database, settings: Settings, tmp_path: Path) -> None:
    root = release(tmp_path / "in")
    shutil.copy(root / TRAIN.folder / "8.png", root / TRAIN.folder / "00000008.png")
    png(root / TRAIN.folder / "01880.png", 71)
    report = ingest(database, settings, [root])
    assert (report.added, report.unchanged, kinds(report)) == (7, 1, {"RepeatedId": 2})
    text = messages(report, "RepeatedId")
    assert f"8.png: is image 8 too, as {root / TRAIN.folder / '00000008.png'} is" in text
    assert "is image 1880 too" in text
    with database.connection() as connection:
        found = connection.execute("SELECT irma_code FROM image WHERE uri LIKE '%%1880.png'").fetchall()
    assert found == [{"irma_code": HAND}] * 2
    assert ingest(database, settings, [root]).relabelled == 0


def test_one_content_with_two_labels_keeps_the_first(database: Database, settings: Settings, tmp_path: Path) -> None:
    root = release(tmp_path / "in")
    shutil.copy(root / TRAIN.folder / "1880.png", root / TRAIN.folder / "1881.png")
    shutil.copy(root / TRAIN.folder / "8.png", root / TEST.folder / "900.png")
    for run in range(3):
        report = ingest(database, settings, [root])
        assert (report.added, report.relabelled) == (4 if run == 0 else 0, 0)
        assert kinds(report) == {"CopyWithOtherLabels": 2}
        text = messages(report, "CopyWithOtherLabels")
        assert f"1881.png: has the content of {root / TRAIN.folder / '1880.png'} but a different code or split" in text
        found = rows(database)
        assert (found["1880"], len(found)) == (ALL["1880"], 4)
        assert ALL["8"] in found.values() or ALL["900"] in found.values()


@pytest.mark.parametrize(
    "code",
    [
        "1121-120-414-70",
        "1121-120-414-7000",
        "1121_120_414_700",
        "11211-20-414-700",
        "1121-120-4*4-700",
        "x",
        "",
        "\\n",
    ],
)
def test_codes_of_no_legal_form_fail_their_image(
    database: Database, settings: Settings, tmp_path: Path, code: str
) -> None:
    root = release(tmp_path / "in", train=[*TRAIN_LINES[:3], ("8", code)])
    report = ingest(database, settings, [root])
    assert (report.added, report.failed, report.problems) == (5, 1, [])
    (failure,) = report.failures
    assert (Path(failure["path"]).name, failure["error"]) == ("8.png", "LabelsError")
    for word in (
        f"{root / TRAIN.codes}, line 5",
        repr(code),
        "the form is TTTT-DDD-AAA-BBB",
        r"\N where there is none",
    ):
        assert word in failure["message"]


def test_lines_of_another_length_fail_their_image(database: Database, settings: Settings, tmp_path: Path) -> None:
    root = release(tmp_path / "in")
    lines = (root / TRAIN.codes).read_text().splitlines()
    lines[1] += ";" + KNEE
    lines[4] = lines[4].rpartition(";")[0]
    (root / TRAIN.codes).write_text("\n".join(lines))
    report = ingest(database, settings, [root])
    failed = {Path(failure["path"]).name: failure["message"] for failure in report.failures}
    assert "line 2: has more fields than the header" in failed.pop("1880.png")
    assert "line 5: 08_irma_code: ''" in failed.pop("8.png")
    assert failed == {}


def test_ids_that_are_no_numbers(database: Database, settings: Settings, tmp_path: Path) -> None:
    others = [("abc", HAND), ("", HAND), ("18 80", HAND), ("-8", HAND), ("1880.png", HAND), ("\u0668", HAND)]
    root = release(tmp_path / "in", train=[*TRAIN_LINES, *others, ("9" * 5000, HAND)])
    report = ingest(database, settings, [root])
    assert kinds(report) == {"IdNoNumber": 6, "RowWithoutImage": 1}
    assert f"{root / TRAIN.codes}: line 6: the image_id 'abc' is not a number" in messages(report, "IdNoNumber")
    assert rows(database) == ALL


def test_codes_that_the_tree_does_not_have_are_taken_and_told(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    root = release(tmp_path / "in", train=[("1880", "1121-120-ZZZ-700"), ("1881", "1121120zzz700"), *TRAIN_LINES[2:]])
    for _ in range(2):
        report = ingest(database, settings, [root])
        assert (report.unknown_codes, report.problems, report.failed) == ({"1121-120-zzz-700": 2}, [], 0)
    assert rows(database)["1880"] == ("1121-120-zzz-700", "train", False)


# Through the command

Cli = Callable[..., Run]


def test_the_command_tells_what_it_recognised(inside: Cli, database: Database, tmp_path: Path) -> None:
    done = inside("ingest", release(tmp_path / "in"))
    assert done.stderr == RECOGNISED + "\n"
    document = inside("ingest", tmp_path / "in", "--json").json
    assert (document["unchanged"], document["relabelled"], document["problems"]) == (6, 0, [])
    assert (document["recognised"], document["unknown_codes"]) == (RECOGNISED, {})
    assert rows(database) == ALL


def test_the_command_counts_names_and_ends_with_1(inside: Cli, archive_url: str, tmp_path: Path) -> None:
    absent = [(str(number), KNEE) for number in range(100, 105)]
    root = release(tmp_path / "in", train=[*TRAIN_LINES[:3], *absent, ("8", "1121-120-zzz-700")])
    png(root / TRAIN.folder / "77\n.png", 77)
    done = inside("ingest", root, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    first, *lines = done.stderr.splitlines()
    assert first.startswith("ImageCLEF 2009 release: train 5 images")
    assert lines == [
        "rows that name none of these files: 5",
        *(
            f"  {root / TRAIN.codes}: line {line}: there is no image {line + 95} in {root / TRAIN.folder}; "
            "the row was not used"
            for line in (5, 6, 7)
        ),
        "  … and 2 more (all of them with --json)",
        "images without a row: 1",
        f"  {root / TRAIN.folder}/77\\n.png: {root / TRAIN.codes} has no row for it; a label that it had stays",
        "IRMA codes that the code tree does not have, taken as they are: 1121-120-zzz-700 (1 file)",
    ]
    done = inside("ingest", root, "--json", check=False)
    assert done.returncode == 1
    assert len(done.json["problems"]) == 6
    assert set(done.json["problems"][0]) == {"path", "error", "message"}
    assert done.json["unknown_codes"] == {"1121-120-zzz-700": 1}


def test_the_command_refuses_codes_that_cannot_be_used(inside: Cli, database: Database, tmp_path: Path) -> None:
    root = release(tmp_path / "in")
    (root / TRAIN.codes).write_text("image_id;05_class\n1880;3\n")
    done = inside("ingest", root, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no column '08_irma_code' (they have: image_id, 05_class)" in done.stderr
    assert "Traceback" not in done.stderr
    assert rows(database) == {}


def test_the_uris_are_those_of_the_files(database: Database, settings: Settings, tmp_path: Path) -> None:
    root = nested(tmp_path / "in", csv_inside=True)
    ingest(database, settings, [root])
    with database.connection() as connection:
        found = {row["uri"] for row in connection.execute("SELECT uri FROM image")}
    assert to_uri(root / TRAIN.folder / TRAIN.folder / "00000007.png") in found


def test_a_label_that_the_release_takes_back_is_taken_back(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    root = release(tmp_path)
    ingest(database, settings, [root])
    taken = [(number, NO_LABEL if number in ("1880", "7") else code) for number, code in TRAIN_LINES]
    codes(root / TRAIN.codes, TRAIN, taken)
    report = ingest(database, settings, [root])
    assert (report.relabelled, report.no_code, report.problems) == (2, 3, [])
    assert rows(database) == ALL | {"1880": (None, "train", False), "7": (None, "train", False)}
    assert ingest(database, settings, [root]).relabelled == 0


def test_a_row_that_is_gone_leaves_the_label_and_says_so(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    root = release(tmp_path)
    ingest(database, settings, [root])
    codes(root / TRAIN.codes, TRAIN, TRAIN_LINES[1:])
    report = ingest(database, settings, [root])
    assert "1880.png: " in messages(report, "ImageWithoutRow")
    assert "has no row for it; a label that it had stays" in messages(report, "ImageWithoutRow")
    assert rows(database) == ALL


def test_a_column_that_comes_twice_is_refused(database: Database, settings: Settings, tmp_path: Path) -> None:
    root = release(tmp_path)
    lines = (root / TRAIN.codes).read_text().splitlines()
    (root / TRAIN.codes).write_text(
        "\n".join([f"{lines[0]};{LABEL_COLUMN}", *(f"{line};{KNEE}" for line in lines[1:])])
    )
    with pytest.raises(LabelsError, match=f"have more than one column '{LABEL_COLUMN}'; leave one of them"):
        ingest(database, settings, [root])
    assert rows(database) == {}


def test_the_command_says_that_images_came_without_codes(inside: Cli, tmp_path: Path) -> None:
    root = release(tmp_path / "release")
    for part in PARTS:
        (root / part.folder).rename(root / part.split)
    done = inside("ingest", root, check=False)
    assert done.returncode == 1
    assert f"the folder of the train images is missing; the 4 rows of {root / TRAIN.codes} were not used" in done.stderr
    assert "6 files have no row in the codes of the release, and no code by it" in done.stderr
