"""How long one rank computes on one micro-batch of one layer: products, attention, memory-bound operators."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpuhours.architecture.operators import Block, Ends, Linear, Pointwise, Split, Stack, Trainable
from gpuhours.hardware.number_formats import Precision
from gpuhours.hardware.profiles import Accelerator
from gpuhours.inputs.arrays import Array
from gpuhours.kernels.gemm import gemm_time, memory_time, thin_experts
from gpuhours.layout.ranks import Ranks, degree, has_experts, local_parameters
from gpuhours.software.profile import Software
from gpuhours.step.context import attention_passes
from gpuhours.step.schedule import Passes

PRODUCTS, ATTENTION, OTHER = "matrix products", "attention", "other kernels"
NARROW = frozenset({"fp8", "mxfp8", "nvfp4"})
"""Formats that inputs of products are cast to; everything else stays in 16 bit."""
UNPACKING = 2.6
"""Bytes per 4-bit weight (nf4) that is read and written out in 16 bit before each product (QLoRA, arXiv:2305.14314, equation 5)."""


@dataclass(frozen=True, eq=False)
class Machine:
    """What the work runs on: chip, stack, formats."""

    accelerator: Accelerator
    software: Software
    precision: Precision

    @property
    def wide(self) -> str:
        """The format of products that are not quantised (head, attention): 16 bit unless the run has 32."""
        dtype = self.precision.product
        return "bf16" if dtype in NARROW else dtype


def layer_compute(stack: Stack, ranks: Ranks, machine: Machine) -> dict[str, Passes]:
    """One layer of a stack, by kind of kernel."""
    tokens = np.divide(np.multiply(stack.tokens, ranks.microbatch), ranks.context)
    products = Passes()
    for linear in stack.block.linears:
        products += product_passes(linear, tokens, ranks, machine, stack.trainable)
    for adapter in stack.adapters:
        products += product_passes(adapter, tokens, ranks, machine, Trainable.FULL, machine.wide)
    others = elementwise_passes(stack, tokens, ranks, machine)
    attention = attention_passes(stack, ranks, machine)
    found = {PRODUCTS: products, ATTENTION: attention, OTHER: others}
    if stack.trainable is Trainable.FROZEN:
        return {kind: Passes(passes.forward) for kind, passes in found.items()}
    return found


def product_passes(
    linear: Linear,
    tokens: Array,
    ranks: Ranks,
    machine: Machine,
    trainable: Trainable,
    dtype: str | None = None,
) -> Passes:
    """Forward Y = X W', input gradient dX = dY W and weight gradient dW = dY' X, each in its own shape.

        forward [T, n] over k;   input gradient [T, k] over n;   weight gradient [n, k] over T

    n outputs and k inputs on the rank. Experts: every expert gets T e g a / (t E) tokens (perfectly balanced), E / e experts on a
    rank; t tensor, g expert_tensor, e expert degree, a active of E experts.
    """
    split = degree(linear, ranks)
    n = np.divide(linear.outputs, 1 if linear.split is Split.ROW else split)
    k = np.divide(linear.inputs, split if linear.split is Split.ROW else 1)
    if linear.split is Split.VOCABULARY:
        multiple = machine.software.vocabulary_multiple
        n = np.ceil(n / multiple) * multiple
    count: Array = 1
    if has_experts(linear):
        load = np.where(np.greater(ranks.expert, 1), machine.software.dispatch.load, 1.0)
        arriving = load * np.multiply(ranks.expert, ranks.expert_tensor) * tokens * linear.active
        tokens = arriving / np.multiply(ranks.tensor, linear.experts)
        count = np.divide(linear.experts, ranks.expert)
    elif linear.split is Split.WHOLE:
        tokens = np.divide(tokens, ranks.whole)
    dtype = dtype or (machine.wide if linear.split is Split.WHOLE else machine.precision.product)
    chip = machine.accelerator
    forward = gemm_time(tokens, n, k, chip, dtype, count=count)
    backward: Array = 0.0 if trainable is Trainable.FROZEN else gemm_time(tokens, k, n, chip, dtype, count=count)
    weight = (
        gemm_time(n, k, tokens, chip, dtype, count=count, weight_gradient=True) if trainable is Trainable.FULL else 0.0
    )
    if machine.precision.dtype == "nf4" and trainable is not Trainable.FULL and linear.split is not Split.VOCABULARY:
        unpacked = memory_time(UNPACKING * n * k * count, chip)
        forward = forward + unpacked
        backward = backward if trainable is Trainable.FROZEN else backward + unpacked
    slower = thin_experts(tokens, count) if has_experts(linear) else 1.0
    return Passes(forward, backward, weight) * slower


def elementwise_passes(stack: Stack, tokens: Array, ranks: Ranks, machine: Machine) -> Passes:
    """Memory-bound operators, casts and what joins adapters (every second one leads out of its rank) to the products beside
    them: equivalent bytes of the software profile at copy speed.

    Half of a permutation comes after the tokens of ``expert_tensor`` ranks were gathered: (1 + g) / 2 of it in all.
    """
    forward: Array = 0.0
    backward: Array = 0.0
    autocast = machine.precision.autocast
    scale = machine.precision.element / 2
    for operator in stack.block.elementwise:
        there, back = machine.software.traffic(operator.kind.value, autocast=autocast)
        elements = np.divide(tokens * operator.width, ranks.tensor if operator.sharded else ranks.whole) * scale
        if operator.kind is Pointwise.PERMUTE:
            elements = elements * (1.0 + ranks.expert_tensor) / 2
        forward, backward = forward + there * elements, backward + back * elements
    if machine.precision.dtype in NARROW:
        there, back = cast_bytes(stack.block, tokens, ranks, machine)
        forward, backward = forward + there, backward + back
    for adapter in stack.adapters[1::2]:
        outputs = np.divide(tokens * adapter.active * adapter.outputs, degree(adapter, ranks)) * scale
        forward = forward + machine.software.adapters.forward * outputs
        backward = backward + machine.software.adapters.backward * outputs
    chip = machine.accelerator
    return Passes(memory_time(forward, chip), memory_time(backward, chip))


def cast_bytes(block: Block, tokens: Array, ranks: Ranks, machine: Machine) -> tuple[Array, Array]:
    """Quantising inputs (forward) and output gradients (backward) of a layer's products, and weights (half in each), bytes.

    Where a dense product is split, ranks cast their share before it is gathered; experts get their tokens gathered, and cast them all.
    """
    casts = machine.software.casts
    factor = casts.four_bit if machine.precision.dtype == "nvfp4" else 1.0
    inputs: Array = 0.0
    outputs: Array = 0.0
    quantised = [linear for linear in block.linears if linear.split is not Split.WHOLE]
    for linear in quantised:
        share = np.divide(tokens * linear.active, ranks.tensor)
        wide = ranks.expert_tensor if has_experts(linear) else np.divide(ranks.tensor, ranks.whole)
        row = linear.split is Split.ROW
        inputs = inputs + share * linear.inputs * (1 if row else wide)
        outputs = outputs + share * linear.outputs * (wide if row else 1)
    weights = casts.weights * factor * sum(local_parameters(linear, ranks) for linear in quantised)
    return casts.forward * factor * inputs + weights / 2, casts.backward * factor * outputs + weights / 2


def ends_compute(part: Ends, ranks: Ranks, machine: Machine) -> dict[str, Passes]:
    """Embedding, patch embedding, final products and loss of one micro-batch."""
    tokens = np.divide(np.multiply(part.tokens, ranks.microbatch), ranks.context)
    products = Passes()
    for linear in part.linears:
        products += product_passes(linear, tokens, ranks, machine, part.trainable, machine.wide)
    head = machine.software.head
    scale = machine.precision.element / 2
    logits = np.divide(tokens * part.vocabulary, ranks.tensor)
    chip = machine.accelerator
    looked_up = tokens * sum((np.asarray(linear.outputs) for linear in part.linears), start=np.asarray(0.0))
    stream = np.where(np.greater(part.vocabulary, 0), 0.0, 4.0 * scale * looked_up)
    forward = memory_time(head.forward * scale * logits + stream, chip)
    backward = memory_time(head.backward * scale * logits + 2 * stream, chip)
    trained = part.trainable is not Trainable.FROZEN
    return {PRODUCTS: products, OTHER: Passes(forward, backward if trained else 0.0)}
