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

from ebplan.document import read_data
from ebplan.errors import InputError
from ebplan.kinds import another_kind
from ebplan.models.battery_efficiency import BatteryEfficiency
from ebplan.models.calendar_ageing import CalendarAgeing
from ebplan.models.cap import CapModel
from ebplan.models.clock import ClockModel
from ebplan.models.consolidation import ConsolidationReference
from ebplan.models.cycle_ageing import CycleAgeing
from ebplan.models.fleet import FleetModel
from ebplan.models.fleet_prior import FleetPrior
from ebplan.models.loss import LossModel
from ebplan.models.ramp import RampModel
from ebplan.models.serving import ServingModel
from ebplan.models.standby import StandbyModel
from ebplan.models.tier import TierModel
from ebplan.models.wear import WearModel
from ebplan.nearest import meant

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
    | LossModel
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
    "loss_model": LossModel,
}


FOLDERS = "EBPLAN_MODELS"
"""Environment variable with the folders of your own artefacts."""


def names() -> tuple[str, ...]:
    """Return the names of the artefacts, sorted: the library's and your own.

    A file of your own is named without being read: see ``catalogue`` for those that can be used.

    Raises:
        InputError: a folder of your own is not there.
    """
    return tuple(sorted({*_shipped(), *_own(os.environ.get(FOLDERS, ""))}))


def load(name: str) -> Artefact:
    """Return an artefact by name. Other files of your own are not looked into.

    Raises:
        InputError: there is no such artefact (the error lists the names), its file holds none, or
            several files have this name.
    """
    files = _own(os.environ.get(FOLDERS, "")).get(name, ())
    if files and (name in _shipped() or len(files) > 1):
        raise InputError(
            field="(name)",
            value=name,
            allowed="names that no other artefact has",
            remedy="fit it again under another name",
            file=str(files[-1]),
        )
    if name in _shipped():
        return _load_shipped(name)
    if not files:
        raise _unknown(name, names())
    return _load_own(files[0], _written_ns(files[0]))


def catalogue() -> tuple[dict[str, Artefact], tuple[InputError, ...]]:
    """Return the artefacts by name, and what is wrong with the files that hold none.

    Raises:
        InputError: a folder of your own is not there.
    """
    usable: dict[str, Artefact] = {}
    faults: list[InputError] = []
    for name in names():
        try:
            usable[name] = load(name)
        except InputError as fault:
            faults.append(fault)
    return usable, tuple(faults)


@cache
def _shipped() -> tuple[str, ...]:
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return tuple(sorted(file.removesuffix(".json") for file in files if file.endswith(".json")))


def _own(folders: str) -> dict[str, tuple[Path, ...]]:
    """Return the files of your own artefacts by name: one each, where all is well."""
    found: dict[str, tuple[Path, ...]] = {}
    for folder in (Path(part) for part in folders.split(os.pathsep) if part):
        if not folder.is_dir():
            raise InputError(
                field=FOLDERS,
                value=str(folder),
                allowed="folders of artefacts",
                remedy="correct the path, or unset the variable",
            )
        for path in sorted(folder.glob("*.json")):
            found[path.stem] = (*found.get(path.stem, ()), path)
    return found


def _written_ns(path: Path) -> int:
    """Return when a file was written; 0 where it cannot be asked (reading it will say why)."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


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
    return _parse(read_data(path), str(path))


def _parse(data: dict[str, Any], file: str) -> Artefact:
    kind = data.get("kind")
    if other := another_kind(data, *_KINDS, fields=("card",), file=file):
        raise other
    if not isinstance(kind, str) or kind not in _KINDS:
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
        raise _unknown(name, tuple(n for n, m in catalogue()[0].items() if isinstance(m, kind)))
    return model


def _unknown(name: str, known: tuple[str, ...]) -> InputError:
    """Say which names there are."""
    return InputError(
        field="model",
        value=name,
        allowed=", ".join(known),
        remedy=f"{meant(name, known) or 'choose one of these;'} `ebplan models` says what each is; "
        "or fit one from your own runs",
    )
