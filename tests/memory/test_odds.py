"""The probability that a layout fits: its shape, the data it is learned from, and its display on a screen."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from gpuhours.memory.odds import ENOUGH, SAFE, Odds, odds, odds_of
from gpuhours.questions.validating.odds import Error, Trial, learn
from gpuhours.software.profile import list_software
from gpuhours_cli.render.estimate import verdict
from tests.conftest import Command

HALF = Odds(half=0.9, steepness=10.0)


def test_half_of_the_layouts_run_where_half_do() -> None:
    assert HALF.probability(0.9) == pytest.approx(0.5)
    assert HALF.probability(0.0) == pytest.approx(1.0, abs=1e-4)
    x = 10 * np.log(2)
    assert HALF.probability(1.8) == pytest.approx((1 - x / (2 + x**2) ** 0.5) / 2)


def test_fuller_is_never_likelier() -> None:
    chances = HALF.probability(np.linspace(0.1, 3.0, 50))
    assert np.all(np.diff(chances) < 0)


@pytest.mark.parametrize("chance", [0.1, ENOUGH, SAFE])
def test_what_may_be_filled_is_the_inverse(chance: float) -> None:
    assert HALF.probability(HALF.most(chance)) == pytest.approx(chance)


def made(half: float, count: int = 400) -> list[Trial]:
    """Return layouts on four systems that succeed as often as the odds predict."""
    random = np.random.default_rng(5)
    filled = random.uniform(0.3, 1.6, count)
    ran = random.uniform(size=count) < Odds(half, 12.0).probability(filled)
    return [
        Trial(f"s{number % 4}", f"p{number % 4}", float(full), bool(ok))
        for number, (full, ok) in enumerate(zip(filled, ran, strict=True))
    ]


def test_a_misread_figure_does_not_flatten_the_odds() -> None:
    """Twenty layouts ran at 0.9 of the memory and one at four times it: the odds at 0.9 stay close to certain."""
    rows = [Trial("s", "p", 0.9, True)] * 20
    beside = learn([*rows, Trial("s", "p", 4.0, True)], ())["all"]["measured"]
    assert Odds(**beside).probability(0.9) > 0.9


def thinned(rows: list[Trial]) -> list[Trial]:
    """Keep so few rows of each stack that none has odds of its own."""
    return rows[:100]


def test_learned_odds_are_those_that_made_the_layouts_and_never_above_what_there_is() -> None:
    assert learn(thinned(made(0.8)), ())["all"]["measured"]["half"] == pytest.approx(0.8, abs=0.05)
    assert learn(thinned(made(1.2)), ())["all"]["measured"]["half"] == 1.0


def test_a_stack_of_which_enough_ran_and_failed_has_its_own_odds() -> None:
    """Layouts of one stack fail at 0.7 of the card, all others at 0.95; too few layouts give no odds of their own."""
    own = [replace(row, stack="tight", system="t") for row in made(0.7, 300)]
    few = [replace(row, stack="few", system="f") for row in made(0.7, 40)]
    found = learn([*made(0.95), *own, *few], ())
    assert found["all"]["stacks"]["tight"]["half"] == pytest.approx(0.7, abs=0.04)
    assert "few" not in found["all"]["stacks"]
    assert "tight" not in found["without"]["t"]["stacks"]


def test_odds_without_a_system_have_not_seen_it() -> None:
    rows = thinned(made(0.8))
    other = [replace(row, ran=not row.ran) if row.system == "s1" else row for row in rows]
    assert learn(rows, ())["without"]["s1"] == learn(other, ())["without"]["s1"]
    assert learn(rows, ())["all"] != learn(other, ())["all"]


def test_a_stack_that_nobody_has_met_fits_as_memory_of_such_has_been_off() -> None:
    """Errors of forty stacks, one system each, drawn from Student's distribution around 0.06 with a scale of 0.05: the odds are those
    of that distribution, and each stack counts once; a stack that two systems ran, and one system far off, change little or nothing."""
    drawn = 0.06 + 0.05 * np.random.default_rng(11).standard_t(2, 40)
    off = [Error(f"s{number}", f"p{number}", float(one)) for number, one in enumerate(drawn)]
    shared = [Error(system, "both", 0.4) for system in "de"]
    ran = [Trial(system, "both", 0.5, True) for system in "de"]
    unmeasured = learn(ran, [*off, *shared])["all"]["unmeasured"]
    assert unmeasured["half"] == pytest.approx(np.exp(-0.06), abs=0.02)
    assert unmeasured["steepness"] == pytest.approx(1 / 0.05, rel=0.25)
    assert learn(ran, [*off, *shared, *[off[0]] * 9])["all"]["unmeasured"] == unmeasured
    wild = learn(ran, [*off, *shared, Error("wild", "wild", 3.0)])
    assert wild["all"]["unmeasured"]["steepness"] == pytest.approx(unmeasured["steepness"], rel=0.1)
    assert wild["without"]["wild"]["unmeasured"] == unmeasured


def test_every_stack_has_odds_and_automatic_layouts_stay_below_the_even_ones() -> None:
    for name in list_software():
        known = odds_of(name)
        assert 0.5 < known.most(SAFE) < known.most(ENOUGH) <= 1.0
    assert odds_of("nobody's").most(ENOUGH) < odds_of("fsdp-eager").most(ENOUGH)
    assert odds_of("fsdp-eager", "llm-foundry").most(ENOUGH) < odds_of("fsdp-eager").most(ENOUGH), "met nowhere else"
    assert "bigscience" in odds()["without"]


@pytest.mark.parametrize(
    ("chance", "words"),
    [(0.99, "fits"), (0.72, "may fit (odds 72.0 %)"), (0.3, "hardly fits (odds 30.0 %)"), (0.01, "does not fit")],
)
def test_the_screen_says_the_odds_in_between(chance: float, words: str) -> None:
    assert verdict(chance) == words


def test_fits_is_one_half_and_says_so_by_its_exit_code(gpuhours_command: Command) -> None:
    run = (
        "estimate",
        "--model",
        "llama-2-7b",
        "--tokens",
        "1B",
        "--gpu",
        "a100-sxm-80gb",
        "--gpus",
        "8",
        "--batch",
        "64",
    )
    fixed = ("--seq-len", "4096", "--sharding", "zero1", "--recompute", "none", "--tensor", "1", "--pipeline", "1")
    for microbatch in ("1", "2", "4", "8"):
        ran = gpuhours_command(*run, *fixed, "--microbatch", microbatch, "--json")
        results = json.loads(ran.out)["results"]
        chance = results["fits_probability"]["value"]
        assert results["fits"]["value"] is (chance >= ENOUGH)
        assert ran.code == (0 if chance >= ENOUGH else 1)
        assert results["memory_per_gpu"]["low"] < results["memory_per_gpu"]["value"] < results["memory_per_gpu"]["high"]


def test_the_digest_is_printed_by_version_and_changes_with_nothing_else(gpuhours_command: Command) -> None:
    from gpuhours.run.digest import LENGTH, digest

    assert len(digest()) == LENGTH
    ran = gpuhours_command("--version")
    assert ran.code == 0
    assert ran.out.strip().endswith(digest())
