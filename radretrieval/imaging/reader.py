"""The door of this room: recognises what a file holds by its content and has it read.

Only numpy is imported at the top: the decoders are heavy, and each is imported by the function that needs it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import replace

from radretrieval.errors import ImageError, InputMissing
from radretrieval.imaging.dicom import looks_like_dicom, read_dicom
from radretrieval.imaging.radiograph import Radiograph, nearly_constant
from radretrieval.imaging.raster import read_jpeg, read_png, read_tiff
from radretrieval.logs import Log

log = Log(__name__)

MAX_PIXELS = 100_000_000  # the default of Settings.max_pixels; importing Settings here would cost 0.1 s
_QUOTED = re.compile(r"""b?(["']).*(\1|$)""")  # libraries quote the file, and a header has names
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_bytes(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> bytes:
    """Read a file whole, for `decode_image` and for its hash.

    Raises
    ------
    InputMissing
        There is no such file, it is not a regular file, or it may not be opened.
    ImageError
        The file is larger than any image within `max_pixels` could be; nothing was read.
    """
    name = os.fsdecode(path)
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise InputMissing(f"{name} is a folder; name a file")
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device might never end
            raise InputMissing(f"{name} is not a regular file; name an image file")
        if status.st_size > 8 * max_pixels + 2**26:  # four 16-bit samples a pixel, and 64 MiB of header
            raise ImageError(
                f"is {status.st_size / 1e9:.1f} GB, larger than any image of at most {max_pixels:,} pixels; "
                "raise RADRETRIEVAL_MAX_PIXELS if it is one"
            )
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise InputMissing(f"{name} does not exist; check the path") from None
    except PermissionError:
        raise InputMissing(f"{name} cannot be opened: permission denied; check who may read it") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputMissing(f"{name!r} cannot be opened: {error}") from None


def read_image(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Radiograph:
    """Read one radiograph from a PNG, JPEG, TIFF or DICOM file.

    Parameters
    ----------
    path : the file; its name does not matter, its content decides.
    max_pixels : an image that claims more pixels (rows × columns) is refused before memory is taken.

    Returns
    -------
    Radiograph, pixels float32 (rows, columns), 0…1; see `decode_image`. What it ignored is logged by the file's name.

    Raises
    ------
    InputMissing
        There is no such file, it is a folder, or it may not be opened; the message names the path.
    ImageError
        The file is not a radiograph that can be read; the message gives the reason, not the path.

    Examples
    --------
    >>> read_image("nowhere.png")
    Traceback (most recent call last):
    radretrieval.errors.InputMissing: nowhere.png does not exist; check the path
    """
    radiograph = decode_image(read_bytes(path, max_pixels=max_pixels), max_pixels=max_pixels)
    for reason in radiograph.ignored:
        log.warning("header_ignored", "%(path)s: %(reason)s", path=os.fsdecode(path), reason=reason)
    return radiograph


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS, frame: int = 1) -> Radiograph:
    """Decode one radiograph from the bytes of a PNG, JPEG, TIFF or DICOM file.

    PNG, JPEG and TIFF samples become value / (2^bits − 1), bits being the sample depth of the file (a
    palette's entries have 8, in TIFF 16). Colour becomes luminance, 0.299 R + 0.587 G + 0.114 B (ITU-R
    BT.601); alpha is ignored. The orientation in the EXIF of a JPEG or PNG, or in a TIFF's header, is applied.
    DICOM: see `read_dicom`. A TIFF with several full pictures is refused, so that none is lost unnoticed; thumbnails do
    not count. Of a DICOM file one frame is decoded; `Radiograph.frames` tells how many there are.

    Parameters
    ----------
    data : the file's bytes.
    max_pixels : an image that claims more pixels (rows × columns) is refused before memory is taken.
    frame : which one, from 1, of a file with several.

    Raises
    ------
    ImageError
        The bytes are not a radiograph that can be read; the message gives the reason in one line.
    """
    if not data:
        raise ImageError("is empty (0 bytes); copy the file again")
    name, decode = _decoder(data)
    try:
        if name == "DICOM":
            return read_dicom(data, max_pixels, frame)
        if frame != 1:
            raise ImageError(f"has one frame; there is no frame {frame}")
        radiograph = decode(data, max_pixels)
        return replace(radiograph, flat=nearly_constant(radiograph.pixels))
    except ImageError as error:
        raise ImageError(_one_line(error)) from error.__cause__
    except MemoryError:
        raise ImageError(f"needs more memory to decode than there is ({name}, {len(data):,} bytes)") from None
    except Exception as error:  # decoders raise anything on damaged input: struct.error, KeyError, RecursionError…
        reason = _QUOTED.sub("…", _one_line(error)) or type(error).__name__
        raise ImageError(f"the {name} stream is damaged or of an unknown kind: {reason}") from error


def _one_line(error: Exception) -> str:
    """The message in one printable line: it may quote the file, which may hold terminal control codes."""
    line = " ".join(str(error).split())[:300]
    return "".join(character if character.isprintable() else "?" for character in line)


def _decoder(data: bytes) -> tuple[str, Callable[[bytes, int], Radiograph]]:
    """Name and decoder of the format that the bytes show."""
    if data[128:132] == b"DICM":  # first: a DICOM preamble may hold another format's header (PS3.10, 7.1)
        return "DICOM", read_dicom
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG", read_png
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG", read_jpeg
    if data.startswith(_TIFF_STARTS):
        return "TIFF", read_tiff
    if looks_like_dicom(data):
        return "DICOM", read_dicom
    raise ImageError("is not a radiograph format; PNG, JPEG, TIFF and DICOM are read")
