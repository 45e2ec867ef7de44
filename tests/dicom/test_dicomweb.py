"""What a DICOMweb server may answer, and what becomes of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from orthanc import film, uid_of
from small_web import SmallWeb, serving

from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.dicom.pull.dicomweb import DicomWebSource
from radretrieval.dicom.pull.query import PullQuery
from radretrieval.dicom.pull.report import PullReport
from radretrieval.dicom.pull.run import pull
from radretrieval.dicom.pull.source import Instance, NotListed, Study, date_range
from radretrieval.errors import EnvironmentUnusable, NotFetched, UsageError
from radretrieval.storage.wado import check_root

STUDY = "1.2.826.0.1.3680043.10.99.1."  # + number, as in `film`


@pytest.fixture(scope="module")
def small() -> Iterator[SmallWeb]:
    with serving(SmallWeb()) as web:
        yield web


@contextlib.contextmanager
def client(web: SmallWeb) -> Iterator[DicomWebSource]:
    made = DicomWebSource(web.root, None, 10**6)
    try:
        yield made
    finally:
        made.close()


@given(count=st.integers(0, 60), page=st.one_of(st.none(), st.integers(1, 25)), told=st.booleans())
@hypothesis_settings(max_examples=25, deadline=None)
def test_pages_of_any_length_tell_everything_once(small: SmallWeb, count: int, page: int | None, told: bool) -> None:
    uids = [f"1.2.{number}" for number in range(count)]
    small.studies, small.page, small.paging = {"1.9": dict.fromkeys(uids, b"")}, page, True
    with client(small) as web:
        found = web.instances(Study("1.9", instances=count if told else None))
    assert [one.uid for one in found] == uids


def test_a_server_without_paging_tells_everything_once(small: SmallWeb) -> None:
    small.studies, small.page, small.paging = {f"1.{number}": {"1": b""} for number in range(700)}, None, False
    with client(small) as web:
        assert len(list(web.studies({}, None, None))) == 700
    small.paging = True


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>log in</html>"),
        (200, b'{"error": 1}'),
        (200, b"[1]"),
        (200, b'[{"0008'),
        (500, b"out of order"),
        (404, b""),
    ],
)
def test_half_answers_are_no_answers(small: SmallWeb, status: int, body: bytes) -> None:
    small.studies, small.page = {"1.2": {"1.2.3": b""}}, None
    small.broken = {"/studies/1.2/instances": (status, body)}
    try:
        with client(small) as web, pytest.raises(NotListed, match=r"studies/1\.2/instances"):
            web.instances(Study("1.2"))
    finally:
        small.broken = {}


@pytest.mark.parametrize(("status", "body"), [(200, b""), (200, b" \n"), (200, b"[]"), (200, b"null"), (204, b"")])
def test_field_12_what_an_empty_list_looks_like(small: SmallWeb, status: int, body: bytes) -> None:
    small.studies, small.page = {"1.2": {"1.2.3": b""}}, None
    small.broken = {"/studies/1.2/instances": (status, body), "/studies": (status, body)}
    try:
        with client(small) as web:
            assert web.instances(Study("1.2")) == []
            assert list(web.studies({}, None, None)) == []
    finally:
        small.broken = {}


def test_field_12_partial_content_is_followed_by_the_rest(small: SmallWeb) -> None:
    small.studies, small.page, small.partial = {"1.9": {f"1.2.{n}": b"" for n in range(7)}}, 3, True
    try:
        with client(small) as web:
            # also where the number of instances that the study has is out of date
            for told in (None, 7, 3):
                assert len(web.instances(Study("1.9", instances=told))) == 7
    finally:
        small.page, small.partial = None, False


def test_field_12_a_page_instead_of_a_list_is_named_with_what_came(small: SmallWeb) -> None:
    small.kinds = {"/studies": ("text/html; charset=utf-8", b"<html><title>Log in</title>")}
    try:
        with client(small) as web, pytest.raises(NotListed) as told:
            list(web.studies({}, None, None))
    finally:
        small.kinds = {}
    for part in (f"{small.root}/studies answers 200 OK", "text/html; charset=utf-8", "<html><title>Log in"):
        assert part in str(told.value)


def test_field_12_texts_in_another_encoding_lose_no_list(small: SmallWeb) -> None:
    name = b'"00100010": {"vr": "PN", "Value": [{"Alphabetic": "M\xfcller"}]}'
    row = b'[{"0020000D": {"vr": "UI", "Value": ["1.5"]}, ' + name + b"}]"
    small.kinds = {"/studies": ("application/dicom+json", b"\xef\xbb\xbf" + row)}
    try:
        with client(small) as web:
            assert [study.uid for study in web.studies({}, None, None)] == ["1.5"]
    finally:
        small.kinds = {}


def test_a_peer_that_cannot_just_now_is_left_within_seconds(small: SmallWeb) -> None:
    small.broken = {"/studies": (503, b"")}
    started = time.monotonic()
    try:
        with client(small) as web, pytest.raises(EnvironmentUnusable, match="503"):
            list(web.studies({}, None, None))
    finally:
        small.broken = {}
    assert time.monotonic() - started < 10


def test_an_instance_that_is_several_files_or_a_page_is_not_taken(small: SmallWeb) -> None:
    one = Instance("1.2", "1.2.1", "1.2.3")
    path = "/studies/1.2/series/1.2.1/instances/1.2.3"
    small.studies = {"1.2": {"1.2.3": b"A\r\n--BB\r\n\r\nB"}}
    with client(small) as web, pytest.raises(NotFetched, match="2 files"):
        web.retrieve(one)
    small.broken = {path: (500, b"no codec\nlong story")}
    try:
        with client(small) as web, pytest.raises(NotFetched, match=r"500 .*no codec"):
            web.retrieve(one)
    finally:
        small.broken = {}


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://h:port/x",
        "https://u:p@h/dicom-web",
        "http://h/?x=1",
        "http://h/" + "x" * 1000,
        "http://h/web/studies/",
    ],
)
def test_what_is_no_root_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as told:
        check_root(url, "pull")
    assert "u:p" not in str(told.value)


def test_ranges_of_dates_are_those_of_dicom() -> None:
    first, last = date(2020, 1, 2), date(2021, 12, 31)
    assert date_range(first, last) == "20200102-20211231"
    assert (date_range(first, None), date_range(None, last), date_range(None, None)) == ("20200102-", "-20211231", None)


class TestPulling:
    """Runs of `pull` against it."""

    @pytest.fixture
    def web(self) -> Iterator[SmallWeb]:
        films = [film(number, study=number // 2) for number in range(4)]
        studies = {
            STUDY + str(study): {uid_of(data): data for data in films[2 * study : 2 * study + 2]} for study in range(2)
        }
        with serving(SmallWeb(studies)) as made:
            yield made

    @staticmethod
    def run(
        database: Database, settings: Settings, web: SmallWeb, deletions: bool | None = None, **query: Any
    ) -> PullReport:
        with client(web) as source:
            return pull(database, settings, source, PullQuery(**query), deletions=deletions)

    @staticmethod
    def gone(database: Database) -> int:
        with database.connection() as connection:
            return int(connection.execute("SELECT count(gone_at) AS n FROM image").fetchone()["n"])

    def test_what_is_not_given_is_named_and_asked_for_again(
        self, web: SmallWeb, database: Database, settings: Settings
    ) -> None:
        uid = next(iter(web.studies[STUDY + "0"]))
        path = f"/studies/{STUDY}0/series/{STUDY}0.1/instances/{uid}"
        web.broken = {path: (500, b"no codec")}
        done = self.run(database, settings, web)
        assert (done.seen, done.added, done.failed) == (4, 3, 1)
        assert done.failures[0]["path"] == web.root + path
        assert "no codec" in done.failures[0]["message"]
        web.broken = {}
        done = self.run(database, settings, web)
        assert (done.added, done.unchanged, done.failed) == (1, 3, 0)
        with database.connection() as connection:
            assert connection.execute("SELECT count(*) AS n FROM ingest_failure").fetchone()["n"] == 0

    def test_what_was_not_given_and_is_deleted_is_forgotten(
        self, web: SmallWeb, database: Database, settings: Settings
    ) -> None:
        uid = next(iter(web.studies[STUDY + "0"]))
        web.broken = {f"/studies/{STUDY}0/series/{STUDY}0.1/instances/{uid}": (500, b"")}
        assert self.run(database, settings, web).failed == 1
        web.broken = {}
        del web.studies[STUDY + "0"][uid]
        done = self.run(database, settings, web)
        assert (done.failed, done.skipped) == (0, 1)
        with database.connection() as connection:
            assert connection.execute("SELECT count(*) AS n FROM ingest_failure").fetchone()["n"] == 0

    def test_a_study_that_is_not_listed_holds_the_mark(
        self, web: SmallWeb, database: Database, settings: Settings
    ) -> None:
        web.broken = {f"/studies/{STUDY}1/instances": (500, b"")}
        done = self.run(database, settings, web)
        assert (done.added, done.failed) == (2, 1)
        web.broken = {}
        assert self.run(database, settings, web).added == 2

    def test_no_half_answer_makes_anything_gone(self, web: SmallWeb, database: Database, settings: Settings) -> None:
        assert self.run(database, settings, web).added == 4
        uid = next(iter(web.studies[STUDY + "0"]))
        kept = web.studies[STUDY + "0"].pop(uid)
        # one study fails: the other's deletion is not noted either
        web.broken = {f"/studies/{STUDY}1/instances": (500, b"")}
        done = self.run(database, settings, web, deletions=True)
        assert (done.gone, self.gone(database)) == (0, 0)
        assert done.failed > 0
        # a list that is shorter than the truth, without paging
        web.broken, web.page, web.paging = {}, 1, False
        web.studies[STUDY + "0"][uid] = kept
        assert self.run(database, settings, web, deletions=True).gone == 0
        # a study that was merged into another is still there
        web.page, web.paging = None, True
        web.studies = {STUDY + "9": web.studies[STUDY + "0"] | web.studies[STUDY + "1"]}
        assert self.run(database, settings, web, deletions=True).gone == 0
        del web.studies[STUDY + "9"][uid]
        assert (self.run(database, settings, web, deletions=True).gone, self.gone(database)) == (1, 1)

    def test_a_page_or_a_hollow_file_fails_alone(self, web: SmallWeb, database: Database, settings: Settings) -> None:
        web.studies[STUDY + "0"]["1.2.3.4"] = b"<html>"
        web.studies[STUDY + "0"]["1.2.3.5"] = film(5)[:320]  # a meta header, and next to no data set
        done = self.run(database, settings, web)
        assert (done.added, done.failed) == (4, 2)
        assert [failure["path"][-7:] for failure in done.failures] == ["1.2.3.4", "1.2.3.5"]
