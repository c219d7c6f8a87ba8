"""Quantities as people write them, read and printed."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gpuhours.inputs import unit_factors
from gpuhours.inputs.errors import UnitError
from gpuhours.inputs.units import asked, magnitude, parse, registry

WRITTEN = [
    ("30B", "", 30e9),
    ("30 billion", "", 30e9),
    ("1.8M GPU-hours", "GPU*hour", 1.8e6),
    ("1.8 million GPU-hours", "GPU*hour", 1.8e6),
    ("3 TB", "byte", 3e12),
    ("80 GiB", "byte", 80 * 2**30),
    ("80 B", "byte", 80),
    ("400 Gbit/s", "byte/s", 50e9),
    ("3.35 TB/s", "byte/s", 3.35e12),
    ("989.4 TFLOP/s", "FLOP/s", 989.4e12),
    ("44.5%", "", 0.445),
    ("44.5 %", "", 0.445),
    ("45 days", "s", 45 * 86400),
    ("3.5 weeks", "s", 24.5 * 86400),
    ("3 months", "day", 91.3125),
    ("2 FPS", "frame/s", 2),
    ("500B tokens", "token", 500e9),
    ("1.4T", "token", 1.4e12),
    ("2,048", "", 2048),
    ("1_000_000", "", 1e6),
    ("6.5e-3", "", 6.5e-3),
    (".5", "", 0.5),
    ("2.5 USD/GPU-hour", "USD/(GPU*hour)", 2.5),
    ("410 gCO2e/kWh", "gCO2e/J", 410 / 3.6e6),
    ("700 W", "W", 700),
    (2048, "", 2048),
    (0.445, "", 0.445),
]


@pytest.mark.parametrize(("text", "unit", "value"), WRITTEN)
def test_reads(text: str | float, unit: str, value: float) -> None:
    assert parse(text, unit) == pytest.approx(value, rel=1e-12)


REFUSED = [
    ("3 GB", "token", "expected token"),
    ("3.35 Tb/s", "byte/s", "'Tb"),
    ("400 Gbit", "byte/s", "expected byte/s"),
    ("5 m", "s", "in m; expected s"),
    ("9**9**9", "", "not a quantity"),
    ("x" * 1_000_000, "", "too long"),
    ("1e999", "", "not a finite number"),
    ("2 apples", "", "'apple"),
    ("", "", "not a quantity"),
    (True, "", "not a quantity"),
    (None, "byte", "expected byte"),
    ([1], "", "a list is not"),
]


@pytest.mark.parametrize(("text", "unit", "said"), REFUSED)
def test_refuses(text: object, unit: str, said: str) -> None:
    with pytest.raises(UnitError, match=said.replace("(", r"\(").replace("*", r"\*")):
        parse(text, unit)


@pytest.mark.parametrize(("name", "unit"), unit_factors.FACTORS)
def test_known_factors_are_the_registrys(name: str, unit: str) -> None:
    """Equal except for the last digit, as releases of pint multiply in different orders."""
    assert unit_factors.FACTORS[name, unit] == pytest.approx(asked(name, unit, name), rel=4e-16)


@given(st.floats(min_value=1e-6, max_value=1e15), st.sampled_from(["kB", "MB", "GB", "TB", "KiB", "GiB", "bit"]))
def test_bytes_survive_a_round_trip(value: float, unit: str) -> None:
    there = parse(f"{value:.15g} {unit}", "byte")
    assert there / registry().Quantity(1.0, unit).to("byte").magnitude == pytest.approx(value, rel=1e-9)


@example("0A)")
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(UnitError):
        parse(text, "byte")


def test_magnitudes_of_a_kind_can_be_divided() -> None:
    assert magnitude("10.41M") / magnitude("10M") == pytest.approx(1.041)
    assert magnitude("6 weeks") / magnitude("3 weeks") == pytest.approx(2)
