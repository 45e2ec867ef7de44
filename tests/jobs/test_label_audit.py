"""`audit labels`: against a vote written out in plain Python, and its CSV back through `ingest --labels`."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from filled import clustered
from PIL import Image
from tiny import TINY, add_encoder

from radretrieval.archive import codes, images
from radretrieval.archive.connections import Database
from radretrieval.archive.filters import Condition, Filter
from radretrieval.archive.images import NewImage
from radretrieval.coding import label_votes
from radretrieval.coding.radon import geometry
from radretrieval.config import Settings
from radretrieval.errors import NoEncoder, UsageError
from radretrieval.ingest.labels_csv import read_labels
from radretrieval.jobs import label_audit as module
from radretrieval.jobs.label_audit import LabelAudit, audit_labels
from radretrieval.jobs.reported_labels import Labels
from radretrieval.phantom.archive import write_archive
from radretrieval.report import label_audit as report
from radretrieval.report.label_audit import COLUMNS, labels_path, vote_lines, write_audit_csv
from radretrieval.storage.content_store import ContentStore
from radretrieval.storage.reading import Reading
from radretrieval.storage.source import SourceFile

CLASSES = ("1121-110-500-000", "1123-127-500-000", "1121-120-942-700")
COUNT = 120
Row = dict[str, Any]
Near = list[tuple[int, int]]
BARCODED = [i % 10 != 7 for i in range(COUNT)]


BARCODES = clustered(COUNT, 3, 900, 4352, seed=3)


def planted(**changes: Any) -> list[Row]:
    """Labels of image 1, 2, …: three classes of alike codes, two images a patient, each class with its headers."""
    rows: list[Row] = [
        {
            "irma_code": CLASSES[i % 3],
            "body_part": ("CHEST", "CHEST", "KNEE")[i % 3],
            "laterality": (None, None, "LR"[i % 2])[i % 3],
            "patient_key": f"patient {i // 2}",
        }
        for i in range(COUNT)
    ]
    for i in (3, 40, 77):  # of the classes 0, 1 and 2
        rows[i]["irma_code"] = CLASSES[(i + 1) % 3]
    for i in (50, 90):
        rows[i]["body_part"] = "HAND"
    rows[20]["body_part"] = rows[21]["body_part"] = "FOOT"  # of one patient
    rows[30]["body_part"] = "SKULL"
    rows[60]["irma_code"] = None
    return rows


def fill(database: Database, rows: list[Row], cnnc: np.ndarray, rbc: np.ndarray | None = None) -> int:
    """An archive of these images and codes, and barcodes of some; its encoder."""
    with database.connection() as connection:
        new = [
            NewImage(n.to_bytes(32, "big"), f"file:///films/{n}.png", "png", 4, 5, 8, "MONOCHROME2", **row)
            for n, row in enumerate(rows, start=1)
        ]
        images.add(connection, new)
        encoder = add_encoder(connection)
        codes.write_cnnc(connection, encoder, list(range(1, len(rows) + 1)), cnnc, 1000)
        if rbc is not None:
            barcodes = codes.geometry_id(connection, *geometry(TINY.barcode))
            ids = [n for n, coded in enumerate(BARCODED, start=1) if coded]
            codes.write_barcodes(connection, barcodes, ids, rbc[BARCODED])
    return encoder


@pytest.fixture
def archive(database: Database) -> tuple[Database, list[Row], np.ndarray]:
    rows, cnnc = planted(), clustered(COUNT, 3, 120)
    fill(database, rows, cnnc, BARCODES)
    return database, rows, cnnc


def literal(rows: list[Row], near: list[Near], place: int, field: str) -> tuple[float, str | None]:
    """The suspicion and the proposed value of an image, without numpy.

    near : distances and places of the images that may vote, nearest first, of both votes.
    """
    own = rows[place].get(field)
    votes = []
    for ranked in near:
        voters = [(d, value) for d, i in ranked if (value := rows[i].get(field)) is not None][: label_votes.VOTERS]
        scale = max(sum(d for d, _ in voters) / max(len(voters), 1), 1)
        weights: dict[str, float] = {}
        for d, value in voters:
            weights[value] = weights.get(value, 0) + math.exp(-d / scale)
        total = sum(weights.values())
        votes.append({value: weight / total for value, weight in weights.items()})
    of_others = [row for row in rows if row.get(field) == own and row["patient_key"] != rows[place]["patient_key"]]
    if own is None or not any(votes) or not of_others:
        return -math.inf, None

    def odds(value: str | None) -> float:
        return sum(math.log((vote.get(value or "", 0) + 0.02) / (vote.get(own, 0) + 0.02)) for vote in votes)

    best = max({value for vote in votes for value in vote if value != own}, key=odds, default=None)
    return odds(best), best


def ranked(rows: list[Row], codes: np.ndarray, place: int, coded: Sequence[bool]) -> Near:
    """Who may vote on an image, nearest first: others of other patients among the 51 nearest, with a code."""
    if not coded[place]:
        return []
    apart = sorted((int(np.bitwise_count(codes[place] ^ other).sum()), i) for i, other in enumerate(codes))
    patient = rows[place]["patient_key"]
    near = apart[: label_votes.LOOKED_AT + 1]
    return [(d, i) for d, i in near if i != place and rows[i]["patient_key"] != patient and coded[i]]


def test_the_list_is_that_of_the_vote_in_plain_python(archive: tuple[Database, list[Row], np.ndarray]) -> None:
    database, rows, cnnc = archive
    found = audit_labels(database)
    expected = []
    for place in range(COUNT):
        near = [ranked(rows, cnnc, place, [True] * COUNT), ranked(rows, BARCODES, place, BARCODED)]
        votes = {field: literal(rows, near, place, field) for field in module.FIELDS}
        field = max(votes, key=lambda one: votes[one][0])
        if votes[field][0] > module.LISTED_FROM:
            expected.append((-round(votes[field][0], 9), place + 1, field, votes[field][1]))
    expected.sort()
    listed = [(one.image_id, one.findings[0].field, one.findings[0].proposed) for one in found.images]
    assert listed == [one[1:] for one in expected]
    assert [one.suspicion for one in found.images] == pytest.approx([-one[0] for one in expected])
    assert (found.codes, found.judged, found.suspicious) == (COUNT, COUNT, len(expected))
    assert {4, 41, 78, 51, 91} == {one.image_id for one in found.images[:5]}


def test_a_label_that_only_one_patient_has_is_told_apart(
    archive: tuple[Database, list[Row], np.ndarray], inside: Callable[..., Run]
) -> None:
    found = audit_labels(archive[0])
    alone = [(one.image_id, one.field, one.value) for one in found.unshared]
    assert alone == [(n, "body_part", value) for n, value in ((21, "FOOT"), (22, "FOOT"), (31, "SKULL"))]
    suspected = {(one.image_id, finding.field) for one in found.images for finding in one.findings}
    assert not {(n, "body_part") for n in (21, 22, 31)} & suspected
    told = inside("audit", "labels", "--json")
    assert [tuple(one.values()) for one in told.json["unshared"]] == alone
    assert "3 labels are not judged, as no image of another patient has them (body_part 3)" in told.stderr


def test_who_shares_a_label() -> None:
    values, patients = (
        np.array([0, 0, 1, 1, 2, 2, 3, -1, -1], np.int32),
        np.array([0, 0, 0, 1, -1, -1, -1, 2, 3], np.int32),
    )
    assert label_votes.shared(values, patients).tolist() == [False] * 2 + [True] * 4 + [False] * 3


def test_codes_in_the_caption_are_on_one_line() -> None:
    finding = module.Finding("irma_code", "1310-200-500-000", "1113-200-500-000", 20, 10, 10, 1.0)
    assert vote_lines(finding) == ["10 of 20: 1113-200-500-000", "10: 1310-200-500-000 (its own)"]


def test_what_is_told_of_a_suspect(archive: tuple[Database, list[Row], np.ndarray]) -> None:
    database, rows, cnnc = archive
    found = {one.image_id: one for one in audit_labels(database).images}
    suspect = found[4]
    assert (suspect.file, suspect.labels.irma_code, suspect.labels.body_part) == ("/films/4.png", CLASSES[1], "CHEST")
    finding = suspect.findings[0]
    assert (finding.field, finding.value, finding.proposed) == ("irma_code", CLASSES[1], CLASSES[0])
    assert (finding.voters, finding.agreeing, finding.against) == (20, 0, 20)
    assert [one.by for one in suspect.neighbours] == ["code"] * 10 + ["barcode"] * 10
    for by, packed in (("code", cnnc), ("barcode", BARCODES)):
        apart = [(one.distance, one.image_id) for one in suspect.neighbours if one.by == by]
        assert apart == sorted(apart)
        assert apart == [(int(np.bitwise_count(packed[3] ^ packed[n - 1]).sum()), n) for _, n in apart]
    for one in suspect.neighbours:
        assert one.image_id not in (3, 4), "images of one patient do not vote on each other"
        assert (one.file, one.labels.irma_code) == (f"/films/{one.image_id}.png", rows[one.image_id - 1]["irma_code"])
    assert found[51].findings[0].field == "body_part"
    assert found[51].findings[0].proposed == "KNEE"


def test_equal_however_the_images_are_cut_into_batches(
    archive: tuple[Database, list[Row], np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = archive[0]
    whole = audit_labels(database)
    monkeypatch.setattr(module, "BATCH", 7)
    seen: list[tuple[int, int]] = []
    again = audit_labels(database, advance=lambda *counts: seen.append(counts))
    assert {**again.document(), "seconds": 0} == {**whole.document(), "seconds": 0}
    assert (sum(count for count, _ in seen), {total for _, total in seen}) == (COUNT, {COUNT})


def test_a_filter_chooses_who_is_judged_and_all_vote(archive: tuple[Database, list[Row], np.ndarray]) -> None:
    database = archive[0]
    whole = {one.image_id: one for one in audit_labels(database).images}
    chests = audit_labels(database, where=Filter(where=(Condition("body_part", "=", "HAND"),)))
    assert chests.judged == 2
    assert sorted(one.image_id for one in chests.images) == [51, 91]
    assert [asdict(one) for one in chests.images] == [asdict(whole[one.image_id]) for one in chests.images]
    with pytest.raises(UsageError, match="nonsense"):
        audit_labels(database, where=Filter(where=(Condition("nonsense", "=", "1"),)))


def test_what_a_network_has_learnt_by_heart_is_found_by_barcode(database: Database) -> None:
    rows = planted()
    learnt = clustered(3, 3, 0)[[CLASSES.index(row["irma_code"] or CLASSES[0]) for row in rows]]
    fill(database, rows, learnt, BARCODES)  # the code is that of the label, also of the wrong one
    found = [one.image_id for one in audit_labels(database).images if one.findings[0].field == "irma_code"]
    assert set(found) == {4, 41}, "78 has no barcode"


def test_the_list_is_cut_and_the_count_is_not(archive: tuple[Database, list[Row], np.ndarray]) -> None:
    database = archive[0]
    whole, first = audit_labels(database), audit_labels(database, top=2)
    assert (first.images, first.suspicious) == (whole.images[:2], whole.suspicious)


def test_what_cannot_be_judged_is_not_listed(database: Database) -> None:
    with pytest.raises(NoEncoder):
        audit_labels(database)
    rows: list[Row] = [{"irma_code": CLASSES[i % 2], "patient_key": "the only one"} for i in range(6)]
    rows += [{"irma_code": CLASSES[2], "withdrawn": True}, {"laterality": "L"}]
    fill(database, rows, clustered(8, 1, 20))
    found = audit_labels(database)
    assert (found.judged, found.images) == (0, []), "the others are of the same patient, withdrawn, or not labelled"
    assert found.notes == [
        "no image has a neighbour of another patient with the same kind of label, and nothing can be compared"
    ]


def test_an_archive_without_codes_or_labels_says_what_to_do(database: Database) -> None:
    encoder = fill(database, [{}], clustered(1, 1, 0))
    with pytest.raises(UsageError, match=f"one code only.*work --once --encoder {encoder}"):
        audit_labels(database)
    with database.connection() as connection:
        other = add_encoder(connection, seed=1)
    with pytest.raises(UsageError, match="no codes yet"):
        audit_labels(database, encoder_id=other)


def test_labels_path_is_one_that_ingest_finds(tmp_path: Path, settings: Settings) -> None:
    reading = Reading.of(settings)
    assert reading.store is not None
    store = ContentStore(reading.store)
    kept = store.put(b"kept")
    cases = {
        "file:///films/a%20b.png": "/films/a b.png",
        "file:///films/a.dcm#frame=2": None,
        "file:///films/%FF.png": None,
        "file:///films/a%0A.png": None,
        "file:hidden/abc": None,
        "https://pacs/instances/1": None,
    }
    assert {uri: labels_path(SourceFile(uri, b"x" * 32), reading) for uri in cases} == cases
    for uri in (f"store:{kept.hex()}", "https://pacs/instances/1"):
        assert labels_path(SourceFile(uri, kept), reading) == str(store.path(kept))


@pytest.fixture
def films(tmp_path: Path) -> tuple[Path, str]:
    """Phantoms of three classes, the first of them with another's code in the CSV; the file, and its true code."""
    labels = write_archive(tmp_path / "films", images=36, classes=3, size=64)
    with labels.open(newline="") as file:
        rows = list(csv.DictReader(file))
    true = rows[0]["irma_code"]
    rows[0]["irma_code"] = next(row["irma_code"] for row in rows if row["irma_code"] != true)
    with labels.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return labels.parent / rows[0]["file"], true


def test_the_csv_corrected_goes_back_into_ingest(
    inside: Callable[..., Run], database: Database, films: tuple[Path, str], tmp_path: Path
) -> None:
    file, true = films
    folder = tmp_path / "films"
    inside("ingest", folder, "--labels", folder / "labels.csv")
    with database.connection() as connection:
        add_encoder(connection)
    inside("work", "--once")
    as_given = labelled(database)
    out, sheet = tmp_path / "audit.csv", tmp_path / "audit.png"
    before = inside("audit", "labels", "--csv", out, "--picture", sheet, "--json").json
    suspect = next(one for one in before["images"] if one["file"] == str(file))
    assert suspect["findings"][0]["proposed"] == true
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"
        colours = set(map(tuple, np.asarray(picture.convert("RGB")).reshape(-1, 3).tolist()))
    assert {(213, 94, 0), (0, 114, 178)} <= colours, "the film is framed orange, neighbours with its true label blue"

    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file"] for row in rows] == [one["file"] for one in before["images"]]
    assert tuple(rows[0]) == COLUMNS
    report = inside("ingest", "--labels", out, "--json").json
    counts = {name: report[name] for name in ("seen", "unchanged", "relabelled", "failed", "problems")}
    assert counts == {"seen": len(rows), "unchanged": len(rows), "relabelled": 0, "failed": 0, "problems": []}
    assert labelled(database) == as_given, "a CSV that is given back as it is sets no label"

    for row in rows:
        if row["file"] == str(file):
            row[row["doubted"]] = row["proposed"]
    with out.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    assert inside("ingest", "--labels", out, "--json").json["relabelled"] == 1
    after = inside("audit", "labels", "--json").json
    left = next((one["suspicion"] for one in after["images"] if one["file"] == str(file)), -math.inf)
    assert left < suspect["suspicion"]
    found = read_labels(out).of(str(file))
    assert found["irma_code"] == true


def labelled(database: Database) -> list[Any]:
    """Which labels a person has set, of every image."""
    with database.connection() as connection:
        return connection.execute("SELECT id, labelled FROM image ORDER BY id").fetchall()


def test_the_table_names_each_suspect(
    inside: Callable[..., Run], archive: tuple[Database, list[Row], np.ndarray], tmp_path: Path
) -> None:
    said = inside("audit", "labels", "--top", "4", "--csv", tmp_path / "a.csv").stdout.splitlines()
    assert said[0].startswith("4 of ")
    cells = next(line for line in said if line.endswith("/films/4.png")).split()
    assert cells == ["4", cells[1], "IRMA", "code", CLASSES[1], CLASSES[0], "20", "of", "20", "/films/4.png"]
    assert len(said) == 2 + 1 + 4
    for option, name in (("--csv", "a.txt"), ("--picture", "a.csv")):
        refused = inside("audit", "labels", option, tmp_path / name, check=False)
        assert (refused.returncode, "let it end in" in refused.stderr) == (2, True)


def test_suspects_without_a_path_are_counted(tmp_path: Path, settings: Settings, database: Database) -> None:
    found = empty_audit([f"file:///films/{n}.dcm#frame=2" for n in range(3)])
    assert write_audit_csv(tmp_path / "a.csv", found, settings) == 3
    assert (tmp_path / "a.csv").read_text() == ",".join(COLUMNS) + "\n"


def empty_audit(uris: list[str]) -> LabelAudit:
    """An audit whose suspects have these files."""
    finding = module.Finding("laterality", "L", "R", 10, 0, 10, 4.0)
    labels = Labels(None, None, None, "L")
    suspects = [module.Suspect(n, uri, 4.0, labels, [finding], []) for n, uri in enumerate(uris)]
    files = {n: SourceFile(uri, b"x" * 32) for n, uri in enumerate(uris)}
    return LabelAudit(1, "tiny", 9, [], 9, len(uris), suspects, [], [], 0.0, files)


@pytest.mark.parametrize(("uri", "named"), [("file:///x/doe_jane.png", True), ("file:hidden/abc", False)])
def test_a_sheet_has_no_name_that_the_archive_hides(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, named: bool
) -> None:
    audit = empty_audit([uri])
    audit = replace(audit, images=[replace(audit.images[0], file="/x/doe_jane.png")])
    drawn: list[str] = []
    monkeypatch.setattr(report, "write", lambda draw, corner, width, lines: drawn.extend(line[0] for line in lines))
    report.write_contact_sheet(tmp_path / "sheet.png", audit, settings)
    assert ("doe_jane.png" in drawn) == named
