"""`translator.stream`: every frame with its time, in order; and what happens when the loop or the run ends early."""

import threading
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest

from cyclegan_edge.runtime.errors import BackendError, CycleganError, InputError, UsageError
from cyclegan_edge.runtime.sinks import write_picture
from cyclegan_edge.runtime.sources.bars import read_barcode
from cyclegan_edge.runtime.translator import load
from cyclegan_edge.runtime.video import open_video

BARS = "test:bars?size=160x120&fps=30000/1001&frames=24"


@pytest.fixture
def translator(model):
    with load(model("invert"), backend="onnxruntime", device="cpu") as loaded:
        yield loaded


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def number(picture) -> int:
    return read_barcode(picture).number


def test_every_frame_comes_once_in_order_with_its_time(translator):
    stream = translator.stream(BARS)
    frames = list(stream)
    assert [number(frame.original) for frame in frames] == list(range(24))
    assert [frame.time for frame in frames] == [Fraction(1001 * i, 30000) for i in range(24)]
    assert all(np.array_equal(frame.pixels, 255 - frame.original) for frame in frames)
    assert (stream.stats.frames, stream.stats.interrupted) == (24, False)


def test_the_same_frames_go_into_a_file(translator, tmp_path):
    frames = list(translator.stream(BARS, sink=tmp_path / "out.mp4"))
    written = list(open_video(tmp_path / "out.mp4"))
    assert [frame.time for frame in written] == [frame.time for frame in frames]
    assert np.abs(written[7].pixels.astype(int) - frames[7].pixels).mean() < 8


def test_a_run_for_the_files_sake(translator, tmp_path):
    stats = translator.stream(BARS, sink=[tmp_path / "one.mp4", tmp_path / "two.mp4"]).run()
    assert stats.frames == 24
    assert all((tmp_path / name).is_file() for name in ("one.mp4", "two.mp4"))


def test_pictures_of_python(translator):
    pictures = (np.full((16, 24, 3), level, np.uint8) for level in range(5))
    assert [frame.pixels[0, 0, 0] for frame in translator.stream(pictures)] == [255, 254, 253, 252, 251]


def test_a_picture_file_has_no_time(translator, tmp_path):
    write_picture(tmp_path / "a.png", np.zeros((16, 16, 3), np.uint8))
    [frame] = translator.stream(tmp_path / "a.png")
    assert (frame.time, frame.pixels.min()) == (None, 255)


def test_leaving_the_loop_stops_the_run(translator):
    stream = translator.stream("test:bars?size=160x120&fps=30")  # without end
    with stream:
        taken = [number(frame.original) for frame in islice(stream, 3)]
    assert taken == [0, 1, 2]
    assert stream.stats.frames < 50


def test_a_stream_that_is_never_read_leaves_nothing(translator):
    translator.stream(BARS).close()


def test_a_live_source_gives_the_newest_to_a_slow_loop(translator):
    stream = translator.stream("test:bars?size=160x120&fps=100&live=yes&frames=60")
    seen = []
    for frame in stream:
        seen.append(number(frame.original))
        threading.Event().wait(0.05)
    assert seen == sorted(set(seen))
    assert len(seen) < 40
    assert len(seen) + stream.stats.dropped.total() == 60


def test_what_is_similar_is_not_translated_again(translator):
    stream = translator.stream([np.full((16, 16, 3), 9, np.uint8)] * 10, skip_similar=40.0)
    assert all((frame.pixels == 246).all() for frame in stream)
    assert stream.stats.reused == 9


def test_smoothing_blends_with_the_past(translator):
    pictures = [np.full((16, 16, 3), level, np.uint8) for level in (100, 110)]
    plain, steady = (list(translator.stream(pictures, smooth=mode))[1].pixels.mean() for mode in (None, "ema"))
    assert plain == 145
    assert 146 < steady < 155


class TestErrors:
    def test_an_engine_that_fails_is_raised_after_the_frames_before_it(self, translator, monkeypatch):
        infer, calls = translator.backend.infer, []

        def failing(batch):
            calls.append(batch)
            if len(calls) == 5:
                raise BackendError("the engine failed on frame 4")
            return infer(batch)

        monkeypatch.setattr(translator.backend, "infer", failing)
        seen = []
        with pytest.raises(BackendError, match="frame 4"):
            seen.extend(number(frame.original) for frame in translator.stream(BARS))
        assert seen == [0, 1, 2, 3]

    def test_an_error_of_the_loop_stops_the_run(self, translator):
        def loop() -> None:
            for frame in translator.stream(BARS):
                raise RuntimeError(number(frame.original))

        with pytest.raises(RuntimeError, match="0"):
            loop()

    def test_a_file_that_exists_is_replaced_only_when_told(self, translator, tmp_path):
        for overwrite in (False, True):
            assert translator.stream(BARS, tmp_path / "out.mp4", overwrite=overwrite).run().frames == 24
        with pytest.raises(UsageError, match="overwrite"):
            translator.stream(BARS, tmp_path / "out.mp4")
        translator.stream(tmp_path / "out.mp4", tmp_path / "copy.mp4").run()
        with pytest.raises(UsageError, match="overwrite=True"):
            translator.stream(tmp_path / "out.mp4", tmp_path / "copy.mp4")

    @pytest.mark.parametrize(
        ("source", "sink", "error", "message"),
        [
            ("nothing.mp4", (), InputError, "there is no file"),
            (BARS, "window", UsageError, "cv2.imshow"),
            ([], "out.mp4", UsageError, "write them in your loop"),
            (BARS, "out.xyz", UsageError, "cannot be written as"),
        ],
    )
    def test_what_cannot_be_opened_is_told_before_the_loop(self, source, sink, error, message, translator):
        with pytest.raises(error, match=message) as told:
            translator.stream(source, sink)
        assert isinstance(told.value, CycleganError)

    def test_an_unknown_smoothing(self, translator):
        with pytest.raises(UsageError, match="no smoothing is called"):
            translator.stream(BARS, smooth="slow")
