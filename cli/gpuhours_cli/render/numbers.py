"""Human-readable numbers: three digits with a prefix, durations in a suitable unit."""

from __future__ import annotations

from collections.abc import Callable

from gpuhours.inputs.durations import DAY, HOUR, YEAR

COUNTS = ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k"))
SI = ((1e24, "Y"), (1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
TIMES = (
    (YEAR, "years"),
    (2 * DAY, "days"),
    (2 * HOUR, "hours"),
    (120, "minutes"),
    (0.1, "s"),
    (1e-4, "ms"),
)
DIVISORS = {"years": YEAR, "days": DAY, "hours": HOUR, "minutes": 60, "s": 1, "ms": 1e-3}


def digits(value: float, count: int = 3) -> str:
    """``count`` significant digits, without an exponent below 1e12."""
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (count - 1):
        return f"{value:,.0f}"
    text = f"{value:.{count}g}"
    return text if "e" not in text else f"{value:.2e}"


def count(value: float) -> str:
    """``553 k``, ``1.38 M``, ``4.84 T``; whole numbers below 10,000 stay whole."""
    if abs(value) < 1e4 and float(value).is_integer():
        return f"{value:,.0f}"
    for scale, suffix in COUNTS:
        if abs(value) >= scale * 0.9995:
            return digits(value / scale) + suffix
    return digits(value)


def exact(value: float) -> str:
    """``552,960``: every digit of a whole number."""
    return f"{value:,.0f}"


def si(unit: str) -> Callable[[float], str]:
    """``61.4 GB``: three digits and an SI prefix on ``unit``."""

    def text(value: float) -> str:
        for scale, prefix in SI:
            if abs(value) >= scale * 0.9995:
                return f"{digits(value / scale)} {prefix}{unit}"
        return f"{digits(value)} {unit}"

    return text


def percent(value: float) -> str:
    """``44.5 %``."""
    return f"{100 * value:.1f} %"


def duration(seconds: float) -> str:
    """``45 days``, ``5.31 s``: the first unit of ``TIMES`` (largest first) for which the duration is long enough."""
    for least, unit in TIMES:
        if seconds >= least:
            return f"{digits(seconds / DIVISORS[unit])} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def carbon(tonnes: float) -> str:
    """``135 t CO2e``."""
    if tonnes >= 1e3:
        return f"{digits(tonnes / 1e3)} kt CO2e"
    return f"{digits(tonnes)} t CO2e" if tonnes >= 1 else f"{digits(tonnes * 1e3)} kg CO2e"


def span(value: float, low: float, high: float, text: Callable[[float], str]) -> str:
    """``(42 – 49)``: both ends in the prefix and unit that ``text`` gives the value next to them."""
    number = float(text(value).partition(" ")[0].replace(",", "") or 0)
    if not number or text(low) == text(high):
        return ""
    scale = value / number
    return f"({digits(low / scale)} – {digits(high / scale)})"


def for_unit(unit: str) -> Callable[[float], str]:
    """How a value with a unit of the JSON is formatted on a screen; a dimensionless number is a share."""
    return TEXTS.get(unit, count)


def yes_no(value: float) -> str:
    """``fits`` or ``does not fit``, from 1 or 0."""
    return "fits" if value else "does not fit"


TEXTS: dict[str, Callable[[float], str]] = {
    "": percent, "second": duration, "byte": si("B"), "FLOP": si("FLOP"), "Wh": si("Wh"), "tCO2e": carbon,
    "times": lambda value: f"{value:.2f} times", "fits": yes_no,
}  # fmt: skip
SCALES: dict[str, tuple[tuple[float, float, str], ...]] = {
    "second": (
        (2 * DAY, DAY, "days"),
        (2 * HOUR, HOUR, "hours"),
        (120, 60, "minutes"),
        (0.1, 1, "s"),
        (0, 1e-3, "ms"),
    ),
    "byte": ((1e9, 1e9, "GB"), (0, 1e6, "MB")),
    "Wh": ((1e6, 1e6, "MWh"), (0, 1e3, "kWh")),
    "tCO2e": ((1, 1, "t CO2e"), (0, 1e-3, "kg CO2e")),
    "FLOP": ((1e24, 1e24, "YFLOP"), (1e21, 1e21, "ZFLOP"), (1e18, 1e18, "EFLOP"), (0, 1e15, "PFLOP")),
}
"""Scales for an axis, per unit of the JSON: (smallest maximum, divisor, name)."""
