"""Formulas of layout/ on a model with round numbers, against hand calculations."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from gpuhours.architecture.operators import Pointwise, Role
from gpuhours.layout.choices import VisionPlacement
from gpuhours.layout.groups import Group
from gpuhours.layout.layout import Layout
from gpuhours.layout.placement import Placement, in_flight, stage_parts, stage_totals
from gpuhours.layout.ranks import Ranks, dividing_heads, ranks_of
from gpuhours.layout.recompute import EVERYTHING, MODULES, SELECTIVE, Policy, Unkept, gemm_share
from gpuhours.layout.schedules import Schedule
from gpuhours.layout.validity import _chunks, _uneven_chunks, chunks_divide, violations
from gpuhours.layout.weights import encoder_weights, end_weights, layer_weights, stage_weights
from gpuhours.run.evaluate import evaluate
from gpuhours.run.spec import from_dict
from gpuhours.workload import Workload
from tests.round_machine import ADAPTED, LAYER, MIXTURE, MODEL, VOCABULARY, WHOLE, machine, stack, workload

NORMS, ATTENTION, MLP = 2 * 1024, 1024 * 1536 + 1024 * 1024, 1024 * 4096 + 2048 * 1024
ADAPTERS = 8 * (2 * (1024 + 1024) + 2 * (1024 + 256))
"""Adapters of rank 8: queries and output 1024 -> 1024, keys and values 1024 -> 256."""


def ranks(gpus: int, batch: int = 64, **layout: Any) -> Ranks:
    return ranks_of(Layout(**layout), machine(gpus), batch, MODEL.model(512))


def of_layer(asked: Workload, *, trained: bool = True) -> tuple[float, float]:
    found = layer_weights(asked.model.stacks[0], asked.ranks, trained=trained)
    return float(found.dense), float(found.experts)


def test_a_layer_is_split_over_tensor_ranks_but_for_its_norms() -> None:
    assert of_layer(workload()) == (LAYER, 0)
    assert of_layer(workload(gpus=2, tensor=2)) == ((LAYER - NORMS) / 2 + NORMS, 0)


def test_experts_are_shared_out_over_expert_ranks_and_split_over_their_tensor_ranks() -> None:
    """Eight experts on four ranks, whole or halved; attention halved, router unsplit."""
    whole = workload(MIXTURE, gpus=8, tensor=2, expert=4, expert_tensor=1)
    split = workload(MIXTURE, gpus=8, tensor=2, expert=4)
    dense = ATTENTION / 2 + 1024 * 8 + NORMS
    assert of_layer(whole) == (dense, 8 * MLP / 4)
    assert of_layer(split) == (dense, 8 * MLP / (4 * 2))
    both = layer_weights(split.model.stacks[0], split.ranks, trained=True)
    assert float(both.all) == dense + MLP
    assert float((both + both * 2).experts) == 3 * MLP


def test_of_a_frozen_layer_its_adapters_are_trained() -> None:
    asked = workload(ADAPTED)
    assert of_layer(asked) == (ADAPTERS, 0)
    assert of_layer(asked, trained=False) == (LAYER + ADAPTERS, 0)
    held = [
        float(end_weights(part, asked.ranks, trained=trained).all)
        for part in asked.model.ends
        for trained in (True, False)
    ]
    assert held == [0, VOCABULARY, 0, VOCABULARY + 1024]


def test_a_tied_head_is_the_embedding_where_both_stand_on_one_stage() -> None:
    tied = MODEL.model_copy(update={"tied": True})
    for pipeline, words in ((1, 0), (2, VOCABULARY)):
        asked = workload(tied, gpus=2, pipeline=pipeline)
        head = asked.model.ends[-1]
        assert float(end_weights(head, asked.ranks, trained=True).all) == words + 1024
    halved = workload(gpus=2, tensor=2)
    assert [float(end_weights(part, halved.ranks, trained=True).all) for part in halved.model.ends] == [
        VOCABULARY / 2, VOCABULARY / 2 + 1024,
    ]  # fmt: skip


def test_the_fullest_stage_counts() -> None:
    """Half of the layers, and the head with its norm; with five layers on two stages, the first has three layers and the embedding."""
    halves, uneven = workload(gpus=2, pipeline=2), workload(MODEL.model_copy(update={"layers": 5}), gpus=2, pipeline=2)
    assert (
        float(stage_weights(halves.model, halves.placement, halves.ranks, trained=True).all)
        == 2 * LAYER + VOCABULARY + 1024
    )
    assert (
        float(stage_weights(uneven.model, uneven.placement, uneven.ranks, trained=True).all) == 3 * LAYER + VOCABULARY
    )
    alone = workload()
    assert float(stage_weights(alone.model, alone.placement, alone.ranks, trained=True).all) == WHOLE


@cache
def seen(vision: str) -> Workload:
    """Return a frozen encoder before a small decoder on 16 GPUs, tensor 2, pipeline 2; a separate encoder has four of them for itself."""
    described = {
        "model": {"vision": {"name": "vit-l-14", "trainable": "frozen"}, "bridge": {"kind": "mlp"}, "language": {"params": "1B"}},
        "data": {"frames": 8, "text_tokens": 256, "samples": "1M"}, "training": {"global_batch": 48},
        "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 16}, "software": "megatron-core",
        "layout": {"tensor": 2, "pipeline": 2, "microbatch": 4, "vision": vision, **({"vision_gpus": 4} if vision == "separate" else {})},
    }  # fmt: skip
    return evaluate(from_dict(described)).resolved.workload


@pytest.mark.parametrize(("vision", "tensor", "pipeline", "data", "microbatch"), [
    ("first-stage", 2, 2, 4, 4),
    ("replicated", 1, 2, 4, 4 / (2 * 2)),
    ("separate", 1, 1, 4, 4 * 3 / 4),  # (16 - 4) / 4 = 3 data-parallel ranks of the model feed from 4
])  # fmt: skip
def test_an_encoder_sees_ranks_of_its_own(
    vision: str, tensor: int, pipeline: int, data: int, microbatch: float
) -> None:
    asked = seen(vision)
    own = asked.ranks.encoding
    assert (float(own.tensor), float(own.pipeline), float(own.data), float(own.microbatch)) == (
        tensor,
        pipeline,
        data,
        microbatch,
    )
    assert float(own.sequence_parallel) == (2 if vision == "first-stage" else 1)
    assert float(own.shards) == 4
    held = {
        place: float(encoder_weights(asked.model, asked.ranks, place, trained=False).all) for place in VisionPlacement
    }
    there = VisionPlacement[vision.replace("-", "_")]
    assert held[there] == pytest.approx(303e6 / (2 if vision == "first-stage" else 1), rel=0.02)  # ViT-L/14 has 303M
    assert [value for place, value in held.items() if place is not there] == [0, 0]
    assert float(encoder_weights(asked.model, asked.ranks, there, trained=True).all) == 0
    assert float(encoder_weights(MODEL.model(512), asked.ranks, there, trained=False).all) == 0


def test_what_stands_on_a_stage() -> None:
    """Embedding on the first stage, head on the last; an encoder in front on the first stage, a replicated one on every stage."""
    plain = workload(gpus=2, pipeline=2)
    counts = [
        [float(one.count) for one in stage_parts(plain.model, plain.placement, plain.ranks, np.asarray(stage))]
        for stage in (0, 1)
    ]
    assert counts == [[1, 2, 0], [0, 2, 1]]
    for vision, layers in (("first-stage", (24, 0)), ("replicated", (24, 24)), ("separate", (0, 0))):
        asked = seen(vision)
        there = [stage_parts(asked.model, asked.placement, asked.ranks, np.asarray(stage)) for stage in (0, 1)]
        place = next(at for at, part in enumerate(asked.model.encoder) if hasattr(part, "block"))
        assert tuple(float(stage[place].count) for stage in there) == layers


@pytest.mark.parametrize(("layers", "pipeline", "dealt"), [
    (8, 4, [2, 2, 2, 2]),
    (7, 4, [2, 2, 2, 1]),
    (6, 4, [1, 2, 2, 1]),
    (5, 4, [2, 1, 1, 1]),
    (2, 4, [0, 1, 1, 0]),
    (3, 2, [2, 1]),
    (4, 3, [1, 2, 1]),
])  # fmt: skip
def test_layers_are_dealt_out(layers: int, pipeline: int, dealt: list[int]) -> None:
    placement = Placement(layers, pipeline)
    assert [int(placement.on(stage)) for stage in range(pipeline)] == dealt
    assert float(placement.inside) == (dealt[1] if pipeline > 2 else 0)
    ends = [0, 1, pipeline - 1] if pipeline > 2 else [0, 1]
    assert [int(stage) for stage in placement.candidates()] == ends


def test_a_stage_is_full_with_the_block_that_takes_it_past_its_share() -> None:
    """Eight layers and a head that weighs one: (8 + 1) / 2 = 4.5, so five and three; on four stages 2.25, 4.5, 6.75: 3, 2, 2, 1."""
    assert [int(Placement(8, 2, head=1.0).on(stage)) for stage in range(2)] == [5, 3]
    four = Placement(8, 4, head=1.0)
    assert [int(four.on(stage)) for stage in range(4)] == [3, 2, 2, 1]
    assert [int(stage) for stage in four.candidates()] == [0, 1, 2, 3]
    stated = Placement(8, 4, stated=(0, 5, 1, 2))
    assert float(stated.inside) == 5
    assert float(Placement(8, 4, stated=(2, 1, 5, 0)).inside) == 5
    assert [int(one) for one in Placement(8, 1).candidates()] == [0]
    both = Placement(8, np.array([2, 4]), head=1.0).candidates()
    assert [one.tolist() for one in both] == [[0, 0], [1, 1], [1, 2], [1, 3]], "as many as the deepest pipeline has"


def test_chunks_stand_on_their_stages_in_turn() -> None:
    assert stage_totals(Layout(pipeline=2, interleave=2, stage_layers=(1, 2, 3, 4))) == (4, 6)


@pytest.mark.parametrize(("schedule", "interleave", "held"), [
    (Schedule.f1b1, 1, [4, 3, 2, 1]),
    (Schedule.interleaved, 1, [4, 3, 2, 1]),
    (Schedule.interleaved, 2, [(6 + 4 + 1) / 2, (4 + 4 + 1) / 2, (2 + 4 + 1) / 2, (0 + 4 + 1) / 2]),
    (Schedule.zb1p, 1, [4, 4, 4, 4]),
    (Schedule.zb2p, 1, [7, 7, 7, 7]),
    (Schedule.gpipe, 1, [16, 16, 16, 16]),
])  # fmt: skip
def test_micro_batches_that_wait(schedule: Schedule, interleave: int, held: list[float]) -> None:
    at = ranks(
        4, 16, pipeline=4, interleave=interleave, schedule=schedule.name if schedule is not Schedule.f1b1 else "1f1b"
    )
    assert [float(in_flight(at.schedule, at, stage)) for stage in range(4)] == held
    assert float(in_flight(at.schedule, at, 0, ahead=1)) == min(held[0] + 1, 16)
    few = ranks(4, 2, pipeline=4, interleave=interleave)
    assert float(in_flight(schedule, few, 0)) == 2
    assert float(in_flight(schedule, ranks(1, 16), 0)) == 1


def test_degrees_are_solved() -> None:
    """32 GPUs / (2 x 2 x 2) = 4 data-parallel ranks; 60 samples / (4 x 2) = 7.5: eight micro-batches."""
    at = ranks(32, 60, tensor=2, pipeline=2, context=2, microbatch=2)
    assert (
        float(at.data),
        float(at.copies),
        float(at.microbatches),
        float(at.sequence_parallel),
        float(at.shards),
    ) == (
        4,
        8,
        8,
        2,
        8,
    )
    assert (float(at.ulysses), float(at.ring)) == (1, 2)
    assert float(ranks(32, 60, tensor=2, sequence_parallel=False).sequence_parallel) == 1
    assert [float(ranks(8, shard_group=some, sharding="zero3").shards) for some in (4, 8, 16)] == [4, 8, 8]
    assert float(ranks(1, 1, tensor=2).data) == 1
    assert float(ranks(8, 2, microbatch=1).microbatches) == 1
    assert float(ranks(8, context=4, sequence_method="ulysses").ulysses) == 4
    shared = [float(ranks(64, context=16, sequence_method="hybrid", tensor=tensor).ulysses) for tensor in (1, 2, 4)]
    assert shared == [8, 4, 2], "heads are exchanged inside a node of eight, between those that tensor ranks leave"
    assert float(ranks(32, context=2, sequence_method="hybrid", tensor=16).ulysses) == 1


@pytest.mark.parametrize(
    ("tensor", "context", "exchanged"), [(1, 4, 4), (1, 16, 8), (4, 16, 2), (5, 16, 1), (8, 16, 1), (16, 2, 1)]
)
def test_context_ranks_that_exchange_heads_are_those_of_a_node(tensor: int, context: int, exchanged: int) -> None:
    """A node has eight GPUs: 8 / tensor context ranks, rounded down, at least one and no more than there are; no heads limit them here."""
    layout = Layout(tensor=tensor, context=context, sequence_method="hybrid")
    at = ranks_of(layout, machine(tensor * context), 64)
    assert (float(at.ulysses), float(at.ring)) == (exchanged, context / exchanged)


def test_groups_are_laid_out_tensor_innermost_and_stages_outermost() -> None:
    at = ranks(32, 64, tensor=2, pipeline=2, context=4, sequence_method="hybrid", ulysses=2, expert=4, expert_tensor=1)
    found = [(float(group.size), float(group.stride)) for group in (
        at.tensor_group, at.ulysses_group, at.ring_group, at.data_group, at.expert_group, at.expert_data_group, at.stage_group,
    )]  # fmt: skip
    assert found == [(2, 1), (2, 2), (2, 4), (8, 2), (4, 1), (4, 4), (2, 16)]
    assert isinstance(at.shard_group, Group)
    assert [float(ranks(8, expert=some).expert_copies) for some in (2, 3, 8, 16)] == [4, 2, 1, 1]
    assert float(ranks(2, 8, expert=8).expert_copies) == 1
    split = ranks(32, 64, tensor=2, pipeline=2, expert=4, expert_tensor=2).expert_data_group
    assert (float(split.size), float(split.stride)) == (2, 8)


@pytest.mark.parametrize(
    ("most", "tensor", "ranks"),
    [(8, 1, 8), (8, 2, 4), (5, 1, 2), (6, 1, 1), (4, 1, 4), (12, 2, 1), (16, 1, 8), (3, 4, 1)],
)
def test_heads_that_a_group_divides(most: int, tensor: int, ranks: int) -> None:
    """The model has eight heads; the group size is halved until it divides the heads of a tensor rank."""
    assert int(dividing_heads(most, tensor, MODEL.model(512))) == ranks
    assert dividing_heads(most, tensor, None) == most


def test_shares_of_a_layer_that_are_done_again() -> None:
    """GEMMs of a layer per token: 1536 + 1024 + 4096 + 2048 (x 1024); a policy that stops early skips the last."""
    part, late, early = workload().model.stacks[0], stack(early_stop=False), stack(early_stop=True)
    every = 1536 + 1024 + 4096 + 2048
    assert float(gemm_share(Policy({Role.MLP_IN: 1.0}), part, late)) == pytest.approx(4096 / every)
    assert float(gemm_share(Policy({Role.QKV: 0.5}), part, early)) == pytest.approx(0.5 * 1536 / every)
    assert float(gemm_share(Policy({Role.MLP_OUT: 1.0}), part, early)) == pytest.approx(2048 / every), "not all of it"
    assert gemm_share(EVERYTHING, replace(part, block=replace(part.block, linears=())), early) == 0
    assert float(gemm_share(EVERYTHING, part, late)) == 1.0
    assert float(gemm_share(EVERYTHING, part, early)) == pytest.approx((every - 2048) / every)
    assert float(gemm_share(SELECTIVE["half-of-gemms"], part, early)) == 0.5
    assert float(gemm_share(SELECTIVE["attention"], part, late)) == 0.0
    both = Policy({Role.QKV: 0.5}, operators={Pointwise.ROTARY: 0.25}) | Policy({Role.MLP_IN: 0.75}, core=0.5)
    assert (both.gemms, both.operators, both.core) == (
        {Role.QKV: 0.5, Role.MLP_IN: 0.75},
        {Pointwise.ROTARY: 0.25},
        0.5,
    )
    mixed = workload(MIXTURE).model.stacks[0]
    assert float(gemm_share(EVERYTHING, mixed, early)) == 1.0  # a routing weight's gradient needs its expert's output


@pytest.mark.parametrize(("name", "core", "others"), [
    ("attention", 1.0, 0.0), ("all-but-attention", 0.0, 1.0), ("all-but-half-attention", 0.25, 1.0), ("half-of-gemms", 0.0, 1.0),
    ("attention-block", 1.0, 0.5), ("mlp", 0.0, 0.5),
])  # fmt: skip
def test_what_selective_means(name: Any, core: float, others: float) -> None:
    policy = SELECTIVE[name]
    assert (policy.core, policy.others) == (core, others)
    everything = name.startswith("all-but")
    gathers = 0.5 if name == "half-of-gemms" else 0.0  # of a gather and a scatter, which take as long
    assert (policy.tensor, policy.expert) == ((1.0, 1.0) if everything else (gathers, 0.0))
    assert policy.unkept.all_but == {
        "all-but-attention": (1.0, 0.0), "all-but-half-attention": (0.5, 0.0), "half-of-gemms": (1.0, 0.5)
    }.get(name)  # fmt: skip


def test_of_two_policies_the_larger_share_holds() -> None:
    one = Policy(
        {Role.QKV: 0.5}, core=0.25, operators={Pointwise.GELU: 1.0}, others=0.5, tensor=0.5, unkept=Unkept(scores=True)
    )
    other = Policy(
        {Role.QKV: 0.25, Role.MLP_IN: 1.0}, core=0.5, expert=1.0, unkept=Unkept(heads=True, all_but=(1.0, 0.5))
    )
    both = one | other
    assert both.gemms == {Role.QKV: 0.5, Role.MLP_IN: 1.0}
    assert (both.core, both.others, both.tensor, both.expert) == (0.5, 0.5, 0.5, 1.0)
    assert (both.on_operator(Pointwise.GELU), both.on_operator(Pointwise.RELU)) == (1.0, 0.5)
    assert both.unkept == Unkept(scores=True, heads=True, all_but=(1.0, 0.5))
    shares = {
        module.name: (policy.tensor, policy.expert, policy.others, policy.core) for module, policy in MODULES.items()
    }
    assert {name: found for name, found in shares.items() if any(found)} == {
        "core_attn": (0, 0, 0, 1), "mlp": (0.5, 0, 0, 0), "moe": (0.5, 1, 0, 0),
    }  # fmt: skip
    assert all(
        share == 1.0 for policy in MODULES.values() for share in (*policy.gemms.values(), *policy.operators.values())
    )


@pytest.mark.parametrize(("vision", "own"), [
    # tensor, expert_tensor, whole, pipeline, interleave, context, ulysses, data, shards, microbatch
    ("first-stage", (2, 2, 2, 2, 2, 4, 2, 3, 6, 4)),
    ("replicated", (1, 1, 1, 2, 2, 4, 2, 3, 6, 4 / (2 * 2))),
    ("separate", (1, 1, 1, 1, 1, 1, 1, 8, 6, 4 * 3 / 8)),  # six ranks share a state among eight
])  # fmt: skip
def test_every_degree_of_an_encoders_ranks(vision: str, own: tuple[float, ...]) -> None:
    """56 accelerators, eight of them for a separate encoder: (56 - 8) / (2 x 2 x 4) = 3 data-parallel ranks."""
    layout = {
        "tensor": 2, "pipeline": 2, "interleave": 2, "context": 4, "sequence_method": "hybrid", "ulysses": 2, "microbatch": 4,
        "sharding": "zero3", "shard_group": 6, "vision": vision,
    }  # fmt: skip
    at = ranks(
        56 if vision == "separate" else 48, **layout, **({"vision_gpus": 8} if vision == "separate" else {})
    ).encoding
    names = (
        "tensor",
        "expert_tensor",
        "sequence_parallel",
        "pipeline",
        "interleave",
        "context",
        "ulysses",
        "data",
        "shards",
        "microbatch",
    )
    assert tuple(float(getattr(at, name)) for name in names) == own


@pytest.mark.parametrize(("group", "shards"), [(None, 8), (12, 8), (16, 8), (4, 4)])
def test_shards_of_an_encoder_apart(group: int | None, shards: int) -> None:
    """Sharding over all replicas uses all eight accelerators of the encoder; a smaller group stays as given, a larger one is capped."""
    at = ranks(
        40, sharding="zero3", vision="separate", vision_gpus=8, **({} if group is None else {"shard_group": group})
    )
    assert float(at.encoding.shards) == shards


def test_an_encoders_own_accelerators_are_counted() -> None:
    """2 x 2 x 3 for the model and four for the encoder add up to the sixteen available."""
    asked = seen("separate")
    broken = violations(asked.model, asked.global_batch, asked.layout, asked.cluster, asked.ranks)
    assert not [reason for reason, where in broken.items() if np.any(where)]
    none = asked.layout.model_copy(update={"vision_gpus": 0})
    without = violations(asked.model, asked.global_batch, none, asked.cluster, asked.ranks)
    assert without["vision: separate requires vision_gpus"]


def test_chunks_that_divide_are_named() -> None:
    """Chunks of equal depth, with the first and last one layer shorter if two are missing; none for a single stage; the list is limited."""
    assert _chunks(32, [4]) == "1, 2, 4 or 8"
    assert _chunks(7, [1]) == "1"
    assert _chunks(10**9, [1, 8]) == "1, 2, 4, 5, 8, 10, 16, 20, 25, 32, 40, 50, 64, 80, 100 or 125"
    asked = replace(ranks(8), pipeline=np.array([1, 2]), interleave=np.array(5))
    reason = "pipeline x interleave does not divide the layers; interleave may be 1, 2, 4, 8 or 16 at pipeline 2"
    assert _uneven_chunks(32, asked) == reason
    assert chunks_divide(7, 2, np.array([1, 2, 3])).tolist() == [True, True, False]


@pytest.mark.parametrize(("size", "stride", "inside", "domains"), [
    (1, 1, 1, 1), (2, 1, 2, 1), (8, 1, 8, 1), (12, 1, 8, 2), (2, 4, 2, 1), (4, 4, 2, 2), (3, 8, 1, 3), (2, 16, 1, 2), (3, 3, 2, 2),
])  # fmt: skip
def test_ranks_of_a_group_in_a_node(size: int, stride: int, inside: int, domains: int) -> None:
    """Nodes of eight: the ranks of a group inside a node, at least one and at most the group; alone or among others of a sweep."""
    group = Group(size, stride)
    assert (int(group.per_domain(machine(64))), int(group.domains(machine(64)))) == (inside, domains)
    several = Group(np.array([size, 8]), np.array([stride, 1]))
    assert [one.tolist() for one in several.spread(machine(64))] == [[inside, 8], [domains, 1]]
