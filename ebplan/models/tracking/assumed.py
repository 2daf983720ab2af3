"""What is assumed of the parameters that are tracked, and why.

No site has been measured for these; they are chosen so that what matters to a plan is found within
two minutes and noise alone names nothing for a year. A fitted model that is worse than assumed here
shows as drift, which is what it is to a plan.
"""

from __future__ import annotations

from functools import cache
from math import log

from ebplan.models.tracking.belief import Prior
from ebplan.models.tracking.parameter import DAY_S, Parameter, Sensing
from ebplan.models.tracking.storage import Storage

RUN_DAYS = 365.0
"""Days of readings until noise alone names a drift, on average."""

POWER = Parameter(
    name="power",
    numbers=("idle_gain", "busy_gain"),
    more="draws more",
    less="draws less",
    # what an idle and a busy instance have in common (meter, losses, model of GPU) errs most; how
    # far they err apart is told only by readings with instances drained
    prior=Prior.of_gains(2, apart=0.02, together=0.1, bounds=(0.5, 2.0), memory_s=DAY_S),
    # readings of ten seconds: a class 1 meter, the second or two that the draw lags behind a load
    white_sd=0.003,
    # loads wander by 3 % for minutes, the draw follows them with an elasticity of less than 0.1,
    # and the model's slope may be wrong by two thirds of that
    correlated_sd=0.002,
    correlation_s=300.0,
    block_s=10.0,
    smallest=0.04,
    run_days=RUN_DAYS,
)
"""Draw of a pool whose instances are not capped, over its model."""

CAPACITY = Parameter(
    name="capacity",
    numbers=("capacity_gain",),
    more="serves more",
    less="serves less",
    prior=Prior.of_gains(1, apart=0.0, together=0.1, bounds=(0.5, 2.0), memory_s=DAY_S),
    # requests finish in lumps
    white_sd=0.01,
    # and their lengths wander
    correlated_sd=0.003,
    correlation_s=300.0,
    block_s=10.0,
    smallest=0.06,
    run_days=RUN_DAYS,
)
"""Throughput of a pool while requests wait for it, over its model."""

SOC_SD = 0.0002
"""Standard deviation of a difference of two readings of the state of charge: the battery counts
charge to this share."""
MOVED_SOC = 0.02
"""Share of the battery's energy that is moved one way for one observation by its state of charge.
"""
BY_CHARGE = Sensing(
    white_sd=SOC_SD / MOVED_SOC,
    correlated_sd=0.0,
    correlation_s=1.0,
    # so much is moved a hundred times a day at most, as a rule
    block_s=DAY_S / 100.0,
    smallest=0.03,
    run_days=RUN_DAYS,
)
"""What a state of charge says of the energy of the cells, in logarithms."""
BY_CELLS = Sensing(
    # readings of ten seconds: class 0.5 sensors on both sides of the converter
    white_sd=0.003,
    # the open-circuit voltage is a table over the state of charge, and the cells lag behind it
    correlated_sd=0.002,
    correlation_s=300.0,
    block_s=10.0,
    smallest=0.03,
    run_days=RUN_DAYS,
)
"""What the power that leaves the cells says of their efficiency, in logarithms."""


@cache
def storage(cell_efficiency: float, highest_efficiency: float) -> Storage:
    """Return what is assumed of a battery.

    Args:
        cell_efficiency: one-way, by its site.
        highest_efficiency: that is physical.
    """
    # cells fade to 0.8 in a life; a loss that doubles is old age too
    energy_sd, efficiency_sd = 0.05, 0.03
    return Storage(
        by_charge=BY_CHARGE,
        by_cells=BY_CELLS,
        prior=Prior(
            mean=(0.0, 0.0),
            covariance=((energy_sd**2, 0.0), (0.0, efficiency_sd**2)),
            low=(log(0.5), log(0.7)),
            high=(log(1.1), log(highest_efficiency / cell_efficiency)),
            memory_s=30.0 * DAY_S,
        ),
    )


CAP_BLOCK_S = 5.0
"""Readings of a cap are gathered for so long: it is to be de-rated at once."""
CAP_POWER_SD = 0.006
"""What a block of readings of capped instances is off by, as a share of their natural draw: the
meter, and what is believed of that draw."""
CAP_SURE = 0.12
"""A cap is judged only where that is at most this share of what it is meant to take."""
