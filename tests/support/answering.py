"""A small archive of DICOM and PNG images with codes, to make answers from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from conftest import Run, clean_environment
from databases import Server
from inside import run_inside
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import generate_uid
from tiny import add_encoder

from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.ingest.labels_csv import read_labels
from radretrieval.ingest.run import ingest
from radretrieval.jobs.encode import EncodeOptions, encode
from radretrieval.search.searcher import Searcher

IMAGES = 8  # DICOM; two PNG come behind them
CR, DX, MULTI = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.7.2"
NAME = "Müller^Jörg"
CODES = ("1121-120-942-700", "1121-127-700-500")


def uid(*parts: object) -> str:
    """A UID that is the same in each run."""
    return str(generate_uid(prefix="1.2.826.0.1.3680043.8.498.", entropy_srcs=[str(part) for part in parts]))


def film(number: int, pixels: np.ndarray[Any, Any], kind: str = CR, **changes: Any) -> Dataset:
    """A radiograph, valid by dciodvfy but for what its kind needs beside; two of them are of one study and patient."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID, ds.SOPInstanceUID = kind, uid("instance", number)
    ds.SeriesInstanceUID, ds.StudyInstanceUID = uid("series", number), uid("study", number // 2)
    ds.PatientName, ds.PatientID = f"{NAME}{number // 2}", f"pid-{number // 2}"
    ds.PatientBirthDate, ds.PatientSex = "19700102", "M"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20260102", "101112", "7", f"acc-{number // 2}"
    ds.ReferringPhysicianName = "Referrer^"
    ds.Modality = {CR: "CR", DX: "DX"}.get(kind, "OT")
    ds.BodyPartExamined, ds.ViewPosition, ds.Laterality = "KNEE", "AP", ""
    ds.SeriesNumber, ds.InstanceNumber, ds.Manufacturer = 1, 1, "Maker"
    ds.PatientOrientation = ["L", "F"]
    if pixels.ndim == 3:
        ds.NumberOfFrames = len(pixels)
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.PixelData = pixels.tobytes()
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds


@dataclass
class Made:
    """The archive, its files in `folder`/x-rays, and the command to ask it.

    The images 1 … 8 are DICOM (1 CR, 2 DX, …), 7 and 8 are two frames of one object; the PNG are behind them.
    """

    url: str
    folder: Path

    def run(self, *arguments: object, check: bool = True, **environment: str) -> Run:
        """The command line, in this process."""
        told = clean_environment(self.folder / "home", self.url) | environment
        return run_inside(arguments, told, self.folder, check=check)

    def search(self, *arguments: object, **options: Any) -> Run:
        """`search` on the CPU."""
        return self.run("search", *arguments, "--device", "cpu", **options)

    def searcher(self) -> Searcher:
        """The same in this process, where torch is loaded already."""
        return Searcher(Database(self.url), Settings(home=self.folder / "home", database_url=self.url), "cpu")


@contextmanager
def made(server: Server, template: str, folder: Path) -> Iterator[Made]:
    """The archive, in a database of its own."""
    rng = np.random.default_rng(11)
    films = folder / "x-rays"
    films.mkdir(parents=True)
    rows = ["file,irma_code"]
    for number in range(6):
        ds = film(number, rng.integers(0, 256, (40, 48), np.uint8), (CR, DX)[number % 2])
        ds.save_as(films / f"{number}.dcm", enforce_file_format=True)
        rows.append(f"{number}.dcm,{CODES[number % 2]}")
    frames = film(6, rng.integers(0, 256, (2, 40, 48), np.uint8), MULTI)
    frames.save_as(films / "6.dcm", enforce_file_format=True)
    for number in (7, 8):
        Image.fromarray(rng.integers(0, 256, (44, 40), np.uint8)).save(films / f"{number}.png")
    (films / "labels.csv").write_text("\n".join(rows) + "\n")
    film(30, rng.integers(0, 256, (50, 40), np.uint8), DX).save_as(folder / "new.dcm", enforce_file_format=True)
    Image.fromarray(rng.integers(0, 256, (44, 40), np.uint8)).save(folder / "new.png")
    with server.database(template=template) as url:
        database, settings = Database(url), Settings(home=folder / "home", database_url=url, frames="each")
        ingest(database, settings, [films], labels=read_labels(films / "labels.csv"), workers=1)
        with database.connection() as connection:
            add_encoder(connection)
        encode(database, settings, EncodeOptions(device="cpu", workers=1))
        yield Made(url, folder)
