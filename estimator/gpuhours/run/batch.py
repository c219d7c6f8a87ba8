"""The batch per step: stated in samples or tokens, typical if neither is, and divided evenly over the ranks."""

from __future__ import annotations

import math

import numpy as np

from gpuhours.architecture.operators import Model
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.errors import EstimateError
from gpuhours.layout.layout import Layout
from gpuhours.run.spec import Run
from gpuhours.run.typical import typical

MOST_PER_COPY = 8
"""Copies of the model beyond this size are not used to fit a stated batch: it is rounded instead."""
FINEST = 12
"""Rounding changes it by at most one part in twice this."""
ROUNDED_BATCH = 0.1
"""Tolerance for a batch in tokens, which is usually stated in round numbers: 4 M for 4,194,304."""


def global_batch(
    run: Run,
    model: Model | None,
    tokens: Array | None,
    whole: Array | None,
    notes: list[Assumption],
    bases: dict[str, str],
) -> Array | None:
    """Samples per step: stated, or stated or typical tokens divided by those of a sample, rounded to give every rank an equal share."""
    stated, wanted = run.training.global_batch, run.training.batch_tokens
    _refuse_two_batches(stated, wanted, tokens)
    laid_out = run.layout is not None and bool(run.layout.model_fields_set)
    if whole is None or (stated is not None and (laid_out or np.ndim(stated) or np.ndim(whole))):
        return stated
    if stated is not None:
        return _shared(float(stated), float(whole), notes)
    if tokens is None:
        return None
    usual, like, source = typical().tokens_of_step(model, getattr(run.model, "kind", ""), tokens)
    batch = whole * np.maximum(1, np.round((usual if wanted is None else wanted) / tokens / whole))
    shown = float(batch) if np.ndim(batch) == 0 else "per layout"
    if wanted is None:
        reason = f"no batch is stated: {like}, divided evenly"
        notes.append(Assumption("training.global_batch", shown, "", reason, source))
    else:
        notes.append(Assumption("training.global_batch", shown, "", f"{wanted:,.0f} tokens, divided evenly"))
    bases["training.global_batch"] = "assumed"
    return batch


def _refuse_two_batches(samples: Array | None, wanted: Array | None, tokens: Array | None) -> None:
    """Raise if a batch in samples and one in tokens, both stated, differ by more than rounding."""
    if samples is None or wanted is None or tokens is None or np.ndim(samples) or np.ndim(wanted) or np.ndim(tokens):
        return
    held = float(samples * tokens)
    if abs(held / float(wanted) - 1.0) > ROUNDED_BATCH:
        raise EstimateError(
            f"{float(samples):,.0f} samples are {held:,.0f} tokens per step; training.batch_tokens is {float(wanted):,.0f}.",
            "Leave out one of training.global_batch, training.batch_tokens, or correct it.",
            "training.batch_tokens",
        )


def _shared(batch: float, gpus: float, notes: list[Assumption]) -> float:
    """The batch, or the nearest one that data-parallel ranks can divide, if this one would force most of them into one copy of the model.

    A batch of 1,953 samples on 128 accelerators has only 1 as a common divisor: such a run would use 1,920.
    """
    if math.gcd(round(batch), round(gpus)) * MOST_PER_COPY >= min(gpus, batch):
        return batch
    unit = max(part for part in range(1, round(gpus) + 1) if gpus % part == 0 and part * FINEST <= max(batch, FINEST))
    shared = max(1.0, round(batch / unit)) * unit
    if shared == batch:
        return batch
    reason = f"{batch:,.0f} samples divide over no more than {math.gcd(round(batch), round(gpus))} of the accelerators' ranks"
    notes.append(Assumption("training.global_batch", shared, "", reason))
    return shared


def shared_out(layout: Layout, batch: Array) -> Array:
    """Samples of the assumed micro-batch, or the part of them that divides a rank's share of the batch: gcd(m, B / d) if d divides B.

    An assumption made for one layout of a sweep must not exclude others.
    """
    if layout.data is None:
        return layout.microbatch
    each = np.divide(batch, layout.data)
    whole = (each >= 1) & (each == np.floor(each))
    size = np.gcd(np.asarray(layout.microbatch, np.int64), np.where(whole, each, 0).astype(np.int64))
    return int(size) if np.ndim(size) == 0 else size
