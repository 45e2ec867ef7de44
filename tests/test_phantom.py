"""Synthetic radiographs and the archive of them."""

import csv
import hashlib
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radretrieval.errors import UsageError
from radretrieval.phantom import CODES, phantom_class, radiograph, write_archive
from radretrieval.phantom.bodies import Projection, Scene, ball, combed, rod, rotation

FRONT = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
GRID = np.linspace(-6, 6, 121, dtype=np.float32)


def integrals(*bodies, view=FRONT):
    scene = Scene(bodies)
    return Projection(scene, scene.centre, scene.half, view, 1e9, 0).line_integrals(GRID, GRID)


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
        shadow = Projection(scene, scene.centre, scene.half, FRONT, 100, 0).line_integrals(GRID, GRID)
        assert GRID[shadow.any(0)].max() == pytest.approx(4, abs=0.2)


class TestRadiograph:
    @pytest.mark.parametrize("code", CODES)
    def test_is_a_picture(self, code):
        grey = radiograph(code, np.random.default_rng(1), 96)
        assert grey.shape == (96, 96)
        assert grey.dtype == np.float32
        assert np.isfinite(grey).all()
        assert 0 <= grey.min() < 0.1
        assert 0.8 < grey.max() <= 1
        assert grey.std() > 0.1

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
        assert (breast.modality, breast.body_part, breast.view_position, breast.laterality) == (
            "MG",
            "BREAST",
            "MLO",
            "L",
        )

    @pytest.mark.parametrize("code", ["1121-120-700-400", "1121-500-914-700", 16, -1])
    def test_what_is_not_drawn_is_refused(self, code):
        with pytest.raises(UsageError, match=r"no phantom is drawn|0 to 15"):
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

    @pytest.mark.parametrize(("images", "classes"), [(3, 1), (36, 12), (50, 16), (500, 7)])
    def test_split_is_by_patient_and_has_every_class(self, images, classes, monkeypatch, tmp_path):
        monkeypatch.setattr("radretrieval.phantom.archive._write_image", lambda *_: None)
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
            ({"layout": "imageclef"}, "the layouts are: csv"),
            ({"classes": 0}, "1 to 16"),
            ({"classes": 17}, "1 to 16"),
            ({"images": 11}, "at least 12"),
            ({"size": 8}, "16 to 4096"),
            ({"seed": -1}, "0 or more"),
        ],
    )
    def test_bad_parameters_are_refused_before_anything_is_written(self, wrong, message, tmp_path):
        with pytest.raises(UsageError, match=message):
            write_archive(**({"folder": tmp_path / "new", "images": 12, "classes": 4} | wrong))
        assert not (tmp_path / "new").exists()
