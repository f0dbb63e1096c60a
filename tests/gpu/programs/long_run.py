"""Train with the command as in a run long enough to be compiled, or where compiling fails; report the counts."""

import sys

import torch
from pretended import counts, report

from cyclegan_edge.cli import main
from cyclegan_edge.trainer import device

real_compile = torch.compile


def captured_only(function, *, mode=None, **options):
    """Capture graphs of the kernels that PyTorch has; or fail, as without a C compiler."""
    if "--broken" in broken:
        raise RuntimeError("Failed to find C compiler.")
    return real_compile(function, backend="cudagraphs" if mode == "reduce-overhead" else "aot_eager", **options)


broken, arguments = sys.argv[1:2], sys.argv[2:]
device.COMPILED_STEPS = 1
torch.compile = captured_only
try:
    main(arguments)
finally:
    report(**counts())
