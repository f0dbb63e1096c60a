"""The pictures that artefacts are verified and calibrated with."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ..runtime.errors import InputError
from ..trainer.checkpoints.checkpoint import LoadedGenerator
from ..trainer.data.dataset import domain_folder, list_pictures
from ..trainer.data.pictures import Pixels, read_pixels

NUM_PICTURES = 4


def verification_pictures(images: Path | None, generator: LoadedGenerator) -> list[Path]:
    """Return the pictures to verify with: those of `images`, else the held-out ones of the domain that goes in."""
    if images is not None:
        return named_pictures(images)
    data = generator.config.data
    return (
        list_pictures(domain_folder(data, "test", "A" if generator.direction == "AtoB" else "B"))
        if data.dataroot
        else []
    )


def named_pictures(folder: Path) -> list[Path]:
    """List the pictures of a folder that the user named.

    Raises:
        InputError: there are none.
    """
    pictures = list_pictures(folder)
    if not pictures:
        raise InputError(f"there is no picture in {folder}; give a folder of pictures to be translated")
    return pictures


def read_pictures(
    paths: Sequence[Path], channels: int, most: int = NUM_PICTURES
) -> tuple[dict[str, Pixels], list[str]]:
    """Read the first pictures that can be read; returns them by file name, and what must be said about the others."""
    readable: dict[str, Pixels] = {}
    notes: list[str] = []
    for path in paths:
        if len(readable) == most:
            break
        try:
            readable[path.name] = read_pixels(path, channels)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            notes.append(f"{path} is no readable picture ({error})")
    return readable, notes
