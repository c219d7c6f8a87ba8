"""Typical values for what runs leave open: a small table with sources (``typical.yaml``), and how values are drawn from it.

The year of a run is its ``year`` key, otherwise the year of ``--by``, otherwise the current year.
"""

import datetime
import functools
import math
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import Field, model_validator

from gpuhours.architecture.operators import Model
from gpuhours.data import Data
from gpuhours.hardware.clusters import Cluster
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.yaml_files import Section, Sourced, read_yaml, validated
from gpuhours.layout.choices import Recompute
from gpuhours.run.ranges import spread_over

Kind = Literal["text", "vision", "video"]
Weight = Annotated[float, Field(gt=0)]


HALF = 0.5
"""Runs that an alternative counts as before any is named: Jeffreys's prior."""


NEAR = 2.0
"""Factor on either side of the size from which a line applies within which the share of the peak changes."""
AROUND = math.sqrt(2)
"""The same for stacks and recomputation, a factor two in all: scripts that tune 8 B whole are those of the line from 5 B."""


class Condition(Sourced):
    """The conditions that a run must meet for a line of the table to apply."""

    kind: Kind | None = None
    until: int | None = None
    """The last year it applies to."""
    since: int | None = None
    """The first year it applies to."""
    most_gpus: int | None = None
    least_gpus: int | None = None
    least_params: float | None = None
    mixtures: bool = False
    """Whether it applies only to mixtures of experts."""
    adapters: bool = False
    """Whether it applies only to the training of adapters."""
    tuned: bool = False
    """Whether it applies only to runs that tune a trained model further, by their share: ``tuning_share``."""
    fitted_on: tuple[str, ...] = ()
    """Organisations whose published hours were known when the line was added: their runs are validated without it."""

    def holds(
        self,
        kind: Kind,
        year: int,
        gpus: float,
        params: float,
        *,
        mixture: bool,
        adapters: bool,
        tuned: bool = False,
    ) -> bool:
        """Whether the line applies to a run of this kind, year, size and number of accelerators."""
        return (
            self.kind in (None, kind)
            and (self.until is None or year <= self.until)
            and (self.since is None or year >= self.since)
            and (self.least_gpus is None or gpus >= self.least_gpus)
            and (self.most_gpus is None or gpus <= self.most_gpus)
            and (self.least_params is None or params >= self.least_params)
            and (mixture or not self.mixtures)
            and (adapters or not self.adapters)
            and (tuned or not self.tuned)
        )


Line = TypeVar("Line", bound=Condition)


class UsualWeights(Condition):
    """How often each alternative is used."""

    judged: Mapping[str, Weight]
    """Relative weights by judgement."""
    named: Mapping[str, tuple[str, ...]] = {}
    """Runs and scripts that the source shows on each alternative, one entry an organisation."""

    @model_validator(mode="after")
    def _known(self) -> "UsualWeights":
        if unknown := self.named.keys() - self.judged.keys():
            raise ValueError(f"named has alternatives without a judged weight: {', '.join(sorted(unknown))}")
        return self

    @property
    def counted(self) -> int:
        """Number of runs and scripts named; 0 if the weights are a judgement alone."""
        return sum(len(names) for names in self.named.values())

    @property
    def weights(self) -> Mapping[str, float]:
        """Relative weights: the number of names plus a prior of ``HALF`` a run for each of K alternatives, shared out as judged,

            weight = n + K HALF judged / sum of judged

        as in Jeffreys's prior for proportions (1946, Proceedings of the Royal Society A 186), which shares it evenly.
        """
        prior = HALF * len(self.judged) / sum(self.judged.values())
        return {name: len(self.named.get(name, ())) + prior * weight for name, weight in self.judged.items()}

    def only(self, kept: Callable[[str], bool]) -> "UsualWeights | None":
        """The line with the alternatives that are kept; None if there are none."""
        judged, named = ({key: one for key, one in found.items() if kept(key)} for found in (self.judged, self.named))
        return self.model_copy(update={"judged": judged, "named": named}) if judged else None

    def without(self, left_out: Callable[[str], bool]) -> "UsualWeights":
        """The line without the names that are left out."""
        kept = {choice: tuple(name for name in names if not left_out(name)) for choice, names in self.named.items()}
        return self if kept == dict(self.named) else self.model_copy(update={"named": kept})


class Slack(Condition):
    """How much slower than the fastest layout a typical one may be, as a fraction."""

    within: float
    modes: float
    """How much slower the fastest layout of a recompute mode may be, as a fraction: full recomputation adds a third to the work."""


class PeakShare(Condition):
    """The share of the dense peak that whole runs used, stops included, with its 10th and 90th percentile."""

    low: float
    value: float
    high: float
    goodput: float
    """Productive share of the time of those runs."""


class Share(Sourced):
    """A share with its 10th and 90th percentile."""

    low: float
    value: float
    high: float

    def draw(self, position: Array) -> Array:
        """The shares at the quantiles ``position``, at most 1."""
        return np.minimum(spread_over(self.low, self.value, self.high, np.asarray(position, float)), 1.0)


class UsualAtSize(Section):
    """A typical value at a number of parameters."""

    params: float
    value: float


class UsualLength(Sourced):
    """A typical sequence length, the last year it applies to, and whether it applies only to the training of adapters."""

    until: int | None = None
    adapters: bool = False
    value: int


class UsualBatch(Sourced):
    """Samples per step."""

    value: float


class UsualGpus(Sourced):
    """The number of accelerators of a run that states none: gpus (GPU-hours / at)^grows."""

    gpus: float
    at: float
    """GPU-hours at a third of the dense peak."""
    grows: float


class Typical(Section):
    """``typical.yaml``."""

    stacks: tuple[UsualWeights, ...]
    recompute: tuple[UsualWeights, ...]
    layout: tuple[Slack, ...]
    peak_share: tuple[PeakShare, ...]
    """For accelerators whose kernels are not known."""
    network: Share
    padding: Share
    seq_len: tuple[UsualLength, ...]
    sample_len: UsualLength
    """Length of one example if the data are counted in samples."""
    read_len: UsualLength
    """Length of the input that an encoder reads, for an encoder-decoder."""
    batch_tokens: tuple[UsualAtSize, ...]
    mixture_batch_tokens: tuple[UsualAtSize, ...]
    batch_source: str
    adapter_batch: UsualBatch
    adapter_image_batch: UsualBatch
    """Samples per step when training adapters on images or clips."""
    kind_batch: Mapping[str, UsualBatch]
    """Samples per step by kind, for models trained on images alone or on images with captions."""
    accelerators: UsualGpus
    adapter_accelerators: UsualGpus

    def batch(self, params: Array, *, mixture: bool) -> Array:
        """Typical tokens per step for a number of parameters: log-log linear interpolation between the table's sizes."""
        points = self.mixture_batch_tokens if mixture else self.batch_tokens
        sizes, values = (np.log([getattr(one, name) for one in points]) for name in ("params", "value"))
        return np.exp(np.interp(np.log(params), sizes, values))

    def tokens_of_step(
        self, model: Model | None, kind: str, tokens: Array, *, pictures: bool = False
    ) -> tuple[Array, str, str]:
        """Typical tokens per step for a model with ``tokens`` per sample, which are ``pictures`` or not: (tokens, what the value is typical
        for, its source)."""
        if model is not None and model.trains_adapters:
            usual = self.adapter_image_batch if pictures else self.adapter_batch
            return usual.value * tokens, "as usual for training adapters", usual.source
        if kind in self.kind_batch:
            usual = self.kind_batch[kind]
            return usual.value * tokens, f"samples as usual for {kind} models", usual.source
        size, mixture = (1e10, False) if model is None else (model.parameters, is_mixture(model))
        return self.batch(size, mixture=mixture), "tokens as usual for the size", self.batch_source

    def sequence(self, year: int, kind: str, *, counted: bool = False, adapters: bool = False) -> UsualLength:
        """Typical sequence length in tokens: the input length of an encoder-decoder; the length of one example if the data are ``counted``
        in samples; otherwise the training sequence length of language models in that year, or of their adapters."""
        if kind == "encoder-decoder":
            return self.read_len
        if counted:
            return self.sample_len
        return next(
            one for one in self.seq_len if (adapters or not one.adapters) and (one.until is None or year <= one.until)
        )


def first(
    lines: tuple[Line, ...],
    kind: Kind,
    year: int,
    gpus: float,
    params: float,
    **traits: bool,
) -> Line:
    """The first line that applies to the run; ``traits`` are those of ``Condition.holds``."""
    return next(line for line in lines if line.holds(kind, year, gpus, params, **traits))


Parts = tuple[tuple[float, UsualWeights], ...]
"""Lines that apply to shares of the runs that match a description: (share, line)."""


def parts(
    lines: tuple[UsualWeights, ...], kind: Kind, year: int, gpus: float, params: float, tuning: float, **traits: bool
) -> Parts:
    """The first line that applies to runs that tune a trained model, which are a share ``tuning``, and the one that applies to the others;
    near the size from which either applies, also the line of smaller models (``near``). A line stands once; none has a share of 0."""
    found: list[tuple[float, UsualWeights]] = []
    for share, tuned in ((tuning, True), (1.0 - tuning, False)):
        smaller, larger = (
            first(lines, kind, year, gpus, size, tuned=tuned, **traits) for size in (params / AROUND, params * AROUND)
        )
        weight = near(params, larger, AROUND) if larger is not smaller else 1.0
        found += [(share * weight, larger), (share * (1.0 - weight), smaller)]
    once: list[tuple[float, UsualWeights]] = []
    for _, line in found:
        if all(line is not other for _, other in once):
            once.append((sum(share for share, other in found if other is line), line))
    return tuple((share, line) for share, line in once if share > 0)


def near(params: float, larger: Condition, within: float) -> float:
    """The weight of the line of larger models at P parameters near the size N from which it applies, evenly in the logarithm of P from
    N / f to f N with the factor f = ``within``, so that no typical value changes at a single size; 1 if it applies at any size.

        w = ln(f P / N) / ln f^2        at least 0, at most 1
    """
    if larger.least_params is None:
        return 1.0
    return min(1.0, max(0.0, math.log(within * params / larger.least_params, within**2)))


def blended(several: Parts) -> UsualWeights:
    """One line with the weights of several, those of each relative to their sum."""
    if len(several) == 1:
        return several[0][1]
    weights: dict[str, float] = {}
    for share, line in several:
        for name, weight in line.weights.items():
            weights[name] = weights.get(name, 0.0) + share * weight / sum(line.weights.values())
    return UsualWeights(judged=weights, source="; ".join(f"{share:.0%} {line.source}" for share, line in several))


@functools.cache
def typical() -> Typical:
    """The table included in gpuhours."""
    path = Path(str(files("gpuhours"))) / "run" / "typical.yaml"
    found: Any = validated(Typical, read_yaml(path))
    return found


def network_share(cluster: Cluster) -> Share:
    """Share of the rated bandwidth that a run's collectives reach, on top of the typical loss of that kind of network at that many nodes.

    If runs on this kind of network were measured at several sizes (``typical`` in its profile), the share is 1 with their spread;
    otherwise it is the table's.
    """
    kind = cluster.node.fabric
    if not kind.typical:
        return typical().network
    low, high = kind.spread(float(np.max(cluster.nodes)))
    return Share(low=low, value=1.0, high=high, source=kind.typical[-1].source)


def this_year() -> int:
    """The current calendar year, for a run that states none."""
    return datetime.datetime.now(tz=datetime.UTC).year


def is_mixture(model: Model) -> bool:
    """Whether any layer has experts."""
    return any(np.any(np.greater(linear.experts, 1)) for stack in model.stacks for linear in stack.block.linears)


SURELY_TUNED, SURELY_TRAINED = 0.1, 1.4
"""Tokens per parameter at and below which a run tunes a trained model for sure, and from which it trains one from scratch. Models trained
from scratch saw at least 1.4 (PaLM 540B; GPT-3 1.7, OPT 1.7, BLOOM 2.1: the fewest of published/run_totals.csv). The lower end is a choice:
continued training of a model lies between, and only its size tells it from tuning."""


def tuning_share(model: Model, data: Data) -> float:
    """The share of such runs that tune a trained model further: 1 if the data are counted in samples; by tokens per parameter r otherwise

        share = ln(1.4 / r) / ln(1.4 / 0.1)        at least 0, at most 1

    It is smooth in r, because the stacks that it weighs differ in speed: with a switch a run of more tokens would cost less.
    """
    if data.tokens is None:
        return float(data.in_samples)
    per_parameter = float(np.max(data.tokens) / np.max(model.parameters))
    share = math.log(SURELY_TRAINED / per_parameter) / math.log(SURELY_TRAINED / SURELY_TUNED)
    return min(1.0, max(0.0, share))


def kind_of(model: Model, frames: Array | None) -> Kind:
    """The kind of a run by its frames per sample: text for None, vision for one, video for more."""
    if frames is None:
        return "text"
    return "video" if np.max(frames) > 1 else "vision"


def recompute_modes(rule: UsualWeights) -> tuple[tuple[Recompute, float], ...]:
    """The rule's weights by recompute mode."""
    return tuple((Recompute[name], weight) for name, weight in rule.weights.items())


def usual_gpus(flops: float, peak: float, usual: UsualGpus, least: float = 1.0, most: float = np.inf) -> int:
    """Number of accelerators of a run that states none: n = gpus (H / at)^grows, H GPU-hours at a third of the peak; rounded to a power of
    two, at most ``most`` and at least ``least``.

    More expensive runs use more accelerators and also take longer: if ``grows`` is 0.5, both grow with the square root of the cost.
    """
    gpus = usual.gpus * (flops / (peak / 3 * HOUR) / usual.at) ** usual.grows
    return int(max(least, min(most, 2 ** round(np.log2(max(gpus, 1.0))))))
