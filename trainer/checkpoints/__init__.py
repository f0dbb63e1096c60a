"""Checkpoints: our own, and the official implementation's, in and out."""
