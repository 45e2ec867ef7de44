"""The contact sheet of an answer as a Secondary Capture image (PS3.3 A.8.1): the query's patient and study."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.results.references import Subject, frames_of
from radretrieval.results.structured_report import CAPTURE_NUMBER, equipment, made


def secondary_capture(sheet: NDArray[np.uint8], subject: Subject) -> Any:
    """The sheet as a highdicom (pydicom) object that can be saved and sent.

    Burned In Annotation is YES: the sheet has words in it, and so may the films that it shows.

    Parameters
    ----------
    sheet : uint8 (rows, columns, 3), RGB.
    subject : the query; the only image that the object names as its source.

    Raises UsageError where the query's header is such that no object can be made from it.
    """
    import highdicom as hd
    from pydicom import Dataset

    header, identity = subject.header, subject.identity

    def kind(**values: Any) -> Any:
        image = hd.sc.SCImage(**values)
        image.copy_patient_and_study_information(header)
        return image

    image = made(
        kind,
        header,
        pixel_array=sheet,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),
        study_instance_uid=identity.study_instance_uid,
        series_number=CAPTURE_NUMBER,
        **equipment(),
    )
    # a sheet of several films has no side and lies in no direction of one patient (type 2C, PS3.3 C.7.3.1, C.7.6.1)
    image.Laterality = image.PatientOrientation = None
    image.BurnedInAnnotation = "YES"
    image.DerivationDescription = "The query and the images most like it, drawn side by side"
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = identity.sop_class_uid, identity.sop_instance_uid
    if frames := frames_of(identity):
        source.ReferencedFrameNumber = frames
    image.SourceImageSequence = [source]
    return image
