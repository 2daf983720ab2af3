"""Units that slipped: whether readings are of the size that physics gives them.

A wrong unit moves a column by 60, 1,000 or more. Bounds here lie where no device gets to and still
catch such a step from where devices usually are; what lies inside them is not judged.
"""

from __future__ import annotations

import numpy as np

from ebplan.errors import InputError
from ebplan.models.configuration import WEIGHT_BYTES, Configuration
from ebplan.models.curves import FloatArray

GPU_KW = (0.005, 3.0)
"""Power of a GPU, from asleep to loaded, its share of the node included: data-centre boards idle at
8 W and more, and none is limited to 2 kW yet. The ends lie less than 1,000 apart, so that no power
inside stays inside with a unit that is 1,000 times off."""
OF_CAP = (0.05, 1.1)
"""Power over cap: a board draws a few percent more at most, and does not idle at so little."""
LITTLE = (0.1, 10.0)
"""Inter-token latency over requests in flight per token rate: 1 by Little's law."""
OF_MEMORY_ROOF = (5e-3, 5.0)
"""Tokens per second of a request at the lightest load, over what reading the active weights once a
token allows: published runs have 0.03 and more, and more than 1 comes of speculative decoding only.
Requests per second taken for tokens lie below."""
LEAST_STEPS = 0.7
"""Time to first token at the lightest load, over that between tokens: at least one step, as well as
the two are known."""
MOST_OF_RESIDENCE = 3.0
"""Time to first token at the lightest load, over the time that a request is in flight there."""
CONVERTER_SHARE = (0.005, 1.25)
"""Highest AC power of a battery over the rated power of its converter."""
HOURS_AT_RATED = (0.05, 100.0)
"""Energy of a battery over the rated power of its converter, in hours."""
READING_S = (0.001, 15.0)
"""Time between readings of a ramp: no power sensor is faster, and slower ones see no ramp."""
MOST_SETTLE_S = 120.0
"""No mechanism of a GPU or a converter takes longer to move power."""
DAY_S = 86400.0
YEAR_S = 365.25 * DAY_S
STORED_S = (7.0 * DAY_S, 25.0 * YEAR_S)
"""Longest time of an ageing test: within a week cells lose nothing that shows, and no test of
lithium-ion cells has gone on for so long."""
CELLS_C = (-40.0, 75.0)
"""Temperature of cells in a test: 25 degC is 77 degF."""
LEAST_LEFT = 0.3
"""Share of the initial capacity left in the median: tests end long before, and a loss is less."""
LEAST_OF_CYCLE = 0.3
"""Time of a full cycle over its time at the rate said, 2 h at 1 C: less only where the rate is that
of the slower direction."""
GPU_UNITS = (
    "check the unit of the power (W or kW?) and how many GPUs a row sums up (options.gpus_per_row, "
    "or a column gpus)"
)


def check_gpu_power(kw_per_gpu: FloatArray, file: str) -> None:
    """Refuse powers that are not those of a GPU."""
    _check("columns.power", float(np.median(kw_per_gpu)), GPU_KW, "kW per GPU", GPU_UNITS, file)


def check_of_cap(
    kw_per_gpu: FloatArray, cap_kw: FloatArray, file: str, *, field: str = "cap", rows_of: int = 1
) -> None:
    """Refuse powers that caps do not allow, or that are next to nothing beside them.

    Args:
        kw_per_gpu: power of a GPU, shape (N,).
        cap_kw: caps in force, shape (N,).
        file: what the error names.
        field: column of the caps.
        rows_of: GPUs over which a cap may be summed up.
    """
    _check(
        "columns.power",
        float(np.median(kw_per_gpu / cap_kw)),
        (OF_CAP[0] / rows_of, OF_CAP[1]),
        f"times columns.{field} in the median: boards hold their caps",
        f"check the units of power and {field} (W or kW?), and options.gpus_per_row: a row may sum "
        "up several GPUs",
        file,
    )


def check_test_time(elapsed_s: FloatArray, file: str) -> None:
    """Refuse an ageing test that is over before cells age, or outlasts them."""
    longest_s = float(elapsed_s.max())
    _check(
        "columns.elapsed",
        longest_s / DAY_S,
        (STORED_S[0] / DAY_S, STORED_S[1] / DAY_S),
        "d at the last check-up",
        "check its unit (s, min, h or d?)",
        file,
    )


def check_cells(temperature_c: FloatArray, file: str) -> None:
    """Refuse temperatures at which no cells are tested."""
    farthest = float(temperature_c[np.abs(temperature_c - np.mean(CELLS_C)).argmax()])
    _check(
        "columns.temperature",
        farthest,
        CELLS_C,
        "degC for cells",
        "check its unit (degC, K or degF?)",
        file,
    )


def check_capacity_left(capacity: FloatArray, file: str) -> None:
    """Refuse capacities that are rather losses."""
    _check(
        "columns.capacity",
        float(np.median(capacity)),
        (LEAST_LEFT, float("inf")),
        "of the initial capacity left in the median",
        "give what is left, not what is lost, as a share of the initial capacity; check its unit "
        "(share or %?)",
        file,
    )


def check_cycling_time(
    elapsed_s: FloatArray, full_cycles: FloatArray, c_rate: FloatArray, file: str
) -> None:
    """Refuse check-ups before which the cycles said cannot have been made at the rate said."""
    made = full_cycles > 0.0
    if not made.any():
        return
    hours = float(np.median(elapsed_s[made] / full_cycles[made])) / 3600.0
    at_rate = float(np.median(2.0 / c_rate[made]))
    _check(
        "columns.elapsed",
        hours,
        (LEAST_OF_CYCLE * at_rate, float("inf")),
        f"h for a full cycle in the median; at the rates said it takes {at_rate:.3g} h",
        "check the units of elapsed (s, min, h or d?) and c_rate, and that full_cycles counts full "
        "cycles",
        file,
    )


def check_throughput(
    c: Configuration, concurrency: FloatArray, tokens_per_s: FloatArray, file: str
) -> None:
    """Refuse token rates that the memory of the GPUs cannot give, or that are next to nothing."""
    lightest = int(concurrency.argmin())
    roof = (
        c.gpus
        * c.memory_bandwidth_tb_per_s
        * 1e12
        / (c.active_parameters * 1e9 * WEIGHT_BYTES[c.precision])
    )
    _check(
        "columns.throughput",
        float(tokens_per_s[lightest] / concurrency[lightest]),
        (OF_MEMORY_ROOF[0] * roof, OF_MEMORY_ROOF[1] * roof),
        f"tokens/s for each request of {c.name!r} at its lightest load",
        "check its unit (of all requests of an instance), and concurrency, gpus, "
        "active_parameters and memory_bandwidth_tb_per_s",
        file,
    )


def check_itl(
    itl_s: FloatArray, concurrency: FloatArray, tokens_per_s: FloatArray, file: str
) -> None:
    """Refuse inter-token latencies that contradict the token rate."""
    follows_s = float(np.median(concurrency / tokens_per_s))
    share = float(np.median(itl_s * tokens_per_s / concurrency))
    _check(
        "columns.itl",
        share * follows_s,
        (LITTLE[0] * follows_s, LITTLE[1] * follows_s),
        "s between tokens; requests in flight over tokens/s give the middle",
        "check its unit (ms or s?), and that of throughput",
        file,
    )


def check_ttft(
    ttft_s: FloatArray, concurrency: FloatArray, tokens_per_s: FloatArray, tokens_out: float,
    file: str,
) -> None:  # fmt: skip
    """Refuse times to first token that do not fit into the time that a request is in flight."""
    lightest = int(concurrency.argmin())
    step_s = float(concurrency[lightest] / tokens_per_s[lightest])
    in_flight_s = step_s * tokens_out
    _check(
        "columns.ttft",
        float(ttft_s[lightest]),
        (LEAST_STEPS * step_s, MOST_OF_RESIDENCE * in_flight_s),
        f"s at the lightest load, where a request is in flight for {in_flight_s:.3g} s",
        "check its unit (ms or s?), and tokens_out",
        file,
    )


def check_converter(power_kw: FloatArray, rated_kw: float, file: str, field: str) -> None:
    """Refuse powers that a converter cannot carry, or at which it as good as rests."""
    low, high = (share * rated_kw for share in CONVERTER_SHARE)
    _check(
        field,
        float(np.abs(power_kw).max()),
        (low, high),
        f"kW at most, with a converter of {rated_kw:g} kW",
        "check the unit of the power (W or kW?) and options.converter_rated_kw",
        file,
    )


def check_battery_energy(energy_kwh: float, rated_kw: float, file: str) -> None:
    """Refuse an energy that is seconds or weeks of the converter's power."""
    _check(
        "(rows) energy_kwh",
        energy_kwh,
        (HOURS_AT_RATED[0] * rated_kw, HOURS_AT_RATED[1] * rated_kw),
        f"kWh, {HOURS_AT_RATED[0]:g} to {HOURS_AT_RATED[1]:g} h of {rated_kw:g} kW",
        "check the units of power, time, energy, depth and state of charge (Wh or kWh, s or ms, "
        "share or %?)",
        file,
    )


def check_time_base(time_s: FloatArray, file: str) -> None:
    """Refuse a time base at which no ramp can have been read."""
    _check(
        "columns.time",
        float(np.median(np.diff(time_s))),
        READING_S,
        "s between readings of a ramp",
        "check its unit (ms or s?); average faster readings, and read slower ones faster",
        file,
    )


def check_settling(settle_s: float, file: str) -> None:
    """Refuse a ramp that is slower than any mechanism."""
    _check(
        "columns.time",
        settle_s,
        (0.0, MOST_SETTLE_S),
        "s until 90 % of a step is made",
        "check the unit of the time (ms or s?), or record the command that moves power",
        file,
    )


def _check(
    field: str, value: float, bounds: tuple[float, float], what: str, remedy: str, file: str
) -> None:
    """Refuse a value outside its bounds; written so that NaN is refused too."""
    if not bounds[0] <= value <= bounds[1]:
        raise InputError(
            field=field,
            value=float(f"{value:.4g}"),
            allowed=f"{_span(*bounds)} {what}",
            remedy=remedy,
            file=file,
        )


def _span(low: float, high: float) -> str:
    """Say what lies between two bounds."""
    return f"at least {low:.3g}" if high == float("inf") else f"{low:.3g} to {high:.3g}"
