import math

import pytest
from torch import nn

from cyclegan_edge.trainer.config import ScheduleConfig
from cyclegan_edge.trainer.methods.schedule import (
    Plateau,
    cycle_weight_factor,
    learning_rate_factor,
    update_ema,
)


@pytest.mark.parametrize(
    ("epoch", "factor"),
    [(1, 1.0), (100, 1.0), (101, 100 / 101), (150, 51 / 101), (200, 1 / 101), (201, 0.0), (300, 0.0)],
)
def test_linear_follows_the_newest_official_formula(epoch, factor):
    assert learning_rate_factor(ScheduleConfig(), epoch) == pytest.approx(factor)


@pytest.mark.parametrize(("epoch", "factor"), [(1, 1.0), (50, 1.0), (51, 0.1), (100, 0.1), (101, 0.01)])
def test_step_cuts_to_a_tenth(epoch, factor):
    assert learning_rate_factor(ScheduleConfig(lr_policy="step"), epoch) == pytest.approx(factor)


def test_cosine_falls_once_and_never_rises_again():
    config = ScheduleConfig(lr_policy="cosine", n_epochs=10, n_epochs_decay=9)
    factors = [learning_rate_factor(config, epoch) for epoch in range(1, 40)]
    assert factors[:10] == [1.0] * 10
    assert factors[14] == pytest.approx(0.5 * (1 + math.cos(math.pi * 5 / 10)))
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] == pytest.approx(0.0)


def test_plateau_is_fed_by_the_metric():
    plateau = Plateau()
    for metric in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4):
        plateau.update(metric)
    assert plateau.factor == 1.0
    for _ in range(6):
        plateau.update(0.4)
    assert plateau.factor == pytest.approx(0.2)


def test_a_plateau_goes_on_where_it_was():
    plateau, other = Plateau(), Plateau()
    for _ in range(10):
        plateau.update(0.4)
    other.load_state_dict(plateau.state_dict())
    for _ in range(4):
        plateau.update(0.4)
        other.update(0.4)
    assert plateau.factor == other.factor == pytest.approx(0.04)


def test_ema_counts_a_past_weight_half_after_its_half_life():
    averaged, network = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.zeros_(averaged.weight)
    nn.init.ones_(network.weight)
    for _ in range(10):
        update_ema(averaged, network, halflife=20, batch=2, seen=10**6)
    assert averaged.weight.item() == pytest.approx(0.5)


def test_ema_forgets_the_random_start():
    averaged, network = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.zeros_(averaged.weight)
    nn.init.ones_(network.weight)
    for seen in range(1, 200):
        update_ema(averaged, network, halflife=10_000, batch=1, seen=seen)
    assert averaged.weight.item() > 0.9999


def test_the_cycle_weight_falls_linearly_to_its_end_in_the_last_epoch():
    config = ScheduleConfig(n_epochs=3, n_epochs_decay=2, cycle_weight_end=0.2)
    weights = [cycle_weight_factor(config, epoch) for epoch in (1, 2, 3, 4, 5)]
    assert weights == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])


@pytest.mark.parametrize("epoch", [1, 7, 200])
def test_the_cycle_weight_stays_by_default(epoch):
    assert cycle_weight_factor(ScheduleConfig(), epoch) == 1
    assert cycle_weight_factor(ScheduleConfig(n_epochs=1, n_epochs_decay=0, cycle_weight_end=0.5), 1) == 1
