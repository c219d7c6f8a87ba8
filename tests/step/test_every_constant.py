"""Formulas of step/ with unequal degrees, sizes and constants other than 0 and 1, against hand calculations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gpuhours.architecture.decoder_shapes import Experts
from gpuhours.architecture.operators import Elementwise, Ends, Linear, Pointwise, Role, Split, Stack, Trainable
from gpuhours.hardware.number_formats import Precision
from gpuhours.kernels.collectives import point_to_point_time
from gpuhours.kernels.gemm import gemm_time
from gpuhours.layout.groups import Group
from gpuhours.layout.layout import Schedule
from gpuhours.layout.placement import Placement
from gpuhours.layout.recompute import Policy
from gpuhours.software.figures import PointwiseTraffic, Traffic
from gpuhours.step.communication import CONTEXT, SENDS, expert_passes, reached, tensor_passes
from gpuhours.step.compute import (
    PRODUCTS,
    adapter_bytes,
    cast_bytes,
    elementwise_passes,
    ends_compute,
    issue_bound,
    narrowing_bytes,
    operator_share,
    product_passes,
)
from gpuhours.step.context import context_passes
from gpuhours.step.contrast import contrast_parts
from gpuhours.step.features import feature_parts
from gpuhours.step.offload import activations_time, parameters_time
from gpuhours.step.schedule import ORDERS, Passes, Stages, left_over, pipeline_time, stages
from gpuhours.workload import Workload
from tests.round_machine import ADAPTED, CARD, LAYER, LINK, MEMORY, MODEL, PCIE, PEAK, TOKENS, stack, workload

SHARED = MODEL.model_copy(update={"experts": Experts(count=8, top_k=3, width=512, shared_width=256)})
"""Eight experts of 512, three of which see a token, and one of 256 that sees all."""
WIDE = Traffic(forward=3.0, backward=5.0)


def layer(asked: Workload) -> Stack:
    return asked.model.stacks[0]


def product(asked: Workload, role: Role) -> Linear:
    return next(one for one in layer(asked).block.linears if one.role is role)


def facts(**groups: Any) -> Any:
    """Return facts of a stack with no cost except those given: all operators move 0 B."""
    none = {kind.value: Traffic(forward=0, backward=0) for kind in Pointwise}
    moved = groups.pop("operators", {})
    rows = groups.pop("rows", {})
    return stack(
        pointwise=PointwiseTraffic(source="by hand", operators={**none, **moved}, rows=rows),
        adapters=groups.pop("adapters", {}),
        **groups,
    )


# products


@pytest.mark.parametrize(("expert_tensor", "load"), [(1, 1.25), (2, 1.25), (2, 1.0)])
def test_tokens_that_arrive_at_experts(expert_tensor: int, load: float) -> None:
    """Four expert ranks, two tensor ranks.

    1.25 x 4 g x 2,048 x 3 / (2 x 8) tokens arrive at each of two experts, split over g ranks; with few tokens they take at least a fifth
    longer.
    """
    asked = workload(
        SHARED, gpus=8, tensor=2, expert=4, expert_tensor=expert_tensor, software=stack(dispatch={"load": load})
    )
    arriving = load * 4 * expert_tensor * 2048 * 3 / (2 * 8)
    slower = 1 + 0.2 * min(max((1024 - arriving) / 512, 0), 1)
    inner = product(asked, Role.MLP_IN)
    assert (inner.outputs, inner.inputs) == (1024, 1024)
    found = product_passes(inner, np.asarray(2048), asked, Trainable.FULL)
    n = 1024 / expert_tensor
    assert found.forward == pytest.approx(slower * gemm_time(arriving, n, 1024, CARD, count=2))
    assert found.backward == pytest.approx(slower * gemm_time(arriving, 1024, n, CARD, count=2))
    assert found.weight == pytest.approx(slower * gemm_time(n, 1024, arriving, CARD, count=2, weight_gradient=True))
    alone = workload(SHARED, software=stack(dispatch={"load": load}))
    here = product_passes(product(alone, Role.MLP_IN), np.asarray(4096), alone, Trainable.FROZEN)
    assert here.total == pytest.approx(float(gemm_time(4096 * 3 / 8, 1024, 1024, CARD, count=8))), (
        "on one rank none is busier"
    )


def test_what_no_rank_splits_is_shared_by_tokens() -> None:
    """The router, in 16 bit despite fp8, on a quarter of the tokens if four ranks split the sequence; a table padded to 512."""
    asked = workload(SHARED, gpus=4, tensor=4, sequence_parallel=True, dtype="fp8")
    router = next(one for one in layer(asked).block.linears if one.split is Split.WHOLE)
    found = product_passes(router, np.asarray(2048), asked, Trainable.FROZEN)
    assert found.total == pytest.approx(float(gemm_time(512, 8, 1024, CARD)))
    padded = workload(gpus=4, tensor=4, software=stack(vocabulary_multiple=384))
    words = padded.model.ends[-1].linears[0]
    found = product_passes(words, np.asarray(2048), padded, Trainable.FROZEN)
    assert found.total == pytest.approx(float(gemm_time(2048, 1152, 1024, CARD))), (
        "1,024 words a rank are three times 384"
    )


def test_weights_of_four_bit_are_unpacked_for_every_pass() -> None:
    """10 B per weight before products forward and, if gradients pass, backward; none for a head."""
    asked = workload(ADAPTED, dtype="nf4", software=stack(unpacking=10.0))
    inner = product(asked, Role.MLP_IN)
    unpacked, plain = 10 * 4096 * 1024 / MEMORY, float(gemm_time(2048, 4096, 1024, CARD))
    for trainable, back in (
        (Trainable.FROZEN, 0.0),
        (Trainable.PASS_THROUGH, plain + unpacked),
        (Trainable.FULL, plain),
    ):
        found = product_passes(inner, np.asarray(2048), asked, trainable)
        assert found.forward == pytest.approx(plain + (0.0 if trainable is Trainable.FULL else unpacked))
        assert found.backward == pytest.approx(back, rel=0.01)
    words = asked.model.ends[-1].linears[0]
    assert product_passes(words, np.asarray(2048), asked, Trainable.FROZEN).total == gemm_time(2048, 4096, 1024, CARD)


# memory-bound operators


def operated(
    software: Any, *operators: Elementwise, precision: Precision | None = None, **layout: Any
) -> tuple[float, float]:
    """Return the seconds of one layer of such operators alone, 2,048 tokens, forward and backward."""
    asked = workload(software=software, **layout)
    asked = asked if precision is None else replace(asked, precision=precision)
    bare = replace(layer(asked), block=replace(layer(asked).block, linears=(), elementwise=operators))
    found = elementwise_passes(bare, np.asarray(2048.0), asked)
    return float(found.forward), float(found.backward)


def test_operators_by_width_share_and_rank() -> None:
    """3 and 5 B per element, split over four tensor ranks or by tokens; a third of a rotated head, and a fifth for splitting it."""
    norm = Elementwise(Pointwise.RMS_NORM, 1024, sharded=False)
    turned = Elementwise(Pointwise.ROTARY, 1024, sharded=True, worked=1 / 3)
    each = 2048 * 1024 / MEMORY
    software = facts(operators={"rms-norm": WIDE, "rotary": WIDE}, rotary_cut=0.2)
    four = {"gpus": 4, "tensor": 4}
    assert operated(software, norm) == pytest.approx((3 * each, 5 * each))
    assert operated(software, norm, **four) == pytest.approx((3 * each, 5 * each))
    assert operated(software, norm, **four, sequence_parallel=True) == pytest.approx((3 * each / 4, 5 * each / 4))
    cut = each * (1 / 3 + 0.2) / 4
    assert operated(software, turned, **four) == pytest.approx((3 * cut, 5 * cut))
    whole = replace(turned, worked=1.0)
    assert operated(software, whole, **four) == pytest.approx((3 * each / 4, 5 * each / 4)), "nothing is cut"


def test_rows_formats_and_experts_places() -> None:
    """1 and 2 ns per row in addition to the bytes.

    fp32 moves twice the bytes, except for operators that always work in it; a permutation handles (1 + g) / 2 of the gathered tokens.
    """
    norm = Elementwise(Pointwise.LAYER_NORM, 1024, sharded=False)
    each = 2048 * 1024 / MEMORY
    rows = {"layer-norm": Traffic(forward=1e-9, backward=2e-9)}
    software = facts(operators={"layer-norm": WIDE, "permute": WIDE}, rows=rows)
    assert operated(software, norm) == pytest.approx((3 * each + 2048e-9, 5 * each + 4096e-9))
    split = operated(software, norm, gpus=4, tensor=4, sequence_parallel=True)
    assert split == pytest.approx(((3 * each + 2048e-9) / 4, (5 * each + 4096e-9) / 4))
    inside = operated(software, replace(norm, sharded=True), gpus=4, tensor=4)
    assert inside == pytest.approx(split)
    full = Precision("fp32")
    assert operated(software, norm, precision=full) == pytest.approx((6 * each + 2048e-9, 10 * each + 4096e-9))
    always = software.model_copy(update={"works_wide": ("layer-norm",)})
    assert operated(always, norm, precision=full) == pytest.approx((3 * each + 2048e-9, 5 * each + 4096e-9))
    moved = Elementwise(Pointwise.PERMUTE, 1024, sharded=False)
    gathered = operated(software, moved, gpus=6, tensor=3, expert=2, expert_tensor=3)
    assert gathered == pytest.approx((2 * 3 * each, 2 * 5 * each))


def test_shares_of_operators_weigh_their_traffic() -> None:
    """Norms of 1,024 at 3 B once more, half of a rotation of 512 at 6 B: (3,072 + 1,536) of 6,144."""
    asked = workload(software=facts(operators={"rms-norm": WIDE, "rotary": Traffic(forward=6, backward=7)}))
    block = replace(layer(asked).block, elementwise=(Elementwise(Pointwise.RMS_NORM, 1024, sharded=False),
                                                     Elementwise(Pointwise.ROTARY, 512, sharded=True)))  # fmt: skip
    some = Policy(operators={Pointwise.RMS_NORM: 1.0, Pointwise.ROTARY: 0.5})
    assert operator_share(some, replace(layer(asked), block=block), asked) == pytest.approx(0.75)
    alike = Policy(operators={Pointwise.RMS_NORM: 0.5, Pointwise.ROTARY: 0.5}, others=0.5)
    assert operator_share(alike, replace(layer(asked), block=block), asked) == 0.5
    rest = Policy(operators={Pointwise.RMS_NORM: 0.5, Pointwise.ROTARY: 0.5}, others=0.25)
    assert operator_share(rest, replace(layer(asked), block=block), asked) == 0.5


def test_wide_elements_are_no_more_to_issue() -> None:
    """Half of the time does not shrink; 4 x the H100's bandwidth per multiprocessor: 1 - 1/2 + 4/2, in fp32 half of the latter."""
    card = {"memory_bandwidth": 4 * 10 * 3.35e12 / 132, "sms": 10}
    software = stack(pointwise={"issued": 0.5})
    assert issue_bound(workload(card=card, software=software)) == pytest.approx(2.5)
    assert issue_bound(workload(card=card, software=software, dtype="fp32")) == pytest.approx(1.5)
    assert issue_bound(workload(card={**card, "sms": None}, software=software)) == 1.0


def test_bytes_around_adapters_on_split_products() -> None:
    """Queries (1,024) and keys, values (256 each) are split over two ranks, attention's output reads its split input: 10 and 6 B an output,
    3 and 5 B an input, other figures under autocast."""
    said: dict[str, Any] = {"forward": 10.0, "backward": 6.0, "inputs": WIDE}
    asked = workload(ADAPTED, gpus=2, tensor=2, software=stack(adapters=said))
    outputs, inputs = 2048 * (1024 / 2 + 2 * 256 / 2 + 1024), 2048 * (3 * 1024 + 1024 / 2)
    found = adapter_bytes(layer(asked), np.asarray(2048), asked)
    assert found == (pytest.approx(10 * outputs + 3 * inputs), pytest.approx(6 * outputs + 5 * inputs))
    cast = {**said, "autocast": Traffic(forward=20, backward=30), "autocast_inputs": Traffic(forward=7, backward=11)}
    amp = replace(
        workload(ADAPTED, gpus=2, tensor=2, software=stack(adapters=cast)), precision=Precision("bf16", "amp")
    )
    found = adapter_bytes(layer(amp), np.asarray(2048), amp)
    assert found == (pytest.approx(20 * outputs + 7 * inputs), pytest.approx(30 * outputs + 11 * inputs))


def test_casts_of_experts_and_of_split_products() -> None:
    """Casts per token.

    Three experts' inputs at the size that their two ranks gather, the other inputs at the size on a tensor rank of four; block scales
    cost 1.5 times, weights 4 B between the passes.
    """
    casts = {"forward": 8.0, "backward": 6.0, "weights": 4.0, "blocks": 1.5}
    asked = workload(
        SHARED,
        gpus=4,
        tensor=4,
        expert=2,
        expert_tensor=2,
        dtype="mxfp8",
        software=stack(casts=casts),
        sequence_parallel=True,
    )
    block, ranks = layer(asked).block, asked.ranks
    ins, outs, held = 0.0, 0.0, 0.0
    for one in block.linears:
        if one.split is Split.WHOLE:
            continue
        routed = one.experts > 1
        gathered = 2 if routed else 1
        row = one.split is Split.ROW
        ins += 3 * one.inputs * (1 if row else gathered) / 4 if routed else one.inputs / 4
        outs += 3 * one.outputs * (gathered if row else 1) / 4 if routed else one.outputs / 4
        held += one.inputs * one.outputs * (8 / (2 * 2) if routed else 1 / 4)
    found = cast_bytes(block, np.asarray(2048), asked)
    weights = 4 * 1.5 * held / 2
    assert found == (pytest.approx(8 * 1.5 * 2048 * ins + weights), pytest.approx(6 * 1.5 * 2048 * outs + weights))
    assert float(ranks.whole) == 4


def test_narrowing_of_experts_and_of_split_products() -> None:
    """6 B: each of f merged products reads its own input, three experts read theirs, all on the share of a rank."""
    asked = workload(SHARED, gpus=4, tensor=4, expert=2, expert_tensor=2)
    each = 0.0
    for one in layer(asked).block.linears:
        if one.split is not Split.WHOLE:
            routed = one.experts > 1
            each += (3 if routed else 1) * (one.fused * one.inputs + one.outputs) / (2 if routed else 4)
    assert float(narrowing_bytes(layer(asked).block, 10.0, asked.ranks)) == pytest.approx(6 * 10 * each)


def test_ends_by_what_they_are() -> None:
    """Logits of two samples are halved by two ranks and by context; the stream takes 4 B per output if there are none.

    A frozen end has no backward pass; the loss is computed in fp32 for any format of the logits.
    """
    head = {"forward": 14.0, "backward": 13.0}
    asked = workload(gpus=4, tensor=2, context=2, microbatch=2, software=stack(head=head))
    last = asked.model.ends[-1]
    logits = 2 * TOKENS / 2 * 4096 / 2 / MEMORY
    found = ends_compute(last, asked)["other kernels"]
    assert (found.forward, found.backward) == (pytest.approx(14 * logits), pytest.approx(13 * logits))
    frozen = ends_compute(replace(last, trainable=Trainable.FROZEN), asked)["other kernels"]
    assert (frozen.forward, frozen.backward) == (pytest.approx(14 * logits), 0.0)
    rates = {"peak": {"bf16": PEAK, "fp32": PEAK / 2}}
    wide = workload(gpus=4, tensor=2, context=2, microbatch=2, dtype="fp32", software=stack(head=head), card=rates)
    assert ends_compute(last, wide)["other kernels"].forward == pytest.approx(28 * logits)
    works = wide.software.model_copy(update={"works_wide": ("rms-norm",)})
    assert ends_compute(last, replace(wide, software=works))["other kernels"].forward == pytest.approx(14 * logits)
    patches = Ends("patches", (Linear("patches", 588, 1024, Split.WHOLE),), 0, 256, True)
    plain = workload(microbatch=2)
    stream = 4 * 512 * 1024 / MEMORY
    moved = ends_compute(patches, plain)
    assert (moved["other kernels"].forward, moved["other kernels"].backward) == (
        pytest.approx(stream),
        pytest.approx(2 * stream),
    )
    assert moved[PRODUCTS].forward == pytest.approx(float(gemm_time(512, 1024, 588, CARD)))
    embedded = replace(patches, from_pixels=True)
    convolved = replace(plain, software=stack(convolution=Traffic(forward=0.5, backward=0.25)))
    flops = 2 * 512 * 588 * 1024 / PEAK
    assert ends_compute(embedded, convolved)[PRODUCTS].total == pytest.approx(flops * (2 + 4))
    assert ends_compute(patches, convolved)[PRODUCTS].total == pytest.approx(float(moved[PRODUCTS].total)), (
        "not of pixels"
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
    assert float(tensor_passes(layer(hidden), hidden, Passes(1.0, 2.0)).forward) > 0, "sums between nodes are felt"


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
    assert {kind.name: tuple(order) for kind, order in ORDERS.items()} == {
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


def test_what_a_collective_costs_beside_products() -> None:
    """Half of it, at most twice the time of the links alone, plus all that is left over."""
    assert float(left_over(10.0, 4.0, 0.5, 1.0)) == pytest.approx(1.0 + (10 - 1 - 4))
    assert float(left_over(10.0, 40.0, 0.5, 8.0)) == 5.0
    assert float(left_over(3.0, 1.0, 0.0)) == 2.0


def test_adapters_beside_a_stream_in_fp32() -> None:
    """10 and 6 B per output whatever the format of the stream, and 6 B per element for the casts of quantised products."""
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
    assert (found[PRODUCTS].forward, found[PRODUCTS].backward) == pytest.approx((there, back))
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
    assert sent(SENDS, **both) == pytest.approx((gathered, gathered))
    assert sent(SENDS, Trainable.FROZEN, **both) == pytest.approx((gathered, 0.0))
    one = float(point_to_point_time(message / 2, Group(2, 8), workload(gpus=16).cluster))
    apart = {"gpus": 16, "tensor": 2, "data": 4, "vision": "separate", "vision_gpus": 8}
    assert sent(SENDS, **apart) == pytest.approx((one, one))
    busy = float(point_to_point_time(message * 4 / 3, Group(2, 8), workload(gpus=16).cluster))
    assert sent(SENDS, **{**apart, "vision_gpus": 3}) == pytest.approx((busy, busy))
    assert sent(SENDS, gpus=4, context=2, tensor=2) == (0, 0)
    assert sent(CONTEXT, gpus=4, context=2, tensor=2) == pytest.approx((message / 2 / LINK, message / 2 / LINK))
    assert sent(CONTEXT, gpus=4, context=2, tensor=2, microbatch=4) == pytest.approx((2 * message / LINK,) * 2)
