"""What a comparison must reach to pass."""

from pydantic import BaseModel, ConfigDict


class Gate(BaseModel):
    """What a comparison must reach to pass, besides having no blank frame."""

    model_config = ConfigDict(frozen=True)

    max_lsb: int | None = None
    min_psnr_db: float | None = None

    def admits(self, max_lsb: int, psnr_db: float | None) -> bool:
        """Whether a comparison with these numbers passes; a PSNR of None means identical pictures."""
        if self.max_lsb is not None and max_lsb > self.max_lsb:
            return False
        return self.min_psnr_db is None or psnr_db is None or psnr_db >= self.min_psnr_db

    def __str__(self) -> str:
        if self.max_lsb is not None:
            return f"≤ {self.max_lsb} LSB"
        return "not blank" if self.min_psnr_db is None else f"≥ {self.min_psnr_db:g} dB"


# By the coarser precision of artefact and engine. The longer the sums of an InstanceNorm, the further engines are from
# each other: in FP32 only ONNX Runtime stays within 1 LSB of PyTorch from 512x512 on (figures: docs/verification.md).
GATES = {
    "fp32": Gate(max_lsb=1),
    "fp32 large": Gate(min_psnr_db=45.0),
    "tf32": Gate(min_psnr_db=45.0),
    "fp16": Gate(min_psnr_db=40.0),
    "bf16": Gate(min_psnr_db=40.0),
    "int8": Gate(min_psnr_db=28.0),
}


LARGE = 512 * 512  # pixels


# A constant picture that comes out with a smaller deviation, in steps of 1/255, is flat to the eye. There all engines
# must agree; bf16, whose rounding is as large as the noise that such a picture may have, as closely as elsewhere.
FLAT_DEVIATION = 4.0
FLAT = Gate(max_lsb=3)

# Without a floor InstanceNorm divides a flat plane's rounding error by sqrt(eps) and the next layers magnify it until
# it fills the picture: PyTorch in FP32 and in FP64 differ by more than 100 LSB there. No engines can agree on that.
UNDETERMINED = Gate()
