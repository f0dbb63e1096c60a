"""Move pictures and states as training does, and report what was counted."""

import torch
from pretended import counted, nobody_waits, report

from cyclegan_edge.trainer.methods.image_pool import ImagePool
from cyclegan_edge.trainer.tracking.background import snapshot

device = torch.device("cuda", 0)
pool = ImagePool(50, torch.Generator().manual_seed(0))
fakes = torch.rand(16, 3, 8, 8, device=device)
for _ in range(4):
    pool.query(fakes)
with nobody_waits(), counted() as found:
    pool.query(fakes)
report(what="history", **found)

state = {"weights": [torch.rand(10, device=device) for _ in range(200)], "steps": [torch.ones((), device=device)] * 200}
with counted() as found:
    snapshot(state)
report(what="snapshot", **found)
