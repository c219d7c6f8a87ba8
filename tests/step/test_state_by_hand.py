"""A step's work on the weights and gradients of a rank, on the machine with round numbers, against hand calculations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gpuhours.architecture.operators import Trainable
from gpuhours.hardware.number_formats import Precision
from gpuhours.layout.weights import Weights
from gpuhours.software.profile import load_software
from gpuhours.step.schedule import Passes
from gpuhours.step.state import (
    _reductions_and_gathers,
    _replica_reduction,
    _shard_time,
    accumulation_time,
    blocks_time,
    optimiser_time,
    orthogonalisation_time,
    sharded_passes,
    step_reduction,
)
from gpuhours.workload import Workload
from tests.round_machine import ADAPTED, LAYER, LINK, MEMORY, MIXTURE, MODEL, PEAK, VOCABULARY, WHOLE, stack, workload

MLP = 1024 * 4096 + 2048 * 1024
DENSE = 4 * (LAYER - MLP + 1024 * 8) + 2 * VOCABULARY + 1024
"""Parameters of the mixture outside experts: attention, norms and routers, embedding and head."""
EXPERTS = 4 * 8 * MLP / 4
"""A quarter of the mixture's expert parameters, on each of four ranks."""
ENCODER = MODEL.model_copy(update={"hidden": 512, "heads": 4, "ffn_hidden": 1024}).model(512).stacks[0]
ENCODING = 512 * 1024 + 512 * 512 + 512 * 2048 + 1024 * 512 + 2 * 512
"""Parameters of one of its layers: half as wide as the decoder's."""
ADAPTERS = 8 * (2 * 2048 + 2 * 1280)
SUM = 2 * WHOLE * 7 / 8 / LINK
"""Seconds of a reduce-scatter, or of an all-gather, of 2 bytes per parameter over eight ranks."""


def passes(asked: Workload, beside: Passes = Passes()) -> tuple[float, float]:  # noqa: B008 - frozen
    found = sharded_passes(asked.model.stacks[0], asked, beside)
    return float(found.forward), float(found.backward)


def reduced(beside: float = 0.0, software: Any = None, model: Any = None, **layout: Any) -> float:
    chosen = {} if model is None else {"model": model}
    return float(step_reduction(workload(**chosen, software=software, **layout), np.asarray(beside)))


def test_zero2_scatters_after_every_pass_and_gathers_once() -> None:
    asked = workload(gpus=8, sharding="zero2")
    assert passes(asked) == (0, pytest.approx(2 * LAYER * 7 / 8 / LINK))
    assert reduced(gpus=8, sharding="zero2") == pytest.approx(SUM)


def test_replicas_may_sum_beside_the_backward_pass_where_shards_do_not() -> None:
    """60 ms of backward pass hide the replicas' sum but for its half; a sharded one is waited for."""
    software = stack(exposed={"data": 1.0, "replicas": 0.5})
    assert reduced(0.09, software, gpus=8) == pytest.approx(SUM)
    assert reduced(0.09, software, gpus=8, sharding="zero1") == pytest.approx(2 * SUM)
    assert reduced(0.09, stack(exposed={"data": 1.0}), gpus=8) == pytest.approx(2 * SUM)


def test_gradients_are_summed_in_the_width_of_their_format() -> None:
    """BLOOM's fork sums bf16 in 4 B and fp16 in 2 B (BSTUNE-104 to 107: the same layout is 6 s of 113 to 119 faster in fp16)."""
    software = stack(network={"gradient": 4.0, "gradients": {"fp16": 2.0}})
    for dtype, width in (("bf16", 4), ("fp16", 2)):
        assert reduced(0.0, software, gpus=8, dtype=dtype) == pytest.approx(width / 2 * 2 * SUM)
        assert reduced(0.0, software, gpus=8, dtype=dtype, sharding="zero1") == pytest.approx((width / 2 + 1) * SUM)
    fork = load_software("bigscience").network
    assert (fork.gradient_in("bf16"), fork.gradient_in("fp16")) == (4, 2)


@pytest.mark.parametrize("sharding", ["zero2", "zero3"])
def test_behind_a_pipeline_all_is_sent_once(sharding: str) -> None:
    piped = {"gpus": 16, "pipeline": 2}
    assert passes(workload(**piped, sharding=sharding)) == (0, 0)
    assert reduced(**piped, sharding=sharding) == pytest.approx(reduced(**piped, sharding="zero1"))
    assert reduced(**piped, sharding=sharding) > 0


def test_of_adapters_only_their_gradients_are_scattered() -> None:
    gather, scatter = (2 * size * 7 / 8 / LINK for size in (LAYER + ADAPTERS, ADAPTERS))
    asked = workload(ADAPTED, gpus=8, sharding="zero3")
    assert passes(asked) == (pytest.approx(gather), pytest.approx(gather + scatter))
    frozen = replace(asked.model.stacks[0], trainable=Trainable.FROZEN)
    assert float(sharded_passes(frozen, asked, Passes()).backward) == 0


def test_gradients_may_be_scattered_in_another_format_and_at_a_share_of_the_rate() -> None:
    each = LAYER * 7 / 8 / LINK
    wide = workload(gpus=8, sharding="zero3", software=stack(network={"scattered": 4.0, "zero3_share": 0.5}))
    assert passes(wide) == (pytest.approx(2 * each / 0.5), pytest.approx((2 + 4) * each / 0.5))


def test_what_is_sent_hides_behind_the_pass_that_it_is_beside() -> None:
    """Half of the communication is visible beside a long pass, all of it beside none; the pass of weight gradients also hides it."""
    half = stack(exposed={"shard": 0.5})
    each = 2 * LAYER * 7 / 8 / LINK
    asked = workload(gpus=8, sharding="zero3", software=half)
    assert passes(asked, Passes(1.0, 0.5, 0.5)) == (pytest.approx(each / 2), pytest.approx(each))
    assert passes(asked, Passes(each / 4, 0.0, each)) == (pytest.approx(0.75 * each), pytest.approx(each))


def test_experts_are_sharded_among_those_that_hold_the_same() -> None:
    """Eight ranks share dense weights, two ranks share the experts that both hold."""
    asked = workload(MIXTURE, gpus=8, expert=4, sharding="zero3")
    gather = 2 * ((DENSE - 2 * VOCABULARY - 1024) / 4 * 7 / 8 + EXPERTS / 4 / 2) / LINK
    assert passes(asked) == (pytest.approx(gather), pytest.approx(2 * gather))
    for sharding in ("none", "zero1"):
        summed = 2 * 2 * (DENSE * 7 / 8 + EXPERTS / 2) / LINK
        assert reduced(model=MIXTURE, gpus=8, expert=4, sharding=sharding) == pytest.approx(summed)


def test_shard_groups_sum_between_them() -> None:
    """Two groups of four: three quarters of a layer within a group, a quarter of all gradients there and back between groups."""
    asked = workload(gpus=8, sharding="zero3", shard_group=4)
    each = 2 * LAYER * 3 / 4 / LINK
    assert passes(asked) == (pytest.approx(each), pytest.approx(2 * each))
    assert reduced(gpus=8, sharding="zero3", shard_group=4) == pytest.approx(2 * (1 / 2) * 2 * WHOLE / 4 / LINK)
    assert reduced(gpus=8, sharding="zero3") == 0


def test_sums_hide_behind_two_thirds_of_a_pass_and_gathers_behind_one() -> None:
    hidden = stack(exposed={"data": 0.0})
    assert reduced(SUM, hidden, gpus=8) == pytest.approx(2 * SUM - 2 / 3 * SUM)
    assert reduced(SUM, hidden, gpus=8, sharding="zero2") == pytest.approx(2 / 3 * SUM)
    assert reduced(2.4 * SUM, hidden, gpus=8, sharding="zero1") == pytest.approx(0.2 * SUM)
    assert reduced(3 * SUM, hidden, gpus=8, sharding="zero1") == 0
    slow = stack(exposed={"data": 0.0}, network={"data_share": 0.5})
    assert reduced(0.0, slow, gpus=8, sharding="zero1") == pytest.approx(4 * SUM)
    assert reduced(0.0, slow, gpus=8) == pytest.approx(4 * SUM)


def test_shards_sent_round_one_by_one() -> None:
    """0.5 ns per byte of all weights and 1 ms for each of eight shards."""
    round_robin = stack(network={"shard_broadcast": 0.5, "shard_wait": 1e-3})
    each = 0.5 * 2 * WHOLE / 1e9 + 1e-3
    assert reduced(software=round_robin, gpus=8, sharding="zero1") == pytest.approx(2 * SUM + 8 * each)
    assert reduced(software=round_robin, gpus=8) == pytest.approx(2 * SUM)
    assert reduced(software=round_robin, sharding="zero1") == 0


def test_a_replicated_encoder_sums_over_the_ranks_that_hold_it() -> None:
    """Two layers before the decoder, replicated on two tensor ranks and two stages: twice 2 x 1/2 of 2 bytes per parameter."""
    asked = workload(gpus=4, tensor=2, pipeline=2, vision="replicated")
    seen = replace(asked, model=replace(asked.model, parts=(replace(ENCODER, layers=2), *asked.model.parts)))
    assert float(_replica_reduction(seen)) == pytest.approx(2 * 2 * 2 * ENCODING / LINK)
    assert float(_replica_reduction(asked)) == 0
    sums = float(step_reduction(seen, np.asarray(0.0)))
    assert sums == pytest.approx(float(_replica_reduction(seen)) + float(step_reduction(asked, np.asarray(0.0))))


def test_the_update_by_format_and_by_what_a_rank_owns() -> None:
    """34 bytes in mixed precision, 22 in pure 16 bit; half of the experts, which two ranks share; Lion moves 20 bytes to Adam's 28."""
    experts = workload(MIXTURE, gpus=8, expert=4, sharding="zero1")
    assert optimiser_time(experts) == pytest.approx(34 * (DENSE / 8 + EXPERTS / 2) / MEMORY)
    assert optimiser_time(workload(MIXTURE, gpus=8, expert=4)) == pytest.approx(34 * (DENSE + EXPERTS) / MEMORY)
    alone = workload()
    pure = replace(alone, precision=Precision("bf16", "pure"))
    assert optimiser_time(pure) == pytest.approx(22 * WHOLE / MEMORY)
    assert optimiser_time(replace(alone, precision=Precision("bf16", "mixed", "lion"))) == pytest.approx(
        20 / 28 * 34 * WHOLE / MEMORY
    )
    muon = replace(alone, precision=Precision("bf16", "mixed", "muon"))
    assert optimiser_time(muon) == pytest.approx(20 / 28 * 34 * WHOLE / MEMORY + orthogonalisation_time(alone, 5))


def test_an_encoder_apart_updates_at_the_same_time() -> None:
    """A hundred layers on an accelerator of their own take longer than the decoder's four with embedding and head."""
    asked = workload(gpus=2, vision="separate", vision_gpus=1)
    own = replace(asked.model, parts=(replace(ENCODER, layers=100), *asked.model.parts))
    assert optimiser_time(replace(asked, model=own)) == pytest.approx(34 * 100 * ENCODING / MEMORY)
    few = replace(asked.model, parts=(replace(ENCODER, layers=1), *asked.model.parts))
    assert optimiser_time(replace(asked, model=few)) == pytest.approx(34 * WHOLE / MEMORY)


def test_newton_schulz_is_shared_by_tensor_ranks_shards_and_stages() -> None:
    alone = float(orthogonalisation_time(workload(), 5))
    assert float(orthogonalisation_time(workload(gpus=8, tensor=2, sharding="zero1"), 5)) == pytest.approx(alone / 8)
    assert float(orthogonalisation_time(workload(gpus=8, tensor=2), 5)) == pytest.approx(alone / 2)
    assert float(orthogonalisation_time(workload(gpus=2, pipeline=2), 5)) == pytest.approx(alone / 2)
    assert float(orthogonalisation_time(workload(ADAPTED), 5)) == 0
    sides = [(1024, 1536, 1), (1024, 1024, 1), (8, 1024, 1), (1024, 4096, 8), (1024, 2048, 8)]
    flops = 4 * sum(count * (4 * m * m * n + 2 * m**3) for m, n, count in sides)
    assert float(orthogonalisation_time(workload(MIXTURE), 1)) == pytest.approx(flops / PEAK)


def test_gradients_are_added_up_in_the_stacks_format() -> None:
    """On one rank the gradients of 7 of 8 micro-batches are added; on two, all are copied into buckets. Experts are included."""
    weights = Weights(1e9, 1e9)
    later = stack(accumulation={"first": False})
    assert accumulation_time(weights, workload(software=later)) == pytest.approx(6.5 * 2e9 * 7 / 8 / MEMORY)
    assert accumulation_time(weights, workload(gpus=2, software=later)) == pytest.approx(6.5 * 2e9 / MEMORY)
    amp = stack(accumulation={"amp": 4.0})
    cast = replace(workload(software=amp), precision=Precision("bf16", "amp"))
    assert accumulation_time(weights, cast) == pytest.approx(4 * 2e9 / MEMORY)
    assert accumulation_time(weights, workload(software=amp)) == pytest.approx(6.5 * 2e9 / MEMORY)
    assert accumulation_time(Weights(0.0, 0.0), workload()) == 0


def test_blocks_of_a_loss_add_only_where_the_head_trains() -> None:
    asked = workload(gpus=2, tensor=2, loss_blocks=3)
    head = asked.model.ends[-1]
    assert blocks_time(head, asked) == pytest.approx(2 * 2 * 2 * VOCABULARY / 2 / MEMORY)
    assert blocks_time(replace(head, trainable=Trainable.FROZEN), asked) == 0
    assert blocks_time(asked.model.ends[0], asked) == 0, "an embedding has no loss"


@pytest.mark.parametrize("sharding", ["none", "zero1", "zero2", "zero3"])
@pytest.mark.parametrize("experts", [False, True])
def test_one_weight_is_sent_and_none_is_not(sharding: str, experts: bool) -> None:
    """No weights take exactly no time, even beside layouts of a sweep that have a weight; ZeRO-3 has sent its weights in the passes."""
    held = np.asarray([0.0, 1.0])
    asked = workload(MIXTURE, gpus=8, expert=2, sharding=sharding)
    sums, gathers = _reductions_and_gathers(Weights(0.0, held) if experts else Weights(held, 0.0), asked)
    once = 2 * (3 / 4 if experts else 7 / 8) / LINK
    summed = {"none": 2 * once, "zero1": once, "zero2": 0.0, "zero3": 0.0}[sharding]
    gathered = once if sharding in ("zero1", "zero2") else 0.0
    assert np.broadcast_to(sums, 2).tolist() == [0.0, pytest.approx(summed, abs=1e-18)]
    assert np.broadcast_to(gathers, 2).tolist() == [0.0, pytest.approx(gathered, abs=1e-18)]
    assert _reductions_and_gathers(Weights(0.0, 0.0), asked) == (0.0, 0.0)


def test_less_than_a_byte_is_added_up() -> None:
    """A sixty-fourth of a weight moves a tenth of a byte."""
    found = accumulation_time(Weights(np.asarray([0.0, 1 / 64]), 0.0), workload(gpus=2))
    assert np.asarray(found).tolist() == [0.0, pytest.approx(6.5 / 64 / MEMORY, abs=0)]


@pytest.mark.parametrize(("layout", "blocks"), [
    ({"microbatch": 4, "context": 2, "gpus": 2, "loss_blocks": 5000}, 1024), ({"loss_blocks": 5000}, 512), ({"loss_blocks": 4}, 4),
    ({"microbatch": 2, "loss_blocks": 1}, 1),
])  # fmt: skip
def test_no_more_blocks_than_a_rank_has_tokens(layout: dict[str, Any], blocks: int) -> None:
    """Four samples of 512 tokens on two ranks are 1,024 tokens each; each block after the first accumulates its gradients."""
    asked = workload(**layout)
    assert blocks_time(asked.model.ends[-1], asked) == pytest.approx((blocks - 1) * 2 * 2 * VOCABULARY / MEMORY)


@pytest.mark.parametrize(
    ("vocab", "microbatch", "blocks"),
    [(4096, 1, 4), (4096, 2, 4), (4096, 3, 3), (5000, 1, 4), (8192, 1, 8), (1024, 2, 1)],
)
def test_blocks_by_width(vocab: int, microbatch: int, blocks: int) -> None:
    """Vocabulary over width blocks, of tokens rounded up to a power of two: a quarter of 1,536 tokens is 384, so 512 per block."""
    model = MODEL.model_copy(update={"vocab": vocab})
    asked = workload(model, microbatch=microbatch, software=stack(memory={"loss_by_width": True}))
    assert blocks_time(asked.model.ends[-1], asked) == pytest.approx((blocks - 1) * 2 * 2 * vocab * 1024 / MEMORY)


def test_shards_of_experts_travel_in_their_own_group() -> None:
    """3 GB of dense weights over eight shards, and in the second run of a sweep 5 GB of experts over two; the stack reaches half of it."""
    asked = workload(MIXTURE, gpus=8, expert=4, sharding="zero3", software=stack(network={"zero3_share": 0.5}))

    def per_rank(moved: Any, group: Any, _: Any) -> Any:
        return moved / group.size

    weights = Weights(np.array([3e9, 3e9]), np.array([0.0, 5e9]))
    assert _shard_time(per_rank, weights, 2.0, asked, asked.cluster) == pytest.approx(
        [2 * 2 * 3e9 / 8, 2 * 2 * (3e9 / 8 + 5e9 / 2)]
    )
    alone = Weights(3e9, 0.0)
    assert _shard_time(per_rank, alone, 2.0, asked, asked.cluster) == pytest.approx(2 * 2 * 3e9 / 8)
    absent = _shard_time(
        lambda moved, group, _: 1.0 + moved / group.size,
        Weights(np.array([0.0, 0.0]), np.array([0.0, 8.0])),
        1.0,
        asked,
        asked.cluster,
    )
    assert absent == pytest.approx([2 * 1.0, 2 * (1.0 + 1.0 + 4.0)]), "no experts, no launch for them"
