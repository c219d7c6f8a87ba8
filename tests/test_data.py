"""Video and text converted to samples and tokens: hand calculations, and unknown values stay unknown."""

import numpy as np
import pytest
from pydantic import ValidationError

from gpuhours.data import (
    Data,
    clips_of_video,
    frames_of_video,
    merged_patches,
    patches,
    slices,
    visible_patches,
)
from gpuhours.inputs.errors import EstimateError


def test_a_million_and_a_half_hours_at_two_frames_a_second() -> None:
    """Video-LLaMA-30B by hand: 1.08e10 frames, 168.75 M clips."""
    data = Data.model_validate({"video_hours": "1.5M hours", "fps": "2 FPS", "frames": 64})
    assert frames_of_video(1.5e6, 2) == pytest.approx(1.08e10)
    assert clips_of_video(1.5e6, 2, 64) == data.unique_samples == pytest.approx(168.75e6)


def test_patches_of_public_encoders() -> None:
    assert patches(224, 224, 14) == 256
    assert patches(336, 336, 14) == 576
    assert patches(224, 224, 16) == 196
    assert patches(384, 384, 14) == 27 * 27  # 6 pixels are cut


def test_videomae_tokens() -> None:
    """16 frames in pairs of 196 patches: 1,568, of which 75 % masking leaves 392 and VideoMAE's 90 %
    leaves 160."""
    assert slices(16, 2) * patches(224, 224, 16) == 1568
    assert slices(16, 2) * visible_patches(196, 0.75) == 392
    assert slices(16, 2) * visible_patches(196, 0.9) == 160
    assert slices(15, 2) == 8


def test_merging_pads_odd_rows() -> None:
    """SigLIP so400m/14: 27 x 27 patches at 384 pixels give 196 tokens, 32 x 32 at 448 give 256 (LongVILA)."""
    assert merged_patches(384, 384, 14, 2) == 196
    assert merged_patches(448, 448, 14, 2) == 256
    assert merged_patches(384, 384, 14, 1) == 729


def test_language_tokens() -> None:
    assert Data(seq_len=4096).language_tokens() == 4096
    assert Data(text_tokens=100).language_tokens(900) == 1000
    assert Data(text_tokens=100, padding=0.2).language_tokens(900) == pytest.approx(1250)
    assert Data(seq_len=8192).language_tokens(5000) == 8192
    assert Data().language_tokens() is None


def test_a_text_corpus_is_spread_over_the_clips() -> None:
    data = Data.model_validate({"video_hours": "1.5M hours", "fps": 2, "frames": 64, "text_corpus": "500B tokens"})
    assert data.text_per_sample == pytest.approx(500e9 / 168.75e6)


def test_what_does_not_fit_is_an_error() -> None:
    with pytest.raises(EstimateError, match="alone fills 16,384 tokens of a sequence of 2,048"):
        Data(seq_len=2048).language_tokens(16384)
    with pytest.raises(EstimateError, match="number is not known"):
        _ = Data(text_corpus=1e9).text_per_sample
    with pytest.raises(EstimateError, match="number of frames"):
        Data().clip_frames()


BAD = [
    ("video_hours", "3 TB", "expected hour"),
    ("video_hours", -1, "greater than 0"),
    ("frames", 2.5, "whole number"),
    ("fps", "2 Hz", "expected FPS"),
    ("padding", 1.0, "at most"),
    ("tokens", "500 GB", "expected token"),
    ("tokens", "9**9**9", "not a quantity"),
    ("samples", 0, "greater than 0"),
]


@pytest.mark.parametrize(("key", "value", "message"), BAD)
def test_bad_input_is_refused(key: str, value: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        Data.model_validate({key: value})
    assert caught.value.errors()[0]["loc"] == (key,)


def test_nothing_is_known_by_itself() -> None:
    nothing = Data()
    assert nothing.unique_samples is None
    assert nothing.text_per_sample is None
    assert all(value is None or value == 0 for value in nothing.model_dump().values())


def test_the_equations_take_arrays() -> None:
    frames, side = np.array([[16], [64]]), np.array([224, 336, 448])
    tokens = slices(frames, 2) * patches(side, side, 14)
    assert tokens.shape == (2, 3)
    assert tokens[1, 0] == 32 * 256
