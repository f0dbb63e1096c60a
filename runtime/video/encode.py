"""Videos through PyAV: time stamps, colour tags, sound and subtitles are those of the video they come from."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from ..contract import Picture, on_white, to_8_bits
from ..errors import CycleganError, InputError, OutputError
from ..files import growing, remedy, spelled
from ..frame import Frame, Write
from .clock import exact
from .constant_rate import ConstantRate
from .decode import TAGS, reason
from .encoders import Encoder, choose_encoder, fit_pixels
from .format import BT601, BT709, BT2020, Encoding, VideoFormat
from .stream_copy import StreamCopy
from .web_start import move_index_first

LOGGER = logging.getLogger(__name__)

HIGHEST_RATE = 120  # frames a second of a container that knows no times
KEYFRAME_SECONDS = 2  # also what a killed run may lose
_SWS_MATRICES = {BT709: 1, BT601: 5, BT2020: 9}
_LIMITED_RANGE = 1
_LAYOUTS = {(3, 1): "rgb24", (4, 1): "rgba", (3, 2): "rgb48le", (4, 2): "rgba64le"}  # by channels and bytes
# Fragments keep an MP4 playable while it is written; at the end it becomes an ordinary one. Edit lists keep time zero.
_MP4_OPTIONS = {"movflags": "hybrid_fragmented", "use_editlist": "1"}
_INDEXED = frozenset({".mp4", ".m4v", ".mov"})
_MUXERS = {
    ".mp4": ("mp4", _MP4_OPTIONS),
    ".m4v": ("mp4", _MP4_OPTIONS),
    ".mov": ("mov", _MP4_OPTIONS),
    ".mkv": ("matroska", {}),
    ".webm": ("webm", {}),
    ".avi": ("avi", {}),
}


@contextmanager
def pyav_sink(path: Path, like: VideoFormat, encoding: Encoding) -> Iterator[Write]:
    """Write frames to a video file; see `video_sink`."""
    with growing(path, _is_playable) as partial, spelled(partial) as place:
        encoder = choose_encoder(encoding, path)
        writer = _Writer(path, place, encoder, like, encoding)
        try:
            yield writer.write
        except BaseException:
            writer.close(complete=False)
            raise
        writer.close()
        writer.check()
        if path.suffix.lower() in _INDEXED:
            with suppress(OutputError):  # without room for a second file it stays as it is, and whole
                move_index_first(partial)


class _Writer:
    """An encoder and muxer that open with the first frame, whose size they take."""

    def __init__(self, path: Path, place: str, encoder: Encoder, like: VideoFormat, encoding: Encoding) -> None:
        self._path, self._place, self._encoder, self._like, self._encoding = path, place, encoder, like, encoding
        self._container: Any = None
        self._stream: Any = None
        self._stream_copy: StreamCopy | None = None
        self._shape: tuple[int, ...] = ()
        self._before: Picture = np.empty((0, 0, 3), np.uint8)  # the frame before
        self._tick = like.time_base or 1 / like.rate
        self._reformatter = VideoReformatter()
        self._durations: dict[int, int] = {}  # of frames inside the encoder, by their time stamps
        self._constant: ConstantRate | None = None  # for a container that knows no times
        self._last = self._end = 0  # time stamps, in ticks
        self._began = self._ended = Fraction(0)  # when the first and the last frame are shown, as the source has it
        self._late = 0  # frames that were not after the one before
        self._frames = 0

    def write(self, frame: Frame) -> None:
        """Add one frame."""
        if self._frames == 0:
            self._open(frame.pixels)
        elif frame.pixels.shape != self._shape:
            raise InputError(f"{frame.name} changes its size at frame {self._frames}; cut it in two there")
        repeats = self._constant.repeats(frame.time) if self._constant else 0
        if repeats is None:
            return
        for _ in range(repeats):
            self._encode(self._before, Frame(self._before, frame.name))
        self._encode(frame.pixels, frame)
        self._before = frame.pixels

    def _encode(self, pixels: Picture, frame: Frame) -> None:
        stamp = self._stamp(frame)
        picture = self._picture(pixels)
        picture.pts, picture.time_base = stamp, self._tick
        self._mux(self._stream.encode, picture)
        self._frames += 1

    def close(self, *, complete: bool = True) -> None:
        """Finish the file; a run that ended early must not hide why by failing here too."""
        if self._stream is None:
            return
        try:
            with closing(self._container):
                self._mux(self._stream.encode, None)
                if self._stream_copy:
                    self._stream_copy.copy_until(None if complete else self._end * self._tick)
        except (av.FFmpegError, OSError, OutputError) as error:
            if complete:
                raise _cannot_write(self._path, error) from error
            LOGGER.debug("the end of %s could not be written: %s", self._path, error)
        finally:
            if self._stream_copy:
                self._stream_copy.close()
            self._tell()

    def _tell(self) -> None:
        """Say once what became of the frames' times."""
        if self._late > 1:
            LOGGER.warning("%s: so it is with %d frames in all", self._path, self._late)
        if self._constant and self._constant.left_out:
            LOGGER.warning(
                "%s holds one constant rate: %d frames came faster and are left out; name the output .mkv to keep them",
                self._path,
                self._constant.left_out,
            )

    def check(self) -> None:
        """Read the file back: every frame is in it, and the last one comes when it should.

        Raises:
            CycleganError: it is not so.
        """
        if not self._frames:
            return
        count, span = _measure(self._place)
        if count != self._frames:
            raise CycleganError(f"{self._path} holds {count} of {self._frames} frames; the working file is kept")
        drift = abs(span - (self._ended - self._began))
        if drift > 1 / self._like.rate + Fraction(1, 100):
            raise CycleganError(f"{self._path} is {float(drift):.3f} s off its source's length; it is kept as it is")

    def _open(self, first: Picture) -> None:
        height, width = (side + side % 2 for side in first.shape[:2])
        if (height, width) != first.shape[:2]:
            LOGGER.warning("%s becomes %dx%d, edges repeated: encoders take even sides only", self._path, height, width)
        self._shape = first.shape
        suffix = self._path.suffix.lower()
        self._encoder = fit_pixels(self._encoder, first, self._path, self._encoding, self._like)
        muxer, muxer_options = _MUXERS[suffix]
        if suffix == ".avi":  # knows frames by their number only
            rate = self._like.base_rate or self._like.rate
            rate = rate if rate <= HIGHEST_RATE else self._like.rate
            self._like = replace(self._like, time_base=None, rate=rate)
            self._tick = 1 / rate
            self._constant = ConstantRate(rate)
        try:
            self._container = av.open(self._place, "w", format=muxer, container_options=muxer_options, **TAGS)
            options = self._encoder.options(self._encoding)
            self._stream = self._container.add_stream(self._encoder.name, rate=self._like.rate, options=options)
            self._configure(self._stream.codec_context, width, height, has_b_frames=suffix != ".avi")
            self._stream.codec_context.open()
            if self._like.origin:
                streams = self._encoding.copy_streams
                self._stream_copy = StreamCopy(self._like.origin, self._like.limits, self._container, streams=streams)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise OutputError(
                f"FFmpeg cannot encode {width}x{height} video into {self._path} with {self._encoder.name} "
                f"({reason(error)}); name another codec"
                + (", preset" if self._encoding.preset else "")
                + " or container",
                about=("codec", "preset") if self._encoding.preset else ("codec",),
            ) from error

    def _configure(self, context: Any, width: int, height: int, *, has_b_frames: bool) -> None:
        colour = self._like.colour
        context.width, context.height, context.pix_fmt = width, height, self._encoder.pixels
        if self._encoder.keeps_alpha and self._encoder.name == "libvpx-vp9":
            self._stream.metadata["alpha_mode"] = "1"
        context.time_base = self._tick
        context.gop_size = max(1, round(self._like.rate * KEYFRAME_SECONDS))
        context.sample_aspect_ratio = self._like.pixel_aspect
        if self._encoder.is_h265 and self._container.format.name in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # without it Apple's players show nothing
        if not has_b_frames:
            context.max_b_frames = 0
        matrix = colour.matrix_of(height)
        context.colorspace = matrix if matrix in _SWS_MATRICES else BT601
        context.color_range = _LIMITED_RANGE
        context.color_primaries, context.color_trc = colour.primaries, colour.transfer

    def _stamp(self, frame: Frame) -> int:
        """Return a frame's time stamp in ticks, later than the one before."""
        if self._like.time_base is None or frame.time is None:
            time, duration = self._frames / self._like.rate, 1 / self._like.rate
        else:
            time, duration = frame.time, frame.duration or 1 / self._like.rate
        stamp, ticks = round(time / self._tick), max(1, round(duration / self._tick))
        if self._frames == 0:
            self._began = time
        elif stamp <= self._last:
            if not self._late:
                LOGGER.warning("%s: the time of frame %d is not after the one before", self._path, self._frames)
            self._late += 1
            stamp = self._last + 1
        self._ended = time
        self._last, self._end = stamp, stamp + ticks
        self._durations[stamp] = ticks
        return stamp

    def _picture(self, pixels: Picture) -> Any:
        context = self._stream.codec_context
        pixels = pixels if self._encoder.keeps_alpha else on_white(pixels)
        pixels = _even(pixels if self._encoder.bits > 8 else to_8_bits(pixels))
        layout = _LAYOUTS[pixels.shape[2], pixels.dtype.itemsize]
        shared = av.VideoFrame.from_numpy_buffer(pixels, format=layout)  # until the line below has copied it
        return self._reformatter.reformat(
            shared,
            format=context.pix_fmt,
            src_color_range=2,
            dst_colorspace=_SWS_MATRICES[context.colorspace],
            dst_color_range=_LIMITED_RANGE,
        )

    def _mux(self, encode: Any, picture: Any) -> None:
        """Encode a picture, or with None what is left, and mux what comes of it, sound up to there before it."""
        try:
            for packet in encode(picture):
                packet.duration = self._durations.pop(packet.pts, 0)
                if self._stream_copy and packet.dts is not None:
                    self._stream_copy.copy_until(packet.dts * exact(packet.time_base))
                self._container.mux(packet)
        except (av.FFmpegError, OSError) as error:
            raise _cannot_write(self._path, error) from error


def _measure(place: str) -> tuple[int, Fraction]:
    """Return how many frames a video holds, and the seconds from the first one's beginning to the last one's.

    An MP4 with reordered frames does not say when its last one ends.
    """
    count = first = last = 0
    with av.open(place, **TAGS) as container:
        stream = container.streams.video[0]
        for packet in container.demux(stream):
            if packet.pts is not None:
                first = min(first, packet.pts) if count else packet.pts
                last = max(last, packet.pts)
                count += 1
        return count, (last - first) * exact(stream.time_base)


def _is_playable(path: Path) -> bool:
    try:
        with spelled(path) as place, av.open(place, **TAGS) as container:
            return next(container.decode(video=0), None) is not None
    except (av.FFmpegError, OSError, IndexError):
        return False


def _cannot_write(path: Path, error: Exception) -> OutputError:
    return OutputError(f"cannot write {path}: {reason(error)}; {remedy(error)}")


def _even(picture: Picture) -> Picture:
    """Repeat the last row or column where a side is odd: 4:2:0 halves both for colour."""
    height, width = picture.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return np.ascontiguousarray(picture)
    padded = cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return np.asarray(padded, dtype=picture.dtype)
