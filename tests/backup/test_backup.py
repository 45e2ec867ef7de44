"""Backups: of one moment, whole or not there, restored elsewhere by another role, refused where they are damaged."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from answering import Made
from databases import Server, as_role, database_of
from psycopg import sql
from saving import Saved, everything, files_of, has_nothing, saved

from radretrieval.archive import pg_programs
from radretrieval.archive.connections import Database
from radretrieval.archive.embedded import shared_server
from radretrieval.backup import run
from radretrieval.backup.manifest import Manifest
from radretrieval.errors import EnvironmentUnusable


@pytest.fixture
def archive(server: Server, answers: Made, tmp_path: Path) -> Iterator[Saved]:
    """An archive of ten images, eight files and a reduced picture in its store."""
    with saved(server, answers, tmp_path / "host") as one:
        yield one


@pytest.fixture(scope="module")
def kept(server: Server, answers: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Saved]:
    """Such an archive for tests that change nothing in it."""
    with saved(server, answers, tmp_path_factory.mktemp("kept") / "host") as one:
        yield one


@pytest.fixture(scope="module")
def before(kept: Saved) -> tuple[Any, Any]:
    """What is in it."""
    found = everything(kept.url)
    assert found[1]["1"]
    return found


@pytest.fixture(scope="module")
def backup(kept: Saved, before: tuple[Any, Any]) -> Path:
    """A backup of it; to be copied where it is changed."""
    folder = kept.home.parent / "backup"
    told = kept.run("backup", folder, "--json").json
    assert (told["images"], told["store_files"], told["copied"], told["failures"]) == (10, 7, 7, [])
    return folder


@contextmanager
def other_role(url: str) -> Iterator[str]:
    """The URL as a role that owns nothing and is no superuser; the DBA has made pgvector."""
    with psycopg.connect(url, autocommit=True) as dba:
        role = f"rr_restore_{database_of(url)}"
        name = sql.Identifier(role)
        dba.execute(sql.SQL("CREATE ROLE {}").format(name))
        dba.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(sql.Identifier(database_of(url)), name))
        dba.execute("CREATE EXTENSION vector")
        try:
            yield as_role(url, role)
        finally:
            dba.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(name))


def test_from_a_server_to_the_embedded_one_and_on_to_another_server_as_another_role(
    server: Server, answers: Made, kept: Saved, backup: Path, before: tuple[Any, Any], tmp_path: Path
) -> None:
    home = tmp_path / "second host"
    try:
        told = kept.run("restore", backup, "--json", url=None, home=home).json
        assert (told["images"], told["copied"], told["elsewhere"]) == (10, 7, 4)
        assert files_of(home / "store") == files_of(kept.home / "store")
        assert {path.stat().st_mode & 0o077 for path in (home / "store").rglob("*")} == {0}
        shutil.copy(answers.folder / "home" / "patient.key", home)
        (tmp_path / "word").write_text("correct horse battery")
        keys = ("--keys", tmp_path / "keys", "--passphrase-file", tmp_path / "word")
        done = kept.run("backup", tmp_path / "second", *keys, "--verify", "--json", url=None, home=home).json
        proven = done["verification"]
        assert (done["verified"], proven["queries"], proven["indexes"], proven["rows"]) == (
            *(True, len(before[1]), 1),
            sum(table["rows"] for table in Manifest.read(tmp_path / "second").tables.values()),
        )
        assert not (home / "scratch").exists()
    finally:
        shared_server.release(home)
    with server.database() as url, other_role(url) as own:
        kept.run("restore", tmp_path / "second", *keys, url=own, home=tmp_path / "third host")
        assert (tmp_path / "third host" / "patient.key").read_bytes() == (home / "patient.key").read_bytes()
        tables, answered = everything(own)
        assert answered == before[1]
        changed = {name for name in tables if tables[name] != before[0].get(name)}
        # each restore is noted, and functions are applied anew
        assert {name for name in changed if not name.startswith("audit_")} <= {"schema_object"}
        kept.run("audit", "verify", url=own)
        kept.run("db", "check", url=own)
        kept.run("index", "check", url=own)
        assert json.loads(kept.run("verify", "--json", url=own, home=tmp_path / "third host").stdout)["gone"] == 0
        with Database(own).connection() as connection:  # ids go on where they were
            added = "INSERT INTO image (sha256, uri, format, rows, columns, bits_stored, photometric) VALUES "
            added += "(sha256('new'), 'x', 'png', 1, 1, 8, 'M') RETURNING id"
            assert connection.execute(added).fetchone() == {"id": 11}


def test_an_older_server_gets_the_dump_of_newer_programs_in_one_transaction(
    server: Server, backup: Path, kept: Saved, before: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers before 17 refuse the first lines of what pg_restore of 17 and newer writes; psql gets the rest."""
    restore = pg_programs.restore

    def as_into_16(url: str, programs: pg_programs.Programs, server: int, folder: Path) -> None:
        restore(url, programs, 16, folder)

    monkeypatch.setattr(pg_programs, "restore", as_into_16)
    if pg_programs.installed()[0].major < 17:
        pytest.skip("pg_restore of 17 or newer is needed")
    damaged = tmp_path / "damaged"
    shutil.copytree(backup / Manifest.read(backup).dump, damaged)
    largest = max(damaged.glob("*.dat.gz"), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1000])
    with server.database() as url, other_role(url) as own:
        with psycopg.connect(own, autocommit=True) as made:
            made.execute("CREATE SCHEMA radretrieval")
        for folder in (damaged, tmp_path / "none"):
            with pytest.raises(EnvironmentUnusable, match="nothing was restored"):
                as_into_16(own, pg_programs.installed()[0], 16, folder)
            assert has_nothing(own)
        kept.run("restore", backup, url=own, home=tmp_path / "home")
        assert everything(own)[1] == before[1]


def test_dump_counts_and_answers_are_of_one_moment_while_ingestion_goes_on(
    server: Server, archive: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: Any = None

    def meanwhile(major: int) -> pg_programs.Programs:
        """Between the snapshot, which has the row that the backup began, and the start of pg_dump."""
        nonlocal before
        before = everything(archive.url)
        with Database(archive.url).connection() as other:
            other.execute("DELETE FROM image WHERE id = 2")
            other.execute("UPDATE image SET split = 'late'")
            other.execute("SELECT audit_add('somebody', 'search', '{}')")
        return found(major)

    found = pg_programs.for_dump
    monkeypatch.setattr(pg_programs, "for_dump", meanwhile)
    archive.run("backup", tmp_path / "backup")
    assert everything(archive.url) != before
    with server.database() as scratch:
        done = archive.run("backup", tmp_path / "backup", "--verify-only", "--scratch", scratch, "--json").json
        assert (done["verified"], done["verification"]["queries"]) == (True, len(before[1]))
        assert has_nothing(scratch)
    made = Manifest.read(tmp_path / "backup")
    assert (made.tables, made.answers) == before


def test_who_may_read_everything_makes_backups(kept: Saved, tmp_path: Path) -> None:
    with psycopg.connect(kept.url, autocommit=True) as dba:
        role = f"rr_backup_{database_of(kept.url)}"
        name = sql.Identifier(role)
        dba.execute(sql.SQL("CREATE ROLE {}").format(name))
        try:
            usage = (
                "GRANT USAGE ON SCHEMA radretrieval TO {0}; GRANT SELECT ON ALL TABLES IN SCHEMA radretrieval TO {0}"
            )
            dba.execute(sql.SQL(usage).format(name))
            dba.execute(sql.SQL("REVOKE SELECT ON radretrieval.feedback FROM {}").format(name))
            told = kept.run("backup", tmp_path / "backup", url=as_role(kept.url, role), check=False)
            assert (told.returncode, "feedback" in told.stderr, "pg_read_all_data" in told.stderr) == (3, True, True)
            assert [path.name for path in (tmp_path / "backup").iterdir()] == [".lock"]
            dba.execute(sql.SQL("GRANT pg_read_all_data TO {}").format(name))
            kept.run("backup", tmp_path / "backup", url=as_role(kept.url, role))
        finally:
            dba.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(name))


def killed(archive: Saved, folder: Path, at: str) -> None:
    """A backup whose process is killed when a step begins."""

    def step(count: int, total: int | None = None, what: str | None = None, /) -> None:
        if what == at or (at == "file" and count):
            os.kill(os.getpid(), signal.SIGKILL)

    arguments = (Database(archive.url), archive.settings, folder, 1, step)
    process = multiprocessing.get_context("fork").Process(target=run.back_up, args=arguments)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def test_a_killed_backup_is_none_and_a_killed_renewal_leaves_the_one_before(
    server: Server, archive: Saved, tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    killed(archive, folder, "file")
    with server.database() as url:
        told = archive.run("restore", folder, url=url, check=False)
        assert (told.returncode, "holds no whole backup" in told.stderr) == (2, True)
        assert has_nothing(url)
    assert archive.run("backup", folder, "--json").json["copied"] == 6  # one was whole already
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 2  # one dump, the store
    before = files_of(folder)
    with Database(archive.url).connection() as connection:
        connection.execute("DELETE FROM image WHERE id = 1")
    killed(archive, folder, "store")
    assert {name: data for name, data in files_of(folder).items() if name in before} == before
    done = archive.run("backup", folder, "--json").json
    assert (done["copied"], done["removed"], done["store_files"]) == (0, 1, 6)
    assert Manifest.read(folder).images == 9


def test_what_the_store_has_lost_is_named_and_the_copy_from_before_kept(archive: Saved, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    archive.run("backup", folder)
    one, two, *_ = sorted(path for path in archive.store.folder.glob("*/*/*") if not path.suffix)
    one.unlink()
    two.write_bytes(b"x" + two.read_bytes()[1:])
    done = archive.run("backup", folder, "--json", check=False)
    assert done.returncode == 1
    assert {(failure["path"], failure["error"]) for failure in done.json["failures"]} == {
        (one.name, "gone"),
        (two.name, "changed"),
    }
    assert all("has it from before" in failure["message"] for failure in done.json["failures"])
    assert done.json["store_files"] == 7
    fresh = archive.run("backup", tmp_path / "fresh", check=False)
    assert (fresh.returncode, fresh.stderr.count("the backup lacks it")) == (1, 2)


PLACES = {
    "flipped": ("store/*/*/*[!g]", False),
    "missing": ("store/*/*/*.png", True),
    "dump": ("*/database/*.dat.gz", False),
    "list": ("*/files.sha256", False),
    "manifest": ("manifest.json", False),
}


def test_a_damaged_backup_is_refused_before_anything_is_changed(
    server: Server, backup: Path, kept: Saved, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with server.database() as url:
        for damage, (pattern, missing) in PLACES.items():
            folder = tmp_path / damage
            shutil.copytree(backup, folder)
            place = next(folder.glob(pattern))
            data = bytearray(place.read_bytes())
            data[len(data) // 2] ^= 1
            place.unlink() if missing else place.write_bytes(data)
            told = kept.run("restore", folder, url=url, home=home, check=False)
            assert (told.returncode, place.name in told.stderr, "damaged" in told.stderr) == (2, True, True), damage
            assert ("--skip-damaged" in told.stderr) == (damage in ("flipped", "missing"))
            assert has_nothing(url)
            assert not (home / "store").exists()
        told = kept.run("restore", tmp_path / "flipped", "--skip-damaged", "--json", url=url, home=home, check=False)
        assert (told.returncode, told.json["copied"], len(told.json["failures"])) == (1, 6, 1)
        told = kept.run("restore", backup, url=url, home=home, check=False)
        assert (told.returncode, "has an archive of 10 images" in told.stderr) == (2, True)
        assert everything(url)[0]["image"]["rows"] == 10


@pytest.mark.parametrize("where", ["../../../planted", "store/../../planted", "/tmp/planted", "{dump}/../../planted"])
def test_a_list_and_a_manifest_name_nothing_elsewhere(
    server: Server, backup: Path, kept: Saved, tmp_path: Path, where: str
) -> None:
    """As somebody makes them who may write to the folder: every digest in them is right."""
    folder, home = tmp_path / "one" / "backup", tmp_path / "one" / "host" / "home"
    shutil.copytree(backup, folder)
    (tmp_path / "one" / "planted").write_bytes(b"planted")
    manifest = Manifest.read(folder)
    listing = folder / manifest.folder / "files.sha256"
    digest = hashlib.sha256(b"planted").hexdigest()
    listing.write_text(f"{digest}  {where.format(dump=manifest.dump)}\n{listing.read_text()}")
    replace(manifest, files_sha256=hashlib.sha256(listing.read_bytes()).hexdigest()).write(folder)
    with server.database() as url:
        told = kept.run("restore", folder, url=url, home=home, check=False)
        assert (told.returncode, "is no file of a backup" in told.stderr) == (2, True), told.stderr
        assert has_nothing(url)
    replace(manifest, folder="../../other").write(folder)
    assert "is damaged" in kept.run("backup", folder, "--verify-only", check=False).stderr


def test_a_renewal_deletes_nothing_that_a_link_leads_to(archive: Saved, tmp_path: Path) -> None:
    folder, other = tmp_path / "backup", tmp_path / "other"
    archive.run("backup", folder)
    other.mkdir()
    (other / "letter").write_text("dear")
    (folder / "store" / "zz").mkdir()
    (folder / "store" / "zz" / "zz").symlink_to(other)
    archive.run("backup", folder)
    assert (other / "letter").read_text() == "dear"


def test_keys_that_are_not_the_archives_are_not_saved_in_their_place(kept: Saved, tmp_path: Path) -> None:
    """As on a host, or under an account, that has others or none: nobody could read the archive afterwards."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "patient.key").write_text("another" * 9)
    for home, reason in ((tmp_path / "none", "there is no key"), (tmp_path / "other", "is not the archive's")):
        told = kept.run("backup", tmp_path / "new", "--keys", tmp_path / "keys", home=home, check=False)
        assert (told.returncode, reason in told.stderr) == (3, True), told.stderr
        assert not (tmp_path / "keys").exists()
        assert not (tmp_path / "new").exists()


def test_folders_of_something_else_are_refused(answers: Made, kept: Saved, backup: Path, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    for folder, reason in (
        (tmp_path / "letters", "is not empty and holds no backup (a.txt)"),
        (backup, "holds the backup of another archive"),
        (answers.folder / "home" / "store" / "backup", "lie in one another"),
    ):
        before = files_of(folder)
        told = answers.run("backup", folder, check=False)
        assert (told.returncode, reason in told.stderr) == (2, True), told.stderr
        assert files_of(folder) == before
    told = answers.run("backup", tmp_path / "new", "--keys", tmp_path / "new" / "keys", check=False)
    assert (told.returncode, "lies in the backup" in told.stderr) == (2, True)
    with run.locked(backup, writing=True):
        told = answers.run("backup", backup, check=False)
        assert (told.returncode, "another process uses the backup" in told.stderr) == (2, True)


def test_a_verification_finds_what_is_wrong(server: Server, backup: Path, kept: Saved, tmp_path: Path) -> None:
    folder = tmp_path / "wrong"
    shutil.copytree(backup, folder)
    manifest = Manifest.read(folder)
    manifest.answers["1"][:2] = reversed(manifest.answers["1"][:2])
    manifest.write(folder)
    with server.database() as scratch:
        done = kept.run("backup", folder, "--verify-only", "--scratch", scratch, "--json", check=False)
        assert done.returncode == 1
        assert (done.json["verified"], [one["path"] for one in done.json["verification"]["failures"]]) == (
            False,
            ["id:1"],
        )
        manifest.tables["image"]["rows"] += 1
        manifest.write(folder)
        done = kept.run("backup", folder, "--verify-only", "--scratch", scratch, "--json", check=False)
        assert "the tables image are not as in the backup" in done.json["verification"]["failures"][0]["message"]
        assert has_nothing(scratch)


def test_a_full_disk_is_told_and_the_backup_before_stays(archive: Saved, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", small]).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        archive.run("backup", small / "backup")
        before = files_of(small / "backup")
        for option, reason in (("6m", "there is no room for the dump"), ("12m", "GB of files are to be copied there")):
            subprocess.run(["mount", "-o", f"remount,size={option}", small], check=True)
            if option == "12m":
                data = os.urandom(12_000_000)
                sha256 = archive.store.put(data)
                with Database(archive.url).connection() as connection:
                    connection.execute("INSERT INTO arrival (sha256, uri) VALUES (%s, 'store:')", (sha256,))
            told = archive.run("backup", small / "backup", check=False)
            assert (told.returncode, reason in told.stderr) == (3, True), told.stderr
            assert files_of(small / "backup") == before
    finally:
        subprocess.run(["umount", small], check=True)
