"""A sample of runs that match a description: the totals of every draw, and the run nearest to the median.

Drawn are only the unknowns that a run leaves open, and those that cannot be known in advance: the error of the step model (``band``),
stops (``goodput``), and the remainder between steps and published hours (``remainder``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np

from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.run.default_layout import is_partial
from gpuhours.run.draw_times import LEAST_GOODPUT, Times, padded, times_of
from gpuhours.run.evaluate import Outcome, evaluate, known_totals
from gpuhours.run.goodput import POSITIONS
from gpuhours.run.points import DRAWS, first_order, lattice
from gpuhours.run.ranges import median, quantiles
from gpuhours.run.remainder import Remainder, remainder_of, remainder_of_known_step
from gpuhours.run.resolve import Resolved
from gpuhours.run.samplable import (
    Practice,
    Samplable,
    described,
    known_step_time,
    needs_sampling,
    rated,
    usual_practice,
    with_gpus,
)
from gpuhours.run.sampling import Choices, Draws, choose, grids_of
from gpuhours.run.shown import SHARE, STOPS, as_named, at_median, gpu_seconds, on_usual_network, shown_draw, with_share
from gpuhours.run.spec import Run, Supplied, of_other_runs
from gpuhours.run.totals import solve
from gpuhours.run.typical import (
    Kind,
    network_share,
    recompute_modes,
)

OPEN = ("software", "recompute", "layout", "network", "padding", "data", "step model", "remainder", *POSITIONS, "host")
"""Unknowns that may be drawn, each with its own coordinate."""
GROUPS: Mapping[str, tuple[str, ...]] = {
    "software": ("software",), "recomputation": ("recompute",), "layout": ("layout",), "network": ("network",),
    "padding": ("padding",), "data loading": ("data",), "goodput": POSITIONS, "step model": ("step model",),
    "CPU launch time": ("host",), "remainder": ("remainder",),
}  # fmt: skip
"""Groups of unknowns as shown to users, and the ``OPEN`` unknowns that each consists of."""
TIMED = 'python -m timeit -s "import torch; f, x = torch.nn.Linear(64, 64).cuda(), torch.ones(64, 64).cuda()" "f(x)"'
"""How a user measures ``hardware.launch`` in one line."""
FACTS: Mapping[str, str] = {
    "software": "--software", "recompute": "--recompute", "layout": "--tensor, --pipeline, --microbatch",
    "network": "--set hardware.network.share=80%", "padding": "--set data.padding=10%",
    "data": "--set input.cores_per_gpu=16", "failures": "--set operation.failures=5e-4 (per GPU and day)",
    "restart": "--set operation.restart=15min", "checkpoints": "--set operation.checkpoint_interval=1h",
    "evaluation": "--set operation.evaluation=1%", "launch": "--set operation.launch=10min",
    "host": f"--set hardware.launch=27us (the time per loop of `{TIMED}`)",
}  # fmt: skip
"""``OPEN`` unknowns that a user can settle before the run, and the option that does so, with an example. The remainder beyond steps and
stops is known only after the run."""
NARROWS = 0.05
"""Minimum share of the range that stating a fact must remove for it to be mentioned."""


@dataclass(frozen=True, eq=False)
class Ensemble:
    """``DRAWS`` runs that match one description. Arrays have one value per draw."""

    run: Run
    """The run nearest to the median, fully specified."""
    outcome: Outcome
    """Its outcome; its totals are the medians."""
    kind: Kind
    year: int
    slower: Draws
    """Step time of each draw relative to that of ``run``."""
    goodput: Draws
    """Productive time over wall-clock time, counting stops only."""
    remainder: Draws
    """Published hours over those of steps and stops."""
    gpu_time: Draws
    """Total GPU time in GPU s."""
    at: Mapping[str, Draws]
    """The coordinate of each draw in every ``OPEN`` unknown."""
    stack: tuple[str, ...]
    """The stack of each draw."""
    drawn: frozenset[str]
    """The groups of unknowns that are open."""
    notes: tuple[Assumption, ...]
    elsewhere: Mapping[int, Draws] = field(default_factory=dict)
    """GPU s for other numbers of accelerators, if requested."""

    @property
    def params(self) -> float:
        """Parameters of the model."""
        model = self.outcome.resolved.model
        return 0.0 if model is None else float(np.max(model.parameters))

    @property
    def effective_goodput(self) -> Draws:
        """Productive time over wall-clock time of each draw, including the remainder: goodput / remainder."""
        return self.goodput / self.remainder

    @property
    def on_top(self) -> float:
        """Median GPU time over the median without the remainder: the factor on top of steps and stops."""
        return median(self.gpu_time) / median(self.gpu_time / self.remainder)

    def shares(self) -> dict[str, float]:
        """First-order share of the variance of ln GPU-hours for each unknown, largest first (``first_order``); below 0.005 left out."""
        found = {
            name: sum(first_order(self.at[one], np.log(self.gpu_time)) for one in drawn)
            for name, drawn in GROUPS.items()
            if name in self.drawn
        }
        kept = {name: share for name, share in found.items() if share >= 0.005}
        return dict(sorted(kept.items(), key=lambda pair: -pair[1]))

    def to_dict(self) -> dict[str, Any]:
        """The size of the sample, each unknown's share of its spread, goodput and remainder, as plain values for JSON."""
        first = self.narrowed()
        narrowed = None if first is None else {
            "unknown": first[0], "say": first[1],
            "gpu_hours": {"low": first[2] / HOUR, "high": first[3] / HOUR, "unit": "GPU*hour"},
        }  # fmt: skip
        low, middle, high = (
            one * self.on_top for one in quantiles(self.remainder / median(self.remainder), [0.1, 0.5, 0.9])
        )
        return {
            "draws": DRAWS, "kind": self.kind, "year": self.year, "shares": self.shares(), "say_first": narrowed,
            "stops": median(self.goodput), "remainder": {"value": middle, "low": low, "high": high},
        }  # fmt: skip

    def narrowed(self) -> tuple[str, str, float, float] | None:
        """The fact that narrows the range of GPU time most: (unknown, option that states it, 10th and 90th percentile of GPU s once it is
        stated); None if none narrows the range by at least ``NARROWS``.

        An unknown with a share S of the variance of ln GPU time leaves sqrt(1 - S) of the range (``first_order``).
        """
        spent = np.log(self.gpu_time)
        carried = {
            (name, one): first_order(self.at[one], spent)
            for name in self.shares()
            for one in GROUPS[name]
            if one in FACTS
        }
        if not carried:
            return None
        widest = max(carried, key=lambda pair: carried[pair])
        left = np.sqrt(max(1.0 - carried[widest], 0.0))
        if left > 1.0 - NARROWS:
            return None
        low, middle, high = quantiles(self.gpu_time, [0.1, 0.5, 0.9])
        return (
            widest[0],
            FACTS[widest[1]],
            float(middle * (low / middle) ** left),
            float(middle * (high / middle) ** left),
        )


def ensemble(
    run: Run, remainder: Remainder | None = None, *, elsewhere: bool = False, practice: Practice | None = None
) -> Ensemble | None:
    """The sample of a run whose step or stops are open; None if they are not, if a required input is missing, or if no layout fits.

    ``elsewhere``: also sample a quarter and four times the number of accelerators, if the run states no number. ``practice``: typical
    values; the included table by default.
    """
    if not needs_sampling(run):
        return None
    practice = practice or usual_practice()
    sized, notes = with_gpus(run, practice)
    asked = described(sized, practice)
    if asked is None:
        return None
    usual = int(sized.hardware.gpus or 0) if elsewhere and sized.hardware.gpus != run.hardware.gpus else 0
    elsewhere_on = (gpus for gpus in (usual // 4, usual * 4) if gpus)
    others = {gpus: described(sized.replaced("hardware.gpus", gpus), practice) for gpus in elsewhere_on}
    beside = {gpus: other for gpus, other in others.items() if other is not None}
    points = lattice(len(OPEN))
    at = {name: points[place] for place, name in enumerate(OPEN)}
    choices, *several = chosen([asked, *beside.values()], at)
    if choices is None:
        return None
    known = known_step_time(run, asked.resolved) is not None
    rest = (
        (remainder_of_known_step() if known else remainder_of(asked.kind, asked.year, asked.params))
        if remainder is None
        else remainder
    )
    found = {
        gpus: times_of(other, taken, at, rest)
        for (gpus, other), taken in zip(beside.items(), several, strict=True)
        if taken is not None and (taken.fits or not choices.fits)
    }
    return assembled(asked, choices, at, times_of(asked, choices, at, rest), (*notes, *asked.notes), found)


def settled(run: Run) -> Run:
    """The run with stack, network share, goodput and the open fields of a partial layout set as in the sample's median run.

    It is the starting point of a sweep, a plan or a comparison, so that all commands use the same values for what the file leaves open.
    A run without a layout still has none: each row gets its own best one.
    """
    run = of_other_runs(run)
    sample = ensemble(run)
    if sample is None:
        return on_usual_network(run) if needs_sampling(run) else run
    found, supplied = run, dict(run.assumptions)
    if run.stack is None:
        found = found.replaced("software", sample.run.software)
    if run.layout is not None and is_partial(run.layout) and sample.run.layout is not None:
        found = found.replaced("layout", sample.run.layout.replaced(data=run.layout.data))
    kept = {key: one for key, one in sample.run.assumptions.items() if key.split(".")[0] in ("software", "layout")}
    supplied |= {key: one for key, one in kept.items() if key == "software" or is_partial(run.layout)}
    if SHARE in sample.run.assumptions:
        found = with_share(found, sample.run.value(SHARE))
        supplied[SHARE] = sample.run.assumptions[SHARE]
    goodput = sample.outcome.value("goodput")
    if run.known.goodput is None and goodput is not None:
        if run.layout is None:
            unstopped = evaluate(
                found.replaced("known.goodput", 1.0).replaced("hardware.gpus", sample.run.hardware.gpus)
            )
            goodput = min(1.0, gpu_seconds(unstopped) / median(sample.gpu_time))
        found = found.replaced("known.goodput", float(np.max(goodput)))
        supplied["known.goodput"] = Supplied(value=float(np.max(goodput)), reason=STOPS)
    return found.replaced("assumptions", supplied)


def chosen(several: Sequence[Samplable], at: Mapping[str, Draws]) -> list[Choices | None]:
    """For each of ``several`` runs, the stack, recompute mode and layout of every draw; None if no layout fits. The runs differ only in
    the number of accelerators."""
    shared = grids_of([one.workloads for one in several], several[0].run.layout)
    found = []
    for one, grids in zip(several, shared, strict=True):
        network, share = np.ones(DRAWS), 1.0
        if not one.run.hardware.has_network_rate:
            usual = network_share(one.resolved.workload.cluster)
            here = rated(
                one.run, one.resolved
            )  # the site's steps are relative to typical values; the rest is in their factor
            network, share = np.full(DRAWS, usual.value) if here else np.asarray(usual.draw(at["network"])), usual.value
        found.append(choose(grids, one.shares, dict(recompute_modes(one.modes)), one.slack, at, network, share))
    return found


def assembled(
    asked: Samplable,
    choices: Choices,
    at: Mapping[str, Draws],
    times: Times,
    notes: tuple[Assumption, ...],
    elsewhere: Mapping[int, Times],
) -> Ensemble:
    """The sample with the run nearest to its median; raises ``EstimateError`` if stops leave no time to train in a tenth of the draws."""
    run, resolved, kind = asked.run, asked.resolved, asked.kind
    if quantiles(times.running, [0.1])[0] <= LEAST_GOODPUT:
        steps = float(solve(known_totals(run, resolved)).value("steps") or 1.0)
        if steps < 1:
            raise EstimateError(
                f"The run is {steps:.2g} of one optimiser step.",
                "Are the tokens and the global batch right? K, M, B and T after a number are thousand to trillion.",
                "data",
            )
        raise EstimateError(
            "The run never ends: failures, restarts and checkpoints take all of its time.",
            "operation.failures is per GPU and day: 5e-4; operation.checkpoint_bandwidth is for all ranks together: 50 GB/s.",
            "operation",
        )
    nearest = shown_draw(times.seconds, choices)
    named = as_named(run, resolved, choices, nearest)
    outcome, ratio = at_median(named, median(times.gpu_time), notes)
    opens = opened(run, resolved, choices, kind)
    return Ensemble(
        named, outcome, kind, asked.year, times.seconds / ratio, times.running, times.remainder, times.gpu_time, at,
        tuple(choices.grids[number].software.name for number in choices.stack), opens, notes,
        {gpus: other.gpu_time for gpus, other in elsewhere.items()},
    )  # fmt: skip


def opened(run: Run, resolved: Resolved, choices: Choices, kind: Kind) -> frozenset[str]:
    """Which of ``GROUPS`` a run leaves open."""
    asked, given = resolved.workload, frozenset() if run.layout is None else run.layout.model_fields_set
    free = any(len(values) > 1 for grid in choices.grids for name, values in grid.axes.items() if name != "recompute")
    stops = run.known.goodput is None
    open_to = {
        "software": run.stack is None, "recomputation": "recompute" not in given, "layout": free,
        "network": not rated(run, resolved) and bool(np.max(asked.cluster.nodes) > 1), "goodput": stops, "remainder": stops,
        "padding": np.ndim(padded(run, kind, np.full(2, 0.5))) > 0, "data loading": resolved.data.frames is not None,
        "step model": True,
        "CPU launch time": resolved.calibration is None and not all(grid.software.states_launch_time for grid in choices.grids),
    }  # fmt: skip
    beyond = ("goodput", "remainder") if run.known.step_time is not None else GROUPS
    return frozenset(name for name, yes in open_to.items() if yes and name in beyond)
