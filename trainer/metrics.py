"""How good the translators are on held-out pictures: cycle consistency, and the truth where the test set is paired."""

from statistics import fmean

import torch
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure

from ..runtime.contract import denormalise, normalise
from .data import Domain

BATCH = 16


def psnr(result: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture in dB; both uint8 [N, C, H, W]. Identical pictures give inf."""
    error = (result.float() - truth.float()).square().flatten(1).mean(1)
    return 10 * torch.log10(255.0**2 / error)


def ssim(result: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity of each picture (Wang et al., TIP 2004); both uint8 [N, C, H, W]."""
    values = structural_similarity_index_measure(result.float(), truth.float(), data_range=255.0, reduction="none")
    assert isinstance(values, Tensor)
    return values


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


def is_paired(domain_a: Domain, domain_b: Domain) -> bool:
    """Whether the two folders hold pictures of the same names, so that each is the other's true translation."""
    return [path.stem for path in domain_a.files] == [path.stem for path in domain_b.files]


def validate(
    translators: tuple[nn.Module, nn.Module], held_out: tuple[Domain, Domain], device: torch.device
) -> dict[str, float]:
    """Measure both directions on the held-out domains.

    Returns:
        `cycle_psnr_A`, `cycle_psnr_B` (dB, picture against its reconstruction), `cycle_l1` (mean absolute error of
        both, of values in [-1, 1]) and, for paired folders, `psnr_AtoB`, `ssim_AtoB`, `psnr_BtoA`, `ssim_BtoA`.
    """
    pictures = {"A": held_out[0].stacked, "B": held_out[1].stacked}
    generators = {"AtoB": translators[0], "BtoA": translators[1]}
    fakes = {"AtoB": translate_all(generators["AtoB"], pictures["A"], device)}
    fakes["BtoA"] = translate_all(generators["BtoA"], pictures["B"], device)
    values: dict[str, float] = {}
    errors = []
    for domain, there, back in (("A", "AtoB", "BtoA"), ("B", "BtoA", "AtoB")):
        reconstructed = translate_all(generators[back], fakes[there], device)
        values[f"cycle_psnr_{domain}"] = _mean(psnr(reconstructed, pictures[domain]))
        errors.append(float((reconstructed.float() - pictures[domain].float()).abs().mean()) / 127.5)
    values["cycle_l1"] = fmean(errors)
    if is_paired(*held_out):
        for direction, truth in (("AtoB", "B"), ("BtoA", "A")):
            values[f"psnr_{direction}"] = _mean(psnr(fakes[direction], pictures[truth]))
            values[f"ssim_{direction}"] = _mean(ssim(fakes[direction], pictures[truth]))
    return values


def _mean(values: Tensor) -> float:
    """Average over the pictures; an identical one counts as 100 dB rather than infinitely much."""
    return float(values.clamp(max=100.0).mean())
