"""Novelty of a run relative to the measured runs: traits that no measured run has, or only runs of one system."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from gpuhours.architecture.operators import Model, Trainable
from gpuhours.hardware.number_formats import NUMBER_FORMATS
from gpuhours.inputs.arrays import some
from gpuhours.inputs.records import dataclass

World = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Trait -> value -> the systems with measured runs that have this value."""

MIXTURE = "mixture of experts"
ONCE = 0.5
"""Novelty of a trait that only one system has; a trait that no system has counts 1."""
SHORT = 0.3
"""s per step below which overheads other than kernels matter."""
WAITS = 0.05
"""Share of a step's time that is exposed CPU overhead, above which the pace of a new stack's host matters: it is the stand-in's."""
SCALES = ((1, "one GPU"), (8, "one node"), (64, "up to 64 GPUs"), (512, "up to 512 GPUs"), (math.inf, "over 512 GPUs"))
LENGTHS = ((2048, "2K"), (8192, "8K"), (32768, "32K"), (131072, "128K"), (math.inf, "over 128K"))
GENERATIONS = {"ada": "Ada", "cdna2": "CDNA 2", "cdna3": "CDNA 3", "tpu": "TPU"}
TRAITS = ("stack", "card", "generation", "stack on generation", "precision", "kind", "kind on stack", "scale", "length")
"""Traits that a run may share with measured ones, in the order of its features."""
OF_STACK = ("stack", "stack on generation", "kind on stack", "scale", "length")
"""Traits that only runs of the same stack can share."""
BESIDES = ("short step", "stack not said", "experts", "GPUs", "host on stack")
"""Features that make a run hard to predict, whether or not similar runs were measured; the last only as far as its stack was not."""


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
    """Whether the run's stack was not measured: ``stack`` then names the stand-in profile."""

    def values(self) -> dict[str, str]:
        """The run's value of each of ``TRAITS``."""
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
        """The number of GPUs as one of ``SCALES``, which are about a factor of eight apart."""
        return step_of(self.gpus, SCALES)

    @property
    def likeness(self) -> str:
        """Stack, accelerator generation, kind and scale: runs that share all four are considered similar."""
        return f"{self.stack} | {self.generation} | {self.kind} | {self.scale}"

    @property
    def words(self) -> str:
        """The ``likeness`` in words."""
        card = GENERATIONS.get(self.generation, self.generation.capitalize())
        return f"{self.stack} on {card}, {self.kind}, {self.scale}"


def kind_of(*, experts: bool, partly: bool, frames: bool) -> str:
    """The kind of training: a mixture of experts; adapters or frozen parts, for text; images or clips; otherwise a dense text model."""
    if experts:
        return MIXTURE
    if partly and not frames:
        return "adapters or frozen parts"
    return "vision and video" if frames else "dense"


def kind_of_model(model: Model, frames: bool) -> str:
    """``kind_of`` for a model; ``frames``: whether it is trained on images or clips."""
    experts = any(some(np.greater(linear.experts, 1)) for stack in model.stacks for linear in stack.block.linears)
    partly = any(part.trainable is not Trainable.FULL for part in model.parts)
    return kind_of(experts=experts, partly=partly, frames=frames)


def step_of(value: float, steps: tuple[tuple[float, str], ...]) -> str:
    """The name of the first of ``steps`` (upper limit, name) that is at least ``value``."""
    return next(name for most, name in steps if value <= most)


def features(
    traits: Traits, time: float, world: World, without: frozenset[str] = frozenset(), waits: float = 0.0
) -> tuple[float, ...]:
    """The run's features: novelty by trait (1 if no system has its value, ``ONCE`` if one system has, otherwise 0; systems in ``without``
    are not counted), followed by ``BESIDES``. A run with a stand-in profile does not count as a run of that stack. ``time``: s per step,
    of which ``waits`` s are exposed CPU overhead."""
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
        new[TRAITS.index("stack")] * float(waits > WAITS * time),
    ]
    return (*new, *hard)
