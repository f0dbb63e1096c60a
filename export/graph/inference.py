"""A trained generator becomes the module that is traced: pixels in, pixels out, its precision already decided.

Engines with strong types (TensorRT 11, TensorRT-RTX) compute what the graph says, so FP16 is decided here: convolutions
and what lies between them in half, InstanceNorm, tanh and the whole way from and to pixels in FP32.
"""

import copy
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ...runtime.contract import denormalise, normalise
from ...runtime.metadata import IO
from ...trainer.networks.build import Generator
from .norm_floor import fold_norm_floors

FloatPrecision = Literal["fp32", "fp16"]


class InferenceGenerator(nn.Module):
    """A generator in evaluation mode, with what the artefact holds around it.

    io "uint8": uint8 [N, H, W, C] to uint8 [N, H, W, C], RGB, rounded half to even and clipped.
    io "float": float32 [N, C, H, W] in [-1, 1] to the same, whatever the precision inside.
    """

    def __init__(self, generator: Generator, precision: FloatPrecision = "fp32", io: IO = "uint8") -> None:
        """Copy `generator`, which stays as it is."""
        super().__init__()
        self.generator = copy.deepcopy(generator).eval().requires_grad_(False)
        fold_norm_floors(self.generator)
        self.io = io
        self.dtype = torch.float32
        if precision == "fp16":
            self.dtype = torch.float16
            fold_batch_norms(self.generator)
            self.generator.half()

    def forward(self, image: Tensor) -> Tensor:
        """Translate a batch; the generator's own tanh gives FP32."""
        # TensorRT takes a uint8 input only where a cast consumes it: cast first, then scale, then permute.
        values = image if self.io == "float" else normalise(image.float()).permute(0, 3, 1, 2)
        translated: Tensor = self.generator(values.to(self.dtype))
        if self.io == "float":
            return translated
        return denormalise(translated.permute(0, 2, 3, 1)).round().clamp(0, 255).to(torch.uint8)

    def translate(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run on NumPy arrays, in the form that `io` says: the reference that engines are compared with."""
        with torch.inference_mode():
            translated: Tensor = self(torch.from_numpy(batch))
        return translated.numpy()


def fold_batch_norms(network: nn.Module) -> None:
    """Fold every BatchNorm into the convolution before it, as long as the weights are FP32.

    At inference BatchNorm is a fixed scale and shift, so it needs no FP32 island. Left to the exporter, it would be
    folded after its running variance was rounded to half, where it may overflow and epsilon keeps few bits.
    """
    for layers in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for index, layer in enumerate(layers):
            if isinstance(layer, nn.BatchNorm2d):
                convolution = layers[index - 1]
                assert isinstance(convolution, nn.Conv2d | nn.ConvTranspose2d)
                transposed = isinstance(convolution, nn.ConvTranspose2d)
                layers[index - 1] = fuse_conv_bn_eval(convolution, layer, transpose=transposed)
                layers[index] = nn.Identity()
