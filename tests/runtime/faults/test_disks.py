"""Places that cannot take what is written: a full disk, a device that is always full, folders that are none."""

import os
import subprocess
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np
import pytest

from cyclegan_edge.runtime import files
from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.jobs.manifest import NAME, Manifest
from cyclegan_edge.runtime.sinks import write_picture
from cyclegan_edge.runtime.sources import read_picture
from cyclegan_edge.runtime.video import open_video

SMALL = 200_000  # bytes


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own that is soon full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(folder)]
    if os.name != "posix" or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def played(path: Path) -> int:
    return sum(isinstance(item, Frame) for item in open_video(path))


class TestASmallDisk:
    @pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
    def test_a_video_is_kept_as_far_as_it_went(self, suffix, small_disk, translate, tmp_path, partial_of):
        noise = np.random.default_rng(0)
        for number in range(1, 201):
            write_picture(tmp_path / f"{number}.bmp", noise.integers(0, 256, (48, 48, 3), dtype=np.uint8))
        done = translate(tmp_path / "%d.bmp", small_disk / f"out{suffix}")
        assert (done.code, done.summary) == (5, {})
        assert f"cannot write {small_disk / 'out'}{suffix}: No space left on device; make room" in done.said
        assert list(small_disk.iterdir()) == [partial_of(small_disk / f"out{suffix}")]
        assert 25 <= played(partial_of(small_disk / f"out{suffix}")) < 200

    def test_a_folder_job_goes_on_once_there_is_room(self, small_disk, translate, tmp_path):
        noise = np.random.default_rng(0)
        for number in range(14):
            write_picture(tmp_path / f"in/{number}.png", noise.integers(0, 256, (80, 80, 3), dtype=np.uint8))
        done = translate(tmp_path / "in", small_disk / "out")
        assert done.code == 5
        assert "No space left on device" in done.said
        assert list((small_disk / "out").glob(".*.partial*")) == []
        records = Manifest(small_disk / "out" / NAME).records()
        kept = {record.work.path for record in records if record.status == "done"}
        for name in kept:
            assert np.array_equal(read_picture(small_disk / "out" / name), 255 - read_picture(tmp_path / "in" / name))
        for name in list(kept)[:-2]:  # make room; the originals of these go too, so that they are not made again
            (small_disk / "out" / name).unlink()
            (tmp_path / "in" / name).unlink()
        again = translate(tmp_path / "in", small_disk / "out")
        assert (again.code, again.summary["failed"]) == (0, 0)
        assert again.summary["translated"] + again.summary["skipped"] == 14 - len(kept) + 2

    def test_a_job_whose_manifest_finds_no_room(self, small_disk, translate, tmp_path):
        write_picture(tmp_path / "in/a.png", np.zeros((8, 8, 3), np.uint8))
        with (small_disk / "other").open("wb", buffering=0) as other, suppress(OSError):
            while other.write(bytes(4096)):
                pass
        done = translate(tmp_path / "in", small_disk / "out")
        assert (done.code, done.summary) == (5, {})
        assert f"cannot write {small_disk / 'out' / NAME}: No space left on device" in done.said
        assert not (small_disk / "out/a.png").exists()


def test_a_video_on_a_device_that_is_always_full(translate, tmp_path, monkeypatch):
    def create(path: Path, make_name: Callable[[], str]) -> Path:
        (partial := tmp_path / "link.mkv").symlink_to("/dev/full")
        return partial

    monkeypatch.setattr(files, "_create", create)
    monkeypatch.setattr(files, "locked", lambda path: nullcontext())  # which would not write through a link
    done = translate("test:bars?size=64x48&frames=300", tmp_path / "out.mkv")
    assert (done.code, done.summary) == (5, {})
    assert "No space left on device" in done.said
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("given", ["in", "in/a.png", "in/*.png", "test:bars?size=64x48&frames=9"])
def test_a_folder_that_cannot_be_made(given, translate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_picture(Path("in/a.png"), np.zeros((8, 8, 3), np.uint8))
    Path("file").write_text("mine")
    target = "file/out" if "." not in given.replace("*", "") else "file/a.png"
    done = translate(given, "file/%d.png" if given.startswith("test:") else target if given != "in/*.png" else "file/o")
    assert (done.code, done.summary) == (5, {})
    assert "cannot write file/" in done.said
    assert Path("file").read_text() == "mine"
