"""How fast files come in by C-STORE, on the disk and told of in the archive before each is answered.

    python benchmarks/receive.py [--files 400] [--associations 4] [--rounds 5] [--intake] [--json FILE]

Senders are DCMTK's dcmsend, one a connection, with files of 100 kB. The peers, in the same run and turn by turn, all
below the same folder:

- a bare pynetdicom node that writes each file and brings it to the disk (fsync of file and folder), and does no more;
- Orthanc with SyncStorageArea, as it comes: it brings the data of a file to the disk (fdatasync) before it answers, but
  neither the folders that have its name nor its index (SQLite, WAL, synchronous NORMAL);
- DCMTK's storescp, a process an association, which brings nothing to the disk: a floor, not a peer.

At last twelve connections that say nothing, and how long a C-ECHO takes beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from _common import command, database, environment, machine, skip, table

SIDE = 220  # pixels of 16 bits: 97 kB
BAR = 250  # files a second, issue 5
IDLE = 12
PDU = 131072  # bytes, of all of them: with the 16 kB that Orthanc and storescp come with they are slower
PEER = """
import os, sys
from pynetdicom import AE, evt
import pynetdicom
pynetdicom._config.LOG_HANDLER_LEVEL = "none"
folder = sys.argv[1]
def store(event):
    path = f"{folder}/{event.request.AffectedSOPInstanceUID}"
    with open(path + ".part", "wb") as file:
        file.write(event.encoded_dataset())
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".part", path)
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
    return 0
ae = AE("PEER")
ae.maximum_pdu_size = 131072
ae.add_supported_context("1.2.840.10008.5.1.4.1.1.1", ["1.2.840.10008.1.2.1"])
ae.add_supported_context("1.2.840.10008.1.1")
server = ae.start_server(("127.0.0.1", int(sys.argv[2])), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
sys.stdin.read()
"""


def main() -> None:
    """Measure, print the table, write the figures."""
    os.environ["TCP_NODELAY"] = "1"  # else a file waits 40 ms where both ends are DCMTK's: Nagle's and the delayed ACK
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=400, help="of each sender (default: %(default)s)")
    parser.add_argument("--associations", type=int, default=4, help="senders at one time (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each takes its turn (default: %(default)s)")
    parser.add_argument("--intake", action="store_true", help="make images meanwhile")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if shutil.which("dcmsend") is None:
        skip("dcmsend (DCMTK) is not installed")
    # not on the disk that is measured: what is written there waits with everything else
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with ExitStack() as stack:
        _, settings = stack.enter_context(database())
        sent = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=memory)))
        options = ["--host", "127.0.0.1", "--intake" if arguments.intake else "--no-intake"]
        words = [*command("receive", *options), "--port"]
        nodes = {"receive": stack.enter_context(node(words, env=environment(settings)))}
        nodes |= {name: stack.enter_context(node(*given)) for name, given in peers(settings.home).items()}
        rates: dict[str, list[float]] = {name: [] for name in nodes}
        seconds: dict[str, list[float]] = {name: [] for name in nodes}
        for turn in range(arguments.rounds + 1):
            for name, (port, process) in list(nodes.items())[:: 1 if turn % 2 else -1]:
                write(sent, arguments.associations, arguments.files)
                before = cpu(process)
                rates[name].append(arguments.associations * arguments.files / send(sent, port, arguments.associations))
                seconds[name].append((cpu(process) - before) / arguments.associations / arguments.files * 1000)
        silent = beside_silence(nodes["receive"][0])
    show(arguments, rates, seconds, silent)
    if arguments.json:
        arguments.json.write_text(json.dumps({"files_per_second": rates, "echo_beside_silence": silent}) + "\n")


def show(
    arguments: argparse.Namespace, rates: dict[str, list[float]], seconds: dict[str, list[float]], silent: float
) -> None:
    """The table for people; the first round, in which files and folders are new to the cache, is left out."""
    meanwhile = ", images made meanwhile" if arguments.intake else ""
    print(
        f"{machine('pynetdicom', 'pydicom', 'psycopg')}; {arguments.associations} associations, "
        f"{arguments.files} files of 100 kB each, {arguments.rounds} rounds{meanwhile}"
    )
    rows = []
    for name, found in rates.items():
        low, middle, high = min(found[1:]), statistics.median(found[1:]), max(found[1:])
        used = statistics.median(seconds[name][1:])
        rows.append((name, f"{middle:.0f}", f"{low:.0f}", f"{high:.0f}", f"{used:.1f}"))
    table(("files a second", "median", "min", "max", "ms of CPU a file"), rows)
    ours = rates["receive"][1:]
    for name, found in rates.items():
        if name != "receive":
            ratios = [mine / theirs for mine, theirs in zip(ours, found[1:], strict=True)]
            low, high = min(ratios), max(ratios)
            print(f"receive / {name}: {statistics.median(ratios):.2f} (median of the rounds; {low:.2f} to {high:.2f})")
    print(f"{BAR} a second", "reached" if statistics.median(ours) >= BAR else "MISSED")
    print(f"C-ECHO beside {IDLE} connections that say nothing: {silent:.2f} s")


def peers(home: Path) -> dict[str, tuple[list[str], dict[str, str] | None, Path | None]]:
    """What `node` takes of each peer that is installed."""
    folders = {name: home / name for name in ("bare", "orthanc", "storescp")}
    for folder in folders.values():
        folder.mkdir()
    found: dict[str, Any] = {"bare pynetdicom": ([sys.executable, "-c", PEER, str(folders["bare"])], None, None)}
    if shutil.which("Orthanc"):
        found["Orthanc"] = (["Orthanc"], None, folders["orthanc"])
    if shutil.which("storescp"):
        found["storescp, no fsync"] = (
            ["storescp", "--fork", "-od", str(folders["storescp"]), "+B", "--max-pdu", str(PDU)],
            None,
            None,
        )
    return found


def orthanc(folder: Path, port: int) -> str:
    """The path of a configuration of Orthanc."""
    path = folder / "orthanc.json"
    told = {"Name": "peer", "StorageDirectory": str(folder), "IndexDirectory": str(folder), "SyncStorageArea": True}
    told |= {"DicomPort": port, "DicomCheckCalledAet": False, "DicomAlwaysAllowStore": True}
    told |= {"MaximumPduLength": PDU, "HttpServerEnabled": False}
    path.write_text(json.dumps(told))
    return str(path)


@contextmanager
def node(
    words: list[str], env: dict[str, str] | None = None, configured: Path | None = None
) -> Iterator[tuple[int, psutil.Process]]:
    """A process that listens; its port is the last of its words, or in the configuration, Orthanc's, of a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [*words, str(port) if configured is None else orthanc(configured, port)],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await_port(port, process)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a process listens."""
    for _ in range(300):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise SystemExit(f"{process.args!r} does not listen")


def cpu(process: psutil.Process) -> float:
    """Seconds of CPU that a process and its children, those that ended too, used."""
    used = sum(process.cpu_times()[:4])
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it ended meanwhile: its parent's times have its own
            used += sum(child.cpu_times()[:4])
    return float(used)


def write(folder: Path, senders: int, files: int) -> None:
    """Other files for each round, in a folder for each sender."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    random = np.random.default_rng()
    for sender in range(senders):
        (folder / str(sender)).mkdir(exist_ok=True)
        for number in range(files):
            ds = Dataset()
            ds.file_meta = FileMetaDataset()
            ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", generate_uid()
            ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = generate_uid(), generate_uid(), "CR"
            ds.Rows, ds.Columns, ds.PixelRepresentation, ds.SamplesPerPixel = SIDE, SIDE, 0, 1
            ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PhotometricInterpretation = 16, 12, 11, "MONOCHROME2"
            ds.PixelData = random.integers(0, 4096, (SIDE, SIDE), np.uint16).tobytes()
            ds.save_as(folder / str(sender) / f"{number}.dcm", enforce_file_format=True)


def send(folder: Path, port: int, senders: int) -> float:
    """Seconds in which all senders, at one time, have sent all they have."""
    start = time.perf_counter()
    words = ["dcmsend", "-aec", "RADRETRIEVAL", "127.0.0.1", str(port), "+sd"]
    running = [
        subprocess.Popen([*words, str(folder / str(sender))], stdout=subprocess.DEVNULL) for sender in range(senders)
    ]
    codes = [process.wait() for process in running]
    if any(codes):
        raise SystemExit("dcmsend did not send all")
    return time.perf_counter() - start


def beside_silence(port: int) -> float:
    """Seconds that an echo takes while connections are open that say nothing."""
    with ExitStack() as stack:
        for _ in range(IDLE):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        start = time.perf_counter()
        subprocess.run(["echoscu", "-aec", "RADRETRIEVAL", "127.0.0.1", str(port)], check=True)
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
