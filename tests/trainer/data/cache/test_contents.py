import json
import os
import shutil

import pytest
import torch
from PIL import Image

from cyclegan_edge.runtime.errors import OutputError
from cyclegan_edge.trainer.data.cache import build as cache_build
from cyclegan_edge.trainer.data.cache import contents
from cyclegan_edge.trainer.data.cache.contents import held, list_stores, make_room, read_limit, set_limit
from cyclegan_edge.trainer.data.cache.store import forget


@pytest.fixture
def filled(dataroot, place, opened):
    """A cache with two stores of the dataset at each of two sizes, the smaller ones used long ago."""
    opened(dataroot, place, load_size=34)
    for folder in place.iterdir():
        os.utime(folder, (10**9, 10**9))
    opened(dataroot, place, load_size=36)
    return place


def test_the_command_shows_what_is_there(filled, dataroot, cyclegan, capsys):
    assert cyclegan("dataset", "cache", "--cache", filled) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert "6 pictures · " in lines[0] or "5 pictures · " in lines[0]
    assert all(f"{dataroot}/train" in line and "load_size=36" in line and "used today" in line for line in lines[:2])
    assert all("load_size=34" in line and "days ago" in line for line in lines[2:4])
    assert lines[4].startswith(f"{filled}: ")
    assert " in 4 stores" in lines[4]
    assert cyclegan("dataset", "cache", dataroot, "--cache", filled, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["folder"], shown["limit"], len(shown["stores"])) == (str(filled), None, 4)
    assert {store["num_pictures"] for store in shown["stores"]} == {5, 6}


def test_clearing_removes_stores_and_nothing_else(filled, dataroot, tmp_path, cyclegan, capsys, opened, decoded):
    (filled / "notes.txt").write_text("mine")
    (filled / "mine-0123456789abcdef").mkdir()
    (filled / "mine-0123456789abcdef" / "picture.png").write_text("mine too")
    assert cyclegan("dataset", "cache", tmp_path / "another", "--cache", filled, "--clear") == 0
    assert len(list_stores(filled)) == 4
    assert cyclegan("dataset", "cache", dataroot, "--cache", filled, "--clear") == 0
    assert sorted(path.name for path in filled.iterdir()) == ["mine-0123456789abcdef", "notes.txt"]
    assert (filled / "mine-0123456789abcdef" / "picture.png").exists()
    opened(dataroot, filled)
    assert len(decoded) == 11


def test_what_is_being_built_is_not_cleared(filled, cyclegan, capsys):
    busy = list_stores(filled)[0].folder
    with held(busy):
        assert cyclegan("dataset", "cache", "--cache", filled, "--clear") == 1
    assert [store.folder for store in list_stores(filled)] == [busy]
    assert "a process is preparing the pictures" in capsys.readouterr().err


def test_a_limit_removes_what_was_unused_for_longest(filled, cyclegan, capsys):
    latest = {store.folder for store in list_stores(filled)[:2]}
    size = sum(store.num_bytes for store in list_stores(filled)[:2])
    assert cyclegan("dataset", "cache", "--cache", filled, "--limit", f"{size / 1000:.3f}kB") == 0
    assert {store.folder for store in list_stores(filled)} == latest
    captured = capsys.readouterr()
    assert captured.err.count("removed ") == 2
    assert ", limit " in captured.out
    assert cyclegan("dataset", "cache", "--cache", filled, "--limit", "none") == 0
    assert read_limit(filled) is None


@pytest.mark.parametrize("text", ["", "much", "-5GB", "5 parsecs", "1e9", "nan"])
def test_a_limit_that_is_no_size_is_refused(text, place, cyclegan, capsys):
    assert cyclegan("dataset", "cache", "--cache", place, "--limit", text) == 2
    assert "is no size; write one such as 50GB" in capsys.readouterr().err


def test_a_run_makes_room_within_the_limit_or_goes_without(filled, dataroot, opened, drawn, monkeypatch, caplog):
    monkeypatch.setattr(cache_build, "FIRST", 2)
    expected = drawn(dataroot, "off", load_size=40)
    newer = {store.folder for store in list_stores(filled)[:2]}
    set_limit(filled, sum(store.num_bytes for store in list_stores(filled)) + 20_000)
    assert torch.equal(drawn(dataroot, filled, load_size=40), expected)
    folders = {store.folder for store in list_stores(filled)}
    assert newer < folders
    assert sum(store.num_bytes for store in list_stores(filled)) <= read_limit(filled)
    assert caplog.text == ""
    set_limit(filled, 10)
    assert list_stores(filled) == []
    assert torch.equal(drawn(dataroot, filled, load_size=40), expected)
    assert "are needed, and its limit is 0.0 GB; training goes on" in caplog.text


def test_large_pictures_behind_small_ones_are_told_before_the_limit_is_passed(
    dataroot, place, drawn, caplog, monkeypatch
):
    monkeypatch.setattr(cache_build, "FIRST", 1)
    for number in range(1, 6):
        Image.new("RGB", (400, 400)).save(dataroot / f"trainA/0{number}.png")
    expected = drawn(dataroot, "off", preprocess="crop")
    place.mkdir()
    set_limit(place, 1_000_000)
    assert torch.equal(drawn(dataroot, place, preprocess="crop"), expected)
    assert "are needed, and its limit is 0.0 GB; training goes on" in caplog.text
    assert sum(store.num_bytes for store in list_stores(place)) < 1_000_000


def test_stores_that_cannot_be_used_are_shown_as_that(filled, cyclegan, capsys):
    first = list_stores(filled)[0].folder
    (first / "index.sqlite").write_bytes(b"damage" * 1000)
    os.utime(first)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cyclegan_edge.trainer.data.cache.contents.VERSION", 99)
        assert cyclegan("dataset", "cache", "--cache", filled) == 0
    shown = capsys.readouterr().out
    assert f"{first.name}: 0 pictures" in shown
    assert "cannot be read, and will be made anew" in shown
    assert shown.count("of another version") == 3


def test_a_store_whose_folder_is_gone_is_told(filled, dataroot, cyclegan, capsys):
    dataroot.rename(dataroot.with_name("elsewhere"))
    assert cyclegan("dataset", "cache", "--cache", filled) == 0
    shown = capsys.readouterr().out
    assert shown.count("that folder is gone") == 4
    assert "of it are of folders that are not there any more; cyclegan dataset cache FOLDER --clear" in shown
    assert cyclegan("dataset", "cache", "--cache", filled, "--json") == 0
    assert all(store["source_is_gone"] for store in json.loads(capsys.readouterr().out)["stores"])
    assert cyclegan("dataset", "cache", dataroot, "--cache", filled, "--clear") == 0
    assert list_stores(filled) == []


def test_a_store_that_is_cleared_while_it_is_listed_is_passed_over(filled, monkeypatch):
    real = contents.StoreFacts

    def cleared(folder, *facts, **named):
        shutil.rmtree(filled)
        return real(folder, *facts, **named)

    monkeypatch.setattr(contents, "StoreFacts", cleared)
    assert len(list_stores(filled)) == 1


def test_a_picture_that_is_forgotten_in_a_cleared_cache_leaves_nothing_there(filled):
    folder = list_stores(filled)[0].folder
    (folder / "index.sqlite").unlink()
    forget(folder, "00.png")
    assert not (folder / "index.sqlite").exists()


def test_a_user_without_a_home_names_a_place(monkeypatch):
    for variable in ("CYCLEGAN_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(contents.Path, "home", homeless)
    with pytest.raises(OutputError, match=r"name one in the variable CYCLEGAN_CACHE, or set data\.cache"):
        contents.cache_place("")
    assert str(contents.cache_place("~nobody-of-that-name/cache")) == "~nobody-of-that-name/cache"


def test_an_empty_cache_is_told(tmp_path, cyclegan, capsys):
    assert cyclegan("dataset", "cache", "--cache", tmp_path / "none") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'none'}: 0 B in 0 stores\n"
    assert cyclegan("dataset", "cache", "--cache", "off") == 2
    (tmp_path / "file").write_text("")
    assert cyclegan("dataset", "cache", "--cache", tmp_path / "file", "--limit", "5GB") == 5


def test_room_is_measured_on_the_disk(place):
    place.mkdir()
    make_room(place, 0)
    with pytest.raises(OSError, match="of the disk are free"):
        make_room(place, 10**18)
