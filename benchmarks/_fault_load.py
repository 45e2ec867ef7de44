"""The load of a site - ingest, two workers, ten searchers, a node under a sender - and what it must never lose.

What is acknowledged is written down: each file of a C-STORE that got success, each file that stood in the folder
before a run of `ingest` that ended in order, each row that was seen committed. Every answer of every searcher is
compared with the exact one by numpy, over the codes that were committed when it was asked for.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from _fault_site import FILMS, Service, Site
from killing import ROWS
from proxy import Proxy

CR = "1.2.840.10008.5.1.4.1.1.1"
BACK_SECONDS = 60.0  # in which everything works again
API, HTTP = 5, 5  # searchers by the Python API, and over HTTP
SEARCHER = """
import json, random, sys, threading, time
from radretrieval import open_archive
from radretrieval.errors import RadretrievalError
def search(number):
    with open_archive() as archive:
        while True:
            image, began = random.randint(1, int(sys.argv[1])), time.monotonic()
            try:
                answer = archive.search(image)
                hits = [(hit.image_id, hit.cnnc_distance, hit.rbc_distance) for hit in answer.hits]
                found = {"encoder": answer.encoder_id, "hits": hits}
            except RadretrievalError as error:
                found = {"error": str(error)}
            except Exception as error:
                found = {"error": str(error), "fault": repr(error)}
            told = json.dumps({"who": number, "query": image, "times": (began, time.monotonic())} | found)
            with lock:
                print(told, flush=True)
            time.sleep(0.5)
lock = threading.Lock()
threads = [threading.Thread(target=search, args=(n,)) for n in range(int(sys.argv[2]))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@dataclass
class Seen:
    """What the load has done so far; faults are what must not be.

    last : when each part last had success (of `time.monotonic`). sent : SHA-256 by SOP Instance UID of what `receive`
    took. ingested : URIs that ended runs of `ingest` had in their folder. polls : before and after each look at the
    codes, and how many there were. verified, unsure : answers that were right; those asked while too much was written.
    refused : errors of each part, which are no faults.
    """

    last: dict[str, float] = field(default_factory=dict)
    sent: dict[str, str] = field(default_factory=dict)
    ingested: set[str] = field(default_factory=set)
    answers: list[dict[str, Any]] = field(default_factory=list)
    polls: list[tuple[float, float, frozenset[tuple[int, int]]]] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    verified: int = 0
    unsure: int = 0

    def good(self, who: str) -> None:
        """A part had success."""
        self.last[who] = time.monotonic()

    def bad(self, who: str) -> None:
        """A part got an error."""
        self.refused[who] = self.refused.get(who, 0) + 1


class Load:
    """All of it, from its creation to `end`."""

    def __init__(self, site: Site) -> None:
        self.site, self.seen = site, Seen()
        self._stop, self._quiet, self._number = threading.Event(), threading.Event(), itertools.count(1)
        near = ("--host", "127.0.0.1", "--port")
        ports = [_free_port(), _free_port()]
        self.services: dict[str, Service] = {
            "work 1": site.service("work1", "work", "--device", "cpu", "--batch", "8", "--workers", "1"),
            "work 2": site.service("work2", "work", "--device", "cpu", "--batch", "8", "--workers", "1", remote=True),
            "serve": site.service("serve", "serve", *near, str(ports[0]), remote=True),
            "receive": site.service("receive", "receive", *near, str(ports[1]), "--workers", "1", remote=True),
        }
        self.senders = Proxy(ports[1])
        self.page = f"http://127.0.0.1:{ports[0]}"
        words = [sys.executable, "-c", SEARCHER, str(FILMS), str(API)]
        self._api = subprocess.Popen(words, env=site.environment(), stdout=subprocess.PIPE, text=True)
        loops: list[Callable[[], None]] = [self._read_api, self._send, self._ingest, self._poll, self._keep]
        loops += [lambda number=n: self._ask(number) for n in range(HTTP)]  # type: ignore[misc]
        self._threads = [threading.Thread(target=self._guarded, args=(loop,), daemon=True) for loop in loops]
        for thread in self._threads:
            thread.start()

    def parts(self) -> list[str]:
        """All that must work again after a fault."""
        searchers = [f"API {n}" for n in range(API)] + [f"HTTP {n}" for n in range(HTTP)]
        return [*searchers, "send", "ingest", "code", "beats"]

    def back(self, since: float, seconds: float) -> dict[str, float | None]:
        """Seconds from a moment until each part began what then had success; None where it did not in time."""
        while time.monotonic() < since + seconds and any(self.seen.last.get(one, 0) < since for one in self.parts()):
            time.sleep(0.1)
        last = {one: self.seen.last.get(one, 0) for one in self.parts()}
        return {one: moment - since if moment >= since else None for one, moment in last.items()}

    def settle(self, seconds: float) -> None:
        """Write no more, and wait until nothing waits for its image or code."""
        self._quiet.set()
        until = time.monotonic() + seconds
        waiting = "SELECT count(*) FROM arrival UNION ALL SELECT count(*) FROM pending"
        while any(count for (count,) in self.site.rows(waiting)) and time.monotonic() < until:
            time.sleep(0.5)

    def end(self) -> None:
        """End all of it."""
        self._quiet.set()
        self._stop.set()
        self._api.kill()
        self._api.wait()
        for thread in self._threads:
            thread.join(120)
        for name, service in self.services.items():
            if (code := service.end()) != 0:
                self.seen.faults.append(f"{name} ended with {code} on SIGTERM")
        self.senders.close()

    def _guarded(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except Exception as error:
            self.seen.faults.append(f"the load itself: {error!r}")

    def _read_api(self) -> None:
        assert self._api.stdout is not None
        for line in self._api.stdout:
            self._answered(f"API {json.loads(line)['who']}", json.loads(line))

    def _ask(self, number: int) -> None:
        random = np.random.default_rng(number)
        while not self._stop.is_set():
            image, began = int(random.integers(1, FILMS + 1)), time.monotonic()
            try:
                found = httpx.post(f"{self.page}/api/search", files={"id": (None, str(image))}, timeout=60)
                document = found.json() if found.status_code == 200 else {}
                hits = [(h["image_id"], h["cnnc_distance"], h["rbc_distance"]) for h in document.get("hits", [])]
                answer = {"encoder": document.get("encoder_id"), "hits": hits} if document else {"error": found.text}
                if found.status_code not in (200, 503):
                    answer["fault"] = f"{found.status_code}: {found.text[:300]}"
            except httpx.HTTPError as error:
                answer = {"error": repr(error)}
            self._answered(f"HTTP {number}", {"query": image, "times": (began, time.monotonic())} | answer)
            self._stop.wait(0.5)

    def _answered(self, who: str, answer: dict[str, Any]) -> None:
        if "fault" in answer:
            self.seen.faults.append(f"{who}: {answer['fault']}")
        if "error" in answer:
            self.seen.bad(who)
            return
        self.seen.answers.append(answer)
        self.seen.last[who] = answer["times"][0]  # asked after the cause's end, that is

    def _send(self) -> None:
        from pynetdicom import AE

        while not self._quiet.is_set():
            ae = AE("SENDER")
            ae.add_requested_context(CR, "1.2.840.10008.1.2.1")
            ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20
            association = ae.associate("127.0.0.1", self.senders.port, ae_title="RADRETRIEVAL")
            while association.is_established and not self._quiet.is_set():
                ds, began = _data_set(next(self._number)), time.monotonic()
                try:
                    status = association.send_c_store(ds)
                except (RuntimeError, ValueError):
                    break
                if status and status.Status == 0:
                    self.seen.sent[str(ds.SOPInstanceUID)] = hashlib.sha256(ds.PixelData).hexdigest()
                    self.seen.last["send"] = began
                else:
                    self.seen.bad("send")
                self._stop.wait(0.5)
            association.abort() if association.is_established else None
            self._stop.wait(0.5)

    def _ingest(self) -> None:
        while not self._quiet.is_set():
            for _ in range(4):
                self.site.new_film(next(self._number))
            there = {path.as_uri() for path in self.site.films.iterdir()}
            began = time.monotonic()
            done = self.site.run("ingest", str(self.site.films), "--json", "--workers", "1", expect=None)
            if done.returncode == 1:  # the broken files
                self.seen.ingested |= there
                self.seen.last["ingest"] = began
            else:
                self.seen.bad("ingest")
                if done.returncode != 3 or "Traceback" in done.stderr:
                    self.seen.faults.append(f"ingest: {done.returncode}: {done.stdout}{done.stderr}")
            self._stop.wait(1)

    def _poll(self) -> None:
        statement = "SELECT encoder_id, image_id FROM cnnc"
        while not self._stop.is_set():
            before, known = time.monotonic(), self.seen.polls[-1][2] if self.seen.polls else frozenset()
            try:
                there = frozenset(self.site.rows(statement))
                beats = self.site.rows("SELECT count(*) FROM heartbeat WHERE beat_at > now() - interval '20 s'")
            except Exception:
                self._stop.wait(0.3)
                continue
            self.seen.polls.append((before, time.monotonic(), there))
            if known - there:
                self.seen.faults.append(f"codes that were committed are gone: {sorted(known - there)[:5]}")
            if there - known:
                self.seen.last["code"] = before
            if beats[0][0] >= len(self.services):
                self.seen.last["beats"] = before
            self._stop.wait(0.3)

    def _keep(self) -> None:
        while not self._stop.wait(1):
            for service in self.services.values():
                service.keep()

    def committed(self) -> set[Any] | None:
        """What is committed, with the xmin of each row; None where the server does not answer."""
        try:
            return set(self.site.rows(ROWS))
        except Exception:
            return None


def _data_set(number: int) -> Any:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = CR, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = generate_uid(), generate_uid(), "CR"
    ds.Rows, ds.Columns, ds.PixelRepresentation, ds.SamplesPerPixel = 64, 64, 0, 1
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PhotometricInterpretation = 16, 12, 11, "MONOCHROME2"
    ds.PixelData = np.random.default_rng(number).integers(0, 4096, (64, 64), np.uint16).tobytes()
    return ds


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port
