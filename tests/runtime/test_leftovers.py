"""Temporary files of jobs that were killed are removed, and nothing else."""

import os
import subprocess
import sys

import pytest

from cyclegan_edge.runtime.errors import replacing
from cyclegan_edge.runtime.leftovers import LEFTOVER, remove_leftovers


@pytest.fixture(scope="module")
def gone() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


def test_the_names_are_those_that_writers_use(tmp_path):
    for name in ("a.png", "a"):
        with replacing(tmp_path / name) as partial:
            partial.write_bytes(b"")
            assert int(LEFTOVER.fullmatch(partial.name)["process"]) == os.getpid()


def test_those_of_processes_that_are_gone_are_removed_everywhere(gone, tmp_path, caplog):
    caplog.set_level("INFO")
    (tmp_path / "below").mkdir()
    for folder in (tmp_path, tmp_path / "below"):
        (folder / f".{gone}-3.partial.png").touch()
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["below"]
    assert "2 files" in caplog.text


def test_what_runs_or_is_somebody_elses_stays(gone, tmp_path, caplog):
    caplog.set_level("INFO")
    names = [f".{os.getpid()}-3.partial.png", ".1-0.partial.png", f".{gone}.partial.png", f"{gone}-1.partial.png"]
    names += [f".{gone}-1.partial.png.bak", ".a-1.partial.png", "clip.partial.mp4", ".hidden.partial", f".{'9' * 30}x"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / f".{gone}-1.partial").mkdir()
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*names, f".{gone}-1.partial"}
    assert caplog.text == ""


def test_a_number_that_no_process_can_have(tmp_path):
    (tmp_path / f".{'9' * 30}-1.partial.png").touch()
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path):
    remove_leftovers(tmp_path / "nothing")
