"""A folder of films is one job, beside its pictures."""

import logging
from pathlib import Path

import numpy as np
import pytest

from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.jobs import films
from cyclegan_edge.runtime.sinks import write_picture
from cyclegan_edge.runtime.sources import read_picture
from cyclegan_edge.runtime.video import open_video, video_sink


@pytest.fixture
def folder(tmp_path) -> Path:
    pixels = np.full((32, 48, 3), 100, np.uint8)
    write_picture(tmp_path / "in/a.png", pixels)
    (tmp_path / "in/below").mkdir()
    for name in ("b.mp4", "below/c.mkv"):
        with video_sink(tmp_path / "in" / name, 25) as write:
            for _ in range(5):
                write(Frame(pixels, Path("x")))
    (tmp_path / "in/b.mp4").rename(tmp_path / "in/b.wmv")  # a name of a kind that is not written
    (tmp_path / "in/notes.txt").write_text("x")
    (tmp_path / "in/x.psd").write_text("x")
    return tmp_path / "in"


def test_films_and_pictures_are_one_job_that_can_be_resumed(folder, translate, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        done = translate(folder, tmp_path / "out")
    assert (done.code, done.summary["translated"], done.summary["failed"]) == (0, 3, 0)
    assert (read_picture(tmp_path / "out/a.png") == 155).all()
    for name in ("b.mp4", "below/c.mkv"):
        frames = list(open_video(tmp_path / "out" / name))
        assert len(frames) == 5
        assert abs(frames[0].pixels.mean() - 155) < 4
    assert "2 files of other kinds (" in caplog.text
    assert "notes.txt, x.psd" in caplog.text
    (tmp_path / "out/below/c.mkv").unlink()
    again = translate(folder, tmp_path / "out")
    assert (again.code, again.summary["translated"], again.summary["skipped"]) == (0, 1, 2)


def test_another_encoding_is_another_job(folder, translate, tmp_path):
    translate(folder, tmp_path / "out")
    again = translate(folder, tmp_path / "out", options=("--crf", "40"))
    assert again.summary["translated"] == 3


def test_films_are_deinterlaced_on_request(folder, translate, tmp_path, monkeypatch):
    translate(folder, tmp_path / "out")
    asked = []

    def spy(path, *, deinterlace):
        asked.append(deinterlace)
        return open_video(path, deinterlace=deinterlace)

    monkeypatch.setattr(films, "open_video", spy)
    again = translate(folder, tmp_path / "out", options=("--deinterlace",))
    assert (again.code, again.summary["translated"]) == (0, 3)
    assert asked == [True, True]


@pytest.mark.parametrize("options", [("--view", "split"), ("--overlay",), ("--policy", "latest")])
def test_options_of_streams_are_refused_for_a_folder(options, folder, translate, tmp_path):
    done = translate(folder, tmp_path / "out", options=options)
    assert done.code == 2
    assert "is a folder: leave out --view, --overlay and --policy" in done.said


def test_a_damaged_film_costs_itself_only(folder, translate, tmp_path):
    (folder / "b.wmv").write_bytes(b"no film")
    done = translate(folder, tmp_path / "out")
    assert (done.code, done.summary["translated"], done.summary["failed"]) == (1, 2, 1)
    assert translate(folder, tmp_path / "out").summary["failed"] == 1  # as it was before
    assert (tmp_path / "out/below/c.mkv").exists()


def test_a_film_that_is_cut_short_is_told_and_kept(folder, translate, tmp_path):
    data = (folder / "below/c.mkv").read_bytes()
    (folder / "below/c.mkv").write_bytes(data[: len(data) * 2 // 3])
    done = translate(folder, tmp_path / "out")
    assert done.code == 1
    assert done.summary["failed"] == 1
