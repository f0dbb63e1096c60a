"""HEIC pictures, made with pillow-heif, which writes what pi-heif reads: four quarters, 16 rows and 32 columns."""

import logging
import shutil
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from cyclegan_edge.runtime.errors import InputError
from cyclegan_edge.runtime.sources import heif, read_whole
from cyclegan_edge.runtime.sources.picture_file import decode_picture

HEIC = Path(__file__).parent / "heic"
RED, GREEN, BLUE, GRAY = (220, 30, 30), (30, 220, 30), (30, 30, 220), (200, 200, 200)


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("turned", "alpha", "deep"):
        (tmp_path / "in").mkdir(exist_ok=True)
        shutil.copy(HEIC / f"{name}.heic", tmp_path / "in")
    (tmp_path / "in/turned.heic").rename(tmp_path / "in/IMG_1.HEIC")
    return tmp_path / "in"


def corners(pixels: np.ndarray) -> list[np.ndarray]:
    return [pixels[y, x, :3].astype(int) for y in (2, -3) for x in (2, -3)]


def assert_corners(pixels: np.ndarray, *colours: tuple[int, int, int]) -> None:
    assert max(np.abs(one - colour).max() for one, colour in zip(corners(pixels), colours, strict=True)) <= 4


class TestPixels:
    def test_it_is_turned_upright_once(self):
        pixels, _ = read_whole(HEIC / "turned.heic")
        assert pixels.shape == (32, 16, 3)
        assert_corners(pixels, BLUE, RED, GRAY, GREEN)

    def test_alpha_is_kept(self):
        pixels, _ = read_whole(HEIC / "alpha.heic")
        assert_corners(pixels, RED, GREEN, BLUE, GRAY)
        assert pixels[0, 4::8, 3].tolist() == [0, 80, 160, 255]

    def test_ten_bits_reach_from_black_to_white(self):
        pixels, _ = read_whole(HEIC / "deep.heic")
        assert pixels.dtype == np.uint16
        assert np.abs(pixels[8, :, 0] - np.linspace(0, 65535, 32)).max() <= 65535 / 1023

    def test_gray_is_gray(self):
        pixels, _ = read_whole(HEIC / "gray.heic")
        assert np.abs(pixels.astype(int) - 120).max() <= 2

    def test_its_profile_is_kept(self):
        pixels, profile = read_whole(HEIC / "profile.heic")
        assert profile is not None
        assert profile[16:20] == b"RGB "
        assert_corners(pixels, RED, GREEN, BLUE, GRAY)

    @pytest.mark.parametrize(("mode", "stored", "expected"), [
        ("RGBa", [[[64, 32, 16, 128]]], [[[128, 64, 32, 128]]]),
        ("RGBa", [[[0, 0, 0, 0]]], [[[0, 0, 0, 0]]]),
        ("LA", [[[7, 9]]], [[[7, 7, 7, 9]]]),
        ("I;12", [[4095]], [[[65535] * 3]]),
    ])  # fmt: skip
    def test_every_mode_becomes_rgb(self, mode, stored, expected):
        values = np.array(stored, np.uint16 if ";" in mode else np.uint8)
        assert np.abs(heif._to_rgb(values, mode).astype(int) - expected).max() <= 1

    def test_of_several_pictures_the_main_one_is_read(self, caplog):
        assert_corners(read_whole(HEIC / "two.heic")[0], RED, GREEN, BLUE, GRAY)
        assert "holds 2 pictures; the main one is read" in caplog.text

    @pytest.mark.parametrize("name", ["turned", "alpha", "deep", "profile", "two"])
    def test_a_damaged_one_is_one_of_our_sentences(self, name):
        data = bytearray((HEIC / f"{name}.heic").read_bytes())
        noise = np.random.default_rng(0)
        for _ in range(60):
            broken = data.copy()
            for place in noise.integers(12, len(data), 4):
                broken[place] = noise.integers(256)
            for content in (bytes(broken), bytes(data[: noise.integers(12, len(data))])):
                with suppress(InputError):
                    assert decode_picture(content, "a.heic").pixels.ndim == 3

    def test_an_item_whose_name_is_no_text_is_damage(self):  # and would end the process
        data = (HEIC / "turned.heic").read_bytes().replace(b"Exif\0\0\0\0\x0epitm", b"Ex\x85f\0\0\0\0\x0epitm")
        with pytest.raises(InputError, match=r"a\.heic is damaged or no picture"):
            decode_picture(data, "a.heic")


def test_heic_is_translated_and_becomes_png(folder, translate, tmp_path):
    done = translate(folder, tmp_path / "out")
    assert (done.code, done.summary["translated"]) == (0, 3)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.*")) == [
        ".cyclegan-manifest.jsonl", "IMG_1.png", "alpha.png", "deep.png",
    ]  # fmt: skip
    turned = cv2.imread(str(tmp_path / "out/IMG_1.png"))[..., ::-1]
    assert_corners(255 - turned, BLUE, RED, GRAY, GREEN)
    alpha = cv2.imread(str(tmp_path / "out/alpha.png"), cv2.IMREAD_UNCHANGED)
    assert alpha[0, 4::8, 3].tolist() == [0, 80, 160, 255]
    again = translate(folder, tmp_path / "out")
    assert (again.code, again.summary["skipped"]) == (0, 3)


@pytest.mark.parametrize(
    ("target", "written"), [("out.jpg", "out.jpg"), ("there", "there/alpha.png"), ("new", "new/alpha.png")]
)
def test_one_heic_goes_where_it_is_told_to(target, written, folder, translate, tmp_path):
    (tmp_path / "there").mkdir()
    assert translate(folder / "alpha.heic", tmp_path / target).code == 0
    assert cv2.imread(str(tmp_path / written)).shape == (16, 32, 3)
    assert translate(f"{folder}/*.heic", tmp_path / "all").code == 0
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["alpha.png", "deep.png"]


def test_heic_is_not_written(folder, translate, tmp_path):
    done = translate(folder / "alpha.heic", tmp_path / "out.heic")
    assert done.code == 2
    assert "cannot be written as" in done.said


def test_heic_without_its_extra_is_counted_with_what_to_do(folder, translate, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(heif, "has_heif", lambda: False)
    cv2.imwrite(str(folder / "a.png"), np.full((8, 8, 3), 9, np.uint8))
    with caplog.at_level(logging.WARNING):
        done = translate(folder, tmp_path / "out")
    assert (done.code, done.summary["translated"]) == (0, 1)
    assert "3 files of other kinds (.heic 3: " in caplog.text
    assert 'HEIC is read after: pip install "cyclegan-edge[heif]"' in caplog.text
    one = translate(folder / "alpha.heic", tmp_path / "b.png")
    assert one.code == 3
    assert 'is a HEIC picture, which needs pi-heif; install it with: pip install "cyclegan-edge[heif]"' in one.said
