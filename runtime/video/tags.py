"""What a film holds beside its streams: tags, chapters, attached files; copied, or left out, which is logged."""

import logging
from fractions import Fraction
from typing import Any

from .clock import exact

LOGGER = logging.getLogger(__name__)

# Of the file that was, not of the film.
_OF_THE_FILE = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "creation_time"})
_WITH_ATTACHMENTS = frozenset({"matroska"})
_WITH_CHAPTERS = frozenset({"matroska", "webm", "mp4", "mov", "ipod"})


def copy_tags(source: Any, target: Any, shift: Fraction) -> None:
    """Copy tags, chapters and attached files from one open container into another, before its header is written.

    `shift` in seconds is added to the chapters' times.
    """
    holder = target.format.name
    for key, value in source.metadata.items():
        if key.lower() not in _OF_THE_FILE:
            target.metadata[key] = value
    lost = []
    chapters = [_shifted(chapter, shift) for chapter in source.chapters()]
    if chapters and holder in _WITH_CHAPTERS:
        target.set_chapters(chapters)
    elif chapters:
        lost.append(f"{len(chapters)} chapters")
    attached = [stream for stream in source.streams if stream.type == "attachment"]
    for stream in attached if holder in _WITH_ATTACHMENTS else ():
        target.add_attachment(stream.name or "attachment", stream.mimetype or "application/octet-stream", stream.data)
    if attached and holder not in _WITH_ATTACHMENTS:
        lost.append(f"{len(attached)} attached files")
    others = [stream for stream in source.streams if stream.type == "data"]
    if others:
        lost.append(f"{len(others)} data streams")
    if len(source.streams.video) > 1:
        lost.append("further pictures (such as a cover)")
    if lost:
        LOGGER.warning("%s are not copied into %s", ", ".join(lost), holder)


def _shifted(chapter: dict[str, Any], shift: Fraction) -> dict[str, Any]:
    ticks = round(shift / exact(chapter["time_base"]))
    return chapter | {"start": max(0, chapter["start"] + ticks), "end": max(0, chapter["end"] + ticks)}
