"""Documents: frozen, versioned, exactly round-tripping, with one-line errors.

Every file ebplan reads or writes is one of these. A document refuses unknown fields, NaN and
infinity, and naive times; its errors name the file, the field path, the value, what is allowed
and what to do.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from ebplan.errors import InputError

SCHEMA_VERSION = "1.0"

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0)]
Timestamp = AwareDatetime

__all__ = [
    "SCHEMA_VERSION",
    "Document",
    "Fraction",
    "NonNegative",
    "Part",
    "Positive",
    "Timestamp",
    "datetime",
    "read_json",
    "read_toml",
    "write_atomically",
]


class Part(BaseModel):
    """A piece of a document: frozen, closed, no NaN."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    @classmethod
    def parse(cls, data: object, *, file: str | None = None, at: str = "") -> Self:
        """Validate plain data; raise InputError for the first thing that is wrong."""
        try:
            return (
                cls.model_validate_json(data)
                if isinstance(data, bytes)
                else cls.model_validate(data)
            )
        except ValidationError as error:
            raise _first_error(error, file=file, at=at) from None


class Document(Part):
    """A whole file. Subclasses add ``kind: Literal[...]``."""

    schema_version: str = SCHEMA_VERSION
    """Version of the document format."""

    def to_json(self) -> str:
        """Return the document as JSON that parses back to an equal document."""
        return self.model_dump_json(indent=1)

    def digest(self) -> str:
        """Return the SHA-256 of the document's canonical JSON."""
        plain = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(plain.encode()).hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        InputError: the file is missing, unreadable, not JSON, holds NaN, or is not an object.
    """

    def refuse(token: str) -> float:
        raise InputError(
            field="(number)",
            value=token,
            allowed="finite numbers",
            remedy="replace it by a measured or assumed value",
            file=str(path),
        )

    text = _read_text(path)
    try:
        data = json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise InputError(
            field=f"line {error.lineno} column {error.colno}",
            value=error.doc[error.pos : error.pos + 20],
            allowed="JSON",
            remedy=error.msg,
            file=str(path),
        ) from None
    if not isinstance(data, dict):
        raise InputError(
            field="(file)",
            value=type(data).__name__,
            allowed="a JSON object",
            remedy='start the file with {"kind": ...}',
            file=str(path),
        )
    return data


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        InputError: the file is missing, unreadable or not TOML.
    """
    try:
        return tomllib.loads(_read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            field="(file)",
            value=str(error),
            allowed="TOML",
            remedy="correct the syntax there",
            file=str(path),
        ) from None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            field="(file)",
            value=getattr(error, "strerror", None) or "not UTF-8 text",
            allowed="a readable UTF-8 file",
            remedy="check the path",
            file=str(path),
        ) from None


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never half of it."""
    raw = content.encode() if isinstance(content, str) else content
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise InputError(
            field="(output)",
            value=error.strerror,
            allowed="a path in a folder that exists and may be written",
            remedy="create the folder or choose another path",
            file=str(path),
        ) from None
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(raw)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


_ALLOWED = {
    "greater_than": "> {gt}",
    "greater_than_equal": ">= {ge}",
    "less_than": "< {lt}",
    "less_than_equal": "<= {le}",
    "finite_number": "a finite number",
    "timezone_aware": "a time with its zone, e.g. 2026-06-01T12:00:00+09:00",
    "extra_forbidden": "the fields of the schema only",
    "missing": "this field",
    "literal_error": "{expected}",
    "too_short": "at least {min_length} item(s)",
}
_REMEDY = {
    "extra_forbidden": "remove the field or correct its name",
    "missing": "add the field",
    "timezone_aware": "add the UTC offset",
    "finite_number": "replace it by a measured or assumed value",
}


def _first_error(error: ValidationError, *, file: str | None, at: str) -> InputError:
    """Turn pydantic's first complaint into our one line."""
    detail: ErrorDetails = error.errors(include_url=False)[0]
    raised = detail.get("ctx", {}).get("error")
    path = ".".join(part for part in (at, *map(str, detail["loc"])) if part)
    if isinstance(raised, FieldFault):
        where = ".".join(part for part in (path, raised.field) if part)
        return InputError(
            field=where, value=raised.value, allowed=raised.allowed, remedy=raised.remedy, file=file
        )
    kind = detail["type"]
    allowed = _ALLOWED.get(kind, detail["msg"]).format(**detail.get("ctx", {}))
    value = "nothing" if kind == "missing" else detail["input"]
    remedy = _REMEDY.get(kind, "correct the value")
    return InputError(
        field=path or "(file)", value=value, allowed=allowed, remedy=remedy, file=file
    )


class FieldFault(ValueError):
    """Raised inside a validator when fields contradict each other; becomes an InputError."""

    def __init__(self, *, field: str, value: object, allowed: str, remedy: str) -> None:
        self.field = field
        self.value = value
        self.allowed = allowed
        self.remedy = remedy
        super().__init__(f"{field}: {allowed}")
