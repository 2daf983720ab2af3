"""Secrets come from files or the environment, and never show in a log or an error.

There are no default keys: what is missing is an error, and a value that everybody knows is refused.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pydantic import model_validator

from ebplan.document import FieldFault, Part
from ebplan.errors import InputError

KNOWN_TO_EVERYBODY = frozenset(
    {"", "admin", "changeme", "default", "ebplan", "password", "public", "secret", "test", "token"}
)
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Secret:
    """A value that is shown only to who asks for it by ``reveal``."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value, to be handed to a device and to nobody else."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret is not written anywhere")


class SecretSource(Part):
    """Where a secret is to be found: one of the two."""

    file: str | None = None
    """A file that nobody but its owner may read."""
    env: str | None = None
    """An environment variable."""

    @model_validator(mode="after")
    def _one_of_two(self) -> SecretSource:
        if (self.file is None) == (self.env is None):
            raise FieldFault(
                field="file",
                value=self.file,
                allowed="one of file and env",
                remedy="name a file (mode 0600) or a variable; never write the secret itself",
            )
        return self

    def read(self, *, at: str) -> Secret:
        """Return the secret.

        Args:
            at: field that names this source, for the error.

        Raises:
            InputError: it is missing, known to everybody, or its file may be read by others.
        """
        where = f"file {self.file}" if self.file is not None else f"variable {self.env}"
        value = self._from_file(at) if self.file is not None else os.environ.get(self.env or "")
        if value is not None and not value.strip().isprintable():
            raise InputError(
                field=at,
                value=where,
                allowed="one line of printable characters",
                remedy="it holds a line break or another control character: write it again",
            )
        if value is None or value.strip().lower() in KNOWN_TO_EVERYBODY:
            raise InputError(
                field=at,
                value=where,
                allowed="a secret of your own",
                remedy="it is missing, empty, or one that everybody tries first: make a new one",
            )
        return Secret(value.strip())

    def _from_file(self, at: str) -> str | None:
        path = Path(self.file or "")
        try:
            mode = path.stat().st_mode
            if mode & OTHERS:
                raise InputError(
                    field=f"{at}.file",
                    value=f"mode {stat.S_IMODE(mode):04o}",
                    allowed="a file that only its owner may read",
                    remedy=f"chmod 600 {path}",
                )
            return path.read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(
                field=f"{at}.file",
                value=str(path),
                allowed=f"a readable file ({error.strerror})",
                remedy="check the path, or make the secret (openssl rand -hex 32) with mode 0600",
            ) from None
