"""The rendered streets of examples/daynight are whole, and their flow is what the README says."""

import re
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from cyclegan_edge.runtime.temporal.optical_flow import warp

SIDE = 256
LARGEST = 15 * 2**20  # bytes


@pytest.fixture(scope="module")
def streets(root: Path) -> Path:
    return root / "examples" / "daynight"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def counts(streets: Path) -> dict[str, int]:
    """Return how many pictures the README counts in each folder."""
    table = re.findall(r"^\| `?(\w+)`? \| .* \| (\d+)\s*\|$", (streets / "README.md").read_text(), re.MULTILINE)
    return {folder: int(count) for folder, count in table}


def test_every_folder_holds_what_the_readme_counts(streets: Path) -> None:
    counted = counts(streets)
    assert counted.keys() >= {"trainA", "trainB", "testA", "testB"}
    assert {folder: len(names(streets / folder)) for folder in counted if folder != "clips"} == {
        folder: count for folder, count in counted.items() if folder != "clips"
    }
    assert len(names(streets / "clips")) == counted["clips"]


def test_pairs_have_the_same_names_and_pictures_one_size(streets: Path) -> None:
    assert names(streets / "testA") == names(streets / "testB")
    for folder in ("trainA", "trainB", "testA", "testB"):
        for path in (streets / folder).iterdir():
            assert size_of_webp(path.read_bytes()) == (SIDE, SIDE), path


def size_of_webp(content: bytes) -> tuple[int, int]:
    """Return width and height from the head of a lossy WebP, without decoding it (RFC 9649, section 2.5)."""
    assert content[:4] == b"RIFF"
    assert content[8:16] == b"WEBPVP8 "
    assert content[23:26] == b"\x9d\x01\x2a"
    return tuple(int.from_bytes(content[place : place + 2], "little") & 0x3FFF for place in (26, 28))  # type: ignore[return-value]


def test_a_pair_shows_one_street_by_day_and_by_night(streets: Path) -> None:
    """The night is darker, and its edges lie where those of its own day lie, not where another's do."""
    chosen = names(streets / "testA")[:12]
    days, nights = (
        [cv2.imread(str(streets / folder / name), cv2.IMREAD_GRAYSCALE) for name in chosen]
        for folder in ("testA", "testB")
    )
    assert all(night.mean() < day.mean() for day, night in zip(days, nights, strict=True))
    assert min(night.mean() for night in nights) > 12  # not black
    edges = [
        [cv2.Laplacian(cv2.GaussianBlur(one, (5, 5), 0), cv2.CV_32F).ravel() for one in half] for half in (days, nights)
    ]
    likeness = np.corrcoef(np.abs(edges[0]), np.abs(edges[1]))[: len(chosen), len(chosen) :]
    assert (likeness.argmax(axis=1) == np.arange(len(chosen))).all()


def test_no_picture_of_training_is_one_of_the_test(streets: Path) -> None:
    contents = {path.read_bytes() for folder in ("testA", "testB") for path in (streets / folder).iterdir()}
    trained = {path.read_bytes() for folder in ("trainA", "trainB") for path in (streets / folder).iterdir()}
    assert not contents & trained


def read_flow(path: Path) -> tuple[np.ndarray, np.ndarray]:
    coded = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert coded.shape == (SIDE, SIDE, 3)
    assert coded.dtype == np.uint16
    flow = (coded[..., :0:-1].astype(np.float32) - 32768) / 64
    return flow, coded[..., 0] == 1


def test_the_flow_takes_each_frame_to_the_next(streets: Path) -> None:
    """Warping along it leaves less than a third of the difference of neighbours, by day and by night."""
    for clip in (streets / "clips").iterdir():
        frames, flows = names(clip / "day"), names(clip / "flow")
        assert names(clip / "night") == frames
        assert flows == [f"{Path(name).stem}.png" for name in frames[:-1]]
        for moment in ("day", "night"):
            followed, still, moved = [], [], []
            for name, after in list(pairwise(frames))[::4]:
                flow, seen = read_flow(clip / "flow" / f"{Path(name).stem}.png")
                followed.append(seen.mean())
                now, following = (cv2.imread(str(clip / moment / one)).astype(np.float32) for one in (name, after))
                still.append(np.square(following - now)[seen].mean())
                moved.append(np.square(warp(following, flow) - now)[seen].mean())
            assert np.mean(followed) > 0.5
            assert np.mean(moved) < np.mean(still) / 3, (clip.name, moment)


def test_the_set_is_small_enough_to_be_cloned(streets: Path) -> None:
    assert sum(path.stat().st_size for path in streets.rglob("*") if path.is_file()) < LARGEST
