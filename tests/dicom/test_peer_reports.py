"""What others report of PACS that images are pulled from; each is named in docs/field-reports.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date

import pytest
from conftest import Run
from orthanc import film, uid_of
from small_peer import Peer
from small_web import SmallWeb, serving

from radretrieval.archive.connections import Database
from radretrieval.dicom.address import Address
from radretrieval.dicom.pull import listing
from radretrieval.dicom.pull.dicomweb import DicomWebSource
from radretrieval.dicom.pull.dimse import DimseSource
from radretrieval.dicom.pull.source import Instance, NotListed, Study

TODAY = date(2021, 1, 1)
FILM = film(1, study=1, side=16)
INSTANCE = Instance("1.2", "1.2.1", "1.2.3")
PATH = "/studies/1.2/series/1.2.1/instances/1.2.3"


@contextmanager
def source_of(web: SmallWeb) -> Iterator[DicomWebSource]:
    with serving(web):
        source = DicomWebSource(web.root, None, 10**6)
        try:
            yield source
        finally:
            source.close()


class Strict(SmallWeb):
    """Refuses a limit above 200, several attributes in one includefield, and the modalities of a study."""

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, str, bytes]:
        fields = query.get("includefield", [])
        if int(query.get("limit", ["1"])[0]) > 200 or any("," in field or field == "00080061" for field in fields):
            return 400, "text/plain", b"invalid query"
        return super().answer(path, query)


def test_a_server_that_refuses_large_pages_and_attributes_is_listed() -> None:
    with source_of(Strict({f"1.{number}": {"1.2.3": b""} for number in range(450)})) as source:
        assert len(list(source.studies({}, None, None))) == 450
        assert len(source.instances(Study("1.7"))) == 1


@pytest.mark.parametrize(
    "refused", [("transfer-syntax",), (",",), ("multipart",), ("transfer-syntax", "multipart", ",")]
)
def test_media_types_that_a_server_refuses_are_left_out(refused: tuple[str, ...]) -> None:
    web = SmallWeb({"1.2": {"1.2.3": FILM, "1.2.4": FILM}}, refused=refused)
    with source_of(web) as source:
        assert source.retrieve(INSTANCE) == FILM
        asked = len(web.asked)
        assert source.retrieve(Instance("1.2", "1.2.1", "1.2.4")) == FILM
        assert len(web.asked) == asked + 1  # what it takes is remembered


def test_a_server_of_before_application_dicom_json_is_listed() -> None:
    with source_of(SmallWeb({"1.2": {"1.2.3": b""}}, refused=("dicom+json",))) as source:
        assert [study.uid for study in source.studies({}, None, None)] == ["1.2"]
        assert len(source.instances(Study("1.2"))) == 1


class BySeries(SmallWeb):
    """Lists the instances of a series, not those of a study."""

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, str, bytes]:
        if path == "/studies/1.2/series":
            rows = [{"0020000E": {"vr": "UI", "Value": [uid]}} for uid in ("1.2.1", "1.2.9")]
            return 200, "application/dicom+json", json.dumps(rows).encode()
        if path == "/studies/1.2/instances":
            return 404, "text/plain", b""
        return (204, "", b"") if path.startswith("/studies/1.2/series/1.2.9") else super().answer(path, query)


def test_a_server_that_lists_no_instances_of_studies_is_asked_by_series() -> None:
    with source_of(BySeries({"1.2": {"1.2.3": b"", "1.2.4": b""}})) as source:
        assert [(one.series, one.uid) for one in source.instances(Study("1.2"))] == [
            ("1.2.1", "1.2.3"),
            ("1.2.1", "1.2.4"),
        ]


class Unfiltered(SmallWeb):
    """Ignores what instances are filtered by."""

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, str, bytes]:
        return super().answer(path, {name: value for name, value in query.items() if name != "SOPInstanceUID"})


def test_a_server_that_ignores_a_filter_makes_nothing_gone() -> None:
    web = Unfiltered({"1.2": {"1.2.3": b"", "1.2.4": b"", "1.2.5": b""}})
    with source_of(web) as source, pytest.raises(NotListed, match="ignores SOPInstanceUID"):
        source.find("1.2.5", "1.2")


def test_a_list_that_has_more_and_does_not_give_it_is_not_taken_for_all() -> None:
    web = SmallWeb({f"1.{number}": {} for number in range(9)}, page=3, paging=False, partial=True)
    with source_of(web) as source, pytest.raises(NotListed, match="more than 3 entries"):
        list(source.studies({}, None, None))


class Narrow(SmallWeb):
    """Refuses queries for more than a year of studies; its studies are named after their days."""

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, str, bytes]:
        first, _, last = query.get("StudyDate", [""])[0].partition("-")
        if path == "/studies" and (not first or not last or int(last) - int(first) > 10000):
            return 413, "text/plain", b"too many"
        self.studies = {day: {} for day in self.days if first <= day <= last}
        return super().answer(path, query)

    days = ("19990101", "20050607", "20201231", "20210101")


def test_a_query_that_is_refused_as_too_broad_is_made_by_parts() -> None:
    with source_of(Narrow()) as source:
        ranges = listing.studies(source, {}, (date(1990, 1, 1), TODAY), TODAY, pytest.fail)
        assert [study.uid for study in ranges] == list(Narrow.days)


class Damaged(SmallWeb):
    """Fails for each page with one of these rows."""

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, str, bytes]:
        status, kind, body = super().answer(path, query)
        return (
            (500, "text/plain", b"no such file")
            if any(uid in body for uid in (b'"1.2.7"', b'"1.2.8"'))
            else (status, kind, body)
        )


def test_a_page_that_fails_for_one_row_is_listed_by_smaller_ones() -> None:
    with source_of(Damaged({"1.9": {f"1.2.{number}": b"" for number in range(30)}})) as source:
        found = [one.uid for one in source.instances(Study("1.9"))]
    assert set(found) == {f"1.2.{number}" for number in range(30) if number not in (7, 8)} | {""}
    assert found.count("") == 1


def test_rows_that_are_nearly_valid_lose_nothing() -> None:
    rows = [
        '{"0020000D": {"vr": "UI", "Value": "1.5"}, "00201208": {"vr": "IS", "Value": "3"}}',
        '{"0020000D": {"vr": "UI", "Value": ["1.6 "]}, "00232018": {"vr": "FL", "Value": ["-Infinity", NaN]}}',
        '{"00080020": {"vr": "DA"}}',
    ]
    body = f"[{','.join(rows)}]".encode()
    with source_of(SmallWeb(kinds={"/studies": ("application/json", body)})) as source:
        found = list(source.studies({}, None, None))
        assert [(study.uid, study.instances) for study in found] == [("1.5", 3), ("1.6", None), ("", None)]
        with pytest.raises(NotListed, match="studies that it cannot list, or lists without a UID"):
            source.instances(found[2])


def test_a_root_of_orthanc_itself_is_no_root_of_dicomweb() -> None:
    web = SmallWeb(kinds={"/studies": ("application/json", b'["b9c08539-26f93bde-c81ab0d7-bffaf2cb-a4d0bdd0"]')})
    with source_of(web) as source, pytest.raises(NotListed, match="is the root of DICOMweb"):
        list(source.studies({}, None, None))


@pytest.mark.parametrize("kind", ["application/octet-stream", "application/dicom; transfer-syntax=*", "text/plain"])
def test_a_file_with_another_content_type_is_taken(kind: str) -> None:
    parts = b"\r\n--BB\r\nContent-Type: application/dicom\r\n\r\n" + FILM + b"\r\n--BB--\r\n"
    for body in (FILM, parts):
        with source_of(SmallWeb(kinds={PATH: (kind, body)})) as source:
            assert source.retrieve(INSTANCE) == FILM


class TestNodes:
    """The same of nodes that speak DIMSE."""

    @staticmethod
    def source(name: str) -> DimseSource:
        return DimseSource(Address.parse(name, "pull"), "US")

    @pytest.mark.parametrize("refuses", [False, True])
    def test_a_limit_of_the_list_loses_no_study(self, refuses: bool) -> None:
        peer = Peer(*(film(number, side=16, day=f"202001{1 + number % 27:02}") for number in range(47)))
        peer.limit, peer.refuses = 20, refuses
        with peer.running() as name:
            for days in ((None, None), (date(2020, 1, 1), date(2020, 2, 1))):
                found = listing.studies(self.source(name), {}, days, TODAY, pytest.fail)
                assert len([study.uid for study in found]) == 47

    def test_a_limit_within_a_day_is_named(self, inside: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(listing, "FEWEST_CUT", 4)
        peer = Peer(*(film(number, side=16) for number in range(5)))
        peer.limit = 4
        with peer.running() as name:
            done = inside("pull", name, "--json")
        assert (done.json["added"], [one["error"] for one in done.json["problems"]]) == (4, ["ListMayBeCut"])

    def test_values_that_are_not_valid_lose_no_study(self) -> None:
        peer = Peer(FILM, film(2, study=2, side=16))
        peer.odd = {"NumberOfStudyRelatedInstances": "many", "StudyDate": "2020-13-45", "Modality": "CR" + "x" * 80}
        with peer.running() as name:
            source = self.source(name)
            found = list(source.studies({}, None, None))
            assert [(study.date, study.instances) for study in found] == [(None, None)] * 2
            assert [len(source.instances(study)) for study in found] == [1, 1]
            peer.odd = {"StudyInstanceUID": "1." * 40}
            (nameless,) = source.studies({}, None, None)
            with pytest.raises(NotListed, match="studies that it cannot list, or lists without a UID"):
                source.instances(nameless)

    def test_a_node_that_answers_to_no_role_gives_its_files(self, inside: Callable[..., Run]) -> None:
        peer = Peer(FILM)
        peer.roles = False
        with peer.running() as name:
            assert inside("pull", name, "--json").json["added"] == 1

    @pytest.mark.parametrize(("number", "workers"), [(1, 1), (2, 4)])
    def test_a_node_that_accepts_few_associations_gives_all(
        self, number: int, workers: int, inside: Callable[..., Run]
    ) -> None:
        peer = Peer(*(film(one, study=one // 2, side=16) for one in range(6)))
        peer.associations = number
        with peer.running() as name:
            assert inside("pull", name, "--json", "--workers", workers).json["added"] == 6

    def test_success_without_a_file_is_a_failure(self, inside: Callable[..., Run], database: Database) -> None:
        peer = Peer(FILM)
        peer.habits = {uid_of(FILM): "sends nothing"}
        with peer.running() as name:
            for options, why in (((), "sends nothing"), (("--move-to", "US"), "no radretrieval receive")):
                done = inside("pull", name, "--json", *options, check=False)
                assert (done.returncode, done.json["failed"]) == (1, 1)
                assert why in done.json["failures"][0]["message"]
