"""Every formula of step/ on a machine with round numbers, against hand calculations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpuhours.architecture.decoder_shapes import Experts
from gpuhours.architecture.operators import Ends, Linear, Pointwise, Split, Stack, Trainable
from gpuhours.hardware.number_formats import Precision
from gpuhours.kernels.attention import attention_time
from gpuhours.kernels.gemm import gemm_time
from gpuhours.layout.recompute import EVERYTHING, Policy
from gpuhours.layout.weights import Weights
from gpuhours.software.figures import Gathering, Kernels, Launches, Masking, Traffic
from gpuhours.step.breakdown import Step, where_violated
from gpuhours.step.communication import expert_passes, reached, tensor_passes
from gpuhours.step.compute import (
    ATTENTION,
    OTHER,
    PRODUCTS,
    adapter_bytes,
    cast_bytes,
    clock_factor,
    convolution_passes,
    elementwise_passes,
    ends_compute,
    issue_bound,
    layer_compute,
    narrowing_bytes,
    operator_share,
    product_passes,
    read_again,
)
from gpuhours.step.context import attention_passes, context_passes, ring_time, shared_out_whole
from gpuhours.step.contrast import contrast_parts
from gpuhours.step.features import feature_parts
from gpuhours.step.host import (
    _sharing_time,
    as_run,
    attention_calls,
    forward_launches,
    host_time,
    kernel_launches,
    launch_time,
    launches,
    launches_forward,
    layer_kernels,
    modules,
    table_copies,
)
from gpuhours.step.offload import activations_time, host_update_time, parameters_time
from gpuhours.step.predict import (
    Work,
    added,
    encoder_wait,
    encoding_time,
    joined,
    pace_of,
    send_time,
    shared_work,
    step,
    unmet_factor,
    waiting_share,
)
from gpuhours.step.recompute import repeated
from gpuhours.step.schedule import Passes, Stages, left_over, pipeline_time, stages
from gpuhours.step.state import (
    DATA,
    accumulation_time,
    blocks_time,
    gather_copies,
    optimiser_time,
    orthogonalisation_time,
    sharded_passes,
    step_reduction,
    trained_tensors,
)
from gpuhours.workload import Workload
from tests.round_machine import (
    ADAPTED,
    CARD,
    LAYER,
    LINK,
    MEMORY,
    MIXTURE,
    MODEL,
    PCIE,
    PEAK,
    TOKENS,
    VOCABULARY,
    WHOLE,
    machine,
    stack,
    workload,
)

STREAM = TOKENS * 1024
"""Elements of the residual stream of one sample."""
BATCH_AT_ONCE = Passes(1.0, 2.0, 3.0)


def layer(asked: Workload) -> Stack:
    return asked.model.stacks[0]


def head(asked: Workload) -> Ends:
    return asked.model.ends[-1]


def test_sums_over_tensor_ranks() -> None:
    """Two all-reduces of 1 MB over four ranks, each 2 x 3/4 of it over the link; with sequence parallelism they take the same time."""
    twice = 2 * 2 * (2 * STREAM) * 3 / 4 / LINK
    for split in (False, True):
        asked = workload(gpus=4, tensor=4, sequence_parallel=split)
        found = tensor_passes(layer(asked), asked, Passes())
        assert (found.forward, found.backward) == (pytest.approx(twice), pytest.approx(twice))
    hidden = workload(gpus=4, tensor=4, software=stack(exposed={"tensor": 0.0}))
    assert tensor_passes(layer(hidden), hidden, BATCH_AT_ONCE).total == 0.0


def test_a_split_sequence_that_is_copied_around_its_collectives() -> None:
    """If products hide both sums, two gathers and scatters of 512 x 1,024 elements still copy 8 B of each; unsplit ones copy nothing."""
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


def test_a_layer_is_its_products_its_attention_and_the_rest() -> None:
    asked = workload()
    found = layer_compute(layer(asked), asked)
    sides = [(1536, 1024), (1024, 1024), (4096, 1024), (1024, 2048)]
    forward = sum(gemm_time(TOKENS, n, k, CARD) for n, k in sides)
    weight = sum(gemm_time(n, k, TOKENS, CARD, weight_gradient=True) for n, k in sides)
    assert found[PRODUCTS].forward == pytest.approx(forward)
    assert found[PRODUCTS].weight == pytest.approx(weight)
    assert found[ATTENTION].forward == pytest.approx(attention_passes(layer(asked), asked).forward)
    assert found[OTHER].forward == pytest.approx(elementwise_passes(layer(asked), np.asarray(TOKENS), asked).forward)


def test_a_product_split_over_four_ranks() -> None:
    asked = workload(gpus=4, tensor=4)
    column = product_passes(layer(asked).block.linears[2], np.asarray(TOKENS), asked, Trainable.FULL)
    assert column.forward == pytest.approx(gemm_time(TOKENS, 1024, 1024, CARD))
    assert column.weight == pytest.approx(gemm_time(1024, 1024, TOKENS, CARD, weight_gradient=True))
    row = product_passes(layer(asked).block.linears[3], np.asarray(TOKENS), asked, Trainable.FROZEN)
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


def test_products_among_light_kernels() -> None:
    """Six seconds of products and attention and two of the rest: x = 3/4, and 1 - 0.2 (1 - 3/4) = 0.95."""
    asked = workload(software=stack(eased=0.2))
    assert clock_factor(BATCH_AT_ONCE, Passes(2.0), asked) == pytest.approx(0.95)
    assert clock_factor(BATCH_AT_ONCE, Passes(), asked) == 1.0
    assert clock_factor(BATCH_AT_ONCE, Passes(2.0), workload()) == 1.0, "contained in other stacks' constants"


def test_bytes_that_join_adapters() -> None:
    """Ten bytes for each of the 1024 + 256 + 256 + 1024 output columns, six backward."""
    asked = workload(ADAPTED)
    found = adapter_bytes(layer(asked), np.asarray(TOKENS), asked)
    assert found == (pytest.approx(10 * 2560 * TOKENS), pytest.approx(6 * 2560 * TOKENS))


def test_adapters_in_a_format_of_their_own() -> None:
    """peft's products run in fp32 at a tenth of the peak; under autocast they are narrowed again."""
    card = {"peak": {"bf16": PEAK, "fp32": PEAK / 10}}
    plain, apart = (workload(ADAPTED, card=card, software=stack(adapters={"dtype": dtype})) for dtype in (None, "fp32"))

    def adapters(asked: Workload, dtype: str) -> float:
        each = (product_passes(one, np.asarray(TOKENS), asked, Trainable.FULL, dtype) for one in layer(asked).adapters)
        return float(sum(one.total for one in each))

    wide, narrow = adapters(plain, "fp32"), adapters(plain, "bf16")
    assert wide > 2 * narrow
    found, usual = (float(layer_compute(layer(asked), asked)[PRODUCTS].total) for asked in (apart, plain))
    assert found - usual == pytest.approx(wide - narrow)
    cast = replace(apart, precision=Precision("bf16", state="amp"))
    assert float(layer_compute(layer(cast), cast)[PRODUCTS].total) == pytest.approx(usual)


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
    """Four bytes per weight and micro-batch for every product: two forward, two backward."""
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
    with pytest.raises(ValueError, match="by products"):
        convolution_passes(patches, np.asarray(256), workload(), Trainable.FULL, "bf16")


def test_the_head_and_its_loss() -> None:
    """14 bytes per logit forward, 13 backward."""
    asked = workload()
    found = ends_compute(head(asked), asked)
    assert found[PRODUCTS].forward == pytest.approx(gemm_time(TOKENS, 4096, 1024, CARD))
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
    assert not shared_out_whole(whole, core)
    assert shared_out_whole(replace(whole, sequence=64), core)
    assert shared_out_whole(whole, replace(core, keys=77)), "keys of a text, which every rank holds"


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


def test_hops_that_the_host_launches() -> None:
    """A ring of four at 1 ms per hop forward and 2 ms backward; four ranks that exchange heads, once: 8 and 16 ms."""
    facts = {"hop": Launches(forward=1e-3, backward=2e-3), "exchange": Launches(forward=8e-3, backward=16e-3)}
    for method, there, back in (("ring", 4e-3, 8e-3), ("ulysses", 8e-3, 16e-3)):
        for recompute, times in (("none", 1), ("full", 2)):
            asked = workload(
                gpus=4, context=4, sequence_method=method, recompute=recompute, software=stack(context=facts)
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
    assert found[PRODUCTS].forward == pytest.approx(2 * gemm_time(8, 32, 512, CARD))
    assert found[OTHER].forward == pytest.approx(14 * 2 * 8 * 32 / MEMORY)


def test_features_gathered_by_the_ranks_that_share_a_sample() -> None:
    """A frozen encoder of the round layer before a language model of twice its width: 512 features of 1,024 over four ranks."""
    asked = workload(gpus=4, context=4)
    encoder = replace(layer(asked), trainable=Trainable.FROZEN)
    model = replace(asked.model, parts=(encoder, *asked.model.parts))
    found = feature_parts(replace(asked, model=model))
    assert added(found).total == pytest.approx(TOKENS * 1024 * 2 * 3 / 4 / LINK)
    assert added(found).backward == 0.0, "nothing trains behind it"


# the host: 1 ms forward and 2 ms backward of a llama layer


def test_a_llama_block_is_what_hosts_were_timed_on() -> None:
    block = layer(workload()).block
    assert launches(block) == 1.0
    assert launches(block, unfused=True) == pytest.approx(19 / 14)


def test_waiting_for_the_host() -> None:
    """Four layers of 3 ms and 5 ms of computation; an accelerator that is busy for longer does not wait."""
    asked = workload()
    assert launch_time(asked.model.parts, asked) == (pytest.approx(12e-3), 0.0)
    assert host_time(asked, 5e-3) == pytest.approx(7e-3)
    assert host_time(asked, 20e-3) == 0.0
    again = workload(recompute="full")
    assert launch_time(again.model.parts, again)[0] == pytest.approx(16e-3)


def test_a_table_of_positions_copied_from_the_host() -> None:
    part = Ends("positions", (), 0, 1568, True, tabled=768)
    asked = workload(batch=16, microbatch=16, software=stack(pageable=8e9))
    assert table_copies(part, asked) == pytest.approx(4 * 1568 * 768 * 16 / 8e9)
    assert table_copies(part, workload()) == 0.0


def test_gradients_through_frozen_parts() -> None:
    frozen = replace(layer(workload()), trainable=Trainable.FROZEN)
    carries = stack(frozen_carry_gradients=True)
    assert as_run(frozen, workload(software=carries, recompute="full")).trainable is Trainable.PASS_THROUGH
    assert as_run(frozen, workload(software=carries)) is frozen
    assert as_run(frozen, workload(recompute="full")) is frozen


KERNELS = Kernels(
    source="by hand, for a test",
    operators={"product": Traffic(forward=1, backward=2), "attention": Traffic(forward=1, backward=3)},
    each=Launches(forward=1e-5, backward=2e-5), layer=Launches(forward=1e-4, backward=2e-4), gap=1e-6,
)  # fmt: skip


def test_norms_of_queries_and_keys_are_two() -> None:
    host = KERNELS.model_copy(update={"operators": {"qk-norm": Traffic(forward=3, backward=5)}})
    normed = MODEL.model_copy(update={"qk_norm": "head"})
    asked = workload(normed, software=stack(host={"kernels": host}))
    assert layer_kernels(layer(asked), asked) == (2 * 3, 2 * 5)


def test_updating_takes_the_host_only_where_something_trains() -> None:
    """Four layers of 0.72 ms of launches and, once in eight micro-batches, 5 ms of updating minus the GPU's 1 ms."""
    host = stack(host={"kernels": KERNELS.model_copy(update={"gap": 0.0, "update": 5e-3})})
    asked = workload(software=host)
    assert host_time(asked, 0.0, 1e-3) == pytest.approx(4 * 0.72e-3 + 4e-3 / 8)
    frozen = replace(asked.model, parts=tuple(replace(part, trainable=Trainable.FROZEN) for part in asked.model.parts))
    assert host_time(replace(asked, model=frozen), 0.0) == pytest.approx(4 * 0.18e-3)


def test_split_layers_are_launched_again_where_they_are_computed_again() -> None:
    host = stack(host={"kernels": KERNELS, "tensor": 2e-3})
    for recompute, kernels, again in (("none", 0.72e-3, 2e-3), ("full", 0.90e-3, 3e-3)):
        asked = workload(software=host, gpus=2, tensor=2, recompute=recompute)
        assert kernel_launches(layer(asked), asked)[0] == pytest.approx(kernels + again)


def test_launches_kernel_by_kernel() -> None:
    """Seven products (three for queries, keys, values; gate and up) and one attention: 8 kernels forward, 17 backward."""
    asked = workload(software=stack(host={"kernels": KERNELS}))
    assert layer_kernels(layer(asked), asked) == (8, 17)
    launching, gaps = kernel_launches(layer(asked), asked)
    assert launching == pytest.approx(1e-4 + 8e-5 + 2e-4 + 17 * 2e-5)
    assert gaps == pytest.approx(25e-6)
    assert modules(layer(asked), asked) == 7 + 2, "products and norms"
    with pytest.raises(ValueError, match="by layers"):
        kernel_launches(layer(asked), workload())


def test_a_loss_that_reads_back_parts_the_passes() -> None:
    """Four layers of 0.18 ms forward and 0.54 ms backward: 1 ms of the forward pass hides its own launches, but not the backward ones."""
    kernels = KERNELS.model_copy(update={"gap": 0.0, "reads_back": True})
    asked = workload(software=stack(host={"kernels": kernels}))
    assert launches_forward(layer(asked), asked, 8) == pytest.approx(1e-4 + 8 * 1e-5)
    assert forward_launches(asked) == pytest.approx(4 * 0.18e-3)
    assert host_time(asked, 9e-3, 0.0, Passes(1e-3, 0.5e-3, 0.5e-3)) == pytest.approx(4 * 0.54e-3 - 1e-3)
    assert host_time(asked, 9e-3) == 0.0, "nothing is read back of a pass that is not told apart"
    waits = workload(software=stack(host={"kernels": kernels.model_copy(update={"gap": 1e-6})}))
    assert host_time(waits, 9e-3, 0.0, Passes(1.0, 1.0, 1.0)) == pytest.approx(4 * 25e-6), "gaps come in any case"
    halves = workload(software=stack(host={"kernels": kernels}), gpus=2, pipeline=2)
    assert host_time(halves, 9e-3, 0.0, Passes(1e-3, 0.5e-3, 0.5e-3)) == pytest.approx((4 * 0.54e-3 - 1e-3) / 2), (
        "a stage launches half of the layers, and computes half"
    )


def test_a_host_that_lags_delays_the_stage_with_the_most_layers() -> None:
    """One layer is on the first stage, three are on the second, which takes longest: each layer is launched in 0.72 ms, some of it while
    the accelerator is busy with the optimiser."""
    kernels = KERNELS.model_copy(update={"gap": 0.0, "reads_back": True})
    asked = workload(software=stack(host={"kernels": kernels}), gpus=2, pipeline=2, stage_layers=(1, 3))
    layers = float(added(shared_work(asked).all_layers).total)
    assert 0 < layers < 1e-3
    parts = step(asked).parts
    assert float(parts["host"]) == pytest.approx(8 * 3 * (0.72e-3 - layers / 4) - parts["optimiser"])


def test_a_head_by_blocks_reads_its_weights_for_each() -> None:
    """Two blocks read 2 x 1,024 x V weights and write T V logits of 2 B; a pass that is skipped takes no time."""
    asked = workload(loss_blocks=2)
    product = head(asked).linears[0]
    read = 2.0 * product.outputs * (2 * product.inputs + TOKENS) / (CARD.gemm_constants.memory_share * MEMORY)
    found = read_again(Passes(1e-12, 1.0, 0.0), product, TOKENS, asked)
    assert (found.forward, found.backward, found.weight) == (pytest.approx(read), 1.0, 0.0)
    assert read_again(BATCH_AT_ONCE, product, TOKENS, workload()) is BATCH_AT_ONCE


def test_a_mask_of_padding_takes_all_pairs() -> None:
    """Twice the time of attention without the causal mask forward, three times backward."""
    asked = workload(software=stack(padding_mask=Masking(source="by hand", forward=2.0, backward=3.0)))
    plain = layer(asked)
    masked, open_core = plain.with_mask, replace(plain.block.attention[0], causal=False)
    all_pairs = attention_passes(replace(plain, block=replace(plain.block, attention=(open_core,))), asked)
    found = attention_passes(masked, asked)
    assert (found.forward, found.backward) == (
        pytest.approx(2 * all_pairs.forward),
        pytest.approx(3 * all_pairs.backward),
    )
    assert attention_passes(masked, workload()).total == attention_passes(plain, workload()).total, (
        "a stack that needs none"
    )


def test_copies_around_a_gather() -> None:
    """A million weights of 2 B over two ranks: 3 x 4 MB / 2 into the buffer, 2 x 2 MB out of it; the same for frozen ones."""
    facts = Gathering(source="by hand", shares=3.0, whole=1.0)
    held, none = Weights(1e6, 0.0), Weights(0.0, 0.0)
    for trained in (held, none):
        shared = workload(gpus=2, sharding="zero3", software=stack(gathering=facts))
        assert float(gather_copies(held, trained, shared)) == pytest.approx(10e6 / MEMORY)
        alone = workload(sharding="zero3", software=stack(gathering=facts))
        assert float(gather_copies(held, trained, alone)) == 0
    assert gather_copies(held, held, workload(gpus=2, sharding="zero3")) == 0


def test_casts_around_quantised_products() -> None:
    """6 B x (3 x 1,024 + 1,536 + 1,024 + 1,024 + 2 x 1,024 + 4,096 + 2,048 + 1,024), as queries, keys and values each cast their input."""
    asked = workload()
    assert float(narrowing_bytes(layer(asked).block, 10.0, asked.ranks)) == 6 * 10 * 15872


def test_windows_called_one_by_one() -> None:
    asked = workload(microbatch=2)
    windows = replace(layer(asked), sequence=64)
    looped = replace(
        windows, block=replace(windows.block, attention=(replace(windows.block.attention[0], looped=True),))
    )
    assert attention_calls(looped, asked) == 2 * 8 - 1
    assert attention_calls(windows, asked) == 0


# what goes over PCIe, at 0.88 of 10 GB/s


def test_an_update_on_the_host() -> None:
    """2 bytes down and 2 up; 28 bytes of Adam at 25 GB/s."""
    assert host_update_time(1e9, workload()) == pytest.approx(4e9 / (0.88 * PCIE) + 28 / 25)


def test_activations_to_the_host_and_back() -> None:
    """34 bytes per element of the stream, or only the input under full recomputation; a tenth of the time is visible beside a long pass."""
    kept = {"none": 34, "full": 2}
    for recompute, each in kept.items():
        asked = workload(offload_activations=True, recompute=recompute)
        copied = 2 * each * STREAM / (0.88 * PCIE)
        assert activations_time(layer(asked), asked, 0.0) == pytest.approx(copied)
        assert activations_time(layer(asked), asked, 10.0) == pytest.approx(0.1 * copied)
    assert activations_time(layer(workload()), workload(), 0.0) == 0.0


def test_weights_fetched_for_each_pass() -> None:
    asked = workload(offload_parameters=True)
    found = parameters_time(layer(asked), asked, Passes())
    fetched = 2 * LAYER / (0.88 * PCIE)
    assert (found.forward, found.backward) == (pytest.approx(fetched), pytest.approx(2 * fetched)), "and gradients down"
    assert parameters_time(layer(asked), workload(), Passes()).total == 0.0


# the whole step


def test_a_share_for_each_doubling_of_nodes() -> None:
    software = stack(network={"stragglers": 0.004})
    assert waiting_share(machine(32), software) == pytest.approx(0.008)
    assert waiting_share(machine(8), software) == 0.0
    assert waiting_share(machine(4), software) == 0.0


def test_a_stack_that_nobody_measured_takes_longer() -> None:
    """All parts take longer by the same factor; it was not learned on mixtures and is not applied to them."""
    kin = stack(unmet=1.2)
    assert unmet_factor(workload(software=kin)) == 1.2
    assert unmet_factor(workload(MIXTURE, software=kin)) == 1.0
    assert step(workload(software=kin)).time == pytest.approx(1.2 * float(step(workload()).time))


def test_a_measured_pace_slows_all_that_a_micro_batch_meets() -> None:
    """Multiplies the factor of unmeasured stacks; layers, ends and a separate encoder are slowed alike, and counts do not change."""
    ours = stack(unmet=1.2, pace=1.5)
    assert pace_of(workload(software=ours)) == pytest.approx(1.8)
    work = Work(
        8, True, {"a": Passes(1, 2, 3)}, {"a": Passes(1)}, {"b": Passes(0, 2)}, {"c": Passes(0, 0, 1)}, {"d": Passes(4)}
    )
    slower = work.at_pace(1.5)
    assert slower.layers == 8
    assert slower.all_layers["a"].total == 9
    totals = [added(parts).total for parts in (slower.first, slower.last, slower.spread, slower.apart)]
    assert totals == [1.5, 3.0, 1.5, 6.0]


def test_kinds_are_added_and_joined() -> None:
    one, other = {"a": Passes(1, 2, 3)}, {"a": Passes(1, 1, 1), "b": Passes(0, 0, 4)}
    assert added(joined(one, other)).total == 6 + 3 + 4
    assert joined(one, other)["a"].backward == 3


def test_what_waits_for_an_encoder_apart() -> None:
    """Four micro-batches of 1 s before passes of 3 s: the first is waited for, and the second, which is missing."""
    assert encoder_wait(1.0, 4, 3.0) == pytest.approx(2.0)
    assert encoder_wait(0.5, 4, 3.0) == pytest.approx(0.5)
    work = shared_work(workload())
    assert encoding_time(work, workload()) == 0.0, "no encoder"
    assert (work.layers, work.shared) == (4, True)
    assert added(work.all_layers).forward > 3 * added(layer_compute(layer(workload()), workload())).forward


@pytest.mark.parametrize(("chunks", "messages"), [(1, 2), (2, 4)])
def test_messages_between_stages(chunks: int, messages: int) -> None:
    asked = workload(gpus=2, pipeline=2, interleave=chunks, schedule="interleaved" if chunks > 1 else "1f1b")
    assert send_time(asked, np.asarray(0.0)) == pytest.approx(messages * 2 * STREAM / LINK)


def test_stages_on_a_schedule() -> None:
    """Four stages of 6 s and eight micro-batches: 8 x 6, and three more to fill and drain."""
    from gpuhours.layout.placement import Placement

    line = stages(BATCH_AT_ONCE, Placement(4.0, 4), Passes(), Passes())
    assert (line.slowest, line.together.total) == (6.0, 24.0)
    assert pipeline_time(line, 8, 4, 1, 0) == pytest.approx(8 * 6 + 3 * 6)
    assert pipeline_time(Stages(Passes(6.0), 6.0), 8, 1, 1, 0) == 48.0
    assert left_over(3.0, 2.0, 0.5) == pytest.approx(1.5)


def test_what_full_and_selective_recomputation_repeat() -> None:
    parts = {PRODUCTS: Passes(1.0), ATTENTION: Passes(2.0), OTHER: Passes(4.0)}
    for recompute, seconds in (("none", 0.0), ("selective", 2.0), ("full", 7.0)):
        asked = workload(recompute=recompute)
        assert repeated(layer(asked), asked, parts) == pytest.approx(seconds)
    some = workload(recompute="full", recompute_layers=1)
    assert repeated(layer(some), some, parts) == pytest.approx(7 / 4), "one layer of four"


# weights and gradients, 2 bytes of each


def test_zero3_gathers_twice_and_scatters_once() -> None:
    asked = workload(gpus=8, sharding="zero3")
    found = sharded_passes(layer(asked), asked, Passes())
    gathered = 2 * LAYER * 7 / 8 / LINK
    assert (found.forward, found.backward) == (pytest.approx(gathered), pytest.approx(2 * gathered))
    assert sharded_passes(layer(asked), workload(gpus=8, sharding="zero1"), Passes()).total == 0.0


@pytest.mark.parametrize("sharding", ["none", "zero1"])
def test_gradients_of_all_parameters_are_summed_once(sharding: str) -> None:
    """An all-reduce, or a reduce-scatter and an all-gather: 2 x 7/8 of 2 bytes per parameter in both cases."""
    asked = workload(gpus=8, sharding=sharding)
    assert step_reduction(asked, np.asarray(0.0)) == pytest.approx(2 * 2 * WHOLE * 7 / 8 / LINK)


def test_adding_up_gradients() -> None:
    weights = Weights(1e9, 0.0)
    assert accumulation_time(weights, workload()) == pytest.approx(6.5e9 / MEMORY)
    kept = stack(accumulation={"first": False})
    assert accumulation_time(weights, workload(software=kept)) == pytest.approx(6.5e9 * 7 / 8 / MEMORY), (
        "7 of 8 are added"
    )


def test_a_loss_in_four_blocks_adds_its_gradient_thrice() -> None:
    asked = workload(loss_blocks=4)
    assert blocks_time(head(asked), asked) == pytest.approx(3 * 2 * 2 * VOCABULARY / MEMORY)
    assert blocks_time(head(asked), workload()) == 0.0


def test_the_update_of_what_a_rank_owns() -> None:
    """34 bytes per parameter; an eighth of the parameters under ZeRO-1."""
    assert optimiser_time(workload()) == pytest.approx(34 * WHOLE / MEMORY)
    assert optimiser_time(workload(gpus=8, sharding="zero1")) == pytest.approx(34 * WHOLE / 8 / MEMORY)
    away = workload(offload_optimizer=True)
    assert optimiser_time(away) == pytest.approx(host_update_time(WHOLE, away))


def test_newton_schulz_of_a_layer() -> None:
    sides = [(1024, 1536), (1024, 1024), (1024, 4096), (1024, 2048)]
    flops = 4 * sum(4 * m * m * n + 2 * m**3 for m, n in sides)
    assert orthogonalisation_time(workload(), 5) == pytest.approx(5 * flops / PEAK)


def test_tensors_that_are_updated_one_by_one() -> None:
    """The products and norms of every layer; the host needs 0.1 s per tensor, more than the card needs for its bytes."""
    asked = workload(software=stack(optimiser={"tensors": {"adamw": 0.1}}))
    block = layer(asked).block
    each = sum(one.fused for one in block.linears) + sum(np.max(one.parameters) > 0 for one in block.elementwise)
    assert trained_tensors(asked) == layer(asked).layers * each
    assert optimiser_time(asked) == pytest.approx(0.1 * layer(asked).layers * each)


def test_reasons_and_rates_of_a_step() -> None:
    reasons = {"too many": np.array([True, False]), "odd": np.array([False, False])}
    assert np.array_equal(where_violated(reasons), [True, False])
    assert where_violated({}) is False
    one = Step(2.0, {}, 8e14, 1e15, 1e15, np.asarray(True), {})
    assert (one.mfu, one.hfu) == (pytest.approx(0.4), pytest.approx(0.5))


def test_a_step_is_the_sum_of_what_is_worked_out_above() -> None:
    """One rank, eight micro-batches: layers, ends, accumulation and update; the host's 12 ms per micro-batch determine the time."""
    asked = workload()
    found = step(asked)
    busy = (
        added(shared_work(asked).all_layers).total
        + added(shared_work(asked).first).total
        + added(shared_work(asked).last).total
    )
    assert busy < 12e-3
    assert found.time == pytest.approx(8 * 12e-3 + optimiser_time(asked))
    assert dict(found.waterfall())["mfu"] == pytest.approx(found.mfu)
