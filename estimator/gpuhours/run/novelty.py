"""How new a run is relative to measured runs: traits that no measured run has, or those of one system only."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from gpuhours.architecture.operators import Model, Trainable
from gpuhours.hardware.number_formats import NUMBER_FORMATS
from gpuhours.inputs.arrays import some
from gpuhours.inputs.records import dataclass

World = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Trait -> its value -> the systems with measured runs that have it."""

MIXTURE = "mixture of experts"
ONCE = 0.5
"""Weight of a trait that one system has, relative to one that none has."""
SHORT = 0.3
"""s per step below which overheads besides the kernels matter."""
SCALES = ((1, "one GPU"), (8, "one node"), (64, "up to 64 GPUs"), (512, "up to 512 GPUs"), (math.inf, "over 512 GPUs"))
LENGTHS = ((2048, "2K"), (8192, "8K"), (32768, "32K"), (131072, "128K"), (math.inf, "over 128K"))
GENERATIONS = {"ada": "Ada", "cdna2": "CDNA 2", "cdna3": "CDNA 3", "tpu": "TPU"}
TRAITS = ("stack", "card", "generation", "stack on generation", "precision", "kind", "kind on stack", "scale", "length")
"""Traits that a run may share with measured ones; features of its range in this order."""
OF_STACK = ("stack", "stack on generation", "kind on stack", "scale", "length")
"""Traits that only runs of the same stack can share."""
BESIDES = ("short step", "stack not said", "experts", "GPUs")
"""Features that make a run hard to predict, whether new or not."""


@dataclass(frozen=True)
class Traits:
    """The traits that determine how similar a run is to measured ones."""

    stack: str
    card: str
    generation: str
    dtype: str
    kind: str
    """One of the kinds of ``kind_of``."""
    gpus: float
    tokens: float
    stack_said: bool = True
    stands_in: bool = False
    """Whether its stack was not measured: ``stack`` then names the stand-in profile."""

    def values(self) -> dict[str, str]:
        """The value of every one of ``TRAITS``."""
        precision = "8 bit or less" if NUMBER_FORMATS[self.dtype].narrow else "16 bit or more"
        return {
            "stack": self.stack,
            "card": self.card,
            "generation": self.generation,
            "stack on generation": f"{self.stack} | {self.generation}",
            "precision": f"{precision} | {self.generation}",
            "kind": self.kind,
            "kind on stack": f"{self.kind} | {self.stack}",
            "scale": f"{self.scale} | {self.stack}",
            "length": f"{step_of(self.tokens, LENGTHS)} | {self.stack}",
        }

    @property
    def scale(self) -> str:
        """The number of GPUs, in steps of about a factor of eight."""
        return step_of(self.gpus, SCALES)

    @property
    def likeness(self) -> str:
        """Stack, generation of the card, kind and scale: runs that share these are considered similar."""
        return f"{self.stack} | {self.generation} | {self.kind} | {self.scale}"

    @property
    def words(self) -> str:
        """The same in words."""
        card = GENERATIONS.get(self.generation, self.generation.capitalize())
        return f"{self.stack} on {card}, {self.kind}, {self.scale}"


def kind_of(*, experts: bool, partly: bool, frames: bool) -> str:
    """The kind of training: a mixture of experts, adapters or frozen parts, images or clips, or a dense text model."""
    if experts:
        return MIXTURE
    if partly and not frames:
        return "adapters or frozen parts"
    return "vision and video" if frames else "dense"


def kind_of_model(model: Model, frames: bool) -> str:
    """``kind_of`` a model."""
    experts = any(some(np.greater(linear.experts, 1)) for stack in model.stacks for linear in stack.block.linears)
    partly = any(part.trainable is not Trainable.FULL for part in model.parts)
    return kind_of(experts=experts, partly=partly, frames=frames)


def step_of(value: float, steps: tuple[tuple[float, str], ...]) -> str:
    """The first step that covers a value."""
    return next(name for most, name in steps if value <= most)


def features(traits: Traits, time: float, world: World, without: frozenset[str] = frozenset()) -> tuple[float, ...]:
    """Novelty by trait (1: no system except those in ``without`` has it, ``ONCE``: one has), and features that make a run hard to predict.
    Runs of a stand-in profile do not count as runs of that stack."""
    counts = [
        sum(system not in without for system in world.get(trait, {}).get(value, ()))
        if not traits.stands_in or trait not in OF_STACK
        else 0
        for trait, value in traits.values().items()
    ]
    new = [1.0 if count == 0 else ONCE if count == 1 else 0.0 for count in counts]
    hard = [
        float(time < SHORT),
        float(not traits.stack_said),
        float(traits.kind == MIXTURE),
        math.log2(max(1.0, traits.gpus / 8)) / 10,
    ]
    return (*new, *hard)
