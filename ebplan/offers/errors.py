"""Which errors a promise has to survive: what is given, or what the fitted models say."""

from __future__ import annotations

import math

from ebplan.errors import InputError
from ebplan.models.library import load_fleet
from ebplan.offers.offer_document import Errors
from ebplan.offers.request import OfferRequest
from ebplan.site import Site
from ebplan.words import percent_words

LEAST_DEGREES = 3
"""Fewer degrees of freedom leave a spread without a standard deviation."""


def errors_of(request: OfferRequest, site: Site) -> Errors:
    """Return the standard deviations of load and response, and where they come from.

    The spread s of a fitted power law's left-out runs counts twice: a part that is common to
    before and during moves what compute moves by the share s; a part that is not moves the draw
    itself by s, independent of the forecast's error, ``sqrt(forecast^2 + s^2)``. How the two parts
    divide nobody has measured.

    Raises:
        InputError: nobody says how good the load's forecast is, or how well compute responds.
    """
    said = site.planning.uncertainty
    if request.load_forecast_std is None and request.response_std is None and said is not None:
        return Errors(
            load_std=said.load_std,
            response_std=said.response_std,
            sources=("both: site.planning.uncertainty",),
        )
    fitted = fitted_spread(site)
    forecast, forecast_from = request.load_forecast_std, "the request"
    if forecast is None and said is not None:
        forecast, forecast_from = said.load_std, "site.planning.uncertainty"
    if forecast is None:
        raise InputError(
            field="load_forecast_std",
            value=None,
            allowed="0 to 1: a promise needs to know how far the draw strays from its forecast",
            remedy="give the standard deviation of your load forecast as a share of the draw "
            "(--load-forecast-std), or site.planning.uncertainty",
        )
    response, response_from = request.response_std, "the request"
    if response is None and said is not None:
        response, response_from = said.response_std, "site.planning.uncertainty"
    if response is None and fitted is not None:
        response = fitted
        response_from = f"spread of the fitted power law, {percent_words(fitted, 2)}"
    if response is None:
        raise InputError(
            field="response_std",
            value=None,
            allowed="0 to 1: the fleet models of this site were fitted without spreads",
            remedy="give it (--response-std), or fit the models again",
        )
    load, with_fit = forecast, ""
    if fitted is not None:
        load = math.hypot(forecast, fitted)
        with_fit = f" and the spread of the fitted power law, {percent_words(fitted, 2)}"
    return Errors(
        load_std=load,
        response_std=response,
        sources=(
            f"load: forecast {percent_words(forecast, 2)} ({forecast_from}){with_fit}",
            f"response: {response_from}",
        ),
    )


def fitted_spread(site: Site) -> float | None:
    """Return the largest relative spread of power among the site's workloads.

    None where one of them has none, or too few degrees of freedom for a standard deviation.

    A spread with nu degrees of freedom is one of a Student law, whose standard deviation is
    sqrt(nu / (nu - 2)) times it.
    """
    found: list[float] = []
    for pool in site.pools.values():
        model = load_fleet(pool.fleet_model)
        for name in {c.workload for c in pool.classes.values()}:
            workload = model.workloads.get(name)
            degrees = None if workload is None else workload.spread_degrees
            if workload is None or workload.power_spread is None or (degrees or 0) < LEAST_DEGREES:
                return None
            assert degrees is not None
            found.append(workload.power_spread * math.sqrt(degrees / (degrees - 2)))
    return max(found, default=None)
