"""Artefacts on an NVIDIA GPU, held against PyTorch on the CPU; skipped where there is none."""

import numpy as np
import pytest

from cyclegan_edge.export.artefact import Artefact
from cyclegan_edge.export.engine import EngineOptions, build_engine
from cyclegan_edge.export.graph.inference import InferenceGenerator
from cyclegan_edge.export.verification.gates import GATES
from cyclegan_edge.export.verification.verify import verify_artefact
from cyclegan_edge.runtime.backends import open_backend
from cyclegan_edge.runtime.backends.engine_file import OptimizationProfile
from cyclegan_edge.runtime.errors import BackendError
from cyclegan_edge.trainer.evaluation.similarity import psnr

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (4, 32, 48, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def expected(generator, frames):
    return InferenceGenerator(generator.network).translate(frames)


@pytest.mark.parametrize("size", [None, (32, 48)], ids=["free", "pinned"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_onnx_runtime_on_cuda_is_pytorch(generator, exported, frames, expected, precision, size):
    path = exported(generator, precision=precision, size=size)
    backend = open_backend(path, backend="onnxruntime", device="cuda", precision="fp32")
    assert backend.device == "cuda:0"
    for batch in (1, 2, 1, 4):  # a captured run must not answer for another batch
        result = np.concatenate([backend.infer(part) for part in np.split(frames, len(frames) // batch)])
        difference = int(np.abs(result.astype(np.int16) - expected).max())
        assert GATES[precision].admits(difference, psnr(result, expected))
    backend.close()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("library", ["tensorrt", "tensorrt_rtx"])
def test_an_engine_is_built_loaded_and_passes_its_gate(generator, exported, tmp_path, library, precision):
    pytest.importorskip(library, reason=f"{library} is not installed")
    graph = exported(generator, precision=precision)
    profile = OptimizationProfile(min=(1, 32, 32), opt=(1, 32, 32), max=(2, 64, 64))
    path, _ = build_engine(graph, tmp_path, Artefact.open(graph).metadata, EngineOptions(profile), library=library)
    try:
        open_backend(path).close()
    except BackendError as error:
        if library == "tensorrt_rtx" and "was not built for this GPU" in str(error):
            pytest.skip(str(error))  # TensorRT-RTX supports no Hopper
        raise
    report = verify_artefact(Artefact.open(path), generator)
    assert report.passed, report.comparisons
    assert {row.gate for row in report.comparisons if row.input == "noise"} == {GATES[precision]}
    assert {row.engine for row in report.comparisons} == {library.replace("_", "-")}
