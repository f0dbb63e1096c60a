"""The floor under the variance of instance norms."""

import math

import pytest
import torch
from torch import nn

from cyclegan_edge.runtime.errors import ConfigError
from cyclegan_edge.trainer.config import NetworksConfig, resolve_config
from cyclegan_edge.trainer.methods.cyclegan import CycleGAN
from cyclegan_edge.trainer.networks.build import build_generator
from cyclegan_edge.trainer.networks.layers import InstanceNorm
from cyclegan_edge.trainer.networks.norm_floor import FlooredInstanceNorm

CPU = torch.device("cpu")


def plane(deviation: float, mean: float = 0.0) -> torch.Tensor:
    """Half of the values below the mean and half above it, [1, 1, 4, 4]."""
    return mean + deviation * torch.tensor([-1.0, 1.0]).repeat(8).view(1, 1, 4, 4)


def seen(*planes: torch.Tensor, floor: float = 1.0) -> FlooredInstanceNorm:
    """Return a norm of one channel that has seen these planes, one batch each."""
    norm = FlooredInstanceNorm(1, floor)
    for each in planes:
        norm(each)
    return norm.eval()


@pytest.mark.parametrize("floor", [0.1, 1.0, 10.0])
def test_a_plane_of_the_usual_variance_is_normalised_as_without_a_floor(floor):
    norm = seen(plane(2.0), floor=floor)
    assert norm.plane_variance.item() == pytest.approx(4.0)
    assert norm(plane(2.0, mean=5.0)).std(correction=0).item() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(("floor", "deviation"), [(1.0, 0.02), (0.1, 0.02), (1.0, 6.0)])
def test_other_planes_by_hand(floor, deviation):
    norm = seen(plane(2.0), floor=floor)
    expected = math.sqrt(1 + floor) * deviation / math.sqrt(deviation**2 + floor * 4.0)
    assert norm(plane(deviation, mean=-3.0)).max().item() == pytest.approx(expected, rel=1e-3)


def test_the_usual_variance_is_the_mean_of_the_planes_that_were_seen_and_forgets_slowly():
    assert seen(plane(1.0), plane(3.0)).plane_variance.item() == pytest.approx((1 + 9) / 2)
    assert seen(torch.cat((plane(1.0), plane(3.0)))).plane_variance.item() == pytest.approx((1 + 9) / 2)
    norm = FlooredInstanceNorm(1, 1.0)
    norm.num_batches.fill_(1000)
    norm(plane(10.0))
    assert norm.plane_variance.item() == pytest.approx(0.01 * 100)


def test_evaluation_learns_nothing_and_a_broken_batch_neither():
    norm = seen(plane(2.0))
    norm(plane(9.0))
    assert norm.plane_variance.item() == pytest.approx(4.0)
    norm.train()
    norm(plane(9.0) * math.nan)
    assert (norm.plane_variance.item(), norm.num_batches.item()) == (pytest.approx(4.0), 1)


def test_noise_of_one_step_stays_noise_where_the_official_norm_makes_it_a_picture():
    noise = plane(0.005)
    assert InstanceNorm().eval()(noise).max() > 0.8
    assert seen(plane(0.5))(noise).max() < 0.02


def test_a_constant_plane_passes_no_gradient_and_no_number_that_is_none():
    norm = FlooredInstanceNorm(1, 1.0)
    x = torch.full((2, 1, 4, 4), 0.7, requires_grad=True)
    made = norm(x)
    made.sum().backward()
    assert torch.equal(made, torch.zeros_like(made))
    assert x.grad.abs().max() < 1e-3


@pytest.mark.parametrize("generator", ["resnet_1blocks", "mobile_resnet_1blocks", "edge_resnet_1blocks", "unet_128"])
def test_every_norm_of_a_generator_has_the_floor_and_no_discriminator(generator):
    model = CycleGAN(
        resolve_config(
            {
                "networks": {"generator": generator, "ngf": 4, "ndf": 4, "norm_floor": 0.5},
                "data": {"load_size": 128, "crop_size": 128},
            }
        ),
        CPU,
    )
    for name, network in model.networks.items():
        norms = [module for module in network.modules() if isinstance(module, InstanceNorm)]
        assert norms
        assert {type(norm) for norm in norms} == {InstanceNorm if name.startswith("D_") else FlooredInstanceNorm}


def test_the_official_network_is_the_default():
    assert NetworksConfig().norm_floor == 0
    network = build_generator(NetworksConfig(generator="resnet_1blocks", ngf=4), 3, 3)
    assert not [module for module in network.modules() if isinstance(module, FlooredInstanceNorm)]


def test_a_step_measures_and_the_averaged_generator_takes_it_over(make_config):
    model = CycleGAN(make_config(networks={"norm_floor": 1.0}), CPU)
    model.step(*(2 * torch.rand(2, 2, 3, 32, 32) - 1))
    for name in ("G_A", "ema_A"):
        norms = [module for module in model.networks[name].modules() if isinstance(module, FlooredInstanceNorm)]
        assert all(norm.num_batches >= 2 and (norm.plane_variance > 0).any() for norm in norms)


def test_weights_of_a_network_without_a_floor_go_in():
    config = NetworksConfig(generator="resnet_1blocks", ngf=4)
    plain = build_generator(config, 3, 3)
    floored = build_generator(config.model_copy(update={"norm_floor": 1.0}), 3, 3)
    floored.load_state_dict(plain.state_dict())
    assert all(torch.equal(floored.state_dict()[name], value) for name, value in plain.state_dict().items())


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            {"networks": {"norm_floor": 1, "norm": "batch"}},
            "norm_floor goes with norm=instance, not batch; set networks.norm_floor=0",
        ),
        ({"networks": {"norm_floor": -1}}, "greater than or equal to 0"),
        (
            {"networks": {"norm_floor": 1}, "optim": {"checkpoint_activations": True}},
            "twice in the statistics of norm_floor=1",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(layer, message):
    with pytest.raises(ConfigError, match=message):
        resolve_config(layer)


def test_the_floor_keeps_a_dark_noisy_frame_quiet_through_a_whole_network():
    """Random weights, as large as trained ones: the official norms fill the frame, the floored ones do not."""
    frames = torch.rand(8, 3, 32, 32) * 2 - 1
    covered = torch.randint(0, 2, (1, 3, 32, 32)) / 127.5 - 1
    deviations = []
    for floor in (0.0, 10.0):
        torch.manual_seed(0)
        network = build_generator(NetworksConfig(generator="resnet_4blocks", ngf=8, norm_floor=floor), 3, 3)
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, 0, 0.1)
        with torch.no_grad():
            network(frames)
            deviations.append(float(network.eval()(covered).std((2, 3)).max()))
    assert deviations[1] < 0.2 * deviations[0]
