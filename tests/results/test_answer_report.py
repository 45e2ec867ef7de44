"""The structured report and the secondary capture of an answer, by the real command, checked by others' programs."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from answering import CR, IMAGES, MULTI, NAME, Made, film, uid
from conftest import Run
from databases import Server, database_of
from programs import needs_program

from radretrieval.archive.images import Identity
from radretrieval.errors import UsageError
from radretrieval.irma.tree import rows
from radretrieval.report.search_picture import search_picture_pixels, write_search_picture
from radretrieval.results.fhir import write_bundle
from radretrieval.results.outputs import AnswerOutputs
from radretrieval.results.references import Subject, reported_answer, subject_of, unreferable
from radretrieval.results.rows import answer_rows
from radretrieval.results.secondary_capture import secondary_capture
from radretrieval.results.structured_report import irma_meaning, rectangle, remarks, structured_report
from radretrieval.search.cells import as_pixels
from radretrieval.search.request import Request
from radretrieval.search.roi import Region
from radretrieval.search.searcher import Searcher

ROI = "5,6,12,10"


def errors(path: Path) -> list[str]:
    """What dciodvfy calls an error."""
    needs_program("dciodvfy")
    told = subprocess.run(["dciodvfy", path], capture_output=True, text=True, errors="replace", check=False)
    assert path.exists()
    return [line for line in (told.stdout + told.stderr).splitlines() if line.startswith("Error")]


@pytest.fixture(scope="module")
def asked(answers: Made) -> Run:
    """An answer with everything that can be written of it."""
    names = ("--sr", "sr.dcm", "--sc", "sc.dcm", "--csv", "hits.csv", "--picture", "sheet.png")
    return answers.search("id:1", "--roi", ROI, *names, "--json")


def groups(report: Any) -> list[Any]:
    content = report.content
    return [*content.get_image_measurement_groups(), *content.get_planar_roi_measurement_groups()]


def numbers(group: Any) -> dict[str, float]:
    return {one.name.value: one.value for one in group.get_measurements()}


def test_field_03_a_report_belongs_to_the_study_that_the_image_has_after_a_correction(
    answers: Made, server: Server, tmp_path: Path
) -> None:
    original = answers.folder / "x-rays" / "0.dcm"
    ds = pydicom.dcmread(original)
    ds.PatientID, ds.StudyInstanceUID = "pid-other", uid("study", 99)
    ds.save_as(tmp_path / "corrected.dcm")
    with server.database(template=database_of(answers.url)) as url:
        copy = Made(url, answers.folder)
        ingested = copy.run("ingest", tmp_path / "corrected.dcm", "--json", RADRETRIEVAL_FRAMES="each").json
        assert (ingested["updated"], ingested["unchanged"]) == (1, 0)
        # also where the file of before is the query
        for query in ("id:1", original, tmp_path / "corrected.dcm"):
            out = tmp_path / "sr.dcm"
            copy.search(query, "--top", "2", "--sr", out)
            report = pydicom.dcmread(out)
            assert (report.PatientID, report.StudyInstanceUID) == ("pid-other", uid("study", 99))
            evidence = report.CurrentRequestedProcedureEvidenceSequence
            assert uid("study", 99) in {str(one.StudyInstanceUID) for one in evidence}


def test_the_report_is_valid_and_others_read_it(answers: Made, asked: Run) -> None:
    needs_program("dsrdump")
    path = answers.folder / "sr.dcm"
    assert errors(path) == []
    told = subprocess.run(["dsrdump", path], capture_output=True, text=True, errors="replace", check=True)
    assert told.stderr == ""
    assert '<CONTAINER:(,,"Imaging Measurement Report")=' in told.stdout
    assert told.stdout.count('"Measurement Group"') == 1 + len(asked.json["hits"])
    assert '(1121-120-942-700,99IRMA,"left knee, anteroposterior (AP, coronal), musculoskeletal system")' in told.stdout


def test_what_is_read_back_is_what_was_answered(answers: Made, asked: Run) -> None:
    import highdicom as hd

    report = hd.sr.srread(answers.folder / "sr.dcm")
    hits = asked.json["hits"]
    found = {int(numbers(group)["RANK"]): group for group in groups(report) if numbers(group)}
    assert sorted(found) == [hit["rank"] for hit in hits]
    for hit in hits:
        group, told = found[hit["rank"]], numbers(found[hit["rank"]])
        assert (told["CNNC"], told["RBC"]) == (hit["cnnc_distance"], hit["rbc_distance"])
        codes_of = [one.value.value for one in group.get_qualitative_evaluations()]
        assert codes_of == ([hit["irma_code"]] if hit["irma_code"] else [])
        name = group.tracking_identifier
        if hit["image_id"] > IMAGES:
            assert name == f"hit {hit['rank']}: image {hit['image_id']} of the archive, which is no DICOM object"
            assert group.source_images == []
            continue
        assert name == f"hit {hit['rank']}: image {hit['image_id']} of the archive"
        box = hit["roi"]
        assert told["ROISCORE"] == pytest.approx(box["score"], abs=1e-5)
        if box["found"]:
            corners = rectangle((box["x"], box["y"], box["width"], box["height"]))
            np.testing.assert_array_equal(group.roi.value, corners)
            assert group.roi.graphic_type == hd.sr.GraphicTypeValues.POLYLINE
            source = group.roi.ContentSequence[0].ReferencedSOPSequence[0]
        else:
            source = group.source_images[0].ReferencedSOPSequence[0]
        number = min(hit["image_id"] - 1, 6)
        assert source.ReferencedSOPInstanceUID == uid("instance", number)
        frame = {7: 1, 8: 2}.get(hit["image_id"])
        assert source.get("ReferencedFrameNumber") == frame
    units = {one.unit.value for group in groups(report) for one in group.get_measurements()}
    assert units == {"1", "bit"}


def test_evidence_names_every_image_in_its_study_and_series(answers: Made, asked: Run) -> None:
    import highdicom as hd

    report = hd.sr.srread(answers.folder / "sr.dcm")
    kinds = [CR, CR + ".1"] * 3 + [MULTI]
    expected = {(uid("study", n // 2), uid("series", n), uid("instance", n), kinds[n]) for n in range(7)}
    assert set(report.get_evidence()) == expected
    current = {one[2] for one in report.get_evidence(current_procedure_only=True)}
    assert current == {uid("instance", 0), uid("instance", 1)}  # of the query's study
    # one line, however many such hits there are
    (first, image), (second, _) = (
        (hit["rank"], hit["image_id"]) for hit in asked.json["hits"] if hit["image_id"] > IMAGES
    )
    assert asked.stderr.count("is no DICOM object: the report names it in words") == 1
    assert f"hit {first} (image {image}) is no DICOM object: " in asked.stderr
    assert f"; the same holds for 1 more hit: {second}\n" in asked.stderr


@pytest.mark.parametrize("name", ["sr.dcm", "sc.dcm"])
def test_an_object_belongs_to_the_patient_of_the_query_alone(answers: Made, asked: Run, name: str) -> None:
    ds = pydicom.dcmread(answers.folder / name)
    assert (str(ds.PatientName), ds.PatientID, ds.PatientBirthDate) == (f"{NAME}0", "pid-0", "19700102")
    assert (ds.StudyInstanceUID, ds.AccessionNumber, ds.StudyID) == (uid("study", 0), "acc-0", "7")
    assert ds.SeriesInstanceUID not in {uid("series", n) for n in range(7)}
    data = (answers.folder / name).read_bytes()
    for other in range(1, 4):
        for secret in (f"pid-{other}", f"acc-{other}", f"{NAME}{other}"):
            assert secret.encode("latin-1") not in data
    assert b"x-rays" not in data  # nor the name of a file


def test_the_capture_is_the_sheet(answers: Made, asked: Run) -> None:
    from PIL import Image

    path = answers.folder / "sc.dcm"
    assert errors(path) == []
    ds = pydicom.dcmread(path)
    assert (ds.PhotometricInterpretation, ds.BurnedInAnnotation, ds.Modality) == ("RGB", "YES", "OT")
    assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == uid("instance", 0)
    with Image.open(answers.folder / "sheet.png") as picture:
        shown = np.asarray(picture)
    # but for the names of files the same
    assert ds.pixel_array.shape[1:] == shown.shape[1:]
    assert (ds.pixel_array[:270] == shown[:270]).all()


def test_field_06_no_name_of_a_file_is_in_the_capture(answers: Made, asked: Run, tmp_path: Path) -> None:
    """Files of other names give the same capture, pixel by pixel, and another sheet."""
    ds = pydicom.dcmread(answers.folder / "sc.dcm")
    with answers.searcher() as searcher:
        answer = searcher.search(Request(1, roi=(5, 6, 12, 10)))
        assert len(answer.hits) == 9, "DICOM, its frames, and PNG"
        assert (search_picture_pixels(searcher, answer) == ds.pixel_array).all()
        shutil.copytree(answers.folder / "x-rays", tmp_path / "x")
        for path in (tmp_path / "x").iterdir():
            path.rename(path.with_name(f"Else^Somebody {path.name}"))
        renamed = [
            replace(hit, uri=re.sub(r"^file:.*/(\d\.)", f"file://{tmp_path}/x/Else%5ESomebody%20\\1", hit.uri))
            for hit in answer.hits
        ]
        other = replace(answer, hits=renamed)
        found = searcher.source.read_all([hit.file for hit in renamed], as_pixels)
        assert not any(isinstance(one, str) for one in found)
        assert (search_picture_pixels(searcher, other) == ds.pixel_array).all()
        write_search_picture(tmp_path / "sheet.png", searcher, other)
        asked_by_file = searcher.search(Request(answers.folder / "new.dcm"))
        shutil.copy(answers.folder / "new.dcm", tmp_path / "Else^Somebody.dcm")
        again = searcher.search(Request(tmp_path / "Else^Somebody.dcm"))
        assert (search_picture_pixels(searcher, again) == search_picture_pixels(searcher, asked_by_file)).all()
    sheets = [(folder / "sheet.png").read_bytes() for folder in (answers.folder, tmp_path)]
    assert sheets[0] != sheets[1], "the sheet for the user names the files"


def test_the_csv_is_that_of_a_batch(answers: Made, asked: Run) -> None:
    (answers.folder / "ids.csv").write_text("id\n1\n")
    answers.search("--batch", "ids.csv", "--out", "batch.csv")
    one, many = (list(csv.DictReader((answers.folder / name).open())) for name in ("hits.csv", "batch.csv"))
    regions = [[row.pop(f"roi_{name}") for name in ("x", "y", "width", "height", "score", "found")] for row in one]
    assert one == [{name: cell for name, cell in row.items() if not name.startswith("roi_")} for row in many]
    assert {cell for row in many for name, cell in row.items() if name.startswith("roi_")} == {""}
    found = [list(hit["roi"].values()) for hit in asked.json["hits"]]
    assert [[float(cell) for cell in row[:5]] for row in regions] == [pytest.approx(box[:5]) for box in found]
    assert [row[5] for row in regions] == [str(box[5]) for box in found]


FACTS = ("patient_key", "study_instance_uid", "study_date", "modality", "body_part", "view_position", "laterality")


def test_a_hit_tells_its_patient_study_and_view_in_json_csv_and_sql(answers: Made, asked: Run) -> None:
    hits = [{name: hit[name] for name in ("image_id", *FACTS)} for hit in asked.json["hits"]]
    with answers.searcher() as searcher:
        columns = ", ".join(("image_id", *FACTS[:2], "study_date::text", *FACTS[3:]))
        found = searcher.connection.execute(f"SELECT {columns} FROM radretrieval.retrieve(1)").fetchall()
        stored = {
            row.pop("id"): row
            for row in searcher.connection.execute(
                f"SELECT id, {', '.join(('study_date::text', *set(FACTS) - {'study_date'}))} FROM radretrieval.image"
            )
        }
    assert found == hits
    with (answers.folder / "hits.csv").open() as file:
        assert [{name: row[name] or None for name in FACTS} for row in csv.DictReader(file)] == [
            {name: hit[name] for name in FACTS} for hit in hits
        ]
    for hit in hits:
        assert stored[hit.pop("image_id")] == hit
    dicom = [hit for hit in hits if hit["modality"]]
    assert len(dicom) == IMAGES - 1
    assert {hit["study_date"] for hit in dicom} == {"2026-01-02"}
    assert {(hit["body_part"], hit["view_position"], hit["laterality"]) for hit in dicom} == {("KNEE", "AP", None)}


def test_the_report_tells_the_algorithm_once_and_no_patient_of_a_hit(answers: Made, asked: Run) -> None:
    data = (answers.folder / "sr.dcm").read_bytes()
    assert data.count(b"nearest CNN codes re-ranked by Radon barcode") == 1
    assert data.count(b"Algorithm Name") == 1
    for hit in asked.json["hits"]:
        assert not hit["patient_key"] or hit["patient_key"].encode() not in data


def test_a_new_file_and_what_it_replaces(answers: Made) -> None:
    (answers.folder / "again.dcm").write_text("old")
    answers.search("new.dcm", "--sr", "again.dcm", "--where", "modality=CR")
    ds = pydicom.dcmread(answers.folder / "again.dcm")
    assert (ds.PatientID, ds.StudyInstanceUID) == ("pid-15", uid("study", 15))
    assert len(ds.CurrentRequestedProcedureEvidenceSequence) == 1
    assert len(ds.PertinentOtherEvidenceSequence) == 3
    assert errors(answers.folder / "again.dcm") == []
    assert not list(answers.folder.glob(".*.part"))


def test_what_cannot_be_written(answers: Made) -> None:
    for arguments, reason in (
        (("new.png", "--stow", "http://127.0.0.1:9/", "--sc", "o.dcm"), "--sc: new.png is no DICOM file"),
        (("id:1", "--sr", "o.dcm", "--sc", "/proc/o.dcm"), "cannot write the secondary capture /proc/o.dcm"),
        (("--all", "--out", "h.csv", "--sr", "o.dcm"), "--sr is of one query"),
    ):
        done = answers.search(*arguments, check=False)
        assert (done.returncode, done.stdout) == (2, ""), (arguments, done.stderr)
        assert reason in done.stderr
    assert not list(answers.folder.glob("o.*"))
    assert not list(answers.folder.glob(".*.part"))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"sr": "o.txt"}, "let it end in .dcm"),
        ({"sr": "nowhere/o.dcm"}, "does not exist"),
        ({"fhir": "o.xml"}, "let it end in .json"),
        ({"csv": "o.parquet"}, "let it end in .csv"),
        ({"sr": "o.dcm", "sc": "./o.dcm"}, "two outputs would be the same file"),
        ({"store_to": "pacs:104"}, "the form is AET@host:port"),
        ({"store_to": "P@h:104", "ae_title": "seventeen letters"}, "--ae-title seventeen letters: an AE title has"),
        ({"stow": "ftp://h/x"}, "the root of a DICOMweb server"),
    ],
)
def test_what_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("picture", "sr", "sc", "fhir", "csv")
    given: dict[str, Any] = {**dict.fromkeys(names), "store_to": None, "stow": None, "ae_title": "US", **values}
    outputs = AnswerOutputs(**given | {name: Path(given[name]) for name in names if given[name]})
    with pytest.raises(UsageError, match=re.escape(reason)):
        outputs.check()
    assert not list(tmp_path.iterdir())


def test_a_query_that_no_report_can_be_about(answers: Made, tmp_path: Path) -> None:
    (tmp_path / "torn.dcm").write_bytes((answers.folder / "new.dcm").read_bytes()[:132])
    written(tmp_path / "nostudy.dcm", film(31, np.zeros((9, 9), np.uint8), StudyInstanceUID=""))
    nothing = dict.fromkeys(("SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID"), "")
    film(31, np.zeros((9, 9), np.uint8), **nothing).save_as(
        tmp_path / "nouids.dcm", implicit_vr=False, little_endian=True, enforce_file_format=False
    )
    with answers.searcher() as searcher:
        for query, reason in (
            (answers.folder / "new.png", "new.png is no DICOM file, so that there is no patient.*use --fhir"),
            (9, "--sr: id:9 is no DICOM file"),
            (tmp_path / "nostudy.dcm", "it has no Study Instance UID"),
            (tmp_path / "nouids.dcm", "it has no UIDs"),
            (tmp_path / "torn.dcm", "torn.dcm the DICOM file ends after its preamble"),
            (99, "the archive has no image 99"),
        ):
            with pytest.raises(UsageError, match=reason):
                subject_of(searcher, query, "--sr")


def test_files_that_are_gone(answers: Made) -> None:
    import highdicom as hd

    hidden = answers.folder / "hidden"
    shutil.move(answers.folder / "x-rays" / "2.dcm", hidden)
    try:
        with answers.searcher() as searcher:
            with pytest.raises(UsageError, match="--sr: the file of id:3 is gone"):
                subject_of(searcher, 3, "--sr")
            report = reported(searcher, subject_of(searcher, 1, "--sr"), (5, 6, 12, 10))
    finally:
        shutil.move(hidden, answers.folder / "x-rays" / "2.dcm")
    # such a hit is referred to, without a region
    groups_of = hd.sr.ComprehensiveSR.from_dataset(report).content.get_image_measurement_groups()
    sources = [group.source_images[0].referenced_sop_instance_uid for group in groups_of if group.source_images]
    assert sources == [uid("instance", 2)]


def test_a_region_that_was_not_found_is_nowhere_pointed_at(answers: Made, tmp_path: Path) -> None:
    import highdicom as hd

    with answers.searcher() as searcher:
        answer = searcher.search(Request(1, roi=(5, 6, 12, 10), top=3))
        box = Region(4, 5, 12, 10, 0.3125)
        seen = replace(answer, hits=[replace(hit, roi=box) for hit in answer.hits])
        gone = replace(answer, hits=[replace(hit, roi=box._replace(found=False)) for hit in answer.hits])
        pictures = [search_picture_pixels(searcher, one) for one in (seen, gone)]
        subject = subject_of(searcher, 1, "--sr")
        told = reported_answer(searcher, gone)
        report = structured_report(told, subject)
        write_bundle(tmp_path / "fhir.json", told, None)
    boxes = [(picture == (255, 190, 40)).all(-1)[:, 400:].any() for picture in pictures]
    assert boxes == [True, False], "of hits; the query's region stays in its tile"
    content = hd.sr.ComprehensiveSR.from_dataset(report).content
    assert len(content.get_planar_roi_measurement_groups()) == 1, "of the query"
    groups = [group for group in content.get_image_measurement_groups() if "RANK" in numbers(group)]
    scores = [numbers(group)["ROISCORE"] for group in groups if group.source_images]
    assert scores == [0.3125] * sum(hit.image_id <= IMAGES for hit in gone.hits) != []
    components = [
        {one["code"]["coding"][0]["code"]: one for one in entry["resource"]["component"]}
        for entry in json.loads((tmp_path / "fhir.json").read_text())["entry"]
        if "component" in entry["resource"]
    ]
    assert [one["roi-found"]["valueBoolean"] for one in components] == [False] * 3
    assert not any("roi" in one for one in components)
    assert [(row.roi_found, row.roi_score) for row in answer_rows(gone)] == [(False, 0.3125)] * 3
    assert gone.to_records()[0]["roi"]["found"] is False


def test_unusual_headers(answers: Made, tmp_path: Path) -> None:
    pixels = np.zeros((40, 40), np.uint8)
    kanji = film(
        32, pixels, SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう"
    )
    utf8 = film(33, pixels, SpecificCharacterSet="ISO_IR 192", PatientName="Ёлкин^Иван")
    bare = film(34, pixels)
    for keyword in ("PatientName", "PatientBirthDate", "PatientSex", "StudyTime", "SpecificCharacterSet", "StudyID"):
        delattr(bare, keyword)
    for number, ds in enumerate((kanji, utf8, bare)):
        written(tmp_path / f"{number}.dcm", ds)
    (tmp_path / "3.dcm").write_bytes((tmp_path / "2.dcm").read_bytes().replace(b"20260102", b"20269902"))
    written(tmp_path / "4.dcm", film(35, pixels, SOPClassUID="1.2.3.4"))
    with answers.searcher() as searcher:
        for number, name in enumerate((kanji.PatientName, utf8.PatientName, "", "")):
            subject = subject_of(searcher, tmp_path / f"{number}.dcm", "--sr")
            sheet = np.zeros((5, 7, 3), np.uint8)
            for kind, made in (("sr", reported(searcher, subject)), ("sc", secondary_capture(sheet, subject))):
                out = written(tmp_path / f"{kind}{number}.dcm", made)
                assert errors(out) == []
                assert pydicom.dcmread(out).PatientName == name
        with pytest.raises(UsageError, match="its header does not allow it"):
            reported(searcher, subject_of(searcher, tmp_path / "4.dcm", "--sr"))


def test_an_image_that_was_ingested_before_its_class_was_kept(answers: Made) -> None:
    with answers.searcher() as searcher, searcher.connection.transaction(force_rollback=True):
        searcher.connection.execute("UPDATE radretrieval.image SET sop_class_uid = NULL, same_uid = id = 4")
        answer = searcher.search(Request(1))
        of_answer = reported_answer(searcher, answer)
    assert {of_answer.identities[n].sop_class_uid for n in (3, 5)} == {CR}
    assert [line for line in remarks(of_answer) if "image 4)" in line] == [
        f"hit {next(h.rank for h in answer.hits if h.image_id == 4)} (image 4) has the SOP Instance UID of another "
        "image, whose pixels differ: the report may lead to either"
    ]


def written(path: Path, ds: Any) -> Path:
    ds.save_as(path, enforce_file_format=True)
    return path


def reported(searcher: Searcher, subject: Subject, roi: tuple[int, int, int, int] | None = None) -> Any:
    """A report about any query with the hits of image 1."""
    request = Request(1, roi=roi, roi_method="paper")
    return structured_report(reported_answer(searcher, searcher.search(request)), subject)


def test_which_images_can_be_referred_to() -> None:
    uids = ("sop_instance_uid", "series_instance_uid", "study_instance_uid")
    whole = {"sop_class_uid": CR, **dict.fromkeys(uids, "1.2")}
    assert unreferable(Identity(**whole)) is None
    assert unreferable(None) == "is not in the archive any more"
    assert unreferable(Identity(None, None, None, None)) == "is no DICOM object"
    assert unreferable(Identity(**whole | {"series_instance_uid": None})) == "has no Series Instance UID"
    assert unreferable(Identity(**whole | {"sop_instance_uid": "1.02.x"})) == (
        "has '1.02.x' as its SOP Instance UID, which is none"
    )


def test_every_word_of_the_tree_fits_a_code_meaning() -> None:
    for term in rows():
        text = {"T": "0000", "D": "000", "A": "000", "B": "000"}
        text[term.axis] = term.prefix.ljust(len(text[term.axis]), "0")
        meaning = irma_meaning("-".join(text.values()))
        assert 0 < len(meaning) <= 64
        assert meaning.isascii()
    assert irma_meaning("1121-120-942-700") == "left knee, anteroposterior (AP, coronal), musculoskeletal system"
