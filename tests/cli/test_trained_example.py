"""The trained example under `examples/`: it is there, small, and as good as its table says."""

import json

import pytest


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_it_measures_as_its_table_says(cyclegan, emoji, capsys, direction):
    folder = emoji.parent / "flat2three"
    told = json.loads((folder / "metrics.json").read_text())[direction]
    artefact = folder / f"flat2three-{direction}-fp16.onnx"
    assert artefact.stat().st_size < 10 * 2**20
    assert cyclegan("evaluate", artefact, emoji, "--size", 64, "--backend", "onnxruntime", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    for kind in ("metrics", "untranslated"):
        for name, value in told[kind].items():
            assert found[kind][name] == pytest.approx(value, rel=0.01, abs=0.02), name
    shown = (folder / "README.md").read_text()
    for name, places in (("psnr", 2), ("ssim", 3), ("gmsd", 3), ("swd", 1), ("colour", 2)):
        assert f"{told['metrics'][f'{name}_{direction}']:.{places}f}" in shown
