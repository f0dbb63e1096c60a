"""What all tests share: the `gpu` marker and the embedded pictures."""

from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@cache
def cuda_is_there() -> bool:
    import torch

    return torch.cuda.is_available()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not cuda_is_there():
        pytest.skip("needs a CUDA device, and torch sees none")


@pytest.fixture(scope="session")
def emoji() -> Path:
    """The embedded dataset: trainA, trainB, testA and testB."""
    return ROOT / "examples" / "emoji"
