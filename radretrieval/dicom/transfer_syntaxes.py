"""The transfer syntaxes that files may arrive in, in the order in which we choose.

A sender offers several syntaxes for one kind of object, and the acceptor takes the first of its list (PS3.8, 9.3.3).
So that a file comes in the syntax in which it is stored, or in one with the same pixels, uncompressed comes first (in
explicit VR: the private attributes of implicit VR have no type), then what is lossless, then what may be lossy: a
modality that offers uncompressed and lossy images is never told to compress. Who offers the one syntax of a file in a
context of its own (Orthanc, storescu, dcmsend --decompress-never) is told yes, and nothing is transcoded.
"""

from __future__ import annotations

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

TRANSFER_SYNTAXES = (
    EXPLICIT,
    "1.2.840.10008.1.2.4.70",  # JPEG Lossless, first-order prediction: what CR and DX are compressed with most
    "1.2.840.10008.1.2.4.57",  # JPEG Lossless
    "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.201",  # HTJ2K Lossless
    "1.2.840.10008.1.2.4.202",  # HTJ2K Lossless RPCL
    "1.2.840.10008.1.2.5",  # RLE
    DEFLATED,  # inflated with a limit when it is read
    BIG_ENDIAN,
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.4.203",  # HTJ2K
    "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
    "1.2.840.10008.1.2.4.51",  # JPEG Extended, 12 bit
    "1.2.840.10008.1.2.4.50",  # JPEG Baseline
    IMPLICIT,
)

# Those that can be offered alone, to a peer that would bring the file into them.
LOSSLESS = frozenset((*TRANSFER_SYNTAXES[:10], IMPLICIT))
