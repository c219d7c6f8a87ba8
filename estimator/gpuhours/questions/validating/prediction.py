"""Predict many cases at once: those that differ only in numbers are one vectorised call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gpuhours.hardware.clusters import Cluster
from gpuhours.inputs.arrays import Array, Mask
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import Recompute, Sharding
from gpuhours.layout.layout import Layout
from gpuhours.memory import memory
from gpuhours.questions.validating.blanking import FACTS, is_open
from gpuhours.questions.validating.case import Case
from gpuhours.questions.validating.rows import Row
from gpuhours.step import PARTS, over_left_open, step_and_hosts
from gpuhours.step.hosts import SAME
from gpuhours.workload import Workload

Key = tuple[Any, ...]
COUNTS = {
    "nvidia-smi": "driver",
    "max allocated": "allocated",
    "max_memory_allocated": "allocated",
    "active memory": "allocated",
    "reserved": "reserved",
}
"""Words in notes -> what the memory figure counts."""
NUMBERS = frozenset({
    "layers", "hidden", "heads", "kv_heads", "head_dim", "ffn_hidden", "vocab", "rank", "count", "top_k", "width", "shared_width",
    "first_dense",
})  # fmt: skip
"""Fields of an architecture that may become arrays."""


@dataclass(frozen=True)
class Prediction:
    """One case's step and memory; ``problem`` says why there is no step."""

    time: float | None
    parts: Mapping[str, float]
    memory: float | None
    """Bytes on the fullest rank, counted in the same way as the row's figure."""
    filled: float | None
    """The minimum memory needed, relative to the accelerator's."""
    open: bool = False
    """Whether the row does not state recomputation or sharding; ``filled`` then assumes those that need least memory."""
    problem: str | None = None
    hosts: tuple[float, float] = SAME
    """Step time on a fast and a slow host, relative to ``time``, if the row does not say how fast its host is."""
    left_open: tuple[float, float] = SAME
    """Step time with the fastest and slowest usual values of what the row does not state, relative to ``time``."""


def predict(cases: Sequence[Case], *, step_time: bool = True) -> list[Prediction]:
    """Predict step time and memory of each case."""
    groups: dict[Key, list[int]] = defaultdict(list)
    for index, case in enumerate(cases):
        groups[_words(case)].append(index)
    predictions: dict[int, Prediction] = {}
    for members in groups.values():
        try:
            together = _predict_together([cases[index] for index in members], step_time)
        except EstimateError as error:
            together = [Prediction(None, {}, None, None, problem=error.problem)] * len(members)
        predictions.update(zip(members, together, strict=True))
    return [predictions[index] for index in range(len(cases))]


def _predict_together(cases: Sequence[Case], step_time: bool) -> list[Prediction]:
    """One call of ``step`` and ``memory`` for cases that differ only in numbers."""
    one = cases[0]
    decoder = one.decoder.model_copy(update=_arrays_by_field([_numbers(case.decoder) for case in cases]))
    if one.decoder.experts is not None:
        experts = _arrays_by_field([_numbers(case.decoder.experts) for case in cases])
        decoder = decoder.model_copy(update={"experts": one.decoder.experts.model_copy(update=experts)})
    layout = one.layout.model_copy(update=_arrays_by_field([_layout_numbers(case.layout) for case in cases]))
    bandwidth = np.array([case.node.network_bandwidth if case.bandwidth is None else case.bandwidth for case in cases])
    gpus = np.array([case.gpus for case in cases])
    delay = np.array([case.delay for case in cases])
    machine = Cluster(one.chip, one.node, gpus, bandwidth, delay)
    software = one.software.model_copy(update={"attention": {"default": one.kernel}})
    model = decoder.model(np.array([case.tokens for case in cases]))
    batch = np.array([case.global_batch for case in cases])
    together = _with_short_memory_defaults(
        cases, Workload(model, batch, layout, machine, software, software.as_run(one.precision))
    )
    held = memory(together)
    columns: dict[str, Any] = {"allocated": held.allocated, "reserved": held.reserved, "driver": held.total}
    columns["open"], columns["filled"] = _least_filled(cases, together, held.filled)
    if step_time:
        predicted, fast, slow = step_and_hosts(together)
        said_less = {fact: np.array([is_open(case.row, fact) for case in cases]) for fact in FACTS}
        least, most = over_left_open(together, predicted.time, said_less)
        columns |= {"time": predicted.time, "fast": fast, "slow": slow, "least": least, "most": most, **predicted.parts}
    size = len(cases)
    wide = {name: np.broadcast_to(values, size).tolist() for name, values in columns.items()}
    parts = [{name: wide[name][place] for name in PARTS if name in wide} for place in range(size)]
    times = wide.get("time", [None] * size)
    counted = [wide[memory_counts(case.row)][at] for at, case in enumerate(cases)]
    hosts = list(zip(wide["fast"], wide["slow"], strict=True)) if step_time else [SAME] * size
    open_factors = list(zip(wide["least"], wide["most"], strict=True)) if step_time else [SAME] * size
    return [
        Prediction(
            times[at], parts[at], counted[at], wide["filled"][at], wide["open"][at], hosts=hosts[at],
            left_open=open_factors[at],
        )
        for at in range(size)
    ]  # fmt: skip


def _with_short_memory_defaults(cases: Sequence[Case], together: Workload) -> Workload:
    """The workload with ``defaults.short`` (the stack's recomputation when memory is short) for rows that do not state recomputation, if
    only that fits: the run must have fitted, since it was measured."""
    short = together.software.defaults.short
    unsaid = np.array(
        [case.row.word("recompute_kind") is None and case.row.word("recompute") is None for case in cases]
    )
    if short is None or not unsaid.any():
        return together
    other = together.with_layout(together.layout.replaced(recompute=Recompute[short]))
    needed = unsaid & np.logical_not(memory(together).fits) & memory(other).fits
    return together.with_layout(
        together.layout.replaced(recompute=np.where(needed, Recompute[short], together.layout.recompute))
    )


def _least_filled(cases: Sequence[Case], together: Workload, filled: Array) -> tuple[Mask, Array]:
    """(which rows do not state recomputation or sharding, the share of memory that each case fills). Where a row does not state them, full
    recomputation and at least ZeRO-1 are assumed if that needs less memory, as a lower bound for runs that are known to have fitted."""
    layout = together.layout
    unsaid = {
        column: np.array([case.row.word(column) is None for case in cases]) for column in ("recompute_kind", "sharding")
    }
    least = {
        "recompute": np.where(unsaid["recompute_kind"], Recompute.full, layout.recompute),
        "sharding": np.where(unsaid["sharding"], np.maximum(layout.sharding, Sharding.zero1), layout.sharding),
    }
    open_to = unsaid["recompute_kind"] | unsaid["sharding"]
    if not open_to.any():
        return open_to, filled
    return open_to, np.where(
        open_to, np.minimum(filled, memory(together.with_layout(layout.replaced(**least))).filled), filled
    )


def memory_counts(row: Row) -> str:
    """What a row's memory figure counts: the column ``memory_counts``, otherwise the wording of its notes, otherwise the
    allocator's reserved memory, which is between the memory of tensors and that reported by the driver."""
    notes = (row.word("notes") or "").lower()
    said = row.word("memory_counts") or next((counts for words, counts in COUNTS.items() if words in notes), "reserved")
    return said if said in COUNTS.values() else "reserved"


def _words(case: Case) -> Key:
    """All non-numeric parts of a case; cases with equal keys may share a call."""
    numbers = {*_numbers(case.decoder), "experts"}
    decoder = {name: value for name, value in case.decoder if name not in numbers}
    counted = () if case.decoder.experts is None else _numbers(case.decoder.experts)
    experts = tuple((name, value) for name, value in case.decoder.experts or () if name not in counted)
    layout = tuple(name for name in Layout.model_fields if getattr(case.layout, name) is None)
    dense = case.decoder.experts is not None and case.decoder.experts.first_dense > 0
    return (
        tuple(sorted((name, repr(value)) for name, value in decoder.items())), experts, layout, dense, case.accelerator,
        (case.node.name, case.node.gpus, case.node.nics, case.node.network, case.node.sharp), case.kernel, case.precision, case.without,
        case.layout.stage_layers, case.layout.recompute_modules,
        (case.software.name, case.software.unmeasured_factor, case.software.selective, repr(case.software.dispatch)),
        case.software.launch, case.software.states_launch_time,
    )  # fmt: skip


def _numbers(model: Any) -> dict[str, float]:
    """The numeric fields of an architecture."""
    return {
        name: value
        for name, value in model
        if name in NUMBERS and isinstance(value, int | float) and not isinstance(value, bool)
    }


def _layout_numbers(layout: Layout) -> dict[str, Any]:
    return {name: int(value) for name, value in layout if isinstance(value, int)}


def _arrays_by_field(fields: Sequence[dict[str, Any]]) -> dict[str, Array]:
    """One array per field."""
    return {name: np.array([one[name] for one in fields]) for name in fields[0]}
