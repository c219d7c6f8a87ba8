"""What ranks send and wait for, with unequal degrees, sizes and constants other than 0 and 1, against hand calculations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gpuhours.architecture.operators import Ends, Trainable
from gpuhours.hardware.number_formats import Precision
from gpuhours.kernels.collectives import point_to_point_time
from gpuhours.kernels.gemm import gemm_time
from gpuhours.layout.groups import Group
from gpuhours.layout.placement import Placement
from gpuhours.layout.schedules import SCHEDULES, Schedule
from gpuhours.software.figures import Traffic
from gpuhours.step.communication import CONTEXT, P2P, expert_passes, reached, tensor_passes
from gpuhours.step.compute import (
    GEMMS,
    elementwise_passes,
    narrowing_bytes,
)
from gpuhours.step.context import context_passes
from gpuhours.step.contrast import contrast_parts
from gpuhours.step.features import feature_parts
from gpuhours.step.offload import activations_time, parameters_time
from gpuhours.step.schedule import Passes, Stages, exposed_time, pipeline_time, stages
from tests.round_machine import (
    ADAPTED,
    LAYER,
    LINK,
    MEMORY,
    MODEL,
    PCIE,
    PEAK,
    SHARED,
    TOKENS,
    WIDE,
    facts,
    layer,
    stack,
    workload,
)

# what ranks send


def test_places_that_groups_stand_in() -> None:
    """Eight groups, two of them for each token: on three places 3 (1 - (1 - 3/8 ...)); with arrays of both."""
    third = 8 / 3
    missed = (1 - third / 8) * (1 - third / 7)
    assert float(reached(3, 8, 2)) == pytest.approx(3 * (1 - missed))
    assert reached(np.array([3, 16]), np.array([8, 8]), np.array([2, 3])).tolist() == pytest.approx(
        [3 * (1 - missed), 6]
    )
    mixed = reached(np.array([3, 3]), 8, np.array([1, 2]))
    assert mixed.tolist() == pytest.approx([1.0, 3 * (1 - missed)])


def test_sums_of_experts_that_ranks_split() -> None:
    """Two samples on two context ranks, tensor 4.

    The sums of attention and of the shared expert, and that of the routed experts, 3 x 2/4 of the tokens over two ranks, of which half is
    visible.
    """
    software = stack(exposed={"expert": 0.5})
    asked = workload(SHARED, gpus=8, tensor=4, context=2, microbatch=2, expert=2, expert_tensor=2, software=software)
    message = 2 * TOKENS / 2 * 1024 * 2
    whole = 2 * 2 * message * 3 / 4 / LINK
    routed = 0.5 * 2 * message * 3 * (2 / 4) * 1 / 2 / LINK
    found = tensor_passes(layer(asked), asked, Passes())
    assert (found.forward, found.backward) == (pytest.approx(whole + routed), pytest.approx(whole + routed))
    frozen = replace(layer(asked), trainable=Trainable.FROZEN)
    assert float(tensor_passes(frozen, asked, Passes()).backward) == 0
    hidden = workload(gpus=16, tensor=16, software=stack(exposed={"tensor": 0.0}))
    assert float(tensor_passes(layer(hidden), hidden, Passes(1.0, 2.0)).forward) > 0, "sums between nodes take time"


def test_tokens_packed_for_other_ranks() -> None:
    """Two samples on two context ranks and four tensor ranks.

    128 tokens, three copies of each, 3 B per element forward and 5 B backward; a rank that holds all experts packs none.
    """
    layout: dict[str, Any] = {"gpus": 8, "tensor": 4, "context": 2, "microbatch": 2, "expert_tensor": 1}
    packs, plain = (
        stack(dispatch={"sends": "copies", "load": 1.5, "packing": packing})
        for packing in (WIDE, Traffic(forward=0, backward=0))
    )
    packed, sent = (workload(SHARED, software=software, expert=4, **layout) for software in (packs, plain))
    each = 128 * 3 * 1024 / MEMORY
    message = 128 * 3 * 1.5 * 1024 * 2
    found, without = (expert_passes(layer(asked), asked) for asked in (packed, sent))
    assert without.forward == pytest.approx(2 * message * 3 / 4 / LINK)
    behind = replace(
        sent,
        software=sent.software.model_copy(update={"exposed": sent.software.exposed.model_copy(update={"expert": 0.5})}),
    )
    assert expert_passes(layer(behind), behind).forward == pytest.approx(message * 3 / 4 / LINK), "half of it is hidden"
    two = workload(SHARED, software=packs, **{**layout, "expert": 2})
    assert expert_passes(layer(two), two).forward == pytest.approx(2 * message / 2 / LINK + 3 * each), (
        "two ranks pack too"
    )
    assert (found.forward - without.forward, found.backward - without.backward) == pytest.approx((3 * each, 5 * each))
    alone = workload(SHARED, software=packs, **layout)
    assert expert_passes(layer(alone), alone).total == 0


def test_blocks_of_a_ring_and_what_goes_back() -> None:
    """Four ranks, two samples: 256 tokens, two heads of keys and values of eight.

    Backward sends keys, values and gradients of 4 B, or 1.5 times the queries if that is less; a single rank copies keys for every head;
    whole sequences are gathered and scattered.
    """
    layout: dict[str, Any] = {"gpus": 4, "context": 4, "microbatch": 2, "sequence_method": "ring"}
    keys, queries = 2 * 256 * 2, 8 * 256 * 2

    def back(**facts: Any) -> tuple[float, float]:
        asked = workload(software=stack(context=facts), **layout)
        found = context_passes(layer(asked), asked, Passes())
        return float(found.forward) * LINK / (3 * 256), float(found.backward) * LINK / (3 * 256)

    assert back(gradient=4.0) == pytest.approx((keys, 3 * keys))
    assert back(gradient=4.0, backward="queries") == pytest.approx((keys, 3 * keys))
    assert back(gradient=40.0, backward="queries") == pytest.approx((keys, 1.5 * queries))
    assert back(gradient=2.0, repeats_keys=True) == pytest.approx((queries, 2 * queries))
    gathered = workload(software=stack(context={"gradient": 4.0}), **{**layout, "sequence_method": "all-gather"})
    found = context_passes(layer(gathered), gathered, Passes(1.0, 1.0, 1.0))
    each = 256 * keys * 4 * 3 / 4 / LINK
    assert (found.forward, found.backward) == (pytest.approx(each), pytest.approx(each + 2 * each)), (
        "nothing hides them"
    )
    split = workload(software=stack(context={"gradient": 4.0}), **{**layout, "gpus": 8, "tensor": 2})
    found = context_passes(layer(split), split, Passes())
    assert found.forward == pytest.approx(3 * 256 * keys / 2 / LINK), "half of the keys and values on each tensor rank"
    frozen = replace(layer(gathered), trainable=Trainable.FROZEN)
    assert float(context_passes(frozen, gathered, Passes()).backward) == 0


def test_what_leaves_for_the_host() -> None:
    """Two samples on two context and two tensor ranks: 512 tokens.

    34 B per element, halved, or 2 B of the input, halved if sequences are split; weights of a layer over four shards.
    """
    layout: dict[str, Any] = {"gpus": 4, "tensor": 2, "context": 2, "microbatch": 2}
    rate, elements = 0.88 * PCIE, 512 * 1024
    for split, recompute, each in ((False, "none", 17), (False, "full", 2), (True, "full", 1), (True, "none", 17)):
        asked = workload(offload_activations=True, recompute=recompute, sequence_parallel=split, **layout)
        assert activations_time(layer(asked), asked, 0.0) == pytest.approx(2 * each * elements / rate)
    frozen = replace(layer(asked), trainable=Trainable.FROZEN)
    assert activations_time(frozen, asked, 0.0) == 0
    shared = workload(offload_parameters=True, sharding="zero3", gpus=4)
    found = parameters_time(layer(shared), shared, Passes())
    weights = 2 * LAYER / (4 * rate)
    assert (found.forward, found.backward) == (pytest.approx(weights), pytest.approx(2 * weights))
    behind = parameters_time(layer(shared), shared, Passes(weights / 2, 1.0, 1.0))
    assert (behind.forward, behind.backward) == (pytest.approx(weights / 2), pytest.approx(0.1 * 2 * weights))
    held = replace(layer(shared), trainable=Trainable.FROZEN)
    assert float(parameters_time(held, shared, Passes()).backward) == 0


def test_orders_of_passes() -> None:
    """Forward passes before the first backward one, and micro-batches by which weight gradients are delayed, for each rank position."""
    assert {kind.name: tuple(rules.order) for kind, rules in SCHEDULES.items()} == {
        "f1b1": (1, None), "interleaved": (1, None), "zb1p": (1, 1), "zb2p": (2, 2), "gpipe": (None, None),
    }  # fmt: skip


@pytest.mark.parametrize(("schedule", "bubble"), [
    (Schedule.f1b1, 24.0 - 7.0), (Schedule.gpipe, 17.0), (Schedule.interleaved, 17 / 2), (Schedule.zb1p, 17 / 3),
    (Schedule.zb2p, 12 * 3 / 4 - 4 * 4 / 8),
])  # fmt: skip
def test_bubbles(schedule: Schedule, bubble: float) -> None:
    """Four stages, the slowest of 7 s, five micro-batches: on all stages 4 s forward, 8 s for input and 12 s for weight gradients."""
    work = Stages(Passes(4.0, 8.0, 12.0), 7.0)
    assert float(pipeline_time(work, 5, 4, 2, schedule)) == pytest.approx(5 * 7 + bubble)
    assert float(pipeline_time(work, 5, 1, 1, schedule)) == 35
    assert float(pipeline_time(work, 50, 4, 2, Schedule.zb2p)) == 350, "none below nothing"


def test_what_a_collective_costs_beside_gemms() -> None:
    """Half of it, at most twice the time of the links alone, plus all that is left over."""
    assert float(exposed_time(10.0, 4.0, 0.5, 1.0)) == pytest.approx(1.0 + (10 - 1 - 4))
    assert float(exposed_time(10.0, 40.0, 0.5, 8.0)) == 5.0
    assert float(exposed_time(3.0, 1.0, 0.0)) == 2.0


def test_adapters_beside_a_stream_in_fp32() -> None:
    """10 and 6 B per output whatever the format of the stream, and 6 B per element for the casts of quantised GEMMs."""
    said = {"forward": 10.0, "backward": 6.0}
    wide = replace(
        workload(ADAPTED, software=facts(adapters=said)), precision=replace(Precision("nf4"), wide_stream=True)
    )
    outputs = 2048 * (1024 + 2 * 256 + 1024)
    cast = float(narrowing_bytes(layer(wide).block, 2048.0, wide.ranks))
    found = elementwise_passes(layer(wide), np.asarray(2048.0), wide)
    assert found.forward == pytest.approx((10 * outputs + cast) / MEMORY)
    assert found.backward == pytest.approx((6 * outputs + cast) / MEMORY)


def test_a_stage_and_what_is_spread_over_all() -> None:
    """Of five layers of 6 s, the first of two stages has three, and 2 s of its own; 4 s are spread over both."""
    line = stages(Passes(1.0, 2.0, 3.0), Placement(5, 2), Passes(2.0), Passes(1.0), Passes(4.0))
    assert (float(line.slowest), float(line.together.total)) == (3 * 6 + 2 + 4 / 2, 5 * 6 + 2 + 1 + 4)
    alone = stages(Passes(1.0, 2.0, 3.0), Placement(5, 1), Passes(2.0), Passes(1.0), Passes(4.0))
    assert float(alone.slowest) == 37
    inner = stages(Passes(6.0), Placement(7, 3, stated=(1, 5, 1)), Passes(2.0), Passes(1.0))
    assert float(inner.slowest) == 30


def test_the_way_back_of_pairs() -> None:
    """8 samples on each of four ranks in fp32: twice [8, 512] over 32 and [32, 512] over 8; logits and features of 4 B."""
    rates = {"peak": {"bf16": PEAK, "fp32": PEAK / 2}}
    asked = workload(
        gpus=4,
        batch=32,
        microbatch=8,
        dtype="fp32",
        card=rates,
        software=stack(head={"forward": 14.0, "backward": 13.0}),
    )
    found = contrast_parts(Ends("pairs", (), 0, 1, False, compared=512), asked)
    card = asked.accelerator
    there = 2 * gemm_time(8, 32, 512, card, "fp32")
    back = 2 * (gemm_time(8, 512, 32, card, "fp32") + gemm_time(32, 512, 8, card, "fp32"))
    assert (found[GEMMS].forward, found[GEMMS].backward) == pytest.approx((there, back))
    assert found["other kernels"].backward == pytest.approx(13 * 2 * 8 * 32 * 2 / MEMORY)
    assert found["data communication"].forward == pytest.approx(2 * 32 * 512 * 4 * 3 / 4 / LINK)


def test_features_by_where_an_encoder_stands() -> None:
    """512 features of 512 x 2 B: gathered over two stages and two ranks of one, or sent from three accelerators to two readers each."""
    encoder = replace(
        MODEL.model_copy(update={"hidden": 512, "heads": 4, "ffn_hidden": 1024}).model(TOKENS).stacks[0], layers=2
    )
    message = TOKENS * 512 * 2

    def sent(kind: str, trainable: Trainable = Trainable.FULL, **layout: Any) -> tuple[float, float]:
        asked = workload(**layout)
        model = replace(asked.model, parts=(replace(encoder, trainable=trainable), *asked.model.parts))
        found = feature_parts(replace(asked, model=model))[kind]
        return float(found.forward), float(found.backward)

    gathered = (message / 2 / 2 + message / 2) / LINK
    both = {"gpus": 4, "tensor": 2, "pipeline": 2, "vision": "replicated"}
    assert sent(P2P, **both) == pytest.approx((gathered, gathered))
    assert sent(P2P, Trainable.FROZEN, **both) == pytest.approx((gathered, 0.0))
    one = float(point_to_point_time(message / 2, Group(2, 8), workload(gpus=16).cluster))
    apart = {"gpus": 16, "tensor": 2, "data": 4, "vision": "separate", "vision_gpus": 8}
    assert sent(P2P, **apart) == pytest.approx((one, one))
    busy = float(point_to_point_time(message * 4 / 3, Group(2, 8), workload(gpus=16).cluster))
    assert sent(P2P, **{**apart, "vision_gpus": 3}) == pytest.approx((busy, busy))
    assert sent(P2P, gpus=4, context=2, tensor=2) == (0, 0)
    assert sent(CONTEXT, gpus=4, context=2, tensor=2) == pytest.approx((message / 2 / LINK, message / 2 / LINK))
    assert sent(CONTEXT, gpus=4, context=2, tensor=2, microbatch=4) == pytest.approx((2 * message / LINK,) * 2)
