"""The precision of a figure, and the least squares fit."""

from __future__ import annotations

import math

import pytest

from gpuhours.questions.checking.precision import rounding, spread
from gpuhours.questions.checking.reconciling.reconcile import Measurement, reconcile
from gpuhours.run.identities import Sum, product


@pytest.mark.parametrize(
    ("digits", "value", "half"),
    [
        ("1.8", 1.8, 0.0278),
        ("44.5", 44.5, 0.00112),
        ("30.2", 30.2, 0.00166),
        ("500", 500, 0.05),
        ("17", 17, 0.0294),
        ("1,022,362", 1022362, 4.9e-7),
    ],
)
def test_rounding(digits: str, value: float, half: float) -> None:
    assert rounding(digits, value) == pytest.approx(half, rel=0.01)


def test_words_widen_and_shift() -> None:
    plain, hedged = spread(300.0, "300"), spread(300.0, "300", ("approximately",))
    assert hedged.sigma > plain.sigma
    over, up_to = spread(300.0, "300", ("over",), exact=True), spread(300.0, "300", ("up to",), exact=True)
    assert over.low == pytest.approx(300, rel=0.01)
    assert over.high == pytest.approx(330, rel=0.01)
    assert up_to.low == pytest.approx(210, rel=0.01)
    assert up_to.high == pytest.approx(300, rel=0.01)


def test_three_months_is_eighty_to_a_hundred_and_six_days() -> None:
    months = spread(91.3, "3", ("approximately",), duration=True)
    assert 75 < months.low < 82
    assert 100 < months.high < 108


PRODUCT = product("c = a b", "c", "a", "b", sigma=1e-4)


def test_products_are_reconciled_by_their_weights() -> None:
    given = [
        Measurement("a", math.log(10), 0.1, 0),
        Measurement("b", math.log(10), 0.002, 1),
        Measurement("c", math.log(110), 0.002, 2),
    ]
    fit = reconcile(given, [PRODUCT])
    value = fit.value("a")
    assert value is not None
    assert value[0] == pytest.approx(11, rel=0.01)  # a is the loosest, so a moves
    assert fit.residual[0] == pytest.approx(-math.log(1.1) / 0.1, rel=0.01)
    assert abs(fit.residual[0]) == pytest.approx(abs(fit.residual[1]), rel=1e-6)  # one redundancy: all share it


def test_what_is_not_determined_is_said() -> None:
    fit = reconcile([Measurement("a", math.log(10), 0.01, 0)], [PRODUCT])
    assert fit.value("b") is None
    assert fit.value("c") is None
    assert fit.value("a") is not None


def test_sums() -> None:
    whole = Sum("w = p + q", "w", ("p", "q"))
    fit = reconcile([Measurement("w", math.log(13e9), 0.01, 0), Measurement("p", math.log(9.5e9), 0.01, 1)], [whole])
    rest = fit.value("q")
    assert rest is not None
    assert rest[0] == pytest.approx(3.5e9, rel=0.01)
