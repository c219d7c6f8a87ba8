"""Peak memory in bytes, varying one fact of the stack or one layout option at a time, against hand calculations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gpuhours.architecture.operators import Stack, Trainable
from gpuhours.hardware.number_formats import Precision
from gpuhours.memory import memory
from gpuhours.memory.activations import _largest
from gpuhours.memory.peak import Memory, _activations, _Run
from tests.round_machine import LAYER, MODEL, TOKENS, VOCABULARY, WHOLE, stack, workload

KEPT = 2 * (4 * 1024 + (2 * 8 + 2 * 2) * 128 + (8 + 2) * 128 + 3 * 2048) + 4 * 8
"""Bytes per token that the backward pass reads in a layer (``test_by_hand``): 28,192."""
ENTRY, ENDS, PASSING = 2 * 1024, 4 * 1024, 2 * 4096
"""Bytes per token of a layer's input; of the activations that the head and its norm keep; of the widest gradient in a layer."""
FACTS = {
    "gathered_now": 0.0, "reserved": 0.05, "reserved_expandable": 0.02, "reserved_least": 0.03, "reserved_zero3": 0.23, "logits": 6.0,
    "logits_forward": 6.0, "gathered_layers": 2.0, "bucket": 0.0, "gradients_live": True, "context": 0.6 * 2**30,
    "communicator": 0.3 * 2**30, "reserved_split": 0.0,
}  # fmt: skip
CONTEXT, GROUP = 0.6 * 2**30, 0.3 * 2**30


def held(facts: dict[str, Any] | None = None, **layout: Any) -> Memory:
    return memory(workload(software=stack(memory={**FACTS, **(facts or {})}), **layout))


def activations(facts: dict[str, Any] | None = None, **layout: Any) -> float:
    return float(held(facts, **layout).parts["activations"])


@pytest.mark.parametrize(("layout", "per_token"), [
    ({}, 4 * KEPT + ENDS),
    ({"recompute": "full"}, 4 * ENTRY + ENDS + KEPT - ENTRY + PASSING),  # inputs, and one layer made again, which is more than the logits
    ({"recompute": "full", "recompute_layers": 1}, ENTRY + 3 * KEPT + ENDS + KEPT - ENTRY + PASSING),
    ({"recompute": "full", "recompute_layers": 9}, 4 * ENTRY + ENDS + KEPT - ENTRY + PASSING),
    ({"recompute": "selective"}, 4 * KEPT + ENDS),  # of a fused attention there is nothing to drop
    ({"offload_activations": True}, 2 * (KEPT + PASSING)),
    ({"gpus": 2, "tensor": 2, "sequence_parallel": True}, (4 * KEPT + ENDS) / 2),
    ({"gpus": 2, "context": 2}, (4 * KEPT + ENDS) / 2),
    ({"gpus": 3, "batch": 3, "context": 3, "sequence_method": "ulysses"}, (4 * KEPT + ENDS) / (8 / 3)),  # three of eight heads
    ({"microbatch": 2}, 2 * (4 * KEPT + ENDS)),
    ({"gpus": 2, "pipeline": 2}, 2 * 2 * KEPT + PASSING),  # two micro-batches wait on the first stage
    ({"gpus": 2, "pipeline": 2, "batch": 1}, 2 * KEPT + ENDS),  # one: the last stage holds the head's input and its logits too
])  # fmt: skip
def test_activations(layout: dict[str, Any], per_token: float) -> None:
    assert activations(**layout) == pytest.approx(TOKENS * per_token)


def test_what_is_kept_to_the_byte() -> None:
    assert activations() == TOKENS * (4 * KEPT + ENDS), "no message waits where there is one stage"


def test_states_at_the_loss_and_logits_by_blocks() -> None:
    parts = held().parts
    assert (parts["weights"], parts["gradients"], parts["optimiser"]) == (2 * WHOLE, 2 * WHOLE, 12 * WHOLE)
    assert parts["logits"] == 6 * TOKENS * 4096
    assert held({"logits": 10.0, "logits_forward": 10.0}).parts["logits"] == 10 * TOKENS * 4096
    assert held(loss_blocks=2).parts["logits"] == 6 * TOKENS * 4096 / 2
    assert held({"logits_forward": 14.0}).parts["logits"] == 14 * TOKENS * 4096, "forward holds more than backward"


def test_a_frozen_stack_passes_through() -> None:
    """Two bytes of 3 h and of twice the widest output, 4,096, which is more than its trained head keeps; a loss without logits."""
    asked = workload(software=stack(memory={**FACTS, "logits": 0.0, "logits_forward": 0.0}))
    parts = tuple(
        replace(one, trainable=Trainable.FROZEN) if isinstance(one, Stack) else one for one in asked.model.parts
    )
    found = memory(replace(asked, model=replace(asked.model, parts=parts))).parts
    assert found["activations"] == TOKENS * 2 * (3 * 1024 + 2 * 4096)


@pytest.mark.parametrize("recompute", ["none", "full"])
def test_autocast_keeps_casts_beside_weights(recompute: str) -> None:
    """Weights of 4 B and a 2 B cache of them, gradients in the 2 B that the stack keeps, two moments of 4 B each."""
    asked = workload(software=stack(memory=FACTS), recompute=recompute)
    parts = memory(replace(asked, precision=Precision("bf16", state="amp"))).parts
    assert (parts["weights"], parts["gradients"], parts["optimiser"]) == (6 * WHOLE, 2 * WHOLE, 8 * WHOLE)


def test_gradients_that_come_with_the_backward_pass() -> None:
    """One micro-batch without buffers: no gradients at the loss; those of a layer or of half the ends at the last layer."""
    late = {"gradients_live": False}
    assert float(held(late, batch=1).parts["gradients"]) == 2 * WHOLE, (
        "all of them when it is over, with one layer's activations"
    )
    long = memory(workload(batch=16, microbatch=16, software=stack(memory=FACTS | late)))
    assert float(long.parts["gradients"]) == 0
    assert float(long.parts["activations"]) == pytest.approx(16 * TOKENS * (4 * KEPT + ENDS))


def test_buffers() -> None:
    parallel = {"gpus": 2, "tensor": 2, "sequence_parallel": True}
    gathered = held({"gathered_now": 1.5}, **parallel).parts["communication buffers"]
    assert gathered - held(**parallel).parts["communication buffers"] == pytest.approx(1.5 * TOKENS * 1024 * 2)
    assert held({"gathered_now": 1.5}).parts["communication buffers"] == 0
    assert held({"bucket": 1e6}, gpus=8).parts["communication buffers"] == 1e6


def test_what_the_allocator_holds_in_vain() -> None:
    """5 % usually, 2 % with expandable segments; a full card releases all but 3 %; fragmentation of ZeRO-3 up to the size it drops."""
    plain, grown = held(), held(expandable_segments=True)
    tensors = float(plain.allocated)
    assert float(plain.fragmentation) == pytest.approx(0.05 * tensors)
    assert float(grown.fragmentation) == pytest.approx(0.02 * tensors)
    assert float(plain.needed) == pytest.approx(1.03 * tensors + CONTEXT)
    assert float(grown.needed) == pytest.approx(1.02 * tensors + CONTEXT)
    sharded = held(gpus=8, sharding="zero3")
    dropped = 2 * WHOLE * 7 / 8 - 2 * (2 * LAYER + 2 * VOCABULARY + 1024)
    assert 0 < dropped < 0.18 * float(sharded.allocated)
    assert float(sharded.fragmentation) == pytest.approx(0.05 * float(sharded.allocated) + dropped)
    few = held({"reserved_zero3": 0.06}, gpus=8, sharding="zero3")
    assert float(few.fragmentation) == pytest.approx(0.06 * float(few.allocated))
    assert float(held({"reserved": 0.0}).fragmentation) == pytest.approx(0.03 * tensors), "no less than what stays"


def test_a_stage_is_fragmented_by_the_weights_that_it_drops() -> None:
    """Three of four layers are on the second stage, which is the fuller one; the first stage gathers all of its weights at once."""
    found = held({"gathered_layers": 1.0}, gpus=16, pipeline=2, stage_layers=(1, 3), sharding="zero3")
    dropped = 2 * ((3 * LAYER + VOCABULARY + 1024) * 7 / 8 - (LAYER + VOCABULARY + 1024))
    assert 0 < dropped < 0.18 * float(found.allocated)
    assert float(found.fragmentation) == pytest.approx(0.05 * float(found.allocated) + dropped)


def test_buffers_that_another_stream_gives_back_late() -> None:
    """A tenth more of activations and logits if GEMMs are split over ranks; a full card waits for the release."""
    late, parallel = {"reserved_split": 0.1}, {"gpus": 2, "tensor": 2}
    found, parts = held(late, **parallel), held(late, **parallel).parts
    more = 0.1 * (float(parts["activations"]) + float(parts["logits"]))
    assert more > 0
    assert float(found.fragmentation) == pytest.approx(0.05 * float(found.allocated) + more)
    assert float(found.needed) == pytest.approx(float(held(**parallel).needed))
    assert float(held(late).fragmentation) == pytest.approx(0.05 * float(held().allocated)), "nothing is split"


@pytest.mark.parametrize(("split", "delay", "copies"), [
    ({}, 0.0, 0),
    ({"tensor": 2}, 0.0, 3),
    ({"tensor": 2, "pipeline": 2}, 0.0, 3),
    ({"tensor": 2}, 4e-4, 0),  # the host waits for each step of a ring
    ({"tensor": 2, "pipeline": 2}, 4e-4, 0),
    ({"tensor": 2, "pipeline": 4}, 4e-4, 3),  # so do accelerators of a pipeline that fills
])  # fmt: skip
def test_a_host_that_runs_ahead_leaves_copies_of_the_stream(split: dict[str, int], delay: float, copies: int) -> None:
    """Three copies of T h elements for T tokens per micro-batch, however many ranks share the GEMMs; none if the host waits."""
    run = workload(gpus=8, batch=32, software=stack(memory={**FACTS, "reserved_ahead": 3.0}), **split)
    run = replace(run, cluster=replace(run.cluster, delay=delay))
    plain = held(gpus=8, batch=32, **split)
    assert float(memory(run).fragmentation) - float(plain.fragmentation) == pytest.approx(copies * 2 * TOKENS * 1024)


def test_what_is_needed_is_not_what_lies_unused() -> None:
    """The memory a run takes does not depend on the card's size; whether it fits depends only on the memory it cannot do without."""
    wasteful = held({"reserved": 1.0})
    assert float(wasteful.fragmentation) == pytest.approx(float(held().allocated))
    assert float(wasteful.total) > float(held().total)
    assert float(wasteful.needed) == pytest.approx(float(held().needed))


def test_context_and_communicators() -> None:
    assert float(held().context) == pytest.approx(CONTEXT)
    assert float(held(gpus=8, tensor=2, pipeline=2).context) == pytest.approx(CONTEXT + 3 * GROUP)


@pytest.mark.parametrize(("gpus", "ranks"), [(1, 1), (2, 2), (16, 8)])
def test_a_nodes_memory_holds_its_ranks_share(gpus: int, ranks: int) -> None:
    found = held(gpus=gpus, batch=16, offload_optimizer=True, sharding="zero1")
    assert float(found.host_per_node) == pytest.approx(12 * WHOLE / gpus * ranks)
    assert float(held(gpus=gpus, batch=16).host_per_node) == 0


def test_the_fullest_stage_is_said() -> None:
    """The activations of two micro-batches outweigh the head; with one micro-batch and a larger vocabulary, the last stage is fuller."""
    assert int(held(gpus=2, pipeline=2, microbatch=8, batch=64).stage) == 0
    assert int(held(gpus=2, pipeline=2, batch=1).stage) == 1


ENCODER = MODEL.model_copy(update={"hidden": 512, "heads": 4, "ffn_hidden": 1024}).model(TOKENS).stacks[0]
SEEN = 2 * (4 * 512 + (2 * 4 + 2 * 2) * 128 + (4 + 2) * 128 + 3 * 1024) + 4 * 4
"""Bytes per token that the backward pass reads in one of its layers, as in the decoder's."""


def seen(layers: int, **layout: Any) -> Memory:
    """With an encoder of so many layers in front."""
    asked = workload(software=stack(memory=FACTS), **layout)
    return memory(
        replace(asked, model=replace(asked.model, parts=(replace(ENCODER, layers=layers), *asked.model.parts)))
    )


def test_layers_of_an_encoder_that_are_computed_again() -> None:
    """One of its four layers, all on the first stage, regardless of the decoder's layers there; two micro-batches wait."""
    layout = {"gpus": 2, "pipeline": 2, "recompute": "full", "recompute_layers": 1}
    two, four = (seen(layers, **layout).moments[0][0]["activations"] for layers in (2, 4))
    assert float(four) - float(two) == pytest.approx(2 * TOKENS * 2 * SEEN)


@pytest.mark.parametrize("pipeline", [1, 3])
def test_an_encoder_apart_is_a_stage_ahead(pipeline: int) -> None:
    """As many micro-batches wait on it as on the first stage of a pipeline with one more stage."""
    found = seen(4, gpus=pipeline + 1, pipeline=pipeline, vision="separate", vision_gpus=1)
    own = next(parts for parts, stage in found.moments if np.all(np.equal(stage, -1)))
    assert float(own["activations"]) == pytest.approx((pipeline + 1) * TOKENS * 4 * SEEN)


@pytest.mark.parametrize(("recompute", "each"), [("none", 4 + 2), ("full", 4)])
def test_casts_are_kept_to_the_backward_pass_unless_all_is_computed_again(recompute: str, each: int) -> None:
    asked = workload(software=stack(memory=FACTS), recompute=recompute)
    found = memory(replace(asked, precision=Precision("bf16", state="amp")))
    assert float(found.moments[0][0]["weights"]) == each * WHOLE


def test_what_a_moment_lacks_is_exactly_nothing() -> None:
    """Logits only at the loss; no activations, logits or messages during the update; nothing on the host; each exactly 0 bytes."""
    found = held({"update": 1.0, "flat_gather": True}, sharding="zero1", gpus=2)
    logits = [float(parts["logits"]) for parts, _ in found.moments]
    assert logits == [6 * TOKENS * 4096, 0, 0, 0]
    update = found.moments[-1][0]
    assert [float(update[name]) for name in ("activations", "logits", "communication buffers")] == [0, 0, 0]
    assert [float(parts["communication buffers"]) for parts, _ in found.moments] == [0, 0, 0, 0]
    assert float(found.host_per_node) == 0
    assert len(held().moments) == 3, "an update that needs nothing of its own is no moment"
    assert len(held({"logits_forward": 14.0}).moments) == 4


@pytest.mark.parametrize(("narrow", "dtype", "state", "each"), [
    (None, "bf16", "mixed", 10), (4.0, "bf16", "mixed", 4), (4.0, "bf16", "pure", 4), (4.0, "bf16", "amp", 4 + 4),
    (4.0, "fp32", "mixed", 10),
])  # fmt: skip
def test_a_loss_that_reads_16_bit(narrow: float | None, dtype: str, state: str, each: int) -> None:
    """4 B per logit instead of 10, plus casts under autocast; neither applies in fp32 or if the loss reads fp32 anyway."""
    facts = {**FACTS, "logits": 6.0, "logits_forward": 10.0, "logits_narrow": narrow}
    asked = workload(software=stack(memory=facts), card={"peak": {"bf16": 1e15, "fp32": 1e14}})
    asked = replace(asked, precision=Precision(dtype, state))
    for reads_narrow, expected in ((True, each), (False, 10)):
        parts = tuple(
            replace(one, narrow_loss=reads_narrow) if one.name == asked.model.ends[-1].name else one
            for one in asked.model.parts
        )
        found = memory(replace(asked, model=replace(asked.model, parts=parts)))
        most = max(float(np.max(parts["logits"])) for parts, _ in found.moments)
        assert most == pytest.approx(expected * TOKENS * 4096)


@pytest.mark.parametrize(("tensor", "words"), [(1, 5120), (2, 5120 / 2), (8, 8 * 128 * 5 / 8)])
def test_logits_of_a_padded_vocabulary(tensor: int, words: float) -> None:
    """5,000 words padded to a multiple of 128 per rank."""
    software = stack(memory=FACTS).model_copy(update={"vocabulary_multiple": 128})
    model = MODEL.model_copy(update={"vocab": 5000})
    found = memory(workload(model, gpus=tensor, tensor=tensor, software=software))
    assert float(found.moments[0][0]["logits"]) == 6 * TOKENS * words


@pytest.mark.parametrize("kernel", ["flash2", "unfused"])
@pytest.mark.parametrize("biased", [False, True])
def test_scores_are_stored_where_the_kernel_stores_them(kernel: str, biased: bool) -> None:
    """With a learned bias, that attention alone stores scores; without a bias, the stack's kernel decides."""
    asked = workload(software=stack().model_copy(update={"attention": {"default": kernel}}))
    part = asked.model.stacks[0]
    cores = tuple(replace(core, biased=biased) for core in part.block.attention)
    run = _Run(asked, asked.model, asked.ranks, asked.ranks)
    assert run.unfused(replace(part, block=replace(part.block, attention=cores))) == (kernel == "unfused")


def test_a_frozen_model_is_computed_forward_alone() -> None:
    """None of its activations wait for a backward pass and none are recomputed: 0 bytes at those moments."""
    asked = workload(software=stack(memory=FACTS))
    parts = tuple(replace(one, trainable=Trainable.FROZEN) for one in asked.model.parts)
    found = memory(replace(asked, model=replace(asked.model, parts=parts)))
    assert [float(np.max(parts["activations"])) for parts, _ in found.moments[:3]] == [0, 0, 0]
    assert float(found.moments[3][0]["activations"]) == TOKENS * 2 * (3 * 1024 + 2 * 4096)


def test_a_stage_without_parts_holds_no_activations() -> None:
    asked = workload(gpus=2, pipeline=2)
    run = _Run(asked, asked.model, asked.ranks, asked.ranks)
    run = replace(run, workload=replace(asked, software=stack(memory={"pipeline_outputs": 0.0})))
    found = _activations(run, np.asarray(0), ())
    assert [float(one) for one in (found.held, found.again, found.first, found.passing)] == [0, 0, 0, 0]
    assert _largest(()) == 0
    assert [float(one) for one in np.atleast_1d(_largest((np.array([1.0, 0.5]), np.array([0.25, 2.0]))))] == [1, 2]
