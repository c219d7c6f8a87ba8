"""Predict many cases at once: those that differ only in numbers are one call with arrays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuhours.hardware import Cluster, load_accelerator
from gpuhours.layout import Array, Layout
from gpuhours.step import Step, step
from gpuhours.validation.case import Case

Key = tuple[Any, ...]
NUMBERS = frozenset({
    "layers", "hidden", "heads", "kv_heads", "head_dim", "ffn_hidden", "vocab", "rank", "count", "top_k", "width", "shared_width",
    "first_dense",
})  # fmt: skip
"""Fields of an architecture that may become arrays."""


def predict(cases: Sequence[Case]) -> list[tuple[float, dict[str, float]]]:
    """Step time and its parts, case by case."""
    groups: dict[Key, list[int]] = defaultdict(list)
    for index, case in enumerate(cases):
        groups[_words(case)].append(index)
    found: list[tuple[float, dict[str, float]]] = [(0.0, {})] * len(cases)
    for members in groups.values():
        predicted = _together([cases[index] for index in members])
        time = np.broadcast_to(predicted.time, len(members))
        parts = {name: np.broadcast_to(seconds, len(members)) for name, seconds in predicted.parts.items()}
        for place, index in enumerate(members):
            found[index] = float(time[place]), {name: float(seconds[place]) for name, seconds in parts.items()}
    return found


def _together(cases: Sequence[Case]) -> Step:
    """One call of ``step`` for cases that share every word."""
    one = cases[0]
    decoder = one.decoder.model_copy(update=_stacked([_numbers(case.decoder) for case in cases]))
    if one.decoder.experts is not None:
        experts = _stacked([_numbers(case.decoder.experts) for case in cases])
        decoder = decoder.model_copy(update={"experts": one.decoder.experts.model_copy(update=experts)})
    layout = one.layout.model_copy(update=_stacked([_layout_numbers(case.layout) for case in cases]))
    bandwidth = np.array([case.node.network_bandwidth if case.bandwidth is None else case.bandwidth for case in cases])
    gpus = np.array([case.gpus for case in cases])
    machine = Cluster(load_accelerator(one.accelerator), one.node, gpus, bandwidth)
    software = one.software.model_copy(update={"attention": {"default": one.kernel}})
    model = decoder.model(np.array([case.tokens for case in cases]))
    batch = np.array([case.global_batch for case in cases])
    return step(model, batch, layout, machine, software, one.precision)


def _words(case: Case) -> Key:
    """Everything of a case that is not a number, so that equal keys may share a call."""
    decoder = {name: value for name, value in case.decoder if name not in _numbers(case.decoder) and name != "experts"}
    experts = () if case.decoder.experts is None else tuple(
        (name, value) for name, value in case.decoder.experts if name not in _numbers(case.decoder.experts)
    )  # fmt: skip
    layout = tuple(name for name in Layout.model_fields if getattr(case.layout, name) is None)
    dense = case.decoder.experts is not None and case.decoder.experts.first_dense > 0
    return (
        tuple(sorted((name, repr(value)) for name, value in decoder.items())), experts, layout, dense, case.accelerator,
        (case.node.name, case.node.gpus, case.node.sharp), case.software.name, case.kernel, case.precision,
    )  # fmt: skip


def _numbers(model: Any) -> dict[str, float]:
    """The numeric fields of an architecture."""
    return {
        name: value for name, value in model if name in NUMBERS and isinstance(value, int | float) and not isinstance(value, bool)
    }


def _layout_numbers(layout: Layout) -> dict[str, Any]:
    return {name: int(value) for name, value in layout if value is not None}


def _stacked(fields: Sequence[dict[str, Any]]) -> dict[str, Array]:
    """One array per field."""
    return {name: np.array([one[name] for one in fields]) for name in fields[0]}
