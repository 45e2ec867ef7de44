"""The picture of a search as a Secondary Capture image (PS3.3 A.8.1) of the query's patient and study."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.results.references import Subject, frames_of
from radretrieval.results.structured_report import CAPTURE_NUMBER, equipment, make_object


def secondary_capture(picture: NDArray[np.uint8], subject: Subject) -> Any:
    """The picture as a highdicom (pydicom) object that can be saved and sent.

    Burned In Annotation is YES: the picture contains text, and so may the radiographs in it.

    Parameters
    ----------
    picture : uint8 (rows, columns, 3), RGB.
    subject : the query, the only image that the object names as its source.

    Raises UsageError when the query's header cannot be copied into an object.
    """
    import highdicom as hd
    from pydicom import Dataset

    header, identity = subject.header, subject.identity

    def with_patient(**values: Any) -> Any:
        image = hd.sc.SCImage(**values)
        image.copy_patient_and_study_information(header)
        return image

    image = make_object(
        with_patient,
        header,
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),
        study_instance_uid=identity.study_instance_uid,
        series_number=CAPTURE_NUMBER,
        **equipment(),
    )
    # type 2C, empty: several radiographs have no common laterality and orientation (PS3.3 C.7.3.1, C.7.6.1)
    image.Laterality = image.PatientOrientation = None
    image.BurnedInAnnotation = "YES"
    image.DerivationDescription = "The query and the images most like it, drawn side by side"
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = identity.sop_class_uid, identity.sop_instance_uid
    if frames := frames_of(identity):
        source.ReferencedFrameNumber = frames
    image.SourceImageSequence = [source]
    return image
