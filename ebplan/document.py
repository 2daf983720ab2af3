"""Documents: frozen, versioned, exactly round-tripping, with one-line errors.

Every file ebplan reads or writes is one of these. A document refuses unknown fields, NaN and
infinity, and naive times; its errors name the file, the field path, the value, what is allowed
and what to do.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
import tomllib
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ebplan.errors import InputError
from ebplan.field_errors import FieldFault, first_error

SCHEMA_VERSION: Final = "1.0"


def require_ordered(document: BaseModel, *intervals: tuple[str, str]) -> None:
    """Refuse a document in which the lower end of an interval lies above its upper end.

    Args:
        document: what to look at.
        intervals: names of the fields with the lower and the upper end.

    Raises:
        FieldFault: the ends of an interval are exchanged.
    """
    for low, high in intervals:
        if getattr(document, low) > getattr(document, high):
            raise FieldFault(
                field=low,
                value=getattr(document, low),
                allowed=f"<= {high} = {getattr(document, high)}",
                remedy="exchange the two",
            )


def _moment(value: object) -> datetime:
    """Read a time; left alone, pydantic takes any number for seconds since 1970."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        moment = None
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise FieldFault(
            field="",
            value=value,
            allowed="a time with its zone, e.g. '2026-06-01T12:00:00+09:00'",
            remedy="add the UTC offset" if isinstance(moment, datetime) else "write it in ISO 8601",
        )
    return moment


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0)]
Timestamp = Annotated[AwareDatetime, BeforeValidator(_moment)]

__all__ = [
    "SCHEMA_VERSION",
    "Document",
    "FieldFault",
    "Fraction",
    "NonNegative",
    "Part",
    "Positive",
    "Timestamp",
    "check_writable",
    "parse_json",
    "read_data",
    "read_json",
    "read_text",
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
        """Validate JSON (bytes), or plain data as JSON and TOML hold it.

        A number given as text, or as true or false, is refused.

        Args:
            data: what to validate.
            file: where it came from, for the error.
            at: dotted path of the data within the file, for the error.

        Raises:
            InputError: for the first thing that is wrong; it tells how many more there are.
        """
        raw = data if isinstance(data, bytes) else json.dumps(data, default=_as_json)
        try:
            return cls.model_validate_json(raw, strict=True)
        except ValidationError as error:
            raise first_error(error, cls, raw=raw, file=file, at=at) from None


class Document(Part):
    """A whole file. Subclasses add ``kind: Literal[...]``."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    """Version of the document format that this ebplan reads and writes."""

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
        InputError: the file is missing, unreadable, not JSON, not an object, or holds NaN or a
            field twice.
    """
    text = read_text(path)
    try:
        return parse_json(text)
    except InputError as error:
        raise error.in_file(str(path)) from None


def parse_json(text: str) -> dict[str, Any]:
    """Read a JSON object from text.

    Raises:
        InputError: it is not JSON, not an object, or holds NaN or a field twice.
    """
    try:
        data = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_each_once)
    except json.JSONDecodeError as error:
        raise InputError(
            field=f"line {error.lineno} column {error.colno}",
            value=error.doc[error.pos : error.pos + 20] or None,
            allowed="JSON",
            remedy=f"correct the syntax there ({error.msg})",
        ) from None
    except (ValueError, RecursionError) as error:  # endless digits, endless brackets
        raise InputError(
            field="(file)",
            value=str(error),
            allowed="JSON that is not endlessly long or deep",
            remedy="check what wrote it",
        ) from None
    if not isinstance(data, dict):
        raise InputError(
            field="(file)",
            value=type(data).__name__,
            allowed="a JSON object",
            remedy='start it with {"kind": ...}',
        )
    return data


def _no_constant(token: str) -> float:
    raise InputError(
        field="(number)",
        value=token,
        allowed="finite numbers",
        remedy="replace it by a measured or assumed value",
    )


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        names = [name for name, _ in pairs]
        raise InputError(
            field=next(name for name in names if names.count(name) > 1),
            value="the field twice",
            allowed="each field once",
            remedy="remove one of the two",
        )
    return data


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        InputError: the file is missing, unreadable or not TOML.
    """
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            field="(file)",
            value=str(error),
            allowed="TOML",
            remedy="correct the syntax there",
            file=str(path),
        ) from None


def read_data(path: Path) -> dict[str, Any]:
    """Read a TOML file, or a JSON one where its name does not end in ``.toml``.

    Raises:
        InputError: see ``read_toml`` and ``read_json``.
    """
    return read_toml(path) if path.suffix == ".toml" else read_json(path)


def read_text(path: Path) -> str:
    """Read a text file.

    Raises:
        InputError: the file is missing, unreadable or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(
            field="(file)",
            value=getattr(error, "strerror", None) or str(error),
            allowed="a readable UTF-8 file",
            remedy="check the path and the encoding",
            file=str(path),
        ) from None


def make_folder(path: Path, *, of: Path | None = None) -> None:
    """Make a folder for what a command writes, and those above it, where they do not exist.

    Args:
        path: the folder.
        of: the folder that was asked for, where it is another one.

    Raises:
        InputError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            field="(output)",
            value=error.strerror,
            allowed="a folder that can be made",
            remedy="choose another one with --output",
            file=str(of or path),
        ) from None


def write_atomically(path: Path, content: str | bytes, *, durable: bool = False) -> None:
    """Write a file so that a reader sees the old content or the new, never half of it.

    Args:
        path: the file.
        content: what it holds from now on.
        durable: wait for the disk, so that this holds after a power cut too (``fsync`` of the file
            and of its folder). If only the folder fails, the new content may be there all the same.

    Raises:
        InputError: the path cannot be written.
    """
    raw = content.encode() if isinstance(content, str) else content
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".ebplan-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(raw)
                if durable:
                    stream.flush()
                    os.fsync(stream.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error.strerror) from None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_writable(path: Path) -> None:
    """Refuse a path that cannot be written before the work whose result it shall hold.

    Raises:
        InputError: the path is a folder, or its folder does not exist or may not be written.
    """
    if path.is_dir():
        raise _unwritable(path, os.strerror(errno.EISDIR))
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise _unwritable(path, os.strerror(errno.EACCES if path.parent.exists() else errno.ENOENT))


def _unwritable(path: Path, why: str | None) -> InputError:
    return InputError(
        field="(output)",
        value=why,
        allowed="a file in a folder that exists and may be written",
        remedy="create the folder or choose another path",
        file=str(path),
    )


def _as_json(value: object) -> object:
    """Say what JSON cannot: documents already read, and the times of TOML."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a document")
