"""The commands that train and look at datasets; `NAME.py` is `cyclegan NAME`."""
