"""What is said and drawn of a delivery: reasons, question marks, decimals, gaps."""

from __future__ import annotations

import numpy as np
import pytest
from responses import BEFORE_S, event, product, response
from rich.console import Console

from ebplan.event import Event
from ebplan.models.card import Excluded
from ebplan.report.baseline_table import broken
from ebplan.report.delivery_table import print_delivery, reasons, share_energies, verdict_words
from ebplan.services import ServiceDefinition
from ebplan.settlement.delivery import Delivery, measure_delivery
from ebplan.settlement.reference import reference
from ebplan.settlement.series import MeterSeries


def measured(
    meter: MeterSeries, *, service: ServiceDefinition | None = None, asked: Event | None = None
) -> Delivery:
    base = reference(meter, BEFORE_S)
    return measure_delivery(meter, asked or event(), base, service=service or product())


def without(meter: MeterSeries, keep: np.ndarray) -> MeterSeries:
    return MeterSeries(
        start=meter.start,
        interval_s=meter.interval_s,
        time_s=meter.time_s[keep],
        values={name: kw[keep] for name, kw in meter.values.items()},
        excluded=(Excluded(run="line 9", weight=0.0, reason="grid_kw is no number"),),
    )


def with_gap() -> MeterSeries:
    meter = response(noise_kw=0.1)
    since_s = meter.time_s - BEFORE_S
    return without(meter, (since_s < 300.0) | (since_s >= 420.0))


def test_what_hides_a_delay_is_said_with_its_limit() -> None:
    told = reasons(measured(response(noise_kw=0.1)).criteria)
    assert len(told) == 1
    assert told[0].startswith("Allowed initial delay: 10 s asked, and ")
    assert told[0].endswith(" more for what readings of 1 s and their noise hide.")


def test_missing_readings_are_no_fact_to_supply() -> None:
    found = measured(with_gap(), service=product(sustain_s=1170.0))
    assert "No verdict on sustained: 2 min of the event were not metered." in reasons(
        found.criteria
    )
    assert verdict_words(found) == "no verdict by by_hand: readings are missing"
    assert "1 row was left out, line 9: grid_kw is no number." in found.notes


def test_an_event_too_short_says_how_long_it_must_be() -> None:
    short = measured(response(end_s=300.0), asked=event(duration_s=300.0))
    assert verdict_words(short) == "no verdict by by_hand: the event is too short"
    told = next(line for line in reasons(short.criteria) if "sustained" in line)
    assert "the event is 5 min long" in told
    assert "it must be 930 s or longer" in told


def test_energies_that_add_up_have_the_same_decimals() -> None:
    meter = response(noise_kw=0.02)
    rng = np.random.default_rng(1)
    battery_kw = np.where((meter.time_s >= BEFORE_S) & (meter.time_s < BEFORE_S + 60.0), 3.0, 0.0)
    meter = meter.with_columns(battery_kw=battery_kw + rng.normal(0.0, 1e-4, len(meter)))
    found = measured(meter)
    energies = [energy.removesuffix(" kWh") for energy, _ in share_energies(found)]
    assert len(energies) == 2
    assert len({len(energy.partition(".")[2]) for energy in energies}) == 1


def test_the_table_says_what_tells_the_errors() -> None:
    found = measured(response(noise_kw=0.1))
    told = found.model_copy(update={"errors_from": "9 like days without an event"})
    for one, said in ((found, False), (told, True)):
        console = Console(width=120, record=True)
        print_delivery(one, console)
        assert (", by 9 like days" in console.export_text()) == said


def test_names_of_rules_break_between_words() -> None:
    name = "regression:requests_per_s,time_of_day"
    assert broken(name, 40) == name
    assert broken(name, 28) == "regression:requests_per_s,\ntime_of_day"
    assert broken("last_value:30", 6) == "last_\nvalue:\n30"


def test_a_figure_breaks_its_lines_where_nothing_was_metered() -> None:
    pytest.importorskip("matplotlib")
    from ebplan.report.canvas import blank
    from ebplan.report.gaps import NOT_METERED, Shown, shade_gaps

    meter = with_gap()
    shown = Shown(meter, np.ones(len(meter), dtype=bool), BEFORE_S, 1.0)
    values, edges = shown.values(meter.grid_kw), shown.edges
    assert len(edges) == len(values) + 1
    assert edges[np.flatnonzero(np.isnan(values))[[0, -1]]].tolist() == [300.0, 419.0]
    assert np.isnan(values).sum() == 120
    axes = blank(4.0, 3.0).subplots()
    shade_gaps(axes, meter, BEFORE_S, 1.0)
    assert [patch.get_label() for patch in axes.patches] == [NOT_METERED]
    assert axes.patches[0].get_extents().width > 0.0
