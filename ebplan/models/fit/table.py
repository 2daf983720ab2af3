"""Reading CSV tables strictly: every fault is one line that names the file, line and column."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from ebplan.errors import InputError

DELIMITERS = (",", ";", "\t")
"""What may stand between the cells of a table."""


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    file: str
    """File name, for errors."""
    line: int
    """Line number in the file, the header being 1."""
    cells: dict[str, str]
    """Stripped cell by column."""

    def text(self, column: str) -> str:
        """Return a cell that must not be empty."""
        if not self.cells[column]:
            raise self.fault(column, "nothing", "a value", "fill the cell or remove the line")
        return self.cells[column]

    def positive(self, column: str) -> float:
        """Return a cell that must be a finite number above zero."""
        text = self.text(column)
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0.0):
            raise self.fault(column, text, "a finite number > 0", "correct it or remove the line")
        return value

    def fault(self, column: str, value: object, allowed: str, remedy: str) -> InputError:
        """Return an error at a cell of this line."""
        return InputError(
            field=f"line {self.line}.{column}",
            value=value,
            allowed=allowed,
            remedy=remedy,
            file=self.file,
        )


@dataclass(frozen=True)
class Table:
    """A CSV file."""

    name: str
    """File name without folders."""
    rows: tuple[Row, ...]
    """Its lines."""
    sha256: str
    """Digest of the canonical content: stripped cells joined by commas and line feeds."""


def read_table(path: Path, columns: Sequence[str], delimiter: str = ",") -> Table:
    """Read a CSV file that has at least the given columns; others are carried along.

    Args:
        path: the file.
        columns: what its header must hold.
        delimiter: what stands between its cells.

    Raises:
        InputError: the file cannot be read, is empty, lacks a column or has ragged lines.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(
            field="(file)",
            value=reason,
            allowed="a readable UTF-8 CSV file",
            remedy="check the path"
            if isinstance(error, OSError)
            else "save the table as CSV in UTF-8, or as Parquet",
            file=str(path),
        ) from None
    return parse_table(text, columns, file=path.name, delimiter=delimiter)


def parse_table(text: str, columns: Sequence[str], *, file: str, delimiter: str = ",") -> Table:
    """Read a CSV text; see ``read_table``."""
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    lines = [(reader.line_num, [cell.strip() for cell in line]) for line in reader if any(line)]
    head = lines[0][1] if lines else []
    missing = [column for column in columns if column not in head]
    if missing or len(set(head)) < len(head):
        raise InputError(
            field="line 1",
            value=",".join(head),
            allowed="each of " + ",".join(columns) + " once",
            remedy=_about_header(head, missing[0]) if missing else "remove the repeated column",
            file=file,
        )
    if len(lines) < 2:
        raise InputError(
            field="(file)", value="no rows", allowed="rows", remedy="add the runs", file=file
        )
    rows = []
    for number, cells in lines[1:]:
        if len(cells) != len(head):
            raise InputError(
                field=f"line {number}",
                value=",".join(cells),
                allowed=f"{len(head)} cells",
                remedy="fill the missing cells or remove the surplus ones",
                file=file,
            )
        rows.append(Row(file=file, line=number, cells=dict(zip(head, cells, strict=True))))
    canonical = "".join(",".join(cells) + "\n" for _, cells in lines)
    return Table(name=file, rows=tuple(rows), sha256=hashlib.sha256(canonical.encode()).hexdigest())


def _about_header(head: Sequence[str], missing: str) -> str:
    """Say what to do about a header without a column: another delimiter may have hidden it."""
    for delimiter in DELIMITERS:
        if missing in [cell.strip() for name in head for cell in name.split(delimiter)]:
            written = json.dumps(delimiter)
            return f"the cells stand between {written}: add  delimiter = {written}  to the spec"
    lower = {name.lower(): name for name in head}
    near = get_close_matches(missing.lower(), lower, 1)
    meant = f"; did you mean {lower[near[0]]!r}? Then correct the spec" if near else ""
    return f"add the column {missing}{meant}"
