"""A mixed-integer linear program with names: what the blocks write and the solver reads.

    minimise    c'x + c_0
    subject to  row_lower <= A x <= row_upper,   lower <= x <= upper,   x_i integer for some i

Every row carries a label that is a term of the field, every cost a cause. Arrays are plain numpy
in compressed-row form: the solver takes them as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.int64]


NEGLIGIBLE_COEFFICIENT = 1e-9
"""HiGHS drops entries below this with a warning; they are never written."""


@dataclass(frozen=True)
class Entries:
    """The entries of a coefficient matrix (R, n) that are not zero, each of shape (e,)."""

    row: IndexArray
    column: IndexArray
    value: FloatArray

    def __mul__(self, factor: float) -> Entries:
        """Return the entries of the matrix times a number."""
        return Entries(self.row, self.column, self.value * factor)

    def __neg__(self) -> Entries:
        """Return the entries of the matrix with its sign turned."""
        return self * -1.0


Term = tuple[ArrayLike | Entries, IndexArray]
"""``(coefficient, columns)``: columns of shape (R,) with a coefficient per row, or columns of
shape (n,) with a coefficient matrix of shape (R, n) or its entries."""


def entries(matrix: FloatArray) -> Entries:
    """Return the entries of a matrix that are not negligible; they may not be written to."""
    row, column = np.nonzero(np.abs(matrix) > NEGLIGIBLE_COEFFICIENT)
    found = Entries(row, column, matrix[row, column])
    for part in (found.row, found.column, found.value):
        part.setflags(write=False)
    return found


@dataclass(frozen=True)
class Group:
    """Consecutive columns or rows with one name."""

    name: str
    start: int
    size: int

    def member(self, position: int) -> str:
        """Return the name of one member, e.g. ``soc_balance[3]``."""
        return f"{self.name}[{position}]"


@dataclass(frozen=True)
class Program:
    """The finished program. Columns n, rows m, nonzeros z."""

    columns: tuple[Group, ...]
    rows: tuple[Group, ...]
    lower: FloatArray
    """Shape (n,)."""
    upper: FloatArray
    """Shape (n,)."""
    integer: NDArray[np.bool_]
    """Shape (n,)."""
    row_lower: FloatArray
    """Shape (m,)."""
    row_upper: FloatArray
    """Shape (m,)."""
    row_start: IndexArray
    """Shape (m + 1,)."""
    entry_column: IndexArray
    """Shape (z,)."""
    entry_value: FloatArray
    """Shape (z,)."""
    cost_of: dict[str, FloatArray]
    """Cost vector by cause, each of shape (n,)."""
    constant_of: dict[str, float]
    """Constant cost by cause."""

    @property
    def cost(self) -> FloatArray:
        """Total cost vector, shape (n,)."""
        return np.asarray(np.sum(list(self.cost_of.values()), axis=0))

    @property
    def constant(self) -> float:
        """Total constant cost."""
        return sum(self.constant_of.values())

    @property
    def n_columns(self) -> int:
        """Number of columns n."""
        return len(self.lower)

    @property
    def n_rows(self) -> int:
        """Number of rows m."""
        return len(self.row_lower)

    def cost_by_cause(self, x: FloatArray) -> dict[str, float]:
        """Return the money each cause takes in the solution ``x`` of shape (n,)."""
        return {
            cause: float(vector @ x) + self.constant_of.get(cause, 0.0)
            for cause, vector in self.cost_of.items()
        }

    def row_range(self, name: str) -> slice:
        """Return the rows of a group."""
        group = next(g for g in self.rows if g.name == name)
        return slice(group.start, group.start + group.size)

    def column_range(self, name: str) -> slice:
        """Return the columns of a group."""
        return self.ranges[name]

    @cached_property
    def ranges(self) -> dict[str, slice]:
        """The columns of each group by its name."""
        return {g.name: slice(g.start, g.start + g.size) for g in self.columns}

    def column_names(self) -> list[str]:
        """Return the name of each column, shape (n,)."""
        return [g.member(i) for g in self.columns for i in range(g.size)]

    def row_names(self) -> list[str]:
        """Return the name of each row, shape (m,)."""
        return [g.member(i) for g in self.rows for i in range(g.size)]

    def activity(self, x: FloatArray) -> FloatArray:
        """Return ``A x`` of shape (m,)."""
        products = self.entry_value * x[self.entry_column]
        sums = np.concatenate([[0.0], np.cumsum(products)])
        return np.asarray(sums[self.row_start[1:]] - sums[self.row_start[:-1]])


@dataclass
class _Numbers:
    """Numbers of one group of members after the other, put together at the end."""

    _given: list[tuple[ArrayLike, int]] = field(default_factory=list)

    def add(self, value: ArrayLike, size: int) -> None:
        """Add one number for all of ``size`` members, or one for each.

        Raises:
            ValueError: there are neither one nor ``size`` of them.
        """
        if not isinstance(value, float) and np.shape(value) not in ((), (size,)):
            raise ValueError(f"{np.shape(value)} numbers for {size} members")
        self._given.append((value, size))

    def joined(self) -> FloatArray:
        """Return the numbers of all members in a row."""
        numbers, at = np.empty(sum(size for _, size in self._given)), 0
        for value, size in self._given:
            numbers[at : at + size] = value
            at += size
        return numbers


def _finite(bound: ArrayLike) -> bool:
    return math.isfinite(bound) if isinstance(bound, float) else bool(np.isfinite(bound).all())


@dataclass
class ProgramBuilder:
    """Collects columns, rows and costs from the blocks, in the order they are written."""

    _columns: list[Group] = field(default_factory=list)
    _lower: _Numbers = field(default_factory=_Numbers)
    _upper: _Numbers = field(default_factory=_Numbers)
    _integer: _Numbers = field(default_factory=_Numbers)
    _rows: list[Group] = field(default_factory=list)
    _row_lower: _Numbers = field(default_factory=_Numbers)
    _row_upper: _Numbers = field(default_factory=_Numbers)
    _entry_row: list[IndexArray] = field(default_factory=list)
    _entry_column: list[IndexArray] = field(default_factory=list)
    _entry_value: _Numbers = field(default_factory=_Numbers)
    _costs: list[tuple[str, IndexArray, ArrayLike]] = field(default_factory=list)
    _constants: dict[str, float] = field(default_factory=dict)
    _n_columns: int = 0
    _n_rows: int = 0

    def variables(
        self,
        name: str,
        size: int,
        *,
        lower: ArrayLike = 0.0,
        upper: ArrayLike,
        integer: bool = False,
    ) -> IndexArray:
        """Add ``size`` columns and return their indices, shape (size,); none for size 0.

        Bounds broadcast and must be finite: a free column hides errors and slows the solver.
        """
        if not (_finite(lower) and _finite(upper)):
            raise ValueError(f"{name}: every bound is finite")
        index = np.arange(self._n_columns, self._n_columns + size)
        if size == 0:
            return index
        self._columns.append(Group(name, self._n_columns, size))
        self._lower.add(lower, size)
        self._upper.add(upper, size)
        self._integer.add(float(integer), size)
        self._n_columns += size
        return index

    def rows(
        self,
        label: str,
        size: int,
        terms: Sequence[Term],
        *,
        lower: ArrayLike = -np.inf,
        upper: ArrayLike = np.inf,
    ) -> None:
        """Add ``size`` rows ``lower <= sum of terms <= upper`` under one label."""
        if size == 0:
            return
        rows = np.arange(self._n_rows, self._n_rows + size)
        for coefficient, columns in terms:
            if isinstance(coefficient, np.ndarray) and coefficient.ndim == 2:
                coefficient = entries(coefficient)
            if isinstance(coefficient, Entries):
                self._entry_row.append(rows[coefficient.row])
                self._entry_column.append(columns[coefficient.column])
                self._entry_value.add(coefficient.value, len(coefficient.value))
            else:
                self._entry_row.append(rows)
                self._entry_column.append(columns)
                self._entry_value.add(coefficient, size)
        self._rows.append(Group(label, self._n_rows, size))
        self._row_lower.add(lower, size)
        self._row_upper.add(upper, size)
        self._n_rows += size

    def cost(self, cause: str, columns: IndexArray, price: ArrayLike) -> None:
        """Charge ``price`` (scalar or per column) for each unit of ``columns``."""
        self._costs.append((cause, columns, price))

    def constant(self, cause: str, money: float) -> None:
        """Add a cost that no decision changes, so that a cause's sum means what it says."""
        self._constants[cause] = self._constants.get(cause, 0.0) + money

    def build(self) -> Program:
        """Return the finished program; entries of one row and column are added up."""
        row, column = np.concatenate(self._entry_row), np.concatenate(self._entry_column)
        place = row * self._n_columns + column
        order = np.argsort(place, kind="stable")
        place, value = place[order], self._entry_value.joined()[order]
        first = np.flatnonzero(np.diff(place, prepend=-1))
        place, summed = place[first], np.add.reduceat(value, first)
        kept = np.abs(summed) > NEGLIGIBLE_COEFFICIENT
        place, summed = place[kept], summed[kept]
        starts = np.searchsorted(place // self._n_columns, np.arange(self._n_rows + 1))
        causes = dict.fromkeys([*(cause for cause, _, _ in self._costs), *self._constants])
        cost_of = {cause: np.zeros(self._n_columns) for cause in causes}
        for cause, columns, prices in self._costs:
            np.add.at(cost_of[cause], columns, prices)
        return Program(
            columns=tuple(self._columns),
            rows=tuple(self._rows),
            lower=self._lower.joined(),
            upper=self._upper.joined(),
            integer=self._integer.joined() > 0.0,
            row_lower=self._row_lower.joined(),
            row_upper=self._row_upper.joined(),
            row_start=starts.astype(np.int64),
            entry_column=place % self._n_columns,
            entry_value=np.asarray(summed, dtype=float),
            cost_of=cost_of,
            constant_of=dict(self._constants),
        )
