"""Fit serving configurations from steady runs: power, throughput and latency against load.

Here the table is held against what is said of its configurations; ``serving_law`` fits each law.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ebplan.document import FieldFault, Part
from ebplan.errors import InputError
from ebplan.models.configuration import Configuration, DescribedConfiguration
from ebplan.models.fit.measurements import Measurements, names_the_table
from ebplan.models.fit.plausible import check_itl, check_throughput, check_ttft
from ebplan.models.fit.pooling import Readings
from ebplan.models.fit.serving_card import serving_card
from ebplan.models.fit.serving_law import FittedLaw, fit_law
from ebplan.models.fit.tokens import Rows, with_tokens
from ebplan.models.fleet_prior import FleetPrior, LawPrior
from ebplan.models.laws import LawName
from ebplan.models.library import load_fleet_prior
from ebplan.models.points import Points
from ebplan.models.serving import Served, ServingModel

LEAST_DRAW, MOST_DRAW = 0.14, 1.1
"""Share of the boards' limit that an instance may draw in the median: limits are held within a few
percent, and no loaded board draws so little (published runs have 0.47 and more). The power of one
of eight GPUs, taken for that of all, lies below."""
UNITS: dict[LawName, str] = {
    "power": "power_kw",
    "throughput": "tokens_per_s",
    "pace": "pace_per_s",
}
"""What a law's value is called where its readings are kept."""


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
        law: fit_law(of_law, _readings(data, configurations, rows, law))
        for law, of_law in _laws(prior).items()
    }
    served = tuple(_served(c, prior, fitted) for c in configurations)
    return ServingModel(
        name=options.name,
        measurement_point=data.measurement_point,
        configurations=served,
        points=_left_out_points(fitted),
        card=serving_card(options.title, data, prior, served, fitted, rows),
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


def _left_out_points(fitted: dict[LawName, dict[str, FittedLaw]]) -> tuple[Points, ...]:
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
    configuration: Configuration, prior: FleetPrior, fitted: dict[LawName, dict[str, FittedLaw]]
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
