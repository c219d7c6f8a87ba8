"""How wide ranges are: new kinds of runs, sources left out, and what a new table may not lose."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from gpuhours.questions.validating import Validation, updating
from gpuhours.questions.validating.learning import (
    Sample,
    interval_score,
    learn,
    samples,
    systems_by_trait,
    unmeasured_stack,
)
from gpuhours.questions.validating.sources import system_of
from gpuhours.run import conformal
from gpuhours.run.band import band_of, novelty
from gpuhours.run.conformal import Curve, with_hosts, without_hosts
from gpuhours.run.novelty import BESIDES, OF_STACK, TRAITS, Traits, features
from tests.benchmarks.swaps import ranked
from tests.questions.validating.tables import COVERED, judged

KNOWN = Traits("megatron-core-2024", "h100-sxm-80gb", "hopper", "bf16", "dense", 512, 8192)
STRANGE = Traits("abacus", "mi300x", "cdna3", "fp4", "dense", 10**6, 10**8, stack_said=False)
WORSE = 0.005
"""Allowed increase of a source's mean error, as a share."""


def test_novelty_names_what_was_never_measured() -> None:
    assert novelty(KNOWN) == ()
    found = " ".join(novelty(STRANGE))
    for word in ("mi300x", "abacus", "more GPUs", "longer sequences", "fp4"):
        assert word in found


def test_a_new_run_has_a_wider_range_and_nobody_like_it() -> None:
    known, strange = band_of(KNOWN, 5.0), band_of(STRANGE, 5.0)
    assert known.low < 1 < known.high
    assert strange.low < known.low
    assert strange.high > known.high
    assert strange.memory_low <= known.memory_low
    assert (strange.runs, strange.on_stack, strange.median_error) == (0, 0, None)
    assert known.runs > 10
    assert known.median_error is not None


def test_features_count_other_systems_only() -> None:
    rows = [Sample("ours", KNOWN, 5.0, 0.0), Sample("theirs", KNOWN, 5.0, 0.0)]
    world = systems_by_trait(rows)
    assert max(features(KNOWN, 5.0, world)[:9]) == 0
    assert set(features(KNOWN, 5.0, world, frozenset({"ours"}))[:9]) == {0.5}
    assert set(features(KNOWN, 5.0, world, frozenset({"ours", "theirs"}))[:9]) == {1.0}
    stands_in = features(dataclasses.replace(KNOWN, stands_in=True), 5.0, world)[:9]
    assert [one for one, trait in zip(stands_in, TRAITS, strict=True) if trait in OF_STACK] == [1.0] * len(OF_STACK), (
        "of another stack"
    )
    assert sum(stands_in) == len(OF_STACK)


def test_the_host_of_a_new_stack_is_a_feature_where_a_step_waits_for_it() -> None:
    """That pace is the stand-in's: 0 for a measured stack, half for one of a single system; nothing below 5 % of a step."""
    world, last = (
        systems_by_trait([Sample("a", KNOWN, 5.0, 0.0), Sample("b", KNOWN, 5.0, 0.0)]),
        BESIDES.index("host on stack"),
    )
    out = (frozenset[str](), frozenset({"a"}), frozenset({"a", "b"}))
    assert [features(KNOWN, 5.0, world, one, 0.3)[len(TRAITS) + last] for one in out] == [0.0, 0.5, 1.0]
    assert [features(KNOWN, 5.0, world, one, 0.2)[len(TRAITS) + last] for one in out] == [0.0, 0.0, 0.0]


def made(systems: int, spread: float) -> list[Sample]:
    """Return twenty rows per system with similar errors; every second system has a stack found nowhere else, with three times the error."""
    random, found = np.random.default_rng(3), []
    for number in range(systems):
        odd = number % 2 == 1
        traits = Traits(f"stack-{number}" if odd else "stack", "h100-sxm-80gb", "hopper", "bf16", "dense", 8, 8192)
        scale = spread * (3 if odd else 1)
        middle = random.normal(0, scale)
        found += [Sample(f"s{number}", traits, 5.0, middle + random.normal(0, scale / 2)) for _ in range(20)]
    return found


def test_ranges_hold_on_sources_that_they_have_not_seen_and_widen_with_novelty() -> None:
    found = learn(made(24, 0.05))
    assert 0.72 <= found["coverage"]["rows"] <= 0.88
    assert 0.72 <= found["coverage"]["sources"] <= 0.88
    narrow = Curve(**{name: found["all"][name] for name in ("base", "coefficients", "shift", "below", "above")})
    usual = features(made(1, 0.05)[0].traits, 5.0, systems_by_trait(made(24, 0.05)))
    new = (1.0, *usual[1:3], 1.0, *usual[4:])
    assert narrow.usual(new) > 1.3 * narrow.usual(usual)


def test_a_host_that_nobody_states_adds_to_the_range_as_squares() -> None:
    """A model that is 0.3 off to either side, and hosts that take exp(-0.4) and exp(0.4) times as long: 0.5 together."""
    curve = Curve(base=np.log(0.3), coefficients=(), shift=0.0, below=1.0, above=1.0)
    assert curve.limits((), (np.exp(-0.4), np.exp(0.4))) == pytest.approx((np.exp(-0.5), np.exp(0.5)))
    assert curve.limits(()) == curve.limits((), (1.0, 1.0)) == pytest.approx((np.exp(-0.3), np.exp(0.3)))
    assert with_hosts(without_hosts(np.array([-0.5, 0.5]), 0.7, 1.4), np.array([0.7, 1.4])) == pytest.approx(0.5)


def test_errors_that_hosts_explain_widen_no_other_range() -> None:
    """Rows of hosts that are nobody's fault, a factor of 1.5 to either side: told apart, ranges of known hosts stay as they were."""
    random = np.random.default_rng(7)
    known = made(12, 0.05)
    hosted = [
        dataclasses.replace(one, error=one.error + random.normal(0, np.log(1.5) / 1.28), hosts=(1 / 1.5, 1.5))
        for one in known
    ]
    told, untold = (
        learn([*known, *hosted]),
        learn([*known, *(dataclasses.replace(one, hosts=(1.0, 1.0)) for one in hosted)]),
    )
    width = [
        np.ptp(
            np.log(
                Curve(
                    **{name: one["all"][name] for name in ("base", "coefficients", "shift", "below", "above")}
                ).limits((0.0,) * len((*TRAITS, *BESIDES)))
            )
        )
        for one in (learn(known), told, untold)
    ]
    assert width[1] < 1.4 * width[0]
    assert width[2] > 2 * width[0]
    assert 0.75 <= told["coverage"]["rows"] <= 0.85


def test_no_range_has_seen_its_own_source() -> None:
    """The range that a source is judged by does not depend on the source's rows."""
    rows = made(12, 0.05)
    far = [Sample(one.system, one.traits, one.time, 9.0 if one.system == "s3" else one.error) for one in rows]
    one, other = learn(rows), learn(far)
    if one["factor"] == other["factor"]:
        assert one["without"]["s3"] == other["without"]["s3"]
    no_quantile = {"below": 0, "above": 0}
    assert {**one["without"]["s3"], **no_quantile} == {**other["without"]["s3"], **no_quantile}


def test_a_trait_that_says_nothing_is_ignored_and_widens_no_range() -> None:
    """Of ten traits that are new together, the two skipped ones have no coefficient; the ranges of the others have the same coverage."""
    counted, ignored = learn(made(12, 0.05)), learn(made(12, 0.05), frozenset({"scale", "length"}))
    at = [counted["features"].index(name) for name in ("scale", "length")]
    assert min(counted["all"]["coefficients"][place] for place in at) > 0
    for one in (ignored["all"], *ignored["without"].values()):
        assert [one["coefficients"][place] for place in at] == [0, 0]
    assert 0.7 <= ignored["coverage"]["rows"] <= 0.9


def test_the_interval_score_is_least_for_the_percentiles() -> None:
    """Winkler's score of ranges around 0 for normal errors is smallest near -1.2816 to 1.2816, the 10th and 90th percentile."""
    errors = np.random.default_rng(2).normal(size=200_000)
    scores = {
        half: float(interval_score(np.full(1, -half), np.full(1, half), errors).mean()) for half in (1.0, 1.2816, 1.6)
    }
    assert min(scores, key=lambda half: scores[half]) == 1.2816


def test_a_range_reaches_as_far_to_either_side_as_sources_did() -> None:
    """In twelve systems every third is far slower than predicted and none far faster, so the range extends further up than down."""
    random = np.random.default_rng(5)
    traits = Traits("stack", "h100-sxm-80gb", "hopper", "bf16", "dense", 8, 8192)
    rows = [
        Sample(f"s{number}", traits, 5.0, abs(random.normal(0, 0.4)) if number % 3 == 0 else random.normal(0, 0.05))
        for number in range(12)
        for _ in range(20)
    ]
    found = learn(rows)["all"]
    assert found["above"] > 2 * found["below"] > 0


def test_a_stack_that_nobody_measured_takes_what_such_stacks_took_each_system_once() -> None:
    """Medians 0.1, 0.3, 0.5 and two systems taken to be right (0, 0): 0.1 in the middle; without the first 0 0 0.3 0.5 -> 0.15. Rows of
    stacks that others ran, and how many rows a system has, do not count."""
    one = Traits("new", "h100-sxm-80gb", "hopper", "bf16", "dense", 8, 8192)
    rows = [
        Sample(f"s{at}", one, 5.0, error, unmeasured=True)
        for at, error in enumerate((0.1, 0.3, 0.5))
        for _ in range(1 + 9 * at)
    ]
    rows += [Sample("met", one, 5.0, 2.0)] * 50
    assert unmeasured_stack(rows) == pytest.approx(0.1)
    assert unmeasured_stack(rows, frozenset({"s0"})) == pytest.approx(0.15)


def test_the_factor_of_the_stored_table_was_learned_without_the_system_judged(published: Validation) -> None:
    """Divided out again, the predictions are the parent's; the stacks of our own H200 runs are ones that others ran too: untouched."""
    by = {system_of(one.row.word("source_title") or ""): one for one in published.judged if one.error is not None}
    case = by["bigscience"].case
    assert case is not None
    assert case.software.unmeasured_factor == conformal.unmeasured_stack("bigscience") > 1.05
    assert conformal.unmeasured_stack("bigscience") == pytest.approx(
        np.exp(unmeasured_stack(samples(published.judged), frozenset({"bigscience"}))), abs=1e-4
    )
    untouched = by["pythia"].case
    assert untouched is not None
    assert not untouched.software.is_stand_in


def test_every_source_weighs_the_same_beside_every_row(tmp_path: Path) -> None:
    """Three rows of one source and one of another: medians and means of each source, then over the two sources."""
    rows = judged(
        tmp_path,
        *({"step_time_s": time} for time in (12.0, 13.0, 15.0)),
        {"source_title": "theirs", "step_time_s": 9.0},
    )
    errors = [abs(one.error or 0.0) for one in rows.judged]
    found = rows.summary()
    assert found["sources"] == 2
    assert found["sources_mape"] == pytest.approx((np.mean(errors[:3]) + errors[3]) / 2)
    assert found["sources_median_ape"] == pytest.approx((np.median(errors[:3]) + errors[3]) / 2)


def worse(found: Validation) -> list[str]:
    """Return messages, with old and new values, on sources whose left-out error of steps or memory exceeds the stored one by ``WORSE`` or
    more or that have fewer predicted steps, and on coverages outside ``COVERED``."""
    stored, now = json.loads(updating.errors_path().read_text(encoding="utf-8")), updating.errors(found)
    worse_figures = []
    for title, old in stored.items():
        new = now.get(title, {"predicted": 0})
        if new["predicted"] < old["predicted"]:
            worse_figures.append(f"{title}: {old['predicted']} steps predicted -> {new['predicted']}")
        for name, what in (("mape", "mean error"), ("memory_mape", "mean error of memory")):
            before, after = old[name], new.get(name)
            if before is not None and after is not None and after > before + WORSE:
                worse_figures.append(f"{title}: {what} {before:.2%} -> {after:.2%}")
    covered = now["all"]["coverage_80"]
    if not COVERED[0] <= covered <= COVERED[1]:
        worse_figures.append(f"range: covers {stored['all']['coverage_80']:.1%} -> {covered:.1%} of the rows left out")
    return worse_figures


def test_no_source_is_worse_than_it_was_and_the_range_holds_what_it_says(published: Validation) -> None:
    """Every change must pass this. If it makes sources worse for the sake of others, say so and run `gpuhours validate --update`."""
    told = worse(published)
    assert not told, "\n".join(("left out, a source is worse than before:", *told))


def test_a_worse_source_and_a_lost_range_are_told(published: Validation) -> None:
    slower = [
        dataclasses.replace(one, predicted=2 * one.predicted, low=2 * one.low, high=2 * one.high)
        if one.predicted and one.low and one.high
        else one
        for one in published.judged
    ]
    told = worse(dataclasses.replace(published, judged=tuple(slower)))
    assert any(said.startswith("Zero Bubble") and "->" in said for said in told)
    assert told[-1].startswith("range: covers")


def test_rows_that_vanish_and_worse_memory_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = json.loads(updating.errors_path().read_text(encoding="utf-8"))
    heavier, fewer, gone = sorted(
        name for name in stored if name.startswith(("Zero Bubble", "EasyContext", "BurstEngine"))
    )
    told: dict[str, str] = {}
    for name, key, change in ((gone, "predicted", 0), (fewer, "predicted", -1), (heavier, "memory_mape", 0.006)):
        now = {title: dict(one) for title, one in stored.items()}
        if change:
            now[name][key] += change
        else:
            del now[name]
        monkeypatch.setattr(updating, "errors", lambda _, now=now: now)
        (told[name],) = worse(None)  # type: ignore[arg-type] # what is judged is not asked
    assert told[gone].endswith(f"{stored[gone]['predicted']} steps predicted -> 0")
    assert told[fewer].endswith(f"-> {stored[fewer]['predicted'] - 1}")
    assert "mean error of memory" in told[heavier]


def test_the_stored_ranges_cover_left_out_sources(published: Validation) -> None:
    """80 % of the rows of a left-out source; two sources in three have a coverage of at least 65 %."""
    assert 0.75 <= published.summary()["coverage_80"] <= 0.88
    by = [one for one in published.by()["source_title"].values() if one["predicted"] >= 8]
    assert np.mean([one["coverage_80"] >= 0.65 for one in by]) > 0.67
    assert len(samples(published.judged)) > 1600


def test_methods_of_one_stack_are_ranked_as_measured(in_sample: Validation) -> None:
    """Rings, double rings, Ulysses, combinations, tensor ranks, with or without recomputation: pairs that differ by more than 2 %."""
    pairs, right = ranked(in_sample.judged, 0.02, lambda case: case.software.name)
    assert pairs > 140
    assert right / pairs > 0.97
