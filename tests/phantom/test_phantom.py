"""Synthetic radiographs and the archive of them."""

import csv
import hashlib
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radretrieval.errors import UsageError
from radretrieval.irma.imageclef import NO_LABEL, PARTS, WITHDRAWN, classes
from radretrieval.phantom import CODES, archive_size, phantom_class, radiograph, write_archive
from radretrieval.phantom.bodies import Patient, Scene, ball, combed, rod, rotation
from radretrieval.phantom.layouts import class_sizes
from radretrieval.phantom.projection import Projection
from radretrieval.phantom.radiographs import DRAWN
from radretrieval.phantom.technique import TECHNIQUES
from radretrieval.phantom.writing import png

FRONT = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
GRID = np.linspace(-6, 6, 121, dtype=np.float32)


def integrals(*bodies, view=FRONT):
    scene = Scene(bodies)
    return Projection(scene, Patient(scene.coefficient, scene.centre, scene.half), view, 1e9, 0).line_integrals(
        GRID, GRID
    )


def marched(inside, view):
    """The same integral by small steps along each ray: slow and plain."""
    steps = np.arange(-12, 12, 0.02)
    u, v, t = np.meshgrid(GRID[::12], GRID[::12], steps, indexing="xy")
    points = np.stack([u, v, t], -1) @ view
    return inside(points).sum(-1) * 0.02


def tree(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(labels: Path) -> list[dict[str, str]]:
    with labels.open(newline="") as file:
        return list(csv.DictReader(file))


class TestPathLengths:
    view = rotation((20, 35, 10)) @ FRONT

    def test_ellipsoid(self):
        turn = rotation((30, 0, 40))
        path = integrals(ball(1, (1, 0.5, -1), (2, 3, 1.2), (30, 0, 40)), view=self.view)

        def inside(points):
            return ((((points - (1, 0.5, -1)) @ turn) / (2, 3, 1.2)) ** 2).sum(-1) <= 1

        np.testing.assert_allclose(path[::12, ::12], marched(inside, self.view), atol=0.06)

    def test_fuzzy_ellipsoid_has_the_density_it_says(self):
        path = integrals(replace(ball(1, (0, 0, 0), (2, 3, 1)), fuzzy=True))
        assert path[60, 60] == pytest.approx(4 / 3 * 3, abs=1e-4), "∫ (1 − t²/9) dt from −3 to 3"

    def test_cylinder_seen_obliquely(self):
        path = integrals(rod(1, (0, 0, -2), (0, 0, 3), 1.5), view=self.view)

        def inside(points):
            x, y, z = np.moveaxis(points, -1, 0)
            return (x**2 + y**2 <= 1.5**2) & (z >= -2) & (z <= 3)

        np.testing.assert_allclose(path[::12, ::12], marched(inside, self.view), atol=0.06)

    def test_comb_of_vertebrae(self):
        path = integrals(combed(rod(1, (0, 0, -5), (0, 0, 5), 2), (0, 0.3, 1), 2, 0.6), view=self.view)
        normal = np.array([0, 0.3, 1]) / np.hypot(0.3, 1)

        def inside(points):
            x, y, z = np.moveaxis(points, -1, 0)
            return (x**2 + y**2 <= 4) & (abs(z) <= 5) & ((points @ normal / 2) % 1 < 0.6)

        np.testing.assert_allclose(path[::12, ::12], marched(inside, self.view), atol=0.1)

    def test_a_body_within_another_counts_where_both_are(self):
        outer, radius = ball(0, (0, 0, 0), 2), 2
        path = integrals(ball(1, (1.5, 0, 0), 2, within=outer), view=self.view)

        def inside(points):
            return ((points**2).sum(-1) <= radius**2) & (((points - (1.5, 0, 0)) ** 2).sum(-1) <= 4)

        np.testing.assert_allclose(path[::12, ::12], marched(inside, self.view), atol=0.06)

    def test_what_is_far_from_the_detector_is_magnified(self):
        scene = Scene([ball(1, (0, -50, 0), 2)])
        shadow = Projection(scene, Patient(scene.coefficient, scene.centre, scene.half), FRONT, 100, 0).line_integrals(
            GRID, GRID
        )
        assert GRID[shadow.any(0)].max() == pytest.approx(4, abs=0.2)


class TestRadiograph:
    @pytest.mark.parametrize("code", sorted(DRAWN))
    def test_is_a_picture(self, code):
        grey = radiograph(code, np.random.default_rng(1), 96)
        assert grey.shape == (96, 96)
        assert grey.dtype == np.float32
        assert np.isfinite(grey).all()
        assert 0 <= grey.min() < 0.1
        assert 0.8 < grey.max() <= 1
        assert grey.std() > 0.1

    def test_all_classes_of_the_release_are_drawn_and_the_withdrawn_ones(self):
        assert {*CODES} == {known.irma_code for known in classes()}
        assert len(CODES) == 193
        assert {*WITHDRAWN} | {*CODES} == DRAWN

    def test_no_two_codes_draw_the_same(self):
        # With equal random numbers, so that nothing but the code makes the difference.
        means = [
            np.mean([radiograph(code, np.random.default_rng(k), 32) for k in range(5)], 0) for code in sorted(DRAWN)
        ]
        flat = np.reshape(means, (len(means), -1))
        apart = np.array([abs(flat - row).mean(1) for row in flat])
        np.fill_diagonal(apart, 1)
        assert apart.min() > 0.004

    def test_harder_rays_show_less_of_the_bones(self):
        plain, hard = (
            np.mean([radiograph(f"{technique}-129-700-400", np.random.default_rng(k), 64) for k in range(6)], 0)
            for technique in ("1121", "1123")
        )
        spine, beside = slice(28, 36), slice(38, 46)
        contrast = [picture[spine].mean() - picture[beside].mean() for picture in (plain, hard)]
        assert contrast[0] > contrast[1]

    def test_a_tomograph_shows_one_layer(self):
        near, far = ball(1, (0, 0, 0), 1), ball(1, (0, 8, 0), 1)
        scene = Scene([near, far])
        view = Projection(scene, Patient(scene.coefficient, scene.centre, scene.half), FRONT, 1e9, 0)
        both = view.line_integrals(GRID, GRID)
        layer = TECHNIQUES["1122"].line_integrals(view, GRID, GRID)
        assert both[60, 60] == pytest.approx(4, abs=0.01)
        assert 2 < layer[60, 60] < 3.9
        assert layer[72, 60] > both[72, 60] == 0, "the other ball is smeared over its surroundings"

    def test_two_views_stand_on_one_film_of_stereometry(self):
        film = np.mean([radiograph("1121-500-914-700", np.random.default_rng(k), 64) for k in range(6)], 0)
        heel, below = film[44:56, 8:24], film[44:56, 40:56]
        assert heel.mean() > 1.5 * below.mean(), "the foot stands on the left and lies on the right"

    def test_mirrored_oblique_views_are_each_others_mirror_images(self):
        left, right = (
            np.mean([radiograph(code, np.random.default_rng(k), 64) for k in range(12)], 0)
            for code in ("1121-4a0-914-700", "1121-490-915-700")
        )
        assert abs(left - right[:, ::-1]).mean() < 0.5 * abs(left - right).mean()

    def test_one_state_one_picture_and_no_two_alike(self):
        first, again, other = (radiograph(3, np.random.default_rng(seed), 64) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert abs(first - other).mean() > 0.01

    def test_a_right_hand_mirrors_a_left_one(self):
        left, right = (
            np.mean([radiograph(code, np.random.default_rng(k), 64) for k in range(12)], 0)
            for code in ("1121-110-414-700", "1121-110-415-700")
        )
        assert abs(left - right[:, ::-1]).mean() < 0.5 * abs(left - right).mean()

    def test_labels_follow_the_code(self):
        assert phantom_class("1121-230-943-700").laterality == "R"
        breast = phantom_class("1124-410-620-625")
        assert phantom_class("1121-120-516-700").laterality == "L"
        assert phantom_class("1121-110-411-700").laterality == ""
        assert (breast.modality, breast.body_part, breast.view_position, breast.laterality) == (
            "MG",
            "BREAST",
            "MLO",
            "L",
        )

    @pytest.mark.parametrize("code", ["1121-120-999-700", "1121-500-921-700", "1123-120-942-700", 193, -1])
    def test_what_is_not_drawn_is_refused(self, code):
        with pytest.raises(UsageError, match=r"no phantom is drawn|0 to 192"):
            radiograph(code, np.random.default_rng(0))

    def test_classes_can_be_learned_but_not_for_nothing(self):
        classes, each = 8, 20
        pictures = np.array([radiograph(i % classes, np.random.default_rng([5, i]), 64) for i in range(classes * each)])
        small = pictures.reshape(-1, 32, 2, 32, 2).mean((2, 4)).reshape(len(pictures), -1)
        label = np.arange(len(small)) % classes
        train, test = slice(0, classes * 14), slice(classes * 14, None)
        distance = ((small[test, None] - small[None, train]) ** 2).sum(-1)
        accuracy = (label[train][distance.argmin(1)] == label[test]).mean()
        assert 0.75 <= accuracy < 1


class TestArchive:
    def test_labels_and_files_agree(self, tmp_path):
        labels = write_archive(tmp_path / "a", images=60, classes=6, size=32)
        listed = rows(labels)
        assert list(listed[0]) == [
            "file", "irma_code", "split", "patient_id", "modality", "body_part", "view_position", "laterality"
        ]  # fmt: skip
        assert len(listed) == 60
        for row in listed:
            with Image.open(labels.parent / row["file"]) as image:
                assert (image.format, image.mode, image.size) == ("PNG", "L", (32, 32))
        found = {name for name in tree(labels.parent) if name.endswith(".png")}
        assert found == {row["file"] for row in listed}

    @pytest.mark.parametrize(("images", "classes"), [(3, 1), (36, 12), (50, 16), (500, 7), (2000, 193)])
    def test_split_is_by_patient_and_has_every_class(self, images, classes, monkeypatch, tmp_path):
        monkeypatch.setattr("radretrieval.phantom.writing._write_image", lambda *_: None)
        listed = rows(write_archive(tmp_path, images, classes))
        splits = defaultdict(set)
        for row in listed:
            splits[row["patient_id"]].add(row["split"])
        assert all(len(found) == 1 for found in splits.values())
        count = Counter((row["irma_code"], row["split"]) for row in listed)
        for code in CODES[:classes]:
            assert count[code, "train"] >= 2
            assert count[code, "test"] >= 1
        if images >= 100:
            assert sum(row["split"] == "test" for row in listed) / images == pytest.approx(0.2, abs=0.02)
            assert len(splits) < images, "some patients have several images"

    def test_same_seed_same_bytes(self, tmp_path):
        for name, seed in (("a", 3), ("b", 3), ("c", 4)):
            write_archive(tmp_path / name, images=12, classes=4, seed=seed, size=32)
        assert tree(tmp_path / "a") == tree(tmp_path / "b")
        assert tree(tmp_path / "a") != tree(tmp_path / "c")

    def test_what_was_broken_off_is_completed(self, tmp_path):
        def stop(done):
            if done == 5:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_archive(tmp_path / "a", 12, 4, size=32, progress=stop)
        assert not (tmp_path / "a" / "labels.csv").exists()
        (tmp_path / "a/images/0000/.0000005.png.part").write_bytes(b"half")
        done = []
        write_archive(tmp_path / "a", 12, 4, size=32, progress=done.append)
        write_archive(tmp_path / "b", 12, 4, size=32)
        assert done == list(range(1, 13))
        assert tree(tmp_path / "a") == tree(tmp_path / "b")

    def test_a_complete_archive_is_left_as_it_is(self, tmp_path):
        labels = write_archive(tmp_path, 12, 4, size=32)
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
        write_archive(tmp_path, 12, 4, size=32)
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == before
        assert labels == tmp_path / "labels.csv"

    def test_any_number_of_processes_writes_the_same(self, tmp_path):
        done = []
        write_archive(tmp_path / "a", 48, 8, size=32, processes=2, progress=done.append)
        write_archive(tmp_path / "b", 48, 8, size=32)
        assert done == list(range(1, 49))
        assert tree(tmp_path / "a") == tree(tmp_path / "b")

    def test_png_is_read_back(self, tmp_path):
        grey = np.random.default_rng(0).integers(0, 256, (7, 13), np.uint8)
        (tmp_path / "a.png").write_bytes(png(grey))
        with Image.open(tmp_path / "a.png") as image:
            np.testing.assert_array_equal(np.asarray(image), grey)

    def test_foreign_folders_are_left_alone(self, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(UsageError, match="not empty"):
            write_archive(tmp_path, 12, 4)
        with pytest.raises(UsageError, match="is a file"):
            write_archive(tmp_path / "notes.txt", 12, 4)
        with pytest.raises(UsageError, match="cannot write"):
            write_archive(tmp_path / "notes.txt" / "below", 12, 4)
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    def test_other_parameters_are_named(self, tmp_path):
        write_archive(tmp_path, 12, 4, seed=1, size=32)
        with pytest.raises(UsageError, match="seed 1 instead of 2"):
            write_archive(tmp_path, 12, 4, seed=2, size=32)
        (tmp_path / ".phantom.json").write_text("{")
        with pytest.raises(UsageError, match="other parameters"):
            write_archive(tmp_path, 12, 4, seed=1, size=32)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"layout": "dicom"}, "the layouts are: csv, imageclef"),
            ({"layout": "imageclef", "images": 3}, "at least 4"),
            ({"classes": 0}, "1 to 193"),
            ({"classes": 194}, "1 to 193"),
            ({"images": 11}, "at least 12"),
            ({"size": 8}, "16 to 4096"),
            ({"seed": -1}, "0 or more"),
        ],
    )
    def test_bad_parameters_are_refused_before_anything_is_written(self, wrong, message, tmp_path):
        with pytest.raises(UsageError, match=message):
            write_archive(**({"folder": tmp_path / "new", "images": 12, "classes": 4} | wrong))
        assert not (tmp_path / "new").exists()


def codes_of(folder: Path) -> dict[str, list[dict[str, str]]]:
    found = {}
    for part in PARTS:
        with (folder / part.codes).open(newline="") as file:
            reader = csv.DictReader(file, delimiter=";")
            found[part.split] = list(reader)
            assert tuple(reader.fieldnames) == part.columns
    return found


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The whole release without its images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("radretrieval.phantom.writing._write_image", lambda target, *_: target.touch())
        folder = write_archive(tmp_path_factory.mktemp("release"), layout="imageclef")
    return folder, codes_of(folder)


class TestImageclefLayout:
    def test_has_the_releases_names_and_nothing_else(self, full):
        folder, listed = full
        assert {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")} == {
            "ImageCLEFmed2009_train.02",
            "ImageCLEFmed2009_train_codes.02.csv",
            "ImageCLEFmed2009_test.03",
            "ImageCLEFmed2009_test_codes.03.csv",
        }
        for part in PARTS:
            assert {path.name for path in (folder / part.folder).iterdir()} == {
                f"{row['image_id']}.png" for row in listed[part.split]
            }

    def test_has_the_releases_class_sizes(self, full):
        _, listed = full
        assert (len(listed["train"]), len(listed["test"])) == (12_677, 1_733)
        count = {split: Counter(row["08_irma_code"] for row in rows) for split, rows in listed.items()}
        for known in classes():
            assert (count["train"].pop(known.irma_code), count["test"].pop(known.irma_code, 0)) == (
                known.train,
                known.test,
            )
        assert count["train"] == dict.fromkeys(WITHDRAWN, 2)
        assert count["test"] == {NO_LABEL: 1}

    def test_ids_are_plain_numbers_and_tell_nothing(self, full):
        _, listed = full
        ids = [row["image_id"] for rows in listed.values() for row in rows]
        assert len({*ids}) == len(ids)
        assert all(name == str(int(name)) for name in ids)
        codes = [row["irma_code"] for row in listed["train"]]
        alike = sum(first == second for first, second in pairwise(codes))
        assert alike < 0.1 * len(codes), "by chance 6 % of neighbours are of one class"

    def test_other_years_are_silent(self, full):
        _, listed = full
        for row in (listed["train"][0], listed["test"][-1]):
            assert row["irma_code"] == row["08_irma_code"]
            assert {value for name, value in row.items() if "05" in name or "06" in name or "07" in name} == {NO_LABEL}

    def test_a_patient_is_in_one_split(self, monkeypatch, tmp_path):
        drawn = defaultdict(set)
        monkeypatch.setattr(
            "radretrieval.phantom.writing._write_image", lambda _, item, *__: drawn[item.patient].add(item.split)
        )
        write_archive(tmp_path, 2000, layout="imageclef")
        assert all(len(splits) == 1 for splits in drawn.values())
        assert len(drawn) < 1500

    @pytest.mark.parametrize(("images", "number"), [(193, 193), (1000, 193), (500, 20), (20_000, 193), (7, 7)])
    def test_another_size_keeps_the_proportions(self, images, number):
        sizes = class_sizes(images, number)
        assert sum(sizes.values()) == images
        whole = class_sizes(archive_size(None, number, "imageclef")[0], number)
        for cell, size in sizes.items():
            if cell[1] == "train" and cell[0] not in WITHDRAWN:
                assert size >= 1
            if images >= 500 and whole[cell] >= 100:
                assert size == pytest.approx(whole[cell] * images / sum(whole.values()), rel=0.25, abs=1.01)

    def test_fewer_classes_are_the_largest_without_what_has_no_class(self):
        assert archive_size(None, 2, "imageclef") == (2343 + 1122, 2)
        assert {code for code, _ in class_sizes(100, 5)} == {known.irma_code for known in classes()[:5]}

    def test_images_are_written_and_completed(self, tmp_path):
        whole = write_archive(tmp_path / "a", 20, 5, layout="imageclef", size=32)
        assert whole == tmp_path / "a"
        listed = codes_of(whole)
        for part in PARTS:
            for row in listed[part.split]:
                with Image.open(whole / part.folder / f"{row['image_id']}.png") as image:
                    assert (image.format, image.mode, image.size) == ("PNG", "L", (32, 32))
        before = tree(whole)
        (whole / PARTS[0].folder / f"{listed['train'][0]['image_id']}.png").unlink()
        (whole / PARTS[1].codes).unlink()
        write_archive(whole, 20, 5, layout="imageclef", size=32)
        assert tree(whole) == before
        with pytest.raises(UsageError, match="layout imageclef instead of csv"):
            write_archive(whole, 20, 5, size=32)
