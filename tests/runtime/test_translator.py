"""Any picture in, one of the same size out; and which models can do that."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cyclegan_edge
from cyclegan_edge.runtime.errors import ArtefactError, BackendError, UsageError
from cyclegan_edge.runtime.translator import load

BACKENDS = ("openvino", "onnxruntime")


@pytest.fixture(scope="module", params=BACKENDS)
def identity(request, model):
    return load(model("identity"), backend=request.param)


@pytest.fixture(scope="module")
def stretching(model):
    return load(model("invert"), fit="stretch", size=(16, 40))


class TestAnySize:
    @settings(deadline=None, max_examples=60)
    @given(height=st.integers(1, 70), width=st.integers(1, 70), seed=st.integers(0, 9))
    def test_the_identity_gives_back_the_very_picture(self, identity, height, width, seed):
        picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        before = picture.copy()
        assert np.array_equal(identity(picture), before)
        assert np.array_equal(picture, before)

    @settings(deadline=None, max_examples=40)
    @given(height=st.integers(1, 70), width=st.integers(1, 70))
    def test_stretching_comes_back_to_the_size(self, stretching, height, width):
        picture = np.full((height, width, 3), (10, 200, 30), np.uint8)
        assert np.array_equal(stretching(picture), 255 - picture)


class TestModels:
    @pytest.mark.parametrize("backend", BACKENDS)
    @pytest.mark.parametrize("name", ["invert", "float", "foreign", "foreign_float", "foreign_half"])
    def test_models_that_invert(self, name, backend, model, noise):
        picture = noise(17, 30, 3)
        translator = load(model(name), backend=backend)
        difference = translator(picture).astype(int) - (255 - picture.astype(int))
        # half planes have 11 bits between -1 and 1, so a pixel may be off by one
        assert np.abs(difference).max() <= (1 if name == "foreign_half" else 0)

    def test_metadata_of_ours_and_none_of_others(self, model, metadata):
        assert load(model("invert")).metadata == metadata()
        assert load(model("foreign")).metadata is None

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_a_gray_model_sees_luma_and_gives_equal_channels(self, backend, model):
        picture = np.full((9, 9, 3), (255, 0, 0), np.uint8)
        assert (load(model("gray"), backend=backend)(picture) == 255 - 76).all()  # 0.299 · 255

    def test_a_gray_model_stretches_too(self, model):
        picture = np.full((9, 11, 3), 100, np.uint8)
        translated = load(model("gray"), fit="stretch", size=(16, 16))(picture)
        assert translated.shape == picture.shape
        assert (translated == 155).all()

    def test_three_channels_to_one(self, model, noise):
        picture = noise(8, 8, 3)
        expected = np.repeat(picture.max(-1, keepdims=True), 3, -1)
        assert np.array_equal(load(model("rgb_to_gray"))(picture), expected)

    @pytest.mark.parametrize("name", ["channels_5", "rank_3", "batch_2", "int32"])
    def test_models_that_are_no_image_translators(self, name, model):
        with pytest.raises(ArtefactError, match=rf"{name}.onnx is no image-to-image model .*takes image \w+ \["):
            load(model(name))

    @pytest.mark.parametrize("name", ["lying", "lying_size"])
    def test_metadata_that_contradicts_the_tensors(self, name, model):
        with pytest.raises(ArtefactError, match="is not what its metadata says"):
            load(model(name))

    def test_a_model_that_changes_the_size(self, model, noise):
        with pytest.raises(ArtefactError, match="gives 8x8 for 16x16; only models that keep the size"):
            load(model("halving"))(noise(16, 16, 3))

    def test_the_size_minimum_of_the_metadata_is_kept(self, model, noise):
        assert load(model("invert")).prepare(noise(1, 5, 3)).shape == (8, 8, 3)


class TestPinnedSize:
    def test_its_own_size(self, model, noise):
        picture = noise(32, 48, 3)
        assert np.array_equal(load(model("pinned"))(picture), 255 - picture)

    @pytest.mark.parametrize("name", ["pinned", "foreign_pinned"])
    def test_another_size_needs_stretching(self, name, model, noise):
        with pytest.raises(
            UsageError,
            match=r"translates 32x48 only and this picture is 48x32; .* another fit, such as stretch, or tiles",
        ):
            load(model(name))(noise(48, 32, 3))
        stretched = load(model(name), fit="stretch")(np.full((70, 20, 3), 100, np.uint8))
        assert stretched.shape == (70, 20, 3)
        assert (stretched == 155).all()

    def test_a_batch_through_a_model_of_one_picture(self, model, noise):
        pictures = noise(3, 32, 48, 3)
        assert np.array_equal(load(model("foreign_pinned")).translate_batch(pictures), 255 - pictures)


class TestFit:
    def test_stretching_is_needed_for_a_size(self, model):
        with pytest.raises(UsageError, match="goes with the fits stretch"):
            load(model("invert"), size=(64, 64))
        with pytest.raises(UsageError, match="needs one, such as 256x256"):
            load(model("invert"), fit="stretch")

    def test_a_size_that_the_model_cannot_take(self, model):
        with pytest.raises(UsageError, match=r"multiples of 4, from 8 on; 68x8"):
            load(model("invert"), fit="stretch", size=(66, 4))
        with pytest.raises(UsageError, match="is pinned to 32x48"):
            load(model("pinned"), fit="stretch", size=(64, 64))

    def test_an_unknown_fit(self, model):
        with pytest.raises(UsageError, match=r"no fit is called 'strech'; did you mean stretch\?"):
            load(model("invert"), fit="strech")

    def test_a_gradient_survives_being_stretched(self, model):
        ramp = np.tile(np.arange(0, 240, 4, dtype=np.uint8)[:, None, None], (1, 50, 3))
        stretched = load(model("identity"), fit="stretch", size=(32, 32))(ramp)
        assert np.abs(stretched.astype(int) - ramp).max() <= 8


class TestStagesAndBatches:
    def test_stages_make_up_the_call(self, model, noise):
        translator = load(model("invert"))
        pictures = [noise(17, 30, 3), 255 - noise(17, 30, 3)]
        translated = translator.infer(np.stack([translator.prepare(picture) for picture in pictures]))
        for picture, result in zip(pictures, translated, strict=True):
            assert np.array_equal(translator.finish(result, picture), translator(picture))

    def test_a_batch_equals_its_pictures_one_by_one(self, identity, noise):
        pictures = noise(4, 13, 21, 3)
        assert np.array_equal(identity.translate_batch(pictures), pictures)

    def test_the_result_belongs_to_the_caller(self, model, noise):
        translator = load(model("invert"))
        picture = noise(17, 30, 3)
        result = translator(picture)
        assert result.flags.c_contiguous
        result[:] = 0
        assert np.array_equal(translator(picture), 255 - picture)

    def test_closing(self, model, noise):
        with cyclegan_edge.load(str(model("invert"))) as translator:
            assert translator(noise(8, 8, 3)).shape == (8, 8, 3)
        with pytest.raises(BackendError, match="closed"):
            translator(noise(8, 8, 3))


class TestArraysThatAreNoPictures:
    @pytest.mark.parametrize(
        ("array", "error", "message"),
        [
            ([[1, 2, 3]], TypeError, "this is a list"),
            (np.zeros((8, 8, 3), np.float32), TypeError, "this array is float32, convert it"),
            (np.zeros((8, 8), np.uint8), ValueError, r"the shape \(8, 8\)"),
            (np.zeros((8, 8, 5), np.uint8), ValueError, r"the shape \(8, 8, 5\)"),
            (np.zeros((3, 8, 8), np.uint8), ValueError, r"the shape \(3, 8, 8\)"),
            (np.zeros((0, 8, 3), np.uint8), ValueError, r"the shape \(0, 8, 3\)"),
            (np.zeros((2, 8, 8, 3), np.uint8), ValueError, r"the shape \(2, 8, 8, 3\)"),
        ],
    )
    def test_one_picture(self, array, error, message, identity):
        with pytest.raises(error, match=message):
            identity(array)

    def test_a_batch(self, identity):
        with pytest.raises(ValueError, match=r"uint8 \[N, H, W, 3\] in RGB order; this is \(8, 8, 3\)"):
            identity.translate_batch(np.zeros((8, 8, 3), np.uint8))
