"""What the user named becomes a source and sinks, or a sentence that says why not."""

import numpy as np
import pytest

from cyclegan_edge.runtime.control import Control
from cyclegan_edge.runtime.errors import InputError, OutputError, UsageError
from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.pipeline.endpoints import Endpoints, connect
from cyclegan_edge.runtime.pipeline.outputs import OutputOptions
from cyclegan_edge.runtime.sinks import write_picture
from cyclegan_edge.runtime.sources import PictureSource, SinglePicture
from cyclegan_edge.runtime.sources.bars import BarsSource
from cyclegan_edge.runtime.sources.live import LiveSource
from cyclegan_edge.runtime.sources.raw import RawSource
from cyclegan_edge.runtime.sources.sequence import SequenceSource
from cyclegan_edge.runtime.video import video_sink


@pytest.fixture
def place(tmp_path, monkeypatch):
    picture = np.zeros((8, 8, 3), np.uint8)
    for name in ("a.png", "in/b.png", "in/below/c.jpg", "f_1.png", "f_2.png", "[1].png"):
        write_picture(tmp_path / name, picture)
    with video_sink(tmp_path / "clip.mp4", 10) as write:
        write(Frame(picture, tmp_path))
    (tmp_path / "done.mp4").write_text("finished")
    (tmp_path / "done.png").write_text("finished")
    (tmp_path / "notes.txt").write_text("x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    return tmp_path


def wire(given: str, *outputs: str, overwrite: bool = False) -> Endpoints:
    return connect(given, outputs, Control(), OutputOptions(overwrite=overwrite))


@pytest.mark.parametrize(
    ("given", "kind", "live"),
    [
        ("0", LiveSource, True),
        ("/dev/video3", LiveSource, True),
        ("2?size=640x480", LiveSource, True),
        ("test:bars?frames=3", BarsSource, False),
        ("test:bars?live=yes", BarsSource, True),
        ("screen:1", LiveSource, True),
        ("-?size=4x4", RawSource, False),
        ("f_%d.png", SequenceSource, False),
        ("in/*.png", PictureSource, False),
        ("in/**/*", PictureSource, False),
        ("a.png", SinglePicture, False),
        ("[1].png", SinglePicture, False),  # a file of this name comes before the pattern
    ],
)
def test_sources_by_how_they_are_written(given, kind, live, place):
    endpoints = wire(given, "null")
    assert type(endpoints.source) is kind
    assert endpoints.source.live == live


def test_a_pattern_keeps_the_tree_below_its_fixed_part(place):
    endpoints = wire("in/**/*", "out")
    assert [frame.name.as_posix() for frame in endpoints.source] == ["b.png", "below/c.jpg"]


@pytest.mark.parametrize(
    ("given", "outputs", "made", "skipped"),
    [
        ("a.png", ["done.png", "new.png"], ["new.png"], 1),
        ("a.png", ["done.png"], ["done.png"], 1),
        ("clip.mp4", ["done.mp4", "null"], ["null"], 1),
        ("clip.mp4", ["new", "f/%04d.png"], ["new/clip.mp4", "f/%04d.png"], 0),
    ],
)
def test_finished_files_are_left_alone_and_the_others_made(given, outputs, made, skipped, place):
    endpoints = wire(given, *outputs)
    assert (list(endpoints.targets), endpoints.skipped) == (made, skipped)
    again = wire(given, *outputs, overwrite=True)
    assert (again.skipped, len(again.outputs)) == (0, len(outputs))


@pytest.mark.parametrize(
    ("given", "outputs", "error", "message"),
    [
        ("0", ["done.mp4"], UsageError, "done.mp4 exists; name another file"),
        ("0", ["new"], UsageError, "a moving picture cannot be written as new"),
        ("0", ["new.png"], UsageError, "numbered pictures such as"),
        ("0", ["null", "null"], UsageError, "an output is named twice"),
        ("0", ["window"], OutputError, "there is no display for a window"),
        ("0", ["http://0.0.0.0:80"], UsageError, "on this machine only"),
        ("0", ["http://127.0.0.1"], UsageError, "on this machine only"),
        ("0", ["http://127.0.0.1:99999"], UsageError, "on this machine only"),
        ("clip.mp4", ["clip.mp4"], UsageError, "the output is the input"),
        ("clip.mp4", ["new.png"], UsageError, "cannot be written as new.png"),
        ("in/*.png", ["in"], UsageError, "holds some of them"),
        ("in/*.png", ["new.png"], UsageError, "must be a folder"),
        ("in/*.gif", ["new"], InputError, "there is no picture in/*.gif"),
        ("nothing", ["new"], InputError, "there is no file or folder nothing"),
        ("notes.txt", ["new"], InputError, "no picture or video that is known by its name"),
        ("ftp://host/a.mp4", ["null"], InputError, "there is no file or folder"),
        ("test:card", ["null"], UsageError, "use test:bars"),
        ("f_%03d.png", ["null"], InputError, "there is no picture f_%03d.png"),
    ],
)
def test_what_does_not_go_is_told(given, outputs, error, message, place):
    with pytest.raises(error) as refusal:
        wire(given, *outputs)
    assert message in str(refusal.value)


def test_a_pattern_is_not_written_onto_itself_even_when_told_to(place):
    with pytest.raises(UsageError, match="the output is the input"):
        wire("in/*.png", "in", overwrite=True)
