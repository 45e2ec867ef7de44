"""The FHIR bundle: its references lead somewhere, its numbers are the answer's, and nobody's name is in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answering import IMAGES, Made, film, uid

from radretrieval.results.fhir import write_bundle
from radretrieval.results.references import query_identity, reported_answer
from radretrieval.search.request import Request

REQUIRED = {
    "Bundle": ("type",),
    "DiagnosticReport": ("status", "code"),
    "Observation": ("status", "code"),
    "ImagingStudy": ("status", "subject"),
    "Patient": (),
    "Device": (),
}  # elements with cardinality 1 in R4


def by_kind(bundle: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in REQUIRED}
    for entry in bundle["entry"]:
        found[entry["resource"]["resourceType"]].append(entry["resource"])
    return found


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("reference"), str):
            yield node["reference"]
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from references(one)


def components(observation: dict[str, Any]) -> dict[str, Any]:
    return {
        one["code"]["coding"][0]["code"]: next(value for key, value in one.items() if key.startswith("value"))
        for one in observation["component"]
    }


def nothing_empty(node: Any) -> bool:
    """FHIR allows no empty object, array or string."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return node not in ({}, [], "", None) and all(map(nothing_empty, children))


@pytest.mark.parametrize("query", [1, "new.dcm", "new.png"])
def test_a_bundle(answers: Made, tmp_path: Path, query: int | str) -> None:
    asked = query if isinstance(query, int) else answers.folder / query
    roi = None if query == "new.png" else (5, 6, 12, 10)
    with answers.searcher() as searcher:
        request = Request(asked, roi=roi)
        answer = searcher.search(request)
        known = query_identity(searcher, asked, answer.query_image_id)
        reported = reported_answer(searcher, answer)
    write_bundle(tmp_path / "out.json", reported, known)
    text, hits = (tmp_path / "out.json").read_text(), answer.hits
    bundle = json.loads(text)
    assert nothing_empty(bundle)
    kinds = by_kind(bundle)
    for kind, names in REQUIRED.items():
        for resource in [bundle] if kind == "Bundle" else kinds[kind]:
            assert set(names) <= set(resource)
    urls = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(set(urls)) == len(urls)
    assert set(references(bundle)) <= set(urls)
    observations = kinds["Observation"]
    assert [one["reference"] for one in kinds["DiagnosticReport"][0].get("result")] == [
        url for url, entry in zip(urls, bundle["entry"], strict=True) if entry["resource"] in observations
    ]
    for hit, observation in zip(hits, observations, strict=True):
        told = components(observation)
        assert told["rank"] == hit.rank
        assert told["cnnc-distance"] == {
            "value": hit.cnnc_distance, "unit": "bit", "system": "http://unitsofmeasure.org", "code": "bit"
        }  # fmt: skip
        assert told["rbc-distance"]["value"] == hit.rbc_distance
        assert ("instance" in told) == (hit.image_id <= IMAGES)
        assert told.get("irma-code", {}).get("coding", [{}])[0].get("code") == hit.irma_code
        study = hit.study_instance_uid and f"urn:oid:{hit.study_instance_uid}"
        date = hit.study_date and hit.study_date.isoformat()
        assert [told.get(name) for name in ("patient-key", "study", "study-date")] == [hit.patient_key, study, date]
        view = [hit.modality, hit.body_part, hit.view_position, hit.laterality]
        assert [told.get(name) for name in ("modality", "body-part", "view-position", "laterality")] == view
        assert told.get("roi-found") == (hit.roi.found if hit.roi else None)
        if hit.roi and hit.roi.found:
            assert told["roi"] == f"{hit.roi.x},{hit.roi.y},{hit.roi.width},{hit.roi.height}"
    assert len(kinds["Patient"]) == (query != "new.png")
    studies = {study["identifier"][0]["value"]: study for study in kinds["ImagingStudy"]}
    expected = {f"urn:oid:{uid('study', n)}" for n in range(4)}
    assert set(studies) == expected | ({f"urn:oid:{uid('study', 15)}"} if query == "new.dcm" else set())
    # UUIDs, UIDs and pseudonyms may spell anything
    words = re.sub(r"urn:(uuid:[0-9a-f-]+|oid:[0-9.]+)|[0-9.]{20,}|[0-9a-f]{32}", "", text)
    for secret in ("pid-", "acc-", "ller^", "1970"):
        assert secret not in words


def test_patients_are_the_pseudonyms_of_the_archive(answers: Made, tmp_path: Path) -> None:
    file = tmp_path / "other.dcm"
    film(1, np.ones((30, 30), np.uint8)).save_as(file, enforce_file_format=True)  # of the patient of image 1
    with answers.searcher() as searcher:
        stored, new = query_identity(searcher, 1, 1), query_identity(searcher, file, None)
    assert stored is not None
    assert new is not None
    assert stored.patient_key == new.patient_key
    assert len(stored.patient_key or "") == 32


def test_the_command_writes_one(answers: Made) -> None:
    done = answers.search("id:2", "--fhir", "out.json", "--top", 3, "--candidates", 3, "--json")
    observations = by_kind(json.loads((answers.folder / "out.json").read_text()))["Observation"]
    assert [components(one)["image"] for one in observations] == [f"id:{hit['image_id']}" for hit in done.json["hits"]]
