"""Ten thousand frames through every stage, and no more memory at their end than at their beginning."""

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from threading import Event

import pytest

from cyclegan_edge.runtime.frame import Sink, Source
from cyclegan_edge.runtime.pipeline import run
from cyclegan_edge.runtime.sources.bars import BarsSource
from cyclegan_edge.runtime.stats import Stats
from cyclegan_edge.runtime.translator import Translator, load
from cyclegan_edge.runtime.video import Encoding, open_video, video_sink

FRAMES = 10_000
ROOM = 8.0  # MiB, an allocator's own unrest; if each frame were kept it would be 30 and more


def resident() -> float:
    """This process's memory in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_flat_over_ten_thousand_frames(model, tmp_path):
    source = BarsSource(f"test:bars?size=64x40&frames={FRAMES}", Event())
    encoding = Encoding(preset="ultrafast")
    with load(model("identity"), backend="onnxruntime", device="cpu") as translator:
        sink = video_sink(tmp_path / "a.mp4", source.format.rate, like=source.format, encoding=encoding)
        assert_flat(source, translator, sink)
        assert_flat(open_video(tmp_path / "a.mp4"), translator, nullcontext(lambda frame: None))


def assert_flat(source: Source, translator: Translator, sink: Sink) -> None:
    """Run; once it is under way, memory may move, but not on the whole grow."""
    early, late = [], []

    def watch(stats: Stats) -> None:
        if FRAMES // 10 < stats.frames < FRAMES // 2:
            early.append(resident())
        elif FRAMES // 2 <= stats.frames < FRAMES:
            late.append(resident())

    stats = run(source, translator, sink, watch=watch)
    assert (stats.read, stats.frames, stats.failed) == (FRAMES, FRAMES, 0)
    assert median(late) - median(early) < ROOM
