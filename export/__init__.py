"""A trained generator becomes an artefact that is verified against PyTorch."""
