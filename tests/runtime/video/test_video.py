"""Video files: every frame, in order, at the size and rate it had."""

import logging
from fractions import Fraction

import cv2
import numpy as np
import pytest

from cyclegan_edge.runtime import files, video
from cyclegan_edge.runtime.errors import CycleganError, InputError, OutputError
from cyclegan_edge.runtime.frame import Frame, LostFramesError
from cyclegan_edge.runtime.video import CONTAINERS, Encoding, open_video, video_sink
from cyclegan_edge.runtime.video.opencv import CODECS

COUNT = 12


def frames(count: int = COUNT, height: int = 32, width: int = 48) -> list[np.ndarray]:
    """Flat frames whose colour tells their number; red falls, green rises, blue is still."""
    return [np.full((height, width, 3), (240 - 18 * i, 18 * i, 60), np.uint8) for i in range(count)]


@pytest.fixture(params=["pyav", "opencv"], autouse=True)
def library(request, monkeypatch):
    monkeypatch.setattr(video, "has_pyav", lambda: request.param == "pyav")
    return request.param


@pytest.fixture
def write(tmp_path):
    def write_video(name: str, pictures: list[np.ndarray], fps: float = 29.97):
        path = tmp_path / name
        with video_sink(path, fps) as add:
            for picture in pictures:
                add(Frame(picture, path))
        return path

    return write_video


@pytest.mark.parametrize("suffix", sorted(CONTAINERS))
def test_count_size_rate_order_and_colours_are_kept(suffix, write):
    path = write(f"a{suffix}", frames())
    source = open_video(path)
    assert source.total == COUNT
    assert float(source.format.rate) == pytest.approx(29.97, abs=0.001)
    read = [frame.pixels for frame in source]
    assert len(read) == COUNT
    for before, after in zip(frames(), read, strict=True):
        assert after.shape == before.shape
        assert np.abs(after.astype(int) - before).mean() < 6
    assert [path.name] == [file.name for file in path.parent.iterdir()]


def test_an_odd_side_is_repeated_and_said(write, caplog):
    path = write("a.mp4", frames(height=17, width=33))
    assert "becomes 18x34" in caplog.text
    assert {frame.pixels.shape for frame in open_video(path)} == {(18, 34, 3)}


def test_a_name_in_any_script_and_with_a_colon(write):
    assert open_video(write("мой: 写真 50%.mp4", frames())).total == COUNT


def test_a_frame_of_another_size(write, tmp_path, partial_of):
    with pytest.raises(InputError, match="changes its size at frame 12"):
        write("a.mp4", [*frames(), np.zeros((64, 64, 3), np.uint8)])
    assert list(tmp_path.iterdir()) == [partial_of(tmp_path / "a.mp4")]


@pytest.mark.parametrize("crash", [KeyboardInterrupt, ValueError])
def test_a_crash_leaves_the_old_file_and_what_can_be_played(crash, write, tmp_path, partial_of):
    def breaking():
        yield from frames()
        raise crash

    path = write("a.mp4", frames())
    old = path.read_bytes()
    with pytest.raises(crash):
        write("a.mp4", breaking())
    assert path.read_bytes() == old
    assert sorted(tmp_path.iterdir()) == [path, partial_of(tmp_path / "a.mp4")]
    assert len(list(open_video(partial_of(tmp_path / "a.mp4")))) == COUNT


def test_a_video_that_was_ended_before_its_first_frame_leaves_nothing(write, tmp_path):
    write("a.mp4", [])
    assert list(tmp_path.iterdir()) == []


def test_two_runs_do_not_write_one_file(write, tmp_path):
    with video_sink(tmp_path / "a.mp4", 25) as add:
        add(Frame(frames()[0], tmp_path))
        with pytest.raises(
            OutputError, match=r"another run is writing .*a\.partial-[0-9a-f]{8}\.mp4; wait for its end"
        ):
            write("a.mp4", frames())
    assert open_video(tmp_path / "a.mp4").total == 1
    write("a.mp4", frames())


@pytest.mark.parametrize("name", ["a.partial.mp4", "a.partial-0123abcd.mp4"])
def test_a_file_of_somebody_else_is_never_the_working_file(name, write, tmp_path):
    stranger = write(name, frames())
    precious = stranger.read_bytes()
    write("a.mp4", frames())
    with pytest.raises(KeyboardInterrupt), video_sink(tmp_path / "a.mp4", 25):
        raise KeyboardInterrupt
    assert stranger.read_bytes() == precious
    assert {path.name for path in tmp_path.iterdir()} == {name, "a.mp4"}


def test_an_input_may_have_any_name_beside_the_output(write, tmp_path):
    """Read `a.partial.mp4` while `a.mp4` is written: nothing of the input is lost."""
    write("a.partial.mp4", frames())
    with video_sink(tmp_path / "a.mp4", 25) as add:
        for frame in open_video(tmp_path / "a.partial.mp4"):
            add(frame)
    assert [open_video(path).total for path in sorted(tmp_path.iterdir())] == [COUNT, COUNT]


def test_a_link_under_a_working_name_is_not_followed(write, tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    tokens = iter(["0" * 8, "1" * 8, "2" * 16])
    monkeypatch.setattr(files.secrets, "token_hex", lambda length: next(tokens))
    (tmp_path / f"a.partial-{'0' * 8}.mp4").symlink_to(victim)
    write("a.mp4", frames())
    assert victim.read_text() == "precious"
    assert open_video(tmp_path / "a.mp4").total == COUNT


@pytest.mark.parametrize("name", ["a" * 251 + ".mp4", "я" * 125 + ".mp4"])
def test_a_name_as_long_as_the_file_system_allows(name, write, tmp_path):
    assert open_video(write(name, frames())).total == COUNT
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("measured", "message"),
    [((COUNT - 1, Fraction(1)), f"holds {COUNT - 1} of {COUNT} frames"), ((COUNT, Fraction(9)), "s off its source's")],
)
def test_what_is_not_all_in_the_file_at_its_time_is_an_error(
    measured, message, library, write, monkeypatch, tmp_path, partial_of
):
    if library == "opencv":
        pytest.skip("knows no times; a file that lacks frames is a full disk's")
    monkeypatch.setattr("cyclegan_edge.runtime.video.encode._measure", lambda path: measured)
    with pytest.raises(CycleganError, match=message) as error:
        write("a.mp4", frames())
    assert error.value.exit_code == 1
    assert list(tmp_path.iterdir()) == [partial_of(tmp_path / "a.mp4")]


def test_an_encoder_that_does_not_open(library, tmp_path, monkeypatch):
    monkeypatch.setitem(CODECS, ".mp4", "????")
    encoding = Encoding(codec="png")  # not in an MP4 that anybody plays, and not in WebM
    message = "OpenCV cannot encode 48x32 video" if library == "opencv" else "FFmpeg cannot encode 48x32 video"
    path = tmp_path / ("a.mp4" if library == "opencv" else "a.webm")
    with pytest.raises(OutputError, match=message), video_sink(path, 25, encoding=encoding) as add:
        add(Frame(frames()[0], path))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(write, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"cannot write .*file/a\.mp4"):
        write("file/a.mp4", frames())


def test_a_video_that_ends_early_is_said(write, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (COUNT, 32, 48, 3), dtype=np.uint8)
    whole = write("whole.mkv", list(noise)).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: int(len(whole) * 0.6)])
    *read, lost = open_video(tmp_path / "cut.mkv")
    assert 0 < len(read) < COUNT
    assert isinstance(lost, LostFramesError)
    assert len(read) + lost.frames == COUNT


def test_a_video_without_one_frame(write, tmp_path):
    whole = write("whole.webm", frames()).read_bytes()
    header = whole[: whole.index(b"\x1f\x43\xb6\x75")]  # up to the first Cluster of a Matroska file
    (tmp_path / "empty.webm").write_bytes(header)
    with pytest.raises(InputError, match=r"empty\.webm (holds no frame|is damaged)"):
        list(open_video(tmp_path / "empty.webm"))


@pytest.mark.parametrize("content", [b"", b"not a video", bytes(5000)])
def test_what_is_no_video(content, tmp_path):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(InputError, match="is damaged or no video"):
        open_video(tmp_path / "a.mp4")


def test_an_unknown_rate_is_said(library, write, monkeypatch, caplog):
    if library == "pyav":
        pytest.skip("FFmpeg's own guess is taken")
    path = write("a.mp4", frames())
    monkeypatch.setattr(cv2, "VideoCapture", _without_rate(cv2.VideoCapture))
    caplog.set_level(logging.WARNING)
    assert open_video(path).format.rate == 25
    assert "does not say its frame rate" in caplog.text


def _without_rate(capture):
    class Capture:
        def __init__(self, path):
            self.real = capture(path)

        def get(self, key):
            return float("nan") if key == cv2.CAP_PROP_FPS else self.real.get(key)

        def isOpened(self):
            return self.real.isOpened()

    return Capture
