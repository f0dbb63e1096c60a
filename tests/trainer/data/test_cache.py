import errno
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from cyclegan_edge.runtime.errors import DatasetError
from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.data import cache, cache_build, store, training_pictures
from cyclegan_edge.trainer.data.batches import UnpairedBatches
from cyclegan_edge.trainer.data.cache import cache_place, default_place, held
from cyclegan_edge.trainer.data.dataset import load_training
from cyclegan_edge.trainer.data.pictures import Preparation
from cyclegan_edge.trainer.data.training_pictures import whole


@pytest.fixture
def place(tmp_path):
    return tmp_path / "prepared"


def configured(dataroot, place, **data):
    small = {"dataroot": str(dataroot), "cache": str(place), "load_size": 36, "crop_size": 32, "batch_size": 2}
    return resolve_config({"data": small | data})


def opened(dataroot, place, **data):
    return load_training(configured(dataroot, place, **data))


def drawn(dataroot, place, steps=12, **data):
    """All pictures of some steps, one after another."""
    config = configured(dataroot, place, **data)
    batches = UnpairedBatches(load_training(config), config.data, 0, torch.device("cpu"))
    seen = torch.cat([real for step in range(steps) for real in batches.batch(step)])
    batches.close()
    return seen


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that are decoded."""
    names = []
    real = Preparation.__call__
    monkeypatch.setattr(Preparation, "__call__", lambda self, path: names.append(path.name) or real(self, path))
    return names


def files_of(place):
    return {path.relative_to(place): path.stat().st_size for path in place.rglob("*.pixels")}


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"preprocess": "crop"},
        {"preprocess": "scale_width_and_crop", "load_size": 50},
        {"preprocess": "none"},
        {"preprocess": "scale_width", "load_size": 48},
        {"direction": "BtoA", "serial_batches": True, "max_dataset_size": 4},
    ],
)
def test_a_run_sees_the_same_whether_pictures_are_prepared_or_decoded(dataroot, place, data):
    (dataroot / "trainA" / "02.png").write_bytes(b"damage")
    expected = drawn(dataroot, "off", **data)
    assert torch.equal(drawn(dataroot, place, **data), expected)  # built
    assert torch.equal(drawn(dataroot, place, **data), expected)  # found


def test_a_second_start_decodes_nothing(dataroot, place, decoded):
    opened(dataroot, place)
    assert len(decoded) == 11
    drawn(dataroot, place)
    assert len(decoded) == 11


def test_what_does_not_change_the_pixels_does_not_build_again(dataroot, place, decoded):
    opened(dataroot, place)
    opened(dataroot, place, crop_size=28, flip=False, max_dataset_size=3)
    assert len(decoded) == 11
    opened(dataroot, place, load_size=40)
    assert len(decoded) == 22


def test_a_limit_prepares_no_more_and_removes_nothing(dataroot, place, decoded):
    opened(dataroot, place, max_dataset_size=2)
    assert sorted(decoded) == ["00.png", "00.png", "01.png", "01.png"]
    opened(dataroot, place)
    assert len(decoded) == 11
    opened(dataroot, place, max_dataset_size=2)
    opened(dataroot, place)
    assert len(decoded) == 11


def test_files_that_come_and_go_extend_and_prune(dataroot, place, decoded):
    opened(dataroot, place)
    decoded.clear()
    shutil.copy(dataroot / "trainA/00.png", dataroot / "trainA/new.png")
    (dataroot / "trainA/sub").mkdir()
    shutil.copy(dataroot / "trainA/01.png", dataroot / "trainA/sub/new.png")
    (dataroot / "trainA/03.png").unlink()
    domain = opened(dataroot, place)[0]
    assert sorted(decoded) == ["new.png", "new.png"]
    assert [path.name for path in domain.files] == [
        "00.png",
        "01.png",
        "02.png",
        "04.png",
        "05.png",
        "new.png",
        "new.png",
    ]
    (folder,) = place.glob("*trainA*")
    assert set(store.read_index(folder).places) == {
        "00.png", "01.png", "02.png", "04.png", "05.png", "new.png", "sub/new.png",
    }  # fmt: skip


def test_pruning_gives_the_room_back(dataroot, place):
    opened(dataroot, place)
    before = sum(files_of(place).values())
    for number in range(1, 5):
        (dataroot / f"trainA/0{number}.png").unlink()
    opened(dataroot, place)
    assert sum(files_of(place).values()) < before - 3 * 36 * 36 * 3


def replace(path, colour, size, mtime):
    Image.new("RGB", size, colour).save(path, compress_level=0)
    os.utime(path, ns=(mtime, mtime))


def test_a_replaced_picture_is_found_by_its_time_or_its_size(dataroot, place):
    path = dataroot / "trainA/00.png"
    replace(path, "red", (40, 40), 10**18)
    assert opened(dataroot, place)[0].read(0, whole).float().mean(dim=(1, 2)).tolist() == [255, 0, 0]
    replace(path, "lime", (40, 40), 10**18 + 1)  # of the same size, written a moment later
    assert opened(dataroot, place)[0].read(0, whole).float().mean(dim=(1, 2)).tolist() == [0, 255, 0]
    replace(path, "blue", (41, 41), 10**18 + 1)  # at the same time, of another size
    assert opened(dataroot, place)[0].read(0, whole).float().mean(dim=(1, 2)).tolist() == [0, 0, 255]
    replace(path, "black", (41, 41), 10**18 + 1)  # both the same: only without the cache
    assert opened(dataroot, "off")[0].read(0, whole).float().mean(dim=(1, 2)).tolist() == [0, 0, 0]


def test_a_picture_that_cannot_be_read_is_named_once_and_not_decoded_again(dataroot, place, decoded, caplog):
    (dataroot / "trainA" / "02.png").write_bytes(b"damage")
    for _ in range(2):
        caplog.clear()
        domain = opened(dataroot, place)[0]
        assert (len(domain), domain.num_skipped) == (6, 1)
        assert f"skipped {dataroot / 'trainA/02.png'}: it is no readable picture" in caplog.text
        assert torch.equal(domain.read(2, whole), domain.read(3, whole))
    assert decoded.count("02.png") == 2  # once of each domain


def test_many_unreadable_files_are_summed_up(dataroot, place, caplog):
    for number in range(30):
        (dataroot / f"trainA/bad{number}.png").write_bytes(b"damage")
    opened(dataroot, place)
    assert caplog.text.count("it is no readable picture") == 10
    assert "skipped 20 more files" in caplog.text


@pytest.mark.parametrize("cached", [True, False])
def test_a_folder_without_one_readable_picture_is_refused(dataroot, place, cached):
    for path in (dataroot / "trainB").iterdir():
        path.write_bytes(b"damage")
    with pytest.raises(DatasetError, match=r"none of the 5 pictures in .*trainB can be decoded"):
        drawn(dataroot, place if cached else "off")


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
def test_a_cache_that_cannot_be_used_is_made_anew_and_says_so(dataroot, place, harm, caplog, decoded):
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


def test_damaged_pixels_are_made_from_their_file_again(dataroot, place, caplog, decoded):
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


def test_pixels_that_are_cut_off_while_a_run_reads_them_do_not_end_it(dataroot, place, caplog):
    expected = drawn(dataroot, place)
    config = configured(dataroot, place)
    batches = UnpairedBatches(load_training(config), config.data, 0, torch.device("cpu"))
    for folder in place.iterdir():
        os.truncate(folder / "0000.pixels", 5000)
    found = torch.cat([real for step in range(12) for real in batches.batch(step)])
    batches.close()
    assert torch.equal(found, expected)
    assert "was cut off" in caplog.text


def test_a_file_that_vanishes_while_the_folder_is_read_leaves_its_place_to_the_next(
    dataroot, place, monkeypatch, caplog
):
    real = Preparation.__call__

    def vanish(self, path):
        if path.name == "03.png":
            path.unlink(missing_ok=True)
        return real(self, path)

    monkeypatch.setattr(Preparation, "__call__", vanish)
    domain = opened(dataroot, place)[0]
    assert "03.png: No such file" in caplog.text
    assert torch.equal(domain.read(3, whole), domain.read(4, whole))


def test_a_file_that_changes_while_it_is_decoded_is_decoded_again(dataroot, place, monkeypatch):
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
def test_a_read_only_place_that_holds_everything_is_used(dataroot, tmp_path, decoded, caplog):
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


def test_a_place_that_is_no_folder_is_told_and_gone_without(dataroot, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    expected = drawn(dataroot, "off")
    assert torch.equal(drawn(dataroot, tmp_path / "file"), expected)
    assert "cannot be kept in" in caplog.text
    assert "training goes on and decodes" in caplog.text


def test_a_disk_that_is_too_small_is_told_before_it_is_full(dataroot, place, monkeypatch, caplog):
    monkeypatch.setattr(cache_build, "FIRST", 2)
    monkeypatch.setattr(
        cache_build.shutil, "disk_usage", lambda folder: cache_build.shutil._ntuple_diskusage(10**9, 10**9, 9_000)
    )
    expected = drawn(dataroot, "off")
    assert torch.equal(drawn(dataroot, place), expected)
    assert "GB are needed, and 0.0 GB of the disk are free; training goes on" in caplog.text
    assert sum(files_of(place).values()) == 0


def test_a_full_disk_costs_no_run_and_keeps_nothing_half(dataroot, place, monkeypatch, caplog):
    opened(dataroot, place)
    before = files_of(place)
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
    assert files_of(place) == before
    assert torch.equal(domain.read(6, whole), domain.read(0, whole))


CHILD = """
import sys
import time
from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.data import cache_build
from cyclegan_edge.trainer.data.dataset import load_training
from cyclegan_edge.trainer.data.pictures import Preparation
import logging, resource, time
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
cache_build.COMMIT_SECONDS = 0.0
dataroot, place, seconds, limit = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
real = Preparation.__call__
def slow(self, path):
    time.sleep(seconds)
    with open(place + ".log", "a") as log:
        print(path.name, file=log)
    return real(self, path)
Preparation.__call__ = slow
data = {"dataroot": dataroot, "cache": place, "load_size": 36, "crop_size": 32}
domains = load_training(resolve_config({"data": data}))
print("opened", len(domains[0]), flush=True)
"""


def start(dataroot, place, seconds=0.0, limit=0):
    arguments = [sys.executable, "-c", CHILD, str(dataroot), str(place), str(seconds), str(limit)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def many(dataroot):
    """Twenty pictures in domain A."""
    for number in range(6, 20):
        shutil.copy(dataroot / f"trainA/0{number % 6}.png", dataroot / f"trainA/{number:02}.png")
    return dataroot


def wait_for_lines(path, number):
    deadline = time.monotonic() + 60
    while not path.exists() or len(path.read_text().splitlines()) < number:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_a_build_that_is_killed_goes_on_where_it_was(many, place, decoded):
    child = start(many, place, seconds=0.1)
    log = place.with_suffix(".log")
    wait_for_lines(log, 12)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    expected = drawn(many, "off")
    decoded.clear()
    assert torch.equal(drawn(many, place), expected)
    began = len(log.read_text().splitlines())
    assert 25 - began <= len(decoded) <= 25 - began + 4  # those that were being decoded, or were not yet committed
    (folder,) = place.glob("*trainA*")
    assert files_of(folder)[Path("0000.pixels")] == 20 * store.stored_bytes(36, 36, 3, 8)


@pytest.mark.slow
def test_two_runs_that_build_at_once_decode_each_picture_once(many, place):
    first = start(many, place, seconds=0.4)
    wait_for_lines(place.with_suffix(".log"), 1)
    second = start(many, place)
    outputs = [child.communicate(timeout=100) for child in (first, second)]
    assert [child.returncode for child in (first, second)] == [0, 0]
    assert len(place.with_suffix(".log").read_text().splitlines()) == 25
    assert [out for out, _ in outputs] == ["opened 20\n"] * 2
    assert "another process is preparing the pictures" in outputs[1][1]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of a file's size")
def test_a_file_that_may_not_grow_ends_the_build_and_no_run(many, place):
    child = start(many, place, limit=50_000)
    out, said = child.communicate(timeout=100)
    assert child.returncode == 0
    assert "opened 20" in out
    assert "File too large; training goes on" in said
    assert sum(size for path, size in files_of(place).items() if "trainA" in str(path)) == 0


def test_who_waits_says_so(dataroot, place, caplog, monkeypatch):
    opened(dataroot, place)
    monkeypatch.setattr(cache.time, "sleep", lambda seconds: lock.__exit__(None, None, None))
    (folder,) = place.glob("*trainA*")
    lock = held(folder)
    lock.__enter__()
    with caplog.at_level(logging.INFO), held(folder):
        pass
    assert f"another process is preparing the pictures in {folder}; waiting for it" in caplog.text


def test_decoded_pictures_are_kept_in_memory_as_far_as_they_fit(dataroot, decoded, monkeypatch):
    monkeypatch.setattr(training_pictures, "KEPT_BYTES", 2 * 36 * 36 * 3)
    domain = opened(dataroot, "off")[0]
    for _ in range(3):
        for number in range(6):
            domain.read(number, whole)
    assert len(decoded) == 2 + 3 * 4


def test_where_the_cache_is(monkeypatch, tmp_path):
    assert cache_place("off") is None
    assert cache_place(str(tmp_path)) == tmp_path
    assert cache_place("") == Path(os.environ["CYCLEGAN_CACHE"])
    monkeypatch.delenv("CYCLEGAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_place() == tmp_path / "cyclegan-edge"
