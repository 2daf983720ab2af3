"""Write ``meter.csv`` and ``meter_plan.json``: ``python examples/settle/make_meter.py``.

The event of ``examples/under_frequency.json`` carried out on the fluid plant and metered each
second with noise of 20 W, the loads 2 % about their forecast; ``meter_event.json`` is what was
asked. All of it is simulated.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ebplan.case import load_case
from ebplan.settlement.simulate import simulate
from ebplan.twin import LoadNoise

HERE = Path(__file__).parent


def main() -> None:
    """Write the series, the plan and the event beside this file."""
    case = load_case(HERE.parent / "under_frequency.json")
    meter, plan = simulate(
        case.site,
        case.state,
        case.event,
        seed=7,
        load_noise=LoadNoise(std=0.02),
        noise_kw=0.02,
    )
    shown = {name: value for name, value in meter.values.items() if not name.startswith("pool.")}
    rounded = {name: np.round(value, 3) for name, value in shown.items()}
    (HERE / "meter.csv").write_text(replace(meter, values=rounded).to_csv(), "utf-8")
    (HERE / "meter_plan.json").write_text(plan.to_json() + "\n", "utf-8")
    event = case.event.model_copy(update={"start": plan.start})
    text = event.model_dump_json(indent=1, exclude_defaults=True)
    (HERE / "meter_event.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
