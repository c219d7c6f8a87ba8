"""Models that read video (encoders, bridges and language models together) against hand calculations."""

from typing import Any

import numpy as np
import pytest

from gpuhours.architecture import read_model
from gpuhours.architecture.operators import Ends, Model, Stack, Trainable
from gpuhours.architecture.spec import Spec
from gpuhours.data import Data
from gpuhours.flops import model_flops, part_flops
from gpuhours.inputs.errors import EstimateError

VIDEOMAE_HUGE = {
    "encoder": {
        "layers": 32,
        "hidden": 1280,
        "heads": 16,
        "patch": 16,
        "tubelet": 2,
        "class_token": False,
        "positions": "fixed",
        "pre_norm": False,
        "patch_bias": True,
        "attention_bias": "no-key",
    },
    "mask_ratio": 0.75,
    "decoder_layers": 8,
}


def part(model: Model, name: str) -> Stack | Ends:
    return next(found for found in model.parts if found.name == name)


def composed(bridge: object = None, *, vision: str = "frozen", language: object = "qwen2-7b") -> Spec:
    return read_model(
        {
            "vision": {"name": "vit-l-14", "trainable": vision},
            "bridge": bridge or {"kind": "linear"},
            "language": language,
        }
    )


def test_video_llama_30b_by_hand() -> None:
    """One pass over 168.75 M clips of 64 frames, 256 tokens each, and 500 B of text: 5.85e23 FLOP as 6 N
    D, of which the frozen ViT-L/14 has 1.75e21; 2.765 T visual tokens."""
    spec = composed(language={"params": "29.7B"})
    data = Data.model_validate({"video_hours": 1.5e6, "fps": 2, "frames": 64, "text_corpus": 500e9})
    model, clips = spec.build(data), data.unique_samples
    assert model.parameters == pytest.approx(30e9, rel=0.005)
    assert model_flops(model, clips, "6nd") == pytest.approx(5.85e23, rel=0.01)
    assert part_flops(part(model, "vision layers")).training * clips == pytest.approx(1.75e21, rel=0.005)
    assert (spec.tokens_per_sample(data) * clips - 500e9) == pytest.approx(2.765e12, rel=1e-3)
    assert spec.tokens_per_sample(Data(frames=64, resolution=336, text_tokens=0)) == 64 * 576


def test_video_llama_13b_by_hand() -> None:
    """A 3.5 B encoder on 16 frames and 9.5 B of decoder: 4.36e14 FLOP per pair when the 4,096 visual
    tokens pass the decoder beside 2,048 of text; 2.87e13 for the encoder if it is frozen, three times
    that if not."""
    data = Data(frames=16, resolution=224, text_tokens=2048)
    for trainable, expected in (("frozen", 2.87e13), ("full", 8.60e13)):
        spec = read_model({"vision": {"params": "3.5B", "trainable": trainable}, "language": {"params": "9.5B"}})
        model = spec.build(data)
        assert spec.tokens_per_sample(data) == 6144
        encoder = [one for one in model.parts if one.name in ("vision layers", "patch embedding")]
        alone = model_flops(Model("", tuple(encoder), 0), convention="6nd")
        assert alone == pytest.approx(expected, rel=0.02)
    assert model_flops(model, convention="6nd") == pytest.approx(4.36e14, rel=0.02)
    assert model.parameters == pytest.approx(13e9, rel=0.005)


def test_x_gen_video_by_hand() -> None:
    """ViT-G/14 forward on 64 frames is 6.19e13 FLOP; fixed queries do not change the length of the text sequence."""
    spec = read_model(
        {
            "vision": {"name": "ViT-G/14", "trainable": "frozen"},
            "bridge": {"kind": "cross-attention", "every": 4, "resampler": {"queries": 512}},
            "language": {"params": "22B"},
        }
    )
    data = Data(frames=64, text_tokens=1024)
    model = spec.build(data)
    seen = [one for one in model.parts if one.name in ("vision layers", "patch embedding")]
    assert sum(part_flops(one).training for one in seen) == pytest.approx(6.19e13, rel=0.01)
    assert spec.tokens_per_sample(data) == 1024
    looking = part(model, "cross-attention layers")
    assert isinstance(looking, Stack)
    assert looking.block.attention[0].keys == 512
    assert part(model, "cross-attention keys and values").tokens == 512


@pytest.mark.parametrize(("width", "expected"), [(512, 1.92e12), (640, 2.08e12)])
def test_videomae_huge_by_hand(width: int, expected: float) -> None:
    """392 of 1,568 tokens in the encoder, all of them in 8 decoder layers: 1.92 to 2.08e12 FLOP per clip."""
    spec = read_model({**VIDEOMAE_HUGE, "decoder_hidden": width})
    model = spec.build(Data(frames=16, resolution=224))
    assert part(model, "vision layers").tokens == 392
    assert part(model, "decoder layers").tokens == 1568
    assert model_flops(model) == pytest.approx(expected, rel=0.015)
    encoder = sum(found.parameters for found in model.parts[:2])
    assert encoder == pytest.approx(632e6, rel=0.001)


def test_forgetting_the_mask_overstates_threefold() -> None:
    spec = read_model(VIDEOMAE_HUGE)
    data = Data(frames=16, resolution=224)
    assert 6 * 632e6 * 1568 / model_flops(spec.build(data)) == pytest.approx(3, rel=0.05)


def test_longvila_stage_5_by_hand() -> None:
    """30,584 samples of 196 tokens a frame and 500 of text through Qwen2-7B, one epoch: 4.53e19, 1.13e20 and
    3.18e20 FLOP in the language model at 128, 256 and 512 frames, all in one call."""
    frames = np.array([128, 256, 512])
    spec = read_model("longvila-7b")
    model = spec.build(Data(text_tokens=500).model_copy(update={"frames": frames}))
    language = Model("", tuple(one for one in model.parts if one.name in ("layers", "head")), 0)
    np.testing.assert_allclose(model_flops(language, 30_584), [4.53e19, 1.13e20, 3.18e20], rtol=0.01)


@pytest.mark.parametrize(
    ("tokens", "length", "expected"), [(20_971_520, 131_072, 2.25e18), (335_544_320, 262_144, 6.25e19)]
)
def test_longvila_stage_4_scripts_by_hand(tokens: float, length: int, expected: float) -> None:
    """The released LoRA scripts: 4 N and causal attention for Qwen2-7B, 2.25e18 and 6.25e19 FLOP."""
    spec = read_model({"name": "qwen2-7b", "trainable": "lora", "rank": 8})
    model = spec.build(Data(seq_len=length))
    assert model_flops(model, tokens / length) == pytest.approx(expected, rel=0.01)
    assert model.trainable_parameters == 28 * 8 * (2 * (3584 + 3584) + 2 * (3584 + 512))


def test_frozen_parts_cost_their_forward_pass_and_pass_gradients_only_where_needed() -> None:
    data = Data(frames=4, text_tokens=128)
    model = composed(language={"name": "qwen2-7b", "trainable": "frozen"}).build(data)
    assert part(model, "vision layers").trainable is Trainable.FROZEN
    assert part(model, "projector").trainable is Trainable.FULL
    assert part(model, "layers").trainable is Trainable.PASS_THROUGH
    assert model.trainable_parameters == part(model, "projector").parameters
    adapted = composed(language={"name": "qwen2-7b", "trainable": "lora"}, vision="full").build(data)
    assert part(adapted, "layers").trainable is Trainable.LORA
    assert part(adapted, "head").trainable is Trainable.PASS_THROUGH


BRIDGES = [
    ({"kind": "linear"}, 64 * 256),
    ({"kind": "mlp", "downsample": 2}, 64 * 64),
    ({"kind": "mlp", "pool": 4}, 64 * 16),
    ({"kind": "resampler", "queries": 32, "per": "frame"}, 64 * 32),
    ({"kind": "resampler", "queries": 64}, 64),
    ({"kind": "q-former", "queries": 32, "per": "frame"}, 64 * 32),
    ({"kind": "cross-attention", "every": 4}, 0),
    ({"kind": "cross-attention", "every": 5, "resampler": {"queries": 64}}, 0),
]


@pytest.mark.parametrize(("bridge", "visual"), BRIDGES, ids=lambda value: str(value))
def test_bridges_decide_what_reaches_the_language_model(bridge: dict[str, object], visual: int) -> None:
    spec, data = composed(bridge), Data(frames=64, text_tokens=100)
    assert spec.tokens_per_sample(data) == visual + 100
    model = spec.build(data)
    assert part(model, "layers").tokens == visual + 100
    assert model_flops(model) > model_flops(read_model("qwen2-7b").build(Data(seq_len=visual + 100)))


def test_stated_tokens_per_frame_stand_above_the_bridge() -> None:
    assert composed().tokens_per_sample(Data(frames=64, tokens_per_frame=50, text_tokens=25)) == 3225


def test_q_former_of_blip_2() -> None:
    """arXiv:2301.12597, section 3.1: the Q-Former has 188 M parameters, with BERT's 23.8 M embeddings and
    the text feed-forwards; what a picture passes through is 12 layers, 6 of which look at 1,408-wide
    features: 105.1 M."""
    spec = read_model(
        {
            "vision": {"name": "vit-g-14", "trainable": "frozen"},
            "bridge": {"kind": "q-former", "queries": 32},
            "language": {"name": "opt-2.7b", "trainable": "frozen"},
        }
    )
    model = spec.build(Data(frames=1, text_tokens=32))
    former = [one for one in model.parts if one.name.startswith(("queries", "resampler", "q-former"))]
    assert sum(one.parameters for one in former) == pytest.approx(105.1e6, rel=0.005)


def test_divided_attention_adds_timesformer_s_second_attention() -> None:
    """arXiv:2102.05095, table 2: 121.4 M with divided space-time attention, 85.9 M for space or joint
    attention."""
    shape = {"layers": 12, "hidden": 768, "heads": 12, "patch": 16, "pre_norm": False, "patch_bias": True}
    joint = read_model({**shape, "attends": "clip"}).build(Data(frames=8))
    divided = read_model({**shape, "attends": "divided"}).build(Data(frames=8))
    assert joint.parameters == pytest.approx(85.9e6, rel=0.002)
    further = 12 * (768 * 768 + 768)  # their model has one more GEMM after the temporal attention
    assert divided.parameters + further == pytest.approx(121.4e6, rel=0.002)


def test_ten_frames_cost_ten_times_in_the_encoder_and_more_behind_it() -> None:
    frames = np.array([1, 10])
    data = Data(text_tokens=0).model_copy(update={"frames": frames})
    model = composed({"kind": "mlp", "downsample": 2}).build(data)
    encoder = part_flops(part(model, "vision layers")).training
    assert encoder[1] == pytest.approx(10 * encoder[0])
    whole = part_flops(part(model, "layers")).training
    assert 10 < whole[1] / whole[0] < 11


WRONG = [
    ({"vision": "vit-l-15", "language": "qwen2-7b"}, "Did you mean 'vit-"),
    ({"vision": "vit-l-14", "language": "qwen2-7c"}, "Did you mean 'qwen"),
    ({"vision": {"name": "vit-l-14", "patchs": 3}, "language": "qwen2-7b"}, "Extra inputs"),
    (
        {"vision": "vit-l-14", "language": "qwen2-7b", "bridge": {"kind": "mlpp"}},
        "'mlpp' is not a kind of bridge; known kinds: linear",
    ),
    ({"vision": "vit-l-14", "language": "qwen2-7b", "bridge": {"kind": "q-former"}}, "Field required"),
    ({**VIDEOMAE_HUGE, "mask_ratio": 1.5}, "at most 1"),
    ({"vision": "ViT-G/14"}, "give either the language model or params"),
    ({"vision": "ViT-G/14", "language": "qwen2-7b", "params": "7B"}, "not both"),
    ({"vision": "ViT-G/14", "params": "1B"}, "exceed params"),
]


@pytest.mark.parametrize(("block", "message"), WRONG, ids=[row[1] for row in WRONG])
def test_bad_blocks_say_what_is_wrong(block: dict[str, object], message: str) -> None:
    with pytest.raises(EstimateError, match=message):
        read_model(block)


def test_all_frozen_trains_nothing() -> None:
    with pytest.raises(EstimateError, match="nothing is trained"):
        composed({"kind": "linear", "trainable": "frozen"}, language={"name": "qwen2-7b", "trainable": "frozen"})


@pytest.mark.parametrize("bridge", [{"kind": "linear"}, {"kind": "cross-attention", "resampler": {"queries": 64}}])
def test_a_whole_of_known_size_leaves_the_rest_to_the_language_model(bridge: dict[str, object]) -> None:
    """Video-LLaMA-30B and X-Gen-Video-30B state one size for the whole model."""
    spec = read_model({"params": "30.2B", "vision": {"name": "ViT-G/14", "trainable": "frozen"}, "bridge": bridge})
    data = Data(frames=64, text_tokens=512)
    assert spec.build(data).parameters == pytest.approx(30.2e9, rel=0.005)
    assert [one.name for one in spec.assumptions(data)] == ["data.resolution", "model.language"]
    swept = spec.model_copy(update={"params": np.array([13e9, 30e9, 70e9])}).build(data)
    np.testing.assert_allclose(swept.parameters, [13e9, 30e9, 70e9], rtol=0.005)


def test_a_language_model_gets_eyes() -> None:
    data = Data(frames=1, text_tokens=10)
    short = read_model({"name": "qwen2-7b", "vision": "vit-l-14"}).build(data)
    assert short.parameters == read_model({"language": "qwen2-7b", "vision": "vit-l-14"}).build(data).parameters


def test_video_without_frames_is_an_error() -> None:
    with pytest.raises(EstimateError, match="number of frames"):
        composed().build(Data(text_tokens=10))


def test_video_diffusion_tokens() -> None:
    """Wan 2.1 (arXiv:2503.20314): 81 frames of 480 x 832 become 21 x 30 x 52 = 32,760 tokens."""
    spec = read_model("wan-2.1-14b")
    assert spec.tokens_per_sample(Data(frames=81, resolution=832, height=480)) == 32_760
    assert spec.tokens_per_sample(Data(frames=81, resolution=1280, height=720)) == 75_600


def test_layers_along_time_without_text_have_no_cross_attention() -> None:
    """Latte of Open-Sora Plan: 28 layers of width 1,152 lose q, k, v, o to the text, each with a bias."""
    clip, h = Data(frames=65, resolution=512), 1152
    whole = read_model({"name": "open-sora-plan-1.0", "text_along_time": True}).build(clip)
    found = read_model("open-sora-plan-1.0").build(clip)
    assert whole.parameters - found.parameters == 28 * 4 * (h * h + h)
    frames, places, text = 17, 32 * 32, 300
    tokens = frames * places
    lost = 28 * (tokens * 2 * h * h + text * 2 * h * h + tokens * 2 * text * h)
    assert model_flops(whole) - model_flops(found) == pytest.approx(6 * lost, rel=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        {"kind": "vision", "layers": 12, "hidden": 768, "heads": 12, "patch": 16},
        {"kind": "diffusion", "layers": 12, "hidden": 768, "heads": 12},
    ],
)
def test_a_picture_smaller_than_a_patch_is_an_error(model: dict[str, Any]) -> None:
    with pytest.raises(EstimateError, match="holds no patch") as raised:
        read_model(model).build(Data(frames=1, resolution=12))
    assert raised.value.where == "data.resolution"


@pytest.mark.parametrize(("width", "told"), [(48, "heads of 64"), (100, "heads of 64"), (48, "7 heads")])
def test_a_decoder_that_does_not_divide_into_heads_is_an_error(width: int, told: str) -> None:
    heads = {"decoder_heads": 7} if "7" in told else {}
    with pytest.raises(EstimateError, match=f"is not divisible by {told}"):
        read_model({**VIDEOMAE_HUGE, "decoder_hidden": width, **heads})


def test_a_frozen_encoder_cannot_be_pretrained() -> None:
    with pytest.raises(EstimateError, match="is always trained"):
        read_model({**VIDEOMAE_HUGE, "encoder": {**VIDEOMAE_HUGE["encoder"], "trainable": "frozen"}})


@pytest.mark.parametrize(
    ("bridge", "told"),
    [
        ({"kind": "resampler", "queries": 64, "hidden": 32}, "heads of 64"),
        ({"kind": "resampler", "queries": 64, "heads": 7}, "7 heads"),
        ({"kind": "q-former", "queries": 32, "layers": 1}, "at least 2 layers"),
        ({"kind": "cross-attention", "every": 100}, "none is added"),
    ],
)
def test_a_bridge_that_cannot_be_meant_is_an_error(bridge: dict[str, Any], told: str) -> None:
    with pytest.raises(EstimateError, match=told):
        read_model(
            {"vision": {"name": "vit-l-14", "trainable": "frozen"}, "bridge": bridge, "language": {"params": "7B"}}
        ).build(Data(frames=1, text_tokens=77, resolution=224))


@pytest.mark.parametrize(
    ("trainable", "said", "text"), [("full", None, 300), ("frozen", None, 30), ("full", 0, 0), ("full", 50, 50)]
)
def test_a_picture_whose_text_nobody_states_has_a_usual_one(trainable: str, said: int | None, text: int) -> None:
    """576 patches of 14 x 14 in 336 x 336; beside them a question and its answer, or a caption where only the connector learns."""
    model = read_model(
        {
            "vision": {"name": "vit-l-14-336", "trainable": "frozen"},
            "language": {"name": "llama-2-7b", "trainable": trainable},
        }
    )
    data = Data(frames=1, text_tokens=said)
    assert model.tokens_per_sample(data) == 576 + text
    told = [one for one in model.assumptions(data) if one.name == "data.text_tokens"]
    assert [one.value for one in told] == ([] if said is not None else [text])
