"""Evaluate a document: every figure computed from the claims that it may use, or predicted blind, then judged."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import gpuhours.questions.reproducing.descent as descent
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.errors import Contradiction, EstimateError, nearest
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import Source, read_yaml, validated
from gpuhours.questions.checking.precision import Spread
from gpuhours.questions.estimating.estimates import Estimate
from gpuhours.questions.estimating.estimating import estimate
from gpuhours.questions.reproducing.blind import Blind, predict
from gpuhours.questions.reproducing.document import AskedFigure, Published, Reading, StatedFigure
from gpuhours.questions.reproducing.findings import FITS, TIMES, Finding, Reproduction, Reproductions, judged
from gpuhours.questions.reproducing.runs import as_run, described, laid_out, stated_ranges
from gpuhours.questions.reproducing.taking import GOODPUT, Need, goodput_needed, solve, varied
from gpuhours.questions.reproducing.texts import reproduce_text
from gpuhours.questions.verdicts import CONTRADICTED, NOT_DETERMINED
from gpuhours.run.results import RESULTS
from gpuhours.run.samplable import needs_sampling
from gpuhours.run.spec import Run

PREDICTED = frozenset({"gpu_hours", "wall_clock", "step_time", "mfu"})
"""Results that depend on the run's speed: predicted blind if the given claims do not determine them."""


def document_paths() -> dict[str, Path]:
    """The documents included in gpuhours: name -> file."""
    folder = Path(str(files("gpuhours") / "published" / "documents"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def reproduce(names: tuple[str, ...] = ()) -> Reproductions:
    """Evaluate documents by name or path, and texts by path; all included ones if none is named."""
    known = document_paths()
    reproductions: list[Reproduction] = []
    for name in names or tuple(known):
        path = _path(name, known)
        reproductions += [reproduce_file(path)] if path.suffix in (".yaml", ".yml") else reproduce_text(path)
    return Reproductions(tuple(reproductions))


def _path(name: str, known: Mapping[str, Path]) -> Path:
    for stem, path in known.items():
        if stem.lower() == name.lower():
            return path
    if name.endswith((".yaml", ".yml")) or Path(name).suffix or os.path.isfile(name):
        return Path(name)
    raise EstimateError(
        "No such document.", nearest(name, known) or f"There are {', '.join(known)}.", f"document = {name!r}"
    )


def reproduce_file(path: Path) -> Reproduction:
    """Compute every figure of one document file."""
    source = read_yaml(path)
    text = validated(Published, source)
    descent.refuse(text, source.name)
    desk = Desk(text, source)
    judged = [_finding(desk, figure) for figure in text.figures]
    needs = tuple(need for task in text.takes for need in desk.needs(task))
    findings = tuple(_explained(text, figure, one, needs) for figure, one in zip(text.figures, judged, strict=True))
    supplied = {key: entry for name in ("", *text.runs) for key, entry in _supplied(text, name).items()}
    walk = descent.edges(text, supplied)
    origins = {
        key: tuple(sorted(descent.ancestors([key], walk) & text.claims.keys())) for key in (*supplied, *text.readings)
    }
    read = [_as_assumption(key, reading) for key, reading in text.readings.items()]
    seen = {one.name: one for one in (*read, *reversed(desk.assumptions))}
    return Reproduction(text.name, text.title, text.source, findings, tuple(seen.values()), origins, needs)


def _supplied(text: Published, name: str) -> dict[str, Mapping[str, Any]]:
    return descent.assumed(text, AskedFigure(label="", result=""), name)


def _as_assumption(key: str, reading: Reading) -> Assumption:
    """A reading as an entry of the list of assumptions."""
    return Assumption(key, " or ".join(str(one) for one in reading.among), "", reading.reason, reading.source)


@dataclass
class Desk:
    """One document with the estimates and blind predictions computed so far."""

    text: Published
    source: Source
    assumptions: list[Assumption] = field(default_factory=list)
    made: dict[str, Blind | None] = field(default_factory=dict)
    estimates: dict[str, Estimate] = field(default_factory=dict)

    def blind(self, data: dict[str, Any], settings: Mapping[str, Any]) -> Blind | None:
        """The blind prediction of a description, cached."""
        readings = {k: r for k, r in self.text.readings.items() if not descent.covered(k, settings)}
        key = json.dumps([data, sorted(readings)], default=str, sort_keys=True)
        if key not in self.made:
            self.made[key] = predict(data, readings, self.build, self.text.organisation)
        return self.made[key]

    def estimate(self, figure: AskedFigure, name: str) -> Estimate:
        """The estimate of a figure's run, cached."""
        data = described(self.text, figure, name, self.source)
        run = as_run(self.text, data, self.source)
        uncertain = dict(stated_ranges(self.text, figure, run))
        key = json.dumps([data, uncertain], default=str, sort_keys=True)
        if key not in self.estimates:
            self.estimates[key] = estimate(run, uncertain=uncertain, past=True)
        self.assumptions += self.estimates[key].assumptions
        return self.estimates[key]

    def build(self, data: Mapping[str, Any]) -> Run:
        """The run of a description."""
        return as_run(self.text, data, self.source)

    def needs(self, task: Any) -> list[Need]:
        """The values needed to match the figure of a task."""
        stated = self.text.claims[task.claim].measured(RESULTS[task.result].unit)
        data = laid_out(self.text, "", task.settings)
        if task.key == GOODPUT:
            blind = self.blind(data, task.settings)
            return [] if blind is None else list(goodput_needed(task, stated, blind))
        _, _, most = self.build(data).ranges().get(task.key, (0.0, 0.0, math.inf))
        for one in data["assumptions"].values():  # everything else stays at its central value: the answer is one number
            one.pop("low", None), one.pop("high", None)
        need = solve(task, stated, lambda value: self.blind(varied(data, task.key, value), task.settings))
        return [replace(need, most=most)]


def _finding(desk: Desk, figure: AskedFigure) -> Finding:
    """One figure, computed from the run and the claims that it may use, then judged."""
    text = desk.text
    claim = None if figure.claim is None else text.claims[figure.claim]
    unit = RESULTS[figure.result].unit if figure.result in RESULTS else ""
    origin = {one for name in (figure.run, figure.over or figure.run) for one in descent.depends_on(text, figure, name)}
    try:
        finding = _ratio(desk, figure) if figure.over else _one(desk, figure)
    except Contradiction as error:
        reason = " ".join(part for part in (error.problem, figure.note) if part)
        computed = error.value if figure.result == error.where else None
        finding = Finding(figure.label, None, unit, computed, None, None, None, None, reason, possible=False)
    chosen = {one for name in (figure.run, figure.over or figure.run) for one in descent.rests_on(text, figure, name)}
    finding = replace(
        finding, depends_on=tuple(sorted(origin)), headline=figure.headline, rests_on=tuple(sorted(chosen))
    )
    return judged(finding, *_stated(claim, finding.unit, unit))


def _stated(claim: StatedFigure | None, shown: str, unit: str) -> tuple[Spread | None, str]:
    """The value of a claim, and its wording if it is a range."""
    if claim is None:
        return None, ""
    return claim.measured(shown if shown in ("", TIMES) else unit), "" if claim.low is None else str(claim.value)


def _one(desk: Desk, figure: AskedFigure) -> Finding:
    """A figure of one run: predicted blind if its step has to be predicted, otherwise computed from the given claims."""
    data = described(desk.text, figure, figure.run, desk.source)
    run = as_run(desk.text, data, desk.source)
    unit = RESULTS[figure.result].unit if figure.result in RESULTS else ""
    if figure.result in PREDICTED and run.known.step_time is None and needs_sampling(run):
        if run.hardware.gpus is None and figure.result in (
            "wall_clock",
            "step_time",
        ):  # on an unstated number of GPUs
            return Finding(figure.label, None, unit, None, None, None, None, None, figure.note)
        blind = desk.blind(data, figure.settings)
        quantiles = None if blind is None else blind.quantiles(figure.result)
        if run.hardware.gpus is None and figure.result == "mfu":
            quantiles = None
        if quantiles is not None:
            low, value, high = quantiles
            return Finding(figure.label, None, unit, value, low, high, None, None, figure.note, basis="predicted")
    worked = desk.estimate(figure, figure.run)
    if figure.result not in worked.results:
        raise EstimateError(
            f"{figure.label!r} asks for {figure.result!r}.", nearest(figure.result, worked.results), "figures"
        )
    result = worked.results[figure.result]
    if result is None:
        reason = figure.note or "; ".join(worked.warnings)
        return Finding(figure.label, None, unit, None, None, None, None, None, reason)
    shown = FITS if isinstance(result.value, bool) else result.unit
    basis = "predicted" if figure.result in PREDICTED and not figure.given else "computed"
    edges = (result.low, result.high)
    return Finding(figure.label, None, shown, float(result.value), *edges, None, None, figure.note, basis=basis)


def _ratio(desk: Desk, figure: AskedFigure) -> Finding:
    """The ratio of two runs' results; its range assumes independent errors of both: sqrt(a^2 + b^2) in log."""
    above, below = (desk.estimate(figure, name).results.get(figure.result) for name in (figure.run, figure.over))
    if above is None or below is None:
        reason = figure.note or f"{figure.result} is not determined in both runs"
        return Finding(figure.label, None, TIMES, None, None, None, None, None, reason)
    value = float(above.value) / float(below.value)
    edges = [
        (math.log(float(one.value) / (one.low or one.value)), math.log((one.high or one.value) / float(one.value)))
        for one in (above, below)
    ]
    down, up = math.hypot(edges[0][0], edges[1][1]), math.hypot(edges[0][1], edges[1][0])
    low, high = (value * math.exp(-down), value * math.exp(up)) if down + up > 0 else (None, None)
    return Finding(figure.label, None, TIMES, value, low, high, None, None, figure.note, basis="predicted")


def _explained(text: Published, figure: AskedFigure, found: Finding, needs: tuple[Need, ...]) -> Finding:
    """Change the verdict of a headline figure from contradicted to not determined, if a plausible value of an input that the text does not
    state would match it."""
    own = [need for need in needs if figure.headline and need.claim == figure.claim and need.key != GOODPUT]
    if found.verdict == CONTRADICTED and found.possible and any(need.plausible for need in own):
        reason = f"outside by a factor of {found.outside:.2f}; what the text leaves open could bring it inside"
        return replace(found, verdict=NOT_DETERMINED, reason="; ".join(part for part in (reason, figure.note) if part))
    return found
