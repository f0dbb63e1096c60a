"""The runtime where only the edge install is: every library of the training side refuses to be imported."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper

import cyclegan_edge
from cyclegan_edge.runtime.metadata import METADATA_KEY, ArtefactMetadata, SourceCheckpoint

EDGE = """
import sys

ABSENT = {"torch", "torchvision", "torchmetrics", "onnx", "onnxscript", "tensorboard", "matplotlib", "jinja2", "PIL"}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""

COMMAND = EDGE + "from cyclegan_edge.cli import main; main(sys.argv[1:])"

LIBRARY = (
    EDGE
    + """
import cv2, numpy, cyclegan_edge
picture = cv2.imread(sys.argv[2])[..., ::-1].copy()
translated = cyclegan_edge.load(sys.argv[1])(picture)
assert translated.dtype == numpy.uint8 and (translated == 255 - picture).all()
"""
)


@pytest.fixture(scope="module")
def negative(inverting_model: Callable[[], onnx.ModelProto], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artefact that inverts its picture, made as `cyclegan export` makes one."""
    model = inverting_model()
    metadata = ArtefactMetadata(
        architecture="negative",
        direction="AtoB",
        io="uint8",
        precision="fp32",
        input_channels=3,
        output_channels=3,
        size_multiple=4,
        size_minimum=8,
        source=SourceCheckpoint(name="negative", sha256="0" * 64, weights="raw"),
        producer={"cyclegan-edge": cyclegan_edge.__version__},
        created=datetime.now(UTC).isoformat(),
    )
    helper.set_model_props(model, {METADATA_KEY: metadata.to_text()})
    path = tmp_path_factory.mktemp("edge") / "negative-AtoB-fp32.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with one picture of odd sides in it and one in a folder below."""
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    noise = np.random.default_rng(0)
    for name, height, width in (("one.png", 17, 30), ("below/two.png", 32, 32)):
        cv2.imwrite(str(folder / name), noise.integers(0, 256, (height, width, 3), dtype=np.uint8))
    return folder


def assert_inverted(before: Path, after: Path) -> None:
    assert np.array_equal(cv2.imread(str(after)), 255 - cv2.imread(str(before)))


def test_the_blocker_blocks(python, tmp_path: Path) -> None:
    refused = python(EDGE + "import torch", cwd=tmp_path)
    assert "No module named 'torch'" in refused.stderr


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "auto"])
def test_translate_runs_without_the_training_side(
    backend: str, python, negative: Path, pictures: Path, tmp_path: Path
) -> None:
    def translate(source: Path, sink: Path) -> None:
        arguments = ["translate", "-m", negative, "-i", source, "-o", sink, "--backend", backend, "--device", "cpu"]
        done = python(COMMAND, *map(str, arguments), cwd=tmp_path)
        assert done.returncode == 0, done.stderr

    translate(pictures / "one.png", tmp_path / "alone.png")
    assert_inverted(pictures / "one.png", tmp_path / "alone.png")
    translate(pictures, tmp_path / "all")
    for name in ("one.png", "below/two.png"):
        assert_inverted(pictures / name, tmp_path / "all" / name)


def test_the_library_runs_without_the_training_side(python, negative: Path, pictures: Path, tmp_path: Path) -> None:
    done = python(LIBRARY, str(negative), str(pictures / "one.png"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_info_of_an_artefact_runs_without_the_training_side(python, negative: Path, tmp_path: Path) -> None:
    done = python(COMMAND, "info", str(negative), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "negative" in done.stdout
    assert "AtoB" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [["train", "d", "--max-steps", "1"], ["dataset", "check", "d"], ["export-weights", "d", "--output", "o"]],
)
def test_what_needs_the_training_side_says_how_to_get_it(python, arguments: list[str], tmp_path: Path) -> None:
    refused = python(COMMAND, *arguments, cwd=tmp_path)
    assert refused.returncode == 4
    assert 'which is not installed; install it with: pip install "cyclegan-edge[train]"' in refused.stderr
    assert "Traceback" not in refused.stderr


def test_training_from_python_says_how_to_get_the_training_side(python, tmp_path: Path) -> None:
    done = python(
        EDGE
        + """
import cyclegan_edge
try:
    cyclegan_edge.train({"data": {"dataroot": "d"}}, "runs/r")
except cyclegan_edge.BackendError as error:
    print(error)
""",
        cwd=tmp_path,
    )
    assert 'pip install "cyclegan-edge[train]"' in done.stdout
