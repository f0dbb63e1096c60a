"""Whole jobs: a folder of pictures, or a stream from its source to its end."""
