"""Fitted models by name: those shipped with ebplan, and your own.

JSON artefacts, read on demand: reading one costs a JSON parse; nothing is fitted here and no
fitting library is imported. Your own, written by ``ebplan fit``, are looked up in the folders that
the environment variable ``EBPLAN_MODELS`` names (separated as in PATH). A name of the library
cannot be taken over: what a plan was made with must be clear from its name.
"""

from __future__ import annotations

import json
import os
from functools import cache, lru_cache
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


FOLDERS = "EBPLAN_MODELS"
"""Environment variable with the folders of your own artefacts."""


def names() -> tuple[str, ...]:
    """Return the names of the artefacts, sorted: the library's and your own.

    Raises:
        InputError: a folder of your own is not there, or one of its names is taken.
    """
    return tuple(sorted((*_shipped(), *_own(os.environ.get(FOLDERS, "")))))


def load(name: str) -> Artefact:
    """Return an artefact by name.

    Raises:
        InputError: there is no such artefact; the error lists the names.
    """
    if name in _shipped():
        return _load_shipped(name)
    own = _own(os.environ.get(FOLDERS, ""))
    if name not in own:
        raise _unknown(name, names())
    return _load_own(own[name], own[name].stat().st_mtime_ns)


@cache
def _shipped() -> tuple[str, ...]:
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return tuple(sorted(file.removesuffix(".json") for file in files if file.endswith(".json")))


def _own(folders: str) -> dict[str, Path]:
    """Return the files of your own artefacts by name."""
    found: dict[str, Path] = {}
    for folder in (Path(part) for part in folders.split(os.pathsep) if part):
        if not folder.is_dir():
            raise InputError(
                field=FOLDERS,
                value=str(folder),
                allowed="folders of artefacts",
                remedy="correct the path, or unset the variable",
            )
        for path in sorted(folder.glob("*.json")):
            if path.stem in found or path.stem in _shipped():
                raise InputError(
                    field=FOLDERS,
                    value=str(path),
                    allowed="names that no other artefact has",
                    remedy="fit it again under another name",
                )
            found[path.stem] = path
    return found


@cache
def _load_shipped(name: str) -> Artefact:
    text = (resources.files(__name__) / f"{name}.json").read_text(encoding="utf-8")
    return _parse(json.loads(text), f"{name}.json")


@lru_cache(maxsize=64)
def _load_own(path: Path, _written_ns: int) -> Artefact:
    model = load_file(path)
    if model.name != path.stem:
        raise InputError(
            field="name",
            value=model.name,
            allowed=f"{path.stem!r}, as the file is called",
            remedy="rename the file",
            file=str(path),
        )
    return model


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
