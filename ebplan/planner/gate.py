"""Spare work stands aside while somebody has been promised a plan.

What is computed in advance shares one interpreter with what has a deadline: two threads that both
work would each get half of it. So does the collector of unused objects, which with the plans of a
large site takes 20 to 60 ms at a time: it waits until the plan is returned.
"""

from __future__ import annotations

import gc
import threading

LONGEST_S = 1.0
"""Spare work goes on after so long in any case, so that steady calls do not starve it."""


class Gate:
    """Open while nothing is urgent; a context manager for what is."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._urgent = 0
        self._collects = False
        """Whether the collector was at work before anything was urgent."""

    def __enter__(self) -> None:
        """Begin what has a deadline."""
        with self._condition:
            if self._urgent == 0:
                self._collects = gc.isenabled()
                gc.disable()
            self._urgent += 1

    def __exit__(self, *exception: object) -> None:
        """End it; the collector goes to work as soon as it is allowed to, so that comes last."""
        with self._condition:
            self._urgent -= 1
            self._condition.notify_all()
            if self._urgent == 0 and self._collects:
                gc.enable()

    def wait(self) -> None:
        """Return once nothing is urgent, or after a while."""
        with self._condition:
            self._condition.wait_for(lambda: self._urgent == 0, timeout=LONGEST_S)
