"""Memory-bound operators that a model's code adds to its layers, or writes differently than most models do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import numpy as np

from gpuhours.architecture.operators import AttentionCore, Block, Elementwise, Pointwise, Role
from gpuhours.inputs.arrays import Array, some

CodeStep = Literal[
    "wide-rotary",
    "axis-rotary",
    "joint-heads",
    "scaled-queries",
    "aligned-heads",
    "sliced-heads",
    "split-gate",
    "written-norm",
    "wide-loss",
    "capped-logits",
    "written-attention",
    "wide-scores",
    "wide-bias",
    "all-experts",
    "made-mask",
    "near-places",
]
"""Steps by name. ``written-attention``: transformers' file has no call of an attention kernel; ``wide-scores``: it casts queries and keys
to fp32; ``wide-bias``: it adds ALiBi to scores in fp32; ``all-experts``: it runs every expert on every token; ``made-mask``: it makes a
mask of all pairs where causal attention alone would do (Falcon's ``allow_is_causal_skip=False``), so that no pair is skipped;
``near-places``: it takes of its table of relative positions those within the sequence's length (DeBERTa's first version).
``joint-heads``: one weight for queries, keys and values, which ``sliced-heads`` has as well, as ``split-gate`` has one for gate and up.
Those of the head: ``wide-loss``, a masked-word loss that casts its logits to fp32, and ``capped-logits``, which caps scores as well."""

INSTEAD = {
    "wide-rotary": (Pointwise.ROTARY, Pointwise.WIDE_ROTARY),
    "axis-rotary": (Pointwise.ROTARY, Pointwise.AXIS_ROTARY),
    "split-gate": (Pointwise.SWIGLU, Pointwise.SPLIT_SWIGLU),
    "written-norm": (Pointwise.LAYER_NORM, Pointwise.WRITTEN_NORM),
}


JOINT = {"joint-heads": Role.QKV, "sliced-heads": Role.QKV, "split-gate": Role.MLP_IN}
"""Steps of code with a single weight for several projections, and which these are."""


def as_coded(block: Block, steps: Iterable[CodeStep]) -> Block:
    """The block with the operators that its model's code has instead of the usual ones, and those that it has besides."""
    chosen = set(steps)
    swaps = dict(pair for step, pair in INSTEAD.items() if step in chosen)
    kept = (replace(one, kind=swaps.get(one.kind, one.kind)) for one in block.elementwise)
    added = (Elementwise(kind, width, sharded=True) for core in block.attention for kind, width in _added(core, chosen))
    facts = {"capped": "capped-logits", "written": "written-attention", "wide": "wide-scores", "wide_bias": "wide-bias",
             "near": "near-places"}  # fmt: skip
    masks = "made-mask" in chosen
    cores = tuple(
        replace(core, padded=core.padded or masks, **{name: step in chosen for name, step in facts.items()})
        for core in block.attention
    )
    joint = {role for step, role in JOINT.items() if step in chosen}
    linears = tuple(replace(one, fused=1) if one.role in joint else one for one in block.linears)
    if "all-experts" in chosen:
        linears = tuple(replace(one, everywhere=some(np.greater(one.experts, 1))) for one in linears)
    return replace(block, linears=linears, elementwise=(*kept, *added), attention=cores)


def with_all_experts(block: Block) -> Block:
    """The block as transformers' file of Llama 4 runs it: a copy of every token, scaled by its score, goes through every expert, with one
    GEMM for gate and up. The block itself if no GEMM is marked so."""
    routed = [one for one in block.linears if one.everywhere]
    if not routed:
        return block
    down = next(one for one in routed if one.role is Role.MLP_OUT)
    shared = sum(one.inputs for one in block.linears if one.role is Role.SHARED_OUT)
    inside = [Elementwise(Pointwise.SPLIT_SWIGLU, down.experts * down.inputs, sharded=True)]
    inside += [Elementwise(Pointwise.SWIGLU, shared, sharded=True)] if some(shared) else []
    around = (Elementwise(Pointwise.ALL_EXPERTS, down.experts * down.outputs, sharded=False),)
    instead = {Pointwise.PERMUTE: around, Pointwise.EXPERT_SWIGLU: tuple(inside)}
    return replace(
        block,
        linears=tuple(replace(one, active=one.experts, fused=1) if one.everywhere else one for one in block.linears),
        elementwise=tuple(new for one in block.elementwise for new in instead.get(one.kind, (one,))),
    )


def _added(core: AttentionCore, steps: set[CodeStep]) -> Iterable[tuple[Pointwise, Array]]:
    """(operator, elements per token) that the code runs on one attention core's queries, keys, values and output."""
    queries = core.heads * core.head_dim
    keys = 0 if core.keys is not None else core.kv_heads * core.head_dim
    if "scaled-queries" in steps:
        yield Pointwise.SCALED, queries
    if "aligned-heads" in steps:
        yield Pointwise.ALIGNED, 2 * queries + 2 * keys
    if "sliced-heads" in steps:
        yield Pointwise.SLICED, queries + 2 * keys
