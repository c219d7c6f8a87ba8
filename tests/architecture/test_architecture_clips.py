"""Clips of different lengths: padded to the longest, packed, or padded by a stated share, as tokens, FLOPs and step time."""

from typing import Any

import pytest

import gpuhours
from gpuhours.inputs.errors import EstimateError
from gpuhours.run.spec import from_dict

CLIPS: dict[str, Any] = {
    "model": {"vision": {"name": "vit-l-14", "trainable": "frozen"}, "bridge": {"kind": "mlp"}, "language": {"params": "7B"}},
    "data": {"frames": 8, "resolution": 224, "text_tokens": 256, "dataset_samples": 1e6, "epochs": 1},
    "training": {"global_batch": 64},
    "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 64},
    "layout": {"tensor": 4, "sharding": "zero1", "recompute": "full", "vision": "replicated"},
}  # fmt: skip


def of_clips(**data: Any) -> dict[str, float]:
    """Results of clips of 8 frames on average."""
    found = gpuhours.estimate(from_dict({**CLIPS, "data": {**CLIPS["data"], **data}})).results
    return {name: float(found[name].value) for name in ("tokens", "effective_tokens", "step_time", "model_flops")}  # type: ignore[union-attr]


def test_clips_padded_to_the_longest_cost_what_it_costs() -> None:
    padded, longest, mean = of_clips(longest_frames=64), of_clips(frames=64), of_clips()
    assert padded["step_time"] == longest["step_time"]
    assert padded["tokens"] == longest["tokens"] == 1e6 * (64 * 256 + 256)
    assert padded["effective_tokens"] == mean["tokens"] == mean["effective_tokens"] == 1e6 * (8 * 256 + 256)


def test_packed_clips_waste_nothing() -> None:
    packed, mean = of_clips(longest_frames=64, packed=True), of_clips(padding=0.0)
    assert packed == mean


def test_a_sequence_of_stated_length_holds_the_padding_of_its_clips() -> None:
    """8 of 64 frames belong to the clip: 56 x 256 of 32,768 tokens are padding, and a tenth is padded in addition."""
    kept = of_clips(longest_frames=64, text_tokens=None, seq_len=32768, padding=0.1)
    assert kept["tokens"] == 1e6 * 32768
    assert kept["effective_tokens"] == pytest.approx(1e6 * (0.9 * 32768 - 56 * 256))


@pytest.mark.parametrize("data", [{"padding": 0.3}, {"seq_len": 77}, {"padding": 0.3, "seq_len": 77}])
def test_an_encoder_alone_has_no_text_to_pad(data: dict[str, Any]) -> None:
    frames = {"frames": 4, "longest_frames": 8, "resolution": 224, "samples": 1e6}
    run = {**CLIPS, "model": "vit-l-14", "layout": {}, "data": {**frames, **data}}
    found = gpuhours.estimate(from_dict(run)).results
    assert found["effective_tokens"].value == 0.5 * found["tokens"].value == 1e6 * 4 * 256  # type: ignore[union-attr]


def test_a_stated_share_of_padding() -> None:
    padded = of_clips(padding=0.2)
    assert padded["effective_tokens"] == pytest.approx(0.8 * padded["tokens"])
    assert padded["tokens"] == pytest.approx(of_clips()["tokens"] / 0.8)


def test_padding_of_a_stated_length_is_within_it() -> None:
    """Text of 4,096 tokens, a quarter of which is padding, costs 4,096 tokens and holds 3,072."""
    text = {
        "model": "llama-3-8b",
        "data": {"seq_len": 4096, "padding": 0.25, "samples": 1e6},
        "training": {"global_batch": 64},
        "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 64},
        "layout": {"sharding": "zero3"},
    }
    found = gpuhours.estimate(from_dict(text)).results
    assert found["tokens"].value == 1e6 * 4096  # type: ignore[union-attr]
    assert found["effective_tokens"].value == 1e6 * 3072  # type: ignore[union-attr]


def test_clips_longer_on_average_than_the_longest_are_an_error() -> None:
    with pytest.raises(EstimateError, match="cannot be padded to 4"):
        of_clips(longest_frames=4)
