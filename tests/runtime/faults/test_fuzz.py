"""Files with bytes that were changed, cut or made up: each gives pictures or one of our errors, and nothing else.

The examples are the same in every run: what fails here fails everywhere.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cyclegan_edge.runtime import video
from cyclegan_edge.runtime.contract import PICTURE_SUFFIXES
from cyclegan_edge.runtime.errors import InputError
from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.jobs.manifest import Manifest
from cyclegan_edge.runtime.sinks import write_picture
from cyclegan_edge.runtime.sources import read_whole
from cyclegan_edge.runtime.video import open_video, video_sink

FUZZ = settings(
    max_examples=250, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
SIDE = 24
SIGNATURES = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF....WEBPVP8 ", b"II*\0", b"P6\n", b"BM", b""]
VIDEOS = [".mp4", ".mkv", ".avi", ".webm"]

# A place as a share of the file, and what is written there.
changes = st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=6)), min_size=1, max_size=4)
heads = st.lists(st.tuples(st.floats(0, 0.1), st.binary(min_size=1, max_size=4)), min_size=1, max_size=3)
ends = st.one_of(st.just(1.0), st.floats(0, 1))


def damaged(data: bytes, changes: list[tuple[float, bytes]], end: float) -> bytes:
    result = bytearray(data[: round(len(data) * end)])
    for place, change in changes:
        start = round(place * len(result))
        result[start : start + len(change)] = change
    return bytes(result)


def outcome(path: Path) -> tuple[np.ndarray, bytes | None] | InputError:
    try:
        return read_whole(path)
    except InputError as error:
        return error


def check(read: tuple[np.ndarray, bytes | None] | InputError, path: Path) -> None:
    if isinstance(read, InputError):
        assert str(path) in str(read)
        return
    pixels, profile = read
    assert pixels.dtype in (np.uint8, np.uint16)
    assert pixels.ndim == 3
    assert pixels.shape[2] in (3, 4)
    assert profile is None or profile


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Callable[[str], bytes]:
    """Give a valid file of a format, of 8 bits and three channels or of 16 and four."""
    folder, noise = tmp_path_factory.mktemp("valid"), np.random.default_rng(0)
    for suffix in sorted(PICTURE_SUFFIXES):
        for channels, dtype in ((3, np.uint8), (4, np.uint16)):
            pixels = noise.integers(0, np.iinfo(dtype).max, (SIDE, SIDE, channels), dtype=dtype)
            write_picture(folder / f"{channels}{suffix}", pixels)
    return lambda name: (folder / name).read_bytes()


@given(
    name=st.sampled_from([f"{channels}{suffix}" for suffix in sorted(PICTURE_SUFFIXES) for channels in (3, 4)]),
    changes=st.one_of(changes, heads),
    end=ends,
)
@FUZZ
def test_a_damaged_picture_is_read_or_refused(picture, tmp_path_factory, name, changes, end):
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(damaged(picture(name), changes, end))
    check(outcome(path), path)


@given(head=st.sampled_from(SIGNATURES), tail=st.binary(max_size=200))
@FUZZ
def test_made_up_bytes_are_refused(tmp_path_factory, head, tail):
    path = tmp_path_factory.getbasetemp() / "made-up.png"
    path.write_bytes(head + tail)
    check(outcome(path), path)


def test_a_picture_too_large_for_memory_is_refused(tmp_path):
    """A header of a few bytes that promises 4 gigapixels."""
    (tmp_path / "a.ppm").write_bytes(b"P6\n65000 65000\n255\n" + bytes(1000))
    assert isinstance(outcome(tmp_path / "a.ppm"), InputError)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Callable[[str], bytes]:
    """Give a valid video in a container."""
    folder, noise = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    for suffix in VIDEOS:
        with video_sink(folder / f"a{suffix}", 25) as write:
            for _ in range(8):
                write(Frame(noise.integers(0, 256, (32, 48, 3), dtype=np.uint8), folder))
    return lambda suffix: (folder / f"a{suffix}").read_bytes()


def played(path: Path) -> list[Frame | InputError]:
    """Give what a video holds, and last the error that ended it."""
    items: list[Frame | InputError] = []
    try:
        for item in open_video(path):
            items.append(item)
            assert len(items) < 1000
    except InputError as error:
        items.append(error)
    return items


@pytest.mark.parametrize("library", ["pyav", "opencv"])
@given(suffix=st.sampled_from(VIDEOS), changes=st.one_of(changes, heads), end=ends)
@settings(FUZZ, max_examples=100)
def test_a_damaged_video_gives_frames_and_errors(clip, tmp_path_factory, library, suffix, changes, end):
    path = tmp_path_factory.getbasetemp() / f"a{suffix}"
    path.write_bytes(damaged(clip(suffix), changes, end))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video, "has_pyav", lambda: library == "pyav")
        items = played(path)
    assert items
    for item in items:
        if isinstance(item, InputError):
            assert path.name in str(item)
        else:
            assert (item.pixels.dtype, item.pixels.ndim, item.pixels.shape[2]) == (np.uint8, 3, 3)


@given(data=st.binary(max_size=300))
@FUZZ
def test_any_bytes_are_a_manifest(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "manifest.jsonl"
    path.write_bytes(data)
    assert all(isinstance(record.work.path, str) for record in Manifest(path).records())
