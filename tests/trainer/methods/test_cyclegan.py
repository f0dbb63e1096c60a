import itertools

import pytest
import torch
from torch import nn

from cyclegan_edge.trainer.methods.cyclegan import CycleGAN

CPU = torch.device("cpu")


def make_batch(seed=0, size=32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(2, 3, size, size, generator=generator) * 2 - 1 for _ in range(2)]


def plain_step(model: CycleGAN, optimizer_G, optimizer_D, real_A, real_B, lambda_identity: float) -> None:
    """The official step, written out: every call by itself, MSE and L1 from torch, no history buffer."""
    mse, l1 = nn.MSELoss(), nn.L1Loss()
    G_A, G_B, D_A, D_B = model.G_A, model.G_B, model.D_A, model.D_B
    fake_B, fake_A = G_A(real_A), G_B(real_B)
    rec_A, rec_B = G_B(fake_B), G_A(fake_A)
    ones = torch.ones_like(D_A(fake_B))
    loss = mse(D_A(fake_B), ones) + mse(D_B(fake_A), ones) + 10 * l1(rec_A, real_A) + 10 * l1(rec_B, real_B)
    if lambda_identity:
        loss = loss + 10 * lambda_identity * (l1(G_A(real_B), real_B) + l1(G_B(real_A), real_A))
    optimizer_G.zero_grad()
    loss.backward()
    optimizer_G.step()
    optimizer_D.zero_grad()
    for judge, real, fake in ((D_A, real_B, fake_B), (D_B, real_A, fake_A)):
        (0.5 * (mse(judge(real), ones) + mse(judge(fake.detach()), 0 * ones))).backward()
    optimizer_D.step()


@pytest.mark.parametrize("lambda_identity", [0.5, 0.0])
def test_a_step_is_the_official_step(make_config, lambda_identity):
    config = make_config(optim={"pool_size": 0}, losses={"lambda_identity": lambda_identity})
    ours, plain = CycleGAN(config, CPU), CycleGAN(config, CPU)
    optimizer_G = torch.optim.Adam(
        itertools.chain(plain.G_A.parameters(), plain.G_B.parameters()), lr=2e-4, betas=(0.5, 0.999)
    )
    optimizer_D = torch.optim.Adam(
        itertools.chain(plain.D_A.parameters(), plain.D_B.parameters()), lr=2e-4, betas=(0.5, 0.999)
    )
    for seed in range(3):
        ours.step(*make_batch(seed))
        plain_step(plain, optimizer_G, optimizer_D, *make_batch(seed), lambda_identity)
    for name in ("G_A", "G_B", "D_A", "D_B"):
        for found, expected in zip(kernels(ours.networks[name]), kernels(plain.networks[name]), strict=True):
            # Adam divides by the gradient's own size, so rounding shows where the gradient is all but zero.
            assert (found - expected).abs().mean() < 2e-6, name


def kernels(network: nn.Module) -> list[nn.Parameter]:
    """Return the weights without the biases: before an instance norm a bias has no effect, its gradient is rounding."""
    return [parameter for parameter in network.parameters() if parameter.ndim > 1]


@pytest.mark.parametrize("gan_mode", ["lsgan", "vanilla", "hinge", "wgangp"])
@pytest.mark.parametrize("update_order", ["generators_first", "discriminators_first"])
def test_joined_calls_give_the_gradients_of_separate_ones(make_config, gan_mode, update_order):
    config = make_config(losses={"gan_mode": gan_mode}, optim={"update_order": update_order, "lr": 1e-9})
    joined, separate = CycleGAN(config, CPU), CycleGAN(config, CPU)
    separate.objective.stateless = False
    losses = [model.step(*make_batch()) for model in (joined, separate)]
    assert losses[0].keys() == losses[1].keys()
    for name, loss in losses[0].items():
        assert loss.item() == pytest.approx(losses[1][name].item(), rel=1e-5), name
    for name in ("G_A", "G_B", "D_A", "D_B"):
        for found, expected in zip(kernels(joined.networks[name]), kernels(separate.networks[name]), strict=True):
            assert (found.grad - expected.grad).abs().max() <= 1e-3 * expected.grad.abs().max(), name


@pytest.mark.parametrize("changes", [{"norm": "batch"}, {"dropout": True}])
def test_networks_with_state_are_called_separately(make_config, changes):
    assert not CycleGAN(make_config(networks=changes), CPU).objective.stateless


def test_the_losses_are_the_terms_of_the_objective(make_config):
    model = CycleGAN(make_config(), CPU)
    real_A, real_B = make_batch()
    with torch.no_grad():
        fake_B = model.G_A(real_A)
        expected = {
            "G_A": (model.D_A(fake_B) - 1).square().mean(),
            "cycle_A": (model.G_B(fake_B) - real_A).abs().mean(),
            "idt_A": (model.G_A(real_B) - real_B).abs().mean(),
        }
    losses = model.step(real_A, real_B)
    signs = {f"D_{domain}_{sign}" for domain in "AB" for sign in ("real", "fake", "accuracy")}
    assert losses.keys() == {"G_A", "G_B", "cycle_A", "cycle_B", "idt_A", "idt_B", "D_A", "D_B"} | signs
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value.item(), rel=1e-5)


def test_identity_off_costs_nothing(make_config):
    model = CycleGAN(make_config(losses={"lambda_identity": 0}), CPU)
    calls = []
    model.G_A.register_forward_hook(lambda module, args, result: calls.append(args[0].shape[0]))
    losses = model.step(*make_batch())
    assert calls == [2, 2]  # the fake and the cycle, with nothing joined to them
    assert "idt_A" not in losses


def test_the_discriminators_are_frozen_while_the_generators_learn(make_config):
    model = CycleGAN(make_config(), CPU)
    seen = {}
    for which, optimizer in (("G", model.update_G.optimizer), ("D", model.update_D.optimizer)):
        optimizer.register_step_post_hook(
            lambda *_, which=which: seen.update(
                {which: [parameter.grad is not None for parameter in model.D_A.parameters()]}
            )
        )
    model.step(*make_batch())
    assert not any(seen["G"])
    assert all(seen["D"])
    assert all(parameter.requires_grad for parameter in model.D_A.parameters())


def test_the_first_order_shows_the_discriminators_what_the_pool_gives_back(make_config):
    model = CycleGAN(make_config(optim={"pool_size": 2}), CPU)
    model.step(*make_batch(0))
    assert [len(pool) for pool in model.pools.values()] == [2, 2]


def test_the_second_order_updates_discriminators_on_the_history_before_the_generators(make_config):
    model = CycleGAN(make_config(optim={"update_order": "discriminators_first", "pool_size": 4}), CPU)
    events = []
    update = model._update_discriminators
    for which, optimizer in (("G", model.update_G.optimizer), ("D", model.update_D.optimizer)):
        optimizer.register_step_post_hook(lambda *_, which=which: events.append(which))
    histories = []

    def spy(real, history):
        histories.append((history["B"].clone(), [image.clone() for image in model.pools["B"]._images]))
        return update(real, history)

    model._update_discriminators = spy
    for seed in range(3):
        model.step(*make_batch(seed))
    assert events == ["D", "G"] * 3
    assert histories[0][1] == []  # nothing was stored before the first step
    for history, stored in histories[1:]:
        assert all(any(torch.equal(fake, image) for image in stored) for fake in history)


def test_the_generators_of_the_second_order_learn_from_the_updated_discriminator(make_config):
    config = make_config(optim={"update_order": "discriminators_first"})
    model = CycleGAN(config, CPU)
    real_A, real_B = make_batch()
    with torch.no_grad():
        before = (model.D_A(model.G_A(real_A)) - 1).square().mean()
    assert model.step(real_A, real_B)["G_A"].item() != pytest.approx(before.item(), rel=1e-6)


def test_the_gradient_penalty_acts(make_config):
    def after(weight: float) -> torch.Tensor:
        model = CycleGAN(make_config(losses={"gan_mode": "wgangp", "lambda_gp": weight}), CPU)
        model.step(*make_batch())
        return torch.cat([parameter.grad.flatten() for parameter in model.D_A.parameters()])

    assert not torch.allclose(after(0.0), after(10.0))


def test_bf16_keeps_weights_and_losses_in_fp32(make_config):
    model = CycleGAN(make_config(), CPU, torch.bfloat16)
    losses = model.step(*make_batch())
    assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())
    assert all(parameter.dtype == torch.float32 for parameter in model.G_A.parameters())


def test_bf16_losses_stay_beside_fp32(make_config):
    curves = []
    for amp_dtype in (None, torch.bfloat16):
        model = CycleGAN(make_config(), CPU, amp_dtype)
        losses = [model.step(*make_batch(step)) for step in range(12)]
        curves.append([values["cycle_A"].item() for values in losses])
    assert curves[1] == pytest.approx(curves[0], rel=0.05)


def test_the_averaged_generators_lag_behind(make_config):
    model = CycleGAN(make_config(), CPU)
    start = [parameter.clone() for parameter in model.G_A.parameters()]
    for seed in range(3):
        model.step(*make_batch(seed))
    for first, averaged, now in zip(start, model.ema_A.parameters(), model.G_A.parameters(), strict=True):
        assert not averaged.requires_grad
        if first.ndim > 1:  # a bias before a norm stays where it is
            assert 0 < (averaged - now).abs().sum() < (first - now).abs().sum()


def test_the_same_seed_builds_the_same_networks(make_config):
    first, second, other = (CycleGAN(make_config(run={"seed": seed}), CPU) for seed in (3, 3, 4))
    weights = [next(model.G_A.parameters()) for model in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(next(first.G_A.parameters()), next(first.G_B.parameters()))
