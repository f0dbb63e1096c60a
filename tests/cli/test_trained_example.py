"""The trained examples under `examples/`: they are there, small, and as good as their table says."""

import json

import pytest


@pytest.mark.parametrize(("name", "megabytes"), [("AtoB", 10), ("BtoA", 10), ("small-AtoB", 1)])
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
    direction = name.removeprefix("small-")
    for metric, places in (("psnr", 2), ("ssim", 3), ("gmsd", 3), ("swd", 1), ("colour", 2)):
        assert f"{told['metrics'][f'{metric}_{direction}']:.{places}f}" in shown
