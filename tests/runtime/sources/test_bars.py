"""The test picture: every frame says its number and time, and whoever reads it wrongly notices."""

from pathlib import Path
from threading import Event
from time import perf_counter

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclegan_edge.runtime.errors import UsageError
from cyclegan_edge.runtime.sources.bars import Barcode, BarsSource, read_barcode, write_barcode
from cyclegan_edge.runtime.video import open_video, video_sink

sizes = st.tuples(st.integers(40, 200), st.integers(64, 300))


@given(number=st.integers(0, 2**32 - 1), microseconds=st.integers(0, 2**40 - 1), size=sizes)
def test_what_was_written_is_read(number, microseconds, size):
    picture = np.full((*size, 3), 90, np.uint8)
    write_barcode(picture, Barcode(number, microseconds / 1e6))
    for seen in (picture, 255 - picture, picture // 2 + 30):
        assert read_barcode(seen) == Barcode(number, microseconds / 1e6)


def test_it_survives_jpeg():
    picture = np.random.default_rng(0).integers(0, 256, (80, 128, 3), dtype=np.uint8)
    write_barcode(picture, Barcode(123456, 7.5))
    jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    assert read_barcode(cv2.imdecode(jpeg, cv2.IMREAD_COLOR)) == Barcode(123456, 7.5)


def test_a_video_of_it_tells_every_frame(tmp_path):
    source = BarsSource("test:bars?size=128x80&fps=30000/1001&frames=20", Event())
    with video_sink(tmp_path / "a.mp4", source.format.rate, like=source.format) as write:
        for frame in source:
            write(frame)
    for number, frame in enumerate(open_video(tmp_path / "a.mp4")):
        code = read_barcode(frame.pixels)
        assert code.number == number
        assert code.time == pytest.approx(float(frame.time), abs=1e-6)
    assert number == 19


@pytest.mark.parametrize("picture", [np.zeros((80, 128, 3)), np.full((80, 128, 3), 200), np.zeros((10, 10, 3))])
def test_what_is_no_frame_of_it_is_not_read(picture):
    with pytest.raises(ValueError, match=r"told apart|no room"):
        read_barcode(picture.astype(np.uint8))


@given(bit=st.integers(2, 79))
def test_one_wrong_block_is_noticed(bit):
    picture = np.zeros((40, 64, 3), np.uint8)
    write_barcode(picture, Barcode(1234, 5.6))
    row, column = divmod(bit, 16)
    block = picture[4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
    block[:] = 255 - block
    with pytest.raises(ValueError, match="damaged"):
        read_barcode(picture)


def test_live_it_comes_at_its_rate_and_tells_the_machines_time():
    source = BarsSource("test:bars?size=64x40&fps=50&frames=6&live=yes", Event())
    assert source.live
    start = perf_counter()
    times = [read_barcode(frame.pixels).time for frame in source]
    assert 0.1 <= perf_counter() - start < 2
    assert start <= times[0] <= times[-1] <= perf_counter()
    assert np.diff(times).min() > 0.005


def test_live_it_stops_when_told():
    stop = Event()
    frames = iter(BarsSource("test:bars?size=64x40&fps=0.1&live=yes", stop))
    next(frames)
    stop.set()
    assert next(frames, None) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("test:bar", "use test:bars"),
        ("test:bars?size=640", "size is a width and height such as 1280x720, not '640'"),
        ("test:bars?size=63x40", "use at least 64x40"),
        ("test:bars?fps=fast", "fps is a rate such as 30"),
        ("test:bars?fps=0", "between 0 and 1000"),
        ("test:bars?frames=-1", "frames is a number"),
        ("test:bars?frame=3", "did you mean frames?"),
        ("test:bars?live=maybe", "one of no, yes"),
    ],
)
def test_settings_that_are_wrong(text, message):
    with pytest.raises(UsageError) as refusal:
        BarsSource(text, Event())
    assert message in str(refusal.value)


def test_the_name_is_a_path_as_of_every_frame():
    frame = next(iter(BarsSource("test:bars?size=64x40", Event())))
    assert frame.name == Path("bars")
