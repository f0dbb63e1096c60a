"""The distillation step: its losses by hand, what learns and what does not, and runs that go on exactly."""

import logging

import pytest
import torch
from torch.nn import functional as F

from cyclegan_edge.runtime.errors import CheckpointError, ConfigError
from cyclegan_edge.trainer.checkpoints.checkpoint import load_checkpoint, load_generator, save_checkpoint
from cyclegan_edge.trainer.loop import Run
from cyclegan_edge.trainer.methods.cyclegan import CycleGAN
from cyclegan_edge.trainer.methods.distillation import Distillation, observed_layers
from cyclegan_edge.trainer.methods.losses import relative_error
from cyclegan_edge.trainer.methods.synthetic_motion import draw_motion
from cyclegan_edge.trainer.methods.teacher import as_taught
from cyclegan_edge.trainer.networks.build import build_generator
from cyclegan_edge.trainer.tracking.metrics_log import read_records

CPU = torch.device("cpu")
TEACHER = {"generator": "resnet_3blocks", "ngf": 8, "ndf": 4}


def make_batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1 for _ in range(2)]


@pytest.fixture
def make_teacher(make_config, tmp_path):
    """Return a function that writes an untrained teacher, whose translations are far from gray."""

    def make(name="teacher", **changes):
        config = make_config(**({"networks": TEACHER} | changes))
        model = CycleGAN(config, CPU)
        for network in (model.G_A, model.G_B, model.ema_A, model.ema_B):
            network.load_state_dict({key: 8 * value for key, value in network.state_dict().items()})
        folder = tmp_path / name
        save_checkpoint(folder / "checkpoints" / "latest.pt", config, {"step": 3, "epoch": 1}, model.state_dict())
        return folder

    return make


@pytest.fixture
def teacher(make_teacher):
    return make_teacher()


@pytest.fixture
def configure(make_config, teacher):
    """Return a function that lays changes over the configuration of a student of one block."""

    def make(source=teacher, direction="AtoB", networks=None, distill=None, **changes):
        taught = as_taught(source, "AtoB" if direction == "both" else direction)
        student = {"generator": "resnet_1blocks", "ngf": 4} | (networks or {})
        layers = {part: taught[part] | changes.pop(part, {}) for part in ("data", "losses")}
        layers["networks"] = taught["networks"] | student
        layers["distill"] = {"teacher": str(source), "direction": direction} | (distill or {})
        return make_config(**(layers | changes))

    return make


def test_the_losses_are_those_worked_out_by_hand(configure, teacher):
    config = configure(distill={"lambda_output": 3, "lambda_features": 2, "lambda_adversarial": 0.5})
    model = Distillation(config, CPU)
    student, adaptors, judge = (model.networks[name] for name in ("G_A", "adaptors_A", "D_A"))
    taught = load_generator(teacher, "AtoB").network
    real_A, real_B = make_batch()
    with torch.no_grad():
        errors = []
        # Three blocks against one: before them, after one and none, after two and one, after all.
        for depth, (number, own) in enumerate([(9, 9), (10, 9), (11, 10), (12, 10)]):
            wanted = taught.model[: number + 1](real_A)
            found = F.conv2d(student.model[: own + 1](real_A), adaptors[depth].weight, adaptors[depth].bias)
            errors.append((found - wanted).square().mean() / wanted.square().mean())
        expected = {
            "G_A": (judge(student(real_A)) - 1).square().mean(),
            "output_A": (student(real_A) - taught(real_A)).abs().mean(),
            "features_A": torch.stack(errors).mean(),
        }
    total, terms, fakes = model.objective.generators({"A": real_A, "B": real_B}, (None,))
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-4), name
    by_hand = 0.5 * expected["G_A"] + 3 * expected["output_A"] + 2 * expected["features_A"]
    assert total.item() == pytest.approx(by_hand.item(), rel=1e-4)
    assert fakes.keys() == {"B"}


@pytest.mark.parametrize("direction", ["BtoA", "both"])
def test_the_temporal_term_of_every_student_is_weighted(configure, direction):
    real = dict(zip("AB", make_batch(), strict=True))
    totals = []
    for weight in (1.0, 3.0):
        model = Distillation(configure(direction=direction, losses={"lambda_temporal": weight}), CPU)
        count = len(model.directions)
        motions = [draw_motion(2, torch.Generator().manual_seed(seed)) for seed in range(count)]
        torch.manual_seed(7)
        total, terms, _ = model.objective.generators(real, (*(None,) * count, *motions))
        totals.append(total.item())
    steady = [terms[f"temporal_{learnt[0]}"].item() for learnt in model.directions]
    assert totals[1] - totals[0] == pytest.approx(2 * sum(steady), rel=1e-3)
    assert min(steady) > 0


@pytest.mark.parametrize("direction", ["AtoB", "BtoA", "both"])
def test_only_students_adaptors_and_discriminators_learn(configure, direction):
    model = Distillation(configure(direction=direction), CPU)
    taught = {direction: network.state_dict() for direction, network in model.teachers.items()}
    taught = {direction: {key: value.clone() for key, value in state.items()} for direction, state in taught.items()}
    domains = [learnt[0] for learnt in model.directions]
    assert domains == {"AtoB": ["A"], "BtoA": ["B"], "both": ["A", "B"]}[direction]
    names = [f"{kind}_{domain}" for kind in ("G", "D", "adaptors", "ema") for domain in domains]
    assert sorted(names) == sorted(model.networks)
    before = {name: [weight.clone() for weight in model.networks[name].parameters()] for name in names}
    model.step(*make_batch())
    for name in names:
        moved = [not torch.equal(*pair) for pair in zip(before[name], model.networks[name].parameters(), strict=True)]
        assert any(moved), name
    for direction, network in model.teachers.items():
        assert not network.training
        assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.parameters())
        assert all(torch.equal(value, taught[direction][key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize(
    "changes",
    [
        {"optim": {"update_order": "discriminators_first", "diffaugment": True}},
        {"optim": {"accumulate": 2, "checkpoint_activations": True}},
        {"losses": {"gan_mode": "wgangp", "lambda_identity": 0}},
        {"networks": {"norm": "batch", "dropout": True}},
        {"networks": {"generator": "edge_resnet_2blocks"}},
        {"networks": {"generator": "mobile_resnet_2blocks"}},
        {"distill": {"lambda_features": 0}},
    ],
    ids=str,
)
def test_what_a_run_can_be_told_a_student_can_too(configure, changes):
    model = Distillation(configure(direction="both", **changes), CPU)
    for seed in range(2):
        losses = model.step(*make_batch(seed))
    assert all(loss.isfinite() for loss in losses.values())
    assert model.take_skips() == 2 * [(False, False)]
    assert ("features_A" in losses) == (changes != {"distill": {"lambda_features": 0}})


def test_activations_are_compared_at_the_smaller_resolution():
    fine = torch.arange(16.0).reshape(1, 1, 4, 4)
    coarse = F.avg_pool2d(fine, 2)
    assert relative_error(fine, coarse).item() == relative_error(coarse, fine).item() == 0
    assert relative_error(torch.zeros_like(coarse), fine).item() == pytest.approx(1)
    assert relative_error(2 * fine, fine).item() == pytest.approx(1)


@pytest.mark.parametrize(("blocks", "expected"), [(9, [9, 12, 15, 18]), (6, [9, 11, 13, 15]), (1, [9, 9, 10, 10])])
def test_the_depths_are_those_of_gan_compression(make_config, blocks, expected):
    config = make_config(networks={"generator": f"resnet_{blocks}blocks", "ngf": 1})
    assert observed_layers(build_generator(config.networks, 3, 3)) == expected


def test_the_discriminator_starts_as_the_teachers_where_it_fits(configure, teacher, caplog):
    saved = load_checkpoint(teacher / "checkpoints" / "latest.pt")["state"]["networks"]["D_A"]
    started = Distillation(configure(), CPU).networks["D_A"].state_dict()
    assert all(torch.equal(value, saved[key]) for key, value in started.items())
    with caplog.at_level(logging.INFO):
        fresh = Distillation(configure(networks={"ndf": 8}), CPU).networks["D_A"].state_dict()
    assert next(iter(fresh.values())).shape[0] == 8
    assert "D_A starts fresh" in caplog.text


def test_a_student_nears_its_teacher(configure):
    config = configure(networks={"generator": "resnet_2blocks", "ngf": 8}, optim={"lr": 2e-3})
    model = Distillation(config, CPU)
    losses = [model.step(*make_batch(step % 4)) for step in range(60)]
    for name, share in (("output_A", 0.5), ("features_A", 0.75)):
        assert losses[-1][name].item() < share * losses[0][name].item(), name


@pytest.mark.parametrize("direction", ["AtoB", "both"])
@pytest.mark.parametrize("stop_at", [1, 4])
def test_stopping_and_resuming_changes_no_bit(configure, dataroot, tmp_path, direction, stop_at):
    run = {"device": "cpu", "precision": "fp32", "preview_every": 4, "validate_every_epochs": 1, "log_every": 1}
    data = {"dataroot": str(dataroot), "batch_size": 2}

    def config(steps):
        return configure(direction=direction, data=data, run=run | {"max_steps": steps})

    whole = Run(config(7), tmp_path / "whole")
    whole.train()
    Run(config(stop_at), tmp_path / "parts").train()
    content = load_checkpoint(tmp_path / "parts" / "checkpoints" / "latest.pt")
    second = Run(config(7), tmp_path / "parts")
    second.load_state_dict(content["state"], content["progress"])
    second.train()
    states = [load_checkpoint(tmp_path / name / "checkpoints" / "latest.pt")["state"] for name in ("whole", "parts")]
    for name, network in states[0]["networks"].items():
        assert all(torch.equal(value, states[1]["networks"][name][key]) for key, value in network.items()), name
    logs = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "parts")]
    assert logs[0] == logs[1]
    (measured,) = read_records(tmp_path / "whole" / "metrics.jsonl", "validation")[:1]
    assert ("psnr_BtoA" in measured) == ("cycle_l1" in measured) == (direction == "both")
    report = (tmp_path / "whole" / "report.html").read_text()
    assert "the student's translation, the teacher's" in report
    assert "distance to the teacher (L1)" in report
    assert f"--direction {direction}" in report


def test_a_plateau_of_one_direction_is_seen(configure, dataroot, tmp_path):
    data = {"dataroot": str(dataroot), "batch_size": 2}
    config = configure(data=data, schedule={"lr_policy": "plateau", "n_epochs": 2}, run={"validate_every_epochs": 1})
    run = Run(config, tmp_path / "run")
    run.train()
    assert run.plateau.state_dict()["scheduler"]["best"] < float("inf")


def test_a_student_does_not_go_on_with_another_teacher(configure, teacher, make_teacher):
    state = Distillation(configure(), CPU).state_dict()
    other = make_teacher("other", run={"seed": 1})
    with pytest.raises(CheckpointError, match=r"other is not what this student began to learn from"):
        Distillation(configure(other), CPU).load_state_dict(state)


def test_a_teacher_of_other_channels_is_refused(configure, make_teacher):
    gray = make_teacher("gray", data={"input_nc": 1}, losses={"lambda_identity": 0})
    assert Distillation(configure(gray), CPU).step(torch.zeros(2, 1, 32, 32), make_batch()[1])["output_A"].isfinite()
    with pytest.raises(ConfigError, match=r"turns 1 channels into 3 \(AtoB\), not 3 into 3; leave out data.input_nc"):
        Distillation(configure(gray, data={"input_nc": 3}), CPU)


def test_a_teacher_of_swapped_folders_is_refused(configure):
    with pytest.raises(ConfigError, match=r"was trained with data.direction=AtoB; leave it out"):
        Distillation(configure(data={"direction": "BtoA"}), CPU)


def test_a_student_wider_than_its_teacher_is_refused(configure):
    with pytest.raises(ConfigError, match="of ngf 12 is wider than its teacher; take 8 or less"):
        Distillation(configure(networks={"ngf": 12}), CPU)


def test_a_u_net_has_no_chain_to_compare(configure, make_teacher):
    unet = make_teacher(
        "unet", networks={"generator": "unet_128", "ngf": 4, "ndf": 4}, data={"load_size": 128, "crop_size": 128}
    )
    with pytest.raises(ConfigError, match=r"set distill.lambda_features=0"):
        Distillation(configure(unet), CPU)
    model = Distillation(configure(unet, distill={"lambda_features": 0}), CPU)
    assert model.networks.keys() == {"G_A", "D_A", "ema_A"}
    with pytest.raises(ConfigError, match=r"multiples of 128; train on crops of them: data.crop_size=128"):
        Distillation(configure(unet, data={"crop_size": 32}), CPU)


def test_one_published_generator_cannot_teach_both_ways(configure, teacher, tmp_path):
    published = tmp_path / "horse_net_G.pth"
    torch.save(load_generator(teacher, "AtoB").network.state_dict(), published)
    assert Distillation(configure(published), CPU).directions == ("AtoB",)
    with pytest.raises(ConfigError, match="holds one generator; say which way it translates"):
        Distillation(configure(published, direction="both"), CPU)


@pytest.mark.parametrize(
    ("metric", "possible"),
    [("ssim_BtoA", False), ("cycle_l1", False), ("identity_psnr_A", False), ("identity_psnr_B", True), ("swd", True)],
)
def test_a_metric_of_what_is_not_learnt_is_refused(configure, metric, possible):
    if possible:
        assert configure(validation={"metric": metric}).validation.metric == metric
        return
    with pytest.raises(ConfigError, match="cannot be measured on a student of AtoB"):
        configure(validation={"metric": metric})
