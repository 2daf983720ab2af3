"""The baseline of an event as a document: by which rule, how far that is off, slot by slot."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Literal

import numpy as np
from pydantic import Field

from ebplan.document import Document, Part, Positive, Timestamp
from ebplan.errors import InputError
from ebplan.settlement.backtest import SLOT_S, Backtest, best, compare
from ebplan.settlement.baselines import Baseline, Rule
from ebplan.settlement.series import MeterSeries
from ebplan.settlement.window import Window


class LeftOutDay(Part):
    """A day that was not used."""

    day: date
    """Which day."""
    reason: str
    """Why."""


class RuleErrors(Part):
    """How far a rule was off on like days; an error is baseline less draw."""

    days: int = Field(ge=1)
    """How many days were compared, the same for every rule."""
    bias_kw: float
    """Mean error; > 0 credits a release that never was."""
    mae_kw: float
    """Mean absolute error of a slot."""
    rmse_kw: float
    """Root mean squared error of a slot."""
    cv_rmse: float | None
    """The same as a share of the mean draw."""
    half_width_kw: float
    """Half the width of the interval that holds 90 % of the slots."""
    level_rmse_kw: float
    """Root mean squared error of the mean over the event."""


class RuleResult(Part):
    """What a rule says of an event."""

    rule: str
    """Its name with its parameters."""
    mean_kw: float | None = None
    """Its mean baseline over the event; none where it has no baseline."""
    no_baseline: str | None = None
    """Why it has none."""
    errors: RuleErrors | None = None
    """How far it was off; none where it could not be tested."""
    not_tested: str | None = None
    """Why it could not be tested."""


class BaselineReport(Document):
    """The baseline of an event."""

    kind: Literal["baseline"] = "baseline"
    history: str
    """File of the meter series."""
    history_sha256: str
    """Its digest."""
    start: Timestamp
    """Start of the event."""
    duration_s: Positive
    """Its length."""
    notice: Timestamp
    """When the site heard of it."""
    slot_s: Positive
    """Errors are those of means over slots of this length."""
    results: tuple[RuleResult, ...]
    """Every rule asked for."""
    best: str | None
    """The rule with the least root mean squared error on like days."""
    rule: str
    """The rule of the baseline below: the only one asked for, or the best."""
    baseline_start: Timestamp
    """Beginning of the first interval below."""
    interval_s: Positive
    """Length of every interval."""
    baseline_kw: tuple[float, ...]
    """Mean draw in each interval."""
    days: tuple[date, ...]
    """Days it was made from."""
    left_out: tuple[LeftOutDay, ...]
    """Days that might have been used and were not."""
    adjustment_kw: float
    """What the same-day adjustment added, contained in the baseline."""

    def baseline(self) -> Baseline:
        """Return the baseline as it is computed with."""
        return Baseline(
            rule=self.rule,
            start=self.baseline_start,
            interval_s=self.interval_s,
            kw=np.array(self.baseline_kw),
            days=self.days,
            adjustment_kw=self.adjustment_kw,
        )

    def result(self) -> RuleResult:
        """Return what the rule of the baseline says."""
        return next(one for one in self.results if one.rule == self.rule)


def settle_baseline(
    history: MeterSeries, window: Window, rules: Sequence[Rule], like: Sequence[Window]
) -> BaselineReport:
    """Return the baseline of an event by the rule that was nearest on like days.

    Args:
        history: the meter series.
        window: the event.
        rules: the rules to choose from; a single one is taken, tested or not.
        like: windows without an event that they are tested on.

    Raises:
        InputError: none of the rules has a baseline for the event.
    """
    baselines = [_attempt(rule, history, window) for rule in rules]
    first_fault = next((one for one in baselines if isinstance(one, InputError)), None)
    settled = [one for one in baselines if isinstance(one, Baseline)]
    if not settled:
        raise first_fault or InputError(
            field="--rule", value=None, allowed="one rule or more", remedy="name one"
        )
    able = {one.rule for one in settled}
    tests = compare(history, rules, like)
    nearest = best([one for one in tests if isinstance(one, Backtest) and one.rule in able])
    chosen = settled[0]
    if nearest is not None and len(rules) > 1:
        chosen = next(one for one in settled if one.rule == nearest.rule)
    return BaselineReport(
        history=history.file,
        history_sha256=history.sha256,
        start=window.start,
        duration_s=window.duration_s,
        notice=window.known_at,
        slot_s=min(max(SLOT_S, history.interval_s), window.duration_s),
        results=tuple(
            _result(rule, one, test, window)
            for rule, one, test in zip(rules, baselines, tests, strict=True)
        ),
        best=nearest and nearest.rule,
        rule=chosen.rule,
        baseline_start=chosen.start,
        interval_s=chosen.interval_s,
        baseline_kw=tuple(chosen.kw.tolist()),
        days=chosen.days,
        left_out=tuple(LeftOutDay(day=out.day, reason=out.reason) for out in chosen.left_out),
        adjustment_kw=chosen.adjustment_kw,
    )


def slot_means(report: BaselineReport) -> tuple[tuple[Timestamp, float], ...]:
    """Return the mean baseline in each slot from the start of the event, the last one cut."""
    step = timedelta(seconds=report.slot_s)
    baseline, end = report.baseline(), report.start + timedelta(seconds=report.duration_s)
    found, at = [], report.start
    while at < end:
        until = min(at + step, end)
        found.append((at, baseline.mean_kw(at, until)))
        at = until
    return tuple(found)


def _attempt(rule: Rule, history: MeterSeries, window: Window) -> Baseline | InputError:
    try:
        return rule.baseline(history, window)
    except InputError as fault:
        return fault


def _result(
    rule: Rule, baseline: Baseline | InputError, test: Backtest | InputError, window: Window
) -> RuleResult:
    no_baseline = _why(baseline) if isinstance(baseline, InputError) else None
    mean_kw = baseline.mean_kw(window.start, window.end) if isinstance(baseline, Baseline) else None
    return RuleResult(
        rule=rule.name,
        mean_kw=mean_kw,
        no_baseline=no_baseline,
        errors=_errors(test) if isinstance(test, Backtest) else None,
        not_tested=None if isinstance(test, Backtest) else _why(test),
    )


def _errors(test: Backtest) -> RuleErrors:
    return RuleErrors(
        days=len(test.days),
        bias_kw=test.bias_kw,
        mae_kw=test.mae_kw,
        rmse_kw=test.rmse_kw,
        cv_rmse=test.cv_rmse,
        half_width_kw=test.half_width_kw,
        level_rmse_kw=test.level_rmse_kw,
    )


def _why(fault: InputError) -> str:
    return f"{fault.value}; needs {fault.allowed}"
