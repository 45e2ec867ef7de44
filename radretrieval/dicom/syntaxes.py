"""Transfer syntaxes (PS3.5, 10 and A) in the order in which we want files."""

# Explicit little endian first, then lossless, then lossy, implicit last: whoever offers several for one file, and would
# compress it for us, is never led to lose a pixel by it; whoever offers only the one in which the file is, gives that.
SYNTAXES: tuple[str, ...] = (
    "1.2.840.10008.1.2.1",  # explicit VR little endian
    "1.2.840.10008.1.2.4.70",  # JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.57",  # JPEG lossless
    "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.201",  # HTJ2K lossless
    "1.2.840.10008.1.2.4.202",  # HTJ2K lossless RPCL
    "1.2.840.10008.1.2.5",  # RLE lossless
    "1.2.840.10008.1.2.1.99",  # deflated explicit VR little endian
    "1.2.840.10008.1.2.2",  # explicit VR big endian (retired)
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.4.203",  # HTJ2K
    "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
    "1.2.840.10008.1.2.4.51",  # JPEG extended, 12 bit
    "1.2.840.10008.1.2.4.50",  # JPEG baseline, 8 bit
    "1.2.840.10008.1.2",  # implicit VR little endian
)

# Those that can be offered alone, to a peer that would bring the file into them.
LOSSLESS = frozenset((*SYNTAXES[:10], SYNTAXES[-1]))
