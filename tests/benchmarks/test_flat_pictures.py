"""The benchmark of floors, and what a floor does to a film that fades to black, with trained weights."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cyclegan_edge.export.graph.norm_floor import floor_generator
from cyclegan_edge.export.graph.onnx_export import export_onnx
from cyclegan_edge.export.quantization.calibration import read_calibration
from cyclegan_edge.runtime.translator import load


@pytest.fixture(scope="module")
def benchmark(load_benchmark):
    return load_benchmark("flat_pictures")


@pytest.fixture(scope="module")
def example(emoji):
    return emoji.parent / "flat2three" / "flat2three-AtoB-fp16.onnx"


@pytest.fixture(scope="module")
def generator(benchmark, example, emoji):
    return benchmark.generator_of(example, emoji)


def test_weights_that_are_read_back_translate_as_the_artefact_does(generator, example, emoji, tmp_path):
    picture = np.asarray(Image.open(sorted((emoji / "testA").iterdir())[0]).convert("RGB").resize((64, 64)))
    export_onnx(generator, tmp_path / "again.onnx", precision="fp16")
    with load(example, backend="onnxruntime") as first, load(tmp_path / "again.onnx", backend="onnxruntime") as second:
        assert np.abs(first(picture).astype(int) - second(picture)).max() <= 1


@pytest.fixture(scope="module")
def fade(emoji):
    """A film that fades to black over 24 frames, with the noise of a camera: uint8 [26, 64, 64, 3]."""
    picture = np.asarray(Image.open(sorted((emoji / "testA").iterdir())[3]).convert("RGB").resize((64, 64)))
    noise = np.random.default_rng(0).integers(-1, 2, (26, 64, 64, 3))
    brightness = np.concatenate([np.linspace(1, 0, 24) ** 2, [0, 0]])[:, None, None, None]
    return np.clip(np.rint(picture * brightness) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_film_fades_to_black_smoothly_behind_a_floor_and_to_confetti_without(
    backend, generator, fade, emoji, tmp_path
):
    calibration = read_calibration(sorted((emoji / "trainA").iterdir()), generator, None)
    translated = {}
    for floor in (0.0, 3.0):
        path = tmp_path / f"{floor:g}.onnx"
        export_onnx(floor_generator(generator, calibration, floor) if floor else generator, path)
        with load(path, backend=backend) as translator:
            translated[floor] = np.stack([translator(frame) for frame in fade]).astype(np.float32)
    changes = {floor: np.abs(np.diff(film, axis=0)).mean((1, 2, 3)) for floor, film in translated.items()}
    black = {floor: film[-3:].std((1, 2)).max() for floor, film in translated.items()}
    assert changes[3.0].max() < 16  # of 255, from any frame to the next
    assert changes[3.0][-2:].max() < 4  # black frames differ in their noise alone
    assert black[3.0] <= 4
    assert changes[0.0].max() > 50
    assert changes[0.0][-2:].min() > 20
    assert black[0.0] > 20


@pytest.mark.slow
def test_the_benchmark_measures_every_floor_beside_none(benchmark, example, emoji, tmp_path):
    options = [str(example), "--dataroot", str(emoji), "--floor", "1", "--floor", "10", "--output", str(tmp_path)]
    done = CliRunner().invoke(benchmark.main, options, catch_exceptions=False)
    assert done.exit_code == 0
    rows = json.loads((tmp_path / "flat_pictures.json").read_text())["rows"]
    assert [row["floor"] for row in rows] == [0, 1, 10]
    deviations = [row["deviation"]["gray"] for row in rows]
    assert deviations == sorted(deviations, reverse=True)
    assert done.stdout.strip() == (tmp_path / "flat_pictures.md").read_text().strip()
