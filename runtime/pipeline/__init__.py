"""Frames from a source through a translator to the sinks, each stage in a thread of its own."""
