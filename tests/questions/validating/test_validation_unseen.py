"""Tables of unknown runs: read any wording, derive what is unambiguous, skip other rows with a reason."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.validating import Judged, validate
from gpuhours.questions.validating.accelerators import profile_of
from gpuhours.questions.validating.architecture import decoder_of
from gpuhours.questions.validating.case import case_of
from gpuhours.questions.validating.rows import Row, measured_rows
from gpuhours.questions.validating.stated import (
    UnstatedError,
    chunks_of,
    degrees_of,
    dtype_of,
    recompute_layers_of,
    recompute_of,
    schedule_of,
    sharding_of,
)
from gpuhours.questions.validating.words import gpus_in_node, kernel_in, method_in
from gpuhours.software.matching import profile_in

LLAMA: dict[str, Any] = {
    "source_title": "a table", "model_family": "Llama", "model_name": "Llama 3 8B", "accelerator": "h100-sxm-80gb",
    "software": "megatron-core", "dtype": "bf16", "sharding": "zero1", "layers": 32, "hidden": 4096, "heads": 32, "kv_heads": 8,
    "ffn_hidden": 14336, "gated_mlp": 1, "vocab": 128256, "seq_len": 8192, "global_batch": 128, "micro_batch": 1, "gpus": 16, "tp": 2,
    "pp": 1, "dp": 8, "cp": 1, "step_time_s": 6.5, "lora": 0,
}  # fmt: skip


def judged(tmp_path: Path, *changes: dict[str, Any]) -> list[Judged]:
    """Return the validation of rows of Llama 3 8B with some cells changed, one row per change."""
    columns = dict.fromkeys([*LLAMA, *(column for change in changes for column in change)])
    table = tmp_path / "runs.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        writer.writerows({**LLAMA, **change} for change in changes)
    return list(validate(table).judged)


def row(**cells: Any) -> Row:
    return Row({column: str(value) for column, value in cells.items()}, 2)


@pytest.mark.parametrize(
    ("text", "profile"),
    [
        ("A100", "a100-sxm-80gb"), ("NVIDIA A100-SXM4-40GB", "a100-sxm-40gb"), ("A100 40GB PCIe", "a100-pcie-40gb"),
        ("h100", "h100-sxm-80gb"), ("H100 PCIe", "h100-pcie-80gb"), ("h100-nvl", "h100-nvl-94gb"), ("H100 96GB HBM2e", "h100-sxm-96gb"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm-80gb"), ("h20", "h20-sxm-96gb"), ("gh200-96gb", "gh200-96gb"), ("B100", "b100-sxm"),
        ("v100-sxm-16gb", "v100-sxm-16gb"), ("Tesla V100", "v100-sxm-32gb"), ("l40s", "l40s"), ("L4", "l4"), ("RTX 4090", "rtx-4090"),
        ("a10g", "a10g"), ("A10", "a10"), ("A6000", "rtx-a6000"), ("GB200 NVL72", "gb200"), ("MI250X", "mi250x"), ("TPU v4", "tpu-v4"),
        ("trainium", None), ("Gaudi 2", None), ("P100", "p100-sxm-16gb"), ("K80", None), ("Hopper", None), ("a quick brown fox", None),
    ],
)  # fmt: skip
def test_accelerators_are_found_by_chip_form_and_memory(text: str, profile: str | None) -> None:
    assert profile_of(text) == profile


@pytest.mark.parametrize(
    ("text", "profile"),
    [
        ("torchtitan (fsdp2, torch.compile)", "fsdp-compile"), ("torchtitan, eager", "fsdp2-eager"), ("metaseq", "fsdp2-eager"),
        ("gpt-neox (deepspeed + megatron)", "deepspeed"), ("colossal-ai gemini", "deepspeed"), ("axolotl", "huggingface-trainer"),
        ("maxtext", "jax"), ("alpa", "jax"), ("paxml", "paxml"), ("megascale", "megatron-core"), ("megablocks", "megatron-core"),
        ("megatron-lm 2019", "megatron-2022"), ("megatron-lm", "megatron-lm"), ("nanotron", "nanotron"), ("litgpt", "torch-trainer"),
        ("hf trainer", "huggingface-trainer"), ("nanogpt", "torch-compile"), ("llm-foundry", "fsdp-eager"), ("nemo", "megatron-core"),
        ("something new", None), ("", None),
    ],
)  # fmt: skip
def test_stacks_are_found_by_what_tables_call_them(text: str, profile: str | None) -> None:
    assert profile_in(text) == profile


def test_llm_foundry_is_told_from_other_fsdp(tmp_path: Path) -> None:
    found = judged(
        tmp_path,
        {"software": "fsdp-eager", "framework": "llm-foundry 0.4"},
        {"software": "fsdp-eager", "framework": "torchtitan, FSDP2"},
    )
    assert [one.case.software.name for one in found if one.case] == ["fsdp-eager", "fsdp2-eager"]


def test_words_for_formats_sharding_recompute_and_schedules() -> None:
    assert dtype_of(row(dtype="bf16-true"), "bf16") == "bf16"
    assert dtype_of(row(precision="everything bf16 (6 + 2)"), "fp16") == "bf16"
    assert dtype_of(row(dtype="float8"), "bf16") == "fp8"
    assert dtype_of(row(dtype="4-bit nf4"), "bf16") == "nf4"
    assert dtype_of(row(dtype="amp"), "fp16") == "fp16"
    with pytest.raises(UnstatedError, match="not known"):
        dtype_of(row(dtype="posit"), "bf16")
    shardings = [
        sharding_of(row(zero_stage=text), "zero1").name
        for text in ("ZeRO-3 (FSDP)", "stage 2", "none (DDP)", "3", "-", "odd")
    ]
    assert shardings == ["zero3", "zero2", "none", "zero3", "zero1", "zero1"]
    kept = [
        recompute_of(row(recompute=text), "none").name
        for text in ("full, offloaded", "selective (attention core)", "none", "odd")
    ]
    assert kept == ["full", "selective", "none", "none"]
    orders = [
        schedule_of(row(schedule=text)) for text in ("1F1B", "interleaved 1F1B", "ZB-H1", "DualPipe", "GPipe", "odd")
    ]
    assert [order.name if order is not None else None for order in orders] == [
        "f1b1",
        "interleaved",
        "zb1p",
        "zb1p",
        "gpipe",
        None,
    ]


def test_words_for_attention_and_shared_sequences() -> None:
    kernels = [kernel_in(text) for text in ("FlashAttention-2", "FA3", "flash", "cuDNN", "eager", "xformers", "sdpa")]
    assert kernels == ["flash2", "flash3", "flash", "cudnn", "unfused", "flash1", None]
    methods = [method_in(text) for text in ("ring", "striped", "Ulysses", "usp", "2d", "all-gather", "")]
    assert methods == ["zigzag", "zigzag", "ulysses", "hybrid", "hybrid", "all-gather", "zigzag"]


def test_a_blank_degree_follows_from_the_others() -> None:
    whole = {"tp": 2, "pp": 2, "cp": 1, "dp": 4, "gpus": 16}
    for blank in ("tp", "pp", "dp", "gpus", "cp"):
        found = degrees_of(row(**{column: value for column, value in whole.items() if column != blank}))
        assert (found.tensor, found.pipeline, found.context, found.data, found.gpus) == (2, 2, 1, 4, 16)
    with pytest.raises(UnstatedError, match="tp and pp not stated"):
        degrees_of(row(gpus=16, dp=4))
    with pytest.raises(UnstatedError, match="does not divide"):
        degrees_of(row(gpus=16, tp=3, pp=2))


def test_chunks_that_are_not_printed_divide_a_stage() -> None:
    assert [chunks_of(*shape, 12) for shape in ((32, 2), (96, 8), (126, 8), (7, 4))] == [8, 12, 8, 2]


def test_odd_rows_never_stop_the_others(tmp_path: Path) -> None:
    odd: list[dict[str, Any]] = [
        {"micro_batch": "", "global_batch": 8}, {"micro_batch": 64}, {"gpus": ""}, {"kv_heads": ""}, {"ffn_hidden": ""}, {"vocab": ""},
        {"gated_mlp": ""}, {"seq_len": "8K"}, {"vp": 40, "pp": 4, "dp": 2}, {"hidden": 4097}, {"dtype": "nf4", "lora": 1},
        {"accelerator": "v100-sxm-32gb"}, {"accelerator": "v100-sxm-32gb", "attention_kind": "flash2"},
        {"accelerator": "b200-sxm", "attention_kind": "flash", "software": "fsdp-eager"}, {"dtype": "tf32"}, {"dtype": "fp32"},
        {"cp": 2, "dp": 4, "sequence_method": "what"}, {"shard_group": 3, "sharding": "zero3"}, {"schedule": "zb-v", "pp": 2, "dp": 4},
        {"model_family": "BERT", "model_name": "BERT-large", "gated_mlp": 0}, {"model_name": "ViT-L/16", "gated_mlp": 0},
        {"experts": 8, "top_k": 2, "ep": 4}, {"experts": 60, "top_k": 4, "ep": 16}, {"experts": 1, "top_k": 1}, {"layers": 1e6},
        {"internode_GBps_per_gpu": "25 GB/s"}, {"step_time_s": "", "tokens_per_s_per_gpu": 5000},
    ]  # fmt: skip
    for change, one in zip(odd, judged(tmp_path, *odd), strict=True):
        assert one.predicted is not None, (change, one.skipped_because)
        assert one.predicted > 0, change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seq_len": "2048/4096"}, "seq_len = '2048/4096' is not one number"), ({"micro_batch": ""}, "micro_batch not stated"),
        ({"global_batch": ""}, "global_batch not stated"), ({"tp": "", "pp": "", "dp": ""}, "tp and pp not stated"),
        ({"experts": 8, "ep": 2}, "top_k not stated"), ({"experts": 8, "top_k": 2}, "expert degree (ep) not stated"),
        ({"heads": ""}, "architecture not given (heads)"), ({"heads": 33}, "architecture cannot be built"),
        ({"accelerator": "trainium"}, "accelerator not stated"), ({"accelerator": "tpu-v4"}, "'tpu' is not one of"),
        ({"accelerator": "a100-sxm-80gb", "dtype": "fp8"}, "has no matrix rate for 'fp8'"), ({"dtype": "posit"}, "number format"),
        ({"model_family": "T5", "model_name": "T5-11B"}, "nor a plain encoder"), ({"global_batch": "1e308"}, "global_batch"),
        ({"gpus": 24}, None), ({"gpus": 17}, "does not divide 17 GPUs"),
    ],
)  # fmt: skip
def test_what_cannot_be_predicted_says_why(tmp_path: Path, change: dict[str, Any], reason: str | None) -> None:
    one = judged(tmp_path, change)[0]
    if reason is None:
        assert one.predicted is not None
    else:
        assert one.predicted is None
        assert reason in (one.skipped_because or "")


def test_a_file_with_few_columns_is_read_and_one_without_any_is_refused(tmp_path: Path) -> None:
    few = tmp_path / "few.csv"
    few.write_text("\ufeffseq_len,global_batch\n2048,8\n,\n", encoding="utf-8")
    assert all(one.skipped_because for one in validate(few).judged)
    none = tmp_path / "none.csv"
    none.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(EstimateError, match="no column"):
        validate(none)


def test_behind_a_pipeline_sharded_gradients_are_summed_once_a_step(tmp_path: Path) -> None:
    """Llama Team 2024, section 3.3.1: shards are not resharded between micro-batches."""
    stacked = {"pp": 2, "dp": 4, "vp": 1, "schedule": "1f1b"}
    one, two, three = judged(tmp_path, *({**stacked, "sharding": kind} for kind in ("zero1", "zero2", "zero3")))
    assert one.predicted == pytest.approx(two.predicted) == pytest.approx(three.predicted)


def test_rows_of_ours_are_judged_without_their_source_whatever_file_they_stand_in(tmp_path: Path) -> None:
    """A table that contains one of our rows and one new row."""
    ours = next(row for row in measured_rows() if row.id == "ZB-010")
    table = tmp_path / "mixed.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(ours.cells))
        writer.writeheader()
        writer.writerows([ours.cells, {**ours.cells, "id": "somebody-1"}])
    left, new = validate(table).judged
    within, _ = validate(table, in_sample=True).judged
    assert left.case is not None
    assert new.case is not None
    assert left.case.left_out
    assert left.case.without == "zero-bubble"
    assert new.case.left_out == ()
    assert new.predicted == within.predicted != left.predicted
    assert validate(table).summary()["leave_out"]
    assert validate(table, in_sample=True).summary()["leave_out"] == []


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("8x A100 80GB, 4x 100 Gb/s RoCE per node", 8), ("JUWELS Booster (4x A100 per node)", 4), ("2x 8-GPU nodes", 8), ("DGX-1", 8),
        ("16 nodes x 8 GPUs", 8), ("DGX-2 (16x V100)", 16), ("6 V100 per node", 6), ("64 A100, InfiniBand", None), ("single node", None),
    ],
)  # fmt: skip
def test_the_gpus_of_a_node_are_not_its_network_cards(text: str, gpus: int | None) -> None:
    assert gpus_in_node(text.lower(), 16) == gpus


def test_plain_pytorch_before_fused_kernels_is_its_own_stack(tmp_path: Path) -> None:
    change = {"software": "", "framework": "PyTorch DDP", "tp": 1, "dp": 16, "sharding": "none"}
    old, new = judged(tmp_path, {**change, "year": 2022}, {**change, "year": 2024})
    assert [one.case.software.name for one in (old, new) if one.case] == ["torch-2022", "torch-eager"]
    assert old.predicted is not None
    assert new.predicted is not None
    assert old.predicted > new.predicted


def test_facts_that_stand_in_a_name_fill_blank_columns(tmp_path: Path) -> None:
    """The result says so; a value stated in a column is not overruled."""
    change = {
        "model_name": "Llama 3 8B QLoRA",
        "software": "torch-eager",
        "tp": 1,
        "dp": 16,
        "sharding": "none",
        "lora": "",
        "dtype": "",
    }
    named, stated = judged(tmp_path, change, {**change, "lora": 0, "dtype": "bf16"})
    assert named.case is not None
    assert named.case.precision.dtype == "nf4"
    assert any("read in the name" in remark for remark in named.case.remarks)
    assert stated.case is not None
    assert stated.case.precision.dtype == "bf16"


def test_every_other_layer_is_full_recomputation_of_half() -> None:
    words = row(recompute="selective (every other layer)", recompute_kind="selective")
    assert recompute_of(words, "none").name == "full"
    assert recompute_layers_of(words, 80, 1) == 40
    assert recompute_layers_of(words, 80, 4) == 10
    assert recompute_layers_of(row(recompute="full, 24 of 32 blocks"), 32, 1) == 24
    assert recompute_layers_of(row(recompute="full"), 32, 1) is None


def test_gemms_scaled_by_row_are_no_faster_and_it_is_said(tmp_path: Path) -> None:
    plain = {"software": "fsdp-compile", "tp": 1, "dp": 16, "sharding": "zero3"}
    wide, narrow, by_row = judged(
        tmp_path, plain, {**plain, "dtype": "fp8"}, {**plain, "dtype": "fp8", "precision": "fp8 (torchao rowwise)"}
    )
    assert by_row.predicted == pytest.approx(wide.predicted)
    assert narrow.predicted is not None
    assert by_row.predicted is not None
    assert narrow.predicted < by_row.predicted
    assert by_row.case is not None
    assert any("scaled by row" in remark for remark in by_row.case.remarks)


def test_a_width_from_a_count_that_holds_the_embedding_twice(tmp_path: Path) -> None:
    """Llama 1.34G: 16 x (4 x 2048^2 + 3 x 2048 x 8192) + 131072 x 2048 = 1.34e9; on a pipeline its table prints 1.61."""
    change = {
        "model_name": "1.34G", "params_b": 1.61, "layers": 16, "hidden": 2048, "heads": 32, "kv_heads": 32, "ffn_hidden": 11008,
        "vocab": 131072, "derived_fields": "ffn_hidden from the parameter count",
    }  # fmt: skip
    derived, stated = judged(tmp_path, change, {**change, "derived_fields": ""})
    assert derived.case is not None
    assert derived.case.decoder.ffn_hidden == 8192
    assert stated.case is not None
    assert stated.case.decoder.ffn_hidden == 11008


def test_a_layout_that_failed_is_a_memory_call_and_no_step(tmp_path: Path) -> None:
    one = judged(tmp_path, {"status": "out of memory", "step_time_s": "", "micro_batch": 8})[0]
    assert one.error is None
    assert one.skipped_because is None
    assert one.fits is not None


def test_unsaid_recomputation_of_pytorch_is_what_fits(tmp_path: Path) -> None:
    """8 x 8K tokens per GPU of Llama 3 8B: 70 GB of activations in addition to the states, or one block at a time."""
    change = {
        "software": "fsdp-compile", "framework": "torchtune LoRA, torch.compile", "tp": 1, "dp": 16, "sharding": "zero3", "lora": 1,
        "micro_batch": 4, "vocab": 8192, "recompute_kind": "",
    }  # fmt: skip
    unsaid, none, full = judged(
        tmp_path, change, {**change, "recompute_kind": "none"}, {**change, "recompute_kind": "full"}
    )
    assert not none.fits
    assert unsaid.predicted == pytest.approx(full.predicted)


def test_stages_as_a_row_states_them(tmp_path: Path) -> None:
    """``stage_layers`` used to be ignored, so that any numbers gave the same step."""
    four = {"pp": 4, "tp": 1, "dp": 4, "micro_batch": 1}
    even, uneven, lost, short = judged(
        tmp_path,
        {**four, "stage_layers": "8 8 8 8"}, {**four, "stage_layers": "[5, 9, 9, 9]"}, {**four, "stage_layers": "8 8 8 7"},
        {**four, "stage_layers": "16 16"},
    )  # fmt: skip
    assert even.predicted is not None
    assert uneven.predicted is not None
    assert uneven.predicted > 1.05 * even.predicted
    assert lost.skipped_because == "stage_layers adds up to 31 layers, but the model has 32"
    assert "pipeline 4 needs 4" in (short.skipped_because or "")


def test_a_row_that_contradicts_itself_is_skipped(tmp_path: Path) -> None:
    """One such row used to end the whole command with an internal error."""
    four = {"pp": 4, "tp": 1, "dp": 4, "micro_batch": 1}
    both, apart = judged(tmp_path, {**four, "vp": 2, "schedule": "1f1b"}, {**four, "vp": 3, "schedule": "interleaved"})
    assert "interleave 2 requires schedule: interleaved" in (both.skipped_because or "")
    assert apart.skipped_because == (
        "32 layers do not divide into 4 stages of 3 chunks: interleave may be 1, 2, 4 or 8 at pipeline 4; "
        "layout.stage_layers states any other placement"
    )


@pytest.mark.parametrize(
    ("title", "share"),
    [
        ("NVIDIA DeepLearningExamples BERT", 0.15),
        ("NVIDIA NeMo Framework Launcher README", 1.0),
        ("BERT in Megatron-LM, by NVIDIA", 1.0),
    ],
)
def test_a_masked_head_is_what_the_code_computes_not_who_publishes_it(title: str, share: float) -> None:
    cells = {
        "model_name": "BERT 4B",
        "layers": "48",
        "hidden": "2560",
        "heads": "40",
        "vocab": "30592",
        "source_title": title,
    }
    decoder, why = decoder_of(Row(cells, 2))
    assert decoder is not None, why
    assert decoder.head_share == share


@pytest.mark.parametrize(
    ("cells", "dropped"),
    [
        ({"software": "Megatron-LM", "year": 2024}, True), ({"software": "Megatron-LM", "year": 2023}, True),
        ({"software": "Megatron-LM", "year": 2024, "dropout": 0}, False), ({"software": "Megatron-LM", "year": 2024, "lora": 1}, False),
        ({"software": "megatron-core", "year": 2025}, False), ({"software": "megatron-core", "dropout": 0.1}, True),
        ({"software": "deepspeed", "tp": 1, "cp": 2, "sequence_method": "ulysses"}, True),
        ({"software": "deepspeed", "tp": 1, "cp": 2, "sequence_method": "ring"}, False), ({"software": "nanotron"}, False),
        ({"software": "PaddlePaddle Fleet"}, False), ({"software": "internevo", "tp": 1, "cp": 2, "sequence_method": "ulysses"}, False),
    ],
)  # fmt: skip
def test_dropout_where_a_row_does_not_say_is_its_stacks(cells: dict[str, Any], dropped: bool) -> None:
    """Megatron-LM's arguments are 0.1, so are those of Megatron-DeepSpeed, where Ulysses is from; recipes and adapters have none."""
    case = case_of(row(**{**LLAMA, "sharding": "zero1", **cells}))
    assert not isinstance(case, str), case
    assert case.decoder.dropout is dropped
