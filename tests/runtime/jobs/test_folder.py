"""A folder goes to a folder: what is refused, what is left alone, and what the result says."""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Timer

import numpy as np
import pytest

from cyclegan_edge.runtime.errors import ArtefactError, InputError, UsageError
from cyclegan_edge.runtime.jobs.folder import FolderOptions, FolderResult, translate_folder
from cyclegan_edge.runtime.jobs.manifest import NAME, Manifest
from cyclegan_edge.runtime.pipeline.run import Control
from cyclegan_edge.runtime.sinks import write_picture
from cyclegan_edge.runtime.sources import read_picture
from cyclegan_edge.runtime.translator import LoadOptions

OPTIONS = LoadOptions(backend="onnxruntime", device="cpu")


@contextmanager
def silent(total):
    yield lambda stats: None


@pytest.fixture
def place(tmp_path) -> Path:
    for name in ("in/a.png", "in/below/b.png", "alone.png"):
        write_picture(tmp_path / name, np.full((8, 8, 3), 100, np.uint8))
    return tmp_path


@pytest.fixture
def translate(place, model):
    def run(given: str, output: str, *, load_options=OPTIONS, control=None, artefact=None, **options) -> FolderResult:
        return translate_folder(
            place / given,
            place / output,
            artefact or model("invert"),
            load_options,
            FolderOptions(**options),
            batch_size=2,
            progress=silent,
            control=control,
        )

    return run


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def test_a_folder_keeps_every_name(translate, place):
    result = translate("in", "out.v2")
    assert written(place / "out.v2") == ["a.png", "below/b.png"]
    assert (read_picture(place / "out.v2/a.png") == 155).all()
    summary = result.summary()
    assert (summary["translated"], summary["skipped"], summary["failed"], summary["read"]) == (2, 0, 0, 2)
    assert (summary["engine"], summary["device"], summary["precision"]) == ("onnxruntime", "cpu", "fp32")
    assert summary["output"] == str(place / "out.v2")


def test_what_was_done_is_left_alone_unless_told(translate):
    translate("in", "out")
    assert translate("in", "out").summary()["skipped"] == 2
    assert translate("in", "out", overwrite=True).summary()["translated"] == 2


def test_the_engine_may_change_and_the_pixels_may_not(translate):
    translate("in", "out")
    assert translate("in", "out", load_options=replace(OPTIONS, backend="openvino")).summary()["skipped"] == 2
    stretched = replace(OPTIONS, fit="stretch", size=(16, 16))
    assert translate("in", "out", load_options=stretched).summary()["translated"] == 2


def test_failures_of_an_earlier_run_are_counted_until_they_are_tried_again(translate, place):
    (place / "in/c.png").write_bytes(b"damaged")
    assert translate("in", "out").summary()["failed"] == 1
    again = translate("in", "out").summary()
    assert (again["translated"], again["skipped"], again["failed"], again["read"]) == (0, 2, 1, 1)
    write_picture(place / "in/c.png", np.zeros((8, 8, 3), np.uint8))
    assert translate("in", "out", retry_failed=True).summary()["failed"] == 0


def test_an_output_inside_the_input_is_not_read_again(translate, place):
    for _ in range(2):
        translate("in", "in/out", overwrite=True)
    assert written(place / "in/out") == ["a.png", "below/b.png"]


def test_a_watch_ends_well_when_it_is_stopped(translate, place):
    control = Control()
    Timer(1.6, control.stop.set).start()
    result = translate("in", "out", control=control, watch=True)
    assert (result.stats.frames, result.stats.failed) == (2, 0)
    assert written(place / "out") == ["a.png", "below/b.png"]


@pytest.mark.parametrize(
    ("given", "output", "options", "message"),
    [
        ("in", "in", {}, "the output is the input"),
        ("in", "in/below/..", {"overwrite": True}, "the output is the input"),
        ("in", "alone.png", {}, "the output must be one too"),
        ("in", "new.mp4", {"overwrite": True}, "the output must be one too"),
        ("in", "out", {"watch": True, "overwrite": True}, "leave one out"),
        ("in", "out", {"watch": True, "ray": "auto"}, "leave one out"),
    ],
)
def test_what_does_not_go_together(given, output, options, message, translate):
    with pytest.raises(UsageError, match=message):
        translate(given, output, **options)


def test_links_do_not_hide_that_an_input_would_be_written(translate, place):
    (place / "link").symlink_to(place / "in")
    with pytest.raises(UsageError, match="the output is the input"):
        translate("in", "link", overwrite=True)
    (place / "out").mkdir()
    (place / "out/below").symlink_to(place / "in/below")
    with pytest.raises(UsageError, match=r"out/below/b\.png is one of the inputs"):
        translate("in", "out", overwrite=True)


def test_a_name_below_that_leads_back_to_an_input(translate, place):
    write_picture(place / "in/in/a.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UsageError, match=r"in/a\.png is one of the inputs"):
        translate("in", ".", overwrite=True)


def test_an_empty_folder_and_a_missing_model(translate, place):
    (place / "empty").mkdir()
    with pytest.raises(InputError, match="there is no picture in"):
        translate("empty", "out")
    with pytest.raises(ArtefactError, match="there is no model file"):
        translate("in", "out", artefact=place / "nothing.onnx")
    assert not (place / "out").exists()


def test_the_manifest_tells_what_became_of_each_file(translate, place):
    (place / "in/c.png").write_bytes(b"damaged")
    translate("in", "out")
    records = {record.work.path: record for record in Manifest(place / "out" / NAME).records()}
    assert {path: record.status for path, record in records.items()} == {
        "a.png": "done",
        "below/b.png": "done",
        "c.png": "failed",
    }
    assert records["a.png"].seconds > 0
    assert records["a.png"].work.size == (place / "in/a.png").stat().st_size
    assert "c.png is damaged" in records["c.png"].error
