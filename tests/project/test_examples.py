"""The scripts under examples/ do what they say."""

import runpy
import sys
from pathlib import Path

import cv2
import onnx
import pytest
import torch
from onnx import TensorProto, helper

import cyclegan_edge
from cyclegan_edge.trainer.checkpoints.checkpoint import save_checkpoint
from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.methods.cyclegan import CycleGAN

BARS = "test:bars?size=160x120&fps=2&frames=30"


@pytest.fixture(scope="module")
def artefact(tmp_path_factory) -> Path:
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
def run(root, artefact, monkeypatch):
    def script(name: str, *arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", [name, str(artefact), *map(str, arguments)])
        runpy.run_path(str(root / "examples" / name), run_name="__main__")

    return script


def test_webcam(run, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(cv2, "imshow", lambda title, picture: shown.append(picture))
    monkeypatch.setattr(cv2, "waitKey", lambda wait: ord("q") if len(shown) == 5 else -1)
    run("webcam.py", BARS)
    assert len(shown) == 5
    assert shown[0].shape == (120, 160, 3)
    assert "frames a second, dropped 0" in capsys.readouterr().out


def test_video(run, artefact, tmp_path, capsys):
    clip, translated = tmp_path / "clip.mp4", tmp_path / "translated.mp4"
    with cyclegan_edge.load(artefact) as translator:
        translator.stream(BARS, sink=clip).run()
    run("video.py", clip, translated)
    assert "30 frames in" in capsys.readouterr().out
    assert translated.is_file()
    assert [path.name for path in sorted(tmp_path.glob("*.png"))] == [
        "translated.mp4.0000.png",
        "translated.mp4.0010.png",
    ]


def test_train(root, emoji, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train.py", str(emoji), str(tmp_path / "run"), "20"])
    runpy.run_path(str(root / "examples" / "train.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("step 20 of 20, cycle loss 0.")
    assert (
        lines[1] == f"resume it from {tmp_path / 'run' / 'checkpoints' / 'latest.pt'}; the best validation so far: None"
    )


def test_pictures(run, emoji, capsys):
    names = sorted(emoji.glob("testA/*.webp"))[:3]
    run("pictures.py", *names)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all("mean change 0.0 of 255" in line for line in lines)


@pytest.mark.slow
def test_export(root, tmp_path, monkeypatch, capsys):
    config = resolve_config(
        {"data": {"crop_size": 32}, "networks": {"generator": "resnet_1blocks", "ngf": 4, "ndf": 4}}
    )
    state = CycleGAN(config, torch.device("cpu")).state_dict()
    save_checkpoint(tmp_path / "mine" / "checkpoints" / "latest.pt", config, {"step": 1, "epoch": 1}, state)
    monkeypatch.setattr(sys, "argv", ["export.py", str(tmp_path / "mine"), str(tmp_path)])
    runpy.run_path(str(root / "examples" / "export.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        f"{tmp_path / f'mine-{direction}-fp16.onnx'} passed" for direction in ("AtoB", "BtoA")
    ]
    assert any(line.startswith("  onnxruntime fp16, noise at 32x32: ") for line in lines)
