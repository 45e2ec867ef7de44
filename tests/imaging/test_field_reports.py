"""What users report of comparable systems (docs/field-reports.md), with small files made after their reports."""

import io
import struct
import zlib

import imagecodecs
import jpeg_ls
import numpy as np
import pytest
import tifffile
from data_sets import lut, made, written
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels.encoders import RLELosslessEncoder

from radretrieval.errors import ImageError
from radretrieval.imaging.reader import decode_image

VALUES = np.arange(256, dtype=np.uint16).reshape(16, 16) * 16
RIGHT = VALUES / 4080
BYTES = (VALUES // 16).astype(np.uint8)
SIGNED = (VALUES.astype(int) - 2048).astype(np.int16)
COLOUR = np.random.default_rng(1).integers(0, 256, (16, 16, 3)).astype(np.uint8)
LUMINANCE = COLOUR @ np.array([0.299, 0.587, 0.114]) / 255
LARGE = np.kron(BYTES, np.ones((4, 4), np.uint8))
IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
RLE, JPEG = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4."
J2K_STREAM = imagecodecs.jpeg2k_encode(VALUES, codecformat="J2K", reversible=True)
LOSSLESS_STREAM = imagecodecs.ljpeg_encode(VALUES, bitspersample=12)
LS_STREAM = imagecodecs.jpegls_encode(VALUES)


def is_right(data, right=RIGHT, tolerance=1e-6, frame=1):
    found = decode_image(data, frame=frame)
    return found.pixels.shape == right.shape and bool(np.abs(found.pixels - right).max() <= tolerance)


def film(values=VALUES, syntax=EXPLICIT, stream=None, **elements):
    """A DICOM file of these values, or of a compressed stream with their size."""
    if stream is not None:
        elements["PixelData"] = encapsulate([stream])
    return written(made(values, **elements), syntax)


def saved(samples, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(samples, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, **options)
    return buffer.getvalue()


def with_element(data, start, value):
    """The file with another value of the element whose tag and VR (of a short length) are `start`."""
    place = data.index(start) + len(start)
    length = int.from_bytes(data[place : place + 2], "little")
    return data[:place] + struct.pack("<H", len(value)) + value + data[place + 2 + length :]


def labelled(data, syntax):
    """The file with another transfer syntax in its meta header."""
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    return with_element(data, b"\x02\0\x10\0UI", value)


# how samples lie


@pytest.mark.parametrize("planar", [0, 1])
def test_compressed_colours_lie_as_the_codec_says(planar):
    j2k = imagecodecs.jpeg2k_encode(COLOUR, codecformat="J2K", reversible=True)
    colours = {"PhotometricInterpretation": "YBR_RCT", "PlanarConfiguration": planar}
    assert is_right(film(COLOUR, JPEG + "90", j2k, **colours), LUMINANCE)
    smooth = np.kron(np.dstack([BYTES, BYTES.T, BYTES // 2]), np.ones((4, 4, 1), np.uint8))
    jpeg = saved(smooth, "jpeg", quality=98, subsampling=0)
    right = smooth @ np.array([0.299, 0.587, 0.114]) / 255
    for said in ("YBR_FULL_422", "RGB"):
        colours["PhotometricInterpretation"] = said
        assert is_right(film(smooth, JPEG + "50", jpeg, **colours), right, 0.02)
    for interleave in (0, 1, 2):
        samples = np.moveaxis(COLOUR, -1, 0) if interleave == 0 else COLOUR
        stream = bytes(jpeg_ls.encode_buffer(samples.tobytes(), 16, 16, 3, 8, interleave_mode=interleave))
        assert is_right(film(COLOUR, JPEG + "80", stream, PlanarConfiguration=planar), LUMINANCE)


@pytest.mark.parametrize("values", [BYTES, np.arange(15, dtype=np.uint8).reshape(3, 5)], ids=["even", "odd"])
@pytest.mark.parametrize("vr", ["OB", "OW"])
def test_big_endian_bytes(values, vr):
    data = values.tobytes() + b"\0" * (values.nbytes % 2)
    swapped = data if vr == "OB" else np.frombuffer(data, "<u2").byteswap().tobytes()
    whole = film(values, BIG_ENDIAN, PixelData=swapped)
    assert is_right(whole.replace(b"\x7f\xe0\0\x10OW", b"\x7f\xe0\0\x10" + vr.encode()), values / values.max())


@pytest.mark.parametrize("vr", [b"OB", b"UN"])
def test_sixteen_bits_in_another_vr(vr):
    assert is_right(film().replace(b"\xe0\x7f\x10\0OW", b"\xe0\x7f\x10\0" + vr))


def test_eight_bits_stored_in_sixteen_allocated():
    assert is_right(film(VALUES // 16, BitsStored=8, WindowCenter=128, WindowWidth=256), BYTES / 255)


def test_excess_and_missing_padding_of_pixel_data():
    assert is_right(film(PixelData=VALUES.tobytes() + bytes(38)))
    odd = np.arange(15, dtype=np.uint8).reshape(3, 5)
    padded = film(odd)
    assert is_right(padded, odd / 14)
    length = len(padded) - 16 - 4
    bare = padded[:length] + struct.pack("<I", 15) + padded[length + 4 : -1]
    assert is_right(bare, odd / 14)


# frames and fragments


def test_more_frames_than_said_give_the_first():
    assert is_right(film(PixelData=VALUES.tobytes() * 2))
    other = VALUES[::-1].copy()
    pairs = {
        "90": (J2K_STREAM, imagecodecs.jpeg2k_encode(other, codecformat="J2K", reversible=True)),
        "80": (LS_STREAM, imagecodecs.jpegls_encode(other)),
        "70": (LOSSLESS_STREAM, imagecodecs.ljpeg_encode(other, bitspersample=12)),
    }
    for last, pair in pairs.items():
        assert is_right(film(syntax=JPEG + last, PixelData=encapsulate(list(pair)), BitsStored=12))


@pytest.mark.parametrize("tail", [b"", bytes(8), bytes(12), bytes(7)])
def test_a_missing_delimiter_after_the_last_fragment(tail):
    data = film(stream=J2K_STREAM, syntax=JPEG + "90")
    end = data.rindex(b"\xfe\xff\xdd\xe0")
    assert is_right(data[:end] + tail)
    with pytest.raises(ImageError, match="cut off"):
        decode_image(data[: end - 20])


def test_a_delimiter_within_a_fragment_ends_nothing():
    comment = b"\xff\xfe" + struct.pack(">H", 10) + b"\xfe\xff\xdd\xe0\0\0\0\0"
    assert is_right(film(syntax=JPEG + "80", stream=LS_STREAM[:2] + comment + LS_STREAM[2:]))


def test_an_extended_offset_table_of_frames_of_odd_length():
    frames = [LS_STREAM + b"\0" * (1 - len(LS_STREAM) % 2), imagecodecs.jpegls_encode(VALUES[::-1].copy())]
    data, offsets, lengths = encapsulate_extended(frames)
    table = {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}
    whole = film(syntax=JPEG + "80", PixelData=data, NumberOfFrames=2, **table)
    assert is_right(whole, RIGHT[::-1], frame=2)


# codecs


def rle(values):
    options = {"rows": 16, "columns": 16, "samples_per_pixel": 1, "number_of_frames": 1, "pixel_representation": 0}
    options |= {"bits_allocated": 8 * values.itemsize, "bits_stored": 8 * values.itemsize}
    return RLELosslessEncoder.encode(values.tobytes(), photometric_interpretation="MONOCHROME2", **options)


def test_rle_segments_of_odd_length_and_with_excess():
    for excess in (b"\0\0", b"\xff\x07"):
        assert is_right(film(BYTES, RLE, rle(BYTES) + excess))
    high, low = (bytes((VALUES >> shift & 255).astype(np.uint8).ravel()) for shift in (8, 0))
    first, second = (b"".join(b"\x0f" + part[i : i + 16] for i in range(0, 256, 16)) for part in (high, low))
    first += b"\x80"
    head = struct.pack("<16I", 2, 64, 64 + len(first), *[0] * 13)
    assert is_right(film(VALUES, RLE, head + first + second))


@pytest.mark.parametrize("bits", [2, 6, 7, 9, 15])
def test_jpeg_ls_of_any_precision(bits):
    values = np.minimum(BYTES if bits <= 8 else VALUES, 2**bits - 1)
    stream = bytes(jpeg_ls.encode_buffer(values.tobytes(), 16, 16, 1, bits))
    right = (values - values.min()) / float(values.max() - values.min())
    assert is_right(film(values.astype(np.uint16), JPEG + "80", stream, BitsStored=bits), right)


@pytest.mark.parametrize("bits", range(2, 17))
def test_lossless_jpeg_of_any_precision(bits):
    values = (BYTES >> max(0, 8 - bits)).astype(np.uint16 if bits > 8 else np.uint8)
    stream = imagecodecs.ljpeg_encode(values, bitspersample=bits)
    assert is_right(film(values, JPEG + "70", stream, BitsStored=bits), values / values.max())


def test_lossless_jpeg_with_a_point_transform():
    stream = bytearray(imagecodecs.ljpeg_encode((VALUES >> 1).astype(np.uint16), bitspersample=11))
    stream[stream.index(b"\xff\xc3") + 4] = 12
    scan = stream.index(b"\xff\xda")
    stream[scan + 5 + 2 * stream[scan + 4] + 2] |= 1
    assert is_right(film(syntax=JPEG + "70", stream=bytes(stream), BitsStored=12))


def test_lossless_jpeg_with_its_tables_before_its_header_and_zeros_after_its_end():
    start = LOSSLESS_STREAM.index(b"\xff\xc3")
    end = start + 2 + int.from_bytes(LOSSLESS_STREAM[start + 2 : start + 4], "big")
    rest = LOSSLESS_STREAM[:start] + LOSSLESS_STREAM[end:]
    scan = rest.index(b"\xff\xda")
    moved = rest[:scan] + LOSSLESS_STREAM[start:end] + rest[scan:] + bytes(40)
    assert is_right(film(syntax=JPEG + "70", stream=moved, BitsStored=12))


def test_high_throughput_jpeg_2000_of_signed_values():
    assert is_right(film(SIGNED, JPEG + "201", imagecodecs.htj2k_encode(SIGNED)))


def test_jpeg_2000_in_its_boxes():
    stream = imagecodecs.jpeg2k_encode(VALUES, codecformat="JP2", reversible=True)
    assert is_right(film(syntax=JPEG + "90", stream=stream))


STREAMS = {"90": J2K_STREAM, "70": LOSSLESS_STREAM, "80": LS_STREAM}


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("said", [EXPLICIT, JPEG + "50", JPEG + "51", JPEG + "70", JPEG + "80", JPEG + "90"])
def test_a_stream_of_another_transfer_syntax_than_the_file_says(said, stream):
    data = film(syntax=JPEG + stream, stream=STREAMS[stream], BitsStored=12)
    assert is_right(labelled(data, said))


def test_baseline_jpeg_that_is_called_lossless():
    data = film(LARGE, JPEG + "50", saved(LARGE, "jpeg", quality=98))
    assert is_right(labelled(data, JPEG + "70"), LARGE / 255, 0.06)


@pytest.mark.parametrize("said", [RLE, JPEG + "90", JPEG + "70"])
def test_native_values_that_are_called_compressed_are_refused(said):
    with pytest.raises(ImageError):
        decode_image(labelled(film(), said))


def deflated(form):
    plain, meta = film(), film(syntax="1.2.840.10008.1.2.1.99")
    start, head = (144 + struct.unpack("<I", data[140:144])[0] for data in (plain, meta))
    deflate = zlib.compressobj(9, zlib.DEFLATED, form)
    return meta[:head] + deflate.compress(plain[start:]) + deflate.flush()


@pytest.mark.parametrize("form", [-15, 15, 31], ids=["raw", "zlib", "gzip"])
def test_deflated_with_the_header_of_zlib_or_gzip(form):
    assert is_right(deflated(form))
    with pytest.raises(ImageError, match="cut off"):
        decode_image(deflated(form)[:-30])


# headers


@pytest.mark.parametrize("said", ["Not Supplied", "ISO 2022 IR 100", "ISO_2022_IR_6", "GB18030\\ISO 2022 IR 58", "\\"])
def test_character_sets_that_do_not_exist(said):
    data = film(SpecificCharacterSet="ISO_IR 100", Manufacturer="Someone", PatientID="4711")
    data = with_element(data, b"\x08\0\x05\0CS", said.encode() + b" " * (len(said) % 2))
    found = decode_image(data)
    assert (found.manufacturer, found.patient_id) == ("Someone", "4711")
    assert is_right(data.replace(b"Someone", b"S\xff\xfe\x81one"))


@pytest.mark.parametrize("length", [10, 9999])
def test_a_wrong_length_of_the_meta_header(length):
    data = film()
    assert is_right(data[:140] + struct.pack("<I", length) + data[144:])


@pytest.mark.parametrize(("said", "is_"), [(IMPLICIT, EXPLICIT), (EXPLICIT, IMPLICIT)])
def test_explicit_data_sets_called_implicit_and_the_other_way(said, is_):
    assert is_right(labelled(film(syntax=is_), said))


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_an_empty_look_up_table_descriptor(syntax):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", None)
    item.add_new("LUTData", "OW", b"")
    assert is_right(film(syntax=syntax, VOILUTSequence=[item]))
    with pytest.raises(ImageError, match="no descriptor of three numbers"):
        decode_image(film(syntax=syntax, ModalityLUTSequence=[item]))


def test_look_up_tables_of_signed_values_have_unsigned_entries():
    table = (np.arange(4096) * 16).astype(np.uint16)  # most of them above 32767
    assert is_right(film(SIGNED, IMPLICIT, ModalityLUTSequence=lut(-2048, table)))
    item = Dataset()
    item.add_new("LUTDescriptor", "SS", [4096, -2048, 16])
    item.add_new("LUTData", "SS", [int(entry) for entry in table.view(np.int16)])
    assert is_right(film(SIGNED, ModalityLUTSequence=[item]))
    many = lut(-2048, [0])
    many[0].add_new("LUTDescriptor", "SS", [62720, -2048, 16])
    many[0].add_new("LUTData", "OW", np.arange(62720).astype("<u2").tobytes())
    assert is_right(film(SIGNED, VOILUTSequence=many), VALUES / 65535)


def test_windows_of_functional_groups_with_several_values():
    groups, window = Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth = [1000, 3432, 1, 2, 3], [2000, 656, 1, 2, 3]
    groups.FrameVOILUTSequence = [window]
    right = np.clip((VALUES - 999.5) / 1999 + 0.5, 0, 1)
    assert is_right(film(PerFrameFunctionalGroupsSequence=[groups]), right)


def test_slopes_that_are_negative_or_small():
    assert is_right(film(BYTES, RescaleSlope=-10, RescaleIntercept=3000), 1 - RIGHT)
    assert is_right(film(RescaleSlope="2.87E-06", RescaleIntercept=0))
    window = {"WindowCenter": 20, "WindowWidth": 40, "VOILUTFunction": "LINEAR_EXACT"}
    assert is_right(film(RescaleSlope=0.01, RescaleIntercept=0, **window), np.clip(VALUES / 4000, 0, 1))


def test_monochrome1_is_inverted_after_the_window():
    right = 1 - np.clip((VALUES - 1999.5) / 999 + 0.5, 0, 1)
    window = {"WindowCenter": 2000, "WindowWidth": 1000}
    assert is_right(film(PhotometricInterpretation="MONOCHROME1", RescaleIntercept=0, RescaleSlope=1, **window), right)


def test_a_window_far_from_all_values_gives_a_flat_film():
    assert decode_image(film(VALUES + 12000, WindowCenter=3174, WindowWidth=2426)).flat
    assert decode_image(film(np.full((8, 8), 77, np.uint16), PixelPaddingValue=77)).flat


def test_extremes_are_those_of_the_pixels_not_those_of_the_header():
    assert is_right(film(SmallestImagePixelValue=0, LargestImagePixelValue=65535))


# PNG, JPEG, TIFF


def png(depth, colour, rows, *chunks):
    def chunk(kind, payload):
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, depth, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunk(*one) for one in chunks) + body + chunk(b"IEND", b"")


def test_sixteen_bit_png_keeps_its_grey_values():
    deep = VALUES * 16
    assert is_right(saved(deep, "png"), deep / 65535)
    chunks = (b"gAMA", struct.pack(">I", 100_000)), (b"sBIT", b"\x0c"), (b"bKGD", b"\0\0"), (b"tRNS", b"\0\0")
    assert is_right(png(16, 0, deep, *chunks), deep / 65535)
    assert is_right(png(16, 4, np.dstack([deep, np.zeros_like(deep)])), deep / 65535)  # transparent throughout


def test_tiff_whose_zero_is_white_and_other_forms():
    deep, bits = VALUES * 16, (BYTES % 2).astype(bool)
    assert is_right(tiff(bits, photometric="miniswhite"), 1.0 - bits)
    assert is_right(saved(bits, "tiff", compression="group4"), 1.0 * bits)
    assert is_right(tiff(deep, photometric="miniswhite", byteorder=">"), 1 - deep / 65535)
    assert is_right(tiff(deep, compression="lzw", predictor=True), deep / 65535)
    alpha = np.dstack([deep, np.full_like(deep, 65535)])
    options = {"photometric": "minisblack", "extrasamples": ["assocalpha"], "planarconfig": "contig"}
    assert is_right(tiff(alpha, **options), deep / 65535)


def test_jpeg_of_four_colours_with_restarts_or_with_several_pictures():
    cmyk = io.BytesIO()
    Image.fromarray(np.dstack([LARGE] * 3)).convert("CMYK").save(cmyk, "jpeg", quality=98)
    assert is_right(cmyk.getvalue(), LARGE / 255, 0.06)
    assert is_right(saved(LARGE, "jpeg", quality=98, restart_marker_rows=1), LARGE / 255, 0.06)
    assert is_right(saved(LARGE, "MPO", save_all=True, append_images=[Image.fromarray(LARGE)]), LARGE / 255, 0.1)
