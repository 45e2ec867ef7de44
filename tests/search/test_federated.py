"""Several archives answer as one that holds all of their images; a site that does not is named."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from conftest import Run
from databases import Server, as_role, database_of
from federated import COUNT, PARTS, Federated, drawn, fill, made
from PIL import Image
from proxy import Proxy
from roled import service_roles

import radretrieval as rr
from radretrieval.archive import connections, sites
from radretrieval.archive.connections import Database
from radretrieval.archive.schema.rights import role
from radretrieval.archive.sites import sites_of
from radretrieval.imaging import reader


@pytest.fixture(scope="module")
def federated(server: Server, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federated]:
    with made(server, migrated_template, tmp_path_factory.mktemp("federated")) as archives:
        yield archives


def site_of(place: int) -> tuple[str, int]:
    """The site of an image of all, and its id there."""
    return next((name, place - part.start + 1) for name, part in PARTS.items() if place in part)


def told(answer: rr.Answer) -> list[tuple[Any, ...]]:
    """What must be equal of the hits: the images by their URI."""
    return [
        (hit.rank, hit.uri, hit.cnnc_distance, hit.rbc_distance, hit.irma_code, hit.explanation) for hit in answer.hits
    ]


def test_the_union_answers_as_one_archive(federated: Federated) -> None:
    archives = {name: federated.archive(name) for name in (*PARTS, "one")}
    rng, ties, short = np.random.default_rng(5), 0, 0
    for number in range(60):
        place, encoder, options = int(rng.integers(COUNT)), 1 + number % 2, drawn(number)
        place -= place % 60 == 7  # without barcode
        if place % 13 == 0:  # nobody's
            options["exclude_same_patient"] = False
        home, own = site_of(place)
        options["explain"] = number % 5 == 0
        numbers = {"one": encoder, home: 3 - encoder if home == "north" else encoder}
        expected = archives["one"].search(place + 1, encoder=numbers["one"], **options)
        answer = archives[home].search_sites(own, encoder=numbers[home], **options)
        assert told(answer) == told(expected), (number, options)
        assert (answer.candidates, answer.similarity) == (expected.candidates, expected.similarity)
        assert not answer.partial
        places = {int(hit.uri[8:-4]): hit for hit in answer.hits}
        assert {site_of(one) for one in places} == {(hit.site, hit.image_id) for hit in answer.hits}
        ties += answer.candidates > options["candidates"]
        short += answer.returned < options["top"]
    assert ties > 10, "codes that tie with the last candidate were in the questions"
    assert short > 5, "filters that few images pass were in the questions"


def audited(url: str) -> list[dict[str, Any]]:
    with Database(url).connection() as connection:
        found = connection.execute("SELECT detail FROM audit WHERE action = 'search' ORDER BY id DESC LIMIT 1")
        return [row["detail"] for row in found]


def test_each_site_audits_what_it_gave(federated: Federated) -> None:
    with federated.archive("east") as archive:
        answer = archive.search_sites(3, ["north", "west"], top=5, where=["modality=CR"], one_per="study")
    assert [site.site for site in answer.sites] == ["north", "west"]
    for name in ("north", "west"):
        (detail,) = audited(federated.sites[name])
        assert (detail["federated"], detail["query_sha256"], detail["query_image_id"]) == (
            True,
            (2).to_bytes(32, "big").hex(),
            None,
        )
        assert detail["parameters"] == {"top": 5, "where": ["modality=CR"], "one_per": "study"}
        assert len(detail["hits"]) == next(site.candidates for site in answer.sites if site.site == name)
        assert {hit.image_id for hit in answer.hits if hit.site == name} <= set(detail["hits"])
    (detail,) = audited(federated.sites["east"])
    assert detail["hits"] == [f"{hit.site}/{hit.image_id}" for hit in answer.hits]
    assert detail["sites"] == {"north": True, "west": True}


def test_a_film_is_no_hit_at_the_sites_that_have_it(federated: Federated) -> None:
    """Images 420 … 439 have the codes of 150 … 169; the film itself is made the same in both sites."""
    sha = (155).to_bytes(32, "big")
    with Database(federated.sites["west"]).connection() as connection:
        connection.execute("UPDATE image SET sha256 = %s WHERE id = 6", (sha,))
    try:
        with federated.archive("north") as archive:
            answer = archive.search_sites(6, encoder=2)
    finally:
        with Database(federated.sites["west"]).connection() as connection:
            connection.execute("UPDATE image SET sha256 = %s WHERE id = 6", ((425).to_bytes(32, "big"),))
    assert {("north", 6), ("west", 6)} & {(hit.site, hit.image_id) for hit in answer.hits} == set()


def test_patients_are_left_out_where_the_key_is_the_same(federated: Federated, archive_url: str) -> None:
    with Database(archive_url).connection() as connection:
        fill(connection, PARTS["west"], turned=False)
        connection.execute("UPDATE patient_key_check SET check_value = 'of another key'")
    federated.write(west=archive_url)
    with federated.archive("east") as archive:
        answer = archive.search_sites(1 + 84, top=100, candidates=100, exclude_same_patient=True)
        with pytest.raises(rr.SitesMissing, match="west makes pseudonyms with another key"):
            archive.search_sites(85, where=["patient_key=patient 3"], require_all=True)
    federated.write()
    assert {site.site: site.same_patient_excluded for site in answer.sites} == {
        "east": True,
        "north": True,
        "west": False,
    }
    assert {hit.site for hit in answer.hits if hit.patient_key == "patient 84"} <= {"west"}


@contextmanager
def stalled(url: str) -> Iterator[tuple[str, Proxy]]:
    """The URL of a proxy of this database, and the proxy, which takes connections and forwards nothing."""
    with connections.connect(url) as connection:
        host, port = connection.info.host, connection.info.port
    proxy = Proxy(Path(host) / f".s.PGSQL.{port}" if host.startswith("/") else port)
    proxy.stalled = True
    try:
        yield with_host(url, proxy.port), proxy
    finally:
        proxy.close()


def with_host(url: str, port: int) -> str:
    """The URL by TCP on loopback."""
    parts = psycopg.conninfo.conninfo_to_dict(url) | {"host": "127.0.0.1", "port": str(port)}
    return f"postgresql://{parts['user']}@127.0.0.1:{port}/{parts['dbname']}"


def test_a_new_file_is_decoded_in_another_process(
    federated: Federated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(np.arange(4096).astype(np.uint8).reshape(64, 64)).save(tmp_path / "new.png")

    def refuse(*given: Any) -> Any:
        raise AssertionError("decoded in the searching process")

    monkeypatch.setattr(reader, "read_png", refuse)
    with federated.archive("east") as archive:
        assert archive.search_sites(tmp_path / "new.png").hits


def test_a_stalled_site_costs_the_deadline_and_is_named(
    federated: Federated, cli: Callable[..., Run], inside: Callable[..., Run]
) -> None:
    with federated.archive("east") as archive:
        without = archive.search_sites(3, ["east", "west"])
        with stalled(federated.sites["north"]) as (url, _):
            federated.write(north=url)
            before = time.monotonic()
            answer = archive.search_sites(3, deadline=1)
            spent = time.monotonic() - before
            before = time.monotonic()
            environment = {"RADRETRIEVAL_SITES_FILE": str(federated.home / "sites.toml")}
            arguments = ("search", "id:3", "--site", "all", "--deadline", "1")
            partial = cli(*arguments, "--json", url=federated.sites["east"], check=False, **environment)
            whole = time.monotonic() - before
            refused = inside(*arguments, "--require-all", url=federated.sites["east"], check=False, **environment)
    federated.write()
    assert 1 <= spent < 8, "psycopg alone would wait ten seconds more"
    assert told(answer) == told(without)
    assert [(site.site, site.problem) for site in answer.sites if not site.answered] == [
        ("north", "no answer within 1 s")
    ]
    assert (partial.returncode, partial.json["partial"], len(partial.json["hits"])) == (4, True, 10)
    assert "partial: the site north no answer within 1 s" in partial.stderr
    assert whole < 60
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "1 of 3 sites did not answer: north no answer within 1 s" in refused.stderr


def test_a_site_that_stalls_in_the_midst_is_left(federated: Federated, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is there, and the statement waits for a lock when the network stops."""
    waiting = "SELECT FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = %s)"

    def stop(proxy: Proxy, name: str) -> None:
        with psycopg.connect(federated.sites["east"], autocommit=True) as watcher:
            while not watcher.execute(waiting, (name,)).fetchall():
                time.sleep(0.02)
        proxy.stalled = True

    with (
        psycopg.connect(federated.sites["north"]) as other,
        stalled(federated.sites["north"]) as (url, proxy),
        federated.archive("east") as archive,
        ThreadPoolExecutor(1) as thread,
    ):
        proxy.stalled = False
        federated.write(north=url)
        other.execute("LOCK TABLE radretrieval.encoder")
        stopped = thread.submit(stop, proxy, other.info.dbname)
        monkeypatch.setattr(sites, "_LEAVING_SECONDS", 60.0)
        before = time.monotonic()
        answer = archive.search_sites(3, deadline=4)
        spent = time.monotonic() - before
        stopped.result(10)
    federated.write()
    assert 4 <= spent < 11, "psycopg alone would wait ten seconds more"
    assert [(site.site, site.problem) for site in answer.sites if not site.answered] == [
        ("north", "no answer within 4 s")
    ]


def test_a_look_up_of_a_name_that_does_not_end_keeps_nothing_waiting() -> None:
    code = """
import socket, threading
from radretrieval.archive.sites import Site, ask
socket.getaddrinfo = lambda *words, **options: threading.Event().wait()
async def question(connection): pass
for reply in ask([Site("north", "postgresql://north.example/radretrieval")], question, 0.5):
    print(reply.problem)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "no answer within 0.5 s\n", "")


def test_sites_that_cannot_answer_are_named(
    federated: Federated, archive_url: str, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = psycopg.conninfo.conninfo_to_dict(archive_url)["user"]
    bad = {
        "stopped": f"postgresql://{user}@127.0.0.1:1/x",
        "login": archive_url.replace(f"//{user}", "//nobody_of_that_name", 1),
        "nothing": empty_database_url,
        "no-encoder": archive_url,
        "unknown": "postgresql://host.of.no.network/x",
        "dots": "postgresql://two..dots.example/x",
    }
    looked_up = socket.getaddrinfo

    def slow(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == "host.of.no.network":
            time.sleep(8)
        return looked_up(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    federated.write(**bad)
    before = time.monotonic()
    with federated.archive("east") as archive:
        answer = archive.search_sites(3, deadline=3)
        states = {one["site"]: one for one in archive.federation_status(deadline=3)}
    assert time.monotonic() - before < 8, "no thread that looks a name up is waited for"
    problems = {site.site: str(site.problem) for site in answer.sites if not site.answered}
    assert problems.keys() == bad.keys()
    assert problems["stopped"].startswith("cannot be reached: connection failed")
    assert problems["login"].startswith("cannot be reached: ")
    assert problems["nothing"] == "has no archive in its database, or none that this role may see"
    assert problems["no-encoder"].startswith("has no encoder with the weights ")
    assert problems["dots"].startswith("cannot be reached: failed to resolve host 'two..dots.example'")
    assert problems["unknown"] == "no answer within 3 s"
    assert [one["reachable"] for one in states.values()] == [
        name not in bad or name == "no-encoder" for name in sorted(states)
    ]
    assert (states["no-encoder"]["encoders"], states["no-encoder"]["images"]) == ([], 0)
    north = states["north"]
    assert (north["images"], north["standby"], north["lag_seconds"], north["askable"]) == (270, False, 0, True)
    weights = {one["weights_sha256"]: one["encoder_id"] for one in north["encoders"]}
    assert {one["weights_sha256"]: 3 - one["encoder_id"] for one in states["east"]["encoders"]} == weights
    federated.write()


def test_a_site_of_an_older_version_is_named(
    federated: Federated, archive_url: str, inside: Callable[..., Run]
) -> None:
    with Database(archive_url).connection() as connection:
        connection.execute("DROP FUNCTION federated_nearest; UPDATE alembic_version SET version_num = '0010'")
    federated.write(old=archive_url)
    environment = {"RADRETRIEVAL_SITES_FILE": str(federated.home / "sites.toml")}
    done = inside(
        "search", "id:3", "--site", "old", "--site", "west", url=federated.sites["east"], check=False, **environment
    )
    status = inside("federation", "status", url=None, check=False, **environment)
    federated.write()
    assert done.returncode == status.returncode == 4
    assert (
        "the site old is at revision 0010 without the function federated_nearest; upgrade radretrieval there"
        in done.stderr
    )
    assert "0010 (too old)" in status.stdout
    assert "the site old cannot be searched with others" in status.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[a]\nurl = 'postgresql://u:geheim@h/d'\n", "has a password in its URL; write it into ~/.pgpass"),
        ("[a]\nurl = 'host=h password=geheim'\n", "has a password in its URL"),
        ("[a]\nurl = 'postgresql://h/d?sslpassword=geheim'\n", "has a password in its URL"),
        ("[a]\nurl = 'postgresql://[geheim'\n", "the site a in"),
        ("[a]\nurl = 'postgresql://u%ff:geheim@h/d'\n", "has no URL of the form"),
        ("[a]\nurl = 5\n", "is not of the form; it is a table for each site"),
        ("[a]\nurl = 'postgresql:///d'\nuser = 'x'\n", "is not of the form"),
        ("[all]\nurl = 'postgresql:///d'\n", "cannot be called 'all'"),
        ("['a/b']\nurl = 'postgresql:///d'\n", "cannot be called 'a/b'"),
        ("", "has none; it is a table for each site"),
        ("[a", "is not TOML"),
        (None, "cannot be read (No such file or directory); RADRETRIEVAL_SITES_FILE names it"),
    ],
)
def test_a_file_of_sites_that_is_not_one_is_refused(text: str | None, told: str, settings: rr.Settings) -> None:
    settings.home.mkdir()
    if text is not None:
        (settings.home / "sites.toml").write_text(text)
    with pytest.raises(rr.UsageError) as refused:
        sites_of(settings)
    assert told in str(refused.value)
    assert "geheim" not in str(refused.value)


def test_sites_are_named(federated: Federated) -> None:
    settings = federated.archive("east").settings
    assert [site.name for site in sites_of(settings, ["west", "east", "west"])] == ["east", "west"]
    assert len(sites_of(settings, ["all", "west"])) == len(sites_of(settings)) == 3
    with pytest.raises(rr.UsageError, match="--site south: .* has no such site; it has: east, north, west"):
        sites_of(settings, ["south"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--roi", "1,1,2,2"], "--roi cannot stand beside --site"),
        (["--where-sql", "true"], "--where-sql cannot stand beside --site"),
        (["--picture", "x.png"], "--picture cannot stand beside --site"),
        (["--relevant", "4"], "--relevant cannot stand beside --site"),
        (["--where", "not_image=4"], "--where not_image: ids of images are a site's own"),
        (["--where", "nothing=4"], "a filter cannot name 'nothing'"),
        (["--deadline", "0"], "--deadline 0: it takes a number of seconds above 0"),
    ],
)
def test_what_holds_in_one_archive_alone_is_refused(
    options: list[str], told: str, federated: Federated, inside: Callable[..., Run]
) -> None:
    environment = {"RADRETRIEVAL_SITES_FILE": str(federated.home / "sites.toml")}
    done = inside("search", "id:3", "--site", "all", *options, url=federated.sites["east"], check=False, **environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


def test_options_of_sites_need_sites(federated: Federated, inside: Callable[..., Run]) -> None:
    done = inside("search", "id:3", "--require-all", url=federated.sites["east"], check=False)
    assert (done.returncode, "--require-all goes with --site;" in done.stderr) == (2, True)
    done = inside("search", "--all", "--out", "x.csv", "--site", "all", url=federated.sites["east"], check=False)
    assert (done.returncode, "--site is of one query" in done.stderr) == (2, True)


def test_the_table_has_sites(federated: Federated, inside: Callable[..., Run]) -> None:
    environment = {"RADRETRIEVAL_SITES_FILE": str(federated.home / "sites.toml")}
    done = inside("search", "id:3", "--site", "all", "--top", 3, url=federated.sites["east"], **environment)
    with federated.archive("east") as archive:
        answer = archive.search_sites("id:3", top=3)
    rows = [line.split()[:3] for line in done.stdout.splitlines()[-3:]]
    assert rows == [[str(hit.rank), hit.site, str(hit.image_id)] for hit in answer.hits]
    document = answer.document()
    assert (document["path"], document["matched"], document["partial"]) == ("federated", None, False)
    assert [list(hit)[:3] for hit in document["hits"]] == [["rank", "site", "image_id"]] * 3
    assert json.loads(json.dumps(document["sites"]))[0]["path"] == "exact-scan"


@pytest.fixture(scope="module")
def analyst(federated: Federated) -> Iterator[Any]:
    """A connection to the archive of the first site, whose database has the sites as foreign servers."""
    with psycopg.connect(federated.sites["east"], autocommit=True) as connection:
        connection.execute("SET search_path = radretrieval, public")
        connection.execute("CREATE EXTENSION dblink")
        row = connection.execute("SELECT current_setting('port'), current_user").fetchone()
        assert row is not None
        port, user = row
        host = (
            connection.info.host if connection.info.host.startswith("/") else "127.0.0.1"
        )  # as the server sees itself
        for name, url in federated.sites.items():
            options = f"host '{host}', port '{port}', dbname '{database_of(url)}'"
            for statement in (
                f"CREATE SERVER {name} FOREIGN DATA WRAPPER dblink_fdw OPTIONS ({options})",
                f"CREATE USER MAPPING FOR CURRENT_USER SERVER {name} OPTIONS (user '{user}')",
            ):
                connection.execute(statement)  # type: ignore[call-overload]
        yield connection


def similar(federated: Federated, place: int, k: int, wanted: str) -> list[tuple[Any, ...]]:
    """What the one archive answers: site, id there, and distance."""
    with psycopg.connect(federated.one) as connection:
        rows = connection.execute(
            "SELECT image_id, distance FROM radretrieval.similar(%s, %s, 1, %s)", (place + 1, k, wanted)
        ).fetchall()
    return [(*site_of(image - 1), distance) for image, distance in rows]


def test_analysts_ask_all_sites(federated: Federated, analyst: Any) -> None:
    for place, k, wanted in (
        *((3, 10, "{}"), (20, 200, '{"modality": ["CR", ""]}')),
        *((149, 60, '{"irma_code": "1121-*"}'), (0, 5, '{"max_distance": 0}')),
    ):
        found = analyst.execute(
            "SELECT site, image_id, distance FROM federated_similar(%s, %s, NULL, %s)", (place + 1, k, wanted)
        ).fetchall()
        assert found == similar(federated, place, k, wanted)
    assert audited(federated.sites["west"])[0]["federated"] is True
    with pytest.raises(psycopg.Error, match="cannot name 'nothing'"):
        analyst.execute("SELECT * FROM federated_similar(1, filter => '{\"nothing\": 1}')")
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="hold in one archive alone"):
        analyst.execute('SELECT * FROM federated_similar(1, filter => \'{"one_per": "study"}\')')


def test_a_site_that_stalls_is_a_row_or_an_error_of_analysts(federated: Federated, analyst: Any) -> None:
    partial = "SELECT site, image_id, problem FROM federated_similar_partial(4, 10, deadline => '500 ms')"
    complete = analyst.execute(partial).fetchall()
    assert [row[2] for row in complete] == [None] * 10
    with psycopg.connect(federated.sites["north"]) as other:
        other.execute("LOCK TABLE radretrieval.encoder")
        analyst.execute("SET statement_timeout = '300 ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            analyst.execute("SELECT * FROM federated_similar(9)")
        analyst.execute("RESET statement_timeout")
    # the answer to the cancelled question is unread in the session's connection, and is not taken for this one's
    time.sleep(0.2)
    assert analyst.execute(partial).fetchall() == complete
    with psycopg.connect(federated.sites["north"]) as other:
        other.execute("LOCK TABLE radretrieval.encoder")
        found = analyst.execute(partial).fetchall()
        before = time.monotonic()
        with pytest.raises(psycopg.Error, match="the site north did not answer: did not answer less than a minute ago"):
            analyst.execute("SELECT * FROM federated_similar(4)")
        assert time.monotonic() - before < 2
    assert found[-1] == ("north", None, "no answer within 00:00:00.5")
    assert [row[:2] for row in found[:3]] == [row[:2] for row in complete if row[0] != "north"][:3]
    analyst.execute("SELECT set_config('radretrieval.down_' || md5('radretrieval/north/' || current_user), '', false)")
    assert analyst.execute(partial).fetchall() == complete


def test_the_role_of_searches_suffices(federated: Federated) -> None:
    url = federated.sites["west"]
    with service_roles(url), federated.archive("east") as archive:
        federated.write(west=as_role(url, role("search")))
        answer = archive.search_sites(3, ["west"], top=3)
        status = archive.federation_status(["west"])
    federated.write()
    assert (answer.partial, answer.returned) == (False, 3)
    assert {hit.image_id for hit in answer.hits} <= set(audited(url)[0]["hits"])
    assert (status[0]["reachable"], status[0]["images"]) == (True, len(PARTS["west"]))
