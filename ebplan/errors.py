"""Errors a user meets, drawn as a tree so that one sees at which height to catch.

EbplanError
 ├─ InputError     a document, file or option is wrong: says field, value, allowed, remedy (exit 2)
 ├─ RangeError     a fitted model was asked outside its validity range (exit 2)
 └─ NoPlanError    no checked plan could be made (exit 4)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self


class EbplanError(Exception):
    """Root of everything ebplan raises on purpose."""

    exit_code = 1


class InputError(EbplanError):
    """Something handed in cannot be used; the message is one line and names the remedy.

    Args:
        field: dotted path of the field, e.g. ``state.soc``; empty for a whole file.
        value: what was found there.
        allowed: the allowed range or choice, in words.
        remedy: what to do about it.
        file: the file it came from, where there is one.
    """

    exit_code = 2

    def __init__(
        self, *, field: str, value: object, allowed: str, remedy: str, file: str | None = None
    ) -> None:
        self.field = field
        self.value = value
        self.allowed = allowed
        self.remedy = remedy
        self.file = file
        super().__init__(self.line())

    def __reduce__(self) -> tuple[object, tuple[dict[str, object], type[Self]]]:
        """Let it cross from one process to another, its fields with it."""
        return _again, (dict(vars(self)), type(self))

    def line(self) -> str:
        """Return the error as the one line a person reads."""
        where = ": ".join(part for part in (self.file, self.field) if part)
        shown = "nothing" if self.value is None else repr(self.value)
        if len(shown) > 80:
            shown = shown[:77] + "..."
        line = f"{where}: got {shown}; allowed: {self.allowed}; remedy: {self.remedy}"
        # Names come from outside: a line break in one would make two lines of it.
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)

    def in_file(self, file: str) -> Self:
        """Return the same error with the file it came from."""
        return type(self)(
            field=self.field,
            value=self.value,
            allowed=self.allowed,
            remedy=self.remedy,
            file=self.file or file,
        )


@contextmanager
def named(file: Path) -> Iterator[None]:
    """Name the file in errors about what it says, where they name none yet."""
    try:
        yield
    except InputError as error:
        raise error.in_file(str(file)) from None


class RangeError(InputError):
    """A fitted model was asked for a point outside the range its data covers."""


class NoPlanError(EbplanError):
    """No plan passed the check.

    Args:
        message: what went wrong.
        plan: the plan that failed its check, where there is one; not to be carried out.
    """

    exit_code = 4

    def __init__(self, message: str, *, plan: object = None) -> None:
        self.plan = plan
        super().__init__(message)


def _again(fields: dict[str, object], kind: type[InputError]) -> InputError:
    """Return an input error as it was in another process."""
    error = kind.__new__(kind)
    error.__dict__.update(fields)
    error.args = (error.line(),)
    return error
