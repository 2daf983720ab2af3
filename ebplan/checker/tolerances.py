"""What the checker lets pass, and why. Each is far below the 1 % that a planted error would be.

Nothing here forgives a decision: a tolerance covers how a number was computed, never what it says.
"""

from __future__ import annotations

TIME_S = 1e-6
"""Times of a plan against those of its problem, in seconds.
Covers a duration taken as the difference of two edges of an hours-long horizon.
Steps are a tenth of a second and more."""

POWER_KW = 1e-5
"""Any power, in kW.
Covers a solver's feasibility tolerance (1e-7 per row, summed over a few rows) and its rounding.
A hundredth of a watt; no meter at a connection point resolves it."""

KERNEL_WEIGHT = 1e-4
"""Weight of an old epoch that a plan may fold into the current one, per epoch and channel.
Covers the truncation of the step-response kernel; multiplied by how far that epoch's settled
input lies from the current one, it bounds the error of the compute power exactly."""

UNDONE_KW = 1e-6
"""A shortfall, overrun or hand-off excess that a plan may leave out, in kW.
Covers a solver's feasibility tolerance in slacks that are priced by the thousand.
A milliwatt."""

COUNT_SHARE = 1e-5
"""Load and power per active instance, as a share of the bound.
Covers counts that a solver leaves within 1e-6 of a whole number and that are then rounded.
On one instance: ten milliwatts, and about a request in two hours."""

NATURAL_DRAW_SHARE = 2.1e-3
"""How far below the natural draw an instance may be planned without a cap, as a share of it.
Covers the chords through the load curve, which lie at most 0.2 % below it where it is fitted,
and a little for rounding; an uncapped instance then draws that much more than planned."""

CAP_W = 0.05
"""Power limit for a GPU against the power it is meant to give, in watts.
Covers a limit rounded to a tenth of a watt.
Limits are 100 W and more: 0.05 % at most."""

CLOCK_MHZ = 0.05
"""Locked clock of a GPU against the clock that gives the planned power, in MHz.
Covers a clock rounded to a tenth of a megahertz.
Clocks are hundreds of megahertz: 0.05 % at most."""

LOSS_GAP = 1.0 / 64.0
"""Converter loss, as a share of its quadratic coefficient times rated power.
Covers four tangents at 1/8, 3/8, 5/8, 7/8 of rated power, which meet at quarters: between two
tangent points a quarter apart the parabola lies at most (1/8)^2 above them."""

TRANSIENT_SHARE = 0.25
"""Extra energy of a clipped battery, as a share of the spread of the residual within the step.
Covers that a plan knows step means: the mean of max(0, x) exceeds max(0, mean x) by at most a
quarter of the range of x. It counts only in steps where the converter is at a limit or at zero."""

ENERGY_SHARE = 2e-6
"""Energy in the battery, as a share of its size.
Covers rounding over a hundred steps.
On 10 kWh: a fiftieth of a watt-hour."""

ALTERNATION_SHARE = 1e-4
"""Energy burnt by a battery that turns round for nothing, as a share of its size.
Covers that a search ends at a gap of the money, not at the last watt.
On 10 kWh: a watt-hour."""

CAP_CHORDS = 4
"""Fewest chords through the cap curve, between floor and full power, with which congestion is
priced. Covers that chords lie below a concave curve, by at most width^2 / 8 times its curvature:
a plan may charge itself that much too much congestion, never too little."""

MONEY_SHARE = 1e-5
"""Money of a cause, as a share of the sum of its terms taken without sign.
Covers solver tolerances on prices times quantities.
A hundredth of a yen in a thousand."""

PLAN_SHARE = 1e-9
"""Money of a cause, as a share of the plan's money taken without sign.
Covers a solver's tolerance on the whole objective, which may show in a cause that should be zero.
A yen in a thousand million."""

MONEY = 1e-6
"""Money of a cause or a plan, in its currency.
Covers that amounts this small are left out of a plan.
Nobody is paid in millionths."""

RATIO = 1e-6
"""Gap, SoC and other pure numbers.
Covers rounding.
A gap is called optimal at 1e-3."""

RATE_SHARE = 1e-6
"""Requests per second and requests, as a share of the offered ones.
Covers the conversion between instance-equivalents and requests.
One request in a million."""

BACKLOG_REQUESTS = 2e-3
"""Requests waiting.
Covers that less than a thousandth of a request counts as none.
A fiftieth of a second of one instance's work is a hundred times that."""

SHORTFALL_KWH = 1e-6
"""Energy of a shortfall interval, in kWh.
Covers the sum over its steps, and steps short by less than the rounding of powers.
A milliwatt-hour."""

FIRST_JUDGED_S = 0.1
"""The response is judged from this long after the event starts, or from the converter's delay.
Covers the measuring window of the fastest grid products; energy missing before it is still a
shortfall of the plan and priced."""

OPERATING_POINT = 3e-5
"""Utilisation of the capacity, and power as a share of the natural draw, before a latency follows.
Covers the rounding of load, count and power (``COUNT_SHARE`` and ``POWER_KW``) in either.
It moves a latency by as much, and more only where the queue is all but full."""

LATENCY_SHARE = 1e-6
"""A latency, as a share of it, beyond what the operating point leaves open.
Covers rounding.
A microsecond in a second."""
