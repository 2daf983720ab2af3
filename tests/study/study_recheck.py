"""Check a study by its tables alone: no code of the package, each law once more from its words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

Table = dict[str, np.ndarray[Any, Any]]
KW, KWH, YEN = 1e-2, 1e-2, 0.5
"""How far kilowatts, kilowatt-hours and yen of a step may be off."""


def recheck(folder: Path) -> list[str]:
    """Return what does not hold, by policy."""
    manifest = json.loads((folder / "manifest.json").read_text())
    policies = [r["policy"] for r in manifest["runs"] if r["corner"] == "central"]
    return [f"{p}: {fault}" for p in policies for fault in _faults(folder, manifest, p)]


def _read(folder: Path, name: str, policy: str, **keys: str) -> Table:
    chosen = (pc.field("policy") == policy) & (pc.field("corner") == "central")
    for key, value in keys.items():
        chosen = chosen & (pc.field(key) == value)
    table = pq.read_table(folder / f"{name}.parquet", filters=chosen)
    return {c: np.array(table[c]) for c in table.column_names if c not in ("policy", "corner")}


def _faults(folder: Path, manifest: dict[str, Any], policy: str) -> Iterator[str]:
    steps = _read(folder, "steps", policy)
    hours = steps["hours"]
    draw, award_held, award_absorbed = np.zeros(len(hours)), {}, {}
    lost = np.zeros(len(hours))
    wear = np.zeros(len(hours))
    for service in manifest["services"]:
        award_held[service["id"]] = np.zeros(len(hours))
        award_absorbed[service["id"]] = np.zeros(len(hours))
    for group in manifest["groups"]:
        name = group["name"]
        rows = _read(folder, "groups", policy, group=name)
        draw += rows["grid_kw"]
        released = np.zeros(len(hours))
        slices = _read(folder, "slices", policy, group=name)
        for k in np.unique(slices["slice"]) if "slice" in slices else ():
            one = {c: v[slices["slice"] == k] for c, v in slices.items()}
            if (one["planned_kw"] + one["held_kw"] > one["width_kw"] + KW).any():
                yield f"{name}: slice {k} gives more than its width"
            released += one["released_kwh"]
            lost += one["released_kwh"] * one["lost_per_kwh"]
            if (one["released_kwh"] < one["planned_kw"] * hours - KWH).any():
                yield f"{name}: slice {k} released less than was planned"
        moved = (rows["compute_planned_kw"]) * hours + rows["compute_called_kwh"]
        if not np.allclose(released, moved, atol=KWH):
            yield f"{name}: slices do not add up to what compute gave"
        expected = rows["baseline_kw"] - moved / hours - rows["battery_kw"]
        if not np.allclose(rows["grid_kw"], expected, atol=KW):
            yield f"{name}: draw is not baseline less compute less battery"
        held, reserve = np.zeros(len(hours)), np.zeros(len(hours))
        absorb, room = np.zeros(len(hours)), np.zeros(len(hours))
        absent = np.zeros(len(hours))
        for service in manifest["services"]:
            mine = _read(folder, "holdings", policy, group=name, service=service["id"])
            award_held[service["id"]] += mine["battery_kw"] + mine["compute_kw"]
            award_held[service["id"]] += mine["lacking_kw"]
            award_absorbed[service["id"]] += mine["absorb_kw"]
            absorb += mine["absorb_kw"]
            room += mine["absorb_kw"] * service["room_s"] / 3600.0
            held += mine["battery_kw"]
            reserve += mine["battery_kw"] * service["sustain_s"] / 3600.0
            if service["full_activation_s"] < group["settled_s"]:
                held += mine["compute_kw"]
                reserve += mine["compute_kw"] * group["bridge_s"] / 3600.0
            absent += _read(folder, "awards", policy, service=service["id"])["absent_kw"]
        if group["battery"] is None:
            continue
        cells = group["battery"]
        energy = np.append(cells["start_kwh"], rows["energy_kwh"])
        out = (rows["discharge_kw"] * hours + rows["battery_called_kwh"]) / cells[
            "discharge_efficiency"
        ]
        into = rows["charge_kw"] * hours + rows["battery_absorbed_kwh"]
        into = into * cells["charge_efficiency"]
        if not np.allclose(np.diff(energy), into - out, atol=KWH):
            yield f"{name}: energy in the cells is not conserved"
        if (energy < cells["min_kwh"] - KWH).any() or (energy > cells["max_kwh"] + KWH).any():
            yield f"{name}: state of charge outside its limits"
        net = rows["discharge_kw"] - rows["charge_kw"]
        power = net + held - absent
        if (power > cells["discharge_limit_kw"] + KW).any():
            yield f"{name}: more power promised than there is"
        least = np.minimum(energy[:-1], energy[1:]) - cells["min_kwh"]
        covered = least * cells["discharge_efficiency"] + KWH
        if ((absent <= 0.0) & (reserve > covered)).any():
            yield f"{name}: more energy promised than there is"
        if (absorb - net - absent > cells["charge_limit_kw"] + KW).any():
            yield f"{name}: more absorbing promised than the battery charges"
        there = cells["max_kwh"] - np.maximum(energy[:-1], energy[1:]) + KWH
        if ((absent <= 0.0) & (room * cells["charge_efficiency"] > there)).any():
            yield f"{name}: more room promised than there is"
        wear += out * cells["wear_per_kwh"]
    if not np.allclose(draw, steps["grid_kw"], atol=KW):
        yield "groups do not add up to the draw"
    bought = steps["position_kw"] + steps["bought_kw"] - steps["sold_kw"]
    off = (steps["grid_kw"] - bought) * hours + steps["delivered_kwh"] - steps["absorbed_kwh"]
    if not np.allclose(off, steps["imbalance_kwh"], atol=KWH):
        yield "imbalance is not what was drawn beyond what was bought"
    yield from _money(folder, manifest, policy, steps, lost, wear)
    for service in manifest["services"]:
        award = _read(folder, "awards", policy, service=service["id"])
        for sold, there in (
            (service["releases"], award_held[service["id"]]),
            (service["absorbs"], award_absorbed[service["id"]]),
        ):
            if not np.allclose(award["award_kw"] if sold else 0.0, there, atol=KW):
                yield f"{service['id']}: nobody holds the award"
        paid = award["award_kw"] * award["price_per_kw"]
        if not np.allclose(paid, award["money_capacity"], atol=YEN):
            yield f"{service['id']}: paid otherwise than by its price"


def _money(
    folder: Path,
    manifest: dict[str, Any],
    policy: str,
    steps: Table,
    lost: np.ndarray[Any, Any],
    wear: np.ndarray[Any, Any],
) -> Iterator[str]:
    hours, spot = steps["hours"], steps["spot_per_kwh"]
    spread = manifest["intraday_spread_per_kwh"]
    traded = (spot - spread) * steps["sold_kw"] - (spot + spread) * steps["bought_kw"]
    arbitrage = spot * (steps["baseline_kw"] - steps["position_kw"]) + traded
    checks = {
        "money_arbitrage": arbitrage * hours,
        "money_imbalance": -steps["imbalance_per_kwh"] * steps["imbalance_kwh"],
        "money_lost_compute": -lost,
    }
    flat = all(
        g["battery"] is None or not (g["battery"]["depth_segments"] or g["battery"]["calendar"])
        for g in manifest["groups"]
    )
    if flat:
        checks["money_wear"] = -wear
    for name, value in checks.items():
        if not np.allclose(steps[name], value, atol=YEN):
            yield f"{name} is not what the rules say"
    layers = [v for c, v in steps.items() if c.startswith("money_")]
    if not np.allclose(np.sum(layers, axis=0), steps["money"], atol=YEN):
        yield "layers do not add up"
    ledger = _read(folder, "ledger", policy)
    if abs(float(ledger["money"].sum() - steps["money"].sum())) > YEN:
        yield "months do not add up to the steps"
