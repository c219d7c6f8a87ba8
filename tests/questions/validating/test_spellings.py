"""A fact in other words is the same fact: rows respelled as another transcriber would give the same case."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from gpuhours.layout.choices import Module
from gpuhours.questions.validating.architecture import published_decoder, unusable, with_published_shape
from gpuhours.questions.validating.case import Case, case_of
from gpuhours.questions.validating.rows import Row, measured_rows
from gpuhours.questions.validating.stated import recompute_modules_of

SPELLINGS = {
    ("recompute_kind", "full", "recompute"): (
        "activation checkpointing", "checkpoint every layer", "gradient checkpointing: enabled", "AC=full", "every layer", "full remat",
        "activation recomputation", "True",
    ),
    ("recompute_kind", "none", "recompute"): (
        "disabled", "not used", "without activation checkpointing", "activation checkpointing: off", "gradient_checkpointing=False",
        "no ckpt", "0",
    ),
    ("recompute_kind", "selective", "recompute"): ("AC=selective", "selective (core attention)", "--recompute-activations", "minimal"),
    ("sharding", "zero3", "sharding"): ("FSDP2", "fully_shard", "FULL_SHARD", "zero_3", "DeepSpeed Z3", "optim_grads_params", "HSDP"),
    ("sharding", "zero1", "sharding"): (
        "ZeRO-1", "dist-opt", "use_distributed_optimizer", "zero_1", "optimizer states", "distributed optimizer",
    ),
    ("sharding", "none", "sharding"): ("DDP", "NO_SHARD", "plain data parallel", "replicated"),
    ("schedule", "1f1b", "schedule"): ("1F1B (non-interleaved)", "PipeDream-Flush", "non interleaved"),
    ("schedule", "interleaved", "schedule"): ("Interleaved 1F1B", "VPP", "looping"),
    ("dtype", "bf16", "dtype"): ("BF16-mixed", "bfloat16", "torch.bfloat16", "bf16/fp32", "16-bit", "mixed"),
    ("dtype", "fp8", "dtype"): ("FP8-CS", "bf16 + fp8", "float8", "FP8 hybrid"),
    ("dtype", "mxfp8", "dtype"): ("FP8-MX", "fp8_mx", "MXFP8 (e4m3)"),
    ("training_state", "pure", "training_state"): ("bf16-true", "all bf16"),
    ("training_state", "amp", "training_state"): ("autocast", "AMP"),
    ("seq_parallel", "1", "seq_parallel"): ("yes", "True", "on"),
    ("seq_parallel", "0", "seq_parallel"): ("no", "False"),
    ("gated_mlp", "1", "gated_mlp"): ("SwiGLU", "True", "yes"),
    ("gated_mlp", "0", "gated_mlp"): ("GELU", "False"),
    ("lora", "1", "lora"): ("True", "yes"),
    ("attention_kind", "unfused", "attention_kind"): ("standard", "vanilla attention"),
    ("attention_kind", "fused-cudnn", "attention_kind"): ("TransformerEngine", "TE DotProductAttention"),
    ("accelerator", "a100-sxm-40gb", "accelerator"): ("A100 40G", "NVIDIA A100-SXM4-40GB"),
}  # fmt: skip


@cache
def stated(column: str, said: str) -> Row:
    """The first published row that says it and can be predicted."""
    return next(
        row for row in measured_rows() if row.word(column) == said and row.seconds and isinstance(case_of(row), Case)
    )


@pytest.mark.parametrize(
    ("column", "said", "told_in", "words"),
    [(*key, words) for key, others in SPELLINGS.items() for words in others],
)
def test_other_words_for_a_fact(column: str, said: str, told_in: str, words: str) -> None:
    row = stated(column, said)
    blank = {column: "", "precision": ""} if told_in == "dtype" else {column: ""}
    if column == "recompute_kind":  # its scope is a column of its own
        row = replace(row, cells={**row.cells, "recompute_scope": ""})
    respelled = case_of(replace(row, cells={**row.cells, **blank, told_in: words}))
    known = case_of(row)
    assert isinstance(known, Case)
    assert isinstance(respelled, Case), respelled
    for part in ("layout", "precision", "decoder", "kernel", "accelerator", "chip", "gpus"):
        assert getattr(respelled, part) == getattr(known, part), part


@pytest.mark.parametrize(
    ("words", "modules"),
    [
        ("layernorm moe_act", {Module.layernorm, Module.moe_act}), ("moe_act, mla_up_proj", {Module.moe_act, Module.mla_up_proj}),
        ("mla-up-proj", {Module.mla_up_proj}), ("mlp", None), ("attention-core", None), ("", None),
    ],
)  # fmt: skip
def test_modules_by_their_names(words: str, modules: set[Module] | None) -> None:
    named = recompute_modules_of(Row({"recompute_scope": words}, 2))
    assert (None if named is None else set(named)) == modules


def test_words_that_say_nothing_known_are_remarked_on() -> None:
    row = stated("sharding", "zero1")
    odd = case_of(replace(row, cells={**row.cells, "sharding": "as usual", "schedule": "tidal"}))
    assert isinstance(odd, Case)
    assert {
        "sharding 'as usual' not understood: as usual for the stack",
        "schedule 'tidal' not understood: as usual for the stack",
    } <= set(odd.remarks)


@pytest.mark.parametrize(
    ("name", "layers", "kv_heads"),
    [
        ("Llama 3 70B LoRA (2 nodes)", 80, 8), ("LLAMA3_70B", 80, 8), ("DeepSeekV3", 61, None), ("Qwen2.5 32B 2-node", 64, 8),
        ("Gemma 2 9B full", 42, 8),
    ],
)  # fmt: skip
def test_names_of_published_models(name: str, layers: int, kv_heads: int | None) -> None:
    known = published_decoder(name)
    assert known is not None
    assert (known.layers, known.kv_heads) == (layers, kv_heads)


@pytest.mark.parametrize("name", ["Llama", "GPT 5B", "LLaMA-80b", "7B", "BERT 4B", "our model", ""])
def test_other_names_are_no_published_model(name: str) -> None:
    assert published_decoder(name) is None


def test_a_published_models_widths_need_not_be_stated() -> None:
    """With its key-value heads, feed-forward width and vocabulary blank, or all of its architecture, a row gives the same model."""
    row = next(
        row for row in measured_rows() if row.word("model_name") == "Llama 3.1 70B" and isinstance(case_of(row), Case)
    )
    known = case_of(row)
    widths = ("kv_heads", "ffn_hidden", "vocab", "gated_mlp")
    for blank in (widths, (*widths, "layers", "hidden", "heads")):
        case = case_of(replace(row, cells={**row.cells, **dict.fromkeys(blank, "")}))
        assert isinstance(case, Case), case
        assert isinstance(known, Case)
        assert case.decoder.model(4096).parameters == known.decoder.model(4096).parameters


@pytest.mark.parametrize(
    ("name", "billions", "layers", "fits"),
    [
        ("Llama 3 8B", 8, "", True), ("Llama 3 8B", 8.03, "", True), ("Llama 3 8B", "", "", True), ("Llama 3 8B", 70, "", False),
        ("Llama 3 8B", 6.7, "", False), ("Llama 3 70B", 70, "4", True), ("Llama 3 70B", 5.5, "4", True), ("Mixtral 8x7B", 47, "", True),
        ("Mixtral 8x7B", 13, "", True), ("Mixtral 8x7B", 141, "", False),
    ],
)  # fmt: skip
def test_a_name_with_the_size_of_another_model_is_not_predicted(
    name: str, billions: object, layers: str, fits: bool
) -> None:
    """A row of `Llama 3 8B` with 70 in ``params_b`` was predicted as 8 billion without a remark."""
    reason = unusable(Row({"model_name": name, "params_b": str(billions), "layers": layers, "top_k": "2"}, 2))
    assert reason is None if fits else reason is not None and f"params_b = {billions}, but {name} has " in reason


def test_another_width_is_another_model_and_a_part_keeps_its_layers() -> None:
    said = {"model_name": "Llama 3 70B", "layers": "4", "hidden": "8192", "heads": "64"}
    assert with_published_shape(Row(said, 2))[0].number("kv_heads") == 8
    assert with_published_shape(Row({**said, "hidden": "6144"}, 2))[0].number("kv_heads") is None


@pytest.mark.parametrize(
    ("framework", "degree"), [("NeMo AutoModel", 64), ("PyTorch FSDP2", 1), ("PyTorch FSDP2, DeepEP", None)]
)
def test_the_expert_degree_of_a_row_that_states_none(framework: str, degree: int | None) -> None:
    """AutoModel's recipes spread experts over the data-parallel ranks; elsewhere sharded ranks gather all experts, unless tokens are sent
    between ranks."""
    row = next(row for row in measured_rows() if row.word("model_name") == "GPT-OSS 120B" and row.word("ep") is None)
    case = case_of(replace(row, cells={**row.cells, "framework": framework}))
    if degree is None:
        assert case == "expert degree (ep) not stated"
    else:
        assert isinstance(case, Case), case
        assert case.layout.expert == degree
        assert (f"expert degree {degree}, usual for the stack" in case.remarks) is (degree > 1)
