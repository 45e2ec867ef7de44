"""What tests of the node need: `receive` as a process, files to send, real senders."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pydicom
from conftest import COMMAND, clean_environment
from programs import lacking, needs_program
from psycopg.rows import dict_row
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from radretrieval.dicom.scp.commit_queue import ReceiveQueue
from radretrieval.storage.content_store import ContentStore

CR = "1.2.840.10008.5.1.4.1.1.1"
PATIENCE = 60.0


class Receiving:
    """`radretrieval receive` on a free port of 127.0.0.1, its log, its store and what its archive has.

    Parameters
    ----------
    url : None for the embedded server of `home`.
    inside : words before the command, as of `ip netns exec`.
    """

    def __init__(
        self,
        home: Path,
        url: str | None,
        *options: object,
        inside: Sequence[str] = (),
        port: int = 0,
        store: Path | None = None,
    ) -> None:
        self.url = url or ""
        self.store = ContentStore(store or home / "store")
        self.lines: list[str] = []
        environment = clean_environment(home, url) | {"RADRETRIEVAL_STORE": str(self.store.folder)}
        words = [*inside, str(COMMAND), "receive", "--host", "127.0.0.1", "--port", str(port), *map(str, options)]
        self.process = subprocess.Popen(
            words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=home.parent
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        said = self.logged(r"listens on \S*?:(\d+)")
        self.port = int(said[1])

    def __enter__(self) -> Receiving:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self._reader.join()
        self.process.communicate()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())

    def logged(self, pattern: str, seconds: float = PATIENCE) -> re.Match[str]:
        """The first line of the log that matches; waits for it."""
        deadline = time.monotonic() + seconds
        while True:
            ended = self.process.poll() is not None and not self._reader.is_alive()
            found = next((m for line in list(self.lines) if (m := re.search(pattern, line))), None)
            if found:
                return found
            assert not ended, f"it ended with {self.process.returncode}: {self.lines}"
            assert time.monotonic() < deadline, f"{pattern!r} is not in the log: {self.lines}"
            time.sleep(0.05)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """What the archive answers."""
        with psycopg.connect(
            self.url, row_factory=dict_row, options="-c search_path=radretrieval,public"
        ) as connection:
            return connection.execute(statement).fetchall()  # type: ignore[call-overload]

    def settled(self) -> None:
        """Wait until nothing waits to become an image."""
        until(lambda: not self.rows("SELECT FROM arrival LIMIT 1"), "arrivals are left")

    def files(self) -> set[str]:
        """The names of all files in the store, drafts too."""
        return {path.name for path in self.store.folder.rglob("*") if path.is_file()}


def until(holds: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def a_file(path: Path, seed: int = 0, uid: str | None = None, side: int = 32, sop_class: str = CR) -> str:
    """Write a radiograph of noise; its SOP Instance UID."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, uid or generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality, ds.PatientID = generate_uid(), generate_uid(), "CR", "P1"
    ds.Rows, ds.Columns, ds.PixelRepresentation, ds.SamplesPerPixel = side, side, 0, 1
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PhotometricInterpretation = 16, 12, 11, "MONOCHROME2"
    ds.PixelData = np.random.default_rng(seed).integers(0, 4096, (side, side), np.uint16).tobytes()
    ds.save_as(path, enforce_file_format=True)
    return str(ds.SOPInstanceUID)


def take_in(queue: ReceiveQueue, data: bytes, origin: str, uid: str) -> None:
    """Store a file as the node does that has received it."""
    draft = queue.draft()
    draft.write(data)
    queue.store_draft(draft, origin, uid)
    draft.close()


def call(
    program: str, *words: object, inside: Sequence[str] = (), check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a program of DCMTK."""
    done = subprocess.run([*inside, program, *map(str, words)], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0 or not check, f"{done.args}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def storescu(
    port: int, *files: Path, check: bool = True, options: Iterable[object] = ()
) -> subprocess.CompletedProcess[str]:
    """Send files, uncompressed ones of explicit VR among them, and tell what was answered."""
    words = ("-v", "-aet", "SENDER", "-aec", "RADRETRIEVAL", *options, "127.0.0.1", port, *files)
    return call("storescu", *words, check=check)


def profile(path: Path, files: Iterable[Path]) -> Path:
    """A profile for storescu -xf that offers each class and syntax of these files in a context of its own."""
    pairs = []
    for file in files:
        ds = pydicom.dcmread(file, stop_before_pixels=True, force=True)
        pair = (str(ds.SOPClassUID), str(syntax_of(ds)))
        if pair not in pairs:
            pairs.append(pair)
    syntaxes = sorted({syntax for _, syntax in pairs})
    lines = ["[[TransferSyntaxes]]"]
    for number, syntax in enumerate(syntaxes):
        lines += [f"[T{number}]", f"TransferSyntax1 = {syntax}"]
    lines += ["[[PresentationContexts]]", "[Contexts]"]
    for number, (sop_class, syntax) in enumerate(pairs, 1):
        lines.append(f"PresentationContext{number} = {sop_class}\\T{syntaxes.index(syntax)}")
    lines += ["[[Profiles]]", "[Default]", "PresentationContexts = Contexts"]
    path.write_text("\n".join(lines) + "\n")
    return path


def syntax_of(ds: Any) -> str:
    """The transfer syntax of a data set, by its meta header or, without one, as pydicom found it."""
    told = getattr(ds, "file_meta", {}).get("TransferSyntaxUID")
    return str(told or ("1.2.840.10008.1.2" if ds.original_encoding[0] else "1.2.840.10008.1.2.1"))


def pixels(path: Path) -> tuple[str, str, bytes]:
    """SOP Instance UID, transfer syntax and Pixel Data of a file, as they are encoded."""
    ds = pydicom.dcmread(path, force=True)
    return str(ds.SOPInstanceUID), syntax_of(ds), bytes(ds.get("PixelData", b"")).rstrip(b"\0")


@contextlib.contextmanager
def namespace() -> Iterator[list[str]]:
    """A network of this test's own, with a loopback and nothing else: the words that run a command in it."""
    needs_program("ip")
    name = f"rr{os.getpid()}"
    if os.geteuid() != 0 or subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        lacking("netns", "network namespaces need root")
    inside = ["ip", "netns", "exec", name]
    try:
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        yield inside
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)
