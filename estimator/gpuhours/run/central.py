"""The outcome at the centre of a run's ranges, after what has to be solved or sampled: where ``estimate`` and small sweeps both start."""

from __future__ import annotations

from gpuhours.run.ensemble import Ensemble, ensemble
from gpuhours.run.evaluate import Outcome, evaluate
from gpuhours.run.ranges import median
from gpuhours.run.remainder import NOTHING
from gpuhours.run.samplable import needs_sampling, usual_practice, with_gpus
from gpuhours.run.shown import on_usual_network
from gpuhours.run.sizing import filled, is_endless, is_open, sized
from gpuhours.run.spec import Run, Supplied
from gpuhours.run.unmeasured_card import at_usual_share
from gpuhours.software.profile import DEFAULT

RECOMPUTE = "layout.recompute"
"""The key that says how much is recomputed; assumed, it explains an HFU above the peak."""


def centre(
    run: Run, *, best: bool = False, elsewhere: bool = False, past: bool = False
) -> tuple[Run, Ensemble | None, Outcome]:
    """(the run with GPUs or steps solved from a stated duration, its sample if its step has to be predicted, its outcome)."""
    run = at_usual_share(run)
    if is_open(run):
        run = sized(run)
    elif is_endless(run) and not past:
        run = filled(run)
    if best:
        run = tuned(run)
    sample = None if best else ensemble(run, elsewhere=elsewhere)
    if sample is None and not best and needs_sampling(run):
        run = on_usual_network(run)
    return run, sample, evaluate(run) if sample is None else sample.outcome


def tuned(run: Run) -> Run:
    """The run for ``best``: on the default stack if none is stated, with the median goodput of a typical run."""
    if not needs_sampling(run):
        return run
    sized, _ = with_gpus(run, usual_practice())
    if sized.stack is None:
        sized = sized.replaced("software", DEFAULT)
    sample = ensemble(sized, NOTHING)
    if sample is None or run.known.goodput is not None:
        return sized
    supplied = Supplied(value=median(sample.goodput), reason="failures, checkpoints and evaluation, as in any run")
    stopped = sized.replaced("known.goodput", supplied.value)
    return stopped.replaced("assumptions", {**sized.assumptions, "known.goodput": supplied})
