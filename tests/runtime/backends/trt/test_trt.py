"""The TensorRT backend over doubles; the doubles, and what the code expects, are held against the real TensorRT-RTX."""

import inspect
import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest

from cyclegan_edge.runtime import backends
from cyclegan_edge.runtime.backends import open_backend, trt_api
from cyclegan_edge.runtime.backends.engine_file import OptimizationProfile
from cyclegan_edge.runtime.errors import ArtefactError, BackendError

FIXED = OptimizationProfile(min=(1, 8, 8), opt=(1, 8, 8), max=(1, 8, 8))


def test_pictures_go_through_and_the_caller_owns_the_result(engine, library, noise):
    backend = open_backend(engine())
    assert (backend.name, backend.device) == (library.__name__.replace("_", "-"), "cuda:0")
    assert str(backend.input) == "image uint8 [?, ?, ?, 3]"
    results = []
    for shape in ((1, 8, 8, 3), (2, 32, 32, 3), (1, 16, 8, 3)):
        batch = noise(*shape)
        results.append((backend.infer(batch), batch))
    assert all(np.array_equal(result, 255 - batch) for result, batch in results)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 7])
def test_more_pictures_than_the_engine_takes_go_through_in_parts(engine, noise, number):
    batch = noise(number, 16, 24, 3)
    assert np.array_equal(open_backend(engine()).infer(batch), 255 - batch)


def test_one_shape_becomes_a_cuda_graph(engine, library, cuda, noise):
    backend = open_backend(engine(profile=FIXED))
    for _ in range(3):
        batch = noise(3, 8, 8, 3)
        assert np.array_equal(backend.infer(batch), 255 - batch)
    if library.__name__ == "tensorrt":
        assert cuda.launches == 7  # of nine parts, each of the two slots records its first
    else:
        assert cuda.launches == 0
        assert library.engine._config.cuda_graph_strategy == library.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE


@pytest.mark.parametrize("step", ["begin", "execute", "end", "instantiate"])
@pytest.mark.parametrize("library", ["tensorrt"], indirect=True)
def test_an_engine_that_cannot_be_a_cuda_graph_runs_without(engine, library, cuda, noise, caplog, step):
    cuda.fails = step
    backend = open_backend(engine(profile=FIXED))
    for _ in range(3):
        batch = noise(3, 8, 8, 3)
        assert np.array_equal(backend.infer(batch), 255 - batch)
    (told,) = (record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
    reason = "Something is on fire" if step == "execute" else "cudaErrorStreamCaptureUnsupported"
    assert told.startswith("the engine runs without a CUDA graph")
    assert reason in told
    assert (cuda.launches, cuda.graphs) == (0, set())
    assert cuda.last_error.name == "cudaSuccess"
    other = open_backend(engine(profile=FIXED))
    cuda.fails = None
    other.infer(noise(3, 8, 8, 3))
    assert cuda.launches == 1  # one engine's failure is not another's


def test_closing_gives_everything_back_and_ends_it(engine, cuda, noise):
    fixed = open_backend(engine(profile=FIXED))
    fixed.infer(noise(3, 8, 8, 3))
    fixed.close()
    assert (cuda.memory, cuda.events, cuda.graphs, cuda.streams) == ({}, set(), set(), 0)
    backend = open_backend(engine())
    backend.infer(noise(1, 8, 8, 3))
    backend.infer(noise(2, 32, 32, 3))  # needs larger buffers
    assert len(cuda.memory) == 8
    backend.close()
    backend.close()
    assert (cuda.memory, cuda.events, cuda.streams) == ({}, set(), 0)
    with pytest.raises(BackendError, match="was closed"):
        backend.infer(noise(1, 8, 8, 3))


def test_a_size_outside_the_profile_is_refused(engine, noise):
    with pytest.raises(BackendError, match=r"takes batches of 1x8x8 to 2x32x32 .*, not 1x64x32"):
        open_backend(engine()).infer(noise(1, 64, 32, 3))


def test_a_failing_engine_says_what_it_says(engine, library, noise):
    backend = open_backend(engine())
    library.engine._context._broken = True
    with pytest.raises(BackendError, match=r"failed: Something is on fire$"):
        backend.infer(noise(1, 8, 8, 3))


def test_a_plan_that_does_not_load_is_told(engine, library):
    library.loads = False
    with pytest.raises(ArtefactError, match=r"cannot load .*: Wrong magic tag; export it again"):
        open_backend(engine())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            'raise ImportError("libnvinfer.so.10: cannot open\\nshared object file")',
            r"broken \(libnvinfer.* open shared ",
        ),
        ('raise OSError("libnvinfer.so.10: cannot open shared object file")', r"broken \(libnvinfer"),
        ('raise RuntimeError("wrong ABI")', r"broken \(wrong ABI\)"),
        ("import a_library_of_its_own", "is not installed"),
        ("", r"broken \(there is nothing in it\)"),
    ],
)
def test_a_library_that_cannot_be_imported_is_one_sentence(engine, library, tmp_path, monkeypatch, content, message):
    path, name = engine(), library.__name__
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name)
    extra = name.replace("_", "-")
    with pytest.raises(BackendError, match=rf'^{extra} .*{message}.*: pip install "cyclegan-edge\[{extra}\]"$'):
        open_backend(path)


def test_a_backend_module_that_cannot_be_imported_is_one_sentence(engine, library, monkeypatch):
    monkeypatch.delitem(sys.modules, "cyclegan_edge.runtime.backends.trt", raising=False)
    monkeypatch.setitem(sys.modules, "cyclegan_edge.runtime.backends.cuda_memory", None)
    monkeypatch.delattr(backends, "cuda_memory", raising=False)
    extra = library.__name__.replace("_", "-")
    with pytest.raises(BackendError, match=rf'broken .*cuda_memory.*: pip install "cyclegan-edge\[{extra}\]"$'):
        open_backend(engine())


def test_a_runtime_that_does_not_start_says_why(engine, library):
    library.starts = False
    with pytest.raises(
        BackendError, match=r"cannot start here: CUDA initialization failure with error: 35; see: cyclegan doctor$"
    ):
        open_backend(engine())


def test_another_gpu_version_or_none_is_one_sentence(engine, library, cuda):
    with pytest.raises(BackendError, match=r"built with .* 0\.9 and this machine has 1\.0"):
        open_backend(engine(library_version="0.9"))
    with pytest.raises(BackendError, match=r"there is no cuda:3 here; use cuda:0$"):
        open_backend(engine(), device="cuda:3")
    cuda.devices = 0
    with pytest.raises(BackendError, match=r"there is no NVIDIA GPU to run this on \(cudaErrorInsufficientDriver\)"):
        open_backend(engine())


def test_what_it_was_built_for_is_checked_before_it_is_loaded(engine, library, caplog):
    if library.__name__ == "tensorrt":
        with pytest.raises(BackendError, match=r"built on NVIDIA Old \(compute capability 7\.5\) and this is NVIDIA D"):
            open_backend(engine(gpu="NVIDIA Old", compute_capabilities=("7.5",)))
        return
    flags = library.EngineInvalidityDiagnostics
    library.validity = ("INVALID", int(flags.UNSUPPORTED_CC) | int(flags.OLD_CUDA_DRIVER))
    with pytest.raises(BackendError, match="not built for this GPU, the NVIDIA driver is too old; export it again"):
        open_backend(engine())
    library.validity = ("SUBOPTIMAL", 0)
    open_backend(engine())
    assert "would run faster if it were built for NVIDIA Double" in caplog.text


def test_the_precision_is_what_was_built(engine, metadata):
    assert open_backend(engine()).precision == "fp32"
    assert open_backend(engine(tf32=True)).precision == "tf32"
    assert open_backend(engine(artefact=metadata(precision="fp16"))).precision == "fp16"
    with pytest.raises(BackendError, match="computes in tf32, as it was built"):
        open_backend(engine(tf32=True), precision="fp32")


def test_the_other_tensorrt_does_not_take_it(engine, library):
    other = {"tensorrt": "tensorrt-rtx", "tensorrt_rtx": "tensorrt"}[library.__name__]
    with pytest.raises(BackendError, match=f"was built with .*, not for {other}; leave it at auto"):
        open_backend(engine(), backend=other)
    with pytest.raises(BackendError, match="does not run on cpu but on cuda"):
        open_backend(engine(), device="cpu")


def parameters(function):
    return [name for name in inspect.signature(function).parameters if name != "self"]


def written(overloads):
    """Return signatures as the names of their parameters; those with a default end in "?"."""
    return [
        [
            name if parameter.default is parameter.empty else f"{name}?"
            for name, parameter in overload.parameters.items()
        ]
        for overload in overloads
    ]


def fits(function, overloads):
    """Whether some overload has these parameters, in this order, and beyond them only ones with a default."""
    names = parameters(function)
    return any(
        [name.rstrip("?") for name in known[: len(names)]] == names
        and all(name.endswith("?") for name in known[len(names) :])
        for known in overloads
    )


def members(kind):
    return {name for name in (*vars(kind), *vars(kind).get("__annotations__", ())) if not name.startswith("_")}


@pytest.mark.parametrize("name", trt_api.PROTOCOLS)
def test_what_is_expected_of_the_library_is_there(name, rtx, overloads):
    real, expected = getattr(rtx, name), trt_api.PROTOCOLS[name]
    for member in members(expected):
        function = getattr(real, member)
        if callable(function):
            assert fits(getattr(expected, member), written(overloads(function))), function.__doc__


def test_what_is_expected_and_does_not_fit_would_be_noticed(rtx, overloads):
    real = written(overloads(rtx.IExecutionContext.set_tensor_address))
    assert real == [["name", "memory"]]
    assert fits(lambda self, name, memory: None, real)
    assert not fits(lambda self, name: None, real)
    assert not fits(lambda self, memory, name: None, real)
    assert not fits(lambda self, name, memory, stream: None, real)
    assert fits(lambda self, model: None, [["other"], ["model", "path?"]])
    assert not fits(lambda self, model: None, [["model", "path?", "length"]])


# Read from its bindings, which can be imported over empty libraries of the names that they need.
TENSORRT = json.loads((Path(__file__).parent / "tensorrt.json").read_text())


@pytest.mark.parametrize("version", TENSORRT)
@pytest.mark.parametrize("name", trt_api.PROTOCOLS)
def test_what_is_expected_of_tensorrt_is_there(name, version, of_rtx_alone):
    """The first version that the code is for, and the newest; neither can be installed from the index alone."""
    expected, real = trt_api.PROTOCOLS[name], TENSORRT[version][name]
    assert real.keys() == members(expected) - of_rtx_alone
    for member, known in real.items():
        if known is not None:
            assert fits(getattr(expected, member), known)


def test_a_call_that_the_library_does_not_take_fails(engine, library):
    backend = open_backend(engine())
    context, real_engine = backend._context, backend._engine
    assert context.set_input_shape("image", (1, 8, 8, 3))
    assert context.set_input_shape(name="image", shape=[1, 8, 8, 3])
    wrong = [
        lambda: context.set_input_shape("image"),
        lambda: context.set_input_shape("image", (1, 8, 8, 3), 0),
        lambda: context.set_input_shape((1, 8, 8, 3), "image"),
        lambda: context.set_input_shape("image", sides=(1, 8, 8, 3)),
        lambda: context.execute_async_v3("7"),
        lambda: real_engine.get_tensor_name("image"),
        lambda: real_engine.create_execution_context(7),
    ]
    for call in wrong:
        with pytest.raises(TypeError):
            call()
    with pytest.raises(NotImplementedError, match="does nothing for report_to_profiler"):
        context.report_to_profiler()


def test_a_name_that_the_library_does_not_have_fails(engine, library):
    backend = open_backend(engine())
    with pytest.raises(AttributeError):
        backend._context.execute_async_v4(7)
    with pytest.raises(AttributeError):
        backend._context.shape_of_input = 3
    with pytest.raises(AttributeError):
        library.TensorIOMode.INPUTS  # noqa: B018
    with pytest.raises(AttributeError):
        library.IRuntimes  # noqa: B018
    config = backend._engine.create_runtime_config()
    with pytest.raises(AttributeError):
        config.cuda_graphs = True
    if library.__name__ == "tensorrt":
        with pytest.raises(AttributeError):
            config.cuda_graph_strategy = 1
        with pytest.raises(AttributeError):
            library.CudaGraphStrategy  # noqa: B018


def test_every_reason_why_an_engine_is_invalid_has_its_words(rtx):
    from cyclegan_edge.runtime.backends.trt import _DIAGNOSTICS

    reasons = {name for name, value in rtx.EngineInvalidityDiagnostics.__members__.items() if int(value)}
    assert _DIAGNOSTICS.keys() == reasons


def test_a_call_that_cuda_does_not_take_fails(cuda):
    from cyclegan_edge.runtime.backends.cuda_memory import cudart

    assert cudart.cudaSetDevice(0)[0] == cudart.cudaError_t.cudaSuccess
    wrong = [
        lambda: cudart.cudaSetDevice(),
        lambda: cudart.cudaSetDevice(0, 1),
        lambda: cudart.cudaSetDevice(number=0),
        lambda: cudart.cudaMemcpyAsync(1, 2, 3, 4),
    ]
    for call in wrong:
        with pytest.raises(TypeError):
            call()
    with pytest.raises(AttributeError):
        cudart.cudaSetDevices(0)
    with pytest.raises(AttributeError):
        cudart.cudaMemcpyKind.cudaMemcpyUp  # noqa: B018


def test_the_double_of_cuda_takes_what_cuda_takes(cuda):
    """Its own parameters have the names of CUDA's, by which it is called."""
    calls = {name: call for name, call in vars(type(cuda)).items() if name.startswith("cuda")}
    assert len(calls) > 15
    for name, call in calls.items():
        assert parameters(call) == list(inspect.signature(getattr(cuda.real, name)).parameters), name


@pytest.mark.parametrize("batches", [(2, 4), (3, 3), (1, 4)])
@pytest.mark.parametrize("number", [4, 5, 7, 9])
def test_the_last_part_of_a_batch_is_no_smaller_than_the_engine_takes(engine, library, noise, batches, number):
    least, most = batches
    profile = OptimizationProfile(min=(least, 8, 8), opt=(most, 8, 8), max=(most, 8, 8))
    library.batches = batches
    batch = noise(number, 8, 8, 3)
    assert np.array_equal(open_backend(engine(profile=profile)).infer(batch), 255 - batch)


def test_a_gpu_with_too_little_memory_is_one_sentence_and_keeps_none_of_it(engine, cuda, noise):
    backend = open_backend(engine())
    small, large = noise(1, 8, 8, 3), noise(2, 32, 32, 3)
    backend.infer(small)
    for pieces in range(4):  # of the four that are needed
        cuda.bytes_free = (pieces + 1) * large.nbytes - 1 - 4 * small.nbytes
        before = len(cuda.memory)
        with pytest.raises(BackendError, match="the memory of the GPU is too small for this; take smaller pictures"):
            backend.infer(large)
        assert len(cuda.memory) == 0 <= before
        cuda.bytes_free = 1 << 20
        assert np.array_equal(backend.infer(small), 255 - small)
    backend.close()
    assert (cuda.memory, cuda.events) == ({}, set())
