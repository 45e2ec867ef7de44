"""Answers of `radretrieval search` that go out: the options, the files, and what is sent to peers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radretrieval.cli.common import tell

if TYPE_CHECKING:
    from radretrieval.config import Settings
    from radretrieval.results.references import ReportedAnswer, Subject
    from radretrieval.search.request import Answer, Request
    from radretrieval.search.searcher import Searcher

Picture = Annotated[
    Path | None, typer.Option("--picture", metavar="PNG", help="Write the query and its hits as a picture.")
]
Sr = Annotated[
    Path | None,
    typer.Option(
        "--sr",
        metavar="DCM",
        help="Write a DICOM Structured Report (TID 1500) for the query's patient and study: images by their UIDs, "
        "distances, IRMA codes, regions. The query must be DICOM.",
    ),
]
Sc = Annotated[
    Path | None,
    typer.Option(
        "--sc",
        metavar="DCM",
        help="Write the picture as a DICOM Secondary Capture, for the query's patient and study.",
    ),
]
Fhir = Annotated[
    Path | None,
    typer.Option("--fhir", metavar="JSON", help="Write a FHIR R4 bundle; patients are pseudonyms in it."),
]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="CSV", help="Write the hits with the columns of --batch.")]
StoreTo = Annotated[
    str | None,
    typer.Option(
        "--store-to",
        metavar="AET@HOST:PORT",
        help="Send what --sr and --sc make, or else a report, to this DICOM node (C-STORE).",
    ),
]
Stow = Annotated[
    str | None,
    typer.Option(
        "--stow",
        metavar="URL",
        help="Send the same to this DICOMweb server (STOW-RS); RADRETRIEVAL_CREDENTIALS names the file of its "
        "user:password or bearer token.",
    ),
]
AeTitle = Annotated[
    str, typer.Option("--ae-title", metavar="AET", help="How we call ourselves to the node of --store-to.")
]


@dataclass(frozen=True)
class Outputs:
    """What `search` was asked for beside its answer on stdout; the fields are the options."""

    picture: Path | None
    sr: Path | None
    sc: Path | None
    fhir: Path | None
    csv: Path | None
    store_to: str | None
    stow: str | None
    ae_title: str

    def given(self) -> dict[str, bool]:
        """Which options were given, by name."""
        names = ("picture", "sr", "sc", "fhir", "csv", "store_to", "stow")
        return {f"--{name.replace('_', '-')}": getattr(self, name) is not None for name in names}

    @property
    def dicom(self) -> str:
        """The first option that needs a DICOM object, `` where none does."""
        return next((option for option, given in self.given().items() if given and option in _DICOM), "")

    def check(self) -> None:
        """Raise UsageError, before the work begins, for what cannot be written or sent."""
        from radretrieval.errors import UsageError
        from radretrieval.files.output import check_output

        files = [
            (self.picture, ".png", "picture"),
            (self.sr, ".dcm", "report"),
            (self.sc, ".dcm", "secondary capture"),
            (self.fhir, ".json", "FHIR bundle"),
            (self.csv, ".csv", "list of hits"),
        ]
        named = [check_output(path, suffix, what).resolve() for path, suffix, what in files if path is not None]
        if len(set(named)) < len(named):
            raise UsageError(f"two outputs would be the same file {named[0]}; name another for one of them")
        if self.store_to is not None:
            from radretrieval.dicom.address import Address, check_title

            Address.parse(self.store_to, "--store-to")
            check_title(self.ae_title, "--ae-title")
        if self.stow is not None:
            from radretrieval.storage.wado import check_root

            check_root(self.stow, "--stow")


_DICOM = ("--sr", "--sc", "--store-to", "--stow")


def subject(outputs: Outputs, searcher: Searcher, request: Request) -> Subject | None:
    """The query as a DICOM object, where one is needed; refused before the search where it is none."""
    if not outputs.dicom:
        return None
    from radretrieval.results.references import subject_of

    return subject_of(searcher, request.query, outputs.dicom)


def write(outputs: Outputs, searcher: Searcher, request: Request, answer: Answer, about: Subject | None) -> list[Any]:
    """Write the files; returns the DICOM objects that are to be sent."""
    if outputs.picture is not None:
        from radretrieval.report.search_picture import write_search_picture

        write_search_picture(outputs.picture, searcher, request, answer)
    if outputs.csv is not None:
        from radretrieval.results.rows import hit_rows, hits_file

        with hits_file(outputs.csv) as writer:
            writer(hit_rows(answer, request))
    if outputs.fhir is None and about is None:
        return []
    from radretrieval.results.references import reported_answer

    reported = reported_answer(searcher, request, answer)
    if outputs.fhir is not None:
        from radretrieval.results.fhir import write_bundle
        from radretrieval.results.references import query_identity

        write_bundle(outputs.fhir, reported, query_identity(searcher, request.query, answer.query_image_id))
    return [] if about is None else _dicom(outputs, searcher, reported, about)


def _dicom(outputs: Outputs, searcher: Searcher, reported: ReportedAnswer, about: Subject) -> list[Any]:
    """The objects, each written where a file was named for it."""
    from radretrieval.results.structured_report import remarks, structured_report

    made: list[Any] = []
    if outputs.sr is not None or outputs.sc is None:
        made.append(structured_report(reported, about))
        if outputs.sr is not None:
            _save(made[-1], outputs.sr, "report")
        for remark in remarks(reported):
            tell(remark)
    if outputs.sc is not None:
        from radretrieval.report.search_picture import search_picture_pixels
        from radretrieval.results.secondary_capture import secondary_capture

        made.append(secondary_capture(search_picture_pixels(searcher, reported.request, reported.answer), about))
        _save(made[-1], outputs.sc, "secondary capture")
    return made


def _save(one: Any, path: Path, what: str) -> None:
    from radretrieval.files.output import output_file

    with output_file(path, what) as draft:
        one.save_as(draft, enforce_file_format=True)


def send(outputs: Outputs, settings: Settings, objects: Sequence[Any]) -> None:
    """Send the objects to the peers that were named, and tell that they are there."""
    words = "the report and the secondary capture" if len(objects) == 2 else "the report" if _is_report(objects) else ""
    words = words or "the secondary capture"
    if outputs.store_to is not None:
        from radretrieval.dicom.address import Address, check_title
        from radretrieval.dicom.send import c_store

        node = Address.parse(outputs.store_to, "--store-to")
        for warning in c_store(node, objects, check_title(outputs.ae_title, "--ae-title")):
            tell(warning)
        tell(f"{node} has stored {words}")
    if outputs.stow is not None:
        from radretrieval.dicom.send import stow
        from radretrieval.storage.wado import check_root

        url = check_root(outputs.stow, "--stow")
        for warning in stow(url, objects, settings.credentials):
            tell(warning)
        tell(f"{url} has stored {words}")


def _is_report(objects: Sequence[Any]) -> bool:
    return bool(objects) and str(objects[0].Modality) == "SR"
