"""What the backward pass recomputes, and which tensors the forward pass therefore does not save.

FLOPs, time and memory share one definition, by the role of each GEMM and the kind of each operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from functools import cache
from typing import TypeVar

import numpy as np

from gpuhours.architecture.operators import Family, Linear, Model, Pointwise, Role, Stack
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import Module
from gpuhours.layout.layout import Layout
from gpuhours.layout.placement import stream_layers
from gpuhours.layout.ranks import has_experts
from gpuhours.software.figures import Selective
from gpuhours.software.profile import Software

ACTIVATIONS = Pointwise.of(Family.ACTIVATION)
ATTENTION_IN = (Role.QKV, Role.LATENT_DOWN, Role.LATENT_UP)
EVERY_ROLE = dict.fromkeys(Role, 1.0)
FIRST_HALF = 0.25
"""Share of causal attention's FLOPs in the first half of a sequence."""


@dataclass(frozen=True)
class Unkept:
    """Tensors that the forward pass drops because the backward pass recomputes them."""

    scores: bool = False
    heads: bool = False
    """Queries, keys, values and attention's output."""
    inputs: frozenset[Role] = frozenset()
    """Inputs of GEMMs with these roles, except experts."""
    experts: frozenset[Role] = frozenset()
    """Inputs of experts' GEMMs with these roles."""
    operators: frozenset[Pointwise] = frozenset()
    all_but: tuple[float, float] | None = None
    """If given, everything is dropped except the layer's input and these shares of (attention's output, GEMM outputs)."""

    def __or__(self, other: Unkept) -> Unkept:
        return Unkept(
            self.scores or other.scores, self.heads or other.heads, self.inputs | other.inputs, self.experts | other.experts,
            self.operators | other.operators, self.all_but or other.all_but,
        )  # fmt: skip


@dataclass(frozen=True)
class Policy:
    """Shares of a layer's forward work that are recomputed, and the tensors that are therefore not saved."""

    gemms: Mapping[Role, float] = field(default_factory=dict)
    core: float = 0.0
    """Share of the attention core, and of its context-parallel communication."""
    operators: Mapping[Pointwise, float] = field(default_factory=dict)
    others: float = 0.0
    """Share of the memory-bound operators not listed in ``operators``."""
    tensor: float = 0.0
    """Share of the tensor-parallel collectives."""
    expert: float = 0.0
    """Share of the all-to-all exchanges with experts."""
    unkept: Unkept = Unkept()

    def __or__(self, other: Policy) -> Policy:
        """Both combined: the larger share of each."""
        return Policy(
            _elementwise_max(self.gemms, other.gemms), max(self.core, other.core), _elementwise_max(self.operators, other.operators),
            max(self.others, other.others), max(self.tensor, other.tensor), max(self.expert, other.expert), self.unkept | other.unkept,
        )  # fmt: skip

    def on_operator(self, kind: Pointwise) -> float:
        """Share of an operator that is recomputed."""
        return self.operators.get(kind, self.others)


Key = TypeVar("Key", Role, Pointwise)


def _elementwise_max(one: Mapping[Key, float], other: Mapping[Key, float]) -> dict[Key, float]:
    return {key: max(one.get(key, 0.0), other.get(key, 0.0)) for key in {**one, **other}}


NOTHING = Policy()
EVERYTHING = Policy(EVERY_ROLE, core=1.0, others=1.0, tensor=1.0, expert=1.0)
SELECTIVE: Mapping[Selective, Policy] = {
    "attention": Policy(core=1.0, unkept=Unkept(scores=True)),
    "all-but-attention": replace(EVERYTHING, core=0.0, unkept=Unkept(all_but=(1.0, 0.0))),
    "all-but-half-attention": replace(EVERYTHING, core=FIRST_HALF, unkept=Unkept(all_but=(0.5, 0.0))),
    "half-of-gemms": Policy(dict.fromkeys(Role, 0.5), others=1.0, tensor=0.5, unkept=Unkept(all_but=(1.0, 0.5))),
    "attention-block": Policy(
        dict.fromkeys(ATTENTION_IN, 1.0), core=1.0, others=0.5,
        unkept=Unkept(scores=True, heads=True, inputs=frozenset({Role.ATTENTION_OUTPUT}),
                      operators=frozenset(Pointwise.of(Family.ATTENTION))),
    ),
    "mlp": Policy(
        {Role.MLP_IN: 1.0, Role.SHARED_IN: 1.0}, others=0.5,
        unkept=Unkept(inputs=frozenset({Role.MLP_OUT, Role.SHARED_OUT}), experts=frozenset({Role.MLP_IN, Role.MLP_OUT}),
                      operators=frozenset(ACTIVATIONS)),
    ),
}  # fmt: skip
"""What selective recomputation recomputes, by the name in a software profile.

attention               the core (Korthikanti et al. 2022, section 5)
all-but-attention       everything except the core and its communication (selective checkpoint++ of LoongTrain)
all-but-half-attention  the same, plus the core for the first half of the sequence (BurstEngine, arXiv:2509.19836)
half-of-gemms           every second GEMM, all memory-bound operators and tensor-parallel all-gathers, but no reduce-scatters
                        (torchtitan's operator-wise policy keeps ``reduce_scatter_tensor``)
attention-block, mlp    one half of the block: its GEMMs except the last, half of the memory-bound operators
"""
MODULES: Mapping[Module, Policy] = {
    Module.core_attn: SELECTIVE["attention"],
    Module.layernorm: Policy(
        operators=dict.fromkeys(Pointwise.of(Family.NORM), 1.0),
        unkept=Unkept(inputs=frozenset({Role.QKV, Role.LATENT_DOWN, Role.MLP_IN, Role.ROUTER})),
    ),
    Module.mla_up_proj: Policy(
        {Role.LATENT_UP: 1.0}, operators={Pointwise.ROTARY: 1.0}, unkept=Unkept(heads=True, operators=frozenset({Pointwise.ROTARY}))
    ),
    Module.moe_act: Policy(operators=dict.fromkeys(ACTIVATIONS, 1.0), unkept=Unkept(experts=frozenset({Role.MLP_OUT}))),
    Module.mlp: Policy(
        {Role.MLP_IN: 1.0, Role.MLP_OUT: 1.0}, operators=dict.fromkeys(ACTIVATIONS, 1.0), tensor=0.5,
        unkept=Unkept(inputs=frozenset({Role.MLP_OUT}), operators=frozenset(ACTIVATIONS)),
    ),
    Module.moe: Policy(
        dict.fromkeys((Role.MLP_IN, Role.MLP_OUT, Role.ROUTER, Role.SHARED_IN, Role.SHARED_OUT), 1.0),
        operators=dict.fromkeys((*ACTIVATIONS, Pointwise.ROUTER, Pointwise.PERMUTE), 1.0), tensor=0.5, expert=1.0,
        unkept=Unkept(inputs=frozenset({Role.SHARED_OUT}), experts=frozenset({Role.MLP_IN, Role.MLP_OUT}),
                      operators=frozenset((*ACTIVATIONS, Pointwise.ROUTER, Pointwise.PERMUTE))),
    ),
    Module.shared_experts: Policy(
        {Role.SHARED_IN: 1.0, Role.SHARED_OUT: 1.0}, unkept=Unkept(inputs=frozenset({Role.SHARED_OUT})),
    ),
}  # fmt: skip
"""What ``recompute_modules`` recompute, by their Megatron-Core names (``--recompute-modules``). Fused ``core_attn`` adds FLOPs and time but
saves no memory, since its inputs and output are saved in any case. ``moe_act``, ``layernorm`` and ``mla_up_proj`` drop their outputs."""
DENSE, SPARSE = frozenset({Module.mlp}), frozenset({Module.moe, Module.moe_act, Module.shared_experts})
"""Modules that exist only in layers without, or with, experts."""


def selective_policy(stack: Stack, layout: Layout, software: Software) -> Policy:
    """What ``recompute: selective`` recomputes in a stack's layers: the layout's modules, otherwise the software's own definition."""
    if layout.recompute_modules is None:
        return SELECTIVE[software.selective]
    mixture = any(has_experts(linear) for linear in stack.block.linears)
    return _modules(frozenset(layout.recompute_modules) - (DENSE if mixture else SPARSE))


@cache
def _modules(chosen: frozenset[Module]) -> Policy:
    policy = NOTHING
    for module in sorted(chosen):
        policy = policy | MODULES[module]
    return policy


def times_again(stack: Stack, software: Software) -> int:
    """How many times full recomputation repeats a stack's forward pass: 1, or 2 in transformers' files that checkpoint layers within a
    checkpointed stage (``SwinStage`` and ``SwinLayer`` are both a ``GradientCheckpointingLayer``)."""
    return 2 if stack.nested and software.model_code else 1


def skips_last_gemm(stack: Stack, software: Software) -> bool:
    """Whether full recomputation of a layer skips its last GEMM.

    It does if the stack stops after the last activation needed (``early_stop``), unless the last GEMM has an adapter, which is computed
    after it, or experts, whose outputs the gradients of the routing weights need.
    """
    if not stack.block.linears:
        return False
    last = stack.block.linears[-1]
    adapted = any(adapter.role is last.role for adapter in stack.adapters)
    return software.early_stop and not adapted and not has_experts(last)


def gemm_share(policy: Policy, stack: Stack, software: Software) -> Array:
    """Share of a layer's GEMM FLOPs that a policy recomputes: at most what full recomputation does, which may skip the last GEMM."""
    linears = stack.block.linears
    if not linears:
        return 0.0
    counted = linears[:-1] if skips_last_gemm(stack, software) else linears
    most = sum((_flops(linear) for linear in counted), start=np.asarray(0.0))
    some = sum((_flops(linear) * policy.gemms.get(linear.role, 0.0) for linear in linears), start=np.asarray(0.0))
    return np.divide(np.minimum(some, most), sum(_flops(linear) for linear in linears))


def _flops(linear: Linear) -> Array:
    return linear.flops_per_token


def covered(layout: Layout, model: Model, stack: Stack, pipeline: Array) -> Array:
    """Share of a stack's layers that full recomputation covers: ``recompute_layers`` layers of any kind per stage, or all if not given.

    min(1, r p / L)     for pipelined stacks: r layers on each of p stages, L layers in all pipelined stacks
    min(1, r / L)       for another stack, which is whole on one stage: L its own layers
    """
    if model.on_stream(stack):
        return covered_on(layout, np.divide(stream_layers(model), pipeline))
    return covered_on(layout, stack.layers)


def covered_on(layout: Layout, layers: Array) -> Array:
    """Share of one stage's n layers that full recomputation covers: min(1, r / n); 1 without ``recompute_layers``."""
    if layout.recompute_layers is None:
        return 1.0
    return np.minimum(np.divide(layout.recompute_layers, np.maximum(layers, 1)), 1.0)
