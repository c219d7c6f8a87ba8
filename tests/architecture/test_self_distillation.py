"""DINO's student and teacher on crops of an image, and the work that other vision models skip."""

import pytest

from gpuhours.architecture import read_model
from gpuhours.architecture.operators import Trainable
from gpuhours.data import Data
from gpuhours.flops import model_flops
from gpuhours.inputs.errors import EstimateError

STUDENT = {"layers": 2, "hidden": 128, "heads": 2, "patch": 14, "image_size": 224}
SMALL = {"student": STUDENT, "local_crops": 4, "prototypes": 512, "head_hidden": 64, "bottleneck": 32}
PICTURE = Data(frames=1)


def test_a_student_sees_all_crops_and_its_teacher_the_large_ones() -> None:
    """224 / 14 = 16 and 98 / 14 = 7 patches a side, a class token each: 2 x 257 + 4 x 50 tokens; GEMMs as many as tokens, attention
    as sum(n s^2)."""
    model = read_model(SMALL).build(PICTURE)
    teacher, student = model.stacks
    assert teacher.trainable is Trainable.FROZEN
    assert teacher.tokens == 2 * 257
    assert student.tokens == 2 * 257 + 4 * 50
    assert student.sequence is not None
    assert student.tokens * student.sequence == pytest.approx(2 * 257**2 + 4 * 50**2)
    assert model.trainable_parameters == pytest.approx(model.parameters / 2)


def test_layers_that_skip_crops_work_less() -> None:
    whole, skipping = (read_model({**SMALL, "skipped": share}).build(PICTURE) for share in (0.0, 0.4))
    assert skipping.stacks[1].tokens == pytest.approx(0.6 * whole.stacks[1].tokens)
    assert skipping.stacks[0].tokens == whole.stacks[0].tokens
    assert model_flops(skipping) < model_flops(whole)


def test_another_teacher_is_frozen_and_the_student_is_not() -> None:
    taught = read_model({**SMALL, "teacher": {**STUDENT, "layers": 8, "trainable": "frozen"}}).build(PICTURE)
    assert taught.stacks[0].layers == 8
    with pytest.raises(EstimateError, match="student is always trained"):
        read_model({**SMALL, "student": {**STUDENT, "trainable": "frozen"}})
    with pytest.raises(EstimateError, match="is smaller than a patch"):
        read_model({**SMALL, "local_size": 8})


def test_a_decoder_that_sees_half_of_the_patches() -> None:
    """8 slices of 256 patches, of which 26 are visible, together with half of 2,048."""
    name = {"name": "videomae-v2-g"}
    half, whole = (read_model({**name, "decoder_keeps": share}).build(Data(frames=16)) for share in (0.5, 1.0))
    assert half.stacks[-1].tokens == 8 * 26 + 1024
    assert whole.stacks[-1].tokens == 2048


def test_attention_over_a_frame_and_along_time_in_every_layer() -> None:
    model = read_model("open-sora-1.0").build(Data(frames=16))
    places, along = model.stacks[0], model.stacks[1]
    assert (places.sequence, along.sequence) == (256, 16)
    assert places.tokens == along.tokens == 16 * 256
    assert places.layers == along.layers == 28
