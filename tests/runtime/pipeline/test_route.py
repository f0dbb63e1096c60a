"""What the user named becomes a source and a sink, or a sentence that says why not."""

from pathlib import Path

import numpy as np
import pytest

from cyclegan_edge.runtime.control import Control
from cyclegan_edge.runtime.errors import InputError, UsageError
from cyclegan_edge.runtime.pipeline.endpoints import Endpoints, connect
from cyclegan_edge.runtime.pipeline.outputs import OutputOptions
from cyclegan_edge.runtime.sinks import write_picture
from cyclegan_edge.runtime.sources import Frame
from cyclegan_edge.runtime.video import video_sink


@pytest.fixture
def place(tmp_path):
    picture = np.zeros((8, 8, 3), np.uint8)
    for name in ("in/a.png", "in/below/b.png", "alone.png"):
        write_picture(tmp_path / name, picture)
    with video_sink(tmp_path / "clip.mp4", 10) as write:
        write(Frame(picture, tmp_path))
    (tmp_path / "clip.wmv").write_bytes((tmp_path / "clip.mp4").read_bytes())
    return tmp_path


def wire(given: Path, output: Path, *, overwrite: bool = False) -> Endpoints:
    return connect(str(given), [str(output)], Control(), OutputOptions(overwrite=overwrite))


@pytest.mark.parametrize(
    ("given", "output", "target"),
    [
        ("alone.png", "new", "new/alone.png"),
        ("alone.png", "new.jpg", "new.jpg"),
        ("alone.png", "in", "in/alone.png"),
        ("clip.mp4", "new", "new/clip.mp4"),
        ("clip.mp4", "new.AVI", "new.AVI"),
    ],
)
def test_a_file_goes_to_a_file_or_into_a_folder(given, output, target, place):
    endpoints = wire(place / given, place / output)
    assert endpoints.targets == [str(place / target)]
    assert endpoints.is_video == (given == "clip.mp4")


def test_a_finished_file_is_left_alone(place):
    for given, output in (("alone.png", "in/a.png"), ("clip.mp4", "clip.wmv/../clip2.mp4")):
        (place / "clip2.mp4").write_text("finished")
        endpoints = wire(place / given, (place / output).resolve())
        assert (list(endpoints.source), list(endpoints.outputs), endpoints.skipped, endpoints.is_video) == (
            [],
            [],
            1,
            False,
        )


@pytest.mark.parametrize(
    ("given", "output", "message"),
    [
        ("alone.png", "alone.png", "the output is the input"),
        ("alone.png", ".", "the output is the input"),
        ("clip.mp4", "clip.mp4", "the output is the input"),
        ("alone.png", "new.mp4", r"cannot be written as .*new\.mp4; name a file that ends in \.avif"),
        ("clip.mp4", "new.png", r"cannot be written as .*new\.png; name a file that ends in \.avi"),
        ("clip.wmv", "new", r"cannot be written as .*new/clip\.wmv"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_outputs_that_do_not_go_with_the_input(given, output, message, overwrite, place):
    with pytest.raises(UsageError, match=message):
        wire(place / given, place / output, overwrite=overwrite)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nothing", "there is no file or folder"),
        ("nothing.png", "there is no file or folder"),
        ("text.txt", "is no picture or video that is known by its name"),
        ("text.png", "damaged or no picture"),
        ("text.mp4", "damaged or no video"),
    ],
)
def test_inputs_that_cannot_be_read(given, message, place):
    for name in ("text.txt", "text.png", "text.mp4"):
        (place / name).write_text("x")
    with pytest.raises(InputError, match=message):
        wire(place / given, place / "out")
