"""`cyclegan_edge.export(…)`: a function and a package by one name, in every order of imports, and what it makes."""

import subprocess
import sys

import pytest

import cyclegan_edge
from cyclegan_edge.export.request import Request, RequestOptions
from cyclegan_edge.runtime.errors import CheckpointError, InputError, UsageError

ORDERS = [
    "import cyclegan_edge",
    "import cyclegan_edge.export",
    "import cyclegan_edge.export.request",
    "import cyclegan_edge.export.request as request; assert request.Request",
    "from cyclegan_edge import export; assert export is cyclegan_edge.export",
    "from cyclegan_edge.export import request; assert request.Request",
    "from cyclegan_edge.export.request import Request",
    "cyclegan_edge.export; import cyclegan_edge.export.engine as engine; assert engine.EngineOptions",
    "import importlib; assert importlib.import_module('cyclegan_edge.export.request').Request",
    "from unittest.mock import patch; patch('cyclegan_edge.export.request.TRITON_BATCH', 4).start()",
]


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("first", ORDERS)
def test_it_can_be_called_and_imported_from_in_any_order(first):
    # What exports is replaced, because it would import torch.
    called = """
import sys, types
door = types.ModuleType("door")
door.export = lambda source, **options: (source, options)
sys.modules["cyclegan_edge.export.door"] = door
assert cyclegan_edge.export("run", precision="fp16") == ("run", {"precision": "fp16"})
from cyclegan_edge.export.request import Request
import cyclegan_edge.export.request as again
assert again.Request is Request
assert cyclegan_edge.export("run") == ("run", {}) and cyclegan_edge.export.__path__
"""
    done = python(f"import cyclegan_edge; {first}\n{called}")
    assert done.returncode == 0, done.stderr


def test_the_package_itself_imports_nothing_heavy():
    done = python(
        "import sys, cyclegan_edge; cyclegan_edge.export; print({'torch', 'numpy', 'cv2'} & sys.modules.keys())"
    )
    assert done.stdout == "set()\n", done.stderr


@pytest.mark.slow
def test_types_are_those_of_the_function(request, tmp_path):
    """mypy must see a function, and modules below it."""
    program = """
import cyclegan_edge
import cyclegan_edge.export.request as request
from cyclegan_edge.export.targets import Product
products: list[Product] = cyclegan_edge.export("run", precision="fp16", size=(64, 64))
batch: int = request.TRITON_BATCH
cyclegan_edge.export("run", precision="fp8")
"""
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", str(tmp_path / "program.py")]
    done = subprocess.run(command, cwd=request.config.rootpath, capture_output=True, text=True, timeout=300)
    errors = [line for line in done.stdout.splitlines() if "error:" in line]
    assert len(errors) == 1, done.stdout
    assert "program.py:7: error: " in errors[0]


def test_what_was_made_is_returned(run_folder, tmp_path, emoji):
    (one, other) = cyclegan_edge.export(str(run_folder), direction="both", images=emoji / "testA", output=tmp_path)
    assert [path.name for path in (one.path, other.path)] == ["run-AtoB-fp32.onnx", "run-BtoA-fp32.onnx"]
    assert one.report is not None
    assert one.report.passed
    assert one.quantisation is None
    with cyclegan_edge.load(one.path) as translator:
        assert translator.metadata.verification.passed
    assert one.path.with_suffix(".verify.html").is_file()


def test_int8_of_one_size_tells_what_it_costs(run_folder, tmp_path, emoji):
    options = {"precision": "int8", "calibration": emoji / "testA", "size": (32, 48), "verify": False}
    (made,) = cyclegan_edge.export(run_folder, output=tmp_path, **options)
    assert made.path.name == "run-AtoB-int8-32x48.onnx"
    assert made.report is None
    assert made.quantisation.sensitivity


def test_the_options_are_the_fields_of_a_request():
    fields = {name: field.type for name, field in Request.__dataclass_fields__.items()}
    assert fields.keys() == RequestOptions.__annotations__.keys()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"precision": "fp8"}, UsageError, "no precision is called 'fp8'; use fp32, fp16, int8"),
        ({"direction": "AB"}, UsageError, "no direction is called 'AB'; use AtoB, BtoA, both"),
        ({"targets": ("onxx",)}, UsageError, "no target is called 'onxx'"),
        ({"precision": "int8"}, UsageError, "int8 needs pictures to measure its ranges on"),
        ({"size": (30, 30)}, UsageError, "not 30x30; take 28x28 or 32x32"),
        ({"images": "absent"}, InputError, "there is no picture in absent"),
        ({"precison": "fp16"}, TypeError, "precison"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(run_folder, tmp_path, options, error, message):
    with pytest.raises(error, match=message) as caught:
        cyclegan_edge.export(run_folder, output=tmp_path / "out", **options)
    assert "--" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_source_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        cyclegan_edge.export(tmp_path / "absent")
