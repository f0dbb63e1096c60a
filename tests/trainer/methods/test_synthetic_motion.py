"""The temporal term: motion and error worked out by hand, and what it costs and brings in a step."""

import pytest
import torch

from cyclegan_edge.trainer.methods.cyclegan import CycleGAN
from cyclegan_edge.trainer.methods.synthetic_motion import (
    BEND,
    NOISE,
    NUM_DRAWS,
    SHIFT,
    draw_motion,
    flow_of,
    inside,
    move,
    unsteadiness,
)

CPU = torch.device("cpu")
SIDE = 32


def pictures(batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1


def shift(right: float, down: float) -> torch.Tensor:
    """Return the flow of a whole picture that looks `right` and `down` pixels away."""
    draws = torch.zeros(1, 2, NUM_DRAWS)
    draws[0, :, 0] = torch.tensor([right, down]) / (SIDE * SHIFT)
    return flow_of(draws, SIDE, SIDE)


def test_no_draw_is_no_motion():
    flow = flow_of(torch.zeros(2, 2, NUM_DRAWS), SIDE, SIDE)
    assert torch.equal(flow, torch.zeros(2, 2, SIDE, SIDE))
    assert torch.allclose(move(pictures(2), flow), pictures(2), atol=1e-5)
    assert inside(flow).all()


def test_the_first_draw_shifts_the_whole_picture():
    flow = shift(3, -2)
    assert torch.allclose(flow[0, 0], torch.tensor(3.0))
    assert torch.allclose(flow[0, 1], torch.tensor(-2.0))
    moved = move(pictures(), flow)
    assert torch.allclose(moved[..., 2:, :-3], pictures()[..., :-2, 3:], atol=1e-5)
    assert inside(flow).sum() == (SIDE - 3) * (SIDE - 2)


def test_half_a_pixel_lies_between_two():
    moved = move(pictures(), shift(0.5, 0))
    between = (pictures()[..., :-1] + pictures()[..., 1:]) / 2
    assert torch.allclose(moved[..., :-1], between, atol=1e-4)


def test_the_other_draws_bend_it_smoothly_in_shares_of_each_side():
    draws = draw_motion(1, torch.Generator().manual_seed(1))
    draws[..., 0] = 0
    flow = flow_of(draws, 64, 256)
    assert flow.shape == (1, 2, 64, 256)
    assert flow[0, 0, 0, 0].item() == pytest.approx(256 * BEND * draws[0, 0, 1].item(), rel=1e-4)  # a corner is a draw
    assert flow[0, 1, -1, -1].item() == pytest.approx(64 * BEND * draws[0, 1, -1].item(), rel=1e-4)
    steps = [flow.diff(dim=dim).abs().max() for dim in (2, 3)]
    assert max(steps) < 0.25 * flow.abs().max()  # neighbours go nearly the same way


@pytest.mark.parametrize("function", [lambda x: -x, torch.tanh, lambda x: x[:, :1].expand(-1, 3, -1, -1)])
def test_what_looks_at_one_pixel_at_a_time_is_steady(function):
    flow = shift(4, 1)
    found = unsteadiness(function(move(pictures(), flow)), move(function(pictures()), flow), flow)
    assert found.item() == pytest.approx(0, abs=1e-5)


def test_what_depends_on_the_place_is_not_by_hand():
    ramp = 0.01 * torch.arange(SIDE)
    flow = shift(3, 0)
    found = unsteadiness(move(pictures(), flow) + ramp, move(pictures() + ramp, flow), flow)
    assert found.item() == pytest.approx(0.01 * 3, rel=1e-3)  # at the border, where the ramp is cut, nothing counts


def test_a_picture_that_has_left_altogether_counts_nothing():
    flow = shift(2 * SIDE, 0)
    assert not inside(flow).any()
    assert unsteadiness(torch.ones(1, 3, SIDE, SIDE), torch.zeros(1, 3, SIDE, SIDE), flow).item() == 0


def make_batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(2, 3, SIDE, SIDE, generator=generator) * 2 - 1 for _ in range(2)]


def test_off_it_computes_nothing_and_draws_nothing(make_config):
    model = CycleGAN(make_config(), CPU)
    calls, drawn = [], model._rng.get_state()
    model.G_A.register_forward_hook(lambda module, args, result: calls.append(args[0].shape[0]))
    noise = torch.get_rng_state()
    _, losses, _ = model.objective.generators(dict(zip("AB", make_batch(), strict=True)), (None, None))
    assert calls == [4, 2]  # the fake joined with the identity, and the cycle
    assert not any(name.startswith("temporal") for name in losses)
    assert torch.equal(model._rng.get_state(), drawn)
    assert torch.equal(torch.get_rng_state(), noise)


def test_its_term_is_that_of_the_formula_and_is_weighted(make_config):
    real = dict(zip("AB", make_batch(), strict=True))
    draws = (
        None,
        None,
        draw_motion(2, torch.Generator().manual_seed(3)),
        draw_motion(2, torch.Generator().manual_seed(4)),
    )
    totals = []
    for weight in (1.0, 5.0):
        model = CycleGAN(make_config(losses={"lambda_temporal": weight}), CPU)
        torch.manual_seed(7)
        total, losses, fakes = model.objective.generators(real, draws)
        totals.append(total.item())
    torch.manual_seed(7)
    flow = flow_of(draws[2], SIDE, SIDE)
    moved = move(real["A"], flow)
    translated = model.G_A(moved + NOISE * torch.randn_like(moved))
    expected = unsteadiness(translated, move(fakes["B"], flow), flow)
    assert losses["temporal_A"].item() == pytest.approx(expected.item(), rel=1e-4)
    both = losses["temporal_A"] + losses["temporal_B"]
    assert totals[1] - totals[0] == pytest.approx(4 * both.item(), rel=1e-3)


def test_it_makes_a_generator_steadier(make_config):
    """Thirty steps on one batch; without it, motion and noise move the translation further."""
    errors = []
    for weight in (0.0, 50.0):
        model = CycleGAN(make_config(losses={"lambda_temporal": weight}, optim={"lr": 2e-3}), CPU)
        for _ in range(30):
            model.step(*make_batch())
        model.objective.steadied = True
        draws = (None, None, *(draw_motion(2, torch.Generator().manual_seed(seed)) for seed in (5, 6)))
        torch.manual_seed(8)
        with torch.no_grad():
            _, losses, _ = model.objective.generators(dict(zip("AB", make_batch(), strict=True)), draws)
        errors.append(losses["temporal_A"].item() + losses["temporal_B"].item())
    assert errors[1] < 0.8 * errors[0]


def test_a_step_with_it_can_be_repeated_and_cut_in_parts(make_config):
    results = []
    for _ in range(2):
        model = CycleGAN(make_config(losses={"lambda_temporal": 2}, optim={"accumulate": 2, "diffaugment": True}), CPU)
        results.append([model.step(*make_batch(seed)) for seed in range(2)])
    assert results[0] == results[1]
    assert {"temporal_A", "temporal_B"} <= results[0][0].keys()
