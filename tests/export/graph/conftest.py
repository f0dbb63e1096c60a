"""Pictures to measure norms on."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def pictures(emoji):
    paths = sorted((emoji / "trainA").iterdir())[:4]
    return np.stack([np.array(Image.open(path).convert("RGB").resize((32, 32))) for path in paths])


@pytest.fixture(scope="module")
def folder(emoji, tmp_path_factory):
    """A few of the training pictures, to calibrate on."""
    place = tmp_path_factory.mktemp("calibration")
    for path in sorted((emoji / "trainA").iterdir())[:4]:
        (place / path.name).symlink_to(path)
    return place
