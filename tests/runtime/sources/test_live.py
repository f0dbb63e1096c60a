"""Live sources are kept alive: what hangs is abandoned, what breaks off is opened again, and not for ever."""

from threading import Event, Thread
from threading import enumerate as threads
from time import perf_counter, sleep

import numpy as np
import pytest

from cyclegan_edge.runtime.errors import InputError, StreamError
from cyclegan_edge.runtime.sources import live
from cyclegan_edge.runtime.sources.live import LiveSource, backoff

PICTURE = np.zeros((4, 4, 3), np.uint8)


class Faulty:
    """Connections by plan: each a list of steps, which are frames ("f") or what goes wrong."""

    def __init__(self, *plan):
        self.plan = list(plan)
        self.opened = self.closed = 0
        self.hung = Event()

    def __call__(self):
        self.opened += 1
        steps = self.plan.pop(0) if self.plan else ["refused"]
        try:
            for step in steps:
                if step == "hang":
                    self.hung.wait()
                    return
                if step == "f":
                    yield PICTURE
                elif step == "raise":
                    raise RuntimeError("driver")
                elif step == "refused":
                    raise StreamError("refused", "unreachable")
                elif step == "denied":
                    raise StreamError("denied", "unauthorised")
        finally:
            self.closed += 1


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(live, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(live, "_FAREWELL", 0.05)


def source(faulty: Faulty, stop: Event | None = None, **options) -> LiveSource:
    return LiveSource("camera", faulty, stop or Event(), **({"patience": 0.3, "attempts": 3} | options))


def reading_threads() -> list[Thread]:
    return [thread for thread in threads() if thread.name == "read"]


def test_it_is_opened_again_after_every_kind_of_break():
    faulty = Faulty(["f", "f"], ["refused"], ["f", "raise"], ["f", "f", "f"])
    frames = iter(source(faulty))
    times = [next(frames).time for _ in range(6)]
    frames.close()
    assert times == sorted(times)
    assert (faulty.opened, faulty.closed) == (4, 4)
    assert reading_threads() == []


def test_a_read_that_hangs_is_abandoned_and_ends_when_it_can(caplog):
    faulty = Faulty(["f", "hang"], ["f"])
    start = perf_counter()
    frames = iter(source(faulty))
    next(frames)
    next(frames)
    assert 0.3 < perf_counter() - start < 5
    assert "camera gave no frame for 0.3 s; trying again in" in caplog.text
    frames.close()
    assert len(reading_threads()) == 1
    faulty.hung.set()
    for thread in reading_threads():
        thread.join(5)
    assert reading_threads() == []


def test_it_is_given_up_after_so_many_attempts():
    faulty = Faulty(["f"])
    frames = iter(source(faulty))
    next(frames)
    with pytest.raises(StreamError, match="refused"):
        next(frames)
    assert faulty.opened == 1 + 3


def test_a_good_connection_forgives_earlier_failures(monkeypatch):
    monkeypatch.setattr(live, "RECOVERED", 2)
    faulty = Faulty(*[["f", "f"]] * 10)
    assert sum(1 for _ in take(source(faulty), 20)) == 20


def take(frames, count):
    for _, frame in zip(range(count), frames, strict=False):
        yield frame


@pytest.mark.parametrize(("first", "opened"), [("refused", 1), ("denied", 1)])
def test_what_never_worked_is_not_tried_again(first, opened):
    faulty = Faulty([first], ["f"])
    with pytest.raises(InputError, match=first):
        next(iter(source(faulty)))
    assert faulty.opened == opened


def test_a_refusal_for_good_is_not_tried_again():
    faulty = Faulty(["f"], ["denied"], ["f"])
    frames = iter(source(faulty))
    next(frames)
    with pytest.raises(StreamError, match="denied"):
        next(frames)


@pytest.mark.parametrize("step", ["hang", "refused"])
def test_stopping_ends_every_wait(step, monkeypatch):
    monkeypatch.setattr(live, "FIRST_WAIT", 60.0)
    monkeypatch.setattr(live, "LONGEST_WAIT", 60.0)
    stop = Event()
    faulty = Faulty(["f", "raise"] if step == "refused" else ["f", "hang"])
    frames = iter(source(faulty, stop, patience=60))
    next(frames)
    Thread(target=lambda: (sleep(0.1), stop.set())).start()
    start = perf_counter()
    assert next(frames, None) is None
    assert perf_counter() - start < 3
    faulty.hung.set()


def test_waits_double_differ_and_are_bounded(monkeypatch):
    monkeypatch.setattr(live, "FIRST_WAIT", 0.5)
    for failures in range(1, 30):
        waits = {backoff(failures) for _ in range(50)}
        longest = min(15, 0.5 * 2 ** (failures - 1))
        assert longest / 2 <= min(waits) < max(waits) <= longest
