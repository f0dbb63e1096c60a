"""What the user named becomes a source and a sink, or a sentence that says why not."""

import numpy as np
import pytest

from cyclegan_edge.runtime.errors import InputError, UsageError
from cyclegan_edge.runtime.route import open_route
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


def names(route):
    return [frame.name.as_posix() for frame in route.source]


def test_a_folder_keeps_every_name(place):
    route = open_route(place / "in", place / "out.v2", overwrite=False)
    assert names(route) == ["a.png", "below/b.png"]
    assert (route.output, route.skipped, route.is_video) == (place / "out.v2", 0, False)


def test_finished_files_are_left_alone_unless_told(place):
    write_picture(place / "out/below/b.png", np.ones((8, 8, 3), np.uint8))
    route = open_route(place / "in", place / "out", overwrite=False)
    assert (names(route), route.skipped) == (["a.png"], 1)
    route = open_route(place / "in", place / "out", overwrite=True)
    assert (names(route), route.skipped) == (["a.png", "below/b.png"], 0)


def test_an_output_inside_the_input_is_not_read_again(place):
    write_picture(place / "in/out/c.png", np.zeros((8, 8, 3), np.uint8))
    assert names(open_route(place / "in", place / "in/out", overwrite=False)) == ["a.png", "below/b.png"]


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
    route = open_route(place / given, place / output, overwrite=False)
    assert route.output == place / target
    assert route.is_video == (given == "clip.mp4")


def test_a_finished_file_is_left_alone(place):
    for given, output in (("alone.png", "in/a.png"), ("clip.mp4", "clip.wmv/../clip2.mp4")):
        (place / "clip2.mp4").write_text("finished")
        route = open_route(place / given, (place / output).resolve(), overwrite=False)
        assert (names(route), route.skipped, route.is_video) == ([], 1, False)


@pytest.mark.parametrize(
    ("given", "output", "message"),
    [
        ("in", "in", "the output is the input"),
        ("in", "in/below/..", "the output is the input"),
        ("alone.png", "alone.png", "the output is the input"),
        ("alone.png", ".", "the output is the input"),
        ("clip.mp4", "clip.mp4", "the output is the input"),
        ("in", "alone.png", "the output must be one too"),
        ("in", "new.mp4", "the output must be one too"),
        ("alone.png", "new.mp4", r"cannot be written as .*new\.mp4; name a file that ends in \.bmp"),
        ("clip.mp4", "new.png", r"cannot be written as .*new\.png; name a file that ends in \.avi"),
        ("clip.wmv", "new", r"cannot be written as .*new/clip\.wmv"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_outputs_that_do_not_go_with_the_input(given, output, message, overwrite, place):
    with pytest.raises(UsageError, match=message):
        open_route(place / given, place / output, overwrite=overwrite)


def test_links_do_not_hide_that_an_input_would_be_written(place):
    (place / "link").symlink_to(place / "in")
    with pytest.raises(UsageError, match="the output is the input"):
        open_route(place / "in", place / "link", overwrite=True)
    (place / "out").mkdir()
    (place / "out/below").symlink_to(place / "in/below")
    with pytest.raises(UsageError, match=r"out/below/b\.png is one of the inputs"):
        open_route(place / "in", place / "out", overwrite=True)


def test_a_name_below_that_leads_back_to_an_input(place):
    write_picture(place / "in/in/a.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UsageError, match=r"in/a\.png is one of the inputs"):
        open_route(place / "in", place, overwrite=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nothing", "there is no file or folder"),
        ("nothing.png", "there is no file or folder"),
        ("text.txt", "is no picture or video that is known by its name"),
        ("text.png", "damaged or no picture"),
        ("text.mp4", "damaged or no video"),
        ("empty", "there is no picture in"),
    ],
)
def test_inputs_that_cannot_be_read(given, message, place):
    (place / "empty").mkdir()
    for name in ("text.txt", "text.png", "text.mp4"):
        (place / name).write_text("x")
    with pytest.raises(InputError, match=message):
        open_route(place / given, place / "out", overwrite=False)
