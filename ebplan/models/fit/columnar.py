"""Reading a table of either kind: CSV, or Parquet where pyarrow is installed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from ebplan.errors import InputError
from ebplan.models.fit.table import Row, Table, read_table


def read_columns(path: Path, columns: Iterable[str], delimiter: str = ",") -> Table:
    """Read CSV strictly, or Parquet through Arrow.

    Args:
        path: the file; its suffix says which.
        columns: columns that must be there; others are carried along.
        delimiter: what stands between the cells of a CSV file.

    Raises:
        InputError: the file cannot be read or lacks a column, or Parquet without pyarrow.
    """
    if path.suffix.lower() not in (".parquet", ".pq"):
        return read_table(path, sorted(set(columns)), delimiter)
    try:
        from pyarrow import parquet
        from pyarrow.lib import ArrowException
    except ImportError:
        raise InputError(
            field="(file)",
            value=path.suffix,
            allowed="CSV, or Parquet where pyarrow is installed",
            remedy="pip install 'ebplan[fit]'",
            file=str(path),
        ) from None
    try:
        content = path.read_bytes()
        columnar = parquet.read_table(path)
    except (OSError, ArrowException) as error:
        raise InputError(
            field="(file)",
            value=str(error).splitlines()[0][:60],
            allowed="a readable Parquet file",
            remedy="check the path",
            file=str(path),
        ) from None
    missing = [column for column in columns if column not in columnar.column_names]
    if missing or columnar.num_rows == 0:
        raise InputError(
            field="(columns)",
            value=",".join(columnar.column_names) if missing else "no rows",
            allowed=f"a column {missing[0]}" if missing else "rows",
            remedy="correct the mapping" if missing else "add the measurements",
            file=path.name,
        )
    cells = {name: columnar.column(name).to_pylist() for name in columnar.column_names}
    rows = tuple(
        Row(
            file=path.name,
            line=i + 1,
            cells={name: "" if v[i] is None else str(v[i]) for name, v in cells.items()},
        )
        for i in range(columnar.num_rows)
    )
    return Table(name=path.name, rows=rows, sha256=hashlib.sha256(content).hexdigest())
