"""How good translations are, against the truth and as sets, while training and afterwards."""
