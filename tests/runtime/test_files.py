"""Files appear whole or not at all, and a failing disk is an `OutputError`."""

import os

import pytest

from cyclegan_edge.runtime import files
from cyclegan_edge.runtime.errors import OutputError
from cyclegan_edge.runtime.files import growing, open_to_append, replacing


def write_half(path, crash):
    with replacing(path) as partial:
        partial.write_text("ha")
        raise crash


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_and_its_folders_appear(tmp_path):
    path = tmp_path / "new" / "folder" / "file.txt"
    with replacing(path) as partial:
        partial.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert names(path.parent) == ["file.txt"]


def test_the_temporary_file_is_hidden_beside_it_with_its_suffix(tmp_path):
    with replacing(tmp_path / "a.png") as first, replacing(tmp_path / "b.png") as second:
        assert first.parent == second.parent == tmp_path
        assert first != second
        for partial in (first, second):
            assert partial.suffix == ".png"
            assert partial.name.startswith(".")
            partial.touch()


@pytest.mark.parametrize("crash", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_crash_keeps_the_old_file_and_leaves_no_partial_one(crash, tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(crash):
        write_half(path, crash)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_failing_disk_keeps_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(OutputError, match=r"cannot write .*file\.txt: No space left"):
        write_half(path, OSError(28, "No space left on device"))
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_writing_nothing_is_an_error_too(tmp_path):
    with pytest.raises(OutputError), replacing(tmp_path / "file.txt"):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize("place", ["a_file/under/it.txt", "a_folder"])
def test_a_place_that_cannot_be_written(place, tmp_path):
    (tmp_path / "a_file").write_text("x")
    (tmp_path / "a_folder").mkdir()
    with pytest.raises(OutputError, match="choose a place that can be written"), replacing(tmp_path / place) as partial:
        partial.write_text("x")
    assert names(tmp_path) == ["a_file", "a_folder"]
    assert names(tmp_path / "a_folder") == []


def test_a_name_as_long_as_the_file_system_takes(tmp_path):
    path = tmp_path / ("n" * 251 + ".txt")
    with replacing(path) as partial:
        partial.write_text("x")
    assert path.read_text() == "x"


def test_an_empty_file_is_written_where_that_is_asked_for(tmp_path):
    with replacing(tmp_path / "empty.txt") as partial:
        partial.write_bytes(b"")
    assert names(tmp_path) == ["empty.txt"]


def test_a_working_file_that_exists_is_never_taken(tmp_path, monkeypatch):
    victim = tmp_path / "victim.png"
    victim.write_text("precious")
    tokens = iter(["0" * 16, "1" * 16])
    monkeypatch.setattr(files.secrets, "token_hex", lambda length: next(tokens))
    (tmp_path / f".cyclegan-{os.getpid()}-{'0' * 16}.partial.png").symlink_to(victim)
    with replacing(tmp_path / "a.png") as partial:
        partial.write_text("x")
    assert (victim.read_text(), (tmp_path / "a.png").read_text()) == ("precious", "x")


def test_what_a_link_points_to_stays_as_it_is(tmp_path):
    victim = tmp_path / "victim.png"
    victim.write_text("precious")
    (tmp_path / "a.png").symlink_to(victim)
    with replacing(tmp_path / "a.png") as partial:
        partial.write_text("x")
    assert (victim.read_text(), (tmp_path / "a.png").read_text()) == ("precious", "x")
    assert not (tmp_path / "a.png").is_symlink()


def test_a_growing_file_that_exists_is_never_taken(tmp_path, monkeypatch):
    victim = tmp_path / "victim.mp4"
    victim.write_text("precious")
    tokens = iter(["0" * 8, "1" * 8])
    monkeypatch.setattr(files.secrets, "token_hex", lambda length: next(tokens))
    (tmp_path / "a.partial-00000000.mp4").symlink_to(victim)
    (tmp_path / "a.partial.mp4").symlink_to(victim)
    with growing(tmp_path / "a.mp4", lambda partial: True) as partial:
        partial.write_text("x")
    assert (victim.read_text(), (tmp_path / "a.mp4").read_text()) == ("precious", "x")


@pytest.mark.parametrize("exists", [True, False])
def test_a_file_that_grows_in_place_is_not_written_through_a_link(tmp_path, exists):
    victim = tmp_path / "victim.txt"
    if exists:
        victim.write_text("precious")
    (tmp_path / "log.txt").symlink_to(victim)
    with pytest.raises(OSError, match="it is a link"):
        open_to_append(tmp_path / "log.txt")
    assert victim.exists() == exists
    assert not exists or victim.read_text() == "precious"
    with open_to_append(tmp_path / "new.txt") as file:
        file.write(b"x")
    with open_to_append(tmp_path / "new.txt") as file:
        assert file.tell() == 1
        file.write(b"y")
    assert (tmp_path / "new.txt").read_text() == "xy"
