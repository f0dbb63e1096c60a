"""ONNX Runtime on bound memory: on the CPU what a GPU's graphs rest on, on a GPU the graphs themselves."""

import threading
from collections import Counter

import numpy as np
import onnxruntime
import pytest

from cyclegan_edge.runtime.backends import open_backend, ort_graph
from cyclegan_edge.runtime.backends import ort as ort_backend
from cyclegan_edge.runtime.backends.ort_graph import BoundRun, GraphRuns


@pytest.fixture
def session(model):
    return onnxruntime.InferenceSession(str(model("invert")), providers=["CPUExecutionProvider"])


def test_every_batch_of_a_shape_goes_through_the_same_memory(session, noise):
    first, second = noise(2, 8, 12, 3), 255 - noise(2, 8, 12, 3)
    bound = BoundRun(session, first, first, "cpu", 0, "1")
    results = [bound(first), bound(second)]
    assert np.array_equal(results[0], 255 - first)  # and was not overwritten by the second
    assert np.array_equal(results[1], 255 - second)


def test_a_batch_may_lie_in_memory_in_any_order(session, noise):
    for batch in (noise(2, 8, 12, 3)[:, ::-1], noise(2, 12, 8, 3).transpose(0, 2, 1, 3)):
        bound = BoundRun(session, batch, batch, "cpu", 0, "1")
        assert np.array_equal(bound(batch), 255 - batch)


def test_each_shape_is_bound_once_it_was_proven(session, noise):
    runs = GraphRuns(session, "cpu", 0)
    for shape in ((1, 8, 8, 3), (1, 8, 8, 3), (2, 8, 8, 3), (1, 8, 8, 3)):
        assert np.array_equal(runs.infer(noise(*shape)), 255 - noise(*shape))
    assert [type(run) for run in runs._runs.values()] == [BoundRun, BoundRun]


@pytest.mark.parametrize("fault", ["stale", "raises"])
def test_a_graph_that_is_not_right_is_never_used(fault, session, noise, monkeypatch):
    def faulty(bound, batch):
        if fault == "raises":
            raise RuntimeError("cudaErrorStreamCaptureInvalidated")
        return np.zeros_like(batch)  # what the graph was captured on, as a replay gives that reads another address

    monkeypatch.setattr(BoundRun, "__call__", faulty)
    runs = GraphRuns(session, "cpu", 0)
    for batch in (noise(1, 8, 8, 3), 255 - noise(1, 8, 8, 3)):
        assert np.array_equal(runs.infer(batch), 255 - batch)
    assert list(runs._runs.values()) == [None]


def test_a_size_that_is_not_fixed_is_never_captured(session, noise, monkeypatch):
    monkeypatch.setattr(BoundRun, "__call__", None)
    runs = GraphRuns(session, "cpu", 0, fixed=False)
    for shape in ((1, 8, 8, 3), (1, 8, 8, 3), (1, 8, 12, 3)):
        assert np.array_equal(runs.infer(noise(*shape)), 255 - noise(*shape))
    assert runs._runs == {}


def test_each_thread_proves_its_own_graphs_and_there_are_not_too_many(session, noise, monkeypatch):
    """ONNX Runtime keeps a graph for the thread that captured it: replayed by another, it would be captured there."""
    batch = noise(1, 8, 8, 3)
    callers = []
    replay = BoundRun.__call__

    def called(bound, batch):
        callers.append(bound)
        return replay(bound, batch)

    monkeypatch.setattr(BoundRun, "__call__", called)
    monkeypatch.setattr(ort_graph, "MOST_GRAPHS", 2)
    runs = GraphRuns(session, "cpu", 0)
    results = []
    for _ in range(3):
        thread = threading.Thread(target=lambda: results.extend((runs.infer(batch), runs.infer(batch))))
        thread.start()
        thread.join()
    assert len(results) == 6
    assert all(np.array_equal(result, 255 - batch) for result in results)
    proofs_and_a_replay = 4
    assert list(Counter(callers).values()) == [proofs_and_a_replay] * 2


@pytest.mark.parametrize("name", ["pinned", "invert"])
def test_one_session_is_opened_that_may_capture_graphs(name, model, monkeypatch):
    asked = []

    def open_session(path, options, device, precision, **more):
        asked.append(more)
        assert options.get_session_config_entry("session.disable_quant_qdq") == "1"
        return ort_backend._session(path, options, ["CPUExecutionProvider"])

    monkeypatch.setattr(ort_backend, "_session_on_cuda", open_session)
    backend = open_backend(model(name), backend="onnxruntime", device="cuda")
    assert asked == [{"enable_cuda_graph": "1"}]
    assert backend._graphs._fixed == (name == "pinned")


def test_a_model_of_which_a_part_stays_on_the_cpu_runs_without_graphs(model, noise, monkeypatch):
    def open_session(path, options, device, precision, **more):
        if more:
            raise ort_backend.ArtefactError("all compute graph nodes have not been partitioned to CUDA")
        return ort_backend._session(path, options, ["CPUExecutionProvider"])

    monkeypatch.setattr(ort_backend, "_session_on_cuda", open_session)
    backend = open_backend(model("pinned"), backend="onnxruntime", device="cuda")
    batch = noise(1, 32, 48, 3)
    assert np.array_equal(backend.infer(batch), 255 - batch)


@pytest.mark.gpu
def test_a_graph_gives_what_the_cpu_gives(model, noise):
    backend = open_backend(model("pinned"), backend="onnxruntime", device="cuda")
    for shape in ((1, 32, 48, 3), (3, 32, 48, 3)):
        for batch in (noise(*shape), 255 - noise(*shape), noise(*shape)):
            assert np.array_equal(backend.infer(batch), 255 - batch)
    assert all(backend._graphs._runs.values())  # proven, and so in use


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Exception during initialization: /src/cuda_call.cc:154"
            " std::conditional_t<THRW, void, Status> CUDNN failure 1001: CUDNN_STATUS_NOT_INITIALIZED ; GPU=0 ; "
            "hostname=vm ; expr=cudnnCreate(&cudnn_handle_); \n",
            "CUDNN failure 1001: CUDNN_STATUS_NOT_INITIALIZED",
        ),
        ("CUDA failure 2: out of memory ; GPU=0", "CUDA failure 2: out of memory"),
        ("[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model\n failed.", "Load model failed"),
    ],
)
def test_a_failure_is_told_without_the_place_in_the_source(text, reason):
    assert ort_backend._reason(RuntimeError(text)) == reason
