"""Results on disk: a Parquet file for each chunk, whole or not there, and all of them as one.

The hash is of the rows in their order, so it does not know who worked, or in which order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from ebplan.document import make_folder, write_atomically
from ebplan.study.tables import Columns, write_parquet


class Store:
    """The folder of a sweep.

    Args:
        folder: made where it does not exist.

    Raises:
        InputError: it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.chunks = folder / "chunks"
        self.frontiers = folder / "frontiers"
        for path in (self.chunks, self.frontiers):
            make_folder(path, of=folder)

    def path(self, chunk: str) -> Path:
        """Return where a chunk lies."""
        return self.chunks / f"{chunk}.parquet"

    def has(self, chunk: str) -> bool:
        """Tell whether a chunk is finished."""
        return self.path(chunk).exists()

    def write(self, chunk: str, columns: Columns) -> None:
        """Write a chunk, whole or not at all."""
        write_parquet(self.path(chunk), columns)

    def join(self, chunks: Iterable[str]) -> str:
        """Write all chunks as one table, ``results.parquet``, and return the hash of its rows.

        Args:
            chunks: in the order in which they are to stand.
        """
        from pyarrow import parquet

        digest, sink, writer = hashlib.sha256(), BytesIO(), None
        for chunk in chunks:
            table = parquet.read_table(self.path(chunk))
            if writer is None:
                writer = parquet.ParquetWriter(sink, table.schema, compression="zstd")
            writer.write_table(table)
            for row in sorted(table.to_pylist(), key=lambda row: (row["policy"], row["kpi"])):
                digest.update(_line(row))
        if writer is not None:
            writer.close()
        write_atomically(self.folder / "results.parquet", sink.getvalue())
        return digest.hexdigest()


def _line(row: dict[str, Any]) -> bytes:
    return ("\t".join(f"{name}={value!r}" for name, value in row.items()) + "\n").encode()
