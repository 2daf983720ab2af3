"""The report's folder: what is finished stays, what was cut off is as if it had never begun.

    manifest.json            per case: the hash of its inputs, and of each of its files
    signing.key              who signs the audit logs, where no key was given; verify.key beside it
    timing.csv               wall time of each case: not part of any result
    cases/<name>/            one folder a case
        case.json            the inputs, whole
        measured.json        the measured variables
        telemetry.parquet    a row for each sample
        latency.parquet      answers by stretches of 5 s
        plans/<n>.json.gz    the plans that were followed
        audit/               the log

A case is written beside its place and moved there whole. It is finished if the manifest has the
hash of the inputs it would have now, and its files have theirs.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from ebplan.document import parse_json, read_text, write_atomically
from ebplan.errors import InputError

Rows = Sequence[Mapping[str, Any]]
MANIFEST, CASES, UNFINISHED = "manifest.json", "cases", ".unfinished-"


class ReportFolder:
    """A report's folder.

    Args:
        path: where; made if absent.

    Raises:
        InputError: it cannot be written, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            (path / CASES).mkdir(parents=True, exist_ok=True)
            for left in (path / CASES).glob(f"{UNFINISHED}*"):
                shutil.rmtree(left)
        except OSError as error:
            raise InputError(
                field="folder",
                value=error.strerror,
                allowed="a folder that may be written",
                remedy="choose another with --output",
                file=str(path),
            ) from None
        self._cases: dict[str, Any] = {}
        if (path / MANIFEST).exists():
            told = parse_json(read_text(path / MANIFEST))
            if told.get("kind") != "experiment_manifest":
                raise InputError(
                    field="kind",
                    value=told.get("kind"),
                    allowed="experiment_manifest",
                    remedy="choose another folder with --output",
                    file=str(path / MANIFEST),
                )
            self._cases = dict(told.get("cases", {}))

    def case(self, name: str) -> Path:
        """Return the folder of a case."""
        return self.path / CASES / name

    def is_finished(self, name: str, inputs: str) -> bool:
        """Tell whether a case was run with these inputs and its files are as they were written."""
        told = self._cases.get(name)
        if told is None or told["inputs"] != digest(inputs.encode()):
            return False
        return bool(hashes_of(self.case(name)) == told["files"])

    def unfinished(self, name: str) -> Path:
        """Return the folder to write a case into; ``keep`` puts it in its place."""
        return self.path / CASES / f"{UNFINISHED}{name}"

    def keep(self, name: str, inputs: str, took_s: float) -> None:
        """Put a case that is written in its place."""
        place = self.case(name)
        shutil.rmtree(place, ignore_errors=True)
        self.unfinished(name).rename(place)
        self._cases[name] = {"inputs": digest(inputs.encode()), "files": hashes_of(place)}
        self._write_manifest()
        new = not (self.path / "timing.csv").exists()
        with (self.path / "timing.csv").open("a", encoding="utf-8") as stream:
            stream.write(("case,wall_s\n" if new else "") + f"{name},{took_s:.2f}\n")

    def forget(self, names: Sequence[str]) -> None:
        """Leave cases that are no longer asked for out of the manifest; their folders stay."""
        self._cases = {name: told for name, told in self._cases.items() if name in names}
        self._write_manifest()

    def _write_manifest(self) -> None:
        told: dict[str, Any] = {"kind": "experiment_manifest", "simulated": True}
        told["cases"] = {name: self._cases[name] for name in sorted(self._cases)}
        write_atomically(self.path / MANIFEST, json.dumps(told, indent=1) + "\n")

    def signing_key(self, given: Path | None) -> Path:
        """Return the file of who signs: the key given, or the folder's own, made at first.

        Raises:
            InputError: the key cannot be read or written, or the extra is not installed.
        """
        try:
            from ebplan.audit.keys import SigningKey
        except ImportError:
            raise InputError(
                field="audit",
                value="not installed",
                allowed="the extra audit",
                remedy="pip install ebplan[audit]",
            ) from None
        path = given or self.path / "signing.key"
        if given is None and not path.exists():
            SigningKey.make("ebplan.experiment/simulated").write(path)
        key = SigningKey.read(path)
        write_atomically(self.path / "verify.key", f"{key.verify_key}\n")
        return path


def digest(content: bytes) -> str:
    """Return the SHA-256 as text."""
    return sha256(content).hexdigest()


def hashes_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a folder, but figures: they are drawn again."""
    return {
        str(path.relative_to(folder)): digest(path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".png" and path.name != "lock"
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain data as JSON."""
    write_atomically(path, json.dumps(content, indent=1, sort_keys=False) + "\n")


def write_gz(path: Path, content: bytes) -> None:
    """Write bytes compressed; the same bytes each time."""
    write_atomically(path, gzip.compress(content, mtime=0))


def write_table(stem: Path, rows: Rows, form: Literal["parquet", "csv"]) -> Path:
    """Write rows as a table beside ``stem``; a column that a row lacks is empty there.

    Raises:
        InputError: parquet without pyarrow.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if form == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        path = stem.with_name(stem.name + ".csv.gz")
        write_gz(path, text.getvalue().encode())
        return path
    try:
        from pyarrow import parquet
        from pyarrow.lib import table as arrow_table
    except ImportError:
        raise InputError(
            field="telemetry",
            value="parquet",
            allowed="csv where pyarrow is not installed",
            remedy='pip install ebplan[fit], or write telemetry = "csv"',
        ) from None
    table = arrow_table({name: [row.get(name) for row in rows] for name in columns})
    content = io.BytesIO()
    parquet.write_table(table, content, compression="zstd")
    path = stem.with_name(stem.name + ".parquet")
    write_atomically(path, content.getvalue())
    return path


def read_table(stem: Path) -> dict[str, list[Any]]:
    """Read a table that ``write_table`` wrote, as columns."""
    parquet_path = stem.with_name(stem.name + ".parquet")
    if parquet_path.exists():
        from pyarrow import parquet

        columns: dict[str, list[Any]] = parquet.read_table(parquet_path).to_pydict()
        return columns
    text = gzip.decompress(stem.with_name(stem.name + ".csv.gz").read_bytes()).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    return {
        name: [None if row[name] == "" else float(row[name]) for row in rows] for name in rows[0]
    }
