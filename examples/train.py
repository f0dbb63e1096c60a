"""Train on two folders of pictures, and go on from the result in Python.

python examples/train.py examples/emoji runs/first 40
"""

import sys

import cyclegan_edge

dataroot, folder, steps = sys.argv[1:]
result = cyclegan_edge.train(
    {
        "data": {"dataroot": dataroot, "load_size": 72, "crop_size": 64},
        "networks": {"generator": "resnet_6blocks", "ngf": 8, "ndf": 8},
        "run": {"max_steps": int(steps), "log_every": 10},
    },
    folder,
)
losses = [record["cycle_A"] for record in result.metrics if record["kind"] == "train"]
print(f"step {result.step} of {result.total_steps}, cycle loss {losses[0]:.3f} → {losses[-1]:.3f}")
print(f"resume it from {result.latest}; the best validation so far: {result.best}")
