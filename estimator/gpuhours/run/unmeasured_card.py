"""A first answer on an accelerator whose kernels are not known: the share of its peak that whole runs on other accelerators used."""

from __future__ import annotations

import numpy as np

from gpuhours.hardware import kernel_constants
from gpuhours.hardware.clusters import cluster
from gpuhours.layout.layout import Layout
from gpuhours.run.resolve import resolve
from gpuhours.run.spec import Run, Supplied
from gpuhours.run.typical import NEAR, PeakShare, first, is_mixture, kind_of, near, this_year, typical

MFU = "known.mfu"


def at_usual_share(run: Run) -> Run:
    """A run with a usual share of the peak as its assumed MFU; unchanged unless its step can only be predicted, on an accelerator without
    kernel constants.

        GPU-hours = model FLOPs / (share x peak),        share: median, 10th and 90th percentile of published whole runs (``typical.yaml``)

    The share includes stops, so none are added. Where ``known.goodput`` states them, the share is that of steps alone, share / goodput of
    those runs. It says nothing about layout, memory or the parts of a step.
    """
    usual = usual_share(run)
    if usual is None:
        return run
    stated = run.known.goodput is not None
    running = usual.goodput if stated else 1.0
    low, value, high = (share / running for share in (usual.low, usual.value, usual.high))
    stops = f"without stops, at their goodput of {running:.2f}" if stated else "stops included"
    reason = f"the speed of this accelerator is not known: the share of the peak that whole published runs used on others, {stops}"
    supplied = Supplied(value=value, low=low, high=high, reason=reason, source=usual.source)
    return run.replaced(MFU, value).replaced("assumptions", {**run.assumptions, MFU: supplied})


def usual_share(run: Run) -> PeakShare | None:
    """The usual share of the peak for a run; None if its MFU follows from what is stated, if its step can be predicted, or if the model or
    the accelerator is open."""
    card = run.hardware.accelerator
    if run.stages or run.model is None or card is None or _says_speed(run):
        return None
    if kernel_constants.is_known(cluster(card).accelerator.generation):
        return None
    met = resolve(run.replaced("layout", Layout.model_construct()), layout_open=True)
    if met.model is None:
        return None
    kind, params = kind_of(met.model, met.data.frames), float(np.max(met.model.parameters))
    year, adapters = run.year or this_year(), met.model.trains_adapters
    mixture = is_mixture(met.model)
    smaller, larger = (
        first(typical().peak_share, kind, year, np.inf, params * factor, mixture=mixture, adapters=adapters)
        for factor in (1 / NEAR, NEAR)
    )
    return between(smaller, larger, params)


def between(smaller: PeakShare, larger: PeakShare, params: float) -> PeakShare:
    """The share for a model near the size N from which the line of larger models applies, so that a larger model never takes fewer hours:
    the logarithm of the share moves evenly with that of the size P, from N / 2 to 2 N.

        share = smaller^(1 - w) larger^w,        w: ``typical.near``
    """
    if larger is smaller or larger.least_params is None:
        return larger
    weight = near(params, larger, NEAR)
    low, value, high, goodput = (
        float(getattr(smaller, name) ** (1 - weight) * getattr(larger, name) ** weight)
        for name in ("low", "value", "high", "goodput")
    )
    return PeakShare(low=low, value=value, high=high, goodput=goodput, source=f"{larger.source}; {smaller.source}")


def _says_speed(run: Run) -> bool:
    """Whether a run states its MFU, its GPU-hours, its step, or both its duration and its accelerators."""
    known = run.known
    timed = known.days is not None or known.wall_clock is not None
    sized = run.hardware.gpus is not None or (run.layout is not None and run.layout.data is not None)
    return any(one is not None for one in (known.mfu, known.gpu_hours, known.step_time)) or (timed and sized)
