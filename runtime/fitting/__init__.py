"""How a picture of any size meets the size that a model takes."""
