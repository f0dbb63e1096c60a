"""Where the time of an artefact goes."""
