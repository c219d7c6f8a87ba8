"""The planner against exhaustive search, and its report on the best layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpuhours
from gpuhours.inputs.errors import EstimateError
from gpuhours.layout.choices import Recompute
from gpuhours.layout.validity import divisors
from gpuhours.questions.planning.answer import choice
from gpuhours.questions.planning.search import LayoutSearch
from gpuhours.run.default_layout import default_layout
from gpuhours.run.ensemble import settled
from gpuhours.run.evaluate import evaluate
from gpuhours.run.resolve import resolve

DENSE: dict[str, Any] = {
    "name": "a decoder",
    "model": {"layers": 24, "hidden": 4096, "heads": 32, "vocab": 51200},
    "data": {"seq_len": 2048, "tokens": "100B"},
    "training": {"global_batch": 16, "dtype": "bf16"},
    "hardware": {"accelerator": "a100-sxm-80gb", "gpus": 16},
    "layout": {"tensor": 2, "pipeline": 2},
    "software": "megatron-core",
}
TIGHT = {
    **DENSE,
    "model": {"layers": 40, "hidden": 6144, "heads": 48, "vocab": 51200},
    "hardware": {"accelerator": "a100-sxm-40gb", "gpus": 16},
}
MIXTURE = {**DENSE, "model": {"layers": 16, "hidden": 2048, "heads": 16, "vocab": 32000,
                               "experts": {"count": 4, "top_k": 2, "width": 4096}},
           "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 8}}  # fmt: skip
LONG = {
    **DENSE,
    "data": {"seq_len": 32768, "tokens": "10B"},
    "training": {"global_batch": 8, "dtype": "bf16"},
    "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 8},
}
VIDEO = {**DENSE, "model": {"vision": {"name": "vit-l-14", "trainable": "frozen"}, "bridge": {"kind": "mlp"}, "language": {"params": "3B"}},
         "data": {"frames": 8, "text_tokens": 256, "dataset_samples": "1M", "epochs": 1}}  # fmt: skip
ON_EIGHT = {**DENSE, "hardware": {"accelerator": "a100-sxm-80gb", "gpus": 8}}
CASES = {
    "video": VIDEO,
    "dense": ON_EIGHT,
    "tight": TIGHT,
    "experts": {**MIXTURE, "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 4}},
    "long": LONG,
    "fsdp": {**ON_EIGHT, "software": "fsdp-compile"},
}


def exhaustive(search: LayoutSearch) -> np.ndarray[Any, Any]:
    """Return the time of every valid layout that fits."""
    cells = np.arange(int(np.prod(search.space.shape)))
    return np.sort(np.concatenate([search(part).time for part in np.array_split(cells, max(1, len(cells) // 4096))]))


def search_of(data: dict[str, Any]) -> LayoutSearch:
    return LayoutSearch.of(settled(gpuhours.from_dict(data)).replaced("layout", gpuhours.from_dict(data).layout))


def test_cases_lie_inside_a_node_and_over_several() -> None:
    clusters = [search_of(data).workload.cluster for data in CASES.values()]
    assert {int(one.gpus) // one.node.gpus for one in clusters} >= {1, 2}


@pytest.mark.parametrize("name", CASES)
def test_same_as_exhaustive_search(name: str) -> None:
    search = search_of(CASES[name])
    every = exhaustive(search)
    found = gpuhours.plan(gpuhours.from_dict(CASES[name]), top=5)
    distinct = np.unique(np.round(every, 12))
    times = [one.value("step_time") for one in found.best]
    assert times[0] == pytest.approx(every[0], rel=1e-9)
    assert all(np.min(np.abs(distinct / time - 1)) < 1e-9 for time in times)
    assert times == sorted(times)
    assert found.space == search.space.size
    assert found.evaluated < found.space / 2
    assert found.pruned + found.evaluated == found.space


@pytest.mark.parametrize("name", CASES)
def test_bound_is_never_above_a_layout(name: str) -> None:
    search = search_of(CASES[name])
    cells, bounds = search.cells()
    some = np.random.default_rng(3).permutation(len(cells))[:400]
    from gpuhours.step import step

    predicted = step(search.workload.with_layout(search.space.some(cells[some])))
    least = np.broadcast_to(predicted.time, (len(some), *search.space.inner_shape)).reshape(len(some), -1).min(axis=1)
    assert np.all(bounds[some] <= least * (1 + 1e-12))
    assert np.median(bounds[some] / least) > 0.5, "the bound excludes something"


def test_layouts_come_out_as_a_single_estimate() -> None:
    found = gpuhours.plan(gpuhours.from_dict(TIGHT), top=4)
    for one in found.best:
        alone = gpuhours.estimate(gpuhours.from_dict(TIGHT).replaced("layout", one.layout))
        assert alone.results["step_time"].value == pytest.approx(one.value("step_time"), rel=1e-12)  # type: ignore[union-attr]
        assert alone.fits
        assert one.layout.model_parallel * one.to_dict()["layout"]["data"] == 16


def test_search_times_are_those_of_evaluate() -> None:
    search = search_of(MIXTURE)
    rng = np.random.default_rng(1)
    cells, _ = search.cells()
    found = search(rng.permutation(cells)[:200])
    for index in rng.permutation(len(found.time))[:12]:
        layout = search.space.layout(int(found.cell[index]), int(found.inner[index]))
        outcome = evaluate(search.run.replaced("layout", layout))
        assert outcome.step is not None
        assert outcome.memory is not None
        assert float(outcome.step.time) == pytest.approx(found.time[index], rel=1e-12)
        assert bool(outcome.memory.fits)
        assert bool(outcome.step.valid)


def test_nothing_fits() -> None:
    large = {
        **TIGHT,
        "model": {**TIGHT["model"], "layers": 80},
        "hardware": {"accelerator": "a100-sxm-40gb", "gpus": 1},
    }
    found = gpuhours.plan(gpuhours.from_dict(large))
    assert not found.fits
    assert found.to_dict()["best"] == []


def test_what_is_not_searched_is_in_the_answer() -> None:
    """A layout copied from the plan into a run fits as it did in the plan."""
    run = gpuhours.from_dict({**LONG, "layout": {"loss_blocks": 8}})
    best = gpuhours.plan(run).to_dict()["best"][0]
    assert best["layout"]["loss_blocks"] == 8
    again = gpuhours.estimate(gpuhours.from_dict({**LONG, "layout": best["layout"]})).to_dict()["results"]
    assert again["memory_per_gpu"]["value"] == pytest.approx(best["results"]["memory_per_gpu"]["value"])


def test_several_numbers_of_gpus() -> None:
    run = gpuhours.from_dict({**DENSE, "cost": {"price": "2 USD/hour"}})
    fastest = gpuhours.plan(run, gpus="8..32*2")
    cheapest = gpuhours.plan(run, gpus="8..32*2", minimise="cost")
    assert fastest.best[0].value("gpus") == 32
    alone = {gpus: gpuhours.plan(run, gpus=gpus, minimise="cost").best[0].value("cost") for gpus in (8, 16, 32)}
    assert cheapest.best[0].value("cost") == pytest.approx(min(alone.values()), rel=1e-12)
    assert cheapest.space == sum(gpuhours.plan(run, gpus=gpus).space for gpus in (8, 16, 32))


def test_document() -> None:
    document = gpuhours.plan(gpuhours.from_dict(DENSE)).to_dict()
    assert {"space", "evaluated", "pruned", "seconds", "best"} <= set(document)
    first = document["best"][0]
    assert first["results"]["fits"]["value"] is True
    assert sum(part["seconds"] for part in first["time"]) == pytest.approx(
        first["results"]["step_time"]["value"], rel=1e-9
    )
    for why in document["why"]:
        rival = document["best"][1] if why["against"] == "runner-up" else document["own"]
        gap = rival["results"]["step_time"]["value"] - first["results"]["step_time"]["value"]
        assert sum(part["seconds"] for part in why["parts"]) == pytest.approx(gap, abs=1e-6)
    assert (
        document["flat"]["layouts"] >= len(document["best"])
        or document["best"][-1]["results"]["step_time"]["value"] > 1.05 * first["results"]["step_time"]["value"]
    )


@pytest.mark.parametrize(("change", "options", "message"), [
    ({"hardware": {"accelerator": "a100-sxm-80gb"}}, {}, "number of GPUs is missing"),
    ({"model": None}, {}, "the model"),
    ({}, {"minimise": "joy"}, "minimise"),
    ({}, {"top": 0}, "At least one"),
    ({}, {"gpus": "0"}, "at least 1"),
    ({}, {"gpus": "many"}, "not a quantity"),
    ({}, {"gpus": "1..100000"}, "100,000 numbers of GPUs are too many"),
    ({"layout": {"pipeline": 2, "interleave": 5}}, {}, r"stages of 5 chunks at any pipeline degree here \(2\)"),
    ({"layout": {"interleave": 7}}, {}, r"stages of 7 chunks at any pipeline degree here \(2, 4, 8, 16\)"),
    ({"layout": {"pipeline": 1, "interleave": 2}}, {}, "none above 1"),
])  # fmt: skip
def test_bad_input(change: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(EstimateError, match=message):
        gpuhours.plan(gpuhours.from_dict({**DENSE, **change}), **options)


def test_default_layout_fits_and_is_near_the_best() -> None:
    for data in (DENSE, TIGHT, MIXTURE, LONG):
        at = resolve(gpuhours.from_dict(data))
        assert at.model is not None
        assert at.cluster is not None
        layout = default_layout(at.model, at.global_batch, at.cluster, at.software, at.precision)
        assert layout is not None
        alone = gpuhours.estimate(gpuhours.from_dict(data).replaced("layout", layout))
        assert alone.fits
        best = gpuhours.plan(gpuhours.from_dict(data)).best[0].value("step_time")
        assert alone.results["step_time"].value < 1.35 * best  # type: ignore[union-attr]


def test_default_layouts_of_arrays_are_those_of_their_rows() -> None:
    from dataclasses import replace

    at = resolve(gpuhours.from_dict(DENSE))
    assert at.model is not None
    assert at.cluster is not None
    counts = np.array([8.0, 64.0, 512.0])
    together = default_layout(at.model, at.global_batch, replace(at.cluster, gpus=counts), at.software, at.precision)
    for index, gpus in enumerate(counts):
        alone = default_layout(
            at.model, at.global_batch, replace(at.cluster, gpus=int(gpus)), at.software, at.precision
        )
        assert alone is not None
        assert together is not None
        for name in ("tensor", "pipeline", "microbatch", "sharding", "recompute"):
            assert getattr(together, name)[index] == getattr(alone, name), name


def test_cells_come_in_blocks_of_any_size() -> None:
    space = search_of(MIXTURE).space
    for most in (1000, 10**9):
        numbers = np.concatenate([space.numbers(block).reshape(-1) for block in space.blocks(most)])
        assert np.array_equal(np.sort(numbers), np.arange(int(np.prod(space.shape))))
        assert all(space.numbers(block).size <= most for block in space.blocks(most))
    some = np.array([0, 17, int(np.prod(space.shape)) - 1])
    block = next(space.blocks(10**9))
    at = space.cells(block)
    for name in ("tensor", "pipeline", "microbatch", "context", "expert", "expert_tensor"):
        spread = np.broadcast_to(getattr(at, name), space.shape).reshape(-1)
        assert np.array_equal(spread[some], np.ravel(getattr(space.some(some), name))), name


def test_divisors() -> None:
    assert divisors(12) == [1, 2, 3, 4, 6, 12]
    assert divisors(1) == [1]


def test_a_layout_written_down_is_the_one_found() -> None:
    """For a mixture, ``selective`` repeats what the stack does; the layout states it only if it has an effect."""
    space = search_of(CASES["experts"]).space
    run = gpuhours.from_dict(CASES["experts"])
    found = [space.layout(0, inner) for inner in range(int(np.prod(space.inner_shape)))]
    assert {one.recompute_modules is not None for one in found if one.recompute is Recompute.selective} == {True}
    for one in found:
        written = choice(run.replaced("layout", one)).to_dict()["layout"]
        again = gpuhours.from_dict({**CASES["experts"], "layout": written}).layout
        assert again is not None
        assert (again.recompute, again.recompute_modules) == (one.recompute, one.recompute_modules)
