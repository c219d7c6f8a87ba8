"""The guide's table of frames, resolution and bridge: computed here and compared with the guide.

``GPUHOURS_WRITE=1 pytest tests/questions/estimating/test_video_table.py`` writes it anew.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import gpuhours
from gpuhours.run.spec import from_dict

GUIDE = Path(__file__).parents[3] / ".github" / "docs" / "pages" / "guide.md"
HEAD = "| frames | pixels | bridge | tokens | FLOPs | step | against 1 frame |"
BRIDGES: dict[str, dict[str, Any]] = {
    "every patch": {"kind": "mlp"},
    "2 x 2 merged": {"kind": "mlp", "downsample": 2},
    "64 queries a clip": {"kind": "resampler", "queries": 64},
    "cross-attention": {"kind": "cross-attention", "every": 4},
}
CASES = [(224, bridge) for bridge in BRIDGES] + [(336, "every patch")]
FRAMES = {1: 16, 10: 4, 100: 1}
"""Frames per clip, and the samples per micro-batch at that number of frames."""


@cache
def worked(frames: int, resolution: int, bridge: str) -> gpuhours.Estimate:
    """Estimate a 7B language model trained behind a frozen ViT-L/14 on 64 H100, 256 clips per step with 256 text tokens each."""
    return gpuhours.estimate(
        from_dict(
            {
                "model": {
                    "vision": {"name": "vit-l-14", "trainable": "frozen"},
                    "bridge": BRIDGES[bridge],
                    "language": "qwen2-7b",
                },
                "data": {"frames": frames, "resolution": resolution, "text_tokens": 256, "samples": 1e6},
                "training": {"global_batch": 256, "dtype": "bf16"},
                "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 64},
                "layout": {
                    "tensor": 4,
                    "pipeline": 1,
                    "sharding": "zero1",
                    "recompute": "full",
                    "vision": "replicated",
                    "microbatch": FRAMES[frames],
                },
                "software": "megatron-core",
                "known": {"goodput": 1.0},
            }
        )
    )


def value(found: gpuhours.Estimate, name: str) -> float:
    """One result that must be there."""
    result = found.results[name]
    assert result is not None
    return float(result.value)


def row(frames: int, resolution: int, bridge: str) -> str:
    """Return one line: tokens and FLOPs per sample, the step time, and its ratio to the step with one frame."""
    found, one = worked(frames, resolution, bridge), worked(1, resolution, bridge)
    tokens, seconds = value(found, "tokens") / 1e6, value(found, "step_time")
    flops = value(found, "model_flops_per_step") / 256
    times = seconds / value(one, "step_time")
    cells = (
        frames,
        resolution,
        bridge,
        f"{tokens:,.0f}",
        f"{flops / 1e12:,.0f} T",
        f"{seconds:.2f} s",
        f"{times:.1f} x",
    )
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def table() -> str:
    """The whole table."""
    lines = [row(frames, resolution, bridge) for resolution, bridge in CASES for frames in FRAMES]
    return "\n".join([HEAD, "| ---: | ---: | --- | ---: | ---: | ---: | ---: |", *lines])


def test_the_readme_has_these_figures() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    assert HEAD in text
    start = text.index(HEAD)
    end = text.index("\n\n", start)
    if os.environ.get("GPUHOURS_WRITE"):
        GUIDE.write_text(text[:start] + table() + text[end:], encoding="utf-8")
        return
    assert text[start:end] == table()


@pytest.mark.parametrize(("bridge", "least", "most"), [("every patch", 5, 12), ("64 queries a clip", 1, 3)])
def test_ten_frames_are_not_a_hundred_times_one(bridge: str, least: float, most: float) -> None:
    """Tokens grow with frames and products with tokens; only attention grows quadratically, and it is small up to 70K tokens."""
    times = value(worked(10, 224, bridge), "step_time") / value(worked(1, 224, bridge), "step_time")
    assert least * 0.5 < times < most
