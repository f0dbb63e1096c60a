"""Frames flow in order, in batches of one shape, and what fails is counted or ends the run."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclegan_edge.runtime.errors import BackendError, InputError, OutputError
from cyclegan_edge.runtime.pipeline.run import run
from cyclegan_edge.runtime.sources import Frame
from cyclegan_edge.runtime.stats import Stats


class Recorder:
    """A translator that inverts, and remembers the shapes of its batches."""

    def __init__(self, fail_at: int = -1) -> None:
        self.batches = []
        self.fail_at = fail_at

    def prepare(self, picture):
        return picture

    def infer(self, batch):
        if len(self.batches) == self.fail_at:
            raise BackendError("the engine failed")
        self.batches.append(batch.shape)
        return 255 - batch

    def finish(self, translated, original):
        return translated[: original.shape[0], : original.shape[1]]


class Collector:
    """A sink that keeps its frames, and knows how it was left."""

    def __init__(self) -> None:
        self.frames = []
        self.ended = None

    @contextmanager
    def opened(self):
        try:
            yield self.frames.append
            self.ended = "well"
        except BaseException:
            self.ended = "early"
            raise


class Given(list):
    total = None
    live = False


def frame(side: int, value: int) -> Frame:
    return Frame(np.full((side, side, 3), value, np.uint8), Path(f"{value}.png"))


@given(
    items=st.lists(st.one_of(st.none(), st.integers(1, 3)), max_size=30),
    batch_size=st.integers(1, 5),
)
def test_every_frame_comes_out_once_and_in_order(items, batch_size):
    source = Given(InputError("damaged") if side is None else frame(side, n) for n, side in enumerate(items))
    translator, sink, heard = Recorder(), Collector(), []
    stats = run(
        source,
        translator,
        sink.opened(),
        batch_size=batch_size,
        watch=lambda stats: heard.append(stats.frames + stats.failed),
    )
    expected = [item for item in source if isinstance(item, Frame)]
    assert [out.name for out in sink.frames] == [item.name for item in expected]
    for item, out in zip(expected, sink.frames, strict=True):
        assert np.array_equal(out.pixels, 255 - item.pixels)
    assert (stats.frames, stats.failed) == (len(expected), len(items) - len(expected))
    assert heard == sorted(heard)
    assert heard[-1] == stats.read == len(items)
    assert all(shape[0] <= batch_size for shape in translator.batches)


def test_batches_are_of_one_shape_and_full_where_they_can_be():
    translator = Recorder()
    run(Given(frame(side, 1) for side in (2, 2, 2, 3, 2, 2)), translator, Collector().opened(), batch_size=2)
    assert [shape[:2] for shape in translator.batches] == [(2, 2), (1, 2), (1, 3), (2, 2)]


def test_a_file_that_cannot_be_read_is_logged(caplog):
    run(Given([InputError("a.png is damaged")]), Recorder(), Collector().opened())
    assert "failed: a.png is damaged" in caplog.text


def test_a_failing_engine_ends_the_run_and_the_sink_hears_of_it():
    sink = Collector()
    with pytest.raises(BackendError):
        run(Given(frame(2, n) for n in range(5)), Recorder(fail_at=3), sink.opened())
    assert len(sink.frames) == 3
    assert sink.ended == "early"


def test_a_failing_sink_ends_the_run():
    @contextmanager
    def full():
        def write(frame):
            raise OutputError("cannot write")

        yield write

    with pytest.raises(OutputError):
        run(Given([frame(2, 1)]), Recorder(), full())


def test_rates():
    assert Stats(frames=30, seconds=1.5).fps == 20
    assert Stats().fps == 0
