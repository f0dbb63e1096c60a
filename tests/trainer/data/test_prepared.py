import logging
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from cyclegan_edge.runtime.errors import DatasetError
from cyclegan_edge.trainer.data import training_pictures
from cyclegan_edge.trainer.data.cache import contents as cache_contents
from cyclegan_edge.trainer.data.cache import store
from cyclegan_edge.trainer.data.cache.contents import cache_place, default_place, held
from cyclegan_edge.trainer.data.training_pictures import whole


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
def test_a_run_sees_the_same_whether_pictures_are_prepared_or_decoded(dataroot, place, data, drawn):
    (dataroot / "trainA" / "02.png").write_bytes(b"damage")
    expected = drawn(dataroot, "off", **data)
    assert torch.equal(drawn(dataroot, place, **data), expected)  # built
    assert torch.equal(drawn(dataroot, place, **data), expected)  # found


def test_a_second_start_decodes_nothing(dataroot, place, decoded, opened, drawn):
    opened(dataroot, place)
    assert len(decoded) == 11
    drawn(dataroot, place)
    assert len(decoded) == 11


def test_what_does_not_change_the_pixels_does_not_build_again(dataroot, place, decoded, opened):
    opened(dataroot, place)
    opened(dataroot, place, crop_size=28, flip=False, max_dataset_size=3)
    assert len(decoded) == 11
    opened(dataroot, place, load_size=40)
    assert len(decoded) == 22


def test_a_limit_prepares_no_more_and_removes_nothing(dataroot, place, decoded, opened):
    opened(dataroot, place, max_dataset_size=2)
    assert sorted(decoded) == ["00.png", "00.png", "01.png", "01.png"]
    opened(dataroot, place)
    assert len(decoded) == 11
    opened(dataroot, place, max_dataset_size=2)
    opened(dataroot, place)
    assert len(decoded) == 11


def test_files_that_come_and_go_extend_and_prune(dataroot, place, decoded, opened):
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


def test_pruning_gives_the_room_back(dataroot, place, opened, pixel_files):
    opened(dataroot, place)
    before = sum(pixel_files(place).values())
    for number in range(1, 5):
        (dataroot / f"trainA/0{number}.png").unlink()
    opened(dataroot, place)
    assert sum(pixel_files(place).values()) < before - 3 * 36 * 36 * 3


def replace(path, colour, size, mtime):
    Image.new("RGB", size, colour).save(path, compress_level=0)
    os.utime(path, ns=(mtime, mtime))


def test_a_replaced_picture_is_found_by_its_time_or_its_size(dataroot, place, opened):
    path = dataroot / "trainA/00.png"
    replace(path, "red", (40, 40), 10**18)
    assert opened(dataroot, place)[0].read(0, whole).float().mean(dim=(1, 2)).tolist() == [255, 0, 0]
    replace(path, "lime", (40, 40), 10**18 + 1)  # of the same size, written a moment later
    assert opened(dataroot, place)[0].read(0, whole).float().mean(dim=(1, 2)).tolist() == [0, 255, 0]
    replace(path, "blue", (41, 41), 10**18 + 1)  # at the same time, of another size
    assert opened(dataroot, place)[0].read(0, whole).float().mean(dim=(1, 2)).tolist() == [0, 0, 255]
    replace(path, "black", (41, 41), 10**18 + 1)  # both the same: only without the cache
    assert opened(dataroot, "off")[0].read(0, whole).float().mean(dim=(1, 2)).tolist() == [0, 0, 0]


def test_a_picture_that_cannot_be_read_is_named_once_and_not_decoded_again(dataroot, place, decoded, caplog, opened):
    (dataroot / "trainA" / "02.png").write_bytes(b"damage")
    for _ in range(2):
        caplog.clear()
        domain = opened(dataroot, place)[0]
        assert (len(domain), domain.num_skipped) == (6, 1)
        assert f"skipped {dataroot / 'trainA/02.png'}: it is no readable picture" in caplog.text
        assert torch.equal(domain.read(2, whole), domain.read(3, whole))
    assert decoded.count("02.png") == 2  # once of each domain


def test_many_unreadable_files_are_summed_up(dataroot, place, caplog, opened):
    for number in range(30):
        (dataroot / f"trainA/bad{number}.png").write_bytes(b"damage")
    opened(dataroot, place)
    assert caplog.text.count("it is no readable picture") == 10
    assert "skipped 20 more files" in caplog.text


@pytest.mark.parametrize("cached", [True, False])
def test_a_folder_without_one_readable_picture_is_refused(dataroot, place, cached, drawn):
    for path in (dataroot / "trainB").iterdir():
        path.write_bytes(b"damage")
    with pytest.raises(DatasetError, match=r"none of the 5 pictures in .*trainB can be decoded"):
        drawn(dataroot, place if cached else "off")


def test_a_domain_without_one_readable_picture_is_refused_as_it_is_opened(dataroot, place, opened):
    (dataroot / "trainB/sub").mkdir()
    for number, path in enumerate(sorted((dataroot / "trainB").glob("*.png"))):
        path.rename(dataroot / f"trainB/sub/{number}.png").write_bytes(b"damage")
    with pytest.raises(DatasetError, match=r"none of the 5 pictures in .*trainB can be decoded"):
        opened(dataroot, place)


def test_who_waits_says_so(dataroot, place, caplog, monkeypatch, opened):
    opened(dataroot, place)
    monkeypatch.setattr(cache_contents.time, "sleep", lambda seconds: lock.__exit__(None, None, None))
    (folder,) = place.glob("*trainA*")
    lock = held(folder)
    lock.__enter__()
    with caplog.at_level(logging.INFO), held(folder):
        pass
    assert f"another process is preparing the pictures in {folder}; waiting for it" in caplog.text


def test_decoded_pictures_are_kept_in_memory_as_far_as_they_fit(dataroot, decoded, monkeypatch, opened):
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


@pytest.mark.skipif(sys.platform != "linux", reason="names are UTF-8")
def test_names_that_are_no_utf_8_are_prepared_like_others(dataroot, place, drawn, decoded):
    odd = dataroot.rename(os.fsdecode(os.fsencode(dataroot) + b"-\xff"))
    (odd / "trainA/03.png").rename(os.fsdecode(os.fsencode(odd / "trainA") + b"/03\xe9.png"))
    (odd / "trainA/04.png").write_bytes(b"damage")
    expected = drawn(odd, "off")
    assert torch.equal(drawn(odd, place), expected)
    decoded.clear()
    assert torch.equal(drawn(odd, place), expected)
    assert decoded == []
    assert {store.source for store in cache_contents.list_stores(place)} == {f"{odd}/trainA", f"{odd}/trainB"}
