"""How a command fails: one red line and an exit code."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
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


@contextmanager
def named(file: Path) -> Iterator[None]:
    """Name the file in errors about what it says."""
    from ebplan.errors import InputError

    try:
        yield
    except InputError as error:
        raise error.in_file(str(file)) from None
