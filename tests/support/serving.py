"""A filled archive for tests of the page and its API, and `radretrieval serve` on it in a process of its own.

The films are phantoms as DICOM files with 12 bits, of four classes and ten patients, coded by a small random encoder
with a calibration. The archive is made once a session, as a template that nobody connects to; a test that writes copies
it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from answering import CR, DX, film, uid
from calibrating import fitted
from conftest import COMMAND, clean_environment
from databases import Server, database_of
from PIL import Image
from pynetdicom import AE, evt
from tiny import CLASSES as LEARNT
from tiny import FUSED, weights

from radretrieval.archive import encoders
from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.ingest.labels_csv import read_labels
from radretrieval.ingest.run import ingest
from radretrieval.jobs.encode import EncodeOptions, encode
from radretrieval.phantom.radiographs import phantom_class, radiograph

CODES = ("1123-127-500-000", "1121-110-414-700", "1121-120-942-700", "1121-120-330-700")
EACH = 7  # images of each class; of each class one more is a film that the archive does not have
SIZE = 320
SR = "1.2.840.10008.5.1.4.1.1.88.34"  # comprehensive 3D
SC = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True)
class Films:
    """The archive and the files around it; the images have the ids 1 … in the order of the files' names.

    Attributes
    ----------
    template : name of its database, to be copied, never connected to.
    folder : `x-rays` below it holds the archive's files, `new` the others; `home` is the process's.
    new : DICOM files that are not in the archive, one of each class of `CODES`.
    picture : a PNG that is not in the archive. broken : a file that cannot be read.
    """

    template: str
    folder: Path
    new: tuple[Path, ...]
    picture: Path
    broken: Path

    @property
    def home(self) -> Path:
        """The home of every process that serves the archive."""
        return self.folder / "home"

    @property
    def known(self) -> list[Path]:
        """The archive's files; that at place i has the id i + 1."""
        return sorted((self.folder / "x-rays").glob("film-*"))

    def settings(self, url: str) -> Settings:
        """The settings of a process of a copy."""
        return Settings(home=self.home, database_url=url)

    @contextmanager
    def copy(self, server: Server) -> Iterator[str]:
        """The URL of a copy of the database, which is dropped afterwards."""
        with server.database(template=self.template) as url:
            yield url


def dicom_film(number: int, code: str, *, size: int = SIZE, **changes: Any) -> Any:
    """A phantom as a DICOM data set of 12 bits with two windows, three images a patient and two a study."""
    known = phantom_class(code)
    drawn = radiograph(code, np.random.default_rng([5, number]), size, np.random.default_rng([6, number // 3]))
    inverted = number % 5 == 3
    grey = np.rint((1 - drawn if inverted else drawn) * 4095).astype(np.uint16)[:, : size * 7 // 8]
    facts: dict[str, Any] = {
        "PixelData": grey.tobytes(),
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PhotometricInterpretation": "MONOCHROME1" if inverted else "MONOCHROME2",
        "WindowCenter": [2048, 1024],
        "WindowWidth": [4096, 1500],
        "WindowCenterWidthExplanation": ["whole", "dense"],
        "PixelSpacing": [0.4, 0.4],
        "StudyInstanceUID": uid("served study", number // 2),
        "SeriesInstanceUID": uid("served series", number),
        "SOPInstanceUID": uid("served film", number),
        "PatientID": f"patient-{number // 3}",
        "PatientName": f"Name^{number // 3}",
        "StudyDate": f"202{number % 6}0{1 + number % 9}15",
        "BodyPartExamined": known.body_part,
        "ViewPosition": known.view_position,
        "Laterality": known.laterality if known.laterality in ("L", "R") else "",
        "Manufacturer": ("Maker", "Other & Sons")[number % 2],
    }
    return film(number, grey.astype(np.uint8), (CR, DX)[number % 2], **facts | changes)


@contextmanager
def made(server: Server, migrated: str, folder: Path) -> Iterator[Films]:
    """The archive, in a database of its own."""
    known, new = folder / "x-rays", folder / "new"
    known.mkdir(parents=True)
    new.mkdir()
    rows = ["file,irma_code"]
    for number in range(EACH * len(CODES)):
        name, code = f"film-{number:02}.dcm", CODES[number % len(CODES)]
        dicom_film(number, code).save_as(known / name, enforce_file_format=True)
        rows.append(f"{name},{code}" if number % 9 else f"{name},")
    # the first film once more, as a PACS sends it that has written new UIDs, and one that is no DICOM
    twin = {"SOPInstanceUID": uid("twin"), "InstanceNumber": 2}
    dicom_film(0, CODES[0], **twin).save_as(known / "film-90.dcm", enforce_file_format=True)
    Image.fromarray(_picture(50)).save(known / "film-91.png")
    rows += ["film-90.dcm,", f"film-91.png,{CODES[1]}"]
    (known / "labels.csv").write_text("\n".join(rows) + "\n")
    films = []
    for place, code in enumerate(CODES):
        films.append(new / f"new-{place}.dcm")
        dicom_film(100 + place, code).save_as(films[-1], enforce_file_format=True)
    picture, broken = new / "new.png", new / "broken.dcm"
    Image.fromarray(_picture(60)).save(picture)
    broken.write_bytes(films[0].read_bytes()[:3000])
    with server.database(template=migrated) as url:
        database, settings = Database(url), Settings(home=folder / "home", database_url=url)
        ingest(database, settings, [known], labels=read_labels(known / "labels.csv"), workers=1)
        with database.connection() as connection:
            encoders.add(connection, FUSED, weights(), LEARNT, {"seed": 0}, fitted())
        encode(database, settings, EncodeOptions(device="cpu", workers=1))
        yield Films(database_of(url), folder, tuple(films), picture, broken)


def _picture(number: int) -> Any:
    drawn = radiograph(CODES[1], np.random.default_rng(number), SIZE, np.random.default_rng(number))
    return np.rint(drawn * 255).astype(np.uint8)


@dataclass
class Served:
    """A running `radretrieval serve`.

    Attributes
    ----------
    url : of the page, without a slash at its end. database_url : of the archive. films : what is in it.
    process : the server's. told : the lines of its stderr, as they come.
    """

    url: str
    database_url: str
    films: Films
    process: subprocess.Popen[str]
    told: list[str] = field(default_factory=list)

    def client(self, **options: Any) -> httpx.Client:
        """A client of the API."""
        return httpx.Client(base_url=self.url, timeout=60, **options)


@contextmanager
def serving(films: Films, url: str, options: Sequence[object] = (), **environment: str) -> Iterator[Served]:
    """`radretrieval serve` on a free port of 127.0.0.1, until it is ready; ended by SIGTERM.

    Parameters
    ----------
    url : of the archive's database. options : of the command. environment : settings, as RADRETRIEVAL_SERVE_….
    """
    command = [str(COMMAND), "serve", "--port", "0", *map(str, options)]
    given = clean_environment(films.home, url) | {"OMP_NUM_THREADS": "1"} | environment
    process = subprocess.Popen(command, env=given, cwd=films.folder, stderr=subprocess.PIPE, text=True)
    told: list[str] = []
    reader = threading.Thread(target=_read, args=(process, told), daemon=True)
    reader.start()
    try:
        yield Served(_address(process, told).rstrip("/"), url, films, process, told)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"serve does not end at SIGTERM:\n{''.join(told)}") from None
        reader.join(5)


def _read(process: subprocess.Popen[str], told: list[str]) -> None:
    assert process.stderr is not None
    told.extend(iter(process.stderr.readline, ""))


def _address(process: subprocess.Popen[str], told: list[str], seconds: float = 60) -> str:
    """The address that the server names once it answers."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        for line in list(told):
            if "the page is at " in line:
                return line.partition("the page is at ")[2].partition(";")[0]
        time.sleep(0.02)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    raise AssertionError(f"serve did not start:\n{''.join(told)}")


@contextmanager
def node(refusals: list[int] | None = None) -> Iterator[tuple[str, list[Any]]]:
    """A DICOM node that stores what it gets in a list; what the refusals, statuses, are left for it refuses."""
    stored: list[Any] = []

    def store(event: Any) -> int:
        if refusals:
            return refusals.pop(0)
        stored.append(event.dataset)
        return 0

    ae = AE(ae_title="PACS")
    for kind in (SR, SC, "1.2.840.10008.5.1.4.1.1.88.33"):
        ae.add_supported_context(kind)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    try:
        yield f"PACS@127.0.0.1:{server.socket.getsockname()[1]}", stored
    finally:
        server.shutdown()
