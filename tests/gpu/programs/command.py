"""Run the command on a pretended GPU, and tell what it counted."""

import sys

from pretended import counts, tell

from cyclegan_edge.cli import main

try:
    main(sys.argv[1:])
finally:
    tell(**counts())
