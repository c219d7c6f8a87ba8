"""What runs use where they do not say: a small sourced table (``typical.yaml``), and what is drawn from it.

The year of a run is its ``year`` key, else that of ``--by``, else the present one.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import Field

from gpuhours.architecture.operators import Model
from gpuhours.hardware.clusters import Cluster
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.yaml_files import Section, Sourced, read_yaml, validated
from gpuhours.layout.layout import Recompute
from gpuhours.run.ranges import spread_over

Kind = Literal["text", "vision", "video"]
Weight = Annotated[float, Field(gt=0)]


class Condition(Sourced):
    """For which runs a line of the table is."""

    kind: Kind | None = None
    until: int | None = None
    """The last year it holds for."""
    since: int | None = None
    """The first year it holds for."""
    most_gpus: int | None = None
    least_gpus: int | None = None
    least_params: float | None = None
    mixtures: bool = False
    """It is for mixtures of experts alone."""
    settled_on: tuple[str, ...] = ()
    """Organisations whose published hours were in view when it was added: judging them does without it."""

    def holds(self, kind: Kind, year: int, gpus: float, params: float, *, mixture: bool) -> bool:
        """Whether the rule is for such a run."""
        return (
            self.kind in (None, kind)
            and (self.until is None or year <= self.until)
            and (self.since is None or year >= self.since)
            and (self.least_gpus is None or gpus >= self.least_gpus)
            and (self.most_gpus is None or gpus <= self.most_gpus)
            and (self.least_params is None or params >= self.least_params)
            and (mixture or not self.mixtures)
        )


Line = TypeVar("Line", bound=Condition)


class UsualWeights(Condition):
    """Weights of what is used."""

    weights: Mapping[str, Weight]


class Slack(Condition):
    """How much slower than the best a usual layout is, at most."""

    within: float
    modes: float
    """The same of a recompute mode's best layout: full recomputation costs a third."""


class Share(Sourced):
    """A share with its 10th and 90th percentile."""

    low: float
    value: float
    high: float

    def draw(self, position: Array) -> Array:
        """The share at a position of its distribution, at most one."""
        return np.minimum(spread_over(self.low, self.value, self.high, np.asarray(position, float)), 1.0)


class UsualAtSize(Section):
    """A usual value at a number of parameters."""

    params: float
    value: float


class UsualLength(Sourced):
    """A usual sequence length, and the last year it holds for."""

    until: int | None = None
    value: int


class UsualBatch(Sourced):
    """Samples of a step."""

    value: float


class UsualGpus(Sourced):
    """How many accelerators a run is on where nobody says: gpus (GPU-hours / at)^grows."""

    gpus: float
    at: float
    """GPU-hours at a third of the dense peak."""
    grows: float


class Typical(Section):
    """``typical.yaml``."""

    stacks: tuple[UsualWeights, ...]
    recompute: tuple[UsualWeights, ...]
    layout: tuple[Slack, ...]
    network: Share
    padding: Share
    seq_len: tuple[UsualLength, ...]
    read_len: UsualLength
    """Of what an encoder reads for a decoder to write."""
    batch_tokens: tuple[UsualAtSize, ...]
    mixture_batch_tokens: tuple[UsualAtSize, ...]
    batch_source: str
    adapter_batch: UsualBatch
    kind_batch: Mapping[str, UsualBatch]
    """By the kind of a model that learns from pictures alone or from pictures beside their captions."""
    accelerators: UsualGpus

    def batch(self, params: Array, *, mixture: bool) -> Array:
        """Tokens per step: a straight line between neighbours, both in logarithms."""
        points = self.mixture_batch_tokens if mixture else self.batch_tokens
        sizes, values = (np.log([getattr(one, name) for one in points]) for name in ("params", "value"))
        return np.exp(np.interp(np.log(params), sizes, values))

    def tokens_of_step(self, model: Model | None, kind: str, tokens: Array) -> tuple[Array, str, str]:
        """Tokens of a step of a model of a kind, ``tokens`` a sample; what it is usual for, and from where."""
        if model is not None and any(stack.adapters for stack in model.stacks):
            return self.adapter_batch.value * tokens, "as usual where adapters are trained", self.adapter_batch.source
        if kind in self.kind_batch:
            usual = self.kind_batch[kind]
            return usual.value * tokens, f"samples as usual for {kind} models", usual.source
        size, mixture = (1e10, False) if model is None else (model.parameters, is_mixture(model))
        return self.batch(size, mixture=mixture), "tokens as usual for the size", self.batch_source

    def sequence(self, year: int, kind: str) -> UsualLength:
        """Tokens of a sequence that language models of a year are trained on, or that those of a kind read."""
        if kind == "encoder-decoder":
            return self.read_len
        return next(one for one in self.seq_len if one.until is None or year <= one.until)


def first(lines: tuple[Line, ...], kind: Kind, year: int, gpus: float, params: float, *, mixture: bool) -> Line:
    """The first line that is for such a run."""
    return next(line for line in lines if line.holds(kind, year, gpus, params, mixture=mixture))


@functools.cache
def typical() -> Typical:
    """The table that ships with gpuhours."""
    path = Path(str(files("gpuhours"))) / "run" / "typical.yaml"
    found: Any = validated(Typical, read_yaml(path))
    return found


def network_share(cluster: Cluster) -> Share:
    """Share of a network's rate that the collectives of a run met, beside what its kind usually loses at that many nodes.

    Where runs on its kind were measured at several sizes (``typical`` of its profile) their spread about that; else the table's.
    """
    kind = cluster.node.fabric
    if not kind.typical:
        return typical().network
    low, high = kind.spread(float(np.max(cluster.nodes)))
    return Share(low=low, value=1.0, high=high, source=kind.typical[-1].source)


def this_year() -> int:
    """The present calendar year, for a run that states none."""
    return datetime.datetime.now(tz=datetime.UTC).year


def is_mixture(model: Model) -> bool:
    """Whether some layers have experts."""
    return any(np.any(np.greater(linear.experts, 1)) for stack in model.stacks for linear in stack.block.linears)


def kind_of(model: Model, frames: Array | None) -> Kind:
    """text, vision or video: by what a sample is."""
    if frames is None:
        return "text"
    return "video" if np.max(frames) > 1 else "vision"


def recompute_modes(rule: UsualWeights) -> tuple[tuple[Recompute, float], ...]:
    """The rule's weights by recompute mode."""
    return tuple((Recompute[name], weight) for name, weight in rule.weights.items())


def usual_gpus(flops: float, cluster: Cluster, peak: float, usual: UsualGpus) -> int:
    """Accelerators of a run that says none: n = gpus (H / at)^grows, H GPU-hours at a third of the peak; a power of two, at least a node.

    Dear runs are on more, and take longer: where ``grows`` is a half both are the root of their cost.
    """
    gpus = usual.gpus * (flops / (peak / 3 * HOUR) / usual.at) ** usual.grows
    return int(max(cluster.gpus_per_node, 2 ** round(np.log2(max(gpus, 1.0)))))
