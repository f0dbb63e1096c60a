"""The choice of the best validation, and early stopping. Imports no torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...runtime.errors import ConfigError

HIGHER_IS_BETTER = {
    "psnr": True, "ssim": True, "gmsd": False,
    "swd": False, "colour": False, "checkerboard": False, "fid": False, "kid": False,
    "cycle_psnr": True, "identity_psnr": True, "cycle_l1": False,
}  # fmt: skip


def base_name(metric: str) -> str:
    """Return what a metric is called without its direction or domain: `ssim` for `ssim_AtoB`."""
    for suffix in ("_AtoB", "_BtoA", "_A", "_B"):
        if metric.endswith(suffix):
            return metric.removesuffix(suffix)
    return metric


def value_of(metric: str, values: Mapping[str, float]) -> float | None:
    """Return one metric of a validation; a bare name means the mean over directions or domains. None: not measured."""
    if metric in values:
        return values[metric]
    found = [value for name, value in values.items() if name != base_name(name) and base_name(name) == metric]
    return sum(found) / len(found) if found else None


def choose_metric(metric: str, *, paired: bool, features: bool) -> str:
    """Return the metric that decides; "auto" is ssim where the truth is known, swd where it is not.

    Raises:
        ConfigError: the metric cannot be measured.
    """
    if metric == "auto":
        return "ssim" if paired else "swd"
    name = base_name(metric)
    if name in ("psnr", "ssim", "gmsd") and not paired:
        raise ConfigError(f"validation.metric={metric} needs pictures of the same names in testA and testB; take swd")
    if name in ("fid", "kid") and not features:
        raise ConfigError(f"validation.metric={metric} needs a feature extractor; name one in validation.features")
    return metric


@dataclass
class Selection:
    """The best value of a metric so far; `patience` validations without a better one exhaust it, 0 never."""

    metric: str
    patience: int
    best: float | None = None
    stale: int = 0

    def update(self, values: Mapping[str, float]) -> bool:
        """Take in a validation that measured the metric; returns whether it is the best so far."""
        value = value_of(self.metric, values)
        assert value is not None, f"{self.metric} was not measured"
        sign = 1 if HIGHER_IS_BETTER[base_name(self.metric)] else -1
        # What is no number is never the best: nothing would be better than it.
        better = not math.isnan(value) and (self.best is None or sign * value > sign * self.best)
        self.best, self.stale = (value, 0) if better else (self.best, self.stale + 1)
        return better

    @property
    def exhausted(self) -> bool:
        """Whether waiting has lasted long enough."""
        return 0 < self.patience <= self.stale

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"metric": self.metric, "best": self.best, "stale": self.stale}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`; where that waited for another metric, begin anew."""
        if state.get("metric", self.metric) == self.metric:
            self.best, self.stale = state["best"], state["stale"]
