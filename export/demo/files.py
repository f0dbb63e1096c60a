"""Where the demo's files lie."""

from dataclasses import dataclass
from pathlib import Path

EMOJI = Path(__file__).parents[2] / "examples" / "emoji"

SMALL = EMOJI.parent / "flat2three" / "flat2three-small-AtoB-fp16.onnx"  # a student that the repository ships

SIZE = 64

DIRECTIONS = ("AtoB", "BtoA")


@dataclass(frozen=True)
class Demo:
    """Where the demo's files lie; `size` x `size` are the pictures it works on."""

    folder: Path

    @property
    def run(self) -> Path:
        """The training run."""
        return self.folder / "runs" / "flat2three"

    def pictures(self, kind: str) -> Path:
        """The test pictures of a kind: A, B, AtoB, BtoA, or small (A in the words of the shipped student)."""
        return self.folder / "pictures" / kind

    def artefact(self, direction: str) -> Path:
        """The exported generator of a direction."""
        return self.run / "exports" / f"flat2three-{direction}-fp32.onnx"

    @property
    def page(self) -> Path:
        """The folder of the page that translates in a browser."""
        return self.folder / "web"

    def video(self, kind: str) -> Path:
        """The video of the flat emoji (A) or its translation (AtoB)."""
        return self.folder / f"emoji-{kind}.webm"
