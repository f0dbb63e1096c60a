"""What `cyclegan doctor` finds, with the machine's parts taken away or broken one by one."""

import sys
from pathlib import Path

import cv2
import pytest

import cyclegan_edge
from cyclegan_edge.runtime.backends import Engine, probe
from cyclegan_edge.runtime.backends.probe import describe, gpus
from cyclegan_edge.runtime.machine import doctor
from cyclegan_edge.runtime.machine.doctor import Finding, build_section, can_run, examine
from cyclegan_edge.runtime.sources import camera
from cyclegan_edge.runtime.sources.camera import Camera

HEADLESS = """
  GUI:                           NONE

  Video I/O:
    FFMPEG:                      NO
      avcodec:                   YES (62.28.101)
    GStreamer:                   YES (1.26)
    v4l/v4l2:                    YES (linux/videodev2.h)

  Parallel framework:            pthreads
"""


def found(name: str) -> Finding:
    [finding] = [finding for finding in examine() if finding.name == name]
    return finding


def with_engine(monkeypatch, library: str) -> None:
    engine = Engine("fast", "fast:Fast", library, frozenset({".onnx"}), {"cpu": "speed"})
    monkeypatch.setattr(doctor, "ENGINES", (engine,))


def test_this_machine_runs_and_all_parts_are_told():
    findings = examine()
    assert can_run(findings)
    assert {finding.part for finding in findings} == {"engines", "cuda", "opencv", "encoders", "cameras", "extras"}
    assert all("\n" not in finding.detail + finding.remedy for finding in findings)
    assert all(finding.remedy == "" for finding in findings if finding.status == "ok")


@pytest.mark.parametrize("library", ["onnxruntime", "openvino"])
def test_an_engine_tells_its_version_and_its_devices(library):
    number, _, devices = describe(library).partition(", ")
    assert number[0].isdigit()
    assert "CPU" in devices


def test_a_missing_engine_has_the_line_that_installs_it(monkeypatch):
    with_engine(monkeypatch, "no_such_library")
    assert found("fast") == Finding("engines", "fast", "missing", "not installed", 'pip install "cyclegan-edge[speed]"')
    assert not can_run(examine())


def test_an_engine_that_cannot_be_imported_is_broken(monkeypatch, tmp_path):
    (tmp_path / "broken_library.py").write_text("raise RuntimeError('libfast.so.3:\\n cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    with_engine(monkeypatch, "broken_library")
    finding = found("fast")
    assert (finding.status, finding.detail) == ("broken", "libfast.so.3: cannot open")
    assert "--force-reinstall" in finding.remedy


def test_cuda_libraries_that_pip_installed_are_found(monkeypatch, tmp_path):
    library = tmp_path / "nvidia" / "cudnn" / "lib" / "libcudnn.so.9"
    library.parent.mkdir(parents=True)
    library.touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert found("libcudnn").detail == str(library)
    curand = found("libcurand")
    assert (curand.status, curand.remedy) == ("missing", 'pip install "cyclegan-edge[cuda]"')
    assert found("libnvinfer").remedy == 'pip install "cyclegan-edge[tensorrt]"'


def test_the_library_that_onnxruntime_lacks_is_named(monkeypatch):
    def lacking() -> None:
        raise OSError("libcurand.so.10: cannot open shared object file")

    monkeypatch.setattr(doctor, "load_cuda_provider", lacking)
    [finding] = [finding for finding in examine() if (finding.part, finding.name) == ("cuda", "onnxruntime")]
    assert finding.status == "missing"
    assert "libcurand.so.10" in finding.detail


def test_the_cuda_provider_is_loaded_with_cudnn(monkeypatch, tmp_path):
    """ONNX Runtime loads cuDNN no earlier than it opens a session."""
    import onnxruntime

    loaded = []
    (tmp_path / "capi").mkdir()
    (tmp_path / "capi" / "libonnxruntime_providers_cuda.so").touch()
    monkeypatch.setattr(onnxruntime, "__file__", str(tmp_path / "__init__.py"))
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(probe.sys, "platform", "linux")
    monkeypatch.setattr(probe.ctypes, "CDLL", lambda name, **mode: loaded.append(Path(name).name))
    probe.load_cuda_provider()
    assert loaded == ["libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so", "libcudnn.so.9"]


class Driver:
    """NVIDIA's driver with two devices, or with an error."""

    def __init__(self, error: int = 0) -> None:
        self.error = error

    def cuInit(self, flags) -> int:
        return self.error

    def cuDeviceGetCount(self, count) -> int:
        count._obj.value = 2
        return 0

    def cuDeviceGetName(self, name, length, device) -> int:
        name.value = f"NVIDIA {device}".encode()
        return 0


def test_gpus_are_named_by_the_driver(monkeypatch):
    monkeypatch.setattr(probe.ctypes, "CDLL", lambda name: Driver())
    assert gpus() == "cuda:0 NVIDIA 0, cuda:1 NVIDIA 1"
    monkeypatch.setattr(probe.ctypes, "CDLL", lambda name: Driver(error=100))
    with pytest.raises(OSError, match="error 100"):
        gpus()


def test_the_build_information_is_read_by_section():
    section = build_section(HEADLESS, "Video I/O")
    assert section == {"FFMPEG": "NO", "GStreamer": "YES (1.26)", "v4l/v4l2": "YES (linux/videodev2.h)"}
    assert build_section(HEADLESS, "Audio") == {}
    assert "FFMPEG" in build_section(cv2.getBuildInformation(), "Video I/O")


def test_a_headless_opencv_is_told(monkeypatch):
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: HEADLESS)
    assert found("video: FFMPEG").status == "missing"
    assert found("video: GStreamer").status == "ok"
    window = found("window")
    assert (window.status, window.detail) == ("missing", "built without windows")
    assert "http://127.0.0.1" in window.remedy


@pytest.mark.skipif(sys.platform != "linux", reason="only there a display is a variable of the environment")
def test_a_session_without_a_display_is_told(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert found("window").status == "missing"


def test_an_encoder_that_opens_is_ok():
    assert found("MJPG").status == "ok"


def test_cameras_are_told_with_whether_they_may_be_opened(monkeypatch):
    listed = [Camera("/dev/video0", "Integrated", "V4L2"), Camera("/dev/video2", "Card", "V4L2")]
    monkeypatch.setattr(camera, "list_cameras", lambda: listed)
    monkeypatch.setattr(doctor.os, "access", lambda node, mode: node == "/dev/video0")
    cameras = [finding for finding in examine() if finding.part == "cameras"]
    assert [(one.name, one.status, one.detail) for one in cameras] == [
        ("/dev/video0", "ok", "Integrated"),
        ("/dev/video2", "broken", "Card"),
    ]
    assert "usermod" in cameras[1].remedy


def test_an_engine_for_gpus_does_not_run_without_one(monkeypatch):
    engine = Engine("fast", "fast:Fast", "json", frozenset({".engine"}), {"cuda": "speed"})
    monkeypatch.setattr(doctor, "ENGINES", (engine,))
    monkeypatch.setattr(doctor, "has_gpu", lambda: False)
    assert found("fast").status == "missing"
    assert not can_run(examine())
    monkeypatch.setattr(doctor, "has_gpu", lambda: True)
    assert found("fast").status == "ok"


def test_the_browser_that_verifies_pages_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "find_chromium", lambda: None)
    missing = found("chromium")
    assert missing.status == "missing"
    assert missing.remedy.endswith("apt install chromium")
    browser = tmp_path / "chromium"
    monkeypatch.setattr(doctor, "find_chromium", lambda: str(browser))
    for script, status, detail in (
        ("echo Chromium 156.0.1 built on Debian", "ok", "Chromium 156.0.1: verifies the pages"),
        ("exit 7", "broken", "exit status 7"),
    ):
        browser.write_text(f"#!/bin/sh\n{script}\n")
        browser.chmod(0o755)
        told = found("chromium")
        assert told.status == status
        assert detail in told.detail


def test_a_checkout_that_is_not_installed_knows_its_version(monkeypatch):
    def missing(distribution):
        raise doctor.PackageNotFoundError(distribution)

    monkeypatch.setattr(doctor, "version", missing)
    assert doctor.machine()["cyclegan_edge"] == cyclegan_edge.__version__
