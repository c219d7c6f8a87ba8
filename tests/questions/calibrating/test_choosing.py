"""Choice of the stack, by hand and by laws: agreeing steps change it, scattered or few steps do not, and a stated stack wins a tie."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gpuhours.questions.calibrating import choosing
from gpuhours.questions.calibrating.choosing import Candidate, candidates, carried, chosen, likelihood

U = 0.08
STATED = Candidate("fsdp-compile")


def test_the_likelihood_by_hand() -> None:
    """r = 0.1, 0.2: m = 0.15, scatter 0.005; e = 0.048, b = 0.04; Q = 0.005 / 0.002304 + 2 x 0.0225 / (0.002304 + 0.0032)."""
    misfit = 0.005 / 0.002304 + 0.045 / 0.005504
    assert likelihood(np.array([0.1, 0.2]), U) == pytest.approx(-3 * math.log(1 + misfit / 4), rel=1e-9)


def test_what_carries_over_by_hand() -> None:
    """r = 0.3 three times: v = 2 x 0.048^2 / 4; w = 3 x 0.0016 / (v + 0.0048); w x 0.3 - 0.75 sqrt(v / 3)."""
    v = 2 * 0.048**2 / 4
    w = 0.0048 / (v + 0.0048)
    factor, own, shared = carried(np.full(3, 0.3), U)
    assert factor == pytest.approx(w * 0.3 - 0.75 * math.sqrt(v / 3), rel=1e-9)
    assert (own, shared) == pytest.approx((math.sqrt(v), 0.04 * math.sqrt(1 - w)), rel=1e-9)


@pytest.mark.parametrize("sign", [1, -1])
def test_it_never_carries_over_more_than_was_seen_nor_against_it(sign: int) -> None:
    generator = np.random.default_rng(1)
    for _ in range(200):
        seen = sign * np.abs(generator.normal(0.1, 0.1, generator.integers(1, 9)))
        factor, own, shared = carried(seen, U)
        assert 0 <= sign * factor <= abs(np.median(seen))
        assert own > 0
        assert 0 <= shared <= 0.8 * U


def test_steps_that_scatter_carry_over_less_and_are_less_sure() -> None:
    close, wide = carried(np.array([0.2, 0.21, 0.19]), U), carried(np.array([0.2, 0.5, -0.1]), U)
    assert wide[0] < close[0]
    assert wide[1] > close[1]


def test_more_steps_that_agree_carry_over_more_and_are_surer() -> None:
    found = [carried(np.full(count, 0.2), U) for count in (1, 2, 3, 6, 20)]
    factors, sure = [one[0] for one in found], [math.hypot(one[1], one[2]) for one in found]
    assert factors == sorted(factors)
    assert sure == sorted(sure, reverse=True)


def test_what_is_stated_wins_unless_another_is_much_likelier() -> None:
    penalties = {STATED: 0.0, Candidate("fsdp-eager"): choosing.FAMILY, Candidate("jax"): choosing.OTHER}
    near = {STATED: np.full(3, 0.05), Candidate("fsdp-eager"): np.zeros(3), Candidate("jax"): np.zeros(3)}
    assert chosen(near, penalties, U).stack == STATED
    far = {**near, STATED: np.full(3, 0.9)}
    found = chosen(far, penalties, U)
    assert found.stack == Candidate("fsdp-eager"), "of two that fit alike the one of its family"
    assert found.lead > 0
    assert chosen({**far, Candidate("fsdp-eager"): None}, penalties, U).stack == Candidate("jax")


def test_a_change_needs_less_where_the_usual_error_is_small() -> None:
    penalties = {STATED: 0.0, Candidate("fsdp-eager"): choosing.FAMILY}
    found = {STATED: np.full(3, 0.3), Candidate("fsdp-eager"): np.zeros(3)}
    assert chosen(found, penalties, 0.02).stack == Candidate("fsdp-eager")
    assert chosen(found, penalties, 0.3).stack == STATED


def test_networks_are_candidates_only_where_steps_cross_one() -> None:
    alone, across = dict(candidates(STATED, False)), dict(candidates(STATED, True))
    assert next(iter(alone.items())) == (STATED, 0.0)
    assert {stack.network for stack in alone} == {None}
    assert {stack.network for stack in across} - {None} >= {"efa", "ethernet", "infiniband"}
    assert all(stack.software == STATED.software for stack in across if stack.network)
    assert min(penalty for stack, penalty in across.items() if stack != STATED) > 1
