"""The syntax of ``--vary KEY=SPEC``: ``a,b,c``, ``start..stop:step``, ``start..stop*factor``, with units."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import yaml

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.units import MULTIPLIERS

MOST_VALUES = 10_000_000
LONGEST_SPEC = 100_000
EXAMPLE = "For example: --vary layout.tensor=1,2,4,8 or data.frames=16..128:16 or hardware.gpus=64..1024*2"

_NUMBER = re.compile(r"\s*(?P<number>[-+]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?)(?P<suffix>.*)", re.DOTALL)


def varied(text: str) -> tuple[str, tuple[Any, ...]]:
    """``KEY=SPEC`` from the command line -> the key and its values as a user would write them."""
    key, equals, spec = text.partition("=")
    if not equals or not key.strip() or not spec.strip():
        raise EstimateError(f"--vary {text[:60]!r} is not KEY=SPEC.", EXAMPLE)
    return key.strip(), read(spec, key.strip())


def read(spec: str | Iterable[Any], key: str) -> tuple[Any, ...]:
    """The values of a SPEC, or of any Python iterable; at least one, at most ``MOST_VALUES``."""
    if isinstance(spec, str):
        if len(spec) > LONGEST_SPEC:
            raise EstimateError(f"A SPEC of {len(spec):,} characters is too long.", EXAMPLE, key)
        values = [value for item in spec.split(",") for value in _item(item, key)]
    elif isinstance(spec, Iterable) and not isinstance(spec, dict) and getattr(spec, "ndim", None) != 0:
        values = []
        for value in spec:
            values.append(value.item() if hasattr(value, "item") else value)
            if len(values) > MOST_VALUES:
                break
    else:
        raise EstimateError(f"{spec!r} is not a list of values.", EXAMPLE, key)
    if not values:
        raise EstimateError("There is no value to try.", EXAMPLE, key)
    if len(values) > MOST_VALUES:
        raise EstimateError(f"More than {MOST_VALUES:,} values for one key.", "Take a larger step.", key)
    return tuple(values)


def _item(text: str, key: str) -> Iterable[Any]:
    """One entry between commas: a YAML value, or a range."""
    if ".." in text:
        return _range(text, key)
    if not text.strip():
        raise EstimateError("There is an empty value between two commas.", EXAMPLE, key)
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):  # an invalid date, thousands of digits or brackets
        value = text.strip()
    return [value if isinstance(value, int | float | str | bool) or value is None else text.strip()]


def _range(text: str, key: str) -> list[Any]:
    """``16..128:16`` and ``64..1024*2``; the stop is included if a step lands on it."""
    first, _, rest = text.partition("..")
    last, sign, by = rest.partition("*") if "*" in rest and ":" not in rest else rest.partition(":")
    start, stop, step = _part(first, text, key), _part(last, text, key), _part(by, text, key) if sign else (1, "")
    suffix, (low, high, by_number) = _common_suffix(start, stop, step if sign != "*" else (step[0], ""), text, key)
    if sign == "*" and step[1].strip():
        raise EstimateError(f"{text.strip()!r}: a factor has no unit.", EXAMPLE, key)
    numbers = (
        _geometric(low, high, by_number, text, key) if sign == "*" else _arithmetic(low, high, by_number, text, key)
    )
    return [f"{number!r}{suffix}" for number in numbers] if suffix.strip() else list(numbers)


def _part(text: str, whole: str, key: str) -> tuple[float, str]:
    """A number and its suffix."""
    match = _NUMBER.fullmatch(text)
    if match is None or ".." in match["suffix"]:
        raise EstimateError(f"{whole.strip()!r} is not a range.", EXAMPLE, key)
    digits = match["number"].replace("_", "")
    number = float(digits) if set(digits) & set(".eE") else int(digits[:300])
    return number, match["suffix"].rstrip()


def _common_suffix(
    start: tuple[float, str], stop: tuple[float, str], step: tuple[float, str], text: str, key: str
) -> tuple[str, tuple[float, float, float]]:
    """The unit common to all three; ``1B..70B`` and ``500M..2B`` are numbers, ``100..400 Gbit/s`` has one unit."""
    said = {part[1].strip() for part in (start, stop, step)} - {""}
    if len(said) <= 1:
        suffix = next((part[1] for part in (stop, start, step) if part[1].strip()), "")
        return suffix, (start[0], stop[0], step[0])
    if said <= set(MULTIPLIERS):
        low, high, by = (_plain(part[0] * MULTIPLIERS[part[1].strip()]) for part in (start, stop, step))
        return "", (low, high, by)
    raise EstimateError(f"{text.strip()!r} mixes {' and '.join(sorted(said))}.", "Write both ends in one unit.", key)


def _plain(number: float) -> float:
    return int(number) if float(number).is_integer() else number


def _arithmetic(low: float, high: float, step: float, text: str, key: str) -> list[float]:
    if not step > 0 or not high >= low:
        raise EstimateError(f"{text.strip()!r} is empty: it needs start <= stop and a step above 0.", EXAMPLE, key)
    _limit((high - low) / step + 1, key)
    count = math.floor((high - low) / step + 1e-9) + 1
    return [_clean(low + index * step) for index in range(count)]


def _geometric(low: float, high: float, factor: float, text: str, key: str) -> list[float]:
    if not factor > 1 or not high >= low > 0:
        raise EstimateError(
            f"{text.strip()!r} is empty: it needs 0 < start <= stop and a factor above 1.", EXAMPLE, key
        )
    _limit(math.log(high / low) / math.log1p(factor - 1) + 1, key)
    count = math.floor(math.log(high / low) / math.log(factor) + 1e-9) + 1
    return [_clean(low * factor**index) for index in range(count)]


def _limit(count: float, key: str) -> None:
    if not count <= MOST_VALUES:
        raise EstimateError(
            f"That is {count:,.0f} values for one key.", f"At most {MOST_VALUES:,}: take a larger step.", key
        )


def _clean(number: float) -> float:
    """Round off binary fractions: 0.1 + 2 x 0.1 is 0.3."""
    return number if isinstance(number, int) else float(f"{number:.12g}")
