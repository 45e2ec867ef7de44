"""The files and DICOM objects that one answer becomes, and the peers that they are sent to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radretrieval.errors import UsageError
from radretrieval.files.output import check_output, output_file

# imported where they are used: a search whose answer is only printed waits for none of them
if TYPE_CHECKING:
    from radretrieval.config import Settings
    from radretrieval.results.references import ReportedAnswer, Subject
    from radretrieval.search.request import Answer, Request
    from radretrieval.search.searcher import Searcher

_FILES = {
    "picture": (".png", "picture"),
    "sr": (".dcm", "report"),
    "sc": (".dcm", "secondary capture"),
    "fhir": (".json", "FHIR bundle"),
    "csv": (".csv", "list of hits"),
}


@dataclass
class AnswerOutputs:
    """What an answer is written to, and where its DICOM objects are sent.

    Attributes
    ----------
    picture : PNG of the query and its hits. csv : the hits, with the columns of a batch search.
    sr : DICOM Structured Report (TID 1500). sc : the picture as a DICOM Secondary Capture. Both belong to the query's
        patient and study: the query must be DICOM.
    fhir : FHIR R4 bundle (JSON).
    store_to : node `AET@host:port`, and stow : DICOMweb root, that get what `sr` and `sc` make, or else a report.
    ae_title : the calling AE title of C-STORE.
    objects : the DICOM objects (pydicom) that `write` has made.
    remarks : hits that were left out, and those that the report could not refer to, in words.
    recorded : what the audit has of them, once they are written: their kinds, query and hits.
    """

    picture: Path | None = None
    sr: Path | None = None
    sc: Path | None = None
    fhir: Path | None = None
    csv: Path | None = None
    store_to: str | None = None
    stow: str | None = None
    ae_title: str = "RADRETRIEVAL"
    objects: list[Any] = field(default_factory=list, init=False)
    remarks: list[str] = field(default_factory=list, init=False)
    recorded: dict[str, Any] = field(default_factory=dict, init=False)

    def given(self) -> list[str]:
        """The options that were given, by their names on the command line."""
        names = (*_FILES, "store_to", "stow")
        return [f"--{name.replace('_', '-')}" for name in names if getattr(self, name) is not None]

    def peers(self) -> list[str]:
        """Where the objects are sent."""
        return [name for name in (self.store_to, self.stow) if name is not None]

    def check(self) -> None:
        """Raise UsageError, before the work begins, for a file that cannot be written or a peer that is none."""
        named = []
        for name, (suffix, what) in _FILES.items():
            if (path := getattr(self, name)) is not None:
                named.append(check_output(path, suffix, what).resolve())
        if len(set(named)) < len(named):
            raise UsageError(f"two outputs would be the same file {named[0]}; name another for one of them")
        if self.store_to is not None:
            from radretrieval.dicom.address import Address, check_title

            Address.parse(self.store_to, "--store-to")
            check_title(self.ae_title, "--ae-title")
        if self.stow is not None:
            from radretrieval.storage.wado import check_root

            check_root(self.stow, "--stow")

    def subject(self, searcher: Searcher, request: Request) -> Subject | None:
        """The query as a DICOM object, where an output needs one; raises UsageError where it is none."""
        needed = [option for option in self.given() if option in ("--sr", "--sc", "--store-to", "--stow")]
        if not needed:
            return None
        from radretrieval.results.references import subject_of

        return subject_of(searcher, request.query, needed[0])

    def write(self, searcher: Searcher, answer: Answer, subject: Subject | None) -> None:
        """Write the files, and make the objects that `send` sends."""
        if not self.given():
            return
        from radretrieval.search.recorded import recorded

        answer = self._of_those_there(searcher, answer)
        asked = recorded(answer)
        self.recorded = {name: asked[name] for name in ("query_image_id", "query_sha256", "hits")}
        self.recorded["kind"] = [name for name in _FILES if getattr(self, name) is not None]
        if self.picture is not None:
            from radretrieval.report.search_picture import write_search_picture

            write_search_picture(self.picture, searcher, answer)
        if self.csv is not None:
            from radretrieval.results.rows import answer_rows, hits_file

            with hits_file(self.csv) as append:
                append(answer_rows(answer))
        if self.fhir is None and subject is None:
            return
        from radretrieval.results.references import query_identity, reported_answer

        reported = reported_answer(searcher, answer)
        if self.fhir is not None:
            from radretrieval.results.fhir import write_bundle

            query = query_identity(searcher, answer.request.query, answer.query_image_id)
            write_bundle(self.fhir, reported, query)
        if subject is not None:
            self._make_objects(searcher, reported, subject)

    def _of_those_there(self, searcher: Searcher, answer: Answer) -> Answer:
        """The answer without the hits that were withdrawn or forgotten since they were found, with a remark on each."""
        from radretrieval.archive import connections
        from radretrieval.archive.search.stored import hit_facts

        with connections.database_errors(searcher.database.url):
            there = hit_facts(searcher.connection, [hit.image_id for hit in answer.hits])
        for hit in answer.hits:
            if hit.image_id not in there:
                since = "was withdrawn or forgotten since it was found"
                self.remarks.append(f"hit {hit.rank} (image {hit.image_id}) is left out of what is written: it {since}")
        return replace(answer, hits=[hit for hit in answer.hits if hit.image_id in there])

    def _make_objects(self, searcher: Searcher, reported: ReportedAnswer, subject: Subject) -> None:
        if self.sr is not None or self.sc is None:
            from radretrieval.results.structured_report import remarks, structured_report

            self._keep(structured_report(reported, subject), self.sr, "report")
            self.remarks += remarks(reported)
        if self.sc is not None:
            from radretrieval.report.search_picture import search_picture_pixels
            from radretrieval.results.secondary_capture import secondary_capture

            self._keep(
                secondary_capture(search_picture_pixels(searcher, reported.answer), subject),
                self.sc,
                "secondary capture",
            )

    def _keep(self, made: Any, path: Path | None, what: str) -> None:
        self.objects.append(made)
        if path is not None:
            with output_file(path, what) as draft:
                made.save_as(draft, enforce_file_format=True)

    def send(self, settings: Settings) -> Iterator[str]:
        """Send the objects; yields the peers' warnings, and what each has stored, in words.

        Raises
        ------
        EnvironmentUnusable : a peer cannot be reached, or has not stored every object.
        """
        kinds = {"SR": "the report", "OT": "the secondary capture"}
        words = " and ".join(kinds.get(str(one.Modality), kinds["OT"]) for one in self.objects)
        if self.store_to is not None:
            from radretrieval.dicom.address import Address, check_title
            from radretrieval.dicom.send import c_store

            node = Address.parse(self.store_to, "--store-to")
            yield from c_store(node, self.objects, check_title(self.ae_title, "--ae-title"))
            yield f"{node} has stored {words}"
        if self.stow is not None:
            from radretrieval.dicom.send import stow
            from radretrieval.storage.wado import check_root

            url = check_root(self.stow, "--stow")
            yield from stow(url, self.objects, settings.credentials)
            yield f"{url} has stored {words}"
