"""Measured steps with their runs, from a run file and its log, a run file that states the step, or a row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from typing import Protocol

import numpy as np

from gpuhours.architecture.operators import Trainable
from gpuhours.flops import CONVENTIONS, model_flops
from gpuhours.hardware.networks import on_network
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.questions.calibrating.logs import Log, Steady, steady
from gpuhours.questions.validating.case import Case, case_of
from gpuhours.questions.validating.prediction import predict
from gpuhours.questions.validating.rows import Row
from gpuhours.run.band import traits_of
from gpuhours.run.central import centre
from gpuhours.run.default_layout import DECISIVE, with_explicit_defaults
from gpuhours.run.ensemble import settled
from gpuhours.run.evaluate import evaluate, known_totals
from gpuhours.run.novelty import Traits
from gpuhours.run.resolve import Resolved, resolve
from gpuhours.run.samplable import needs_sampling
from gpuhours.run.shown import on_usual_network
from gpuhours.run.spec import Interconnect, Known, Run, step_digest
from gpuhours.run.totals import solve
from gpuhours.step import step

APART = 0.05
"""Maximum relative difference in tokens per step between a log and its run."""


FLOPS_APART = 0.1
"""Relative difference up to which FLOPs counted by a tool may be those of a run: padded vocabularies, norms, rotary embeddings."""
REPEATED = 4 / 3
"""Hardware FLOPs over model FLOPs if every forward pass runs twice: 8 N D over 6 N D."""
ROUNDED = 0.005
"""Relative rounding error of a batch printed with three digits: nanotron prints 1,024 samples as 1.02K."""


@dataclass(frozen=True)
class Candidate:
    """A candidate stack: a software profile, and a network if it differs from the run's."""

    software: str
    network: str | None = None


class Observed(Protocol):
    """A measured step that can be predicted on any stack."""

    @property
    def name(self) -> str:
        """Display name."""
        ...

    @property
    def seconds(self) -> float:
        """Measured s per step."""
        ...

    @property
    def of(self) -> str:
        """Digest of the run; empty for a row of a table."""
        ...

    @property
    def stated(self) -> Candidate:
        """The stack that the run states, or the default if it states none."""
        ...

    @property
    def said(self) -> bool:
        """Whether the run names its stack."""
        ...

    @property
    def traits(self) -> Traits:
        """The traits that determine how well it is predicted."""
        ...

    @property
    def crosses(self) -> bool:
        """Whether the run spans several nodes, so that it uses a network."""
        ...

    def predicted(self, stack: Candidate) -> float | None:
        """Predicted s per step on a stack; None if the run is invalid there."""
        ...


@dataclass(frozen=True, eq=False)
class ObservedRun:
    """A run with a measured step."""

    run: Run
    seconds: float
    source: str
    steps: Steady | None = None
    remarks: tuple[str, ...] = ()
    log: Log | None = None
    laid: Run = field(init=False, repr=False)
    """The run with the layout that ``estimate`` shows."""
    resolved: Resolved = field(init=False)
    seen: dict[Candidate, float | None] = field(default_factory=dict, init=False, repr=False)
    """Cache of predictions by stack, since leave-one-out validation predicts each step repeatedly."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "laid", as_shown(self.run))
        object.__setattr__(self, "resolved", resolved_with_defaults(on_usual_network(self.laid), self.source))

    @property
    def of(self) -> str:
        """The digest of the run as described in its file."""
        return step_digest(self.run)

    @property
    def name(self) -> str:
        """The run's name and the source of its measured step."""
        return self.source if self.run.name == "run" else f"{self.run.name} ({self.source})"

    @property
    def stated(self) -> Candidate:
        """The run's own stack."""
        return Candidate(self.resolved.software.name)

    @property
    def said(self) -> bool:
        """Whether the run names its stack."""
        return self.run.stack is not None

    @property
    def traits(self) -> Traits:
        """The traits that determine how well it is predicted."""
        traits = traits_of(self.resolved, self.said)
        assert traits is not None
        return traits

    @property
    def crosses(self) -> bool:
        """Whether it uses more than one node."""
        return bool(np.max(self.resolved.workload.cluster.nodes) > 1)

    def predicted(self, stack: Candidate) -> float | None:
        """s per step of the same run with another profile or network; None if it cannot run."""
        if stack not in self.seen:
            self.seen[stack] = self._predicted(stack)
        return self.seen[stack]

    def _predicted(self, stack: Candidate) -> float | None:
        other = self.on(stack)
        if other.missing:
            return None
        predicted = step(other.workload)
        return float(predicted.time) if bool(np.all(predicted.valid)) else None

    def on(self, stack: Candidate) -> Resolved:
        """The run on another stack. As in an estimate, the network has its typical share of bandwidth if the run states none."""
        run, own = self.laid, self.run.hardware.network
        if stack.network is not None and own is None:
            run = run.replaced("hardware.network", Interconnect(kind=stack.network))
        if stack.software != self.stated.software:
            run = run.replaced("software", stack.software)
        resolved = self.resolved if run is self.laid else resolved_with_defaults(on_usual_network(run), self.source)
        if stack.network is None or own is None or resolved.cluster is None:
            return resolved
        return replace(resolved, cluster=on_network(resolved.cluster, stack.network))


@dataclass(frozen=True, eq=False)
class ObservedRow:
    """A row of a table of measured runs."""

    row: Row
    case: Case
    without: str = ""
    """A system whose measurements are excluded from all fitted constants, to validate the calibration itself."""
    seen: dict[Candidate, float | None] = field(default_factory=dict, init=False, repr=False)
    """Cached predictions by stack."""

    @property
    def of(self) -> str:
        """Empty: a row of a table has no run file to digest."""
        return ""

    @property
    def name(self) -> str:
        """The row's id."""
        return self.row.id

    @property
    def seconds(self) -> float:
        """Measured s per step."""
        seconds = self.row.seconds
        assert seconds is not None
        return seconds

    @property
    def stated(self) -> Candidate:
        """The stack that the row names, or the default if it names none."""
        return Candidate(self.case.software.name)

    @property
    def said(self) -> bool:
        """Whether the row names a stack."""
        return self.case.traits.stack_said

    @property
    def traits(self) -> Traits:
        """The traits that determine how well it is predicted."""
        return self.case.traits

    @property
    def crosses(self) -> bool:
        """Whether it uses more than one node."""
        return self.case.gpus > self.case.node.gpus

    def predicted(self, stack: Candidate) -> float | None:
        """s per step of the same row with another profile or network; None if it cannot run."""
        if stack not in self.seen:
            (self.seen[stack],) = predicted_rows([self], stack)
        return self.seen[stack]


def predicted_rows(rows: Sequence[ObservedRow], stack: Candidate) -> list[float | None]:
    """Predict many rows on one stack, in as few calls as possible."""
    cases: list[Case | str] = []
    for one in rows:
        row = one.row if stack.network is None else one.row.over(stack.network)
        same = stack.software == one.case.software.name and stack.network is None
        cases.append(one.case if same else case_of(row, one.without, stack.software))
    predictions = iter(predict([case for case in cases if isinstance(case, Case)]))
    return [next(predictions).time if isinstance(case, Case) else None for case in cases]


def as_shown(run: Run) -> Run:
    """The run with the layout that ``estimate`` shows of it, if it leaves open anything that decides the step: recomputation, sharding."""
    if run.stages or (run.layout is not None and set(DECISIVE) <= run.layout.model_fields_set):
        return run
    asked = run if run.stack is not None or not needs_sampling(run) else run.replaced("software", settled(run).software)
    return run.replaced("layout", centre(asked)[2].run.layout)


def resolved_with_defaults(run: Run, source: str) -> Resolved:
    """The run with its layout fully resolved. Raises ``EstimateError`` if its step cannot be predicted."""
    if run.stages:
        raise EstimateError("A run of several stages has no single step.", "Give one stage a file of its own.", source)
    resolved = resolve(run.replaced("layout", with_explicit_defaults(run.layout)))
    if resolved.missing:
        raise EstimateError(
            f"The step cannot be predicted; missing: {', '.join(resolved.missing)}.",
            "Give it in the run file.",
            source,
        )
    return resolved


def observed_run(run: Run, source: str) -> ObservedRun | None:
    """The measured step stated in a run file (``known.step_time`` or ``known.mfu``); None if it states neither."""
    if run.known.step_time is None and run.known.mfu is None:
        return None
    seconds = evaluate(run).value("step_time")
    if seconds is None:
        raise EstimateError("No step time follows from known.mfu.", "Give known.step_time.", source)
    return ObservedRun(unknown(run), float(seconds), source)


def unknown(run: Run) -> Run:
    """A copy of the run without its measured results (``known``)."""
    return run.replaced("known", Known(goodput=run.known.goodput))


def observed_log(run: Run, log: Log) -> ObservedRun:
    """The measured step of a run, from its log."""
    run, noted = with_batch(unknown(run), log)
    resolved = resolved_with_defaults(run, log.path)
    agree(resolved, log)
    middle = steady(seconds_of(log, run, resolved))
    remarks = [noted] if noted else []
    remarks += other_flops(resolved, log, middle.value)
    if log.average:
        remarks.append("the average over a whole run, including warm-up, evaluation and checkpoints")
    if log.counts == "batches" and passes(resolved) > 1:
        remarks.append(f"{log.tool} counts batches: {passes(resolved):g} per step")
    if middle.steps < 3 and not log.average:
        remarks.append(f"{middle.steps} line{'s' if middle.steps > 1 else ''} only: warm-up may be included")
    remarks += [f"not understood: {text[:90]}" for text in log.not_understood[:3]]
    return ObservedRun(run, middle.value, log.path, middle, tuple(remarks), log)


def with_batch(run: Run, log: Log) -> tuple[Run, str]:
    """The run, with the batch taken from the log if it states none, and a remark on that (empty if nothing was taken)."""
    batch = log.last("batch")
    if batch is None or run.training.global_batch is not None or run.training.batch_tokens is not None:
        return run, ""
    return run.replaced("training.global_batch", int(batch)), f"{batch:g} samples per step, from the log"


def passes(resolved: Resolved) -> float:
    """Micro-batches per rank and step (gradient accumulation)."""
    asked = resolved.workload
    return max(1.0, float(asked.global_batch) / float(asked.ranks.data * asked.layout.microbatch))


def seconds_of(log: Log, run: Run, resolved: Resolved) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Seconds per step for every line, as logged or derived from a logged rate and the run's batch."""
    quantity = log.quantity
    values = log.values(quantity)
    values = values[values > 0]
    if not len(values):
        raise EstimateError(f"has only zeros for {quantity.replace('_', ' ')}.", "", log.path)
    batch, tokens = float(resolved.workload.global_batch), float(resolved.tokens_per_sample or 0.0)
    gpus = float(resolved.workload.cluster.gpus)
    if quantity == "step_time":
        return values * (passes(resolved) if log.counts == "batches" else 1.0)
    if quantity == "mfu":
        totals = solve(known_totals(run, resolved))
        flops, peak = totals.value("model_flops_per_step"), totals.value("peak")
        if flops is None or peak is None:
            raise EstimateError("has only MFU, and the run's FLOPs are not known.", "Give step_time.", log.path)
        return float(flops) / (values * float(peak) * gpus)
    per_step = {"samples_per_second": batch, "tokens_per_second": batch * tokens}.get(quantity, batch * tokens / gpus)
    return per_step / values


def other_flops(resolved: Resolved, log: Log, seconds: float) -> list[str]:
    """A remark if the TFLOP/s that a log prints per accelerator cannot be those of its run: empty if they can, or if it prints none.

        F = f t g        f FLOP/s per accelerator, t s per step, g accelerators

    F is compared with the run's FLOPs per step under every convention, from the fewest without recomputation to the most with all layers
    recomputed, within ``FLOPS_APART``. Tools count a model with frozen parts in too many ways for that.
    """
    rates, model = log.values("flops_per_gpu"), resolved.workload.model
    if not len(rates) or any(part.trainable is not Trainable.FULL for part in model.parts):
        return []
    printed = steady(rates).value * seconds * float(resolved.workload.cluster.gpus)
    samples = float(resolved.workload.global_batch)
    counts = [float(model_flops(model, samples, convention)) for convention in CONVENTIONS]
    low, high = min(counts), REPEATED * max(counts)
    if low * (1 - FLOPS_APART) <= printed <= high * (1 + FLOPS_APART):
        return []
    return [
        f"its TFLOP/s make {printed / 1e15:.3g} PFLOP per step, the run has {low / 1e15:.3g} to {high / 1e15:.3g} however counted: is it "
        "of this model, length, batch and number of accelerators?"
    ]


def agree(resolved: Resolved, log: Log) -> None:
    """Raise ``EstimateError`` if a log cannot belong to its run because the batch or the tokens per step differ."""
    batch, asked = log.last("batch"), resolved.workload
    stated = float(asked.global_batch)
    rounded = ROUNDED * stated if stated >= 1000 else 0.0
    if batch is not None and log.tool != "CSV" and abs(batch - stated) > rounded:
        raise EstimateError(
            f"has {batch:g} samples per step, the run {stated:g}.",
            "Name the log's own run file, or --set training.global_batch.", log.path,
        )  # fmt: skip
    both = [line for line in log.lines if "step_time" in line and "tokens_per_second" in line]
    if not both or log.counts == "batches":
        return
    tokens = float(np.median([line["step_time"] * line["tokens_per_second"] for line in both]))
    expected = stated * float(resolved.tokens_per_sample or 0.0)
    if expected and abs(np.log(tokens / expected)) > APART:
        raise EstimateError(
            f"has {tokens:,.0f} tokens per step, the run {expected:,.0f}.",
            "Name the log's own run file, or correct its global batch or length.", log.path,
        )  # fmt: skip
