"""Run tests that need a GPU, of which the pretended one can say what they ask."""

import sys

import pretended  # noqa: F401 - sets up what every program needs
import pytest

sys.exit(pytest.main(["-p", "no:cacheprovider", "-q", *sys.argv[1:]]))
