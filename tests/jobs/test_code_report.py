"""The health report against what numpy says of the same codes, on a real archive and by the real command."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from PIL import Image
from tiny import add_encoder

from radretrieval.archive import codes, images
from radretrieval.archive.connections import Database
from radretrieval.archive.images import NewImage
from radretrieval.errors import NoEncoder, UsageError
from radretrieval.jobs import code_report as module
from radretrieval.jobs.code_report import code_report

Cli = Callable[..., Run]
LABELS = ["1121-110-500-000", "1123-127-500-000", "1121-120-942-700"]
N = 60


def fill(database: Database, bits: np.ndarray, labels: Sequence[str | None]) -> None:
    """An archive of images 1, 2, … with these bits (n, 1000) and labels, and a tiny encoder."""
    rows = [
        NewImage(number.to_bytes(32, "big"), f"file:///{number}.png", "png", 4, 5, 8, "MONOCHROME2", irma_code=label)
        for number, label in enumerate(labels)
    ]
    with database.connection() as connection:
        images.add(connection, rows)
        encoder = add_encoder(connection)
        codes.write_cnnc(connection, encoder, list(range(1, len(bits) + 1)), np.packbits(bits, axis=1), 1000)


@pytest.fixture
def made() -> tuple[np.ndarray, list[str | None]]:
    """Codes around a prototype of each class, every seventh image unlabelled, with all that can be wrong."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, N)
    bits = (rng.random((3, 1000)) < 0.5)[classes] ^ (rng.random((N, 1000)) < 0.3)
    bits[:, 3], bits[:, [8, 9]] = False, True
    bits[:, 20], bits[:, 999] = bits[:, 10], ~bits[:, 10]
    bits[11], bits[12], bits[13] = bits[10], bits[10], bits[10]
    labels = [None if place % 7 == 6 else LABELS[kind] for place, kind in enumerate(classes)]
    labels[10:14] = [LABELS[0], LABELS[0], LABELS[1], None]
    return bits, labels


def test_the_report_is_what_numpy_says(
    database: Database, made: tuple[np.ndarray, list[str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 7)
    bits, labels = made
    fill(database, *made)
    seen: list[int] = []
    found = code_report(database, advance=seen.append)
    assert (sum(seen), max(seen)) == (N, 7)
    assert (found.encoder_id, found.profile, found.bits, found.codes) == (1, "tiny", 1000, N)
    assert (found.labelled, found.classes) == (sum(label is not None for label in labels), 3)
    density = bits.mean(0)
    assert (found.density.mean, found.density.min, found.density.max) == (pytest.approx(density.mean()), 0, 1)
    assert found.density.median == pytest.approx(np.median(density))
    assert sum(found.density.histogram) == 1000
    assert (found.dead.zero, found.dead.one) == ([3], [8, 9])
    assert found.duplicates.equal == [[10, 20]]
    assert found.duplicates.complement == [([10, 20], [999])]
    assert found.duplicates.redundant == 2
    assert (found.distinct_codes, found.sharing) == (N - 3, 4)
    assert found.notes == [f"only {N} codes: bits may be dead or duplicates by chance"]


def test_distances_are_those_of_every_labelled_pair(
    database: Database, made: tuple[np.ndarray, list[str | None]]
) -> None:
    bits, labels = made
    fill(database, *made)
    found = code_report(database)
    apart: dict[bool, list[int]] = {True: [], False: []}
    for a, b in itertools.combinations([place for place in range(N) if labels[place]], 2):
        apart[labels[a] == labels[b]].append(int((bits[a] ^ bits[b]).sum()))
    assert found.distances is not None
    assert (found.distances.images, found.distances.of) == (found.labelled, found.labelled)
    for spread, expected in ((found.distances.within, apart[True]), (found.distances.across, apart[False])):
        assert spread is not None
        assert (spread.pairs, spread.mean) == (len(expected), pytest.approx(np.mean(expected)))
        assert spread.median == sorted(expected)[-(-len(expected) // 2) - 1]
        assert spread.p1 <= spread.p5 <= spread.median <= spread.p95
        assert spread.histogram == np.histogram(expected, 100, (0, 1000))[0].tolist()
    nearer = [(a < b) + (a == b) / 2 for a in apart[True] for b in apart[False]]
    assert found.distances.separability == pytest.approx(np.mean(nearer))
    every = np.sort((bits[:, None] ^ bits[None]).sum(-1), axis=1)
    assert (found.nearest.queries, found.nearest.candidates) == (N, 50)
    assert (found.nearest.first, found.nearest.last) == (np.median(every[:, 1]), np.median(every[:, 50]))


def test_collisions_name_the_classes_and_some_images(
    database: Database, made: tuple[np.ndarray, list[str | None]]
) -> None:
    bits, labels = made
    bits[30:36], bits[40:42] = bits[30], bits[40]
    labels[30:36], labels[40:42] = [LABELS[2], LABELS[1], LABELS[0], LABELS[2], None, LABELS[2]], [LABELS[0]] * 2
    labels += LABELS[:1] * 8
    fill(database, np.concatenate([bits, bits[[30] * 8]]), labels)
    found = code_report(database).collisions
    assert found is not None
    assert (found.codes, found.images) == (2, 5 + 8 + 3)
    first, second = found.worst
    assert (first.classes, first.images, second.classes, second.images) == (3, 13, 2, 3)
    assert [(member.irma_code, member.images, member.image_ids) for member in first.members] == [
        (LABELS[0], 9, [33, 61, 62, 63, 64]),
        (LABELS[2], 3, [31, 34, 36]),
        (LABELS[1], 1, [32]),
    ]
    assert [member.image_ids for member in second.members] == [[11, 12], [13]]


def test_a_sample_is_told_and_always_the_same(database: Database, made: tuple[np.ndarray, list[str | None]]) -> None:
    fill(database, *made)
    found = code_report(database, most=20)
    assert found.distances is not None
    assert (found.distances.images, found.distances.of) == (20, found.labelled)
    assert found.distances.within is not None
    assert found.distances.within.pairs + found.distances.across.pairs == 190
    assert found.notes[-1] == f"distances are those among 20 of {found.labelled} labelled images, always the same ones"
    assert code_report(database, most=20) == found


@pytest.mark.parametrize("labels", [[None] * 9, [LABELS[0]] * 9])
def test_without_two_classes_the_rest_is_reported(database: Database, labels: list[str | None]) -> None:
    fill(database, np.random.default_rng(1).random((9, 1000)) < 0.5, labels)
    found = code_report(database)
    assert (found.collisions, found.distances) == (None, None)
    assert "two are needed" in found.notes[-1]
    assert found.nearest.last is None
    assert found.distinct_codes == 9


def test_classes_of_one_image_have_no_pair_within(database: Database) -> None:
    fill(database, np.random.default_rng(1).random((3, 1000)) < 0.5, LABELS)
    found = code_report(database)
    assert found.distances is not None
    assert (found.distances.within, found.distances.separability) == (None, None)
    assert "no two of the compared images" in found.notes[-1]
    drawn = code_report(database, most=1)
    assert drawn.distances is None
    assert "all of one IRMA code" in drawn.notes[-1]


def test_an_encoder_that_says_nothing(database: Database) -> None:
    fill(database, np.zeros((5, 1000), bool), [LABELS[0], LABELS[0], LABELS[1], LABELS[1], None])
    found = code_report(database)
    assert len(found.dead.zero) == 1000
    assert (found.duplicates.redundant, found.entropy_bits, found.distinct_codes, found.sharing) == (0, 0, 1, 5)
    assert found.distances is not None
    assert (found.distances.separability, found.distances.independent_bits) == (0.5, None)
    assert found.nearest.first == 0


def test_codes_that_come_meanwhile_are_not_half_counted(database: Database) -> None:
    fill(database, np.random.default_rng(1).random((9, 1000)) < 0.5, [LABELS[0]] * 12)

    def add(_: int) -> None:
        with database.connection() as connection:
            codes.write_cnnc(connection, 1, [10, 11, 12], np.zeros((3, 125), np.uint8), 1000)

    found = code_report(database, advance=add)
    assert (found.codes, found.distinct_codes, found.sharing) == (9, 9, 0)
    assert code_report(database).distinct_codes == 10


@pytest.mark.parametrize(("count", "message"), [(0, "has no codes yet"), (1, "has one code only")])
def test_too_few_codes(database: Database, count: int, message: str) -> None:
    fill(database, np.zeros((count, 1000), bool), [None] * count)
    with pytest.raises(UsageError, match=f"encoder 1 {message}.* work --once --encoder 1"):
        code_report(database)


def test_no_encoder(database: Database) -> None:
    with pytest.raises(NoEncoder, match="radretrieval train"):
        code_report(database)
    fill(database, np.zeros((2, 1000), bool), [None] * 2)
    with pytest.raises(UsageError, match="no encoder 7; it has: 1"):
        code_report(database, 7)


def test_by_the_command_line(
    inside: Cli, database: Database, made: tuple[np.ndarray, list[str | None]], tmp_path: Path
) -> None:
    fill(database, *made)
    done = inside("encoder", "report", "--json", "--picture", "a.png")
    assert list(done.json) == [
        "encoder_id", "profile", "bits", "codes", "labelled", "classes", "density", "dead", "duplicates",
        "entropy_bits", "distinct_codes", "sharing", "collisions", "distances", "nearest", "notes",
    ]  # fmt: skip
    assert set(done.json["distances"]["within"]) == {"pairs", "mean", "p1", "p5", "median", "p95", "histogram"}
    assert done.json["collisions"]["worst"][0]["members"][0] == {
        "irma_code": LABELS[0],
        "images": 2,
        "image_ids": [11, 12],
    }
    assert "by chance" in done.stderr
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 1000
    told = inside("encoder", "report", "--encoder", 1).stdout
    for words in ("1 always 0, 2 always 1", "10=20≠999", "within a class", f"{LABELS[0]} (11, 12), {LABELS[1]} (13)"):
        assert words in told


def test_a_bad_target_is_refused_before_the_work(inside: Cli, tmp_path: Path) -> None:
    """No database is asked: the archive's URL leads nowhere."""
    for target, message in (("a.jpg", "end in .png"), ("no/a.png", "does not exist"), ("x" * 252 + ".png", "cannot")):
        done = inside("encoder", "report", "--picture", target, url="postgresql://nobody@127.0.0.1:1/no", check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
    assert os.listdir(tmp_path) == []
