"""LoRA: small trained low-rank weights parallel to frozen weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, TypeAlias

import numpy as np
from pydantic import BeforeValidator

from gpuhours.architecture.operators import Block, Ends, Linear, Model, Role, Split, Stack, Trainable
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.errors import EstimateError, nearest

ATTENTION = ("q", "k", "v", "o")
EVERY = (*ATTENTION, "gate", "up", "down")
LATENT = {
    "q": "query up", "q_a": "query down", "q_b": "query up", "kv_a_proj_with_mqa": "key-value down", "kv_b": "key-value up",
    "o": "attention output",
}  # fmt: skip
"""Projections of latent attention by the names of their modules in transformers' DeepSeek files."""
LATENT_ATTENTION = ("q", "kv_b", "o")
"""What ``ATTENTION`` is in latent attention: the queries, the keys and values together, and the output. ``q`` is q_b_proj where queries
have a latent of their own."""
ALL = "all-linear"
"""Target name for all projections, as in PEFT."""


def listed(value: Any) -> Any:
    """Targets as people write them, as a list in this project's names without repetitions. Raises ``ValueError`` for anything else.

    >>> listed("q_proj,v_proj"), listed("all-linear"), listed(["o_proj", "up"])
    (('q', 'v'), ('all-linear',), ('o', 'up'))
    >>> listed("q_proj,q")  # a projection gets one adapter, however often it is named
    ('q',)
    """
    words = re.split(r"[\s,]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(words, list | tuple):
        raise ValueError("Must be a list or a text of projections, such as [q, v] or q_proj,v_proj")
    if not all(isinstance(one, str) for one in words):
        return words
    return tuple(dict.fromkeys(one.removesuffix("_proj") for one in words))


Targets: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(listed)]
"""Projections that get adapters; a text such as ``all-linear`` or ``q_proj,v_proj`` is read as a list."""


def adapters(rank: Array, targets: Sequence[str], projections: Mapping[str, Linear]) -> tuple[Linear, ...]:
    """Y = X W + (X A) B, with A [inputs, rank] and B [rank, outputs] parallel to every target W of one layer.

    Source: Hu et al. 2021, arXiv:2106.09685, section 4.1.
    """
    if ALL in targets:
        targets = tuple(projections)
    for target in targets:
        if target not in projections:
            hint = nearest(target, projections) or f"Its projections are {', '.join(projections)}."
            raise EstimateError(f"The model has no projection {target!r} to adapt.", hint, "targets")
    return tuple(part for target in targets for part in _pair(projections[target], rank))


def latent_note(targets: Sequence[str]) -> Assumption:
    """The list entry for a latent-attention model whose targets are not given."""
    names = ", ".join(f"{one}_proj" for one in targets)
    reason = "the projections of latent attention, which has no k_proj and v_proj; q_proj is q_b_proj where queries have a latent"
    return Assumption("model.targets", names, "", reason, "module names of transformers' modeling_deepseek_v3.py")


def adapted(model: Model, rank: Array, targets: Sequence[str], *, narrow: bool = False) -> Model:
    """A diffusion transformer or an encoder-decoder with frozen weights and adapters in its layers.

    Layers over tokens get adapters on those targets that they have, and pass gradients through. The parts before them and those computed
    once per sample (time step, modulation) get none. A target that no layer has raises ``EstimateError``.
    """
    return replace(model, parts=adapted_parts(model.parts, rank, targets, narrow=narrow))


def adapted_parts(
    parts: Sequence[Stack | Ends], rank: Array, targets: Sequence[str], *, narrow: bool = False
) -> tuple[Stack | Ends, ...]:
    """``adapted`` for the parts of a model; ``narrow``: the adapters are in the run's format (``Stack.narrow_adapters``)."""
    over_tokens = [part for part in parts if isinstance(part, Stack) and not once(part)]
    known = {name: one for part in over_tokens for name, one in projections(part.block)}
    adapters(rank, targets, known)  # refuses a target that no layer has
    done = (_adapted(part, rank, targets) for part in parts)
    return tuple(replace(part, narrow_adapters=narrow) if isinstance(part, Stack) else part for part in done)


def _adapted(part: Stack | Ends, rank: Array, targets: Sequence[str]) -> Stack | Ends:
    """One part of the model: layers over tokens with adapters, other parts frozen or passing gradients through."""
    if isinstance(part, Ends):
        idle = part.first or np.all(np.equal(part.tokens, 1))
        return replace(part, trainable=Trainable.FROZEN if idle else Trainable.PASS_THROUGH)
    if once(part):
        return replace(part, trainable=Trainable.FROZEN)
    own = [(name, one) for name, one in projections(part.block) if name in targets or ALL in targets]
    beside = tuple(half for _, one in own for half in _pair(one, rank))
    return replace(part, trainable=Trainable.LORA if beside else Trainable.PASS_THROUGH, adapters=beside)


def once(stack: Stack) -> bool:
    """Whether the stack is computed once per sample, not per token."""
    return bool(np.all(np.equal(stack.tokens, 1)))


def projections(block: Block) -> Iterator[tuple[str, Linear]]:
    """Pairs of LoRA target name and unfused weight for the GEMMs of a layer, identified by role."""
    for one in block.linears:
        if one.role is Role.QKV:
            several = one.fused if one.fused > 1 else round(float(np.max(one.outputs / block.hidden)))
            names = {1: ("q",), 2: ("k", "v"), 3: ("q", "k", "v")}.get(several, ())
        else:
            several = one.fused
            names = {
                Role.ATTENTION_OUTPUT: ("o",),
                Role.MLP_IN: ("gate", "up")[-one.fused :],
                Role.MLP_OUT: ("down",),
            }.get(one.role, ())
        yield from ((name, replace(one, outputs=one.outputs // several, fused=1, bias=False)) for name in names)


def _pair(weight: Linear, rank: Array) -> tuple[Linear, Linear]:
    """A and B of one projection: A is split like a row-split weight's input, B like a column-split weight's output."""
    down = Split.ROW if weight.split is Split.ROW else Split.WHOLE
    up = Split.COLUMN if weight.split is Split.COLUMN else Split.WHOLE
    return (
        Linear(
            f"{weight.name} A",
            weight.inputs,
            rank,
            down,
            experts=weight.experts,
            active=weight.active,
            role=weight.role,
        ),
        Linear(
            f"{weight.name} B", rank, weight.outputs, up, experts=weight.experts, active=weight.active, role=weight.role
        ),
    )
