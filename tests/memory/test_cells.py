"""The memory of many layouts evaluated together equals that of each layout alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gpuhours.hardware.number_formats import Precision
from gpuhours.memory.peak import memory
from gpuhours.software.profile import load_software
from gpuhours.workload import Workload
from tests.round_machine import ADAPTED, MIXTURE, cells, workload

RATES = {"peak": {"bf16": 1e15, "fp32": 1e14}}
KINDS: dict[str, tuple[Workload, dict[str, list[Any]]]] = {
    "dense": (workload(gpus=8, batch=16), {
        "offload_optimizer": [False, True, False, False, True, False], "vocabulary_parallel": [False, False, True, False, False, False],
        "loss_blocks": [1, 2, 1, 4, 1, 1], "offload_activations": [True, False, False, False, False, True],
        "offload_parameters": [False, False, False, False, False, True], "expandable_segments": [False, True, False, True, False, False],
        "optimizer_in_backward": [False, True, False, False, False, True]}),
    "mixture": (workload(MIXTURE, gpus=8, batch=16), {"expert": [4, 2, 1, 1, 2, 8], "shard_group": [8, 4, 4, 2, 2, 4]}),
    "adapters": (workload(ADAPTED, gpus=8, batch=16, software=load_software("hugging-face"), card=RATES), {}),
    "autocast": (replace(workload(gpus=8, batch=16, software=load_software("torch-eager")), precision=Precision("bf16", "amp")), {}),
    "nanotron": (workload(gpus=8, batch=16, software=load_software("nanotron")), {}),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_many_at_once_are_each_alone(kind: str) -> None:
    asked, varied = KINDS[kind]
    together, alone = cells(asked, **varied)
    found, one_by_one = memory(together), [memory(one) for one in alone]
    for name in ("allocated", "total", "needed", "host_per_node", "stage"):
        each = [float(getattr(one, name)) for one in one_by_one]
        assert np.broadcast_to(getattr(found, name), (6,)).tolist() == pytest.approx(each), name
    for name, held in found.parts.items():
        each = [float(one.parts.get(name, 0.0)) for one in one_by_one]
        assert np.broadcast_to(held, (6,)).tolist() == pytest.approx(each), name
    assert len({round(float(one.total)) for one in one_by_one}) > 3
