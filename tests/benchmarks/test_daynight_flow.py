"""The flow of the rendered streets, worked out by hand; rendering itself needs Blender and is not tested here."""

import importlib.util
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

SIDE, FOCAL = 33, 24.0


@pytest.fixture(scope="module")
def flow():
    path = Path(__file__).parents[2] / "benchmarks" / "daynight" / "flow.py"
    spec = importlib.util.spec_from_file_location("daynight_flow", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def axes(left: float = 0.0, up: float = 0.0) -> np.ndarray:
    """Return a camera's axes in its world: turned to the left, then tilted up, in radians."""
    turn = np.array([[math.cos(left), 0, math.sin(left)], [0, 1, 0], [-math.sin(left), 0, math.cos(left)]])
    tilt = np.array([[1, 0, 0], [0, math.cos(up), -math.sin(up)], [0, math.sin(up), math.cos(up)]])
    return turn @ tilt


def test_the_pass_is_turned_to_rows_that_go_down(flow):
    motion = np.zeros((1, 1, 4), np.float32)
    motion[0, 0] = 1, 2, 3, 4  # x and y up, to the frame before and from the next
    assert flow.forth(motion)[0, 0].tolist() == [-3, 4]
    assert flow.back(motion)[0, 0].tolist() == [1, -2]


def test_a_camera_that_does_not_turn_leaves_the_sky_where_it_is(flow):
    assert np.abs(flow.sky_flow(axes(0.3, 0.2), axes(0.3, 0.2), SIDE, FOCAL)).max() < 1e-5


def test_the_sky_goes_right_as_the_camera_turns_left_and_down_as_it_looks_up(flow):
    middle = SIDE // 2
    for there, expected in ((axes(left=0.1), (1, 0)), (axes(up=0.1), (0, 1))):
        moved = flow.sky_flow(axes(), there, SIDE, FOCAL)[middle, middle]
        assert moved == pytest.approx(FOCAL * math.tan(0.1) * np.array(expected), abs=1e-4)


def test_the_sky_comes_back(flow):
    here, there = axes(0.1, 0.05), axes(-0.02, 0.1)
    forth, back = flow.sky_flow(here, there, SIDE, FOCAL), flow.sky_flow(there, here, SIDE, FOCAL)
    returned = forth + flow.warp(back, forth)
    assert np.abs(returned[8:-8, 8:-8]).max() < 0.05


def test_only_what_the_pass_leaves_out_is_sky(flow):
    moving = np.zeros((2, 2, 2), np.float32)
    moving[0, 0] = 5, 0
    filled = flow.with_sky(moving, np.ones((2, 2, 2), np.float32))
    assert filled[0, 0].tolist() == [5, 0]
    assert (filled[1] == 1).all()


def test_what_leaves_the_picture_or_is_covered_is_not_seen_again(flow):
    there = np.zeros((8, 8, 2), np.float32)
    there[..., 0] = 2
    seen = flow.seen_again(there, -there)
    assert seen[:, :6].all()
    assert not seen[:, 6:].any()
    covered = -there
    covered[:, 3] = 0  # something that stands still lies there in the next frame
    assert not flow.seen_again(there, covered)[:, 1].any()


def test_a_file_holds_the_flow_to_a_sixty_fourth_of_a_pixel(flow, tmp_path):
    written = np.random.default_rng(0).normal(0, 20, (4, 5, 2)).astype(np.float32)
    seen = np.eye(4, 5, dtype=bool)
    flow.write_flow(tmp_path / "0001.png", written, seen)
    coded = cv2.imread(str(tmp_path / "0001.png"), cv2.IMREAD_UNCHANGED)
    read = (coded[..., :0:-1].astype(np.float32) - 32768) / 64
    assert np.abs(read - written).max() <= 1 / 128 + 1e-3
    assert np.array_equal(coded[..., 0] == 1, seen)
