"""Number of parameters on one rank: of a layer, an end (embedding, head), a stage, an encoder."""

from __future__ import annotations

import numpy as np

from gpuhours.architecture.operators import Ends, Model, Split, Stack, Trainable
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import VisionPlacement
from gpuhours.layout.placement import Placement, stage_parts
from gpuhours.layout.ranks import Ranks, has_experts, local_parameters


@dataclass(frozen=True, eq=False)
class Weights:
    """Number of parameters on one rank: ``dense`` ones, and those of ``experts``, which are replicated on a different group of ranks."""

    dense: Array
    experts: Array

    @property
    def all(self) -> Array:
        """Parameters of both kinds."""
        return self.dense + self.experts

    def __add__(self, other: Weights) -> Weights:
        return Weights(self.dense + other.dense, self.experts + other.experts)

    def __mul__(self, factor: Array) -> Weights:
        return Weights(self.dense * factor, self.experts * factor)


NOTHING = Weights(0.0, 0.0)


def layer_weights(stack: Stack, ranks: Ranks, *, trained: bool) -> Weights:
    """Parameters of one layer on a rank: all, or only the trainable ones; its share of them if layers share their weights."""
    adapters = sum((local_parameters(linear, ranks) for linear in stack.adapters), start=0.0)
    if trained and stack.trainable is not Trainable.FULL:
        return Weights(adapters, 0.0)
    dense: Array = sum((np.asarray(operator.parameters, float) for operator in stack.block.elementwise), start=0.0)
    experts: Array = 0.0
    for linear in stack.block.linears:
        if has_experts(linear):
            experts = experts + local_parameters(linear, ranks)
        else:
            dense = dense + local_parameters(linear, ranks)
    return Weights(adapters + dense / stack.uses, experts / stack.uses)


def end_weights(part: Ends, ranks: Ranks, *, trained: bool) -> Weights:
    """Parameters of one end's tables and GEMMs on a rank; a tied head on the embedding's stage has none of its own."""
    if trained and part.trainable is not Trainable.FULL:
        return NOTHING
    tables = np.divide(part.tables, ranks.tensor if part.split is Split.VOCABULARY else 1)
    gemms = sum((local_parameters(linear, ranks) for linear in part.linears), start=0.0)
    held = np.equal(ranks.pipeline, 1) if part.tied else False
    return Weights(tables + np.where(held, 0.0, gemms), 0.0)


def part_weights(part: Stack | Ends, ranks: Ranks, *, trained: bool) -> Weights:
    """Parameters of one layer of a stack, or of an end, on a rank."""
    weights = layer_weights if isinstance(part, Stack) else end_weights
    return weights(part, ranks, trained=trained)  # type: ignore[arg-type]


def stage_weights(model: Model, placement: Placement, ranks: Ranks, *, trained: bool) -> Weights:
    """Parameters on a rank of the largest pipeline stage: its layers, and the ends placed on it."""
    fullest = NOTHING
    for stage in placement.candidates():
        held = NOTHING
        for there in stage_parts(model, placement, ranks, stage):
            held += part_weights(there.part, there.ranks, trained=trained) * there.count
        fullest = larger_weights(fullest, held)
    return fullest


def larger_weights(one: Weights, other: Weights) -> Weights:
    """Whichever has more parameters, elementwise."""
    more = np.greater(other.all, one.all)
    return Weights(np.where(more, other.dense, one.dense), np.where(more, other.experts, one.experts))


def encoder_weights(model: Model, ranks: Ranks, placement: VisionPlacement, *, trained: bool) -> Weights:
    """A vision encoder's parameters on a rank that runs it, if placed as ``placement``; otherwise none."""
    if not model.encoder:
        return NOTHING
    own, total = ranks.encoding, NOTHING
    for part in model.encoder:
        if isinstance(part, Stack):
            total += layer_weights(part, own, trained=trained) * part.layers
        else:
            total += end_weights(part, own, trained=trained)
    return total * np.where(np.equal(ranks.vision, placement), 1.0, 0.0)
