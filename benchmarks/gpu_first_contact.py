"""The first half hour on an NVIDIA GPU: what runs there, how fast, and what fails.

    python benchmarks/gpu_first_contact.py [--output DIR] [--wheels DIR] [--minutes 9] [--only PART]… [--quick]

The parts stand in the order that tells most in least time. Each runs in a process of its own with a time limit; one
that fails is reported, and the rest goes on. A call ends after --minutes; the same call again goes on with the next
part. DIR/first_contact.json and .md hold the results so far, under the card's name.

Where no package index is reached, --wheels installs from a folder, beside the results, what PyTorch and torchvision do
not bring. Fill the folder where one is reached, for the Python of the machine with the GPU:

    pip download --only-binary=:all: --python-version 3.12 --no-deps --dest DIR \\
        absl-py annotated-types click flatbuffers grpcio lightning-utilities markdown markdown-it-py mdurl ml-dtypes \\
        onnx onnx-ir onnxscript opencv-python-headless packaging protobuf pydantic pydantic-core pygments rich \\
        safetensors tensorboard tensorboard-data-server tomli-w torchmetrics typing-inspection werkzeug

and for the parts on engines and tests onnxruntime-gpu; tensorrt-rtx-cu13-bindings, tensorrt-rtx-cu13-libs,
cuda-bindings and cuda-pathfinder, with `pip wheel --no-deps --wheel-dir DIR tensorrt-rtx-cu13` for what comes as source
alone; pytest, pluggy, iniconfig, hypothesis and sortedcontainers.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHAPES = ("256x1", "256x16")
VARIANTS = ("classical", "ours fp32", "ours bf16", "ours bf16 compiled")
TINY = ("networks.generator=resnet_1blocks", "networks.ngf=4", "networks.ndf=4")
TAIL = 30  # lines of a part's output that are kept

Read = Callable[[str], Any]  # the result of a part, from its standard output


@dataclass(frozen=True)
class Part:
    """One thing to try: a command of Python, its time limit, and the modules without which it is left out."""

    name: str
    command: tuple[str, ...]
    seconds: float
    read: Read = lambda out: None
    needs: tuple[str, ...] = ()


@dataclass
class Machine:
    """Where results go, and what the parts find their modules by."""

    output: Path
    quick: bool
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def prepare(self, wheels: Path | None) -> None:
        """Make the package importable by its name, and install what lies in `wheels` beside the results."""
        names, installed = self.output / "names", self.output / "installed"
        names.mkdir(parents=True, exist_ok=True)
        if not (names / "cyclegan_edge").exists():
            (names / "cyclegan_edge").symlink_to(ROOT, target_is_directory=True)
        if wheels is not None and not installed.exists():
            pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--quiet", "--target"]
            files = sorted(wheels.glob("*.whl"))
            if not files or subprocess.run([*pip, self.output / "installing", *files]).returncode:
                sys.exit(f"{wheels} holds no wheels, or some that pip cannot install here")
            (self.output / "installing").rename(installed)
        paths = [str(names), str(installed)]
        sys.path[:0] = paths
        self.environment["PYTHONPATH"] = os.pathsep.join([*paths, self.environment.get("PYTHONPATH", "")])


def parts(machine: Machine) -> Iterator[Part]:
    """Give every part, first what tells most."""
    quick, runs = machine.quick, str(machine.output / "runs")
    small = [option for setting in TINY if quick for option in ("--set", setting)]
    common = ("-m", "cyclegan_edge", "train", str(ROOT / "examples" / "emoji"), "--runs", runs, *small)

    def train(name: str, steps: int, *options: str) -> tuple[str, ...]:
        return (*common, "--name", name, "--max-steps", str(3 if quick else steps), *options)

    yield Part("machine", (__file__, "--describe"), 60, json.loads)
    yield Part("doctor", ("-m", "cyclegan_edge", "doctor", "--json"), 90, json.loads)
    yield Part("train", train("first", 200), 240)
    yield Part("resume", (*train("first", 0)[:-1], str(5 if quick else 240), "--resume"), 120)
    yield Part("train fp16", train("fp16", 50, "--precision", "fp16"), 120)
    yield Part("step 256x1 ours bf16", step("256x1", "ours bf16", quick), 120, last_line)
    yield Part("profile", (__file__, "--profile", "cuda", *(["--quick"] if quick else [])), 120, json.loads)
    if not quick:
        yield Part("train compiled", train("compiled", 50, "--compile"), 500)
    yield Part("gpu tests", ("-m", "pytest", "-q", "-m", "gpu", str(ROOT / "tests")), 500, needs=("pytest",))
    for shape in SHAPES[: 1 if quick else None]:
        for variant in VARIANTS:
            if not (quick and "compiled" in variant) and (shape, variant) != ("256x1", "ours bf16"):
                yield Part(f"step {shape} {variant}", step(shape, variant, quick), 400, last_line)
    yield from engines(machine)


def step(shape: str, variant: str, quick: bool) -> tuple[str, ...]:
    """Return the command that times one kind of step."""
    seconds = "0" if quick else "10"
    options = ("--worker", "--shape", shape, "--variant", variant, "--device", "cuda", "--seconds", seconds)
    return (str(ROOT / "benchmarks" / "train_step.py"), *options, *(["--quick"] if quick else []))


def engines(machine: Machine) -> Iterator[Part]:
    """Give the parts that export the first run and measure it in every engine for GPUs."""
    run, exports = str(machine.output / "runs" / "first"), machine.output / "exports"
    export = ("-m", "cyclegan_edge", "export", run, "--direction", "AtoB", "--size", "64x64", "--output", str(exports))
    bench = ("-m", "cyclegan_edge", "bench", "--device", "cuda", "--json", "--seconds", "1" if machine.quick else "5")
    for target, files, module in (
        ("onnx", "first-AtoB-fp16-64x64.onnx", "onnxruntime"),
        ("tensorrt-rtx", "first-AtoB-fp16-64x64-rtx*.engine", "tensorrt_rtx"),
        ("tensorrt", "first-AtoB-fp16-64x64-trt*.engine", "tensorrt"),
    ):
        needs = ("onnx", "onnxscript", module)
        yield Part(f"export {target}", (*export, "--precision", "fp16", "--to", target), 240, needs=needs)
        artefacts = sorted(map(str, exports.glob(files))) or [str(exports / files)]  # an engine's name has its version
        yield Part(f"bench {target}", (*bench, artefacts[-1]), 120, json.loads, needs)


def last_line(out: str) -> Any:
    """Read the JSON that a worker prints last."""
    return json.loads(out.splitlines()[-1])


def try_part(part: Part, machine: Machine, limit: float) -> dict[str, Any]:
    """Run a part, and return how it ended: "ok", "failed", "too slow" or "left out"."""
    if lacking := [module for module in part.needs if find_spec(module) is None]:
        return {"status": "left out", "why": f"{', '.join(lacking)} is not installed", "seconds": 0.0}
    started = time.monotonic()
    code, out, errors = run([sys.executable, *part.command], machine.environment, min(limit, part.seconds))
    outcome: dict[str, Any] = {"status": "ok", "seconds": time.monotonic() - started}
    try:
        outcome["result"] = part.read(out)
    except (ValueError, IndexError):
        outcome["status"] = "failed"
    if code is None:
        outcome["status"] = "too slow"
    elif code:
        outcome |= {"status": "failed", "code": code}
    if outcome["status"] != "ok" or outcome["result"] is None:
        outcome["tail"] = tail(out + errors)
    return outcome


def run(command: list[str], environment: dict[str, str], seconds: float) -> tuple[int | None, str, str]:
    """Run a command; returns its exit code, None where it was stopped after so many seconds, and what it printed."""
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            out, errors = process.communicate(timeout=seconds)
            return process.returncode, out, errors
        except subprocess.TimeoutExpired:
            stop(process)
            return None, *process.communicate()
        except BaseException:
            stop(process)
            raise


def stop(process: subprocess.Popen[str]) -> None:
    """End a process and all that it started, which would go on using the GPU."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def tail(text: str) -> list[str]:
    """Return the last lines."""
    return text.splitlines()[-TAIL:]


def describe() -> dict[str, Any]:
    """Say what PyTorch knows of this machine."""
    import torch

    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        facts |= {"card": card.name, "capability": f"{card.major}.{card.minor}", "memory_bytes": card.total_memory}
        facts |= {"multiprocessors": card.multi_processor_count, "bf16": torch.cuda.is_bf16_supported()}
    return facts


def profile(name: str, quick: bool) -> dict[str, Any]:
    """Say which kernels a bf16 step at 256x256 spends its time in, in milliseconds a step, and how many it launches."""
    import torch
    from torch.autograd.profiler_util import FunctionEventAvg
    from torch.profiler import ProfilerActivity

    from cyclegan_edge.trainer.config import resolve_config
    from cyclegan_edge.trainer.device import pick_device, tune
    from cyclegan_edge.trainer.methods.cyclegan import CycleGAN

    device, steps = pick_device(name), 2 if quick else 10
    tune(device)
    tiny = {"networks": {"generator": "resnet_1blocks", "ngf": 4, "ndf": 4}} if quick else {}
    model = CycleGAN(resolve_config(tiny), device, torch.bfloat16)
    pictures = torch.rand(1, 3, 256, 256, device=device)
    for _ in range(3):
        model.step(pictures, pictures)
    watched = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with torch.profiler.profile(activities=watched) as recorded:
        for _ in range(steps):
            losses = model.step(pictures, pictures)
        losses["D_A"].item()  # waits for the device

    def milliseconds(event: FunctionEventAvg) -> float:
        return float(event.self_device_time_total) / 1000 / steps

    events = sorted(recorded.key_averages(), key=milliseconds, reverse=True)
    launches = sum(event.count for event in events if event.key.startswith(("cudaLaunchKernel", "cuLaunchKernel")))
    kernels = {event.key[:100]: round(milliseconds(event), 3) for event in events[:25]}
    return {"launches_a_step": launches / steps, "ms_a_step": kernels}


def break_even(results: dict[str, Any]) -> list[str]:
    """Say how many steps make up for compiling, which `COMPILED_STEPS` in trainer/device.py estimates."""
    lines = []
    for shape in SHAPES:
        eager, compiled = (
            results.get(f"step {shape} {variant}", {}).get("result") for variant in ("ours bf16", "ours bf16 compiled")
        )
        if not eager or not compiled:
            continue
        cost = compiled["first_step_s"] - eager["first_step_s"]
        saved = eager["milliseconds"] - compiled["milliseconds"]
        pays = f"pays from {1000 * cost / saved:,.0f} steps on" if saved > 0 else "never pays"
        lines += ["", f"Compiling {shape} {pays}: it takes {cost:.0f} s and saves {saved:.1f} ms a step."]
    return lines


def written(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    machine = results.get("machine", {}).get("result") or {}
    lines = [f"# First contact: {machine.get('card', 'no GPU')}", ""]
    lines += [f"- {name}: {value}" for name, value in machine.items()]
    lines += ["", "| part | ended | seconds | result |", "|---|---|---:|---|"]
    for name, outcome in results.items():
        lines.append(f"| {name} | {outcome['status']} | {outcome['seconds']:.0f} | {brief(name, outcome)} |")
    lines += break_even(results)
    for name, outcome in results.items():
        if "tail" in outcome:
            lines += ["", f"## {name}: {outcome['status']}", "", "```text", *outcome["tail"], "```"]
    return "\n".join(lines) + "\n"


def brief(name: str, outcome: dict[str, Any]) -> str:
    """Return the figure of a part that measures a step or an engine, or what went wrong."""
    result = outcome.get("result")
    if name.startswith("step ") and result:
        return f"{result['milliseconds']:.1f} ms a step, {result['peak_bytes'] / 2**20:.0f} MiB"
    if name.startswith("bench ") and result:
        rows = [row for row in result["results"] if row["engine"]]
        return ", ".join(f"{row['engine']['p50_ms']:.2f} ms a picture in {row['backend']}" for row in rows)
    return outcome.get("why") or (f"exit code {outcome['code']}" if "code" in outcome else "")


def main() -> int:
    """Try one part after another; the exit code is 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "first_contact")
    parser.add_argument("--wheels", type=Path)
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--only", action="append", metavar="PART")
    parser.add_argument("--quick", action="store_true", help="tiny networks and few steps: see that it runs")
    parser.add_argument("--describe", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--profile", metavar="DEVICE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.describe or options.profile:
        print(json.dumps(describe() if options.describe else profile(options.profile, options.quick)))
        return 0
    end = time.monotonic() + 60 * options.minutes
    machine = Machine(options.output.resolve(), options.quick)
    machine.prepare(options.wheels)
    path = machine.output / "first_contact.json"
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known = [part.name for part in parts(machine)]
    if unknown := sorted(set(options.only or ()) - set(known)):
        parser.error(f"there is no part {unknown[0]!r}; the parts are {', '.join(known)}")
    for part in parts(machine):
        if part.name not in options.only if options.only else part.name in results:
            continue
        if (left := end - time.monotonic()) < 10:
            print(f"time is up before: {part.name}; the same call goes on there", file=sys.stderr)
            break
        print(f"{part.name} …", file=sys.stderr, flush=True)
        results[part.name] = try_part(part, machine, left)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
        path.with_suffix(".md").write_text(written(results), encoding="utf-8")
    print(written(results))
    return int(any(outcome["status"] in ("failed", "too slow") for outcome in results.values()))


if __name__ == "__main__":
    sys.exit(main())
