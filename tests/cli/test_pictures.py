"""Plots: readable tick labels, axes that do not extend to impossible values, ranges on bars."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from gpuhours.questions.sweeping import sweep
from gpuhours.run.spec import load

pytestmark = pytest.mark.skipif(not (find_spec("altair") and find_spec("vl_convert")), reason="needs the extra plot")
RUN = Path(__file__).parents[1] / "runs" / "gpt-22b.yaml"


def drawn(vary: dict[str, Any], **kept: Any) -> str:
    """The picture as SVG."""
    import vl_convert

    from gpuhours_cli.render.plot import chart

    return str(vl_convert.vegalite_to_svg(json.dumps(chart(sweep(load(RUN), vary, **kept)).to_dict())))


def test_ticks_are_whole_numbers() -> None:
    svg = drawn({"training.global_batch": [64, 192, 256]})
    assert ">192<" in svg
    assert ">256<" in svg
    assert re.search(r">[\d.]+e\+", svg) is None


def test_no_axis_of_a_front_starts_below_zero() -> None:
    svg = drawn({"hardware.gpus": [64, 128, 256, 512, 1024]}, pareto=["wall_clock", "cost"])
    assert re.search(r">[−-]\d", svg) is None


def test_bars_show_their_range() -> None:
    svg = drawn({"hardware.gpus": [64, 128, 256]}, minimise="gpu_hours")
    assert "line: 80 % range" in svg
    assert svg.count('aria-roledescription="rule mark"') + svg.count("mark-rule") >= 1
