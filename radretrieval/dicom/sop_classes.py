"""SOP classes (PS3.4, B.5) that are received and pulled, and modalities that have no projection radiographs."""

from __future__ import annotations

from radretrieval.dicom.transfer_syntaxes import EXPLICIT, IMPLICIT, TRANSFER_SYNTAXES

# Projection radiography. Radiofluoroscopy for its spot images; Secondary Capture because film digitisers and older
# systems write radiographs so. Not angiography (12.1): the first frame of a run, which would stand for the image, is
# from before the contrast medium.
RADIOGRAPHS = (
    "1.2.840.10008.5.1.4.1.1.1",  # Computed Radiography
    "1.2.840.10008.5.1.4.1.1.1.1",  # Digital X-Ray, for presentation
    "1.2.840.10008.5.1.4.1.1.1.1.1",  # Digital X-Ray, for processing
    "1.2.840.10008.5.1.4.1.1.1.2",  # Digital Mammography, for presentation
    "1.2.840.10008.5.1.4.1.1.1.2.1",  # Digital Mammography, for processing
    "1.2.840.10008.5.1.4.1.1.1.3",  # Digital Intra-Oral X-Ray, for presentation
    "1.2.840.10008.5.1.4.1.1.1.3.1",  # Digital Intra-Oral X-Ray, for processing
    "1.2.840.10008.5.1.4.1.1.13.1.4",  # Breast Projection X-Ray, for presentation
    "1.2.840.10008.5.1.4.1.1.13.1.5",  # Breast Projection X-Ray, for processing
    "1.2.840.10008.5.1.4.1.1.12.2",  # X-Ray Radiofluoroscopic
    "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
    "1.2.840.10008.5.1.4.1.1.7.2",  # Multi-frame Grayscale Byte Secondary Capture
    "1.2.840.10008.5.1.4.1.1.7.3",  # Multi-frame Grayscale Word Secondary Capture
)
# A study that has only these modalities (PS3.3, C.7.3.1.1.1) has no projection radiograph.
OTHER_MODALITIES = frozenset(
    (
        *("CT", "MR", "US", "NM", "PT", "XA", "IVUS", "OCT", "OPT", "OP", "ES", "GM", "SM", "ECG", "HD"),
        *("SR", "PR", "KO", "SEG", "DOC", "PLAN", "REG", "RTSTRUCT", "RTPLAN", "RTDOSE", "RTIMAGE", "RTRECORD"),
    )
)

VERIFICATION = "1.2.840.10008.1.1"


def storage_classes(every: bool = False) -> tuple[str, ...]:
    """UIDs of the storage classes that are received and pulled: radiographs, or every one, retired classes too."""
    if not every:
        return RADIOGRAPHS
    from pynetdicom import AllStoragePresentationContexts, StoragePresentationContexts

    contexts = (*AllStoragePresentationContexts, *StoragePresentationContexts)
    return tuple(dict.fromkeys((*RADIOGRAPHS, *(str(context.abstract_syntax) for context in contexts))))


def syntaxes_of(sop_class: str) -> tuple[str, ...]:
    """The transfer syntaxes that are accepted for a class; implicit VR first for C-ECHO, which has no data set."""
    return (IMPLICIT, EXPLICIT) if sop_class == VERIFICATION else TRANSFER_SYNTAXES
