"""Evaluation of translations from pictures alone, for any translator."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from ...runtime.contract import denormalise, normalise
from ...runtime.metadata import Direction
from ..data.dataset import Domain, pairs
from .fid import Extractor, feature_distances
from .paired import gmsd, mean_of, psnr, ssim
from .unpaired import checkerboard, colour_distance, sliced_wasserstein

# [N, C, H, W] in [0, 255] to the same, uint8
Translate = Callable[[Tensor], Tensor]

OPPOSITE: dict[Direction, Direction] = {"AtoB": "BtoA", "BtoA": "AtoB"}


def evaluate(
    translators: Mapping[Direction, Translate], held_out: tuple[Domain, Domain], extractor: Extractor | None = None
) -> dict[str, float]:
    """Measure one or both directions on held-out pictures.

    Returns:
        for each direction, `swd_AtoB`, `colour_AtoB`, `checkerboard_AtoB` (its excess over the real pictures, dB), with
        an extractor `fid_AtoB`, `kid_AtoB`, `kid_low_AtoB` and `kid_high_AtoB`, and where the folders are paired
        `psnr_AtoB` (dB), `ssim_AtoB` and `gmsd_AtoB`; `identity_psnr_B` (dB) of G_A given what is in B already. With
        both directions, `cycle_psnr_A` and `_B` (dB), and `cycle_l1`, the mean absolute error of both cycles, of
        values in [-1, 1].
    """
    pictures = {"A": held_out[0].stacked, "B": held_out[1].stacked}
    fakes = {direction: translate(pictures[direction[0]]) for direction, translate in translators.items()}
    values: dict[str, float] = {}
    places = dict(zip("AB", pairs(*held_out) or (), strict=False))
    for direction, fake in fakes.items():
        truth = pictures[direction[-1]]
        found = _paired(fake[places[direction[0]]], truth[places[direction[-1]]]) if places else {}
        found |= _unpaired(fake, truth, extractor)
        values |= {f"{name}_{direction}": value for name, value in found.items()}
        if truth.shape[1] == pictures[direction[0]].shape[1]:
            values[f"identity_psnr_{direction[-1]}"] = mean_of(psnr(translators[direction](truth), truth))
    if len(fakes) == 2:
        values |= _cycles(translators, fakes, pictures)
    return values


def untranslated(
    held_out: tuple[Domain, Domain],
    extractor: Extractor | None = None,
    directions: Iterable[Direction] = ("AtoB", "BtoA"),
) -> dict[str, float]:
    """Measure what doing nothing would reach, where both domains have the same channels: what to compare with."""
    if held_out[0].stacked.shape[1] != held_out[1].stacked.shape[1]:
        return {}
    values = evaluate(dict.fromkeys(directions, as_8_bit), held_out, extractor)
    return {name: value for name, value in values.items() if not name.startswith(("cycle", "identity"))}


def as_8_bit(pictures: Tensor) -> Tensor:
    """Round [N, C, H, W] of any range to uint8."""
    return pictures if pictures.dtype == torch.uint8 else pictures.round().byte()


def _paired(fake: Tensor, truth: Tensor) -> dict[str, float]:
    return {
        "psnr": mean_of(psnr(fake, truth)),
        "ssim": mean_of(ssim(fake, truth)),
        "gmsd": mean_of(gmsd(fake, truth)),
    }


def _unpaired(fake: Tensor, truth: Tensor, extractor: Extractor | None) -> dict[str, float]:
    values = {
        "swd": sliced_wasserstein(fake, truth),
        "colour": colour_distance(fake, truth),
        "checkerboard": checkerboard(fake) - checkerboard(truth),
    }
    return values | (feature_distances(fake, as_8_bit(truth), extractor) if extractor else {})


def _cycles(
    translators: Mapping[Direction, Translate], fakes: dict[Direction, Tensor], pictures: dict[str, Tensor]
) -> dict[str, float]:
    values: dict[str, float] = {}
    errors = []
    for direction, fake in fakes.items():
        domain = direction[0]
        reconstructed = translators[OPPOSITE[direction]](fake)
        values[f"cycle_psnr_{domain}"] = mean_of(psnr(reconstructed, pictures[domain]))
        errors.append(float((reconstructed.float() - pictures[domain].float()).abs().mean()) / 127.5)
    return values | {"cycle_l1": sum(errors) / len(errors)}


BATCH = 16


@torch.no_grad()
def translate_all(generator: nn.Module, pictures: Tensor, device: torch.device) -> Tensor:
    """Translate uint8 [N, 3, H, W] in FP32, a few at a time; rounded and clipped as the exported graph does."""
    was_training = generator.training
    generator.eval()
    results = [
        denormalise(generator(normalise(batch.to(device).float())).float()).round().clamp(0, 255).byte().cpu()
        for batch in torch.split(pictures, BATCH)
    ]
    generator.train(was_training)
    return torch.cat(results)
