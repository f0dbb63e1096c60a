"""An exported page in headless Chromium, with its fake camera: what its visitors do."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from .conftest import FAKE_CAMERA, WEBGPU

PIXEL = """([selector, across]) => {
  const canvas = document.querySelector(selector), copy = document.createElement("canvas");
  Object.assign(copy, { width: canvas.width, height: canvas.height });
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  return [...context.getImageData(canvas.width * across, canvas.height / 2, 1, 1).data].slice(0, 3);
}"""


def colour(page: Page, tab: str, across: float) -> list[int]:
    return page.evaluate(PIXEL, [f"#{tab} canvas", across])


def set_split(page: Page, tab: str, percent: int) -> None:
    page.locator(f"#{tab} input[type=range]").fill(str(percent))


def shows_inverted(page: Page, tab: str) -> bool:
    """Whether the picture after is the one before, inverted."""
    set_split(page, tab, 100)
    before = colour(page, tab, 0.1)
    set_split(page, tab, 0)
    return max(abs(255 - a - b) for a, b in zip(before, colour(page, tab, 0.1), strict=True)) < 12


def choose_picture(page: Page, data: bytes, name: str = "my cat.png") -> None:
    page.click("#tab-picture")
    page.set_input_files("#picture-file", {"name": name, "mimeType": "image/png", "buffer": data})


def download(page: Page, selector: str, folder: Path) -> Path:
    with page.expect_download() as started:
        page.click(selector)
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


def test_the_camera_is_translated(open_page, wait_until) -> None:
    page = open_page()
    expect(page.locator("#status")).to_contain_text("Runs on this device: WebAssembly")
    page.click("#camera-start")
    expect(page.locator("#camera .stage.shown")).to_be_visible()
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
    page.click("#camera-start")
    expect(page.locator("#camera .stage.shown")).to_be_visible()
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
    page.click("#tab-picture")
    page.evaluate(
        """([bytes, way]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
          const event = way === "drop"
            ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
          document.querySelector("#picture .stage").dispatchEvent(event);
        }""",
        [list(picture(20, 30)), way],
    )
    expect(page.locator("#picture [data-figure=size]")).to_have_text("30 × 20")


def test_what_is_transparent_is_white(open_page, tmp_path: Path) -> None:
    page = open_page()
    page.select_option("#model", "identity-BtoA")
    choose_picture(page, cv2.imencode(".png", np.zeros((16, 16, 4), np.uint8))[1].tobytes())
    expect(page.locator("#picture [data-figure=size]")).to_have_text("16 × 16")
    assert cv2.imread(str(download(page, "#picture-download", tmp_path))).min() == 255


@pytest.mark.parametrize("suffix", ["webm", "mp4"])
def test_a_video_is_translated_frame_by_frame(open_page, clip: Callable[..., Path], tmp_path, suffix: str) -> None:
    page = open_page()
    page.click("#tab-video")
    page.set_input_files("#video-file", [clip(12, suffix), clip(3, suffix)])
    expect(page.locator(".job-state", has_text="Done: 12 frames")).to_be_visible(timeout=30_000)
    expect(page.locator(".job-state", has_text="Done: 3 frames")).to_be_visible(timeout=30_000)
    path = download(page, ".job:has-text('12 frames') [data-action=download]", tmp_path)
    assert path.suffix == f".{suffix}"
    reader = cv2.VideoCapture(str(path))
    frames = []
    while (read := reader.read())[0]:
        frames.append(read[1])
    assert len(frames) == 12
    assert np.abs(np.mean(frames, axis=(1, 2, 3)) - (255 - np.linspace(40, 200, 12, endpoint=False))).max() < 12


def test_sound_is_kept(open_page, sounding: Path, tmp_path: Path) -> None:
    import av

    page = open_page()
    page.click("#tab-video")
    page.set_input_files("#video-file", sounding)
    expect(page.locator(".job-state", has_text="Done: 12 frames")).to_be_visible(timeout=30_000)
    with av.open(str(download(page, ".job [data-action=download]", tmp_path))) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]


def test_a_video_is_cancelled_and_the_next_one_runs(open_page, clip) -> None:
    page = open_page()
    page.click("#tab-video")
    page.set_input_files("#video-file", clip(500, "webm"))
    expect(page.locator(".job-state")).to_contain_text("Translating")
    page.set_input_files("#video-file", clip(3, "webm"))
    expect(page.locator(".job-state", has_text="Waiting")).to_be_visible()
    page.click(".job:has-text('Translating') [data-action=remove]")
    expect(page.locator(".job")).to_have_count(1)
    expect(page.locator(".job-state", has_text="Done: 3 frames")).to_be_visible(timeout=20_000)


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
    nameless = open_page().evaluate(
        """() => [...document.querySelectorAll("button, select, input:not([type=file]), a[href], progress, [role=img]")]
          .filter((element) => !(element.textContent.trim() || element.ariaLabel || element.labels?.length))
          .map((element) => element.outerHTML)"""
    )
    assert nameless == []


def test_it_fits_every_screen(open_page, picture) -> None:
    page = open_page()
    choose_picture(page, picture(400, 900))
    expect(page.locator("#picture .stage.shown")).to_be_visible()
    for width in (320, 390, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        for tab in ("picture", "video", "camera"):
            page.click(f"#tab-{tab}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (width, tab)
