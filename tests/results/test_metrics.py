"""What Prometheus is told, of an archive and of services, and that rules and dashboard speak of nothing else."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import COMMAND, ROOT, Run, clean_environment
from fastapi.testclient import TestClient
from filled import Filled, fill
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

import radretrieval as rr
from radretrieval import metrics
from radretrieval.archive import inbox
from radretrieval.archive.connections import Database
from radretrieval.archive.inbox import Arrival
from radretrieval.config import ServeSettings, Settings
from radretrieval.errors import EnvironmentUnusable, UsageError
from radretrieval.results.archive_metrics import archive_metrics

COUNT = 40
MONITORING = ROOT / "docker" / "monitoring"
FOREIGN = {"node_textfile_mtime_seconds"}  # of node_exporter


@pytest.fixture
def filled(database: Database) -> Filled:
    with database.connection() as connection:
        return fill(connection, COUNT)


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[f"radretrieval_{name}", frozenset(labels.items())]


def test_the_state_of_an_archive(inside: Callable[..., Run], database: Database, filled: Filled) -> None:
    with database.connection() as connection:
        connection.execute("UPDATE image SET origin = 'MODALITY' WHERE id <= 10")
        connection.execute("DELETE FROM cnnc WHERE encoder_id = %s AND image_id > %s", (filled.encoders[0], COUNT - 2))
        connection.execute("UPDATE image SET ingested_at = now() - interval '3 hours' WHERE id = %s", (COUNT - 1,))
        inbox.add(connection, Arrival(b"m" * 32, "store:6d", "CT7", "1.2.3"))
        connection.execute("UPDATE arrival SET arrived_at = now() - interval '2 minutes'")
        connection.execute(
            "INSERT INTO ingest_failure (uri, error, message) VALUES ('file:///JANE/1', 'ImageError', 'JANE'), "
            "('file:///JANE/2', 'ImageError', 'is empty')"
        )
        connection.execute(
            "INSERT INTO heartbeat (program, host, pid, version, beat_at) VALUES ('work', 'gpu1', 1, '1', "
            "now() - interval '2 minutes')"
        )
    text = inside("metrics").stdout
    found = samples(text)
    assert value(found, "images", origin="MODALITY") == 10
    assert value(found, "images", origin="found") == COUNT - 10
    assert value(found, "codes", encoder=str(filled.encoders[0]), active="true") == COUNT - 2
    assert value(found, "image_oldest_waiting_seconds") == pytest.approx(3 * 3600, abs=60)
    assert value(found, "files_waiting", origin="CT7") == 1
    assert value(found, "file_oldest_waiting_seconds", origin="CT7") == pytest.approx(120, abs=60)
    assert value(found, "failures", stage="ingest", error="ImageError", origin="found") == 2
    assert value(found, "heartbeat_seconds", service="work", host="gpu1") == pytest.approx(120, abs=60)
    assert value(found, "health", check="waiting_images") == 2
    assert value(found, "health", check="query") == 0
    assert value(found, "up") == 1
    assert "JANE" not in text


def test_a_file_for_the_textfile_collector(inside: Callable[..., Run], database: Database, tmp_path: Path) -> None:
    (tmp_path / "radretrieval.prom").write_text("old")
    assert inside("metrics", "--out", tmp_path / "radretrieval.prom").stdout == ""
    assert value(samples((tmp_path / "radretrieval.prom").read_text()), "up") == 1
    refused = inside("metrics", "--out", tmp_path / "radretrieval.txt", check=False)
    assert refused.returncode == 2
    assert ".prom" in refused.stderr


def test_a_database_that_is_away(inside: Callable[..., Run], tmp_path: Path) -> None:
    done = inside("metrics", url=f"postgresql://x@/none?host={tmp_path}", check=False)
    assert done.returncode == 3
    assert value(samples(done.stdout), "up") == 0
    assert value(samples(done.stdout), "health", check="database") == 2


@pytest.fixture
def port() -> Iterator[int]:
    with metrics.listening("127.0.0.1:0") as port:
        assert port is not None
        yield port


def told(port: int) -> Samples:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return samples(answer.read().decode())


def test_counters_and_times(port: int) -> None:
    metrics.count(metrics.ENCODED, 3)
    metrics.count(metrics.ENCODED, 0)
    metrics.count(metrics.RECEIVED, 1, "CT7", "0x0000")
    metrics.observe(metrics.STAGE, 0.2, "decode")
    found = told(port)
    assert value(found, "images_encoded_total") == 3
    assert value(found, "received_total", caller="CT7", status="0x0000") == 1
    assert value(found, "search_stage_seconds_sum", stage="decode") == 0.2
    assert found["process_resident_memory_bytes", frozenset()] > 0


def test_callers_who_give_themselves_names_fill_no_memory(port: int) -> None:
    for number in range(metrics.MOST_LABELS + 50):
        metrics.count(metrics.RECEIVED, 1, f"AE{number}", "0x0000")
    metrics.count(metrics.RECEIVED, 1, "AE0", "0x0000")
    found = told(port)
    assert value(found, "received_total", caller="other", status="other") == 50
    assert value(found, "received_total", caller="AE0", status="0x0000") == 2


def test_clients_who_ask_for_nothing_take_no_threads_of_the_service(port: int) -> None:
    before = threading.active_count()
    with ExitStack() as stack:
        for _ in range(3 * metrics.CONNECTIONS):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            slow.sendall(b"GET /metrics HTTP/1.0\r\nX-")
        assert told(port)
        deadline = time.monotonic() + 10
        while threading.active_count() > before + metrics.CONNECTIONS and time.monotonic() < deadline:
            time.sleep(0.01)
        assert threading.active_count() <= before + metrics.CONNECTIONS


def test_senders_who_give_themselves_names_are_one_in_the_state_of_the_archive(
    database: Database, settings: Settings
) -> None:
    names, count = "E'A\"\\\\E\n'", metrics.MOST_LABELS + 50
    with database.connection() as connection:
        connection.execute(
            "INSERT INTO image (sha256, uri, format, rows, columns, bits_stored, photometric, origin) "
            "SELECT sha256((i || 'a')::bytea), 'store:', 'dicom', 1, 1, 8, 'MONOCHROME2', "
            f"{names} || i % {count} FROM generate_series(1, {count + 3}) i"  # type: ignore[arg-type]
        )
    settings.database_url = database.url
    found = samples(archive_metrics(database, settings))
    assert value(found, "images", origin="other") == 50
    assert value(found, "images", origin='A"\\E\n2') == 2
    assert sum(amount for (name, _), amount in found.items() if name == "radretrieval_images") == count + 3


def test_nothing_is_kept_while_nobody_listens() -> None:
    metrics.count(metrics.ENCODED, 3)
    with metrics.listening("127.0.0.1:0") as port:
        assert port is not None
        assert value(told(port), "images_encoded_total") == 0
    with metrics.listening(None) as none:
        assert none is None


@pytest.mark.parametrize("address", ["9400", ":9400", "localhost:", "localhost:http", "localhost:70000"])
def test_an_address_of_another_form(address: str) -> None:
    with pytest.raises(UsageError, match="127.0.0.1:9400"), metrics.listening(address):
        pass


def test_a_port_that_another_program_has(port: int) -> None:
    with pytest.raises(EnvironmentUnusable, match="--metrics"), metrics.listening(f"127.0.0.1:{port}"):
        pass
    metrics.count(metrics.ENCODED)


def test_requests_and_searches_of_a_service(port: int, archive_url: str, settings: Settings, filled: Filled) -> None:
    from radretrieval.serve.app import create_app

    settings.database_url = archive_url
    with TestClient(create_app(settings, ServeSettings()), base_url="http://127.0.0.1") as client:
        assert client.post("/api/search", data={"id": "7"}).status_code == 200
        assert client.get("/api/images/12345").status_code == 404
        client.get("/wp-login.php")
    found = told(port)
    assert value(found, "http_request_seconds_count", method="POST", route="/api/search", status="200") == 1
    assert value(found, "http_request_seconds_count", method="GET", route="/api/images/{image_id}", status="404") == 1
    assert value(found, "search_stage_seconds_count", stage="total") == 1
    assert not any("wp-login" in str(labels) for _, labels in found)


def test_a_worker_and_a_file_that_cannot_be_read(
    archive_url: str, tmp_path: Path, cli: Callable[..., Run], settings: Settings, database: Database
) -> None:
    from tiny import add_encoder

    cli("phantom", tmp_path / "films", "--images", "6", "--classes", "2")
    settings.database_url = archive_url
    with rr.Archive(settings) as archive:
        archive.ingest(tmp_path / "films")
    with database.connection() as connection:
        add_encoder(connection)
        row = connection.execute("SELECT uri FROM image ORDER BY id LIMIT 1").fetchone()
    assert row is not None
    Path(row["uri"].removeprefix("file://")).unlink()
    environment = clean_environment(tmp_path / "home", archive_url)
    with (tmp_path / "log").open("w") as log:
        command = [str(COMMAND), "work", "--metrics", "127.0.0.1:0"]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=log, text=True)
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "metrics" in line)
        (number,) = re.findall(r"127\.0\.0\.1:(\d+)", line)
        until = time.monotonic() + 60
        while value(found := told(int(number)), "images_encoded_total") < 5 and time.monotonic() < until:
            time.sleep(0.2)
        assert value(found, "images_encoded_total") == 5
        assert value(found, "images_not_encoded_total", error="ImageError") == 1
        assert value(found, "encode_batch_seconds_count", step="pixels") >= 1
    finally:
        process.terminate()
        assert process.wait(30) == 0


def known(archive: str) -> set[str]:
    """The names of all samples."""
    names = {name for name, _ in samples(archive)}
    names |= set(re.findall(r"^# TYPE (\S+) gauge", archive, re.MULTILINE))  # also of those without a sample
    for metric in metrics.ALL:
        histogram = metric.name.endswith("_seconds")
        names |= {f"{metric.name}_{end}" for end in ("bucket", "sum", "count")} if histogram else {metric.name}
    return names


def expressions() -> Iterator[tuple[str, str]]:
    for group in YAML(typ="safe").load(MONITORING / "alerts.yml")["groups"]:
        for rule in group["rules"]:
            assert set(rule) >= {"alert", "expr", "labels", "annotations"}
            assert set(rule["annotations"]) == {"summary", "description"}
            assert rule["labels"]["severity"] in ("warning", "critical")
            yield rule["alert"], rule["expr"]
    for panel in json.loads((MONITORING / "dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def test_rules_and_dashboard_use_metrics_that_there_are(inside: Callable[..., Run], database: Database) -> None:
    names, used = known(inside("metrics").stdout), set()
    for title, expression in expressions():
        assert expression.count("(") == expression.count(")"), title
        found = set(re.findall(r"\b(?:radretrieval|node)_\w+", expression))
        assert found, title
        assert found - names - FOREIGN == set(), title
        used |= found
    ours = {metric.name.removesuffix("_seconds") for metric in metrics.ALL}
    assert {name for name in ours if not any(one.startswith(name) for one in used)} == set()
