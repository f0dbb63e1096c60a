"""What a quantisation reached, and what each layer costs."""

from pydantic import BaseModel, ConfigDict, Field
from rich.table import Table


class LayerCost(BaseModel):
    """What one convolution alone costs in INT8: the PSNR of the whole network's pictures against FP32."""

    model_config = ConfigDict(frozen=True)

    layer: str  # the graph's name of it
    module: str  # PyTorch's
    psnr_db: float


class Quantisation(BaseModel):
    """How an artefact was quantised: what each method of calibration reached, and what each layer costs."""

    model_config = ConfigDict(frozen=True)

    method: str
    psnr_db: dict[str, float] = Field(description="by method, with every layer in INT8 that may be")
    sensitivity: tuple[LayerCost, ...] = Field(description="the costliest first")
    kept_float: tuple[str, ...] = Field(description="layers, by the graph's names")

    def __str__(self) -> str:
        """Say which method was taken, and why."""
        tried = ", ".join(f"{method} {psnr:.1f} dB" for method, psnr in self.psnr_db.items())
        return f"INT8 by {self.method} ({tried})"


def quantisation_table(quantisation: Quantisation) -> Table:
    """Lay out what INT8 costs: by method of calibration, then layer by layer, the costliest first."""
    table = Table(title=str(quantisation), title_justify="left", min_width=len(str(quantisation)))
    table.add_column("layer alone in INT8")
    table.add_column("PSNR dB", justify="right")
    table.add_column("computed in")
    for cost in quantisation.sensitivity:
        table.add_row(cost.module, f"{cost.psnr_db:.1f}", "float" if cost.layer in quantisation.kept_float else "int8")
    return table
