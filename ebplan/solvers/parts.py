"""Cut a program into parts that only a few rows couple: one part for each pool, one for the site.

    minimise    sum_i c_i'x_i
    subject to  x_i in X_i                        rows and bounds of part i alone
                lower <= sum_i A_i x_i <= upper   coupling rows

A column belongs to one part, a row to the part that owns all its columns, or else it couples. What
a part does shows the others only as its cost c_i'x_i and its *profile* A_i x_i. All is arrays: a
part can be sent to another process, or stand for a site that shares nothing but prices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebplan.solvers.program import FloatArray, Group, IndexArray, Program


@dataclass(frozen=True)
class Rows:
    """Rows of a matrix, compressed: row r has the entries ``start[r]`` to ``start[r + 1]``."""

    start: IndexArray
    """Shape (rows + 1,)."""
    column: IndexArray
    """Shape (entries,)."""
    value: FloatArray
    """Shape (entries,)."""

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.start) - 1

    def row_of(self) -> IndexArray:
        """Return the row of each entry, shape (entries,)."""
        return np.repeat(np.arange(self.size), np.diff(self.start))

    def times(self, x: FloatArray) -> FloatArray:
        """Return the product with x, shape (rows,)."""
        products = self.value * x[self.column]
        sums = np.bincount(self.row_of(), weights=products, minlength=self.size)
        return np.asarray(sums, dtype=float)

    def priced(self, prices: FloatArray, columns: int) -> FloatArray:
        """Return what each column earns at prices of the rows, shape (columns,)."""
        earned = self.value * prices[self.row_of()]
        sums = np.bincount(self.column, weights=earned, minlength=columns)
        return np.asarray(sums, dtype=float)


@dataclass(frozen=True)
class Part:
    """One part: n columns, numbered from 0, and m rows of its own."""

    columns: IndexArray
    """Where its columns stand in the whole, shape (n,)."""
    cost: FloatArray
    """Shape (n,)."""
    lower: FloatArray
    """Shape (n,)."""
    upper: FloatArray
    """Shape (n,)."""
    integer: NDArray[np.bool_]
    """Shape (n,)."""
    rows: Rows
    """Its own rows."""
    row_lower: FloatArray
    """Shape (m,)."""
    row_upper: FloatArray
    """Shape (m,)."""
    coupling: Rows
    """What it contributes to the coupling rows, all of them in their order."""

    @property
    def n_columns(self) -> int:
        """Number of columns n."""
        return len(self.columns)

    @property
    def n_rows(self) -> int:
        """Number of its own rows m."""
        return len(self.row_lower)

    def profile(self, x: FloatArray) -> FloatArray:
        """Return what the part contributes to the coupling rows at x, shape (L,)."""
        return self.coupling.times(x)

    def priced(self, prices: FloatArray) -> FloatArray:
        """Return the cost of its columns less what their profile is paid, shape (n,)."""
        return self.cost - self.coupling.priced(prices, self.n_columns)


@dataclass(frozen=True)
class Parts:
    """A program in parts."""

    pools: tuple[Part, ...]
    site: Part
    """What belongs to no pool."""
    lower: FloatArray
    """Of the coupling rows, shape (L,)."""
    upper: FloatArray
    """Shape (L,)."""
    constant: float
    """Cost that no decision changes."""
    n_columns: int
    """Columns of the whole program."""
    coupling: IndexArray
    """Where the coupling rows stand in the whole, shape (L,)."""

    def everyone(self) -> Iterator[Part]:
        """Yield the pools and then the site."""
        yield from self.pools
        yield self.site

    def whole(self, points: Iterable[FloatArray]) -> FloatArray:
        """Return the point of the program from those of its parts, in the order of ``everyone``."""
        x = np.zeros(self.n_columns)
        for part, point in zip(self.everyone(), points, strict=True):
            x[part.columns] = point
        return x

    def admissible(self, prices: FloatArray) -> FloatArray:
        """Return the prices without those of a side that is open: there is no bound at these."""
        side = np.where(prices >= 0.0, self.lower, self.upper)
        return np.where(np.isfinite(side), prices, 0.0)

    def least_paid(self, prices: FloatArray) -> float:
        """Return the least of the coupling rows' activity at admissible prices."""
        paid = prices != 0.0
        side = np.where(prices >= 0.0, self.lower, self.upper)
        return float(prices[paid] @ side[paid])


def owners(groups: Iterable[Group], names: Sequence[str]) -> IndexArray:
    """Return the pool that each column belongs to by its name, -1 for the site, shape (n,).

    A column belongs to the pool whose name its own begins with. Whatever belongs to whom, the parts
    together are the program: a name that misleads makes parts larger, never wrong.
    """
    pool_of = {name: p for p, name in enumerate(names)}
    found = []
    for group in groups:
        words = group.name.split(".")
        begins = (".".join(words[:i]) for i in range(len(words) - 1, 0, -1))
        owner = next((pool_of[name] for name in begins if name in pool_of), -1)
        found.append(np.full(group.size, owner))
    return np.concatenate(found)


def cut(program: Program, pool_of: IndexArray, pools: int) -> Parts:
    """Cut a program by the pool that each column belongs to.

    Args:
        program: the program.
        pool_of: pool of each column from 0 on, -1 for the site, shape (n,).
        pools: number of pools.
    """
    owner = np.where(pool_of < 0, pools, pool_of)
    row_of = np.repeat(np.arange(program.n_rows), np.diff(program.row_start))
    entry_owner = owner[program.entry_column]
    first, last = np.full(program.n_rows, pools), np.full(program.n_rows, -1)
    np.minimum.at(first, row_of, entry_owner)
    np.maximum.at(last, row_of, entry_owner)
    # a row without entries is the site's
    row_owner = np.where(last < 0, pools, np.where(first == last, first, -1))
    coupling = np.flatnonzero(row_owner < 0)
    place, cost = np.empty(program.n_columns, dtype=np.int64), program.cost
    parts = []
    of_each = zip(
        *(_by_owner(of, pools) for of in (owner, row_owner, entry_owner)),
        strict=True,
    )
    for columns, rows, entries in of_each:
        place[columns] = np.arange(len(columns))
        row, column = row_of[entries], place[program.entry_column[entries]]
        value, couples = program.entry_value[entries], row_owner[row] < 0
        parts.append(
            Part(
                columns=columns,
                cost=cost[columns],
                lower=program.lower[columns],
                upper=program.upper[columns],
                integer=program.integer[columns],
                rows=_rows(rows, row[~couples], column[~couples], value[~couples]),
                row_lower=program.row_lower[rows],
                row_upper=program.row_upper[rows],
                coupling=_rows(coupling, row[couples], column[couples], value[couples]),
            )
        )
    return Parts(
        pools=tuple(parts[:-1]),
        site=parts[-1],
        lower=program.row_lower[coupling],
        upper=program.row_upper[coupling],
        constant=program.constant,
        n_columns=program.n_columns,
        coupling=coupling,
    )


def join(parts: Sequence[tuple[Part, float]], row_lower: FloatArray, row_upper: FloatArray) -> Part:
    """Return parts as one, with the coupling rows as its last rows.

    Args:
        parts: each with how often it stands: its cost and its profile count so many times.
        row_lower: of the coupling rows, shape (L,).
        row_upper: shape (L,).
    """
    column_at = np.cumsum([0, *(part.n_columns for part, _ in parts)])
    row_at = np.cumsum([0, *(part.n_rows for part, _ in parts)])
    row, column, value = [], [], []
    for i, (part, times) in enumerate(parts):
        row += [row_at[i] + part.rows.row_of(), row_at[-1] + part.coupling.row_of()]
        column += [column_at[i] + part.rows.column, column_at[i] + part.coupling.column]
        value += [part.rows.value, times * part.coupling.value]
    alone = [part for part, _ in parts]
    lower = np.concatenate([*(part.row_lower for part in alone), row_lower])
    return Part(
        columns=np.arange(column_at[-1]),
        cost=np.concatenate([times * part.cost for part, times in parts]),
        lower=np.concatenate([part.lower for part in alone]),
        upper=np.concatenate([part.upper for part in alone]),
        integer=np.concatenate([part.integer for part in alone]),
        rows=sorted_rows(
            len(lower), np.concatenate(row), np.concatenate(column), np.concatenate(value)
        ),
        row_lower=lower,
        row_upper=np.concatenate([*(part.row_upper for part in alone), row_upper]),
        coupling=NO_ROWS,
    )


def sorted_rows(rows: int, row: IndexArray, column: IndexArray, value: FloatArray) -> Rows:
    """Return entries in any order as rows."""
    order = np.argsort(row, kind="stable")
    start = np.searchsorted(row[order], np.arange(rows + 1))
    return Rows(start=start, column=column[order], value=value[order])


NO_ROWS = Rows(
    start=np.zeros(1, dtype=np.int64), column=np.zeros(0, dtype=np.int64), value=np.zeros(0)
)


def _by_owner(owner: IndexArray, pools: int) -> list[IndexArray]:
    """Return the places of each owner from 0 to ``pools``, in their order."""
    order = np.argsort(owner, kind="stable")
    ends = np.searchsorted(owner[order], np.arange(pools + 2))
    return [order[ends[p] : ends[p + 1]] for p in range(pools + 1)]


def _rows(names: IndexArray, row: IndexArray, column: IndexArray, value: FloatArray) -> Rows:
    """Return entries sorted by row as rows numbered in the order of ``names``, which is sorted."""
    start = np.append(np.searchsorted(row, names), len(row))
    return Rows(start=start, column=column, value=value)
