"""How a command fails: one red line and an exit code."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import click

P = ParamSpec("P")
T = TypeVar("T")


def one_line_errors(command: Callable[P, T]) -> Callable[P, T]:
    """Turn our errors into one red line and an exit code; a traceback only under --debug."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        from ebplan.errors import EbplanError

        try:
            return command(*args, **kwargs)
        except EbplanError as error:
            if click.get_current_context().find_root().params.get("debug"):
                raise
            click.secho(f"error: {error}", fg="red", err=True)
            sys.exit(error.exit_code)

    return run
