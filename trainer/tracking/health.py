"""What is done about gradients that are not finite, and what tells a user in words that a run goes wrong.

Two kinds of signs are read: how the discriminators judge (from the losses that are logged) and what the translations
look like (from the preview's pictures). Each sign has a threshold below; each trouble is told once until it has passed.
"""

import logging
from collections import deque
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from ...runtime.errors import CycleganError

LOGGER = logging.getLogger(__name__)

MOST_RETURNS = 3  # to one good state, before a run is given up

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
    "won": "{which} tells {accuracy:.0%} of the patches rightly, so {generator} has little to learn from: try "
    "optim.diffaugment=true, a smaller networks.ndf, or more pictures",
    "unchanged": "{which} changes its pictures by only {change:.1%}: lower losses.lambda_identity (0 turns it off) or "
    "losses.lambda_A and lambda_B",
    "inverted": "{which} inverts colours (correlation {correlation:.2f} with its pictures): raise "
    "losses.lambda_identity, or start again with another run.seed",
    "flat": "{which} makes flat pictures, with {contrast:.0%} of the contrast they came with: start again with another "
    "run.seed or a lower optim.lr, and look for flat pictures in the dataset",
}


class LastGood:
    """The last state of a run that was found good, to go back to when a gradient is not finite."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}  # none before training begins
        self._returns = 0

    def replace(self, state: dict[str, Any]) -> None:
        """Keep a newer good state: a copy on the CPU, see `background.snapshot`."""
        self.state = state
        self._returns = 0

    def go_back(self, step: int) -> dict[str, Any]:
        """Return the state, and say that the run goes back to it.

        Raises:
            CycleganError: the run never got from there to another good state.
        """
        self._returns += 1
        remedy = "a lower optim.lr, optim.clip_norm=1 or --precision fp32"
        if self._returns > MOST_RETURNS:
            raise CycleganError(
                f"gradients stopped being finite {self._returns} times since the last good checkpoint, the last time "
                f"before step {step}; go on from it, or start again, with {remedy}"
            )
        LOGGER.warning(
            "a gradient before step %d was not finite: the weights did not take it and go back to the last good state; "
            "if this comes again, try %s", step, remedy,
        )  # fmt: skip
        return self.state


class HealthMonitor:
    """Collects the signs of a run and says what is new about them."""

    def __init__(self) -> None:
        self._accuracy: dict[str, deque[float]] = {name: deque(maxlen=WINDOW) for name in ("D_A", "D_B")}
        self._told: set[tuple[str, str]] = set()

    def judge_losses(self, step: int, losses: dict[str, float]) -> list[str]:
        """Return the advice that `D_A_accuracy` and `D_B_accuracy`, as far as there are any, give rise to at `step`."""
        advice = []
        for which, generator in (("D_A", "G_A"), ("D_B", "G_B")):
            if f"{which}_accuracy" not in losses:  # one direction alone is learnt
                continue
            recent = self._accuracy[which]
            recent.append(losses[f"{which}_accuracy"])
            accuracy = fmean(recent)
            won = len(recent) == WINDOW and accuracy >= WON_ACCURACY
            advice += self._tell("won", which, step, won, generator=generator, accuracy=accuracy)
        return advice

    def judge_pictures(self, step: int, direction: str, signs: dict[str, float]) -> list[str]:
        """Return the advice that the signs of `compare` give rise to at `step`; `direction` is AtoB or BtoA."""
        flat = signs["contrast"] < FLAT
        return [
            *self._tell("unchanged", direction, step, signs["change"] < UNCHANGED, **signs),
            *self._tell("flat", direction, step, flat, **signs),
            *self._tell("inverted", direction, step, not flat and signs["correlation"] < INVERTED, **signs),
        ]

    def _tell(self, trouble: str, which: str, step: int, found: bool, **values: float | str) -> list[str]:
        if not found or step < WARM_UP_STEPS:
            self._told.discard((trouble, which))
            return []
        if (trouble, which) in self._told:
            return []
        self._told.add((trouble, which))
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
