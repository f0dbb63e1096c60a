"""How long a training step takes and how much memory: ours in every precision, beside the classical loop.

    python benchmarks/train_step.py [--reference CHECKOUT] [--quick]

Every variant runs in a process of its own, on the same pictures, with the default networks (resnet_9blocks, 70x70
PatchGAN, instance norm, identity loss). `classical` is the step of the official implementation written out below: every
call by itself, Adam as torch makes it, FP32. With --reference it is joined by the official model class itself, from a
checkout of junyanz/pytorch-CycleGAN-and-pix2pix. Results go to benchmarks/results/.
"""

import itertools
import json
import platform
import random
import re
import resource
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
from torch import Tensor, nn

from cyclegan_edge.trainer.config import TrainConfig, resolve_config
from cyclegan_edge.trainer.device import pick_device, tune
from cyclegan_edge.trainer.methods.cyclegan import CycleGAN
from cyclegan_edge.trainer.networks.build import build_discriminator, build_generator, init_weights

RESULTS = Path(__file__).parent / "results"
SHAPES = ("256x1", "64x8")  # side x batch
VARIANTS = {
    "ours fp32": (None, False),
    "ours bf16": (torch.bfloat16, False),
    "ours fp32 compiled": (None, True),
    "ours bf16 compiled": (torch.bfloat16, True),
}
# Multiplications and additions of a step's convolutions at 256x256 and batch 1, forward and back, with identity loss.
GMAC_A_STEP = 942

Step = Callable[[Tensor, Tensor], object]


def classical(config: TrainConfig, device: torch.device) -> Step:
    """Return the step of the official implementation, written out from its description."""
    nets: dict[str, nn.Module] = {name: build_generator(config.networks, 3, 3) for name in ("G_A", "G_B")}
    nets |= {name: build_discriminator(config.networks, 3) for name in ("D_A", "D_B")}
    for net in nets.values():
        init_weights(net.to(device), "normal", 0.02)
    G_A, G_B, D_A, D_B = nets.values()
    optimizers = [
        torch.optim.Adam(itertools.chain(*(net.parameters() for net in pair)), lr=2e-4, betas=(0.5, 0.999))
        for pair in ((G_A, G_B), (D_A, D_B))
    ]
    mse, l1 = nn.MSELoss(), nn.L1Loss()
    history: dict[str, list[Tensor]] = {"A": [], "B": []}

    def judged(judgement: Tensor, truth: float) -> Tensor:
        return mse(judgement, torch.full_like(judgement, truth))

    def from_history(fakes: Tensor, pool: list[Tensor]) -> Tensor:
        shown = []
        for fake in fakes.detach().split(1):
            if len(pool) < 50:
                pool.append(fake.clone())
            elif random.random() < 0.5:
                place = random.randrange(50)
                pool[place], fake = fake.clone(), pool[place]
            shown.append(fake)
        return torch.cat(shown)

    def step(real_A: Tensor, real_B: Tensor) -> None:
        fake_B, fake_A = G_A(real_A), G_B(real_B)
        rec_A, rec_B = G_B(fake_B), G_A(fake_A)
        for judge in (D_A, D_B):
            judge.requires_grad_(False)
        optimizers[0].zero_grad()
        identity = 5 * l1(G_A(real_B), real_B) + 5 * l1(G_B(real_A), real_A)
        cycle = 10 * l1(rec_A, real_A) + 10 * l1(rec_B, real_B)
        (judged(D_A(fake_B), 1.0) + judged(D_B(fake_A), 1.0) + cycle + identity).backward()
        optimizers[0].step()
        for judge in (D_A, D_B):
            judge.requires_grad_(True)
        optimizers[1].zero_grad()
        for judge, real, fake, pool in ((D_A, real_B, fake_B, history["B"]), (D_B, real_A, fake_A, history["A"])):
            past = from_history(fake, pool)
            (0.5 * (judged(judge(real), 1.0) + judged(judge(past), 0.0))).backward()
        optimizers[1].step()

    return step


def official(config: TrainConfig, device: torch.device, checkout: Path) -> Step:
    """Return the step of the official model class in `checkout`, with its default options."""
    sys.path.insert(0, str(checkout))
    from models.cycle_gan_model import CycleGANModel  # type: ignore[import-not-found]

    networks = config.networks
    options = Namespace(
        isTrain=True, phase="train", name="benchmark", checkpoints_dir=str(checkout / "checkpoints"), direction="AtoB",
        preprocess="resize_and_crop", input_nc=3, output_nc=3, ngf=networks.ngf, ndf=networks.ndf,
        netG=networks.generator, netD="basic", n_layers_D=3, norm="instance", no_dropout=True, init_type="normal",
        init_gain=0.02, gan_mode="lsgan", pool_size=50, lr=2e-4, beta1=0.5, lambda_A=10.0, lambda_B=10.0,
        lambda_identity=0.5, lr_policy="linear", epoch_count=1, n_epochs=100, n_epochs_decay=100, lr_decay_iters=50,
        continue_train=False, load_iter=0, epoch="latest", verbose=False,
        device=device, gpu_ids=[device.index or 0] if device.type == "cuda" else [],
    )  # fmt: skip
    with redirect_stdout(sys.stderr):
        model = CycleGANModel(options)
        model.setup(options)

    def step(real_A: Tensor, real_B: Tensor) -> None:
        model.set_input({"A": real_A, "B": real_B, "A_paths": "", "B_paths": ""})
        model.optimize_parameters()

    return step


def measure(variant: str, config: TrainConfig, seconds: float, reference: Path | None) -> dict[str, Any]:
    """Time steps for `seconds` after one that warms up; at least three are timed."""
    device = pick_device(config.run.device)
    tune(device)
    torch.manual_seed(0)
    if variant == "classical":
        step = classical(config, device)
    elif variant == "official":
        assert reference is not None
        step = official(config, device, reference)
    else:
        step = CycleGAN(config, device, VARIANTS[variant][0]).step
    side, batch = config.data.crop_size, config.data.batch_size
    real_A, real_B = (torch.rand(batch, 3, side, side, device=device) * 2 - 1 for _ in range(2))
    started = time.perf_counter()
    step(real_A, real_B)
    _wait(device)
    first = time.perf_counter() - started
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        before = time.perf_counter()
        step(real_A, real_B)
        _wait(device)
        times.append(time.perf_counter() - before)
    if device.type == "cuda":
        memory = torch.cuda.max_memory_allocated(device)
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "variant": variant, "side": side, "batch": batch, "milliseconds": 1000 * median(times), "steps": len(times),
        "fastest_ms": 1000 * min(times), "first_step_s": first, "peak_bytes": memory,
    }  # fmt: skip


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def describe(device: torch.device) -> str:
    """Name the device by its model, and a CPU with what matters for bf16."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    capabilities = torch.cpu.get_capabilities()
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text()) if sys.platform == "linux" else None
    extras = [name for name in ("amx_bf16", "avx512_bf16") if capabilities.get(name)]
    return " ".join([model[1] if model else platform.processor(), f"{torch.get_num_threads()} threads", *extras])


def table(rows: list[dict[str, Any]], device: str) -> str:
    """Return the results as Markdown; the ratio is to the first row of the same shape."""
    lines = [
        f"{device}; torch {torch.__version__}; resnet_9blocks, identity loss on",
        "",
        "| pictures | variant | ms a step | times faster | TFLOP/s | peak memory | first step |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    base: dict[tuple[int, int], float] = {}
    for row in rows:
        side, batch, taken = row["side"], row["batch"], row["milliseconds"]
        ratio = base.setdefault((side, batch), taken) / taken
        teraflops = f"{row['teraflops']:.2f}" if row["teraflops"] else "-"
        lines.append(
            f"| {side}x{side}, batch {batch} | {row['variant']} | {taken:.0f} | {ratio:.2f} | {teraflops} | "
            f"{row['peak_bytes'] / 2**20:.0f} MiB | {row['first_step_s']:.1f} s |"
        )
    return "\n".join(lines) + "\n"


def configure(variant: str, shape: str, device: str, quick: bool) -> TrainConfig:
    """Return the configuration of one measurement; `quick` makes the networks tiny."""
    side, batch = map(int, shape.split("x"))
    compiled = VARIANTS.get(variant, (None, False))[1]
    tiny = {"networks": {"generator": "resnet_6blocks", "ngf": 4, "ndf": 4}} if quick else {}
    data = {"load_size": side, "crop_size": side, "batch_size": batch}
    return resolve_config({"data": data, "run": {"device": device, "compile": compiled}}, tiny)


@click.command()
@click.option("--reference", type=click.Path(path_type=Path, exists=True), help="Checkout of the official code.")
@click.option("--shape", "shapes", multiple=True, default=SHAPES, show_default=True, help="SIDExBATCH; repeatable.")
@click.option("--variant", "variants", multiple=True, help="Measure only these; repeatable.  [default: all]")
@click.option("--device", default="auto", show_default=True)
@click.option("--seconds", default=20.0, show_default=True, help="Time to measure each variant for, after one step.")
@click.option("--quick", is_flag=True, help="Tiny networks, no compiling: see that it runs.")
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS, help="Folder for the results.")
@click.option("--worker", is_flag=True, hidden=True)
def main(
    reference: Path | None,
    shapes: tuple[str, ...],
    variants: tuple[str, ...],
    device: str,
    seconds: float,
    quick: bool,
    output: Path,
    worker: bool,
) -> None:
    """Time a training step of every variant and write a table."""
    if worker:
        config = configure(variants[0], shapes[0], device, quick)
        click.echo(json.dumps(measure(variants[0], config, seconds, reference)))
        return
    every = [*(["official"] if reference else []), "classical", *VARIANTS]
    chosen = variants or tuple(name for name in every if not (quick and name.endswith("compiled")))
    rows = []
    for shape, variant in itertools.product(shapes, chosen):
        options = ["--worker", "--variant", variant, "--shape", shape, "--device", device, "--seconds", str(seconds)]
        options += ["--quick"] if quick else []
        options += ["--reference", str(reference.resolve())] if reference else []
        click.echo(f"{shape} {variant} …", err=True)
        done = subprocess.run([sys.executable, __file__, *options], stdout=subprocess.PIPE, text=True, check=True)
        row = json.loads(done.stdout.splitlines()[-1])
        work = 2e9 * GMAC_A_STEP * row["batch"] * (row["side"] / 256) ** 2
        rows.append(row | {"teraflops": None if quick else work / row["milliseconds"] / 1e9})
    name = describe(pick_device(device))
    written = table(rows, name)
    stem = "train_step-" + re.sub(r"\W+", "-", name.lower()).strip("-") + ("-quick" if quick else "")
    output.mkdir(parents=True, exist_ok=True)
    content = {"device": name, "torch": torch.__version__, "quick": quick, "rows": rows}
    (output / f"{stem}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (output / f"{stem}.md").write_text(written, encoding="utf-8")
    click.echo(written)


if __name__ == "__main__":
    main()
