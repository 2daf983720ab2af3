"""Sites that share a connection or a substation: its limits as rows over all of them.

| symbol     | name              | meaning                                | shape |
|------------|-------------------|----------------------------------------|-------|
| o_rt, w_rt | region R.above, R.below | kW beyond a limit of region r     | (T,)  |

import     sum_{G in r} (g_t + sum_s n_st - y'_t) - o_rt <= import limit
export     sum_{G in r} (g_t - sum_s (b_st + sum_k a_skt) + y_t) + w_rt >= -export limit

The letters are those of ``ebplan/study/window.py``. Each limit is held with the calls in full that
bring the draw nearer to it, and without the others. o and w are nothing: they
are opened only to say by how much a limit cannot be held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ebplan.errors import InputError
from ebplan.solvers.program import IndexArray, ProgramBuilder, Term
from ebplan.study.numbers import GroupNumbers, ServiceNumbers
from ebplan.study.window import Columns, Shape, Window


@dataclass(frozen=True)
class Region:
    """Sites behind one connection or one substation; a site may lie in several, one in another."""

    name: str
    groups: tuple[str, ...]
    """Their names."""
    import_kw: float
    """The most that they may draw together."""
    export_kw: float
    """The most that they may feed in together."""


class RegionalWindow(Window):
    """A study's window with the limits of regions besides.

    Args:
        shape: see ``Window``.
        groups: see ``Window``.
        services: see ``Window``.
        regions: their limits.

    Raises:
        InputError: a region names a group that is not there.
    """

    def __init__(
        self,
        shape: Shape,
        groups: Sequence[GroupNumbers],
        services: Sequence[ServiceNumbers],
        regions: Sequence[Region],
    ) -> None:
        self.regions = tuple(regions)
        self.beyond: list[tuple[IndexArray, IndexArray]] = []
        """Columns above the import limit and below the export limit, by region, each (T,)."""
        check_regions(regions, [group.name for group in groups])
        super().__init__(shape, groups, services)

    def _state(self, builder: ProgramBuilder) -> Columns:
        columns = super()._state(builder)
        of = {group.name: at for group, at in zip(self.groups, columns.groups, strict=True)}
        for region in self.regions:
            above, below = (
                builder.variables(f"region {region.name}.{side}", self.steps, upper=0.0)
                for side in ("above", "below")
            )
            self.beyond.append((above, below))
            draw: list[Term] = [(1.0, of[name].grid) for name in region.groups]
            absorbed: list[Term] = [
                (1.0, award.absorb)
                for name in region.groups
                for award in of[name].awards
                if award.absorb is not None
            ]
            lacking = [of[name].unabsorbed_kw for name in region.groups]
            absorbed += [(-1.0, part) for part in lacking if part is not None]
            builder.rows(
                import_row(region),
                self.steps,
                [*draw, *absorbed, (-1.0, above)],
                upper=region.import_kw,
            )
            called: list[Term] = [
                (-1.0, part)
                for name in region.groups
                for award in of[name].awards
                for _, part in award.all()
            ]
            missing: list[Term] = [(1.0, of[name].uncovered_kw) for name in region.groups]
            builder.rows(
                export_row(region),
                self.steps,
                [*draw, *called, *missing, (1.0, below)],
                lower=-region.export_kw,
            )
        return columns


def import_row(region: Region) -> str:
    """Return the name of the rows of its import limit."""
    return f"region {region.name}.import"


def export_row(region: Region) -> str:
    """Return the name of the rows of its export limit."""
    return f"region {region.name}.export"


def check_regions(regions: Sequence[Region], groups: Sequence[str]) -> None:
    """Refuse regions that are not of these groups.

    Raises:
        InputError: two have one name, or one names a group twice, or one that is not there.
    """
    names = [region.name for region in regions]
    if len(set(names)) < len(names):
        raise InputError(
            field="regions",
            value=names,
            allowed="each name once",
            remedy="rename or remove the repeated one",
        )
    for region in regions:
        unknown = [name for name in region.groups if name not in groups]
        if unknown or len(set(region.groups)) < len(region.groups):
            raise InputError(
                field=f"regions.{region.name}.groups",
                value=unknown[0] if unknown else list(region.groups),
                allowed=f"groups of the portfolio, each once: {', '.join(groups)}",
                remedy="correct the name" if unknown else "remove the repeated one",
            )
