"""Where frames come from. (Videos are in `video`.)"""

from ..frame import Frame, Source
from .pictures import PictureSource, SinglePicture, find_pictures, read_picture, read_whole

__all__ = [
    "Frame",
    "PictureSource",
    "SinglePicture",
    "Source",
    "find_pictures",
    "read_picture",
    "read_whole",
]
