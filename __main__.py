"""`python -m cyclegan_edge` is `cyclegan`."""

from cyclegan_edge.cli import main

main()
