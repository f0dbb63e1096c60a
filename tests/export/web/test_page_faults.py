"""What an exported page says when something is missing, refused, cut or lost: a sentence, and nothing stands still."""

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from ...visitor import choose_picture, start_camera
from .conftest import FAKE_CAMERA, WEBGPU


def says(page: Page, sentence: str, seconds: float = 30) -> None:
    expect(page.locator("#status.alert")).to_contain_text(sentence, timeout=seconds * 1000)


def translates(page: Page, picture: bytes) -> None:
    choose_picture(page, picture)
    expect(page.locator("#status")).to_contain_text("Translated. Drag the split to compare.", timeout=30_000)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--use-fake-device-for-media-stream", "--deny-permission-prompts"), "The camera was not allowed"),
        (("--use-fake-ui-for-media-stream",), "There is no camera at this device"),
    ],
)
def test_a_camera_that_is_refused_or_missing(open_page, picture, flags: tuple[str, ...], sentence: str) -> None:
    page = open_page(flags=flags)
    page.click("#camera-start")
    says(page, sentence)
    translates(page, picture())


def test_a_camera_that_is_unplugged(open_page, picture) -> None:
    page = open_page()
    page.evaluate(
        """() => {
          const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
          navigator.mediaDevices.getUserMedia = async (...wanted) => (window.stream = await ask(...wanted));
        }"""
    )
    start_camera(page)
    page.evaluate("stream.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
    says(page, "The camera is gone")
    expect(page.locator("#camera-start")).to_be_visible()


def test_a_tab_that_is_hidden(open_page) -> None:
    page = open_page()
    start_camera(page)
    for hidden, sentence in ((True, "Paused: this page is hidden."), (False, "")):
        page.evaluate(
            """(hidden) => {
              Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
              document.dispatchEvent(new Event("visibilitychange"));
            }""",
            hidden,
        )
        expect(page.locator("#status")).to_have_text(sentence)


def test_webgpu_that_is_wanted_and_not_there(open_page, picture) -> None:
    page = open_page()
    page.select_option("#engine", "webgpu")
    says(page, "WebAssembly, FP16 file")
    says(page, "WebGPU: no adapter answers")
    expect(page.locator("#engine option:checked")).to_have_text("WebGPU failed: WebAssembly")
    translates(page, picture())


def test_an_engine_that_fails_is_told_beside_the_picture_too(open_page, picture) -> None:
    page = open_page()
    translates(page, picture())
    page.select_option("#engine", "webgpu")
    says(page, "Translated. Drag the split to compare. WebGPU: no adapter answers.")
    page.click("#tab-camera")
    page.select_option("#engine", "auto")  # a picture that nobody sees is not translated anew, until it is seen
    expect(page.locator("#status")).to_contain_text("Runs on this device: WebAssembly")
    page.wait_for_timeout(500)
    expect(page.locator("#status")).to_contain_text("Runs on this device: WebAssembly")
    page.click("#tab-picture")
    expect(page.locator("#status")).to_have_text("Translated. Drag the split to compare.")


def test_a_model_without_an_fp32_file_where_the_adapter_lacks_fp16(open_page, copied: Path, host, picture) -> None:
    manifest = json.loads((copied / "models.json").read_text())
    del manifest["models"][0]["files"]["fp32"]
    (copied / "models.json").write_text(json.dumps(manifest))
    page = open_page(host(copied), flags=WEBGPU)
    page.select_option("#engine", "webgpu")
    says(page, "shader-f16")
    translates(page, picture())


def end_graphics_process() -> None:
    """Kill the process in which the browsers of this test run compute graphics; they start another."""
    processes = {}
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            processes[int(place.name)] = parent, (place / "cmdline").read_bytes()
    family = {os.getpid()}
    for _ in range(10):
        family |= {pid for pid, (parent, _) in processes.items() if parent in family}
    graphics = [pid for pid, (_, command) in processes.items() if pid in family and b"--type=gpu-process" in command]
    assert graphics
    for pid in graphics:
        os.kill(pid, signal.SIGKILL)


def test_a_device_that_is_lost_while_it_runs(open_page, picture) -> None:
    page = open_page(flags=(*FAKE_CAMERA, *WEBGPU), calm=False)
    page.select_option("#engine", "webgpu")
    expect(page.locator("#status")).to_contain_text("google swiftshader", timeout=30_000)
    translates(page, picture())
    end_graphics_process()
    page.set_input_files("#picture-file", {"name": "b.png", "mimeType": "image/png", "buffer": picture(20, 30)})
    expect(page.locator("#picture [data-figure=size]")).to_have_text("30 × 20", timeout=60_000)
    says(page, "WebGPU failed while it ran")
    expect(page.locator("#engine option:checked")).to_have_text("WebGPU failed: WebAssembly")


def test_a_page_that_cannot_be_isolated_runs_on_one_thread(open_page, web_folder: Path, host, picture) -> None:
    page = open_page(host(web_folder, plain=True), calm=False, service_workers="block")
    expect(page.locator("#status")).to_contain_text("1 thread, page not isolated")
    translates(page, picture())


MODEL = "models/invert-AtoB-fp16.onnx"


def remove(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "damage", "sentence"),
    [
        (MODEL, remove, f"{MODEL} is missing at the host (404)"),
        (MODEL, cut, f"{MODEL} is cut or changed"),
        (MODEL, change, f"{MODEL} is cut or changed"),
        ("libraries/onnxruntime-web/ort-wasm-simd-threaded.wasm.gz", cut, "wasm.gz is cut or changed"),
        ("models.json", remove, "models.json is missing at the host (404)"),
        ("models.json", cut, "models.json is damaged"),
    ],
)
def test_a_file_that_is_missing_or_damaged(open_page, copied, host, name: str, damage, sentence: str) -> None:
    damage(copied / name)
    says(open_page(host(copied), calm=False, ready=False, service_workers="block"), sentence)


def test_a_model_that_was_cut_is_fetched_anew_once_it_is_whole(open_page, copied: Path, host, picture) -> None:
    whole = (copied / MODEL).read_bytes()
    cut(copied / MODEL)
    page = open_page(host(copied), calm=False, ready=False)
    says(page, "is cut or changed")
    (copied / MODEL).write_bytes(whole)
    translates(page, picture())


def test_a_file_that_is_no_picture(open_page, picture) -> None:
    page = open_page()
    for data in (b"", b"no picture", b"\x89PNG\r\n\x1a\n"):
        page.click("#tab-picture")
        page.set_input_files("#picture-file", {"name": "a.png", "mimeType": "image/png", "buffer": data})
        says(page, "a.png is no picture that this browser reads")
        translates(page, picture())


def test_a_picture_that_is_too_large(open_page, picture) -> None:
    page = open_page()
    page.click("#tab-picture")
    large = cv2.imencode(".png", np.zeros((10_000, 10_001), np.uint8))[1].tobytes()
    page.set_input_files("#picture-file", {"name": "a.png", "mimeType": "image/png", "buffer": large})
    says(page, "10001 × 10000 is too large")
    translates(page, picture())


def test_a_page_that_is_opened_as_a_file(web_folder: Path, launch) -> None:
    page = launch(*FAKE_CAMERA).new_page()
    page.goto((web_folder / "index.html").as_uri())
    expect(page.locator("#status")).to_contain_text("it does not run as a file")
    expect(page.locator("#status .late")).to_be_visible(timeout=10_000)
    page.close()
