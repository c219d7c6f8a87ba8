"""The step of many layouts evaluated together equals that of each layout alone: conditions apply only to the rows that meet them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gpuhours.hardware.number_formats import Precision
from gpuhours.software.figures import Gathering
from gpuhours.software.profile import load_software
from gpuhours.step.predict import step
from gpuhours.workload import Workload
from tests.round_machine import ADAPTED, MIXTURE, MODEL, TOKENS, cells, stack, workload

ENCODER = MODEL.model_copy(update={"hidden": 512, "heads": 4, "ffn_hidden": 1024}).model(TOKENS).stacks[0]


def seen(asked: Workload) -> Workload:
    """With two layers of an encoder in front."""
    return replace(asked, model=replace(asked.model, parts=(replace(ENCODER, layers=2), *asked.model.parts)))


RATES = {"peak": {"bf16": 1e15, "fp32": 1e14}}
KINDS: dict[str, tuple[Workload, dict[str, list[Any]]]] = {
    "dense": (workload(gpus=8, batch=16, software=stack(gathering=Gathering(source="round", shares=3.0, whole=1.0))), {
        "offload_optimizer": [False, True, False, False, True, False], "vocabulary_parallel": [False, False, True, False, False, False],
        "loss_blocks": [1, 2, 1, 4, 1, 1], "offload_activations": [True, False, False, False, False, True],
        "offload_parameters": [False, False, False, False, False, True]}),
    "mixture": (workload(MIXTURE, gpus=8, batch=16), {"expert": [4, 2, 1, 1, 2, 8], "shard_group": [8, 4, 4, 2, 2, 4]}),
    "adapters": (workload(ADAPTED, gpus=8, batch=16, software=load_software("hugging-face"), card=RATES), {}),
    "autocast": (replace(workload(gpus=8, batch=16, software=load_software("torch-eager")), precision=Precision("bf16", "amp")), {}),
    "encoder": (seen(workload(gpus=8, batch=16)), {"vision": [0, 1, 1, 0, 0, 1]}),
    "apart": (seen(workload(gpus=10, batch=16)), {"vision": [2, 2, 2, 2, 2, 2], "vision_gpus": [2, 2, 2, 2, 2, 2]}),
    "schedules": (workload(MODEL.model_copy(update={"layers": 16}), gpus=8, batch=16), {
        "schedule": [0, 0, 1, 3, 0, 0], "interleave": [1, 1, 4, 1, 1, 1], "sequence_method": [2, 1, 2, 2, 2, 2]}),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_many_at_once_are_each_alone(kind: str) -> None:
    asked, varied = KINDS[kind]
    together, alone = cells(asked, **varied)
    found, one_by_one = step(together), [step(one) for one in alone]
    assert np.broadcast_to(found.time, (6,)).tolist() == pytest.approx([float(one.time) for one in one_by_one])
    for name, seconds in found.parts.items():
        each = [float(one.parts.get(name, 0.0)) for one in one_by_one]
        assert np.broadcast_to(seconds, (6,)).tolist() == pytest.approx(each, abs=1e-15), name
    assert np.broadcast_to(found.valid, (6,)).tolist() == [bool(one.valid) for one in one_by_one]
    assert len({round(float(one.time), 9) for one in one_by_one}) > 3
