"""How the command line refuses what it cannot read: one line, and exit code 2.

Click prints how to use the command, where to read on, and then what is wrong. Here what is wrong
comes in the form of every other error: where, value, what is allowed, remedy.
"""

from __future__ import annotations

import re
from typing import IO, Any

import click

from ebplan.cli_progress import INTERRUPTED
from ebplan.nearest import meant

_TOLD = re.compile(r"^(?P<value>'.*?'|-?[\d.einf]+) is not ")
"""How click begins what it says of a value."""


class OneLine(click.ClickException):
    """What is wrong with a command line, in one line."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line in red."""
        click.secho(f"error: {self.message}", fg="red", err=file is None, file=file)


class Interrupted(OneLine):
    """Somebody pressed Ctrl-C, and the command has nothing of its own to say about it."""

    exit_code = INTERRUPTED


class Commands(click.Group):
    """The commands, with errors of one line."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read what stands before the command."""
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            raise _in_one_line(error) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Read the command's own arguments and run it."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise _in_one_line(error) from None
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None


def _in_one_line(error: click.UsageError) -> click.ClickException:
    if error.ctx is None or isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        return error
    names: list[str] = []
    context: click.Context | None = error.ctx
    while context is not None and context.parent is not None:  # the first one is however it began
        names.insert(0, str(context.info_name))
        context = context.parent
    command = " ".join(["ebplan", *names])
    return OneLine(f"{command}: {_said(error, command)}")


def _said(error: click.UsageError, command: str) -> str:
    usage = f"`{command} --help`"
    if isinstance(error, click.MissingParameter) and error.param is not None:
        what = getattr(error.param, "help", None) or _usage(error, command)
        return (
            f"{_name(error)}: got nothing; allowed: {_values(error.param)}; remedy: give it: {what}"
        )
    if isinstance(error, click.BadParameter) and error.param is not None:
        told = _TOLD.match(error.message)
        if told is None:  # one of ours, which says all of it
            return f"{_name(error)}: {error.message}; remedy: correct the value, or see {usage}"
        value = told["value"]
        choices = error.param.type.choices if isinstance(error.param.type, click.Choice) else ()
        remedy = meant(value.strip("'"), [str(c) for c in choices]) or "correct the value"
        return f"{_name(error)}: got {value}; allowed: {_values(error.param)}; remedy: {remedy}"
    message = error.format_message().strip().rstrip(".")
    if not message[:2].isupper():  # METER stays METER
        message = f"{message[:1].lower()}{message[1:]}"
    return f"{message} ({usage})"


def _usage(error: click.UsageError, command: str) -> str:
    pieces = [] if error.ctx is None else error.ctx.command.collect_usage_pieces(error.ctx)
    return " ".join([command, *pieces])


def _name(error: click.BadParameter) -> str:
    param = error.param
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return param.human_readable_name if param is not None else ""


def _values(param: click.Parameter) -> str:
    """Say what a parameter takes."""
    kind = param.type
    if isinstance(kind, click.Choice):
        return ", ".join(str(choice) for choice in kind.choices)
    if isinstance(kind, click.IntRange | click.FloatRange):
        number = "a whole number" if isinstance(kind, click.IntRange) else "a number"
        low = "" if kind.min is None else f"{'>' if kind.min_open else '>='} {kind.min:g}"
        high = "" if kind.max is None else f"{'<' if kind.max_open else '<='} {kind.max:g}"
        return " ".join([number, " and ".join(part for part in (low, high) if part)]).strip()
    if isinstance(kind, click.Path):
        return "a path"
    return {"integer": "a whole number", "float": "a number"}.get(kind.name, "a value")
