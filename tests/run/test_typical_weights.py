"""Weights of what is usual: counted from the runs and scripts that a line names, with a judged prior, and left out with their owners."""

from __future__ import annotations

import pytest

from gpuhours.questions.validating.practice import practice_without
from gpuhours.questions.validating.totals_rows import owner
from gpuhours.run.typical import UsualWeights, typical

LINE = UsualWeights(judged={"a": 3, "b": 1}, named={"a": ("x",), "b": ("y", "z", "w")}, source="three of four")


def test_weights_by_hand() -> None:
    """Half a run for each of two alternatives, shared out 3 : 1, beside one and three names."""
    assert LINE.weights == {"a": 1 + 0.75, "b": 3 + 0.25}
    assert LINE.counted == 4


def test_a_line_without_names_is_a_judgement() -> None:
    """Its weights are relative ones, as judged."""
    alone = UsualWeights(judged={"a": 3, "b": 1}, source="nobody counted")
    assert alone.counted == 0
    assert alone.weights["a"] / alone.weights["b"] == pytest.approx(3)


def test_names_left_out_count_no_longer() -> None:
    """Only the prior is left of an alternative whose names are all left out."""
    assert LINE.without(lambda name: name != "x").weights == {"a": 1.75, "b": 0.25}
    assert LINE.without(lambda _: False) is LINE


def test_alternatives_that_are_not_kept_lose_names_and_prior() -> None:
    """One alternative is left, with its own half run."""
    kept = LINE.only(lambda name: name == "b")
    assert kept is not None
    assert kept.weights == {"b": 3.5}
    assert LINE.only(lambda _: False) is None


def test_a_name_needs_a_judged_weight() -> None:
    """A misspelt alternative would count for nothing."""
    with pytest.raises(ValueError, match="named has alternatives without a judged weight: c"):
        UsualWeights(judged={"a": 1}, named={"c": ("x",)}, source="a typing error")


def test_no_organisation_counts_twice_for_one_alternative() -> None:
    """One entry an organisation: a line may list two models of one as one."""
    for line in (*typical().stacks, *typical().recompute):
        for choice, names in line.named.items():
            owners = [owner(name) or name for name in names]
            assert len(set(owners)) == len(owners), (choice, names)


def test_what_an_organisation_runs_is_left_out_when_it_is_judged() -> None:
    """Its names are not counted; those of others are."""
    named = [name for line in practice_without("TII").table.stacks for names in line.named.values() for name in names]
    assert not [name for name in named if owner(name) == "TII"]
    assert "MegaScale" in named
    assert any("Falcon" in name for line in typical().stacks for names in line.named.values() for name in names)
