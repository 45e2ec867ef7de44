"""What a browser gets of a film: the description says all that makes grey of the pixels, and these are the film's."""

from __future__ import annotations

import gzip
import io
import json
import math
from typing import Any

import numpy as np
import pytest
from data_sets import lut, made, written
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian
from screen_films import received

from radretrieval.imaging.display import Window
from radretrieval.imaging.radiograph import Radiograph
from radretrieval.imaging.reader import MAX_PIXELS, decode_image
from radretrieval.serve.app import PAGE
from radretrieval.serve.films import MadeFilm, area_mean, decoded, encoded, film_of, level_for, made_film, rendered
from radretrieval.serve.presets import presets


def grey(film: dict[str, Any], stored: int) -> float:
    """p of a stored value in 64 bits, by a film's JSON alone: the rule of docs/films.md, as a client writes it."""
    if film["padding"] and film["padding"][0] <= stored <= film["padding"][1]:
        return 0.0
    value = looked_up(film["modality"], stored) if "table" in film["modality"] else rescaled(film["modality"], stored)
    if film["initial"] == "lut":
        p = looked_up(film["lut"], value) / film["lut"]["largest"]
    elif film["initial"] == "window":
        p = windowed(film["windows"][0], value)
    else:
        low, high = film["range"]
        p = min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.0
    return 1 - p if film["inverted"] else p


def rescaled(modality: dict[str, float], value: float) -> float:
    return value * modality["slope"] + modality["intercept"]


def looked_up(table: dict[str, Any], value: float) -> float:
    # round() takes halves to the even number
    return float(table["table"][min(max(round(value) - table["first"], 0), len(table["table"]) - 1)])


def windowed(window: dict[str, Any], value: float) -> float:
    centre, width = window["centre"], window["width"]
    if window["function"] == "SIGMOID":
        exponent = -4 * (value - centre) / width
        return 1 / (1 + (math.exp(exponent) if exponent < 700 else math.inf))
    if window["function"] == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return float(value > centre)
    return min(max((value - centre) / width + 0.5, 0.0), 1.0)


def sent(film: MadeFilm, level: int = 1) -> NDArray[np.int64]:
    """The stored values of a level, read as a browser reads them."""
    size = next(one for one in film.film.levels if one.level == level)
    return received(gzip.decompress(film.levels[level]), size.rows, size.columns) + film.film.offset


def picture(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)))


def document(film: MadeFilm) -> dict[str, Any]:
    """The JSON of a film."""
    found: dict[str, Any] = json.loads(film.film.model_dump_json())
    return found


finite = st.floats(-3000, 5000).map(lambda value: round(value, 2))


@st.composite
def headers(draw: st.DrawFn) -> tuple[NDArray[Any], dict[str, Any]]:
    """Values, each once, and elements that say how they are shown."""
    bits, signed = draw(st.sampled_from([8, 10, 12])), draw(st.booleans())
    low = -(2 ** (bits - 1)) if signed else 0
    values = np.arange(low, low + 2**bits).reshape(-1, 64).astype(np.int16 if signed else np.uint16)
    said: dict[str, Any] = {
        "BitsStored": bits,
        "PhotometricInterpretation": draw(st.sampled_from(["MONOCHROME1", "MONOCHROME2"])),
        "PresentationLUTShape": draw(st.sampled_from([None, "INVERSE", "IDENTITY"])),
    }
    modality = draw(st.sampled_from(["none", "rescale", "table"]))
    if modality == "rescale":
        said |= {"RescaleSlope": draw(st.sampled_from([1, 0.5, -1, 2.5, 0.013])), "RescaleIntercept": draw(finite)}
    elif modality == "table":
        entries = draw(st.lists(st.integers(0, 4095), min_size=2, max_size=300))
        said["ModalityLUTSequence"] = lut(draw(st.integers(0, 200)), entries)
    if draw(st.booleans()):
        said["WindowCenter"] = draw(st.lists(finite, min_size=1, max_size=3))
        said["WindowWidth"] = draw(st.lists(st.sampled_from([0, 0.5, 1, 2, 255, 511, 4096.5]), min_size=1, max_size=3))
        said["VOILUTFunction"] = draw(st.sampled_from([None, "LINEAR", "LINEAR_EXACT", "SIGMOID"]))
    if draw(st.integers(0, 3)) == 0:
        entries = draw(st.lists(st.integers(0, draw(st.sampled_from([255, 4095, 65535]))), min_size=2, max_size=300))
        said["VOILUTSequence"] = lut(draw(st.integers(0, 3000)), entries)
    if draw(st.booleans()):
        said["PixelPaddingValue"] = draw(st.integers(low, low + 2**bits - 1))
        said["PixelPaddingRangeLimit"] = draw(st.none() | st.integers(low, low + 2**bits - 1))
    return values, {name: value for name, value in said.items() if value is not None}


@settings(max_examples=60)
@given(headers())
def test_the_json_alone_makes_the_pixels_of_read_image(case: tuple[NDArray[Any], dict[str, Any]]) -> None:
    values, said = case
    ds = made(values, **said)
    if "PixelPaddingValue" in said:
        for name in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
            if name in said:
                ds[name].VR = "SS" if values.dtype.kind == "i" else "US"
    radiograph = decode_image(written(ds, ExplicitVRLittleEndian))
    film = made_film(radiograph)
    told, stored = document(film), sent(film)
    np.testing.assert_array_equal(stored, values)
    table = np.array([grey(told, value) for value in stored.ravel().tolist()]).reshape(stored.shape)
    levels = np.floor(255 * radiograph.pixels.astype(np.float64) + 0.5)
    if said.get("VOILUTFunction") == "SIGMOID":  # exp of two libraries may differ in the last bit
        np.testing.assert_allclose(table, radiograph.pixels, atol=1e-7)
    else:
        np.testing.assert_array_equal(table.astype(np.float32), radiograph.pixels)
    # only where 255 p lies half way between two greys, the 24 bits of a float32 may name the other one
    other = np.floor(255 * table + 0.5) != levels
    assert np.abs(255 * table[other] % 1 - 0.5).max(initial=0) < 1e-4


def test_halves_go_to_the_even_entry_of_a_look_up_table() -> None:
    values = np.arange(8, dtype=np.uint16).reshape(2, 4)
    ds = made(values, BitsStored=8, RescaleSlope=0.5, RescaleIntercept=0, VOILUTSequence=lut(0, [0, 50, 100, 150, 255]))
    film = film_of(written(ds), MAX_PIXELS)
    entries = [film.film.lut.table[place] for place in (0, 0, 1, 2, 2, 2, 3, 4)] if film.film.lut else []
    assert [grey(document(film), value) * 255 for value in range(8)] == pytest.approx(entries)
    np.testing.assert_allclose(film.film.display().grey(values).ravel() * 255, entries)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_white_is_black_inverted_after_the_window(photometric: str) -> None:
    ds = made(np.arange(256, dtype=np.uint16).reshape(16, 16), PhotometricInterpretation=photometric, BitsStored=12)
    ds.WindowCenter, ds.WindowWidth = 60, 40
    told = document(film_of(written(ds), MAX_PIXELS))
    assert told["inverted"] == (photometric == "MONOCHROME1")
    assert grey(told, 0) == told["inverted"]
    assert grey(told, 200) == (not told["inverted"])


@pytest.mark.parametrize(
    ("said", "first"),
    [
        ({"WindowCenter": 600, "WindowWidth": 1000}, (250, 850)),
        ({"WindowCenter": 600, "WindowWidth": 1000, "PhotometricInterpretation": "MONOCHROME1"}, (950, 350)),
        ({}, (0.15 * 1023, 0.75 * 1023)),
        ({"VOILUTSequence": lut(100, range(1001)), "RescaleSlope": 2, "RescaleIntercept": 0}, (125, 425)),
    ],
)
def test_presets_are_shares_of_what_is_shown_first(said: dict[str, Any], first: tuple[float, float]) -> None:
    values = np.arange(1024, dtype=np.uint16).reshape(32, 32)
    film = film_of(written(made(values, BitsStored=12, BodyPartExamined="CHEST", **said)), MAX_PIXELS).film
    assert [window.name for window in film.presets] == ["lungs", "mediastinum"]
    black, white = first
    slope = float(said.get("RescaleSlope", 1))
    chosen = film.model_copy(update={"lut": None, "windows": film.presets[:1]}).display()
    np.testing.assert_allclose(chosen.grey(np.array([black, white])), [0, 1], atol=1e-6)
    assert 0 < chosen.grey(np.array([(black + white) / 2]))[0] < 1
    assert film.presets[0].width == pytest.approx(abs(white - black) * slope)


def test_presets_by_label_and_by_modality() -> None:
    film = film_of(written(made(np.arange(256, dtype=np.uint16).reshape(16, 16))), MAX_PIXELS).film
    assert film.presets == []
    names = {
        code: [one.name for one in presets(film, "CR", None, code)] for code in ("1121-120-942-700", "1121-120-213-700")
    }
    assert names == {"1121-120-942-700": ["soft tissue", "bone"], "1121-120-213-700": []}
    assert presets(film, "CT", "CHEST")[1].model_dump() == {
        "name": "lungs", "centre": -600, "width": 1500, "function": "LINEAR"
    }  # fmt: skip
    assert presets(film, "MR", "CHEST") == []


@pytest.mark.parametrize("language", ["de", "en"])
def test_the_page_has_words_for_every_preset(language: str) -> None:
    film = film_of(written(made(np.arange(256, dtype=np.uint16).reshape(16, 16))), MAX_PIXELS).film
    kinds = (("CR", "CHEST"), ("CR", "HAND"), ("MG", "BREAST"), ("CT", "HEAD"))
    names = {window.name for kind in kinds for window in presets(film, *kind)}
    assert names == set(json.loads((PAGE / "texts" / f"{language}.json").read_text(encoding="utf-8"))["part"])


small = arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 65535))


@given(small)
def test_pixels_are_sent_whole(values: NDArray[np.uint16]) -> None:
    np.testing.assert_array_equal(decoded(encoded(values), *values.shape), values)
    film = made_film(Radiograph(values.astype(np.float32) / np.float32(65535), "png", 16, "MONOCHROME2", stored=None))
    np.testing.assert_array_equal(sent(film), values)


@given(
    arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(90, 110)),
    st.sampled_from([2, 4]),
    st.none() | st.tuples(st.integers(90, 100), st.integers(100, 110)),
)
def test_a_level_is_the_mean_of_what_is_no_padding(
    values: NDArray[np.uint16], level: int, padding: tuple[int, int] | None
) -> None:
    low, high = padding or (1, 0)
    found = area_mean(values, level, padding)
    assert found.shape == tuple(-(-side // level) for side in values.shape)
    for row, column in np.ndindex(found.shape):
        block = values[row * level : (row + 1) * level, column * level : (column + 1) * level].ravel()
        real = block[(block < low) | (block > high)]
        value = int(found[row, column])
        if not len(real):
            assert low <= value <= high
        else:
            assert not low <= value <= high
            nearest = math.floor(real.mean() + 0.5)
            assert value == nearest or (low <= nearest <= high and value in (low - 1, high + 1))


def test_a_film_of_odd_size_with_signed_values() -> None:
    values = np.arange(-60, 45, dtype=np.int16).reshape(7, 15)
    film = film_of(written(made(values, BitsStored=12, PixelSpacing=[0.2, 0.1])), MAX_PIXELS)
    assert [(one.level, one.rows, one.columns) for one in film.film.levels] == [(1, 7, 15), (2, 4, 8), (4, 2, 4)]
    np.testing.assert_array_equal(sent(film), values)
    np.testing.assert_array_equal(sent(film, 2)[3, 7], values[6, 14])
    assert (film.film.range, film.film.spacing, film.film.bits) == ((-60, 44), (0.2, 0.1), 12)
    assert [one.url for one in film.film.at("api/x").levels] == [f"api/x?level={level}" for level in (1, 2, 4)]


def test_colours_are_their_luminance() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    data = written(made(colours))
    film, radiograph = film_of(data, MAX_PIXELS), decode_image(data)
    np.testing.assert_allclose(film.film.display().pixels(sent(film)), radiograph.pixels, atol=0.5 / 65535)
    grey_colours = np.repeat(colours[..., :1], 3, axis=2)
    film = film_of(written(made(grey_colours)), MAX_PIXELS)
    np.testing.assert_array_equal(sent(film), colours[..., 0])
    assert (film.film.bits, film.film.range, film.film.initial) == (8, (0, 255), "range")


def test_a_picture_is_rendered_by_the_same_table() -> None:
    values = np.random.default_rng(0).integers(0, 4096, (64, 48)).astype(np.uint16)
    data = written(made(values, BitsStored=12, WindowCenter=2000, WindowWidth=1000))
    film = film_of(data, MAX_PIXELS)
    full = level_for(film.film, 64)
    assert (full.level, level_for(film.film, 32).level, level_for(film.film, 10).level) == (1, 2, 4)
    expected = np.floor(decode_image(data).pixels.astype(np.float64) * 255 + 0.5)
    np.testing.assert_array_equal(picture(rendered(film.film, full, film.levels[1], 64)), expected)
    window = Window(100, 50)
    expected = np.floor(255 * np.clip((values - 99.5) / 49 + 0.5, 0, 1) + 0.5)
    np.testing.assert_array_equal(picture(rendered(film.film, full, film.levels[1], 64, window)), expected)
    assert picture(rendered(film.film, full, film.levels[1], 16)).shape == (16, 12)
    assert picture(film.thumbnail).shape == (64, 48)
