"""Pictures of several frames: animations are films, pages of a TIFF are all translated."""

import logging
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.sinks.animation import animation_sink
from cyclegan_edge.runtime.sources.animation import count_frames, open_animation, read_loops
from cyclegan_edge.runtime.sources.tiff import Tiff
from cyclegan_edge.runtime.video import open_video

LEVELS = (40, 100, 160, 220)
TIMES = (Fraction(0), Fraction(1, 10), Fraction(3, 10), Fraction(7, 20))


def levels(path: Path) -> list[int]:
    frames = list(open_animation(path) or ())
    return [round(frame.pixels[..., :3].mean()) for frame in frames]


@pytest.fixture
def animation(tmp_path):
    def write(name: str, alpha: bool = False, times=TIMES) -> Path:
        with animation_sink(tmp_path / name, Fraction(10)) as add:
            for level, time in zip(LEVELS, times, strict=True):
                pixels = np.full((24, 32, 3), level, np.uint8)
                if alpha:
                    pixels = np.dstack([pixels, np.full((24, 32), 200, np.uint8)])
                add(Frame(pixels, Path("a"), time=time, duration=Fraction(1, 4)))
        return tmp_path / name

    return write


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".avif", ".tif"])
def test_every_frame_goes_from_file_to_file(suffix, animation, translate, tmp_path):
    path = animation(f"a{suffix}")
    assert count_frames(path) == len(LEVELS)
    done = translate(path, tmp_path / f"out{suffix}")
    assert (done.code, done.summary["frames"], done.summary["translated"]) == (0, 4, 1)
    assert levels(tmp_path / f"out{suffix}") == pytest.approx([255 - level for level in LEVELS], abs=8)


@pytest.mark.parametrize("suffix", [".webp", ".png", ".gif"])
def test_its_times_are_kept(suffix, animation, translate, tmp_path):
    for target in (tmp_path / f"out{suffix}", tmp_path / "out.mp4"):
        assert translate(animation(f"a{suffix}"), target).code == 0
        source = open_video(target) if target.suffix == ".mp4" else open_animation(target)
        assert [frame.time for frame in source] == pytest.approx([float(time) for time in TIMES], abs=0.011)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("loops", [0, 1, 4])
def test_it_is_played_as_often_as_before(suffix, loops, translate, tmp_path):
    said = {} if suffix == ".gif" and loops == 1 else {"loop": loops - 1 if suffix == ".gif" and loops else loops}
    frames = [Image.new("RGB", (32, 24), (level,) * 3) for level in LEVELS]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], duration=100, **said)
    assert open_animation(tmp_path / f"a{suffix}").format.loops == loops
    assert translate(tmp_path / f"a{suffix}", tmp_path / f"b{suffix}").code == 0
    with Image.open(tmp_path / f"a{suffix}") as before, Image.open(tmp_path / f"b{suffix}") as after:
        assert before.info.get("loop") == after.info.get("loop")


@given(st.sampled_from([b"GIF89a", b"\x89PNG", b"RIFF0000WEBP"]), st.binary(max_size=60))
def test_any_bytes_give_a_number_of_loops(head, tail):
    assert read_loops(head + tail) >= 0
    assert read_loops(head + b"acTL" + tail) >= 0
    assert read_loops(head + b"ANIM" + tail) >= 0


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_its_alpha_is_kept(suffix, animation, translate, tmp_path):
    assert translate(animation(f"a{suffix}", alpha=True), tmp_path / f"out{suffix}").code == 0
    for frame in open_animation(tmp_path / f"out{suffix}"):
        assert (frame.pixels[..., 3] == 200).all()


@pytest.mark.parametrize("suffix", [".webp", ".png", ".tif"])
def test_its_profile_is_kept(suffix, translate, tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    frames = [Image.new("RGB", (32, 24), (level,) * 3) for level in LEVELS]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], icc_profile=profile)
    assert translate(tmp_path / f"a{suffix}", tmp_path / f"b{suffix}").code == 0
    assert levels(tmp_path / f"b{suffix}") == pytest.approx([255 - level for level in LEVELS], abs=4)
    assert [frame.profile for frame in open_animation(tmp_path / f"b{suffix}")] == [profile] * len(LEVELS)
    with Image.open(tmp_path / f"b{suffix}") as written:
        for number in range(len(LEVELS)):
            written.seek(number)
            assert written.info["icc_profile"] == profile


def test_pages_of_every_kind_are_kept(translate, tmp_path):
    ramp = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32)
    pages = [
        Image.fromarray(np.dstack([ramp, ramp]), "LA"),
        Image.fromarray(np.dstack([ramp] * 4), "RGBA"),
        Image.fromarray(ramp).resize((16, 20)),
    ]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert translate(tmp_path / "a.tif", tmp_path / "b.tif").code == 0
    first, second, third = (frame.pixels for frame in open_animation(tmp_path / "b.tif"))
    for page in (first, second):
        assert np.array_equal(page[..., 3], ramp)
        assert np.array_equal(page[..., 0], 255 - ramp)
    assert third.shape == (20, 16, 3)


def test_a_damaged_page_costs_itself_only(animation, translate, tmp_path):
    path = animation("a.tif")
    data = bytearray(path.read_bytes())
    tiff = Tiff(bytes(data))
    (place,) = [tag.place for tag in tiff._pages[1][1] if tag.number == 256]  # its width
    data[place : place + 4] = b"\0\0\0\0"
    path.write_bytes(data)
    done = translate(path, tmp_path / "b.tif")
    assert (done.code, done.summary["frames"], done.summary["failed"]) == (1, 3, 1)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_a_film_may_become_an_animation(suffix, translate, tmp_path):
    assert translate("test:bars?size=64x48&fps=10&frames=5", tmp_path / f"a{suffix}").code == 0
    assert count_frames(tmp_path / f"a{suffix}") == 5


def test_a_single_frame_is_a_picture(tmp_path):
    for suffix in (".gif", ".webp", ".png", ".tif", ".avif"):
        cv2.imwrite(str(tmp_path / f"a{suffix}"), np.full((24, 32, 3), 99, np.uint8))
        assert open_animation(tmp_path / f"a{suffix}") is None


def test_pages_do_not_become_a_film(animation, translate, tmp_path):
    done = translate(animation("a.tif"), tmp_path / "a.mp4")
    assert done.code == 2
    assert "cannot be written as" in done.said


def test_an_animation_in_a_folder_is_written_whole(animation, translate, tmp_path):
    for name in ("in/a.gif", "in/b.webp", "in/c.tif"):
        (tmp_path / "in").mkdir(exist_ok=True)
        animation(name)
    cv2.imwrite(str(tmp_path / "in/d.png"), np.full((24, 32, 3), 99, np.uint8))
    done = translate(tmp_path / "in", tmp_path / "out")
    assert (done.code, done.summary["translated"]) == (0, 4)
    for name in ("a.gif", "b.webp", "c.tif"):
        assert levels(tmp_path / "out" / name) == pytest.approx([255 - level for level in LEVELS], abs=8)
    again = translate(tmp_path / "in", tmp_path / "out")
    assert (again.code, again.summary["skipped"]) == (0, 4)


def test_a_format_of_one_frame_gets_the_first_and_says_so(animation, translate, tmp_path, caplog):
    (tmp_path / "in").mkdir()
    animation("in/a.webp")
    with caplog.at_level(logging.WARNING):
        done = translate(tmp_path / "in", tmp_path / "out", options=("--format", "jpg"))
    assert done.code == 0
    assert "a.webp holds 4 frames; the first is translated" in caplog.text
    assert abs(cv2.imread(str(tmp_path / "out/a.jpg")).mean() - (255 - LEVELS[0])) < 4


def test_an_animation_that_is_cut_short_is_told(animation, translate, tmp_path):
    path = animation("a.gif")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = translate(path, tmp_path / "out.gif")
    assert done.code in (1, 3)
    assert "Traceback" not in done.said
