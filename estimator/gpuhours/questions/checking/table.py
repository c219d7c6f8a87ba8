"""A table of runs, one a row: which cannot be, and why. Columns as in ``published/run_totals.csv``.

    MFU = k N D / (GPU-hours x 3600 x peak),    k = 6: forward 2, backward 4 FLOP per active parameter and token

or published FLOPs over the same denominator. Above 100 % no run can be; above 70 % none sustained is known, so a row says what is
counted wrongly. The columns are evaluated as arrays; words of the row (notes, modality, recompute) decide which causes are tested.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.checking.accelerators import find_accelerator
from gpuhours.questions.envelope import envelope

IMPOSSIBLE = 1.0
IMPLAUSIBLE = 0.70
USUAL = 0.55
"""What well-tuned dense runs reach: nothing in the table without a flag is above 0.7, and nine in ten are below this."""
HOURS_APART = 1.15
NEEDED = ("id",)
PARAMETERS, ACTIVE, TRAINABLE = "params_b", "active_params_b", "trainable_params_b"


@dataclass(frozen=True)
class Row:
    """One run: its implied MFU, the verdict and the reasons."""

    id: str
    line: int
    implied_mfu: float | None
    by_flops: float | None
    """From published FLOPs where the table has them."""
    verdict: str
    """impossible, implausible, conflicting, consistent or underdetermined."""
    reasons: tuple[str, ...]
    causes: tuple[tuple[str, float], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """One entry of ``rows``."""
        return {
            "id": self.id, "line": self.line, "implied_mfu": self.implied_mfu, "implied_mfu_from_flops": self.by_flops,
            "verdict": self.verdict, "reasons": list(self.reasons),
            "likely_causes": [{"cause": cause, "factor": factor} for cause, factor in self.causes],
        }  # fmt: skip


@dataclass(frozen=True)
class TableCheck:
    """Every run of a table."""

    name: str
    rows: tuple[Row, ...]

    def count(self, verdict: str) -> int:
        """How many rows have a verdict."""
        return sum(row.verdict == verdict for row in self.rows)

    @property
    def verdict(self) -> str:
        """Contradicted where any row cannot be."""
        return "contradicted" if self.count("impossible") else "consistent"

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``gpuhours check runs.csv``."""
        kinds = ("impossible", "implausible", "conflicting", "consistent", "underdetermined")
        content = {
            "name": self.name, "verdict": self.verdict,
            "summary": {"rows": len(self.rows), **{kind: self.count(kind) for kind in kinds}},
            "rows": [row.to_dict() for row in self.rows],
        }  # fmt: skip
        return envelope("check", content)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file; lines that begin with # are comments."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise EstimateError(f"cannot be read: {error.strerror or error}", where=str(path)) from None
    except UnicodeDecodeError:
        raise EstimateError("is not a text file", "Tables are UTF-8 CSV.", str(path)) from None
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    columns = set(rows[0]) if rows else set()
    missing = [name for name in NEEDED if name not in columns]
    if missing or not columns & {PARAMETERS, "train_flops", "gpu_hours", "gpus"}:
        wanted = "id, params_b, tokens_b, gpu, gpus, days, gpu_hours, mfu_pct, train_flops"
        raise EstimateError("has not the columns of a table of runs", f"Expected some of: {wanted}.", str(path))
    return rows


def check_table(rows: list[dict[str, str]], name: str) -> TableCheck:
    """Implied MFU of all rows at once, then verdict and reasons row by row."""
    column = {key: _column(rows, key) for key in (
        PARAMETERS, ACTIVE, "tokens_b", "train_flops", "gpus", "days", "gpu_hours", "mfu_pct", "tflops_per_gpu"
    )}  # fmt: skip
    peak = np.array([_peak(row.get("gpu", "")) for row in rows])
    size = np.where(np.isnan(column[ACTIVE]), column[PARAMETERS], column[ACTIVE])
    product = column["gpus"] * column["days"] * 24
    hours = np.where(np.isnan(column["gpu_hours"]), product, column["gpu_hours"])
    budget = hours * 3600 * peak
    implied = 6 * size * 1e9 * column["tokens_b"] * 1e9 / budget
    by_flops = column["train_flops"] / budget
    apart = column["gpu_hours"] / product
    stated = np.where(np.isnan(column["mfu_pct"]), column["tflops_per_gpu"] * 1e12 / peak, column["mfu_pct"] / 100)
    judged = [
        _row(row, line, *(None if math.isnan(v) else float(v) for v in values))
        for line, (row, values) in enumerate(
            zip(rows, np.stack([implied, by_flops, apart, stated], axis=1), strict=True), 2
        )
    ]  # fmt: skip
    return TableCheck(name, tuple(judged))


def _column(rows: list[dict[str, str]], key: str) -> NDArray[np.float64]:
    return np.array([_number(row.get(key)) for row in rows])


def _number(text: str | None) -> float:
    try:
        return float(text) if text else math.nan
    except ValueError:
        return math.nan


def _peak(gpu: str) -> float:
    named = find_accelerator(gpu) if gpu else None
    return named.peak if named else math.nan


def _row(
    row: Mapping[str, str],
    line: int,
    implied: float | None,
    by_flops: float | None,
    apart: float | None,
    stated: float | None,
) -> Row:
    reasons: list[str] = []
    causes: list[tuple[str, float]] = []
    verdict = "underdetermined" if implied is None and by_flops is None else "consistent"
    worst = max((value for value in (implied, by_flops) if value is not None), default=None)
    if worst is not None and worst > IMPLAUSIBLE:
        verdict = "impossible" if worst > IMPOSSIBLE else "implausible"
        what = "6 x parameters x tokens" if worst == implied else "the published FLOPs"
        reasons.append(f"{what} in these hours is {100 * worst:.0f} % of the dense peak")
        causes = _causes(row, worst)
        reasons += [text for text, _ in causes]
    elif implied is not None and stated is not None and not 1 / 1.25 < stated / implied < 1.25:
        verdict = "conflicting"
        reasons.append(f"stated {100 * stated:.1f} % of peak, 6 x parameters x tokens gives {100 * implied:.1f} %")
        cause = _utilisation_cause(row, stated / implied)
        causes.append((cause, stated / implied))
        reasons.append(cause)
    if apart is not None and not 1 / HOURS_APART < apart < HOURS_APART:
        verdict = "conflicting" if verdict in ("consistent", "underdetermined") else verdict
        reasons.append(f"published GPU-hours are {apart:.2f} of GPUs x days x 24")
    return Row(row["id"], line, implied, by_flops, verdict, tuple(reasons), tuple(causes))


def _causes(row: Mapping[str, str], implied: float) -> list[tuple[str, float]]:
    """Known reasons for too many FLOPs in too few hours that the row's own words support, with their factor."""
    words = " ".join(
        row.get(key) or ""
        for key in ("model", "modality", "parallelism", "recompute", "kind", "notes", "derived_fields")
    ).lower()
    found: list[tuple[str, float]] = []
    excess = implied / USUAL

    def said(*names: str) -> bool:
        return any(name in words for name in names)

    if said("encoder-decoder"):
        found.append(("encoder-decoder: each token passes about half of the parameters, 6ND counts both halves", 2.0))
    if said("lora", "low-rank", "adapter"):
        found.append(("adapters: no weight gradients, 4ND instead of 6ND", 1.5))
    if said("frozen"):
        found.append(("frozen parts cost 2 to 4 FLOP per parameter and token, not 6", 1.5))
    if said("growth", "grown", "smaller sizes", "progressive size"):
        found.append(("the model grew: most tokens were seen at smaller sizes", max(excess, 1.0)))
    if said("sequence parallel", "sequence-parallel"):
        found.append(("sequence-parallel ranks read the same sequence: tokens counted once per rank", max(excess, 1.0)))
    if said("image", "video") and not said("diffusion", "generation"):
        found.append(
            (
                "not all tokens pass the whole model (image or video tokens counted before pooling)",
                max(excess, 1.0),
            )
        )
    if said("max steps", "maximum steps", "max_steps"):
        found.append(("tokens are the schedule's maximum, not those seen", max(excess, 1.0)))
    if said("moe", "mixture") and not row.get(ACTIVE):
        found.append(("total parameters used for active ones", max(excess, 1.0)))
    hours, gpus = _number(row.get("gpu_hours")), _number(row.get("gpus"))
    if (1.4 < excess <= 2.5 or said("ms/step", "ms per step", "steps x")) and not found and not math.isnan(gpus):
        found.append(
            (
                "the hours are short of a full run: a step time or a price that other figures of the same machine exclude",
                excess,
            )
        )
    if not found and not math.isnan(hours) and hours == round(hours, -2):
        found.append(("hours or tokens are rounded, or the tokens include a base model's", excess))
    return found or [("no known cause", excess)]


def _utilisation_cause(row: Mapping[str, str], factor: float) -> str:
    """Why a stated utilisation differs from 6ND over hours and peak."""
    words = " ".join(row.get(key) or "" for key in ("recompute", "kind", "notes")).lower()
    recomputed = any(
        word in words for word in ("recompute", "checkpointing", "hfu", "hw-flops", "8nd", "full", "counts it")
    )
    if 1.15 < factor < 1.6 and recomputed:
        return "the stated rate counts recomputed activations (8ND over 6ND)"
    if 1.8 < factor < 2.2:
        return "factor 2: multiply-adds, or the hours of two such runs"
    if factor > 1:
        return "the hours include stops, evaluation or other runs; or the rate is that of the best steps"
    if 0.45 < factor < 0.55:
        return "the stated rate divides by the peak with sparsity"
    return "the stated rate leaves out work that 6ND counts, or the tokens are too many"
