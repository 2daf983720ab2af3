"""The control loop: sense, estimate, plan by a deadline, dispatch, verify, audit, each second.

``sensing`` turns what devices say into a state, ``engines`` keeps what each engine does by its
name, ``calls`` says which call of the grid is answered now, ``degradations`` names what is not as
it should be, and ``controller`` is the loop.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ebplan.controller.controller import Controller, Status

_HOME = {"Controller": "controller", "Status": "controller"}

__all__ = ["Controller", "Status"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'ebplan.controller' has no attribute {name!r}")
    return getattr(import_module(f"ebplan.controller.{_HOME[name]}"), name)
