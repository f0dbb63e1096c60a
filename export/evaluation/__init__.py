"""How good translations are: of pictures against the truth, of videos from frame to frame."""
