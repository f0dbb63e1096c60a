"""`cyclegan demo`: the whole road on the embedded emoji, from two folders of pictures to a report one can look at."""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...runtime.errors import InputError, OutputError
from .files import DIRECTIONS, EMOJI, SIZE, SMALL, Demo

if TYPE_CHECKING:
    from ...runtime.contract import Picture
    from ...trainer.config import TrainConfig
    from ...trainer.result import TrainingResult
    from ..verification.report import VerificationReport

LOGGER = logging.getLogger(__name__)


# Over the recipe `edge`, whose generator learns in minutes on two cores: the high learning rate makes up for the short
# run. The emoji are centred and lit from one side, so they are neither cropped nor mirrored.
CONFIG: dict[str, dict[str, Any]] = {
    "data": {"dataroot": str(EMOJI), "crop_size": SIZE, "load_size": SIZE, "flip": False, "batch_size": 4},
    "networks": {"ndf": 32},
    "optim": {"lr": 1e-3},
    "schedule": {"n_epochs": 50, "n_epochs_decay": 50},
    "run": {"log_every": 10, "preview_every": 200, "validate_every_epochs": 1},
}
MARKER = ".cyclegan-demo"


def configuration() -> "TrainConfig":
    """Return the configuration of the demo's run; its epochs only divide the time, see `TimedRun`."""
    from ...trainer.config import resolve_config
    from ...trainer.config_text import read_recipe

    return resolve_config(read_recipe("edge"), CONFIG)


def prepare_folder(folder: Path) -> None:
    """Empty the folder of an earlier demo, and lay the test pictures and the video in it.

    Raises:
        InputError: the emoji are not there.
        OutputError: the folder holds something that is not an earlier demo, or cannot be written.
    """
    if not (EMOJI.is_dir() and SMALL.is_file()):
        raise InputError(
            f"there are no emoji at {EMOJI}, or no {SMALL.name} beside them; they come with the repository: run the "
            "demo from a clone"
        )
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise OutputError(f"{folder} is not empty and holds no earlier demo; name another folder", about=("output",))
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / MARKER).touch()
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror}; name another folder", about=("output",)) from error
    files = Demo(folder)
    pictures = {kind: _lay_out(kind, files.pictures(kind)) for kind in ("A", "B")}
    _film(pictures["A"], files.video("A"))


def _lay_out(kind: str, folder: Path) -> "list[Picture]":
    """Write the test pictures of a domain at the demo's size; returns them, uint8 [SIZE, SIZE, 3]."""
    from PIL import Image

    from ...trainer.data.dataset import list_pictures
    from ...trainer.data.pictures import decode_picture

    folder.mkdir(parents=True)
    pictures = []
    for path in list_pictures(EMOJI / f"test{kind}"):
        pictures.append(decode_picture(path, SIZE))
        Image.fromarray(pictures[-1]).save(folder / f"{path.stem}.png")
    return pictures


def _film(pictures: "list[Picture]", path: Path, columns: int = 5, rows: int = 3, seconds: float = 6.0) -> None:
    """Write a video in which the pictures pass by in rows, every other row the other way."""
    from ...runtime.frame import Frame
    from ...runtime.video import video_sink

    fps = 24.0
    with video_sink(path, fps) as write:
        for picture in _passing(pictures, columns, rows, int(seconds * fps)):
            write(Frame(picture, Path(path.name)))


def _passing(pictures: "list[Picture]", columns: int, rows: int, num_frames: int) -> "Iterator[Picture]":
    import numpy as np

    length = len(pictures) // rows
    strips = [np.concatenate(pictures[row * length : (row + 1) * length], axis=1) for row in range(rows)]
    for number in range(num_frames):
        shifted = [np.roll(strip, (-2, 2)[row % 2] * number, axis=1) for row, strip in enumerate(strips)]
        yield np.concatenate([strip[:, : columns * SIZE] for strip in shifted])


def train_generators(config: "TrainConfig", files: Demo, seconds: float) -> "TrainingResult":
    """Train both generators for as long as there is time, or until a signal."""
    from .timing import TimedRun

    return TimedRun(config, files.run, seconds).train()


def export_direction(files: Demo, direction: Any) -> "VerificationReport":
    """Export a generator, and store how it compares with PyTorch."""
    from ...trainer.checkpoints.checkpoint import load_generator
    from ...trainer.data.dataset import list_pictures
    from ..artefact import Artefact
    from ..graph.onnx_export import export_onnx
    from ..verification.verify import record, verify_artefact

    generator = load_generator(files.run, direction)
    path = files.artefact(direction)
    export_onnx(generator, path)
    artefact = Artefact.open(path)
    report = verify_artefact(artefact, generator, list_pictures(files.pictures(direction[0])))
    record(report, artefact)
    return report


def translate_pictures(files: Demo) -> None:
    """Translate the test pictures both ways, once more by the shipped student, and the video of the flat ones."""
    from ...runtime.sinks.pictures import write_picture
    from ...runtime.sources.pictures import read_picture
    from ...runtime.translator import load

    artefacts = {direction: files.artefact(direction) for direction in DIRECTIONS} | {"small": SMALL}
    for kind, artefact in artefacts.items():
        with load(artefact) as translator:
            for path in sorted(files.pictures("B" if kind == "BtoA" else "A").iterdir()):
                write_picture(files.pictures(kind) / path.name, translator(read_picture(path)))
            if kind == "AtoB":
                translator.stream(files.video("A"), files.video("AtoB")).run()


def write_page(files: Demo) -> None:
    """Write a page of the shipped student and of both generators that were trained."""
    import onnx

    from ..artefact import Artefact
    from ..web.folder import WebModel, write_web
    from ..web.widen import widen

    with tempfile.TemporaryDirectory() as scratch:
        wide = Path(scratch) / SMALL.name
        onnx.save(widen(onnx.load(SMALL)), wide)
        small = WebModel("shipped-AtoB", {"fp16": SMALL, "fp32": wide}, Artefact.open(SMALL).metadata, SIZE)
        trained = [
            WebModel(f"demo-{direction}", {"fp32": path}, Artefact.open(path).metadata, SIZE)
            for direction, path in ((direction, files.artefact(direction)) for direction in DIRECTIONS)
        ]
        write_web([small, *trained], files.page)
