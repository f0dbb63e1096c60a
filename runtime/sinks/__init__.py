"""Where frames go. (Videos are in `video`.)"""

from ..frame import Sink, Write
from .pictures import picture_sink, sequence_sink, write_picture

__all__ = ["Sink", "Write", "picture_sink", "sequence_sink", "write_picture"]
