"""Signals while the real command is at work: what it ends with, and what the next run finds."""

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

COMMAND = [sys.executable, "-c", "from cyclegan_edge.cli import main; main()", "translate", "--json"]
MANY = 2000
FRAME = 64 * 48 * 3  # bytes


@pytest.fixture
def start(model):
    """Start the command; it is killed where a test forgets it."""
    running: list[subprocess.Popen[bytes]] = []

    def popen(given, output, *options, **streams) -> subprocess.Popen[bytes]:
        arguments = ["-m", model("invert"), "-i", given, "-o", output, "--backend", "onnxruntime", *options]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
        running.append(subprocess.Popen([*COMMAND, *map(str, arguments)], **streams))
        return running[-1]

    yield popen
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Many pictures, all links to one, that take a job a while."""
    folder = tmp_path / "in"
    write_picture(folder / "0.png", np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8))
    for i in range(1, MANY):
        os.link(folder / "0.png", folder / f"{i}.png")
    return folder


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def results(output: Path) -> int:
    return len(list(output.glob("[0-9]*.png")))


def test_a_second_ctrl_c_ends_at_once_what_the_first_cannot(start):
    process = start("-?size=64x48", "-", stdin=subprocess.PIPE)
    process.stdin.write(bytes(FRAME))  # the next never comes, and nobody can interrupt that read
    process.stdin.flush()
    assert process.stdout.read(FRAME) == b"\xff" * FRAME
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert time.monotonic() - begun < 2  # the first alone would take GRACE, three seconds
    assert process.stdout.read() == b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_job_ends_after_the_pictures_under_way_and_goes_on_later(number, start, pictures, tmp_path):
    process = start(pictures, tmp_path / "out")
    wait_until(lambda: results(tmp_path / "out") >= 5)
    process.send_signal(number)
    said, complained = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, b"")
    assert complained.endswith(b"cyclegan: interrupted\n")
    records = Manifest(tmp_path / "out" / NAME).records()
    assert len([record for record in records if record.status == "done"]) == results(tmp_path / "out") < MANY
    assert list((tmp_path / "out").glob("*.partial*")) == []


def test_a_watch_is_ended_well_by_a_service_manager(start, pictures, tmp_path):
    process = start(pictures, tmp_path / "out", "--watch")
    wait_until(lambda: results(tmp_path / "out") >= 5)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(said)["translated"] == results(tmp_path / "out")


def test_a_second_job_is_kept_out_and_a_killed_one_blocks_nobody(start, translate, pictures, tmp_path):
    output = tmp_path / "out"
    first = start(pictures, output)
    wait_until(lambda: results(output) >= 5)
    second = translate(pictures, output)
    assert (second.code, second.summary) == (5, {})
    assert f"another job is writing into {output}; wait for its end" in second.said
    first.kill()
    first.wait()
    leftover = output / f".cyclegan-{first.pid}-{'0' * 16}.partial.png"
    leftover.write_bytes(b"half")
    for path in list(pictures.iterdir())[100:]:
        path.unlink()
    third = translate(pictures, output)
    assert third.code == 0
    assert third.summary["translated"] + third.summary["skipped"] == 100
    assert not leftover.exists()
    assert list(output.glob(".*partial*")) == []
