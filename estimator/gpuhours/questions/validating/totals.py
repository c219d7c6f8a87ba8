"""Whole runs: predicted GPU-hours against published ones, with each organisation left out of what was learned.

``--given`` sets how much of a row is used; hours, days, MFU, FLOPs, energy and cost never are. Each prediction is compared with
6 N D at 30 and at 40 % of the dense peak (for images, clips and encoder-decoders, with our model FLOPs instead of 6 N D).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import read_table_text
from gpuhours.questions.envelope import envelope
from gpuhours.questions.validating.beyond import APART, paces
from gpuhours.questions.validating.practice import concerned, practice_without
from gpuhours.questions.validating.remainders import Learned, store, weighted_quantile, without
from gpuhours.questions.validating.rows import Row
from gpuhours.questions.validating.shares import SharedPrediction, by_share
from gpuhours.questions.validating.totals_rows import (
    Given,
    described,
    organisation,
    published_amount,
    two_sided,
    unread,
)
from gpuhours.run.ensemble import Ensemble, ensemble
from gpuhours.run.evaluate import Outcome
from gpuhours.run.remainder import NOTHING
from gpuhours.run.typical import typical

NEEDED = ("gpu_hours",)
BASELINES = (0.30, 0.40)
MOST = 0.70
"""Share of the dense peak above which published figures must be contradictory: no sustained run reaches it."""
LEAST = 0.02
"""Share of the dense peak below which a number of samples without epochs must be the size of the data set, not the number seen: no
published run is that slow."""


ODD_UNITS = 0.001
"""Share of the dense peak below which a figure must be in other units than its column's: the slowest published run is at 2 %."""


@dataclass(frozen=True)
class Raw:
    """A row's prediction without a remainder, or the reason why there is none."""

    row: Row
    published: float | None
    found: Ensemble | None
    model_flops: float
    peak: float
    skipped_because: str | None

    without: Ensemble | None = None
    """The prediction with typical values and stack constants that exclude its organisation (``practice``), if they differ."""
    shared: SharedPrediction | None = None
    """The prediction from a usual share of the peak, on an accelerator whose kernels are not known."""

    @cached_property
    def organisation(self) -> str:
        """The organisation that trained it."""
        return organisation(self.row)

    @property
    def learnable(self) -> bool:
        """Whether it can be used to learn the remainder. It cannot if samples are given without epochs, or where the work is not counted
        whole: an encoder-decoder does not say how often a token is processed (T5's spans pass through one half, BART's texts through both),
        and the frozen autoencoder and text encoder in front of a diffusion transformer are left out."""
        if self.found is None or two_sided(self.row) or getattr(self.found.run.model, "kind", None) == "diffusion":
            return False
        counted = (self.row.positive("tokens_b") or self.row.positive("epochs")) is not None
        return counted or published_amount(self.row, getattr(self.found.run.model, "name", None)) is not None

    @property
    def traits(self) -> tuple[str, int, float] | None:
        """(kind, year, parameters) of a predicted run."""
        found = self.found or self.shared
        return None if found is None else (found.kind, found.year, found.params)

    @cached_property
    def log_hours(self) -> tuple[float, float, float]:
        """10th, 50th and 90th percentile of ln GPU-hours."""
        assert self.found is not None
        low, middle, high = np.quantile(np.log(self.found.gpu_time / HOUR), [0.1, 0.5, 0.9])
        return float(low), float(middle), float(high)

    @cached_property
    def nodes(self) -> float:
        """Number of nodes that it is assumed to run on."""
        assert self.found is not None
        cluster = self.found.outcome.resolved.cluster
        return 1.0 if cluster is None else float(np.max(cluster.nodes))

    @cached_property
    def residual(self) -> float:
        """ln published / predicted."""
        assert self.published is not None
        return float(np.log(self.published)) - self.log_hours[1]


@dataclass(frozen=True)
class JudgedTotals:
    """One row with its prediction."""

    raw: Raw
    predicted: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def error(self) -> float | None:
        """predicted / published - 1."""
        return None if self.predicted is None or not self.raw.published else self.predicted / self.raw.published - 1

    def baseline(self, share: float) -> float:
        """Error of the model's FLOPs at a given share of the dense peak."""
        assert self.raw.published is not None
        return self.raw.model_flops / (self.raw.peak * share * HOUR) / self.raw.published - 1

    def to_dict(self) -> dict[str, Any]:
        """The row of the JSON document."""
        raw = self.raw
        kind, year, _ = raw.traits or (None, None, None)
        return {
            "id": raw.row.id, "published": raw.published, "predicted": self.predicted, "low": self.low,
            "high": self.high, "error": self.error, "skipped_because": raw.skipped_because,
            "organisation": raw.organisation, "left_out_of_practice": raw.without is not None,
            "kind": kind, "year": year,
        }  # fmt: skip


@dataclass(frozen=True)
class TotalsReport:
    """All rows of a table, scored."""

    path: str
    given: Given
    judged: tuple[JudgedTotals, ...]

    @property
    def unread(self) -> tuple[str, ...]:
        """Columns with content that are not known."""
        return unread(one.raw.row for one in self.judged)

    def summary(self) -> dict[str, Any]:
        """Summary over all rows."""
        return summary(self.judged)

    def by(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Summaries by year, size, scale and kind."""
        summaries: dict[str, dict[str, dict[str, Any]]] = {}
        for name, of in GROUPS.items():
            groups: dict[str, list[JudgedTotals]] = {}
            for one in self.judged:
                if one.error is not None:
                    groups.setdefault(of(one), []).append(one)
            summaries[name] = {value: summary(group) for value, group in sorted(groups.items())}
        return summaries

    def to_dict(self) -> dict[str, Any]:
        """The JSON document."""
        content = {
            "totals": self.path, "given": self.given, "leave_out": "organisation",
            "summary": self.summary(), "by": self.by(), "columns_not_read": list(self.unread),
            "rows": [one.to_dict() for one in self.judged],
        }  # fmt: skip
        return envelope("validate", content)


def published_totals() -> Path:
    """The table of whole runs included in gpuhours."""
    return Path(str(files("gpuhours"))) / "published" / "run_totals.csv"


def validate_totals(path: Path | None = None, given: Given = "usual") -> TotalsReport:
    """Predict every row of a table of whole runs that has what a prediction needs."""
    source = published_totals() if path is None else path
    raws = [raw_prediction(row, given) for row in read_totals(source)]
    own = [seen_run(raw) for raw in raws if raw.learnable] if path is None else None
    learned = {out: without(out, own) for out in {raw.organisation for raw in raws}}
    return TotalsReport(str(source), given, tuple(judged(raw, learned[raw.organisation]) for raw in raws))


def judged(raw: Raw, learned: Learned) -> JudgedTotals:
    """A row predicted with the remainder learned from other organisations."""
    if raw.shared is not None:
        return JudgedTotals(raw, raw.shared.hours, raw.shared.low, raw.shared.high)
    if raw.found is None:
        return JudgedTotals(raw)
    unseen = raw.without or raw.found
    rest = learned.remainder(unseen.kind, unseen.year, unseen.params)
    drawn = unseen.gpu_time * rest.factors(unseen.gpu_time, unseen.at["remainder"], raw.nodes) / HOUR
    low, middle, high = (float(value) for value in np.quantile(drawn, [0.1, 0.5, 0.9]))
    return JudgedTotals(raw, middle, low, high)


def read_totals(path: Path) -> tuple[Row, ...]:
    """Every row of a table of totals; lines that begin with # are comments."""
    text = read_table_text(path)
    reader = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    try:
        missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
        if missing:
            hint = (
                "The columns of published/run_totals.csv: id, model, year, params_b, tokens_b, gpu, gpus, gpu_hours ..."
            )
            raise EstimateError(f"has no column {missing[0]!r}.", hint, str(path))
        return tuple(
            Row({k: v for k, v in cells.items() if isinstance(v, str)}, line) for line, cells in enumerate(reader, 2)
        )
    except csv.Error as error:
        raise EstimateError(f"is not a CSV file: {error}.", "", str(path)) from None


def raw_prediction(row: Row, given: Given) -> Raw:
    """A row's sample without a remainder, or the reason why it cannot be predicted."""
    published = row.positive("gpu_hours")
    try:
        if published is None:
            raise EstimateError("no published GPU-hours")
        unusable = [
            word
            for word in ("finetune", "rl", "throughput")
            if word in (row.word("modality") or "").lower().split("(")[-1]
        ]
        if unusable:
            raise EstimateError(f"is not a whole training run: {row.word('modality')}")
        run = described(row, given)
        found = ensemble(run, NOTHING) or by_share(run)
        if found is None:
            raise EstimateError("no layout consistent with it fits the accelerators' memory")
    except EstimateError as error:
        return Raw(row, published, None, 0.0, 0.0, " ".join(str(error).split("\n")))
    flops, peak = _plain_flops(row, found.outcome), found.outcome.resolved.peak
    reason = contradiction(row, flops / (published * HOUR * peak))
    if reason:
        return Raw(row, published, None, 0.0, 0.0, reason)
    if isinstance(found, SharedPrediction):
        return Raw(row, published, None, flops, peak, None, shared=found)
    practice = practice_without(organisation(row))
    unseen = ensemble(run, NOTHING, practice=practice) if concerned(run, practice) else None
    return Raw(row, published, found, flops, peak, None, unseen)


def contradiction(row: Row, share: float) -> str | None:
    """How a row's own figures contradict each other, with ``share`` the MFU that its hours imply; None if they do not."""
    stated = (row.positive("mfu_pct") or 0.0) / 100
    unsure = row.positive("tokens_b") is None and row.positive("epochs") is None
    if share > MOST:
        return f"published figures contradict each other: {share:.0%} of the dense peak implied by the hours"
    if share < ODD_UNITS and not unsure:
        return f"published figures contradict each other: {share:.2g} of the dense peak implied by the hours; are the units right?"
    if stated > APART * share and row.positive("tokens_b") is not None:
        return f"published figures contradict each other: {share:.0%} of the dense peak implied by the hours, {stated:.0%} MFU stated"
    if share < LEAST and unsure:
        return f"samples without epochs: if they were all that was seen, the hours would imply {share:.1%} of the dense peak"
    return None


def _plain_flops(row: Row, found: Outcome) -> float:
    """6 N D with N active parameters; our count of model FLOPs if tokens are not given or the model is an encoder-decoder."""
    size, tokens = row.positive("active_params_b") or row.positive("params_b"), row.positive("tokens_b")
    if size is not None and tokens is not None and not two_sided(row):
        return 6 * size * tokens * 1e18
    return float(found.value("model_flops"))


def seen_run(raw: Raw) -> dict[str, Any]:
    """What is stored of a predicted run to learn remainders from."""
    assert raw.found is not None
    low, middle, high = raw.log_hours
    return {
        "id": raw.row.id, "organisation": raw.organisation, "kind": raw.found.kind, "year": raw.found.year,
        "params": raw.found.params, "residual": round(raw.residual, 4), "nodes": raw.nodes,
        "hours": round(float(np.exp(middle)), 1),
        "below": round(middle - low, 4), "above": round(high - middle, 4),
    }  # fmt: skip


def update_remainder(found: TotalsReport) -> None:
    """Store the results of validating our own table."""
    raws = [one.raw for one in found.judged]
    store([seen_run(raw) for raw in raws if raw.learnable], paces(raw.row for raw in raws), fleets(raws))


def fleets(raws: Iterable[Raw]) -> dict[str, float]:
    """Organisation left out -> median number of accelerators of the other organisations' runs, scaled to ``UsualGpus.at`` GPU-hours. One
    organisation's runs of one kind have a total weight of 1."""
    usual = typical().accelerators
    said: list[tuple[str, str, float]] = []
    for raw in raws:
        gpus = raw.row.positive("gpus")
        if raw.found is not None and gpus is not None:
            hours = raw.model_flops / raw.peak * 3 / HOUR
            said.append((raw.organisation, raw.found.kind, gpus / (hours / usual.at) ** usual.grows))
    fitted = {}
    for out in sorted({raw.organisation for raw in raws if raw.found}):
        kept = [one for one in said if one[0] != out]
        alike = [(who, kind) for who, kind, _ in kept]
        fitted[out] = weighted_quantile(
            np.array([one[2] for one in kept]), np.array([1 / alike.count(one) for one in alike]), 0.5
        )
    return {out: round(gpus, 1) for out, gpus in fitted.items()}


def summary(some: Iterable[JudgedTotals]) -> dict[str, Any]:
    """Error statistics over some rows; None where there are no rows."""
    some = list(some)
    predicted = [one for one in some if one.error is not None]
    errors = np.array([one.error for one in predicted], float)
    inside = [one.low <= (one.raw.published or 0.0) <= one.high for one in predicted if one.low and one.high]
    widths = [one.high / one.low for one in predicted if one.low and one.high]
    figures: dict[str, Any] = {"rows": len(some), "predicted": len(predicted)} | measures(errors)
    figures["coverage_80"] = float(np.mean(inside)) if inside else None
    figures["median_width"] = float(np.median(widths)) if widths else None
    for share in BASELINES:
        figures[f"baseline_{share * 100:.0f}"] = measures(np.array([one.baseline(share) for one in predicted], float))
    return figures


def measures(errors: Any) -> dict[str, float | None]:
    """Mean and median absolute error, and the bias: geometric mean of predicted / published, minus 1."""
    if not len(errors):
        return {"mape": None, "median_ape": None, "bias": None}
    return {
        "mape": float(np.mean(np.abs(errors))), "median_ape": float(np.median(np.abs(errors))),
        "bias": float(np.exp(np.mean(np.log1p(errors))) - 1),
    }  # fmt: skip


def _size(one: JudgedTotals) -> str:
    assert one.raw.traits is not None
    billions = one.raw.traits[2] / 1e9
    return next((f"{label} parameters" for most, label in SIZES if billions < most), "100 B and more parameters")


def _scale(one: JudgedTotals) -> str:
    gpus = one.raw.row.positive("gpus")
    if gpus is None:
        return "GPUs not stated"
    return next((f"{label} GPUs" for most, label in SCALES if gpus <= most), "more than 1,024 GPUs")


SIZES = ((2, "up to 2 B"), (10, "2 to 10 B"), (100, "10 to 100 B"))
SCALES = ((32, "up to 32"), (300, "33 to 300"), (1024, "301 to 1,024"))
GROUPS: Mapping[str, Callable[[JudgedTotals], str]] = {
    "year": lambda one: str(one.raw.traits[1] if one.raw.traits else ""),
    "size": _size,
    "scale": _scale,
    "kind": lambda one: str(one.raw.traits[0] if one.raw.traits else ""),
}
"""Groupings of the errors."""
