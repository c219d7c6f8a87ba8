"""Placement on pipeline stages: time, memory and gradient reductions use the same placement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import gpuhours
from gpuhours.architecture.decoder import Decoder
from gpuhours.architecture.model_spec import read_model
from gpuhours.data import Data
from gpuhours.hardware.clusters import cluster
from gpuhours.hardware.number_formats import Precision
from gpuhours.inputs.errors import EstimateError
from gpuhours.layout.groups import Group
from gpuhours.layout.layout import Layout
from gpuhours.layout.placement import Placement, head_in_layers, stage_parts
from gpuhours.layout.ranks import dividing_heads, has_experts, ranks_of
from gpuhours.layout.schedules import Schedule
from gpuhours.layout.weights import Weights, larger_weights, stage_weights
from gpuhours.memory import memory
from gpuhours.software.profile import load_software
from gpuhours.step import step
from gpuhours.workload import Workload
from tests import round_machine
from tests.round_machine import MIXTURE, MODEL, machine

LLAMA_70B = Decoder(layers=80, hidden=8192, heads=64, kv_heads=8, ffn_hidden=28672, vocab=128256)
LLAMA_8B = Decoder(layers=32, hidden=4096, heads=32, kv_heads=8, ffn_hidden=14336, vocab=128256)


def placed(placement: Placement) -> list[int]:
    return [int(placement.on(np.asarray(stage))) for stage in range(int(placement.pipeline))]


def workload(model: Decoder = LLAMA_70B, software: str = "megatron-core", gpus: int = 64, **layout: Any) -> Workload:
    machine = cluster("h100-sxm-80gb", gpus=gpus)
    return Workload(model.model(8192), 64, Layout(**layout), machine, load_software(software), Precision())


@pytest.mark.parametrize(
    ("layers", "stages", "expected", "source"),
    [
        (22, 8, [2, 3, 3, 3, 3, 3, 3, 2], "Qi et al. 2024, Zero Bubble: ends carry one layer fewer"),
        (126, 16, [7, *[8] * 14, 7], "Llama 3 405B, arXiv:2407.21783, section 3.3.2"),
        (32, 5, [7, 7, 6, 6, 6], "InternEvo's memory table: the first stages carry more"),
        (96, 8, [12] * 8, "equal"),
        (9, 8, [2, *[1] * 7], "one left over"),
        (5, 1, [5], "one stage"),
    ],
)
def test_uneven_stages(layers: int, stages: int, expected: list[int], source: str) -> None:
    assert placed(Placement(layers, stages)) == expected, source


@given(layers=st.integers(1, 200), pipeline=st.integers(1, 64), head=st.none() | st.floats(0, 8))
def test_every_layer_stands_somewhere(layers: int, pipeline: int, head: float | None) -> None:
    placement = Placement(layers, pipeline, head=head)
    found = placed(placement)
    assert sum(found) == layers
    assert min(found) >= 0
    assert float(placement.inside) == max(found[1:-1], default=0)


def test_a_stack_that_balances_flops_counts_the_head() -> None:
    """nanotron's output for Llama 3 8B on 8 stages (its code as explained by one of its authors, 2024)."""
    assert placed(workload(LLAMA_8B, "nanotron", pipeline=8).placement) == [5, 4, 4, 5, 4, 4, 4, 2]
    model = LLAMA_8B.model(1)
    head = 128256 * 4096 / (4 * 4096**2 + 3 * 4096 * 14336)
    assert float(head_in_layers(model, list(model.stacks))) == pytest.approx(head)


def test_a_whole_share_is_full_where_it_is_reached() -> None:
    """16 layers and a head that weighs 4 on 2 stages are 10 per stage: the tenth block reaches it, the eleventh exceeds it."""
    assert placed(Placement(16, 2, head=4.0)) == [11, 5]
    assert placed(Placement(16, 2, head=4.0, reached=True)) == [10, 6]
    assert placed(Placement(28, 4, head=3.5, reached=True)) == placed(Placement(28, 4, head=3.5)) == [8, 8, 8, 4]


def test_time_memory_and_sums_ask_the_same_placement() -> None:
    """80 layers on 8 stages, stated: time, memory and gradient reductions all use the 40 layers of the second stage."""
    even = workload(pipeline=8, stage_layers=[10] * 8)
    heavy = workload(pipeline=8, stage_layers=[5, 45, 5, 5, 5, 5, 5, 5])
    assert float(step(even).time) == pytest.approx(float(step(workload(pipeline=8)).time))
    assert float(memory(even).total) == pytest.approx(float(memory(workload(pipeline=8)).total))
    assert float(step(heavy).time) > 2 * float(step(even).time)
    assert float(memory(heavy).parts["weights"]) > 3.5 * float(memory(even).parts["weights"])
    assert int(memory(heavy).stage) == 1
    sums = [stage_weights(one.model, one.placement, one.ranks, trained=True).all for one in (even, heavy)]
    assert float(sums[1]) > 3.5 * float(sums[0])


def test_ends_may_stand_alone() -> None:
    alone = workload(pipeline=8, stage_layers=[0, 14, 13, 13, 13, 13, 14, 0])
    assert float(memory(alone).total) > 0
    assert bool(step(alone).valid)
    chunks = workload(pipeline=4, interleave=2, stage_layers=[0, 13, 13, 14, 14, 13, 13, 0])
    assert placed(chunks.placement) == [14, 26, 26, 14]


def test_a_vocabulary_shared_over_stages_weighs_on_all_alike() -> None:
    """256K words: the head takes longer than a stage's layers; if shared, the slowest stage equals the mean (Yeung et al. 2024)."""
    shape = LLAMA_8B.model_copy(update={"vocab": 256_000})
    ends, shared = (workload(shape, pipeline=8, vocabulary_parallel=flag) for flag in (False, True))
    assert float(step(shared).time) < 0.85 * float(step(ends).time)
    assert float(memory(shared).parts["weights"]) < float(memory(ends).parts["weights"])
    assert sum(step(shared).parts.values()) == pytest.approx(float(step(shared).time))
    words = 2 * 256_000 * 4096
    there = [stage_parts(shared.model, shared.placement, shared.ranks, np.asarray(stage)) for stage in range(8)]
    held = [sum(float(one.count) for one in stage if one.part.name == "head") for stage in there]
    assert held == pytest.approx([1 / 8] * 8)
    assert float(stage_weights(shared.model, shared.placement, shared.ranks, trained=True).all) == pytest.approx(
        (float(shared.model.parameters) - words) / 8 + words / 8, rel=0.01
    )
    alone = [float(step(workload(shape, vocabulary_parallel=flag)).time) for flag in (False, True)]
    assert alone[0] == pytest.approx(alone[1])


def test_chunks_that_do_not_divide_hold_no_more_than_their_share() -> None:
    """80 layers on 8 stages are 10 per stage for any number of chunks; for 3 chunks, memory used to say 12 and time 10."""
    assert placed(workload(pipeline=8, interleave=3).placement) == [10] * 8
    weights = [float(memory(workload(pipeline=8, interleave=chunks)).parts["weights"]) for chunks in (1, 2, 5)]
    assert weights[0] == pytest.approx(weights[1]) == pytest.approx(weights[2])


RUN = {
    "model": "llama-3-70b",
    "data": {"seq_len": 8192, "tokens": "1B"},
    "training": {"global_batch": 64},
    "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 64},
    "software": "megatron-core",
}


@pytest.mark.parametrize("chunks", [3, 4])
def test_chunks_that_do_not_divide_are_refused_with_those_that_do(chunks: int) -> None:
    with pytest.raises(EstimateError) as refused:
        gpuhours.estimate(gpuhours.from_dict({**RUN, "layout": {"pipeline": 8, "interleave": chunks}}))
    assert "80 layers" in refused.value.problem
    assert "1, 2, 5 or 10" in refused.value.hint


def test_a_sweep_marks_them() -> None:
    found = workload(pipeline=8).layout.replaced(interleave=np.array([1, 2, 3, 4, 5]))
    assert step(workload(pipeline=8).with_layout(found)).valid.tolist() == [True, True, False, False, True]  # type: ignore[union-attr]


def test_several_chunks_set_the_schedule_that_runs_them() -> None:
    assert Layout(pipeline=8, interleave=2).schedule is Schedule.interleaved
    with pytest.raises(ValidationError, match="schedule: interleaved"):
        Layout(pipeline=8, interleave=2, schedule="1f1b")  # type: ignore[arg-type]
    silent, said = (step(workload(pipeline=8, interleave=2, **more)) for more in ({}, {"schedule": "interleaved"}))
    assert float(silent.time) == float(said.time)
    assert float(silent.time) < float(step(workload(pipeline=8)).time)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"pipeline": 4, "stage_layers": [20, 20, 20]}, "one per stage"),
        ({"pipeline": 2, "interleave": 2, "stage_layers": [20, 20, 20]}, "or for 4, one per chunk"),
        ({"stage_layers": []}, "at least 1"),
        ({"pipeline": 2, "stage_layers": [-1, 81]}, "at least 0"),
    ],
)
def test_placements_that_cannot_be_meant(layout: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Layout(**layout)


@pytest.mark.parametrize(
    ("change", "key", "message"),
    [
        ({"layout": {"pipeline": 2, "stage_layers": [40, 39]}}, "layout.stage_layers", "79 layers"),
        ({"layout": {"expert": 4}}, "layout.expert", "no experts"),
        ({"layout": {"expert_tensor": 2}}, "layout.expert_tensor", "no experts"),
        ({"layout": {"vision_gpus": 8}}, "layout.vision_gpus", "separate"),
        ({"layout": {"recompute": "none", "recompute_layers": 4}}, "layout.recompute_layers", "recompute: full"),
        ({"layout": {"sharding": "none", "shard_group": 8}}, "layout.shard_group", "sharding"),
        ({"layout": {"ulysses": 4, "context": 8}}, "layout.ulysses", "exchange heads"),
        ({"data": {"seq_len": 8192, "frames": 64}, "layout": {}}, "data.frames", "takes no frames"),
    ],
)
def test_keys_without_effect_are_refused(change: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(EstimateError, match=message) as refused:
        gpuhours.estimate(gpuhours.from_dict({**RUN, **change}))
    assert refused.value.where == key


@pytest.mark.parametrize(("key", "value"), [("sequence_method", "ring"), ("vision", "replicated")])
def test_words_without_effect_are_remarked(key: str, value: str) -> None:
    found = gpuhours.estimate(gpuhours.from_dict({**RUN, "layout": {"tensor": 8, key: value}}))
    assert any(f"layout.{key} has no effect" in text for text in found.outcome.warnings)


def test_a_model_without_a_vocabulary_has_no_head_to_place() -> None:
    """Its memory used to be nan: 0 / 0 layers."""
    model = read_model("dit-xl-2").build(Data(frames=1))
    machine = cluster("h100-sxm-80gb", gpus=8)
    work = Workload(model, 16, Layout(data=8), machine, load_software("nanotron"), Precision())
    assert float(memory(work).total) > 1e9


def test_a_stated_placement_leaves_the_rest_of_the_layout_open() -> None:
    """A list of layers was taken for an array of a sweep: the run was not sharded, and no assumption said so."""
    layout = {"tensor": 8, "pipeline": 8}
    equal, stated = (
        [
            (one.name, one.value)
            for one in gpuhours.estimate(
                gpuhours.from_dict({**RUN, "layout": {**layout, **more}})
            ).outcome.resolved.assumptions
            if one.name.startswith("layout")
        ]
        for more in ({}, {"stage_layers": [10] * 8})
    )
    assert stated == equal != []


@pytest.mark.parametrize(
    ("placement", "inside"),
    [(Placement(8, 1), 0), (Placement(8, 2), 0), (Placement(9, 3), 3), (Placement(9, 3, stated=(4, 0, 5)), 0)],
)
def test_layers_between_the_first_and_the_last_stage(placement: Placement, inside: int) -> None:
    assert float(placement.inside) == inside


def test_ranks_of_a_group_are_neighbours_unless_they_are_said_to_be_apart() -> None:
    assert (int(Group(8).per_domain(machine(64))), int(Group(8).domains(machine(64)))) == (8, 1)


def test_the_fuller_of_two_stages_is_taken_whole() -> None:
    """Dense weights and experts come from the same stage, whichever is named first; of two that are equal, the first."""
    dense, experts = Weights(10.0, 5.0), Weights(1.0, 20.0)
    for one, other in ((dense, experts), (experts, dense)):
        found = larger_weights(one, other)
        assert (float(found.dense), float(found.experts)) == (1, 20)
    assert float(larger_weights(Weights(3.0, 4.0), Weights(4.0, 3.0)).dense) == 3
    many = larger_weights(
        Weights(np.array([10.0, 1.0]), np.array([5.0, 2.0])), Weights(np.array([1.0, 3.0]), np.array([20.0, 4.0]))
    )
    assert (many.dense.tolist(), many.experts.tolist()) == ([1, 3], [20, 4])


@pytest.mark.parametrize(
    ("most", "heads", "ranks"), [(24, 3, 3), (12, 3, 3), (6, 3, 3), (3, 3, 3), (12, 6, 6), (48, 3, 1)]
)
def test_groups_of_heads_are_halved_up_to_three_times(most: int, heads: int, ranks: int) -> None:
    shape = MODEL.model_copy(update={"hidden": 128 * heads, "heads": heads, "kv_heads": heads})
    assert int(dividing_heads(most, 1, shape.model(512))) == ranks


def test_accelerators_that_make_no_whole_replica_are_left_over() -> None:
    """Ten accelerators hold two replicas of four; three hold none, which counts as one."""
    assert [float(ranks_of(Layout(tensor=4), machine(gpus), 8).data) for gpus in (10, 8, 3)] == [2, 2, 1]


def test_experts_of_some_runs_of_a_sweep_are_experts() -> None:
    expert = next(linear for linear in MIXTURE.model(512).stacks[0].block.linears if has_experts(linear))
    assert has_experts(replace(expert, experts=np.array([1, 8]))) is True
    assert has_experts(replace(expert, experts=np.array([1, 1]))) is False
    assert has_experts(replace(expert, experts=1)) is False


def test_a_head_in_layers() -> None:
    """4,096 x 1,024 of the head over 4 x 1,024^2 of attention, 1,024 x 4,096 and 2,048 x 1,024 of the MLP: 4 / (4 + 4 + 2)."""
    model = MODEL.model(512)
    assert float(head_in_layers(model, list(model.stacks))) == pytest.approx(0.4, rel=1e-12)
    headless = replace(model, parts=model.stacks)
    assert float(head_in_layers(headless, list(model.stacks))) == 0


@pytest.mark.parametrize(("place", "stages"), [(1, [3, 0]), (2, [0, 3])])
def test_a_narrower_stack_stands_whole_on_the_side_where_it_comes(place: int, stages: list[int]) -> None:
    """Three layers of half the width, before or after the four that two stages share."""
    asked = round_machine.workload(gpus=2, pipeline=2)
    narrow = replace(
        MODEL.model_copy(update={"hidden": 512, "heads": 4, "ffn_hidden": 1024}).model(512).stacks[0], layers=3
    )
    parts = [*asked.model.parts]
    parts.insert(place, narrow)
    model = replace(asked.model, parts=tuple(parts))
    for stage, layers in enumerate(stages):
        found = {
            id(one.part): float(one.count)
            for one in stage_parts(model, asked.placement, asked.ranks, np.asarray(stage))
        }
        assert (found[id(narrow)], found[id(asked.model.stacks[0])]) == (layers, 2)
