"""The audit for other systems: files, DICOM audit messages, syslog over TLS; and its commands."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from listening import certificate
from syslog_server import syslog_server

import radretrieval as rr
from radretrieval.archive import audit
from radretrieval.archive.audit_trail import AuditRow
from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable, UsageError
from radretrieval.results import syslog
from radretrieval.results.audit_messages import EVENTS, dicom_message, failed, json_line

etree = pytest.importorskip("lxml.etree")
SCHEMA = etree.RelaxNG(etree.parse(str(Path(__file__).parents[1] / "results" / "audit-message.rng")))
MESSAGE = rb"<8[45]>1 [\d-]{10}T[\d:.]{15}Z \S+ radretrieval \d+ DICOM\+RFC3881 - (\xef\xbb\xbf)?(<AuditMessage.*)"
DETAIL = {"hits": [1, 2], "query_sha256": "ab", "parameters": {"where": ["body_part=<HAND & 'FOOT'>"]}, "n": None}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog, "PAUSES", (0.0, 0.0))


def add(database: Database, count: int) -> None:
    with database.connection() as connection:
        for number in range(count):
            audit.record(connection, "Dr. Ä", list(EVENTS)[number % len(EVENTS)], DETAIL | {"number": number})


def archive_of(database: Database, **settings: Any) -> rr.Archive:
    return rr.open_archive(settings=Settings(database_url=database.url, **settings))


@pytest.mark.parametrize("action", [*EVENTS, "something new"])
def test_every_action_is_a_dicom_message_of_the_schema(action: str) -> None:
    detail = DETAIL | {"address": "10.0.0.7", "to": ["PACS@pacs:104"]}
    row = AuditRow(7, datetime(2026, 2, 3, 4, 5, 6, 7, UTC), "Dr. Ä\x01<&\n", "role", action, detail, b"\x01" * 32)
    text = dicom_message(row, "radretrieval@host")
    assert "\n" not in text
    made = etree.fromstring(text)
    assert SCHEMA.validate(made), SCHEMA.error_log
    event = made.find("EventIdentification")
    assert event.get("EventDateTime") == "2026-02-03T04:05:06.000007+00:00"
    assert made.find("ActiveParticipant").get("NetworkAccessPointID") == "10.0.0.7"
    values = [made.findtext(".//ParticipantObjectQuery") or ""]
    values += [one.get("value") for one in made.findall(".//ParticipantObjectDetail")]
    texts = [base64.b64decode(value) for value in values]
    assert detail in [json.loads(one) for one in texts if one.startswith(b"{")]
    made.find("ActiveParticipant").attrib.pop("UserID")
    assert not SCHEMA.validate(made)


@pytest.mark.parametrize("detail", [None, 1, "error", ["error"], {"to": 5, "address": {"a": "\x07"}}])
def test_rows_that_no_program_of_ours_has_added_are_messages_too(detail: Any) -> None:
    """As a role that may call audit_add makes them, so that the audit cannot be exported any more."""
    for action in ("send", "se\x07\ufffe\nnd", ""):
        row = AuditRow(7, datetime(2026, 2, 3, tzinfo=UTC), "\ufffe", None, action, detail, b"")
        made = etree.fromstring(dicom_message(row, "s"))
        assert SCHEMA.validate(made), SCHEMA.error_log
        assert json.loads(json_line(row))["detail"] == detail
        assert not failed(row)


def test_events_have_the_codes_of_dicom() -> None:
    def code(action: str, **more: Any) -> tuple[str, ...]:
        row = AuditRow(1, datetime(2026, 1, 1, tzinfo=UTC), "a", None, action, more, b"")
        event = etree.fromstring(dicom_message(row, "s")).find("EventIdentification")
        kinds = [one.get("csd-code") for one in event.findall("EventTypeCode") if one.get("codeSystemName") == "DCM"]
        ends = event.get("EventOutcomeIndicator")
        return (event.find("EventID").get("csd-code"), event.get("EventActionCode"), *kinds, ends)

    assert code("search") == ("110112", "E", "0")
    assert code("ingest") == ("110107", "C", "0")
    assert code("ingest", error="DatabaseUnavailable") == ("110107", "C", "4")
    assert code("export") == ("110106", "R", "0")
    assert code("association") == ("110104", "C", "0")
    assert code("login") == ("110114", "E", "110122", "0")
    assert code("login refused") == ("110114", "E", "110122", "4")
    assert code("logout") == ("110114", "E", "110123", "0")
    assert code("db roles") == ("110113", "E", "110136", "0")
    assert code("audit prune") == ("110101", "D", "0")
    assert code("something new") == ("110100", "E", "0")


def test_the_hash_of_a_line_can_be_computed_elsewhere(database: Database, tmp_path: Path) -> None:
    """As docs/operations.md says, from what SQL has as text."""
    add(database, 2)
    with archive_of(database) as archive:
        archive.export_audit(str(tmp_path / "audit.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    with database.connection() as connection:
        texts = connection.execute(
            "SELECT jsonb_build_array(id, (extract(epoch FROM at) * 1000000)::bigint, who, db_role, action, "
            "detail)::text "
            "AS text FROM audit WHERE id < 3 ORDER BY id"
        ).fetchall()
    before = b""
    for line, row in zip(lines, texts, strict=True):
        at = datetime.fromisoformat(line["at"])
        micro = int(at.replace(microsecond=0).timestamp()) * 1_000_000 + at.microsecond
        values = [line["id"], micro, line["who"], line["db_role"], line["action"], line["detail"]]
        assert json.loads(row["text"]) == values
        before = hashlib.sha256(before + row["text"].encode()).digest()
        assert line["hash"] == before.hex()


def test_rows_go_to_a_server_over_tls_and_each_once_it_is_back(database: Database, tmp_path: Path) -> None:
    key, made = certificate(tmp_path, "localhost")
    add(database, 1100)
    with syslog_server(made, key) as server, archive_of(database, audit_ca=made) as archive:
        target = f"syslog+tls://localhost:{server.port}"
        server.break_after = [30_000]
        done = archive.export_audit(target, since="last", form="dicom")
        assert (done.rows, done.first_id, done.last_id, server.broken) == (1100, 1, 1100, 1)
        texts = [re.fullmatch(MESSAGE, one, re.DOTALL) for one in server.messages]
        assert all(texts)
        numbers = [etree.fromstring(one[2]).find("ParticipantObjectIdentification") for one in texts if one]
        assert [int(one.get("ParticipantObjectID")) for one in numbers] == list(range(1, 1101))
        # the server goes away: what it has stays noted, and nothing is lost
        server.messages.clear()
        add(database, 1500)
        server.break_after = [2**40, *([1000] * 3)]
        with pytest.raises(EnvironmentUnusable, match="not sent"):
            archive.export_audit(target, since="last")
        assert len(server.messages) == 1000
        server.answers = False  # to close_notify; that it closes in order says as much …
        server.leave_after = 1000  # … as here it does not: of what nobody reads TCP tells by a reset
        with pytest.raises(EnvironmentUnusable, match="not sent"):
            archive.export_audit(target, since="last")
        assert len(server.messages) == 1000
        server.leave_after = None
        archive.export_audit(target, since="last")
        lines = [json.loads(one[one.index(b"{") :]) for one in server.messages]
        assert [line["id"] for line in lines] == list(range(1101, 2602))  # with the row of the first export
        with database.connection() as connection:
            last = connection.execute("SELECT detail FROM audit WHERE who <> 'Dr. Ä' ORDER BY id").fetchall()
        assert last[0]["detail"] == {
            "rows": 1100,
            "first_id": 1,
            "last_id": 1100,
            "form": "dicom",
            "to": f"syslog+tls://localhost:{server.port}",
        }


def test_a_server_is_not_trusted_without_its_authority_and_may_ask_for_a_certificate(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    key, made = certificate(tmp_path, "localhost")
    other_key, other = certificate(tmp_path / "other", "client")
    both = tmp_path / "client.pem"
    both.write_bytes(other.read_bytes() + other_key.read_bytes())
    add(database, 3)
    with syslog_server(made, key, clients=other) as server:
        target = f"syslog+tls://localhost:{server.port}"
        for settings, message in (
            ({}, "not trusted"),
            ({"audit_ca": other}, "not trusted"),
            ({"audit_ca": made}, "not sent"),
        ):
            with archive_of(database, **settings) as archive, pytest.raises(EnvironmentUnusable, match=message):
                archive.export_audit(target)
        with (
            archive_of(database, audit_ca=made) as archive,
            pytest.raises(EnvironmentUnusable, match="not trusted"),
        ):
            archive.export_audit(f"syslog+tls://127.0.0.1:{server.port}")
        assert server.messages == []
        with archive_of(database, audit_ca=made, audit_cert=both) as archive:
            archive.export_audit(target)
        assert len(server.messages) == 3
    for wrong in (
        "syslog://host",
        "syslog+tls://",
        "syslog+tls://a:b:c",
        "syslog+tls://host/path",
        "syslog+tls://u@host",
    ):
        with archive_of(database) as archive, pytest.raises(UsageError, match="is not of the form"):
            archive.export_audit(wrong)
    with archive_of(database, audit_ca=key) as archive, pytest.raises(EnvironmentUnusable, match="cannot be used"):
        archive.export_audit("syslog+tls://localhost")


def test_the_commands(database: Database, inside: Callable[..., Run], tmp_path: Path) -> None:
    add(database, 3)
    listed = inside("audit", "list", "--json", "--action", "search").json["rows"]
    assert [(row["id"], row["who"]) for row in listed] == [(1, "Dr. Ä")]
    shown = inside("audit", "list", "--since", "1h").stdout
    assert "Dr. Ä" in shown
    assert inside("audit", "list", "--until", "2020-01-01", "--since", "2019-01-01", "--json").json == {"rows": []}
    assert "neither a date" in inside("audit", "list", "--since", "soon", check=False).stderr
    whole = inside("audit", "verify", "--json")
    assert (whole.json["finding"], whole.json["rows"]) == (None, 3)
    for number in (1, 2):
        out = tmp_path / "exports" / f"{number}.jsonl"
        out.parent.mkdir(exist_ok=True)
        done = inside("audit", "export", out, "--since", "last", "--json").json
        assert done == {"rows": 3, "first_id": 1, "last_id": 3} if number == 1 else done["rows"] == 2
        inside("audit", "export", out.with_name("since"), "--since", "1h")  # leaves alone what the others have
    before = out.read_bytes()
    refused = inside("audit", "export", out, "--since", "last", check=False)
    assert (refused.returncode, out.read_bytes()) == (2, before)
    assert "name a new file" in refused.stderr
    inside("audit", "export", tmp_path / "audit.xml", "--format", "dicom")
    for line in (tmp_path / "audit.xml").read_text(encoding="utf-8").splitlines():
        assert SCHEMA.validate(etree.fromstring(line))
    assert "json, dicom" in inside("audit", "export", tmp_path / "a", "--format", "xml", check=False).stderr
    assert inside("audit", "prune", "--older-than", "3y", "--json").json["rows"] == 0
    with database.connection() as connection:
        (month,) = connection.execute("SELECT DISTINCT tableoid::regclass::text AS name FROM audit").fetchall()
        connection.execute(f"ALTER TABLE {month['name']} DISABLE TRIGGER append_only")
        connection.execute(f"UPDATE {month['name']} SET who = 'another' WHERE id = 2")
    done = inside("audit", "verify", "--json", check=False)
    assert (done.returncode, done.json["finding"], done.json["id"]) == (1, "changed", 2)
    assert "row 2 does not follow from row 1" in done.stderr


def test_a_line_is_ascii() -> None:
    row = AuditRow(1, datetime(2026, 1, 1, tzinfo=UTC), "Ä\u2028", None, "search", {"é": 1}, b"\x02")
    assert json_line(row).isascii()
    assert json.loads(json_line(row))["detail"] == {"é": 1}
