"""A contact sheet of the rendered set: pairs by day and by night, and a clip with its flow.

python -m benchmarks.daynight.sheet examples/daynight OUTPUT.webp [--pairs 8]
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
GAP = 4


def colours(path: Path) -> Pixels:
    """Return a flow file as colours: its direction is the hue, its length the brightness; what is hidden is white."""
    coded = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert coded is not None, path
    dx, dy = ((coded[..., channel].astype(np.float32) - 32768) / 64 for channel in (2, 1))
    length, angle = cv2.cartToPolar(dx, dy, angleInDegrees=True)
    hsv = np.dstack((angle / 2, np.full_like(angle, 255), 255 * np.clip(length / 12, 0, 1))).astype(np.uint8)
    shown = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    shown[coded[..., 0] == 0] = 255
    return np.asarray(shown, np.uint8)


def read(path: Path) -> Pixels:
    """Return a picture as OpenCV reads it."""
    picture = cv2.imread(str(path))
    assert picture is not None, path
    return np.asarray(picture, np.uint8)


def rows(root: Path, pairs: int) -> list[list[Pixels]]:
    """Return the rows of the sheet: days above their nights, then frames of the first clip above their flow."""
    names = [path.name for path in sorted((root / "testA").iterdir())]
    names = names[:: max(1, len(names) // (2 * pairs))][: 2 * pairs]
    made = []
    for half in (names[:pairs], names[pairs:]):
        made += [[read(root / folder / name) for name in half] for folder in ("testA", "testB")]
    for folder in sorted((root / "clips").glob("*"))[:1]:
        flows = sorted((folder / "flow").iterdir())
        chosen = [flows[number * (len(flows) - 1) // max(1, pairs - 1)] for number in range(pairs)]
        for moment in ("day", "night"):
            made.append([read(folder / moment / f"{path.stem}.webp") for path in chosen])
        made.append([colours(path) for path in chosen])
    return made


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.daynight.sheet", description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--pairs", type=int, default=7, help="pictures in a row")
    parser.add_argument("--side", type=int, default=160)
    options = parser.parse_args()
    lines = []
    for line in rows(options.root, options.pairs):
        shown = [cv2.resize(one, (options.side, options.side), interpolation=cv2.INTER_AREA) for one in line]
        framed = [cv2.copyMakeBorder(one, 0, GAP, 0, GAP, cv2.BORDER_CONSTANT, value=(255,) * 3) for one in shown]
        lines.append(cv2.hconcat(framed))
    cv2.imwrite(str(options.output), cv2.vconcat(lines), [cv2.IMWRITE_WEBP_QUALITY, 85])


if __name__ == "__main__":
    main()
