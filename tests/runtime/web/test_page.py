"""The page in headless Chromium, with its fake camera."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import sleep

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Playwright, expect

from ...visitor import (
    bring_picture,
    choose_picture,
    colour,
    download,
    inverted,
    nameless,
    overflows,
    set_split,
    shows_inverted,
    start_camera,
)

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium: apt install chromium")

TOKEN = "correct-horse-battery-staple"
FAKE_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *FAKE_CAMERA])
    yield started
    started.close()


@pytest.fixture
def open_page(browser):
    """Open a server's page; at the end, nothing was complained of and no request left for another place."""
    contexts, complaints, addresses = [], [], []

    def open_one(one, **options) -> Page:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 860}} | options))
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        context.on("request", lambda request: addresses.append((one.url, request.url)))
        page.on("websocket", lambda socket: addresses.append((one.socket_url, socket.url)))
        page.goto(one.url)
        expect(page.locator("body[data-ready]")).to_be_attached()
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []
    assert addresses
    assert [url for own, url in addresses if not url.startswith((f"{own}/", "blob:"))] == []


@pytest.fixture
def page(server, open_page) -> Page:
    return open_page(server)


def canvas_size(page: Page, tab: str) -> list[int]:
    return page.eval_on_selector(f"#{tab} canvas", "canvas => [canvas.width, canvas.height]")


def test_the_camera_is_translated_and_the_split_moves(page: Page, wait_until) -> None:
    start_camera(page)
    wait_until(lambda: float(page.inner_text("#camera [data-figure=fps]").replace("–", "0")) > 2)
    for figure in ("engine", "latency"):
        assert page.inner_text(f"#camera [data-figure={figure}]").endswith(" ms")
    assert max(canvas_size(page, "camera")) == 256

    split = page.locator("#camera input[type=range]")
    set_split(page, "camera", 100)
    before = colour(page, "camera", 0.1)
    set_split(page, "camera", 0)
    assert inverted(before, colour(page, "camera", 0.1))

    split.focus()
    page.keyboard.press("ArrowRight")
    assert split.input_value() == "1"
    assert split.get_attribute("aria-valuetext") == "1 percent before"
    box = split.bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.01 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    assert 60 < int(split.input_value()) < 80
    assert inverted(colour(page, "camera", 0.1), colour(page, "camera", 0.95))


def test_model_and_size_change_while_the_camera_runs(page: Page, wait_until) -> None:
    start_camera(page)
    page.select_option("#size", "128")
    wait_until(lambda: max(canvas_size(page, "camera")) == 128)
    page.select_option("#model", "identity")
    set_split(page, "camera", 50)
    wait_until(lambda: not inverted(colour(page, "camera", 0.1), colour(page, "camera", 0.9)))
    page.select_option("#model", "pinned")
    expect(page.locator("#size")).to_be_disabled()
    page.wait_for_timeout(500)
    expect(page.locator("#status")).to_have_text("")


def test_snapshot_and_recording_hold_what_is_seen(page: Page, tmp_path: Path) -> None:
    start_camera(page)
    set_split(page, "camera", 0)
    assert max(cv2.imread(str(download(page, "#camera-snapshot", tmp_path))).shape) == 256

    page.click("#camera-record")
    expect(page.locator("#camera-record")).to_have_text("Stop recording")
    sleep(1.5)
    assert cv2.VideoCapture(str(download(page, "#camera-record", tmp_path))).read()[0]


def test_stopping_gives_the_camera_back(page: Page, server, wait_until) -> None:
    start_camera(page)
    page.click("#camera-stop")
    expect(page.locator("#camera-start")).to_be_visible()
    wait_until(lambda: server.service.sockets.taken == 0)


def test_the_camera_is_off_once_another_tab_is_shown(page: Page, server, wait_until) -> None:
    start_camera(page)
    page.click("#tab-picture")
    wait_until(lambda: server.service.sockets.taken == 0)


def test_frames_arrive_at_the_engines_rate(start, open_page, monkeypatch) -> None:
    one = start()
    backend = one.service.models.find(None).backend
    infer = backend.infer
    monkeypatch.setattr(backend, "infer", lambda batch: (sleep(0.15), infer(batch))[1])
    page = open_page(one)
    start_camera(page)

    def frames() -> int:
        return int(one.client.get("/metrics").text.partition("cyclegan_engine_seconds_count ")[2].split()[0])

    before = frames()
    sleep(2.5)
    assert (frames() - before) * 0.15 / 2.5 > 0.8


def test_a_picture_is_compared_and_downloaded(page: Page, picture, pixels, tmp_path: Path) -> None:
    sent = picture(60, 80)
    choose_picture(page, sent)
    expect(page.locator("#picture .stage.shown")).to_be_visible()
    expect(page.locator("#picture [data-figure=size]")).to_have_text("80 × 60")
    assert shows_inverted(page, "picture")
    path = download(page, "#picture-download", tmp_path)
    assert path.name == "my cat-translated.png"
    assert np.array_equal(pixels(path.read_bytes()), 255 - pixels(sent))


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(page: Page, picture, way: str) -> None:
    bring_picture(page, picture(20, 30), way)
    expect(page.locator("#picture [data-figure=size]")).to_have_text("30 × 20")


def test_a_refused_picture_is_told_in_the_servers_words(server, browser) -> None:
    page = browser.new_page()  # by itself: Chromium writes every refused request to the console
    page.goto(server.url)
    expect(page.locator("body[data-ready]")).to_be_attached()
    page.click("#tab-picture")
    page.set_input_files("#picture-file", {"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"})
    expect(page.locator("#status.alert")).to_contain_text("no PNG, JPEG or WebP")
    page.close()


def test_a_video_goes_up_and_comes_back(page: Page, clip, tmp_path: Path) -> None:
    page.click("#tab-video")
    page.set_input_files("#video-file", [clip(12), clip(3)])
    expect(page.locator(".job")).to_have_count(2)
    expect(page.locator(".job-state", has_text="Done: 12 frames")).to_be_visible(timeout=20_000)
    path = download(page, ".job:has-text('12 frames') [data-action=download]", tmp_path)
    assert path.name == f"{clip(12).stem}-translated.mp4"
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) == 12
    page.locator(".job", has_text="12 frames").locator("[data-action=remove]").click()
    expect(page.locator(".job")).to_have_count(1)


@pytest.mark.parametrize("way", ["button", "leaving"])
def test_a_video_is_cancelled(start, open_page, clip, monkeypatch, wait_until, way: str) -> None:
    one = start()
    backend = one.service.models.find(None).backend
    infer = backend.infer
    monkeypatch.setattr(backend, "infer", lambda batch: (sleep(0.1), infer(batch))[1])
    page = open_page(one)
    page.click("#tab-video")
    page.set_input_files("#video-file", clip(150))
    expect(page.locator(".job-state")).to_contain_text("Translating")
    if way == "button":
        page.click(".job [data-action=remove]")
        expect(page.locator(".job")).to_have_count(0)
    else:
        page.goto("about:blank")
    wait_until(lambda: one.service.videos.queued == 0)


def test_the_servers_camera_is_shown_to_several(start, open_page, wait_until) -> None:
    one = start(address="test:bars?live=yes&size=96x72&fps=30")
    pages = [open_page(one) for _ in range(2)]
    for page in pages:
        expect(page.locator("#stream .stage.shown")).to_be_visible()
        expect(page.locator("#tab-stream")).to_have_attribute("aria-selected", "true")
        wait_until(partial(shows_inverted, page, "stream"))


def test_signing_in(start, browser) -> None:
    one = start(token=TOKEN)
    page = browser.new_page()  # by itself: the refused first request is written to the console
    page.goto(one.url)
    expect(page.get_by_role("alert")).to_be_hidden()
    page.fill("#token", "wrong")
    page.click("button")
    expect(page.get_by_role("alert")).to_be_visible()
    page.fill("#token", TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("body[data-ready]")).to_be_attached()
    start_camera(page)
    page.close()


def test_tabs_by_keyboard(page: Page) -> None:
    page.focus("#tab-camera")
    for tab in ("picture", "video", "camera"):
        page.keyboard.press("ArrowRight")
        expect(page.locator(f"#tab-{tab}")).to_be_focused()
        expect(page.locator(f"#{tab}")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#video")).to_be_visible()


def test_everything_that_can_be_used_has_a_name(page: Page) -> None:
    assert nameless(page) == []


def test_it_fits_every_screen(page: Page, picture) -> None:
    choose_picture(page, picture(400, 900))
    expect(page.locator("#picture .stage.shown")).to_be_visible()
    assert overflows(page) == []


def test_it_is_light_or_dark_as_the_system_is(page: Page) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        background = page.eval_on_selector("body", "body => getComputedStyle(body).backgroundColor")
        brightness = sum(map(int, background.removeprefix("rgb(").removesuffix(")").split(",")))
        assert (brightness > 600) == (scheme == "light")
