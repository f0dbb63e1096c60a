"""Train some steps with every set of options that the test gives, and report what the last one counted."""

import json
import sys

import torch
from pretended import counted, nobody_waits, reason, report

from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.methods import objective
from cyclegan_edge.trainer.methods.cyclegan import CycleGAN

SIDE = 64
SMALL = {
    "networks": {"ngf": 4, "ndf": 4},
    "data": {"crop_size": SIDE, "load_size": SIDE},
    "optim": {"pool_size": 2},
}


def captured_only(function, *, mode=None, **options):
    """Capture graphs as "reduce-overhead" does, of the kernels that PyTorch has: that compiles in a second."""
    return real_compile(function, backend="cudagraphs" if mode == "reduce-overhead" else "aot_eager", **options)


def steps(
    options: dict,
    *,
    precision: str = "bf16",
    batch: int = 1,
    side: int = SIDE,
    blocks: int = 9,
    warm_up: int = 2,
    compiled: bool = False,
) -> dict[str, int]:
    data = {"batch_size": batch, "crop_size": side, "load_size": side}
    networks = {"generator": f"resnet_{blocks}blocks"}
    config = resolve_config(SMALL, {"data": data, "networks": networks, "run": {"compile": compiled}}, options)
    amp = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    cuda = torch.device("cuda", 0)
    model = CycleGAN(config, cuda, amp)
    batches = [[torch.rand(batch, 3, side, side, device=cuda) for _ in "AB"] for _ in range(warm_up + 1)]
    for batch_A, batch_B in batches[:-1]:
        losses = model.step(batch_A, batch_B)
        torch.stack(list(losses.values())).tolist()  # as the loop logs them
    with nobody_waits(), counted() as found:
        model.step(*batches[-1])
    return found


real_compile = torch.compile
objective.torch.compile = captured_only
for name, case in json.load(sys.stdin).items():
    torch._dynamo.reset()
    try:
        report(name=name, **steps(case.pop("options", {}), **case))
    except Exception as error:
        report(name=name, error=reason(error))
