"""The planner is asked once for each load, whichever study of the tests asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ebplan.study.asked import Frontiers


@pytest.fixture(scope="session", autouse=True)
def _asked_once() -> Iterator[None]:
    known: dict[Any, Any] = {}
    begin = Frontiers.__init__

    def sharing(self: Frontiers, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        self._known = known

    Frontiers.__init__ = sharing  # type: ignore[method-assign]
    yield
    Frontiers.__init__ = begin  # type: ignore[method-assign]
