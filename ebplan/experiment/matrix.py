"""The cases of a protocol, in order, each with a name that is a folder's."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

from ebplan.errors import InputError
from ebplan.experiment.protocol import Exclude, GridEvent, Protocol, set_name


class ExperimentCase(NamedTuple):
    """One run."""

    shape: str
    users: int
    event: GridEvent
    mechanisms: tuple[str, ...]
    seed: int

    @property
    def set_name(self) -> str:
        """Name of its set of mechanisms."""
        return set_name(self.mechanisms)

    @property
    def name(self) -> str:
        """Name of its folder."""
        parts = (self.shape, str(self.users), self.event.name, self.set_name, f"s{self.seed}")
        return ".".join(parts)


def cases_of(protocol: Protocol) -> list[ExperimentCase]:
    """Return the cases: the product of the lists without what is excluded.

    Raises:
        InputError: nothing is left, or what is excluded is not there.
    """
    for i, exclude in enumerate(protocol.exclude):
        _check(protocol, exclude, i)
    cases = [case for case in _product(protocol) if not _excluded(protocol, case)]
    if not cases:
        raise InputError(
            field="exclude",
            value=f"{len(protocol.exclude)} entries",
            allowed="that at least one case is left",
            remedy="exclude less",
        )
    return cases


def _product(protocol: Protocol) -> Iterator[ExperimentCase]:
    lists = (
        protocol.shapes,
        protocol.concurrencies,
        protocol.events,
        protocol.mechanisms,
        protocol.seeds,
    )
    for shape, users, event, mechanisms, seed in product(*lists):
        yield ExperimentCase(shape, users, event, tuple(mechanisms), seed)


def _excluded(protocol: Protocol, case: ExperimentCase) -> bool:
    return any(_matches(exclude, case) for exclude in protocol.exclude)


def _matches(exclude: Exclude, case: ExperimentCase) -> bool:
    named = {set_name(names) for names in exclude.mechanisms}
    pairs = (
        (exclude.shapes, case.shape),
        (exclude.concurrencies, case.users),
        (exclude.events, case.event.name),
        (named, case.set_name),
        (exclude.seeds, case.seed),
    )
    return all(not given or value in given for given, value in pairs)


def _check(protocol: Protocol, exclude: Exclude, number: int) -> None:
    """Refuse what excludes nothing because it is spelt otherwise in the lists."""
    known: dict[str, set[Any]] = {
        "shapes": set(protocol.shapes),
        "concurrencies": set(protocol.concurrencies),
        "events": {event.name for event in protocol.events},
        "mechanisms": {set_name(names) for names in protocol.mechanisms},
        "seeds": set(protocol.seeds),
    }
    for field, values in known.items():
        given = getattr(exclude, field)
        names = [set_name(g) for g in given] if field == "mechanisms" else given
        for name in names:
            if name not in values:
                raise InputError(
                    field=f"exclude.{number}.{field}",
                    value=name,
                    allowed=", ".join(map(str, sorted(values, key=str))),
                    remedy="name what the lists hold",
                )
