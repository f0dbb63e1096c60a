import io
import warnings
from base64 import b64decode
from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin
from torchvision.transforms.v2 import functional as transforms

from cyclegan_edge.trainer.data.pictures import (
    TRAINING_SUFFIXES,
    UNREADABLE,
    Preparation,
    decode_picture,
    describe_file,
    looks_like_picture,
    read_pixels,
    read_rgb,
    resize,
)


def test_pictures_are_resized_bicubically_with_antialiasing_as_pil_does(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    expected = np.asarray(transforms.resize(Image.fromarray(pixels), [32, 32], transforms.InterpolationMode.BICUBIC))
    assert np.array_equal(decode_picture(path, 32), expected)


def test_exif_orientation_is_applied(tmp_path):
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:16] = 255
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to see it upright
    image.save(tmp_path / "a.png", exif=exif)
    upright = decode_picture(tmp_path / "a.png", 32)
    assert upright[:, 16:].min() == 255
    assert upright[:, :16].max() == 0


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    image = Image.new("I;16", (8, 8)) if mode == "I;16" else Image.new("RGB", (8, 8), "white").convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    assert decode_picture(path, 8).shape == (8, 8, 3)


def test_transparent_pixels_are_seen_on_white(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert decode_picture(tmp_path / "a.png", 8).min() == 255


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tif"])
def test_every_lossless_format_gives_the_same_pixels(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 3), dtype=np.uint8)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(pixels).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    assert np.array_equal(read_pixels(path, 3), pixels)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("in_file", [1, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_values_keep_their_precision(tmp_path, suffix, in_file, channels):
    values = np.random.default_rng(0).integers(0, 65536, (12, 8, in_file), dtype=np.uint16)
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), values[..., ::-1])
    rgb = np.repeat(values, 3, axis=-1) if in_file == 1 else values
    expected = rgb / 257 if channels == 3 else (rgb @ (0.299, 0.587, 0.114))[..., None] / 257
    pixels = read_pixels(path, channels)
    assert pixels.dtype == np.float32
    assert np.allclose(pixels, expected, atol=1e-4)


def test_a_transparent_16_bit_picture_is_seen_on_white(tmp_path):
    values = np.zeros((4, 4, 4), np.uint16)
    values[:2, :, 3] = 65535
    cv2.imwrite(str(tmp_path / "a.png"), values)
    pixels = read_pixels(tmp_path / "a.png", 3)
    assert pixels[:2].max() == 0
    assert pixels[2:].min() == 255


@given(st.integers(9, 40), st.integers(9, 40))
def test_16_bit_pictures_are_resized_as_their_8_bit_selves_and_stay_in_range(width, height):
    coarse = np.random.default_rng(0).integers(0, 2, (20, 30, 3), dtype=np.uint8)
    gentle = 100 + 50 * coarse  # PIL cuts what overshoots 8 bits after each of its two passes
    fine = resize(gentle.astype(np.float32), (width, height))
    assert np.abs(fine - resize(gentle, (width, height))).max() < 1.5
    harsh = resize(255 * coarse.astype(np.float32), (width, height))
    assert 0 <= harsh.min() <= harsh.max() <= 255


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint8, 1), (np.uint16, 257)])
def test_an_array_file_brings_any_number_of_channels(tmp_path, dtype, scale):
    values = np.random.default_rng(0).integers(0, 256, (6, 5, 7)).astype(dtype)
    np.save(tmp_path / "a.npy", values * dtype(scale))
    assert np.allclose(read_pixels(tmp_path / "a.npy", 7), values)


def test_four_channels_are_taken_as_they_lie(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (6, 5, 4), dtype=np.uint8)
    Image.fromarray(values, "RGBA").save(tmp_path / "a.png")
    assert np.array_equal(read_pixels(tmp_path / "a.png", 4), values)


def test_what_cannot_be_used_says_why(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 4, 2), np.float64))
    with pytest.raises(ValueError, match="its values are float64, neither uint8 nor uint16"):
        read_pixels(tmp_path / "a.npy", 2)
    with pytest.raises(ValueError, match=r"its shape is \(4, 4, 2\), not \[H, W, 5\]"):
        read_pixels(tmp_path / "a.npy", 5)
    Image.new("F", (4, 4)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match="32 bits a value"):
        read_pixels(tmp_path / "a.tif", 3)
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"its shape is \(4, 4, 3\), not \[H, W, 5\]"):
        read_pixels(tmp_path / "a.png", 5)


@pytest.mark.parametrize(
    ("preprocess", "expected"),
    [
        ("resize_and_crop", (40, 40)),
        ("crop", (101, 50)),
        ("scale_width", (40, 32)),
        ("scale_width_and_crop", (40, 32)),
        ("none", (100, 48)),
    ],
)
def test_sizes_follow_the_official_modes(preprocess, expected):
    assert Preparation(3, preprocess, 40, 32, multiple=4).target_size((101, 50)) == expected


@given(
    st.sampled_from(["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"]),
    st.integers(1, 70),
    st.integers(1, 70),
)
def test_a_held_out_picture_always_has_the_size_of_the_crop(tmp_path_factory, preprocess, width, height):
    path = tmp_path_factory.mktemp("held") / "a.png"
    Image.new("RGB", (width, height)).save(path)
    assert Preparation(3, preprocess, 36, 32, 4, held_out=True)(path).shape == (32, 32, 3)


def test_the_middle_of_a_held_out_picture_is_kept(tmp_path):
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:, 16:48] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert Preparation(3, "none", 36, 32, 4, held_out=True)(tmp_path / "a.png").min() == 255


@pytest.mark.parametrize("suffix", [".gif", ".jfif", ".jpe", ".avif"])
def test_kinds_that_pillow_reads_are_trained_on(tmp_path, suffix):
    assert suffix in TRAINING_SUFFIXES
    Image.new("RGB", (16, 12), (255, 0, 0)).save(tmp_path / f"a{suffix}")
    assert np.abs(read_pixels(tmp_path / f"a{suffix}", 3).astype(int) - (255, 0, 0)).max() <= 3


# 16x12 pixels, the left half red and the right half blue; made with pillow-heif, which can write what pi-heif reads.
HEIC = (
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAXxtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9jAA"
    "AAAERAAAEAAQAAAAABoAABAAAAAAAAAKQAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA/GlwcnAA"
    "AADcaXBjbwAAAHVodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQApQgEBA3AAAAMAkA"
    "AAAwAAAwAeoCCBBZbqrprm4CGgwIAAAAyAAAADAIRiAAEABkQBwXPBiQAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAA"
    "AChjbGFwAAAAEAAAAAEAAAAMAAAAAf///9AAAAAC////zAAAAAIAAAAQcGl4aQAAAAADCAgIAAAAGGlwbWEAAAAAAAAAAQABBYECAwWEAAAArG"
    "1kYXQAAACgKAGvBjIa+WCA8QxQXL2+IO//+0X9D6zRf5v0a/ffUM3/8eZLrQc4hmKX/8ulIkhuJI6PKmvrGH6ApjuLBDH1qyUq00qFiOxG7+th"
    "k6+RA42ZzqlH2Kg3LsCHoCQQ8oCsLsIdVfaNzpi1newf+DxPLcLssDurS6d2vvn1Rvh/OqSd4cWiZRZyMrv/43D/U3UYarKtDIcL/HdBYlw7oq"
    "jiEA=="
)


def test_heic_is_trained_on_where_the_plug_in_is_installed(tmp_path):
    assert {".heic", ".heif"} <= TRAINING_SUFFIXES
    (tmp_path / "IMG_1.HEIC").write_bytes(b64decode(HEIC))
    pixels = read_pixels(tmp_path / "IMG_1.HEIC", 3)
    assert pixels.shape == (12, 16, 3)
    assert np.abs(pixels[0, [0, -1]].astype(int) - [(255, 0, 0), (0, 0, 255)]).max() <= 3


def test_the_first_frame_of_an_animation_is_taken(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_pixels(tmp_path / "a.gif", 3)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("suffix", [".png", ".npy"])
@pytest.mark.parametrize("white", [1023, 4095, 65535])
def test_the_white_of_16_bit_files_becomes_255_and_what_is_brighter_is_cut(tmp_path, suffix, white):
    values = np.array([[0, white // 2, white, min(white + 1000, 65535)]], np.uint16)[..., None].repeat(3, axis=-1)
    if suffix == ".npy":
        np.save(tmp_path / "a.npy", values)
    else:
        cv2.imwrite(str(tmp_path / "a.png"), values)
    pixels = read_pixels(tmp_path / f"a{suffix}", 3, white)
    assert np.allclose(pixels[0, :, 0], [0, 255 * (white // 2) / white, 255, 255])
    assert np.array_equal(Preparation(3, "crop", 8, 8, white=white)(tmp_path / f"a{suffix}"), pixels)


def test_white_says_nothing_of_8_bit_files(tmp_path):
    Image.new("RGB", (4, 4), (9, 8, 7)).save(tmp_path / "a.png")
    assert read_pixels(tmp_path / "a.png", 3, 4095)[0, 0].tolist() == [9, 8, 7]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.heic", True), ("a.JXL", True), ("a.psd", True), ("notes.txt", False), ("picture", True), ("README", False)],
)
def test_a_file_that_is_not_taken_may_still_look_like_a_picture(tmp_path, name, expected):
    (tmp_path / name).write_text("some words")
    if name == "picture":
        Image.new("RGB", (4, 4)).save(tmp_path / name, format="JPEG")
    assert looks_like_picture(tmp_path / name) is expected


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize(
    ("preprocess", "held_out"), [("resize_and_crop", False), ("scale_width_and_crop", False), ("scale_width", True)]
)
def test_a_large_jpeg_is_decoded_at_a_reduced_scale_with_nearly_the_same_pixels(
    tmp_path, monkeypatch, orientation, preprocess, held_out
):
    coarse = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    large = Image.fromarray(coarse).resize((1030, 710), Image.Resampling.BICUBIC)
    exif = large.getexif()
    exif[0x0112] = orientation
    large.save(tmp_path / "a.jpg", quality=95, exif=exif)
    prepare = Preparation(3, preprocess, 100, 64, 4, held_out)
    sizes = []
    real = Image.Image.convert
    monkeypatch.setattr(Image.Image, "convert", lambda self, *mode: sizes.append(self.size) or real(self, *mode))
    reduced = prepare(tmp_path / "a.jpg")
    assert max(sizes[0]) <= 1030 / 2
    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "draft", lambda self, mode, size: None)
    whole = prepare(tmp_path / "a.jpg")
    assert max(sizes[-1]) == 1030
    assert reduced.shape == whole.shape
    assert np.abs(reduced.astype(float) - whole).mean() < 1


def test_a_jpeg_of_less_than_four_times_its_size_is_decoded_in_full(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (390, 390, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    expected = resize(read_pixels(tmp_path / "a.jpg", 3), (100, 100))
    assert np.array_equal(Preparation(3, "resize_and_crop", 100, 64)(tmp_path / "a.jpg"), expected)


def encoded(suffix: str) -> bytes:
    """Return a whole file of a kind; of arrays an archive too, which NumPy takes for one."""
    pixels = np.arange(24 * 20 * 3, dtype=np.uint8).reshape(24, 20, 3)
    buffer = io.BytesIO()
    if suffix == ".npy":
        np.save(buffer, pixels)
    elif suffix == ".npz.npy":
        np.savez(buffer, pixels=pixels)
    else:
        Image.fromarray(pixels).save(buffer, Image.registered_extensions()[suffix])
    return buffer.getvalue()


KINDS = {suffix: encoded(suffix) for suffix in sorted(TRAINING_SUFFIXES - {".heic", ".heif"} | {".npz.npy"})}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(sorted(KINDS)),
    length=st.floats(0, 1),
    changes=st.dictionaries(st.integers(0, 400), st.integers(0, 255), max_size=8),
)
@example(".npy", 0.0, {})
@example(".npz.npy", 1.0, {})
@example(".npy", 1.0, {62: 57, 63: 57, 64: 57})  # a header that asks for more than there is
def test_a_damaged_file_of_any_kind_is_unreadable_and_nothing_worse(tmp_path, kind, length, changes):
    content = bytearray(KINDS[kind][: round(length * len(KINDS[kind]))])
    for place, value in changes.items():
        if place < len(content):
            content[place] = value
    path = tmp_path / f"damaged{kind}"
    path.write_bytes(content)
    for read in (Preparation(3, "resize_and_crop", 20, 16), Preparation(4, "crop", 16, 16), describe_file, read_rgb):
        with warnings.catch_warnings(), suppress(*UNREADABLE):
            warnings.simplefilter("ignore")
            read(path)
