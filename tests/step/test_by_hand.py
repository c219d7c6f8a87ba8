"""Every formula of step/ on a machine with round numbers, against hand calculations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpuhours.architecture.decoder_shapes import Experts
from gpuhours.architecture.operators import Ends, Linear, Pointwise, Split, Trainable
from gpuhours.hardware.clusters import cluster
from gpuhours.hardware.number_formats import Precision
from gpuhours.kernels.attention import attention_time
from gpuhours.kernels.collectives import all_gather_time, all_reduce_time, reduce_scatter_time
from gpuhours.kernels.gemm import gemm_time
from gpuhours.layout.recompute import EVERYTHING, Policy
from gpuhours.software.figures import Launches, Traffic
from gpuhours.step.communication import CONTEXT, P2P, _reduction_time, expert_passes, reached, tensor_passes
from gpuhours.step.compute import (
    ATTENTION,
    GEMMS,
    OTHER,
    adapter_bytes,
    cast_bytes,
    clock_factor,
    convolution_passes,
    elementwise_passes,
    ends_compute,
    gemm_passes,
    grouped_passes,
    issue_bound,
    layer_compute,
    operator_share,
)
from gpuhours.step.context import attention_passes, context_passes, ring_time, whole_sequences
from gpuhours.step.contrast import contrast_parts
from gpuhours.step.cpu_overhead import (
    _sharing_time,
)
from gpuhours.step.features import feature_parts
from gpuhours.step.predict import (
    added,
)
from gpuhours.step.schedule import Passes
from gpuhours.step.state import (
    DATA,
)
from gpuhours.workload import Workload
from tests.round_machine import (
    ADAPTED,
    BATCH_AT_ONCE,
    CARD,
    LAYER,
    LINK,
    MEMORY,
    MIXTURE,
    MODEL,
    PEAK,
    STREAM,
    TOKENS,
    head,
    layer,
    stack,
    workload,
)


def test_sums_over_tensor_ranks() -> None:
    """Two all-reduces of 1 MB over four ranks, each 2 x 3/4 of it over the link; with sequence parallelism they take the same time."""
    twice = 2 * 2 * (2 * STREAM) * 3 / 4 / LINK
    for split in (False, True):
        asked = workload(gpus=4, tensor=4, sequence_parallel=split)
        found = tensor_passes(layer(asked), asked, Passes())
        assert (found.forward, found.backward) == (pytest.approx(twice), pytest.approx(twice))
    hidden = workload(gpus=4, tensor=4, software=stack(exposed={"tensor": 0.0}))
    assert tensor_passes(layer(hidden), hidden, BATCH_AT_ONCE).total == 0.0


def test_a_split_sequence_is_gathered_and_scattered_and_a_whole_one_summed() -> None:
    """16 MB over eight H100s, whose switch sums in one pass, are quicker summed than gathered and scattered."""
    asked = replace(workload(gpus=8, tensor=8), cluster=cluster("h100-sxm-80gb", gpus=8))
    message, group = 16e6, asked.ranks.tensor_group
    split = replace(asked, layout=asked.layout.model_copy(update={"sequence_parallel": True}))
    summed = float(all_reduce_time(message, group, asked.cluster))
    apart = float(all_gather_time(message, group, asked.cluster) + reduce_scatter_time(message, group, asked.cluster))
    assert summed != pytest.approx(apart)
    assert float(_reduction_time(message, group, asked.ranks, asked.cluster)) == pytest.approx(summed)
    assert float(_reduction_time(message, group, split.ranks, asked.cluster)) == pytest.approx(apart)


def test_a_split_sequence_that_is_copied_around_its_collectives() -> None:
    """If GEMMs hide both sums, two gathers and scatters of 512 x 1,024 elements still copy 8 B of each; unsplit ones copy nothing."""
    copying = stack(exposed={"tensor": 0.0}).model_copy(update={"sequence_copies": 8.0})
    for split, moved in ((True, 2 * 8 * STREAM), (False, 0)):
        asked = workload(gpus=4, tensor=4, sequence_parallel=split, software=copying)
        found = tensor_passes(layer(asked), asked, BATCH_AT_ONCE)
        assert (found.forward, found.backward) == (pytest.approx(moved / MEMORY), pytest.approx(moved / MEMORY))


@pytest.mark.parametrize(("sends", "copies"), [("copies", 2.0), ("ranks", 4 * (1 - (3 / 4) ** 2))])
def test_tokens_sent_to_their_experts(sends: str, copies: float) -> None:
    """Two exchanges there and back among four ranks: two copies of each token, or one for each of the 1.75 ranks with its experts."""
    asked = workload(MIXTURE, gpus=4, expert=4, software=stack(dispatch={"sends": sends}))
    found = expert_passes(layer(asked), asked)
    assert found.forward == pytest.approx(2 * copies * 2 * STREAM * 3 / 4 / LINK)
    assert found.backward == pytest.approx(found.forward)
    assert expert_passes(layer(workload()), workload()).total == 0.0


def test_tokens_whose_experts_are_of_few_groups_reach_few_places() -> None:
    """Two of four groups, one rank each: 2 (1 - (1/2)^2) of two ranks; two ranks hold both groups in one of three pairs."""
    assert MIXTURE.experts is not None
    grouped = MIXTURE.model_copy(update={"experts": MIXTURE.experts.model_copy(update={"groups": 4, "top_groups": 2})})
    asked = workload(grouped, gpus=4, expert=4, software=stack(dispatch={"sends": "ranks"}))
    assert expert_passes(layer(asked), asked).forward == pytest.approx(2 * 1.5 * 2 * STREAM * 3 / 4 / LINK)
    assert [float(reached(places, 4, 2)) for places in (8, 4, 2, 1)] == pytest.approx([4, 2, 5 / 3, 1])


def test_a_layer_is_its_gemms_its_attention_and_the_rest() -> None:
    asked = workload()
    found = layer_compute(layer(asked), asked)
    sides = [(1536, 1024), (1024, 1024), (4096, 1024), (1024, 2048)]
    forward = sum(gemm_time(TOKENS, n, k, CARD) for n, k in sides)
    weight = sum(gemm_time(n, k, TOKENS, CARD, weight_gradient=True) for n, k in sides)
    assert found[GEMMS].forward == pytest.approx(forward)
    assert found[GEMMS].weight == pytest.approx(weight)
    assert found[ATTENTION].forward == pytest.approx(attention_passes(layer(asked), asked).forward)
    assert found[OTHER].forward == pytest.approx(elementwise_passes(layer(asked), np.asarray(TOKENS), asked).forward)


def test_a_gemm_split_over_four_ranks() -> None:
    asked = workload(gpus=4, tensor=4)
    column = gemm_passes(layer(asked).block.linears[2], np.asarray(TOKENS), asked, Trainable.FULL)
    assert column.forward == pytest.approx(gemm_time(TOKENS, 1024, 1024, CARD))
    assert column.weight == pytest.approx(gemm_time(1024, 1024, TOKENS, CARD, weight_gradient=True))
    row = gemm_passes(layer(asked).block.linears[3], np.asarray(TOKENS), asked, Trainable.FROZEN)
    assert (row.forward, row.total) == (pytest.approx(gemm_time(TOKENS, 1024, 512, CARD)), row.forward)


FORWARD = 12 * 1280 + 8 * 2048 + 2 * 5 * 1024 + 2 * 8 * 1024
"""Bytes per token: rotary, SwiGLU, two norms, two residuals."""
BACKWARD = 14 * 1280 + 13 * 2048 + 2 * 12 * 1024 + 2 * 8 * 1024


def test_memory_bound_operators_at_copy_speed() -> None:
    asked = workload()
    found = elementwise_passes(layer(asked), np.asarray(TOKENS), asked)
    assert found.forward == pytest.approx(FORWARD * TOKENS / MEMORY)
    assert found.backward == pytest.approx(BACKWARD * TOKENS / MEMORY)


def test_cards_that_issue_no_faster() -> None:
    """Half of the time does not shrink: with twice the H100's bandwidth per multiprocessor, 1 - 1/2 + 2/2 = 1.5 times the bytes."""
    twice = 2 * 3.35e12 / 132
    card = {"memory_bandwidth": 20 * twice, "sms": 20}
    software = stack(pointwise={"issued": 0.5})
    assert issue_bound(workload(card=card, software=software)) == pytest.approx(1.5)
    assert issue_bound(workload(card=card)) == 1.0
    assert issue_bound(workload(software=software)) == 1.0, "never faster than their bytes"
    apart = stack(pointwise={"issued": 0.5, "issued_of": {"residual": 0.0, "rotary": 1.0}})
    found = [issue_bound(workload(card=card, software=apart), kind) for kind in (Pointwise.RESIDUAL, Pointwise.ROTARY)]
    assert found == [1.0, pytest.approx(2.0)]


def test_gemms_among_light_kernels() -> None:
    """Six seconds of GEMMs and attention and two of the rest: x = 3/4, and 1 - 0.2 (1 - 3/4) = 0.95."""
    asked = workload(software=stack(clock_gain=0.2))
    assert clock_factor(BATCH_AT_ONCE, Passes(2.0), asked) == pytest.approx(0.95)
    assert clock_factor(BATCH_AT_ONCE, Passes(), asked) == 1.0
    assert clock_factor(BATCH_AT_ONCE, Passes(2.0), workload()) == 1.0, "contained in other stacks' constants"


def test_bytes_that_join_adapters() -> None:
    """Ten bytes for each of the 1024 + 256 + 256 + 1024 output columns, six backward."""
    asked = workload(ADAPTED)
    found = adapter_bytes(layer(asked), np.asarray(TOKENS), asked)
    assert found == (pytest.approx(10 * 2560 * TOKENS), pytest.approx(6 * 2560 * TOKENS))


def test_adapters_in_a_format_of_their_own() -> None:
    """peft's GEMMs run in fp32 at a tenth of the peak; under autocast they are narrowed again."""
    card = {"peak": {"bf16": PEAK, "fp32": PEAK / 10}}
    plain, apart = (workload(ADAPTED, card=card, software=stack(adapters={"dtype": dtype})) for dtype in (None, "fp32"))

    def adapters(asked: Workload, dtype: str) -> float:
        each = (gemm_passes(one, np.asarray(TOKENS), asked, Trainable.FULL, dtype) for one in layer(asked).adapters)
        return float(sum(one.total for one in each))

    wide, narrow = adapters(plain, "fp32"), adapters(plain, "bf16")
    assert wide > 2 * narrow
    found, usual = (float(layer_compute(layer(asked), asked)[GEMMS].total) for asked in (apart, plain))
    assert found - usual == pytest.approx(wide - narrow)
    cast = replace(apart, precision=Precision("bf16", state="amp"))
    assert float(layer_compute(layer(cast), cast)[GEMMS].total) == pytest.approx(usual)


def test_share_of_the_operators_that_is_repeated() -> None:
    asked = workload()
    norms = Policy(operators={Pointwise.RMS_NORM: 1.0})
    assert operator_share(norms, layer(asked), asked) == pytest.approx(2 * 5 * 1024 / FORWARD)
    assert operator_share(EVERYTHING, layer(asked), asked) == 1.0


@pytest.mark.parametrize(
    ("tensor", "inputs", "outputs"),
    [
        (1, 1024 + 1024 + 1024 + 2048, 1536 + 1024 + 4096 + 1024),
        (
            2,
            1024 + 512 + 1024 + 1024,
            768 + 1024 + 2048 + 1024,
        ),  # what is split is cast once, what is whole by both ranks
    ],
)
def test_bytes_of_quantising(tensor: int, inputs: int, outputs: int) -> None:
    asked = workload(dtype="fp8", gpus=tensor, tensor=tensor)
    found = cast_bytes(layer(asked).block, np.asarray(TOKENS), asked)
    assert found == (pytest.approx(8 * inputs * TOKENS), pytest.approx(8 * outputs * TOKENS))


def test_weights_quantised_again_are_halved_between_the_passes() -> None:
    """Four bytes per weight and micro-batch for every GEMM: two forward, two backward."""
    asked = workload(dtype="fp8", software=stack(casts={"weights": 4.0, "forward": 0.0, "backward": 0.0}))
    weights = LAYER - 2 * 1024
    assert cast_bytes(layer(asked).block, np.asarray(TOKENS), asked) == (2 * weights, 2 * weights)


def test_a_layer_without_operators_moves_nothing() -> None:
    asked = replace(workload(), precision=Precision("bf16", state="amp"))
    bare = replace(layer(asked), block=replace(layer(asked).block, linears=(), elementwise=()))
    found = elementwise_passes(bare, np.asarray(TOKENS), asked)
    assert (found.forward, found.backward) == (0.0, 0.0)


def test_shared_experts_sum_once_more() -> None:
    """Attention's output is summed over four ranks, and so is that of shared experts; the output of routed experts arrives complete."""
    once = 2 * (2 * STREAM) * 3 / 4 / LINK
    shared = MODEL.model_copy(update={"experts": Experts(count=8, top_k=2, shared_width=512)})
    for model, sums in ((MIXTURE, 1), (shared, 2)):
        asked = workload(model, gpus=4, tensor=4, expert=4, expert_tensor=1)
        assert tensor_passes(layer(asked), asked, Passes()).forward == pytest.approx(sums * once)


def test_patches_by_a_convolution() -> None:
    """256 patches of 588 pixels at half of the peak, the gradient of weights at a quarter; pixels need no gradient."""
    patches = Linear("patches", 588, 1024, Split.WHOLE)
    asked = workload(software=stack(convolution=Traffic(forward=0.5, backward=0.25)))
    found = convolution_passes(patches, np.asarray(256), asked, Trainable.FULL, "bf16")
    flops = 2 * 256 * 588 * 1024
    assert (found.forward, found.backward) == (pytest.approx(flops / 0.5 / PEAK), 0.0)
    assert found.weight == pytest.approx(flops / 0.25 / PEAK)
    with pytest.raises(ValueError, match="by GEMMs"):
        convolution_passes(patches, np.asarray(256), workload(), Trainable.FULL, "bf16")


def test_a_convolution_in_groups_runs_on_tensor_cores_if_they_are_wide() -> None:
    """256 steps of 768 outputs, each of 48 channels over 128 steps, at a hundredth of the peak in each pass; of 64, at a fiftieth."""
    near = Linear("positions", 48 * 128, 768, Split.WHOLE)
    asked = workload(software=stack(grouped_convolution=(0.01, 0.02)))
    narrow, wide = (Ends("positions", (near,), 0, 256, first=True, grouped=channels) for channels in (48, 64))
    alone = 2 * 256 * 6144 * 768 / 0.01 / PEAK
    found = grouped_passes(narrow, near, np.asarray(256), asked)
    assert [found.forward, found.backward, found.weight] == pytest.approx([alone] * 3)
    assert ends_compute(wide, asked)[GEMMS].forward == pytest.approx(alone / 2)
    with pytest.raises(ValueError, match="as GEMMs"):
        grouped_passes(narrow, near, np.asarray(256), workload())


def test_the_head_and_its_loss() -> None:
    """14 bytes per logit forward, 13 backward."""
    asked = workload()
    found = ends_compute(head(asked), asked)
    assert found[GEMMS].forward == pytest.approx(gemm_time(TOKENS, 4096, 1024, CARD))
    assert found[OTHER].forward == pytest.approx(14 * TOKENS * 4096 / MEMORY)
    assert found[OTHER].backward == pytest.approx(13 * TOKENS * 4096 / MEMORY)


def test_attention_of_two_samples_and_of_half_the_heads() -> None:
    size = {"length": TOKENS, "head_dim": 128, "causal": True}
    asked = workload(microbatch=2)
    alone = attention_passes(layer(asked), asked)
    assert alone.forward == pytest.approx(
        attention_time("flash2", "forward", CARD, batch=2, heads=8, kv_heads=2, **size)
    )
    halved = workload(gpus=2, tensor=2)
    split = attention_passes(layer(halved), halved)
    assert split.backward == pytest.approx(
        attention_time("flash2", "backward", CARD, batch=1, heads=4, kv_heads=1, **size)
    )


def test_ranks_that_help_others_compute_whole_blocks() -> None:
    """Four ranks, blocks of 128: half a masked block of their own and two whole blocks; balanced ranks compute half of three."""
    no_merge = Traffic(forward=0.0, backward=0.0)
    helping = stack(context={"helped": True, "merge": no_merge})
    size = {"batch": 1, "heads": 8, "kv_heads": 2, "length": 128, "head_dim": 128}
    own = attention_time("flash2", "forward", CARD, **size, causal=True)
    other = attention_time("flash2", "forward", CARD, **size, causal=False)
    asked = workload(gpus=4, context=4, sequence_method="zigzag", software=helping)
    assert attention_passes(layer(asked), asked).forward == pytest.approx(own + 2 * other)
    balanced = workload(gpus=4, context=4, sequence_method="zigzag", software=stack(context={"merge": no_merge}))
    halves = attention_time("flash2", "forward", CARD, **size, keys=64, causal=False)
    assert attention_passes(layer(balanced), balanced).forward == pytest.approx(own + 3 * halves)


def test_what_is_shared_out_whole() -> None:
    """Frames are distributed whole; a sequence with attention over all its tokens is split."""
    whole = layer(workload())
    core = whole.block.attention[0]
    assert not whole_sequences(whole, core)
    assert whole_sequences(replace(whole, sequence=64), core)
    assert whole_sequences(whole, replace(core, keys=77)), "keys of a text, which every rank holds"


def test_exchanged_heads_and_rings() -> None:
    """Four ranks, 128 tokens each.

    Ulysses: (8 + 2 -> 4) heads of 2 x 128, 2 bytes; a ring passes on 2 heads of keys and values three times.
    """
    exchanged = workload(gpus=4, context=4, sequence_method="ulysses")
    found = context_passes(layer(exchanged), exchanged, Passes())
    message = 128 * (8 + 4) * 256 * 2
    assert (found.forward, found.backward) == (
        pytest.approx(message * 3 / 4 / LINK),
        pytest.approx(message * 3 / 4 / LINK),
    )
    ring = workload(gpus=4, context=4, sequence_method="ring")
    found = context_passes(layer(ring), ring, Passes())
    block = 128 * 2 * 256 * 2
    assert found.forward == pytest.approx(3 * block / LINK)
    assert found.backward == pytest.approx(2 * found.forward), "their gradients as well"
    assert ring_time(block, ring.ranks, ring.cluster, "flat") == pytest.approx(3 * block / LINK)
    facts = ring.software.context.model_copy(update={"fetched": 0.5})
    half = replace(ring, software=ring.software.model_copy(update={"context": facts}))
    assert context_passes(layer(half), half, Passes()).forward == pytest.approx(1.5 * block / LINK), (
        "what a causal mask leaves"
    )


@pytest.mark.parametrize("ranks", [2, 4])
def test_hops_that_the_host_launches(ranks: int) -> None:
    """A ring at 1 ms per hop forward and 2 ms backward, as many hops as ranks; ranks that exchange heads, once: 8 and 16 ms."""
    facts = {"hop": Launches(forward=1e-3, backward=2e-3), "exchange": Launches(forward=8e-3, backward=16e-3)}
    for method, there, back in (("ring", ranks * 1e-3, ranks * 2e-3), ("ulysses", 8e-3, 16e-3)):
        for recompute, times in (("none", 1), ("full", 2)):
            asked = workload(
                gpus=ranks, context=ranks, sequence_method=method, recompute=recompute, software=stack(context=facts)
            )
            assert _sharing_time(layer(asked), asked) == pytest.approx(times * there + back)
            frozen = replace(layer(asked), trainable=Trainable.FROZEN)
            assert _sharing_time(frozen, asked) == pytest.approx(there)
    assert _sharing_time(layer(workload()), workload()) == 0


def test_pairs_compared_over_the_whole_batch() -> None:
    """8 samples on each of four ranks, 512 features: 2 x 32 rows gathered, 2 x 8 x 32 logits."""
    asked = workload(gpus=4, batch=32, microbatch=8)
    found = contrast_parts(Ends("pairs", (), 0, 1, False, compared=512), asked)
    gathered = 2 * 32 * 512 * 2 * 3 / 4 / LINK
    assert (found[DATA].forward, found[DATA].backward) == (pytest.approx(gathered), pytest.approx(gathered))
    assert found[GEMMS].forward == pytest.approx(2 * gemm_time(8, 32, 512, CARD))
    assert found[OTHER].forward == pytest.approx(14 * 2 * 8 * 32 / MEMORY)


def test_features_gathered_by_the_ranks_that_share_a_sample() -> None:
    """A frozen encoder of the round layer before a language model of twice its width: 512 features of 1,024 over four ranks."""
    asked = workload(gpus=4, context=4)
    encoder = replace(layer(asked), trainable=Trainable.FROZEN)
    model = replace(asked.model, parts=(encoder, *asked.model.parts))
    found = feature_parts(replace(asked, model=model))
    assert added(found).total == pytest.approx(TOKENS * 1024 * 2 * 3 / 4 / LINK)
    assert added(found).backward == 0.0, "nothing trains behind it"


@pytest.mark.parametrize(("placement", "gathered"), [("first_stage", True), ("replicated", False), ("separate", False)])
def test_only_an_encoder_in_the_first_stage_gathers_over_the_context(placement: str, gathered: bool) -> None:
    separate = {"vision_gpus": 4} if placement == "separate" else {}
    asked = workload(gpus=8, context=4, vision=placement, **separate)
    encoder = replace(layer(asked), trainable=Trainable.FROZEN)
    found = feature_parts(replace(asked, model=replace(asked.model, parts=(encoder, *asked.model.parts))))
    assert (float(found[CONTEXT].total) > 0) == gathered
    assert (float(found[P2P].total) > 0) != gathered


def test_adapters_of_experts_move_the_tokens_of_all_active_ones() -> None:
    """Two active experts of a token pass twice the bytes of one."""
    asked = workload(ADAPTED)
    (layers,) = asked.model.stacks
    both = replace(layers, adapters=tuple(replace(one, active=2) for one in layers.adapters))
    once, twice = (adapter_bytes(one, np.asarray(float(TOKENS)), asked) for one in (layers, both))
    assert once[0] > once[1] > 0
    assert twice == pytest.approx((2 * once[0], 2 * once[1]))
