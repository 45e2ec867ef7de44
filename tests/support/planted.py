"""A radiograph with identifiers planted wherever a header can hold one: 35 and more, each with a token of its own."""

from __future__ import annotations

import io
import itertools
import struct
from typing import Any

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

SYNTAXES = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "RLE": RLELossless,
    "JPEG-LS": JPEGLSLossless,
}
CR = "1.2.840.10008.5.1.4.1.1.1"
PIXELS = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)


class Planted:
    """A data set, and the texts in it that must not leave."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self._numbers = itertools.count(1)
        self.ds = _sound()
        _plant(self, self.ds)

    def text(self, longest: int = 16) -> str:
        """A token for a text, legal in a CS."""
        token = f"LEAK{next(self._numbers):04d}X"[:longest]
        self.tokens.append(token)
        return token

    def uid(self) -> str:
        token = f"1.2.276.0.99.{987654 + next(self._numbers)}.7"
        self.tokens.append(token)
        return token

    def file(self, syntax: str, pixels: np.ndarray[Any, Any] = PIXELS) -> bytes:
        """The file in a transfer syntax; the preamble and the meta header hold identifiers too."""
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CR
        meta.MediaStorageSOPInstanceUID = self.ds.SOPInstanceUID
        meta.TransferSyntaxUID = SYNTAXES[syntax]
        meta.SourceApplicationEntityTitle = "LEAKSOURCE"
        meta.PrivateInformationCreatorUID = "1.2.276.0.99.555.1"
        meta.PrivateInformation = b"LEAKINFO"
        order = ">u2" if syntax == "big endian" else "<u2"
        data = pixels.astype(order).tobytes()
        if syntax == "RLE":
            from pydicom.pixels.encoders import RLELosslessEncoder

            encoded = RLELosslessEncoder.encode(
                pixels,
                rows=64,
                columns=48,
                samples_per_pixel=1,
                bits_allocated=16,
                bits_stored=12,
                pixel_representation=0,
                photometric_interpretation="MONOCHROME2",
                number_of_frames=1,
            )
            data = encapsulate([encoded])
        elif syntax == "JPEG-LS":
            from imagecodecs import jpegls_encode

            data = encapsulate([bytes(jpegls_encode(pixels))])
        self.ds.add(DataElement(0x7FE00010, "OB" if syntax in ("RLE", "JPEG-LS") else "OW", data))
        self.ds["PixelData"].is_undefined_length = syntax in ("RLE", "JPEG-LS")
        self.ds.file_meta = meta
        self.ds.preamble = b"LEAKPREAMBLE".ljust(128, b"\0")
        buffer = io.BytesIO()
        dcmwrite(buffer, self.ds, enforce_file_format=True)
        return buffer.getvalue()


def _sound() -> Dataset:
    """What makes it a Computed Radiography Image."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.SOPClassUID = CR
    ds.Modality, ds.BodyPartExamined, ds.ViewPosition = "CR", "CHEST", "PA"
    ds.Manufacturer, ds.PatientOrientation, ds.InstanceNumber, ds.SeriesNumber = "ACME", ["L", "F"], 1, 1
    ds.Rows, ds.Columns = PIXELS.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.ImagerPixelSpacing = [0.2, 0.2]
    ds.WindowCenter, ds.WindowWidth = 1500, 3000
    return ds


def _plant(p: Planted, ds: Dataset) -> None:
    ds.PatientName, ds.PatientID = f"Müller{p.text()}^Ängela", p.text()
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19511231", "F", "099Y"
    p.tokens += ["19511231", "Müller", "Ängela", "099Y"]
    ds.AccessionNumber, ds.StudyID = p.text(), p.text(16)
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = p.uid(), p.uid(), p.uid()
    ds.FrameOfReferenceUID, ds.IrradiationEventUID = p.uid(), [p.uid(), p.uid()]
    for keyword in (
        *("OtherPatientIDs", "PatientAddress", "PatientTelephoneNumbers", "EthnicGroup", "Occupation"),
        *("AdditionalPatientHistory", "PatientComments", "ImageComments", "StudyDescription", "SeriesDescription"),
        *("ProtocolName", "InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "StationName"),
        *("DeviceSerialNumber", "DetectorID", "PlateID", "RequestedProcedureDescription", "PerformedProcedureStepID"),
        *("DerivationDescription", "PatientInsurancePlanCodeSequence", "AcquisitionDeviceProcessingDescription"),
        *("ReferringPhysicianName", "OperatorsName", "PerformingPhysicianName", "NameOfPhysiciansReadingStudy"),
        *("PatientBirthName", "PatientMotherBirthName", "ResponsiblePerson", "RequestingPhysician"),
        *("TextString", "PatientBirthDateInAlternativeCalendar", "PartialViewDescription"),
        *("DetectorDescription", "RetrieveURL", "SpecialNeeds", "CurrentPatientLocation", "SecondaryReviewerName"),
    ):
        if keyword.endswith("Sequence"):
            item = Dataset()
            item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = p.text(), "99HOSP", p.text()
            setattr(ds, keyword, Sequence([item]))
        else:
            setattr(ds, keyword, p.text())
    for day in ("20240131", "20240201", "20240202", "20240203", "20231111"):
        p.tokens.append(day)
    ds.StudyDate, ds.SeriesDate, ds.AcquisitionDate, ds.ContentDate = "20240131", "20240201", "20240202", "20240203"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "101112.5"
    ds.AcquisitionDateTime, ds.DateOfLastCalibration = "20240202101112.500000+0100", "20231111"
    # Code Strings that are no known term: a name in capitals has their form
    ds.ImageType = ["ORIGINAL", "PRIMARY", p.text()]
    ds.PatientPosition, ds.ScanOptions, ds.Grid = p.text(), [p.text(), "CINE"], p.text()
    # the patient's name where no table looks for it
    ds.SoftwareVersions = "v1 MÜLLER" + p.tokens[0]
    _nest(p, ds)
    _hide(p, ds)


def _nest(p: Planted, ds: Dataset) -> None:
    image = Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = CR, p.uid()
    deep = Dataset()
    deep.CodeValue, deep.CodingSchemeDesignator, deep.CodeMeaning = "121311", "DCM", "Localizer"
    deep.ContextGroupVersion = "20020904"
    inner = Dataset()
    inner.PatientName, inner.PatientComments, inner.ReferencedSOPInstanceUID = p.text(), p.text(), p.uid()
    inner.ReferencedSOPClassUID = CR
    inner.PatientBirthDate, inner.ViewPosition = "19511230", p.text()
    p.tokens.append("19511230")
    deep.ReferencedSeriesSequence = Sequence([inner])
    image.PurposeOfReferenceCodeSequence = Sequence([deep])
    ds.ReferencedImageSequence = Sequence([image])
    person = Dataset()
    person.PersonIdentificationCodeSequence = Sequence([Dataset()])
    person.PersonIdentificationCodeSequence[0].CodeValue = p.text()
    person.PersonIdentificationCodeSequence[0].CodingSchemeDesignator = "99STAFF"
    person.PersonIdentificationCodeSequence[0].CodeMeaning = p.text()
    person.InstitutionName, person.PersonAddress = p.text(), p.text()
    ds.OperatorIdentificationSequence = Sequence([person])
    asked = Dataset()
    asked.RequestedProcedureID, asked.ScheduledProcedureStepID, asked.AccessionNumber = p.text(), p.text(), p.text()
    ds.RequestAttributesSequence = Sequence([asked])
    before, changed = Dataset(), Dataset()
    before.PatientName, before.PatientID = p.text(), p.text()
    changed.ModifiedAttributesSequence = Sequence([before])
    changed.AttributeModificationDateTime, changed.ModifyingSystem = "20240131", p.text()
    changed.SourceOfPreviousValues, changed.ReasonForTheAttributeModification = p.text(), "COERCE"
    ds.OriginalAttributesSequence = Sequence([changed])


def _hide(p: Planted, ds: Dataset) -> None:
    block = ds.private_block(0x0011, "LEAKCREATOR", create=True)
    block.add_new(0x01, "LO", p.text())
    block.add_new(0x02, "UN", p.text().encode())
    hidden = Dataset()
    hidden.PatientName = p.text()
    block.add_new(0x03, "SQ", Sequence([hidden]))
    ds.add_new(0x60000010, "US", 8)
    ds.add_new(0x60000011, "US", 8)
    ds.add_new(0x60000022, "LO", p.text())
    ds.add_new(0x60000040, "CS", "G")
    ds.add_new(0x60000050, "SS", [1, 1])
    ds.add_new(0x60000100, "US", 1)
    ds.add_new(0x60000102, "US", 0)
    ds.add_new(0x60003000, "OW", p.text().encode().ljust(16))
    ds.add_new(0x50000022, "LO", p.text())
    ds.add_new(0x50003000, "OW", p.text().encode().ljust(10))
    ds.add_new(0x40004000, "LT", p.text())
    ds.add_new(0x00080019, "LO", p.text())  # no such attribute
    ds.add_new(0xFFFCFFFC, "OB", p.text().encode().ljust(10))
    ds.add_new(0x00180015 + 1, "LO", p.text())
    icon = Dataset()
    icon.Rows = icon.Columns = 1
    icon.SamplesPerPixel, icon.PhotometricInterpretation = 1, "MONOCHROME2"
    icon.BitsAllocated, icon.BitsStored, icon.HighBit, icon.PixelRepresentation = 8, 8, 7, 0
    icon.add_new(0x7FE00010, "OB", struct.pack("<H", 7))
    ds.IconImageSequence = Sequence([icon])
    p.tokens += ["LEAKCREATOR", "LEAKSOURCE", "LEAKINFO", "LEAKPREAMBLE", "1.2.276.0.99.555.1"]
