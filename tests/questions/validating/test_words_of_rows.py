"""What a cell's words mean, word by word: as different transcribers write the same facts."""

from __future__ import annotations

import pytest

from gpuhours.layout.layout import Layout
from gpuhours.questions.validating.rows import Row
from gpuhours.questions.validating.stated import (
    dtype_of,
    not_understood,
    recompute_modules_of,
    recompute_of,
    schedule_of,
    sharding_of,
)
from gpuhours.questions.validating.words import kernel_in

ATTENTION = {
    "standard flash attention 2": "flash2", "FlashAttention-2 (standard)": "flash2", "flash_attention_2": "flash2", "FA2": "flash2",
    "flash-attn 2.5.8": "flash2", "flash-attn==2.3.6": "flash2", "Flash Attention v2": "flash2", "FlashAttention (v2)": "flash2",
    "FlashAttention-2, eager mode": "flash2", "vanilla FA-2": "flash2", "TE flash3": "flash3", "FlashAttention 3": "flash3",
    "flash_attn_3": "flash3", "FA3 (Hopper)": "flash3", "FA4": "flash3", "standard sdpa (cudnn)": "cudnn", "cuDNN fused attention": "cudnn",
    "SDPA, cuDNN backend": "cudnn", "TE": "cudnn", "Transformer Engine": "cudnn", "TE (fused attention)": "cudnn",
    "plain PyTorch SDPA": None, "SDPA": None, "F.scaled_dot_product_attention": None, "torch SDPA (standard)": None,
    "Triton flash": "flash1", "xFormers": "flash1", "FlashAttention-1": "flash1", "flash attention 1.0.4": "flash1",
    "flash": "flash", "SDPA flash": "flash", "FlashAttention, 2D-Attention": "flash", "FlashAttention, 4 heads": "flash",
    "standard": "unfused", "vanilla attention": "unfused", "plain softmax": "unfused", "eager": "unfused", "SDPA math": "unfused",
    "no FlashAttention": "unfused", "FlashAttention2 via xformers": "flash2",
    "without flash": "unfused", "non-flash": "unfused", "flash attention: off": "unfused",
    "ring attention (no memory-efficient attention)": "unfused",
}  # fmt: skip
FORMATS = {
    "bf16 with fp8 optimizer states": "bf16", "bf16 compute, fp8 all-gather": "bf16", "bf16, fp32 gradient accumulation": "bf16",
    "bf16 + fp8 dispatch": "bf16", "bf16, all-gather in fp8": "bf16", "BF16 (FP8 communication)": "bf16", "bf16; fp8 grads": "bf16",
    "fp32 shards, bf16 compute and gather, fp32 reduce-scatter": "bf16", "bf16 params, fp32 master weights": "bf16",
    "fp8 GEMMs, bf16 optimizer states": "fp8", "fp8 (bf16 gradients)": "fp8", "fp8 compute, bf16 all-gather": "fp8",
    "FP8 hybrid (E4M3/E5M2)": "fp8", "fp8 all-gather, fp8 matmuls": "fp8", "fp8 weights, bf16 compute": "bf16",
    "nf4 weights, bf16 compute": "nf4", "bf16 + nf4 (QLoRA)": "nf4", "mxfp8, bf16 optimizer": "mxfp8", "tf32 compute, fp32 states": "tf32",
    "fp8 gradients": "fp8", "O1": "fp16",
}  # fmt: skip
RECOMPUTED = {
    "full (offload: off)": "full", "full except 0": "full", "full + layernorm": "full", "full, not selective": "full",
    "full activation checkpointing, offload none": "full", "full, uniform, 1 layer": "full", "gradient_checkpointing=True": "full",
    "none (layernorm)": "none", "activation checkpointing = none": "none", "recompute: disabled": "none", "AC=off": "none",
    "recompute_num_layers=0": "none", "checkpoint_activations: false": "none", "No recomputation": "none", "remat (off)": "none",
    "selective: off": "none", "mlp off": "none", "full attention only": "selective",
    "selective + layernorm": "selective", "full except attention outputs (selective checkpoint++)": "selective",
    "moe": "selective", "shared_experts": "selective", "core_attn, moe_act": "selective", "selective, offload: off": "selective",
}  # fmt: skip
SHARDED = {
    "FSDP SHARD_GRAD_OP": "zero2", "_HYBRID_SHARD_ZERO2": "zero2", "FSDP2, reshard_after_forward=False": "zero2",
    "FSDP sharding optimizer+grads (ZeRO-2 like, no reshard after forward)": "zero2", "ZeRO stage 2": "zero2", "FSDP": "zero3",
    "FSDP2 (ZeRO-3), zero1=-1": "zero3", "Fully Sharded Data Parallel": "zero3", "HSDP, shard group 8": "zero3", "stage3": "zero3",
    "ZeRO-1 (weights not sharded)": "zero1", "DDP + distributed optimizer": "zero1", "DDP, unsharded": "none", "data parallelism": "none",
    "not sharded": "none", "FSDP NO_SHARD": "none", "data parallel, no sharding": "none",
}  # fmt: skip
SCHEDULED = {
    "1F1B (no interleaving)": "f1b1", "not interleaved": "f1b1", "non-interleaved 1F1B": "f1b1", "1F1B, without interleaving": "f1b1",
    "1f1b, no virtual stages": "f1b1", "VPP=1": "f1b1", "1F1B, interleaving: off": "f1b1", "PipeDream-Flush": "f1b1",
    "interleaved 1F1B": "interleaved", "1F1B-I": "interleaved", "VPP=4": "interleaved", "virtual pipeline 10": "interleaved",
    "GPipe (not interleaved)": "gpipe", "zero bubble, no interleaving": "zb1p",
}  # fmt: skip


@pytest.mark.parametrize(("words", "kernel"), ATTENTION.items())
def test_attention(words: str, kernel: str | None) -> None:
    assert kernel_in(words) == kernel


@pytest.mark.parametrize("column", ["dtype", "precision"])
@pytest.mark.parametrize(("words", "dtype"), FORMATS.items())
def test_number_formats(words: str, dtype: str, column: str) -> None:
    """The format of the GEMMs, not the narrowest of all that is stored or sent."""
    assert dtype_of(Row({column: words}, 2), "fp16") == dtype


@pytest.mark.parametrize("other", ["none", "full"])
@pytest.mark.parametrize(("words", "kind"), RECOMPUTED.items())
def test_recomputation(words: str, kind: str, other: str) -> None:
    row = Row({"recompute": words}, 2)
    assert recompute_of(row, other).name == kind
    assert not_understood(row) == ()
    Layout(recompute=recompute_of(row, other), recompute_modules=recompute_modules_of(row))


@pytest.mark.parametrize("other", ["none", "zero3"])
@pytest.mark.parametrize(("words", "kind"), SHARDED.items())
def test_sharding(words: str, kind: str, other: str) -> None:
    assert sharding_of(Row({"sharding": words}, 2), other).name == kind


@pytest.mark.parametrize("words", ["sharded data parallel", "Sharded DDP", "sharded DP"])
def test_what_is_sharded_is_not_guessed(words: str) -> None:
    row = Row({"sharding": words}, 2)
    assert sharding_of(row, "zero3").name == "zero3"
    assert not_understood(row) == (f"sharding {words!r} not understood: as usual for the stack",)


@pytest.mark.parametrize(("words", "kind"), SCHEDULED.items())
def test_schedules(words: str, kind: str) -> None:
    order = schedule_of(Row({"schedule": words}, 2))
    assert order is not None
    assert order.name == kind
