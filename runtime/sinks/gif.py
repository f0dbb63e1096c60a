"""GIF files through PyAV: a palette of 256 colours made for the frames, where OpenCV takes the same for every file."""

from collections.abc import Sequence
from fractions import Fraction
from io import BytesIO
from typing import Any

import numpy as np

from ..contract import Picture

_TICK = Fraction(1, 100)  # seconds; GIF knows no shorter time


def encode_gif(pictures: Sequence[Picture], durations: Sequence[int], loops: int) -> bytes:
    """Encode frames of one size.

    Args:
        pictures: uint8 [H, W, 3], or all of them [H, W, 4] with alpha, which is on or off in a GIF.
        durations: how long each is shown, in milliseconds.
        loops: how often they are played; 0: for ever.
    """
    import av

    height, width, channels = pictures[0].shape
    frames = []
    time = 0
    for picture, duration in zip(pictures, durations, strict=True):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgba" if channels == 4 else "rgb24")
        frame.pts, frame.time_base = round(time * Fraction(1, 1000) / _TICK), _TICK
        frames.append(frame)
        time += duration
    graph = _graph(frames[0], width, height)
    for frame in frames:
        graph.push(frame)
    graph.push(None)
    written = BytesIO()
    repeats = {0: 0, 1: -1}.get(loops, loops - 1)  # GIF counts those after the first; FFmpeg writes no count for -1
    with av.open(written, "w", format="gif", container_options={"loop": str(repeats)}) as container:
        stream: Any = container.add_stream("gif", rate=1 / _TICK)
        stream.width, stream.height, stream.pix_fmt = width, height, "pal8"
        stream.codec_context.time_base = _TICK
        for duration in durations:
            for packet in stream.encode(graph.vpull()):
                packet.duration = max(1, round(duration * Fraction(1, 1000) / _TICK))
                container.mux(packet)
        container.mux(stream.encode(None))
    return written.getvalue()


def _graph(frame: Any, width: int, height: int) -> Any:
    """Make the filters that find the palette of all frames and then use it."""
    import av

    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format=frame.format, time_base=_TICK)
    split, make, use = graph.add("split"), graph.add("palettegen"), graph.add("paletteuse", "dither=sierra2_4a")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(make, 1, 0)
    make.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph
