"""For a model that reads images, a sample is one image unless the number of frames is stated."""

from __future__ import annotations

import pytest

import gpuhours
from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.planning.advice import longest_sample
from gpuhours.run.resolve import resolve

HARDWARE = {"accelerator": "a100-sxm-40gb", "gpus": 64}


@pytest.mark.parametrize("model", ["clip-l-14", "vit-l-14", "dinov2-vit-l14"])
def test_pictures_have_one_frame_and_that_is_said(model: str) -> None:
    open_, said = (
        gpuhours.from_dict({"model": model, "hardware": HARDWARE, "data": data}) for data in ({}, {"frames": 1})
    )
    assert resolve(open_).tokens_per_sample == resolve(said).tokens_per_sample
    assert [note.value for note in resolve(open_).assumptions if note.name == "data.frames"] == [1]
    assert not [note for note in resolve(said).assumptions if note.name == "data.frames"]


@pytest.mark.parametrize(
    ("model", "key", "value"),
    [
        ("videomae-h", "data.frames", 16),
        ("wan-2.1-14b", "data.frames", 81),
        ("open-sora-1.2", "data.frames", 102),
        ("whisper-small", "data.seq_len", 1500),
    ],
)
def test_a_named_model_brings_the_clip_of_its_recipe(model: str, key: str, value: int) -> None:
    found = resolve(gpuhours.from_dict({"model": model, "hardware": HARDWARE}))
    assert [note.value for note in found.assumptions if note.name == key] == [value]


def test_a_picture_gets_no_longer() -> None:
    run = gpuhours.from_dict(
        {"model": "vit-l-14", "hardware": {**HARDWARE, "gpus": 8}, "training": {"global_batch": 64}}
    )
    assert longest_sample(run, resolve(run)) is None


def test_a_patch_that_reaches_over_frames_is_asked_for_their_number() -> None:
    """A model described by its shape, with a latent that joins four frames, has no recipe that would give their number."""
    shape = {"kind": "diffusion", "layers": 56, "hidden": 1152, "heads": 16, "image_size": 512, "time_compression": 4}
    with pytest.raises(EstimateError, match="number of frames"):
        resolve(gpuhours.from_dict({"model": shape, "hardware": HARDWARE}))
