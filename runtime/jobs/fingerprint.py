"""What decides the pixels of a job's results: fingerprints of the artefact and of the options."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..backends.engine_file import files_beside
from ..errors import ArtefactError, InputError
from .manifest import Work


@dataclass(frozen=True)
class Fingerprint:
    """What decides the pixels of every file of a job: sha256 of the artefact, and of the options."""

    model: str
    options: str

    @classmethod
    def of(cls, artefact: Path, options: Mapping[str, object]) -> "Fingerprint":
        """Take the fingerprints of an artefact and of the options that change pixels.

        Raises:
            ArtefactError: the artefact cannot be read.
        """
        try:
            model = _digest(artefact)
        except OSError as error:
            raise ArtefactError(f"there is no model file {artefact}; make one with: cyclegan export") from error
        beside = [_digest(path) for path in files_beside(artefact) if path.is_file()]
        if beside:
            model = hashlib.sha256("".join([model, *beside]).encode()).hexdigest()
        text = json.dumps(options, sort_keys=True, default=str)
        return cls(model, hashlib.sha256(text.encode()).hexdigest())

    def work(self, root: Path, name: Path) -> Work:
        """Describe the translation of one file as it is now.

        Raises:
            InputError: the file is gone.
        """
        try:
            status = (root / name).stat()
        except OSError as error:
            raise InputError(f"cannot read {root / name}: {error.strerror or error}") from error
        return Work(name.as_posix(), status.st_size, status.st_mtime_ns, self.model, self.options)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
