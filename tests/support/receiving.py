"""kill -9 of the node at random moments under senders: used by test_receive_kill.py and soak_receive.py.

The senders are processes that write down each file that was answered with success, before they send the next. After a
kill all of these must be there: in the store, with the right content, and as an arrival, an image or a failure.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from nodes import Receiving

SENDERS = 4
SENDER = """
import sys, numpy as np
from io import BytesIO
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE
port, folder, title = int(sys.argv[1]), sys.argv[2], sys.argv[3]
ae = AE(title)
ae.add_requested_context("1.2.840.10008.5.1.4.1.1.1", ExplicitVRLittleEndian)
association = ae.associate("127.0.0.1", port, ae_title="RADRETRIEVAL")
random = np.random.default_rng()
with open(f"{folder}/answered-{title}", "a", buffering=1) as answered:
    while association.is_established:
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", generate_uid()
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = generate_uid(), generate_uid(), "CR"
        ds.Rows, ds.Columns, ds.PixelRepresentation, ds.SamplesPerPixel = 64, 64, 0, 1
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PhotometricInterpretation = 16, 12, 11, "MONOCHROME2"
        ds.PixelData = random.integers(0, 4096, (64, 64), np.uint16).tobytes()
        try:
            status = association.send_c_store(ds)
        except (RuntimeError, ValueError):
            break
        if status and status.Status == 0:
            print(ds.SOPInstanceUID, file=answered)
"""


@dataclass
class Tally:
    """What the kills cost.

    Attributes
    ----------
    kills : how many. answered : files that were answered with success before them.
    hits : kills at whose moment files had been answered since the start of the node.
    lost : files that were answered and are not there, in words. drafts : temporary files that kills left behind.
    """

    kills: int = 0
    hits: int = 0
    answered: int = 0
    drafts: int = 0
    lost: list[str] = field(default_factory=list)
    seconds: float = 0.0


def kill_receivers(home: Path, url: str, kills: int, random: Random) -> Tally:
    """Kill the node so many times under senders, each time look for all that it has answered with success."""
    tally = Tally()
    begin = time.monotonic()
    for _ in range(kills):
        before = len(answered(home.parent))
        with Receiving(home, url, "--workers", 1) as node:
            words = [sys.executable, "-c", SENDER, str(node.port), str(home.parent)]
            senders = [subprocess.Popen([*words, f"SENDER{n}"], stderr=subprocess.DEVNULL) for n in range(SENDERS)]
            try:
                deadline = time.monotonic() + 60
                while len(answered(home.parent)) == before and time.monotonic() < deadline:
                    time.sleep(0.02)
                time.sleep(random.uniform(0, 2))
                node.kill()
            finally:
                for sender in senders:
                    try:
                        sender.wait(20)
                    except subprocess.TimeoutExpired:
                        sender.kill()
                        sender.wait()
        tally.kills += 1
        tally.hits += len(answered(home.parent)) > before
        check(node, tally)
    # whatever waits becomes images by itself when the node runs again
    with Receiving(home, url) as node:
        node.settled()
        assert node.stop() == 0, node.lines
        check(node, tally)
        uids = {row["sop_instance_uid"] for row in node.rows("SELECT sop_instance_uid FROM image")}
        tally.lost += [f"{uid}: no image in the end" for uid in answered(home.parent) - uids]
        failed = node.rows("SELECT uri, message FROM ingest_failure")
        tally.lost += [f"{row['uri']}: failed: {row['message']}" for row in failed]
    tally.seconds = time.monotonic() - begin
    return tally


def answered(folder: Path) -> set[str]:
    """SOP Instance UIDs of all files that were answered with success."""
    lines = "".join(path.read_text() for path in folder.glob("answered-*")).splitlines(keepends=True)
    return {line.strip() for line in lines if line.endswith("\n")}


def check(node: Receiving, tally: Tally) -> None:
    """Note what is lost, and what is not what its name says."""
    statement = "SELECT sop_instance_uid, sha256 FROM arrival UNION SELECT sop_instance_uid, sha256 FROM image"
    rows = {row["sop_instance_uid"]: row["sha256"] for row in node.rows(statement)}
    wanted = answered(node.store.folder.parent.parent)
    tally.answered = len(wanted)
    for uid in wanted:
        if uid not in rows:
            tally.lost.append(f"{uid}: no row")
    for uid, sha256 in rows.items():
        path = node.store.path(sha256)
        if not path.exists() or hashlib.sha256(path.read_bytes()).digest() != sha256:
            tally.lost.append(f"{uid}: its file is not in the store")
    tally.drafts = sum(name.startswith(".") for name in node.files())
