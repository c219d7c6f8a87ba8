"""What runs that the model had not seen have shown of its physics: each cause by a law or by hand arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpuhours
from gpuhours.architecture.decoder import Decoder
from gpuhours.architecture.decoder_shapes import Experts
from gpuhours.hardware.accelerators import load_accelerator
from gpuhours.hardware.clusters import cluster
from gpuhours.hardware.number_formats import Precision
from gpuhours.kernels.attention import attention_time
from gpuhours.kernels.gemm import gemm_time
from gpuhours.layout.layout import Layout
from gpuhours.run.band import Band, band
from gpuhours.run.evaluate import evaluate
from gpuhours.software.matching import StatedStack, match
from gpuhours.software.profile import Software, load_software
from gpuhours.step import Step, step
from gpuhours.step.communication import TENSOR, tensor_passes
from gpuhours.step.predict import RECOMPUTE, p2p_time
from gpuhours.step.schedule import Passes
from gpuhours.workload import Workload
from tests.round_machine import LINK, MODEL, layer, stack, workload
from tests.step.test_step import LLAMA70


def test_operator_wise_recomputation_gathers_again() -> None:
    """It repeats the all-gather of each sum, not the reduce-scatter: half of the forward pass's sums, of 4 layers and 8 micro-batches.
    The GEMMs of a slow card hide all of them where a stack hides any."""
    layout: dict[str, Any] = {"gpus": 4, "tensor": 4, "sequence_parallel": True, "recompute": "selective"}
    waiting, hidden = (
        workload(
            software=stack(exposed={"tensor": exposed}, selective="half-of-gemms"), card={"peak": {"bf16": 1e12}}, **layout
        )
        for exposed in (1.0, 0.0)
    )  # fmt: skip
    again = float(step(waiting).parts[RECOMPUTE] - step(hidden).parts[RECOMPUTE])
    sums = float(tensor_passes(layer(waiting), waiting, Passes()).forward)
    assert again == pytest.approx(sums / 2 * MODEL.layers * 8)


def test_asynchronous_tensor_parallelism_hides_part_of_the_sums() -> None:
    """torchtitan's tables with and without it: 0.2 to 0.5 of them; nothing else of the step takes longer."""

    def timed(software: str) -> Step:
        layout = Layout(tensor=8, sharding="zero3", recompute="full")
        machine = cluster("h100-sxm-80gb", gpus=64)
        return step(Workload(LLAMA70.model(8192), 8, layout, machine, load_software(software), Precision()))

    waiting, beside = timed("fsdp-compile"), timed("fsdp-compile-async")
    assert 0.5 < float(beside.parts[TENSOR] / waiting.parts[TENSOR]) < 0.8
    assert all(float(beside.parts[name]) <= float(waiting.parts[name]) * (1 + 1e-9) for name in waiting.parts)


LOOPED = Decoder(
    layers=48, hidden=2048, heads=32, kv_heads=4, ffn_hidden=6144, vocab=151936, experts=Experts(count=128, top_k=8, width=768)
)  # fmt: skip


def test_a_loop_over_experts_under_zero3_fetches_each_of_them() -> None:
    """48 layers of 128 experts with three modules each, three passes with full recomputation: hooks of 55,296 modules; a stack that holds
    a layer's experts in one tensor has those of a few modules a layer."""

    def timed(software: Software) -> float:
        layout = Layout(sharding="zero3", recompute="full")
        machine = cluster("a800-sxm-80gb", gpus=16)
        return float(step(Workload(LOOPED.model(8192), 16, layout, machine, software, Precision())).time)

    software = load_software("llama-factory")
    facts = software.host.kernels
    assert facts is not None
    grouped = software.host.model_copy(update={"kernels": facts.model_copy(update={"experts": "grouped"})})
    hooks = 48 * 128 * 3 * 3 * facts.module
    assert timed(software) > hooks > 10
    assert timed(software.model_copy(update={"host": grouped})) < hooks / 5


@pytest.mark.parametrize(
    ("head", "causal", "direction", "tflops"),
    [
        (64, False, "forward", 168.9), (128, False, "forward", 169.3), (64, True, "forward", 142), (128, True, "forward", 151),
        (64, False, "backward", 124.8), (128, False, "backward", 124.6), (64, True, "backward", 97), (128, True, "backward", 99),
    ],
)  # fmt: skip
def test_attention_on_an_rtx_4090(head: int, causal: bool, direction: str, tflops: float) -> None:
    """FlashAttention-2, 2,048 tokens and a width of 2,048: TileLang's table (tl_doc/flash_perf.md in apache/tvm, CUDA 12.2)."""
    heads = 2048 // head
    seconds = attention_time(
        "flash2", direction, load_accelerator("rtx-4090"), batch=8, heads=heads, kv_heads=heads, length=2048, head_dim=head,
        causal=causal,
    )  # fmt: skip
    flop = 4 * 8 * heads * 2048**2 * head * (0.5 if causal else 1.0) * (1.0 if direction == "forward" else 2.5)
    assert flop / float(seconds) / 1e12 == pytest.approx(tflops, rel=0.15)


def test_gemms_on_an_rtx_4090_stay_a_fifth_below_its_best_and_no_more() -> None:
    """179.2 TFLOP/s at the best size (xzwgit/gpu-flops-bench, cuBLASLt); its clock stays above the one its peak is stated at."""
    reached = 2 * 8192**3 / float(gemm_time(8192, 8192, 8192, load_accelerator("rtx-4090"))) / 1e12
    assert 0.8 * 179.2 < reached < 179.2


@pytest.mark.parametrize("kernel", ["flash2", "flash3", "cudnn"])
def test_attention_on_a_card_with_fewer_tensor_cores_is_bound_by_what_is_fewer(kernel: str) -> None:
    """H20 has 78 of Hopper's multiprocessors with a quarter of its tensor cores: a kernel runs at the rate of as many of H100's, or at
    the card's peak, whichever is less; not at the share of the peak that it reaches on H100."""
    few, whole = load_accelerator("h20-sxm-96gb"), load_accelerator("h100-sxm-80gb")
    flop = 4 * 8 * 32 * 16384**2 * 128 / 2
    rates = [
        flop
        / float(attention_time(kernel, "forward", card, batch=8, heads=32, kv_heads=32, length=16384, head_dim=128, causal=True))
        for card in (few, whole)
    ]  # fmt: skip
    assert few.sms is not None
    assert whole.sms is not None
    bound = min(rates[1] * few.sms / whole.sms, few.peak["bf16"])
    assert 0.8 * bound < rates[0] < few.peak["bf16"]


@pytest.mark.parametrize("side", [2048, 8192, 16384])
@pytest.mark.parametrize("depth", [4096, 16384])
def test_no_gemm_on_mi300x_beats_the_best_that_was_found(side: int, depth: int) -> None:
    """668.4 TFLOP/s of thousands of shapes (stas00/ml-engineering, MAMF): 0.8 of its peak, as was assumed, is 1,046."""
    card = load_accelerator("mi300x")
    assert 2 * side**2 * depth / float(gemm_time(side, side, depth, card)) < 668.4e12


@pytest.mark.parametrize("words", ["TensorFlow 1.15", "TF1", "Mesh-TensorFlow"])
@pytest.mark.parametrize("year", [2019, 2021, None])
def test_tensorflow_1_is_no_jax(words: str, year: int | None) -> None:
    """It neither fuses nor overlaps as XLA under JAX does: an unmeasured stack of its time."""
    found = match(StatedStack(described=words, year=year))
    assert (found.profile, found.stands_in) == ("torch-2022", True)


def test_the_range_on_b200_is_wider_than_on_cards_whose_gemms_were_timed_here() -> None:
    def wide(card: str) -> float:
        run = {
            "model": "llama-3-8b", "data.tokens": "1T", "hardware.accelerator": card, "hardware.gpus": 64, "layout.tensor": 1,
            "layout.pipeline": 1, "layout.microbatch": 1, "layout.sharding": "zero1", "layout.recompute": "full",
            "software": "megatron-core", "training.dtype": "bf16",
        }  # fmt: skip
        found = band(evaluate(gpuhours.from_dict({}, settings=run)))
        assert isinstance(found, Band)
        return float(np.log(found.high / found.low))

    assert wide("b200-sxm") > 1.1 * wide("h200-sxm-141gb")


@pytest.mark.parametrize(("software", "parts"), [("deepspeed", 4), ("megatron-core", 4), ("torch-eager", 1)])
def test_pipeline_messages_are_split_over_tensor_ranks_where_the_engine_splits_them(software: str, parts: int) -> None:
    """DeepSpeed's pipeline engine (``is_pipe_partitioned``) and Megatron send each tensor rank's part; PyTorch's sends whole tensors. There
    and back, 512 x 1,024 elements of 2 B."""
    sends = load_software(software).network.sends
    asked = workload(gpus=8, tensor=4, pipeline=2, software=stack(network={"sends": sends}))
    assert float(p2p_time(asked, np.asarray(0.0))) == pytest.approx(2 * 2 * 512 * 1024 / parts / LINK)
