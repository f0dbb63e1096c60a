"""Engines that the real TensorRT-RTX builds, which it does without a GPU."""

import hashlib
import signal
import sys
import threading
from collections import Counter
from types import SimpleNamespace

import onnx
import pytest

from cyclegan_edge.export import engine as engine_module
from cyclegan_edge.export.artefact import Artefact
from cyclegan_edge.export.engine import EngineOptions, build_engine, build_plan, engine_name, parse
from cyclegan_edge.export.verification import verify
from cyclegan_edge.export.verification.gates import GATES
from cyclegan_edge.runtime.backends import open_backend
from cyclegan_edge.runtime.backends.engine_file import (
    EngineFile,
    OptimizationProfile,
    read_description,
    read_plan,
    this_system,
)
from cyclegan_edge.runtime.backends.trt_api import load_library, new_logger
from cyclegan_edge.runtime.errors import ArtefactError, BackendError, UsageError
from cyclegan_edge.trainer.checkpoints.checkpoint import load_generator

trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed; it comes with the extra dev on Linux")

FREE = EngineOptions(OptimizationProfile(min=(1, 32, 32), opt=(1, 64, 64), max=(4, 128, 96)))
SYSTEM = this_system().lower().replace("-", "_")
FIXED = EngineOptions(OptimizationProfile(min=(1, 32, 48), opt=(1, 32, 48), max=(1, 32, 48)))


def build(path, folder, options=FREE):
    return build_engine(path, folder, Artefact.open(path).metadata, options, library="tensorrt_rtx")


def layers(path):
    """Return every layer of the network that RTX makes of a graph, with the type of what it gives."""
    logger = new_logger(trt)
    builder = trt.Builder(logger)
    network = parse(trt, path.read_bytes(), logger, builder)
    found = [network.get_layer(index) for index in range(network.num_layers)]
    counted = Counter((layer.type.name, layer.get_output(0).dtype.name) for layer in found)
    ends = [network.get_input(0), network.get_output(0)]
    return counted, [(end.name, end.dtype.name, tuple(end.shape)) for end in ends]


def of(counted, kind):
    return {dtype: number for (name, dtype), number in counted.items() if name == kind}


def test_an_engine_is_a_plan_and_what_is_said_of_it(generator, exported, tmp_path):
    path, description = build(exported(generator), tmp_path)
    assert path.name == f"run-rtx{trt.__version__}-32_64_128x96-b4-{SYSTEM}.engine"
    assert {file.name for file in tmp_path.iterdir()} == {path.name, f"{path.name}.json"}
    assert read_description(path) == description
    plan = read_plan(path, description)
    assert plan.startswith((b"ftrt", b"vtrt"))
    assert (description.library, description.library_version, description.gpu) == (
        "tensorrt_rtx",
        trt.__version__,
        None,
    )
    assert description.onnx_sha256 == hashlib.sha256(exported(generator).read_bytes()).hexdigest()
    assert description.artefact == Artefact.open(exported(generator)).metadata
    assert not description.tf32


def test_fp16_convolves_in_half_and_normalises_in_fp32(generator, exported):
    counted, ends = layers(exported(generator, precision="fp16"))
    assert ends == [("image", "UINT8", (-1, -1, -1, 3)), ("translated", "UINT8", (-1, -1, -1, 3))]
    assert of(counted, "CONVOLUTION").keys() == of(counted, "DECONVOLUTION").keys() == {"HALF"}
    assert of(counted, "NORMALIZATION") == {"FLOAT": 7}
    assert of(counted, "ACTIVATION")["FLOAT"] >= 1  # tanh
    assert of(counted, "CAST")["UINT8"] == 1


def test_fp32_is_fp32_throughout(generator, exported):
    counted, _ = layers(exported(generator))
    for kind in ("CONVOLUTION", "DECONVOLUTION", "NORMALIZATION", "ACTIVATION", "SLICE"):
        assert of(counted, kind).keys() == {"FLOAT"}


def test_the_same_graph_gives_the_same_plan(generator, exported, tmp_path):
    first, second = (
        build(exported(generator, size=(32, 48)), tmp_path / name, FIXED)[1].plan_sha256 for name in ("1", "2")
    )
    assert first == second


@pytest.mark.parametrize(
    "options", [{"io": "float"}, {"precision": "fp16", "io": "float"}, {"size": (32, 48)}], ids=str
)
def test_every_kind_of_artefact_builds(generator, exported, tmp_path, options):
    path, description = build(exported(generator, **options), tmp_path, FIXED if "size" in options else FREE)
    assert path.stat().st_size == description.plan_bytes > 10_000
    assert description.profile.is_fixed == ("size" in options)


@pytest.mark.slow
def test_a_unet_with_batch_norm_builds(make_run, exported, tmp_path):
    changes = {"generator": "unet_128", "ngf": 4, "norm": "batch", "dropout": True}
    generator = load_generator(make_run(networks=changes, data={"load_size": 128, "crop_size": 128}), "AtoB")
    profile = OptimizationProfile(min=(1, 128, 128), opt=(1, 128, 128), max=(1, 256, 128))
    path, _ = build(exported(generator, precision="fp16"), tmp_path, EngineOptions(profile))
    assert path.is_file()


def test_named_capabilities_are_in_the_name_and_in_the_plan(generator, exported, tmp_path):
    path, description = build(
        exported(generator), tmp_path, EngineOptions(FREE.profile, compute_capabilities=("8.9", "12.0"))
    )
    assert path.name == f"run-rtx{trt.__version__}-sm89-sm120-32_64_128x96-b4-{SYSTEM}.engine"
    assert description.compute_capabilities == ("8.9", "12.0")
    every, _ = build(exported(generator), tmp_path)
    assert every.read_bytes()[32] != path.read_bytes()[32]  # the header's mask of capabilities


def test_options_that_cannot_be_are_refused_with_the_way_out(generator, exported, tmp_path):
    def options(profile=FREE.profile, **changes):
        return EngineOptions(profile, **changes)

    with pytest.raises(UsageError, match=r"no compute capability 9\.0, but for 7\.5, 8\.0, 8\.6, 8\.9, 12\.0, 12\.1"):
        build(exported(generator), tmp_path, options(compute_capabilities=("9.0",)))
    odd = OptimizationProfile(min=(1, 32, 30), opt=(1, 32, 32), max=(1, 32, 32))
    with pytest.raises(UsageError, match=r"multiples of 4, from 8 on, not 32x30"):
        build(exported(generator), tmp_path, options(odd))
    metadata = Artefact.open(exported(generator)).metadata
    with pytest.raises(UsageError, match="for no other compute capability; leave it out, or take tensorrt-rtx"):
        build_engine(
            exported(generator), tmp_path, metadata, options(compute_capabilities=("8.9",)), library="tensorrt"
        )
    assert not [*tmp_path.iterdir()]


def test_a_workspace_that_is_too_small_is_told_in_its_words(generator, exported, tmp_path):
    with pytest.raises(BackendError, match=r"tensorrt_rtx cannot build .*workspace"):
        build(exported(generator), tmp_path, EngineOptions(FREE.profile, workspace_mib=0))


def test_half_and_single_in_one_convolution_are_refused_by_name(generator, exported, tmp_path):
    model = onnx.load(exported(generator))
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "generator.model.1.weight")
    half = onnx.numpy_helper.to_array(weight).astype("float16")
    weight.CopyFrom(onnx.numpy_helper.from_array(half, weight.name))
    path = tmp_path / "mixed.onnx"
    onnx.save(model, path)
    with pytest.raises(ArtefactError, match=r"does not take the graph: .* at "):
        layers(path)


def test_an_engine_without_a_gpu_is_one_sentence(generator, exported, tmp_path):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    path, _ = build(exported(generator), tmp_path)
    with pytest.raises(BackendError, match="there is no NVIDIA GPU to run this on"):
        open_backend(path)


class OnAGpu:
    """What an engine is where it runs: its graph, under the engine's name, within its profile."""

    name, device, precision = "tensorrt-rtx", "cuda:0", "tf32"

    def __init__(self, graph, profile):
        self.graph = graph
        self.profile = profile

    def infer(self, batch):
        shape = (min(len(batch), self.profile.max[0]), *batch.shape[1:3])
        if not self.profile.admits(shape):
            raise BackendError(f"this engine takes batches of {self.profile}, not {shape}")
        return self.graph.infer(batch)

    def close(self):
        self.graph.close()


def run_as_engine(monkeypatch, graph, profile):
    """Have engines that are opened to be verified run as their graph, on the CPU."""
    monkeypatch.setattr(
        verify, "open_backend", lambda path, **_: OnAGpu(open_backend(graph, backend="onnxruntime"), profile)
    )


@pytest.mark.parametrize(
    ("shapes", "seen"),
    [
        (((1, 64, 64), (1, 64, 64), (1, 96, 64)), {(1, 64, 64): 3, (1, 96, 64): 1}),  # all above the crop size
        (((1, 8, 8), (1, 16, 16), (3, 16, 16)), {(1, 8, 8): 3, (3, 8, 8): 3, (1, 16, 16): 3, (3, 16, 16): 3}),
        (((2, 16, 16), (2, 16, 16), (4, 16, 16)), {(2, 16, 16): 3, (4, 16, 16): 3}),
    ],
    ids=["large", "small", "batches"],
)
def test_an_engine_is_verified_at_what_its_profile_takes(generator, exported, tmp_path, monkeypatch, shapes, seen):
    profile = OptimizationProfile(min=shapes[0], opt=shapes[1], max=shapes[2])
    path, _ = build(exported(generator), tmp_path, EngineOptions(profile))
    run_as_engine(monkeypatch, exported(generator), profile)
    report = verify.verify_artefact(Artefact.open(path), generator)
    assert report.passed
    assert Counter((row.batch, *row.size) for row in report.comparisons) == seen


def test_an_engine_that_runs_is_verified_itself(generator, exported, tmp_path, monkeypatch):
    graph = exported(generator, size=(32, 48))
    path, _ = build(graph, tmp_path, EngineOptions(FIXED.profile, tf32=True))
    run_as_engine(monkeypatch, graph, FIXED.profile)
    report = verify.verify_artefact(Artefact.open(path), generator)
    assert report.passed
    assert {(row.engine, row.precision) for row in report.comparisons} == {("tensorrt-rtx", "tf32")}
    assert {row.gate for row in report.comparisons if row.input != "constant"} == {GATES["tf32"]}
    assert all(row.tanh is None for row in report.comparisons)  # a plan cannot be cut
    assert report.machine["TF32"].startswith("on in the engine")
    assert report.producer["tensorrt-rtx"] == trt.__version__
    verify.record(report, Artefact.open(path))
    told = read_description(path)
    assert told.artefact.verification == report.summary()
    assert read_plan(path, told)


def test_a_library_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(
        BackendError, match=r'tensorrt-rtx is not installed.*pip install "cyclegan-edge\[tensorrt-rtx\]"'
    ):
        load_library("tensorrt_rtx")


def test_ctrl_c_stops_a_build_and_leaves_nothing(generator, exported, tmp_path, monkeypatch):
    """The main thread is interrupted while the build goes on in another; the build then ends by itself."""
    results = []

    def interrupted(build, monitor):
        future = threading.Thread(target=lambda: results.append(build()))
        monitor.cancelled = True
        future.start()
        future.join()
        raise KeyboardInterrupt

    monkeypatch.setattr(engine_module, "_interruptible", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(exported(generator), tmp_path)
    assert results == [None]
    assert not [*tmp_path.iterdir()]


def test_an_interruption_asks_the_build_to_stop_and_waits_for_it():
    class Monitor:
        cancelled = False

    monitor, stopped = Monitor(), threading.Event()

    def build():
        stopped.wait(0.2)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        while not monitor.cancelled:
            stopped.wait(0.01)
        stopped.set()

    with pytest.raises(KeyboardInterrupt):
        engine_module._interruptible(build, monitor)
    assert stopped.is_set()


def test_tf32_is_off_unless_it_is_asked_for(generator, exported, tmp_path):
    path, description = build(exported(generator), tmp_path, EngineOptions(FREE.profile, tf32=True))
    assert description.tf32
    plain = build_plan(trt, exported(generator).read_bytes(), FREE, io="uint8", title="plain")
    assert plain != path.read_bytes()


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "a-trt11.4.0-sm89-32_64_128x96-b4-linux_x86_64"),
        ({"compute_capabilities": ()}, "a-trt11.4.0-32_64_128x96-b4-linux_x86_64"),
        ({"library": "tensorrt_rtx", "tf32": True}, "a-rtx11.4.0-sm89-32_64_128x96-b4-tf32-linux_x86_64"),
        ({"profile": FIXED.profile, "system": "Windows-AMD64"}, "a-trt11.4.0-sm89-32x48-windows_amd64"),
        ({"profile": FIXED.profile, "size": (32, 48)}, "a-trt11.4.0-sm89-linux_x86_64"),  # its graph's name has it
    ],
)
def test_names_tell_what_an_engine_is_bound_to_and_made_for(changes, name):
    values = {
        "library": "tensorrt",
        "library_version": "11.4.0",
        "compute_capabilities": ("8.9",),
        "system": "Linux-x86_64",
        "tf32": False,
        "profile": FREE.profile,
        "artefact": SimpleNamespace(size=changes.get("size")),
    }
    assert engine_name("a.onnx", EngineFile.model_construct(**values | changes)) == f"{name}.engine"
