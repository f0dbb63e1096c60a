"""Skipped updates are counted, many of them are a divergence, and going back ends somewhere."""

import pytest

from cyclegan_edge.runtime.errors import CycleganError
from cyclegan_edge.trainer.tracking.divergence import (
    LARGEST_LOSS,
    MOST_RETURNS,
    MOST_SKIPPED,
    WINDOW,
    LastGood,
    SkippedUpdates,
    out_of_bounds,
)

NONE, BOTH, GENERATORS = (False, False), (True, True), (True, False)


def count(*skips):
    updates = SkippedUpdates()
    updates.add(len(skips), skips, lambda step: f"{step}.png")
    return updates


def test_steps_that_skip_any_update_are_counted():
    updates = count(NONE, BOTH, GENERATORS, NONE)
    assert (updates.steps, updates.num_skipped) == (4, 2)
    assert not updates.many


def test_many_skipped_updates_of_the_last_are_a_divergence():
    assert count(*[BOTH] * MOST_SKIPPED).many
    assert not count(*[BOTH] * (MOST_SKIPPED - 1), *[NONE] * WINDOW).many
    assert not count(*[BOTH] * MOST_SKIPPED, *[NONE] * WINDOW).many
    updates = count(*[BOTH] * MOST_SKIPPED)
    updates.forget_recent()
    assert not updates.many


def test_networks_that_were_never_updated_are_known():
    assert count().untrained is None
    assert count(GENERATORS, NONE).untrained is None
    assert count(GENERATORS, GENERATORS).untrained == "generators"
    assert count(BOTH, BOTH).untrained == "generators and discriminators"


def test_the_steps_and_their_pictures_are_named(caplog):
    updates = SkippedUpdates()
    updates.add(12, [NONE, BOTH], lambda step: f"{step}.png")
    assert "a gradient of step 12 was not finite, so its update was skipped; its pictures: 12.png" in caplog.text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2 * LARGEST_LOSS, -2 * LARGEST_LOSS])
def test_a_loss_without_bounds_is_found(value):
    assert out_of_bounds({"G_A": 1.0, "D_A": value}) == "D_A"
    assert out_of_bounds({"G_A": 1.0, "D_A": -LARGEST_LOSS / 2}) is None


def test_a_run_that_never_gets_better_is_given_up(caplog):
    good = LastGood()
    good.replace({"a": 1})
    for _ in range(MOST_RETURNS):
        assert good.go_back(7, "its losses") == {"a": 1}
    assert "the run diverges before step 7 (its losses)" in caplog.text
    with pytest.raises(CycleganError, match=r"4 times since its last good checkpoint.*lower optim\.lr"):
        good.go_back(8, "its losses")


def test_a_newer_good_state_starts_the_count_again():
    good = LastGood()
    good.replace({"a": 1})
    for _ in range(3 * MOST_RETURNS):
        good.go_back(7, "its losses")
        good.replace({"a": 2})
    assert good.go_back(8, "its losses") == {"a": 2}
