import threading
import time

import pytest
import torch

from cyclegan_edge.runtime.errors import OutputError
from cyclegan_edge.trainer.tracking import background
from cyclegan_edge.trainer.tracking.background import MOST_WAITING, BackgroundWriter, copied_together, snapshot


def test_writes_happen_in_order_on_another_thread_and_before_the_block_ends():
    done = []
    with BackgroundWriter() as writer:
        for number in range(10):
            writer.submit(lambda number=number: done.append((number, threading.current_thread().name)))
    assert [number for number, _ in done] == list(range(10))
    assert all(name.startswith("writer") for _, name in done)


def test_submitting_does_not_wait_until_too_much_does():
    gate = threading.Event()
    with BackgroundWriter() as writer:
        started = time.monotonic()
        for _ in range(MOST_WAITING):
            writer.submit(gate.wait)
        assert time.monotonic() - started < 1
        threading.Timer(0.3, gate.set).start()
        writer.submit(lambda: None)  # has to wait for the first
        assert gate.is_set()


def fail() -> None:
    raise OutputError("the disk is full")


def test_a_failed_write_comes_out_of_the_next_one():
    later = []

    def write() -> None:
        with BackgroundWriter() as writer:
            writer.submit(fail)
            time.sleep(0.2)
            writer.submit(lambda: None)
            later.append("went on")

    with pytest.raises(OutputError, match="the disk is full"):
        write()
    assert later == []


def test_a_failed_write_comes_out_of_the_end():
    with pytest.raises(OutputError, match="the disk is full"), BackgroundWriter() as writer:
        writer.submit(fail)


def test_what_was_going_wrong_already_is_not_hidden_by_a_failed_write():
    def write() -> None:
        with BackgroundWriter() as writer:
            writer.submit(fail)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()


def test_a_snapshot_stays_when_its_source_changes():
    source = {"a": torch.zeros(2), "b": [torch.ones(1), (torch.ones(1), "text")], "c": 3}
    copy = snapshot(source)
    for tensor in (source["a"], source["b"][0], source["b"][1][0]):
        tensor.fill_(9)
    assert copy["a"].tolist() == [0, 0]
    assert copy["b"][0].item() == copy["b"][1][0].item() == 1
    assert (copy["b"][1][1], copy["c"]) == ("text", 3)


def test_tensors_come_over_together_each_into_memory_of_its_own():
    """On a device; here on the CPU, where the same is computed."""
    tensors = [torch.randn(3, 4).t(), torch.tensor(5.0), torch.empty(0, 2), torch.randn(2, 3, 4, 5)]
    tensors[3] = tensors[3].to(memory_format=torch.channels_last)
    copies = copied_together(tensors)
    assert all(torch.equal(*pair) for pair in zip(copies, tensors, strict=True))
    assert len({copy.untyped_storage().data_ptr() for copy in copies if copy.numel()}) == 3
    assert all(copy.untyped_storage().nbytes() == copy.nbytes for copy in copies)


def test_what_comes_over_together_is_of_one_type_and_bounded(monkeypatch):
    monkeypatch.setattr(background, "PIECE", 100)
    halves, floats = (
        [torch.zeros(20, dtype=torch.half) for _ in range(3)],
        [torch.zeros(size) for size in (3, 60, 5, 6)],
    )
    groups = list(background._grouped([halves[0], floats[0], *floats[1:], *halves[1:]]))
    assert [[tensor.nbytes for tensor in group] for group in groups] == [[40, 40], [40], [12], [240], [20, 24]]
