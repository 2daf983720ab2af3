"""Write ``recording.csv``: ``python examples/replay/make_recording.py``.

An hour of the built-in site on the fluid plant, metered every 10 s. The grid asks for 1.2 kW less
for 15 minutes; somebody caps the GPUs by hand, two minutes late and too little, and lifts the caps
at the end. All of it is simulated.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np

from ebplan.adapters.commands import CapPower
from ebplan.case import load_case
from ebplan.twin import FluidPlant, MeterModel
from ebplan.twin.disturbances import LoadStep

HERE = Path(__file__).parent
INTERVAL_S, LASTS_S = 10.0, 3600.0
BEGINS_S, LATE_S, EVENT_S, CAP_W = 1800.0, 120.0, 900.0, 395.0
LOAD_STEP_S, LOAD_STD = 60.0, 0.02


def main() -> None:
    """Write the recording beside this file."""
    case = load_case(HERE.parent / "under_frequency.json")
    rng = np.random.default_rng(11)
    ((pool, told),) = case.state.pools.items()
    usual = told.load_req_per_s
    factors = 1.0 + LOAD_STD * rng.standard_normal(round(LASTS_S / LOAD_STEP_S))
    steps = [
        LoadStep(at_s=LOAD_STEP_S * i, pool=pool, request_class=key, req_per_s=rate * factor)
        for i, factor in enumerate(factors.tolist())
        for key, rate in usual.items()
    ]
    meter = MeterModel(averaging_s=INTERVAL_S, noise_kw=0.015)
    plant = FluidPlant(case.site, case.state, disturbances=steps, meter=meter, seed=11)
    capped = {
        BEGINS_S + LATE_S: CapPower(at_s=0.0, pool=pool, w_per_gpu=CAP_W),
        BEGINS_S + EVENT_S: CapPower(at_s=0.0, pool=pool, w_per_gpu=None),
    }
    lines = [",".join(["time", "grid_w", "battery_w", *(f"{key}_per_s" for key in usual)])]
    for i in range(round(LASTS_S / INTERVAL_S)):
        at_s = INTERVAL_S * i
        seen = plant.step([capped[at_s]] if at_s in capped else [], INTERVAL_S)
        assert seen.grid_kw is not None
        loads = seen.pools[pool].load_req_per_s
        cells = [f"{1000.0 * seen.grid_kw:.0f}", f"{1000.0 * seen.battery_kw:.0f}"]
        cells += [f"{loads[key]:.3f}" for key in usual]
        moment = case.state.at + timedelta(seconds=at_s)
        lines.append(",".join([moment.isoformat(), *cells]))
    (HERE / "recording.csv").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
