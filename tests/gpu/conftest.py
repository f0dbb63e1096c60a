"""Programs on pretended GPUs: what is no GPU's matter of values is tested without one, in processes of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIBRARIES = Path(sysconfig.get_path("purelib"))
# The headers of CUDA's runtime; the compiler's, which those include, come with Triton.
HEADERS = [LIBRARIES / "nvidia" / "cu13" / "include", LIBRARIES / "triton" / "backends" / "nvidia" / "include"]
# Kernels are registered by CUDA itself, which is there; the version of cuBLAS is read before anything is computed.
TRUE = re.compile(r"__cuda(Un)?(Register|Push|Pop)|cublasLtGetVersion")
PROVIDER = LIBRARIES / "onnxruntime" / "capi" / "libonnxruntime_providers_cuda.so"
# ONNX Runtime's provider links to the first, which torch does not bring, and loads the second; torch would notice that
# the second is pretended.
CURAND, CUDNN = "libcurand.so.10", "libcudnn.so.9"


@dataclass(frozen=True)
class Ended:
    """How a program ended, and what it printed: `reports` are the lines that are JSON."""

    code: int
    out: str
    err: str

    @property
    def reports(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines() if line.startswith(("{", "["))]


def missing() -> str | None:
    """Say what the pretended GPU cannot be built or used without, if it is not there."""
    import torch

    if sys.platform != "linux" or not shutil.which("gcc") or not shutil.which("nm"):
        return "a GPU is pretended on Linux, with gcc and binutils, and they are not here"
    if torch.version.cuda is None or not all(folder.is_dir() for folder in HEADERS):
        return "a GPU is pretended to a CUDA 13 build of torch, and this one is none"
    return None


def imported(library: Path) -> set[str]:
    """Return what a library wants of CUDA."""
    listed = subprocess.run(["nm", "-D", "--undefined-only", library], capture_output=True, text=True, check=True)
    names = {line.split()[-1].partition("@")[0] for line in listed.stdout.splitlines()}
    return {name for name in names if re.match(r"(__cuda|cuda|cu|cublas|cublasLt)[A-Z]", name) and not TRUE.match(name)}


def build(folder: Path) -> Path:
    """Make a libcuda.so.1, to be loaded before all other libraries, of pretended_gpu.c and of nothings."""
    gcc = partial(subprocess.run, cwd=folder, check=True)
    include = [f"-I{headers}" for headers in HEADERS]
    gcc(["gcc", "-w", "-O1", "-fPIC", "-c", *include, "-o", "written.o", HERE / "pretended_gpu.c"])
    users = [LIBRARIES / "torch" / "lib" / f"lib{name}.so" for name in ("c10_cuda", "torch_cuda", "torch_python")]
    users += [PROVIDER] if PROVIDER.is_file() else []
    wanted = set[str]().union(*map(imported, users))
    listed = subprocess.run(["nm", "--defined-only", folder / "written.o"], capture_output=True, text=True, check=True)
    written = {line.split()[-1] for line in listed.stdout.splitlines()}
    write_nothings(folder / "rest.c", wanted - written)
    library = folder / "libcuda.so.1"
    gcc(["gcc", "-w", "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-o", library, "written.o", "rest.c"])
    for name, functions in ((CURAND, set()), (CUDNN, called_of_cudnn())):
        write_nothings(folder / f"{name}.c", functions)
        options = ["-w", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-Wl,--no-as-needed"]
        gcc(["gcc", *options, "-o", name, f"{name}.c", library])
    return library


def write_nothings(path: Path, names: set[str]) -> None:
    """Write functions that give 0."""
    path.write_text("".join(f"int {name}(void) {{ return 0; }}\n" for name in sorted(names)))


def called_of_cudnn() -> set[str]:
    """Return the functions that ONNX Runtime looks for in cuDNN when it starts, but for what pretended_gpu.c has."""
    text = PROVIDER.read_bytes() if PROVIDER.is_file() else b""
    return {name.decode() for name in re.findall(rb"(?<=\0)(cudnn[A-Z]\w+)(?=\0)", text)} - {"cudnnCreate"}


@pytest.fixture(scope="session")
def pretended(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ended]:
    """Return a function that runs one of `programs/` on a pretended GPU and returns how it ended.

    With `cudnn` that is pretended too, which ONNX Runtime can be started with, and torch cannot.
    """
    if reason := missing():
        pytest.skip(reason)
    library = build(tmp_path_factory.mktemp("pretended"))
    cache = tmp_path_factory.mktemp("compiled")
    temporary = tmp_path_factory.mktemp("tests")

    def run(
        program: str, *arguments: object, seconds: float = 240, stdin: Any = None, cudnn: bool = False, **settings: str
    ) -> Ended:
        environment = os.environ | {
            "LD_PRELOAD": f"{library}:{library.parent / CUDNN}" if cudnn else str(library),
            "LD_LIBRARY_PATH": str(library.parent),
            "TORCHINDUCTOR_CACHE_DIR": str(cache),
            "TRITON_CACHE_DIR": str(cache),
            "PYTEST_DEBUG_TEMPROOT": str(temporary),  # a pytest in a pytest would remove what is left of earlier ones
            "PYTHONPATH": os.pathsep.join([str(ROOT / ".venv" / "ns"), os.environ.get("PYTHONPATH", "")]),
            **settings,
        }
        command = [sys.executable, "-X", "faulthandler", HERE / "programs" / f"{program}.py", *arguments]
        ended = subprocess.run(
            [str(part) for part in command],
            input=json.dumps(stdin),
            env=environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            cwd=library.parent,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 4 + 4 training pictures and 2 + 2 test pictures."""
    import cv2
    import numpy as np

    root = tmp_path_factory.mktemp("data") / "pictures"
    noise = np.random.default_rng(0)
    for folder, count in {"trainA": 4, "trainB": 4, "testA": 2, "testB": 2}.items():
        (root / folder).mkdir(parents=True)
        for number in range(count):
            pixels = noise.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            assert cv2.imwrite(str(root / folder / f"{number}.png"), pixels)
    return root
