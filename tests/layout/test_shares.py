"""Policies give shares of a layer of at most one; a degree of one has no effect."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpuhours.architecture.operators import Role
from gpuhours.layout.layout import Layout
from gpuhours.layout.recompute import (
    EVERYTHING,
    MODULES,
    NOTHING,
    SELECTIVE,
    Policy,
    _elementwise_max,
    gemm_share,
    skips_last_gemm,
)
from gpuhours.layout.validity import refuse
from gpuhours.software.profile import load_software
from tests.round_machine import ADAPTED, MIXTURE, MODEL, TOKENS, stack, workload


@pytest.mark.parametrize("policy", [NOTHING, EVERYTHING, *SELECTIVE.values(), *MODULES.values()])
def test_no_part_is_computed_again_more_than_once(policy: Policy) -> None:
    shares = (policy.core, policy.others, policy.tensor, policy.expert, *policy.gemms.values())
    assert all(0.0 <= share <= 1.0 for share in shares)


def test_what_one_policy_does_not_name_the_other_decides() -> None:
    assert _elementwise_max({Role.QKV: 0.5}, {Role.QKV: 0.25, Role.MLP_IN: 0.5}) == {Role.QKV: 0.5, Role.MLP_IN: 0.5}
    assert _elementwise_max({}, {Role.QKV: 0.5}) == _elementwise_max({Role.QKV: 0.5}, {}) == {Role.QKV: 0.5}


def test_the_last_gemm_is_skipped_where_nothing_needs_what_follows_it() -> None:
    """The second GEMM of the MLP; not if it has an adapter, and not in an expert."""
    early = load_software("torch-eager").model_copy(update={"early_stop": True})
    late = early.model_copy(update={"early_stop": False})
    plain, adapted, routed = (one.model(TOKENS).stacks[-1] for one in (MODEL, ADAPTED, MIXTURE))
    beside = replace(adapted, adapters=tuple(replace(one, role=Role.MLP_OUT) for one in adapted.adapters))
    assert skips_last_gemm(plain, early)
    assert skips_last_gemm(adapted, early)
    assert not skips_last_gemm(beside, early)
    assert not skips_last_gemm(routed, early)
    assert not skips_last_gemm(plain, late)


def test_one_rank_of_experts_is_none() -> None:
    refuse(Layout(expert=1, expert_tensor=1), MODEL.model(TOKENS))


def test_a_layer_of_one_gemm_repeats_none_of_it() -> None:
    """Full recomputation stops before its last GEMM; half of that one is no more."""
    part, early = workload().model.stacks[0], stack(early_stop=True)
    one = replace(part, block=replace(part.block, linears=part.block.linears[:1]))
    assert [float(gemm_share(policy, one, early)) for policy in (EVERYTHING, SELECTIVE["half-of-gemms"])] == [
        0,
        0,
    ]
    late = stack(early_stop=False)
    assert [float(gemm_share(policy, one, late)) for policy in (EVERYTHING, SELECTIVE["half-of-gemms"])] == [
        1,
        0.5,
    ]
