"""Layouts that a sample draws from: options of the stack, choices of teams, and distance from the best layout of ``plan``."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import gpuhours
from gpuhours.layout.choices import Recompute, Sharding
from gpuhours.layout.layout import Layout
from gpuhours.run.default_layout import _fastest, default_layout, layout_axes
from gpuhours.run.resolve import Resolved, resolve
from gpuhours.run.samplable import described, usual_practice
from gpuhours.run.sampling import LayoutGrid, grid
from gpuhours.run.typical import typical
from gpuhours.software.profile import load_software

DENSE = ("llama-2-7b", "a100-sxm-80gb", 256, 1024)
MIXTURE = ("mixtral-8x22b", "h100-sxm-80gb", 256, 1024)


def resolved(model: str, card: str, gpus: int, batch: int, **more: Any) -> Resolved:
    return resolve(gpuhours.from_dict({
        "model": model, "data": {"tokens": "1T", "seq_len": 4096}, "training": {"global_batch": batch},
        "hardware": {"accelerator": card, "gpus": gpus}, "software": "megatron-core-2024", "layout": {"tensor": 1, "pipeline": 1}, **more,
    }))  # fmt: skip


def layouts(model: str, card: str, gpus: int, batch: int, software: str = "megatron-core-2024") -> LayoutGrid:
    return grid(replace(resolved(model, card, gpus, batch).workload, software=load_software(software)), None)


def test_megatron_shares_no_weights_out_and_plain_pytorch_no_layers() -> None:
    at = resolved(*DENSE)
    assert at.model is not None
    assert at.cluster is not None
    megatron = layout_axes(at.model, 1024, at.cluster, None, load_software("megatron-2023"))
    plain = layout_axes(at.model, 1024, at.cluster, None, load_software("torch-2022"))
    assert megatron["sharding"] == [Sharding.zero1]
    assert Sharding.zero3 in plain["sharding"]
    assert max(megatron["tensor"]) == 8
    assert plain["tensor"] == plain["pipeline"] == [1.0]


def test_a_batch_that_data_parallelism_cannot_share_leaves_every_degree_open() -> None:
    at = resolved(*DENSE)
    assert at.model is not None
    assert at.cluster is not None
    axes = layout_axes(at.model, 1000, at.cluster, None, load_software("torch-2022"))
    assert max(axes["tensor"]) == 8


def test_megatron_pairs_its_pipelines_with_sharded_optimiser_states_and_keeps_activations_where_they_are() -> None:
    found = layouts("mixtral-8x22b", "h100-sxm-80gb", 1024, 1024, software="megatron-core")
    drawn = [found.layout(int(cell)) for mode in found.modes(0.35) for cell in found.near(mode, 0.25)]
    assert {one.sharding for one in drawn} == {Sharding.zero1}
    assert not any(one.offload_activations for one in drawn)
    fully = layouts("llama-2-7b", "a100-sxm-80gb", 256, 1024, software="fsdp2-eager")
    assert Sharding.zero3 in {
        fully.layout(int(cell)).sharding for mode in fully.modes(0.35) for cell in fully.near(mode, 0.25)
    }


def test_near_layouts_share_a_model_out_least_and_are_no_slower_than_said() -> None:
    found = layouts(*DENSE)
    for mode in found.modes(0.35):
        near = found.near(mode, 0.25)
        fit = found.fits & (found.recompute == mode)
        best = found.times[0][fit].min()
        assert np.all(found.times[0][near] <= 1.25 * best)
        assert len(set(found.parts[near])) == 1
        rivals = fit & (found.times[0] <= 1.25 * best)
        assert found.parts[near][0] == found.parts[rivals].min()


def test_fewer_modes_are_near_the_best_than_anywhere() -> None:
    found = layouts(*DENSE)
    assert found.modes(0.0) < found.modes(10.0)
    assert len(found.modes(0.0)) == 1


def test_a_whole_share_of_the_batch_is_a_micro_batch() -> None:
    at = resolve(gpuhours.from_dict({
        "model": "clip-l-14", "data": {"frames": 1, "samples": "1B"}, "training": {"global_batch": 86016},
        "hardware": {"accelerator": "a100-sxm-40gb", "gpus": 1024}, "software": "torch-2022",
    }))  # fmt: skip
    assert at.model is not None
    assert at.cluster is not None
    axes = layout_axes(at.model, 86016, at.cluster, None, at.software)
    assert {84.0, 42.0, 21.0} <= set(axes["microbatch"])


def test_mixtures_keep_experts_whole_and_repeat_what_megatron_core_does() -> None:
    found = layouts(*MIXTURE)
    cells = np.flatnonzero(found.fits & (found.recompute == Recompute.selective))
    one = found.layout(int(cells[0]))
    assert one.expert_tensor == 1
    assert [module.name for module in one.recompute_modules or ()] == ["layernorm", "moe_act", "mla_up_proj"]
    full = found.layout(int(np.flatnonzero(found.recompute == Recompute.full)[0]))
    assert full.recompute_modules is None


def test_a_layout_of_the_grid_is_predicted_as_it_was_there() -> None:
    from gpuhours.step import step

    asked = resolved(*MIXTURE).workload
    found = grid(asked, None)
    for cell in np.random.default_rng(5).permutation(np.flatnonzero(found.fits))[:12]:
        layout = found.layout(int(cell))
        layout = layout.replaced(data=256 // int(layout.model_parallel))
        assert float(step(asked.with_layout(layout)).time) == pytest.approx(found.times[0][cell], rel=1e-9)


def test_batches_of_mixtures_are_larger() -> None:
    table = typical()
    assert table.batch(236e9, mixture=True) == pytest.approx(37e6)
    assert table.batch(236e9, mixture=True) > 2 * table.batch(236e9, mixture=False)


@pytest.mark.parametrize(("model", "card", "gpus", "batch"), [
    ("pythia-1b", "a100-sxm-40gb", 64, 1024), ("llama-3.2-3b", "h100-sxm-80gb", 128, 1024), DENSE,
    ("llama-2-13b", "a100-sxm-80gb", 512, 1024), ("yi-34b", "a100-sxm-80gb", 1024, 1024), ("llama-3-70b", "h100-sxm-80gb", 2048, 1024),
    ("mixtral-8x22b", "h100-sxm-80gb", 1024, 1024),
])  # fmt: skip
def test_the_automatic_layout_is_within_five_per_cent_of_the_plan(model: str, card: str, gpus: int, batch: int) -> None:
    run = gpuhours.from_dict({
        "model": model, "data": {"tokens": "1T", "seq_len": 4096}, "training": {"global_batch": batch},
        "hardware": {"accelerator": card, "gpus": gpus}, "software": "megatron-core-2024", "known": {"goodput": 1},
    })  # fmt: skip
    at = resolve(run.replaced("layout", Layout()))
    assert at.model is not None
    assert at.cluster is not None
    layout = default_layout(at.model, at.global_batch or 0, at.cluster, at.software, at.precision)
    assert layout is not None
    own = gpuhours.estimate(run.replaced("layout", layout)).results["step_time"]
    best = gpuhours.plan(run, top=1).best[0].value("step_time")
    assert own is not None
    assert own.value <= 1.05 * best


def test_a_mixture_whose_layout_leaves_nothing_open_is_predicted() -> None:
    """``expert_tensor``, which follows from ``tensor``, used to be tried as None, so that the estimate of any such run failed."""
    layout = {"tensor": 2, "pipeline": 2, "microbatch": 1, "sharding": "zero1", "recompute": "full", "expert": 8}
    found = gpuhours.estimate(
        gpuhours.from_dict({
            "model": "mixtral-8x22b", "data": {"tokens": "1T", "seq_len": 4096}, "training": {"global_batch": 1024},
            "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 256}, "layout": layout,
        })
    )  # fmt: skip
    assert found.outcome.value("mfu") is not None
    same = gpuhours.from_dict({
        "model": "mixtral-8x22b", "data": {"tokens": "1T", "seq_len": 4096}, "training": {"global_batch": 1024},
        "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 256}, "layout": {**layout, "expert_tensor": 2},
    })  # fmt: skip
    assert gpuhours.estimate(same).outcome.value("step_time") == found.outcome.value("step_time")


@pytest.mark.parametrize(("software", "split"), [("megatron-lm", 2), ("megatron-core", 1)])
def test_experts_are_split_over_tensor_ranks_where_the_stack_does_so_unless_told(software: str, split: int) -> None:
    """``expert-tensor-parallel-size`` is the tensor degree in Megatron-LM's arguments; NVIDIA's recipes set it to 1."""
    run = gpuhours.from_dict({
        "model": "qwen3-30b-a3b", "data": {"seq_len": 8192}, "training": {"global_batch": 16, "dtype": "bf16"},
        "hardware": {"accelerator": "a800-sxm-80gb", "gpus": 16}, "software": software,
        "layout": {"tensor": 2, "expert": 8, "microbatch": 1, "recompute": "full", "sharding": "zero1"},
    })  # fmt: skip
    assert float(resolve(run).workload.ranks.expert_tensor) == split


def test_a_stated_layout_that_is_uncommon_has_its_stops_counted_all_the_same() -> None:
    """Four micro-batches on eight stages: nothing customary completes that, and the run used to be counted without stops."""
    run = {
        "model": "deepseek-v3", "data": {"tokens": "1T", "seq_len": 4096}, "training": {"global_batch": 1024},
        "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 512}, "software": "megatron-core",
    }  # fmt: skip
    stated = {"tensor": 1, "pipeline": 8, "sharding": "zero1", "expert": 8, "microbatch": 4}
    found = gpuhours.estimate(gpuhours.from_dict({**run, "layout": stated})).results["goodput"]
    assert found is not None
    assert found.value < 0.9


@pytest.mark.parametrize("year", [2021, 2022, 2024])
def test_stacks_that_are_drawn_are_those_of_the_year(year: int) -> None:
    """DeepSpeed's gathers of 2021 slowed every drawn step on DeepSpeed while only stated stacks were taken as they were in the year."""
    run = gpuhours.from_dict({
        "model": "llama-2-7b", "data": {"tokens": "1T"}, "hardware": {"accelerator": "a100-sxm-80gb", "gpus": 256}, "year": year,
    })  # fmt: skip
    drawn = described(run, usual_practice())
    assert drawn is not None
    for name, workload in drawn.workloads.items():
        assert workload.software == load_software(name).of_year(year)


def test_a_grid_too_large_for_one_call_has_the_same_best_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of any size, down to one layout: the same layout for every row."""
    at = resolved("llama-2-7b", "a100-sxm-80gb", 8, 64)
    assert at.model is not None
    assert at.cluster is not None
    counts = np.array([1.0, 8.0])

    def best(cells: int) -> dict[str, Any]:
        monkeypatch.setattr("gpuhours.run.default_layout.CELLS", cells)
        stated = Layout(tensor=1, microbatch=1, sharding="zero1")
        found = default_layout(
            at.model, at.global_batch or 0, replace(at.cluster, gpus=counts), at.software, at.precision, stated
        )
        assert found is not None
        return {name: np.asarray(value).tolist() for name, value in dict(found).items()}

    whole = best(10**9)
    assert all(best(cells) == whole for cells in (1, 30, 100))


@pytest.mark.parametrize("cells", [1, 3, 100])
def test_of_equal_layouts_in_two_blocks_the_first_of_the_grid_is_taken(
    cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks run along the pipeline degrees, so the block of degree 1 has the later of the two layouts of the first row that take 1 s."""
    asked = resolved(*DENSE).workload
    seconds = np.array([[[3, 4], [2, 5], [1, 6]], [[1, 4], [2, 3], [3, 6]]])

    def looked_up(_: object, block: Any, behind: int) -> Any:
        assert behind == 1
        return seconds[np.ix_(block["recompute"], block["pipeline"] - 1)]

    monkeypatch.setattr("gpuhours.run.default_layout._scores", looked_up)
    monkeypatch.setattr("gpuhours.run.default_layout.CELLS", cells)
    axes = {"recompute": np.array([0, 1]), "pipeline": np.array([1, 2, 3])}
    least, best = _fastest(asked, axes, (2,))
    assert (np.asarray(least).tolist(), best.tolist()) == ([1, 3], [2, 4])


def test_the_memory_of_a_range_of_layouts_is_bounded() -> None:
    """3.6 million layouts times rows: 540 MB in one call, about 150 MB in blocks."""
    run = gpuhours.from_dict({
        "model": {"params": "70B"}, "data": {"tokens": "2T"}, "hardware": {"accelerator": "a100-sxm-80gb", "gpus": 2048},
        "known": {"gpu_hours": "1.7M", "goodput": 0.95},
        "assumptions": {"data.seq_len": {"value": 4096, "low": 2048, "high": 8192, "reason": "usual"}},
    })  # fmt: skip
    tracemalloc.start()
    try:
        gpuhours.estimate(run)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 300e6
