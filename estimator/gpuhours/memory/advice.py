"""Changes to make a run fit, and the longest sequence that fits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import combinations, islice
from typing import Any, Final

import numpy as np

from gpuhours.architecture.operators import Model
from gpuhours.hardware.number_formats import Precision
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import Recompute, Sharding, word
from gpuhours.layout.layout import Layout
from gpuhours.layout.ranks import solved_data
from gpuhours.memory.peak import memory
from gpuhours.workload import Workload

WAYS: Final = 3
GRADUAL: Final = ("sharding", "recompute")
"""Fields with several levels: a higher level is not suggested if a lower one suffices."""
BLOCKS: Final = 8
"""Number of blocks of tokens suggested for the loss."""
POINTS: Final = 257
"""Lengths tried at once in the search for the longest sequence: the time of a call hardly depends on their number."""
LONGEST: Final = 2.0**30
"""Upper limit of the search, in tokens."""


@dataclass(frozen=True, eq=False)
class Way:
    """A change of layout that saves memory."""

    change: str
    """The change in terms of the layout: ``recompute selective``, ``ZeRO-1``, ``microbatch 1``."""
    layout: Layout
    total: float
    """Bytes in use according to the driver."""
    saved: float
    """Bytes saved."""
    fits: bool
    slower: float | None
    """Time per sample after / before - 1; None if no step time was requested, or the run's own layout is invalid."""

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers; bytes."""
        return {
            "change": self.change,
            "total": self.total,
            "saved": self.saved,
            "fits": self.fits,
            "slower": self.slower,
            "layout": self.layout.model_dump(mode="json"),
        }


def ways_to_fit(workload: Workload, step_time: Callable[[Workload], float | None] | None = None) -> tuple[Way, ...]:
    """The cheapest changes of layout with which a run fits, at most three, or else more accelerators; frozen weights in 4 bits, if that
    suffices; if nothing does, the changes that save the most memory.

    Every change is evaluated with ``memory`` of the changed layout: single changes first, then pairs if fewer than three single changes
    suffice. Cheapest means the smallest ``step_time`` (s; None for an invalid layout), or the most bytes saved if no ``step_time`` is given
    or it is None for the run's own layout."""

    layout = workload.layout
    before, time_before = float(memory(workload).total), step_time(workload) if step_time else None

    def judged(change: str, changed: Workload) -> Way | None:
        candidate, after = changed.layout, memory(changed)
        time = step_time(changed) if step_time else None
        if float(after.total) >= before or (step_time is not None and time is None):
            return None
        share = float(workload.global_batch) / float(changed.global_batch)
        slower = time * share / time_before - 1 if time is not None and time_before else None
        return Way(change, candidate, float(after.total), before - float(after.total), bool(after.fits), slower)

    changes = list(_changes(workload))

    def with_fields(change: str, fields: dict[str, Any]) -> Way | None:
        return judged(change, workload.with_layout(layout.replaced(**fields)))

    ways = [way for change, fields in changes if (way := with_fields(change, fields))]
    if sum(way.fits for way in ways) < WAYS:
        saving = [change for change in changes if any(way.change == change[0] for way in ways if not way.fits)]
        pairs = [pair for pair in combinations(saving, 2) if not set(pair[0][1]) & set(pair[1][1])]
        both = (with_fields(f"{a[0]} and {b[0]}", a[1] | b[1]) for a, b in pairs)
        ways += [way for way in both if way and way.fits]
    fitting = _first_of_each_change(layout, sorted((way for way in ways if way.fits), key=_slowdown_or_saving))
    narrow = (way for change, changed in _narrower(workload) if (way := judged(change, changed)))
    wider = (way for change, changed in _wider(workload) if (way := judged(change, changed)) and way.fits)
    more = () if fitting else islice(wider, 1)
    fitting = [*fitting[:WAYS], *(way for way in narrow if way.fits), *more]
    return tuple(fitting) or tuple(sorted(ways, key=lambda way: -way.saved))[:WAYS]


def _narrower(workload: Workload) -> Iterator[tuple[str, Workload]]:
    """The run with its frozen weights in 4 bits under autocast, if it trains adapters on wider ones."""
    if workload.model.trains_adapters and not workload.precision.format.unpacked:
        narrow = Precision("nf4", "amp", workload.precision.optimizer)
        yield "--qlora", replace(workload, precision=workload.software.as_run(narrow))


def _wider(workload: Workload) -> Iterator[tuple[str, Workload]]:
    """The run on two, four, ... times the accelerators with everything sharded by ZeRO-3, if the stack can, on the same batch or on one
    sample each."""
    layout, gpus = workload.layout, float(np.max(workload.cluster.gpus))
    if layout.pipeline > 1 or not workload.software.zero3:
        return
    data = int(solved_data(layout, workload.cluster))
    for factor in (2, 4, 8, 16, 32, 64):
        ranks = data * factor
        batch = workload.global_batch if workload.global_batch % ranks == 0 else ranks
        shared = layout.replaced(
            data=ranks, sharding=Sharding.zero3, microbatch=int(min(layout.microbatch, batch // ranks))
        )
        said = "" if batch == workload.global_batch else f" --batch {batch:.0f}"
        machine = replace(workload.cluster, gpus=gpus * factor)
        changed = replace(workload, layout=shared, cluster=machine, global_batch=batch)
        yield f"--gpus {gpus * factor:.0f}{said} with ZeRO-3", changed


def _slowdown_or_saving(way: Way) -> float:
    """Sort key of the cheapest way: the slowdown, or minus the bytes saved if the slowdown is unknown."""
    return -way.saved if way.slower is None else way.slower


def _first_of_each_change(before: Layout, ways: Iterable[Way]) -> list[Way]:
    """The first of several ways that differ only in the level of sharding or recomputation."""
    different: dict[tuple[tuple[str, Any], ...], Way] = {}
    for way in ways:
        after = {name: getattr(way.layout, name) for name in Layout.model_fields}
        changed = {name: value for name, value in after.items() if value != getattr(before, name)}
        key = tuple((name, None if name in GRADUAL else value) for name, value in sorted(changed.items()))
        different.setdefault(key, way)
    return list(different.values())


def _changes(workload: Workload) -> Iterator[tuple[str, dict[str, Any]]]:
    """(description, changed fields) of each valid layout that differs in one setting."""
    model, layout, cluster = workload.model, workload.layout, workload.cluster
    data = int(solved_data(layout, cluster))
    for mode in (Recompute.selective, Recompute.full):
        if mode > layout.recompute:
            yield f"recompute {word(Recompute, mode)}", {"recompute": mode, "recompute_layers": None}
    for stage in (Sharding.zero1, Sharding.zero2, Sharding.zero3):
        if stage > layout.sharding and data * layout.context > 1:
            yield f"ZeRO-{int(stage)}", {"sharding": stage}
    if layout.microbatch > 1:
        smaller = layout.microbatch // 2
        yield f"microbatch {smaller}", {"microbatch": smaller}
    heads = min((int(core.kv_heads) for stack in model.stacks for core in stack.block.attention), default=1)
    layers = min((int(stack.layers) for stack in model.stacks[-1:]), default=1)
    limits = {
        "tensor": min(cluster.gpus_per_domain, heads),
        "pipeline": layers,
        "context": data * layout.context,
    }
    for degree, most in limits.items():
        if degree not in workload.software.degrees and getattr(layout, degree) == 1:
            continue
        doubled = 2 * getattr(layout, degree)
        divides = layers % doubled == 0 if degree == "pipeline" else True
        if (
            data % 2 == 0
            and doubled <= most
            and divides
            and workload.global_batch % (data // 2 * layout.microbatch) == 0
        ):
            yield f"{degree} {doubled}", {degree: doubled, "data": data // 2}
    if (layout.loss_blocks or 1) < BLOCKS:
        yield f"the loss in {BLOCKS} blocks", {"loss_blocks": BLOCKS}
    if not layout.offload_optimizer:
        yield "optimiser states on the host", {"offload_optimizer": True}


def longest_sequence(workload: Workload, build: Callable[[Array], Model], *, multiple: int = 1) -> int | None:
    """The longest sample, in tokens and a multiple of ``multiple``, with which a run fits; None if no length fits.

    ``build(tokens)`` builds the model for an array of lengths. Memory grows with length, so the interval is narrowed with ``POINTS``
    lengths per call until it is one ``multiple`` wide."""
    low, high = 0, int(LONGEST // multiple)
    while high - low > 1:
        spaced = np.geomspace if high - low > POINTS**2 else np.linspace
        tried = np.round(spaced(max(low, 1), high, POINTS)).astype(int)
        fits = np.broadcast_to(memory(replace(workload, model=build(tried * multiple))).fits, tried.shape)
        low = int(tried[fits].max(initial=low))
        high = int(tried[~fits].min(initial=high)) if (~fits).any() else low
    return low * multiple or None
