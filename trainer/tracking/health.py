"""Advice in words for a run that goes wrong.

Two kinds of signs are read: how the discriminators judge (from the losses that are logged) and what the translations
look like (from the preview's pictures). Each sign has a threshold below; each trouble is reported once until it has
passed.
"""

from collections import deque
from statistics import fmean

import torch
from torch import Tensor

WARM_UP_STEPS = 1000  # before this, every run looks troubled
WINDOW = 10  # logged steps over which the discriminators are judged

# A discriminator that is right about 98 of 100 patches gives the generator next to nothing to learn from.
WON_ACCURACY = 0.98
# Mean |translation - picture| of full range: 2 percent is five grey levels, which nobody sees.
UNCHANGED = 0.02
# Correlation of the translation's values with the picture's: a negative looks like -1, another texture like 0.
INVERTED = -0.3
# Standard deviation of a translation's values relative to its picture's.
FLAT = 0.1

ADVICE = {
    "won": "{which} judges {accuracy:.0%} of the patches rightly, so {generator} has little to learn from: try "
    "optim.diffaugment=true, a smaller networks.ndf, or more pictures",
    "unchanged": "{which} changes its pictures by only {change:.1%}: lower losses.lambda_identity (0 turns it off) or "
    "losses.lambda_A and lambda_B",
    "inverted": "{which} inverts colours (correlation {correlation:.2f} with its pictures): raise "
    "losses.lambda_identity, or start again with another run.seed",
    "flat": "{which} makes flat pictures, with {contrast:.0%} of the contrast of its input: start again with another "
    "run.seed or a lower optim.lr, and look for flat pictures in the dataset",
}


class HealthMonitor:
    """Collects the signs of a run and returns advice on each new trouble."""

    def __init__(self) -> None:
        self._accuracy: dict[str, deque[float]] = {name: deque(maxlen=WINDOW) for name in ("D_A", "D_B")}
        self._reported: set[tuple[str, str]] = set()

    def judge_losses(self, step: int, losses: dict[str, float]) -> list[str]:
        """Return advice on the logged `D_A_accuracy` and `D_B_accuracy`, where they are there, at `step`."""
        advice = []
        for which, generator in (("D_A", "G_A"), ("D_B", "G_B")):
            if f"{which}_accuracy" not in losses:  # one direction alone is learnt
                continue
            recent = self._accuracy[which]
            recent.append(losses[f"{which}_accuracy"])
            accuracy = fmean(recent)
            won = len(recent) == WINDOW and accuracy >= WON_ACCURACY
            advice += self._report("won", which, step, won, generator=generator, accuracy=accuracy)
        return advice

    def judge_pictures(self, step: int, direction: str, signs: dict[str, float]) -> list[str]:
        """Return advice on the signs of `compare` at `step`; `direction` is AtoB or BtoA."""
        flat = signs["contrast"] < FLAT
        return [
            *self._report("unchanged", direction, step, signs["change"] < UNCHANGED, **signs),
            *self._report("flat", direction, step, flat, **signs),
            *self._report("inverted", direction, step, not flat and signs["correlation"] < INVERTED, **signs),
        ]

    def _report(self, trouble: str, which: str, step: int, present: bool, **values: float | str) -> list[str]:
        if not present or step < WARM_UP_STEPS:
            self._reported.discard((trouble, which))
            return []
        if (trouble, which) in self._reported:
            return []
        self._reported.add((trouble, which))
        return [ADVICE[trouble].format(which=which, **values)]


def compare(pictures: Tensor, translations: Tensor) -> dict[str, float]:
    """Measure what a translation did to its pictures; both uint8 [N, C, H, W], channels alike or averaged.

    Returns:
        `change`, the mean absolute difference (0 to 1); `correlation` of the values, averaged over the pictures (-1 to
        1); `contrast`, the standard deviation of the translations relative to that of the pictures.
    """
    alike = pictures.shape[1] == translations.shape[1]
    real, fake = _comparable(pictures, alike), _comparable(translations, alike)
    real_spread, fake_spread = real - real.mean(1, keepdim=True), fake - fake.mean(1, keepdim=True)
    real_norm, fake_norm = (torch.linalg.vector_norm(spread, dim=1) for spread in (real_spread, fake_spread))
    product = (real_spread * fake_spread).sum(1)
    return {
        "change": float((fake - real).abs().mean()),
        "correlation": float((product / (real_norm * fake_norm).clamp(min=1e-6)).mean()),
        "contrast": float(fake_norm.mean() / real_norm.mean().clamp(min=1e-6)),
    }


def _comparable(values: Tensor, all_channels: bool) -> Tensor:
    """Bring uint8 [N, C, H, W] to [N, values] in 0 to 1: every channel, or their mean where their numbers differ."""
    scaled = values.float() / 255
    return (scaled if all_channels else scaled.mean(1)).flatten(1)
