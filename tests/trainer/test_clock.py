"""The clock of a run goes on where it stood, whatever happened to the pictures."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclegan_edge.trainer.clock import Clock, describe_change, fingerprint


def ticked(steps_per_epoch, steps):
    clock = Clock(steps_per_epoch)
    for _ in range(steps):
        clock.tick()
    return clock


def test_steps_and_epochs_are_counted():
    clock = Clock(3)
    assert (clock.epoch, clock.remaining(2)) == (1, 6)
    clock = ticked(3, 3)
    assert (clock.step, clock.epoch, clock.epoch_ends, clock.progress()["epoch"]) == (3, 2, True, 1)
    clock.tick()
    assert (clock.epoch, clock.epoch_ends, clock.progress()["epoch"], clock.remaining(2)) == (2, False, 2, 2)


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(0, 500))
def test_a_clock_of_the_same_pictures_goes_on_exactly(steps_per_epoch, steps):
    clock, other = ticked(steps_per_epoch, steps), Clock(steps_per_epoch)
    assert not other.resume(clock.progress())
    assert other == clock


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 500))
def test_a_clock_of_other_pictures_keeps_its_epoch_and_the_share_of_it(before, now, steps):
    clock, other = ticked(before, steps), Clock(now)
    assert other.resume(clock.progress()) == (before != now)
    assert (other.step, other.epoch) == (clock.step, clock.epoch)
    assert abs(other.place % now / now - clock.place % before / before) <= 1 / now


@pytest.mark.parametrize(("step", "epoch", "place"), [(12, 6, 12), (12, 2, 2), (5, 3, 5)])
def test_a_checkpoint_that_does_not_say_how_long_its_epochs_were_keeps_its_epoch(step, epoch, place):
    clock = Clock(2)
    clock.resume({"step": step, "epoch": epoch})
    assert (clock.step, clock.place) == (step, place)


def test_a_fingerprint_sees_names_and_their_number():
    one = fingerprint(["1.png", "deep/2.png"])
    assert one == {"count": 2, "names": hashlib.sha256(b"1.png\0deep/2.png").hexdigest()[:16]}
    assert describe_change("A", one, one) == ""
    other = fingerprint(["1.png", "3.png"])
    assert "the 2 pictures of domain A have other names" in describe_change("A", one, other)
    assert "domain A has 1 pictures, and had 2" in describe_change("A", one, fingerprint(["1.png"]))
