"""Formulas of step/ with unequal degrees, sizes and constants other than 0 and 1, against hand calculations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gpuhours.architecture.operators import Elementwise, Ends, Linear, Pointwise, Role, Split, Trainable
from gpuhours.hardware.number_formats import Precision
from gpuhours.kernels.gemm import gemm_time
from gpuhours.layout.recompute import Policy
from gpuhours.software.figures import Traffic
from gpuhours.step.compute import (
    GEMMS,
    adapter_bytes,
    cast_bytes,
    elementwise_passes,
    ends_compute,
    gemm_passes,
    issue_bound,
    narrowing_bytes,
    operator_share,
)
from gpuhours.workload import Workload
from tests.round_machine import (
    ADAPTED,
    CARD,
    MEMORY,
    PEAK,
    SHARED,
    TOKENS,
    WIDE,
    facts,
    layer,
    stack,
    workload,
)


def gemm(asked: Workload, role: Role) -> Linear:
    return next(one for one in layer(asked).block.linears if one.role is role)


# GEMMs


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
    inner = gemm(asked, Role.MLP_IN)
    assert (inner.outputs, inner.inputs) == (1024, 1024)
    found = gemm_passes(inner, np.asarray(2048), asked, Trainable.FULL)
    n = 1024 / expert_tensor
    assert found.forward == pytest.approx(slower * gemm_time(arriving, n, 1024, CARD, count=2))
    assert found.backward == pytest.approx(slower * gemm_time(arriving, 1024, n, CARD, count=2))
    assert found.weight == pytest.approx(slower * gemm_time(n, 1024, arriving, CARD, count=2, weight_gradient=True))
    alone = workload(SHARED, software=stack(dispatch={"load": load}))
    here = gemm_passes(gemm(alone, Role.MLP_IN), np.asarray(4096), alone, Trainable.FROZEN)
    assert here.total == pytest.approx(float(gemm_time(4096 * 3 / 8, 1024, 1024, CARD, count=8))), (
        "on one rank none is busier"
    )


def test_what_no_rank_splits_is_shared_by_tokens() -> None:
    """The router, in 16 bit despite fp8, on a quarter of the tokens if four ranks split the sequence; a table padded to 512."""
    asked = workload(SHARED, gpus=4, tensor=4, sequence_parallel=True, dtype="fp8")
    router = next(one for one in layer(asked).block.linears if one.split is Split.WHOLE)
    found = gemm_passes(router, np.asarray(2048), asked, Trainable.FROZEN)
    assert found.total == pytest.approx(float(gemm_time(512, 8, 1024, CARD)))
    padded = workload(gpus=4, tensor=4, software=stack(vocabulary_multiple=384))
    words = padded.model.ends[-1].linears[0]
    found = gemm_passes(words, np.asarray(2048), padded, Trainable.FROZEN)
    assert found.total == pytest.approx(float(gemm_time(2048, 1152, 1024, CARD))), (
        "1,024 words a rank are three times 384"
    )


def test_weights_of_four_bit_are_unpacked_for_every_pass() -> None:
    """10 B per weight before GEMMs forward and, if gradients pass, backward; none for a head."""
    asked = workload(ADAPTED, dtype="nf4", software=stack(unpacking=10.0))
    inner = gemm(asked, Role.MLP_IN)
    unpacked, plain = 10 * 4096 * 1024 / MEMORY, float(gemm_time(2048, 4096, 1024, CARD))
    for trainable, back in (
        (Trainable.FROZEN, 0.0),
        (Trainable.PASS_THROUGH, plain + unpacked),
        (Trainable.FULL, plain),
    ):
        found = gemm_passes(inner, np.asarray(2048), asked, trainable)
        assert found.forward == pytest.approx(plain + (0.0 if trainable is Trainable.FULL else unpacked))
        assert found.backward == pytest.approx(back, rel=0.01)
    words = asked.model.ends[-1].linears[0]
    assert gemm_passes(words, np.asarray(2048), asked, Trainable.FROZEN).total == gemm_time(2048, 4096, 1024, CARD)


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


def test_bytes_around_adapters_on_split_gemms() -> None:
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


def test_casts_of_experts_and_of_split_gemms() -> None:
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
    assert float(ranks.sequence_parallel) == 4


def test_narrowing_of_experts_and_of_split_gemms() -> None:
    """6 B: each of f merged GEMMs reads its own input, three experts read theirs, all on the share of a rank."""
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
    assert moved[GEMMS].forward == pytest.approx(float(gemm_time(512, 1024, 588, CARD)))
    embedded = replace(patches, from_pixels=True)
    convolved = replace(plain, software=stack(convolution=Traffic(forward=0.5, backward=0.25)))
    flops = 2 * 512 * 588 * 1024 / PEAK
    assert ends_compute(embedded, convolved)[GEMMS].total == pytest.approx(flops * (2 + 4))
    assert ends_compute(patches, convolved)[GEMMS].total == pytest.approx(float(moved[GEMMS].total)), "not of pixels"
