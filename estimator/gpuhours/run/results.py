"""The results every command speaks of, by name: value (a float or an array), unit, and how it came about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuhours.flops import part_flops
from gpuhours.inputs.arrays import Array
from gpuhours.run.evaluate import HOUR, Outcome

OF_A_STEP = frozenset({"mfu", "hfu", "tokens_per_second_per_gpu"})
"""The step time in other words: predicted where it is."""


@dataclass(frozen=True, eq=False)
class Quantity:
    """One result of an outcome; ``value`` is None where it is not determined."""

    value: Any
    unit: str
    basis: str = ""
    equation: str = ""
    inputs: tuple[str, ...] = ()


def results(outcome: Outcome) -> dict[str, Quantity]:
    """Every result, in the order of the screen."""
    model, held, charge = outcome.resolved.model, outcome.memory, outcome.bill

    gpus, cluster, layout = outcome.value("gpus"), outcome.resolved.cluster, outcome.resolved.layout
    nodes = None if gpus is None or cluster is None else np.ceil(np.divide(gpus, cluster.gpus_per_node))
    data = None if layout is None or gpus is None else layout.data

    step = outcome.totals.values.get("step_time")
    of_a_step = OF_A_STEP if step is not None and step.basis == "predicted" else frozenset()

    def total(name: str, unit: str, scale: float = 1.0) -> Quantity:
        solved = outcome.totals.values.get(name)
        if solved is None:
            return Quantity(None, unit)
        value = solved.value if scale == 1.0 else solved.value * scale
        basis = "predicted" if name in of_a_step else solved.basis
        return Quantity(value, unit, basis, solved.equation, solved.inputs)

    found = {
        "parameters": Quantity(
            None if model is None else model.parameters, "parameter", "solved", "every weight of the model"
        ),
        "trainable_parameters": Quantity(
            None if model is None else model.trainable_parameters, "parameter", "solved", "the weights training changes"
        ),
        "tokens": total("tokens", "token"),
        "effective_tokens": effective_tokens(outcome),
        "samples": total("samples", "sample"),
        "epochs": total("epochs", "epoch"),
        "steps": total("steps", "step"),
        "model_flops_per_step": total("model_flops_per_step", "FLOP"),
        "hardware_flops_per_step": total("hardware_flops_per_step", "FLOP"),
        "model_flops": total("model_flops", "FLOP"),
        "attention_flops": attention_flops(outcome),
        "step_time": total("step_time", "s"),
        "tokens_per_second_per_gpu": total("tokens_per_second_per_gpu", "token/s"),
        "mfu": total("mfu", ""),
        "hfu": total("hfu", ""),
        "memory_per_gpu": Quantity(None if held is None else held.total, "byte", "predicted"),
        "fits": Quantity(None if held is None else held.fits, "", "predicted"),
        "gpus": total("gpus", "GPU"),
        "nodes": Quantity(
            nodes, "node", "solved", "GPUs / GPUs per node, a node used in part counted whole", ("gpus",)
        ),
        "data_parallel": Quantity(data, "rank", "solved", "GPUs / (tensor x pipeline x context)", ("gpus",)),
        "wall_clock": total("wall_clock", "s"),
        "gpu_hours": total("gpu_time", "GPU*hour", 1 / HOUR),
        "goodput": total("goodput", ""),
        "cost": Quantity(charge.cost, "USD", "solved", "GPU-hours x price", ("gpu_time",)),
        "energy": Quantity(charge.energy, "J", "solved", "GPU-hours x power x PUE", ("gpu_time",)),
        "carbon": Quantity(charge.carbon, "gCO2e", "solved", "energy x grid intensity", ("gpu_time",)),
    }
    return found | of_video(outcome)


def attention_flops(outcome: Outcome) -> Quantity:
    """Scores and weighted sums of one sample's forward pass, masked or not as the run's convention counts them."""
    model, convention = outcome.resolved.model, outcome.run.training.convention
    if model is None:
        return Quantity(None, "FLOP")
    each = [part_flops(part, full=convention != "causal").attention for part in model.parts]
    return Quantity(sum(each), "FLOP", "solved", "attention of one sample, forward", ())


def effective_tokens(outcome: Outcome) -> Quantity:
    """Tokens less what padding computes in vain: tokens x those of a sample that carry something / all of them."""
    tokens, model, data = outcome.value("tokens"), outcome.run.model, outcome.resolved.data
    if tokens is None:
        return Quantity(None, "token")
    share: Array = 1.0 if data.packed else 1.0 - data.padding
    if model is not None:
        computed, carrying = model.tokens_per_sample(data), model.effective_tokens(data)
        share = 1.0 if computed is None or carrying is None else np.divide(carrying, computed)
    equation = "tokens x those of a sample that carry something / all of them"
    return Quantity(tokens * share, "token", "solved", equation, ("tokens",))


def of_video(outcome: Outcome) -> dict[str, Quantity]:
    """What only a run over frames has: how fast they are used, the CPU cores that decode as fast, and the shortest step that the
    input pipeline can feed."""
    fed = outcome.feed
    if fed is None:
        return {
            "frames_per_second": Quantity(None, "frame/s"),
            "decoding_cores": Quantity(None, ""),
            "data_time": Quantity(None, "s"),
        }
    rate = Quantity(fed.frames_per_second, "frame/s", "solved", "samples x frames / step time", ("step_time",))
    cores = Quantity(fed.cores_needed, "", "predicted", "samples x core seconds of one / step time", ("step_time",))
    return {
        "frames_per_second": rate,
        "decoding_cores": cores,
        "data_time": Quantity(fed.time, "s", "predicted", fed.limit),
    }
