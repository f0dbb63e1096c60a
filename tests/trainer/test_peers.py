"""Processes that watch each other: here as threads of one process, and as processes that are killed."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cyclegan_edge.trainer import peers
from cyclegan_edge.trainer.peers import connect_peers


class Store:
    """What the processes share: `get` waits for `set`."""

    def __init__(self):
        self._values = {}
        self._changed = threading.Condition()

    def set(self, key, value):
        with self._changed:
            self._values[key] = value.encode()
            self._changed.notify_all()

    def get(self, key):
        with self._changed:
            assert self._changed.wait_for(lambda: key in self._values, timeout=10)
            return self._values[key]


@pytest.fixture
def ended(monkeypatch):
    """The sentences of the processes that were ended."""
    sentences = []
    monkeypatch.setattr(peers, "end_process", sentences.append)
    monkeypatch.setattr(peers, "ALL_AT_ONCE", 0.0)
    return sentences


@pytest.fixture
def join(ended):
    """Return a function that connects so many processes; they leave when the test ends."""
    together = []

    def connect(size, *, grace=0.0, within=10.0, store=None, ranks=None):
        store = store or Store()

        def one(rank):
            return connect_peers(rank, size, store, host="localhost", within=within, grace=grace)

        with ThreadPoolExecutor(size) as pool:
            coming = [pool.submit(one, rank) for rank in ranks or range(size)]
        together.extend(future.result() for future in coming if not future.exception())
        for future in coming:
            future.result()
        return together

    yield connect
    for each in together:
        each.leave(done=True)


@pytest.mark.parametrize("lost", range(3))
def test_all_know_which_process_is_gone_and_are_ended_with_a_sentence(join, ended, lost):
    together = join(3)
    together[lost].leave(done=False)
    others = [rank for rank in range(3) if rank != lost]
    assert [together[rank].wait_for_loss(10) for rank in others] == [lost, lost]
    for rank in others:
        together[rank]._thread.join(10)
    assert len(ended) == 2
    for rank in others:
        (sentence,) = [text for text in ended if text.startswith(f"process {rank} of 3")]
        assert f"stopped because another one ended, number {lost};" in sentence
        assert sentence.endswith("resume the run")
    assert together[lost].lost is None


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_processes_that_are_done_leave_in_any_order(join, ended, order):
    together = join(3)
    for rank in order:
        together[rank].leave(done=True)
        time.sleep(0.02)
    assert [each.lost for each in together] == [None] * 3
    assert not ended


def test_a_process_that_notices_by_itself_is_not_ended(join, ended):
    together = join(2, grace=60)
    together[1].leave(done=False)
    assert together[0].wait_for_loss(10) == 1
    together[0].leave(done=False)
    assert not together[0]._thread.is_alive()
    assert not ended


def test_a_process_that_ended_with_its_part_is_not_missed_when_another_is_gone(join, ended):
    together = join(3)
    together[1].leave(done=True)
    together[2].leave(done=False)
    assert together[0].wait_for_loss(10) == 2
    assert together[1].lost is None


def test_strangers_are_sent_away(join, monkeypatch):
    monkeypatch.setattr(peers, "GREETING", 0.2)

    class Crowded(Store):
        def set(self, key, value):
            port, token = value.split()
            said = (b"", b"GET / HTTP/1.1\r\n\r\n" + b"x" * 100, peers._greeting("0" * len(token), 1))
            wrong_rank = (
                peers._greeting(token, 0),
                peers._greeting(token, 7),
                b"\xff" * len(peers._greeting(token, 0)),
            )
            self.strangers = [socket.create_connection(("localhost", int(port))) for _ in (*said, *wrong_rank)]
            for stranger, text in zip(self.strangers, (*said, *wrong_rank), strict=True):
                stranger.sendall(text)
            super().set(key, value)

    store = Crowded()
    together = join(2, store=store)
    for stranger in store.strangers:
        stranger.close()
    assert [each.wait_for_loss(0.1) for each in together] == [None, None]


def test_processes_that_do_not_come_are_waited_for_a_limited_time(join):
    with pytest.raises(OSError, match="timed out"):
        join(3, within=0.3, ranks=[0, 1])


def test_the_system_asks_whether_a_silent_machine_is_still_there(join):
    for each in join(2):
        for connection in each._connections.values():
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if hasattr(socket, "TCP_KEEPIDLE"):
                idle, between, times = (
                    connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{name}"))
                    for name in ("KEEPIDLE", "KEEPINTVL", "KEEPCNT")
                )
                assert idle + between * times + 10 < 60


PROCESS = """
import ctypes, pathlib, sys, time
from cyclegan_edge.trainer.peers import connect_peers

rank, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])

class Files:
    def set(self, key, value):
        (folder / "written").write_text(value)
        (folder / "written").rename(folder / "store")
    def get(self, key):
        while not (folder / "store").exists():
            time.sleep(0.01)
        return (folder / "store").read_bytes()

peers = connect_peers(rank, 3, Files(), host="localhost", within=60, grace=0.5)
print("met", flush=True)
what = sys.stdin.readline().strip()
if what == "wait":
    time.sleep(600)
if what == "compute":  # and let no other thread of this process run meanwhile
    ctypes.PyDLL(None).sleep(3)
peers.leave(done=True)
"""


@pytest.fixture
def processes(tmp_path):
    """Three processes that have met."""
    command = [sys.executable, "-c", PROCESS]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [subprocess.Popen([*command, str(rank), str(tmp_path)], **pipes) for rank in range(3)]
    for process in started:
        assert process.stdout.readline() == "met\n"
    yield started
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("victim", [0, 2])
def test_a_process_that_is_killed_ends_the_others_whatever_they_wait_for(processes, victim):
    for process in processes:
        process.stdin.write("wait\n")
        process.stdin.flush()
    processes[victim].send_signal(signal.SIGKILL)
    for rank, process in enumerate(processes):
        if rank != victim:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 1
            assert f"cyclegan: process {rank} of 3 stopped because another one ended, number {victim};" in errors
            assert "Traceback" not in errors


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system stops no process")
def test_a_process_that_takes_its_time_is_waited_for(processes):
    """One computes without a break, one is stopped for a while, and one is done at once."""
    os.kill(processes[1].pid, signal.SIGSTOP)
    for process, what in zip(processes, ("compute", "leave", "leave"), strict=True):
        process.stdin.write(f"{what}\n")
        process.stdin.flush()
    time.sleep(2)
    os.kill(processes[1].pid, signal.SIGCONT)
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
