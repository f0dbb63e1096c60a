"""What a step can be told beyond the official one, and what it withstands."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from cyclegan_edge.trainer.methods.cyclegan import CycleGAN

CPU = torch.device("cpu")


def make_batch(seed=0, size=32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(2, 3, size, size, generator=generator) * 2 - 1 for _ in range(2)]


def gradients(model: CycleGAN) -> list[torch.Tensor]:
    """Return the gradients of the last step without the biases', which before an instance norm are rounding."""
    networks = (model.G_A, model.G_B, model.D_A, model.D_B)
    return [parameter.grad for network in networks for parameter in network.parameters() if parameter.ndim > 1]


def after_a_step(config) -> CycleGAN:
    model = CycleGAN(config, CPU)
    model.step(*make_batch())
    return model


@pytest.mark.parametrize("changes", [{"accumulate": 2}, {"checkpoint_activations": True}])
@pytest.mark.parametrize("update_order", ["generators_first", "discriminators_first"])
def test_saving_memory_changes_no_gradient(make_config, changes, update_order):
    plain, thrifty = (
        after_a_step(make_config(optim={"update_order": update_order, "pool_size": 0} | optim))
        for optim in ({}, changes)
    )
    for found, expected in zip(gradients(thrifty), gradients(plain), strict=True):
        assert (found - expected).abs().max() <= 1e-3 * expected.abs().max()


def test_a_batch_is_computed_in_parts(make_config):
    model = CycleGAN(make_config(optim={"accumulate": 2}), CPU)
    calls = []
    model.D_A.register_forward_hook(lambda module, args, result: calls.append(args[0].shape[0]))
    losses = model.step(*make_batch())
    assert calls == [1, 1, 2, 2]  # one fake at a time, then each with its real picture
    assert all(loss.ndim == 0 for loss in losses.values())


def test_activations_are_computed_twice_instead_of_kept(make_config):
    model = CycleGAN(make_config(optim={"checkpoint_activations": True}), CPU)
    calls = []
    model.G_A.register_forward_pre_hook(lambda *_: calls.append(1))
    model.step(*make_batch())
    assert len(calls) == 4  # the fake and the cycle, there and back


@pytest.mark.parametrize("poisoned", ["real_A", "weight"])
def test_a_gradient_that_is_not_finite_changes_no_weight(make_config, poisoned):
    model = CycleGAN(make_config(), CPU)
    model.step(*make_batch())
    real_A, real_B = make_batch(1)
    if poisoned == "real_A":
        real_A[0, 0, 0, 0] = float("nan")
    else:
        with torch.no_grad():
            next(model.D_A.parameters()).fill_(float("inf"))
    networks = ("G_A", "G_B") if poisoned == "weight" else ("G_A", "G_B", "D_A", "D_B")
    before = [parameter.clone() for name in networks for parameter in model.networks[name].parameters()]
    moments = [state["exp_avg"].clone() for state in model.update_G.optimizer.state.values()]
    steps = [state["step"].item() for state in model.update_G.optimizer.state.values()]
    model.step(real_A, real_B)
    after = [parameter for name in networks for parameter in model.networks[name].parameters()]
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))
    kept = [state["exp_avg"] for state in model.update_G.optimizer.state.values()]
    assert all(torch.equal(old, new) for old, new in zip(moments, kept, strict=True))
    assert [state["step"].item() for state in model.update_G.optimizer.state.values()] == steps
    assert model.take_skips() == [(False, False), (True, True)]
    assert model.take_skips() == []


def test_a_sound_step_is_not_called_broken(make_config):
    assert after_a_step(make_config()).take_skips() == [(False, False)]


def test_gradients_are_clipped_to_a_length_over_all_networks_of_an_optimiser(make_config):
    longest = 0.01
    model = after_a_step(make_config(optim={"clip_norm": longest}))
    for networks in ((model.G_A, model.G_B), (model.D_A, model.D_B)):
        squares = [parameter.grad.square().sum() for network in networks for parameter in network.parameters()]
        assert torch.stack(squares).sum().sqrt().item() == pytest.approx(longest, rel=1e-3)


def test_the_cycle_weight_scales_the_cycle_terms_alone(make_config):
    config = make_config(losses={"lambda_A": 0, "lambda_B": 0})
    without = gradients(after_a_step(config))
    model = CycleGAN(make_config(losses={"lambda_identity": 0}), CPU)
    model.objective.cycle_weight.fill_(0)
    model.step(*make_batch())
    for found, expected in zip(gradients(model), without, strict=True):
        assert (found - expected).abs().max() <= 1e-3 * expected.abs().max()


@pytest.mark.parametrize(("noise", "lambda_temporal"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_the_way_back_starts_from_8_bits_and_noise_where_that_is_asked_for(make_config, noise, lambda_temporal):
    losses = {"cycle_noise": noise, "lambda_identity": 0, "lambda_temporal": lambda_temporal}
    model = CycleGAN(make_config(losses=losses), CPU)
    made, seen = [], []
    model.G_A.register_forward_hook(lambda module, args, result: made.append(result.detach()))
    model.G_B.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    model.step(*make_batch())
    fake_B, back_from = made[0], seen[1]
    if not noise:
        assert torch.equal(fake_B, back_from)
        return
    steps = (back_from + 1) * 127.5
    assert (steps - steps.round()).abs().max() < 1e-3
    differences = (back_from - fake_B) * 127.5
    assert 0.9 < differences.std() < 1.2  # the noise, and the rounding, whose deviation is 0.29
    assert differences.mean().abs() < 0.1


def test_the_noise_on_fakes_is_a_function_of_the_seed_alone(make_config):
    first, second = (after_a_step(make_config(losses={"cycle_noise": 1.0})) for _ in range(2))
    assert all(map(torch.equal, gradients(first), gradients(second)))


def test_noise_has_the_channels_of_each_fake(make_config):
    config = make_config(losses={"cycle_noise": 1.0, "lambda_identity": 0}, data={"output_nc": 1})
    real_A, real_B = make_batch()
    losses = CycleGAN(config, CPU).step(real_A, real_B[:, :1])
    assert all(loss.isfinite() for loss in losses.values())


def test_diffaugment_changes_what_the_discriminators_see_and_nothing_else(make_config):
    model = CycleGAN(make_config(optim={"diffaugment": True}), CPU)
    seen = {"G_A": [], "D_A": []}
    for name, inputs in seen.items():
        model.networks[name].register_forward_hook(lambda module, args, result, inputs=inputs: inputs.append(args[0]))
    real_A, real_B = make_batch()
    model.step(real_A, real_B)
    assert torch.equal(seen["G_A"][0][:2], real_A)
    fakes, judged = seen["D_A"]
    assert not torch.isclose(judged[:2], real_B).all()
    assert (judged[:2] == 0).float().mean() > 0.05  # the cutout
    assert (fakes == 0).float().mean() > 0.05


def test_the_signs_say_how_a_discriminator_judges(make_config):
    model = CycleGAN(make_config(optim={"pool_size": 0, "update_order": "discriminators_first"}), CPU)
    real_A, real_B = make_batch()
    with torch.no_grad():
        real, fake = model.D_A(real_B), model.D_A(model.G_A(real_A))
    losses = model.step(real_A, real_B)
    assert losses["D_A_real"].item() == pytest.approx(real.mean().item(), rel=1e-4)
    assert losses["D_A_fake"].item() == pytest.approx(fake.mean().item(), rel=1e-4)
    rightly = ((real > 0.5).float().mean() + (fake <= 0.5).float().mean()) / 2
    assert losses["D_A_accuracy"].item() == pytest.approx(rightly.item())


@pytest.mark.slow
def test_compiling_changes_nothing_but_rounding(make_config):
    plain, compiled = (CycleGAN(make_config(run={"compile": compile_it}), CPU) for compile_it in (False, True))
    for seed in range(2):
        expected, found = (model.step(*make_batch(seed)) for model in (plain, compiled))
        for name, loss in expected.items():
            assert found[name].item() == pytest.approx(loss.item(), rel=1e-3, abs=1e-4), name
    assert plain.networks["G_A"].state_dict().keys() == compiled.networks["G_A"].state_dict().keys()


@pytest.mark.gpu
@pytest.mark.parametrize("compile_it", [False, True], ids=["eager", "CUDA graphs"])
def test_a_gpu_computes_what_the_cpu_computes(make_config, compile_it):
    cuda = torch.device("cuda")
    reference = CycleGAN(make_config(optim={"pool_size": 2}), CPU)
    model = CycleGAN(make_config(optim={"pool_size": 2}, run={"compile": compile_it}), cuda)
    model.load_state_dict(reference.state_dict())
    for seed in range(6):
        expected = reference.step(*make_batch(seed))
        found = model.step(*(batch.to(cuda) for batch in make_batch(seed)))
        for name, loss in expected.items():
            if not name.endswith("accuracy"):
                assert found[name].item() == pytest.approx(loss.item(), rel=0.05, abs=0.01), name  # TF32
    assert model.take_skips() == 6 * [(False, False)]


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
def test_a_step_on_a_gpu_does_not_wait_for_it(make_config):
    cuda = torch.device("cuda")
    model = CycleGAN(make_config(), cuda, torch.bfloat16)
    batches = [[batch.to(cuda) for batch in make_batch(seed)] for seed in range(4)]
    model.step(*batches[0])  # what is set up once may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in batches[1:]:
            model.step(*batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


class Casts(TorchDispatchMode):
    """Counts how often each tensor, by its address, is cast."""

    def __init__(self):
        super().__init__()
        self.count = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._to_copy.default:
            self.count[args[0].data_ptr()] = self.count.get(args[0].data_ptr(), 0) + 1
        return function(*args, **(kwargs or {}))


def test_the_weights_of_a_generator_are_cast_once_a_step(make_config):
    """Autocast forgets its casts where its block ends, so all uses of a generator stand in one block."""
    model = CycleGAN(make_config(), CPU, torch.bfloat16)
    with Casts() as casts:
        model.step(*make_batch())
    for name, times in {"G_A": 1, "G_B": 1, "D_A": 2, "D_B": 2}.items():  # D: frozen, and learning
        counted = [casts.count[parameter.data_ptr()] for parameter in kernels_of(model.networks[name])]
        assert counted == [times] * len(counted), name


def kernels_of(network):
    return [parameter for parameter in network.parameters() if parameter.ndim > 1]


@pytest.mark.slow
def test_bf16_stays_beside_fp32_over_hundreds_of_steps(make_config):
    """The band: the mean of each loss over the last 50 of 200 steps differs by at most a tenth of the FP32 one."""
    blocks = [[nn.functional.interpolate(half, size=32) for half in make_batch(seed, size=4)] for seed in range(8)]
    means = []
    for amp_dtype in (None, torch.bfloat16):
        model = CycleGAN(make_config(optim={"lr": 1e-3}), CPU, amp_dtype)
        losses = [model.step(*blocks[step % 8]) for step in range(200)]
        names = ("cycle_A", "cycle_B", "idt_A", "idt_B")
        means.append({name: sum(step[name].item() for step in losses[-50:]) / 50 for name in names})
        assert means[-1]["cycle_A"] < 0.8 * losses[0]["cycle_A"].item()  # it learns something
    assert means[1] == pytest.approx(means[0], rel=0.1)


EVERYTHING_RANDOM = {
    "optim": {"diffaugment": True, "accumulate": 2},
    "networks": {"dropout": True, "norm": "batch"},
    "losses": {"cycle_noise": 1.0},
}


@pytest.mark.parametrize("fault", [None, "at once", "on the way back"])
def test_a_trial_of_compiling_changes_nothing_that_training_goes_on_from(make_config, monkeypatch, caplog, fault):
    def compiled(function, **options):
        def run(*arguments):
            if fault == "at once":
                raise RuntimeError("no C compiler\nand more")
            total, *others = function(*arguments)
            if fault:
                total.register_hook(fail)
            return total, *others

        return run

    def fail(gradient):
        raise RuntimeError("no C compiler")

    monkeypatch.setattr(torch, "compile", compiled)
    config = make_config(**EVERYTHING_RANDOM)
    plain, tried = CycleGAN(config, CPU), CycleGAN(config, CPU)
    state = torch.get_rng_state()
    tried.compile_if_it_works(*make_batch(0))
    assert torch.equal(torch.get_rng_state(), state)
    assert ("is not compiled, because that fails here: no C compiler" in caplog.text) is bool(fault)
    results = []
    for model in (plain, tried):
        torch.manual_seed(5)
        results.append([model.step(*make_batch(seed)) for seed in range(3)])
    assert results[0] == results[1]
    assert tried._compiled is not bool(fault)
