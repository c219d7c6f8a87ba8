"""FLOPs against printed MFUs, and laws that they obey."""

import csv
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpuhours.architecture.decoder import Decoder
from gpuhours.architecture.operators import Trainable
from gpuhours.flops import (
    CONVENTIONS,
    attention_flops,
    gemm_flops,
    hardware_flops,
    model_flops,
    part_flops,
    repeated_flops,
)
from gpuhours.inputs.errors import EstimateError
from gpuhours.layout.choices import Recompute
from gpuhours.layout.layout import Layout
from gpuhours.software.profile import load_software
from tests.round_machine import ADAPTED, LAYER, MODEL, TOKENS, VOCABULARY, workload

# mosaicml/llm-foundry@5e85bd62d, scripts/train/benchmarking/README.md: MFU and HFU as printed; shapes and
# step times
# of the same rows are in published/runs.csv. bf16 peaks are 989.4 and 312 TFLOP/s; FP8 rows divide by
# twice that.
PRINTED = {
    row["id"]: row
    for row in csv.DictReader(
        (Path(__file__).parent / "measurements" / "llm_foundry.csv").read_text(encoding="utf-8").splitlines()
    )
}
RUNS = (files("gpuhours") / "published" / "runs.csv").read_text(encoding="utf-8")
FOUNDRY = [row | PRINTED[row["id"]] for row in csv.DictReader(RUNS.splitlines()) if row["id"] in PRINTED]
PEAKS = {"h100-sxm-80gb": 989.4e12, "a100-sxm-80gb": 312e12, "a100-sxm-40gb": 312e12}
BIASED = {"norm": "layer", "attention_bias": "all", "mlp_bias": True}
GPT = {**BIASED, "gated": False, "positions": "learned", "tied": True}
MPT = Decoder(layers=1, hidden=64, heads=1, vocab=50368, **GPT)
LLAMA = Decoder(layers=32, hidden=4096, heads=32, kv_heads=8, ffn_hidden=14336, vocab=128256)


def column(name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in FOUNDRY])


def foundry_models() -> Decoder:
    fields = ("layers", "hidden", "heads", "ffn_hidden", "vocab")
    return MPT.model_copy(update={field: column(field) for field in fields})


def foundry_utilisation(flops: np.ndarray) -> np.ndarray:
    doubled = np.array([2 if row["dtype"] == "fp8" else 1 for row in FOUNDRY])
    peak = np.array([PEAKS[row["accelerator"]] for row in FOUNDRY]) * doubled
    return 100 * flops / (column("step_time_s") * column("gpus") * peak)


def test_llm_foundry_parameters_are_exact_to_the_printed_thousand() -> None:
    model = foundry_models().model(column("seq_len"))
    assert len(FOUNDRY) == 216
    np.testing.assert_allclose(model.parameters, column("params_b") * 1e9, atol=500)


def test_llm_foundry_mfu_comes_back_from_the_step_time() -> None:
    model = foundry_models().model(column("seq_len"))
    ours = foundry_utilisation(model_flops(model, column("global_batch"), "palm"))
    np.testing.assert_allclose(ours, column("mfu_pct"), rtol=0.01)


def test_llm_foundry_hfu_comes_back_too() -> None:
    # printed as 4/3 of MFU under full recomputation; ours leaves the head out, which is not recomputed
    model = foundry_models().model(column("seq_len"))
    layout = Layout().replaced(recompute=np.array([Recompute[row["recompute_kind"]] for row in FOUNDRY]))
    whole = load_software("megatron-core")  # repeats a layer to its end, as the source counts
    ours = foundry_utilisation(hardware_flops(model, column("global_batch"), layout, whole, convention="palm"))
    np.testing.assert_allclose(ours, column("hfu_pct"), rtol=0.01)


def test_gpt3_training_compute() -> None:
    # arXiv:2005.14165 table D.1: 3.14e23 FLOP for 174.6e9 parameters and 300e9 tokens, as 6 N D
    gpt3 = Decoder(layers=96, hidden=12288, heads=96, vocab=50257, **GPT)
    assert model_flops(gpt3.model(2048), 300e9 / 2048, "6nd") == pytest.approx(3.14e23, rel=0.005)


def test_longvila_attention_at_256_frames() -> None:
    # LongVILA table 10 (arXiv:2408.10188): 256.40 and 109.89 tera multiply-adds of causal attention,
    # Qwen2-7B and
    # 1.5B, at 256 frames of 196 tokens and about 372 of text
    length = 256 * 196 + 372
    for hidden, heads, expected in ((3584, 28, 256.40e12), (1536, 12, 109.89e12)):
        model = Decoder(layers=28, hidden=hidden, heads=heads, vocab=152064, ffn_hidden=8960).model(length)
        causal = attention_flops(model.stacks[0], full=False)
        assert causal / 2 == pytest.approx(expected, rel=0.001)


@pytest.mark.parametrize(
    ("trainable", "gemms", "attention"), [("full", 3, 3), ("frozen", 1, 1), ("pass-through", 2, 3), ("lora", 2, 3)]
)
def test_rules_of_partial_training(trainable: str, gemms: int, attention: int) -> None:
    """6, 2 and 4 FLOP per weight and token; attention has no weights: its backward is whole or absent."""
    stack = LLAMA.model(4096).stacks[0]
    part = part_flops(replace(stack, trainable=Trainable(trainable)))
    assert part.training == gemms * part.gemms + attention * part.attention


def test_recomputation_adds_a_forward_pass_and_never_counts_as_useful() -> None:
    model, software = LLAMA.model(4096), load_software("megatron-core")
    needed = model_flops(model, 8)

    def counted(**layout: Any) -> Any:
        return hardware_flops(model, 8, Layout().replaced(**layout), software)

    selective, full = counted(recompute=Recompute.selective), counted(recompute=Recompute.full)
    assert needed == hardware_flops(model, 8) < selective < full < 4 / 3 * needed
    half = counted(recompute=Recompute.full, recompute_layers=LLAMA.layers / 2)
    assert half - needed == pytest.approx((full - needed) / 2)
    together = counted(recompute=np.array([0, 1, 2]))
    np.testing.assert_allclose(together, [needed, selective, full])


def test_conventions_are_ordered() -> None:
    model = LLAMA.model(8192)
    count = {name: model_flops(model, convention=name) for name in CONVENTIONS}
    assert count["causal"] < count["full"] < count["palm"]


def test_unknown_convention() -> None:
    with pytest.raises(EstimateError, match="causal, full, palm, 6nd"):
        model_flops(LLAMA.model(4096), convention="whatever")


def test_flops_grow_in_proportion_to_samples_and_faster_with_length() -> None:
    one, two = model_flops(LLAMA.model(np.array([4096.0, 8192.0])), 1)
    assert model_flops(LLAMA.model(4096), 10) == pytest.approx(10 * one)
    assert two > 2 * one


def test_an_end_is_counted_once() -> None:
    """A head of [512, 1000] on 128 tokens: 2 x 512 x 1000 x 128; a layer's operators as often as there are layers."""
    model = Decoder(layers=3, hidden=512, heads=8, vocab=1000).model(128)
    head = next(part for part in model.ends if part.linears)
    assert part_flops(head).gemms == 2 * 512 * 1000 * 128
    assert part_flops(model.stacks[0]).gemms == 3 * part_flops(replace(model.stacks[0], layers=1)).gemms


def test_a_head_is_its_gemm_alone() -> None:
    """2 x 512 tokens x 1,024 x 4,096; no attention, no adapters, none of a stack's layers."""
    head = part_flops(workload().model.ends[-1])
    assert (head.gemms, head.attention, head.adapters, head.stacked) == (2 * TOKENS * VOCABULARY, 0, 0, False)


def test_what_is_not_there_is_exactly_nothing() -> None:
    """One sample if none is stated; absent GEMMs, attention and repetition are exactly 0, not small numbers beside large ones."""
    asked = workload()
    model, stack = asked.model, asked.model.stacks[0]
    assert gemm_flops((), TOKENS) == 0
    assert gemm_flops(stack.block.linears, TOKENS) == 2 * TOKENS * (LAYER - 2 * 1024)
    assert part_flops(replace(stack, block=replace(stack.block, attention=()))).attention == 0
    causal = 8 * 2 * 128 * TOKENS * (TOKENS + 1)  # of 8 heads, scores and sums of 128 each
    one = attention_flops(stack, full=False)
    assert one == pytest.approx(4 * causal, rel=2 / TOKENS)
    assert attention_flops(replace(stack, sequence=0), full=False) == 0, "sequences of no tokens"
    for convention in CONVENTIONS:
        assert model_flops(model, convention=convention) == model_flops(model, 1, convention)
    frozen = replace(stack, trainable=Trainable.FROZEN)
    for part, recompute in ((stack, "none"), (frozen, "full"), (frozen, "selective")):
        assert repeated_flops(part, model, Layout(recompute=recompute), asked.software) == 0
    selective = Layout(recompute="selective")
    assert hardware_flops(model, layout=selective, software=asked.software) == hardware_flops(
        model, 1, selective, asked.software
    )
    assert (
        hardware_flops(model, 1, selective) == hardware_flops(model, 1, software=asked.software) == model_flops(model)
    )


def test_adapters_are_always_trained() -> None:
    """Frozen weights that gradients pass through count twice, attention and adapters of rank 8 three times."""
    part = part_flops(workload(ADAPTED).model.stacks[0])
    each = 8 * (2 * (1024 + 1024) + 2 * (1024 + 256))
    assert part.adapters == 2 * TOKENS * 4 * each
    assert part.forward == part.gemms + part.attention + part.adapters
    assert part.training == 2 * part.gemms + 3 * part.attention + 3 * part.adapters


def test_all_of_a_layer_is_run_again() -> None:
    """Full recomputation by a stack that repeats a layer to its end runs GEMMs, adapters and attention once more."""
    for model in (MODEL, ADAPTED):
        asked = workload(model)
        stack = asked.model.stacks[0]
        part = part_flops(stack)
        whole = repeated_flops(stack, asked.model, Layout(recompute="full"), load_software("megatron-core"))
        assert whole == pytest.approx(part.gemms + part.adapters + part.attention)


def test_layers_of_windows_attend_inside_them() -> None:
    """Four layers of four windows of 128 tokens, eight heads of 128: scores and sums of 2 x 128 x 128 x 128 each, half under the mask."""
    one = workload().model.stacks[0]
    assert one.block.attention[0].causal
    windows = replace(one, sequence=128)
    scores = 8 * 2 * 128 * 128 * 128
    assert attention_flops(windows, full=True) == 4 * 4 * 2 * scores
    assert attention_flops(one, full=True) == 4 * 2 * 8 * 2 * 512 * 512 * 128
    assert attention_flops(windows, full=False) == pytest.approx(4 * 4 * scores, rel=0.01)


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_frozen_layers_without_a_backward_pass_repeat_nothing(recompute: str) -> None:
    asked = workload(recompute=recompute)
    frozen = replace(asked.model.stacks[0], trainable=Trainable.FROZEN)
    assert repeated_flops(frozen, asked.model, asked.layout, asked.software) == 0
