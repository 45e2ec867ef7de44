"""What same_answers.py asks of the archives that it makes: encoders, searches, SQL."""

from __future__ import annotations

# Arguments of `train`, by archive; one encoder each.
ENCODERS = {
    "demo": ("--epochs 3", "--profile paper-96 --epochs 1 --seed 1"),
    "shared": ("--epochs 1",),
}

# Arguments of `search`, by archive, a line each; {dir} is the archive's folder, {shared} that of the data.
SEARCHES = {
    "demo": """\
id:1
id:7
id:480
id:500
id:7 --top 50 --candidates 200
id:7 --top 3 --candidates 5
id:7 --encoder 2
id:7 --one-per patient
id:7 --one-per study
id:7 --exclude-same-patient
id:9 --where body_part=CHEST
id:9 --where laterality=L --where split!=test
id:9 --where irma_code=*-*-5*
id:9 --where body_part=CHEST --where body_part=HAND --one-per patient
id:9 --where laterality=
id:9 --where rows>=200 --where rows<260 --max-distance 300
id:9 --where-sql i.rows>i.columns
id:9 --max-distance 0
id:9 --max-distance 60 --exclude-same-patient --top 30
id:12 --roi 40,60,120,110
{dir}/new/images/0000/0000001.png --roi 40,60,90,80 --one-per patient
{dir}/new/images/0000/0000002.png --encoder 2
{dir}/films/images/0000/0000003.png --exclude-same-patient
{dir}/films/labels.csv
id:999999
id:7 --where colour=red
id:7 --roi 900,900,10,10
""",
    "shared": """\
id:1
id:2000
id:2561 --one-per patient
id:5 --where modality=MG
id:5 --where modality!=XR
id:5 --where format=dicom --top 40
id:5 --where irma_code=1111-* --exclude-same-patient
id:5 --where same_uid=true
id:5 --where study_date>=2000-01-01
id:5 --where frame>=2
id:5 --where manufacturer!=
id:5 --where kvp>=60
id:5 --where split=train --max-distance 100
id:5 --roi 20,20,60,60 --where format=dicom
{shared}/data/dicom/valid/RG2_JLSL.dcm --roi 400,500,600,500
{shared}/data/dicom/valid/RG1_J2KI.dcm
{shared}/data/dicom/valid/derived_RG3_220_mono1_u16.dcm --exclude-same-patient
{shared}/cases/dicom/window_text.dcm
""",
}

# Many queries at once: the CSV's name and the arguments of `search`.
BATCHES = {
    "demo": {
        "all.csv": "--all",
        "narrow.csv": "--all --where split=train --one-per patient --exclude-same-patient --candidates 20 --top 5",
        "second.csv": "--all --encoder 2 --max-distance 200",
        "new.csv": "--batch {dir}/new",
    },
    "shared": {
        "all.csv": "--all",
        "narrow.csv": "--all --where split=train --where modality=XR --exclude-same-patient --candidates 30",
        "dicom.csv": "--batch {shared}/data/dicom",
        "cases.csv": "--batch {shared}/cases --where format=dicom --one-per study",
    },
}

# One search whose answer goes out, and the options that name a file for it.
ANSWERS = {
    "demo": {"query": "id:12 --roi 40,60,120,110", "options": "csv fhir picture"},
    "shared": {
        "query": "{shared}/data/dicom/valid/RG2_UNC.dcm --roi 400,500,600,500 --where format=dicom",
        "options": "csv fhir picture sr sc",
    },
}

EVALUATIONS = {
    "demo": (
        "",
        "--rule paper --no-network",
        "--compare 1 2 --no-network --against all",
        "--encoder 2 --compare cnnc rbc",
    ),
    "shared": ("", "--against train --against distractor --no-network"),
}

EXPORTS = {
    "demo": ("--index", "--index --encoder 2 --where split=test", "--images --ids 1-5,9"),
    "shared": (
        "--index",
        "--where format=dicom --images",
        "--where format=dicom --deidentify --key {dir}/export.key --accept-burned-in",
    ),
}

# Commands whose tables for people are noted.
PRINTED = (
    *("search id:7 --roi 10,10,40,40 --device cpu", "search id:9 --where split=train --max-distance 60"),
    *("encoder report", "evaluate --no-network"),
)

# Tables that are read as they are, and what each is ordered by.
TABLES = {
    "image": "sha256, frame",
    "ingest_failure": "uri",
    "coding_failure": "encoder_id, image_id",
    "barcode": "image_id, geometry_id",
    "cnnc": "image_id, encoder_id",
    "geometry": "id",
    "irma_term": "axis, prefix",
    "exact_index": "id",
    "exact_anchor": "index_id, anchor",
    "neighbour": "image_id, encoder_id, rank",
    "image_decoded": "id",
    "irma_class": "irma_code",
    "coverage": "split, modality, body_part, irma_code",
    "pending": "image_id",
    "arrival": "id",
    "pull": "url, query",
    "hnsw_audit": "encoder_id",
    "exact_touched": "index_id, image_id",
}

# Facets are numbered as they come, which answers nothing: they are told by what they hold.
FACET = "(to_jsonb(f) - 'id')::text AS facet"

_CODES = "(SELECT DISTINCT irma_code FROM image WHERE irma_code IS NOT NULL)"
_FILTER = """'{"split": "train", "one_per": "patient", "max_distance": 400, "irma_code": {"not": ""}}'"""

# Answers to SQL, noted by the first column.
QUESTIONS = {
    "facet": f"SELECT {FACET} FROM facet f ORDER BY 1",
    "exact_cell": f"SELECT {FACET}, c.index_id, c.anchor, c.codes FROM exact_cell c JOIN facet f ON f.id = c.facet_id "
    "ORDER BY 1, 2, 3",
    "similar": "SELECT i.id, s.* FROM image i, similar(i.id, 10) s WHERE why_no_code(i.id) IS NULL "
    "ORDER BY i.id, s.rank",
    "similar filtered": f"SELECT i.id, s.* FROM image i, similar(i.id, 5, filter => {_FILTER}) s "
    "WHERE why_no_code(i.id) IS NULL AND i.id % 3 = 0 ORDER BY i.id, s.rank",
    "retrieve": "SELECT i.id, r.* FROM image i, retrieve(i.id) r WHERE why_no_code(i.id) IS NULL AND i.id % 3 = 0 "
    "ORDER BY i.id, r.rank",
    "retrieve filtered": f"SELECT i.id, r.* FROM image i, retrieve(i.id, 5, 20, filter => {_FILTER}) r "
    "WHERE why_no_code(i.id) IS NULL AND i.id % 7 = 0 ORDER BY i.id, r.rank",
    "similar_to": "SELECT i.id, s.* FROM image i, similar_to(code_of(i.id) << 1, 5) s "
    "WHERE why_no_code(i.id) IS NULL AND i.id % 11 = 0 ORDER BY i.id, s.rank",
    "cnnc_within": "SELECT i.id, d, cnnc_within(code_of(i.id), d), cnnc_matched(encoder_number(), "
    "jsonb_build_object('split', i.split)) FROM image i, unnest(ARRAY[0, 30, 100, 300]) d "
    "WHERE why_no_code(i.id) IS NULL AND i.id % 11 = 0 ORDER BY i.id, d",
    "why_no_code": "SELECT id, why_no_code(id) AS why FROM image WHERE why_no_code(id) IS NOT NULL ORDER BY id",
    "image_distance": "SELECT i.id, d.* FROM image i, image_distance(i.id, 1) d WHERE why_no_code(i.id) IS NULL "
    "ORDER BY i.id",
    "near_duplicates": "SELECT image_id, other_id, distance FROM near_duplicates(10) ORDER BY 1, 2",
    "neighbours_by_class": "SELECT irma_code, to_jsonb(n) FROM neighbours_by_class(5) n ORDER BY 1, 2",
    "irma_error": f"SELECT a.irma_code, b.irma_code AS predicted, irma_error(a.irma_code, b.irma_code) "
    f"FROM {_CODES} a, {_CODES} b ORDER BY 1, 2",
    "irma_error wild": f"SELECT a.irma_code, d, irma_error(a.irma_code, overlay(a.irma_code PLACING '*' FROM d FOR 1)) "
    f"FROM {_CODES} a, unnest(ARRAY[4, 8, 12, 16]) d ORDER BY 1, 2",
    "irma_known": f"SELECT irma_code, irma_known(irma_code), irma_normalise(replace(irma_code, '-', '')), "
    f"irma_like(left(irma_code, 5) || '*') FROM {_CODES} c ORDER BY 1",
}
