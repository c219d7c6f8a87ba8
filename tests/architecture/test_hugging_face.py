"""Configurations of Hugging Face's libraries, with parameters counted by the libraries themselves.

``hugging_face_configs.jsonl``: defaults of each model type that is read and one variation of it, with the parameters that transformers 5.17
(types added later: 5.24) and diffusers (0.42) count in the class that the configuration builds (meta device, tied weights once).
``kimi_k25`` is moonshotai/Kimi-K2.5's own file, counted from the shapes of its published tensors (the library has no class for it).
Types whose code comes with their weights have the total of the stored weights, as others printed it: ``internlm2``, ``minicpm`` and
``deepseek`` (model tables that list InternLM2.5-7B, MiniCPM-2B and DeepSeekMoE 16B to the parameter), ``chatglm`` and ``qwen`` (half
the bytes of their index, 12,487,168,064 and 15,442,649,088; github.com/MrYxJ/calculate-flops.pytorch), ``bailing_moe_v2`` (Ling-mini
2.0's 16,255,643,392 elements less the 256 biases of 19 routers, a buffer), ``lfm2_moe`` (LFM2-8B-A1B's 8,339,929,856 elements in bf16).
``Dream``, ``llada``, ``hf_olmo``, ``internvl_chat``, ``gte``, ``new``, ``xglm``, ``chinese_clip`` and the Qwens' texts have the totals
of the pages of Dream 7B, LLaDA 8B, OLMo 7B, InternVL3.5-8B, gte-multilingual-base, XGLM 564M, Chinese-CLIP ViT-B/16 and of the
language models themselves, as remembered. ``baichuan``, ``bailing_moe``, ``mimo``, ``xverse``, ``orion``, ``aquila``, ``metaclip_2``
and ``kimi_vl`` are what we count: their cards' 7.5, 16.8, 7, 7, 14.5, 7.3, 1.9 and 16 B agree to their digits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpuhours.architecture.hugging_face.config import readers
from gpuhours.architecture.model_spec import read_model
from gpuhours.data import Data
from gpuhours.inputs.errors import EstimateError

ROWS = [json.loads(line) for line in (Path(__file__).parent / "hugging_face_configs.jsonl").read_text().splitlines()]
ONE = Data(seq_len=4096, frames=1)


def kind(config: dict[str, Any]) -> str:
    return str(config.get("model_type") or config["_class_name"])


def written(folder: Path, config: dict[str, Any]) -> str:
    path = folder / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return str(path)


NOT_EXACT = {
    "ernie4_5_moe": "use_bias", "nemotron_h": "biases of its mixers", "vjepa2": "qkv_bias of the predictor", "mbart": "untied head",
}  # fmt: skip
"""Model types whose variation is not counted exactly, and the reason; no published configuration that we know uses any of them."""


def rows() -> Iterator[Any]:
    """Yield every row; the variation of a type in ``NOT_EXACT`` is expected to fail."""
    seen: set[str] = set()
    for row in ROWS:
        name = kind(row["config"])
        misses = name in seen and name in NOT_EXACT
        marks = [pytest.mark.xfail(strict=True, reason=NOT_EXACT[name])] if misses else []
        yield pytest.param(row, id=name, marks=marks)
        seen.add(name)


@pytest.mark.parametrize("row", list(rows()))
def test_parameters_are_exact(row: dict[str, Any], tmp_path: Path) -> None:
    model = read_model(written(tmp_path, row["config"])).build(ONE)
    assert model.parameters == row["parameters"]


def test_every_reader_has_a_row() -> None:
    """Except for types that only remote code has, or that the library counts in parts that need another package."""
    remote = {"solar", "yi", "ministral", "dots1", "kimi_k2", "hunyuan_v1_dense", "hunyuan_v1_moe", "gemma3n", "dbrx", "deepseek_v2",
              "megatron-bert", "gpt-sw3", "nemotron", "electra-base", "idefics3", "smolvlm", "siglip2", "umt5"}  # fmt: skip
    assert set(readers()) - {kind(row["config"]) for row in ROWS} <= remote


@pytest.mark.parametrize(
    ("name", "missing"),
    [("wavlm", "convolutions over audio"), ("convnextv2", "has convolutions"), ("UNet2DConditionModel", "U-Net"),
     ("SanaTransformer2DModel", "linear attention"), ("LTX2VideoTransformer3DModel", "audio stream"), ("qwen2_audio", "audio"),
     ("segformer", "stages"), ("detr", "object detector"), ("longcat_flash", "two attentions"), ("instructblip", "Q-Former"),
     ("minicpmv", "learned queries"), ("nemotron-nas", "different widths"), ("openelm", "different widths"), ("plamo2", "state-space"),
     ("diffllama", "differential attention"), ("chameleon", "VQ-GAN"), ("molmo", "not in its file"), ("ovis2", "visual words")],
)  # fmt: skip
def test_what_is_not_modelled_is_refused_with_its_name(name: str, missing: str, tmp_path: Path) -> None:
    with pytest.raises(EstimateError, match=f"{name}.*{missing}.*not modelled") as refused:
        read_model(written(tmp_path, {"model_type": name, "hidden_size": 2048}))
    assert "Did you mean" not in refused.value.hint


def test_an_unknown_type_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(EstimateError, match="is not supported") as refused:
        read_model(written(tmp_path, {"model_type": "qwen3_nxt"}))
    assert "'qwen3_next'" in refused.value.hint
    assert "gpuhours models types" in refused.value.hint


def test_a_layer_that_borrows_keys_has_no_adapters_of_them(tmp_path: Path) -> None:
    """Gemma 3n of 10 layers of 1,024, the last 4 without keys: rank 8 on q, k, v adds 8 (1024 + 2048) + 16 (1024 + 512) to 6 layers, the
    first alone to 4."""
    text = [row["config"] for row in ROWS if row["config"].get("model_type") == "gemma3n_text"][1]
    tuned = read_model(written(tmp_path, text)).model_copy(
        update={"trainable": "lora", "rank": 8, "targets": ("q", "k", "v")}
    )
    assert tuned.build(ONE).trainable_parameters == 10 * 8 * 3072 + 6 * 16 * 1536


def test_a_folder_is_read_as_its_config(tmp_path: Path) -> None:
    written(tmp_path, ROWS[0]["config"])
    assert read_model(str(tmp_path)).build(ONE).parameters == ROWS[0]["parameters"]


def test_a_folder_beside_is_read_by_its_bare_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--model my-model`` for a folder in the current one was no model; a known model's name stays one."""
    row = next(row for row in ROWS if kind(row["config"]) == "gpt2")
    for name in ("my-model", "llama-2-7b"):
        (tmp_path / name).mkdir()
        written(tmp_path / name, row["config"])
    monkeypatch.chdir(tmp_path)
    assert read_model("my-model").build(ONE).parameters == row["parameters"]
    assert read_model("llama-2-7b").build(ONE).parameters == 6_738_415_616


def test_a_key_that_nobody_understands_is_listed(tmp_path: Path) -> None:
    llama = next(row["config"] for row in ROWS if row["config"].get("model_type") == "llama")
    spec = read_model(written(tmp_path, {**llama, "attention_holes": 7}))
    assert spec.unread == ("attention_holes = 7",)
    assert "attention_holes" in str(spec.not_understood[0].value)


def test_phi3_keeps_its_window(tmp_path: Path) -> None:
    """Without the window, attention FLOPs at 4K tokens are a third too high."""
    phi = next(row["config"] for row in ROWS if row["config"].get("model_type") == "phi3")
    windowed = read_model(written(tmp_path, {**phi, "sliding_window": 2047})).build(ONE)
    core = windowed.stacks[0].block.attention[0]
    assert core.window == 2047


def test_new_and_old_names_of_one_key_read_the_same(tmp_path: Path) -> None:
    """transformers 5 renamed num_experts to num_local_experts."""
    qwen = next(row["config"] for row in ROWS if row["config"].get("model_type") == "qwen3_moe")
    number = qwen.get("num_local_experts") or qwen["num_experts"]
    plain = {key: value for key, value in qwen.items() if key not in ("num_local_experts", "num_experts")}
    counts = {
        read_model(written(tmp_path, {**plain, name: number})).build(ONE).parameters
        for name in ("num_local_experts", "num_experts")
    }
    assert len(counts) == 1


@pytest.mark.parametrize(
    "broken",
    [
        {"num_hidden_layers": "many"},
        {"num_hidden_layers": True},
        {"layer_types": 3},
        {"num_hidden_layers": 1.5},
        {"tie_word_embeddings": float("inf")},
        {"mlp_bias": "no"},
    ],
)
def test_a_wrong_value_names_its_key(broken: dict[str, Any], tmp_path: Path) -> None:
    llama = next(row["config"] for row in ROWS if row["config"].get("model_type") == "llama")
    with pytest.raises(EstimateError, match=next(iter(broken))):
        read_model(written(tmp_path, {**llama, **broken}))


def test_an_infinite_image_is_refused(tmp_path: Path) -> None:
    tower = {"model_type": "pixtral", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
             "image_size": float("inf"), "patch_size": 16, "head_dim": 64}  # fmt: skip
    with pytest.raises(EstimateError, match="image_size"):
        read_model(written(tmp_path, tower))


@pytest.mark.parametrize(
    ("type_", "change"),
    [("minicpm3", {"attention_bias": True}), ("dinov3_vit", {"value_bias": False}), ("falcon_h1", {"projectors_bias": True}),
     ("opt", {"layer_norm_elementwise_affine": False})],
)  # fmt: skip
def test_a_value_that_is_not_modelled_is_listed(type_: str, change: dict[str, Any], tmp_path: Path) -> None:
    """For such a value the library counts more or fewer parameters; the reader used to accept the key and ignore it."""
    plain = next(row["config"] for row in ROWS if row["config"].get("model_type") == type_)
    (listed,) = set(read_model(written(tmp_path, {**plain, **change})).unread) - set(
        read_model(written(tmp_path, plain)).unread
    )
    assert listed.split(" = ") == [next(iter(change)), str(next(iter(change.values())))]


def test_other_heads_in_the_decoder_are_refused(tmp_path: Path) -> None:
    bart = next(row["config"] for row in ROWS if row["config"].get("model_type") == "bart")
    with pytest.raises(EstimateError, match="decoder_attention_heads are not supported"):
        read_model(written(tmp_path, {**bart, "decoder_attention_heads": 2 * bart["encoder_attention_heads"]}))


def test_pictures_that_wan_looks_at_take_time(tmp_path: Path) -> None:
    """257 keys in addition to the text's 512 in each of 40 layers: 2,105,977,600 more parameters, and their attention."""
    wan = [row["config"] for row in ROWS if row["config"].get("_class_name") == "WanTransformer3DModel"]
    seen = next(config for config in wan if config.get("image_dim"))
    read = [
        read_model(written(tmp_path, config)).build(ONE)
        for config in (seen, {**seen, "image_dim": None, "added_kv_proj_dim": None})
    ]
    assert read[0].parameters - read[1].parameters == 2_105_977_600
    assert [core.keys for core in read[0].stacks[0].block.attention if core.keys is not None] == [512, 257]
    with pytest.raises(EstimateError, match="added_kv_proj_dim"):
        read_model(written(tmp_path, {**seen, "added_kv_proj_dim": None}))


def test_weights_that_llm_foundry_adds_to_an_mpt_are_listed(tmp_path: Path) -> None:
    """Biases and norms of queries and keys exist in llm-foundry's models and are not counted; the library's class has neither."""
    mpt = next(row["config"] for row in ROWS if row["config"].get("model_type") == "mpt")
    spec = read_model(
        written(
            tmp_path, {**mpt, "no_bias": False, "attn_config": {"qk_ln": True, "attn_type": "multiquery_attention"}}
        )
    )
    listed = " ".join(spec.unread)
    assert "attn_config.qk_ln = True" in listed
    assert "attn_config.attn_type = multiquery_attention" in listed
    assert "no_bias = False" in listed
