"""Run a portfolio: its study in numbers, awards shared, the sharing checked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ebplan.document import read_data
from ebplan.errors import InputError, NoPlanError, named
from ebplan.portfolio.check import violations
from ebplan.portfolio.excess import CannotHold
from ebplan.portfolio.processes import Processes
from ebplan.portfolio.regions import Region
from ebplan.portfolio.share import Shared, portfolio, sampled_of, share
from ebplan.portfolio.spec import MOST_DAYS, PortfolioSpec
from ebplan.solvers.program import FloatArray
from ebplan.solvers.relaxation import DEFAULT_GAP
from ebplan.study.asked import Frontiers, Told
from ebplan.study.build import Built, build
from ebplan.study.run import load_study
from ebplan.study.series.resolve import resolve
from ebplan.study.series.wanted import Grid, Wanted
from ebplan.study.spec import Policy, StudySpec
from ebplan.sweep.farm import cores


@dataclass(frozen=True)
class Outcome:
    """A portfolio with its awards shared."""

    spec: PortfolioSpec
    built: Built
    regions: tuple[Region, ...]
    award_kw: FloatArray
    """Given awards and contracts, NaN where they were chosen, shape (S, T)."""
    shared: Shared


def load_portfolio(path: Path) -> PortfolioSpec:
    """Read a portfolio.

    Raises:
        InputError: the file is missing or wrong.
    """
    return PortfolioSpec.parse(read_data(path), file=str(path))


def run_portfolio(
    spec: PortfolioSpec,
    path: Path,
    *,
    gap: float = DEFAULT_GAP,
    jobs: int | None = None,
    kept: Path | None = None,
    told: Told | None = None,
    rounds: Callable[[str, int, float], None] | None = None,
) -> Outcome:
    """Return the awards of a portfolio, shared and checked.

    Args:
        spec: the portfolio.
        path: its file: others are named relative to it.
        gap: at which to stop.
        jobs: processes that answer for the groups; as many as there are cores if absent, none
            where there are so few groups that one program samples all.
        kept: folder in which frontiers of compute are kept, and found again.
        told: called with progress.
        rounds: called with what is shared, rounds so far and their gap.

    Raises:
        InputError: something it refers to is missing or wrong.
        CannotHold: awards or shared limits cannot be held; it says which, when and by how much.
        NoPlanError: there is no sharing, or it does not pass the check.
    """
    study_path = path.parent / spec.study
    study = _of(spec, load_study(study_path), path)
    with named(study_path):
        built = build(study, study_path.parent, frontiers=Frontiers(told, kept))
    regions = tuple(
        Region(one.name, one.groups, one.import_limit_kw, one.export_limit_kw)
        for one in spec.regions
    )
    groups = len(built.numbers.groups)
    with named(path):
        award_kw = _awards(spec, built, path.parent)
        of = portfolio(built.numbers, award_kw, regions=regions)

    def watch(done: int, now: float) -> None:
        if rounds is not None:
            rounds(f"sharing among {groups} groups", done, now)

    alone = jobs == 1 or groups <= sampled_of(len(regions))
    with nullcontext() if alone else Processes(jobs or cores()) as ask:
        try:
            shared = share(of, gap=gap, ask=ask, told=watch)
        except CannotHold as error:
            raise CannotHold(error.found, built.starts) from None
    broken = violations(built.numbers, award_kw, regions, shared)
    if broken:
        raise NoPlanError(f"the sharing does not pass the check: {'; '.join(broken)}")
    return Outcome(spec, built, regions, award_kw, shared)


def _of(spec: PortfolioSpec, study: StudySpec, path: Path) -> StudySpec:
    """Return the study over the portfolio's period, with prices that are known.

    Raises:
        InputError: the period is longer than one sharing takes.
    """
    days = spec.days or study.period.days
    if days > MOST_DAYS:
        raise InputError(
            field="days",
            value=days,
            allowed=f"at most {MOST_DAYS}: a portfolio is shared for its whole period at once",
            remedy="give the portfolio days of its own",
            file=str(path),
        )
    period = study.period.model_copy(
        update={"start": spec.start or study.period.start, "days": days}
    )
    update = {"period": period, "policy": Policy(kind="perfect_foresight")}
    return study.model_copy(update=update)


def _awards(spec: PortfolioSpec, built: Built, folder: Path) -> FloatArray:
    """Return given awards and contracts, NaN where what is held is to be chosen, shape (S, T).

    Raises:
        InputError: an award is of a product that the study has not, or of a contract, or below 0.
    """
    numbers = built.numbers
    award_kw = np.full((len(numbers.services), numbers.steps), np.nan)
    for i, service in enumerate(numbers.services):
        # the study has fixed it: the check holds the sharing to it
        if service.contract_kw is not None:
            award_kw[i] = service.contract_kw * service.held
    grid = Grid(built.starts[0], numbers.steps, built.spec.period.step_s)
    products = list(zip(built.spec.services, numbers.services, strict=True))
    for given in spec.awards:
        names = [(stated.service, one.id) for stated, one in products]
        at = next((i for i, both in enumerate(names) if given.service in both), None)
        if at is None or numbers.services[at].contract_kw is not None:
            free = [one.id for one in numbers.services if one.contract_kw is None]
            raise InputError(
                field="awards.service",
                value=given.service,
                allowed=", ".join(free) or "none: the study offers no product without a contract",
                remedy="name a product of the study that no contract fixes",
            )
        field = f"awards.{given.service}.kw"
        values = resolve(given.kw, grid, folder, Wanted(field=field, quantity="power_kw"), [])
        if values.min() < 0.0:
            raise InputError(
                field=field,
                value=float(values.min()),
                allowed=">= 0 kW",
                remedy="an award is what is held, whatever its direction",
            )
        award_kw[at] = values * numbers.services[at].held
    return award_kw
