"""Runs an exported model on frames. Never imports torch.

This package also owns what training, export and running share: the contract of a frame, the metadata of an artefact
and the tree of errors.
"""
