"""How many parameters a model has, trains, and shows to one token."""

from __future__ import annotations

from gpuhours.architecture.operators import Ends, Model, Stack, Trainable
from gpuhours.layout import Array


def trainable(model: Model) -> Array:
    """Parameters that the optimiser updates: everything trained in full, and adapters."""
    return sum(trainable_part(part) for part in model.parts)


def trainable_part(part: Stack | Ends) -> Array:
    """All of a fully trained part; of a stack with adapters, these; of a frozen one, nothing."""
    if part.trainable is Trainable.FULL:
        return part.parameters
    if isinstance(part, Stack) and part.trainable is Trainable.LORA:
        return part.layers * sum(adapter.parameters for adapter in part.adapters)
    return 0


def active(model: Model) -> Array:
    """Parameters that one token meets: a mixture's idle experts are left out."""
    return sum(active_part(part) for part in model.parts)


def active_part(part: Stack | Ends) -> Array:
    """Parameters of a part less its idle experts."""
    if isinstance(part, Ends):
        return part.parameters
    adapters = sum(adapter.active * adapter.inputs * adapter.outputs for adapter in part.adapters)
    return part.layers * (part.block.active_parameters + adapters)
