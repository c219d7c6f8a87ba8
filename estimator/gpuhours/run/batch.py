"""The global batch per step: stated in samples or tokens, or a typical one if neither is stated, divided evenly over the ranks."""

from __future__ import annotations

import math

import numpy as np

from gpuhours.architecture.operators import Model
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.errors import EstimateError
from gpuhours.layout.layout import Layout
from gpuhours.layout.validity import divisors
from gpuhours.run.spec import Run
from gpuhours.run.typical import typical

MOST_PER_COPY = 8
"""Maximum number of accelerators per model copy that a stated batch may force; beyond this the batch is rounded instead."""
FINEST = 12
"""Rounding changes the batch by at most a relative 1 / (2 x FINEST)."""
LEAST_STEPS = 1000
"""Minimum number of steps of a run with no stated batch: fine-tunes take a thousand to some ten thousand (Alpaca 1,200, LLaVA-1.5 2,200
and 5,200), whatever batch size their model was pretrained with."""
ROOM = 0.7
"""Share of the memory that weights and gradients may take: the rest is for activations and for optimiser states, which are sharded over
many ranks."""
ROUNDED_BATCH = 0.1
"""Relative tolerance for a batch in tokens, which is usually rounded: 4 M for 4,194,304."""


def global_batch(
    run: Run,
    model: Model | None,
    tokens: Array | None,
    whole: Array | None,
    notes: list[Assumption],
    bases: dict[str, str],
    most_parts: float = 1.0,
    *,
    pictures: bool = False,
) -> Array | None:
    """Samples per step: as stated, or stated or typical tokens per step divided by tokens per sample, rounded so that every rank gets an
    equal share; None if it is not stated and the tokens per sample or the number of ranks are not known.

    There are ``whole`` ranks, or fewer if one copy of the model takes up to ``most_parts`` of them. ``pictures``: a sample has images.
    """
    stated, wanted = run.training.global_batch, run.training.batch_tokens
    _refuse_two_batches(stated, wanted, tokens)
    laid_out = run.layout is not None and bool(run.layout.model_fields_set)
    if whole is None or (stated is not None and (laid_out or np.ndim(stated) or np.ndim(whole))):
        return stated
    if stated is not None:
        return _divisible_batch(float(stated), float(whole), notes)
    if tokens is None:
        return None
    usual, like, source = typical().tokens_of_step(model, getattr(run.model, "kind", ""), tokens, pictures=pictures)
    if wanted is None:
        batch = evenly(_for_enough_steps(usual / tokens, run, tokens, whole), whole, most_parts, digits=2)
    else:
        batch = evenly(wanted / tokens, whole, most_parts)
    shown = float(batch) if np.ndim(batch) == 0 else "per layout"
    if wanted is None:
        reason = f"no batch is stated: {like}, divided evenly"
        notes.append(Assumption("training.global_batch", shown, "", reason, source))
    else:
        notes.append(Assumption("training.global_batch", shown, "", f"{wanted:,.0f} tokens, divided evenly"))
    bases["training.global_batch"] = "assumed"
    return batch


def _for_enough_steps(samples: Array, run: Run, tokens: Array, ranks: Array) -> Array:
    """The typical batch in samples, reduced if necessary so that the training data last for ``LEAST_STEPS`` steps, but not below one sample
    on each rank: a model is not split because its data are few."""
    data = run.data
    seen = data.samples if data.tokens is None else data.tokens / tokens
    if seen is None and data.unique_samples is not None:
        seen = np.multiply(data.unique_samples, 1.0 if data.epochs is None else data.epochs)
    return samples if seen is None else np.minimum(samples, np.maximum(ranks, np.divide(seen, LEAST_STEPS)))


def evenly(samples: Array, ranks: Array, most_parts: float = 1.0, *, digits: int = 4) -> Array:
    """The batch nearest to ``samples`` that divides evenly over the ranks. Each rank's share is an integer with ``digits`` significant
    binary digits, so that it can be halved: with two digits 1, 2, 3, 4, 6, 8, 12, 16.

    If this differs from ``samples`` by more than rounding to these digits explains, the batch is divided over half of the ranks, a
    quarter, and so on: a copy of the model then takes two, four, ... ranks, at most ``most_parts``. 405B on 16,384 accelerators is some
    hundred copies, not 16,384.

    >>> float(evenly(5273.4, 8)), float(evenly(1953.1, 128)), float(evenly(2048, 16384, 64))    # 640, 15 and 1 each, of 2,048 ranks
    (5120.0, 1920.0, 2048.0)
    >>> float(evenly(976.6, 64, digits=2))    # 16 each
    1024.0
    """
    parts = 1.0
    while True:
        unit = np.divide(ranks, parts)
        each = np.maximum(1.0, np.round(np.divide(samples, unit)))
        step = np.exp2(np.maximum(0.0, np.floor(np.log2(each)) + 1.0 - digits))
        batch = unit * step * np.round(each / step)
        near = np.all(np.abs(batch / samples - 1.0) <= 1.05 * 0.5**digits)
        if near or 2 * parts > most_parts or np.any(np.not_equal(np.mod(unit, 2), 0)):
            return batch
        parts *= 2.0


def parts_of_a_copy(model: Model | None, memory: float, frozen: float = 2.0) -> float:
    """Number of accelerators with ``memory`` bytes each that a copy of a model takes, a power of two: 16-bit weights (``frozen`` B each
    where they are not trained), and fp32 gradients of the trainable parameters, must fit in the share ``ROOM`` of their memory.

    >>> from gpuhours.architecture.model_spec import read_model
    >>> from gpuhours.data import Data
    >>> [parts_of_a_copy(read_model(name).build(Data(seq_len=1)), 80e9) for name in ("llama-2-7b", "llama-3-70b", "llama-3.1-405b")]
    [1.0, 8.0, 64.0]
    """
    if model is None:
        return 1.0
    trained = float(np.max(model.trainable_parameters))
    held = frozen * (float(np.max(model.parameters)) - trained) + 6 * trained
    return float(2 ** max(0, math.ceil(math.log2(held / (ROOM * memory)))))


def _refuse_two_batches(samples: Array | None, wanted: Array | None, tokens: Array | None) -> None:
    """Raise ``EstimateError`` if the batch is stated both in samples and in tokens, and the two differ by more than ``ROUNDED_BATCH``."""
    if samples is None or wanted is None or tokens is None or np.ndim(samples) or np.ndim(wanted) or np.ndim(tokens):
        return
    held = float(samples * tokens)
    if abs(held / float(wanted) - 1.0) > ROUNDED_BATCH:
        raise EstimateError(
            f"{float(samples):,.0f} samples are {held:,.0f} tokens per step; training.batch_tokens is {float(wanted):,.0f}.",
            "Leave out one of training.global_batch, training.batch_tokens, or correct it.",
            "training.batch_tokens",
        )


def _divisible_batch(batch: float, gpus: float, notes: list[Assumption]) -> float:
    """The stated batch, or the nearest one that divides over the data-parallel ranks, if the stated one would force more than
    ``MOST_PER_COPY`` accelerators into each copy of the model.

    The only common divisor of 1,953 samples and 128 accelerators is 1: such a run would use 1,920 samples.
    """
    if math.gcd(round(batch), round(gpus)) * MOST_PER_COPY >= min(gpus, batch):
        return batch
    unit = max(part for part in divisors(round(gpus)) if part * FINEST <= max(batch, FINEST))
    shared = max(1.0, round(batch / unit)) * unit
    if shared == batch:
        return batch
    reason = f"{batch:,.0f} samples divide over no more than {math.gcd(round(batch), round(gpus))} of the accelerators' ranks"
    notes.append(Assumption("training.global_batch", shared, "", reason))
    return shared


def dividing_microbatch(layout: Layout, batch: Array) -> Array:
    """The assumed micro-batch m in samples, reduced so that it divides a rank's share of the batch: gcd(m, B / d) if d divides B.

    A micro-batch assumed for one layout of a sweep must not make other layouts invalid.
    """
    if layout.data is None:
        return layout.microbatch
    each = np.divide(batch, layout.data)
    whole = (each >= 1) & (each == np.floor(each))
    size = np.gcd(np.asarray(layout.microbatch, np.int64), np.where(whole, each, 0).astype(np.int64))
    return int(size) if np.ndim(size) == 0 else size
