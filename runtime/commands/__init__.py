"""The commands that run an exported model; `NAME.py` is `cyclegan NAME`."""
