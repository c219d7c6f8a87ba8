"""What stops a run, cause by cause, for ``--explain goodput``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpuhours.inputs.durations import DAY
from gpuhours.questions.estimating.estimates import Estimate
from gpuhours.run.goodput import POSITIONS, Interruptions, best_interval, checkpoint_of, interruptions
from gpuhours_cli.render import numbers


def causes(estimate: Estimate) -> Iterator[tuple[str, str]]:
    """Each cause's share of the productive time, and what it follows from: as stated, otherwise at the median of usual practice."""
    asked = estimate.outcome.resolved.workload
    step, steps = estimate.results["step_time"], estimate.results["steps"]
    if step is None or steps is None or estimate.run.known.goodput is not None or asked.cluster is None:
        return
    size = checkpoint_of(asked.model, asked.precision)
    seconds = float(step.value)
    found = interruptions(
        estimate.run.operation, dict.fromkeys(POSITIONS, 0.5), gpus=asked.cluster.gpus, nodes=asked.cluster.nodes, size=size,
        step_time=seconds, productive=seconds * float(steps.value),
    )  # fmt: skip
    said = _words(found, float(np.max(size)))
    for name, share in found.shares.items():
        yield name, f"{float(np.max(share)):.1%}  {said[name]}"
    yield (
        "all",
        f"{float(1 / np.max(found.goodput)) - 1:.1%}  goodput {float(np.max(found.goodput)):.3f} of stops alone",
    )
    if estimate.sample is not None:
        yield "beyond", "the rest is the remainder of published runs over such predictions, in the goodput above"


def _words(found: Interruptions, size: float) -> dict[str, str]:
    """What each share follows from."""
    each = {
        name: float(np.max(getattr(found, name))) for name in ("failures", "restart", "interval", "blocked", "launch")
    }
    best = float(best_interval(each["blocked"], each["failures"]))
    often, blocked = numbers.duration(each["interval"]), numbers.duration(each["blocked"])
    return {
        "restarts": f"{each['failures'] * DAY:.3g} failures a day x {numbers.duration(each['restart'])}",
        "lost work": f"half of {often} for every failure",
        "checkpoints": f"{numbers.si('B')(size)}, {blocked} every {often}; Young's best is {numbers.duration(best)}",
        "evaluation": f"{float(np.max(found.evaluation)):.1%} of the time",
        "launch": f"{numbers.duration(each['launch'])} once",
    }
