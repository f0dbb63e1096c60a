import pytest
import torch

from cyclegan_edge.trainer.tracking.health import (
    FLAT,
    INVERTED,
    UNCHANGED,
    WARM_UP_STEPS,
    WINDOW,
    WON_ACCURACY,
    HealthMonitor,
    compare,
)

LATE = WARM_UP_STEPS + 1


def judge_all(monitor: HealthMonitor, accuracy: float, step: int = LATE) -> list[str]:
    losses = {"D_A_accuracy": 0.7, "D_B_accuracy": accuracy}
    return [sentence for _ in range(WINDOW) for sentence in monitor.judge_losses(step, losses)]


def test_a_discriminator_that_has_won_is_told_once():
    monitor = HealthMonitor()
    (advice,) = judge_all(monitor, WON_ACCURACY + 0.01)
    assert "D_B judges 99%" in advice
    assert "G_B" in advice
    assert "diffaugment" in advice
    assert judge_all(monitor, WON_ACCURACY + 0.01) == []


def test_it_is_told_again_when_it_had_passed():
    monitor = HealthMonitor()
    assert judge_all(monitor, 1.0)
    assert judge_all(monitor, 0.6) == []
    assert len(judge_all(monitor, 1.0)) == 1


@pytest.mark.parametrize(("accuracy", "step"), [(WON_ACCURACY - 0.01, LATE), (1.0, WARM_UP_STEPS - 1)])
def test_a_discriminator_that_is_merely_good_or_new_is_not(accuracy, step):
    assert judge_all(HealthMonitor(), accuracy, step) == []


def test_one_lucky_step_is_not_a_victory():
    assert HealthMonitor().judge_losses(LATE, {"D_A_accuracy": 1.0, "D_B_accuracy": 1.0}) == []


SOUND = {"change": 0.2, "correlation": 0.5, "contrast": 0.9}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"change": UNCHANGED - 0.001}, "AtoB changes its pictures by only 1.9%"),
        ({"correlation": INVERTED - 0.01}, "AtoB inverts colours"),
        ({"contrast": FLAT - 0.01}, "AtoB makes flat pictures, with 9% of the contrast"),
    ],
)
def test_troubled_pictures_bring_advice(changes, words):
    (advice,) = HealthMonitor().judge_pictures(LATE, "AtoB", SOUND | changes)
    assert words in advice
    assert HealthMonitor().judge_pictures(WARM_UP_STEPS - 1, "AtoB", SOUND | changes) == []


@pytest.mark.parametrize(
    "changes", [{}, {"change": UNCHANGED + 0.001}, {"correlation": INVERTED + 0.01}, {"contrast": FLAT + 0.01}]
)
def test_sound_pictures_do_not(changes):
    assert HealthMonitor().judge_pictures(LATE, "AtoB", SOUND | changes) == []


def pictures(channels: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (4, channels, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_the_signs_of_the_same_pictures():
    assert compare(pictures(), pictures()) == pytest.approx({"change": 0, "correlation": 1, "contrast": 1}, abs=1e-5)


def test_the_signs_of_negatives():
    signs = compare(pictures(), 255 - pictures())
    assert signs["correlation"] == pytest.approx(-1, abs=1e-5)
    assert signs["contrast"] == pytest.approx(1, abs=1e-5)


def test_the_signs_of_flat_pictures():
    signs = compare(pictures(), torch.full((4, 3, 16, 16), 128, dtype=torch.uint8))
    assert signs["contrast"] == 0
    assert abs(signs["correlation"]) < 1e-3


def test_channels_may_differ():
    gray = pictures().float().mean(1, keepdim=True)
    assert compare(pictures(), gray)["change"] == pytest.approx(0, abs=1e-5)
