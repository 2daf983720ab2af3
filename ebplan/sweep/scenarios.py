"""A sweep becomes studies: every combination of its axes, each cut into periods."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from typing import Any

from ebplan.case import load_site
from ebplan.errors import InputError
from ebplan.study.spec import BatterySize, Group, StudySpec
from ebplan.sweep.spec import SweepSpec


@dataclass(frozen=True)
class Scenario:
    """One combination."""

    id: str
    """Digest of the values: the same in every sweep that holds the combination."""
    values: Mapping[str, Any]
    """By axis."""
    study: StudySpec
    confidence: float | None

    @property
    def labels(self) -> dict[str, float | str]:
        """Return the values as a table holds them: numbers, or text."""
        return {name: label(value) for name, value in self.values.items()}


def label(value: Any) -> float | str:
    """Return a value as a number, or as one word."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        if isinstance(value, list | tuple):
            return "+".join(map(str, value)) or "none"
        return json.dumps(value, sort_keys=True) if isinstance(value, dict) else str(value)
    return float(value)


def scenarios(spec: SweepSpec, study: StudySpec, folder: Path) -> Iterator[Scenario]:
    """Yield every scenario, in the order of the axes.

    Args:
        spec: the sweep.
        study: what is varied.
        folder: where the study lies.

    Raises:
        InputError: an axis names something that the study has not, or a value is refused.
    """
    _known(spec, study)
    axes = spec.axes.by_name()
    for combination in product(*axes.values()):
        values = dict(zip(axes, combination, strict=True))
        plain = json.dumps({k: label(v) for k, v in values.items()}, sort_keys=True)
        yield Scenario(
            id=hashlib.sha256(plain.encode()).hexdigest()[:12],
            values=values,
            study=_varied(spec, study, folder, values),
            confidence=values.get("confidence"),
        )


def _known(spec: SweepSpec, study: StudySpec) -> None:
    groups = [group.name for group in study.portfolio]
    if spec.group is not None and spec.group not in groups:
        raise InputError(
            field="group",
            value=spec.group,
            allowed=f"a group of the study: {', '.join(groups)}",
            remedy="correct the name",
        )
    offered = [service.service for service in study.services]
    for i, names in enumerate(spec.axes.services or ()):
        for name in names:
            if name not in offered:
                raise InputError(
                    field=f"axes.services.{i}",
                    value=name,
                    allowed=f"products of the study: {', '.join(offered) or 'it has none'}",
                    remedy="correct the name, or describe the product in the study",
                )


def _varied(
    spec: SweepSpec, study: StudySpec, folder: Path, values: Mapping[str, Any]
) -> StudySpec:
    plain = study.model_dump(mode="json")
    for path in spec.axes.fields:
        _set(plain, path, deepcopy(values[path]))
    for i, group in enumerate(study.portfolio):
        if spec.group not in (None, group.name):
            continue
        one = plain["portfolio"][i]
        if "sites" in values:
            one["count"] = values["sites"]
        if "without" in values:
            one["without"] = list(values["without"])
        if "battery_energy_kwh" in values or "battery_power_kw" in values:
            one["battery"] = _battery(group, folder, values)
    if "services" in values:
        kept = values["services"]
        plain["services"] = [s for s in plain["services"] if s["service"] in kept]
    if "start" in values:
        plain["period"]["start"] = values["start"].isoformat()
    return StudySpec.parse(plain)


def _battery(group: Group, folder: Path, values: Mapping[str, Any]) -> dict[str, float] | str:
    energy, power = values.get("battery_energy_kwh"), values.get("battery_power_kw")
    if energy == 0.0 or power == 0.0:
        return "none"
    if energy is None or power is None:
        own = _own(group, folder)
        energy = own.energy_kwh if energy is None else energy
        power = own.power_kw if power is None else power
    return {"energy_kwh": energy, "power_kw": power}


def _own(group: Group, folder: Path) -> BatterySize:
    """Return the size of a group's battery as the study has it."""
    if isinstance(group.battery, BatterySize):
        return group.battery
    battery = load_site(group.site, folder=folder).battery
    if battery is None or group.battery == "none":
        raise InputError(
            field="axes",
            value=f"{group.name} has no battery",
            allowed="both battery_energy_kwh and battery_power_kw, where there is none of its own",
            remedy="give the other axis too",
        )
    return BatterySize(energy_kwh=battery.energy_kwh, power_kw=battery.discharge_limit_kw)


def _set(plain: Any, path: str, value: Any) -> None:
    """Set a value of a plain study by its dotted path.

    Raises:
        InputError: nothing is there.
    """
    *way, last = path.split(".")
    inner = plain
    try:
        for key in way:
            inner = inner[int(key)] if isinstance(inner, list) else inner[key]
        place: Any = int(last) if isinstance(inner, list) else last
        inner[place]  # what is not there cannot be varied
        inner[place] = value
    except (KeyError, IndexError, TypeError, ValueError):
        raise InputError(
            field="axes.fields",
            value=path,
            allowed="the dotted path of a value of the study, e.g. services.0.price_times",
            remedy="correct the path",
        ) from None


def periods(spec: SweepSpec, study: StudySpec) -> Iterator[StudySpec]:
    """Yield a scenario's study for each of its periods.

    Raises:
        InputError: a series without times cannot be cut into months.
    """
    if spec.split == "whole":
        yield study
        return
    _has_times(study.model_dump(mode="json"), "")
    first = study.period.start
    end = first + timedelta(days=study.period.days)
    while first < end:
        following = min(date(first.year + first.month // 12, first.month % 12 + 1, 1), end)
        period = study.period.model_copy(update={"start": first, "days": (following - first).days})
        yield study.model_copy(update={"period": period})
        first = following


def _has_times(plain: Any, at: str) -> None:
    if isinstance(plain, dict):
        if set(plain) == {"file", "column"}:
            raise InputError(
                field=at,
                value=plain["file"],
                allowed="series with times, where the period is cut into months",
                remedy="name the column with the times, or leave out split",
            )
        for key, inner in plain.items():
            _has_times(inner, f"{at}.{key}" if at else key)
    elif isinstance(plain, list):
        for i, inner in enumerate(plain):
            _has_times(inner, f"{at}.{i}")
