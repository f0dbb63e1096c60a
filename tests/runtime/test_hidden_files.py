"""Temporary files of jobs that were killed are removed, and nothing else."""

import os
import subprocess
import sys

import pytest

from cyclegan_edge.runtime.files import HIDDEN, remove_hidden, replacing


def named(process: object, suffix: str = ".png") -> str:
    """Return the name of a hidden working file of a process."""
    return f".cyclegan-{process}-{'0' * 16}.partial{suffix}"


@pytest.fixture(scope="module")
def gone() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


def test_the_names_are_those_that_writers_use(tmp_path):
    for name in ("a.png", "a"):
        with replacing(tmp_path / name) as partial:
            partial.write_bytes(b"")
            assert int(HIDDEN.fullmatch(partial.name)["process"]) == os.getpid()


def test_those_of_processes_that_are_gone_are_removed_everywhere(gone, tmp_path, caplog):
    caplog.set_level("INFO")
    (tmp_path / "below").mkdir()
    for folder in (tmp_path, tmp_path / "below"):
        (folder / named(gone)).touch()
    remove_hidden(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["below"]
    assert "2 files" in caplog.text


def test_what_runs_or_is_somebody_elses_stays(gone, tmp_path, caplog):
    caplog.set_level("INFO")
    names = [named(os.getpid()), named(1), named(gone)[1:], f"{named(gone)}.bak", named("a")]
    names += [f".{gone}-3.partial.png", f".cyclegan-{gone}.partial.png", f".cyclegan-{gone}-{'g' * 16}.partial.png"]
    names += ["clip.partial-0123abcd.mp4", ".hidden.partial", f".{'9' * 30}x"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / named(gone, "")).mkdir()
    remove_hidden(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*names, named(gone, "")}
    assert caplog.text == ""


def test_a_number_that_no_process_can_have(tmp_path):
    (tmp_path / named("9" * 30)).touch()
    remove_hidden(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path):
    remove_hidden(tmp_path / "nothing")
