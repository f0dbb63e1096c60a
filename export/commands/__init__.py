"""The commands that export, verify and measure generators; `NAME.py` is `cyclegan NAME`."""
