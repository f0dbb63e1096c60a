"""Sound and subtitles on their way from one video into another: copied packet by packet, converted where they must be.

A container that does not hold a codec is given another one that it holds: AAC sound becomes Opus in WebM, SubRip
becomes mov_text in MP4. What cannot be converted, such as subtitles that are pictures, is left out, which is logged.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from io import BytesIO
from typing import Any, Protocol

import av

from ..errors import StreamError
from .clock import Clock, exact
from .conversion import ConvertedSound, ConvertedText
from .decode import open_input, reason
from .decode_limits import DecodeLimits
from .tags import copy_tags

LOGGER = logging.getLogger(__name__)

# What a stream becomes where its own codec does not go into the container: codec → FFmpeg's encoder, the best first.
_SOUND = {"aac": "aac", "opus": "libopus", "mp3": "libmp3lame", "pcm_s16le": "pcm_s16le"}
_TEXT = {"mov_text": "mov_text", "webvtt": "webvtt", "subrip": "subrip"}


class _Route(Protocol):
    """How the packets of one stream get into the container."""

    output: Any  # the stream there

    def packets(self, packet: Any | None) -> Iterator[Any]:
        """Turn a packet, or None at the end, into those that are muxed."""
        ...


class StreamCopy:
    """The sound and subtitle streams of a video, on their way into a container that is being written."""

    def __init__(self, origin: str, limits: DecodeLimits, container: Any, *, streams: bool = True) -> None:
        """Add a stream to `container` for each, and all else that the file holds beside its pictures.

        What the container's format cannot hold is left out, which is logged.

        `streams`: whether sound and subtitles are wanted.
        """
        self._container, self._timeout = container, limits.timeout
        self._input = open_input(origin, limits)
        self._clock = Clock(self._input)
        self._routes: dict[int, _Route] = {}
        self._last: dict[int, int] = {}  # the last time stamp that was muxed, by the stream there
        for stream in self._input.streams:
            if streams and stream.type in ("audio", "subtitle"):
                self._add(stream)
        copy_tags(self._input, container, self._clock.start)
        self._packets = self._demux()
        self._next = next(self._packets, None)

    def copy_until(self, time: Fraction | None) -> None:
        """Copy what starts before `time`, in seconds; everything that is left where it is None.

        Raises:
            StreamError: the source does not answer.
            av.FFmpegError, OSError: the container cannot be written.
        """
        while self._next is not None and (time is None or self._next.dts * exact(self._next.time_base) < time):
            self._mux(self._routes[self._next.stream_index], self._next)
            self._next = next(self._packets, None)
        if time is None:
            for route in self._routes.values():
                self._mux(route, None)

    def close(self) -> None:
        """Close the file that they come from."""
        self._input.close()

    def _add(self, stream: Any) -> None:
        name = stream.codec_context.name if stream.codec_context else "unknown"
        holder = self._container.format.name
        try:
            route = self._route(stream, name)
        except (av.FFmpegError, ValueError) as error:
            LOGGER.debug("%s: %s", name, error)
            LOGGER.warning("%s %s does not go into %s and is left out; name the output .mkv", name, stream.type, holder)
            return
        self._routes[stream.index] = route
        for key in ("language", "title"):
            if key in stream.metadata:
                route.output.metadata[key] = stream.metadata[key]
        route.output.disposition = stream.disposition

    def _route(self, stream: Any, name: str) -> _Route:
        """Choose how a stream goes over.

        Raises:
            ValueError, av.FFmpegError: it cannot.
        """
        if _holds(self._container, stream):
            return _Copied(self._container.add_stream_from_template(stream))
        choices = _SOUND if stream.type == "audio" else _TEXT
        if stream.codec_context is not None and name not in ("dvd_subtitle", "hdmv_pgs_subtitle", "dvb_subtitle"):
            for codec, encoder in choices.items():
                if codec in self._container.supported_codecs and _can_encode(encoder):
                    make = ConvertedSound if stream.type == "audio" else ConvertedText
                    route = make(stream, self._container, encoder)
                    LOGGER.warning("%s %s becomes %s in %s", name, stream.type, codec, self._container.format.name)
                    return route
        raise ValueError("no codec of its kind goes into the container")

    def _mux(self, route: _Route, packet: Any | None) -> None:
        for converted in route.packets(packet):
            converted.stream = route.output
            # Where parts were joined the end of one may reach into the next; muxers want time to go on.
            if converted.dts is not None:
                last = self._last.get(route.output.index)
                if last is not None and converted.dts <= last:
                    converted.dts = last + 1
                    converted.pts = max(converted.pts or 0, converted.dts)
                self._last[route.output.index] = converted.dts
            self._container.mux(converted)

    def _demux(self) -> Iterator[Any]:
        if not self._routes:
            return
        try:
            for packet in self._input.demux():
                self._clock.set(packet)  # the pictures' packets too: they decide where a part begins
                if packet.stream_index in self._routes and packet.dts is not None:
                    yield packet
        except av.FFmpegError as error:  # where a file is cut short, its sound is too
            if self._timeout is not None and isinstance(error, av.error.ExitError | av.error.TimeoutError):
                raise StreamError(f"the source gave no sound for {self._timeout:g} s", "timeout") from None
            LOGGER.warning("the sound ends early: %s", reason(error))


class _Copied:
    """A stream that goes over as it is."""

    def __init__(self, output: Any) -> None:
        self.output = output

    def packets(self, packet: Any | None) -> Iterator[Any]:
        """Give the packet itself."""
        if packet is not None:
            yield packet


def _can_encode(name: str) -> bool:
    try:
        av.codec.Codec(name, "w")
    except (av.FFmpegError, ValueError):
        return False
    return True


def _holds(container: Any, stream: Any) -> bool:
    """Whether a container takes a stream as it is: tried in one of its kind, because some refuse what they list."""
    if stream.codec_context is None or stream.codec_context.name not in container.supported_codecs:
        return False
    trial = av.open(BytesIO(), "w", format=container.format.name)
    try:
        trial.add_stream_from_template(stream)
        trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    finally:
        with suppress(av.FFmpegError):
            trial.close()
    return True
