"""Files of a folder: what is listed, and the account of what is not."""

import os
import subprocess
from pathlib import Path

import pytest

from cyclegan_edge.runtime.listing import list_files


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "A.PNG", "below/c.png", ".hidden.png", ".cache/d.png", "__MACOSX/._b.png", "out/e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(paths) -> list[str]:
    return [path.as_posix() for path in paths]


def test_files_come_sorted_without_what_is_hidden_or_written(folder):
    listing = list_files(folder, {".png"}, outside=folder / "out")
    assert names(listing.files) == ["A.PNG", "b.png", "below/c.png"]
    assert listing.summary() == ""


def test_an_output_around_the_input_hides_nothing(folder):
    assert names(list_files(folder / "below", {".png"}, outside=folder).files) == ["c.png"]


def test_files_of_other_kinds_are_counted_and_named(folder):
    for name in ("x.heic", "y.HEIC", "below/notes.txt", "README"):
        (folder / name).touch()
    listing = list_files(folder, {".png"})
    assert names(listing.others) == ["README", "below/notes.txt", "x.heic", "y.HEIC"]
    assert "4 files of other kinds (.heic 2, " in listing.summary()
    assert "README, below/notes.txt, x.heic, …" in listing.summary()


def test_linked_folders_are_followed_once(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "f.png").touch()
    (elsewhere / "back").symlink_to(folder)
    (folder / "a-link").symlink_to(folder / "below")  # sorted before the folder itself
    (folder / "far").symlink_to(elsewhere)
    listing = list_files(folder, {".png"}, outside=folder / "out")
    assert names(listing.files) == ["A.PNG", "b.png", "below/c.png", "far/f.png"]
    assert names(listing.repeated) == ["a-link", "far/back"]
    assert "2 linked folders listed already (a-link, far/back)" in listing.summary()


def test_links_that_lead_nowhere_or_in_a_circle_are_told(folder):
    (folder / "broken.png").symlink_to("nowhere.png")
    (folder / "x.png").symlink_to("y.png")
    (folder / "y.png").symlink_to("x.png")
    os.mkfifo(folder / "pipe.png")
    listing = list_files(folder, {".png"})
    assert names(sorted(listing.unreadable)) == ["broken.png", "pipe.png", "x.png", "y.png"]
    assert "4 entries that cannot be read" in listing.summary()


def test_a_folder_that_cannot_be_read_is_told(folder, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "below":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    listing = list_files(folder, {".png"})
    assert names(listing.unreadable) == ["below"]
    assert "1 entry that cannot be read (below)" in listing.summary()


def test_a_folder_that_is_not_there_lists_nothing(tmp_path):
    listing = list_files(tmp_path / "none", {".png"})
    assert (listing.files, names(listing.unreadable)) == ([], ["."])


@pytest.fixture
def deep_tree(tmp_path):
    """A folder of 1500 folders, each in the one before: a single path of that length would be refused.

    Python 3.11 cannot remove it, and so pytest could not when it clears old folders: `rm` does.
    """
    outermost = tmp_path / "tree"
    outermost.mkdir()
    inner = os.open(outermost, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=inner)
        outer, inner = inner, os.open("d", os.O_RDONLY, dir_fd=inner)
        os.close(outer)
    os.close(inner)
    yield outermost
    subprocess.run(["rm", "-rf", outermost], check=True)


def test_a_tree_may_be_deep(deep_tree):
    listing = list_files(deep_tree, {".png"})
    assert not listing.files
