"""What a floor under the norms costs and brings: flat frames and ordinary pictures through exported generators.

    python benchmarks/flat_pictures.py [ARTEFACT]… [--dataroot DIR] [--floor R]…

Each ARTEFACT is an ONNX file of ours in FP32 or FP16, whose weights are read from it; by default the shipped examples.
Every floor is measured as `cyclegan export --norm-floor` applies it, with the usual variances of 32 training pictures:
PSNR to the generator without a floor, PSNR and SSIM to the true test pictures, and what becomes of black, gray and
white frames with noise of one step: the largest deviation of a channel, in steps of 1/255, and the mean. Computed in
PyTorch, at the size of the training crops. Writes flat_pictures.json and .md into benchmarks/results/.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import torch
from onnx import numpy_helper
from torch import Tensor

from cyclegan_edge.export.artefact import Artefact
from cyclegan_edge.export.graph.norm_floor import floor_generator
from cyclegan_edge.export.quantization.calibration import read_calibration
from cyclegan_edge.runtime.machine.doctor import machine
from cyclegan_edge.trainer.checkpoints.checkpoint import LoadedGenerator
from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.data.dataset import domain_folder, list_pictures, load_held_out
from cyclegan_edge.trainer.evaluation.evaluate import as_8_bit, translate_all
from cyclegan_edge.trainer.evaluation.paired import mean_of, psnr, ssim
from cyclegan_edge.trainer.networks.build import build_generator

ROOT = Path(__file__).parents[1]
EXAMPLES = tuple(sorted((ROOT / "examples" / "flat2three").glob("*.onnx")))
CPU = torch.device("cpu")
SIDE = 64  # of the pictures, as the examples were trained
LEVELS = {"black": 0, "gray": 127, "white": 255}


@dataclass(frozen=True)
class Row:
    """One generator with one floor."""

    artefact: str
    floor: float
    unaltered_db: float | None  # None without a floor
    psnr_db: float
    ssim: float
    deviation: dict[str, float]  # by the name of the level
    mean: dict[str, float]


def generator_of(path: Path, dataroot: Path) -> LoadedGenerator:
    """Read the generator of an artefact back from its weights, which FP16 has rounded."""
    artefact = Artefact.open(path)
    assert artefact.model is not None
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in artefact.model.graph.initializer}
    data = {"dataroot": str(dataroot.resolve()), "load_size": SIDE, "crop_size": SIDE}
    networks = {"generator": artefact.metadata.architecture, "ngf": _width(artefact.metadata.architecture, weights)}
    for upsample in ("deconv", "resize"):
        if upsample == "resize":
            networks["upsample"] = upsample
        config = resolve_config({"data": data, "networks": networks})
        network = build_generator(config.networks, artefact.metadata.input_channels, artefact.metadata.output_channels)
        state = {name: weights.get(f"generator.{name}") for name in network.state_dict()}
        if all(value is not None and value.shape == network.state_dict()[name].shape for name, value in state.items()):
            break
    network.load_state_dict({name: torch.from_numpy(value.astype(np.float32)) for name, value in state.items()})
    metadata = artefact.metadata
    return LoadedGenerator(
        network.eval().requires_grad_(False), config, metadata.direction, metadata.source.weights, path.stem,
        metadata.source.step, metadata.source.sha256, metadata.input_channels, metadata.output_channels,
    )  # fmt: skip


def _width(architecture: str, weights: dict[str, np.ndarray]) -> int:
    edge = architecture.startswith("edge_")
    first = weights[f"generator.model.{0 if edge else 1}.weight"]
    return len(first) // 4 if edge else len(first)


def flat_frame(level: int) -> Tensor:
    """Return a frame of one gray with noise of one step, uint8 [1, 3, H, W]."""
    noise = np.random.default_rng(level).integers(-1, 2, (1, 3, SIDE, SIDE))
    return torch.from_numpy(np.clip(level + noise, 0, 255).astype(np.uint8))


def measure(path: Path, dataroot: Path, floors: tuple[float, ...]) -> Iterator[Row]:
    """Measure a generator without a floor, and with each of `floors`."""
    generator = generator_of(path, dataroot)
    held_out = load_held_out(generator.config)
    assert held_out is not None, f"{dataroot} has no testA and testB"
    real, truth = (domain.stacked for domain in held_out[:: 1 if generator.direction == "AtoB" else -1])
    paths = list_pictures(domain_folder(generator.config.data, "train", generator.direction[0]))
    calibration = read_calibration(paths, generator, None)
    plain = translate_all(generator.network, real, CPU)
    for floor in (0.0, *floors):
        network = floor_generator(generator, calibration, floor).network if floor else generator.network
        made = translate_all(network, real, CPU)
        flat = {name: translate_all(network, flat_frame(level), CPU).float() for name, level in LEVELS.items()}
        yield Row(
            artefact=path.name,
            floor=floor,
            unaltered_db=mean_of(psnr(made, plain)) if floor else None,
            psnr_db=mean_of(psnr(made, as_8_bit(truth))),
            ssim=mean_of(ssim(made, as_8_bit(truth))),
            deviation={name: float(frame.std((2, 3)).max()) for name, frame in flat.items()},
            mean={name: float(frame.mean()) for name, frame in flat.items()},
        )


def table(rows: list[Row]) -> Iterator[str]:
    """Lay the rows out as Markdown."""
    heads = ["artefact", "floor", "to unaltered, dB", "PSNR dB", "SSIM"]
    heads += [f"{name}: deviation, mean" for name in LEVELS]
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        near = "" if row.unaltered_db is None else f"{row.unaltered_db:.1f}"
        cells = [row.artefact, f"{row.floor:g}", near, f"{row.psnr_db:.2f}", f"{row.ssim:.4f}"]
        cells += [f"{row.deviation[name]:.1f}, {row.mean[name]:.0f}" for name in LEVELS]
        yield "| " + " | ".join(cells) + " |"


@click.command()
@click.argument("artefacts", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--dataroot", type=click.Path(path_type=Path, exists=True), default=ROOT / "examples" / "emoji")
@click.option("--floor", "floors", multiple=True, type=float, default=(0.1, 0.3, 1.0, 2.0, 3.0, 10.0))
@click.option("--output", type=click.Path(path_type=Path), default=ROOT / "benchmarks" / "results")
def main(artefacts: tuple[Path, ...], dataroot: Path, floors: tuple[float, ...], output: Path) -> None:
    """Measure, and write what came of it."""
    rows = [row for path in artefacts or EXAMPLES for row in measure(path, dataroot, floors)]
    told = {"machine": machine(), "side": SIDE, "rows": [asdict(row) for row in rows]}
    output.mkdir(parents=True, exist_ok=True)
    (output / "flat_pictures.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    written = "\n".join([f"PyTorch FP32, {SIDE}x{SIDE}", "", *table(rows)]) + "\n"
    (output / "flat_pictures.md").write_text(written, encoding="utf-8")
    click.echo(written)


if __name__ == "__main__":
    main()
