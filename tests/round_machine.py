"""A machine, a stack and a model with round numbers, so that the result of a formula can be computed by hand.

1 PFLOP/s, 1 TB/s of memory and 100 GB/s to the seven neighbours, all of it reached, no latency, nothing hidden behind anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gpuhours.architecture.decoder import Decoder
from gpuhours.architecture.decoder_shapes import Experts
from gpuhours.architecture.operators import Ends, Pointwise, Stack
from gpuhours.hardware.accelerators import Accelerator
from gpuhours.hardware.clusters import Cluster
from gpuhours.hardware.figures import SourcedFigure
from gpuhours.hardware.kernel_constants import (
    AttentionConstants,
    AttentionPass,
    GemmConstants,
    KernelConstants,
    LinkConstants,
    MemoryConstants,
    UnfusedConstants,
)
from gpuhours.hardware.nodes import Node
from gpuhours.hardware.number_formats import Precision
from gpuhours.layout.layout import Layout
from gpuhours.software.figures import PointwiseTraffic, Traffic
from gpuhours.software.profile import Software, load_software
from gpuhours.step.cpu_overhead import late_and_gaps
from gpuhours.step.schedule import Passes
from gpuhours.workload import Workload

PEAK, MEMORY, LINK, NIC, PCIE = 1e15, 1e12, 1e11, 1e10, 1e10

_PASS = AttentionPass.model_construct(
    source="round", efficiency={128: 0.5}, overhead_keys=0.0, diagonal=0.0, tail=0.0, launch=0.0,
    query_block=128.0, key_block=128.0, odd_head=1.0, padded_share=1.0, throttle=0.0,
)  # fmt: skip
KERNELS = KernelConstants.model_construct(
    gemm=GemmConstants.model_construct(
        source="round", tile_efficiency=1.0, reuse_exponent=0.0, prologue=0.0, ceiling=1.0, memory_share=1.0, launch=0.0,
        whole_waves=False,
    ),
    memory=MemoryConstants.model_construct(source="round", copy_share=1.0, launch=0.0),
    attention={"flash2": AttentionConstants.model_construct(forward=_PASS, backward=_PASS)},
    unfused=UnfusedConstants.model_construct(source="round", odd=0.1, even=0.2),
    links=LinkConstants.model_construct(
        source="round", ring_share=1.0, exchange_share=1.0, copy_bandwidth=1e30, launch=0.0, step=0.0, fill=0.0,
        switch_share=None, switch_fill=None,
    ),
)  # fmt: skip
CARD = Accelerator(
    name="round", title="Round", vendor="nobody", generation="hopper", node="round", peak={"bf16": PEAK, "fp8": 2 * PEAK},
    memory=1e11, memory_bandwidth=MEMORY, l2=None, sms=100, clock=None, link_bandwidth=LINK, pair_bandwidth=LINK,
    pcie_bandwidth=PCIE, power=500.0, kernels=KERNELS, figures={"power": SourcedFigure(value=500.0, source="round")},
)  # fmt: skip
NODE = Node(
    name="round", title="Round node", accelerators=("round",), gpus=8, link_domain=8, link_bandwidth=LINK, nics=8, nic_bandwidth=NIC,
    sharp=False, network="infiniband", pcie_bandwidth=PCIE, power=8000.0, cpu_cores=None, host_memory=1e12,
    figures={"power": SourcedFigure(value=8000.0, source="round")},
)  # fmt: skip

MODEL = Decoder(layers=4, hidden=1024, heads=8, kv_heads=2, ffn_hidden=2048, vocab=4096)
"""A layer: [1024, 1536] queries, keys, values; [1024, 1024]; [1024, 4096] gate and up; [2048, 1024]; two norms of 1024."""
LAYER = 1024 * 1536 + 1024 * 1024 + 1024 * 4096 + 2048 * 1024 + 2 * 1024
"""Its parameters: 8,914,944."""
VOCABULARY = 4096 * 1024
"""Parameters of the embedding, and of the head, which has a norm of 1024 before it."""
WHOLE = 4 * LAYER + 2 * VOCABULARY + 1024
MIXTURE = MODEL.model_copy(update={"experts": Experts(count=8, top_k=2)})
"""The same with eight experts in place of the MLP, two of which see a token."""
ADAPTED = MODEL.model_copy(update={"trainable": "lora", "rank": 8})
"""The same frozen, with adapters of rank 8 beside queries, keys, values and attention's output."""
TOKENS = 512


def machine(gpus: int = 1, **card: Any) -> Cluster:
    """Return a cluster of the given number of round cards, eight per node."""
    return Cluster(replace(CARD, **card), NODE, gpus)


def stack(**groups: Any) -> Software:
    """Megatron-Core as it is profiled, with nothing hidden, no waits, FlashAttention-2; ``groups`` replace figures by group."""
    found = load_software("megatron-core").model_copy(
        update={"attention": {"default": "flash2"}, "libraries": "today", "vocabulary_multiple": 1}
    )
    usual: dict[str, Any] = {
        "exposed": {"tensor": 1.0, "context": 1.0, "expert": 1.0, "data": 1.0, "shard": 1.0, "pipeline": 1.0, "one_chunk": None},
        "host": {"forward": 1e-3, "backward": 2e-3, "step": 0.0},
        "network": {"stragglers": 0.0},
    }  # fmt: skip
    for name, figures in {**usual, **groups}.items():
        if isinstance(figures, dict) and hasattr(getattr(found, name), "model_copy"):
            figures = getattr(found, name).model_copy(update={**usual.get(name, {}), **figures})
        found = found.model_copy(update={name: figures})
    return found


def workload(
    model: Decoder = MODEL, *, gpus: int = 1, batch: int = 8, software: Software | None = None, dtype: str = "bf16",
    card: dict[str, Any] | None = None, **layout: Any,
) -> Workload:  # fmt: skip
    """Return one step of 512-token samples, without sequence parallelism unless the layout has it."""
    return Workload(
        model.model(TOKENS), batch, Layout(**{"sequence_parallel": False, **layout}), machine(gpus, **(card or {})),
        software or stack(), Precision(dtype),
    )  # fmt: skip


CELLS: tuple[dict[str, Any], ...] = (
    {"tensor": 1, "pipeline": 1, "context": 1, "sharding": 0, "recompute": 0, "microbatch": 1, "sequence_parallel": False, "data": 8},
    {"tensor": 2, "pipeline": 1, "context": 2, "sharding": 3, "recompute": 2, "microbatch": 2, "sequence_parallel": True, "data": 2},
    {"tensor": 1, "pipeline": 2, "context": 1, "sharding": 1, "recompute": 1, "microbatch": 1, "sequence_parallel": False, "data": 4},
    {"tensor": 1, "pipeline": 4, "context": 1, "sharding": 2, "recompute": 2, "microbatch": 1, "sequence_parallel": False, "data": 2},
    {"tensor": 4, "pipeline": 1, "context": 1, "sharding": 2, "recompute": 0, "microbatch": 4, "sequence_parallel": True, "data": 2},
    {"tensor": 1, "pipeline": 1, "context": 1, "sharding": 3, "recompute": 1, "microbatch": 2, "sequence_parallel": False, "data": 8},
)  # fmt: skip
"""Layouts of eight accelerators that share next to nothing."""


def cells(asked: Workload, **varied: Sequence[Any]) -> tuple[Workload, list[Workload]]:
    """Return (the step for all of ``CELLS`` at once, the steps one by one); ``varied`` are further keys with a value for each."""
    rows = [{**cell, **{key: values[place] for key, values in varied.items()}} for place, cell in enumerate(CELLS)]
    known = dict(asked.layout)
    together = {key: np.array([row[key] for row in rows]) for key in rows[0]}

    def laid_out(chosen: dict[str, Any]) -> Workload:
        said = asked.layout.model_fields_set | set(chosen)
        return replace(asked, layout=Layout.model_construct(said, **{**known, **chosen}))

    return laid_out(together), [laid_out(row) for row in rows]


STREAM = TOKENS * 1024
"""Elements of the residual stream of one sample."""
BATCH_AT_ONCE = Passes(1.0, 2.0, 3.0)


def layer(asked: Workload) -> Stack:
    return asked.model.stacks[0]


def head(asked: Workload) -> Ends:
    return asked.model.ends[-1]


SHARED = MODEL.model_copy(update={"experts": Experts(count=8, top_k=3, width=512, shared_width=256)})
"""Eight experts of 512, three of which see a token, and one of 256 that sees all."""
WIDE = Traffic(forward=3.0, backward=5.0)
"""An operator that moves 3 B an element forward and 5 B backward."""


def facts(**groups: Any) -> Any:
    """Return facts of a stack with no cost except those given: all operators move 0 B."""
    none = {kind.value: Traffic(forward=0, backward=0) for kind in Pointwise}
    moved = groups.pop("operators", {})
    rows = groups.pop("rows", {})
    return stack(
        pointwise=PointwiseTraffic(source="by hand", operators={**none, **moved}, rows=rows),
        adapters=groups.pop("adapters", {}),
        **groups,
    )


def cpu_overhead_time(asked: Workload, busy: float, update: float = 0.0) -> float:
    """Return the host's s of a micro-batch beyond ``busy`` s of kernels, on one of the stages with equally many layers."""
    late, _, gaps = late_and_gaps(asked, update)
    return float(late(1 / np.asarray(asked.ranks.pipeline, float), np.asarray(busy)) + gaps)
