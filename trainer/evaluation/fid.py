"""Fréchet and kernel distance in the features of a network that the user names; nothing is downloaded.

FID: Heusel et al. (NeurIPS 2017); KID: Bińkowski et al. (ICLR 2018). The figures compare with published ones only where
the extractor is the same Inception, and the resizing and the real pictures are the same as well.
"""

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from ...runtime.errors import ArtefactError

BATCH = 32
KID_SUBSETS = 100
TWO_SIDED_95 = 1.96

# uint8 [N, 3, H, W] to float [N, D]
Extractor = Callable[[Tensor], Tensor]


def load_torchscript(path: Path) -> Extractor:
    """Load a TorchScript module that takes float [N, 3, H, W] in [0, 255] and gives [N, D].

    The Inception that NVIDIA publishes for FID, inception-2015-12-05.pt, is one.

    Raises:
        ArtefactError: the file is missing, or is no TorchScript module.
    """
    try:
        with warnings.catch_warnings():  # deprecated, and still the form that published extractors come in
            warnings.simplefilter("ignore", FutureWarning)
            module = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except (ValueError, RuntimeError, OSError) as error:
        raise ArtefactError(f"{path} is no TorchScript module; name a feature extractor saved by torch.jit") from error
    named = {argument.name for argument in module.forward.schema.arguments}
    options = {"return_features": True} if "return_features" in named else {}

    @torch.no_grad()
    def extract(pictures: Tensor) -> Tensor:
        try:
            features = module(pictures.float(), **options)
        except RuntimeError as error:
            raise ArtefactError(f"{path} does not take pictures of {tuple(pictures.shape[1:])}") from error
        return checked(features, path)

    return extract


def checked(features: object, path: Path) -> Tensor:
    """Return features as [N, D].

    Raises:
        ArtefactError: they are no such thing.
    """
    if not isinstance(features, Tensor) or features.ndim < 2 or not features.is_floating_point():
        raise ArtefactError(f"{path} gives no features [N, D]; name a network without its classes")
    return features.flatten(1)


def feature_distances(fake: Tensor, real: Tensor, extractor: Extractor) -> dict[str, float]:
    """Return `fid`, `kid` and the bounds of its 95 % interval, `kid_low` and `kid_high`; pictures uint8 [N, C, H, W].

    KID is the mean over random halves of both sets. Such halves vary as much as the estimate from all pictures does
    from draw to draw (Shao and Wu, "A General Theory for Jackknife Variance Estimation", 1989), hence the interval.
    FID of fewer pictures than features is biased upwards: compare it at equal numbers only.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance  # which takes seconds, and few ask for features
    from torchmetrics.image.kid import KernelInceptionDistance

    made, given = extract_all(fake, extractor), extract_all(real, extractor)
    fid = FrechetInceptionDistance(feature=_Known(made.shape[1]))
    half = max(2, min(len(made), len(given)) // 2)
    with warnings.catch_warnings():  # that it keeps all features in memory: they are there already
        warnings.simplefilter("ignore", UserWarning)
        kid = KernelInceptionDistance(feature=_Known(made.shape[1]), subsets=KID_SUBSETS, subset_size=half)
    for metric in (fid, kid):
        metric.update(given, real=True)
        metric.update(made, real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mean, deviation = (float(value) for value in kid.compute())
    reach = TWO_SIDED_95 * deviation
    return {"fid": float(fid.compute()), "kid": mean, "kid_low": mean - reach, "kid_high": mean + reach}


def extract_all(pictures: Tensor, extractor: Extractor) -> Tensor:
    """Return the features [N, D] of [N, C, H, W], gray made to RGB, a few at a time."""
    rgb = pictures if pictures.shape[1] == 3 else pictures.expand(-1, 3, -1, -1)
    return torch.cat([extractor(batch) for batch in torch.split(rgb.byte(), BATCH)])


class _Known(nn.Module):
    """Stands where torchmetrics expects the network: the features are there already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features
