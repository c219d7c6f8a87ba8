"""How far off predictions were for runs like this one: the 80 % band, learned on measured runs, and what is new about a run.

``published/bands.json`` is written by ``gpuhours validate --update-band``: for each kind of run the 10th and 90th percentile of
measured / predicted, widened so that sources left out fall inside as often as they should (``validation.learning``). Nothing is
learned at start-up.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuhours.inputs.arrays import Array

if TYPE_CHECKING:
    from gpuhours.architecture.operators import Model
    from gpuhours.hardware.accelerators import Accelerator
    from gpuhours.run.evaluate import Outcome

KINDS = (
    "dense 16-bit",
    "dense 8-bit or less",
    "long sequence",
    "mixture of experts",
    "Blackwell",
    "mixture of experts on Blackwell",
    "adapters or frozen parts",
    "unseen accelerator",
    "vision and video",
)
"""Kinds of runs, in the order of ``kind_of``'s codes."""
LONG = 131072
"""Tokens from which a sequence is long; what its ranks exchange then counts for more than what is trained."""
SEEN = ("volta", "ampere", "hopper", "blackwell")
"""Generations with measured runs; the others are ``unseen accelerator``."""


@dataclass(frozen=True, eq=False)
class Band:
    """What to expect of measured / predicted step time. ``low`` and ``high`` may be arrays."""

    low: Array
    high: Array
    kind: str
    """The kind of run; the first one's where there are several."""
    runs: int
    """Measured runs of this kind."""
    median_error: float | None
    """Median absolute error over them; None where there is none."""
    warnings: tuple[str, ...]
    """What is new about this run."""


def table_path() -> Path:
    """Where the learned bands are."""
    return Path(str(files("gpuhours"))) / "published" / "bands.json"


@functools.cache
def _table() -> Mapping[str, Any]:
    table: Mapping[str, Any] = json.loads(table_path().read_text(encoding="utf-8"))
    return table


def limits(kind: Array, *, measured: bool = False) -> tuple[Array, Array]:
    """Factors on a predicted step time, 10th and 90th percentile, by kind; narrower for sources that were ``measured``."""
    entries = [_table()["kinds"][name] if measured else _table()["kinds"][name]["new"] for name in KINDS]
    return np.array([entry["low"] for entry in entries])[np.asarray(kind)], np.array(
        [entry["high"] for entry in entries]
    )[np.asarray(kind)]


def was_measured(source: str | None) -> bool:
    """Whether the bands were learned on runs of this source, too."""
    return source in _table()["seen"]["sources"]


def kind_of(generation: str, dtype: str, *, experts: bool, partly: bool, tokens: Array, frames: bool = False) -> Array:
    """Index into ``KINDS``; only ``tokens`` may be an array. ``frames``: the samples are images or clips, which were measured in 16
    bit on Volta to Hopper alone: what is new in other ways keeps the wider kind."""
    narrow = dtype in ("fp8", "mxfp8", "nvfp4")
    plain = 1 if narrow else 0
    if generation == "blackwell":
        plain = 5 if experts else 4
    elif experts:
        plain = 3
    if partly:
        plain = 6
    if frames and plain in (0, 6):
        plain = 8
    if generation not in SEEN:
        plain = 7
    return np.where(np.greater_equal(tokens, LONG) & (plain in (0, 1, 6, 8)), 2, plain)


def band(outcome: Outcome) -> Band | None:
    """The band of a predicted run and what nobody measured about it; None where no step was predicted."""
    run = outcome.resolved
    if run.model is None or run.cluster is None or run.tokens_per_sample is None:
        return None
    chip, frames = run.cluster.accelerator, run.data.frames is not None
    codes = kind_of_model(run.model, chip, run.precision.dtype, run.tokens_per_sample, frames=frames)
    low, high = limits(codes)
    first = KINDS[int(np.ravel(codes)[0])]
    entry = _table()["kinds"][first]
    rests_on = "its data sheet" if chip.step_times is None else chip.step_times.source
    warnings = novelty(
        chip.name, run.software.name, run.cluster.gpus, run.tokens_per_sample, run.precision.dtype, rests_on
    )
    return Band(low, high, first, entry["runs"], entry["median_error"], warnings)


def kind_of_model(model: Model, chip: Accelerator, dtype: str, tokens: Array, *, frames: bool) -> Array:
    """``kind_of`` a model on a chip."""
    from gpuhours.architecture.operators import Trainable

    experts = any(np.any(np.greater(linear.experts, 1)) for stack in model.stacks for linear in stack.block.linears)
    partly = any(part.trainable is not Trainable.FULL for part in model.parts)
    return kind_of(chip.generation, dtype, experts=experts, partly=partly, tokens=tokens, frames=frames)


def novelty(
    accelerator: str, software: str, gpus: Array, tokens: Array, dtype: str, rests_on: str = "its data sheet"
) -> tuple[str, ...]:
    """What a run has that no measured run had."""
    seen = _table()["seen"]
    found = []
    if accelerator not in seen["accelerator"]:
        found.append(f"no measured run on {accelerator}: its step times rest on {rests_on}")
    if software not in seen["software"]:
        found.append(f"no measured run of {software}")
    if dtype not in seen["dtype"]:
        found.append(f"no measured run in {dtype}")
    if np.max(gpus) > seen["gpus"]:
        found.append(f"more GPUs than any measured run ({seen['gpus']:,})")
    if np.max(tokens) > seen["tokens"]:
        found.append(f"longer sequences than any measured run ({seen['tokens']:,} tokens)")
    return tuple(found)
