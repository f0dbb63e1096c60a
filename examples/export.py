"""Export both directions of a run to FP16, and say how near each file comes to PyTorch.

python examples/export.py runs/mine exported/
"""

import sys

import cyclegan_edge

run, folder = sys.argv[1:]
for made in cyclegan_edge.export(run, direction="both", precision="fp16", output=folder):
    print(made.path, "passed" if made.report.passed else "differs from PyTorch, do not ship it")
    for row in made.report.comparisons:
        print(f"  {row.engine} {row.precision}, {row.input} at {row.size[0]}x{row.size[1]}: {row.psnr_db or 'same'} dB")
