"""What a film holds beside pictures and sound: chapters, tags, attached files; and where its index is."""

import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from cyclegan_edge.runtime.contract import to_8_bits
from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.video import open_video, video_sink
from cyclegan_edge.runtime.video.web_start import move_index_first

CHAPTERS = [
    {"id": 1, "start": 0, "end": 400, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}},
    {"id": 2, "start": 400, "end": 1000, "time_base": Fraction(1, 1000), "metadata": {"title": "Zwei – größer"}},
]


@pytest.fixture
def rich(tmp_path) -> Path:
    """A film with everything."""
    with av.open(str(tmp_path / "rich.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.metadata.update(title="A film", artist="Somebody")
        container.set_chapters(CHAPTERS)
        container.add_attachment("font.ttf", "font/ttf", b"a font")
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * number, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return tmp_path / "rich.mkv"


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".webm"])
def test_tags_and_chapters_are_kept(suffix, rich, copy, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        target = copy(rich, tmp_path / f"out{suffix}")
    with av.open(str(target)) as container:
        tags = {key.lower(): value for key, value in container.metadata.items()}
        assert tags["title"] == "A film"
        chapters = [
            (round(float(part["start"] * part["time_base"]), 2), part["metadata"].get("title"))
            for part in container.chapters()
        ]
        assert chapters == [(0.0, "One"), (0.4, "Zwei – größer")]
    assert ("1 attached files are not copied" in caplog.text) == (suffix != ".mkv")


def test_attached_files_are_kept_in_matroska(rich, copy, tmp_path):
    with av.open(str(copy(rich, tmp_path / "out.mkv"))) as container:
        (attached,) = [stream for stream in container.streams if stream.type == "attachment"]
        assert (attached.name, attached.data) == ("font.ttf", b"a font")


def test_what_a_container_cannot_hold_is_told(rich, copy, tmp_path, caplog):
    copy(rich, tmp_path / "out.avi")
    assert "2 chapters, 1 attached files are not copied into avi" in caplog.text


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".m4v"])
def test_the_index_comes_first_in_a_whole_file(suffix, with_sound, copy, tmp_path):
    source = with_sound(tmp_path / "a.mkv")
    target = copy(source, tmp_path / f"out{suffix}")
    data = target.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    assert len(list(open_video(target))) == 25
    with av.open(str(target)) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) >= 47_000
    assert not move_index_first(target)


@pytest.mark.parametrize(
    "data", [b"", b"x" * 100, b"\0\0\0\x08moov" * 3, b"\0\0\0\x10mdat12345678\0\0\0\x10moovabcdefgh"]
)
def test_what_is_no_index_is_left_as_it_is(data, tmp_path):
    (tmp_path / "a.mp4").write_bytes(data)
    move_index_first(tmp_path / "a.mp4")
    assert sorted((tmp_path / "a.mp4").read_bytes()) == sorted(data)


@pytest.mark.parametrize(("suffix", "tolerance"), [(".webm", 6), (".mov", 2)])
def test_alpha_goes_from_film_to_film(suffix, tolerance, copy, tmp_path, caplog):
    pixels = np.full((48, 64, 4), 120, np.uint8)
    pixels[..., 3] = np.repeat(np.array([0, 80, 160, 255], np.uint8), 16)
    with video_sink(tmp_path / f"a{suffix}", 25) as write:
        for number in range(5):
            write(Frame(pixels, Path("a"), time=Fraction(number, 25)))
    assert "alpha" not in caplog.text
    for path in (tmp_path / f"a{suffix}", copy(tmp_path / f"a{suffix}", tmp_path / f"b{suffix}")):
        frames = [frame.pixels for frame in open_video(path)]
        assert len(frames) == 5
        assert np.abs(to_8_bits(frames[2])[:, 4::16, 3].astype(int) - pixels[:, 4::16, 3]).max() <= tolerance
        assert frames[2][0, -1, 3] == np.iinfo(frames[2].dtype).max  # what is opaque stays so


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_alpha_that_a_container_does_not_hold_is_laid_on_white_and_told(suffix, tmp_path, caplog):
    with video_sink(tmp_path / f"a{suffix}", 25) as write:
        write(Frame(np.full((48, 64, 4), (0, 0, 0, 51), np.uint8), Path("a")))
    assert "holds no alpha: frames are laid on white" in caplog.text
    (frame,) = open_video(tmp_path / f"a{suffix}")
    assert np.abs(frame.pixels.astype(int) - 204).max() <= 3


def test_deep_pictures_become_a_film(tmp_path):
    with video_sink(tmp_path / "a.mp4", 25) as write:
        write(Frame(np.full((48, 64, 3), 200 * 257, np.uint16), Path("a")))
    (frame,) = open_video(tmp_path / "a.mp4")
    assert np.abs(frame.pixels.astype(int) - 200).max() <= 3


@pytest.fixture
def deep(tmp_path) -> Path:
    """A film of 10 bits: a ramp of 1024 levels, of which 8 bits hold a quarter."""
    ramp = np.linspace(0, 65535, 1024).astype(np.uint16)[None, :, None].repeat(32, 0).repeat(3, 2)
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("libx265", rate=25, options={"x265-params": "lossless=1"})
        stream.width, stream.height, stream.pix_fmt = 1024, 32, "yuv420p10le"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(ramp), format="rgb48le")))
        container.mux(stream.encode())
    return tmp_path / "a.mkv"


def levels_of(path: Path) -> int:
    """How many different levels of gray the first frame has."""
    return len(np.unique(next(iter(open_video(path))).pixels[16, :, 1]))


@pytest.mark.parametrize(("name", "codec"), [("b.mp4", "h265"), ("b.mkv", "av1"), ("b.webm", "av1")])
def test_ten_bits_are_kept_by_codecs_that_hold_them(name, codec, deep, copy, tmp_path, caplog):
    assert next(iter(open_video(deep))).pixels.dtype == np.uint16
    assert levels_of(deep) > 800
    assert levels_of(copy(deep, tmp_path / name, codec=codec)) > 400
    assert "bits a channel" not in caplog.text


def test_ten_bits_are_told(deep, copy, translate, tmp_path, caplog):
    assert levels_of(copy(deep, tmp_path / "b.mp4")) <= 256
    assert "b.mp4 gets 8 of its frames' 10 bits a channel: h265 and av1 keep 10" in caplog.text
    caplog.clear()
    assert translate(deep, tmp_path / "c.mp4").code == 0
    assert caplog.text.count("takes 8 bits a channel, so what has more is translated and written in 8") == 1
