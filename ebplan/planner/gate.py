"""Spare work stands aside while somebody has been promised a plan.

What is computed in advance shares one interpreter with what has a deadline: two threads that both
work would each get half of it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_S = 1.0
"""Spare work goes on after so long in any case, so that steady calls do not starve it."""


class Gate:
    """Open while nothing is urgent."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._urgent = 0

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """Do what has a deadline."""
        with self._condition:
            self._urgent += 1
        try:
            yield
        finally:
            with self._condition:
                self._urgent -= 1
                self._condition.notify_all()

    def wait(self) -> None:
        """Return once nothing is urgent, or after a while."""
        with self._condition:
            self._condition.wait_for(lambda: self._urgent == 0, timeout=LONGEST_S)
