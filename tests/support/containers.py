"""A container engine of a test's own, an image built with it, and the services of compose.yaml run by it.

Nothing here touches the machine's own images and containers: storage, state and policy lie in one folder, which goes
with the test.
"""

from __future__ import annotations

import ast
import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from ruamel.yaml import YAML

from radretrieval.archive.embedded import account

ROOT = Path(__file__).parents[2]
PROGRAMS = ("podman", "buildah", "runc", "mmdebstrap")
PACKAGES = "python3,python3-venv,python-is-python3,ca-certificates"
PASSWORD = "a password: with / signs @ that # URLs ? do not like"
Done = subprocess.CompletedProcess[str]


def called(command: Sequence[object], *, check: bool = True, seconds: float = 600, **options: Any) -> Done:
    """Run a command; with `check`, a failure shows the end of what it printed."""
    parts = [str(part) for part in command]
    done = subprocess.run(parts, capture_output=True, text=True, timeout=seconds, check=False, **options)
    told = f"{' '.join(parts)}\nexit code {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    assert done.returncode == 0 or not check, told
    return done


class Engine:
    """podman and buildah on a storage of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.policy = folder / "policy.json"
        self.policy.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
        self.storage = [f"--root={folder / 'root'}", f"--runroot={folder / 'run'}"]
        overlay = called(["buildah", *self.storage, "--storage-driver=overlay", "info"], check=False)
        # within a container overlays may not be stackable; vfs copies every layer, and works everywhere
        self.storage.append(f"--storage-driver={'overlay' if overlay.returncode == 0 else 'vfs'}")

    def podman(self, *arguments: object, check: bool = True) -> Done:
        """podman; runc, because crun wants cgroups of one version only."""
        return called(["podman", *self.storage, "--runtime=runc", *arguments], check=check)

    def base(self, tag: str) -> None:
        """Make a base image of Debian's packages, of the release that this machine runs: its Python has our wheels."""
        release = dict(re.findall(r"^(\w+)=\"?([^\"\n]*)", Path("/etc/os-release").read_text(), re.MULTILINE))
        suite = release["VERSION_CODENAME"] if release.get("ID") == "debian" else "bookworm"
        tar = self.folder / "base.tar"
        called(["nice", "mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", suite, tar])
        self.podman("import", "--signature-policy", self.policy, tar, tag)
        tar.unlink()

    def build(self, tag: str, *arguments: object, check: bool = True) -> Done:
        """Build docker/Dockerfile from what git knows of the working tree, with this machine's pip settings."""
        source = self.folder / "source"
        if not source.exists():
            source.mkdir()
            changed = called(["git", "stash", "create"], cwd=ROOT).stdout.strip()
            called(["git", "archive", f"--output={source}.tar", changed or "HEAD"], cwd=ROOT)
            called(["tar", "--extract", f"--file={source}.tar", f"--directory={source}"])
        command: list[object] = ["nice", "buildah", *self.storage, "bud", "--isolation=chroot", "--network=host"]
        command += ["--format=docker", "--layers", "--signature-policy", self.policy, *self._pip()]
        command += [*arguments, "--tag", tag, "--file", source / "docker" / "Dockerfile", source]
        return called(command, check=check, seconds=3600)

    def _pip(self) -> list[str]:
        """The secret pip_conf, and the folders and certificates of this machine that it names."""
        listed = called([sys.executable, "-m", "pip", "config", "list"]).stdout
        settings = {}
        for line in listed.splitlines():
            name, _, value = line.partition("=")
            settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
        settings.pop("constraint", None)  # caps of this machine, where constraints.txt holds versions
        lines = [f"{name} = {value.replace(chr(10), chr(10) + '    ')}" for name, value in settings.items()]
        secret = self.folder / "pip.conf"
        secret.write_text("\n".join(["[global]", *lines, ""]))
        words = {word for name, value in settings.items() if name != "index-url" for word in value.split()}
        # the pages of an index on disk lead to files beside it
        places = {Path(word.removeprefix("file://")).parent for word in words if word.startswith("file://")}
        places |= {Path(word) for word in words if word.startswith("/")}
        mounts = [f"--volume={place}:{place}:ro" for place in sorted(places) if place.exists()]
        return [f"--secret=id=pip_conf,src={secret}", *mounts]

    def close(self) -> None:
        """End the containers, and remove everything."""
        self.podman("rm", "--all", "--force", "--time=5", check=False)
        called(["buildah", *self.storage, "rm", "--all"], check=False)
        self.podman("rmi", "--all", "--force", check=False)
        for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            if (place := line.split()[1]).startswith(f"{self.folder}/"):
                called(["umount", "--lazy", place], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


class Services:
    """The services of compose.yaml as podman runs them; on the host's network, for that needs no set-up here.

    Parameters
    ----------
    folder : stands for docker/, with secrets/ and peers.
    variables : those that compose.yaml takes from the environment.
    places : what stands here for the names and ports of the services' own network, as `db:5432`.
    """

    def __init__(
        self, engine: Engine, image: str, folder: Path, variables: Mapping[str, str], places: Mapping[str, str]
    ) -> None:
        self.engine, self.image, self.folder = engine, image, folder
        self.variables, self.places = variables, places
        text = (ROOT / "docker" / "compose.yaml").read_text()
        self.services: dict[str, Any] = YAML(typ="safe").load(text)["services"]

    def run(self, service: str, *command: object, check: bool = True, more: Sequence[str] = ()) -> Done:
        """`docker compose run --rm SERVICE COMMAND…`, without a command the service's own; `more` flags of podman."""
        return self._run(service, command, ["--rm", *more], check)

    def start(self, service: str) -> str:
        """`docker compose up -d SERVICE`; returns the container's name."""
        self._run(service, (), ["--detach", f"--name={service}"], True)
        return service

    def _run(self, service: str, command: Sequence[object], flags: Sequence[str], check: bool) -> Done:
        found = self.services[service]
        arguments = [str(part) for part in command] or [self._filled(part) for part in found["command"]]
        return self.engine.podman("run", *self._flags(found), *flags, self.image, *arguments, check=check)

    def healthy(self, service: str) -> Done:
        """The service's health check in its running container; the engine would run it by a timer."""
        test = self.services[service]["healthcheck"]["test"]
        return self.engine.podman("exec", service, *map(self._filled, test[1:]), check=False)

    def logged(self, name: str, text: str, seconds: float = 120) -> str:
        """Wait until a container has said this; returns all that it said."""
        self.until(lambda: text in self._said(name), seconds)
        return self._said(name)

    def until(self, true: Callable[[], bool], seconds: float = 120) -> None:
        """Wait until something is so."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"not so within {seconds:.0f} s"
            time.sleep(0.5)

    def _said(self, name: str) -> str:
        done = self.engine.podman("logs", name)
        return done.stdout + done.stderr

    def stopped(self, name: str) -> tuple[int, str]:
        """`docker compose stop`; returns the exit code and what it said. 137 would be a kill after the grace period."""
        self.engine.podman("stop", "--time=60", name)
        code = self.engine.podman("inspect", "--format={{.State.ExitCode}}", name).stdout
        said = self._said(name)
        self.engine.podman("rm", name)
        return int(code), said

    def _filled(self, text: str) -> str:
        """A value with its variables, by the forms of the Compose specification that compose.yaml uses."""
        form = r"\$\{(\w+)(?::[-?]([^}]*))?\}"
        filled = re.sub(form, lambda found: self.variables.get(found[1], found[2] or ""), text)
        for name, place in self.places.items():
            filled = filled.replace(name, place)
        return filled

    def _flags(self, service: dict[str, Any]) -> list[str]:
        # no timers and no init where systemd and catatonit are absent; podman's own limits may be above root's here
        flags = ["--network=host", "--no-healthcheck", "--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096"]
        flags += [f"--user={service['user']}", f"--read-only={str(service['read_only']).lower()}"]
        flags += ["--read-only-tmpfs=false", *(f"--tmpfs={place}" for place in service["tmpfs"])]
        flags += [f"--cap-drop={name}" for name in service["cap_drop"]]
        flags += [f"--security-opt={option.removesuffix(':true')}" for option in service["security_opt"]]
        flags += [f"--group-add={self._filled(group)}" for group in service["group_add"]]
        for name, value in service["environment"].items():
            flags.append(f"--env={name}={self._filled(value)}")
        for name in service["secrets"]:
            flags.append(f"--volume={self.folder / 'secrets' / name}:/run/secrets/{name}:ro")
        for config in service.get("configs", ()):
            flags.append(f"--volume={self.folder / config['source']}:{config['target']}:ro")
        for mount in service["volumes"]:
            if isinstance(mount, dict):
                mount = f"{mount['source']}:{mount['target']}" + (":ro" if mount.get("read_only") else "")
            flags.append(f"--volume={self._filled(mount)}")
        return flags


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def password_server(folder: Path) -> Iterator[tuple[int, str]]:
    """A PostgreSQL on loopback that asks for a password: its port, and the URL of the superuser's database."""
    who = account.server_account(folder / "nobody")
    programs = account.binaries(who)
    # not below pytest's folders, which are closed to all but root
    home = Path(tempfile.mkdtemp(prefix="rr-pg-"))
    port = free_port()
    try:
        account.change_owner(home, who)
        data, password = home / "data", home / "password"
        password.write_text(PASSWORD)
        account.change_owner(password, who)
        initdb = [programs / "initdb", f"--pgdata={data}", "--username=radretrieval", "--auth=scram-sha-256"]
        made = account.run_as(who, [*initdb, f"--pwfile={password}", "--encoding=UTF8", "--locale=C"], 120)
        assert made.returncode == 0, made.stderr
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
        server = [str(programs / "postgres"), "-D", str(data), *(f"--{key}={value}" for key, value in settings.items())]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                server, cwd="/", env=account.ENVIRONMENT, stdout=log, stderr=log, **account.identity(who)
            )
        try:
            url = f"postgresql://radretrieval:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/postgres"
            _answers(url, home / "log")
            yield port, url
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown
            process.wait(60)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _answers(url: str, log: Path) -> None:
    for _ in range(300):
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(url, connect_timeout=5).close()
            return
        time.sleep(0.2)
    raise AssertionError(f"the server does not answer:\n{log.read_text()}")
