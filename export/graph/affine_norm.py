"""An instance norm with a weight and a bias for each channel, as ONNX's InstanceNormalization has them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class AffineInstanceNorm(nn.Module):
    """Normalises every plane by its own statistics and eps, then scales and shifts its channel; computed in FP32."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, eps: float) -> None:
        """Take the weight and the bias of each channel, [C]."""
        super().__init__()
        self.register_buffer("weight", weight.detach())
        self.register_buffer("bias", bias.detach())
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise every plane of [B, C, H, W]; the result has the input's type."""
        with torch.autocast(x.device.type, enabled=False):
            normal = F.instance_norm(x.float(), weight=self.weight.float(), bias=self.bias.float(), eps=self.eps)
        return normal.to(x.dtype)
