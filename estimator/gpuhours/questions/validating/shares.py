"""GPU-hours of a whole run on an accelerator whose kernels are not known, from a usual share of its peak."""

from __future__ import annotations

import numpy as np

from gpuhours.inputs.records import dataclass
from gpuhours.run.evaluate import Outcome, evaluate
from gpuhours.run.spec import Run
from gpuhours.run.typical import Kind, kind_of, this_year
from gpuhours.run.unmeasured_card import at_usual_share, usual_share


@dataclass(frozen=True)
class SharedPrediction:
    """One run, predicted from the share of the peak that published runs on other accelerators used."""

    outcome: Outcome
    kind: Kind
    year: int
    params: float
    hours: float
    """GPU-hours at the median share."""
    low: float
    high: float
    """GPU-hours at the 90th and the 10th percentile of the share."""


def by_share(run: Run) -> SharedPrediction | None:
    """The prediction of a run as ``estimate`` makes it where the accelerator's kernels are not known; None where they are."""
    usual = usual_share(run)
    if usual is None:
        return None
    outcome = evaluate(at_usual_share(run))
    total, model = outcome.value("gpu_hours"), outcome.resolved.model
    if total is None or model is None:
        return None
    hours = float(np.max(total))
    return SharedPrediction(
        outcome, kind_of(model, outcome.resolved.data.frames), run.year or this_year(), float(np.max(model.parameters)),
        hours, hours * usual.value / usual.high, hours * usual.value / usual.low,
    )  # fmt: skip
