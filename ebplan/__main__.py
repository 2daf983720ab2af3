"""``python -m ebplan``."""

from ebplan.cli import main

main()
