"""The worker: every image coded once, whoever works; what cannot be coded fails alone and is named."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from anchored import NEW_IMAGES
from conftest import COMMAND, clean_environment
from killing import kill_embedded
from PIL import Image
from tiny import TINY, add_encoder, weights

from radretrieval import open_archive
from radretrieval.archive import codes, encoders
from radretrieval.archive.connections import Database
from radretrieval.archive.embedded import processes, shared_server
from radretrieval.archive.embedded.cluster import Cluster
from radretrieval.archive.search import exact_index
from radretrieval.coding.cnnc import Coder
from radretrieval.coding.radon import barcode
from radretrieval.config import Settings
from radretrieval.errors import NoEncoder
from radretrieval.imaging import read_image
from radretrieval.imaging.resample import resample
from radretrieval.ingest.run import ingest
from radretrieval.jobs.encode import EncodeOptions, encode, pending


def fill(database: Database, settings: Settings, folder: Path, n: int, start: int = 0) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number:03}.png" for number in range(start, start + n)]
    for number, path in enumerate(paths, start):
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (40, 50), np.uint8)).save(path)
    ingest(database, settings, paths)
    return paths


def encoder_of(database: Database, seed: int = 0) -> int:
    with database.connection() as connection:
        return add_encoder(connection, seed)


def stored(database: Database, encoder: int) -> codes.CodeSet:
    with database.connection() as connection:
        return codes.of_splits(connection, encoder, 1, None)


def wait_until(condition: Any, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.1)


def test_codes_are_those_of_the_pixels(database: Database, settings: Settings, tmp_path: Path) -> None:
    paths = fill(database, settings, tmp_path / "in", 11)
    encoder = encoder_of(database)
    finished: list[int] = []
    report = encode(database, settings, EncodeOptions(device="cpu", batch=4), advance=finished.append)
    assert (report.encoded, report.failed, sum(finished), pending(database)) == (11, 0, 11, 0)
    found = stored(database, encoder)
    pixels = [read_image(path).pixels for path in paths]
    assert np.array_equal(found.rbc, barcode(np.stack([resample(p, 192) for p in pixels])))
    reals = Coder(weights(), TINY, "cpu").preactivations(np.stack([resample(p, 32) for p in pixels]))
    clear = np.abs(reals) > 1e-4  # a batch of another size may round otherwise
    assert np.array_equal(np.unpackbits(found.cnnc, axis=1)[clear], (reals > 0)[clear])
    assert encode(database, settings, EncodeOptions(device="cpu")).encoded == 0


def test_a_poison_image_fails_alone_and_is_named(database: Database, settings: Settings, tmp_path: Path) -> None:
    paths = fill(database, settings, tmp_path / "in", 8)
    encoder = encoder_of(database)
    paths[2].unlink()
    paths[5].write_bytes(paths[6].read_bytes())
    report = encode(database, settings, EncodeOptions(device="cpu", batch=4))
    assert (report.encoded, report.failed) == (6, 2)
    messages = {Path(failure["path"]).name: failure["message"] for failure in report.failures}
    assert "is gone" in messages["002.png"]
    assert "its content has changed" in messages["005.png"]
    with database.connection() as connection:
        rows = connection.execute("SELECT image_id, error, attempts FROM coding_failure ORDER BY 1").fetchall()
    assert [(row["image_id"], row["error"], row["attempts"]) for row in rows] == [
        (3, "ImageError", 1),
        (6, "ImageError", 1),
    ]
    fill(database, settings, tmp_path / "in", 6)  # both files are back as they were
    report = encode(database, settings, EncodeOptions(device="cpu"))
    assert (report.encoded, report.failed) == (2, 0)
    assert len(stored(database, encoder).image_ids) == 8
    with database.connection() as connection:
        assert connection.execute("SELECT * FROM coding_failure").fetchall() == []


def test_a_poison_image_with_an_odd_name_is_named_too(database: Database, settings: Settings, tmp_path: Path) -> None:
    path = fill(database, settings, tmp_path / "in", 1)[0]
    odd = path.with_name("caf\udce9.png")
    path.rename(odd)
    ingest(database, settings, [odd])
    encoder_of(database)
    odd.unlink()
    report = encode(database, settings, EncodeOptions(device="cpu"))
    assert (report.encoded, report.failed, report.left) == (0, 1, 0)
    assert report.failures[0]["path"].endswith("caf\\udce9.png")


def test_images_that_another_worker_holds_are_told(database: Database, settings: Settings, tmp_path: Path) -> None:
    fill(database, settings, tmp_path / "in", 5)
    encoder_of(database)
    with database.connection() as other:
        other.execute("SELECT FROM image WHERE id IN (2, 4) FOR NO KEY UPDATE")
        report = encode(database, settings, EncodeOptions(device="cpu"))
    assert (report.encoded, report.left) == (3, 2)


def test_code_and_barcode_of_an_image_are_committed_together(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    fill(database, settings, tmp_path / "in", 6)
    encoder = encoder_of(database)
    with database.connection() as connection:
        connection.execute(
            "CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE 'no barcode' USING ERRCODE = 'disk_full'; END $$; "
            "CREATE TRIGGER fails BEFORE INSERT ON barcode "
            "FOR EACH ROW WHEN (NEW.image_id = 5) EXECUTE FUNCTION fails()"
        )
    with pytest.raises(Exception, match="no barcode"):
        encode(database, settings, EncodeOptions(device="cpu", batch=3))
    with database.connection() as connection:
        rows = connection.execute(
            "SELECT (SELECT array_agg(image_id ORDER BY 1) FROM cnnc) AS codes, "
            "(SELECT array_agg(image_id ORDER BY 1) FROM barcode) AS barcodes"
        ).fetchone()
        assert rows == {"codes": [1, 2, 3], "barcodes": [1, 2, 3]}, "of the second batch neither is there"
        connection.execute("DROP TRIGGER fails ON barcode")
    assert encode(database, settings, EncodeOptions(device="cpu", batch=3)).encoded == 3
    assert stored(database, encoder).image_ids.tolist() == [1, 2, 3, 4, 5, 6]


def test_no_more_than_so_many_a_second(database: Database, settings: Settings, tmp_path: Path) -> None:
    encoder_of(database)
    fill(database, settings, tmp_path / "x", 9)
    begun: list[float] = []
    report = encode(
        database,
        settings,
        EncodeOptions(device="cpu", batch=3, rate=10.0),
        advance=lambda count: begun.append(time.monotonic()),
    )
    assert report.encoded == 9
    assert begun[2] - begun[0] >= 0.29  # the third batch of three begins 0.3 s after the second; alone it takes 0.02 s


def test_a_second_encoder_is_filled_beside_the_first(database: Database, settings: Settings, tmp_path: Path) -> None:
    fill(database, settings, tmp_path / "in", 5)
    first, second = encoder_of(database), encoder_of(database, seed=1)
    encode(database, settings, EncodeOptions(device="cpu"))
    assert pending(database, second) == 5
    encode(database, settings, EncodeOptions(device="cpu", encoder_id=second))
    assert pending(database, second) == 0
    one, other = stored(database, first), stored(database, second)
    assert not np.array_equal(one.cnnc, other.cnnc)
    assert np.array_equal(one.rbc, other.rbc)
    with database.connection() as connection:
        assert connection.execute("SELECT count(*) FROM barcode").fetchone() == {"count": 5}
        assert encoders.get(connection).id == first


def test_several_workers_share_the_work(database: Database, settings: Settings, tmp_path: Path) -> None:
    fill(database, settings, tmp_path / "in", 60)
    encoder = encoder_of(database)
    reports: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda: reports.append(encode(database, settings, EncodeOptions(device="cpu", batch=4, workers=1)))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(report.encoded for report in reports) == 60
    assert stored(database, encoder).image_ids.tolist() == list(range(1, 61))


def test_without_an_encoder(database: Database, settings: Settings) -> None:
    with pytest.raises(NoEncoder, match="radretrieval train"):
        encode(database, settings)


@pytest.fixture
def daemon(archive_url: str, tmp_path: Path) -> Any:
    """A real `radretrieval work` that waits for images."""
    with (tmp_path / "work.log").open("w") as log:
        process = subprocess.Popen(
            [COMMAND, "work", "--device", "cpu", "--batch", "8", "--json"],
            env=clean_environment(tmp_path / "home", archive_url),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        yield process
        if process.poll() is None:
            process.kill()
            process.wait()


def test_a_waiting_worker_wakes_and_ends_on_sigterm(
    database: Database, settings: Settings, tmp_path: Path, daemon: subprocess.Popen[str]
) -> None:
    def listening() -> bool:
        with psycopg.connect(database.url) as connection:
            return bool(
                connection.execute(
                    "SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
                ).rowcount
            )

    wait_until(listening)
    wait_until(lambda: "waiting for one" in (tmp_path / "work.log").read_text())
    encoder = encoder_of(database)
    fill(database, settings, tmp_path / "in", 3)
    wait_until(lambda: len(stored(database, encoder).image_ids) == 3)
    fill(database, settings, tmp_path / "in", 3, start=3)
    began = time.monotonic()
    wait_until(lambda: len(stored(database, encoder).image_ids) == 6)
    assert time.monotonic() - began < 30  # a notice woke it: polling takes a minute
    # its connections are cut: it comes back by itself
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    fill(database, settings, tmp_path / "in", 2, start=6)
    wait_until(lambda: len(stored(database, encoder).image_ids) == 8)
    os.kill(daemon.pid, signal.SIGTERM)
    output, _ = daemon.communicate(timeout=30)
    assert daemon.returncode == 0
    assert '"encoded": 8' in output
    assert "Traceback" not in (tmp_path / "work.log").read_text()


def test_the_index_is_built_afterwards_where_it_is_due(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = encoder_of(database)
    with database.connection() as connection:
        ids = [row["id"] for row in connection.execute(NEW_IMAGES, (4998,))]
        random = np.random.default_rng(0).integers(0, 256, (len(ids), 125), np.uint8)
        codes.write_cnnc(connection, encoder, ids, random, 1000)
    with open_archive(settings=Settings(home=settings.home, database_url=database.url)) as archive:

        def worked(number: int) -> tuple[int, bool, str]:
            fill(database, settings, tmp_path / "in", 1, start=number)
            report = archive.encode(device="cpu")
            return report.encoded, report.index_built, archive.status()["index"]["kind"]

        assert worked(0) == (1, False, "none")  # 4,999 codes: a scan is as fast
        monkeypatch.setattr(encoders, "may_create", lambda connection: False)
        assert worked(1) == (1, False, "none")
        monkeypatch.undo()
        assert worked(2) == (1, True, "exact")
        assert worked(3) == (1, False, "exact")
        assert archive.check_index()["codes"] == 5002
        archive.drop_index()
        assert archive.encode(device="cpu").index_built is False  # nothing was encoded: who dropped it wants it so
        with exact_index.dropped(database, archive.encoder(encoder)):  # as while another process builds it
            assert worked(4) == (1, False, "none")


def test_a_waiting_worker_does_not_try_a_poison_image_at_every_call(
    database: Database, settings: Settings, tmp_path: Path, daemon: subprocess.Popen[str]
) -> None:
    fill(database, settings, tmp_path / "in", 2)[0].unlink()
    encoder = encoder_of(database)
    for number in range(2, 5):
        wait_until(lambda done=number - 1: len(stored(database, encoder).image_ids) == done)
        fill(database, settings, tmp_path / "in", 1, start=number)
    wait_until(lambda: len(stored(database, encoder).image_ids) == 4)
    with database.connection() as connection:
        rows = connection.execute("SELECT image_id, attempts FROM coding_failure").fetchall()
    assert rows == [{"image_id": 1, "attempts": 1}]
    assert (tmp_path / "work.log").read_text().count("image 1: ") == 1


def test_a_waiting_worker_starts_its_embedded_server_again(tmp_path: Path) -> None:
    home = Path(tempfile.mkdtemp(prefix="rr-"))
    home.chmod(0o755)  # the server runs as another user under root
    log = (tmp_path / "work.log").open("w")
    daemon = subprocess.Popen([COMMAND, "work", "--device", "cpu"], env=clean_environment(home, None), stderr=log)
    try:
        wait_until(lambda: "waiting for one" in (tmp_path / "work.log").read_text())
        kill_embedded(home)
        wait_until(lambda: "trying again" in (tmp_path / "work.log").read_text())
        wait_until(lambda: (tmp_path / "work.log").read_text().count("waiting for one") > 1)
        assert processes.running(Cluster.find(home).data)  # type: ignore[union-attr]
    finally:
        daemon.terminate()
        daemon.wait(60)
        log.close()
    try:
        assert daemon.returncode == 0
        assert not processes.running(Cluster.find(home).data)  # type: ignore[union-attr]  # the last user stopped it
    finally:
        shared_server.stop(home, force=True)
        shutil.rmtree(home)


def test_sigterm_ends_a_busy_worker_after_its_batch(
    database: Database, settings: Settings, tmp_path: Path, daemon: subprocess.Popen[str]
) -> None:
    fill(database, settings, tmp_path / "in", 400)
    encoder = encoder_of(database)
    wait_until(lambda: len(stored(database, encoder).image_ids) >= 8)
    os.kill(daemon.pid, signal.SIGTERM)
    daemon.communicate(timeout=30)
    assert daemon.returncode == 0
    done = len(stored(database, encoder).image_ids)
    assert done % 8 == 0
    assert pending(database) == 400 - done
