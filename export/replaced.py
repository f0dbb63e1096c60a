"""What an export replaces: where that is not an older export of the same checkpoint, it is named."""

import logging
from pathlib import Path

import onnx

from ..runtime.backends.engine_file import ENGINE_SUFFIX, read_description
from ..runtime.metadata import SourceCheckpoint, parse_metadata

LOGGER = logging.getLogger(__name__)


def warn_of_replaced(path: Path, source: SourceCheckpoint) -> None:
    """Name the checkpoint that the file at `path` was made from, if there is a file and it came from another one."""
    try:
        if not path.exists():
            return
    except OSError:  # such as a name that is too long: to write there will say it
        return
    older = _source_of(path)
    if older is None:
        LOGGER.warning("%s is replaced, which was no export of a checkpoint", path)
    elif older.sha256 != source.sha256:
        LOGGER.warning("%s is replaced, which was made from another checkpoint: %s", path, _describe(older))


def _source_of(path: Path) -> SourceCheckpoint | None:
    """Return the checkpoint behind an ONNX file or an engine; None where it does not say."""
    try:
        if path.suffix == ENGINE_SUFFIX:
            return read_description(path).artefact.source
        properties = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        metadata = parse_metadata(properties, path)
    except Exception:  # whatever is wrong with it, among it the errors of protobuf, it does not say
        return None
    return metadata.source if metadata else None


def _describe(source: SourceCheckpoint) -> str:
    step = "" if source.step is None else f", step {source.step}"
    return f"{source.name}{step} (sha256 {source.sha256[:12]}…)"
