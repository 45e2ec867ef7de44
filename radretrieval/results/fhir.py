"""An answer as FHIR R4 (hl7.org/fhir/R4): one Bundle with a report, an observation for each hit, and their studies.

Patients are named by their pseudonyms in the archive, in an identifier of its own system, and by nothing else.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from radretrieval import __version__
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.images import Identity
from radretrieval.coding.rerank import order_in_words
from radretrieval.errors import UsageError
from radretrieval.files.output import check_output, output_file
from radretrieval.irma.code import AXES
from radretrieval.irma.tree import describe
from radretrieval.report.likelihood import nothing_similar
from radretrieval.results.references import ReportedAnswer
from radretrieval.search.request import Hit

Resource = dict[str, Any]

_OURS, _IRMA, _PATIENT = "urn:radretrieval:concept", "urn:radretrieval:irma", "urn:radretrieval:patient-key"
_DICOM, _UID, _URI = "http://dicom.nema.org/resources/ontology/DCM", "urn:dicom:uid", "urn:ietf:rfc:3986"
_UCUM, _LOINC = "http://unitsofmeasure.org", "http://loinc.org"
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_WORDS = {
    "similar": "Similar image",
    "rank": "Rank among the similar images",
    "cnnc-distance": "Hamming distance of CNN codes",
    "rbc-distance": "Hamming distance of Radon barcodes",
    "irma-code": "IRMA code",
    "probability": "Probability that the IRMA code is that of the query",
    "probability-t": "Probability that the technique (axis T) is that of the query",
    "probability-d": "Probability that the direction (axis D) is that of the query",
    "probability-a": "Probability that the anatomy (axis A) is that of the query",
    "probability-b": "Probability that the biosystem (axis B) is that of the query",
    "image": "Image of the archive",
    "instance": "DICOM SOP Instance UID",
    "frame": "DICOM frame number",
    "patient-key": "Pseudonym of the patient",
    "study": "DICOM Study Instance UID",
    "study-date": "DICOM Study Date",
    "modality": "DICOM Modality",
    "body-part": "DICOM Body Part Examined",
    "view-position": "DICOM View Position",
    "laterality": "DICOM Laterality",
    "roi": "Region, x,y,width,height in pixels from the top left corner",
    "roi-found": "Whether the query's region was found",
    "roi-score": "Score of the region found, at most 1",
}


def write_bundle(path: Path, reported: ReportedAnswer, query: Identity | None) -> None:
    """Write the bundle as JSON.

    Parameters
    ----------
    query : None where the query is neither in the archive nor DICOM.

    Raises UsageError when `path` cannot be written or does not end in .json.
    """
    with output_file(check_output(path, ".json", "FHIR bundle"), "FHIR bundle") as draft:
        draft.write_text(json.dumps(bundle(reported, query), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def bundle(reported: ReportedAnswer, query: Identity | None) -> Resource:
    """The Bundle (type collection): DiagnosticReport, Observations, ImagingStudies, the query's Patient, the Device.

    An ImagingStudy has those of its instances that the answer refers to. Everything is preliminary, for no person has
    reviewed it. The number of resources is at most 2 hits + 4.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    entries = _BundleEntries()
    patient = _patient(entries, query)
    device = entries.add(_device(reported.encoder))
    hits = [(hit, reported.identities.get(hit.image_id)) for hit in reported.answer.hits]
    studies = _studies(entries, [one for one in (query, *(identity for _, identity in hits)) if one is not None])
    query_study = _reference(studies, query)
    common = {"status": "preliminary", **({"subject": patient} if patient else {})}
    results = []
    for hit, identity in hits:
        derived = list(dict.fromkeys(filter(None, (query_study, _reference(studies, identity)))))
        observation = {
            "resourceType": "Observation",
            **common,
            "category": [{"coding": [{"system": _CATEGORY, "code": "imaging", "display": "Imaging"}]}],
            "code": _concept("similar"),
            "effectiveDateTime": now,
            "device": device,
            **({"derivedFrom": [{"reference": one} for one in derived]} if derived else {}),
            "component": _components(hit, identity),
        }
        results.append(entries.add(observation))
    report = _report(common, now, results, query_study, _conclusion(reported))
    entries.add(report, first=True)
    identifier = {"system": _URI, "value": f"urn:uuid:{uuid.uuid4()}"}
    return {
        "resourceType": "Bundle",
        "identifier": identifier,
        "type": "collection",
        "timestamp": now,
        "entry": entries.entries,
    }


class _BundleEntries:
    """The entries of a bundle, which refer to each other by their full URLs."""

    def __init__(self) -> None:
        self.entries: list[Resource] = []

    def add(self, resource: Resource, first: bool = False) -> dict[str, str]:
        """Add a resource to the bundle; returns a reference to it."""
        url = f"urn:uuid:{uuid.uuid4()}"
        self.entries.insert(0 if first else len(self.entries), {"fullUrl": url, "resource": resource})
        return {"reference": url}


def _report(
    common: Resource, now: str, results: list[dict[str, str]], query_study: str | None, conclusion: str
) -> Resource:
    return {
        "resourceType": "DiagnosticReport",
        **common,
        "code": {"coding": [{"system": _LOINC, "code": "18748-4", "display": "Diagnostic imaging study"}]},
        "effectiveDateTime": now,
        "issued": now,
        **({"result": results} if results else {}),
        **({"imagingStudy": [{"reference": query_study}]} if query_study else {}),
        "conclusion": conclusion,
    }


def _patient(entries: _BundleEntries, query: Identity | None) -> dict[str, str] | None:
    if query is None or query.patient_key is None:
        return None
    return entries.add({"resourceType": "Patient", "identifier": [_pseudonym(query.patient_key)]})


def _pseudonym(key: str) -> dict[str, str]:
    return {"system": _PATIENT, "value": key}


def _device(encoder: Encoder) -> Resource:
    names = [("radretrieval", "manufacturer-name"), (f"encoder {encoder.id}, profile {encoder.profile.name}", "other")]
    return {
        "resourceType": "Device",
        "identifier": [{"system": "urn:radretrieval:weights-sha256", "value": encoder.weights_sha256.hex()}],
        "deviceName": [{"name": name, "type": kind} for name, kind in names],
        "version": [{"value": __version__}],
    }


def _studies(entries: _BundleEntries, identities: list[Identity]) -> dict[str, str]:
    """Add an ImagingStudy for each study, with these instances; returns full URLs by Study Instance UID."""
    found: dict[str, str] = {}
    for study in dict.fromkeys(one.study_instance_uid for one in identities if _is_dicom(one)):
        own = [one for one in identities if one.study_instance_uid == study and _is_dicom(one)]
        key = next((one.patient_key for one in own if one.patient_key), None)
        resource = {
            "resourceType": "ImagingStudy",
            "identifier": [{"system": _UID, "value": f"urn:oid:{study}"}],
            "status": "available",
            "subject": {"identifier": _pseudonym(key)} if key else _unknown(),
            "series": [_series(own, uid) for uid in dict.fromkeys(one.series_instance_uid for one in own)],
        }
        found[str(study)] = entries.add(resource)["reference"]
    return found


def _series(identities: list[Identity], uid: str | None) -> Resource:
    own = [one for one in identities if one.series_instance_uid == uid]
    instances = {one.sop_instance_uid: one.sop_class_uid for one in own}
    return {
        "uid": uid,
        "modality": {"system": _DICOM, "code": own[0].modality or "OT"},
        "instance": [
            {"uid": instance, "sopClass": {"system": _URI, "code": f"urn:oid:{kind}"}}
            for instance, kind in instances.items()
        ],
    }


def _unknown() -> Resource:
    return {"extension": [{"url": _ABSENT, "valueCode": "unknown"}]}


def _is_dicom(one: Identity | None) -> bool:
    uids = ("sop_class_uid", "sop_instance_uid", "series_instance_uid", "study_instance_uid")
    return one is not None and all(getattr(one, uid) for uid in uids)


def _reference(studies: Mapping[str, str], one: Identity | None) -> str | None:
    return studies.get(str(one.study_instance_uid)) if one is not None and _is_dicom(one) else None


def _components(hit: Hit, identity: Identity | None) -> list[Resource]:
    found: list[Resource] = [
        {"code": _concept("rank"), "valueInteger": hit.rank},
        {"code": _concept("cnnc-distance"), "valueQuantity": _quantity(hit.cnnc_distance, "bit")},
        {"code": _concept("rbc-distance"), "valueQuantity": _quantity(hit.rbc_distance, "bit")},
        {"code": _concept("image"), "valueString": f"id:{hit.image_id}"},
    ]
    if identity is not None and _is_dicom(identity):
        found.append({"code": _concept("instance"), "valueString": f"urn:oid:{identity.sop_instance_uid}"})
        if identity.frame > 1:
            found.append({"code": _concept("frame"), "valueInteger": identity.frame})
    found += _facts(hit)
    if hit.likelihood is not None:
        names = ("probability", *(f"probability-{axis}" for axis in AXES.lower()))
        for name, value in zip(names, hit.likelihood, strict=True):
            found.append({"code": _concept(name), "valueQuantity": _quantity(round(value, 4), "1")})
    if hit.irma_code:
        found.append({"code": _concept("irma-code"), "valueCodeableConcept": _irma(hit.irma_code)})
    if hit.roi is not None:
        if hit.roi.found:
            found.append({"code": _concept("roi"), "valueString": ",".join(map(str, hit.roi[:4]))})
        found.append({"code": _concept("roi-found"), "valueBoolean": hit.roi.found})
        found.append({"code": _concept("roi-score"), "valueQuantity": _quantity(round(float(hit.roi.score), 6), "1")})
    return found


def _facts(hit: Hit) -> list[Resource]:
    """What is known of the hit's patient, study and view."""
    texts = {
        "patient-key": hit.patient_key,
        "study": hit.study_instance_uid and f"urn:oid:{hit.study_instance_uid}",
        "modality": hit.modality,
        "body-part": hit.body_part,
        "view-position": hit.view_position,
        "laterality": hit.laterality,
    }
    found: list[Resource] = [{"code": _concept(code), "valueString": text} for code, text in texts.items() if text]
    if hit.study_date:
        found.append({"code": _concept("study-date"), "valueDateTime": hit.study_date.isoformat()})
    return found


def _concept(code: str) -> Resource:
    return {"coding": [{"system": _OURS, "code": code, "display": _WORDS[code]}], "text": _WORDS[code]}


def _irma(code: str) -> Resource:
    try:
        words = "; ".join(describe(code))
    except UsageError:  # a foreign label
        return {"text": code}
    return {"coding": [{"system": _IRMA, "code": code, "display": words}], "text": words}


def _quantity(value: float, unit: str) -> Resource:
    return {"value": value, **({"unit": unit} if unit != "1" else {}), "system": _UCUM, "code": unit}


def _conclusion(reported: ReportedAnswer) -> str:
    answer, roi = reported.answer, reported.answer.request.roi
    exact = "approximate index (HNSW)" if answer.path == "hnsw" else "exact"
    region = f", region {','.join(map(str, roi))} of the query" if roi else ""
    number = f"{answer.returned} of {answer.requested}"
    listed = f"{number} similar images"
    if answer.similarity is not None and answer.similarity.nothing:
        text = nothing_similar(answer.similarity, answer.effect is not None)
        listed = f"{text[0].upper()}{text[1:]}. The nearest films, which are not similar, are listed: {number}"
    return (
        f"{listed}, from {answer.candidates} nearest CNN codes "
        f"({exact}) {order_in_words(reported.encoder.profile)}{region}. Not reviewed by a person."
    )
