"""Pictures of any shape meet models: stretched, boxed, cropped, shrunk and tiled, and back again."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclegan_edge.runtime.errors import UsageError
from cyclegan_edge.runtime.fitting.guided_filter import upsample
from cyclegan_edge.runtime.fitting.tiles import translate_tiled
from cyclegan_edge.runtime.translator import Translator, load

sides = st.integers(1, 90)


@pytest.fixture(scope="module")
def smooth():
    """A picture with gradients, an edge and a fine pattern."""
    y, x = np.mgrid[0:120, 0:160]
    picture = np.stack([x, 2 * y, 255 - x], -1).astype(np.uint8)
    picture[40:80, 50:110] = 255 - picture[40:80, 50:110]
    picture[90:100, ::4] //= 2
    return picture


@pytest.fixture(scope="module")
def translators(model) -> dict[str, Translator]:
    return {fit: load(model("invert"), fit=fit, size=(32, 48)) for fit in ("stretch", "letterbox", "crop")}


@pytest.fixture(scope="module")
def scaled(model) -> Translator:
    return load(model("invert"), scale=0.5)


class TestFits:
    @settings(deadline=None, max_examples=40)
    @given(height=sides, width=sides, fit=st.sampled_from(["stretch", "letterbox"]))
    def test_the_size_is_kept_and_flat_pictures_exactly(self, translators, height, width, fit):
        picture = np.full((height, width, 3), (10, 200, 30), np.uint8)
        assert np.array_equal(translators[fit](picture), 255 - picture)

    @settings(deadline=None, max_examples=40)
    @given(height=sides, width=sides)
    def test_cropping_keeps_the_middle_of_the_models_shape(self, translators, height, width):
        picture = np.full((height, width, 3), (10, 200, 30), np.uint8)
        cropped = translators["crop"](picture)
        factor = min(height / 32, width / 48)
        assert cropped.shape == (max(1, round(32 * factor)), max(1, round(48 * factor)), 3)
        assert (cropped == 255 - picture[0, 0]).all()

    def test_a_letterbox_keeps_shapes_where_stretching_bends_them(self, model):
        seen = {}
        for fit in ("stretch", "letterbox"):
            translator = load(model("invert"), fit=fit, size=(64, 64))
            circle = cv2.circle(np.zeros((100, 200, 3), np.uint8), (100, 50), 30, (255, 255, 255), -1)
            rows, columns = np.nonzero(translator.prepare(circle)[: 64 if fit == "stretch" else 32, :, 0] > 128)
            seen[fit] = np.ptp(columns) / np.ptp(rows)
        assert seen["letterbox"] == pytest.approx(1, abs=0.15)
        assert seen["stretch"] == pytest.approx(0.5, abs=0.1)

    def test_cropping_takes_the_middle(self, model):
        picture = np.zeros((32, 96, 3), np.uint8)
        picture[:, 24:72] = 255
        assert (load(model("identity"), fit="crop", size=(32, 48))(picture) == 255).all()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"fit": "letterbox"}, "the fit letterbox needs one, such as 256x256"),
            ({"fit": "crop", "size": (30, 30)}, "32x32 is the next"),
            ({"fit": "crop", "size": (32, 32), "scale": 0.5}, "go with the fit native"),
            ({"fit": "stretch", "size": (32, 32), "tile": 32}, "go with the fit native"),
            ({"scale": 1.5}, "lies between 0 and 1; 1.5 does not"),
            ({"scale": 0.0}, "lies between 0 and 1; 0 does not"),
            ({"tile": 30}, "32 is the next"),
            ({"size": (32, 32)}, "goes with the fits stretch, letterbox and crop"),
        ],
    )
    def test_what_does_not_go_together(self, options, message, model):
        with pytest.raises(UsageError) as refusal:
            load(model("invert"), **options)
        assert message in str(refusal.value)


class TestScale:
    @settings(deadline=None, max_examples=30)
    @given(height=sides, width=sides)
    def test_the_size_is_kept(self, height, width, scaled):
        picture = np.full((height, width, 3), (10, 200, 30), np.uint8)
        translated = scaled(picture).astype(int)
        assert np.abs(translated - (255 - picture.astype(int))).max() <= 1

    def test_it_comes_back_sharper_than_by_resizing(self, scaled, smooth):
        wanted = 255 - smooth
        height, width = smooth.shape[:2]
        guided = scaled(smooth)
        small = cv2.resize(smooth, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        resized = cv2.resize(255 - small, (width, height), interpolation=cv2.INTER_CUBIC)
        assert cv2.PSNR(guided, wanted) > cv2.PSNR(resized, wanted) + 6

    def test_the_model_sees_fewer_pixels(self, model, smooth):
        assert load(model("invert"), scale=0.25).prepare(smooth).shape == (32, 40, 3)

    def test_a_gray_model_is_guided_by_luma(self, model, smooth):
        translated = load(model("gray"), scale=0.5)(smooth)
        expected = 255 - cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY)
        assert np.abs(translated[..., 0].astype(int) - expected).mean() < 3

    def test_sixteen_bits_stay_sixteen(self):
        deep = np.linspace(0, 65535, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint16)
        small = cv2.resize(deep, (32, 32), interpolation=cv2.INTER_AREA)
        grown = upsample(65535 - small, small, deep)
        assert grown.dtype == np.uint16
        assert np.abs(grown.astype(int) - (65535 - deep.astype(int))).max() < 700


class TestTiles:
    @settings(deadline=None, max_examples=60)
    @given(height=st.integers(1, 150), width=st.integers(1, 150), tile=st.sampled_from([8, 16, 40, 64]))
    def test_a_translation_that_looks_at_one_pixel_has_no_seams(self, height, width, tile):
        picture = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
        seen = []

        def invert(batch):
            seen.append(batch.shape[1:3])
            return 255 - batch

        assert np.array_equal(translate_tiled(picture, invert, (tile, tile), 4), 255 - picture)
        assert set(seen) == {(min(tile, height), min(tile, width))}

    def test_tiles_that_differ_are_blended(self):
        numbers = iter(range(0, 256, 20))
        picture = np.zeros((16, 100, 3), np.uint8)

        def paint(batch):
            return np.full_like(batch, next(numbers))

        blended = translate_tiled(picture, paint, (16, 40), 4).astype(int)
        steps = np.abs(np.diff(blended[0, :, 0]))
        assert blended.max() >= 40
        assert steps.max() <= 4

    def test_one_channel_may_become_three(self):
        picture = np.zeros((20, 20, 1), np.uint8)
        tiled = translate_tiled(picture, lambda batch: np.repeat(batch + 7, 3, -1), (8, 8), 4)
        assert tiled.shape == (20, 20, 3)
        assert (tiled == 7).all()

    def test_large_pictures_through_small_tiles_with_the_warning(self, model, smooth, caplog):
        translator = load(model("invert"), tile=32)
        assert "instance normalisation gives each its own contrast" in caplog.text
        assert np.array_equal(translator(smooth), 255 - smooth)

    def test_a_pinned_model_takes_any_size_in_tiles_of_its_own(self, model, noise):
        with pytest.raises(UsageError, match="pinned to 32x48; its tiles can only be of that size"):
            load(model("pinned"), tile=32)
        for shape in ((70, 90, 3), (5, 100, 3), (32, 32, 3)):
            picture = noise(*shape)
            assert np.array_equal(load(model("pinned_square"), tile=32)(picture), 255 - picture)


class TestAlphaAndDepth:
    @pytest.mark.parametrize("options", [{}, {"fit": "stretch", "size": (16, 16)}, {"scale": 0.5}, {"tile": 16}])
    def test_alpha_passes_by(self, options, model, noise):
        picture = noise(30, 40, 4)
        translated = load(model("invert"), **options)(picture)
        assert translated.shape == picture.shape
        assert np.array_equal(translated[..., 3], picture[..., 3])

    def test_cropping_crops_it_too(self, model, noise):
        picture = noise(32, 64, 4)
        cropped = load(model("invert"), fit="crop", size=(32, 32))(picture)
        assert np.array_equal(cropped[..., 3], picture[:, 16:48, 3])

    def test_float_models_keep_sixteen_bits(self, model):
        deep = np.random.default_rng(0).integers(0, 65536, (17, 30, 4), dtype=np.uint16)
        translated = load(model("float"))(deep)
        assert translated.dtype == np.uint16
        assert np.array_equal(translated[..., :3], 65535 - deep[..., :3])
        assert np.array_equal(translated[..., 3], deep[..., 3])

    def test_others_are_given_eight(self, model):
        deep = np.full((9, 9, 4), (0, 65535, 257 * 100, 257 * 7), np.uint16)
        translated = load(model("invert"))(deep)
        assert translated.dtype == np.uint8
        assert translated[0, 0].tolist() == [255, 0, 155, 7]
