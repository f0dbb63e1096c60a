"""A file that blocks whoever opens it costs a minute and no more."""

import os
from threading import Event

import numpy as np
import pytest

from cyclegan_edge.runtime.errors import InputError, StreamError
from cyclegan_edge.runtime.jobs import films
from cyclegan_edge.runtime.pipeline import endpoints, opening
from cyclegan_edge.runtime.pipeline.opening import open_in_time
from cyclegan_edge.runtime.sinks import write_picture


@pytest.fixture
def hanging(monkeypatch):
    """A function that does not come back before the end of the test, where patience is short."""
    monkeypatch.setattr(opening, "PATIENCE", 0.3)
    released = Event()
    yield lambda *given, **options: released.wait(60)
    released.set()


def test_what_is_opened_is_returned_and_its_error_raised():
    assert open_in_time(lambda: 3, "a") == 3

    def fail() -> None:
        raise InputError("damaged")

    with pytest.raises(InputError, match="damaged"):
        open_in_time(fail, "a")


def test_what_does_not_come_back_is_a_stream_that_hangs(hanging):
    with pytest.raises(StreamError, match=r"a\.mp4 gave no frame for 0\.3 s"):
        open_in_time(hanging, "a.mp4")


@pytest.mark.parametrize(("name", "opener"), [("a.mp4", "open_video"), ("a.png", "read_whole"), ("b.gif", "_look_at")])
def test_a_file_that_does_not_open_in_time_ends_the_run(name, opener, hanging, translate, tmp_path, monkeypatch):
    write_picture(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "a.mp4").write_bytes(b"x")
    monkeypatch.setattr(endpoints, opener, hanging)
    done = translate(tmp_path / name, tmp_path / f"out{name[1:]}")
    assert done.code == 3
    assert f"{name} gave no frame for 0.3 s" in done.said
    assert not (tmp_path / f"out{name[1:]}").exists()


def test_a_film_of_a_folder_that_does_not_open_in_time_costs_itself_only(
    hanging, translate, tmp_path, monkeypatch, caplog
):
    write_picture(tmp_path / "in/a.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "in/b.mp4").write_bytes(b"x")
    monkeypatch.setattr(films, "open_video", hanging)
    done = translate(tmp_path / "in", tmp_path / "out")
    assert (done.code, done.summary["translated"], done.summary["failed"]) == (1, 1, 1)
    assert "b.mp4 gave no frame for 0.3 s" in caplog.text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_told_from_a_file(translate, tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    done = translate(tmp_path / "a.mp4", tmp_path / "out.mp4")
    assert done.code == 3
    assert "is a pipe, which can be read but once; save it as a file" in done.said
