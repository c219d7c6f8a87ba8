"""Host launches, and a step's work on weights, with degrees, sizes and constants other than 0 and 1, against hand calculations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gpuhours.architecture.operators import Pointwise, Role, Trainable
from gpuhours.hardware.number_formats import Precision
from gpuhours.layout.weights import Weights
from gpuhours.software.figures import Gathering, Kernels, Launches, Traffic
from gpuhours.step.cpu_overhead import (
    _dispatch_time,
    _layer_launches,
    _splitting_time,
    attention_calls,
    kernel_launches,
    launch_time,
    layer_kernels,
    modules,
)
from gpuhours.step.schedule import Passes
from gpuhours.step.state import (
    accumulation_time,
    gather_copies,
    optimiser_time,
    orthogonalisation_time,
    part_copies,
    sharded_passes,
)
from gpuhours.workload import Workload
from tests.round_machine import (
    ADAPTED,
    MEMORY,
    MIXTURE,
    MODEL,
    PEAK,
    SHARED,
    TOKENS,
    cpu_overhead_time,
    layer,
    stack,
    workload,
)


def test_layers_of_split_gemms_experts_and_shared_sequences() -> None:
    """1 and 2 ms of a layer whose mixture is a share of a llama block, 3 ms of hooks, 5 of a dispatch, 7 of sums in pieces; autocast
    twice."""
    host = {"shard": 3e-3, "tensor": 7e-3, "autocast": 2.0, "gap": 1e-5}
    software = stack(host=host, dispatch={"host": {"default": 5e-3, "other": 9e-3}})
    asked = workload(SHARED, gpus=4, tensor=2, expert=2, sharding="zero3", software=software)
    block = layer(asked).block
    share = (len(block.linears) + 1 + sum(4 if one.kind is Pointwise.ROTARY else 1 for one in block.elementwise)) / 14
    usual = share * 3e-3 + 3e-3 + 5e-3 + 7e-3
    assert _layer_launches(layer(asked), asked) == (pytest.approx(usual), 1e-5)
    again = workload(SHARED, gpus=4, tensor=2, expert=2, sharding="zero3", software=software, recompute="full")
    assert _layer_launches(layer(again), again)[0] == pytest.approx(usual + share * 1e-3 + 3.5e-3)
    frozen = replace(layer(asked), trainable=Trainable.FROZEN)
    assert _layer_launches(frozen, asked)[0] == pytest.approx(usual - share * 2e-3)
    amp = replace(asked, precision=Precision("bf16", "amp"))
    assert _layer_launches(layer(amp), amp)[0] == pytest.approx(2 * usual)
    assert float(_dispatch_time(layer(workload(SHARED, software=software)), workload(SHARED, software=software))) == 0
    named = replace(asked, software=stack(dispatch={"host": {"default": 5e-3, "round": 9e-3}}))
    assert float(_dispatch_time(layer(named), named)) == 9e-3


def test_rings_in_steps_that_were_measured() -> None:
    """Two sums forward, as gathers and scatters, and two backward, three steps of 10 us each around four ranks: 4 x 2 x 3 x 10 us."""
    asked = workload(gpus=4, tensor=4, software=stack(host={"tensor": 1e-3}))
    delayed = replace(asked, cluster=replace(asked.cluster, delay=1e-5))
    assert float(_splitting_time(layer(delayed), delayed)) == pytest.approx(1e-3 + 4 * 2 * 3 * 1e-5)
    alone = workload(software=stack(host={"tensor": 1e-3}))
    assert float(_splitting_time(layer(alone), alone)) == 0


COUNTED = Kernels(
    source="by hand, for a test",
    operators={"gemm": Traffic(forward=1, backward=2), "attention": Traffic(forward=3, backward=5),
               "expert": Traffic(forward=7, backward=11), "rms-norm": Traffic(forward=2, backward=3),
               "adapter": Traffic(forward=13, backward=17)},
    autocast={"gemm": Traffic(forward=1, backward=1)},
    each=Launches(forward=1e-5, backward=2e-5), layer=Launches(forward=1e-4, backward=2e-4), gap=1e-6, causal=3e-5,
    recomputed=Launches(forward=4e-5, backward=6e-5), module=5e-5, call=Launches(forward=7e-5, backward=9e-5),
)  # fmt: skip


def counted(model: Any = MODEL, *, shard: float = 0.0, **layout: Any) -> Workload:
    kernels = layout.pop("kernels", COUNTED)
    return workload(model, software=stack(host={"kernels": kernels, "shard": shard}), **layout)


def test_kernels_counted_by_operator() -> None:
    """Seven GEMMs in four, one attention, two norms: 7 + 3 + 4 forward, 14 + 5 + 6 backward.

    A pair of adapters adds 13 and 17 each; experts in a loop are eight times two in and one out, and 7 for each; autocast adds one per
    GEMM.
    """
    assert layer_kernels(layer(counted()), counted()) == (14, 25)
    adapted = counted(ADAPTED)
    assert layer_kernels(layer(adapted), adapted) == (14 + 4 * 13, 25 + 4 * 17)
    looped = counted(MIXTURE, kernels=COUNTED.model_copy(update={"experts": "looped"}))
    fused = {one.role: one.fused for one in layer(looped).block.linears}
    gemms = sum(one.fused * one.experts for one in layer(looped).block.linears)
    assert gemms == 3 + 1 + 1 + 8 * (fused[Role.MLP_IN] + 1)
    assert layer_kernels(layer(looped), looped) == (gemms + 8 * 7 + 7, 2 * gemms + 8 * 11 + 11)
    assert modules(layer(looped), looped) == gemms + 2
    assert modules(layer(adapted), adapted) == 7 + 2 + 8
    amp = replace(counted(), precision=Precision("bf16", "amp"))
    assert layer_kernels(layer(amp), amp) == (21, 32)
    kept_narrow = replace(adapted, precision=Precision("bf16", "amp"))
    assert kept_narrow.precision.frozen == kept_narrow.precision.operand == 2
    assert layer_kernels(layer(kept_narrow), kept_narrow) == (14 + 4 * 13, 25 + 4 * 17), (
        "frozen in bf16: nothing to cast"
    )


def test_launches_with_hooks_masks_and_what_is_computed_again() -> None:
    """A causal layer of 14 and 25 kernels; ZeRO-3 fetches nine modules for each pass, of which there are three with recomputation."""
    there, back = 1e-4 + 3e-5 + 14e-5, 2e-4 + 50e-5
    plain = counted()
    assert kernel_launches(layer(plain), plain) == (pytest.approx(there + back), pytest.approx(39e-6))
    frozen = replace(layer(plain), trainable=Trainable.FROZEN)
    assert kernel_launches(frozen, plain) == (pytest.approx(there), pytest.approx(14e-6))
    again = counted(recompute="full")
    assert kernel_launches(layer(again), again) == (pytest.approx(2 * there + back + 10e-5), pytest.approx(53e-6))
    for recompute, passes, extra in (("none", 2, 0.0), ("full", 3, there + 10e-5)):
        shared = counted(shard=1e-3, gpus=2, sharding="zero3", recompute=recompute)
        assert kernel_launches(layer(shared), shared)[0] == pytest.approx(
            there + back + extra + 1e-3 + passes * 9 * 5e-5
        )
        held = replace(layer(shared), trainable=Trainable.FROZEN)
        assert kernel_launches(held, shared)[0] == pytest.approx(there + 1e-3 + 9 * 5e-5)
    core = replace(layer(plain).block.attention[0], looped=True)
    windows = replace(layer(plain), sequence=128, block=replace(layer(plain).block, attention=(core,)))
    assert attention_calls(windows, plain) == 3
    assert attention_calls(windows, counted(microbatch=2)) == 7
    assert attention_calls(layer(plain), counted(microbatch=2)) == 0, "one call for all samples"
    assert kernel_launches(windows, plain)[0] == pytest.approx(there + back + 3 * 16e-5)


def test_the_host_beside_stages_encoders_and_updates() -> None:
    """Two stages of two layers each.

    An encoder in front is launched as a whole, unless it is separate; 8 ms of updating and 4 ms of reading back once in eight micro-
    batches.
    """
    kernels = COUNTED.model_copy(update={"update": 8e-3, "waits": 4e-3})
    asked = counted(kernels=kernels, gpus=2, pipeline=2)
    one = 1e-4 + 3e-5 + 14e-5 + 2e-4 + 50e-5
    gaps = 2 * 39e-6 + 4e-3 / 8
    assert cpu_overhead_time(asked, 0.5e-3, 1e-3) == pytest.approx(2 * one + 7e-3 / 8 - 0.5e-3 + gaps)
    assert cpu_overhead_time(asked, 1.0, 1e-3) == pytest.approx(gaps)
    assert launch_time(asked.model.parts, asked) == (pytest.approx(4 * one), pytest.approx(4 * 39e-6))
    encoder = replace(
        MODEL.model_copy(update={"hidden": 512, "heads": 4, "ffn_hidden": 1024}).model(TOKENS).stacks[0], layers=3
    )
    for vision, times in (("first-stage", 3), ("replicated", 3), ("separate", 0)):
        seen = counted(
            kernels=kernels,
            gpus=2 + (vision == "separate"),
            pipeline=2,
            vision=vision,
            vision_gpus=int(vision == "separate"),
        )
        seen = replace(seen, model=replace(seen.model, parts=(encoder, *seen.model.parts)))
        assert cpu_overhead_time(seen, 0.0, 0.0) == pytest.approx(2 * one + times * one + 1e-3 + gaps + times * 39e-6)


# weights and gradients


def test_copies_around_a_gather_of_frozen_and_trained_weights() -> None:
    """A million weights, a quarter trained, over four ranks: frozen ones stay at 4.127 bit, trained ones of 4 B are sent as 2 B."""
    facts_of = Gathering(source="by hand", shares=3.0, whole=0.5)
    asked = workload(ADAPTED, gpus=4, sharding="zero3", dtype="nf4", software=stack(gathering=facts_of))
    held, trained = Weights(1e6, 0.0), Weights(0.25e6, 0.0)
    kept, each = asked.precision.weights, asked.precision.frozen
    stored, gathered = 0.25e6 * kept + 0.75e6 * each, 0.25e6 * 2 + 0.75e6 * each
    assert each == pytest.approx(4.127 / 8)
    assert gather_copies(held, trained, asked) == pytest.approx(
        (3 * (stored + gathered) / 4 + 0.5 * 2 * gathered) / MEMORY
    )


def test_parts_that_are_copied_one_by_one() -> None:
    """2 us for each of four ranks' parts of every matrix, in two gathers and a scatter, of which nothing hides behind the layer."""
    asked = workload(gpus=4, sharding="zero3")
    assert part_copies(layer(asked), asked) is None
    listed = replace(asked, software=stack(gathering=Gathering(source="by hand", shares=0.0, whole=0.0, each=2e-6)))
    once = 2e-6 * 4 * len(layer(asked).block.linears)
    assert part_copies(layer(listed), listed) == pytest.approx(once)
    long = Passes(1e3, 1e3, 0.0)
    sent = workload(gpus=4, sharding="zero3", software=stack(exposed={"shard": 1.0}))
    alone = sharded_passes(layer(sent), sent, Passes())
    waited = sharded_passes(layer(listed), listed, long)
    assert waited.forward == pytest.approx(float(alone.forward) + once)
    assert waited.backward == pytest.approx(float(alone.backward) + 2 * once)


@pytest.mark.parametrize("sharding", ["none", "zero1", "zero2"])
def test_only_zero3_copies_parts_one_by_one(sharding: str) -> None:
    """ZeRO-2 gathers nothing between passes; its reduce-scatter is one collective, which hides behind the layer as in other stacks."""
    hidden = {"exposed": {"shard": 0.0}}
    facts = Gathering(source="by hand", shares=0.0, whole=0.0, each=2e-6)
    plain = workload(gpus=4, sharding=sharding, software=stack(**hidden))
    listed = replace(plain, software=stack(**hidden, gathering=facts))
    for beside in (Passes(), Passes(1e3, 1e3, 0.0)):
        other, found = (sharded_passes(layer(one), one, beside) for one in (plain, listed))
        assert (float(found.forward), float(found.backward)) == (0.0, float(other.backward))
    assert float(found.backward) == 0.0, "a long pass hides it all"


def test_sums_of_micro_batches_under_autocast() -> None:
    """5 B per weight, 3 under autocast; on one rank seven of eight micro-batches are added, three of four with four ranks."""
    software = stack(accumulation={"bytes": 5.0, "amp": 3.0, "first": False})
    weights = Weights(1e9, 0.0)
    assert accumulation_time(weights, workload(software=software)) == pytest.approx(5e9 * 7 / 8 / MEMORY)
    amp = replace(workload(batch=4, software=software), precision=Precision("bf16", "amp"))
    assert accumulation_time(weights, amp) == pytest.approx(3e9 * 3 / 4 / MEMORY)
    assert accumulation_time(weights, workload(gpus=2, software=software)) == pytest.approx(5e9 / MEMORY)
    assert accumulation_time(Weights(0.0, 0.0), workload(software=software)) == 0


def test_newton_schulz_over_ranks() -> None:
    """Four layers on two stages, tensor 2, divided among four ranks under ZeRO-1; experts each separately."""
    asked = workload(MIXTURE, gpus=16, tensor=2, pipeline=2, sharding="zero1", batch=16)
    flops = 0.0
    for one in layer(asked).block.linears:
        m, n = sorted((float(one.inputs), float(one.outputs)))
        flops += float(one.experts) * (4 * m * m * n + 2 * m**3)
    assert orthogonalisation_time(asked, 5) == pytest.approx(5 * flops * 4 / 2 / (2 * 4) / PEAK)
    alone = workload(MIXTURE)
    muon = replace(alone, precision=Precision("bf16", "mixed", "muon"))
    sgd_like = float(optimiser_time(muon)) - float(orthogonalisation_time(muon, 5))
    assert 0 < sgd_like < float(optimiser_time(alone))


def test_an_encoder_on_its_own_accelerators_updates_at_the_same_time() -> None:
    """12 encoder layers on four accelerators, a quarter each under ZeRO-1, and a sixth of a one-layer decoder: the larger decides."""
    encoder = replace(
        MODEL.model_copy(update={"hidden": 512, "heads": 4, "ffn_hidden": 1024}).model(TOKENS).stacks[0], layers=12
    )
    each = 512 * 1024 + 512 * 512 + 512 * 2048 + 1024 * 512 + 2 * 512
    small = MODEL.model_copy(update={"layers": 1, "vocab": 64})
    for sharding, shards in (("none", 1), ("zero1", 4)):
        asked = workload(small, gpus=10, batch=12, sharding=sharding, vision="separate", vision_gpus=4)
        seen = replace(asked, model=replace(asked.model, parts=(encoder, *asked.model.parts)))
        assert optimiser_time(seen) == pytest.approx(34 * 12 * each / shards / MEMORY)
