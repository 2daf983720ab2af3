"""Fitted models shipped with ebplan: JSON artefacts, read on demand.

Reading one costs a JSON parse; nothing is fitted here and no fitting library is imported.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from ebplan.document import read_json
from ebplan.errors import InputError
from ebplan.models.battery_efficiency import BatteryEfficiency
from ebplan.models.calendar_ageing import CalendarAgeing
from ebplan.models.cap import CapModel
from ebplan.models.clock import ClockModel
from ebplan.models.consolidation import ConsolidationReference
from ebplan.models.cycle_ageing import CycleAgeing
from ebplan.models.fleet import FleetModel
from ebplan.models.fleet_prior import FleetPrior
from ebplan.models.ramp import RampModel
from ebplan.models.serving import ServingModel
from ebplan.models.standby import StandbyModel
from ebplan.models.tier import TierModel
from ebplan.models.wear import WearModel

Artefact: TypeAlias = (
    FleetModel
    | CapModel
    | ClockModel
    | TierModel
    | ConsolidationReference
    | WearModel
    | RampModel
    | StandbyModel
    | FleetPrior
    | ServingModel
    | CalendarAgeing
    | CycleAgeing
    | BatteryEfficiency
)

Kind = TypeVar("Kind", bound=Artefact)

_KINDS: dict[str, type[Artefact]] = {
    "fleet_model": FleetModel,
    "cap_model": CapModel,
    "clock_model": ClockModel,
    "tier_model": TierModel,
    "consolidation_reference": ConsolidationReference,
    "wear_model": WearModel,
    "ramp_model": RampModel,
    "standby_model": StandbyModel,
    "fleet_prior": FleetPrior,
    "serving_model": ServingModel,
    "calendar_ageing": CalendarAgeing,
    "cycle_ageing": CycleAgeing,
    "battery_efficiency": BatteryEfficiency,
}


@cache
def names() -> tuple[str, ...]:
    """Return the names of the artefacts, sorted."""
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return tuple(sorted(file.removesuffix(".json") for file in files if file.endswith(".json")))


@cache
def load(name: str) -> Artefact:
    """Return an artefact by name.

    Raises:
        InputError: there is no such artefact; the error lists the names.
    """
    if name not in names():
        raise _unknown(name, names())
    text = (resources.files(__name__) / f"{name}.json").read_text(encoding="utf-8")
    return _parse(json.loads(text), f"{name}.json")


def load_file(path: Path) -> Artefact:
    """Return an artefact that ``ebplan fit`` wrote.

    Raises:
        InputError: the file is missing or holds no artefact.
    """
    return _parse(read_json(path), str(path))


def _parse(data: dict[str, Any], file: str) -> Artefact:
    kind = data.get("kind")
    if kind not in _KINDS:
        raise InputError(
            field="kind",
            value=kind,
            allowed=", ".join(_KINDS),
            remedy="name an artefact written by ebplan fit",
            file=file,
        )
    return _KINDS[kind].parse(data, file=file)


def load_fleet(name: str) -> FleetModel:
    """Return a fleet model by name.

    Raises:
        InputError: the name is unknown or belongs to another kind of artefact.
    """
    return _load_kind(name, FleetModel)


def load_cap(name: str) -> CapModel:
    """Return a cap model by name.

    Raises:
        InputError: the name is unknown or belongs to another kind of artefact.
    """
    return _load_kind(name, CapModel)


def load_clock(name: str) -> ClockModel:
    """Return a clock model by name.

    Raises:
        InputError: the name is unknown or belongs to another kind of artefact.
    """
    return _load_kind(name, ClockModel)


def load_tier(name: str) -> TierModel:
    """Return a model of a lower precision by name.

    Raises:
        InputError: the name is unknown or belongs to another kind of artefact.
    """
    return _load_kind(name, TierModel)


def load_wear(name: str) -> WearModel:
    """Return a wear model by name.

    Raises:
        InputError: the name is unknown or belongs to another kind of artefact.
    """
    return _load_kind(name, WearModel)


def load_fleet_prior(name: str) -> FleetPrior:
    """Return a prior of serving configurations by name.

    Raises:
        InputError: the name is unknown or belongs to another kind of artefact.
    """
    return _load_kind(name, FleetPrior)


def _load_kind(name: str, kind: type[Kind]) -> Kind:
    """Return an artefact of one kind, or refuse with the names of those of this kind."""
    model = load(name) if name in names() else None
    if not isinstance(model, kind):
        raise _unknown(name, tuple(n for n in names() if isinstance(load(n), kind)))
    return model


def _unknown(name: str, known: tuple[str, ...]) -> InputError:
    """Say which names there are."""
    return InputError(
        field="model",
        value=name,
        allowed=", ".join(known),
        remedy="choose a model of the library, or fit one from your own runs",
    )
