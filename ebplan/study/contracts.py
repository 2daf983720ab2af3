"""What is contracted must be there: a contract that nobody can hold is a fault of the input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ebplan.errors import InputError, NoPlanError
from ebplan.study.decisions import Track
from ebplan.study.numbers import ServiceNumbers, StudyNumbers


def check_contracts(numbers: StudyNumbers) -> None:
    """Refuse a contract above what the portfolio could ever release or absorb, with all it has.

    That is the largest draw, the export, and the power of the batteries; without any battery, what
    compute can release in each step in which the contract is held; to absorb, twice the power with
    which batteries charge.

    Raises:
        InputError: a contract is larger.
    """
    most = sum(float(g.baseline_kw.max()) + g.export_kw for g in numbers.groups)
    batteries = [g.battery.problem.discharge_limit_kw for g in numbers.groups if g.battery]
    most += sum(batteries)
    absorbed = sum(2.0 * g.battery.problem.charge_limit_kw for g in numbers.groups if g.battery)
    compute = np.sum([g.width_kw.sum(axis=1) for g in numbers.groups], axis=0)
    for service in numbers.services:
        if not service.contract_kw:
            continue
        limit = min(most, service.max_bid_kw)
        if not batteries and service.held.any():
            limit = min(limit, float(compute[service.held > 0.0].min()))
        if service.absorbs:
            limit = min(limit, absorbed)
        if service.contract_kw > limit * (1.0 + 1e-9):
            raise _too_large(service, f"up to {limit:.10g} kW, what the portfolio has")


def planned(numbers: StudyNumbers, plan: Callable[[StudyNumbers], Track]) -> Track:
    """Return the track of a policy.

    Args:
        numbers: the study.
        plan: the policy.

    Raises:
        InputError: there is no plan, but there would be one without the contracts.
        NoPlanError: there is none either way.
    """
    try:
        return plan(numbers)
    except NoPlanError as error:
        held = [s for s in numbers.services if s.contract_kw]
        if not held:
            raise
        without = tuple(
            s if s.contract_kw is None else replace(s, contract_kw=0.0) for s in numbers.services
        )
        try:
            plan(replace(numbers, services=without))
        except NoPlanError:
            raise error from None
        largest = max(held, key=lambda s: s.contract_kw or 0.0)
        raise _too_large(largest, "what the portfolio can hold in every step") from None


def _too_large(service: ServiceNumbers, allowed: str) -> InputError:
    return InputError(
        field=f"services.{service.id}.contract_kw",
        value=service.contract_kw,
        allowed=allowed,
        remedy="contract less, or add sites or batteries",
    )
