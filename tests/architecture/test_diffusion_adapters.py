"""Adapters on diffusion transformers, counted by hand."""

from __future__ import annotations

import pytest

from gpuhours.architecture.model_spec import read_model
from gpuhours.architecture.operators import Ends, Model, Stack, Trainable
from gpuhours.data import Data
from gpuhours.flops import model_flops
from gpuhours.inputs.errors import EstimateError
from tests.conftest import Command

CLIP = Data(frames=33, resolution=512)
FLUX = {
    "kind": "two-stream",
    "double_layers": 19,
    "single_layers": 38,
    "hidden": 3072,
    "heads": 24,
    "text_hidden": 4096,
}


def built(model: object, **said: object) -> Model:
    whole = {"name": model} if isinstance(model, str) else model
    assert isinstance(whole, dict)
    return read_model({**whole, **said}).build(CLIP)


def test_wan_of_rank_32_has_eight_adapters_a_layer() -> None:
    """q, k, v, o of attention and of cross-attention, 40 layers of width 5,120: 8 x 2 x 32 x 5,120 x 40."""
    found = built("wan-2.1-14b", trainable="lora", rank=32)
    assert found.trainable_parameters == 8 * 2 * 32 * 5120 * 40 == 104_857_600
    assert found.parameters == built("wan-2.1-14b").parameters + found.trainable_parameters


def test_two_streams_have_adapters_each() -> None:
    """Flux of rank 16: q, k, v of both streams and of the single layers (h + r) each, o (h + r), and (h + w + r) behind a single layer."""
    h, r, w = 3072, 16, 4 * 3072
    found = built(FLUX, trainable="lora", rank=r)
    double, single = 19 * 2 * 4 * 2 * h * r, 38 * (3 * 2 * h * r + (h + w + h) * r)
    assert found.trainable_parameters == double + single


@pytest.mark.parametrize("name", ["wan-2.1-1.3b", "dit-xl-2", "cogvideox-2b", "open-sora-1.2", "pixart-alpha"])
def test_frozen_weights_save_a_third_of_the_gemms_at_most(name: str) -> None:
    """The forward pass and the gradients of activations remain: 4 of 6 FLOP per weight, and all of attention."""
    whole, adapted = built(name), built(name, trainable="lora", rank=4)
    share = model_flops(adapted, 1) / model_flops(whole, 1)
    assert 2 / 3 < share < 1
    kinds = {part.trainable for part in adapted.parts}
    assert Trainable.FULL not in kinds
    assert all(part.trainable is Trainable.FROZEN for part in adapted.parts if isinstance(part, Ends) and part.first)
    assert any(part.trainable is Trainable.LORA for part in adapted.parts if isinstance(part, Stack))


def test_more_targets_more_adapters_and_all_of_them_have_a_name() -> None:
    ordered = [
        built("wan-2.1-1.3b", trainable="lora", rank=8, targets=targets).trainable_parameters
        for targets in (["q"], ["q", "v"], ["q", "k", "v", "o"], ["q", "k", "v", "o", "up", "down"])
    ]
    assert ordered == sorted(set(ordered))
    assert built("wan-2.1-1.3b", trainable="lora", rank=8, targets=["all-linear"]).trainable_parameters == ordered[-1]
    with pytest.raises(EstimateError, match="no projection 'gate'"):
        built("wan-2.1-1.3b", trainable="lora", rank=8, targets=["gate"])


def test_a_video_fine_tune_is_asked_in_one_line(gpuhours_command: Command) -> None:
    asked = (
        "estimate",
        "--model",
        "wan-2.1-14b",
        "--lora",
        "32",
        "--gpu",
        "h100-sxm-80gb",
        "--gpus",
        "1",
        "--batch",
        "1",
    )
    ran = gpuhours_command(
        *asked, "--samples", "100", "--epochs", "50", "--frames", "33", "--set", "data.resolution=512"
    )
    assert ran.code == 0, ran.err
    assert "attention in full" in ran.out
    assert "causal attention" not in ran.out


def test_a_model_of_pictures_asks_for_no_frames(gpuhours_command: Command) -> None:
    """DiT has no patches in time, so a sample is one image; a model of clips needs frames, or brings those of its recipe."""
    asked = ("--gpu", "a100-sxm-80gb", "--gpus", "8", "--steps", "1000", "--batch", "256", "--quiet")
    assert gpuhours_command("estimate", "--model", "dit-xl-2", *asked).code == 0
    assert gpuhours_command("estimate", "--model", "open-sora-1.3", *asked).code == 0
    ran = gpuhours_command("estimate", "--model", "open-sora-1.0", *asked)
    assert ran.code == 2
    assert "number of frames" in ran.err


def test_encoder_decoders_have_adapters_on_both_halves_and_between_them() -> None:
    """T5 of width 512, rank 4, on q and v: 2 x 4 x 512 each in 6 encoder layers and, for both attentions, in 6 decoder layers."""
    read = Data(seq_len=512, text_tokens=64)
    whole = read_model({"name": "t5-small"}).build(read)
    found = read_model({"name": "t5-small", "trainable": "lora", "rank": 4, "targets": ["q", "v"]}).build(read)
    assert found.trainable_parameters == 3 * 6 * 2 * (2 * 4 * 512)
    assert found.parameters == whole.parameters + found.trainable_parameters
    ends = {part.name: part.trainable for part in found.parts if isinstance(part, Ends)}
    assert ends["embedding"] is Trainable.FROZEN, "nothing before the first adapter needs a gradient"
    assert ends["head"] is Trainable.PASS_THROUGH


def test_a_vision_transformer_takes_adapters() -> None:
    """ViT-B with adapters of rank 16 beside queries and values: 2 x 2 x 16 x 768 weights a layer, 589,824 in all, as peft counts; its
    patch embedding is frozen."""
    shape = {
        "name": "vit-b-16",
        "trainable": "lora",
        "rank": 16,
        "targets": ["q", "v"],
        "classes": 2,
        "projection": None,
    }
    model = read_model(shape).build(Data(frames=1, resolution=224))
    assert model.trainable_parameters == 12 * 2 * 2 * 16 * 768
    assert [part.trainable.name for part in model.parts][:2] == ["FROZEN", "LORA"]


def test_latent_attention_takes_the_targets_that_peft_calls_its_projections() -> None:
    """DeepSeek-V2-Lite's q_proj [2,048, 16 x 192] and o_proj [16 x 128, 2,048], rank 16, in 27 layers."""
    shape = {"name": "deepseek-v2-lite", "trainable": "lora", "rank": 16, "targets": ["q_proj", "o_proj"]}
    found = read_model(shape).build(Data(seq_len=1024))
    assert found.trainable_parameters == 27 * 16 * (2048 + 16 * 192 + 16 * 128 + 2048)


def test_latent_attention_has_targets_of_its_own() -> None:
    """DeepSeek-V3 by its config.json, rank 16, in 61 layers: q_b_proj [1,536, 128 x 192], kv_b_proj [512, 128 x 256] and o_proj [128 x 128,
    7,168]. Its attention has no k_proj and v_proj, the default of others; asked for, they are still refused."""
    shape = {"name": "deepseek-v3", "trainable": "lora", "rank": 16}
    decoder = read_model(shape)
    widths = (1536 + 128 * 192) + (512 + 128 * 256) + (128 * 128 + 7168)
    assert decoder.build(Data(seq_len=1024)).trainable_parameters == 61 * 16 * widths
    assert ("model.targets", "q_proj, kv_b_proj, o_proj") in {
        (one.name, one.value) for one in decoder.assumptions(Data())
    }
    with pytest.raises(EstimateError, match="no projection 'k'"):
        read_model(shape | {"targets": ["q", "k"]}).build(Data(seq_len=1024))
