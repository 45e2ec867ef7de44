"""Shared fixtures: a migrated database a test, the real command, the shared data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import hypothesis
import pytest
from databases import BACKEND, BackendMissingError, Server, choose, database_of, start
from programs import required

if TYPE_CHECKING:
    from anchored import Anchored
    from answering import Made
    from browsing import Chromium, Site, Visit
    from serving import Films, Served

    from radretrieval.archive.connections import Database
    from radretrieval.config import Settings

# Several processes share the cores, here and in the commands that tests start: threads of torch and numpy beyond one
# each would spin while they wait for each other, for four times the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Machines are shared and noisy: how long an example takes is no property of the code.
hypothesis.settings.register_profile("radretrieval", deadline=None)
hypothesis.settings.load_profile("radretrieval")

ROOT = Path(__file__).parents[1]
COMMAND = Path(sys.executable).with_name("radretrieval")
SERVER = pytest.StashKey[Server]()
# Files that take half a minute or more: a process that got one of them last would work on alone.
LONG = {
    f"test_{name}.py"
    for name in [
        "receive_kill",
        "keyboard",
        "whole_path",
        "kill",
        "pull",
        "dimse",
        "embedded",
        "forget",
        "backup",
        "roles",
    ]
}


def pytest_configure() -> None:
    # Before the first test, and even where none needs a database: who names a backend wants that one.
    if os.environ.get(BACKEND):
        try:
            choose(os.environ)
        except BackendMissingError as error:
            raise pytest.UsageError(str(error)) from None
    try:
        required()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long files first where several processes share the tests; else fast tests first, as they are collected."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.name not in LONG)


def server_of(config: pytest.Config) -> Server:
    """The session's server, started at the first call."""
    if SERVER not in config.stash:
        try:
            server = start(os.environ)
        except BackendMissingError as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
        config.stash[SERVER] = server
        config.add_cleanup(server.stop)
    return config.stash[SERVER]


def pytest_report_header(config: pytest.Config) -> str | None:
    """Which server the tests meet; not started to list tests, nor by an xdist controller, whose workers have theirs."""
    if config.option.collectonly or getattr(config.option, "numprocesses", None):
        return None
    try:
        return f"database: {server_of(config).description()}"
    # A server that does not start fails the tests that need one, and no other.
    except Exception as error:
        return f"database: not available ({error})"


class Run(subprocess.CompletedProcess[str]):
    """One finished command: returncode, stdout, stderr."""

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.stdout)


@pytest.fixture(scope="session", autouse=True)
def _one_decoding_process() -> Iterator[None]:
    """In this process as on a machine with one core: a decoding process takes half a second to start.

    Tests of several ask for several.
    """
    with patch("os.cpu_count", return_value=1):
        yield


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config) -> Server:
    """The session's database server."""
    return server_of(pytestconfig)


@pytest.fixture(scope="session")
def migrated_template(server: Server) -> Iterator[str]:
    """The name of a database that was migrated once; copies of it take 0.1 s."""
    from radretrieval.archive import migrations

    with server.database() as url:
        migrations.upgrade(url)
        yield database_of(url)


@pytest.fixture
def archive_url(server: Server, migrated_template: str) -> Iterator[str]:
    """The URL of an empty, migrated archive of this test's own."""
    with server.database(template=migrated_template) as url:
        yield url


@pytest.fixture
def database(archive_url: str) -> Database:
    """That archive, as the package knows it."""
    from radretrieval.archive.connections import Database

    return Database(archive_url)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a process whose home is this test's own."""
    from radretrieval.config import Settings

    return Settings(home=tmp_path / "home", database_url=None)


@pytest.fixture
def empty_database_url(server: Server) -> Iterator[str]:
    """The URL of a database of this test's own that was never migrated."""
    with server.database() as url:
        yield url


@pytest.fixture
def cli(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Run]:
    """The real command in its own process: cli(*arguments, url=…, check=True, timeout=120, **environment).

    Without `url` it meets the test's `archive_url`; with `url=None` no URL at all, so that it starts the
    embedded server in RADRETRIEVAL_HOME. `check` asserts exit code 0.
    """

    def run(
        *arguments: object,
        url: str | EllipsisType | None = ...,
        check: bool = True,
        timeout: float = 120,
        cwd: Path | None = None,
        **environment: str,
    ) -> Run:
        if url is ...:
            url = request.getfixturevalue("archive_url")
        command = [str(COMMAND), *map(str, arguments)]
        done = subprocess.run(
            command,
            env=clean_environment(tmp_path / "home", url) | environment,
            cwd=cwd or tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        told = f"{' '.join(command)}\nexit code {done.returncode}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0 or not check, told
        return Run(command, done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def inside(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Run]:
    """The same command line in this process, some seconds sooner: inside(*arguments, url=…, check=True, **environment).

    For what a command says and does; what becomes of its process is a matter for `cli`.
    """
    from inside import run_inside

    def run(*arguments: object, url: str | EllipsisType | None = ..., check: bool = True, **environment: str) -> Run:
        if url is ...:
            url = request.getfixturevalue("archive_url")
        return run_inside(arguments, clean_environment(tmp_path / "home", url) | environment, tmp_path, check=check)

    return run


def clean_environment(home: Path, url: str | None) -> dict[str, str]:
    """This process's environment without the user's settings, and with output that is the same everywhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RADRETRIEVAL_")}
    settings = {"RADRETRIEVAL_HOME": str(home)}
    if url is not None:
        settings["RADRETRIEVAL_DATABASE_URL"] = url
    return kept | settings | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared data beside the repository; where it is absent, the test is skipped."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"there is no shared data at {folder}")
    return folder


@pytest.fixture(scope="session")
def anchored(server: Server, migrated_template: str) -> Iterator[Anchored]:
    """A database with an exact index that searches take, to be copied; see anchored.py."""
    from anchored import made

    with made(server, migrated_template) as template:
        yield template


@pytest.fixture
def indexed(server: Server, anchored: Anchored) -> Iterator[Database]:
    """A copy of it of this test's own."""
    from radretrieval.archive.connections import Database

    with server.database(template=anchored.template) as url:
        yield Database(url)


@pytest.fixture(scope="module")
def reading(server: Server, anchored: Anchored) -> Iterator[Database]:
    """A copy of it for the tests of a module that change nothing."""
    from radretrieval.archive.connections import Database

    with server.database(template=anchored.template) as url:
        yield Database(url)


@pytest.fixture(scope="session")
def answers(server: Server, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """An archive of DICOM and PNG images with codes, for tests that write files and change no row; see answering.py."""
    from answering import made

    with made(server, migrated_template, tmp_path_factory.mktemp("answers")) as one:
        yield one


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    """The session's Chromium; where it is not installed, the test is skipped."""
    from browsing import Chromium

    chromium = Chromium()
    yield chromium
    chromium.stop()


@pytest.fixture
def visits(browser: Chromium) -> Iterator[Callable[..., Visit]]:
    """Users' browsers of this test: visits(viewport={"width": …, "height": …}, device_scale_factor=…, …).

    When the test ends they are closed, and none may have met a console error or asked another host; see browsing.py.
    """
    from browsing import visiting

    with browser.driven() as driven, ExitStack() as stack:
        yield lambda **options: stack.enter_context(visiting(driven, **options))


@pytest.fixture
def visit(visits: Callable[..., Visit]) -> Visit:
    """One user's browser."""
    return visits()


@pytest.fixture
def site() -> Iterator[Site]:
    """A server of the page's files alone, to which the test adds its own; see browsing.py."""
    from browsing import Site, serving_files

    with serving_files(Site()) as one:
        yield one


@pytest.fixture(scope="session")
def films(server: Server, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Films]:
    """A filled archive of DICOM films, as a template to be copied; see serving.py."""
    from serving import made

    with made(server, migrated_template, tmp_path_factory.mktemp("films")) as one:
        yield one


@pytest.fixture
def films_url(server: Server, films: Films) -> Iterator[str]:
    """The URL of a copy of it of this test's own."""
    with films.copy(server) as url:
        yield url


@pytest.fixture(scope="session")
def served(server: Server, films: Films) -> Iterator[Served]:
    """`radretrieval serve` on a copy of it, for tests that need no settings of their own."""
    from serving import serving

    with films.copy(server) as url, serving(films, url, RADRETRIEVAL_SERVE_HOSTS="radretrieval.test") as running:
        yield running
