"""Every command of docs/operations.md runs: here, section by section, or in the test that is named for it.

The shell is bash and its programs are the real ones; `radretrieval` is answered by this process, some seconds sooner.
Only hosts, folders and numbers are others: a database of the page is one of this server, an absolute path lies in a
folder of the tests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from answering import uid
from conftest import ROOT, clean_environment
from databases import Server
from inside import run_inside
from roled import GROUPS, QUOTED, drop_roles, logged_in
from serving import CODES, Films
from small_web import SmallWeb
from small_web import serving as web_serving

from radretrieval.archive.embedded import account
from radretrieval.archive.schema.rights import role

TEXT = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
CRON = re.compile(r"(?:[\d*/]+\s+){5}")
SQL = ("ALTER ", "CREATE ", "DROP ", "GRANT ")
# Sections whose commands are those of a test of their own.
OTHER_SECTIONS = {
    "Install": "tests/system/test_wheel.py::test_the_unpacked_wheel_is_what_runs",
    "A pooler": "tests/archive/test_field_pooler.py",
    "Physical backups": "tests/archive/test_physical_backup.py::test_back_to_the_moment_before_a_mistake",
}
# How a line begins that cannot run here, and why or where it does.
OTHER_LINES = {
    "useradd ": "an account of the machine",
    "systemctl ": "no systemd runs services here; the units are those of tests/system/test_systemd_units.py",
    "radretrieval work --metrics ": "tests/results/test_metrics.py::test_a_worker_and_a_file_that_cannot_be_read",
    "radretrieval audit export --since last syslog": "tests/api/test_audit_export.py",
    "initdb -D /srv/pg18 ": "a second server, of another major version: benchmarks/pg_upgrade.py",
    "pg_upgrade ": "a second server, of another major version: benchmarks/pg_upgrade.py",
    "pg_ctl -D /srv/pg18 ": "a second server, of another major version: benchmarks/pg_upgrade.py",
    "psql -d radretrieval -U postgres ": "a second server, of another major version: benchmarks/pg_upgrade.py",
    "vacuumdb -U postgres ": "a second server, of another major version: benchmarks/pg_upgrade.py",
    "radretrieval --log-format json receive": "tests/system/test_canaries.py",
    "radretrieval patient-key of -": "tests/privacy/test_archive_key.py::test_the_pseudonym_of_an_identifier",
    "make sbom": "tests/docs/test_sbom.py",
    "python packaging/sbom.py ": "tests/docs/test_sbom.py",
    "docker run ": "no container engine runs here",
    "make audit": "tests/docs/test_sbom.py",
    "radretrieval patient-key rotate": "no other process may hold the key; tests/privacy/test_key_rotation.py",
}
CLIENT = """#!{python} -Ss
import json, os, socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect({address!r})
peer.sendall(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode() + b"\\n")
code, out, err = json.loads(b"".join(iter(lambda: peer.recv(65536), b"")))
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""


def sections() -> dict[str, list[str]]:
    """The commands below each heading: lines of its indented blocks, without comments; a continued line is one."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in TEXT.replace(" \\\n", " ").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("    ") and line.strip()[0] not in '{"':  # output that is shown
            found.setdefault(heading, []).append(re.sub(r"\s+# .*", "", line.strip()))
    return found


SECTIONS = sections()


class Shell:
    """bash in a folder with the archive of films, with this process for `radretrieval`.

    Attributes
    ----------
    url : of the archive. new : of an empty database, another for each section. root : what stands for `/`.
    """

    def __init__(self, root: Path, films: Films, url: str, pacs: str) -> None:
        self.root, self.films, self.url, self.pacs = root, films, url, pacs
        self.new = ""
        self.folder = root / "work"
        self._proven: set[str] = set()  # commands that take seconds, and stand on the page more than once
        for name in ("work", "bin", "backup", "safe", "root", "etc/systemd/system", "srv/radiographs", "var/tmp"):
            (root / name).mkdir(parents=True)
        (root / "var/lib/prometheus/node-exporter").mkdir(parents=True)
        shutil.copytree(films.home, root / "var/lib/radretrieval")
        (root / "root/passphrase").write_text("correct horse battery staple\n")
        (root / "etc/radretrieval").mkdir()
        (root / "etc/radretrieval/password").write_text("not asked for\n")
        (self.folder / "packaging").symlink_to(ROOT / "packaging")
        for film in films.new:
            shutil.copy(film, root / "srv/radiographs")
        labels = [f"{film.name},{code},train" for film, code in zip(films.new, CODES, strict=True)]
        (root / "srv/radiographs/labels.csv").write_text("\n".join(["file,irma_code,split", *labels]) + "\n")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(root / "s"))
        self._listener.listen()
        self._listener.settimeout(0.02)
        client = root / "bin/radretrieval"
        client.write_text(CLIENT.format(python=sys.executable, address=str(root / "s")))
        client.chmod(0o755)

    def here(self, line: str) -> str:
        """The line with the databases, folders and numbers of the test."""
        changes = [
            (r"postgresql://radretrieval@db\.example/new", f"'{self.new}'"),
            (r"postgresql://radretrieval@db\.example:5432/radretrieval", f"'{self.url}'"),
            (r"-d radretrieval ", f'-d "{self.url}" '),
            (r"https://pacs\.example/dicom-web", self.pacs),
            (r"(?<![\w:/.@])/(backup|safe|root|etc|srv|var)/", rf"{self.root}/\1/"),
            (r"-g radretrieval", f"-g {os.getgid()}"),
            (r"--patient 4711", "--patient patient-1"),
            (r"--study 1\.2\.840\S*", f"--study {uid('served study', 7)}"),
            (r"--image 1234", "--image 20"),
            (r"(radretrieval train) ", r"\1 --epochs 1 "),
            (r"radretrieval (db check --role worker)", rf"radretrieval --database-url '{self.worker}' \1"),
        ]
        for pattern, replacement in changes:
            line = re.sub(pattern, replacement, line)
        return line

    @property
    def worker(self) -> str:
        """The URL of the role that the page makes for `work`."""
        return logged_in(self.url, "rr_work").replace(QUOTED, quote("…"))

    def run(self, line: str) -> None:
        """Run a line; it must end with 0."""
        text = self.here(CRON.sub("", line))
        if (again := text.replace("-last", "")) in self._proven:
            return
        if "--verify" in text:
            self._proven.add(again)
        service = re.match(r"radretrieval (--\S+ \S+ )*(receive|serve|work)\b(?! --once)", text)
        assert service is None, f"{text}: a service does not end; name its test in OTHER_LINES"
        if line.startswith(SQL):
            with psycopg.connect(self.url, autocommit=True) as dba:
                dba.execute(text)  # type: ignore[call-overload]
            return
        programs = [str(self.root / "bin"), str(account.binaries(None)), str(Path(sys.executable).parent)]
        environment = clean_environment(self.root / "var/lib/radretrieval", self.url)
        environment |= {"PATH": ":".join([*programs, os.environ["PATH"]]), "OMP_NUM_THREADS": "1"}
        shell = subprocess.Popen(
            ["bash", "-eu", "-o", "pipefail", "-c", text],
            env=environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        while shell.poll() is None:
            self._answer()
        assert shell.stdout is not None
        told = shell.stdout.read()
        assert shell.returncode == 0, f"{text}\nended with {shell.returncode}\n{told}"

    def _answer(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except TimeoutError:
            return
        with peer:
            arguments, environment, folder = json.loads(peer.makefile("rb").readline())
            done = run_inside(arguments, environment, Path(folder), check=False)
            peer.sendall(json.dumps([done.returncode, done.stdout, done.stderr]).encode())


@pytest.fixture(scope="module")
def shell(server: Server, films: Films, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with (
        films.copy(server) as url,
        web_serving(SmallWeb()) as web,
        psycopg.connect(url, autocommit=True) as dba,
    ):
        dba.execute("CREATE ROLE analyst")
        try:
            yield Shell(tmp_path_factory.mktemp("o"), films, url, web.root)
        finally:
            made = dba.execute("SELECT rolname FROM pg_roles").fetchall()
            ours = ["analyst", "rr_work", *map(role, GROUPS)]
            drop_roles(dba, [name for name in ours if (name,) in made])


def elsewhere(line: str) -> str | None:
    """Why or where a line runs that does not run here."""
    line = CRON.sub("", line)
    return next((reason for begin, reason in OTHER_LINES.items() if line.startswith(begin)), None)


@pytest.mark.parametrize("section", [name for name in SECTIONS if name not in OTHER_SECTIONS])
def test_every_command_of_the_section_runs(section: str, shell: Shell, empty_database_url: str) -> None:
    """In the order of the page: later sections stand on what earlier ones made."""
    shell.new = empty_database_url
    with psycopg.connect(shell.new) as empty:
        empty.execute("CREATE EXTENSION vector")
    for line in SECTIONS[section]:
        if elsewhere(line) is None:
            shell.run(line)


@pytest.mark.parametrize("reason", [*OTHER_SECTIONS.values(), *OTHER_LINES.values()])
def test_what_runs_elsewhere_is_a_test(reason: str) -> None:
    for file, name in re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", reason):
        assert f"def {name or 'test_'}" in (ROOT / file).read_text()


def test_no_exception_is_left_over() -> None:
    lines = [CRON.sub("", line) for found in SECTIONS.values() for line in found]
    for begin in OTHER_LINES:
        assert any(line.startswith(begin) for line in lines), begin
    assert set(OTHER_SECTIONS) <= set(SECTIONS)
