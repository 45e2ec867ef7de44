"""Removal of everything but the pixels from a PNG, JPEG or TIFF file."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray


def strip(data: bytes, max_pixels: int) -> bytes:
    """The pixels of a file as a PNG without comments, profiles, names, places and dates; the orientation is applied.

    Grey of 1 to 8 bits and colour of 8 bits keep their values. Deeper grey is scaled to 16 bits, distinct values stay
    distinct. Deeper colour stays in a PNG; in a TIFF it becomes the grey that is searched. Alpha is removed.

    Raises ImageError as `decode_image`.
    """
    from imagecodecs import png_encode

    from radretrieval.imaging.reader import decode_image

    radiograph = decode_image(data, max_pixels=max_pixels)
    colour = None if radiograph.photometric.startswith("MONOCHROME") else _colour(data, radiograph.format)
    if colour is not None:
        return bytes(png_encode(np.ascontiguousarray(colour)))
    deep = radiograph.bits_stored > 8 or not radiograph.photometric.startswith("MONOCHROME")
    most, kind = (65535, np.uint16) if deep else (255, np.uint8)
    return bytes(png_encode(np.round(radiograph.pixels.astype(np.float64) * most).astype(kind)))


def _colour(data: bytes, form: str) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
    """Samples (rows, columns, 3) of a file that `decode_image` has read; None where only its grey can be read."""
    if form == "png":
        from radretrieval.imaging.raster import png_samples

        samples = png_samples(data)
        return samples[..., :3] if samples.ndim == 3 and samples.shape[-1] >= 3 else None
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode not in ("RGB", "YCbCr", "P", "RGBA", "RGBX", "CMYK"):
                return None
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
