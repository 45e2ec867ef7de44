"""The storage SOP classes of projection radiography (PS3.4, B.5), and what is certainly none."""

RADIOGRAPHS: tuple[str, ...] = (
    "1.2.840.10008.5.1.4.1.1.1",  # computed radiography
    "1.2.840.10008.5.1.4.1.1.1.1",  # digital X-ray, for presentation
    "1.2.840.10008.5.1.4.1.1.1.1.1",  # digital X-ray, for processing
    "1.2.840.10008.5.1.4.1.1.1.2",  # digital mammography, for presentation
    "1.2.840.10008.5.1.4.1.1.1.2.1",  # digital mammography, for processing
    "1.2.840.10008.5.1.4.1.1.1.3",  # digital intra-oral X-ray, for presentation
    "1.2.840.10008.5.1.4.1.1.1.3.1",  # digital intra-oral X-ray, for processing
    "1.2.840.10008.5.1.4.1.1.7",  # secondary capture: films that were scanned
)

# Modalities (PS3.3, C.7.3.1.1.1): a study of nothing but these has no projection radiograph.
OTHER_MODALITIES = frozenset(
    (
        *("CT", "MR", "US", "NM", "PT", "XA", "IVUS", "OCT", "OPT", "OP", "ES", "GM", "SM", "ECG", "HD"),
        *("SR", "PR", "KO", "SEG", "DOC", "PLAN", "REG", "RTSTRUCT", "RTPLAN", "RTDOSE", "RTIMAGE", "RTRECORD"),
    )
)
