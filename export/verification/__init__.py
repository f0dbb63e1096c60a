"""An artefact beside PyTorch: inputs, comparison, gates, report."""
