"""The validation of a run on held-out pictures: it chooses best.pt and stops a run early."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from ...runtime.errors import ConfigError
from ...runtime.metadata import Direction
from ..config import ValidationConfig
from ..data.dataset import Domain, evenly, pairs, take
from .evaluate import evaluate, translate_all
from .fid import Extractor, load_torchscript
from .model_selection import Selection, choose_metric


@dataclass(frozen=True)
class Validation:
    """Held-out pictures, always the same ones, and how they are measured: as `cyclegan evaluate` does."""

    pictures: tuple[Domain, Domain]
    extractor: Extractor | None
    selection: Selection

    def measure(self, translators: Mapping[Direction, nn.Module], device: torch.device) -> dict[str, float]:
        """Measure the generators; returns what `evaluate` does."""
        called = {
            direction: partial(translate_all, network, device=device) for direction, network in translators.items()
        }
        return evaluate(called, self.pictures, self.extractor)


def build_validation(config: ValidationConfig, held_out: tuple[Domain, Domain] | None) -> Validation | None:
    """Prepare the validation of a run; None where there are no held-out pictures.

    Raises:
        ConfigError: what is asked for cannot be measured on these pictures.
        ArtefactError: the feature extractor cannot be loaded.
    """
    if held_out is None:
        if config.metric != "auto" or config.patience:
            raise ConfigError("validation.metric and validation.patience need pictures in testA and testB; add some")
        return None
    if places := pairs(*held_out):
        held_out = take(held_out[0], places[0]), take(held_out[1], places[1])
    pictures = evenly(held_out[0], config.max_pictures), evenly(held_out[1], config.max_pictures)
    metric = choose_metric(config.metric, paired=places is not None, features=bool(config.features))
    extractor = load_torchscript(Path(config.features)) if config.features else None
    return Validation(pictures, extractor, Selection(metric, config.patience))
