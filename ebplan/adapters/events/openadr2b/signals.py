"""What a signal's numbers mean: the kind of ask, and the factor that makes kW of them.

Names and types are those of the OpenADR 2.0b profile; signs that a programme may read either way
are declared with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

from ebplan.adapters.events.openadr2b.heard import HeardEvent, HeardSignal
from ebplan.adapters.events.openadr2b.spec import OpenAdr2bSpec, ProgrammeSpec
from ebplan.adapters.events.terms import Ask
from ebplan.errors import InputError

EXPONENTS = {
    "p": -12, "n": -9, "micro": -6, "m": -3, "c": -2, "d": -1,
    "none": 0, "k": 3, "M": 6, "G": 9, "T": 12,
}  # fmt: skip
"""``siScaleCode`` of the schema: powers of ten."""
COARSE = "SIMPLE"
"""The signal that says in levels what another one beside it says in numbers."""


class SignalRefused(InputError):
    """A signal is not understood; the server is told so by a code of its own."""


@dataclass(frozen=True)
class Asked:
    """What a signal asks."""

    ask: Ask
    """What its numbers are, in the words of ``terms``."""
    number: Callable[[str], float]
    """Turns a payload into that; raises InputError where it is no finite number."""


def our_signal(event: HeardEvent, spec: OpenAdr2bSpec) -> HeardSignal:
    """Return the signal of an event that is followed.

    Signals for device classes that are not ours are left out. SIMPLE beside one other signal is
    the same call in levels and gives way to it.

    Raises:
        SignalRefused: none is left, or two that may ask different things.
    """
    classes = set(spec.device_classes)
    ours = [s for s in event.signals if not s.device_classes or classes & set(s.device_classes)]
    finer = [s for s in ours if s.name.upper() != COARSE] or ours
    if len(finer) != 1:
        raise SignalRefused(
            field="eiEventSignals",
            value=", ".join(f"{s.name} {s.kind}" for s in finer) or None,
            allowed="one signal for this site, beside it at most SIMPLE",
            remedy="the server must send calls that ask different things as events of their own",
        )
    return finer[0]


def asked(signal: HeardSignal, programme: ProgrammeSpec, currency: str) -> Asked:
    """Return what a signal asks.

    Args:
        signal: the signal.
        programme: how its programme reads it.
        currency: the site's.

    Raises:
        SignalRefused: its name, type or units are none that are understood.
    """
    match signal.name.upper(), signal.kind:
        case ("SIMPLE" | "LOAD_DISPATCH", "level"):
            return Asked("level", _number)
        case "LOAD_DISPATCH", "delta":
            to_kw = _power(signal)
            if programme.delta_is == "change":
                return Asked("delta_kw", to_kw)
            return Asked("delta_kw", lambda text: -to_kw(text) or 0.0)
        case "LOAD_DISPATCH", "setpoint":
            return Asked(
                "draw_kw" if programme.setpoint_is == "draw" else "limit_kw", _power(signal)
            )
        case "LOAD_DISPATCH", "multiplier":
            return Asked("fraction", lambda text: _number(text) - 1.0)
        case "ELECTRICITY_PRICE", "price":
            return Asked("price", _price(signal, currency))
        case _:
            raise SignalRefused(
                field=f"signal {signal.name}",
                value=signal.kind,
                allowed="SIMPLE level; LOAD_DISPATCH delta, setpoint, multiplier or level; "
                "ELECTRICITY_PRICE price",
                remedy="the server must send one of these",
            )


def _power(signal: HeardSignal) -> Callable[[str], float]:
    if signal.quantity != "powerReal" or signal.units != "W" or signal.scale not in EXPONENTS:
        raise SignalRefused(
            field=f"signal {signal.name} {signal.kind}",
            value=_units(signal),
            allowed="powerReal in W with a scale code",
            remedy="the server must say what its numbers measure",
        )
    return lambda text: _scaled(_number(text), EXPONENTS[signal.scale or "none"] - 3)


def _price(signal: HeardSignal, currency: str) -> Callable[[str], float]:
    known = signal.scale is None or signal.scale in EXPONENTS
    if signal.quantity != "currencyPerKWh" or signal.units != currency or not known:
        raise SignalRefused(
            field=f"signal {signal.name} {signal.kind}",
            value=_units(signal),
            allowed=f"currencyPerKWh in {currency}, the site's currency",
            remedy="the server must say it, or correct currency of the source",
        )
    return lambda text: _scaled(_number(text), EXPONENTS[signal.scale or "none"])


def _units(signal: HeardSignal) -> str | None:
    said = [part for part in (signal.quantity, signal.units, signal.scale) if part]
    return " ".join(said) or None


def _scaled(value: float, exponent: int) -> float:
    """Scale by a power of ten that is exact in floating point, so that 100 W is 0.1 kW."""
    return value * 10.0**exponent if exponent >= 0 else value / 10.0**-exponent


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise InputError(
            field="signalPayload",
            value=text,
            allowed="a finite number",
            remedy="the server must send one",
        )
    return value
