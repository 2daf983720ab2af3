"""The name of the daemon that wakes engines, known to it and to its clients."""

from typing import Final

NAME: Final = "ebplan-waked"
"""What it says when it is greeted, and what its clients insist on."""
