"""What an artefact says of itself: one JSON text, stored inside an ONNX file or beside an engine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import ArtefactError

SCHEMA_VERSION = 1
METADATA_KEY = "cyclegan_edge.metadata"
LONGEST_TEXT = 2**20  # characters of the whole JSON

Direction = Literal["AtoB", "BtoA"]
IO = Literal["uint8", "float"]
# Statistics of a batch norm: those of training, or each picture's own.
BatchNorm = Literal["evaluation", "picture"]


Side = Annotated[int, Field(ge=1, le=2**16)]  # pixels
Channels = Annotated[int, Field(ge=1, le=2**12)]


class SourceCheckpoint(BaseModel):
    """The checkpoint that an artefact was made from."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    sha256: str
    step: int | None = Field(None, ge=0, le=2**53)
    weights: Literal["ema", "raw"]
    data_direction: Direction = Field("AtoB", description="BtoA: domain A is the dataset's trainB and testB")


class Verification(BaseModel):
    """The summary of the comparison with PyTorch; the whole report lies beside the artefact."""

    model_config = ConfigDict(extra="allow", frozen=True)

    passed: bool
    engines: tuple[str, ...]
    max_lsb: int = Field(ge=0, le=255, description="largest difference of any pixel, in steps of 1/255")
    min_psnr_db: float | None = Field(
        allow_inf_nan=False, description="lowest PSNR of any comparison; None where all were identical"
    )


class ArtefactMetadata(BaseModel):
    """Everything the runtime must know to run an artefact, and where it came from.

    `size_multiple` and `size_minimum` bound the sides that the graph takes; `size` is (height, width) where they are
    pinned. With `io` "uint8" the graph takes and gives uint8 [N, H, W, C]; with "float" the bare generator's
    float [N, C, H, W] in [-1, 1].
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    schema_version: int = SCHEMA_VERSION
    architecture: str
    direction: Direction
    io: IO
    precision: Literal["fp32", "fp16", "int8"]
    batch_norm: BatchNorm = Field("evaluation", description="and dropout is off, always")
    frozen_norm: bool = Field(False, description="normalised by statistics of calibration pictures, not by its own")
    norm_floor: float = Field(0, ge=0, le=100, description="least variance that a norm divides by, of the usual one")
    input_channels: Channels
    output_channels: Channels
    size_multiple: Side
    size_minimum: Side
    size: tuple[Side, Side] | None = None
    source: SourceCheckpoint
    producer: dict[str, str]
    created: str
    verification: Verification | None = None

    def to_text(self) -> str:
        """Return the JSON that `parse_metadata` reads."""
        return self.model_dump_json()


def parse_metadata(properties: Mapping[str, str], path: Path) -> ArtefactMetadata | None:
    """Read the metadata among an artefact's custom properties; None where the file is not one of ours.

    Raises:
        ArtefactError: the metadata is damaged, or of a newer schema than this version reads.
    """
    text = properties.get(METADATA_KEY)
    if text is None:
        return None
    if len(text) > LONGEST_TEXT:
        raise ArtefactError(f"{path} carries metadata of {len(text)} characters, which is too much; export it again")
    try:
        version = _Versioned.model_validate_json(text).schema_version
        if version > SCHEMA_VERSION:
            raise ArtefactError(
                f"{path} was written by a newer cyclegan-edge (metadata schema {version}, this version reads up to "
                f"{SCHEMA_VERSION}); upgrade cyclegan-edge, or export the checkpoint again with this version"
            )
        return ArtefactMetadata.model_validate_json(text)
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(str(part) for part in detail["loc"]) or "the text itself"
        raise ArtefactError(
            f"{path} carries damaged metadata ({where}: {detail['msg']}); export the checkpoint again"
        ) from error


class _Versioned(BaseModel):
    schema_version: int
