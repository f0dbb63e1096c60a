"""Measuring artefacts: what is measured, and what happens where it cannot be."""

import multiprocessing
import time
from pathlib import Path
from threading import Thread

import pytest

from cyclegan_edge.runtime.errors import ArtefactError, BackendError, UsageError
from cyclegan_edge.runtime.machine.bench import FEWEST, WARM_UP, Case, bench, find_cases, measure, timed


def cases(artefact: Path, **changes) -> list[Case]:
    return find_cases(artefact, **({"backend": "auto", "device": "cpu", "size": None, "seconds": 0} | changes))


def test_every_engine_that_reads_the_artefact_is_a_case(model):
    assert [case.backend for case in cases(model("invert"))] == ["openvino", "onnxruntime"]
    assert [case.backend for case in cases(model("invert"), backend="onnxruntime")] == ["onnxruntime"]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"backend": "onnx"}, UsageError, "no backend is called"),
        ({"device": "gpu"}, UsageError, "no device is called"),
        ({"backend": "openvino", "device": "cuda"}, BackendError, "does not run on cuda"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_runs(changes, error, message, model):
    with pytest.raises(error, match=message):
        cases(model("invert"), **changes)


def test_a_missing_artefact_is_refused(tmp_path):
    with pytest.raises(ArtefactError, match="there is no model file"):
        cases(tmp_path / "nothing.onnx")


@pytest.mark.parametrize(
    ("name", "size", "measured"),
    [
        ("invert", None, (256, 256)),
        ("invert", (40, 52), (40, 52)),
        ("pinned", None, (32, 48)),
        ("pinned", (64, 64), (64, 64)),
    ],
)
def test_the_size_is_the_users_the_artefacts_or_256(name, size, measured, model):
    [case, _] = cases(model(name), size=size)
    assert measure(case).size == measured


def test_several_batches_are_compared(model):
    results = [measure(case) for case in cases(model("invert"), backend="onnxruntime", size=(8, 8), batch_sizes=(1, 4))]
    assert [result.batch_size for result in results] == [1, 4]
    for result in results:
        for latency in (result.engine, result.end_to_end):
            mean = result.batch_size / latency.fps  # seconds of a batch
            assert 0.2 * latency.p50_ms < 1000 * mean < 1.2 * latency.p99_ms


def test_the_numbers_agree_with_one_another(model):
    result = measure(cases(model("invert"), size=(32, 32))[0])
    assert (result.error, result.backend, result.device) == ("", "openvino", "cpu")
    assert result.cold_ms > 0
    for latency in (result.engine, result.end_to_end):
        assert latency.runs >= FEWEST
        assert 0 < latency.p50_ms <= latency.p90_ms <= latency.p99_ms


def test_runs_are_counted_without_the_warm_up():
    calls = []
    latency = timed(lambda: calls.append(time.sleep(0.002)), seconds=0)
    assert latency.runs == FEWEST == len(calls) - WARM_UP
    assert latency.p50_ms >= 2
    assert latency.fps <= 500


def test_a_measurement_lasts_as_long_as_it_should():
    start = time.perf_counter()
    latency = timed(lambda: time.sleep(0.001), seconds=0.1)
    assert time.perf_counter() - start >= 0.1
    assert latency.runs > FEWEST


def test_a_model_that_fails_is_told_in_its_row(model):
    result = measure(cases(model("halving"), backend="onnxruntime")[0])
    assert "only models that keep the size" in result.error
    assert result.engine is None


def test_an_engine_that_takes_its_process_with_it_is_told(model):
    def kill() -> None:
        while not (children := multiprocessing.active_children()):
            time.sleep(0.01)
        children[0].kill()

    killer = Thread(target=kill)
    killer.start()
    [result] = bench(cases(model("invert"), backend="onnxruntime", seconds=600))
    killer.join()
    assert result.error == "the engine crashed its process"
