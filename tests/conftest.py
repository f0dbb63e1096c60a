"""What all tests share: the `gpu` marker, the embedded pictures, the command, and a log as every test found it."""

import logging
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import onnx
    from playwright.sync_api import Playwright

ROOT = Path(__file__).parents[1]


def pytest_configure() -> None:
    # A shell has Ctrl-C ignored by what it starts in the background; tests send it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@cache
def cuda_is_there() -> bool:
    import torch

    return torch.cuda.is_available()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not cuda_is_there():
        pytest.skip("needs a CUDA device, and torch sees none")


@pytest.fixture(scope="session", autouse=True)
def user_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the tests, and the processes that they start, a folder for caches that is no user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CYCLEGAN_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def playwright() -> "Iterator[Playwright]":
    """What drives browsers; a process can have one only."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def emoji() -> Path:
    """The embedded dataset: trainA, trainB, testA and testB."""
    return ROOT / "examples" / "emoji"


@pytest.fixture(scope="session")
def cyclegan() -> Callable[..., int]:
    """Return the command as a function that runs it in this process and gives its exit code."""
    from cyclegan_edge.cli import main

    def run(*arguments: object) -> int:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        return end.value.code

    return run


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """Undo what commands that ran in this process, in fixtures too, did to the level of the log."""
    loggers = [logging.getLogger(name) for name in ("cyclegan_edge", "cyclegan_edge.trainer")]
    for logger in loggers:
        logger.setLevel(logging.NOTSET)
    yield
    for logger in loggers:
        logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def inverting_model() -> Callable[[], "onnx.ModelProto"]:
    """Return a function that makes a model of uint8 pictures, which inverts them and says nothing of itself."""
    from onnx import TensorProto, helper

    def make() -> "onnx.ModelProto":
        shape = ["batch", "height", "width", 3]
        graph = helper.make_graph(
            [
                helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
                helper.make_node("Sub", ["white", "pixels"], ["inverted"]),
                helper.make_node("Cast", ["inverted"], ["translated"], to=TensorProto.UINT8),
            ],
            "negative",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
            [helper.make_tensor_value_info("translated", TensorProto.UINT8, shape)],
            [helper.make_tensor("white", TensorProto.FLOAT, [], [255.0])],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)

    return make


@pytest.fixture(scope="session")
def partial_of() -> Callable[[Path], Path]:
    """Return a function that gives the one unfinished file of a video."""

    def find(path: Path) -> Path:
        (partial,) = path.parent.glob(f"{path.stem}.partial-*{path.suffix}")
        return partial

    return find
