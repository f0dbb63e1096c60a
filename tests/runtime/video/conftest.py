"""Films that are made for one question each, and copies of them by a run that changes nothing."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.video import Encoding, open_video, video_sink

BT709 = 1
LIMITED, FULL = 1, 2
SWS = {BT709: 1, 6: 5, 9: 9}  # libswscale's numbers for H.273's
QUARTERS = np.repeat(
    np.repeat(np.array([[(220, 30, 30), (30, 220, 30)], [(30, 30, 220), (200, 200, 200)]], np.uint8), 24, 0), 32, 1
)


def make_film(
    path: Path, picture=QUARTERS, *, stamps=range(6), matrix=BT709, colour_range=LIMITED, tagged=True, turn=None
):
    """A video of one picture, in the given colours, at time stamps of a hundredth of a second."""
    height, width = picture.shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
        context = stream.codec_context
        context.time_base = Fraction(1, 100)
        context.color_range = colour_range
        if tagged:
            context.colorspace = matrix
        if turn:
            stream.set_display_rotation(*turn)
        for stamp in stamps:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format="yuv444p", src_color_range=FULL, dst_colorspace=SWS[matrix], dst_color_range=colour_range
            )
            frame.pts, frame.time_base = stamp, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def make_copy(source: Path, target: Path, **encoding) -> Path:
    """Write a video again as a run does whose model changes nothing."""
    video = open_video(source)
    with video_sink(target, video.format.rate, like=video.format, encoding=Encoding(crf=1, **encoding)) as write:
        for frame in video:
            assert isinstance(frame, Frame), frame
            write(frame)
    return target


def make_with_sound(path: Path, codec: str = "aac", start: int = 0) -> Path:
    """A video of a second with a tone, which starts at some second."""
    with av.open(str(path), "w") as container:
        pictures, sound = container.add_stream("libx264", rate=25), container.add_stream(codec, rate=48_000)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound.codec_context.layout = "mono"
        tone = (np.sin(np.arange(48_000) * 2 * np.pi * 440 / 48_000) * 8000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 48_000 * start, Fraction(1, 48_000)
        resampler = av.AudioResampler(sound.codec_context.format, "mono", 48_000)
        for number in range(25):
            picture = av.VideoFrame.from_ndarray(QUARTERS, format="rgb24")
            picture.pts, picture.time_base = number + 25 * start, Fraction(1, 25)
            container.mux(pictures.encode(picture))
        container.mux(pictures.encode())
        for part in resampler.resample(frame):
            container.mux(sound.encode(part))
        container.mux(sound.encode())
    return path


def make_durations(path: Path) -> list[float]:
    """How long each stream's packets reach, from zero."""
    with av.open(str(path)) as container:
        ends = {}
        for packet in container.demux():
            if packet.pts is not None:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                ends[packet.stream_index] = max(end, ends.get(packet.stream_index, 0))
        return [ends[index] for index in sorted(ends)]


@pytest.fixture
def film() -> Callable:
    """Give the function above."""
    return make_film


@pytest.fixture
def copy() -> Callable:
    """Give the function above."""
    return make_copy


@pytest.fixture
def with_sound() -> Callable:
    """Give the function above."""
    return make_with_sound


@pytest.fixture
def durations() -> Callable:
    """Give the function above."""
    return make_durations
