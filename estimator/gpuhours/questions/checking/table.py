"""Check a table with one run per row in the same way as a text: each cell is a claim, and least squares reconciles the claims of a row.

Columns are named as in ``published/run_totals.csv``. Figures and settings are read (sizes, hours, the accelerator, whether activations
are recomputed); notes and other remarks are not. A cell that the table marks as computed from other columns (``derived_fields``) is not
a separate claim as long as it agrees with them.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gpuhours.inputs.durations import DAY
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import read_table_text
from gpuhours.inputs.yaml_text import NO_NUMBER
from gpuhours.questions.checking.accelerators import Named, find_accelerator
from gpuhours.questions.checking.claim import Assumed, Claim, Document, Fact
from gpuhours.questions.checking.outcome import Check
from gpuhours.questions.checking.precision import Z, spread
from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.questions.envelope import envelope
from gpuhours.questions.verdicts import CONSISTENT, CONTRADICTED, NOT_DETERMINED, of_whole

NEEDED = "id"
COLUMNS: Mapping[str, tuple[str, float]] = {
    "params_b": ("parameters", 1e9), "active_params_b": ("active_parameters", 1e9),
    "trainable_params_b": ("trainable_parameters", 1e9), "tokens_b": ("tokens", 1e9), "train_flops": ("model_flops", 1.0),
    "seq_len": ("seq_len", 1.0), "global_batch": ("global_batch", 1.0), "epochs": ("epochs", 1.0), "steps": ("steps", 1.0),
    "frames_per_sample": ("frames_per_clip", 1.0), "fps": ("frame_rate", 1.0), "tokens_per_frame": ("tokens_per_frame", 1.0),
    "gpus": ("gpus", 1.0), "days": ("wall_clock", DAY), "gpu_hours": ("gpu_hours", 1.0), "mfu_pct": ("mfu", 0.01),
    "hfu_pct": ("hfu", 0.01), "tflops_per_gpu": ("flops_per_second_per_gpu", 1e12), "energy_mwh": ("energy", 1e6),
    "power_w": ("gpu_power", 1.0), "pue": ("pue", 1.0), "tco2e": ("carbon", 1.0), "cost_usd": ("cost", 1.0),
    "price_usd": ("price", 1.0),
}  # fmt: skip
"""Column -> the quantity it states, and the factor from the unit of the column to that of the quantity."""
ADAPTERS = 0.1
"""Share of trained parameters below which the run trains adapters, so that the other weights have no gradients."""
AS_COMPUTED = 0.02
"""Relative tolerance within which a derived cell agrees with the columns it is computed from."""

WITH_TEXT = 1.5
"""Typical ratio of the tokens of a sample to the tokens of its frames."""
ABOUT_TOKENS = math.log(3.0) / Z
"""Relative s.d. of the estimated tokens: four in five runs lie within a factor of 3."""


@dataclass(frozen=True)
class TableCheck:
    """The checks of all runs of a table."""

    name: str
    runs: tuple[Check, ...]

    def count(self, verdict: str) -> int:
        """Return the number of runs with this verdict."""
        return sum(run.verdict == verdict for run in self.runs)

    @property
    def verdict(self) -> str:
        """Combined verdict of the runs: contradicted if any run is."""
        return of_whole(run.verdict for run in self.runs)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``gpuhours check runs.csv``."""
        kinds = (CONSISTENT, CONTRADICTED, NOT_DETERMINED)
        content = {
            "name": self.name, "verdict": self.verdict,
            "summary": {"runs": len(self.runs), **{kind: self.count(kind) for kind in kinds}},
            "runs": [run.content() for run in self.runs],
        }  # fmt: skip
        return envelope("check", content)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file, without comment lines (#); raise ``EstimateError`` if it is not a table of runs."""
    text = read_table_text(path)
    try:
        rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    except csv.Error as error:
        raise EstimateError(f"is not a CSV file: {error}", where=str(path)) from None
    columns = set(rows[0]) if rows else set()
    if NEEDED not in columns or not columns & COLUMNS.keys():
        wanted = "id, params_b, tokens_b, gpu, gpus, days, gpu_hours, mfu_pct, train_flops"
        raise EstimateError("lacks the columns of a table of runs", f"Expected some of: {wanted}.", str(path))
    return rows


def documents(rows: Iterable[Mapping[str, str]]) -> Iterator[Document]:
    """Yield one document per row, with the row's claims, facts and assumptions."""
    chips: dict[str, Named | None] = {}
    for line, row in enumerate(rows, 2):
        derived = _computed_from_neighbours(row)
        claims = tuple(
            claim for column in COLUMNS if column not in derived and (claim := _claim(row, column, line)) is not None
        )
        name = _word(row, "id") or f"row {line}"
        yield Document(name, claims, tuple(_facts(row, line, chips)), assumed=tuple(_tokens_of_samples(row)))


def _tokens_of_samples(row: Mapping[str, str]) -> Iterator[Assumed]:
    """Yield an estimate of tokens for a row that gives samples, epochs and tokens per frame but no tokens.

    The estimate is their product (times frames per sample) plus half as much text, within a factor of 3. This is wide enough for
    masked patches, crops and captions of any length, but still exposes a size or hours that are wrong by a factor of 1000.
    """
    names = ("samples_m", "epochs", "tokens_per_frame")
    samples, epochs, each = (_number(row.get(name)) for name in names)
    if samples and epochs and each and not _number(row.get("tokens_b")):
        frames = _number(row.get("frames_per_sample")) or 1.0
        reason = "samples x epochs x frames x tokens per frame, and half as much text"
        yield Assumed("tokens", WITH_TEXT * samples * 1e6 * epochs * frames * each, ABOUT_TOKENS, reason)


def _claim(row: Mapping[str, str], column: str, line: int) -> Claim | None:
    """Return one cell as a claim; None if it is empty, not a number, or not positive."""
    text = (row.get(column) or "").strip()
    name, factor = COLUMNS[column]
    number = _number(text)
    quantity = QUANTITIES[name]
    if number is None or number <= 0:
        return None
    value = number * factor
    how_exact = spread(
        value, text, exact=quantity.exact, duration=name == "wall_clock", nominal=name in ("parameters", "active_parameters")
    )  # fmt: skip
    return Claim(name, value, how_exact, text, f"{column} {text}", f"row {line}", "its column")


def _word(row: Mapping[str, str], column: str) -> str:
    """Return the text of a cell; empty if the cell holds a marker for a missing value, as programs write it."""
    text = (row.get(column) or "").strip()
    return "" if NO_NUMBER.fullmatch(text) else text


SMALLEST, LARGEST = 1e-12, 1e40


def _number(text: str | None) -> float | None:
    """Return the number in a cell; None if there is none or if its size is outside ``SMALLEST`` to ``LARGEST`` (zero is kept)."""
    try:
        number = float((text or "").replace(",", ""))
    except ValueError:
        return None
    return number if number == 0 or SMALLEST < abs(number) < LARGEST else None


def _facts(row: Mapping[str, str], line: int, chips: dict[str, Named | None]) -> Iterator[Fact]:
    """Yield the facts of a row: accelerator, country, recomputation, and whether only adapters are trained.

    ``chips`` caches the accelerators looked up so far, keyed by the text of the cell.
    """
    place = f"row {line}"
    gpu = _word(row, "gpu")
    if gpu and gpu not in chips:
        chips[gpu] = find_accelerator(gpu)
    named = chips[gpu] if gpu else None
    if gpu:
        yield Fact("accelerator", gpu if named is None else named.profile or named.name, gpu, place)
    if country := _word(row, "country"):
        yield Fact("country", country, country, place)
    words = (row.get("recompute") or "").lower()
    if words:
        kind = "selective" if "selective" in words else "none" if words.startswith(("no", "false")) else "full"
        yield Fact("recompute", kind, words, place)
    trained, held = _number(row.get("trainable_params_b")), _number(row.get("params_b"))
    if trained and held and trained < ADAPTERS * held:
        yield Fact("trainable", "adapters", f"trainable_params_b {trained:g} of params_b {held:g}", place)


def _computed_from_neighbours(row: Mapping[str, str]) -> frozenset[str]:
    """Return the columns that ``derived_fields`` marks as computed from other columns and that agree with those columns.

    Covers GPU-hours and days, each computed from the other and the GPUs, and FLOPs, computed from 6 N D or with no equation given.
    """
    entries = _entries(row)
    computed_columns = set()
    hours, gpus, days = (_number(row.get(column)) for column in ("gpu_hours", "gpus", "days"))
    for column in ("gpu_hours", "days"):
        formula = entries.get(column)
        if formula is None or re.sub(r"gpu_hours|gpus|days|24|[*/ ]", "", formula):
            continue
        computed = gpus * days * 24 if gpus and days else None
        if hours and computed and 0 < hours / computed < math.inf and abs(math.log(hours / computed)) < AS_COMPUTED:
            computed_columns.add(column)
    if entries.get("train_flops") is not None:
        flops, tokens = _number(row.get("train_flops")), _number(row.get("tokens_b"))
        size = _number(row.get("active_params_b")) or _number(row.get("params_b"))
        counted = 6e18 * size * tokens if size and tokens else 0.0
        if not (flops and counted) or (0 < flops / counted < math.inf and abs(math.log(flops / counted)) < AS_COMPUTED):
            computed_columns.add("train_flops")
    return frozenset(computed_columns)


def _entries(row: Mapping[str, str]) -> dict[str, str]:
    """Parse ``derived_fields``, such as ``gpu_hours=gpus*days*24; train_flops``, into column -> equation (empty if none is given)."""
    parts = (entry.strip().partition("=") for entry in (row.get("derived_fields") or "").split(";"))
    return {name.strip(): formula for name, _, formula in parts if name.strip()}
