"""A cache that is damaged, has no room or may not be written, and folders that change meanwhile."""

import errno
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from cyclegan_edge.trainer.data.cache import build as cache_build
from cyclegan_edge.trainer.data.cache import store
from cyclegan_edge.trainer.data.pictures import Preparation
from cyclegan_edge.trainer.data.training_pictures import whole


def replace(path, colour, size, mtime):
    Image.new("RGB", size, colour).save(path, compress_level=0)
    os.utime(path, ns=(mtime, mtime))


def damage_index(folder):
    (folder / store.INDEX).write_bytes(b"damage" * 100)


def damage_version(folder):
    with store.closing(store.sqlite3.connect(folder / store.INDEX)) as database:
        database.execute("PRAGMA user_version = 77")


def cut_off(folder):
    os.truncate(folder / "0000.pixels", 1000)


def remove_pixels(folder):
    (folder / "0000.pixels").unlink()


@pytest.mark.parametrize("harm", [damage_index, damage_version, cut_off, remove_pixels])
def test_a_cache_that_cannot_be_used_is_made_anew_and_says_so(dataroot, place, harm, caplog, decoded, drawn):
    expected = drawn(dataroot, place)
    (folder,) = place.glob("*trainA*")
    harm(folder)
    decoded.clear()
    assert torch.equal(drawn(dataroot, place), expected)
    assert len(decoded) == 6
    assert f"the prepared pictures in {folder} cannot be used" in caplog.text
    assert "they are made anew" in caplog.text
    caplog.clear()
    drawn(dataroot, place)
    assert caplog.text == ""


def test_damaged_pixels_are_made_from_their_file_again(dataroot, place, caplog, decoded, opened, drawn):
    expected = drawn(dataroot, place)
    (folder,) = place.glob("*trainA*")
    with (folder / "0000.pixels").open("r+b") as file:
        file.seek(36 * 36 * 3 * 2)
        file.write(b"damage")
    decoded.clear()
    assert torch.equal(drawn(dataroot, place), expected)
    assert set(decoded) == {"01.png"} or set(decoded) == {"02.png"} or set(decoded) == {"01.png", "02.png"}
    assert "a prepared picture is damaged (a checksum is wrong); it is made from its file again" in caplog.text
    opened(dataroot, place)  # prepares it again
    caplog.clear()
    assert torch.equal(drawn(dataroot, place), expected)
    assert caplog.text == ""


def test_pixels_that_are_cut_off_while_a_run_reads_them_do_not_end_it(dataroot, place, caplog, drawn, make_batches):
    expected = drawn(dataroot, place)
    batches = make_batches(dataroot, place)[1]()
    for folder in place.iterdir():
        os.truncate(folder / "0000.pixels", 5000)
    found = torch.cat([real for step in range(12) for real in batches.batch(step)])
    batches.close()
    assert torch.equal(found, expected)
    assert "was cut off" in caplog.text


def test_a_file_that_vanishes_meanwhile_leaves_its_place_to_the_next(dataroot, place, monkeypatch, caplog, opened):
    real = Preparation.__call__

    def vanish(self, path):
        if path.name == "03.png":
            path.unlink(missing_ok=True)
        return real(self, path)

    monkeypatch.setattr(Preparation, "__call__", vanish)
    domain = opened(dataroot, place)[0]
    assert "03.png: No such file" in caplog.text
    assert torch.equal(domain.read(3, whole), domain.read(4, whole))


def test_a_file_that_changes_while_it_is_decoded_is_decoded_again(dataroot, place, monkeypatch, opened):
    real = Preparation.__call__
    path = dataroot / "trainA/03.png"

    def change(self, decoded):
        pixels = real(self, decoded)
        if decoded == path and path.stat().st_mtime_ns != 10**18:
            replace(path, "red", (40, 40), 10**18)
        return pixels

    monkeypatch.setattr(Preparation, "__call__", change)
    assert opened(dataroot, place)[0].read(3, whole).float().mean(dim=(1, 2)).tolist() == [255, 0, 0]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="mounts a file system")
def test_a_read_only_place_that_holds_everything_is_used(dataroot, tmp_path, decoded, caplog, opened, drawn):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(disk)], capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        expected = drawn(dataroot, disk)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        decoded.clear()
        assert torch.equal(drawn(dataroot, disk), expected)
        assert (decoded, caplog.text) == ([], "")
        shutil.copy(dataroot / "trainA/00.png", dataroot / "trainA/more.png")
        domain = opened(dataroot, disk)[0]
        assert (
            f"prepared pictures cannot be kept in {next(disk.glob('*trainA*'))}: Read-only file system" in caplog.text
        )
        assert torch.equal(domain.read(6, whole), domain.read(0, whole))
        assert decoded == ["more.png"]  # the others are still read from the cache
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_place_that_is_no_folder_is_told_and_gone_without(dataroot, tmp_path, caplog, drawn):
    (tmp_path / "file").write_text("")
    expected = drawn(dataroot, "off")
    assert torch.equal(drawn(dataroot, tmp_path / "file"), expected)
    assert "cannot be kept in" in caplog.text
    assert "training goes on and decodes" in caplog.text


def test_a_disk_that_is_too_small_is_told_before_it_is_full(dataroot, place, monkeypatch, caplog, drawn, pixel_files):
    monkeypatch.setattr(cache_build, "FIRST", 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(total=10**9, free=9_000))
    expected = drawn(dataroot, "off")
    assert torch.equal(drawn(dataroot, place), expected)
    assert "GB are needed, and 0.0 GB of the disk are free; training goes on" in caplog.text
    assert sum(pixel_files(place).values()) == 0


def test_a_full_disk_costs_no_run_and_keeps_nothing_half(dataroot, place, monkeypatch, caplog, opened, pixel_files):
    opened(dataroot, place)
    before = pixel_files(place)
    shutil.copy(dataroot / "trainA/00.png", dataroot / "trainA/more.png")
    shutil.copy(dataroot / "trainA/00.png", dataroot / "trainA/most.png")
    real = store.StoreWriter.add

    def full(self, name, *picture):
        real(self, name, *picture)
        if name == "most.png":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store.StoreWriter, "add", full)
    domain = opened(dataroot, place)[0]
    assert "No space left on device; training goes on" in caplog.text
    assert pixel_files(place) == before
    assert torch.equal(domain.read(6, whole), domain.read(0, whole))
