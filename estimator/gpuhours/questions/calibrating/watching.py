"""``gpuhours watch``: compare the steps in a growing log with the prediction, and estimate remaining time and cost."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import PIPE
from gpuhours.questions.calibrating.explaining import step_range
from gpuhours.questions.calibrating.formats import formats
from gpuhours.questions.calibrating.logs import (
    LONGEST_LINE,
    PIECE,
    LineReader,
    Log,
    columns_of,
    of_table,
    plain,
    steady,
    texts_of,
)
from gpuhours.questions.calibrating.observed import (
    agree,
    other_flops,
    resolved_with_defaults,
    seconds_of,
    unknown,
    with_batch,
)
from gpuhours.questions.envelope import envelope
from gpuhours.questions.estimating.estimates import Estimate
from gpuhours.questions.estimating.estimating import estimate
from gpuhours.run.resolve import Resolved
from gpuhours.run.spec import Run

RECENT = 20
"""The current pace is the median of this many latest readings."""
MOST_TABLE = 50_000_000
"""Maximum characters of a watched CSV, which is read again completely whenever it grows."""
PATIENCE = 600.0
"""A log counts as ended when it has had no new line for this many s and for ``SILENT`` steps at its own pace."""
SILENT = 20
"""The same in steps, since evaluations and checkpoints take several step times."""
ENOUGH = 5
"""Minimum number of readings for a verdict."""
Verdict = Literal["too early", "inside", "slower than predicted", "faster than predicted"]


@dataclass(frozen=True)
class Progress:
    """The state of a watched run."""

    step: int | None
    """The last logged step."""
    steps: int | None
    """Steps of the whole run."""
    readings: int
    seen: float | None
    """Measured s per step: median of the latest readings after warm-up; None if there are none."""
    predicted: float
    low: float
    high: float
    verdict: Verdict
    remaining: float | None
    """Remaining s at the current pace."""
    cost: float | None
    """Remaining cost in USD at the current pace."""
    tool: str = ""
    not_understood: tuple[str, ...] = ()
    ended: str = ""
    """Why watching stopped, if the log has not grown for long; otherwise empty."""
    remarks: tuple[str, ...] = ()
    """What speaks against the log being of this run."""

    @property
    def below(self) -> bool:
        """Whether the throughput is below the predicted range."""
        return self.verdict == "slower than predicted"

    @property
    def finished(self) -> bool:
        """Whether the last step of the run has been logged."""
        return self.step is not None and self.steps is not None and self.step >= self.steps

    def to_dict(self) -> dict[str, Any]:
        """The JSON document."""
        seconds = {"unit": "second"}
        content = {
            "tool": self.tool, "step": self.step, "steps": self.steps, "readings": self.readings,
            "step_time": {"seen": self.seen, "predicted": self.predicted, "low": self.low, "high": self.high, **seconds},
            "verdict": self.verdict, "remaining": {"value": self.remaining, **seconds},
            "cost_to_finish": {"value": self.cost, "unit": "USD"},
            "not_understood": list(self.not_understood), "ended": self.ended,
            "remarks": list(self.remarks),
        }  # fmt: skip
        return envelope("watch", content)


class Watch:
    """A run and its prediction, to compare with a growing log."""

    def __init__(self, run: Run) -> None:
        self.run = unknown(run)
        self.estimate: Estimate | None = None
        self.resolved: Resolved | None = None

    def seen(self, log: Log) -> Progress:
        """The state of the run according to the log so far."""
        predicted, resolved = self._predicted(log)
        agree(resolved, log)
        seconds = seconds_of(log, self.run, resolved)
        behind = len(seconds) - steady(seconds).steps if len(seconds) else 0
        recent = seconds[behind:][-RECENT:]
        assert predicted.outcome.step is not None
        low, high = step_range(predicted)
        pace = float(np.median(recent))
        judged = len(recent) >= ENOUGH or log.average
        step, steps = self._place(log, predicted)
        left = None if step is None or steps is None else max(0, steps - step) * pace
        return Progress(
            step, steps, len(seconds), pace, float(predicted.outcome.step.time), low, high,
            verdict(pace, low, high) if judged else "too early", left, cost_of(predicted, left), log.tool, log.not_understood,
            remarks=tuple(other_flops(resolved, log, pace)),
        )  # fmt: skip

    def _predicted(self, log: Log) -> tuple[Estimate, Resolved]:
        """The run's estimate (cached), with the batch taken from the log if the run states none."""
        if self.estimate is None or self.resolved is None:
            self.run, _ = with_batch(self.run, log)
            self.estimate = estimate(self.run)
            if self.estimate.outcome.step is None or self.estimate.stages:
                raise EstimateError(
                    "No step is predicted for this run.", "`gpuhours estimate` says what is missing.", "--run"
                )
            self.resolved = resolved_with_defaults(self.estimate.outcome.run, log.path)
        return self.estimate, self.resolved

    def _place(self, log: Log, found: Estimate) -> tuple[int | None, int | None]:
        """(step, total steps) from the log, otherwise from the run; batches in a log count as steps. Unknown values are None."""
        step, steps = log.last("step"), log.last("steps")
        planned = found.results.get("steps")
        if steps is None and planned is not None:
            steps = float(planned.value)
        if step is None or log.counts == "batches":
            return None, None if steps is None else int(steps)
        step += log.values("step")[0] == 0  # numbered from zero: the last of 100 is 99
        return int(step), None if steps is None else round(steps)


def verdict(seconds: float, low: float, high: float) -> Verdict:
    """Whether a step time is inside, below or above its predicted range ``low`` to ``high``, all in s."""
    if seconds > high:
        return "slower than predicted"
    return "faster than predicted" if seconds < low else "inside"


def cost_of(found: Estimate, seconds: float | None) -> float | None:
    """Cost in USD of running for ``seconds`` at the estimate's price; None if there is no price or time."""
    cost, hours, gpus = (found.results.get(name) for name in ("cost", "gpu_hours", "gpus"))
    if seconds is None or cost is None or hours is None or gpus is None or not hours.value:
        return None
    return float(cost.value) / float(hours.value) * float(gpus.value) * seconds / 3600


def follow(path: Path | str, run: Run, *, once: bool = False, every: float = 2.0) -> Iterator[Progress]:
    """Yield the state after reading the existing log and, unless ``once``, whenever the log grows. Ends at the last step, at the end
    of a pipe, at the tool's summary, when throughput is below the range, or when the log has not grown for too long (``why_ended``)."""
    watch, steps, shown = Watch(run), Steps("standard input" if str(path) == PIPE else str(path)), 0
    state: Progress | None = None
    for grown in growth(path, once=once, every=every):
        for text in grown:
            steps.feed(text)
        log = steps.log(whole=once)
        ended = "" if once else steps.over or why_ended(path, state)
        if log is not None and len(log.lines) > shown:
            shown = len(log.lines)
            state = watch.seen(log)
            ended = "" if once else steps.over or why_ended(path, state)
            yield replace(state, ended=ended)
            if state.below or state.finished or ended:
                return
        elif ended:
            if state is not None:
                yield replace(state, ended=ended)
            break
    if not shown:
        raise steps.reader.nothing()


def why_ended(path: Path | str, state: Progress | None) -> str:
    """The reason why a file is considered ended: it has not grown for ``PATIENCE`` s and the time of ``SILENT`` steps. Empty if it may
    still grow, and for a pipe."""
    if str(path) == PIPE or not Path(path).is_file():
        return ""
    quiet = time.time() - Path(path).stat().st_mtime
    pace = 0.0 if state is None or state.seen is None else state.seen
    if quiet <= max(PATIENCE, SILENT * pace):
        return ""
    return (
        f"nothing has been added for {quiet / 3600:.1f} hours"
        if quiet >= 5400
        else f"nothing has been added for {quiet / 60:.0f} minutes"
    )


class Steps:
    """Incremental reader of a log that is still being written, as lines of a tool or rows of a CSV."""

    def __init__(self, name: str) -> None:
        self.reader = LineReader(name)
        self.rest = ""
        self.table = ""
        self.begun = False

    def feed(self, text: str) -> None:
        """Process more text; only complete lines are read."""
        if self.table or (not self.begun and is_table(self.rest + text)):
            self.table += self.rest + text
            self.rest = ""
            if len(self.table) > MOST_TABLE:
                raise EstimateError(
                    f"is a table of more than {MOST_TABLE / 1e6:.0f} MB.", "Watch its last part.", self.reader.name
                )
            return
        *lines, rest = re.split(r"[\r\n]+", self.rest + text)
        self.reader.feed(map(plain, lines))
        self.rest = rest[: 2 * LONGEST_LINE]
        self.begun = self.begun or self.reader.log is not None

    @property
    def over(self) -> str:
        """The reason why no more steps will come: the tool has printed its summary of the whole run. Empty if it has not."""
        summaries = (one.name for one in formats().lines if one.average)
        return "the run has printed its summary" if any(name in self.reader.found for name in summaries) else ""

    def log(self, *, whole: bool) -> Log | None:
        """The log read so far; ``whole``: no more text will follow. None if it has no steps."""
        if self.table:
            return of_table(io.StringIO(self.table), self.reader.name)
        if whole:
            self.reader.feed((plain(self.rest),))
            self.rest = ""
        return self.reader.log


def is_table(text: str) -> bool:
    """Whether the text is a CSV of steps, with a header and at least one row."""
    head, _, rows = text.partition("\n")
    return "," in head and bool(rows.strip()) and bool(columns_of(head))


def growth(path: Path | str, *, once: bool, every: float) -> Iterator[Iterable[str]]:
    """Yield the contents of a file, then what is appended to it, each in pieces; a pipe is read to its end. Raises
    ``EstimateError`` if the file cannot be read, or if it shrinks, that is, was restarted."""
    if once:
        yield texts_of(path)
    elif str(path) == PIPE:
        yield from ((text,) for text in piped(every))
    else:
        try:
            with Path(path).open(encoding="utf-8", errors="replace", newline="") as file:
                yield iter(lambda: file.read(PIECE), "")
                while True:
                    time.sleep(every)
                    if Path(path).stat().st_size < file.tell():
                        raise EstimateError("was restarted while it was watched.", "Watch it again.", str(path))
                    yield iter(lambda: file.read(PIECE), "")
        except OSError as error:
            raise EstimateError(f"cannot be read: {error.strerror or error}", where=str(path)) from None


def piped(every: float) -> Iterator[str]:
    """Yield text from standard input; lines that arrive within ``every`` s are combined."""
    held, since = "", 0.0
    while line := sys.stdin.readline(PIECE):
        held += line
        if time.monotonic() - since >= every or len(held) > PIECE:
            yield held
            held, since = "", time.monotonic()
    yield held + "\n"
