"""Memory of weights, gradients and optimiser states by stack in bytes, one fact at a time, against hand calculations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gpuhours.hardware.number_formats import Precision
from gpuhours.layout.placement import stage_parts
from gpuhours.memory.states import Parameters, States, parameters_of, states
from gpuhours.software.profile import load_software
from gpuhours.workload import Workload
from tests.round_machine import ADAPTED, LAYER, MIXTURE, VOCABULARY, WHOLE, workload

MLP = 1024 * 4096 + 2048 * 1024
DENSE = 4 * (LAYER - MLP + 1024 * 8) + 2 * VOCABULARY + 1024
EXPERTS = 4 * 8 * MLP / 4
ENDS = 2 * VOCABULARY + 1024
ADAPTERS = 4 * 8 * (2 * 2048 + 2 * 1280)
"""Of rank 8 in four layers."""
FROZEN = WHOLE


def on_rank(asked: Workload) -> Parameters:
    return parameters_of(stage_parts(asked.model, asked.placement, asked.ranks, np.asarray(0)))


def of(asked: Workload, precision: Precision = Precision("bf16"), **facts: Any) -> States:  # noqa: B008 - frozen
    stated = asked.software.memory.model_copy(update=facts)
    return states(on_rank(asked), asked.ranks, asked.layout, precision, stated)


@pytest.mark.parametrize(("sharding", "weights", "gradients", "optimiser"), [
    ("none", 2 * (DENSE + EXPERTS), 2 * (DENSE + EXPERTS), 12 * (DENSE + EXPERTS)),
    ("zero1", 2 * (DENSE + EXPERTS), 2 * (DENSE + EXPERTS), 12 * (DENSE / 8 + EXPERTS / 2)),
    ("zero2", 2 * (DENSE + EXPERTS), 2 * (DENSE / 8 + EXPERTS / 2), 12 * (DENSE / 8 + EXPERTS / 2)),
    ("zero3", 2 * (DENSE / 8 + EXPERTS / 2), 2 * (DENSE / 8 + EXPERTS / 2), 12 * (DENSE / 8 + EXPERTS / 2)),
])  # fmt: skip
def test_experts_are_dealt_out_to_those_that_hold_them(
    sharding: str, weights: float, gradients: float, optimiser: float
) -> None:
    """Dense weights are shared by eight ranks, the same experts by two."""
    asked = workload(MIXTURE, gpus=8, expert=4, sharding=sharding)
    held = on_rank(asked)
    assert (held.dense, held.expert, held.trained) == (DENSE, EXPERTS, DENSE + EXPERTS)
    found = of(asked)
    assert (float(found.weights), float(found.gradients), float(found.optimiser)) == pytest.approx(
        (weights, gradients, optimiser)
    )


def test_where_nothing_stands_there_is_nothing() -> None:
    empty = parameters_of([])
    names = ("dense", "expert", "frozen", "frozen_ends", "layer", "ends", "layer_trained", "ends_trained")
    assert [float(getattr(empty, name)) for name in names] == [0] * 8


def test_adapters_train_and_the_rest_is_kept_as_it_is_stored() -> None:
    asked = workload(ADAPTED)
    held = on_rank(asked)
    assert (held.trained, held.frozen, held.frozen_ends) == (ADAPTERS, 4 * LAYER, ENDS)
    assert (held.layer, held.layer_trained, held.ends, held.ends_trained) == (
        LAYER + ADAPTERS / 4,
        ADAPTERS / 4,
        ENDS,
        0,
    )
    found = of(asked)
    assert (found.weights, found.gradients, found.optimiser) == (2 * (ADAPTERS + FROZEN), 2 * ADAPTERS, 12 * ADAPTERS)
    shared = of(workload(ADAPTED, gpus=8, sharding="zero3"))
    assert float(shared.weights) == pytest.approx(2 * (ADAPTERS + FROZEN) / 8)
    assert float(shared.gathered + shared.dropped) == pytest.approx(2 * (ADAPTERS + FROZEN) * 7 / 8)


def test_ends_of_a_quantised_model_stay_wide() -> None:
    """nf4 keeps layers in slightly over half a byte; embedding and head in 2 bytes, or in 4 if the stack casts them up."""
    asked = workload(ADAPTED)
    plain, wide = of(asked, Precision("nf4")), of(asked, replace(Precision("nf4"), wide_stream=True))
    assert float(wide.weights - plain.weights) == pytest.approx(2 * ENDS)
    each = Precision("nf4").frozen
    assert 0.5 < each < 0.6
    assert float(plain.weights) == pytest.approx(each * 4 * LAYER + 2 * ENDS + 2 * ADAPTERS)


def test_zero3_gathers_two_layers_and_the_ends() -> None:
    """2 x 2 bytes of a layer and 2 of the ends, at most what the shards lack; the rest is freed."""
    found = of(workload(gpus=8, sharding="zero3"))
    gathered = 2 * (2 * LAYER + ENDS)
    assert float(found.gathered) == pytest.approx(gathered)
    assert float(found.dropped) == pytest.approx(2 * WHOLE * 7 / 8 - gathered)
    more = of(workload(gpus=8, sharding="zero3"), gathered_layers=9.0)
    assert (float(more.gathered), float(more.dropped)) == (pytest.approx(2 * WHOLE * 7 / 8), 0)
    for other in (workload(gpus=8, sharding="zero2"), workload(sharding="zero3")):
        assert (float(of(other).gathered), float(of(other).dropped)) == (0, 0)


def test_quantised_copies_are_freed_with_the_weights_that_they_are_of() -> None:
    """fp8: the weight in 2 bytes, and 1 for it and for its transpose; a rank keeps an eighth of the weights and none of the copies."""
    found = of(workload(gpus=8, sharding="zero3"), Precision("fp8"), weights={})
    assert float(found.weights) == pytest.approx(2 * WHOLE / 8)
    assert float(found.gathered + found.dropped) == pytest.approx(4 * WHOLE - 2 * WHOLE / 8)
    alone = of(workload(gpus=8), Precision("fp8"), weights={})
    assert float(alone.weights) == pytest.approx(4 * WHOLE)


def test_gradients_of_a_layer_on_their_way() -> None:
    """The larger of a layer and half of the ends, in 2 bytes; 2 more in the communication format if other ranks are summed with."""
    assert VOCABULARY + 512 < LAYER
    assert float(of(workload()).layer_gradients) == 2 * LAYER
    assert float(of(workload(gpus=8)).layer_gradients) == 4 * LAYER
    assert float(of(workload(), gathered_layers=0.25).layer_gradients) == 2 * (ENDS / 2)


def test_gradients_that_wait_for_the_step() -> None:
    """Kept from the first micro-batch to the last, or created anew; unsplit under ZeRO-2 if the stack accumulates before it shards."""
    asked, one = workload(gpus=8, batch=64, sharding="zero2"), workload(gpus=8, batch=8, sharding="zero2")
    dealt, whole = 2 * WHOLE / 8, 2 * WHOLE
    assert float(of(asked).early_gradients) == pytest.approx(dealt), "Megatron's buffers are always there"
    assert float(of(asked, gradients_live=False).early_gradients) == pytest.approx(dealt)
    assert float(of(one, gradients_live=False).early_gradients) == 0
    assert float(of(asked, gradients_live=False, accumulates_whole=True).early_gradients) == pytest.approx(whole)
    assert float(of(workload(gpus=8, batch=64), gradients_live=False, accumulates_whole=True).early_gradients) == whole
    assert float(of(asked).whole_gradients) == whole
    piped = workload(gpus=16, batch=64, pipeline=2, sharding="zero3")
    held = float(of(piped, gradients_live=False).early_gradients)
    assert held == 2 * float(on_rank(piped).trained), "a pipeline reduces after its last micro-batch"
    assert float(of(piped, gradients_live=False).gradients) == pytest.approx(held / 8)


@pytest.mark.parametrize("name", ["megatron-core", "deepspeed", "nanotron"])
@pytest.mark.parametrize("batch", [8, 64])
def test_buffers_that_are_always_there_are_whole_in_a_pipeline(name: str, batch: int) -> None:
    """These stacks have only ZeRO-1 there: two, and more levels asked for, hold what one does; without stages they shard."""
    facts = load_software(name).memory

    def held(pipeline: int, sharding: str) -> tuple[float, float]:
        asked = workload(gpus=8 * pipeline, batch=batch, pipeline=pipeline, sharding=sharding)
        found = states(on_rank(asked), asked.ranks, asked.layout, Precision("bf16"), facts)
        return float(found.gradients), float(found.early_gradients)

    assert held(2, "zero1") == held(2, "zero2") == held(2, "zero3")
    assert held(1, "zero2")[0] == pytest.approx(held(1, "zero1")[0] / 8)


def test_torchtitan_and_deepspeed_shard_with_every_micro_batch_and_the_trainer_under_fsdp_with_the_last() -> None:
    """Two bytes of a shard of eight, or of all."""
    asked = workload(gpus=8, batch=64, sharding="zero3")
    whole = {name: float(states(on_rank(asked), asked.ranks, asked.layout, Precision("bf16"), load_software(name).memory).early_gradients)
             for name in ("fsdp2-eager", "fsdp-compile", "huggingface-deepspeed", "huggingface-fsdp2", "nemo-automodel")}  # fmt: skip
    sharded = {name for name, held in whole.items() if held == pytest.approx(2 * WHOLE / 8)}
    assert sharded == {"fsdp2-eager", "fsdp-compile", "huggingface-deepspeed"}
    assert {held for name, held in whole.items() if name not in sharded} == {2 * WHOLE}


def test_buckets_of_replicas() -> None:
    """Without sharding and pipeline, replicas can hold a second copy of gradients; a single rank does not."""
    twice = {"replica_gradients": 1.0, "gradients_live": False}
    many, alone, piped = workload(gpus=8, batch=8), workload(batch=1), workload(gpus=16, batch=64, pipeline=2)
    assert float(of(many, **twice).gradients) == 2 * 2 * WHOLE
    assert float(of(many, **twice).early_gradients) == 2 * 2 * WHOLE
    assert float(of(many, **twice, gradients_dropped=True).early_gradients) == 2 * WHOLE
    assert float(of(alone, **twice).gradients) == 2 * WHOLE
    assert float(of(alone, **twice).early_gradients) == 0
    assert float(of(piped, **twice).gradients) == 2 * float(on_rank(piped).trained)
    assert float(of(workload(gpus=8, sharding="zero1"), **twice).gradients) == 2 * WHOLE


def test_an_optimisers_own_copies_are_those_of_its_shard() -> None:
    """4 more bytes of the shard: an eighth of all, or all on one rank whatever the sharding level; none without sharding."""
    own = {"partition": {"bf16": 4.0}}
    assert float(of(workload(gpus=8, sharding="zero1"), **own).optimiser) == pytest.approx(16 * WHOLE / 8)
    assert float(of(workload(sharding="zero1"), **own).optimiser) == 16 * WHOLE
    assert float(of(workload(), **own).optimiser) == 16 * WHOLE
    assert float(of(workload(gpus=8), **own).optimiser) == 12 * WHOLE
    assert float(of(workload(gpus=2, sharding="zero1"), partition={"bf16": 14.0}).optimiser) == 12 * WHOLE


def test_temporaries_of_an_update_and_buffers_between_ranks() -> None:
    """8 bytes per owned parameter, up to the most updated at once; buffers no larger than the weights, and none on a single rank."""
    facts = {"update": 8.0, "update_most": 1e12, "bucket": 1e6}
    assert float(of(workload(), **facts).update) == 8 * WHOLE
    assert float(of(workload(gpus=8, sharding="zero1"), **facts).update) == pytest.approx(8 * WHOLE / 8)
    assert float(of(workload(), **{**facts, "update_most": 1e6}).update) == 1e6
    assert float(of(workload(), Precision("bf16", "pure"), **facts).update) == 0, "no master weights"
    assert float(of(workload(gpus=8), **facts).bucket) == 1e6
    assert float(of(workload(gpus=8), **{**facts, "bucket": 1e12}).bucket) == 2 * WHOLE
    assert float(of(workload(), **facts).bucket) == 0


def test_flat_copies_that_updated_weights_are_gathered_through() -> None:
    """2 bytes of all weights and of a rank's eighth, only if a sharded update is gathered: not alone, not unsharded, not by layer."""
    through = {"flat_gather": 2.0, "update": 0.0}
    assert float(of(workload(gpus=8, sharding="zero1"), **through).update) == pytest.approx(2 * (1 + 1 / 8) * WHOLE)
    assert float(of(workload(gpus=8, sharding="zero2"), **through).update) == pytest.approx(2 * (1 + 1 / 8) * WHOLE)
    for asked in (workload(gpus=8), workload(sharding="zero1"), workload(gpus=8, sharding="zero3")):
        assert float(of(asked, **through).update) == 0


def test_experts_without_replicas_are_not_gathered_after_an_update() -> None:
    """Two ranks with half of the experts each: 2 bytes of all dense weights and of half of them."""
    through = {"flat_gather": 2.0, "update": 0.0}
    together, apart = (workload(MIXTURE, gpus=2, expert=expert, sharding="zero1") for expert in (1, 2))
    both, halved = (float(of(one).weights) for one in (together, apart))
    assert float(of(together, **through).update) == pytest.approx(both * 1.5)
    assert float(of(apart, **through).update) == pytest.approx((2 * halved - both) * 1.5)


def test_what_the_host_keeps() -> None:
    """12 bytes of states; under ZeRO-2 also gradients; the weights if a card fetches them, one layer at a time."""
    away = of(workload(gpus=8, sharding="zero2", offload_optimizer=True))
    assert (float(away.optimiser), float(away.gradients)) == (0, 0)
    assert float(away.host) == pytest.approx((12 + 2) * WHOLE / 8)
    states_only = of(workload(gpus=8, sharding="zero1", offload_optimizer=True))
    assert (float(states_only.gradients), float(states_only.host)) == (2 * WHOLE, pytest.approx(12 * WHOLE / 8))
    fetched = of(workload(offload_parameters=True))
    assert (float(fetched.weights), float(fetched.host)) == (0, 2 * WHOLE)
    assert float(fetched.gathered) == 2 * 2 * LAYER
    assert float(of(workload()).host) == 0


def test_gradients_that_are_applied_at_once() -> None:
    found = of(workload(batch=1, optimizer_in_backward=True))
    assert (float(found.gradients), float(found.whole_gradients)) == (2 * LAYER, 2 * LAYER)


def test_casts_and_other_formats() -> None:
    """Autocast keeps fp32 weights and a cast of each; ZeRO-3 casts the gathered weights. fp8 adds a copy of the weights."""
    amp = Precision("bf16", "amp")
    assert float(of(workload(), amp, gradients={}).weights) == 4 * WHOLE
    assert float(of(workload(), amp).casts) == amp.casts * WHOLE > 0
    assert float(of(workload(gpus=8, sharding="zero3"), amp).casts) == 0
    assert float(of(workload(), amp, gradients={}).gradients) == 4 * WHOLE
    assert float(of(workload(), Precision("fp8"), weights={"fp8": 3.0}).weights) == 3 * WHOLE
    copies = replace(Precision("fp8")).copies
    assert float(of(workload(), Precision("fp8"), weights={}).weights) == (2 + copies) * WHOLE
    assert float(of(workload(gpus=8, sharding="zero3"), Precision("fp8"), weights={}).weights) == pytest.approx(
        2 * WHOLE / 8
    )
