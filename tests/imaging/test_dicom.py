"""DICOM files become pixels, rightly or not at all: real files, the whole pipeline, and any bytes."""

import csv
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from data_sets import lut, made, pixels, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from radretrieval.errors import ImageError
from radretrieval.imaging import read_image
from radretrieval.imaging.dicom import read_data_set
from radretrieval.imaging.reader import MAX_PIXELS, decode_image
from radretrieval.imaging.stored import stored_values

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "dicom"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the DICOM corpus is not at {SHARED}")
ROWS = list(csv.DictReader((SHARED / "manifest.csv").open())) if SHARED.is_dir() else []
VALID = [row for row in ROWS if row["file"].startswith("valid/")]

# the files that are refused, and why; every other one is read
REFUSED = {
    "valid/pyd_liver_1frame.dcm": r"holds no radiograph \(Segmentation Storage\)",
    "broken/pyd_no_meta.dcm": "not a radiograph format",
    "broken/no_pixeldata.dcm": r"holds no image \(Computed Radiography Image Storage without Pixel Data\)",
    "broken/absurd_dims.dcm": "claims 65535×65535 pixels",
    "broken/no_photometric.dcm": "lacks PhotometricInterpretation",
    "broken/cut_in_header.dcm": "ends after its preamble or header",
    "broken/cut_in_pixels.dcm": "the pixel data is cut off: 57,658 of 96,800 bytes",
    "broken/zero_bytes.dcm": r"is empty \(0 bytes\)",
    "broken/text_renamed.dcm": "not a radiograph format; PNG",
    "broken/png_truncated_renamed.dcm": "the PNG stream is cut off after 4,000 bytes",
    "broken/preamble_only.dcm": "ends after its preamble or header",
    "broken/jpeg_cut50.dcm": "holds no image: the DICOM data set is cut off or empty",
    "broken/wrong_tsyntax.dcm": "cannot be decoded as RLE Lossless",
    "broken/pyd_MR_truncated.dcm": "the pixel data is cut off: 8,130 of 8,192 bytes",
    "broken/pyd_badVR.dcm": r"holds no radiograph \(RT Dose Storage\)",
    "broken/pyd_no_meta_group_length.dcm": "holds no image: the DICOM data set is cut off or empty",
    "broken/pyd_test-SR.dcm": r"holds no radiograph \(Comprehensive SR Storage\)",
    "broken/pyd_rtplan.dcm": r"holds no image \(RT Plan Storage without Pixel Data\)",
    "broken/pyd_waveform_ecg.dcm": r"holds no image \(12-lead ECG Waveform Storage without Pixel Data\)",
    "broken/pyd_empty_charset_LEI.dcm": "holds no image: the DICOM data set is cut off or empty",
}
# sound, although the manifest could not decode them; DCMTK gives the same extremes
SOUND = {"broken/RG2_JPLY.dcm": (0, 960, 450.880), "broken/pyd_JPEG-lossy.dcm": (0, 264, 14.370)}


def stored(path, frame=1):
    return stored_values(*read_data_set(path.read_bytes(), MAX_PIXELS), MAX_PIXELS, frame)[0]


# the corpus


@shared
def test_the_manifest_is_covered():
    assert {row["file"] for row in ROWS} >= set(REFUSED) | set(SOUND)
    assert len(VALID) == 28
    assert len(ROWS) == 52


@shared
@pytest.mark.parametrize("row", [row for row in ROWS if row["file"] not in REFUSED], ids=lambda row: row["file"])
def test_sound_files_are_read_right(row, capfd, recwarn):
    path = SHARED / row["file"]
    radiograph = read_image(path)
    # the manifest's figures are of all frames
    values = np.stack([stored(path, number + 1).values for number in range(int(row["frames"] or 1))])
    assert radiograph.frames == len(values)
    low, high, mean = SOUND.get(row["file"]) or (int(row["pmin"]), int(row["pmax"]), float(row["pmean"]))
    assert (values.min(), values.max()) == (low, high)
    assert values.mean() == pytest.approx(mean, abs=1e-3)
    assert radiograph.pixels.shape == (int(row["rows"]), int(row["cols"]))
    assert radiograph.pixels.dtype == np.float32
    assert 0 <= radiograph.pixels.min() <= radiograph.pixels.max() <= 1
    assert (radiograph.bits_stored, radiograph.photometric) == (int(row["bits_stored"]), row["photometric"])
    assert (radiograph.modality, radiograph.body_part) == (row["modality"], row["body_part"] or None)
    assert radiograph.view_position == (row["view"] or None)
    assert radiograph.sop_instance_uid
    assert radiograph.flat == (row["file"] == "broken/constant_image.dcm")
    assert len(radiograph.ignored) == (row["file"] == "broken/window_width_zero.dcm")
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


@shared
def test_a_frame_is_asked_for_by_its_number():
    data = (SHARED / "valid" / "pdd_emri_small.dcm").read_bytes()
    frames = [decode_image(data, frame=number) for number in (1, 2, 10)]
    assert len({radiograph.pixels_sha256 for radiograph in frames}) == 3
    for number in (0, 11):
        with pytest.raises(ImageError, match=f"has 10 frames; there is no frame {number}"):
            decode_image(data, frame=number)


@shared
def test_one_film_in_five_lossless_encodings_has_one_hash():
    names = [f"RG2_{syntax}" for syntax in ("UNC", "J2KR", "JLSL", "JPLL", "RLE")]
    films = [read_image(SHARED / "valid" / f"{name}.dcm") for name in names]
    assert len({film.pixels_sha256 for film in films}) == 1
    assert len({film.transfer_syntax_uid for film in films}) == 5
    assert read_image(SHARED / "valid" / "RG2_J2KI.dcm").pixels_sha256 != films[0].pixels_sha256  # lossy


def test_the_hash_of_pixels_takes_in_what_their_bytes_mean():
    """The same bytes as signed values, inverted, of other bits or another shape are no equal pixels."""
    values = np.arange(64, dtype=np.uint16).reshape(4, 16)
    kinds = [
        made(values),
        made(values, PixelRepresentation=1),
        made(values, PhotometricInterpretation="MONOCHROME1"),
        made(values, BitsStored=12, HighBit=11),
        made(values.reshape(8, 8)),
        made(values + 1),
    ]
    assert len({decode_image(written(kind)).pixels_sha256 for kind in kinds}) == len(kinds)
    assert len({decode_image(written(made(values, PatientID=one))).pixels_sha256 for one in ("P1", "P2")}) == 1


@shared
@pytest.mark.parametrize("name", REFUSED)
def test_other_files_are_refused_with_a_reason(name, capfd, recwarn):
    with pytest.raises(ImageError, match=REFUSED[name]) as caught:
        read_image(SHARED / name)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


@shared
def test_one_film_in_five_lossless_encodings():
    films = [read_image(SHARED / f"valid/RG2_{kind}.dcm").pixels for kind in ("UNC", "J2KR", "JLSL", "JPLL", "RLE")]
    assert all(np.array_equal(films[0], film) for film in films[1:])
    for lossy in ("valid/RG2_J2KI", "valid/RG2_JLSN", "broken/RG2_JPLY"):
        assert np.abs(films[0] - read_image(SHARED / f"{lossy}.dcm").pixels).mean() < 0.02


@shared
def test_a_picture_and_its_monochrome1_twin_look_alike():
    twins = []
    for kind in ("mono1", "mono2"):
        ds = pydicom.dcmread(SHARED / f"valid/derived_RG3_220_{kind}_u16.dcm")
        del ds.WindowCenter, ds.WindowWidth  # which are not mirrored in these files
        buffer = io.BytesIO()
        ds.save_as(buffer)
        twins.append(decode_image(buffer.getvalue()).pixels)
    assert np.abs(twins[0] - twins[1]).max() < 1e-6


@shared
def test_header_of_a_film():
    film = read_image(SHARED / "valid/MG1_J2KI.dcm")
    assert (film.laterality, film.view_position, film.patient_id) == ("L", "MLO", "3MG1")
    assert film.study_instance_uid
    assert film.series_instance_uid


# the pipeline, on data sets made for it


VALUES = np.arange(256, dtype=np.uint16).reshape(16, 16) * 16


def test_without_window_the_extremes_are_black_and_white():
    assert np.allclose(pixels(made(VALUES + 100)), VALUES / 4080, atol=1e-6)
    assert np.allclose(pixels(made(VALUES, PhotometricInterpretation="MONOCHROME1")), 1 - VALUES / 4080, atol=1e-6)
    assert not pixels(made(np.full((4, 4), 7, np.uint16))).any()


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("slope", [1, 2.5])
def test_windows_are_as_pydicom_applies_them(function, slope):
    elements = {
        "WindowCenter": [1000, 1],
        "WindowWidth": [1500, 2],
        "RescaleSlope": slope,
        "RescaleIntercept": -300,
    }
    ds = made(VALUES, BitsStored=12, **elements | ({"VOILUTFunction": function} if function else {}))
    out = apply_voi_lut(apply_modality_lut(VALUES, ds), ds)  # in the unit and range of the modality values
    low, high = -300, 4095 * slope - 300
    assert np.abs(pixels(ds) - (out - low) / (high - low)).max() < 1e-5


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": 1000, "WindowWidth": 0},
        {"WindowCenter": 1000, "WindowWidth": -5},
        {"WindowCenter": 1000},
        {"WindowWidth": 100},
        {"WindowCenter": None, "WindowWidth": None},
        {"WindowCenter": 1000, "WindowWidth": 0.5},
    ],
)
def test_a_window_that_says_nothing_is_ignored(window):
    ds = made(VALUES)
    for keyword, value in window.items():
        setattr(ds, keyword, value)
    assert np.allclose(pixels(ds), VALUES / 4080, atol=1e-6)


def test_a_window_of_width_one_is_a_threshold():
    assert np.array_equal(pixels(made(VALUES, WindowCenter=160, WindowWidth=1)), VALUES >= 160)


def test_modality_and_voi_look_up_tables():
    table = (np.arange(4096) ** 2 // 256).astype(int)
    squared = table[VALUES]
    assert np.allclose(pixels(made(VALUES, ModalityLUTSequence=lut(0, table))), squared / squared.max(), atol=1e-6)
    ds = made(VALUES, VOILUTSequence=lut(0, table), WindowCenter=5, WindowWidth=9)
    assert np.allclose(pixels(ds), squared / 65535, atol=1e-6)
    # values below and above the table take its first and last entry
    ends = pixels(made(VALUES, VOILUTSequence=lut(1600, [300, 600, 900], bits=10)))
    assert np.allclose(ends, np.array([300, 600, 900])[np.clip(VALUES.astype(int) - 1600, 0, 2)] / 1023, atol=1e-6)


def test_a_look_up_table_for_negative_values():
    values = (VALUES.astype(int) - 2048).astype(np.int16)
    table = np.arange(4096)[::-1]
    result = pixels(made(values, ModalityLUTSequence=lut(-2048, table)))
    assert np.allclose(result, 1 - VALUES / 4080, atol=1e-6)


def test_signed_values_and_unused_high_bits():
    signed = (VALUES.astype(int) - 2048).astype(np.int16)
    assert np.allclose(pixels(made(signed)), VALUES / 4080, atol=1e-6)
    twelve = (signed.astype(np.uint16) & 0x0FFF) | 0x7000
    assert np.allclose(pixels(made(twelve, BitsStored=12, PixelRepresentation=1)), VALUES / 4080, atol=1e-6)
    assert np.allclose(pixels(made(VALUES | 0xF000, BitsStored=12)), VALUES / 4080, atol=1e-6)


def test_one_bit_and_eight_bits():
    bits = np.random.default_rng(1).integers(0, 2, (16, 16)).astype(np.uint8)
    ds = made(bits, BitsAllocated=1, BitsStored=1, PixelData=np.packbits(bits, bitorder="little").tobytes())
    assert np.array_equal(pixels(ds), bits)
    assert np.allclose(pixels(made((VALUES // 16).astype(np.uint8))), VALUES / 4080, atol=1e-6)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("padding", [65535, 4095])
def test_padding_takes_no_part_in_the_range(photometric, padding):
    values = np.minimum(VALUES, 2000)
    values[:4] = 0xFFFF
    ds = made(values, BitsStored=12, PhotometricInterpretation=photometric)
    ds.add_new("PixelPaddingValue", "US", padding)
    result = pixels(ds)
    scaled = (values[4:] - values[4:].min()) / (2000 - values[4:].min())
    assert not result[:4].any()
    assert np.allclose(result[4:], 1 - scaled if photometric == "MONOCHROME1" else scaled, atol=1e-6)


def test_a_range_of_padding():
    ds = made(VALUES, PixelPaddingValue=0, PixelPaddingRangeLimit=160)
    result = pixels(ds)
    assert not result[VALUES <= 160].any()
    assert np.allclose(result[VALUES > 160], (VALUES[VALUES > 160] - 176) / (4080 - 176), atol=1e-6)


def test_colour_becomes_luminance():
    colour = np.random.default_rng(1).integers(0, 256, (8, 10, 3)).astype(np.uint8)
    expected = colour @ np.array([0.299, 0.587, 0.114]) / 255
    assert np.allclose(pixels(made(colour)), expected, atol=1e-6)
    planes = made(colour, PlanarConfiguration=1, PixelData=np.moveaxis(colour, -1, 0).tobytes())
    assert np.allclose(pixels(planes), expected, atol=1e-6)
    colour[..., 1:] = 128  # no chroma: Y is the luminance
    assert np.allclose(pixels(made(colour, PhotometricInterpretation="YBR_FULL")), colour[..., 0] / 255, atol=1e-6)


def test_palette_of_16_bits():
    indices = np.arange(16, dtype=np.uint8).reshape(4, 4)
    ds = made(indices, PhotometricInterpretation="PALETTE COLOR")
    table = (np.arange(16) * 4369).astype(np.uint16)
    for colour in ("Red", "Green", "Blue"):
        ds.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [16, 0, 16])
        ds.add_new(f"{colour}PaletteColorLookupTableData", "OW", table.tobytes())
    assert np.allclose(pixels(ds), indices / 15, atol=1e-6)


@pytest.mark.parametrize("last", ["57", "70"])
def test_lossless_jpeg_of_signed_values(last):
    signed = (VALUES.astype(int) - 2048).astype(np.int16)
    frame = imagecodecs.ljpeg_encode(signed.view(np.uint16) & 0x0FFF, bitspersample=12)
    ds = made(signed, BitsStored=12, PixelData=encapsulate([frame]))
    assert np.allclose(pixels(ds, "1.2.840.10008.1.2.4." + last), VALUES / 4080, atol=1e-6)


def test_eight_bit_extended_jpeg():
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
    ds = made(ramp, PixelData=encapsulate([imagecodecs.jpeg8_encode(ramp, level=98)]))
    assert np.abs(pixels(ds, "1.2.840.10008.1.2.4.51") - ramp / 252).max() < 0.03


def test_header_text_is_clean():
    ds = made(VALUES, BodyPartExamined="", ViewPosition=" PA ", Laterality="R", PatientID="")
    radiograph = decode_image(written(ds))
    assert radiograph.body_part is None
    assert radiograph.patient_id is None
    assert (radiograph.view_position, radiograph.laterality, radiograph.format) == ("PA", "R", "dicom")
    ds.ImageLaterality = "L"
    assert decode_image(written(ds)).laterality == "L"


# refused


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"NumberOfFrames": 2}, "cut off: 512 of 1,024 bytes"),
        ({"Rows": 0}, "without area"),
        ({"Rows": None}, "lacks Rows"),
        ({"BitsAllocated": 32, "BitsStored": 32}, "32 of 32 bits"),
        ({"SamplesPerPixel": 3}, "contradicts itself"),
        ({"PhotometricInterpretation": "CMYK"}, "contradicts itself"),
        ({"PixelData": b"ab"}, r"cut off: 2 of 512 bytes"),
        ({"RescaleSlope": "1e999"}, None),
        ({"Modality": "SEG"}, "holds no radiograph"),
        ({"ModalityLUTSequence": lut(0, [1, 2])}, None),
    ],
)
def test_refused_with_a_reason(elements, reason):
    data = written(made(VALUES, **elements))
    if reason is None:
        decode_image(data)
        return
    with pytest.raises(ImageError, match=reason):
        decode_image(data)


def test_a_look_up_table_cut_short_is_refused():
    sequence = lut(0, [1, 2, 3])
    sequence[0].LUTDescriptor = [500, 0, 16]
    with pytest.raises(ImageError, match=r"look-up table .* is cut off"):
        pixels(made(VALUES, ModalityLUTSequence=sequence))


def test_an_unknown_encoding_is_refused():
    with pytest.raises(ImageError, match=r"MPEG2 .* is not read"):
        pixels(made(VALUES, PixelData=encapsulate([b"1234"])), "1.2.840.10008.1.2.4.100")


@pytest.mark.parametrize("kind", ["J2KR", "J2KI", "JLSL", "JLSN", "JPLL", "RLE"])
@shared
def test_a_compressed_stream_cut_short_is_refused(kind):
    path = SHARED / f"valid/RG2_{kind}.dcm"
    ds = pydicom.dcmread(path)
    frame = pydicom.encaps.get_frame(ds.PixelData, 0, number_of_frames=1)
    ds.PixelData = encapsulate([frame[: len(frame) * 3 // 4]])
    buffer = io.BytesIO()
    ds.save_as(buffer)
    with pytest.raises(ImageError, match=r"cut off|cannot be decoded"):
        decode_image(buffer.getvalue())


# claimed sizes


def bomb(name):
    """A small file that claims, or becomes, very much."""
    if name == "deflated":
        return deflated(bytes(600_000_000))
    if name == "native":
        return written(made(VALUES, Rows=65535, Columns=65535))
    stream = {
        "jpeg": lambda: bytearray(imagecodecs.jpeg8_encode(np.zeros((16, 16), np.uint8))),
        "lossless": lambda: bytearray(imagecodecs.ljpeg_encode(np.zeros((16, 16), np.uint16), bitspersample=12)),
        "jpeg2000": lambda: bytearray(imagecodecs.jpeg2k_encode(np.zeros((16, 16), np.uint16), codecformat="J2K")),
    }[name]()
    if name == "jpeg2000":
        stream[8:16] = struct.pack(">II", 65535, 65535)
    else:
        frame = stream.index(b"\xff\xc3" if name == "lossless" else b"\xff\xc0")
        stream[frame + 5 : frame + 9] = struct.pack(">HH", 65535, 65535)
    last = {"jpeg": "50", "lossless": "70", "jpeg2000": "90"}[name]
    values = VALUES.astype(np.uint8) if name == "jpeg" else VALUES
    return written(made(values, PixelData=encapsulate([bytes(stream)])), "1.2.840.10008.1.2.4." + last)


def deflated(tail):
    plain = written(made(VALUES))
    start = 144 + struct.unpack("<I", plain[140:144])[0]
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflate.compress(plain[start:])
    for position in range(0, len(tail), 2**24):
        body += deflate.compress(tail[position : position + 2**24])
    ds = made(VALUES)
    ds.file_meta = FileMetaDataset()
    meta = written(ds, "1.2.840.10008.1.2.1.99")
    start = 144 + struct.unpack("<I", meta[140:144])[0]
    return meta[:start] + body + deflate.flush()


def test_a_deflated_data_set_is_read_and_a_cut_one_refused():
    data = deflated(b"")
    assert np.allclose(decode_image(data).pixels, VALUES / 4080, atol=1e-6)
    with pytest.raises(ImageError, match="deflated DICOM data set is cut off"):
        decode_image(data[:-100])


@pytest.mark.parametrize("name", ["deflated", "native", "jpeg", "lossless", "jpeg2000"])
def test_claims_are_refused_before_memory_is_taken(name, tmp_path):
    (tmp_path / "bomb").write_bytes(bomb(name))
    assert (tmp_path / "bomb").stat().st_size < 1_000_000
    code = (
        "import resource, sys\n"
        "import pydicom.pixels, PIL.Image, imagecodecs, openjpeg\n"
        "from radretrieval.imaging import read_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_image(sys.argv[1], max_pixels=20_000_000)\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "bomb")]
    root = Path(__file__).parents[2]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=root, check=True).stdout
    message, kilobytes = answer.splitlines()
    assert message.startswith("ImageError ")
    assert "65535" in message or "inflates to more than" in message
    assert int(kilobytes) < (120_000 if name == "deflated" else 30_000)


# whatever the bytes


def seeds():
    eight = (VALUES // 16).astype(np.uint8)
    with_lut = made(VALUES, ModalityLUTSequence=lut(0, range(4096)), WindowCenter=100, WindowWidth=200)
    jpeg = "1.2.840.10008.1.2.4."
    ls = imagecodecs.jpegls_encode(VALUES)
    j2k = imagecodecs.jpeg2k_encode(VALUES, codecformat="J2K", reversible=True)
    lossless = imagecodecs.ljpeg_encode(VALUES, bitspersample=12)
    rle = struct.pack("<16I", 1, 64, *[0] * 14) + b"".join(
        b"\x0f" + eight.tobytes()[i : i + 16] for i in range(0, 256, 16)
    )
    plain = written(made(VALUES, PatientID="someone", PixelPaddingValue=0))
    return [
        plain,
        plain[144 + struct.unpack("<I", plain[140:144])[0] :],
        written(with_lut),
        written(made(VALUES), "1.2.840.10008.1.2"),
        written(made(eight, PixelData=encapsulate([rle])), "1.2.840.10008.1.2.5"),
        written(made(eight, PixelData=encapsulate([imagecodecs.jpeg8_encode(eight)])), jpeg + "50"),
        written(made(VALUES, PixelData=encapsulate([lossless]), BitsStored=12), jpeg + "70"),
        written(made(VALUES, PixelData=encapsulate([ls])), jpeg + "80"),
        written(made(VALUES, PixelData=encapsulate([j2k])), jpeg + "90"),
        deflated(b""),
    ]


SEEDS = seeds()


@pytest.mark.parametrize("number", range(len(SEEDS)))
def test_the_seeds_are_sound(number):
    assert decode_image(SEEDS[number]).pixels.shape == (16, 16)


@st.composite
def damaged(draw):
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.one_of(st.integers(128, 1000), st.integers(-600, -1)))
        data[place % len(data)] = draw(st.one_of(st.sampled_from([0, 1, 127, 128, 255]), st.integers(0, 255)))
    if draw(st.booleans()):
        data = data[: draw(st.integers(0, len(data)))]
    return bytes(data)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(damaged(), st.binary(max_size=300).map(lambda tail: bytes(128) + b"DICM" + tail)))
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
