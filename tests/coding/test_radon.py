"""The Radon barcode against its definition, scikit-image, hand-made cases and itself."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from radretrieval.coding import radon

SIZE, ANGLES, BINS = 192, 16, 272
RADIOGRAPHS = Path(__file__).parents[3] / "shared" / "data" / "radiographs" / "images"
needs_radiographs = pytest.mark.skipif(not RADIOGRAPHS.is_dir(), reason="../shared/data/radiographs is absent")


def literal(image: np.ndarray, angles: int = ANGLES) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Projections, bits and coin-flips of the definition, word by word, on scikit-image's own transform.

    A coin-flip is a bit where p and T are equal but for float64 round-off (1e-9 of T), and where another bin
    is as near to T: they are equal or all but equal, and scikit-image's order of summation decides which
    of them is the median and which lies above. (The only bin near T is the median itself: 0, no coin-flip.)
    """
    from skimage.transform import radon as skimage_radon

    sinogram = skimage_radon(
        image.astype(np.float64), np.arange(angles) * 180 / angles, circle=False, preserve_range=True
    ).T
    bits = np.zeros(sinogram.shape, bool)
    coin_flips = np.zeros(sinogram.shape, bool)
    for k, p in enumerate(sinogram):
        if (p > 0).any():
            threshold = np.median(p[p > 0])
            bits[k] = p > threshold
            near = abs(p - threshold) <= 1e-9 * threshold
            coin_flips[k] = near & (near.sum() > 1)
    return sinogram, bits, coin_flips


def ours(image: np.ndarray, angles: int = ANGLES) -> np.ndarray:
    code = radon.barcode(image[None], image.shape[0], angles)[0]
    count = radon.bins(image.shape[0])
    return np.unpackbits(code)[: angles * count].reshape(angles, count).astype(bool)


def phantom(seed: int, size: int = SIZE) -> np.ndarray:
    """An 8-bit image of blobs and boxes on black."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    image = np.zeros((size, size))
    for _ in range(6):
        cy, cx, radius = (
            rng.uniform(0.2, 0.8) * size,
            rng.uniform(0.2, 0.8) * size,
            rng.uniform(0.03, 0.2) * size,
        )
        image += rng.uniform(20, 120) * (((y - cy) ** 2 + (x - cx) ** 2) < radius**2)
    return image.clip(0, 255).astype(np.uint8)


def real_images(count: int) -> list[np.ndarray]:
    files = sorted(RADIOGRAPHS.glob("*.png"))
    chosen = files[:: max(1, len(files) // count)][:count]
    return [np.asarray(Image.open(file).convert("L").resize((SIZE, SIZE))) for file in chosen]


def random_images() -> list[np.ndarray]:
    return [np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE), dtype=np.uint8) for seed in range(6)]


def assert_equals_literal(images: list[np.ndarray]) -> None:
    coin_flips = 0
    for image in images:
        _, bits, undecided = literal(image)
        wrong = (ours(image) != bits) & ~undecided
        assert not wrong.any(), f"{wrong.sum()} bits differ at (angle, bin) {np.argwhere(wrong)[:5].tolist()}"
        coin_flips += int(undecided.sum())
    assert coin_flips <= 1e-3 * len(images) * ANGLES * BINS  # else the mask, not the barcode, would pass


class TestAgreement:
    def test_random_integer_images_equal_the_literal_barcode(self) -> None:
        assert_equals_literal(random_images())

    def test_phantoms_equal_the_literal_barcode(self) -> None:
        assert_equals_literal([phantom(seed) for seed in range(6)])

    @needs_radiographs
    def test_real_radiographs_equal_the_literal_barcode(self) -> None:
        assert_equals_literal(real_images(24))

    @needs_radiographs
    def test_real_valued_images_agree_in_999_of_1000_bits(self) -> None:
        rng = np.random.default_rng(1)
        images = [image / 255 * rng.uniform(0.3, 1) for image in real_images(8)] + [rng.random((SIZE, SIZE))]
        equal = np.mean([ours(image.astype(np.float32)) == literal(image)[1] for image in images])
        assert equal >= 0.999

    @pytest.mark.parametrize(("size", "angles"), [(1, 1), (2, 3), (7, 5), (16, 4), (33, 12), (64, 7), (97, 16)])
    def test_projections_have_the_geometry_of_scikit_image_at_any_size(self, size: int, angles: int) -> None:
        image = np.random.default_rng(size).integers(0, 256, (size, size), dtype=np.uint8)
        sinogram, _, _ = literal(image, angles)
        found = radon.projections(image[None], size, angles)[0]
        assert found.shape == sinogram.shape
        np.testing.assert_allclose(found, sinogram, rtol=0, atol=1e-8 * sinogram.max())


class TestGolden:
    """Images whose bits follow by hand at 0° (bin = column + 40) and 90° (bin = 232 - row)."""

    def bar(self) -> np.ndarray:
        image = np.zeros((SIZE, SIZE), np.uint8)
        image[20:120, 90:95] = 1
        image[20:120, 95:100] = 2
        return image

    def disc(self) -> np.ndarray:
        y, x = np.mgrid[:SIZE, :SIZE] - 96
        return (x * x + y * y <= 50 * 50).astype(np.uint8)

    def test_no_light_gives_zeros(self) -> None:
        assert not radon.barcode(np.zeros((1, SIZE, SIZE))).any()

    def test_point_is_its_own_median_where_it_meets_one_bin(self) -> None:
        image = np.zeros((SIZE, SIZE), np.uint8)
        image[50, 100] = 7
        p, bits = radon.projections(image[None])[0], ours(image)
        assert np.flatnonzero(p[0]).tolist() == [140]
        assert np.flatnonzero(p[8]).tolist() == [182]
        assert p[0, 140] == p[8, 182] == 7
        assert not bits[0].any()
        assert not bits[8].any()
        assert bits.any(axis=1).sum() == 14  # every other angle spreads it over two or three unlike bins

    def test_bright_half_of_a_bar(self) -> None:
        bits = ours(self.bar())
        assert np.flatnonzero(bits[0]).tolist() == [135, 136, 137, 138, 139]  # 200 > median(100, 200) = 150
        assert not bits[8].any()  # all hundred rows sum to 15
        turned = ours(np.ascontiguousarray(self.bar().T))
        assert np.flatnonzero(turned[8]).tolist() == [133, 134, 135, 136, 137]
        assert not turned[0].any()

    def test_disc_gives_its_inner_chords(self) -> None:
        bits = ours(self.disc())
        chords = [2 * int(np.sqrt(2500 - x * x)) + 1 for x in range(-50, 51)]
        threshold = np.median(chords)
        expected = [x + 136 for x, chord in zip(range(-50, 51), chords, strict=True) if chord > threshold]
        assert np.flatnonzero(bits[0]).tolist() == np.flatnonzero(bits[8]).tolist() == expected

    def test_all_ones_has_no_bin_above_the_median_at_right_angles(self) -> None:
        image = np.ones((SIZE, SIZE), np.uint8)
        p, bits = radon.projections(image[None])[0], ours(image)
        assert (p[0] == np.pad(np.full(192, 192.0), 40)).all()
        assert not bits[0].any()
        assert not bits[8].any()
        _, expected, undecided = literal(image)
        assert (bits == expected)[~undecided].all()

    def test_plateaus_equal_the_literal_barcode_but_for_coin_flips(self) -> None:
        for image in (self.bar(), self.disc()):
            _, expected, undecided = literal(image)
            assert (ours(image) == expected)[~undecided].all()
            assert undecided.mean() < 0.2  # a bar is little but plateaus

    @pytest.mark.parametrize(
        ("name", "digest"),
        [("bar", "50c398faa95fa6a5"), ("disc", "8e6e59c980851c81"), ("phantom", "fe4eaea4aa3a8f44")],
    )
    def test_codes_never_change(self, name: str, digest: str) -> None:
        # The phantom's is that of the literal barcode on scikit-image 0.26, which has no coin-flip there. Bar
        # and disc have plateaus of equal bins, where scikit-image's round-off decides: theirs are ours, equal
        # to the literal ones in every other bit (the test above).
        image = phantom(0) if name == "phantom" else getattr(self, name)()
        assert hashlib.sha256(radon.barcode(image[None]).tobytes()).hexdigest()[:16] == digest


class TestExact:
    def test_any_split_of_a_batch_gives_the_same_bits(self) -> None:
        images = np.random.default_rng(2).random((70, 48, 48), np.float32)
        whole = radon.barcode(images, 48, 16)
        for step in (1, 3, 64):
            parts = [radon.barcode(images[start : start + step], 48, 16) for start in range(0, 70, step)]
            assert (np.concatenate(parts) == whole).all()

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, 2**32 - 1), st.integers(1, 257))
    def test_integer_multiples_give_the_same_bits(self, seed: int, factor: int) -> None:
        image = np.random.default_rng(seed).integers(0, 256, (1, 40, 40), dtype=np.uint16)
        code = radon.barcode(image, 40, 6)
        assert (radon.barcode(image * np.uint16(factor), 40, 6) == code).all()

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.int64, np.float32, np.float64])
    def test_pixels_have_no_unit(self, dtype: type) -> None:
        image = phantom(3)[None]
        code = radon.barcode(image)
        assert (radon.barcode(image.astype(dtype)) == code).all()
        if np.issubdtype(dtype, np.floating):
            for factor in (1 / 255, 2.0**-30 / 255, 2.0**-8, 2.0**12):
                assert (radon.barcode((image * factor).astype(dtype)) == code).all(), factor
        else:
            assert (radon.projections(image.astype(dtype)) == radon.projections(image)).all()

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_real_pixels_are_rounded_to_the_nearest_of_16_bits(self, dtype: type) -> None:
        image = np.random.default_rng(8).random((1, 40, 40)).astype(dtype)
        image[0, 0, 0] = 1
        whole = np.rint(image * dtype(65535)).astype(np.uint16)
        assert (radon.barcode(image, 40, 8) == radon.barcode(whole, 40, 8)).all()
        np.testing.assert_allclose(radon.projections(image, 40, 8) * 65535, radon.projections(whole, 40, 8), rtol=1e-14)

    def test_projections_are_the_exact_sums(self) -> None:
        """Sums of Python integers give the very same values: nothing was rounded."""
        image = np.full((SIZE, SIZE), 65535, np.uint16)
        image[::3, 1::2] = np.random.default_rng(4).integers(0, 65536, (64, 96))
        matrix = radon._matrix(SIZE, ANGLES).tocsr()
        found = radon.projections(image[None])[0].ravel()
        flat = [int(v) for v in image.ravel()]
        for b in range(5, len(found), 397):
            row = slice(matrix.indptr[b], matrix.indptr[b + 1])
            weights = [int(w * 2**28) for w in matrix.data[row]]
            assert all(w == v * 2**28 for w, v in zip(weights, matrix.data[row], strict=True))
            total = sum(w * flat[j] for w, j in zip(weights, matrix.indices[row], strict=True))
            assert total < 2**53
            assert total == int(found[b] * 2**28)

    def test_a_mirrored_image_gives_the_mirrored_code(self) -> None:
        image = np.zeros((SIZE, SIZE), np.uint8)
        image[1:, 1:] = phantom(5)[1:, 1:]  # symmetric about the axis of rotation, pixel 96
        mirrored = np.zeros_like(image)
        mirrored[1:, 1:] = image[1:, :0:-1]
        bits, mirror_bits = ours(image), ours(mirrored)
        for k in range(ANGLES):
            other = mirror_bits[0, 1:][::-1] if k == 0 else mirror_bits[ANGLES - k, 1:]
            assert (bits[k, 1:] == other).all(), k

    def test_odd_and_even_medians(self) -> None:
        p = np.array([[[0, 0, 5, 1, 3], [0, 2, 4, 6, 8], [0, 0, 0, 0, 9], [-3, -1, 0, 0, 0], [2, 2, 2, 3, 0]]], float)
        bits = np.unpackbits(radon._cut(p))[:25].reshape(5, 5)
        for row, values in zip(bits, p[0], strict=True):
            positive = values[values > 0]
            expected = values > np.median(positive) if positive.size else np.zeros(5)
            assert (row == expected).all()


class TestContract:
    def test_shape_and_order(self) -> None:
        images = np.stack([phantom(0), phantom(1)])
        codes = radon.barcode(images)
        assert codes.shape == (2, 544)
        assert codes.dtype == np.uint8
        assert radon.code_bytes() == 544
        assert radon.bins() == BINS
        p = radon.projections(images)
        assert p.shape == (2, ANGLES, BINS)
        assert p.dtype == np.float64
        bits = np.stack([ours(image) for image in images])
        assert (np.packbits(bits.reshape(2, -1), axis=1) == codes).all()

    def test_last_byte_is_filled_with_zeros(self) -> None:
        code = radon.barcode(np.ones((1, 7, 7)), 7, 3)  # 30 bits
        assert code.shape == (1, 4)
        assert code[0, 3] & 0b11 == 0

    def test_empty_batch(self) -> None:
        assert radon.barcode(np.empty((0, 192, 192), np.float32)).shape == (0, 544)
        assert radon.barcode(np.empty((0, 5, 9), np.uint8), 32, 4).shape == (0, radon.code_bytes(32, 4))
        assert radon.projections(np.empty((0, 192, 192))).shape == (0, ANGLES, BINS)

    def test_views_are_read_as_they_look(self) -> None:
        image = phantom(6)
        assert (radon.barcode(image[None, :, ::-1]) == radon.barcode(image[None, :, ::-1].copy())).all()
        assert (radon.barcode(image.T[None]) == radon.barcode(image.T.copy()[None])).all()

    def test_other_sizes_are_resampled(self) -> None:
        from radretrieval.imaging.resample import resample

        image = np.random.default_rng(7).random((2, 50, 80), np.float32)
        expected = radon.barcode(np.stack([resample(one, 64) for one in image]), 64, 8)
        assert (radon.barcode(image, 64, 8) == expected).all()
        eight_bits = np.rint(image * 255).astype(np.uint8)
        assert (radon.barcode(eight_bits, 64, 8) == radon.barcode(eight_bits / np.float32(255), 64, 8)).all()

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("side", [16, 20])
    def test_names_the_image_that_is_not_finite(self, bad: float, side: int) -> None:
        images = np.ones((3, side, side), np.float32)
        images[1, 3, 4] = bad
        with pytest.raises(ValueError, match="image 1 of the batch has a pixel that is NaN or infinite"):
            radon.barcode(images, 16, 4)

    def test_names_what_is_wrong(self) -> None:
        with pytest.raises(ValueError, match=r"needed is \(n, rows, columns\)"):
            radon.barcode(np.ones((192, 192)))
        with pytest.raises(ValueError, match=r"needed is \(n, rows, columns\)"):
            radon.barcode(np.ones((2, 0, 192)))
        with pytest.raises(ValueError, match="complex128"):
            radon.barcode(np.ones((1, 8, 8), complex), 8)
        for size in (0, 1025):
            with pytest.raises(ValueError, match="1…1024"):
                radon.barcode(np.ones((1, 8, 8)), size)
        with pytest.raises(ValueError, match="at least 1 projection"):
            radon.barcode(np.ones((1, 8, 8)), 8, 0)

    def test_import_is_light(self) -> None:
        code = "import sys, radretrieval.coding.radon; print({'scipy', 'skimage', 'PIL'} & set(sys.modules))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "set()"
