"""The trained examples under `examples/`: they are there, small, and as good as their table says."""

import json

import numpy as np
import pytest

from cyclegan_edge.runtime.translator import load


@pytest.mark.parametrize(
    ("name", "megabytes"), [("AtoB", 10), ("BtoA", 10), ("small-AtoB", 1), ("edge-AtoB", 1), ("edge-BtoA", 1)]
)
def test_it_measures_as_its_table_says(cyclegan, emoji, capsys, name, megabytes):
    folder = emoji.parent / "flat2three"
    told = json.loads((folder / "metrics.json").read_text())[name]
    artefact = folder / f"flat2three-{name}-fp16.onnx"
    assert artefact.stat().st_size < megabytes * 2**20
    assert cyclegan("evaluate", artefact, emoji, "--size", 64, "--backend", "onnxruntime", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    for kind in ("metrics", "untranslated"):
        for metric, value in told[kind].items():
            assert found[kind][metric] == pytest.approx(value, rel=0.01, abs=0.02), metric
    shown = (folder / "README.md").read_text()
    direction = name.rpartition("-")[2]
    for metric, places in (("psnr", 2), ("ssim", 3), ("gmsd", 3), ("swd", 1), ("colour", 2)):
        assert f"{told['metrics'][f'{metric}_{direction}']:.{places}f}" in shown


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_flat_frames_stay_flat_and_keep_their_shade(emoji, direction, engine):
    translator = load(emoji.parent / "flat2three" / f"flat2three-edge-{direction}-fp16.onnx", backend=engine)
    noise = np.random.default_rng(0).integers(-1, 2, (128, 128, 3))
    for shade in (0, 128, 255):
        frame = np.clip(shade + noise, 0, 255).astype(np.uint8)
        translated = translator(frame)
        assert translated.std(axis=(0, 1)).max() < 6  # 40 without a floor under the norms
        assert abs(translated.mean() - shade) < 25
