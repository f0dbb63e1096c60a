"""The update of one side, plain and as a CUDA graph computes it."""

import copy
import logging

import pytest
import torch
from torch import nn

from cyclegan_edge.trainer.config import OptimConfig
from cyclegan_edge.trainer.methods.update import Update

CPU = torch.device("cpu")


def make(**options):
    """Return an update of a network, the network and its average."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    average = copy.deepcopy(network).requires_grad_(False)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    config = OptimConfig(ema_halflife=100, **options)
    return Update([network], [(average, network)], config, scaler, CPU), network, average


def give_gradients(network, seed, value=None):
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        gradient = torch.randn(parameter.shape, generator=generator)
        parameter.grad = gradient if value is None else torch.full_like(gradient, value)
    network[1].running_mean.add_(1)


def states(*networks):
    return [value for network in networks for value in network.state_dict().values()]


@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.5}])
def test_a_captured_update_is_the_plain_one_up_to_rounding_of_the_average(options):
    """Without a GPU nothing is captured; what a capture would run is run."""
    (plain, *expected), (captured, *found) = make(**options), make(**options)
    captured.capture(True)
    for number in range(4):
        for update, (network, _) in ((plain, expected), (captured, found)):
            update.set_learning_rate(0.1 / (number + 1))
            give_gradients(network, number, torch.nan if number == 2 else None)
        plain(3)
        captured._update(3, captured._inputs)
        captured.num_seen += 3
        assert captured.skipped.item() == plain.skipped.item() == (number == 2)
        for ours, reference in zip(states(found[0]), states(expected[0]), strict=True):
            assert torch.equal(ours, reference)
        for ours, reference in zip(states(found[1]), states(expected[1]), strict=True):
            assert torch.allclose(ours, reference, rtol=1e-6, atol=1e-7)
    assert captured._inputs.num_seen.item() == plain.num_seen == 12


def test_where_capturing_fails_updates_go_on_without(caplog):
    if torch.cuda.is_available():
        pytest.skip("capturing works where there is a GPU")
    (plain, network, _), (captured, other, _) = make(), make()
    captured.capture(True)
    give_gradients(network, 0)
    give_gradients(other, 0)
    for number in range(3):  # gradients stay where they are
        for update in (plain, captured):
            update.set_learning_rate(0.1 / (number + 1))
            update(1)
    assert caplog.text.count("updates stay outside of the CUDA graphs, because capturing fails here") == 1
    assert all(map(torch.equal, states(network), states(other)))
    assert captured.state_dict()["param_groups"] == plain.state_dict()["param_groups"]


def test_a_state_is_the_same_whether_updates_are_captured_and_loads_both_ways():
    reference = torch.optim.Adam([torch.zeros(1)], lr=0.05, betas=(0.5, 0.999), fused=True).state_dict()
    for first_captured, then_captured in ((True, False), (False, True), (True, True), (False, False)):
        (first, network, _), (then, other, _) = make(), make()
        first.capture(first_captured)
        first.set_learning_rate(0.05)
        give_gradients(network, 0)
        first._update(2, first._inputs)
        state = first.state_dict()
        (group,) = state["param_groups"]
        assert group | {"params": [0]} == reference["param_groups"][0]
        other.load_state_dict(network.state_dict())
        then.capture(then_captured)
        then.load_state_dict(copy.deepcopy(state), 2)
        assert then.state_dict()["param_groups"] == state["param_groups"]
        for update, trained in ((first, network), (then, other)):
            give_gradients(trained, 1)
            update._update(2, update._inputs)
        assert all(map(torch.equal, states(network), states(other)))


def test_a_new_learning_rate_reaches_a_captured_update():
    update, *_ = make()
    update.capture(True)
    update.set_learning_rate(0.25)
    (group,) = update.optimizer.param_groups
    assert group["lr"] is update._inputs.learning_rate
    assert group["lr"].item() == 0.25
    update.load_state_dict(update.state_dict() | {"state": {}}, 0)
    assert group["lr"].item() == 0.25
    assert update.optimizer.param_groups[0]["lr"] is update._inputs.learning_rate


def test_a_loss_scaler_is_not_captured():
    network = nn.Linear(1, 1)
    scaler = torch.amp.GradScaler("cpu", enabled=True)
    update = Update([network], (), OptimConfig(), scaler, CPU)
    update.capture(True)
    assert update._inputs is None


@pytest.fixture(autouse=True)
def _seen(caplog):
    caplog.set_level(logging.WARNING)
