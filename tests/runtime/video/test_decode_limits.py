"""Limits of decoding: no frame above them, no further files opened, no fault of ours whatever the stream turns into."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from cyclegan_edge.runtime.errors import InputError
from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.video import open_video
from cyclegan_edge.runtime.video.decode_limits import DecodeLimits
from cyclegan_edge.runtime.video.opencv import OpenCvVideo

LIMITS = DecodeLimits(max_pixels=200 * 200)
LISTS = ["ffconcat version 1.0\nfile clip.mp4\n", "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\nclip.mp4\n"]


def jpegs(path: Path, *sides: int) -> Path:
    """Write a Motion JPEG video whose frames have these sides, whatever its header says."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=25)
        stream.width = stream.height = sides[0]
        stream.pix_fmt = "yuvj420p"
        for number, side in enumerate(sides):
            packet = av.Packet(cv2.imencode(".jpg", np.full((side, side, 3), 99, np.uint8))[1].tobytes())
            packet.stream, packet.pts, packet.dts = stream, number, number
            packet.time_base, packet.is_keyframe = Fraction(1, 25), True
            out.mux(packet)
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mov"])
def test_a_video_that_grows_above_the_limit_gives_no_large_frame(tmp_path, suffix: str) -> None:
    items = list(open_video(jpegs(tmp_path / f"grows{suffix}", 64, 64, 400, 64, 300), LIMITS))
    frames = [item for item in items if isinstance(item, Frame)]
    errors = [str(item) for item in items if isinstance(item, InputError)]
    assert {frame.pixels.shape for frame in frames} == {(64, 64, 3)}
    assert len(frames) == 3
    assert any("larger than 40000 pixels" in error for error in errors)


def test_a_video_that_is_large_from_its_start_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="no frame"):
        list(open_video(jpegs(tmp_path / "large.mkv", 400, 400), LIMITS))


@pytest.mark.parametrize("text", LISTS)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("opened", [open_video, OpenCvVideo])
def test_a_video_that_names_other_files_is_refused(tmp_path, text: str, suffix: str, opened) -> None:
    jpegs(tmp_path / "clip.mp4", 64, 64)
    (tmp_path / f"list{suffix}").write_text(text)
    with pytest.raises(InputError, match=r"list of other files|damaged"):
        list(opened(tmp_path / f"list{suffix}"))


def test_a_codec_that_is_not_listed_is_not_decoded(tmp_path) -> None:
    with pytest.raises(InputError):
        list(open_video(jpegs(tmp_path / "a.mkv", 64), DecodeLimits(decoders="h264")))


def test_a_stream_that_appears_in_the_middle_ends_in_no_fault(tmp_path) -> None:
    """A tag of an FLV that turns from a picture into data: PyAV then sees a stream without a decoder."""
    path = tmp_path / "turned.flv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("flv", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 20 * number, np.uint8), format="rgb24")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    at, tags = 13, []  # behind the header and the first length
    while at < len(data):
        tags.append(at)
        at += 15 + int.from_bytes(data[at + 1 : at + 4])
    pictures = [tag for tag in tags if data[tag] == 9]
    data[pictures[5]] = 18
    path.write_bytes(data)
    items = list(open_video(path))
    assert 8 <= sum(isinstance(item, Frame) for item in items) <= 9
    assert all(isinstance(item, Frame | InputError) for item in items)
