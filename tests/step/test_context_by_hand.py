"""Sequences on several ranks, and small experts, where a default, a mask or a network matters, against hand calculations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gpuhours.architecture.operators import Linear, Split, Trainable
from gpuhours.hardware.number_formats import Precision
from gpuhours.kernels.collectives import point_to_point_time
from gpuhours.kernels.gemm import gemm_time
from gpuhours.layout.groups import Group
from gpuhours.software.figures import LearnedMask, Traffic
from gpuhours.step.compute import (
    CAPPED,
    GEMMS,
    OTHER,
    elementwise_passes,
    ends_compute,
    gemm_passes,
    layer_compute,
)
from gpuhours.step.context import attention_passes, context_passes, learned_mask_passes, ring_time
from gpuhours.step.cpu_overhead import table_copies
from gpuhours.step.schedule import Passes
from tests.round_machine import CARD, LINK, MEMORY, MIXTURE, PEAK, TOKENS, cpu_overhead_time, layer, stack, workload

BLOCK = 128 * 2 * 256 * 2
"""Keys and values of a quarter of 512 tokens: two heads of 2 x 128 in 2 bytes."""
QUERIES = 4 * BLOCK
"""Eight heads of the same."""


def sent(
    method: str = "ring",
    *,
    tensor: int = 1,
    context: int = 4,
    causal: bool = True,
    trainable: Trainable | None = None,
    **facts: Any,
) -> list[float]:
    """Return the bytes sent over the links of four ranks, forward and backward."""
    merge = Traffic(forward=0.0, backward=0.0)
    asked = workload(
        gpus=context * tensor,
        tensor=tensor,
        context=context,
        sequence_method=method,
        software=stack(context={"merge": merge, **facts}),
    )
    whole = asked.model.stacks[0]
    cores = tuple(replace(core, causal=causal) for core in whole.block.attention)
    part = replace(whole, block=replace(whole.block, attention=cores), trainable=trainable or whole.trainable)
    found = context_passes(part, asked, Passes())
    return [float(found.forward) * LINK, float(found.backward) * LINK]


@pytest.mark.parametrize(
    ("options", "forward", "backward"),
    [
        ({}, 3 * BLOCK, 6 * BLOCK),
        ({"gradient": 4.0}, 3 * BLOCK, 9 * BLOCK),
        ({"fetched": 0.5}, 1.5 * BLOCK, 3 * BLOCK),
        ({"fetched": 0.5, "causal": False}, 3 * BLOCK, 6 * BLOCK),  # no mask, so everything must be sent
        ({"backward": "queries"}, 3 * BLOCK, 6 * BLOCK),  # keys and gradients are the smaller
        ({"backward": "queries", "repeats_keys": True}, 3 * QUERIES, 3 * 1.5 * QUERIES),
        ({"repeats_keys": True}, 3 * QUERIES, 6 * QUERIES),
        ({"repeats_keys": True, "tensor": 2}, 3 * QUERIES / 2, 6 * QUERIES / 2),
        ({"tensor": 2}, 3 * BLOCK / 2, 6 * BLOCK / 2),
        ({"tensor": 4, "context": 2}, BLOCK, 2 * BLOCK),  # twice the tokens, and one head of keys at least
        ({"trainable": Trainable.FROZEN}, 3 * BLOCK, 0),
        ({"method": "all-gather"}, 3 * BLOCK, 6 * BLOCK),
        ({"method": "all-gather", "gradient": 4.0}, 3 * BLOCK, 9 * BLOCK),
        ({"method": "ulysses"}, 3 / 4 * (QUERIES + 2 * BLOCK), 3 / 4 * (QUERIES + 2 * BLOCK)),
        ({"method": "ulysses", "repeats_keys": True}, 3 / 4 * (QUERIES + 2 * BLOCK), 3 / 4 * (QUERIES + 2 * BLOCK)),
    ],
)  # fmt: skip
def test_what_goes_over_the_links(options: dict[str, Any], forward: float, backward: float) -> None:
    assert sent(**options) == [pytest.approx(forward), pytest.approx(backward)]


@pytest.mark.parametrize(
    ("gpus", "link", "kind"),
    [(32, LINK, "double"), (32, LINK / 100, "double"), (32, LINK, "flat"), (8, LINK, "double")],
)
def test_double_rings_hop_by_hop(gpus: int, link: float, kind: str) -> None:
    """32 ranks on four nodes: the longer of 28 sends inside and 3 between, which overlap; in one node 7 sends and none between."""
    asked = workload(
        gpus=gpus, context=gpus, sequence_method="ring", card={"link_bandwidth": link, "pair_bandwidth": link}
    )
    nodes, block = gpus // 8, 1e8
    inside = (gpus - nodes) * float(point_to_point_time(block, Group(8), asked.cluster))
    between = (nodes - 1) * float(point_to_point_time(block, Group(nodes, 8), asked.cluster))
    flat = (gpus - 1) * float(point_to_point_time(block, Group(gpus), asked.cluster))
    expected = flat if kind == "flat" else min(flat, max(inside, between))
    assert float(ring_time(block, asked.ranks, asked.cluster, kind)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("tokens", "layout", "load", "per_expert", "experts", "slower"),
    [
        (512, {}, 1.5, 128, 8, 1.2),  # a quarter of the tokens, and no load if nothing is sent
        (3072, {}, 1.0, 768, 8, 1.1),
        (4096, {}, 1.0, 1024, 8, 1.0),
        (512, {"gpus": 4, "expert": 4}, 1.0, 512, 2, 1.2),
        (512, {"gpus": 4, "expert": 4}, 1.5, 768, 2, 1.1),
        (512, {"gpus": 8, "expert": 8}, 1.0, 1024, 1, 1.0),
        (128, {"gpus": 8, "expert": 8}, 1.0, 256, 1, 1.0),  # one expert is no group
        (2048, {"gpus": 4, "tensor": 4, "expert": 2, "expert_tensor": 2}, 1.0, 512, 4, 1.2),
    ],
)  # fmt: skip
def test_experts_of_few_tokens(
    tokens: int, layout: dict[str, Any], load: float, per_expert: int, experts: int, slower: float
) -> None:
    """Two of eight experts per token. Grouped GEMMs with few tokens take up to a fifth longer; dense ones do not."""
    asked = workload(MIXTURE, **layout, software=stack(dispatch={"load": load}))
    gate = next(linear for linear in asked.model.stacks[0].block.linears if linear.name == "gate and up")
    n = 4096 // layout.get("expert_tensor", 1)
    found = gemm_passes(gate, np.asarray(tokens), asked, Trainable.FULL)
    assert found.forward == pytest.approx(slower * gemm_time(per_expert, n, 1024, CARD, count=experts))
    assert found.backward == pytest.approx(slower * gemm_time(per_expert, 1024, n, CARD, count=experts))
    weight = gemm_time(n, 1024, per_expert, CARD, count=experts, weight_gradient=True)
    assert found.weight == pytest.approx(slower * weight)
    dense = gemm_passes(Linear("up", 1024, 4096, Split.COLUMN), np.asarray(64), workload(), Trainable.FULL)
    assert dense.forward == pytest.approx(gemm_time(64, 4096, 1024, CARD))


@pytest.mark.parametrize(("trainable", "passes"), [("frozen", 1), ("pass-through", 2), ("lora", 2), ("full", 3)])
def test_passes_of_a_gemm(trainable: str, passes: int) -> None:
    part = Linear("up", 1024, 4096, Split.COLUMN)
    found = gemm_passes(part, np.asarray(TOKENS), workload(), Trainable(trainable))
    assert [float(one) > 0 for one in (found.forward, found.backward, found.weight)] == [True, passes > 1, passes > 2]


def test_experts_that_autocast_leaves_wide() -> None:
    """Only experts, only under autocast and only if the stack states it: eight fp32 GEMMs one after another, each of a quarter of the
    tokens, at a tenth of the peak."""
    card = {"peak": {"bf16": 1e15, "fp32": 1e14}}
    dense = Linear("up", 1024, 4096, Split.COLUMN)

    def seconds(part: Linear, *, wide: bool, state: str) -> float:
        software = stack().model_copy(update={"wide_experts": wide})
        asked = replace(workload(MIXTURE, card=card, software=software), precision=Precision("bf16", state))
        return float(gemm_passes(part, np.asarray(TOKENS), asked, Trainable.FULL).total)

    expert = next(one for one in workload(MIXTURE).model.stacks[0].block.linears if one.experts > 1)
    usual = seconds(expert, wide=False, state="amp")
    one = Linear("one expert", expert.inputs, expert.outputs, Split.COLUMN)
    alone = gemm_passes(one, np.asarray(TOKENS / 4), workload(MIXTURE, card=card), Trainable.FULL, "fp32").total
    assert (expert.experts, expert.active) == (8, 2)
    looped = seconds(expert, wide=True, state="amp")
    assert looped == pytest.approx(8 * float(alone))
    assert looped > 1.5 * usual
    assert seconds(expert, wide=True, state="pure") == pytest.approx(usual)
    assert seconds(dense, wide=True, state="amp") == seconds(dense, wide=False, state="amp")


@pytest.mark.parametrize(("narrow_loss", "share"), [(True, 0.5), (False, 1.0)])
def test_a_loss_over_16_bit_moves_its_share(narrow_loss: bool, share: float) -> None:
    """14 and 13 B per logit, or half of it if the stack's loss reads 16 bit."""
    asked = workload(software=stack(head={"forward": 14.0, "backward": 13.0, "narrow": 0.5}))
    found = ends_compute(replace(asked.model.ends[-1], narrow_loss=narrow_loss), asked)[OTHER]
    logits = share * TOKENS * 4096 / MEMORY
    assert (found.forward, found.backward) == (pytest.approx(14 * logits), pytest.approx(13 * logits))


@pytest.mark.parametrize(("dtype", "element"), [("bf16", 2), ("fp32", 4)])
def test_capped_logits_are_moved_in_their_own_format(dtype: str, element: int) -> None:
    """What the cap moves beyond the loss grows with the bytes of a logit, forward and backward."""
    asked = workload(card={"peak": {"bf16": 1e15, "fp32": 1e15}}, dtype=dtype)
    plain, capped = (ends_compute(replace(asked.model.ends[-1], capped=flag), asked)[OTHER] for flag in (False, True))
    logits = TOKENS * 4096 * element / 2 / MEMORY
    assert capped.forward - plain.forward == pytest.approx(CAPPED[0] * logits)
    assert capped.backward - plain.backward == pytest.approx(CAPPED[1] * logits)


def test_a_loss_in_as_many_blocks_as_tokens() -> None:
    """1,024 tokens on a rank, 5,000 blocks requested: each pass reads the head's weights once per token."""
    asked = workload(gpus=2, context=2, microbatch=4, loss_blocks=5000)
    found = ends_compute(asked.model.ends[-1], asked)[GEMMS]
    read = 2 * 4096 * (1024 * 1024 + 1024) / MEMORY
    assert (found.forward, found.backward, found.weight) == (
        pytest.approx(read),
        pytest.approx(read),
        pytest.approx(read),
    )


def test_samples_and_ranks_that_share_them() -> None:
    """Four samples of 512 tokens on two ranks: 1,024 tokens for each layer and for a fixed table at 8 GB/s; attention on two sequences."""
    asked = workload(gpus=2, context=2, microbatch=4, software=stack().model_copy(update={"pageable": 8e9}))
    part = asked.model.stacks[0]
    found = layer_compute(part, asked)
    sides = [(1536, 1024), (1024, 1024), (4096, 1024), (1024, 2048)]
    assert found[GEMMS].forward == pytest.approx(sum(float(gemm_time(1024, n, k, CARD)) for n, k in sides))
    assert found[OTHER].forward == pytest.approx(float(elementwise_passes(part, np.asarray(1024), asked).forward))
    tabled = replace(asked.model.ends[0], tabled=3.0)
    assert table_copies(tabled, asked) == pytest.approx(4 * 1024 * 3 / 8e9)
    assert table_copies(tabled, workload()) == table_copies(asked.model.ends[0], asked) == 0
    usual = float(cpu_overhead_time(asked, 0.0))
    longer = replace(asked, model=replace(asked.model, parts=(tabled, *asked.model.parts[1:])))
    assert float(cpu_overhead_time(longer, 0.0)) - usual == pytest.approx(4 * 1024 * 3 / 8e9)
    moved = float(ends_compute(tabled, asked)[OTHER].forward) - float(
        ends_compute(asked.model.ends[0], asked)[OTHER].forward
    )
    assert moved == pytest.approx(4 * 1024 * 3 / 8e9)


def test_bytes_on_a_card_that_issues_no_faster() -> None:
    """Half of the time does not shrink: twice the H100's bandwidth per multiprocessor takes 1.5 times the bytes, forward and backward."""
    card = {"memory_bandwidth": 20 * 2 * 3.35e12 / 132, "sms": 20}
    plain, issued = (workload(card=card, software=stack(pointwise={"issued": share})) for share in (0.0, 0.5))
    usual, found = (elementwise_passes(asked.model.stacks[0], np.asarray(TOKENS), asked) for asked in (plain, issued))
    assert (found.forward, found.backward) == (pytest.approx(1.5 * usual.forward), pytest.approx(1.5 * usual.backward))


def test_a_learned_mask_takes_whole_blocks_of_64() -> None:
    """Two samples' 10 windows of 49 tokens with heads of 32, at a tenth of the peak: as of 64 tokens and 64 channels. A mask of padding
    does not run there."""
    shares = LearnedMask(source="by hand", forward=0.1, backward=0.2)
    asked = workload(microbatch=2, software=stack(learned_mask=shares))
    learned = replace(layer(asked).block.attention[0], head_dim=32, causal=False, padded=True, from_table=True)
    windows = replace(layer(asked), tokens=490, sequence=49, block=replace(layer(asked).block, attention=(learned,)))
    pairs = 20 * learned.heads * 64**2 * 64
    found = learned_mask_passes(learned, np.asarray(49), np.asarray(20), asked, shares)
    assert (found.forward, found.backward) == (
        pytest.approx(4 * pairs / 0.1 / PEAK),
        pytest.approx(10 * pairs / 0.2 / PEAK),
    )
    assert attention_passes(windows, asked).forward == pytest.approx(found.forward)
    given = replace(windows, block=replace(windows.block, attention=(replace(learned, from_table=False),)))
    assert attention_passes(given, asked).forward != pytest.approx(found.forward)


def test_heads_split_over_tensor_and_exchanging_ranks() -> None:
    """Eight heads on two tensor ranks that exchange with two each are two a rank; 500 tokens are computed as 512."""
    asked = workload(gpus=4, tensor=2, context=2, sequence_method="ulysses")
    shares = LearnedMask(source="by hand", forward=0.5, backward=0.25)
    found = learned_mask_passes(layer(asked).block.attention[0], np.asarray(500), np.asarray(3), asked, shares)
    pairs = 3 * 2 * 512**2 * 128
    assert (found.forward, found.backward) == (pytest.approx(8 * pairs / PEAK), pytest.approx(40 * pairs / PEAK))
