"""Real peers for tests: Orthanc (DICOMweb and REST) and dcmqrscp, each in a network namespace of its own.

Both bind every address; in a namespace nobody else sees them, and each test has all ports to itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import requests
from conftest import COMMAND, Run, clean_environment
from programs import lacking, needs_program

T = TypeVar("T")

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
CLONE_NEWNET = 0x40000000
PORT, ROOT = 8042, "http://127.0.0.1:8042/dicom-web"
USER = ("radio", "secret")


class Space:
    """A network namespace with nothing but a loopback."""

    def __init__(self) -> None:
        self.name = f"rr{secrets.token_hex(4)}"

    def run(self, function: Callable[[], T]) -> T:
        """Call a function whose sockets are of this namespace."""
        answers: list[T] = []

        def inside() -> None:
            handle = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
            try:
                assert ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET) == 0, os.strerror(
                    ctypes.get_errno()
                )
            finally:
                os.close(handle)
            answers.append(function())

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        assert answers, "it failed in the namespace"
        return answers[0]

    def command(self, *arguments: object) -> list[str]:
        """A command line that runs in this namespace; its process becomes the command."""
        return ["ip", "netns", "exec", self.name, *map(str, arguments)]

    def cli(self, home: Path, url: str, *arguments: object, check: bool = True, **environment: str) -> Run:
        """The real command in this namespace."""
        command = self.command(COMMAND, *arguments)
        env = clean_environment(home, url) | environment
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
        told = f"{' '.join(command)}\nexit code {done.returncode}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0 or not check, told
        return Run(command, done.returncode, done.stdout, done.stderr)


@contextlib.contextmanager
def space(url: str) -> Iterator[Space]:
    """A new namespace, for commands that use the archive at `url`; skips where there can be none."""
    needs_program("ip")
    if os.geteuid() != 0:
        lacking("netns", "network namespaces need root")
    if "host=/" not in url and "host=%2F" not in url:
        pytest.skip("the database is reached by TCP, which does not lead out of a network namespace")
    made = Space()
    done = subprocess.run(["ip", "netns", "add", made.name], capture_output=True, text=True, check=False)
    if done.returncode:
        lacking("netns", f"no network namespace can be made: {done.stderr.strip()}")
    try:
        subprocess.run(made.command("ip", "link", "set", "lo", "up"), check=True)
        yield made
    finally:
        subprocess.run(["ip", "netns", "del", made.name], check=False)


class Orthanc:
    """Orthanc with basic auth and its DICOMweb plugin, in a namespace."""

    def __init__(self, place: Space, folder: Path) -> None:
        self.space, self.folder = place, folder
        self.root = ROOT
        self.credentials = folder / "credentials"
        self.credentials.write_text(":".join(USER))
        self._process: subprocess.Popen[bytes] | None = None
        self._session = requests.Session()
        self._session.auth = USER

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {
            "StorageDirectory": str(self.folder / "files"),
            "IndexDirectory": str(self.folder / "files"),
            "HttpPort": PORT,
            "DicomPort": 4242,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": dict([USER]),
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        (self.folder / "orthanc.json").write_text(json.dumps(settings))
        with open(self.folder / "orthanc.log", "ab") as log:
            command = self.space.command("Orthanc", self.folder / "orthanc.json")
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        for _ in range(200):
            with contextlib.suppress(requests.RequestException):
                if self.ask("GET", "system").status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError((self.folder / "orthanc.log").read_text())

    def stop(self) -> None:
        """Kill it, by its id: in order it takes seconds."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    def ask(self, method: str, path: str, data: bytes | None = None) -> requests.Response:
        """One request to its REST API."""

        def go() -> requests.Response | None:
            try:
                return requests.request(method, f"http://127.0.0.1:{PORT}/{path}", data=data, auth=USER, timeout=20)
            except requests.RequestException:
                return None

        answer = self.space.run(go)
        if answer is None:
            raise requests.ConnectionError("it does not answer")
        return answer

    def put(self, *files: bytes) -> list[str]:
        """Store files; their ids in the REST API."""

        def go() -> list[str]:
            answers = [
                self._session.post(f"http://127.0.0.1:{PORT}/instances", data=data, timeout=20) for data in files
            ]
            return [str(answer.json()["ID"]) for answer in answers]

        return self.space.run(go)

    def delete(self, *ids: str) -> None:
        """Delete instances."""
        for one in ids:
            assert self.ask("DELETE", f"instances/{one}").status_code == 200


@contextlib.contextmanager
def orthanc_in(place: Space, folder: Path) -> Iterator[Orthanc]:
    """A running Orthanc; skips where it is not installed."""
    needs_program("Orthanc")
    if not PLUGIN.exists():
        lacking("orthanc", "Orthanc's DICOMweb plugin is not installed")
    server = Orthanc(place, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def corpus(shared: Path) -> dict[str, bytes]:
    """The valid DICOM files of the shared data by SOP Instance UID; those that share one get UIDs of their own."""
    import io

    from pydicom import dcmread
    from pydicom.uid import generate_uid

    found: dict[str, bytes] = {}
    for path in sorted((shared / "data" / "dicom" / "valid").glob("*.dcm")):
        data = path.read_bytes()
        uid = uid_of(data)
        if uid in found:
            ds = dcmread(io.BytesIO(data))
            ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid = generate_uid()
            out = io.BytesIO()
            ds.save_as(out)
            data = out.getvalue()
        found[uid] = data
    return found


def uid_of(data: bytes) -> str:
    """The SOP Instance UID of a file."""
    import io

    from pydicom import dcmread

    return str(dcmread(io.BytesIO(data), force=True, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)


def film(number: int, *, study: int | None = None, day: str = "20200102", side: int = 24) -> bytes:
    """A small computed radiograph, in explicit VR little endian; each number gives other pixels and UIDs."""
    import io

    import numpy as np
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.10.99.3.{number}"
    series = number if study is None else study
    ds.StudyInstanceUID, ds.SeriesInstanceUID = (
        f"1.2.826.0.1.3680043.10.99.1.{series}",
        f"1.2.826.0.1.3680043.10.99.2.{series}",
    )
    ds.PatientID, ds.Modality, ds.StudyDate, ds.BodyPartExamined = f"P{series}", "CR", day, "CHEST"
    ds.Rows = ds.Columns = side
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelData = np.random.default_rng(number).integers(0, 4096, (side, side), np.uint16).tobytes()
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()
