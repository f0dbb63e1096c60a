"""Folder jobs through the command: killed, resumed, watched, stopped; counts and exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cyclegan_edge.runtime.jobs.manifest import NAME, Manifest
from cyclegan_edge.runtime.sinks import write_picture
from cyclegan_edge.runtime.sources import read_picture

COMMAND = [sys.executable, "-c", "from cyclegan_edge.cli import main; main()", "translate"]
MANY = 400


@pytest.fixture
def translate(cyclegan, negative, tmp_path):
    def run(*options) -> int:
        return cyclegan("translate", "-m", negative, "-i", tmp_path / "in", "-o", tmp_path / "out", *options)

    return run


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Many pictures, which all are links to one."""
    folder = tmp_path / "in"
    write_picture(folder / "0.png", np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8))
    for i in range(1, MANY):
        os.link(folder / "0.png", folder / f"{i}.png")
    return folder


def start(negative: Path, tmp_path: Path, *options: str) -> subprocess.Popen[str]:
    arguments = [*COMMAND, "-m", str(negative), "-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *options]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(results: int, output: Path) -> None:
    deadline = time.monotonic() + 60
    while len(list(output.glob("[0-9]*.png"))) < results and time.monotonic() < deadline:
        time.sleep(0.01)


def assert_all_done(pictures: Path, output: Path) -> None:
    assert len(list(output.glob("[0-9]*.png"))) == MANY
    expected = 255 - read_picture(pictures / "0.png")
    assert all(np.array_equal(read_picture(output / f"{i}.png"), expected) for i in range(0, MANY, 7))


def test_a_job_that_was_killed_goes_on_where_it_was(negative, pictures, translate, tmp_path, capsys):
    with start(negative, tmp_path) as process:
        wait_for(20, tmp_path / "out")
        process.kill()
    assert process.returncode == -signal.SIGKILL
    done = [record for record in Manifest(tmp_path / "out" / NAME).records() if record.status == "done"]
    assert 15 <= len(done) < MANY
    kept = {record.work.path: (tmp_path / "out" / record.work.path).stat().st_mtime_ns for record in done}

    assert translate("--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["skipped"], summary["translated"]) == (len(done), MANY - len(done))
    assert {path: (tmp_path / "out" / path).stat().st_mtime_ns for path in kept} == kept
    assert_all_done(pictures, tmp_path / "out")


def test_a_watch_takes_what_comes_until_ctrl_c_and_ends_well(negative, pictures, tmp_path):
    with start(negative, tmp_path, "--watch", "--json") as process:
        wait_for(MANY, tmp_path / "out")
        os.link(pictures / "0.png", pictures / "9999.png")
        wait_for(MANY + 1, tmp_path / "out")
        process.send_signal(signal.SIGINT)
        said, complained = process.communicate(timeout=60)
    assert process.returncode == 0, complained
    assert json.loads(said)["translated"] == MANY + 1
    assert "Traceback" not in complained


@pytest.fixture
def few(tmp_path) -> Path:
    for name in ("a.png", "b.png", "c.png"):
        write_picture(tmp_path / "in" / name, np.full((8, 8, 3), 7, np.uint8))
    return tmp_path / "in"


def test_stopping_at_the_first_failure(few, translate, tmp_path, capsys):
    (few / "b.png").write_bytes(b"damaged")
    assert translate("--on-error", "stop") == 3
    assert "b.png is damaged" in capsys.readouterr().err
    assert (tmp_path / "out/a.png").exists()
    assert not (tmp_path / "out/c.png").exists()


def test_failures_stay_failures_until_they_are_tried_again(few, translate, capsys):
    (few / "b.png").write_bytes(b"damaged")
    assert translate("--json") == 1
    assert translate("--json") == 1
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["translated"], first["failed"]) == (2, 1)
    assert (second["translated"], second["skipped"], second["failed"]) == (0, 2, 1)
    status = (few / "b.png").stat()
    write_picture(few / "b.png", np.full((8, 8, 3), 7, np.uint8))
    os.utime(few / "b.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert translate("--retry-failed", "--json") == 0


def test_names_that_meet_are_told_before_anything_is_written(few, translate, tmp_path, capsys):
    write_picture(few / "b.ppm", np.full((8, 8, 3), 7, np.uint8))
    assert translate("--format", "webp") == 2
    assert "b.png and b.ppm would both be written to" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", [["--on-error", "stop"], ["--retry-failed"], ["--watch"], ["--format", "png"]])
def test_a_jobs_options_go_with_a_folder(cyclegan, option, few, negative, tmp_path, capsys):
    assert cyclegan("translate", "-m", negative, "-i", few / "a.png", "-o", tmp_path / "new.png", *option) == 2
    assert "is no folder" in capsys.readouterr().err
