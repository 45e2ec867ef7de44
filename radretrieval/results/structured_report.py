"""An answer as a DICOM Structured Report: Comprehensive SR by template TID 1500, Measurement Report (PS3.16).

It has one measurement group for the query and one for each hit, best first: the image, or the region in it (SCOORD),
its IRMA code, its rank and distances. The query's group names the algorithm and its parameters, once.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from radretrieval import __version__
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.images import Identity
from radretrieval.coding.rerank import order_in_words
from radretrieval.errors import UsageError
from radretrieval.irma.code import AXES, axes
from radretrieval.irma.tree import words
from radretrieval.results.references import ReportedAnswer, Subject, frames_of, reference, unreferable
from radretrieval.search.request import Answer, Hit

SCHEME, IRMA = "99RADRET", "99IRMA"  # private schemes (PS3.16, 8), identified in each document
_MEANINGS = {
    "SIMILAR": "Similar image",
    "QUERY": "Query image",
    "RANK": "Rank among the similar images",
    "CNNC": "Hamming distance of CNN codes",
    "RBC": "Hamming distance of Radon barcodes",
    "ROISCORE": "Score of the region found, at most 1",
    "IRMACODE": "IRMA code",
    "PROB": "Probability that the IRMA code is that of the query",
    "PROBT": "Probability that the technique (axis T) is that of the query",
    "PROBD": "Probability that the direction (axis D) is that of the query",
    "PROBA": "Probability that the anatomy (axis A) is that of the query",
    "PROBB": "Probability that the biosystem (axis B) is that of the query",
    "SIMILARITY": "Similarity of the nearest images",
    "NOTHING": "Nothing similar in the archive",
}
SERIES_NUMBER, CAPTURE_NUMBER = 9901, 9902  # higher than modalities use
MANUFACTURER = "radretrieval"

Box = tuple[int, int, int, int]


def new_uid() -> str:
    """A unique UID under 2.25, which needs no registration (PS3.5, B.2)."""
    return f"2.25.{uuid.uuid4().int}"


def concept(value: str) -> Any:
    """A concept of the private scheme."""
    from highdicom.sr import CodedConcept

    return CodedConcept(value, SCHEME, _MEANINGS[value])


def structured_report(reported: ReportedAnswer, subject: Subject) -> Any:
    """The report as a highdicom (pydicom) object that can be saved and sent.

    It holds no attribute of a hit's patient: of a hit only UIDs, its IRMA code, rank, distances and region.

    Parameters
    ----------
    subject : the query, to whose patient and study the report belongs.

    Raises UsageError when the query's header cannot be copied into a report.

    Source: PS3.3 A.35.3 (Comprehensive SR), C.18.6 (SCOORD), PS3.16 TID 1500, 1410, 1501, 4019.
    """
    import highdicom as hd

    hits = [(hit, reported.identities.get(hit.image_id)) for hit in reported.answer.hits]
    evidence = [subject.header]
    evidence += [reference(one) for _, one in hits if one is not None and unreferable(one) is None]
    return make_object(
        hd.sr.ComprehensiveSR,
        subject.header,
        evidence=evidence,
        content=_content(reported, subject, hits)[0],
        series_number=SERIES_NUMBER,
        is_complete=True,
        coding_schemes=_schemes(),
        **equipment(),
    )


def _content(reported: ReportedAnswer, subject: Subject, hits: Sequence[tuple[Hit, Identity | None]]) -> Any:
    """The measurement report (TID 1500), observed by the encoder as a device."""
    import highdicom as hd
    from highdicom.sr.coding import CodedConcept
    from pydicom.sr.codedict import codes

    answer = reported.answer
    nothing = answer.similarity is not None and answer.similarity.nothing
    groups = [
        _group(
            "query",
            "QUERY",
            subject.identity,
            answer.request.roi,
            [],
            answer.query_irma_code,
            _algorithm(answer, reported.encoder),
            nothing,
        ),
        *(_hit_group(hit, identity, nothing) for hit, identity in hits),
    ]
    encoder = reported.encoder
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=f"2.25.{uuid.UUID(bytes=encoder.weights_sha256[:16]).int}",
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=encoder.profile.name,
        serial_number=f"encoder {encoder.id}",
    )
    return hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(
            observer_device_context=hd.sr.ObserverContext(codes.DCM.Device, device)
        ),
        procedure_reported=CodedConcept("363679005", "SCT", "Imaging procedure"),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
        language_of_content_item_and_descendants=hd.sr.LanguageOfContentItemAndDescendants(
            CodedConcept("en", "RFC5646", "English")
        ),
    )


def make_object(kind: Any, header: Any, **values: Any) -> Any:
    """A DICOM object of that kind with UIDs of its own, in the query's character set.

    Raises UsageError when the query's header cannot be copied into one.
    """
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the query's values, which are copied as they are
            one = kind(
                series_instance_uid=new_uid(),
                sop_instance_uid=new_uid(),
                instance_number=1,
                series_description="radretrieval: similar images",
                specific_character_set=None,
                **values,
            )
            # set afterwards: highdicom refuses code extensions with an empty first value, which Japanese files have
            if header.get("SpecificCharacterSet"):
                one.SpecificCharacterSet = header.SpecificCharacterSet
            return one
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"no DICOM object can be made about the query: its header does not allow it ({reason}); correct the "
            "query's file, or use --fhir, --csv or --json"
        ) from error


def equipment() -> dict[str, str]:
    """The attributes of General Equipment (PS3.3 C.7.5.1)."""
    return {"manufacturer": MANUFACTURER, "manufacturer_model_name": "search", "software_versions": __version__}


def remarks(reported: ReportedAnswer) -> list[str]:
    """A remark on the hits that the report cannot refer to, and one on each whose UID another image has too."""
    found = []
    nameless: list[tuple[Hit, str]] = []
    for hit in reported.answer.hits:
        identity = reported.identities.get(hit.image_id)
        reason = unreferable(identity)
        if reason is not None:
            nameless.append((hit, reason))
        elif identity is not None and identity.same_uid:
            found.append(
                f"hit {hit.rank} (image {hit.image_id}) has the SOP Instance UID of another image, whose pixels "
                "differ: the report may lead to either"
            )
    if nameless:
        (hit, reason), more = nameless[0], [one.rank for one, _ in nameless[1:]]
        region = ", nor hold its region" if any(one.roi and one.roi.found for one, _ in nameless) else ""
        ranks = ", ".join(map(str, more[:20])) + (", …" if len(more) > 20 else "")
        others = f"; the same holds for {len(more)} more hit{'s'[: len(more) > 1]}: {ranks}" if more else ""
        found.insert(
            0,
            f"hit {hit.rank} (image {hit.image_id}) {reason}: the report names it in words, and cannot refer to "
            f"it{region}{others}",
        )
    return found


def irma_meaning(code: str) -> str:
    """An IRMA code in words, at most 64 characters (a Code Meaning, PS3.3 8.3): the narrowest term of each axis."""
    try:
        parts = dict(zip(AXES, axes(code, wildcard=True), strict=True))
    except UsageError:  # a foreign label
        return code[:64]
    text = ""
    for axis in "ADBT":  # anatomy first: the text is cut at its end
        for term in words(axis, parts[axis])[-1:]:
            longer = f"{text}, {term}" if text else term
            text = longer if len(longer) <= 64 else text
    return text or "unspecified"


def _hit_group(hit: Hit, identity: Identity | None, nothing_similar: bool) -> Any:
    reason = unreferable(identity)
    doubt = " (nothing similar was found)" if nothing_similar else ""
    name = f"hit {hit.rank}{doubt}: image {hit.image_id} of the archive{f', which {reason}' if reason else ''}"
    numbers: list[tuple[str, float, str]] = [
        ("RANK", hit.rank, "1"),
        ("CNNC", hit.cnnc_distance, "bit"),
        ("RBC", hit.rbc_distance, "bit"),
    ]
    if hit.likelihood is not None:
        parts = zip(("PROB", *(f"PROB{axis}" for axis in AXES)), hit.likelihood, strict=True)
        numbers += [(part, round(probability, 4), "1") for part, probability in parts]
    box = None
    if hit.roi is not None and reason is None:
        box = hit.roi[:4] if hit.roi.found else None
        numbers.append(("ROISCORE", round(float(hit.roi.score), 6), "1"))
    return _group(name, "SIMILAR", None if reason else identity, box, numbers, hit.irma_code)


def _group(
    name: str,
    finding: str,
    identity: Identity | None,
    box: Box | None,
    numbers: Sequence[tuple[str, float, str]],
    irma_code: str | None,
    algorithm: Any = None,
    nothing_similar: bool = False,
) -> Any:
    """A measurement group: of a region (TID 1410) where there is one, else of the image (TID 1501)."""
    import highdicom as hd
    from highdicom.sr.coding import CodedConcept

    units = {"1": CodedConcept("1", "UCUM", "no units"), "bit": CodedConcept("bit", "UCUM", "bit")}
    common: dict[str, Any] = {
        "tracking_identifier": hd.sr.TrackingIdentifier(uid=new_uid(), identifier=name),
        "finding_type": concept(finding),
        "algorithm_id": algorithm,
        "measurements": [
            hd.sr.Measurement(name=concept(what), value=value, unit=units[unit]) for what, value, unit in numbers
        ],
        "qualitative_evaluations": [
            hd.sr.QualitativeEvaluation(concept("IRMACODE"), CodedConcept(code, IRMA, irma_meaning(code)))
            for code in (irma_code,)
            if code
        ]
        + [hd.sr.QualitativeEvaluation(concept("SIMILARITY"), concept("NOTHING"))] * nothing_similar,
    }
    if identity is None:
        return hd.sr.MeasurementsAndQualitativeEvaluations(**common)
    where: dict[str, Any] = {
        "referenced_sop_class_uid": identity.sop_class_uid,
        "referenced_sop_instance_uid": identity.sop_instance_uid,
        "referenced_frame_numbers": frames_of(identity),
    }
    if box is None:
        source = hd.sr.SourceImageForMeasurementGroup(**where)
        return hd.sr.MeasurementsAndQualitativeEvaluations(source_images=[source], **common)
    region = hd.sr.ImageRegion(
        graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
        graphic_data=rectangle(box),
        source_image=hd.sr.SourceImageForRegion(**where),
    )
    return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(referenced_region=region, **common)


def rectangle(box: Box) -> Any:
    """A region as a closed polyline, float64 (5, 2): (column, row) from the image's top left corner (PS3.3 C.18.6)."""
    import numpy as np

    x, y, width, height = box
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)]
    return np.array(corners, np.float64)


def _algorithm(answer: Answer, encoder: Encoder) -> Any:
    """The program and its parameters (TID 4019)."""
    import highdicom as hd

    parameters = [
        f"encoder {encoder.id}",
        f"weights SHA-256 {encoder.weights_sha256.hex()}",
        f"profile {encoder.profile.name}, SHA-256 {encoder.profile.hash}",
        f"{answer.candidates} nearest CNN codes {order_in_words(encoder.profile)}",
        f"candidates found by {answer.path}",
    ]
    if answer.path == "hnsw":
        measured = f"found {answer.recall[0]:.4f} of the true nearest" if answer.recall else "never measured"
        parameters.append(f"this index is approximate: {measured}")
    return hd.sr.AlgorithmIdentification(MANUFACTURER, __version__, parameters=parameters, manufacturer=MANUFACTURER)


def _schemes() -> list[Any]:
    """The private schemes' names (Coding Scheme Identification Sequence, PS3.3 C.12.1)."""
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    return [
        CodingSchemeIdentificationItem(SCHEME, name="Concepts of radretrieval", version=__version__),
        CodingSchemeIdentificationItem(IRMA, name="IRMA code (TTTT-DDD-AAA-BBB)"),
    ]
