"""Hops between threads: nothing is lost that should not be, and nobody waits for one who is gone."""

from threading import Thread
from time import sleep

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclegan_edge.runtime.channel import AbandonedError, Channel, EndedError


def send(channel: Channel[int], items: list[int], ending: BaseException | None = None) -> Thread:
    def work() -> None:
        for item in items:
            channel.put(item)
        channel.finish(ending)

    thread = Thread(target=work, daemon=True)
    thread.start()
    return thread


@given(items=st.lists(st.integers(), max_size=50), depth=st.integers(1, 5))
def test_a_lossless_channel_passes_everything_in_order(items, depth):
    channel: Channel[int] = Channel(depth, lossless=True)
    thread = send(channel, items)
    assert list(channel) == items
    thread.join(5)
    assert channel.dropped == 0


@given(items=st.lists(st.integers(), min_size=1, max_size=50), depth=st.integers(1, 5))
def test_otherwise_the_newest_stay_and_the_rest_is_counted(items, depth):
    channel: Channel[int] = Channel(depth, lossless=False)
    for item in items:
        channel.put(item)
    channel.finish()
    assert list(channel) == items[-depth:]
    assert channel.dropped == max(0, len(items) - depth)


def test_bytes_bound_it_too_but_never_a_single_item():
    channel: Channel[str] = Channel(10, lossless=False, max_bytes=100)
    channel.put("small", 60)
    channel.put("large", 5000)
    channel.put("last", 10)
    assert (len(channel), channel.dropped) == (1, 2)
    assert channel.get() == "last"


def test_an_error_comes_after_the_items_before_it():
    channel: Channel[int] = Channel(5, lossless=True)
    send(channel, [1, 2], OSError("gone"))
    assert (channel.get(), channel.get()) == (1, 2)
    with pytest.raises(OSError, match="gone"):
        channel.get()


def test_a_sender_that_waits_hears_that_nobody_receives():
    channel: Channel[int] = Channel(1, lossless=True)
    heard = []

    def work() -> None:
        try:
            for number in range(3):
                channel.put(number)
        except AbandonedError as abandoned:
            heard.append(abandoned.error)

    thread = Thread(target=work, daemon=True)
    thread.start()
    sleep(0.05)
    channel.abandon(ValueError("enough"))
    thread.join(5)
    assert not thread.is_alive()
    assert str(heard[0]) == "enough"


def test_a_receiver_that_waits_hears_of_every_end():
    channel: Channel[int] = Channel(1, lossless=True)
    with pytest.raises(TimeoutError):
        channel.get(0.01)
    channel.finish()
    with pytest.raises(EndedError):
        channel.get()
    channel = Channel(1, lossless=True)
    channel.put(1)
    channel.abandon(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        channel.get()


def test_only_the_first_end_counts():
    channel: Channel[int] = Channel(1, lossless=True)
    channel.finish(OSError("first"))
    channel.finish(None)
    with pytest.raises(OSError, match="first"):
        list(channel)
