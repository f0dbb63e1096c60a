"""An exported page in headless Chromium, with its fake camera: what its visitors do."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import expect

from cyclegan_edge.export.web.folder import write_web

from ...visitor import bring_picture, choose_picture, download, nameless, overflows, shows_inverted, start_camera
from .conftest import FAKE_CAMERA, WEBGPU


def test_the_camera_is_translated(open_page, wait_until) -> None:
    page = open_page()
    expect(page.locator("#status")).to_contain_text("Runs on this device: WebAssembly")
    start_camera(page)
    wait_until(lambda: float(page.inner_text("#camera [data-figure=fps]").replace("–", "0")) > 1)
    assert page.inner_text("#camera [data-figure=engine]").endswith(" ms")
    wait_until(lambda: shows_inverted(page, "camera"))
    page.select_option("#size", "192")
    wait_until(lambda: page.eval_on_selector("#camera canvas", "canvas => canvas.width") == 192)


def test_another_model_is_taken_while_the_camera_runs(open_page, wait_until) -> None:
    page = open_page()
    page.click("#camera-start")
    wait_until(lambda: shows_inverted(page, "camera"))
    page.select_option("#model", "identity-BtoA")
    wait_until(lambda: not shows_inverted(page, "camera"))
    page.select_option("#model", "pinned-AtoB")
    expect(page.locator("#size")).to_be_disabled()
    wait_until(lambda: shows_inverted(page, "camera"))


def test_snapshot_and_recording(open_page, tmp_path: Path) -> None:
    page = open_page()
    start_camera(page)
    assert max(cv2.imread(str(download(page, "#camera-snapshot", tmp_path))).shape) == 128
    page.click("#camera-record")
    page.wait_for_timeout(1500)
    assert cv2.VideoCapture(str(download(page, "#camera-record", tmp_path))).read()[0]


@pytest.mark.parametrize("model", ["invert-AtoB", "pinned-AtoB", "gray-AtoB"])
def test_a_picture_comes_back_at_its_own_size(open_page, picture, tmp_path, model: str) -> None:
    page = open_page()
    page.select_option("#model", model)
    for size in ((62, 81), (5, 3), (300, 400)):
        sent = picture(*size)
        choose_picture(page, sent)
        expect(page.locator("#picture [data-figure=size]")).to_have_text(f"{size[1]} × {size[0]}")
        path = download(page, "#picture-download", tmp_path)
        assert path.name == "my cat-translated.png"
        before = cv2.imdecode(np.frombuffer(sent, np.uint8), cv2.IMREAD_COLOR)
        if model == "gray-AtoB":
            before = np.repeat(cv2.cvtColor(before, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=-1)
        difference = np.abs(cv2.imread(str(path)).astype(int) - (255 - before))
        if max(size) <= 128 and model != "pinned-AtoB":  # translated as it is
            assert difference.max() <= (1 if model == "gray-AtoB" else 0)
        else:
            assert difference.mean() < 6


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(open_page, picture, way: str) -> None:
    page = open_page()
    bring_picture(page, picture(20, 30), way)
    expect(page.locator("#picture [data-figure=size]")).to_have_text("30 × 20")


def test_what_is_transparent_is_white(open_page, tmp_path: Path) -> None:
    page = open_page()
    page.select_option("#model", "identity-BtoA")
    choose_picture(page, cv2.imencode(".png", np.zeros((16, 16, 4), np.uint8))[1].tobytes())
    expect(page.locator("#picture [data-figure=size]")).to_have_text("16 × 16")
    assert cv2.imread(str(download(page, "#picture-download", tmp_path))).min() == 255


def test_webgpu_is_taken_where_it_is_chosen(open_page, wait_until) -> None:
    page = open_page(flags=(*FAKE_CAMERA, *WEBGPU))
    expect(page.locator("#status")).to_contain_text("WebGPU: its adapter is emulated")
    page.select_option("#engine", "webgpu")
    expect(page.locator("#status")).to_contain_text("WebGPU, FP32 file, google swiftshader", timeout=30_000)
    page.click("#camera-start")
    wait_until(lambda: page.locator("#camera .stage.shown").count() > 0)
    wait_until(lambda: shows_inverted(page, "camera"))
    page.select_option("#engine", "wasm")
    expect(page.locator("body")).to_have_attribute("data-engine", "WebAssembly, FP16 file, 2 threads")


def test_it_works_without_a_connection_after_the_first_visit(open_page, copied: Path, host, picture) -> None:
    page = open_page(host(copied, plain=True))
    page.context.set_offline(True)
    for path in copied.rglob("*"):
        if path.is_file():
            path.unlink()
    page.reload()
    expect(page.locator("body[data-engine]")).to_be_attached(timeout=30_000)
    choose_picture(page, picture(20, 30))
    expect(page.locator("#picture [data-figure=size]")).to_have_text("30 × 20")


def test_a_host_without_headers_gets_threads_too(open_page, web_folder: Path, host) -> None:
    page = open_page(host(web_folder, plain=True))
    assert page.evaluate("crossOriginIsolated")
    expect(page.locator("#status")).to_contain_text("threads.")


def test_a_new_export_is_taken_at_the_next_visit(open_page, copied: Path, host) -> None:
    page = open_page(host(copied))
    style = copied / "static" / "style.css"
    style.write_text(style.read_text() + "body { border-top: 7px solid red; }\n")
    worker = copied / "sw.js"
    worker.write_text(worker.read_text().replace('VERSION = "', 'VERSION = "1'))
    page.reload()
    expect(page.locator("body[data-engine]")).to_be_attached(timeout=30_000)
    assert page.eval_on_selector("body", "body => getComputedStyle(body).borderTopWidth") == "7px"


def test_everything_that_can_be_used_has_a_name(open_page) -> None:
    assert nameless(open_page()) == []


def test_it_fits_every_screen(open_page, picture) -> None:
    page = open_page()
    choose_picture(page, picture(400, 900))
    expect(page.locator("#picture .stage.shown")).to_be_visible()
    assert overflows(page) == []


def test_a_model_may_have_any_name(open_page, web_model, host, picture, tmp_path: Path) -> None:
    model = replace(web_model(), name="my run #2, 100 %?-AtoB")
    page = open_page(host(write_web([model], tmp_path / "page")))
    choose_picture(page, picture(20, 30))
    expect(page.locator("#picture [data-figure=size]")).to_have_text("30 × 20")


def test_a_camera_whose_model_has_one_size_keeps_its_shape(open_page, wait_until) -> None:
    page = open_page()
    page.select_option("#model", "pinned-AtoB")  # 48 wide, 32 high
    page.click("#camera-start")
    wait_until(lambda: shows_inverted(page, "camera"))
    width, height = page.eval_on_selector("#camera canvas", "canvas => [canvas.width, canvas.height]")
    assert (width, round(width / height, 1)) == (128, 1.8)  # the camera's 16:9


def test_a_camera_that_is_left_while_the_browser_asks_does_not_start(open_page, wait_until) -> None:
    page = open_page()
    page.evaluate(
        """() => {
          window.streams = [];
          const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
          navigator.mediaDevices.getUserMedia = async (...wanted) => {
            const stream = await ask(...wanted);
            streams.push(stream);
            await new Promise((resolve) => setTimeout(resolve, 500));
            return stream;
          };
        }"""
    )
    page.click("#camera-start")
    page.click("#camera-start")
    page.click("#tab-picture")
    wait_until(lambda: page.evaluate("streams.length === 2 && streams.every((stream) => !stream.active)"))
    page.click("#tab-camera")
    page.wait_for_timeout(700)
    expect(page.locator("#camera-tools")).to_be_hidden()
    start_camera(page)
    assert page.evaluate("streams.filter((stream) => stream.active).length") == 1


def test_nothing_can_be_pressed_before_the_page_is_ready(open_page, copied: Path, host) -> None:
    (copied / "models.json").unlink()
    page = open_page(host(copied), calm=False, ready=False, service_workers="block")
    expect(page.locator("#status.alert")).to_contain_text("models.json is missing")
    for name in ("camera-start", "picture-choose", "video-choose"):
        expect(page.locator(f"#{name}")).to_be_disabled()
