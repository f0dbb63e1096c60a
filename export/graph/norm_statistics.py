"""Statistics of a network's norms, measured on pictures."""

from collections.abc import Iterable

import torch
from torch import nn

from ...runtime.contract import Picture, encode


def measure_statistics(network: nn.Module, norms: Iterable[nn.Module], pictures: Picture) -> None:
    """Let `norms` of a network take their statistics from `pictures`, uint8 [N, H, W, C], as one batch."""
    norms = list(norms)
    for norm in norms:
        norm.train()
    with torch.inference_mode():
        network(torch.from_numpy(encode(pictures)))
    for norm in norms:
        norm.eval()
