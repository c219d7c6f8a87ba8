"""``gpuhours calibrate``: fit a site file to measured steps, with leave-one-out validation."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import Source, read_yaml
from gpuhours.questions.calibrating.choosing import StackChoice, choose
from gpuhours.questions.calibrating.logs import read_log
from gpuhours.questions.calibrating.observed import (
    Candidate,
    Observed,
    ObservedRow,
    observed_log,
    observed_run,
)
from gpuhours.questions.envelope import envelope
from gpuhours.questions.validating.case import Case, case_of
from gpuhours.questions.validating.rows import NEEDED, read_rows
from gpuhours.run.conformal import curve, table
from gpuhours.run.digest import digest
from gpuhours.run.novelty import Traits, features
from gpuhours.run.overlays import with_paths_from
from gpuhours.run.site import QUANTILE, CalibrationStep, Site, StackCalibration
from gpuhours.run.spec import Run, from_source
from gpuhours.software.profile import load_software

RUN_FILES = (".yaml", ".yml")


@dataclass(frozen=True)
class StackCalibrated:
    """The measured steps whose runs state the same stack, and the stack that best explains them."""

    steps: tuple[Observed, ...]
    choice: StackChoice
    before: tuple[float, ...]
    """Step times in s predicted with the stated stack."""
    after: tuple[float, ...]
    """Step times in s predicted with the chosen stack and factor."""
    left_out: tuple[float | None, ...]
    """Leave-one-out step times in s, each predicted with the stack and factor chosen from the other steps; None if there are no others."""
    low: tuple[float, ...]
    """Lower bounds in s of the 80 % range of each step before calibration; ``high`` are the upper bounds."""
    high: tuple[float, ...]
    site_low: tuple[float, ...]
    """Lower bounds in s of the 80 % range with calibration; ``site_high`` are the upper bounds."""
    site_high: tuple[float, ...]

    @property
    def stated(self) -> Candidate:
        """The stated stack."""
        return self.steps[0].stated

    @property
    def changed(self) -> bool:
        """Whether a different stack was chosen."""
        return self.choice.stack != self.stated

    @property
    def why(self) -> str:
        """A sentence that explains the choice of stack."""
        count = len(self.steps)
        many = f"{count} step{'s' if count > 1 else ''}"
        if not self.changed:
            second = self.choice.runner_up
            near = "" if second is None or second[1] > 3 else f"; nearly as likely: {words(second[0])}"
            return f"{many}: no other included stack is likelier, given that {self.stated.software} is stated{near}"
        return f"{many}: {factor_words(self.choice.lead)} likelier than {words(self.stated)}, the stated one"

    def calibration(self) -> StackCalibration:
        """The entry for this stack in the site file."""
        choice, traits = self.choice, self.steps[0].traits
        rows = zip(self.steps, self.before, self.after, self.left_out, strict=True)
        return StackCalibration(
            stated=self.stated.software, software=choice.stack.software, network=choice.stack.network, factor=round(choice.factor, 4),
            own=round(choice.own, 4), shared=round(choice.shared, 4), usual=round(choice.usual, 4), accelerator=traits.card,
            kind=traits.kind, why=self.why,
            steps=tuple(
                CalibrationStep(
                    name=one.name, measured=significant(one.seconds), stated=significant(before), predicted=significant(after),
                    left_out=None if left is None else significant(left), of=one.of,
                )
                for one, before, after, left in rows
            ),
        )  # fmt: skip


@dataclass(frozen=True)
class Calibration:
    """The result of a calibration, per stated stack."""

    stacks: tuple[StackCalibrated, ...]
    remarks: tuple[str, ...] = ()

    @property
    def site(self) -> Site:
        """The contents of the site file."""
        from gpuhours.inputs.version import __version__

        made = f"gpuhours calibrate {__version__}, constants {digest()}, {datetime.date.today().isoformat()}"
        return Site(made=made, stacks=tuple(one.calibration() for one in self.stacks))

    def errors(self, which: str) -> list[float]:
        """Relative errors, predicted / measured - 1, of all steps. ``which``: ``before``, ``after`` or ``left_out`` (omits steps without a
        left-out prediction)."""
        pairs = [
            (value, step.seconds)
            for one in self.stacks
            for value, step in zip(getattr(one, which), one.steps, strict=True)
        ]
        return [value / measured - 1 for value, measured in pairs if value is not None]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document."""
        content = {
            "stacks": [
                {
                    **one.calibration().model_dump(mode="json"), "changed": one.changed, "lead": finite(one.choice.lead),
                    "steps": [
                        {
                            "name": step.name, "measured": step.seconds, "before": before, "after": after, "left_out": left,
                            "low": low, "high": high, "site_low": site_low, "site_high": site_high, "unit": "second",
                        }
                        for step, before, after, left, low, high, site_low, site_high in zip(
                            one.steps, one.before, one.after, one.left_out, one.low, one.high, one.site_low, one.site_high,
                            strict=True,
                        )
                    ],
                }
                for one in self.stacks
            ],
            "summary": {
                which: median_size(self.errors(which)) for which in ("before", "after", "left_out")
            },
            "remarks": list(self.remarks),
        }  # fmt: skip
        return envelope("calibrate", content)

    def yaml(self) -> str:
        """The site as YAML."""
        import yaml

        kept = self.site.model_dump(mode="json", exclude_none=True, exclude={"name"})
        head = "# What this machine's own steps say, for --site of estimate, sweep, plan, compare, report and trace.\n"
        return head + str(yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=120))


def calibrate(files: Sequence[Path | str], run: Run | None = None) -> Calibration:
    """Fit a calibration to measured steps. ``files``: run files that state ``known.step_time`` (or ``known.mfu``), tables of runs, and
    logs, each of which belongs to the run file before it, or to ``run``."""
    steps, remarks = observations(files, run)
    return calibrated(steps, remarks)


def calibrated(steps: Sequence[Observed], remarks: Iterable[str] = ()) -> Calibration:
    """Fit a calibration to steps that were already read."""
    groups: dict[str, list[Observed]] = {}
    for one in steps:
        groups.setdefault(one.stated.software, []).append(one)
    return Calibration(tuple(of_stack(tuple(group)) for group in groups.values()), tuple(remarks))


def of_stack(steps: tuple[Observed, ...]) -> StackCalibrated:
    """Calibrate the steps of one stated stack."""
    before = tuple(_needed(one, one.stated) for one in steps)
    choice = choose(steps, usual(steps, before))
    after = tuple(choice.factor * _needed(one, choice.stack) for one in steps)
    left = tuple(_without(steps, place) for place in range(len(steps)))
    ranges = [
        curve("step").limits(features(one.traits, time, table()["world"]))
        for one, time in zip(steps, before, strict=True)
    ]
    half = math.exp(QUANTILE * math.hypot(choice.own, choice.shared))
    return StackCalibrated(
        steps, choice, before, after, left,
        tuple(low * time for (low, _), time in zip(ranges, before, strict=True)),
        tuple(high * time for (_, high), time in zip(ranges, before, strict=True)),
        tuple(time / half for time in after), tuple(half * time for time in after),
    )  # fmt: skip


def _without(steps: tuple[Observed, ...], place: int) -> float | None:
    """Leave-one-out prediction of a step in s, with the stack and factor chosen from the other steps; None if there are no others."""
    others = steps[:place] + steps[place + 1 :]
    if not others:
        return None
    choice = choose(others, usual(others, [_needed(one, one.stated) for one in others]))
    prediction = steps[place].predicted(choice.stack)
    return None if prediction is None else choice.factor * prediction


def usual(steps: Sequence[Observed], predicted: Sequence[float]) -> float:
    """Mean of ``usual_error`` over steps: the typical log error for such runs from a source that was not used for fitting."""
    return float(np.mean([usual_error(one.traits, time) for one, time in zip(steps, predicted, strict=True)]))


def usual_error(traits: Traits, time: float, without: str = "") -> float:
    """Typical log error for one run with step time ``time`` in s; ``without``: a system whose measurements are excluded."""
    return curve("step", without).usual(features(traits, time, table()["world"], frozenset({without})))


def _needed(one: Observed, stack: Candidate) -> float:
    """Predicted s of a step. Raises ``EstimateError`` if its run is invalid as described."""
    prediction = one.predicted(stack)
    if prediction is None:
        raise EstimateError("Its layout is invalid as described.", "`gpuhours estimate` says why.", one.name)
    return prediction


def observations(files: Sequence[Path | str], run: Run | None = None) -> tuple[list[Observed], list[str]]:
    """All measured steps in ``files``, and remarks from reading them."""
    steps: list[Observed] = []
    remarks: list[str] = []
    last, unused = run, None
    for path in files:
        if str(path).lower().endswith(RUN_FILES):
            refuse_unmeasured(unused)
            last, unused = read_run(path), str(path)
            observed = observed_run(last, str(path))
            if observed is not None:
                steps.append(observed)
                unused = None
            continue
        if is_table(path):
            more, left_out = from_table(path)
            steps += more
            remarks += left_out
            continue
        if last is None:
            raise EstimateError(
                "The run of this log is not given.",
                f"Name its run file before it: gpuhours calibrate run.yaml {path}",
                str(path),
            )
        logged = observed_log(last, read_log(path))
        steps.append(logged)
        remarks += [f"{path}: {text}" for text in logged.remarks]
        unused = None
    refuse_unmeasured(unused)
    if not steps:
        raise EstimateError("There is no measured step.", "gpuhours calibrate run.yaml train.log -o site.yaml")
    return steps, remarks


def refuse_unmeasured(path: str | None) -> None:
    """Raise ``EstimateError`` for a run file that states no measured step and is followed by no log."""
    if path is not None:
        raise EstimateError(
            "has no measured step.", "Write known.step_time (or known.mfu) in it, or name its log after it.", path
        )


def read_run(path: Path | str) -> Run:
    """Read a run file and ignore its site, since calibration creates a new one."""
    source = read_yaml(path)
    data = with_paths_from(source.data, Path(path).parent)
    if isinstance(data, Mapping):
        data = {key: value for key, value in data.items() if key != "site"}
    return from_source(Source(source.name, data, source.places))


def is_table(path: Path | str) -> bool:
    """Whether a file is a CSV with one run per row, as read by ``validate --runs``; a CSV with the steps of one run is a log."""
    if not str(path).lower().endswith(".csv"):
        return False
    try:
        with Path(path).open(encoding="utf-8-sig", errors="replace") as file:
            head = file.readline(100_000)
    except OSError as error:
        raise EstimateError(f"cannot be read: {error.strerror or error}", where=str(path)) from None
    return all(column in [name.strip() for name in head.split(",")] for column in NEEDED)


def from_table(path: Path | str) -> tuple[list[ObservedRow], list[str]]:
    """The rows of a table that have a measured step and can be predicted, and the reasons why others cannot."""
    steps, left_out = [], []
    for row in read_rows(path):
        case = "no measured step time or rate" if row.seconds is None or row.failed else case_of(row)
        if isinstance(case, Case):
            steps.append(ObservedRow(row, case))
        else:
            left_out.append(f"{path}: {row.id} left out: {case}")
    if not steps:
        raise EstimateError(
            "has no row that can be predicted and was measured.", left_out[0] if left_out else "", str(path)
        )
    return steps, left_out


def words(stack: Candidate) -> str:
    """A stack as text, such as ``fsdp-compile`` or ``fsdp-compile over efa``."""
    return stack.software if stack.network is None else f"{stack.software} over {stack.network}"


def title(stack: Candidate) -> str:
    """The title of a stack's profile."""
    return load_software(stack.software).title


def factor_words(lead: float) -> str:
    """The likelihood ratio exp(``lead``) as text, such as ``12 times``; capped at a million."""
    return "a million times" if lead > math.log(1e6) else f"{math.exp(lead):,.3g} times"


def median_size(errors: Sequence[float]) -> float | None:
    """Median of the absolute errors; None if there are none."""
    return float(np.median(np.abs(errors))) if errors else None


def significant(value: float) -> float:
    """Round to five significant digits; no measurement is more precise."""
    return float(f"{value:.5g}")


def finite(value: float) -> float | None:
    """The value, or None if it is not finite."""
    return value if math.isfinite(value) else None
