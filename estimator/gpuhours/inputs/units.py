"""Units: converts text such as ``1.8M GPU-hours`` to SI floats.

Inside gpuhours every value is a plain float (or an array of them) in base units: byte, second, FLOP, token, watt,
USD, gCO2e, GPU. Text is converted once, on input.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import GetCoreSchemaHandler, PlainSerializer
from pydantic_core import core_schema

from gpuhours.inputs.errors import UnitError
from gpuhours.inputs.unit_factors import FACTORS

if TYPE_CHECKING:
    import pint

LONGEST_TEXT = 80
LARGEST, LARGEST_COUNT = 1e18, 10**12
"""Upper limit of any input: products of several such values still fit a float."""
LARGEST_OF = {
    "FLOP/s": 1e21, "byte": 1e21, "gCO2e": 1e15, "USD": 1e15, "GPU*hour": 1e12, "hour": 1e12, "W": 1e9, "s": 1e12, "day": 1e7,
    "epoch": 1e9, "step": 1e12, "FPS": 1e6, "sample": 1e15, "pixel": 1e12,
    "USD/hour": 1e9, "USD/(GPU*hour)": 1e9, "USD/(GB*month)": 1e9, "USD/GB": 1e9, "USD/kWh": 1e9,
}  # fmt: skip
"""Upper limits of values by unit; ``LARGEST`` applies to all other units."""
LEAST_OF = {"byte/s": 1e6, "FLOP/s": 1e9, "parameter": 1e3, "W": 1.0}
"""Lower limits by unit: below them the unit or multiplier was probably forgotten, as in a network of ``400`` or a model of ``7``."""
WRITTEN = {
    "byte/s": "'400 Gbit/s' or '50 GB/s'",
    "FLOP/s": "'989 TFLOP/s'",
    "parameter": "'7B'",
    "W": "'700 W' or '0.7 kW'",
}
SMALLEST = 1e-9
"""Lower limit, in base units, of values that must be positive: dividing by it still gives a finite float."""
MULTIPLIERS = {
    "": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12, "Ki": 2.0**10, "Mi": 2.0**20,
    "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12, "mn": 1e6, "bn": 1e9, "tn": 1e12,
}  # fmt: skip
LOWER = {"b": 1e9, "m": 1e6, "t": 1e12}
COUNTED = frozenset({"parameter", "token", "sample", "GPU*hour"})
"""Units for which a lower-case letter can only be a multiplier: ``10b`` parameters."""
_QUANTITY = re.compile(
    r"\s*(?P<number>[-+]?(\d{1,3}(,\d{3})+|\d[\d_]*|(?=\.\d))(\.\d+)?([eE][-+]?\d{1,3})?)"
    r"(\s*(?P<multiplier>thousand|million|billion|trillion|[mbt]n|[KM]i|[kKMBT])(?![\w/%]))?"
    r"\s*(?P<unit>[^\W\d](?:[\w*/·^() -]*[\w)])?|1/[\w()* ]+|%)?\s*"
)
_COMPUTED = re.compile(r"(?<![\w.*-])(?!1\b)\d|(?<!\*)\*-?\d|\*\*[+-]?(\(|\d{2})|\*\*[^*]*\*\*|\*\*\*")
"""Matches numbers in a unit, except the 1 of ``1/s`` and an exponent of a name: evaluating ``10^400^400`` would never finish."""
_COUNTED = re.compile(
    r"\b(gpu|token|frame|hour|day|week|month|year|sample|parameter|step|iteration|clip|second|minute|epoch|node|pair"
    r"|byte|bit|layer|core|sequence)s?\b",
    re.IGNORECASE,
)


_DOLLARS = re.compile(r"^\s*(?:US)?\$\s*([\d.,_]+(?:[eE][+-]?\d+)?\s?[kKMBT]?)(.*)$", re.DOTALL)
"""``$5M``, ``$2.50/hour``, ``US$ 50k``: the sign precedes the number, the unit follows it."""


@functools.cache
def registry() -> pint.UnitRegistry[Any]:
    """The pint registry of the units in ``units.txt``, and no others. Built on first use, since that takes a tenth of a second."""
    import pint

    with as_file(files("gpuhours.inputs") / "units.txt") as vocabulary:
        built: pint.UnitRegistry[Any] = pint.UnitRegistry(str(vocabulary))
    return built


@functools.lru_cache(maxsize=1024)
def _unit(text: str) -> Any:
    """The pint unit of a text such as ``GPU-hours``, ``TFLOP/s`` or ``Gbit/s``. Raises ``UnitError`` if it is not a known unit."""
    plain = _COUNTED.sub(lambda match: "GPU" if match[1].lower() == "gpu" else match[1].lower(), text)
    plain = re.sub(r"(\w+)-([A-Za-z]\w*)", r"(\1*\2)", plain).replace("·", "*").replace("^", "**")
    if _COMPUTED.search(plain):
        raise UnitError(f"{text!r} is not a unit: it contains an arithmetic expression")
    try:
        return registry().parse_units(plain)
    except (
        Exception
    ) as error:  # pint's parser and Python's tokenizer raise all kinds of errors for text that is not a unit
        name = getattr(error, "unit_names", plain)
        name = name if isinstance(name, str) else ", ".join(map(str, name))
        raise UnitError(
            f"{name!r} is not a unit gpuhours knows; bytes are B, bits are bit: '3.35 TB/s', '400 Gbit/s'"
        ) from None


def base_unit(value: object) -> str:
    """The base unit of a quantity's own dimension; empty for a plain number or a percentage."""
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) and len(value) <= LONGEST_TEXT else None
    name = match["unit"] if match else None
    return "" if not name or name == "%" else str(registry().Quantity(1.0, _unit(name)).to_base_units().units)


def magnitude(value: object) -> float:
    """The value of a quantity in the base units of its own dimension, for ratios of two quantities of the same dimension."""
    return parse(value, base_unit(value))


def parse(value: object, unit: str = "") -> float:
    """A quantity as people write it -> a float in ``unit``: ``parse("400 Gbit/s", "B/s") == 5e10``. Raises ``UnitError`` if it is not a
    finite quantity of this dimension.

    A bare number is taken to be in ``unit``. ``K M B T`` after a number are thousand, million, billion, trillion
    unless they are a unit of the expected dimension (``80 B`` of memory is 80 bytes).

    >>> parse("400 Gbit/s", "byte/s"), parse("3.5 weeks", "day"), parse("44.5 %")
    (50000000000.0, 24.5, 0.445)
    """
    if isinstance(value, bool) or value is None:
        raise UnitError(f"{value!r} is not a quantity{_expected(unit)}")
    if isinstance(value, int | float):
        return _finite(float(value) if abs(value) < 1e300 else math.inf, repr(value))
    if not isinstance(value, str):
        raise UnitError(f"a {type(value).__name__} is not a quantity{_expected(unit)}")
    if len(value) > LONGEST_TEXT:
        raise UnitError(f"{value[:20]!r}... ({len(value):,} characters) is too long for a quantity")
    match = _QUANTITY.fullmatch(_DOLLARS.sub(r"\1 USD\2", value) if "$" in value else value)
    if match is None:
        raise UnitError(f"{value!r} is not a quantity{_expected(unit)}: write a number and a unit")
    number = float(match["number"].replace(",", "").replace("_", ""))
    multiplier, name = match["multiplier"] or "", match["unit"] or ""
    if multiplier == "B" and not name and unit == "byte":
        multiplier, name = "", "byte"
    if unit in COUNTED and not multiplier and name in LOWER:
        return _finite(number * LOWER[name], value)
    return _finite(number * MULTIPLIERS[multiplier] * _factor(name, unit, value), value)


def _factor(name: str, unit: str, value: str) -> float:
    """Conversion factor from the unit ``name`` to ``unit``; 1 if ``name`` is empty."""
    if not name:
        return 1.0
    known = FACTORS.get((name, unit))
    return asked(name, unit, value) if known is None else known


@functools.lru_cache(maxsize=1024)
def asked(name: str, unit: str, value: str) -> float:
    """Pint's conversion factor from ``name`` to ``unit``. Raises ``UnitError``, which quotes ``value``, if the dimensions differ."""
    source, target = _unit(name), _unit(unit)
    if source.dimensionality != target.dimensionality:
        raise UnitError(f"{value!r} is in {name}{_expected(unit)}")
    return float(registry().Quantity(1.0, source).to(target).magnitude)


def _expected(unit: str) -> str:
    return f"; expected {unit}" if unit else "; expected a plain number"


def _finite(number: float, text: object) -> float:
    if not math.isfinite(number):
        raise UnitError(f"{text} is not a finite number")
    return number


def unit_of(reader: object) -> str | None:
    """The unit of a reader made by ``measured_in`` or ``whole``; None for any other function."""
    return getattr(reader, "unit", None)


class Reader:
    """A pydantic validator that reads a number from what a user wrote, as ``BeforeValidator(read)`` would. Its schema is ready-made, since
    pydantic takes longer to work one out for each of a hundred fields than to read them."""

    def __init__(self, read: Callable[[object], object], unit: str, stored: core_schema.CoreSchema) -> None:
        read.unit = unit  # type: ignore[attr-defined]
        self.read, self.stored = read, stored

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self.read, self.stored)


def measured_in(unit: str, *, positive: bool = True, most: float | None = None) -> Reader:
    """A pydantic validator that reads a quantity of ``unit``."""

    def read(value: object) -> object:
        return amount(value, unit, positive=positive, most=most)

    return Reader(read, unit, core_schema.float_schema())


def amount(value: object, unit: str, *, positive: bool = False, most: float | None = None) -> float:
    """A quantity of ``unit`` within its range: at least 0, or above 0 if ``positive``, and at most ``most`` or the limit of its unit.

    Raises ``UnitError``.
    """
    most = LARGEST_OF.get(unit, LARGEST) if most is None else most
    number = parse(value, unit)
    if number < 0 or (positive and number == 0):
        raise UnitError(f"must be {'greater than' if positive else 'at least'} 0")
    if positive and number < SMALLEST:
        raise UnitError(f"must be at least {SMALLEST:g}")
    if 0 < number < LEAST_OF.get(unit, 0):
        raise UnitError(
            f"must be at least {LEAST_OF[unit]:g} {unit}: a bare number is in {unit}; write {WRITTEN[unit]}"
        )
    if number > most:
        share = "; a share: 40 % is 40% or 0.4" if most == 1 else ""
        raise UnitError(f"must be at most {most:g}{share}")
    return number


def bare(stored: float) -> PlainSerializer:
    """A pydantic serialiser for values that are stored as ``stored`` times the bare number that their reader accepts: JSON gets the bare
    number, so that a written run is read back unchanged."""
    return PlainSerializer(lambda value: value / stored, return_type=float, when_used="json")


def whole(unit: str = "", *, least: int = 1, most: float = LARGEST_COUNT) -> Reader:
    """A pydantic validator that reads a whole number of ``unit``: ``150M``, ``2,048``, ``1e6``."""

    def read(value: object) -> object:
        number = parse(value, unit)
        if number != round(number):
            raise UnitError("must be a whole number")
        if number < least:
            raise UnitError(f"must be at least {least}")
        if number > most:
            raise UnitError(f"must be at most {most:g}")
        return int(number)

    return Reader(read, unit or "count", core_schema.int_schema())


Bytes = Annotated[float, measured_in("byte")]
Bandwidth = Annotated[float, measured_in("byte/s")]
Rate = Annotated[float, measured_in("FLOP/s")]
Seconds = Annotated[float, measured_in("s")]
Watts = Annotated[float, measured_in("W")]
Tokens = Annotated[float, measured_in("token")]
Fraction = Annotated[float, measured_in("", positive=False, most=1.0)]
Count = Annotated[int, whole()]
