"""Films that trials found wrong in their pixels, by kinds: each variant comes out as the standard has it."""

import io
import logging
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from data_sets import lut, made, pixels, written
from PIL import Image
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.sequence import Sequence

from radretrieval.errors import ImageError
from radretrieval.imaging.reader import decode_image, read_image
from radretrieval.privacy.burned_in import burned_in
from radretrieval.privacy.strip_metadata import strip

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR CS")

CASES = Path(__file__).parents[2].parent / "shared" / "cases" / "dicom"
NAMES = sorted(path.stem for path in CASES.glob("*.dcm"))
VALUES = np.arange(256, dtype=np.uint16).reshape(16, 16) * 16  # 0…4080
RIGHT = VALUES / 4080
SIGNED = (VALUES.astype(int) - 2048).astype(np.int16)
WHOLE = {"WindowCenter": 2048, "WindowWidth": 4096}
JPEG = "1.2.840.10008.1.2.4."
LOSSLESS, LS, J2K, RLE = JPEG + "70", JPEG + "80", JPEG + "90", "1.2.840.10008.1.2.5"


def near(found, right, tolerance=1e-6):
    return bool(np.abs(found - right).max() <= tolerance)


@pytest.mark.skipif(not NAMES, reason=f"the cases are not at {CASES}")
def test_field_08_there_are_eleven_cases():
    assert len(NAMES) == 11


@pytest.mark.parametrize("name", NAMES)
def test_field_08_cases_come_out_right(name):
    right = np.load(CASES / f"{name}.npy")
    assert near(read_image(CASES / f"{name}.dcm").pixels, right, 0.03 if "baseline" in name else 0.002)


def with_text(ds, **said):
    """The file with these values of numeric texts, whether they are numbers or not."""
    for keyword in said:
        setattr(ds, keyword, "1")
    data = written(ds)
    for keyword, value in said.items():
        tag = struct.pack("<HH", *divmod(tag_for_keyword(keyword), 65536)) + dictionary_VR(keyword).encode()
        assert data.count(tag + b"\2\0001 ") == 1
        padded = value.encode() + b" " * (len(value) % 2)
        data = data.replace(tag + b"\2\0001 ", tag + struct.pack("<H", len(padded)) + padded)
    return data


# look-up tables


def in_words(item, table):
    item.add_new("LUTData", "OW", np.asarray(table, "<u2").tobytes())


def in_bytes(item, table):
    item.add_new("LUTData", "OW", np.asarray(table, "u1").tobytes())


def in_half_words(item, table):
    item.add_new("LUTData", "US", [int(word) for word in np.frombuffer(np.asarray(table, "u1").tobytes(), "<u2")])


@pytest.mark.parametrize(("declared", "held"), [(16, 12), (16, 10), (16, 8), (14, 12), (12, 10), (8, 12), (10, 10)])
@pytest.mark.parametrize("stored", [lambda item, table: None, in_words], ids=["US", "OW"])
def test_field_08_a_voi_lut_has_the_range_of_its_largest_entry(declared, held, stored):
    table = np.linspace(0, 2**held - 1, 4096).astype(int)
    sequence = lut(0, table, bits=declared)
    stored(sequence[0], table)
    assert near(pixels(made(VALUES, VOILUTSequence=sequence)), table[VALUES] / (2**held - 1))


@pytest.mark.parametrize("stored", [in_words, in_bytes, in_half_words])
@pytest.mark.parametrize("kind", ["VOILUTSequence", "ModalityLUTSequence"])
def test_field_08_tables_of_eight_bits_lie_one_or_two_in_a_word(kind, stored):
    table = np.arange(4096) // 16
    sequence = lut(0, table, bits=8)
    stored(sequence[0], table)
    assert near(pixels(made(VALUES, **{kind: sequence})), table[VALUES] / 255)


@pytest.mark.parametrize("declared", [8, 12, 16])
def test_field_08_a_modality_lut_gives_its_entries_whatever_bits_it_declares(declared):
    table = np.arange(4096)[::-1]
    ds = made(VALUES, ModalityLUTSequence=lut(0, table, bits=declared), WindowCenter=2048, WindowWidth=4096)
    assert near(pixels(ds), (4095 - VALUES.astype(int)) / 4095)
    ds.VOILUTSequence = lut(0, table, bits=16)  # both: one undoes the other
    assert near(pixels(ds), VALUES / 4095)


def test_a_look_up_table_with_a_negative_first_value():
    table = np.arange(4096)
    for kind in ("ModalityLUTSequence", "VOILUTSequence"):
        assert near(
            pixels(made(SIGNED, **{kind: lut(-2048, table, bits=12)})), VALUES / (4080 if "M" in kind else 4095)
        )
    # the film has no negative value: the table begins below it all the same
    bright = np.maximum(SIGNED, 0)
    right = (bright.astype(int) + 2048) / 4095
    assert near(pixels(made(bright, VOILUTSequence=lut(-2048, table, bits=12))), right)
    # written unsigned, 63488, and met after a rescale that makes values negative
    unsigned = lut(0, table, bits=12)
    unsigned[0].LUTDescriptor = [4096, 63488, 12]
    rescaled = {"RescaleSlope": 1, "RescaleIntercept": -2048}
    assert near(pixels(made(VALUES, VOILUTSequence=unsigned, **rescaled)), VALUES / 4095)
    assert near(pixels(made(bright, VOILUTSequence=unsigned)), right)


def test_field_08_a_table_of_65536_entries_and_one_that_starts_high():
    values = (VALUES * 16 + 200).astype(np.uint16)
    table = np.arange(65536)[::-1]
    sequence = lut(0, [0])
    in_words(sequence[0], table)
    sequence[0].LUTDescriptor = [0, 0, 16]
    assert near(pixels(made(values, VOILUTSequence=sequence)), table[values] / 65535)
    sequence = lut(40000, np.arange(4096), bits=12)
    assert near(pixels(made(VALUES + 40000, VOILUTSequence=sequence)), VALUES / 4095)


def test_field_08_missing_entries_matter_where_the_film_needs_them():
    table = np.arange(4081)
    sequence = lut(0, table, bits=12)
    sequence[0].LUTDescriptor = [4096, 0, 12]
    assert near(pixels(made(VALUES, VOILUTSequence=sequence)), VALUES / 4095)
    assert near(pixels(made(VALUES, ModalityLUTSequence=sequence)), RIGHT)
    sequence = lut(0, np.arange(100), bits=12)
    sequence[0].LUTDescriptor = [4096, 0, 12]
    film = decode_image(written(made(VALUES, VOILUTSequence=sequence)))  # the extremes instead
    assert near(film.pixels, RIGHT)
    assert film.ignored == ("a look-up table in the DICOM header is cut off: 100 of 4096 entries; it is ignored",)
    with pytest.raises(ImageError, match="cut off: 100 of 4096"):  # nothing else says what the values mean
        pixels(made(VALUES, ModalityLUTSequence=sequence))


def test_field_08_a_voi_lut_that_is_none_gives_way_to_the_next():
    empty = Dataset()
    both = Sequence([empty, *lut(0, np.arange(4096)[::-1], bits=12)])
    assert near(pixels(made(VALUES, VOILUTSequence=both)), 1 - VALUES / 4095)
    film = decode_image(written(made(VALUES, VOILUTSequence=[empty], WindowCenter=1000, WindowWidth=2000)))
    assert near(film.pixels, np.clip((VALUES - 999.5) / 1999 + 0.5, 0, 1))
    assert "no descriptor" in film.ignored[0]


# rescale and windows


@pytest.mark.parametrize("slope", ["0", "0.0", "ONE", "NaN", "inf", "1e999", "1,5"])
def test_field_08_a_slope_that_is_none_is_ignored_with_its_intercept(slope, tmp_path, caplog):
    ds = made(VALUES, RescaleIntercept="-1000", WindowCenter=2040.5, WindowWidth=4081)
    (tmp_path / "film.dcm").write_bytes(with_text(ds, RescaleSlope=slope))
    with caplog.at_level(logging.WARNING):
        assert near(read_image(tmp_path / "film.dcm").pixels, RIGHT)
    assert f"{tmp_path / 'film.dcm'}: RescaleSlope {slope} and RescaleIntercept -1000 is no rescale" in caplog.text


def test_field_08_an_intercept_that_is_none_is_ignored_with_its_slope():
    data = with_text(made(VALUES, RescaleSlope="2", WindowCenter=2040.5, WindowWidth=4081), RescaleIntercept="x")
    assert near(decode_image(data).pixels, RIGHT)
    assert decode_image(data).ignored == ("RescaleSlope 2 and RescaleIntercept x is no rescale and is ignored",)


def test_a_damaged_header_is_not_quoted() -> None:
    ds = made(VALUES, PatientName="Zyxwv^Quorn", PatientID="4711", RescaleSlope="2")
    told = decode_image(with_text(ds, RescaleIntercept="Zyxwv")).ignored
    assert told == ("RescaleSlope 2 and RescaleIntercept (no number) is no rescale and is ignored",)
    whole = written(made(VALUES, PatientName="Zyxwv^Quorn", PatientID="4711"))
    place = whole.index(b"\x08\x00\x16\x00UI")  # the length of the SOP Class UID: it swallows what is behind it
    length = whole.index(b"Quorn") + 60 - place
    swallowed = whole[: place + 6] + length.to_bytes(2, "little") + whole[place + 8 :]
    for data in (swallowed, b"Zyxwv Quorn, 4711"):
        with pytest.raises(ImageError) as caught:
            decode_image(data)
        assert not any(word in str(caught.value) for word in ("Zyxwv", "Quorn", "4711")), caught.value


def test_field_08_an_empty_slope_is_none_and_an_absent_one_is_one():
    def film(**rescale):
        return decode_image(written(made(VALUES, WindowCenter=2040.5, WindowWidth=4081, **rescale)))

    ignored = film(RescaleSlope="", RescaleIntercept="-1000")
    assert near(ignored.pixels, RIGHT)
    assert ignored.ignored == ("RescaleSlope (empty) and RescaleIntercept -1000 is no rescale and is ignored",)
    for nothing in ({}, {"RescaleSlope": "", "RescaleIntercept": ""}, {"RescaleSlope": "1", "RescaleIntercept": ""}):
        assert near(film(**nothing).pixels, RIGHT)
        assert film(**nothing).ignored == ()
    assert near(film(RescaleIntercept="-1000").pixels, np.clip((VALUES - 1000.0) / 4080, 0, 1))


@pytest.mark.parametrize("bad", ["2000,5", "AUTO", "NaN", "inf", "-inf", "--", "1_000", "\\", "\0\0"])
@pytest.mark.parametrize("keyword", ["WindowCenter", "WindowWidth"])
def test_field_08_a_window_that_cannot_be_read_is_ignored(keyword, bad):
    other = {"WindowCenter": "WindowWidth", "WindowWidth": "WindowCenter"}[keyword]
    film = decode_image(with_text(made(VALUES, **{other: 300}), **{keyword: bad}))
    assert near(film.pixels, RIGHT)
    assert len(film.ignored) == 1
    assert "no window and is ignored" in film.ignored[0]


@pytest.mark.parametrize(
    ("centres", "widths"),
    [
        ("AUTO\\1000", "2000\\2000"),
        ("500\\1000", "0\\2000"),
        ("500\\1000", "-5\\2000"),
        ("500\\1000", "x\\2000"),
        ("\\1000", "\\2000"),
        ("1000\\500\\9", "2000"),
        ("1000", "2000\\500"),
        (" 1000 ", "2000 "),
        ("x\\y\\1000", "1\\2\\2000"),
    ],
)
def test_field_08_the_first_window_that_can_be_read_is_taken(centres, widths):
    film = decode_image(with_text(made(VALUES), WindowCenter=centres, WindowWidth=widths))
    assert near(film.pixels, np.clip((VALUES - 999.5) / 1999 + 0.5, 0, 1))
    passed_over = not centres.strip().startswith("1000")
    assert [": the first that is a window is taken" in reason for reason in film.ignored] == [True] * passed_over


@pytest.mark.parametrize(
    ("function", "is_"),
    [(" linear_exact ", "exact"), ("Sigmoid", "sigmoid"), ("linear", "linear"), ("GAMMA", "linear"), ("", "linear")],
)
def test_field_08_window_functions_are_known_in_any_writing(function, is_):
    ds = made(VALUES, WindowCenter=2000, WindowWidth=1000)
    ds.add_new("VOILUTFunction", "CS", function)
    right = {
        "linear": np.clip((VALUES - 1999.5) / 999 + 0.5, 0, 1),
        "exact": np.clip((VALUES - 2000.0) / 1000 + 0.5, 0, 1),
        "sigmoid": 1 / (1 + np.exp(-4 * (VALUES - 2000.0) / 1000)),
    }
    assert near(pixels(ds), right[is_], 1e-5)


def test_field_08_a_window_of_width_one_is_a_threshold_whose_centre_is_black():
    for function in ("LINEAR", "GAMMA"):
        film = made(VALUES, WindowCenter=1008.5, WindowWidth=1, VOILUTFunction=function)
        assert near(pixels(film), VALUES > 1008)


def test_field_08_a_window_of_width_half_is_one_for_exact_functions_only():
    ds = made(VALUES, WindowCenter=1000, WindowWidth=0.5)
    assert near(pixels(ds), RIGHT)
    ds.VOILUTFunction = "GAMMA"  # which there is not: LINEAR
    assert near(pixels(ds), RIGHT)
    ds.VOILUTFunction = "LINEAR_EXACT"
    assert near(pixels(ds), VALUES >= 1000)


def test_field_08_windows_of_an_enhanced_object_with_one_frame_count():
    groups, window = Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth = 1000, 2000
    groups.FrameVOILUTSequence = [window]
    ds = made(VALUES, SharedFunctionalGroupsSequence=[groups], NumberOfFrames=1)
    assert near(pixels(ds), np.clip((VALUES - 999.5) / 1999 + 0.5, 0, 1))


@pytest.mark.parametrize("said", [b"x" * 10, b"\xff" * 10, b""])
def test_field_08_damaged_functional_groups_sink_no_film(said):
    ds = made(VALUES)
    ds.add_new("SharedFunctionalGroupsSequence", "OB", said)
    assert near(pixels(ds), RIGHT)
    groups, window = Dataset(), Dataset()
    window.add_new("WindowCenter", "LO", "AUTO")
    window.add_new("FrameVOILUTSequence", "OB", said)
    groups.FrameVOILUTSequence, groups.PixelMeasuresSequence = [window], []
    assert near(pixels(made(VALUES, SharedFunctionalGroupsSequence=[groups], WindowWidth=100)), RIGHT)


# code strings


@pytest.mark.parametrize("said", ["MONOCHROME1", " MONOCHROME1", "monochrome1", "Monochrome1 ", "MONOCHROME1\0"])
def test_field_08_photometric_interpretation_in_any_writing(said):
    film = decode_image(written(made(VALUES, PhotometricInterpretation=said)))
    assert near(film.pixels, 1 - RIGHT)
    assert film.photometric == "MONOCHROME1"
    assert (
        film.pixels_sha256 == decode_image(written(made(VALUES, PhotometricInterpretation="MONOCHROME1"))).pixels_sha256
    )


def test_field_08_colours_in_any_writing():
    colour = np.random.default_rng(1).integers(0, 256, (8, 10, 3)).astype(np.uint8)
    right = colour @ np.array([0.299, 0.587, 0.114]) / 255
    assert near(pixels(made(colour, PhotometricInterpretation=" rgb")), right)
    colour[..., 1:] = 128
    assert near(pixels(made(colour, PhotometricInterpretation="ybr_full ")), colour[..., 0] / 255)
    indices = np.arange(16, dtype=np.uint8).reshape(4, 4)
    ds = made(indices, PhotometricInterpretation="palette  color")
    for name in ("Red", "Green", "Blue"):
        ds.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [16, 0, 16])
        ds.add_new(f"{name}PaletteColorLookupTableData", "OW", (np.arange(16) * 4369).astype("<u2").tobytes())
    assert near(pixels(ds), indices / 15)


def palette(table, bits, first=0, form="<u2"):
    """Elements of a palette: the table in red, reversed in green, zeros in blue."""
    elements = {}
    for name, entries in (("Red", table), ("Green", table[::-1]), ("Blue", np.zeros_like(table))):
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [len(table) & 0xFFFF, first, bits]
        elements[f"{name}PaletteColorLookupTableData"] = entries.astype(form).tobytes()
    return elements


def test_field_08_palettes_are_tables_as_the_others_are():
    table = np.arange(4096)
    right = (0.299 * (VALUES // 16) + 0.587 * ((4095 - VALUES) // 16)) / 255
    deep = (0.299 * VALUES + 0.587 * (4095 - VALUES.astype(int))) * 16 / 65535

    def film(values=VALUES, syntax="1.2.840.10008.1.2.1", **elements):
        return pixels(made(values, PhotometricInterpretation="PALETTE COLOR", **elements), syntax)

    assert near(film(**palette(table * 16, 16)), deep)
    assert near(film(**palette(table // 16, 16)), right)  # declares 16 bits, holds 8
    assert near(film(**palette(table // 16, 8)), right)  # one in a word
    assert near(film(**palette(table // 16, 8, form="u1")), right)  # two in a word, more than 256 of them
    signed = {"BitsStored": 12, "PixelData": (SIGNED.view(np.uint16) & 0xFFF).tobytes()}
    signed |= {"PhotometricInterpretation": "PALETTE COLOR", **palette(table * 16, 16, first=-2048)}
    data = written(made(SIGNED, **signed))
    assert data.count(b"SS\6\0\0\x10\0\xf8") == 3
    for said in (data, data.replace(b"SS\6\0\0\x10\0\xf8", b"US\6\0\0\x10\0\xf8")):  # of both signs
        assert near(decode_image(said).pixels, deep)
    big_endian = {"PixelData": VALUES.astype(">u2").tobytes(), **palette(table * 16, 16, form=">u2")}
    assert near(film(syntax="1.2.840.10008.1.2.2", **big_endian), deep)


def test_field_08_code_strings_of_the_header_in_any_writing():
    ds = made(VALUES, BodyPartExamined=" chest", ViewPosition="pa ", PresentationIntentType=" for processing")
    ds.ImageLaterality, ds.Modality = "l", " dx"
    film = decode_image(written(ds))
    assert (film.body_part, film.view_position, film.laterality, film.modality) == ("CHEST", "PA", "L", "DX")
    assert film.for_processing
    with pytest.raises(ImageError, match="holds no radiograph"):
        pixels(made(VALUES, Modality=" seg "))


@pytest.mark.parametrize(
    ("keyword", "said"),
    [("BurnedInAnnotation", " yes"), ("Modality", "us "), ("ImageType", "derived\\secondary\\screen save")],
)
def test_field_08_signs_of_burned_in_text_in_any_writing(keyword, said):
    ds = made(VALUES)
    assert burned_in(ds) is None
    ds.add_new(keyword, "CS", said.split("\\"))
    assert burned_in(ds) is not None


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME2", " inverse", True),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", "INVERSE", True),  # one inversion said twice (PS3.3 C.8.11.3)
        ("MONOCHROME1", "IDENTITY", True),
        ("MONOCHROME1", None, True),
    ],
)
def test_field_08_presentation_lut_shape_inverse(photometric, shape, inverted):
    ds = made(VALUES, PhotometricInterpretation=photometric, WindowCenter=2040.5, WindowWidth=4081)
    if shape is not None:
        ds.add_new("PresentationLUTShape", "CS", shape)
    assert near(pixels(ds), 1 - RIGHT if inverted else RIGHT)


# where bits lie, and signs


@pytest.mark.parametrize("high", [11, 12, 13, 15])
@pytest.mark.parametrize("values", [VALUES, SIGNED], ids=["unsigned", "signed"])
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"])
def test_field_08_high_bits_other_than_stored_minus_one(high, values, syntax):
    placed = (values.view(np.uint16) & 0xFFF) << (high - 11)
    junk = np.random.default_rng(2).integers(0, 65536, placed.shape) & ~(0xFFF << (high - 11))  # overlays, other use
    words = (placed | junk).astype(">u2" if syntax.endswith(".2.2") else "<u2")
    signed = int(values.dtype.kind == "i")
    ds = made(VALUES, BitsStored=12, HighBit=high, PixelRepresentation=signed, PixelData=words.tobytes())
    ds.WindowCenter, ds.WindowWidth = 2040.5 - 2048 * signed, 4081
    assert near(pixels(ds, syntax), RIGHT)


def test_field_08_sixteen_signed_bits_in_big_endian():
    ds = made(SIGNED, PixelData=SIGNED.astype(">i2").tobytes())
    assert near(pixels(ds, "1.2.840.10008.1.2.2"), RIGHT)


def test_field_08_high_bits_of_every_frame():
    words = np.stack([VALUES << 4, (4080 - VALUES) << 4]).astype("<u2")
    ds = made(VALUES, BitsStored=12, HighBit=15, NumberOfFrames=2, PixelData=words.tobytes())
    assert near(decode_image(written(ds), frame=1).pixels, RIGHT)
    assert near(decode_image(written(ds), frame=2).pixels, 1 - RIGHT)


@pytest.mark.parametrize("high", [0, 7, 16, 99])
def test_field_08_a_high_bit_that_cannot_be_is_the_usual_one(high):
    assert near(pixels(made(VALUES, BitsStored=12, HighBit=high)), RIGHT)


def compressed(words, syntax, bits=None):
    """One frame of words; `bits` is the depth that the stream says, that of the words without it."""
    bits = bits or 8 * words.itemsize
    if syntax in (LOSSLESS, JPEG + "57"):
        return imagecodecs.ljpeg_encode(words, bitspersample=bits)
    if syntax in (LS, JPEG + "81"):
        return imagecodecs.jpegls_encode(words)
    if syntax in (J2K, JPEG + "91"):
        return imagecodecs.jpeg2k_encode(words, codecformat="J2K", reversible=True, bitspersample=bits)
    options = {"rows": words.shape[0], "columns": words.shape[1], "samples_per_pixel": 1, "number_of_frames": 1}
    options |= {"bits_allocated": 8 * words.itemsize, "bits_stored": 8 * words.itemsize, "pixel_representation": 0}
    return RLELosslessEncoder.encode(words.tobytes(), photometric_interpretation="MONOCHROME2", **options)


@pytest.mark.parametrize("syntax", [LOSSLESS, LS, J2K, RLE, JPEG + "91", JPEG + "81"])
@pytest.mark.parametrize("high", [11, 15])
@pytest.mark.parametrize("values", [VALUES, SIGNED], ids=["unsigned", "signed"])
def test_field_08_compressed_bits_lie_as_the_header_says(syntax, high, values):
    words = ((values.view(np.uint16) & 0xFFF) << (high - 11)).astype(np.uint16)  # no sign extension
    signed = int(values.dtype.kind == "i")
    frame = encapsulate([compressed(words, syntax)])
    ds = made(VALUES, BitsStored=12, HighBit=high, PixelRepresentation=signed, PixelData=frame)
    ds.WindowCenter, ds.WindowWidth = 2040.5 - 2048 * signed, 4081
    assert near(pixels(ds, syntax), RIGHT)


@pytest.mark.parametrize("syntax", [LOSSLESS, J2K])
@pytest.mark.parametrize("high", [11, 15])
@pytest.mark.parametrize("values", [VALUES, SIGNED], ids=["unsigned", "signed"])
def test_field_08_a_stream_of_twelve_bits_has_them_at_its_bottom(syntax, high, values):
    frame = encapsulate([compressed(values.view(np.uint16) & 0xFFF, syntax, bits=12)])
    signed = int(values.dtype.kind == "i")
    ds = made(VALUES, BitsStored=12, HighBit=high, PixelRepresentation=signed, PixelData=frame)
    ds.WindowCenter, ds.WindowWidth = 2040.5 - 2048 * signed, 4081
    assert near(pixels(ds, syntax), RIGHT)


@pytest.mark.parametrize("signed", [0, 1])
def test_field_08_the_header_says_whether_jpeg_2000_values_are_signed(signed):
    stream = imagecodecs.jpeg2k_encode(SIGNED, codecformat="J2K", reversible=True, bitspersample=12)
    ds = made(VALUES, BitsStored=12, PixelRepresentation=signed, PixelData=encapsulate([stream]))
    right = VALUES.astype(int) - 2048 if signed else SIGNED.view(np.uint16) & 0xFFF
    assert near(pixels(ds, J2K), (right - right.min()) / (right.max() - right.min()))


def test_field_08_a_lossy_stream_that_overshoots_is_clipped():
    over = (VALUES.astype(int) * 1.05).astype(np.uint16)  # up to 4284
    for syntax in (JPEG + "91", JPEG + "81"):
        ds = made(VALUES, BitsStored=12, PixelData=encapsulate([compressed(over, syntax)]), **WHOLE)
        assert near(pixels(ds, syntax), np.minimum(over, 4095) / 4095)


def test_field_08_a_lossy_stream_that_is_called_lossless_is_clipped():
    white = np.full((64, 64), 4095, np.uint16)
    white[20:40] = 1000
    speckled = white - np.arange(64, dtype=np.uint16) % 5
    near_lossless = imagecodecs.jpegls_encode(speckled, level=3)
    irreversible = imagecodecs.jpeg2k_encode(white, codecformat="J2K", level=70)
    for syntax, stream, decode, right in (
        (LS, near_lossless, imagecodecs.jpegls_decode, speckled),
        (J2K, irreversible, imagecodecs.jpeg2k_decode, white),
    ):
        assert decode(stream).max() > 4095
        ds = made(white, BitsStored=12, PixelData=encapsulate([stream]), **WHOLE)
        assert near(pixels(ds, syntax), right / 4095, 0.02)


@pytest.mark.parametrize("syntax", [JPEG + "91", JPEG + "81"])
def test_field_08_a_lossy_stream_of_signed_values_that_overshoots_is_clipped(syntax):
    over = (SIGNED.astype(int) * 1.05).astype(np.int16)  # -2150…2133
    signed = {"BitsStored": 12, "PixelRepresentation": 1, "WindowCenter": 0, "WindowWidth": 4096}

    def film(words):
        return pixels(made(VALUES, PixelData=encapsulate([compressed(words, syntax)]), **signed), syntax)

    words = over.view(np.uint16) if syntax.endswith("81") else over  # only JPEG 2000 knows signs
    assert near(film(words), (np.clip(over, -2048, 2047) + 2048) / 4095)
    bright = np.maximum(over, 0)
    if syntax.endswith("91"):  # in a stream of JPEG-LS no sign is seen then
        assert near(film(bright), (np.minimum(bright, 2047) + 2048) / 4095)


def test_field_08_a_stream_deeper_than_its_cells_is_read_as_it_is():
    for syntax in (LOSSLESS, LS, J2K):
        ds = made(VALUES, BitsAllocated=8, BitsStored=8, PixelData=encapsulate([compressed(VALUES, syntax)]))
        assert near(pixels(ds, syntax), RIGHT)


def test_field_08_a_stream_of_fewer_bits_has_the_hash_of_the_plain_values():
    ten = VALUES // 4
    packed = made(ten, BitsStored=12, PixelData=encapsulate([compressed(ten, J2K, bits=10)]))
    plain = decode_image(written(made(ten, BitsStored=12)))
    assert decode_image(written(packed, J2K)).pixels_sha256 == plain.pixels_sha256


def test_field_08_one_film_has_one_hash_wherever_its_bits_lie():
    plain = made(VALUES, BitsStored=12)
    high = made(VALUES, BitsStored=12, HighBit=15, PixelData=(VALUES << 4).astype("<u2").tobytes())
    packed = made(VALUES, BitsStored=12, PixelData=encapsulate([compressed(VALUES, LS)]))
    films = [decode_image(data) for data in (written(plain), written(high), written(packed, LS))]
    assert len({film.pixels_sha256 for film in films}) == 1


# eight-bit streams in cells of sixteen

SMOOTH = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("last", ["50", "51", "70", "80", "90", "91", "RLE"])
def test_field_08_eight_bit_streams_in_sixteen_allocated(last, bits):
    stream = {
        **dict.fromkeys(("50", "51"), lambda: imagecodecs.jpeg8_encode(SMOOTH, level=98)),
        "70": lambda: imagecodecs.ljpeg_encode(SMOOTH, bitspersample=8),
        "80": lambda: imagecodecs.jpegls_encode(SMOOTH),
        **dict.fromkeys(("90", "91"), lambda: imagecodecs.jpeg2k_encode(SMOOTH, codecformat="J2K", reversible=True)),
        "RLE": lambda: compressed(SMOOTH, RLE),
    }[last]()
    syntax = RLE if last == "RLE" else JPEG + last
    ds = made(SMOOTH, BitsAllocated=16, BitsStored=bits, PixelData=encapsulate([stream]))
    tolerance = 0.03 if last in ("50", "51") else 1e-6
    assert near(pixels(ds, syntax), SMOOTH / 252, tolerance)
    ds.WindowCenter, ds.WindowWidth = 128, 256
    assert near(pixels(ds, syntax), SMOOTH / 255, tolerance)


def test_field_08_colours_of_an_eight_bit_stream_in_sixteen_allocated():
    colour = np.dstack([SMOOTH] * 3)
    stream = io.BytesIO()
    Image.fromarray(colour).save(stream, "jpeg", quality=98)
    ds = made(colour, PhotometricInterpretation="YBR_FULL_422", BitsAllocated=16, BitsStored=16)
    ds.PixelData = encapsulate([stream.getvalue()])
    assert near(pixels(ds, JPEG + "50"), SMOOTH / 255, 0.03)


# offset tables and fragments


def items(*parts):
    """Items of encapsulated pixel data: the offset table, then the fragments."""
    padded = [part + b"\0" * (len(part) % 2) for part in parts]
    return b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(part)) + part for part in padded)


def cut(stream, pieces):
    step = -(-len(stream) // pieces) // 2 * 2
    return [stream[start : start + step] for start in range(0, len(stream), step)]


@pytest.mark.parametrize(
    "table", [b"", struct.pack("<I", 0), struct.pack("<I", 999), struct.pack("<2I", 7, 1), b"\1\2"]
)
@pytest.mark.parametrize("syntax", [J2K, LS, LOSSLESS, RLE])
@pytest.mark.parametrize("pieces", [1, 3])
def test_field_08_one_frame_needs_no_offset_table(syntax, table, pieces):
    stream = compressed(VALUES, syntax)
    data = items(table, *cut(stream, pieces))
    assert near(pixels(made(VALUES, PixelData=data), syntax), RIGHT)


@pytest.mark.parametrize("table", [b"", struct.pack("<2I", 5, 3), struct.pack("<2I", 0, 99999), struct.pack("<I", 0)])
@pytest.mark.parametrize("syntax", [J2K, LS, LOSSLESS, RLE])
def test_field_08_a_wrong_offset_table_of_several_frames_is_not_believed(syntax, table):
    frames = [compressed(VALUES, syntax), compressed(VALUES[::-1].copy(), syntax)]
    data = written(made(VALUES, NumberOfFrames=2, PixelData=items(table, *frames)), syntax)
    assert near(decode_image(data, frame=1).pixels, RIGHT)
    assert near(decode_image(data, frame=2).pixels, RIGHT[::-1])


@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize("tabled", [False, True])
def test_field_08_frames_of_several_fragments(tabled, wrong):
    streams = [compressed(VALUES, J2K), compressed(VALUES[::-1].copy(), J2K)]
    pieces = [cut(stream + b"\0" * (len(stream) % 2), 3) for stream in streams]
    second = sum(8 + len(piece) for piece in pieces[0])
    table = struct.pack("<2I", 0, second + 2 * wrong) if tabled else b""
    data = written(made(VALUES, NumberOfFrames=2, PixelData=items(table, *pieces[0], *pieces[1])), J2K)
    assert near(decode_image(data, frame=1).pixels, RIGHT)
    assert near(decode_image(data, frame=2).pixels, RIGHT[::-1])


def test_field_08_fragments_that_nothing_tells_apart_are_refused():
    data = written(made(VALUES, NumberOfFrames=2, PixelData=items(b"", b"ab", b"cd", b"ef")), RLE)
    with pytest.raises(ImageError, match="has 2 frames in 3 fragments, and no offset table"):
        decode_image(data)
    first, second = (cut(compressed(values, RLE), 2) for values in (VALUES, VALUES[::-1].copy()))
    table = struct.pack("<2I", 0, sum(8 + len(piece) for piece in first))
    data = written(made(VALUES, NumberOfFrames=2, PixelData=items(table, *first, *second)), RLE)
    assert near(decode_image(data, frame=2).pixels, RIGHT[::-1])  # illegal, but told apart


@pytest.mark.parametrize("shift", [0, 40])
def test_field_08_an_extended_offset_table_right_or_wrong(shift):
    frames = [compressed(VALUES, J2K), compressed(VALUES[::-1].copy(), J2K)]
    data, offsets, lengths = encapsulate_extended(frames)
    offsets = (np.frombuffer(offsets, "<u8") + shift).tobytes()
    ds = made(VALUES, NumberOfFrames=2, PixelData=data, ExtendedOffsetTable=offsets, ExtendedOffsetTableLengths=lengths)
    assert near(decode_image(written(ds, J2K), frame=2).pixels, RIGHT[::-1])


def test_field_08_a_missing_offset_table_and_a_bare_stream():
    stream = compressed(VALUES, J2K)
    assert near(pixels(made(VALUES, PixelData=items(stream)), J2K), RIGHT)
    assert near(pixels(made(VALUES, PixelData=items(*cut(stream, 2))), J2K), RIGHT)
    bare = written(made(VALUES, PixelData=stream + b"\0" * (len(stream) % 2)))
    place = bare.index(b"1.2.840.10008.1.2.1\0") - 2
    said = struct.pack("<H", len(J2K)) + J2K.encode()
    assert near(decode_image(bare[:place] + said + bare[place + 22 :]).pixels, RIGHT)


# what does not decide pixels sinks no film


def test_field_08_unreadable_numbers_elsewhere_sink_no_film():
    texts = {"PixelSpacing": "0,2\\0,2", "KVP": "80,5", "Exposure": "12.5", "NumberOfFrames": "one"}
    data = with_text(made(VALUES), **texts)
    film = decode_image(data)
    assert near(film.pixels, RIGHT)
    assert (film.row_spacing, film.kvp, film.exposure, film.frames) == (None, None, 12.5, 1)


# PNG and JPEG, upright


def exif(orientation, big_endian=False):
    order = ">" if big_endian else "<"
    head = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(order + "I", 8)
    return head + struct.pack(order + "HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)


def png_with(kind, payload, samples, last=False):
    data = io.BytesIO()
    Image.fromarray(samples).save(data, "png")
    body, chunk = data.getvalue(), struct.pack(">I", len(payload)) + kind + payload
    chunk += struct.pack(">I", zlib.crc32(kind + payload))
    place = len(body) - 12 if last else 33
    return body[:place] + chunk + body[place:]


TURNS = {
    1: lambda p: p,
    2: np.fliplr,
    3: lambda p: np.rot90(p, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.rot90(p, 2).T,
    8: np.rot90,
}
CORNERS = (np.arange(12).reshape(3, 4) * 20).astype(np.uint8)


@pytest.mark.parametrize("orientation", TURNS)
def test_field_08_the_orientation_in_a_png_or_a_lossless_jpeg_is_honoured(orientation):
    right = TURNS[orientation](CORNERS) / 255
    for big_endian in (False, True):
        for last in (False, True):
            data = png_with(b"eXIf", exif(orientation, big_endian), CORNERS, last)
            assert np.allclose(decode_image(data).pixels, right, atol=1e-6)
    stream = imagecodecs.ljpeg_encode(CORNERS.astype(np.uint16) * 257, bitspersample=16)
    app1 = b"Exif\0\0" + exif(orientation)
    stream = stream[:2] + b"\xff\xe1" + struct.pack(">H", len(app1) + 2) + app1 + stream[2:]
    assert np.allclose(decode_image(stream).pixels, right, atol=1e-6)


@pytest.mark.parametrize("orientation", TURNS)
def test_field_08_a_png_without_its_metadata_is_upright_too(orientation):
    for samples in (CORNERS, np.dstack([CORNERS, CORNERS // 2, 255 - CORNERS])):
        stripped = strip(png_with(b"eXIf", exif(orientation), samples), 1000)
        turned = [TURNS[orientation](plane) for plane in np.atleast_3d(samples).transpose(2, 0, 1)]
        assert np.array_equal(np.atleast_3d(imagecodecs.png_decode(stripped)).transpose(2, 0, 1), turned)


@pytest.mark.parametrize("payload", [b"", b"II*\0", b"nonsense", exif(0), exif(9), exif(6)[:-6], b"\xff" * 40])
def test_field_08_damaged_exif_says_nothing(payload):
    assert np.allclose(decode_image(png_with(b"eXIf", payload, CORNERS)).pixels, CORNERS / 255, atol=1e-6)


# films that show nothing


def film_of(values, **elements):
    return decode_image(written(made(np.asarray(values, np.uint16), BitsStored=12, **elements)))


NOISE = np.random.default_rng(3).integers(0, 4, (100, 100))


@pytest.mark.parametrize(
    "film",
    [
        film_of(np.full((50, 50), 700)),
        film_of(np.full((50, 50), 700), **WHOLE),
        film_of(VALUES, WindowCenter=9000, WindowWidth=100),  # all of it below the window
        film_of(2000 + NOISE, **WHOLE),
        film_of(2000 + NOISE),  # stretched, it would seem to show something
        film_of(2000 + NOISE, RescaleSlope=100, RescaleIntercept=5),
        film_of(np.where(np.arange(10_000).reshape(100, 100) < 90, 4095, NOISE)),  # a letter on a black film
        film_of(np.where(np.arange(10_000).reshape(100, 100) < 5000, 0, 900), PixelPaddingValue=0, **WHOLE),
        decode_image(png_with(b"tEXt", b"a\0b", np.full((30, 30), 7, np.uint8))),
        decode_image(png_with(b"tEXt", b"a\0b", np.arange(4, dtype=np.uint8).reshape(2, 2) % 2)),
    ],
)
def test_field_09_a_film_that_shows_nothing_is_flat(film):
    assert film.flat


@pytest.mark.parametrize(
    "film",
    [
        film_of(VALUES),
        film_of(VALUES // 16),  # sixteen times too few values, and a film
        decode_image(written(made(VALUES // 16))),  # 8 bits, although 16 are said to be stored
        film_of(np.tile(np.arange(100) // 2, (100, 1)) + 2000),  # 50 grey values
        film_of(np.tile(np.arange(100), (100, 1)), **WHOLE),
        film_of(np.where(np.arange(10_000).reshape(100, 100) < 500, 4095, 0)),  # a small bright thing
        film_of(np.where(np.arange(10_000).reshape(100, 100) < 5000, 0, 900), **WHOLE),
        decode_image(png_with(b"tEXt", b"a\0b", np.arange(4, dtype=np.uint8).reshape(2, 2))),
    ],
)
def test_field_09_a_film_of_little_contrast_is_not(film):
    assert not film.flat


def test_field_09_no_radiograph_of_the_shared_data_is_flat(shared):
    paths = sorted((shared / "data" / "radiographs").rglob("*.png"))[::25]
    assert len(paths) > 100
    assert [path for path in paths if read_image(path).flat] == []
