"""The kernel times that TensorRT keeps between builds; TensorRT-RTX keeps none, but takes and gives the file too."""

import logging
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from cyclegan_edge.export import timing_cache
from cyclegan_edge.export.engine import EngineOptions, build_plan
from cyclegan_edge.runtime.backends.engine_file import OptimizationProfile

trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed; it comes with the extra dev on Linux")

FIXED = EngineOptions(OptimizationProfile(min=(1, 32, 48), opt=(1, 32, 48), max=(1, 32, 48)))


@pytest.fixture
def cached(generator, exported, tmp_path):
    """Return a function that builds with a file of kernel times; RTX keeps none, but takes and gives it as TensorRT."""

    def make(path=tmp_path / "cache" / "rtx.timing"):
        graph = exported(generator, size=(32, 48)).read_bytes()
        with pytest.warns(DeprecationWarning, match="no-ops in TensorRT-RTX"):
            assert build_plan(trt, graph, FIXED, io="uint8", title="cached", timing_cache=path)
        return path

    return make


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_kernel_times_are_kept_and_taken_again(cached, caplog):
    kept = cached().read_bytes()
    assert cached().read_bytes() == kept != b""
    assert not warnings_of(caplog)


def test_kernel_times_hold_for_one_version_and_gpu(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    assert timing_cache.timing_cache_path("tensorrt", "11.4.0", "Quadro RTX 6000/8000") == Path(
        "/home/ann/.cache/cyclegan-edge/tensorrt-11.4.0-Quadro-RTX-6000-8000.timing"
    )
    monkeypatch.setattr(Path, "home", Mock(side_effect=RuntimeError("Could not determine home directory.")))
    assert timing_cache.timing_cache_path("tensorrt", "11.4.0", "T4") is None


def test_damaged_kernel_times_are_told_and_made_anew(cached, caplog):
    path = cached()
    kept = path.read_bytes()
    path.write_bytes(kept[: len(kept) // 2])
    assert cached().read_bytes() == kept
    assert warnings_of(caplog) == [f"{path} is damaged or of another driver; kernels are timed anew"]


def test_kernel_times_that_cannot_be_kept_cost_no_engine(cached, tmp_path, caplog):
    (tmp_path / "file").write_text("mine")
    cached(tmp_path / "file" / "rtx.timing")
    (message,) = warnings_of(caplog)
    assert message.startswith("the engine is built, but the next build will time its kernels again: cannot write ")
    caplog.clear()
    cached(tmp_path)  # a folder can neither be read nor replaced
    assert f"{tmp_path} cannot be read (Is a directory); kernels are timed anew" in caplog.text
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(("made", "attached"), [(None, True), (b"ours", False), (b"ours", True)])
def test_kernel_times_that_the_library_refuses_are_not_used(tmp_path, caplog, made, attached):
    """As TensorRT may answer on a GPU: with no cache at all, or with one that it does not attach."""

    class Config:
        used = None

        def create_timing_cache(self, serialized_timing_cache):
            content = made if serialized_timing_cache else b"empty"
            return None if content is None else SimpleNamespace(serialize=lambda: content)

        def set_timing_cache(self, cache, ignore_mismatch):
            assert not ignore_mismatch
            self.used = cache.serialize()
            return attached

    path, config = tmp_path / "trt.timing", Config()
    path.write_bytes(b"ours")
    timing_cache.load_timing_cache(config, path)
    taken = made is not None and attached
    assert config.used == (b"ours" if taken else b"empty")
    assert ("kernels are timed anew" in caplog.text) == (not taken)
