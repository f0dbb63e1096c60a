"""Measures of translations, against the truth and as sets, during training and afterwards."""
