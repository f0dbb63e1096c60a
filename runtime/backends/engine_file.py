"""What an engine says of itself: `NAME.engine.json` beside the plan `NAME.engine`, which stays as TensorRT wrote it."""

import hashlib
import json
import platform
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import ArtefactError, BackendError
from ..files import replacing
from ..metadata import ArtefactMetadata
from .onnx_file import read_graph

SCHEMA_VERSION = 1
ENGINE_SUFFIX = ".engine"
DIGEST_KEY = "description_sha256"  # of all other fields

Library = Literal["tensorrt", "tensorrt_rtx"]
Shape = tuple[int, int, int]  # batch, height, width

# How a user names the libraries, as engines and as targets of the export.
LIBRARY_NAMES: dict[Library, str] = {"tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt-rtx"}


class OptimizationProfile(BaseModel):
    """The batches that an engine takes, as (batch, height, width): TensorRT's min, opt and max shape."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    # The names in the file are those of its first schema.
    min: Shape = Field(alias="smallest")
    opt: Shape = Field(alias="commonest")
    max: Shape = Field(alias="largest")

    @model_validator(mode="after")
    def _in_order(self) -> "OptimizationProfile":
        for low, middle, high in zip(self.min, self.opt, self.max, strict=True):
            if not 1 <= low <= middle <= high:
                raise ValueError("min, opt and max are not in order")
        return self

    @property
    def is_fixed(self) -> bool:
        """Whether there is one shape only."""
        return self.min == self.max

    def admits(self, shape: Shape) -> bool:
        """Whether the engine takes a batch of this shape."""
        return all(low <= side <= high for low, side, high in zip(self.min, shape, self.max, strict=True))

    def __str__(self) -> str:
        least, most = ("x".join(map(str, shape)) for shape in (self.min, self.max))
        return least if self.is_fixed else f"{least} to {most}"


class EngineFile(BaseModel):
    """Everything that decides whether a plan runs here, and what it was made from.

    `gpu` and `compute_capabilities` say where it runs: TensorRT builds for the GPU at hand, TensorRT-RTX for the
    capabilities named, or with none named for every GPU that it supports.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    schema_version: int = SCHEMA_VERSION
    library: Library
    library_version: str
    gpu: str | None
    compute_capabilities: tuple[str, ...]
    system: str = Field(description="operating system and processor, such as Linux-x86_64")
    plan_bytes: int
    plan_sha256: str
    onnx_sha256: str = Field(description="of the graph that it was built from")
    tf32: bool
    profile: OptimizationProfile
    artefact: ArtefactMetadata


def sidecar_path(engine: Path) -> Path:
    """Return where an engine's description lies: `NAME.engine.json`."""
    return engine.with_name(f"{engine.name}.json")


def files_beside(artefact: Path) -> list[Path]:
    """Return the files that an artefact does not run without: an engine's description, an ONNX file's own weights."""
    if artefact.suffix.lower() == ENGINE_SUFFIX:
        return [sidecar_path(artefact)]
    graph = read_graph(artefact)
    return sorted(artefact.parent / name for name in graph.external) if graph else []


def this_system() -> str:
    """Return the operating system and processor that engines are bound to."""
    return f"{platform.system()}-{platform.machine()}"


def write_engine(plan: bytes, description: EngineFile, path: Path) -> None:
    """Write a plan and its description, both whole or neither.

    Raises:
        OutputError: a file cannot be written.
    """
    content = json.loads(description.model_dump_json(by_alias=True))
    content |= {DIGEST_KEY: _digest(content)}
    with replacing(sidecar_path(path)) as sidecar, replacing(path) as partial:
        partial.write_bytes(plan)
        sidecar.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_description(path: Path) -> EngineFile:
    """Read what lies beside the engine at `path`.

    Raises:
        ArtefactError: it is missing, damaged, changed by hand, or of a newer schema than this version reads.
    """
    sidecar = sidecar_path(path)
    try:
        text = sidecar.read_text(encoding="utf-8")
        version = _Versioned.model_validate_json(text).schema_version
        if version > SCHEMA_VERSION:
            raise ArtefactError(f"{sidecar} was written by a newer cyclegan-edge (schema {version}); upgrade it")
        content = json.loads(text)
        digest = content.pop(DIGEST_KEY, None)
        description = EngineFile.model_validate(content)
    except FileNotFoundError as error:
        raise ArtefactError(
            f"there is no {sidecar}; an engine needs it beside itself: copy both, or export again"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ArtefactError(f"{sidecar} cannot be read ({error}); export the engine again") from error
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(str(part) for part in detail["loc"]) or "the text itself"
        raise ArtefactError(f"{sidecar} is damaged ({where}: {detail['msg']}); export the engine again") from error
    if digest != _digest(content):
        raise ArtefactError(f"{sidecar} was changed after it was exported; export the engine again")
    return description


def read_plan(path: Path, description: EngineFile) -> bytes:
    """Read a plan and make sure that it is the one described.

    Raises:
        ArtefactError: it was cut short, changed, or exchanged.
    """
    plan = path.read_bytes()
    if len(plan) < description.plan_bytes:
        raise ArtefactError(
            f"{path} was cut short: {len(plan)} of {description.plan_bytes} bytes; copy it once more, or export again"
        )
    if hashlib.sha256(plan).hexdigest() != description.plan_sha256:
        raise ArtefactError(f"{path} is not the engine that {sidecar_path(path).name} describes; export it again")
    return plan


def check_built_for(description: EngineFile, path: Path, version: str) -> None:
    """Make sure that an engine was built for the library and system at hand; both libraries bind it to both.

    Raises:
        BackendError: it was not.
    """
    name = LIBRARY_NAMES[description.library]
    again = f"build it here: cyclegan export SOURCE --to {name}"
    if description.library_version != version:
        raise BackendError(
            f"{path} was built with {name} {description.library_version} and this machine has {version}; an engine "
            f"runs in the very version that built it, so install that one, or {again}"
        )
    # TensorRT-RTX engines run on Linux and Windows alike.
    if description.library == "tensorrt" and description.system != this_system():
        raise BackendError(f"{path} was built on {description.system} and this machine is {this_system()}; {again}")


def _digest(content: dict[str, Any]) -> str:
    """Return the sha256 of a description's fields, however they are laid out; it finds slips, it is no signature."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class _Versioned(BaseModel):
    schema_version: int
