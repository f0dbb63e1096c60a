"""Run the command on a pretended GPU, and report what it counted."""

import sys

from pretended import counts, report

from cyclegan_edge.cli import main

try:
    main(sys.argv[1:])
finally:
    report(**counts())
