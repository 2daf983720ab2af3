"""Read traces of requests from CSV files, plain or gzipped.

Two kinds are known by their columns:

- ``t_s, input_tokens, output_tokens``: single requests; ``prefix`` and ``prefix_tokens`` beside
  them, where the file has them, say what a prompt shares with others. Other columns are ignored: a
  count of blocks seen before without the name of the prefix does not say who shares with whom.
- ``t_s, req_per_s``: a rate over time, for random arrivals.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

from ebplan.errors import InputError
from ebplan.twin.requests.settings import Poisson, Sizes, Trace, TracedRequest


def read_trace(
    path: Path, *, pace: float = 1.0, from_s: float = 0.0, until_s: float | None = None
) -> Trace:
    """Return the requests of a trace.

    Args:
        path: a CSV file, gzipped where it ends in ``.gz``.
        pace: how many times faster the requests come than they were recorded.
        from_s: second of the file that becomes second 0.
        until_s: second of the file at which to stop; None: its end.

    Raises:
        InputError: the file cannot be read, lacks a column, or a row holds no request.
    """
    requests = []
    for line, row in _rows(path, ("t_s", "input_tokens", "output_tokens")):
        at_s = _number(path, line, row, "t_s")
        if at_s < from_s or (until_s is not None and at_s >= until_s):
            continue
        prefix = row.get("prefix") or None
        fields = {
            "at_s": (at_s - from_s) / pace,
            "prompt_tokens": int(_number(path, line, row, "input_tokens")),
            "output_tokens": int(_number(path, line, row, "output_tokens")),
            "prefix": None if prefix is None else int(prefix),
            "prefix_tokens": int(row.get("prefix_tokens") or 0),
        }
        # an empty prompt or answer is a request that failed: nothing to serve
        if fields["prompt_tokens"] and fields["output_tokens"]:
            requests.append(TracedRequest.parse(fields, file=str(path), at=f"line {line}"))
    return Trace(requests=tuple(sorted(requests, key=lambda r: r.at_s)))


def read_rates(
    path: Path, *, share: float = 1.0, from_s: float = 0.0, sizes: Sizes | None = None
) -> Poisson:
    """Return random arrivals at the rates of a file.

    Args:
        path: a CSV file, gzipped where it ends in ``.gz``.
        share: of the recorded rate that comes here.
        from_s: second of the file that becomes second 0.
        sizes: tokens of the requests.

    Raises:
        InputError: the file cannot be read, lacks a column, or a row holds no rate.
    """
    rates: list[tuple[float, float]] = []
    for line, row in _rows(path, ("t_s", "req_per_s")):
        at_s = _number(path, line, row, "t_s") - from_s
        rate = share * _number(path, line, row, "req_per_s")
        if at_s <= 0.0:
            rates = [(0.0, rate)]
        else:
            rates.append((at_s, rate))
    return Poisson(sizes=sizes, rates=tuple(rates))


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            missing = [c for c in columns if c not in (rows.fieldnames or ())]
            if missing:
                raise InputError(
                    field="columns",
                    value=rows.fieldnames,
                    allowed=", ".join(columns),
                    remedy=f"add {missing[0]}",
                    file=str(path),
                )
            for row in rows:
                yield rows.line_num, row
    except (OSError, UnicodeDecodeError, EOFError, csv.Error) as error:
        raise InputError(
            field="trace",
            value=str(error),
            allowed="a CSV file, plain or gzipped",
            remedy="give the path of one",
            file=str(path),
        ) from None


def _number(path: Path, line: int, row: dict[str, str], column: str) -> float:
    try:
        number = float(row[column])
    except (TypeError, ValueError):
        number = float("nan")
    if not 0.0 <= number < float("inf"):
        raise InputError(
            field=f"line {line}: {column}",
            value=row[column],
            allowed=">= 0",
            remedy="correct the row",
            file=str(path),
        )
    return number
