"""The results of all commands: one table with the name, unit, equation and metadata of each.

To add a result: compute it in its layer, and add a line to ``RESULTS``. Every JSON, sweep, comparison, sum over stages, Pareto front and
``--explain`` uses this table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from gpuhours.flops import part_flops
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.records import dataclass
from gpuhours.run.evaluate import Outcome
from gpuhours.run.goodput import checkpoint_of
from gpuhours.run.ranges import middle

OF_A_STEP = frozenset({"mfu", "hfu", "tokens_per_second_per_gpu"})
"""Results equivalent to the step time: their basis is "predicted" if the step time's is."""


@dataclass(frozen=True, eq=False)
class ResultValue:
    """One result of one outcome: a number or an array, its unit and how it was obtained."""

    value: Any
    unit: str
    basis: str
    equation: str = ""
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Read:
    """What ``ResultDefinition.read`` finds in an outcome: the value, and details particular to this run."""

    value: Any
    basis: str = ""
    equation: str = ""
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class ResultDefinition:
    """One line of the table.

    ``label``      its name in terminal output; ``title`` is its name on an axis
    ``unit``       unit in JSON, CSV and conditions
    ``read``       extracts it from an outcome; returns None if the outcome does not determine it
    ``basis``, ``equation``, ``inputs``   its origin, unless ``read`` returns another
    ``better``     which direction is better, for a Pareto front; None if neither
    ``stages``     how it is combined over consecutive stages: sum, largest, smallest, or whether all are true
    ``share_of``   what it is a share of, if it cannot exceed 1
    ``ranged``     whether draws give it a range; booleans have none
    ``absent``     why it is null although nothing about the run is missing
    ``rests_on``   keys whose assumptions affect only this line of a bill
    """

    name: str
    label: str
    title: str
    unit: str
    read: Callable[[Outcome], Read | None]
    basis: str = "solved"
    equation: str = ""
    inputs: tuple[str, ...] = ()
    better: Literal["more", "less"] | None = None
    stages: Literal["sum", "largest", "smallest", "all"] | None = None
    share_of: str = ""
    ranged: bool = True
    absent: str = ""
    rests_on: tuple[str, ...] = ()


def results(outcome: Outcome) -> dict[str, ResultValue | None]:
    """Every result, in the order of the table; None if undetermined."""
    return {name: result(outcome, name) for name in RESULTS}


def result(outcome: Outcome, name: str) -> ResultValue | None:
    """One result of an outcome; None if undetermined."""
    line = RESULTS[name]
    value_read = line.read(outcome)
    if value_read is None or value_read.value is None:
        return None
    return ResultValue(
        value_read.value,
        line.unit,
        value_read.basis or line.basis,
        value_read.equation or line.equation,
        value_read.inputs or line.inputs,
    )


def plain_results(outcome: Outcome) -> dict[str, Any]:
    """The central value of every result as a Python number; None if undetermined."""
    return {name: None if one is None else middle(one.value) for name, one in results(outcome).items()}


def total(name: str) -> Callable[[Outcome], Read | None]:
    """A reader of one of the solved totals."""

    def read(outcome: Outcome) -> Read | None:
        solved = outcome.totals.values.get(name)
        if solved is None:
            return None
        step = outcome.totals.values.get("step_time")
        predicted = name in OF_A_STEP and step is not None and step.basis == "predicted"
        return Read(solved.value, "predicted" if predicted else solved.basis, solved.equation, solved.inputs)

    return read


def of_model(count: Callable[[Any, Outcome], Array]) -> Callable[[Outcome], Read | None]:
    """A reader of a result that needs only the model."""

    def read(outcome: Outcome) -> Read | None:
        model = outcome.resolved.model
        return None if model is None else Read(count(model, outcome))

    return read


def of_memory(field: str) -> Callable[[Outcome], Read | None]:
    """A reader of a field of the predicted memory."""
    return lambda outcome: None if outcome.memory is None else Read(getattr(outcome.memory, field))


def of_bill(field: str, per: float) -> Callable[[Outcome], Read | None]:
    """A reader of a total of the bill; ``per``: SI units per unit of the result."""

    def read(outcome: Outcome) -> Read | None:
        amount = getattr(outcome.bill, field)
        return None if amount is None else Read(np.divide(amount, per))

    return read


def of_input(field: str) -> Callable[[Outcome], Read | None]:
    """A reader of a field of the input-pipeline load, which only runs with frames have."""
    return lambda outcome: None if outcome.feed is None else Read(getattr(outcome.feed, field))


def data_time(outcome: Outcome) -> Read | None:
    """The shortest step that the input pipeline can sustain, and the stage that limits it."""
    feed = outcome.feed
    return None if feed is None else Read(feed.time, equation=feed.limit)


def nodes(outcome: Outcome) -> Read | None:
    """Nodes of the cluster."""
    gpus, cluster = outcome.value("gpus"), outcome.resolved.cluster
    if gpus is None or cluster is None:
        return None
    return Read(np.ceil(np.divide(gpus, cluster.gpus_per_node)))


def data_parallel(outcome: Outcome) -> Read | None:
    """Replicas of the model."""
    layout = outcome.resolved.layout
    return None if layout is None or outcome.value("gpus") is None else Read(layout.data)


def attention_flops(model: Any, outcome: Outcome) -> Array:
    """FLOPs of attention scores and weighted sums in one sample's forward pass; the causal mask counts according to the run's
    convention."""
    full = outcome.run.training.convention != "causal"
    return sum(part_flops(part, full=full).attention for part in model.parts)


def checkpoint(model: Any, outcome: Outcome) -> Array:
    """Bytes of one checkpoint."""
    return checkpoint_of(model, outcome.resolved.precision)


def effective_tokens(outcome: Outcome) -> Read | None:
    """Tokens without padding: tokens x (non-padding tokens / all tokens of a sample)."""
    tokens, model, data = outcome.value("tokens"), outcome.run.model, outcome.resolved.data
    if tokens is None:
        return None
    share: Array = 1.0 if data.packed else 1.0 - data.padding
    if model is not None:
        computed, carrying = model.tokens_per_sample(data), model.effective_tokens(data)
        share = 1.0 if computed is None or carrying is None else np.divide(carrying, computed)
    return Read(tokens * share)


_LINES = (
    ResultDefinition("parameters", "parameters", "parameters", "parameter", of_model(lambda model, _: model.parameters),
                     equation="all weights of the model", stages="largest"),
    ResultDefinition("trainable_parameters", "trainable", "trainable parameters", "parameter",
                     of_model(lambda model, _: model.trainable_parameters), equation="the trainable weights"),
    ResultDefinition("tokens", "tokens", "training tokens", "token", total("tokens"), better="more", stages="sum"),
    ResultDefinition("effective_tokens", "effective", "tokens without padding", "token", effective_tokens,
                     equation="tokens x non-padding tokens of a sample / all of them", inputs=("tokens",),
                     better="more", stages="sum"),
    ResultDefinition("samples", "samples", "samples seen", "sample", total("samples"), better="more", stages="sum"),
    ResultDefinition("epochs", "epochs", "epochs", "epoch", total("epochs"), better="more"),
    ResultDefinition("steps", "steps", "steps", "step", total("steps"), stages="sum"),
    ResultDefinition("model_flops_per_step", "FLOPs per step", "model FLOPs per step", "FLOP", total("model_flops_per_step")),
    ResultDefinition("hardware_flops_per_step", "hardware FLOPs", "hardware FLOPs per step", "FLOP",
                     total("hardware_flops_per_step")),
    ResultDefinition("model_flops", "model FLOPs", "model FLOPs", "FLOP", total("model_flops"), better="more", stages="sum"),
    ResultDefinition("attention_flops", "attention", "attention FLOPs per sample", "FLOP", of_model(attention_flops),
                     equation="attention of one sample, forward"),
    ResultDefinition("step_time", "step", "step time", "second", total("step_time"), better="less"),
    ResultDefinition("tokens_per_second_per_gpu", "tokens/s", "tokens per second and GPU", "token/second/GPU",
                     total("tokens_per_second_per_gpu"), better="more"),
    ResultDefinition("mfu", "MFU", "MFU", "", total("mfu"), better="more", share_of="of the dense peak"),
    ResultDefinition("hfu", "HFU", "HFU", "", total("hfu"), better="more", share_of="of the dense peak, including recomputation"),
    ResultDefinition("memory_per_gpu", "memory", "memory per GPU", "byte", of_memory("total"), "predicted", better="less",
                     stages="largest"),
    ResultDefinition("fits", "fits", "fits", "", of_memory("fits"), "predicted", ranged=False, stages="all"),
    ResultDefinition("fits_probability", "odds it fits", "probability that it fits", "", of_memory("fits_probability"), "predicted",
                     ranged=False, stages="smallest"),
    ResultDefinition("gpus", "GPUs", "GPUs", "GPU", total("gpus"), better="less", stages="largest"),
    ResultDefinition("nodes", "nodes", "nodes", "node", nodes, equation="GPUs / GPUs per node, a node used in part counted whole",
                     inputs=("gpus",), better="less", stages="largest"),
    ResultDefinition("data_parallel", "replicas", "data-parallel ranks", "rank", data_parallel,
                     equation="GPUs / (tensor x pipeline x context)", inputs=("gpus",)),
    ResultDefinition("wall_clock", "wall-clock", "wall-clock time", "second", total("wall_clock"), better="less", stages="sum"),
    ResultDefinition("productive_time", "productive", "productive time", "second", total("productive_time"), better="less",
                     stages="sum"),
    ResultDefinition("gpu_hours", "GPU-hours", "GPU-hours", "GPU*hour", total("gpu_hours"), better="less", stages="sum"),
    ResultDefinition("goodput", "goodput", "goodput", "", total("goodput"), better="more",
                     share_of="of the wall-clock time to run the steps"),
    ResultDefinition("cost", "cost", "cost", "USD", of_bill("cost", 1.0), equation="rent or depreciation, storage, traffic",
                     inputs=("gpu_hours",), better="less", stages="sum", rests_on=("cost.price", "cost.owned")),
    ResultDefinition("energy", "energy", "energy", "Wh", of_bill("energy", HOUR), equation="GPU-hours x power x PUE",
                     inputs=("gpu_hours",), better="less", stages="sum", rests_on=("cost.power", "cost.host", "cost.pue")),
    ResultDefinition("carbon", "carbon", "carbon", "tCO2e", of_bill("carbon", 1e6), equation="energy x grid intensity",
                     inputs=("gpu_hours",), better="less", stages="sum", rests_on=("cost.power", "cost.host", "cost.pue", "cost.year")),
    ResultDefinition("embodied_carbon", "embodied", "embodied carbon", "tCO2e", of_bill("embodied_carbon", 1e6),
                     equation="GPU-hours x manufacturing emissions of the machines / their time in use", inputs=("gpu_hours",),
                     better="less", stages="sum", rests_on=("cost.embodied", "cost.lifetime")),
    ResultDefinition("checkpoint_bytes", "checkpoint", "checkpoint", "byte",
                     of_model(checkpoint),
                     equation="trained parameters x (weight + optimiser states) + frozen ones", better="less", stages="largest"),
    ResultDefinition("host_memory_per_node", "host memory", "host memory per node", "byte", of_memory("host_per_node"), "predicted",
                     "offloaded optimiser states, gradients and weights of a node's ranks", better="less", stages="largest"),
    ResultDefinition("frames_per_second", "frames/s", "frames per second", "frame/second", of_input("frames_per_second"),
                     equation="samples x frames / step time", inputs=("step_time",), better="more"),
    ResultDefinition("decoding_cores", "cores", "CPU cores that decode", "core", of_input("cores_needed"), "predicted",
                     "samples x core seconds per sample / step time", ("step_time",), better="less"),
    ResultDefinition("data_time", "input", "shortest step the input can sustain", "second", data_time, "predicted", better="less"),
)  # fmt: skip

RESULTS: Mapping[str, ResultDefinition] = {line.name: line for line in _LINES}
"""Every result by name, in JSON order."""
SHARES: Mapping[str, str] = {line.name: line.share_of for line in _LINES if line.share_of}
"""Results that cannot exceed one, and what they are a share of."""
