"""The name of the daemon of caps and clocks, known to it and to its clients."""

from typing import Final

NAME: Final = "ebplan-capd"
"""What it says when it is greeted, and what its clients insist on."""
