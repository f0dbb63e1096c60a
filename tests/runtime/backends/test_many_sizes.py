"""A server is sent pictures of every size: an engine must not keep something of each for ever."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[3] / "examples" / "flat2three" / "flat2three-AtoB-fp16.onnx"
RUN = """
import sys
from pathlib import Path
import numpy as np
from cyclegan_edge.runtime.backends import open_backend

def megabytes():
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024

backend = open_backend(Path(sys.argv[1]), backend=sys.argv[2], device="cpu")
sizes = np.random.default_rng(0).integers(10, 70, (200, 2)) * 4
for number, (height, width) in enumerate(sizes):
    if number == 100:
        before = megabytes()
    backend.infer(np.zeros((1, height, width, 3), np.uint8))
print(megabytes() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_memory_does_not_grow_with_every_size() -> None:
    pytest.importorskip("openvino")
    done = subprocess.run([sys.executable, "-c", RUN, EXAMPLE, "openvino"], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 60
