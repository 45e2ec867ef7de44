"""The greys of the viewer are those of DICOM, value by value."""

from __future__ import annotations

import json

import numpy as np
from browsing import Site, Visit
from screen_films import add_film, grey

from radretrieval.imaging.display import Display, Function, Lut, Rescale, Window
from radretrieval.serve.film import Film

WINDOWS = 150
# The number of the 65,536 values that are wrong, for each film.
COMPARE = """async (films) => {
  const { greyPixels, modalityValues, initial, chosen } = await import("./grey.js");
  const expected = new Uint8Array(await (await fetch("expected")).arrayBuffer());
  return films.map((film, i) => {
    const pixels = greyPixels(film, modalityValues(film), chosen(film, initial(film)), false);
    let wrong = 0;
    for (let value = 0; value < 65536; value++) {
      wrong += pixels[value] !== expected[i * 65536 + value] * 0x010101 + 0xff000000;
    }
    return wrong;
  });
}"""


def described_at_random(rng: np.random.Generator, site: Site, number: int) -> Film:
    """A film with a window of every kind and size, also of no sense, a rescale, and now and then a LUT or padding."""
    function: Function = ("LINEAR", "LINEAR_EXACT", "SIGMOID")[number % 3]
    slope = float(rng.choice([1, 1, 2, 0.1, -0.5, 1 / 3, rng.uniform(0.001, 5)]))
    intercept = float(rng.choice([0, -1024, 0.5, rng.uniform(-5000, 5000)]))
    offset = int(rng.choice([0, -32768]))
    reach = 65536 * abs(slope)
    width = float(rng.choice([1, 2, 3.5, 255, 256, 400, 4096, rng.uniform(1, reach + 1), 2 * reach + 1]))
    centre = float(rng.choice([0, 0.5, 40, 2048, 2047.5, rng.uniform(-reach, reach)]))
    modality: Rescale | Lut = Rescale(slope, intercept)
    if number % 10 == 7:
        modality = Lut(int(rng.integers(-50, 300)), np.sort(rng.integers(0, 65536, 4096)).astype(np.uint16))
    low = int(rng.integers(0, 60000)) + offset
    padding = (low, low + int(rng.integers(0, 3000))) if number % 4 == 1 else None
    window = Window(centre, width, function)
    display = Display(modality, windows=(window,), inverted=bool(number % 2), padding=padding)
    return add_film(site, "any", np.zeros((8, 8), np.uint16), display, 16, offset=offset)


def test_greys_of_all_values_in_random_windows(visit: Visit, site: Site) -> None:
    rng = np.random.default_rng(14)
    films = [described_at_random(rng, site, number) for number in range(WINDOWS)]
    few = np.zeros((8, 8), np.uint16)
    table = np.sort(rng.integers(0, 1024, 3000)).astype(np.uint16)
    for inverted in (False, True):
        lut = Display(Rescale(0.5, -100), Lut(-50, table), 1023, inverted=inverted)  # halves: to the even entry
        stretched = Display(Rescale(0.7, -3), range=(-3.0, 40000.25), inverted=inverted, padding=(0, 0))
        flat = Display(range=(5.0, 5.0), inverted=inverted)
        films += [add_film(site, "any", few, one, 16) for one in (lut, stretched, flat)]
    values = np.arange(65536)
    greys = np.concatenate([grey(film, values) for film in films])
    assert (np.bincount(greys) > 0).all()
    site.files |= {"a.html": b"<link rel=icon href=data:,>", "expected": (greys.tobytes(), {})}
    page = visit.open(f"{site.url}/a.html")
    wrong = page.evaluate(COMPARE, [json.loads(film.model_dump_json()) for film in films])
    assert len(wrong) == WINDOWS + 6
    assert wrong == [0] * len(films)


def test_a_window_that_is_none_is_not_taken(visit: Visit, site: Site) -> None:
    film = add_film(site, "a", np.zeros((8, 8), np.uint16))
    site.files["a.html"] = b"<link rel=icon href=data:,>"
    choices = [
        {"centre": 5, "width": 0},
        {"centre": None, "width": 9},
        {"preset": 7},
        "lut",
        None,
        {"centre": 5, "width": 1},
    ]
    page = visit.open(f"{site.url}/a.html")
    taken = page.evaluate(
        """async ([film, all]) => {
            const { chosen } = await import("./grey.js");
            return all.map((one) => chosen(film, one));
        }""",
        [film.model_dump(), choices],
    )
    assert [one["width"] for one in taken] == [4096] * 5 + [1]


def test_the_step_of_a_drag_is_of_the_bits_stored(visit: Visit, site: Site) -> None:
    # one wrong pixel of 60,000 in a film of 12 bits, whose range it makes fifteen times as wide
    values = np.full((8, 8), 900, np.uint16)
    values[0, 0] = 60000
    luts = Display(Lut(0, np.arange(0, 2048, 2).astype(np.uint16)), range=(0.0, 2046.0))
    films = [
        add_film(site, "a", values, Display(range=(900.0, 60000.0)), 12),
        add_film(site, "b", values, Display(Rescale(0.25), range=(0.0, 1.0)), 16),
        add_film(site, "c", values, luts, 10),
    ]
    site.files["a.html"] = b"<link rel=icon href=data:,>"
    page = visit.open(f"{site.url}/a.html")
    steps = page.evaluate(
        "async (films) => { const { dragStep } = await import('./grey.js'); return films.map(dragStep); }",
        [film.model_dump() for film in films],
    )
    assert steps == [4, 16, 2046 / 1024]
