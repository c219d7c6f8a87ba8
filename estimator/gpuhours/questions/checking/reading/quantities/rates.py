"""Quantities decided by the unit alone, and the factor from a figure's unit to its quantity's unit."""

from __future__ import annotations

from gpuhours.inputs.durations import DAY, HOUR
from gpuhours.questions.checking.reading.figures.tokens import Figure

RATES: dict[tuple[str, frozenset[str]], str] = {
    ("token", frozenset({"second"})): "tokens_per_second",
    ("token", frozenset({"second", "gpu"})): "tokens_per_second_per_gpu",
    ("sample", frozenset({"second"})): "samples_per_second",
    ("sequence", frozenset({"second"})): "samples_per_second",
    ("token", frozenset({"frame"})): "tokens_per_frame",
    ("patch", frozenset({"frame"})): "tokens_per_frame",
    ("token", frozenset({"sample"})): "tokens_per_sample",
    ("token", frozenset({"sequence"})): "seq_len",
    ("token", frozenset({"step"})): "global_batch_tokens",
    ("sample", frozenset({"step"})): "global_batch",
    ("sequence", frozenset({"step"})): "global_batch",
    ("frame", frozenset({"sample"})): "frames_per_clip",
    ("frame", frozenset({"sequence"})): "frames_per_clip",
    ("frame", frozenset({"second"})): "frame_rate",
    ("sample", frozenset({"gpu"})): "microbatch",
    ("sequence", frozenset({"gpu"})): "microbatch",
    ("gpu", frozenset({"node"})): "gpus_per_node",
    ("", frozenset({"node"})): "gpus_per_node",
    ("time", frozenset({"step"})): "step_time",
    ("step", frozenset({"second"})): "steps_per_second",
    ("time", frozenset({"epoch"})): "epoch_time",
    ("flop/s", frozenset({"gpu"})): "flops_per_second_per_gpu",
    ("flop", frozenset({"gpu"})): "flops_per_second_per_gpu",
    ("flop", frozenset({"second", "gpu"})): "flops_per_second_per_gpu",
    ("money", frozenset({"gpu", "hour"})): "price",
    ("money", frozenset({"hour"})): "price",
    ("money", frozenset({"node", "hour"})): "node_price",
    ("money", frozenset({"node"})): "node_price",
    ("token", frozenset({"second", "node"})): "tokens_per_second_per_node",
    ("co2", frozenset({"energy"})): "carbon_intensity",
    ("co2", frozenset({"mwh"})): "carbon_intensity",
    ("power", frozenset({"gpu"})): "gpu_power",
    ("step", frozenset({"minute"})): "steps_per_second",
    ("step", frozenset({"hour"})): "steps_per_second",
    ("step", frozenset({"day"})): "steps_per_second",
    ("token", frozenset({"minute"})): "tokens_per_second",
    ("token", frozenset({"hour"})): "tokens_per_second",
    ("token", frozenset({"day"})): "tokens_per_second",
    ("token", frozenset({"day", "gpu"})): "tokens_per_second_per_gpu",
    ("sample", frozenset({"minute"})): "samples_per_second",
    ("sample", frozenset({"hour"})): "samples_per_second",
    ("sample", frozenset({"day"})): "samples_per_second",
    ("flop/s", frozenset({"second", "gpu"})): "flops_per_second_per_gpu",
    ("gpu_time", frozenset({"step"})): "setting",
    ("token", frozenset({"epoch"})): "dataset_tokens",
    ("sample", frozenset({"epoch"})): "dataset_samples",
    ("gpu_time", frozenset({"1e+12 token"})): "gpu_hours_per_trillion_tokens",
    ("sequence", frozenset({"gpu", "step"})): "microbatch",
    ("sample", frozenset({"gpu", "step"})): "microbatch",
}
"""The quantity by what is counted and what it is per."""
SPANS = {"minute": 60.0, "hour": HOUR, "day": DAY}


def by_rate(figure: Figure) -> str | None:
    """The quantity of a rate (tokens per second, frames per clip, dollars per GPU-hour); None if the unit leaves it open."""
    return RATES.get((figure.unit, frozenset(figure.per)))


def is_rate(figure: Figure) -> bool:
    """Whether FLOPs are a rate: ``400 TFLOPs`` is one whatever the s stands for, because no training run is that small."""
    plural = figure.word.lower().endswith("s")
    return figure.value < (1e19 if plural and figure.word[:1] in "pPeE" else 1e17) and figure.word[:1] in "tTpPgGeE"


def unit_factor(quantity: str, figure: Figure) -> float:
    """The factor from a figure's base unit to the unit of its quantity (hours of video, kilograms, steps per minute)."""
    if quantity in ("video_hours", "audio_hours", "gpu_hours") and figure.unit == "time":
        return 1 / HOUR
    if quantity.endswith(("per_second", "per_second_per_gpu")):
        return 1 / next((SPANS[per] for per in figure.per if per in SPANS), 1.0)
    return 1000.0 if quantity == "carbon_intensity" and figure.unit == "co2" and "mwh" not in figure.per else 1.0
