"""Score rows of a table with a site's calibration (``gpuhours validate --runs FILE.csv --site site.yaml``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.validating.case import Case, case_of
from gpuhours.questions.validating.prediction import Prediction
from gpuhours.questions.validating.rows import Row
from gpuhours.run.site import Site, StackCalibration, read_site, stack_of


def site_of(path: Path | str | None, runs: Path | str | None) -> Site | None:
    """The site to score rows with, or None; raises ``EstimateError`` if ``runs`` is not the user's own table."""
    if path is None:
        return None
    if runs is None:
        raise EstimateError(
            "The included runs were not measured at your site.",
            "Name a table of runs that were: --runs FILE.csv.",
            "--site",
        )
    if Path(runs).suffix.lower() != ".csv":
        raise EstimateError(
            "A file of runs names its own site.",
            "Write `site: site.yaml` under its `run:`, of all rows or of one.",
            "--site",
        )
    return read_site(path)


def at_site(
    rows: Sequence[Row], cases: Sequence[Case | str], site: Site
) -> list[tuple[Case | str, StackCalibration | None]]:
    """Each row's case with the stack and network that the site's calibration chose (unchanged if it does not cover the row's stack), and
    the calibration, or None if it does not apply to the row's accelerator and kind."""
    placed: list[tuple[Case | str, StackCalibration | None]] = []
    for row, case in zip(rows, cases, strict=True):
        calibration = stack_of(site, case.software.name) if isinstance(case, Case) else None
        if calibration is None or not isinstance(case, Case):
            placed.append((case, None))
            continue
        changed = calibration.network is not None or calibration.software != case.software.name
        joined = row if calibration.network is None else row.over(calibration.network)
        there = case_of(joined, "", calibration.software) if changed else case
        speaks = isinstance(there, Case) and calibration.applies_to(
            calibration.software, there.traits.card, there.traits.kind
        )
        placed.append((there, calibration if speaks else None))
    return placed


def at_pace(found: Prediction, calibration: StackCalibration | None) -> Prediction:
    """A prediction with its step time (s) and parts multiplied by the site's factor; unchanged if there is no calibration or no step."""
    if calibration is None or found.time is None:
        return found
    parts = {name: seconds * calibration.factor for name, seconds in found.parts.items()}
    return replace(found, time=found.time * calibration.factor, parts=parts)
