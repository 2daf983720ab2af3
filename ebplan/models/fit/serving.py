"""Fit serving configurations from steady runs: power, throughput and latency against load.

Every configuration begins from the library's prior, and from what the table's other configurations
say; its points then speak for themselves. A point that all the others put far outside its interval
is off: it gets weight zero, by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ebplan.document import FieldFault, Part
from ebplan.errors import InputError
from ebplan.models.card import Excluded, Finding, ModelCard, Statistic, ValidRange
from ebplan.models.configuration import Configuration, DescribedConfiguration
from ebplan.models.curve import Curve
from ebplan.models.curves import FloatArray
from ebplan.models.fit.measurements import Measurements, names_the_table
from ebplan.models.fit.plausible import check_itl, check_throughput, check_ttft
from ebplan.models.fit.pooling import Readings, known
from ebplan.models.fit.tokens import Rows, token_findings, token_ranges, with_tokens
from ebplan.models.fleet_prior import FleetPrior, Known, LawPrior
from ebplan.models.laws import LawName
from ebplan.models.library import load_fleet_prior
from ebplan.models.points import Points
from ebplan.models.serving import Served, ServingModel

OFF = 5.0
"""A point is off when the others put it this many standard deviations away,"""
OFF_SHARE = 0.1
"""and this share of its value."""
MOST_OFF = 0.25
"""With a larger share of the points off, the table holds more than one configuration."""
LEAST_DRAW, MOST_DRAW = 0.14, 1.1
"""Share of the boards' limit that an instance may draw in the median: limits are held within a few
percent, and no loaded board draws so little (published runs have 0.47 and more). The power of one
of eight GPUs, taken for that of all, lies below."""
FEWEST_TO_JUDGE = 4
"""With fewer points nobody can say which of them is off."""
UNITS: dict[LawName, str] = {
    "power": "power_kw",
    "throughput": "tokens_per_s",
    "pace": "pace_per_s",
}
"""What a law's value is called where its readings are kept."""
WORDS: dict[LawName, str] = {
    "power": "power",
    "throughput": "throughput",
    "pace": "median time between tokens",
}
"""What is measured of each law."""


class ServingOptions(Part):
    """What a table of serving runs does not say."""

    name: str
    """Name of the artefact."""
    title: str
    """Title of its card."""
    prior: str = "llm-serving"
    """Prior of the library to begin from."""
    configurations: tuple[DescribedConfiguration, ...] = Field(min_length=1)
    """What is served on what. Rows say which they belong to by the label ``configuration``, which
    may be left out where there is only one; one without rows is given by the prior alone."""

    @model_validator(mode="after")
    def _names_differ(self) -> ServingOptions:
        names = [c.name for c in self.configurations]
        for name in names:
            if names.count(name) > 1:
                raise FieldFault(
                    field="configurations",
                    value=f"{name!r} more than once",
                    allowed="a name of its own for each",
                    remedy="rename or remove one",
                )
        return self


@dataclass(frozen=True)
class _Fitted:
    """One law of one configuration."""

    curve: Curve
    used: Readings
    unused: Readings
    off: tuple[Excluded, ...]
    left_out: FloatArray
    """ln of prediction over measurement of each point used, left out, shape (N,)."""
    held: FloatArray
    """1 where it lay in its interval, shape (N,)."""


@names_the_table
def fit_serving(data: Measurements, options: ServingOptions) -> ServingModel:
    """Return the serving model of a table.

    Args:
        data: ``concurrency``, ``power`` (of the whole instance) and ``throughput`` (output tokens
            per second of the instance), one steady run a row; ``itl`` (median time between two
            tokens) where measured; the label ``configuration`` where there are several. ``itl``
            and ``ttft``, where given, are held against load and throughput, from which both
            follow but for a factor. ``tokens_out`` and ``tokens_in``, where given, say which
            workload it is.
        options: what the table does not say.

    Raises:
        InputError: a configuration that is not described, another measurement point than the
            prior's, or no prior of that name.
    """
    prior = load_fleet_prior(options.prior)
    if data.measurement_point != prior.measurement_point:
        raise InputError(
            field="measurement_point",
            value=data.measurement_point,
            allowed=f"{prior.measurement_point}, as the prior {prior.name!r}",
            remedy="convert the powers by the site's losses, or measure there",
            file=data.file,
        )
    rows = _rows(data, options)
    configurations = with_tokens(data, options.configurations, rows)
    for c in configurations:
        if rows[c.name].any():
            _check_draw(data, c, rows[c.name])
            _check_pace(data.where(rows[c.name]), c)
    fitted = {
        law: _fit_law(of_law, _readings(data, configurations, rows, law))
        for law, of_law in _laws(prior).items()
    }
    served = tuple(_served(c, prior, fitted) for c in configurations)
    return ServingModel(
        name=options.name,
        measurement_point=data.measurement_point,
        configurations=served,
        points=_left_out_points(fitted),
        card=_card(data, options, prior, served, fitted, rows),
    )


def _laws(prior: FleetPrior) -> dict[LawName, LawPrior]:
    """Return the laws of a prior."""
    laws: dict[LawName, LawPrior] = {"power": prior.power, "throughput": prior.throughput}
    return laws if prior.pace is None else {**laws, "pace": prior.pace}


def _rows(data: Measurements, options: ServingOptions) -> dict[str, NDArray[np.bool_]]:
    """Return which rows belong to each configuration."""
    names = [c.name for c in options.configurations]
    if "configuration" not in data.labels and len(names) == 1:
        return {names[0]: np.ones(len(data), dtype=bool)}
    labels = data.label("configuration")
    if unknown := sorted(set(labels.tolist()) - set(names)):
        raise InputError(
            field="columns.configuration",
            value=unknown[0],
            allowed=", ".join(names),
            remedy="describe it under options.configurations, or leave its rows out",
            file=data.file,
        )
    return {name: labels == name for name in names}


def _check_draw(data: Measurements, c: Configuration, rows: NDArray[np.bool_]) -> None:
    """Refuse powers that boards of this limit cannot draw, or that are next to nothing."""
    limit_kw = c.gpus * c.gpu_limit_w / 1000.0
    share = data.quantity("power")[rows] / limit_kw
    if not LEAST_DRAW <= np.median(share) <= MOST_DRAW:
        raise InputError(
            field="columns.power",
            value=f"{float(np.median(share)) * limit_kw:g} kW in the median of {c.name!r}",
            allowed=f"{LEAST_DRAW:.0%} to {MOST_DRAW:.0%} of {limit_kw:g} kW, the limit of its "
            f"{c.gpus} GPUs",
            remedy="check the unit of the power, gpus and gpu_limit_w; a row is a whole instance",
            file=data.file,
        )


def _check_pace(data: Measurements, c: Configuration) -> None:
    """Refuse the rows of a configuration whose rates and latencies cannot be of one instance."""
    concurrency, tokens_per_s = data.quantity("concurrency"), data.quantity("throughput")
    check_throughput(c, concurrency, tokens_per_s, data.file)
    if "itl" in data.values:
        check_itl(data.quantity("itl"), concurrency, tokens_per_s, data.file)
    if "ttft" in data.values:
        check_ttft(data.quantity("ttft"), concurrency, tokens_per_s, c.tokens_out, data.file)


def _readings(
    data: Measurements, configurations: Sequence[Configuration], rows: Rows, law: LawName
) -> dict[str, tuple[Readings, NDArray[np.intp]]]:
    """Return points and their lines by configuration, least concurrency first.

    None of the pace where no time between tokens was measured.
    """
    concurrency = data.quantity("concurrency")
    if law != "pace":
        measured = data.quantity(law)
    elif "itl" in data.values:
        measured = concurrency / data.quantity("itl")
    else:
        measured = concurrency[:0]
    found = {}
    for c in configurations:
        order = np.flatnonzero(rows[c.name] & (len(measured) > 0))
        order = order[np.argsort(concurrency[order], kind="stable")]
        found[c.name] = (Readings(c, concurrency[order], measured[order]), data.lines[order])
    return found


def _fit_law(
    prior: LawPrior, readings: dict[str, tuple[Readings, NDArray[np.intp]]]
) -> dict[str, _Fitted]:
    """Fit one law of every configuration: first apart, then each beside what the others say."""
    alone = {name: _fit_one(prior, r, lines) for name, (r, lines) in readings.items()}
    said: dict[str, Known] = {
        name: known(prior.law, one.used, prior.pooling, one.curve.theta)
        for name, one in alone.items()
        if len(one.used.concurrency)
    }
    if len(readings) == 1:
        return alone
    together = {}
    for name, (r, lines) in readings.items():
        others = tuple(one for other, one in said.items() if other != name)
        wiser = prior.model_copy(update={"known": (*prior.known, *others)})
        together[name] = _fit_one(wiser, r, lines)
    return together


def _fit_one(prior: LawPrior, readings: Readings, lines: NDArray[np.intp]) -> _Fitted:
    """Fit one law of one configuration; leave out, one by one, the points that are off."""
    mean, covariance = prior.curves([readings.configuration])
    keep = np.ones(len(lines), dtype=bool)
    off: list[Excluded] = []
    while True:
        used = readings.where(keep)
        missed, deviations, held = _left_out(prior, mean, covariance, used)
        far = (np.abs(missed) > OFF * deviations) & (np.abs(np.expm1(missed)) > OFF_SHARE)
        if len(missed) < FEWEST_TO_JUDGE or not far.any():
            break
        if len(off) + 1 > MOST_OFF * len(lines):
            raise InputError(
                field=f"configuration {readings.configuration.name}",
                value=f"more than {MOST_OFF:.0%} of {len(lines)} points off the law of {prior.law}",
                allowed="points of one configuration",
                remedy="name several configurations by a label, or read fewer rows (where)",
            )
        worst = int(np.where(far, np.abs(missed) / deviations, 0.0).argmax())
        at = np.flatnonzero(keep)[worst]
        keep[at] = False
        off.append(
            Excluded(
                run=f"line {lines[at]}",
                weight=0.0,
                reason=f"{WORDS[prior.law]} at {used.concurrency[worst]:g} requests in flight: "
                "predicted from the other points it is "
                f"{_over(prior.law, missed[worst]):+.1%} off, "
                f"{abs(missed[worst]) / deviations[worst]:.0f} standard deviations",
            )
        )
    curve = prior.conditioned(mean, covariance, used.concurrency.tolist(), used.measured.tolist())
    return _Fitted(curve, used, readings.where(~keep), tuple(off), missed, held)


def _left_out(
    prior: LawPrior, mean: FloatArray, covariance: FloatArray, r: Readings
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Predict each point from the others; return misses, deviations and what was held, (N,)."""
    missed, deviations, held = [], [], []
    for i in range(len(r.concurrency)):
        others = np.arange(len(r.concurrency)) != i
        curve = prior.conditioned(
            mean, covariance, r.concurrency[others].tolist(), r.measured[others].tolist()
        )
        ln_y, deviation = curve.logarithm(np.log(r.concurrency[i : i + 1]))
        missed.append(float(ln_y[0] - np.log(r.measured[i])))
        deviations.append(float(deviation[0]) * curve.calibration)
        held.append(float(curve.estimate(r.concurrency[i : i + 1]).holds(r.measured[i : i + 1])[0]))
    return np.array(missed), np.array(deviations), np.array(held)


def _left_out_points(fitted: dict[LawName, dict[str, _Fitted]]) -> tuple[Points, ...]:
    """Return the points off their law, for the figure: the curves keep those that were used."""
    return tuple(
        Points.of(
            name,
            {"in_flight": one.unused.concurrency, UNITS[law]: one.unused.measured},
            np.ones(len(one.unused.concurrency), dtype=bool),
        )
        for law, fits in fitted.items()
        for name, one in fits.items()
        if len(one.unused.concurrency)
    )


def _served(
    configuration: Configuration, prior: FleetPrior, fitted: dict[LawName, dict[str, _Fitted]]
) -> Served:
    one = {law: fits[configuration.name] for law, fits in fitted.items()}
    points = one["power"].used.concurrency
    ranges = [(k.lowest_concurrency, k.highest_concurrency) for k in prior.power.known]
    covered = (
        (float(points.min()), float(points.max()))
        if len(points)
        else (min(low for low, _ in ranges), max(high for _, high in ranges))
    )
    return Served(
        configuration=configuration,
        power=one["power"].curve,
        throughput=one["throughput"].curve,
        pace=one["pace"].curve if "pace" in one else None,
        concurrency=covered,
    )


def _card(
    data: Measurements,
    options: ServingOptions,
    prior: FleetPrior,
    served: tuple[Served, ...],
    fitted: dict[LawName, dict[str, _Fitted]],
    rows: Rows,
) -> ModelCard:
    return ModelCard(
        title=options.title,
        summary="Power, throughput and latency against requests in flight, with intervals: "
        + "; ".join(f"{s.configuration.name} ({s.evidence})" for s in served)
        + ".",
        data=(data.dataset(), *prior.card.data),
        method=f"{prior.card.method} Here each configuration begins from the prior "
        f"`{prior.name}` and what the other configurations of the table say; a point that the "
        f"others put {OFF:g} standard deviations and {OFF_SHARE:.0%} away gets weight zero.",
        leave_one_out=tuple(
            statistic
            for law, fits in fitted.items()
            for name, one in fits.items()
            if len(one.left_out)
            for statistic in _statistics(f"{name}, {WORDS[law]}", law, one)
        ),
        excluded=(
            *data.excluded,
            *(e for fits in fitted.values() for f in fits.values() for e in f.off),
        ),
        validity=(
            *(
                ValidRange(
                    name=f"requests in flight, {s.configuration.name}",
                    low=s.concurrency[0],
                    high=s.concurrency[1],
                    unit="requests",
                )
                for s in served
            ),
            *token_ranges(data, rows),
        ),
        measurement_point=data.measurement_point,
        measurement_note=data.measurement_note or "As stated by who measured.",
        findings=(
            *(finding for s in served for finding in _findings(s)),
            *token_findings(data, rows),
        ),
        not_for=(
            "power without load or asleep: fit those from readings of their own",
            "loads outside the valid range",
        ),
    )


def _findings(served: Served) -> Iterator[Finding]:
    name = served.configuration.name
    yield Finding(title=f"{name}: {served.evidence}", text=_EVIDENCE[served.evidence])
    if served.pace is not None and not served.pace.concurrency:
        yield Finding(
            title=f"{name}: the time between tokens is a mean",
            text="No median was measured (column `itl`). `itl_s` is the mean over a request by "
            "Little's law, not a percentile; of the median only the prior's interval is given.",
        )
    low, high = (float(kw) for kw in served.power.centre(np.array(served.concurrency)))
    if served.evidence != "prior" and high < low:
        yield Finding(
            title=f"{name}: power falls with load",
            text=f"{low:.3f} kW at the lowest load, {high:.3f} kW at the highest: no serving "
            "instance is known to do so. Check which column is which.",
        )


def _over(law: LawName, missed: float) -> float:
    """Return prediction over measurement, less 1: of the time where the law is one of pace."""
    return float(np.expm1(-missed if law == "pace" else missed))


def _statistics(what: str, law: LawName, one: _Fitted) -> tuple[Statistic, ...]:
    share = np.abs([_over(law, missed) for missed in one.left_out])
    return (
        Statistic(name=f"{what}: median error", value=float(np.median(share)), unit="share"),
        Statistic(name=f"{what}: largest error", value=float(share.max()), unit="share"),
        Statistic(name=f"{what}: in the 90 % interval", value=float(one.held.mean()), unit="share"),
    )


_EVIDENCE = {
    "prior": "No point was measured: only an interval is given, from what is known of other "
    "models. Two runs, at either end of the load, narrow it most.",
    "prior and points": "It was measured at no more loads than a law has parameters: the points "
    "move the prior, they do not replace it.",
    "measured": "It was measured at more loads than a law has parameters.",
}
