"""``gpuhours.estimate`` for callers: accepts a run, a file, a mapping, or keyword shortcuts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpuhours.questions.estimating.estimates import Estimate
from gpuhours.questions.estimating.estimating import estimate as work_out
from gpuhours.run.shortcuts import run_of
from gpuhours.run.spec import Run


def estimate(
    run: Run | Path | str | Mapping[str, Any] | None = None,
    /,
    *,
    uncertain: Mapping[str, tuple[float, float, float]] | None = None,
    **shortcuts: Any,
) -> Estimate:
    """Estimate one run: ``estimate("run.yaml")``, ``estimate({...})``, ``estimate(model="llama-3-8b", tokens="1T", gpu="h100-sxm-80gb")``.

    ``shortcuts`` are the options of ``gpuhours estimate`` and override the file; ``uncertain`` adds ranges (low, value, high) at keys.
    """
    return work_out(run_of(run, shortcuts), uncertain)
