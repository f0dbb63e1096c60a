"""Sound and subtitles on their way from one video into another: copied packet by packet, converted where they must be.

A container that does not hold a codec is given another one that it holds: AAC sound becomes Opus in WebM, SubRip
becomes mov_text in MP4. What cannot be converted, such as subtitles that are pictures, is told and left out.
"""

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Protocol

import av

from ..errors import StreamError
from .clock import Clock, exact
from .decode import open_input, reason
from .decode_limits import DecodeLimits
from .tags import copy_tags

LOGGER = logging.getLogger(__name__)

# What a stream becomes where its own codec does not go into the container: codec → FFmpeg's encoder, the best first.
_SOUND = {"aac": "aac", "opus": "libopus", "mp3": "libmp3lame", "pcm_s16le": "pcm_s16le"}
_TEXT = {"mov_text": "mov_text", "webvtt": "webvtt", "subrip": "subrip"}
_OPUS_RATE = 48_000


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

        What the container's format cannot hold is told and left out; `streams`: whether sound and subtitles are wanted.
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
        held = self._container.supported_codecs
        if name in held:
            return _Copied(self._container.add_stream_from_template(stream))
        choices = _SOUND if stream.type == "audio" else _TEXT
        if stream.codec_context is not None and name not in ("dvd_subtitle", "hdmv_pgs_subtitle", "dvb_subtitle"):
            for codec, encoder in choices.items():
                if codec in held and _can_encode(encoder):
                    LOGGER.warning("%s %s becomes %s in %s", name, stream.type, codec, self._container.format.name)
                    make = _Sound if stream.type == "audio" else _Text
                    return make(stream, self._container, encoder)
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


class _Sound:
    """Sound that is decoded and encoded again."""

    def __init__(self, stream: Any, container: Any, encoder: str) -> None:
        source = stream.codec_context
        rate = _OPUS_RATE if encoder == "libopus" else source.sample_rate
        self.output = container.add_stream(encoder, rate=rate)
        context = self.output.codec_context
        context.layout = source.layout
        context.open()
        self._rate = rate
        self._resampler: Any = None
        self._kind: tuple[object, ...] = ()  # of the frames that it takes
        self._damaged = _Damage("a packet of sound cannot be decoded and is silent: %s", "packets of sound are silent")

    def packets(self, packet: Any | None) -> Iterator[Any]:
        """Give what the encoder makes of a packet; None: what it still holds."""
        for frame in () if packet is None else self._decode(packet):
            yield from self._encode(frame)
        if packet is None:
            for part in self._resampler.resample(None) if self._resampler else ():
                if part is not None:
                    yield from self.output.encode(part)
            yield from self.output.encode(None)
            self._damaged.tell_count()

    def _encode(self, frame: Any) -> Iterator[Any]:
        kind = frame.format.name, frame.layout.name, frame.sample_rate
        if kind != self._kind:  # broadcasts change theirs; what the resampler holds, less than a packet, is dropped
            context = self.output.codec_context
            self._resampler = av.AudioResampler(context.format, context.layout, self._rate, context.frame_size or None)
            self._kind = kind
        for part in self._resampler.resample(frame):
            yield from self.output.encode(part)

    def _decode(self, packet: Any) -> list[Any]:
        try:
            return list(packet.decode())
        except av.FFmpegError as error:
            self._damaged.tell(reason(error))
            return []


class _Text:
    """Subtitles that are text, written in another form."""

    def __init__(self, stream: Any, container: Any, encoder: str) -> None:
        self._source = stream
        source = stream.codec_context
        source.open()
        self.output = container.add_stream(encoder)
        context = self.output.codec_context
        context.subtitle_header = source.subtitle_header
        context.time_base = stream.time_base
        context.open()
        self._damaged = _Damage("a subtitle cannot be read and is left out: %s", "subtitles are left out")

    def packets(self, packet: Any | None) -> Iterator[Any]:
        """Give one packet for each that holds text."""
        if packet is None:
            self._damaged.tell_count()
        if packet is None or not packet.size:
            return
        try:
            subtitles = self._source.codec_context.decode2(packet)
            if subtitles is None:
                return
            converted = self.output.codec_context.encode_subtitle(subtitles)
        except (av.FFmpegError, ValueError) as error:
            self._damaged.tell(reason(error))
            return
        converted.time_base = packet.time_base
        converted.pts, converted.dts, converted.duration = packet.pts, packet.dts, packet.duration
        yield converted


class _Damage:
    """Packets of one stream that cannot be converted: the first is reported at once, how many there were at the end."""

    def __init__(self, first: str, all_of_them: str) -> None:
        self._first, self._all, self._count = first, all_of_them, 0

    def tell(self, why: str) -> None:
        """Count one."""
        if not self._count:
            LOGGER.warning(self._first, why)
        self._count += 1

    def tell_count(self) -> None:
        """Say how many there were, unless it was one."""
        if self._count > 1:
            LOGGER.warning("%d %s", self._count, self._all)


def _can_encode(name: str) -> bool:
    try:
        av.codec.Codec(name, "w")
    except av.FFmpegError:
        return False
    return True
