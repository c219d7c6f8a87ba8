"""Model FLOPs and hardware FLOPs of training, from the operator list.

Model FLOPs are those of the forward and backward passes without recomputation; MFU is based on them. Hardware FLOPs include recomputation;
HFU is based on them. A multiply-add is two FLOP. Left out, as is customary: norms, activations, softmax, the optimiser (together below 1 %
for hidden sizes over 1,000).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from gpuhours.architecture.operators import Ends, Linear, Model, Stack, Trainable
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.errors import EstimateError, nearest
from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import Recompute
from gpuhours.layout.layout import Layout
from gpuhours.layout.recompute import EVERYTHING, Policy, covered, gemm_share, selective_policy, times_again
from gpuhours.software.profile import Software

CONVENTIONS: Mapping[str, str] = MappingProxyType(
    {
        "causal": "every GEMM; attention halved by its mask",
        "full": "every GEMM; attention unmasked",
        "palm": "6 N D with every parameter, and 12 L H Q T (arXiv:2204.02311)",
        "6nd": "6 N D with every parameter (arXiv:2001.08361)",
    }
)
"""Conventions for counting model FLOPs; published MFUs use different ones."""


@dataclass(frozen=True, eq=False)
class PassCounts:
    """Number of times that each pass runs over a part in one training step."""

    forward: int
    activation_gradient: int
    weight_gradient: int

    @property
    def gemms(self) -> int:
        """Number of GEMMs per linear layer: each gradient is one more GEMM of the same size."""
        return self.forward + self.activation_gradient + self.weight_gradient

    @property
    def attention(self) -> int:
        """FLOPs of attention in all passes relative to its forward pass. The backward pass, which has only activation gradients, counts
        twice."""
        return self.forward + 2 * self.activation_gradient


PASSES: Mapping[Trainable, PassCounts] = MappingProxyType(
    {
        Trainable.FULL: PassCounts(1, 1, 1),
        Trainable.FROZEN: PassCounts(1, 0, 0),
        Trainable.PASS_THROUGH: PassCounts(1, 1, 0),
        Trainable.LORA: PassCounts(1, 1, 0),
    }
)
"""Passes by ``Trainable``. At 2 FLOP per weight, token and pass: 6 if trained, 2 if frozen, 4 if frozen but passing gradients through."""


@dataclass(frozen=True, eq=False)
class PartFlops:
    """FLOPs of one part of the model for one training sample, by kind."""

    name: str
    gemms: Array
    """Of the forward GEMMs, without adapters."""
    attention: Array
    """Of the forward attention scores and weighted sums."""
    adapters: Array
    """Of the forward adapter GEMMs."""
    passes: PassCounts
    stacked: bool
    """Whether the part is a stack of layers rather than an end."""

    @property
    def forward(self) -> Array:
        """FLOPs of one forward pass over one sample."""
        return self.gemms + self.attention + self.adapters

    @property
    def training(self) -> Array:
        """FLOPs of forward and backward passes over one sample; adapters are always trained.

        f_p GEMMs + f_a attention + 3 adapters        f  passes of ``PASSES``
        """
        passes = self.passes
        return passes.gemms * self.gemms + passes.attention * self.attention + 3 * self.adapters


def gemm_flops(linears: tuple[Linear, ...], tokens: Array) -> Array:
    """Forward FLOPs of GEMMs over ``tokens`` tokens.

    2 T sum(k n a)        T tokens, k inputs, n outputs, a active experts of each GEMM; 2 for multiply and add
    """
    return sum((linear.flops_per_token for linear in linears), start=0) * tokens


def attention_flops(stack: Stack, *, full: bool) -> Array:
    """Forward FLOPs of a stack's scores and weighted sums for one sample.

        L (T / s) sum over cores of their FLOPs over s tokens        L layers, T tokens of a sample in sequences of s

    ``full`` includes the half that a causal mask hides (``AttentionCore.flops``).
    """
    length = stack.tokens if stack.sequence is None else stack.sequence
    per_sequence = sum((core.flops(length, full=full) for core in stack.block.attention), start=0)
    sequences = np.divide(stack.tokens, np.where(np.greater(length, 0), length, 1))
    return stack.layers * sequences * per_sequence


def part_flops(part: Stack | Ends, *, full: bool = False) -> PartFlops:
    """Forward FLOPs of one part of the model for one sample, by kind, with its number of passes.

    ``full`` counts attention without its causal mask.
    """
    passes = PASSES[part.trainable]
    if isinstance(part, Ends):
        return PartFlops(part.name, gemm_flops(part.linears, part.tokens), 0.0, 0.0, passes, stacked=False)
    return PartFlops(
        part.name,
        part.layers * gemm_flops(part.block.linears, part.tokens),
        attention_flops(part, full=full),
        part.layers * gemm_flops(part.adapters, part.tokens),
        passes,
        stacked=True,
    )


def model_flops(model: Model, samples: Array = 1, convention: str = "causal") -> Array:
    """FLOPs that training on ``samples`` samples needs, without recomputation.

        causal, full   sum over parts: passes x forward GEMMs + passes x forward attention
        6nd            sum over parts: 2 x passes x N x tokens       (6 N D where all is trained)
        palm           6nd + passes x attention unmasked

    N is a part's number of active parameters including its lookup tables; tokens are those of its own stream (patches for a vision encoder,
    visible tubelets for a masked one). Raises ``EstimateError`` for an unknown convention.

    Sources: Kaplan et al. 2020, arXiv:2001.08361, section 2.1 (6 N D); Chowdhery et al. 2022, arXiv:2204.02311, appendix B (palm).
    """
    _known(convention)
    parts = [part_flops(part, full=convention != "causal") for part in model.parts]
    if convention in ("causal", "full"):
        return samples * sum(part.training for part in parts)
    total = sum(
        2 * counted.passes.gemms * part.active_parameters * part.tokens
        for part, counted in zip(model.parts, parts, strict=True)
    )
    if convention == "palm":
        total = total + sum(part.passes.attention * part.attention for part in parts)
    return samples * total


def hardware_flops(
    model: Model,
    samples: Array = 1,
    layout: Layout | None = None,
    software: Software | None = None,
    convention: str = "causal",
) -> Array:
    """Model FLOPs plus the FLOPs recomputed under the layout's ``recompute``; model FLOPs if layout or software is not given."""
    needed = model_flops(model, samples, convention)
    if layout is None or software is None:
        return needed
    full = convention != "causal"
    again = (repeated_flops(stack, model, layout, software, full=full) for stack in model.stacks)
    return needed + samples * sum(again, start=np.asarray(0.0))


def repeated_flops(stack: Stack, model: Model, layout: Layout, software: Software, *, full: bool = False) -> Array:
    """Recomputed FLOPs per sample in a stack: the recompute policy's shares of its GEMMs and its attention, as many
    times as full recomputation repeats them (``times_again``).

    0 for a frozen stack, which has no backward pass. Source: Korthikanti et al. 2022, section 5.
    """
    part = part_flops(stack, full=full)
    if not part.passes.activation_gradient:
        return 0.0

    def again(policy: Policy) -> Array:
        return gemm_share(policy, stack, software) * (part.gemms + part.adapters) + policy.core * part.attention

    mode = np.asarray(layout.recompute)
    some = np.where(mode == Recompute.selective, again(selective_policy(stack, layout, software)), 0.0)
    whole = covered(layout, model, stack, layout.pipeline) * again(EVERYTHING) * times_again(stack, software)
    return np.where(mode == Recompute.full, whole, some)


def _known(convention: str) -> None:
    if convention not in CONVENTIONS:
        hint = nearest(convention, CONVENTIONS) or f"There are {', '.join(CONVENTIONS)}."
        raise EstimateError(f"{convention!r} is not a convention for counting FLOPs.", hint, "convention")
