"""Work, bytes and weights of a layer, an end or a model without operators are exactly 0: each sum begins with nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gpuhours.architecture.operators import Ends, Model, Stack, Trainable
from gpuhours.flops import attention_flops, gemm_flops
from gpuhours.hardware.number_formats import Precision
from gpuhours.layout.placement import stream_layers
from gpuhours.layout.weights import end_weights, layer_weights
from gpuhours.step.communication import expert_passes
from gpuhours.step.compute import adapter_bytes, cast_bytes, elementwise_passes, ends_compute, narrowing_bytes
from gpuhours.step.context import context_passes
from gpuhours.step.cpu_overhead import forward_launches, launch_time, launches, layer_kernels, modules
from gpuhours.step.predict import added
from gpuhours.step.schedule import Passes
from gpuhours.step.state import orthogonalisation_time
from gpuhours.workload import Workload
from tests.round_machine import layer, workload
from tests.step.test_cpu_overhead_by_hand import counted

ASKED = workload(gpus=8, tensor=2, sharding="zero1")
EMPTY = replace(layer(ASKED), block=replace(layer(ASKED).block, linears=(), attention=(), elementwise=()), adapters=())
END = Ends("nothing", (), 0, 1, first=True)


def without(parts: tuple[Stack | Ends, ...], asked: Workload = ASKED) -> Workload:
    return replace(asked, model=Model("nothing", parts, 1024))


def figures(found: Any) -> list[float]:
    if isinstance(found, Passes):
        return figures([found.forward, found.backward, found.weight])
    return [float(one) for one in (found if isinstance(found, list | tuple) else [found])]


@pytest.mark.parametrize("found", [
    elementwise_passes(EMPTY, np.asarray(512), ASKED),
    elementwise_passes(EMPTY, np.asarray(512), replace(ASKED, precision=Precision("fp8"))),
    elementwise_passes(EMPTY, np.asarray(512), replace(ASKED, precision=Precision("bf16", "amp"))),
    cast_bytes(EMPTY.block, np.asarray(512), replace(ASKED, precision=Precision("fp8"))),
    adapter_bytes(EMPTY, np.asarray(512), ASKED), narrowing_bytes(EMPTY.block, np.asarray(512), ASKED.ranks),
    expert_passes(EMPTY, ASKED), context_passes(EMPTY, ASKED, Passes()), launches(EMPTY.block), modules(EMPTY, ASKED),
    layer_kernels(EMPTY, counted()), launch_time((), ASKED), forward_launches(without((END,), counted())),
    orthogonalisation_time(without((EMPTY,)), 5), added({}), Passes(), gemm_flops((), 512), attention_flops(EMPTY, full=True),
    added(ends_compute(END, ASKED)), stream_layers(without((END,)).model),
    *(layer_weights(one, ASKED.ranks, trained=trained).all for trained in (True, False)
      for one in (EMPTY, replace(EMPTY, trainable=Trainable.FROZEN))),
    *(end_weights(END, ASKED.ranks, trained=trained).all for trained in (True, False)),
])  # fmt: skip
def test_nothing_takes_and_holds_nothing(found: Any) -> None:
    assert figures(found) == [0.0] * len(figures(found))
