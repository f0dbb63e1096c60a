"""Processes that build a cache: killed, two at once, and one that may write no more."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from cyclegan_edge.trainer.data.cache import store

AHEAD = 6  # pictures that one thread may have decoded before the first of them is committed

CHILD = """
import sys
import time
from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.data.cache import build
from cyclegan_edge.trainer.data.dataset import load_training
from cyclegan_edge.trainer.data.pictures import Preparation
import logging, os, resource, time
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
build.COMMIT_SECONDS = 0.0
os.sched_getaffinity = lambda process: {0}  # one thread decodes
dataroot, place, seconds, limit = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
real = Preparation.__call__
def slow(self, path):
    time.sleep(seconds)
    while os.path.exists(place + ".hold"):
        time.sleep(0.02)
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


def wait_until(true):
    deadline = time.monotonic() + 100
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_a_build_that_is_killed_goes_on_where_it_was(many, place, decoded, drawn, pixel_files):
    child = start(many, place, seconds=0.1)
    log = place.with_suffix(".log")
    wait_until(lambda: log.exists() and len(log.read_text().splitlines()) >= 12)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    expected = drawn(many, "off")
    decoded.clear()
    assert torch.equal(drawn(many, place), expected)
    began = len(log.read_text().splitlines())
    assert 25 - began <= len(decoded) <= 25 - began + AHEAD  # those that were being decoded, or not yet committed
    (folder,) = place.glob("*trainA*")
    assert pixel_files(folder)[Path("0000.pixels")] == 20 * store.stored_bytes(36, 36, 3, 8)


@pytest.mark.slow
def test_two_runs_that_build_at_once_decode_each_picture_once(many, place):
    hold = place.with_suffix(".hold")
    hold.touch()
    first = start(many, place)
    wait_until(lambda: list(place.glob("*/*.pixels")))
    second = start(many, place)
    said = second.stderr.readline()  # ends its line while the first one still builds
    hold.unlink()
    outputs = [child.communicate(timeout=100)[0] for child in (first, second)]
    assert [child.returncode for child in (first, second)] == [0, 0]
    assert len(place.with_suffix(".log").read_text().splitlines()) == 25
    assert outputs == ["opened 20\n"] * 2
    assert "another process is preparing the pictures" in said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of a file's size")
def test_a_file_that_may_not_grow_ends_the_build_and_no_run(many, place, pixel_files):
    child = start(many, place, limit=50_000)
    out, said = child.communicate(timeout=100)
    assert child.returncode == 0
    assert "opened 20" in out
    assert "File too large; training goes on" in said
    assert sum(size for path, size in pixel_files(place).items() if "trainA" in str(path)) == 0
