"""`examples/cpp` gives what the Python door gives: built where a compiler, OpenCV's and ONNX Runtime's headers are."""

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

import cyclegan_edge

pytestmark = pytest.mark.slow

# Of an unpacked release (name it in ONNXRUNTIME_INCLUDE), of a distribution's package, and of `make install`.
HEADER = "onnxruntime_cxx_api.h"
INCLUDES = ("/usr/include/onnxruntime", "/usr/include", "/usr/local/include/onnxruntime", "/usr/local/include")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a release of ONNX Runtime: the headers of this machine, the library of the installed wheel."""
    named = filter(None, (os.environ.get("ONNXRUNTIME_INCLUDE"), *INCLUDES))
    include = next((folder for folder in named if (Path(folder) / HEADER).is_file()), None)
    if include is None:
        pytest.skip(f"no {HEADER}; unpack a release of ONNX Runtime and set ONNXRUNTIME_INCLUDE to its include/")
    spec = find_spec("onnxruntime")
    found = sorted(Path(spec.origin).parent.glob("capi/libonnxruntime.so.*")) if spec and spec.origin else []
    if not found:
        pytest.skip("the installed onnxruntime holds no libonnxruntime.so")
    folder = tmp_path_factory.mktemp("onnxruntime")
    (folder / "include").symlink_to(include)
    (folder / "lib").mkdir()
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / "lib" / name).symlink_to(found[0])
    return folder


@pytest.fixture(scope="module")
def translate(root: Path, release: Path, tmp_path_factory: pytest.TempPathFactory):
    """The program, built by the example's own Makefile."""
    if not (
        shutil.which("make") and shutil.which("g++") and Path("/usr/include/opencv4/opencv2/imgcodecs.hpp").exists()
    ):
        pytest.skip("needs make, g++ and libopencv-imgcodecs-dev")
    folder = tmp_path_factory.mktemp("cpp")
    shutil.copytree(root / "examples" / "cpp", folder, dirs_exist_ok=True)
    built = subprocess.run(["make", f"ONNXRUNTIME={release}"], cwd=folder, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([folder / "translate", *map(str, arguments)], capture_output=True, text=True)

    return run


@pytest.fixture(scope="module")
def artefact(root: Path) -> Path:
    return root / "examples" / "flat2three" / "flat2three-small-AtoB-fp16.onnx"


@pytest.mark.parametrize("size", [(64, 64), (101, 77), (1, 1)])
def test_it_gives_what_python_gives(size: tuple[int, int], translate, artefact: Path, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "picture.png"), picture[..., ::-1])
    done = translate(artefact, tmp_path / "picture.png", tmp_path / "translated.png")
    assert done.returncode == 0, done.stderr
    with cyclegan_edge.load(artefact, backend="onnxruntime", device="cpu") as translator:
        expected = translator(picture)
    assert np.abs(cv2.imread(str(tmp_path / "translated.png"))[..., ::-1].astype(int) - expected).max() <= 1


def test_a_mistake_ends_in_one_sentence(translate, artefact: Path, emoji: Path, tmp_path: Path) -> None:
    picture = next(iter(sorted(emoji.glob("testA/*.webp"))))
    for arguments, complaint in (
        ((), "usage:"),
        ((tmp_path / "none.onnx", picture, tmp_path / "out.png"), "none.onnx"),
        ((artefact, artefact, tmp_path / "out.png"), "is no picture"),
        ((artefact, picture, tmp_path / "nowhere" / "out.png"), "cannot be written"),
    ):
        done = translate(*arguments)
        assert done.returncode == 1
        assert complaint in done.stderr.splitlines()[-1]
