"""Suggested layout changes: to make a run fit if it does not, to shorten its step if it does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpuhours.architecture.operators import Model
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import Recompute, Sharding, word
from gpuhours.layout.layout import Layout
from gpuhours.memory import Way, longest_sequence, memory, ways_to_fit
from gpuhours.run.resolve import Resolved
from gpuhours.run.spec import Run
from gpuhours.software.profile import Software
from gpuhours.step import step
from gpuhours.workload import Workload

BEST = 2
WORTH = 0.01
"""Smallest relative gain suggested; less is within run-to-run noise."""


@dataclass(frozen=True)
class Change:
    """One change that fits: its description, and its effect on step time (-0.03: three per cent shorter)."""

    words: str
    gain: float


@dataclass(frozen=True)
class Longest:
    """The longest sample that fits with everything else unchanged: ``value`` at ``key``, in ``unit``."""

    key: str
    value: int
    unit: str


@dataclass(frozen=True)
class Advice:
    """Advice on a layout; either part may be empty."""

    ways: tuple[Way, ...] = ()
    """The cheapest ways to make it fit."""
    faster: tuple[Change, ...] = ()
    """Single changes that would shorten the step."""
    longest: Longest | None = None
    """The longest possible sample; None if not even the shortest fits."""


def advise(run: Run, resolved: Resolved, fits: bool) -> Advice:
    """Advice for a run whose step and memory are known."""
    longest = longest_sample(run, resolved)
    return (
        Advice(faster=faster_by(resolved), longest=longest) if fits else Advice(ways=fitting(resolved), longest=longest)
    )


def longest_sample(run: Run, resolved: Resolved) -> Longest | None:
    """The longest sample with which the run fits: frames of a clip, or tokens of a text in multiples of 1,024; None for images, which
    have no length."""
    spec, data = run.model, resolved.data
    if spec is None or (spec.of_pictures and data.frames is not None and np.all(np.equal(data.frames, 1))):
        return None
    key, unit, multiple = ("seq_len", "token", 1024) if data.frames is None else ("frames", "frame", 1)
    within = data.text_tokens is None and (data.seq_len is not None or data.text_corpus is not None)
    text = None if data.frames is None else 0 if within else data.text_tokens
    free = data.model_copy(update={"text_tokens": text, "seq_len": None, "text_corpus": None, "longest_frames": None})

    def build(lengths: Array) -> Model:
        return spec.build(free.model_copy(update={key: np.asarray(lengths, float)}))

    most = longest_sequence(resolved.workload, build, multiple=multiple)
    return None if most is None else Longest(f"data.{key}", most, unit)


def fitting(resolved: Resolved) -> tuple[Way, ...]:
    """Ways to make a run fit, by increasing step time."""

    def step_time(changed: Workload) -> float | None:
        try:
            predicted = step(changed)
        except EstimateError:  # such as 4-bit weights, whose GEMMs are in bf16, on an accelerator without it
            return None
        return float(predicted.time) if predicted.valid else None

    return ways_to_fit(resolved.workload, step_time)


def faster_by(resolved: Resolved) -> tuple[Change, ...]:
    """The best single changes of a resolved run's layout, at most two; those that are invalid or do not fit are left out."""
    layout = resolved.workload.layout
    changes = list(_neighbours(layout, resolved.software))
    fields = sorted({name for _, fields in changes for name in fields})
    columns = {
        name: np.array(
            [float(getattr(layout, name)), *(float(fields.get(name, getattr(layout, name))) for _, fields in changes)]
        )
        for name in fields
    }
    changed = resolved.workload.with_layout(layout.replaced(**columns))
    predicted, held = step(changed), memory(changed)
    time, valid, fits = np.broadcast_arrays(predicted.time, predicted.valid, held.fits)
    gains = np.where(valid & fits, time, np.inf)[1:] / time[0] - 1
    best = np.argsort(gains, kind="stable")[:BEST]
    return tuple(Change(changes[place][0], float(gains[place])) for place in best if gains[place] < -WORTH)


def _neighbours(layout: Layout, software: Software) -> Iterator[tuple[str, dict[str, Any]]]:
    """(description, fields) of the layouts one change away that the stack offers; validity is checked by ``step``."""
    data = float(layout.data or 1)
    for name in ("tensor", "pipeline"):
        degree = getattr(layout, name)
        if degree > 1:
            yield f"{name} {degree // 2}", {name: degree // 2, "data": data * 2}
        if data % 2 == 0 and (degree > 1 or name in software.degrees):
            yield f"{name} {degree * 2}", {name: degree * 2, "data": data / 2}
    if layout.pipeline > 1:
        yield f"interleave {layout.interleave * 2} chunks", {"interleave": layout.interleave * 2}
    if layout.microbatch > 1:
        yield f"microbatch {layout.microbatch // 2}", {"microbatch": layout.microbatch // 2}
    yield f"microbatch {layout.microbatch * 2}", {"microbatch": layout.microbatch * 2}
    for mode in Recompute:
        if mode < layout.recompute:
            yield f"recompute {word(Recompute, mode)}", {"recompute": mode}
    for stage in (Sharding.zero1, Sharding.zero3):
        if stage != layout.sharding and data > 1:
            yield f"ZeRO-{int(stage)}", {"sharding": stage}
