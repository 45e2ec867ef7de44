"""The transfer syntaxes that are accepted, in order of preference.

A sender may propose several transfer syntaxes in one presentation context, of which the acceptor chooses one (PS3.8,
9.3.3): the first of this list. So that a file arrives in the syntax in which it is stored, or in one with the same
pixels, uncompressed explicit VR comes first, then lossless compression, then implicit VR (its private attributes have
no VR). Lossy compression comes last, in `LOSSY`: it is accepted only where the sender proposes nothing else in that
context, and no modality is made to compress. A sender that proposes the one syntax of a file in a context of its own
(Orthanc, storescu, dcmsend --decompress-never) is accepted with it, and nothing is transcoded.
"""

from __future__ import annotations

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

LOSSY = (
    "1.2.840.10008.1.2.4.91",  # JPEG 2000, lossy or not
    "1.2.840.10008.1.2.4.203",  # HTJ2K, lossy or not
    "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
    "1.2.840.10008.1.2.4.51",  # JPEG Extended, 12 bit
    "1.2.840.10008.1.2.4.50",  # JPEG Baseline
)

TRANSFER_SYNTAXES = (
    EXPLICIT,
    "1.2.840.10008.1.2.4.70",  # JPEG Lossless, first-order prediction: the most common compression of CR and DX
    "1.2.840.10008.1.2.4.57",  # JPEG Lossless
    "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.201",  # HTJ2K Lossless
    "1.2.840.10008.1.2.4.202",  # HTJ2K Lossless RPCL
    "1.2.840.10008.1.2.5",  # RLE
    DEFLATED,  # inflated with a limit when it is read
    BIG_ENDIAN,
    IMPLICIT,
    *LOSSY,
)

# Those that can be proposed alone, to a node that would transcode the file into them.
LOSSLESS = frozenset(TRANSFER_SYNTAXES) - frozenset(LOSSY)
