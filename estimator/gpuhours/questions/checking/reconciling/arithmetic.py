"""Show a contradiction as one line of arithmetic that can be checked by hand: the text's figures in the equation that they violate."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gpuhours.inputs.durations import DAY, HOUR
from gpuhours.questions.checking.accelerators import Named
from gpuhours.questions.checking.claim import Document
from gpuhours.questions.checking.outcome import Cause
from gpuhours.questions.checking.quantities import QUANTITIES, multiple, shown

EQUATIONS: tuple[tuple[str, Mapping[str, float], str], ...] = (
    ("mfu", {"parameters": 1, "tokens": 1, "gpu_hours": -1, "peak": -1}, "6"),
    ("mfu", {"parameters": 1, "tokens": 1, "gpus": -1, "wall_clock": -1, "peak": -1}, "6"),
    ("mfu", {"flops_per_second_per_gpu": 1, "peak": -1}, ""),
    ("mfu", {"model_flops": 1, "gpu_hours": -1, "peak": -1}, ""),
    ("mfu", {"model_flops": 1, "gpus": -1, "wall_clock": -1, "peak": -1}, ""),
    ("mfu", {"parameters": 1, "tokens_per_second_per_gpu": 1, "peak": -1}, "6"),
    ("model_flops", {"parameters": 1, "tokens": 1}, "6"),
    ("flops_per_second_per_gpu", {"parameters": 1, "tokens_per_second_per_gpu": 1}, "6"),
    ("flops_per_second_per_gpu", {"parameters": 1, "tokens": 1, "gpus": -1, "wall_clock": -1}, "6"),
    ("gpu_hours", {"gpus": 1, "wall_clock": 1}, ""),
    ("gpus", {"nodes": 1, "gpus_per_node": 1}, ""),
    ("node_hours", {"nodes": 1, "wall_clock": 1}, ""),
    ("tokens", {"dataset_tokens": 1, "epochs": 1}, ""),
    ("tokens", {"steps": 1, "global_batch_tokens": 1}, ""),
    ("tokens", {"steps": 1, "global_batch": 1, "seq_len": 1}, ""),
    ("global_batch_tokens", {"global_batch": 1, "seq_len": 1}, ""),
    ("wall_clock", {"steps": 1, "step_time": 1}, ""),
    ("tokens_per_second_per_gpu", {"tokens_per_second": 1, "gpus": -1}, ""),
    ("energy", {"it_energy": 1, "pue": 1}, ""),
    ("energy", {"gpu_hours": 1, "gpu_power": 1, "pue": 1}, ""),
    ("energy", {"gpu_hours": 1, "gpu_power": 1}, ""),
    ("carbon", {"energy": 1, "carbon_intensity": 1}, ""),
    ("cost", {"gpu_hours": 1, "price": 1}, ""),
    ("cost", {"node_hours": 1, "node_price": 1}, ""),
    ("cost", {"nodes": 1, "wall_clock": 1, "node_price": 1}, ""),
    ("cost", {"gpu_hours": 1, "node_price": 1, "gpus_per_node": -1}, ""),
    ("gpu_hours", {"node_hours": 1, "gpus_per_node": 1}, ""),
    ("gpu_hours", {"nodes": 1, "gpus_per_node": 1, "wall_clock": 1}, ""),
    ("tokens", {"steps": 1, "data_parallel": 1, "microbatch": 1, "accumulation": 1, "seq_len": 1}, ""),
    ("tokens", {"tokens_per_second": 1, "wall_clock": 1}, ""),
    ("tokens", {"tokens_per_second_per_gpu": 1, "gpu_hours": 1}, ""),
    ("samples", {"steps": 1, "global_batch": 1}, ""),
    ("global_batch", {"data_parallel": 1, "microbatch": 1, "accumulation": 1}, ""),
    ("gpus", {"tensor": 1, "pipeline": 1, "data_parallel": 1}, ""),
    ("gpus", {"tensor": 1, "data_parallel": 1}, ""),
    ("tokens_per_second", {"global_batch": 1, "seq_len": 1, "step_time": -1}, ""),
    ("tokens_per_second", {"global_batch_tokens": 1, "step_time": -1}, ""),
    ("tokens_per_second", {"nodes": 1, "tokens_per_second_per_node": 1}, ""),
    ("samples_per_second", {"global_batch": 1, "step_time": -1}, ""),
    ("step_time", {"steps_per_second": -1}, "1"),
    ("wall_clock", {"steps": 1, "steps_per_second": -1}, ""),
    ("wall_clock", {"epochs": 1, "epoch_time": 1}, ""),
    ("flops_per_second", {"gpus": 1, "flops_per_second_per_gpu": 1}, ""),
    ("model_flops", {"flops_per_second_per_gpu": 1, "gpu_hours": 1}, ""),
    ("model_flops", {"flops_per_second_per_gpu": 1, "gpus": 1, "wall_clock": 1}, ""),
    ("it_energy", {"gpu_hours": 1, "gpu_power": 1}, ""),
    ("energy", {"gpus": 1, "wall_clock": 1, "gpu_power": 1, "pue": 1}, ""),
    ("energy", {"gpus": 1, "wall_clock": 1, "gpu_power": 1}, ""),
    ("power", {"gpus": 1, "gpu_power": 1, "pue": 1}, ""),
    ("power", {"gpus": 1, "gpu_power": 1}, ""),
    ("cost", {"gpus": 1, "wall_clock": 1, "price": 1}, ""),
    ("node_price", {"gpus_per_node": 1, "price": 1}, ""),
    ("trainable_parameters", {"parameters": 1, "trainable_share": 1}, ""),
)  # fmt: skip
"""The quantity computed, the quantities it is computed from (with the power of each), and a constant factor."""
UNITS = {"gpu_hours": HOUR, "it_energy": HOUR, "node_hours": HOUR, "carbon_intensity": 1.0, "carbon": 1e6}
"""Factors that convert quantities to seconds and grams, so that both sides of an equation are in the same units."""
OF_HOURS = frozenset(["energy", "cost"])
"""Quantities that are proportional to GPU-hours."""


def arithmetic(names: tuple[str, ...], document: Document, accelerator: Named | None) -> str:
    """Return ``6 x 18.3 B x 700 B / (512 x 13 days x 312 TFLOP/s) = 42.3 %; the text says 57.1 %``, or "" if no equation shows it."""
    stated = figures_of(document, accelerator)
    usable = [
        (result, terms, front)
        for result, terms, front in EQUATIONS
        if terms.keys() <= stated.keys() and result in stated
    ]
    charged = set(names)
    ranked = [entry for entry in usable if len(charged & ({entry[0], *entry[1]} - {"peak"})) > 1]
    for result, terms, front in sorted(ranked, key=lambda e: (e[0] not in charged, -len(charged & {*e[1]}), len(e[1]))):
        value = value_of(result, terms, front, stated)
        if abs(math.log(value / stated[result])) > 0.03:
            said = f"{_written(terms, front, stated, hours=result in OF_HOURS)} = {shown(result, value)}"
            return f"{said}; the text says {QUANTITIES[result].title} {shown(result, stated[result])}"
    return ""


def miscalculated(names: tuple[str, ...], document: Document, accelerator: Named | None) -> Cause | None:
    """Return the cause of a contradiction that no known mistake explains: the equation that its figures miss; None if there is none."""
    stated = figures_of(document, accelerator)
    for result, terms, front in EQUATIONS:
        if not {result, *terms} - {"peak"} <= {*names} or not {result, *terms} <= stated.keys():
            continue
        ratio = stated[result] / value_of(result, terms, front, stated)
        if abs(math.log(ratio)) > APART:
            above = " x ".join([front] * bool(front) + [_word(name) for name, power in terms.items() if power > 0])
            below = "".join(f" / {_word(name)}" for name, power in terms.items() if power < 0)
            said = f"{above}{below}"
            text = f"{QUANTITIES[result].title} {'are' if result in PLURAL else 'is'} not {said}: {multiple(ratio)} times that"
            return Cause(f"{said} miscalculated", result, ratio, 1.0, text, known=False)
    return None


APART = 0.03
PLURAL = frozenset(
    ["tokens", "steps", "gpus", "gpu_hours", "node_hours", "samples", "model_flops", "trainable_parameters"]
)
SHORT = {"global_batch": "batch", "global_batch_tokens": "batch", "seq_len": "length", "wall_clock": "time", "gpu_power": "power",
         "carbon_intensity": "intensity", "peak": "peak", "microbatch": "micro-batch", "accumulation": "accumulation"}  # fmt: skip


def _word(name: str) -> str:
    return SHORT.get(name) or QUANTITIES[name].title


def figures_of(document: Document, accelerator: Named | None) -> dict[str, float]:
    """Return the figures of a run for ``EQUATIONS``: active for all parameters, and the accelerator's peak."""
    stated = {claim.measured: claim.value for claim in document.claims if not claim.scope and claim.value > 0}
    if "active_parameters" in stated:
        stated["parameters"] = stated["active_parameters"]
    return stated | ({"peak": accelerator.peak} if accelerator is not None else {})


def value_of(result: str, terms: Mapping[str, float], front: str, stated: Mapping[str, float]) -> float:
    """Return the value of the equation in the unit of its result."""
    value = float(front or 1.0)
    for name, power in terms.items():
        value *= (stated[name] * UNITS.get(name, 1.0)) ** power
    if result in OF_HOURS:
        value /= HOUR
    return value / UNITS.get(result, 1.0)


def _written(terms: Mapping[str, float], front: str, stated: Mapping[str, float], *, hours: bool) -> str:
    above = [front] * bool(front) + [
        _in_hours(name, stated[name]) if hours else _figure(name, stated[name])
        for name, power in terms.items()
        if power > 0
    ]
    below = [_figure(name, stated[name]) for name, power in terms.items() if power < 0]
    over = " x ".join(below)
    return " x ".join(above) + (f" / ({over})" if len(below) > 1 else f" / {over}" if below else "")


def _in_hours(name: str, value: float) -> str:
    """Write a figure for an equation in hours, not in seconds."""
    if name == "gpu_hours":
        return f"{shown(name, value)} GPU-hours"
    return f"{value / HOUR:,.4g} h" if name == "wall_clock" else _figure(name, value)


def _figure(name: str, value: float) -> str:
    if name == "peak":
        return f"{value / 1e12:.4g} TFLOP/s"
    if name == "wall_clock" and value >= 2 * DAY:
        return f"{value / DAY:.4g} days x 86,400 s"
    if name == "gpu_hours":
        return f"{value:,.0f} GPU-hours x 3,600 s" if value < 1e7 else f"{shown(name, value)} GPU-hours x 3,600 s"
    titles = {
        "parameters": "parameters",
        "tokens": "tokens",
        "gpus": "GPUs",
        "steps": "steps",
        "epochs": "epochs",
        "nodes": "nodes",
        "node_hours": "node-hours",
        "gpus_per_node": "GPUs per node",
    }
    return f"{shown(name, value)} {titles[name]}" if name in titles else shown(name, value)
