"""The script for the first half hour on a card, from its first part to its last, with tiny networks."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from zipfile import ZipFile

import pytest

from cyclegan_edge.export.engine import engine_name
from cyclegan_edge.runtime.backends.engine_file import this_system

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_first_contact.py"
SITE = Path(__file__).parent / "programs" / "site"


def contact(pretended, output, *options, seconds=280):
    """Run the script; every process that it starts is on the pretended GPU too."""
    site = os.pathsep.join([str(SITE), str(SCRIPT.parents[1] / ".venv" / "ns")])
    ended = pretended("script", SCRIPT, "--quick", "--output", output, *options, seconds=seconds, PYTHONPATH=site)
    return ended, json.loads((output / "first_contact.json").read_text())


def engine_parts(output):
    script = runpy.run_path(str(SCRIPT))
    return script["engines"](script["Machine"](output, True))


def test_the_engine_that_an_export_wrote_is_measured(tmp_path):
    (tmp_path / "exports").mkdir()
    described = {
        "library": "tensorrt_rtx", "library_version": "1.7.1", "compute_capabilities": (), "system": this_system(),
        "tf32": False, "artefact": SimpleNamespace(size=(64, 64)), "profile": SimpleNamespace(max=(1, 64, 64)),
    }  # fmt: skip
    names = [
        engine_name("first-AtoB-fp16-64x64.onnx", SimpleNamespace(**described | {"library": library}))
        for library in ("tensorrt_rtx", "tensorrt")
    ]
    for name in names:
        (tmp_path / "exports" / name).touch()
    benches = [part for part in engine_parts(tmp_path) if part.name.startswith("bench tensorrt")]
    assert [Path(part.command[-1]).name for part in benches] == names


@pytest.mark.slow
def test_the_parts_that_train_run_and_the_same_call_goes_on(pretended, tmp_path):
    names = ("machine", "doctor", "train", "resume", "train fp16", "step 256x1 ours bf16", "export onnx")
    _, first = contact(pretended, tmp_path, "--only", "machine")
    assert list(first) == ["machine"]
    only = [option for name in names for option in ("--only", name)]
    ended, results = contact(pretended, tmp_path, *only)
    assert {name: outcome["status"] for name, outcome in results.items()} == dict.fromkeys(names, "ok"), ended.err
    assert ended.code == 0
    assert results["machine"]["result"]["card"] == "Pretended GPU"
    assert "on cuda:0 in bfloat16" in "\n".join(results["train"]["tail"])
    assert "done: step 5" in "\n".join(results["resume"]["tail"])
    assert results["step 256x1 ours bf16"]["result"]["milliseconds"] > 0
    (measured,) = [part.command[-1] for part in engine_parts(tmp_path) if part.name == "bench onnx"]
    assert Path(measured).is_file()
    written = (tmp_path / "first_contact.md").read_text()
    assert written.startswith("# First contact: Pretended GPU\n")
    assert "| step 256x1 ours bf16 | ok |" in written


def test_it_says_from_how_many_steps_on_compiling_pays():
    break_even = runpy.run_path(str(SCRIPT))["break_even"]

    def timed(first, milliseconds):
        return {"status": "ok", "result": {"first_step_s": first, "milliseconds": milliseconds}}

    results = {"step 256x1 ours bf16": timed(2.0, 30.0), "step 256x1 ours bf16 compiled": timed(182.0, 15.0)}
    assert break_even(results) == [
        "", "Compiling 256x1 pays from 12,000 steps on: it takes 180 s and saves 15.0 ms a step.",
    ]  # fmt: skip
    results["step 256x1 ours bf16 compiled"] = timed(182.0, 31.0)
    assert "never pays" in break_even(results)[1]
    del results["step 256x1 ours bf16"]
    assert break_even(results) == []


# It starts a process, as compiling does, that must not go on either.
ENDLESS = (
    "import subprocess; started = subprocess.Popen(['sleep', '99']); print(started.pid, flush=True); started.wait()"
)
FAKE = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
import gpu_first_contact as contact

def parts(machine):
    yield contact.Part("lacking", ("-c", "pass"), 9, needs=("no_such_module",))
    yield contact.Part("broken", ("-c", "print('before'); import no_such_module"), 9)
    yield contact.Part("nonsense", ("-c", "print('no JSON')"), 9, contact.last_line)
    yield contact.Part("endless", ("-c", {endless!r}), 1)
    yield contact.Part("good", ("-c", "print('{{}}')"), 9, contact.last_line)
"""
END = """
contact.parts = parts
sys.exit(contact.main())
"""


def test_a_part_that_fails_is_reported_and_the_rest_goes_on(tmp_path):
    program = FAKE.format(folder=str(SCRIPT.parent), endless=ENDLESS) + END
    command = [sys.executable, "-c", program, "--output", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1, ended.stderr
    results = json.loads((tmp_path / "first_contact.json").read_text())
    status = {name: outcome["status"] for name, outcome in results.items()}
    assert status == {
        "lacking": "left out", "broken": "failed", "nonsense": "failed", "endless": "too slow", "good": "ok",
    }  # fmt: skip
    assert "No module named 'no_such_module'" in results["broken"]["tail"][-1]
    (started,) = results["endless"]["tail"]
    command = Path(f"/proc/{int(started)}/cmdline")
    assert not command.exists() or not command.read_bytes()  # or nobody has asked yet how it ended
    assert "| lacking | left out | 0 | no_such_module is not installed |" in ended.stdout
    assert "| exit code 1 |" in ended.stdout


def test_wheels_in_a_folder_are_installed_where_no_index_is_reached(tmp_path):
    wheels, folder = tmp_path / "wheels", "tiny-1.0.dist-info"
    wheels.mkdir()
    with ZipFile(wheels / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "ANSWER = 42")
        wheel.writestr(f"{folder}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr(f"{folder}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{folder}/RECORD", "")
    trial = "import tiny, cyclegan_edge; print(tiny.ANSWER)"
    part = f'contact.Part("tiny", ("-c", "{trial}"), 30, contact.last_line, ("tiny",))'
    program = (
        FAKE.format(folder=str(SCRIPT.parent), endless=ENDLESS).partition("    yield")[0] + f"    yield {part}\n" + END
    )
    command = [sys.executable, "-c", program, "--output", str(tmp_path / "out"), "--wheels", str(wheels)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert json.loads((tmp_path / "out" / "first_contact.json").read_text())["tiny"]["result"] == 42


def test_the_profile_names_what_a_step_does():
    """Here on the CPU: CUDA's profiler does not take a pretended GPU."""
    command = [sys.executable, str(SCRIPT), "--profile", "cpu", "--quick"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    profiled = json.loads(ended.stdout)
    assert profiled["launches_a_step"] == 0
    assert len(profiled["ms_a_step"]) == 25


def test_a_part_that_there_is_not_is_refused(tmp_path):
    command = [sys.executable, str(SCRIPT), "--output", str(tmp_path), "--only", "trian"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "there is no part 'trian'; the parts are machine, doctor, train, resume" in ended.stderr


def test_nothing_is_begun_when_the_time_is_up(tmp_path):
    command = [sys.executable, str(SCRIPT), "--output", str(tmp_path), "--minutes", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0
    assert "time is up before: machine" in ended.stderr
