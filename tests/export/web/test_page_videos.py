"""Videos in an exported page: frame by frame, through the page's own storage, and what it says when one fails."""

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from ...visitor import download

STORED = """async () => {
  const root = await navigator.storage.getDirectory(), names = new Set();
  for await (const folder of root.values()) for await (const name of folder.keys()) names.add(name.split(".")[0]);
  return [...names];
}"""
WITHOUT_STORAGE = """() => {
  StorageManager.prototype.getDirectory = () => Promise.reject(new DOMException("", "SecurityError"));
}"""


def take(page: Page, *videos: Path) -> None:
    page.click("#tab-video")
    page.set_input_files("#video-file", videos)


def done(page: Page, frames: int) -> None:
    expect(page.locator(".job-state", has_text=f"Done: {frames} frames")).to_be_visible(timeout=30_000)


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


def test_a_file_that_is_no_video(open_page) -> None:
    page = open_page()
    page.click("#tab-video")
    for number, data in enumerate((b"", b"no video" * 100), start=1):
        page.set_input_files("#video-file", {"name": "a.mp4", "mimeType": "video/mp4", "buffer": data})
        expect(page.locator(".job.failed", has_text="no video that can be read")).to_have_count(number)


def test_a_video_of_a_codec_that_the_browser_lacks(open_page, tmp_path: Path) -> None:
    path = tmp_path / "old.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (64, 48))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    page = open_page(calm=False)
    page.click("#tab-video")
    page.set_input_files("#video-file", path)
    expect(page.locator(".job.failed .job-state")).to_contain_text("cannot decode its codec")


def test_a_video_that_ends_in_its_middle(open_page, clip, tmp_path: Path) -> None:
    path = tmp_path / "cut.webm"
    data = clip(500, "webm").read_bytes()
    path.write_bytes(data[: len(data) // 2])
    page = open_page()
    page.click("#tab-video")
    page.set_input_files("#video-file", path)
    expect(page.locator(".job-state", has_text="Done").or_(page.locator(".job.failed"))).to_be_visible(timeout=60_000)


def test_the_result_lies_on_the_disk_until_it_is_removed(open_page, clip, wait_until) -> None:
    page = open_page()
    take(page, clip(500, "webm"), clip(3, "webm"))
    expect(page.locator(".job-state", has_text="Translating")).to_be_visible(timeout=30_000)
    assert len(page.evaluate(STORED)) == 1
    page.click(".job:has-text('Translating') [data-action=remove]")
    done(page, 3)
    wait_until(lambda: len(page.evaluate(STORED)) == 1)
    page.click(".job [data-action=remove]")
    wait_until(lambda: page.evaluate(STORED) == [])


def test_what_a_page_left_behind_is_removed_at_the_next_video(open_page, clip, wait_until) -> None:
    page = open_page()
    take(page, clip(3, "webm"))
    done(page, 3)
    [first] = page.evaluate(STORED)
    other = page.context.new_page()  # to which the first file is somebody else's
    other.goto(page.url)
    expect(other.locator("body[data-ready]")).to_be_attached()
    take(other, clip(3, "webm"))
    done(other, 3)
    assert first in other.evaluate(STORED)
    page.close()
    take(other, clip(12, "webm"))
    done(other, 12)
    wait_until(lambda: first not in other.evaluate(STORED))
    assert len(other.evaluate(STORED)) == 2


FULL = """() => {
  FileSystemWritableFileStream.prototype.write = () => Promise.reject(new DOMException("", "QuotaExceededError"));
}"""


def test_a_result_for_which_there_is_no_room(open_page, clip, wait_until) -> None:
    page = open_page()
    page.evaluate(FULL)
    take(page, clip(12, "webm"))
    expect(page.locator(".job.failed .job-state")).to_contain_text("no room left", timeout=30_000)
    wait_until(lambda: page.evaluate(STORED) == [])


def test_what_cannot_be_kept_for_use_without_a_connection_is_used_all_the_same(open_page, clip) -> None:
    page = open_page()
    quota = {"origin": page.url.rstrip("/"), "quotaSize": 100}
    page.context.new_cdp_session(page).send("Storage.overrideQuotaForOrigin", quota)
    take(page, clip(3, "webm"))  # for which Mediabunny is fetched
    done(page, 3)


def test_without_storage_the_result_is_kept_in_memory(open_page, clip, tmp_path) -> None:
    page = open_page()
    page.evaluate(WITHOUT_STORAGE)
    take(page, clip(12, "mp4"))
    done(page, 12)
    assert cv2.VideoCapture(str(download(page, ".job [data-action=download]", tmp_path))).read()[0]


def test_memory_has_a_bound(open_page, copied: Path, host, clip) -> None:
    script = copied / "static" / "device_result.js"
    script.write_text(re.sub(r"MOST_MEMORY = .*;", "MOST_MEMORY = 1000;", script.read_text()))
    page = open_page(host(copied))
    page.evaluate(WITHOUT_STORAGE)
    take(page, clip(500, "webm"), clip(3, "webm"))
    expect(page.locator(".job.failed .job-state")).to_contain_text("keeps it in memory", timeout=30_000)
    done(page, 3)


@pytest.mark.parametrize("suffix", ["webm", "mp4"])
def test_a_video_of_odd_sides(open_page, odd_clip: Callable[[str], Path], tmp_path: Path, suffix: str) -> None:
    page = open_page()
    take(page, odd_clip(suffix))
    done(page, 3)
    frame = cv2.VideoCapture(str(download(page, ".job [data-action=download]", tmp_path))).read()[1]
    assert abs(frame.shape[0] - 49) <= 1
    assert abs(frame.shape[1] - 65) <= 1


def test_a_container_is_known_by_its_content(open_page, clip, tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    path.write_bytes(clip(3, "webm").read_bytes())
    page = open_page()
    take(page, path)
    done(page, 3)
    assert download(page, ".job [data-action=download]", tmp_path).suffix == ".webm"
