"""Convolutions in INT8: calibration, the choice of layers, and what it costs."""
