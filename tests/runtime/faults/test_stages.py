"""Whichever stage fails, on whichever frame: the run ends with its error, the counts add up, and no thread is left."""

from contextlib import contextmanager
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclegan_edge.runtime.control import Control
from cyclegan_edge.runtime.errors import BackendError, InputError, OutputError, StreamError
from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.pipeline import run as pipeline
from cyclegan_edge.runtime.pipeline.run import Output, run
from cyclegan_edge.runtime.translator import Translator
from cyclegan_edge.runtime.video import open_video

FRAMES = 40
ERRORS = {
    "decode": InputError("the camera is gone"),
    "prepare": MemoryError("no room"),
    "engine": BackendError("the engine failed"),
    "finish": MemoryError("no room"),
    "smooth": ValueError("a defect"),
    "sink": OutputError("the disk is full"),
    "opening": OutputError("no such place"),
    "closing": OutputError("the end cannot be written"),
    "watch": RuntimeError("the caller's own"),
}


class Failing:
    """A source, a translator, a sink and a watcher, of which one fails when its time has come."""

    total, live = FRAMES, False

    def __init__(self, stage: str, at: int) -> None:
        self._stage, self._left = stage, at
        self.written: list[int] = []

    def _pass(self, stage: str) -> None:
        if stage == self._stage:
            self._left -= 1
            if self._left < 0:
                raise ERRORS[stage]

    def __iter__(self):
        for number in range(FRAMES):
            self._pass("decode")
            yield Frame(np.full((8, 8, 3), number, np.uint8), Path("f"), number=number)

    def prepare(self, picture):
        self._pass("prepare")
        return picture

    def infer(self, batch):
        self._pass("engine")
        return batch

    def finish(self, picture, original):
        self._pass("finish")
        return picture

    def smooth(self, picture, translation):
        self._pass("smooth")
        return translation

    def watch(self, stats):
        self._pass("watch")

    @contextmanager
    def sink(self):
        self._pass("opening")
        yield self._write
        self._pass("closing")

    def _write(self, frame: Frame) -> None:
        self._pass("sink")
        self.written.append(frame.number)


@given(
    stage=st.sampled_from(sorted(ERRORS)),
    at=st.integers(0, FRAMES - 1),
    policy=st.sampled_from(["lossless", "latest"]),
    batch_size=st.sampled_from([1, 3]),
    in_caller=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_the_first_error_ends_the_run_and_what_came_before_it_is_written(stage, at, policy, batch_size, in_caller):
    at = 0 if stage in ("opening", "closing", "watch") else at
    failing, control, error = Failing(stage, at), Control(), None
    others = [], []  # what two more sinks get, which must not hang
    try:
        run(
            failing,
            failing,
            Output(failing.sink(), in_caller=in_caller),
            *(Output(_collect(frames), f"other {i}", newest_only=i == 1) for i, frames in enumerate(others)),
            policy=policy,
            batch_size=batch_size,
            control=control,
            watch=failing.watch,
            smooth=failing.smooth,
        )
    except Exception as raised:
        error = raised
    spared = policy == "latest" or (stage == "engine" and batch_size > 1)  # what would do harm was overtaken or batched
    assert error is ERRORS[stage] or (error is None and spared)
    stats = control.stats
    assert failing.written == sorted(set(failing.written))
    assert stats.read <= FRAMES
    assert stats.written["sink"] == len(failing.written) <= stats.frames <= stats.read - stats.failed
    assert stats.dropped.total() + stats.frames <= stats.read + stats.dropped["sink"] + stats.dropped["other 1"]
    if policy == "lossless" and stage in ("decode", "prepare", "engine", "finish") and batch_size == 1:
        assert failing.written == list(range(at))


@contextmanager
def _collect(frames: list[Frame]):
    yield frames.append


class TestThroughTheCommand:
    @pytest.fixture
    def failing_on_frame_100(self, monkeypatch):
        infer, calls = Translator.infer, []

        def fail(self, batch):
            calls.append(len(batch))
            if len(calls) == 101:
                raise BackendError("the engine failed on frame 100; see its log")
            return infer(self, batch)

        monkeypatch.setattr(Translator, "infer", fail)

    @pytest.mark.usefixtures("failing_on_frame_100")
    def test_an_engine_that_fails_on_frame_100(self, translate, numbers, tmp_path, partial_of):
        done = translate("test:bars?size=64x48&frames=150", tmp_path / "a.mp4")
        assert (done.code, done.summary) == (4, {})
        assert "the engine failed on frame 100" in done.said
        assert list(tmp_path.iterdir()) == [partial_of(tmp_path / "a.mp4")]
        assert numbers(partial_of(tmp_path / "a.mp4")) == list(range(100))

    @pytest.mark.usefixtures("failing_on_frame_100")
    def test_it_ends_every_sink_at_the_same_frame(self, translate, tmp_path, partial_of):
        given = "test:bars?size=64x48&frames=150"
        done = translate(given, tmp_path / "a.mkv", tmp_path / "%03d.png", "null")
        assert done.code == 4
        assert len(list(tmp_path.glob("*.png"))) == 100
        assert len(list(open_video(partial_of(tmp_path / "a.mkv")))) == 100


def test_a_source_that_hangs_in_a_read_is_left_behind_when_told_to_stop(caplog, monkeypatch):
    monkeypatch.setattr(pipeline, "GRACE", 0.2)
    released = Event()

    class Hanging:
        total, live = None, False

        def __iter__(self):
            yield Frame(np.zeros((8, 8, 3), np.uint8), Path("f"))
            control.stop.set()
            released.wait(60)

    control, translator = Control(), Failing("none", 0)
    stats = run(Hanging(), translator, Output(translator.sink()), control=control)
    released.set()
    assert (stats.read, stats.frames, stats.interrupted) == (1, 1, True)
    assert "the source does not answer and is left behind" in caplog.text


def test_a_file_that_gives_no_frame_in_time_ends_the_run_with_what_came(caplog, monkeypatch):
    monkeypatch.setattr(pipeline, "GRACE", 0.2)
    released = Event()

    class Hanging:
        total, live = None, False

        def __iter__(self):
            yield Frame(np.zeros((8, 8, 3), np.uint8), Path("f"))
            released.wait(60)

    control, translator = Control(), Failing("none", 0)
    with pytest.raises(StreamError, match=r"the source gave no frame for 0\.3 s") as error:
        run(Hanging(), translator, Output(translator.sink()), control=control, patience=0.3)
    released.set()
    assert error.value.exit_code == 3
    assert control.stats.frames == 1
    assert "the source does not answer and is left behind" in caplog.text
