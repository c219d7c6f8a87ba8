"""Every formula of memory/ in bytes on a model with round numbers, against hand calculations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gpuhours.architecture.operators import Ends, Linear, Pointwise, Split, Trainable
from gpuhours.hardware.number_formats import Precision
from gpuhours.layout.placement import stage_parts
from gpuhours.layout.recompute import Unkept
from gpuhours.memory import longest_sequence, memory, ways_to_fit
from gpuhours.memory.activations import _elements_saved, _operands, ends_saved, passing_through, saved
from gpuhours.memory.buffers import communicators, context_buffers, pipeline_buffers
from gpuhours.memory.odds import ENOUGH, SAFE, chance, odds, odds_of, odds_path
from gpuhours.memory.states import parameters_of, states
from gpuhours.workload import Workload
from tests.round_machine import LAYER, MIXTURE, MODEL, TOKENS, VOCABULARY, WHOLE, stack, workload

BF16 = Precision("bf16")


def kept(asked: Workload) -> float:
    block = saved(asked.model.stacks[0], BF16, asked.software.memory, stream=2.0, unfused=False)
    return float(block.on_rank(asked.ranks))


def test_a_layer_keeps_what_its_backward_pass_reads() -> None:
    """Per token: two norms' inputs and those of the two GEMMs behind them (4 h); Q, K, V and the output
    (2 a + 2 k) d with a rotated copy of Q and K and 4 bytes a head; gate and up, and their GEMM: (2 + 1) f."""
    two_byte = 2 * 1024 + 2 * 1024 + (2 * 8 + 2 * 2) * 128 + (8 + 2) * 128 + (2 + 1) * 2048
    assert kept(workload()) == pytest.approx(2 * two_byte + 4 * 8)


def test_what_a_policy_leaves() -> None:
    """The input, all of attention's output and half of the GEMMs' output are kept, the latter two split over two ranks."""
    asked = workload(gpus=2, tensor=2)
    block = saved(asked.model.stacks[0], BF16, asked.software.memory, stream=2.0, unfused=False)
    attended, outputs = 8 * (128 * 2 + 4), 2 * (1536 + 1024 + 4096 + 1024)
    assert block.left_by(Unkept(all_but=(1.0, 0.5)), asked.ranks) == pytest.approx(
        2 * 1024 + (attended + outputs / 2) / 2
    )
    assert block.left_by(Unkept(), asked.ranks) == pytest.approx(2 * 1024)


def test_a_frozen_layer_passes_through() -> None:
    """2 bytes of 3 h and of twice the widest output, 4,096, which is split over two ranks."""
    asked = workload(gpus=2, tensor=2)
    assert passing_through(asked.model.stacks[0], asked.ranks, BF16) == pytest.approx(2 * (3 * 1024 + 2 * 4096 / 2))
    split = workload(gpus=2, tensor=2, sequence_parallel=True).ranks
    assert passing_through(asked.model.stacks[0], split, BF16) == pytest.approx(2 * (3 * 1024 + 2 * 4096) / 2)


def test_what_ends_keep() -> None:
    """The inputs of the head and of the norm before it; pixels as loaded, in fp32, frozen or not."""
    head = workload().model.ends[-1]
    pixels = Ends("patches", (Linear("patches", 588, 1024, Split.WHOLE),), 0, 256, True)
    assert ends_saved(head, BF16, stream=2.0) == 1024 * (2 + 2)
    assert ends_saved(pixels, BF16, stream=2.0) == 588 * (2 + 4)
    assert ends_saved(replace(pixels, trainable=Trainable.FROZEN), BF16, stream=2.0) == 588 * 4
    assert ends_saved(replace(head, trainable=Trainable.FROZEN), BF16, stream=2.0) == 0


def test_messages_between_stages() -> None:
    asked = workload(gpus=2, pipeline=2)
    assert pipeline_buffers(asked.model, TOKENS, asked.ranks, BF16) == 4 * TOKENS * 1024 * 2
    assert pipeline_buffers(asked.model, TOKENS, workload().ranks, BF16) == 0


@pytest.mark.parametrize(
    ("method", "each"),
    [
        (
            "ring",
            2 * 512 * 2 + 512 * 4 + 1024 * 4,
        ),  # two blocks of keys and values, fp32 sums of their gradients and of the output
        ("ulysses", (2 * 1024 + 512) * 2),
        ("all-gather", 2 * 512 * 2 * 2),
    ],
)
def test_what_a_shared_sequence_needs(method: str, each: float) -> None:
    asked = workload(gpus=2, context=2, sequence_method=method)
    assert context_buffers(asked.model, TOKENS / 2, asked.ranks, BF16) == pytest.approx(TOKENS / 2 * each)
    assert context_buffers(asked.model, TOKENS, workload().ranks, BF16) == 0


@pytest.mark.parametrize("method", ["ring", "ulysses", "all-gather"])
def test_buffers_of_a_shared_sequence_are_of_the_widest_attention(method: str) -> None:
    """Layers run one after another, and the buffers of one serve the next."""
    asked = workload(gpus=2, context=2, sequence_method=method)
    alone = context_buffers(asked.model, TOKENS / 2, asked.ranks, BF16)
    (layers,) = asked.model.stacks
    core = layers.block.attention[0]
    for cores in ((core, replace(core, heads=4, kv_heads=1)), (replace(core, heads=4, kv_heads=1), core)):
        both = replace(layers, block=replace(layers.block, attention=cores))
        parts = tuple(both if part is layers else part for part in asked.model.parts)
        assert context_buffers(replace(asked.model, parts=parts), TOKENS / 2, asked.ranks, BF16) == alone


@pytest.mark.parametrize(("count", "layer"), [(0, 0), (1, LAYER), (2, LAYER), (4, LAYER)])
def test_the_largest_layer_of_a_stage_is_one_that_stands_on_it(count: int, layer: int) -> None:
    asked = workload()
    (there,) = (
        one
        for one in stage_parts(asked.model, asked.placement, asked.ranks, np.asarray(0))
        if one.part in asked.model.stacks
    )
    found = parameters_of([replace(there, count=np.asarray(count))])
    assert (found.layer, found.layer_trained, found.dense) == (layer, layer, count * LAYER)


@pytest.mark.parametrize(
    ("gpus", "layout", "bucketed"),
    [
        (1, {}, 0.0),
        (2, {}, 0.5),
        (4, {}, 0.5),
        (4, {"pipeline": 2}, 0.0),
        (2, {"sharding": "zero1"}, 0.0),
        (2, {"tensor": 2}, 0.0),
    ],
)
def test_replicas_hold_buckets_beside_their_gradients(gpus: int, layout: dict[str, Any], bucketed: float) -> None:
    """Half of the gradients once more, with two replicas as with four; none of a single copy, of stages or of shards."""
    asked = workload(gpus=gpus, software=stack(memory={"replica_gradients": 0.5}), **layout)
    held = parameters_of(stage_parts(asked.model, asked.placement, asked.ranks, np.asarray(0)))
    facts = asked.software.memory
    found = states(held, asked.ranks, asked.layout, BF16, facts)
    each = facts.gradients.get("bf16", BF16.gradients)
    assert found.gradients == pytest.approx(each * held.trained * (1 + bucketed))


@pytest.mark.parametrize(("batch", "early"), [(2, 0.0), (4, 1.0), (8, 1.0)])
@pytest.mark.parametrize("whole", [False, True])
def test_gradients_are_there_early_from_the_second_micro_batch_on(batch: int, early: float, *, whole: bool) -> None:
    """ZeRO-2 on two ranks: its shard of what the micro-batch before left, or all of it where a stack accumulates before it reduces."""
    facts = {"accumulates_whole": whole, "gradients_live": False}
    asked = workload(gpus=2, batch=batch, sharding="zero2", software=stack(memory=facts))
    held = parameters_of(stage_parts(asked.model, asked.placement, asked.ranks, np.asarray(0)))
    found = states(held, asked.ranks, asked.layout, BF16, asked.software.memory)
    each = asked.software.memory.gradients.get("bf16", BF16.gradients)
    assert found.early_gradients == pytest.approx(early * each * held.trained / (1 if whole else 2))


def test_groups_with_buffers_of_their_own() -> None:
    assert communicators(workload().ranks) == 0
    assert communicators(workload(gpus=8, tensor=2, pipeline=2).ranks) == 3, "tensor, pipeline, data"
    assert communicators(workload(MIXTURE, gpus=8, expert=4).ranks) == 2


def test_parameters_of_the_stages() -> None:
    """Two layers and the embedding, two layers and the head with its norm; on two tensor ranks half of everything except the norms."""
    asked = workload(gpus=2, pipeline=2)
    first, last = (
        parameters_of(stage_parts(asked.model, asked.placement, asked.ranks, np.asarray(stage))) for stage in (0, 1)
    )
    assert first.dense == first.trained == 2 * LAYER + VOCABULARY
    assert (last.dense, last.layer, last.ends) == (2 * LAYER + VOCABULARY + 1024, LAYER, VOCABULARY + 1024)
    there = stage_parts(asked.model, asked.placement, asked.ranks, np.asarray(1))
    assert parameters_of(there).dense == last.dense
    assert [parameters_of([one]).dense for one in there] == [0, 2 * LAYER, VOCABULARY + 1024]
    bare = workload(gpus=2, pipeline=2, stage_layers=(0, 4))
    first = parameters_of(stage_parts(bare.model, bare.placement, bare.ranks, np.asarray(0)))
    assert (first.dense, first.layer_trained, first.ends_trained) == (VOCABULARY, 0, VOCABULARY)
    split = workload(gpus=2, tensor=2)
    held = parameters_of(stage_parts(split.model, split.placement, split.ranks, np.asarray(0)))
    assert held.dense == (WHOLE - 9 * 1024) / 2 + 9 * 1024


@pytest.mark.parametrize(
    ("sharding", "weights", "gradients", "optimiser"),
    [("none", 2, 2, 12), ("zero1", 2, 2, 12 / 8), ("zero2", 2, 2 / 8, 12 / 8), ("zero3", 2 / 8, 2 / 8, 12 / 8)],
)
def test_states_dealt_out_to_eight(sharding: str, weights: float, gradients: float, optimiser: float) -> None:
    asked = workload(gpus=8, sharding=sharding)
    held = parameters_of(stage_parts(asked.model, asked.placement, asked.ranks, np.asarray(0)))
    found = states(held, asked.ranks, asked.layout, BF16, asked.software.memory)
    assert found.weights == pytest.approx(weights * WHOLE)
    assert found.gradients == pytest.approx(gradients * WHOLE)
    assert found.optimiser == pytest.approx(optimiser * WHOLE)
    assert (found.gathered > 0) == (sharding == "zero3")


def test_gradients_before_the_last_backward_pass() -> None:
    """None with one micro-batch if gradients are not kept between steps; all with several micro-batches."""
    late = stack(memory={"gradients_live": False})
    for batch, early in ((1, 0), (8, 2 * WHOLE)):
        asked = workload(batch=batch, software=late)
        held = parameters_of(stage_parts(asked.model, asked.placement, asked.ranks, np.asarray(0)))
        assert states(held, asked.ranks, asked.layout, BF16, late.memory).early_gradients == early


def test_the_fullest_moment() -> None:
    """Weights, gradients and Adam at 16 bytes per parameter; activations of four layers and a head; logits at 6 bytes."""
    asked = workload()
    parts = memory(asked).parts
    assert parts["weights"] + parts["gradients"] + parts["optimiser"] == pytest.approx(16 * WHOLE)
    assert parts["logits"] == pytest.approx(6 * TOKENS * 4096)
    assert parts["activations"] == pytest.approx(TOKENS * (4 * kept(asked) + 1024 * 4))
    found = memory(asked)
    assert found.reserved == pytest.approx(found.allocated * 1.05), "megatron's allocator holds a twentieth more"
    assert found.total == pytest.approx(found.reserved + found.context)
    assert found.margin == pytest.approx(1e11 - found.total)
    assert found.filled == pytest.approx((1.02 * found.allocated + found.context) / 1e11)
    assert int(found.stage) == 0
    assert found.to_dict()["total"] == pytest.approx(float(found.total))


def test_odds_by_what_is_filled() -> None:
    """(1 + x / sqrt(2 + x^2)) / 2 with x = steepness ln(half / filled): one half at ``half``, 1 - 1 / (2 x^2) far
    below it; and the inverse."""
    known = odds_of("megatron-2022")
    assert known.probability(known.half) == pytest.approx(0.5)
    away = known.steepness * np.log(known.half / 0.01)
    assert known.probability(0.01) == pytest.approx(1 - 1 / (2 * away**2), abs=1e-6)
    assert known.probability(known.most(0.7)) == pytest.approx(0.7)
    assert odds_path().is_file()
    assert odds()["all"]["measured"]["half"] == known.half


def test_students_distribution_with_two_degrees_of_freedom() -> None:
    """(1 + 2 / sqrt(6)) / 2 at 2, the rest at -2, and 1 / (2 x^2) far out, where the sum would cancel."""
    assert chance(np.array([0.0, 2.0, -2.0])) == pytest.approx([0.5, (1 + 2 / 6**0.5) / 2, (1 - 2 / 6**0.5) / 2])
    assert chance(np.array(-1e9)) == pytest.approx(0.5e-18)


def test_what_fits_surely_fits_at_all_and_the_host_must_hold_its_share() -> None:
    asked = memory(workload())
    half, safe = (asked.odds.most(chance) for chance in (ENOUGH, SAFE))
    for share, fits, sure in ((safe * 0.99, True, True), ((safe + half) / 2, True, False), (half * 1.01, False, False)):
        room = replace(asked, capacity=asked.filled * asked.capacity / share)
        assert (bool(room.fits), bool(room.safe)) == (fits, sure)
        assert room.fits_probability == pytest.approx(asked.odds.probability(share))
    crowded = replace(asked, host_per_node=2e12)
    assert not crowded.fits_host
    assert not crowded.fits
    assert replace(crowded, host_capacity=None).fits_host, "where nobody says how much there is, it is enough"


def test_the_first_way_to_fit_is_one_of_those_that_save() -> None:
    tight = workload(card={"memory": 1.0e9})
    ways = ways_to_fit(tight)
    assert ways
    assert all(way.saved > 0 and way.total == pytest.approx(float(memory(tight).total) - way.saved) for way in ways)
    assert set(ways[0].to_dict()) == {"change", "total", "saved", "fits", "slower", "layout"}


def test_the_longest_sequence_fits_and_the_next_does_not() -> None:
    asked = workload(card={"memory": 2.0e9})
    found = longest_sequence(asked, MODEL.model, multiple=128)
    assert found is not None
    assert memory(replace(asked, model=MODEL.model(found))).fits
    assert not memory(replace(asked, model=MODEL.model(found + 128))).fits


def test_no_sequence_is_looked_for_beyond_two_to_the_thirty() -> None:
    asked = workload(card={"memory": 1e30})
    assert longest_sequence(asked, MODEL.model, multiple=128) in (2**30, 2**30 - 128)


def test_what_a_run_needs_when_the_allocator_gives_back_what_it_can() -> None:
    """Tensors, the context, and the share of the tensors that stays reserved unused; less than a driver shows."""
    asked = workload()
    held = memory(asked)
    in_vain = asked.software.memory.reserved_least * float(held.allocated)
    assert float(held.needed) == pytest.approx(float(held.allocated) + float(held.context) + in_vain)
    assert float(held.filled) == pytest.approx(float(held.needed) / float(held.capacity))
    assert float(held.needed) <= float(held.total)


@pytest.mark.parametrize(
    ("precision", "saved"),
    [
        (Precision("bf16", "pure"), 3),
        (Precision("bf16", "mixed"), 3),
        (Precision("bf16", "amp"), 1.5),  # the file's norms run in fp32 under autocast
        (
            Precision("bf16", "pure", wide_stream=True),
            2,
        ),  # the fp32 copy that an unfused norm saves is one element of an fp32 stream, not two
    ],
)
def test_elements_that_a_norm_saves(precision: Precision, saved: float) -> None:
    facts = stack(memory={"saved": {"rms-norm": 3}, "saved_autocast": {"rms-norm": 1.5}}).memory
    assert _elements_saved(Pointwise.RMS_NORM, precision, facts) == saved
    fused = stack(memory={"saved": {"rms-norm": 2}, "saved_autocast": {}}).memory
    assert _elements_saved(Pointwise.RMS_NORM, precision, fused) == 2, "it saves no copy"


def test_operands_of_attention() -> None:
    """Q and the output of eight heads, K and V of two, 2 bytes each, and 4 bytes per head; keys of another stream are kept there."""
    core = workload().model.stacks[0].block.attention[0]
    assert _operands(core, 2.0, False) == (8 + 2) * 256 * 2 + 8 * 4
    assert _operands(core, 2.0, True) == (8 + 2) * 256 * 2
    assert _operands(replace(core, keys=77), 2.0, False) == 8 * 256 * 2 + 8 * 4
    wide = replace(core, wide=True)  # fp32 copies of queries and keys, where the file computes the scores itself
    assert _operands(wide, 2.0, True) == (8 + 2) * 256 * 2 + (8 + 2) * 128 * 4
    assert _operands(wide, 2.0, False) == (8 + 2) * 256 * 2 + 8 * 4


@pytest.mark.parametrize("name", ["pipeline_outputs", "pipeline_ahead"])
def test_what_a_pipeline_keeps_ready(name: str) -> None:
    """Two outputs, of 2 bytes, of each of the four micro-batches that wait on the first of four stages; or two more micro-batches of its
    one layer."""
    plain, ready = (workload(gpus=4, pipeline=4, batch=64, software=stack(memory=facts)) for facts in ({}, {name: 2}))
    more = 2 * 4 * TOKENS * 1024 * 2 if name == "pipeline_outputs" else 2 * TOKENS * kept(plain)
    first, second = (float(memory(one).parts["activations"]) for one in (plain, ready))
    assert second - first == pytest.approx(more)
