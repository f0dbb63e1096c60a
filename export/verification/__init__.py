"""The comparison of an artefact with PyTorch: inputs, gates, report."""
