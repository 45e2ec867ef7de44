"""Peers that take answers: Orthanc and storescp in a network namespace of their own, pynetdicom on loopback."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from programs import lacking, needs_program

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@dataclass
class Namespace:
    """A network of one machine: its name, and its address as it is reached from here, and from nowhere else."""

    name: str
    address: str

    def start(self, *command: object, log: Path, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        with log.open("wb") as out:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.name, *map(str, command)], stdout=out, stderr=out, cwd=cwd
            )


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A namespace with a cable to it; skips the test where this user may not make one."""
    needs_program("ip")
    if os.geteuid() != 0:
        lacking("netns", "a network namespace needs root")
    name = f"ro{secrets.token_hex(4)}"
    net = f"169.254.{1 + secrets.randbelow(250)}.{4 * secrets.randbelow(60)}".rsplit(".", 1)
    here, there = f"{net[0]}.{int(net[1]) + 1}", f"{net[0]}.{int(net[1]) + 2}"
    inside = ("ip", "netns", "exec", name)
    steps: list[tuple[str, ...]] = [
        ("ip", "link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name),
        ("ip", "addr", "add", f"{here}/30", "dev", f"{name}a"),
        ("ip", "link", "set", f"{name}a", "up"),
        (*inside, "ip", "addr", "add", f"{there}/30", "dev", f"{name}b"),
        (*inside, "ip", "link", "set", f"{name}b", "up"),
        (*inside, "ip", "link", "set", "lo", "up"),
    ]
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        lacking("netns", f"no network namespace can be made here: {made.stderr.strip()}")
    try:
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode:
                lacking("netns", f"no network namespace can be made: {' '.join(step)}: {done.stderr.strip()}")
        yield Namespace(name, there)
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


def wait_for(ready: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "the peer did not start"
        time.sleep(0.1)


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End it with the block; in order Orthanc takes seconds."""
    try:
        yield
    finally:
        process.kill()
        process.wait()


@dataclass
class Orthanc:
    """An Orthanc that is empty at first, called ORTHANC, with the user radio, password secret."""

    address: str

    @property
    def peer(self) -> str:
        return f"ORTHANC@{self.address}:14242"

    @property
    def url(self) -> str:
        return f"http://{self.address}:18042/dicom-web"

    def get(self, path: str) -> bytes:
        """An answer of its own interface."""
        request = urllib.request.Request(f"http://{self.address}:18042{path}")
        request.add_header("Authorization", "Basic " + b64encode(b"radio:secret").decode())
        with urllib.request.urlopen(request, timeout=5) as answer:
            found: bytes = answer.read()
            return found

    def files(self) -> list[bytes]:
        """The files of all instances that it has."""
        return [self.get(f"/instances/{one}/file") for one in json.loads(self.get("/instances"))]


@contextmanager
def orthanc(place: Namespace, folder: Path, **changes: Any) -> Iterator[Orthanc]:
    needs_program("Orthanc")
    if not PLUGIN.exists():
        lacking("orthanc", "Orthanc's DICOMweb plugin is not installed")
    settings = {
        "Name": "out",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": 18042,
        "DicomPort": 14242,
        "DicomAet": "ORTHANC",
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowStore": True,
        "RemoteAccessAllowed": True,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {"radio": "secret"},
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        **changes,
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    peer = Orthanc(place.address)

    def ready() -> bool:
        with suppress(OSError):
            return bool(peer.get("/system"))
        return False

    with ended(place.start("Orthanc", folder / "orthanc.json", log=folder / "orthanc.log")):
        wait_for(ready)
        yield peer


@contextmanager
def storescp(place: Namespace, folder: Path, *options: str) -> Iterator[str]:
    """DCMTK's storescp, which writes into `folder`; how it is named to --store-to."""
    needs_program("storescp")
    command = ("storescp", "-aet", "STORESCP", "-od", folder, *options, "11112")

    def ready() -> bool:
        with suppress(OSError), socket.create_connection((place.address, 11112), 1):
            return True
        return False

    with ended(place.start(*command, log=folder.with_suffix(".log"))):
        wait_for(ready)
        yield f"STORESCP@{place.address}:11112"


@contextmanager
def scp(answer: Callable[[Any], Any], kinds: list[str], **settings: Any) -> Iterator[str]:
    """A node called PACS on loopback that takes these SOP classes and answers each C-STORE with a status."""
    from pynetdicom import AE, evt

    ae = AE("PACS")
    for name, value in settings.items():
        setattr(ae, name, value)
    for kind in kinds:
        ae.add_supported_context(kind)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, answer)])
    try:
        yield f"PACS@127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
