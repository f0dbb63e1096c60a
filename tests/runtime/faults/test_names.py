"""Any name that the file system allows goes in and comes out."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from cyclegan_edge.runtime import video
from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.sinks import write_picture
from cyclegan_edge.runtime.sources import read_picture
from cyclegan_edge.runtime.video import open_video, video_sink

LATIN = os.fsdecode(b"caf\xe9")  # no UTF-8
STRANGE = [LATIN, "100%d", "%05d of", "-m", "a[1]", "a?fps=3", "a*b", "\n", "'\"", "a;b:c", " ", "日本", "#&=@"]


@pytest.fixture(autouse=True)
def linux():
    if sys.platform != "linux":
        pytest.skip("other systems refuse such names themselves")


def grey(level: int) -> np.ndarray:
    return np.full((16, 16, 3), level, np.uint8)


def test_pictures_of_any_name_are_a_job_that_can_be_resumed(translate, tmp_path):
    for name in STRANGE:
        write_picture(tmp_path / "in" / name / f"{name}.png", grey(100))
    done = translate(tmp_path / "in", tmp_path / "out")
    assert (done.code, done.summary["translated"]) == (0, len(STRANGE))
    for name in STRANGE:
        assert (read_picture(tmp_path / "out" / name / f"{name}.png") == 155).all()
    again = translate(tmp_path / "in", tmp_path / "out")
    assert (again.code, again.summary["skipped"]) == (0, len(STRANGE))


@pytest.mark.parametrize("name", STRANGE)
def test_a_picture_of_any_name_goes_to_any_name(name, translate, tmp_path):
    write_picture(tmp_path / f"{name}.png", grey(100))
    (tmp_path / "out").mkdir()
    assert translate(tmp_path / f"{name}.png", tmp_path / "out").code == 0
    assert translate(tmp_path / f"{name}.png", tmp_path / "other" / f"{name}.png").code == 0
    for folder in ("out", "other"):
        assert (read_picture(tmp_path / folder / f"{name}.png") == 155).all()


@pytest.mark.parametrize("library", ["pyav", "opencv"])
@pytest.mark.parametrize("name", STRANGE)
def test_a_video_of_any_name_goes_to_any_name(name, library, translate, tmp_path, monkeypatch):
    monkeypatch.setattr(video, "has_pyav", lambda: library == "pyav")
    with video_sink(tmp_path / "a.mp4", 25) as write:
        for _ in range(3):
            write(Frame(grey(100), Path("a")))
    film = shutil.move(tmp_path / "a.mp4", tmp_path / f"{name}.mp4")
    (tmp_path / "out").mkdir()
    assert translate(film, tmp_path / "out").code == 0
    assert translate(film, tmp_path / "other" / f"{name}.mp4").code == 0
    for folder in ("out", "other"):
        frames = list(open_video(tmp_path / folder / f"{name}.mp4"))
        assert len(frames) == 3
        assert abs(frames[0].pixels.mean() - 155) < 4


def test_the_sentence_on_standard_output_has_the_name_itself(cyclegan, model, tmp_path, capfdbinary):
    write_picture(tmp_path / "a.png", grey(100))
    target = tmp_path / f"{LATIN}.png"
    options = ["-i", tmp_path / "a.png", "-o", target, "--backend", "onnxruntime"]
    assert cyclegan("translate", "-m", model("invert"), *options) == 0
    assert b"caf\xe9.png" in capfdbinary.readouterr().out


@pytest.mark.parametrize("name", ["f_%03d.png", "./f_%03d.png"])
def test_a_sequence_is_not_written_onto_itself(name, translate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        write_picture(Path(f"f_{number:03d}.png"), grey(100))
    for options in ((), ("--overwrite",)):
        done = translate("f_%03d.png", name, options=options)
        assert done.code == 2
        assert "is an input" in done.said
    assert (read_picture(Path("f_001.png")) == 100).all()


def test_a_sequence_replaces_nothing_unless_told(translate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_picture(Path("old_002.png"), grey(7))
    assert translate("test:bars?size=64x48&frames=3", "old_%03d.png").code == 2
    assert (read_picture(Path("old_002.png")) == 7).all()
    assert translate("test:bars?size=64x48&frames=3", "old_%03d.png", options=("--overwrite",)).code == 0


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_an_output_that_is_the_input_under_another_name_is_refused(link, translate, tmp_path):
    write_picture(tmp_path / "in" / "a.png", grey(100))
    (tmp_path / "out").mkdir()
    link(tmp_path / "in" / "a.png", tmp_path / "out" / "a.png")
    for source, target in (("in/a.png", "out/a.png"), ("in", "out"), ("in/*.png", "out")):
        done = translate(tmp_path / source, tmp_path / target, options=("--overwrite",))
        assert done.code == 2
        assert "input" in done.said
    assert (read_picture(tmp_path / "in" / "a.png") == 100).all()
