"""PNG, JPEG and TIFF become pixels; every bad file becomes one clear error, whatever its bytes are."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from radretrieval.config import Settings
from radretrieval.errors import ImageError, InputMissing
from radretrieval.imaging import read_image
from radretrieval.imaging.reader import MAX_PIXELS, decode_image, read_bytes

RAMP = (np.add.outer(np.arange(60), np.arange(80)) % 256).astype(np.uint8)
DEEP = (np.arange(4800).reshape(60, 80) * 13).astype(np.uint16)
COLOUR = np.stack([RAMP, 255 - RAMP, RAMP // 2], axis=-1)


def saved(image, kind, **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(samples, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, **options)
    return buffer.getvalue()


def chunk(kind, payload):
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(columns, rows, depth, colour, body):
    head = struct.pack(">IIBBBBB", columns, rows, depth, colour, 0, 0, 0)
    packed = chunk(b"IDAT", zlib.compress(body))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + packed + chunk(b"IEND", b"")


def luma(samples, maximum):
    return (samples[..., :3] @ np.array([0.299, 0.587, 0.114])) / maximum


def check(data, kind, bits, expected):
    radiograph = decode_image(data)
    assert (radiograph.format, radiograph.bits_stored) == (kind, bits)
    assert radiograph.pixels.dtype == np.float32
    assert radiograph.pixels.shape == expected.shape
    assert radiograph.pixels.max() <= 1
    assert np.abs(radiograph.pixels - expected).max() <= 1e-6
    return radiograph


# PNG


def test_png_grey_8_and_16_bit():
    check(saved(RAMP, "png"), "png", 8, RAMP / 255)
    check(saved(DEEP, "png"), "png", 16, DEEP / 65535)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_png_of_few_bits(depth):
    values = np.arange(8).reshape(1, 8) % 2**depth
    bits = "".join(f"{value:0{depth}b}" for value in values[0])
    body = b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    check(png(8, 1, depth, 0, body), "png", depth, values / (2**depth - 1))


def test_png_alpha_is_ignored():
    alpha = np.full_like(RAMP, 7)
    check(saved(np.stack([RAMP, alpha], axis=-1), "png"), "png", 8, RAMP / 255)
    check(saved(np.dstack([COLOUR, alpha]), "png"), "png", 8, luma(COLOUR, 255))


def test_png_colour_and_palette():
    assert check(saved(COLOUR, "png"), "png", 8, luma(COLOUR, 255)).photometric == "RGB"
    image = Image.fromarray(RAMP // 32)
    image.putpalette([n for i in range(8) for n in (255 - i, 10 * i, 20 * i)])
    expected = luma(np.array([[255 - i, 10 * i, 20 * i] for i in range(8)]), 255)[RAMP // 32]
    assert check(saved(image, "png"), "png", 8, expected).photometric == "PALETTE COLOR"


def test_png_colour_of_16_bits_keeps_the_low_byte():
    deep = np.stack([DEEP, DEEP + 1, DEEP + 2], axis=-1)
    check(imagecodecs.png_encode(deep), "png", 16, luma(deep.astype(float), 65535))


def test_grey_saved_as_colour_gives_the_very_same_pixels():
    grey = decode_image(saved(RAMP, "png")).pixels
    assert np.array_equal(decode_image(saved(np.dstack([RAMP] * 3), "png")).pixels, grey)
    assert np.array_equal(decode_image(tiff(np.dstack([RAMP] * 3), photometric="rgb")).pixels, grey)


def test_png_profiles_and_comments_are_silent(capfd):
    image = Image.fromarray(RAMP)
    data = saved(image, "png", icc_profile=b"no profile at all")
    body = data[:33] + chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(10_000_000))) + data[33:]
    check(body, "png", 8, RAMP / 255)
    assert capfd.readouterr() == ("", "")


def test_png_interlaced():
    data = imagecodecs.png_encode(RAMP)
    assert decode_image(data).pixels.shape == RAMP.shape
    # one pixel, interlaced: Adam7 with a single pass
    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 1)
    one = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\x80"))
    check(one + chunk(b"IEND", b""), "png", 8, np.array([[128 / 255]]))


# JPEG


def test_jpeg_grey_colour_progressive():
    for options in ({}, {"progressive": True}):
        radiograph = decode_image(saved(RAMP, "jpeg", quality=95, **options))
        assert np.abs(radiograph.pixels - RAMP / 255)[:, :].mean() < 0.02
        assert (radiograph.format, radiograph.photometric) == ("jpeg", "MONOCHROME2")
    smooth = np.dstack([np.tile(np.arange(80, dtype=np.uint8), (60, 1))] * 2 + [np.full((60, 80), 90, np.uint8)])
    radiograph = decode_image(saved(smooth, "jpeg", quality=98))
    assert np.abs(radiograph.pixels - luma(smooth, 255)).max() < 0.02
    cmyk = decode_image(saved(Image.fromarray(smooth).convert("CMYK"), "jpeg", quality=98))
    assert np.abs(cmyk.pixels - luma(smooth, 255)).max() < 0.05


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpeg_exif_orientation(orientation):
    image = Image.fromarray(np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40, np.ones((16, 16), np.uint8)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(image, "jpeg", exif=exif, quality=98)
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.allclose(decode_image(data).pixels, np.asarray(upright) / 255, atol=1e-6)


def test_jpeg_lossless_and_12_bits():
    check(imagecodecs.ljpeg_encode(DEEP, bitspersample=16), "jpeg", 16, DEEP / 65535)
    twelve = (DEEP // 16).astype(np.uint16)
    radiograph = decode_image(imagecodecs.jpeg_encode(twelve, bitspersample=12, level=100))
    assert radiograph.bits_stored == 12
    assert np.abs(radiograph.pixels - twelve / 4095).max() < 0.01


# TIFF


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "packbits", "zstd"])
@pytest.mark.parametrize("layout", [{}, {"tile": (16, 32)}, {"rowsperstrip": 7}])
@pytest.mark.parametrize("samples", [RAMP, DEEP], ids=["8", "16"])
def test_tiff_grey(samples, layout, compression):
    predictor = compression in ("lzw", "deflate")
    data = tiff(samples, compression=compression, predictor=predictor, photometric="minisblack", **layout)
    bits = samples.dtype.itemsize * 8
    check(data, "tiff", bits, samples / (2**bits - 1))


def test_tiff_big_endian_and_bigtiff():
    check(tiff(DEEP, byteorder=">"), "tiff", 16, DEEP / 65535)
    check(tiff(DEEP, bigtiff=True), "tiff", 16, DEEP / 65535)


def test_tiff_min_is_white_is_inverted():
    assert check(tiff(DEEP, photometric="miniswhite"), "tiff", 16, 1 - DEEP / 65535).photometric == "MONOCHROME1"


def test_tiff_bilevel():
    one = RAMP % 3 == 0
    check(saved(Image.fromarray(one), "tiff"), "tiff", 1, one.astype(float))
    check(saved(Image.fromarray(one), "tiff", compression="group4"), "tiff", 1, one.astype(float))


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_tiff_colour(planar):
    samples = COLOUR if planar == "contig" else np.moveaxis(COLOUR, -1, 0)
    data = tiff(samples, photometric="rgb", planarconfig=planar, tile=(16, 16))
    check(data, "tiff", 8, luma(COLOUR, 255))


def test_tiff_alpha_palette_jpeg():
    check(
        tiff(np.dstack([DEEP, DEEP * 0]), photometric="minisblack", extrasamples=[0]),
        "tiff",
        16,
        DEEP / 65535,
    )
    table = np.random.default_rng(1).integers(0, 65535, (3, 256)).astype(np.uint16)
    expected = luma(np.moveaxis(table, 0, -1).astype(float), 65535)[RAMP]
    check(tiff(RAMP, photometric="palette", colormap=table), "tiff", 8, expected)
    for options in ({}, {"tile": (32, 32)}):
        radiograph = decode_image(tiff(RAMP, compression="jpeg", **options))
        assert np.abs(radiograph.pixels - RAMP / 255).mean() < 0.02


def test_tiff_orientation():
    data = tiff(RAMP, extratags=[(274, 3, 1, 6, True)])
    check(data, "tiff", 8, np.rot90(RAMP, -1) / 255)


def test_tiff_thumbnails_do_not_count_but_second_pages_do():
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(RAMP[::4, ::4], subfiletype=1)
        writer.write(RAMP)
        writer.write(RAMP[::2, ::2], subfiletype=1)
    check(buffer.getvalue(), "tiff", 8, RAMP / 255)
    with pytest.raises(ImageError, match="several pages"):
        decode_image(tiff(np.stack([RAMP] * 3), photometric="minisblack"))


# refused


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"this is a text", r"not a radiograph format; PNG, JPEG, TIFF and DICOM"),
        (b"GIF89a" + bytes(50), "not a radiograph format; PNG"),
        (bytes(1000), "not a radiograph format"),
        (saved(RAMP, "png")[:-1], "the PNG stream is cut off after"),
        (saved(RAMP, "png")[:100], "the PNG stream is cut off after"),
        (saved(RAMP, "png")[:8], "the PNG stream is cut off after"),
        (png(80, 60, 8, 0, bytes(81 * 59)), "Not enough image data"),
        (png(0, 60, 8, 0, b""), "without area"),
        (saved(RAMP, "jpeg")[:-20], "the JPEG stream is cut off"),
        (saved(COLOUR, "jpeg", progressive=True)[:-200], "the JPEG stream is cut off"),
        (saved(RAMP, "jpeg")[:100], "the JPEG stream is cut off"),
        (b"\xff\xd8\xff\xd9", "the JPEG stream is"),
        (imagecodecs.ljpeg_encode(DEEP, bitspersample=16)[:-500], "the JPEG stream is cut off"),
        (tiff(DEEP)[:-1], "the TIFF is cut off"),
        (
            tiff(DEEP, compression="deflate", rowsperstrip=60)[:3000],
            "the TIFF is cut off|TIFF stream is damaged",
        ),
        (tiff(RAMP)[:100], "TIFF"),
        (tiff(RAMP.astype(np.float32)), "floating-point samples"),
        (tiff(RAMP.astype(np.int16)), "signed"),
        (tiff(DEEP.astype(np.uint32)), "too deep"),
        (tiff(RAMP, compression="lerc"), "compression .* is not read"),
        (tiff(np.stack([RAMP] * 4), photometric="separated", planarconfig="separate"), "is not read"),
    ],
)
def test_refused_with_a_reason(data, reason):
    with pytest.raises(ImageError, match=reason) as caught:
        decode_image(data)
    assert "\n" not in str(caught.value)


def test_damaged_crc_is_refused():
    data = bytearray(saved(RAMP, "png"))
    data[data.index(b"IDAT") + 20] ^= 1
    with pytest.raises(ImageError, match="the PNG stream is damaged"):
        decode_image(bytes(data))


# claimed sizes


def jpeg_claiming(columns, rows):
    data = bytearray(saved(RAMP, "jpeg"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", rows, columns)
    return bytes(data)


def tiff_claiming(columns, rows, **layout):
    """A deflated TIFF whose one strip or tile is small, whatever it claims."""
    tags = [(256, columns), (257, rows), (258, 8), (259, 8), (262, 1), (277, 1)]
    tags += [(322, layout["tile"]), (323, layout["tile"])] if layout else [(278, rows)]
    body = zlib.compress(bytes(2_000_000))
    tags += [(324 if layout else 273, 8), (325 if layout else 279, len(body))]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags))
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + struct.pack("<H", len(tags)) + directory + bytes(4)


CLAIMS = {
    "png": png(65535, 65535, 8, 0, b"\0"),
    "jpeg": jpeg_claiming(65535, 65535),
    "tiff": tiff_claiming(65535, 65535),
    "tile": tiff_claiming(100, 100, tile=65536),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_claimed_size_is_refused_before_memory_is_taken(name, tmp_path):
    (tmp_path / "huge").write_bytes(CLAIMS[name])
    code = (
        "import resource, sys\n"
        "import PIL.JpegImagePlugin, imagecodecs, tifffile\n"
        "from radretrieval.imaging import read_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_image(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "huge")]
    root = Path(__file__).parents[2]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=root, check=True).stdout
    message, kilobytes = answer.splitlines()
    assert message.startswith("ImageError claims 6553")
    assert "RADRETRIEVAL_MAX_PIXELS" in message
    assert int(kilobytes) < 30_000


def test_the_limit_is_a_setting():
    assert Settings.model_fields["max_pixels"].default == MAX_PIXELS
    data = saved(RAMP, "png")
    assert decode_image(data, max_pixels=4800).rows == 60
    with pytest.raises(ImageError, match="claims 80×60 pixels, more than the 4,799 allowed"):
        decode_image(data, max_pixels=4799)


def test_a_strip_that_inflates_beyond_its_image_is_refused():
    with pytest.raises(ImageError, match="TIFF"):
        decode_image(tiff_claiming(10, 10))


# paths


def test_read_image_goes_by_content_and_not_by_name(tmp_path):
    (tmp_path / "x.dcm").write_bytes(saved(RAMP, "png"))
    assert read_image(tmp_path / "x.dcm").format == "png"
    assert read_image(str(tmp_path / "x.dcm")).columns == 80
    assert read_bytes(tmp_path / "x.dcm") == saved(RAMP, "png")


def test_paths_that_cannot_be_read(tmp_path):
    for path, reason in [
        (tmp_path / "gone.png", "does not exist"),
        (tmp_path, "is a folder"),
        ("a\0b", "cannot be"),
    ]:
        with pytest.raises(InputMissing, match=reason) as caught:
            read_image(path)
        assert repr(str(path))[1:-1] in str(caught.value)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputMissing, match="not a regular file"):
        read_image(tmp_path / "pipe")
    with open(tmp_path / "enormous", "wb") as file:
        file.truncate(10**10)
    with pytest.raises(ImageError, match=r"10.0 GB"):
        read_image(tmp_path / "enormous")
    if os.geteuid() != 0:
        (tmp_path / "closed").touch(0)
        with pytest.raises(InputMissing, match="permission denied"):
            read_image(tmp_path / "closed")


def test_importing_the_room_imports_no_decoder():
    decoders = "{'pydicom', 'PIL', 'imagecodecs', 'tifffile'}"
    code = f"import sys, radretrieval.imaging; print(*{decoders} & set(sys.modules))"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root).stdout == "\n"


# whatever the bytes

SEEDS = [
    saved(RAMP, "png"),
    saved(COLOUR, "png"),
    imagecodecs.png_encode(np.dstack([DEEP] * 3)),
    saved(RAMP, "jpeg"),
    saved(COLOUR, "jpeg", progressive=True),
    imagecodecs.ljpeg_encode(DEEP, bitspersample=16),
    imagecodecs.jpeg_encode((DEEP // 16).astype(np.uint16), bitspersample=12, level=95),
    tiff(DEEP, compression="lzw", tile=(16, 16)),
    tiff(RAMP, compression="deflate", predictor=True, rowsperstrip=16),
    tiff(COLOUR, photometric="rgb"),
    tiff(RAMP, compression="jpeg", tile=(32, 32)),
    saved(Image.fromarray(RAMP > 99), "tiff", compression="group4"),
]


@st.composite
def damaged(draw):
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 6))):
        # headers decide most: half of the hits fall on the first or last few hundred bytes
        place = draw(st.one_of(st.integers(0, 300), st.integers(-300, -1), st.integers(0, 10**6)))
        data[place % len(data)] = draw(st.one_of(st.sampled_from([0, 1, 127, 128, 255]), st.integers(0, 255)))
    if draw(st.booleans()):
        data = data[: draw(st.integers(0, len(data)))]
    if draw(st.booleans()):
        data += draw(st.binary(max_size=40))
    return bytes(data)


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(damaged(), st.binary(max_size=300)))
@example(SEEDS[0])
def test_no_other_exception_leaves_whatever_the_bytes(data):
    try:
        radiograph = decode_image(data, max_pixels=1_000_000)
    except ImageError as error:
        message = str(error)
    else:
        message = "read"
        assert radiograph.pixels.dtype == np.float32
        assert radiograph.pixels.ndim == 2
        assert 0 <= radiograph.pixels.min() <= radiograph.pixels.max() <= 1
    assert message
    assert "\n" not in message
