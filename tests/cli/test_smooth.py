"""`--smooth` and `--skip-similar` through the command."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from cyclegan_edge.runtime.sinks import write_picture
from cyclegan_edge.runtime.sources import read_picture


@pytest.fixture(scope="module")
def same(tmp_path_factory) -> Path:
    """A foreign model that gives back its picture."""
    path = tmp_path_factory.mktemp("model") / "same.onnx"
    shape = ["batch", "height", "width", 3]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["translated"])],
        "same",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("translated", TensorProto.UINT8, shape)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.fixture
def translate(cyclegan, same, tmp_path):
    """Translate numbered pictures of a flickering scene; give the brightness of each result."""
    for number, level in enumerate((100, 108, 100, 108, 100)):
        write_picture(tmp_path / f"in/{number:03d}.png", np.full((48, 64, 3), level, np.uint8))

    def run(*options) -> list[float]:
        arguments = ["-m", same, "-i", tmp_path / "in/%03d.png", "-o", tmp_path / "out/%03d.png", "--overwrite"]
        assert cyclegan("translate", *arguments, "--device", "cpu", *options, "--json") == 0
        return [read_picture(path).mean() for path in sorted((tmp_path / "out").glob("*.png"))]

    return run


@pytest.mark.parametrize("mode", ["ema", "gated", "flow"])
def test_flicker_shrinks(mode, translate):
    plain = translate()
    steady = translate("--smooth", mode)
    assert len(steady) == len(plain) == 5
    assert max(abs(b - a) for a, b in pairwise(steady)) < 0.75 * max(abs(b - a) for a, b in pairwise(plain))


def test_the_strength_is_the_users(translate):
    assert translate("--smooth", "ema", "--smooth-strength", 0) == translate()
    assert translate("--smooth", "ema", "--smooth-strength", 0.5)[1] == 104


def test_what_is_similar_is_given_the_translation_before(translate, capsys):
    levels = translate("--skip-similar", 20)
    assert levels == [100] * 5
    assert json.loads(capsys.readouterr().out)["reused"] == 4


@pytest.mark.parametrize("option", [["--smooth", "flow"], ["--skip-similar", "40"]])
def test_a_folder_is_no_video(cyclegan, option, same, tmp_path, capsys):
    write_picture(tmp_path / "in/a.png", np.zeros((8, 8, 3), np.uint8))
    assert cyclegan("translate", "-m", same, "-i", tmp_path / "in", "-o", tmp_path / "out", *option) == 2
    assert "need frames that follow one another" in capsys.readouterr().err


class TestEvaluateVideo:
    @pytest.fixture
    def clip(self, cyclegan, same, tmp_path) -> Path:
        path = tmp_path / "clip.mkv"
        arguments = ["-m", same, "-i", "test:bars?size=160x120&frames=6", "-o", path, "--device", "cpu"]
        assert cyclegan("translate", *arguments) == 0
        return path

    def test_each_smoothing_is_scored_beside_none(self, cyclegan, same, clip, capsys):
        assert cyclegan("evaluate", same, "--video", clip, "--device", "cpu", "--json") == 0
        scores = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert [score["smoothing"] for score in scores] == ["off", "ema", "gated", "flow"]
        assert scores[0]["ssim"] == pytest.approx(1)
        assert all(score["psnr_db"] < 100 for score in scores[1:])
        assert all(0 <= score["warping_error"] < 0.1 for score in scores)

    def test_a_table_for_people(self, cyclegan, same, clip, capsys):
        capsys.readouterr()
        assert cyclegan("evaluate", same, "--video", clip, "--device", "cpu", "--limit", "3") == 0
        head, *rows = capsys.readouterr().out.splitlines()
        assert head.split() == ["smoothing", "warping", "error", "PSNR", "dB", "SSIM"]
        assert [row.split()[0] for row in rows] == ["off", "ema", "gated", "flow"]

    def test_one_frame_is_no_video(self, cyclegan, same, clip, capsys):
        assert cyclegan("evaluate", same, "--video", clip, "--device", "cpu", "--limit", "1") == 3
        assert "needs two frames" in capsys.readouterr().err

    def test_neither_a_dataset_nor_a_video(self, cyclegan, same, capsys):
        assert cyclegan("evaluate", same) == 2
        assert "or a --video" in capsys.readouterr().err
