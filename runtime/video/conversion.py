"""Sound and text that a container does not hold as they are: decoded, and encoded as it holds them."""

import logging
from collections.abc import Iterator
from typing import Any

import av

from .decode import reason

LOGGER = logging.getLogger(__name__)

# Layouts that every encoder knows, by the number of channels: streams may number theirs only, or have them elsewhere.
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


class ConvertedSound:
    """Sound that is decoded and encoded again."""

    def __init__(self, stream: Any, container: Any, encoder: str) -> None:
        """Add a stream to `container`.

        Raises:
            ValueError: the encoder takes no such sound; nothing was added.
        """
        source = stream.codec_context
        self._rate = _choose_rate(encoder, source.sample_rate)
        layout = _choose_layout(encoder, source.layout, self._rate)
        if layout == "stereo" and source.layout.nb_channels > 2:
            LOGGER.warning("sound of %d channels becomes stereo", source.layout.nb_channels)
        self.output = container.add_stream(encoder, rate=self._rate)
        context = self.output.codec_context
        context.layout = layout
        context.open()
        self._resampler: Any = None
        self._kind: tuple[object, ...] = ()  # of the frames that it takes
        self._damage = Damage("a packet of sound cannot be decoded and is silent: %s", "packets of sound are silent")

    def packets(self, packet: Any | None) -> Iterator[Any]:
        """Give what the encoder makes of a packet; None: what it still holds."""
        for frame in () if packet is None else self._decode(packet):
            yield from self._encode(frame)
        if packet is None:
            for part in self._resampler.resample(None) if self._resampler else ():
                if part is not None:
                    yield from self.output.encode(part)
            yield from self.output.encode(None)
            self._damage.report_count()

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
            self._damage.report(reason(error))
            return []


def _choose_rate(encoder: str, rate: int) -> int:
    """Return the rate that an encoder takes, in samples a second: the same, or the nearest above it, or its highest."""
    rates = av.codec.Codec(encoder, "w").audio_rates or [rate]
    return min((one for one in rates if one >= rate), default=max(rates))


def _choose_layout(encoder: str, layout: Any, rate: int) -> str:
    """Return the layout of channels that an encoder takes: the same, the usual one of as many channels, or stereo.

    Raises:
        ValueError: it takes none of them.
    """
    formats: Any = av.codec.Codec(encoder, "w").audio_formats or ["s16"]
    for name in dict.fromkeys((layout.name, _LAYOUTS.get(layout.nb_channels, "stereo"), "stereo")):
        context: Any = av.CodecContext.create(encoder, "w")
        context.sample_rate, context.format = rate, formats[0]
        try:
            context.layout = name
            context.open()
        except (av.FFmpegError, ValueError):
            continue
        return str(name)
    raise ValueError(f"{encoder} takes no sound of {layout.nb_channels} channels")


class ConvertedText:
    """Subtitles that are text, written in another form."""

    def __init__(self, stream: Any, container: Any, encoder: str) -> None:
        """Add a stream to `container`.

        Raises:
            av.FFmpegError: the text has no form that the encoder takes; nothing was added.
        """
        self._source = stream
        source = stream.codec_context
        source.open()
        self.output = container.add_stream(encoder)
        context = self.output.codec_context
        context.subtitle_header = source.subtitle_header
        context.time_base = stream.time_base
        context.open()
        self._damage = Damage("a subtitle cannot be read and is left out: %s", "subtitles are left out")

    def packets(self, packet: Any | None) -> Iterator[Any]:
        """Give one packet for each that holds text."""
        if packet is None:
            self._damage.report_count()
        if packet is None or not packet.size:
            return
        try:
            subtitles = self._source.codec_context.decode2(packet)
            if subtitles is None:
                return
            converted = self.output.codec_context.encode_subtitle(subtitles)
        except (av.FFmpegError, ValueError) as error:
            self._damage.report(reason(error))
            return
        converted.time_base = packet.time_base
        converted.pts, converted.dts, converted.duration = packet.pts, packet.dts, packet.duration
        yield converted


class Damage:
    """Packets of one stream that cannot be converted: the first is reported at once, how many there were at the end."""

    def __init__(self, first: str, all_of_them: str) -> None:
        self._first, self._all, self._count = first, all_of_them, 0

    def report(self, why: str) -> None:
        """Count one."""
        if not self._count:
            LOGGER.warning(self._first, why)
        self._count += 1

    def report_count(self) -> None:
        """Say how many there were, unless it was one."""
        if self._count > 1:
            LOGGER.warning("%d %s", self._count, self._all)
