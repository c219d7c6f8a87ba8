"""``plan``: the best layout that fits, found exactly without evaluating most layouts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.layout.layout import Layout
from gpuhours.layout.placement import stream_layers
from gpuhours.layout.validity import divisors, offered, refuse_interleave
from gpuhours.memory import memory
from gpuhours.questions.planning.answer import Choice, Flatness, Plan, choice
from gpuhours.questions.planning.bound import lower_bound
from gpuhours.questions.planning.space import Space, Values
from gpuhours.questions.sweeping.axes import validated_values
from gpuhours.questions.sweeping.engines import answers
from gpuhours.questions.sweeping.values import read
from gpuhours.run.default_layout import base_of
from gpuhours.run.ensemble import settled
from gpuhours.run.resolve import resolve
from gpuhours.run.shortcuts import run_of
from gpuhours.run.spec import Described, Run
from gpuhours.step import step
from gpuhours.workload import Workload

OBJECTIVES = ("step_time", "gpu_hours", "cost")
MOST_COUNTS = 64
"""Maximum number of GPU counts per plan: each is a separate search."""
FLAT = 0.05
"""Relative distance from the best within which layouts are counted: about the model's error between two layouts of one run."""
FIRST_CHUNK, LARGEST_CHUNK = 256, 4096
"""Cells evaluated at once: few at first, since the best is usually among them."""
CELLS = 1 << 20
"""Cells whose bound is computed at once."""
Watch = Callable[[int, int], None]


@dataclass(frozen=True)
class LayoutSearch:
    """The layouts of one run on one number of GPUs. Calling it with cells evaluates all their layouts."""

    run: Run
    workload: Workload
    """The run's workload, without a layout yet."""
    space: Space
    safe: bool = True
    """Whether only layouts that fit with a probability of nine in ten count; otherwise those more likely to fit than not."""

    @classmethod
    def of(cls, run: Run, *, safe: bool = True) -> LayoutSearch:
        """All layouts of a run; other inputs that it does not state are assumed as in ``estimate``."""
        resolved = resolve(run.replaced("layout", Layout.model_construct()))
        if resolved.missing:
            raise EstimateError(f"A plan needs {', '.join(resolved.missing)}.", "", "run")
        batch = float(resolved.workload.global_batch)
        workload = replace(resolved.workload, global_batch=batch)
        said = _stated_layout(run)
        if said is not None:
            _refuse_impossible_chunks(said, workload)
        base = base_of(workload.model, workload.software, said)
        space = Space.of(workload.model, batch, workload.cluster, base, workload.software)
        return cls(run.replaced("software", workload.software.name), workload, space, safe)

    def __call__(self, cells: Values) -> Found:
        """Step times of the layouts of some cells that fit; the step is only computed for cells where memory allows at least one layout."""
        layouts = self.space.some(cells)
        with np.errstate(all="ignore"):
            held = memory(self.workload.with_layout(layouts))
        fits = np.broadcast_to(
            (held.safe if self.safe else held.fits) & offered(layouts), (len(cells), *self.space.inner_shape)
        ).reshape(len(cells), -1)
        some = np.flatnonzero(fits.any(axis=1))
        if not len(some):
            return Found.nothing()
        with np.errstate(all="ignore"):
            predicted = step(self.workload.with_layout(self.space.some(cells[some])))
        times = np.broadcast_to(predicted.time, (len(some), *self.space.inner_shape)).reshape(len(some), -1)
        valid = np.broadcast_to(predicted.valid, (len(some), *self.space.inner_shape)).reshape(len(some), -1)
        where, inner = np.nonzero(fits[some] & valid)
        return Found(times[where, inner], cells[some][where], inner)

    def cells(self) -> tuple[Values, Values]:
        """Valid cells with a lower bound for each, in ascending order of the bound."""
        bounded = [self._bounds(block) for block in self.space.blocks(CELLS)]
        cells, bounds = (np.concatenate(column) for column in zip(*bounded, strict=True))
        order = np.lexsort((cells, bounds))
        return cells[order], bounds[order]

    def _bounds(self, block: tuple[slice, ...]) -> tuple[Values, Values]:
        """The same for one block, unordered."""
        at, shape = self.workload.with_layout(self.space.cells(block)), tuple(one.stop - one.start for one in block)
        with np.errstate(all="ignore"):  # invalid cells may divide by zero; they are masked, not read
            relaxed = step(at)
            bound = lower_bound(at, relaxed)
        valid = np.broadcast_to(relaxed.valid & ~self.space.redundant(block), shape).reshape(-1)
        return self.space.numbers(block).reshape(-1)[valid], np.broadcast_to(bound, shape).reshape(-1)[valid]


def _stated_layout(run: Run) -> Layout | None:
    """The layout fields that the run states; fields that were assumed are dropped, so that they do not constrain the search."""
    if run.layout is None:
        return None
    said = [name for name in run.layout.model_fields_set if f"layout.{name}" not in run.assumptions]
    return Layout.model_validate({name: getattr(run.layout, name) for name in said})


def _refuse_impossible_chunks(said: Layout, workload: Workload) -> None:
    """Raise ``EstimateError`` if the stated chunks per stage are impossible for every layout of the search."""
    layers = int(stream_layers(workload.model)) or int(sum(float(stack.layers) for stack in workload.model.stacks))
    degrees = [degree for degree in divisors(int(workload.cluster.gpus)) if degree <= layers]
    refuse_interleave(said, layers, [int(said.pipeline)] if "pipeline" in said.model_fields_set else degrees)


@dataclass(frozen=True)
class Found:
    """Layouts that fit, as flat arrays."""

    time: Values
    cell: Values
    inner: Values

    @classmethod
    def nothing(cls) -> Found:
        """No layout."""
        return cls(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))

    def __add__(self, other: Found) -> Found:
        return Found(*(np.concatenate(pair) for pair in zip(self._columns, other._columns, strict=True)))

    @property
    def _columns(self) -> tuple[Values, Values, Values]:
        return self.time, self.cell, self.inner

    def fastest(self, most: int) -> Found:
        """The ``most`` fastest; ties in the order of the space, so that every engine gives the same result."""
        order = np.lexsort((self.inner, self.cell, self.time))[:most]
        return Found(*(column[order] for column in self._columns))

    def below(self, limit: float) -> Found:
        """Those no slower than ``limit``."""
        kept = self.time <= limit
        return Found(*(column[kept] for column in self._columns))


def plan(
    run: Described,
    *,
    gpus: int | str | Iterable[Any] | None = None,
    minimise: str = "step_time",
    top: int = 3,
    engine: str = "local",
    scheduler: str | None = None,
    watch: Watch | None = None,
) -> Plan:
    """The ``top`` layouts of a run with the smallest ``minimise``, of all that fit with a probability of nine in ten (more likely than not,
    if none does).

    ``gpus`` may be several numbers (``"256..1024*2"``). For a given number of GPUs time, GPU-hours and cost have the same order, so the
    fastest are found for each and then compared.
    """
    if minimise not in OBJECTIVES:
        raise EstimateError(f"{minimise!r} cannot be minimised.", f"One of {', '.join(OBJECTIVES)}.", "--minimise")
    if top < 1:
        raise EstimateError("At least one layout must be requested.", "", f"--top {top}")
    started = time.perf_counter()
    asked = run_of(run, {})
    run = settled(asked)
    # the search starts from the layout as stated: a layout completed for display does not constrain others
    sized = [one.replaced("layout", asked.layout) for one in _runs_by_gpus(run, gpus)]
    outcomes = [_search(LayoutSearch.of(one), top, engine, scheduler, watch) for one in sized]
    if not any(kept for _, kept, _, _ in outcomes):
        outcomes = [_search(LayoutSearch.of(one, safe=False), top, engine, scheduler, watch) for one in sized]
    choices = sorted((one for _, kept, _, _ in outcomes for one in kept), key=lambda one: one.value(minimise))[:top]
    _has_objective(choices, minimise)
    own = _given_layout(run, outcomes[0][0].run)
    flat = next((flat for search, kept, flat, _ in outcomes if choices and choices[0] in kept), None)
    size = sum(search.space.size for search, _, _, _ in outcomes)
    evaluated = sum(count for _, _, _, count in outcomes)
    return Plan(run, minimise, size, evaluated, time.perf_counter() - started, tuple(choices), own, flat)


def _has_objective(choices: Iterable[Choice], minimise: str) -> None:
    """Raise ``EstimateError`` if the objective of the layouts that were found is not determined: a cost without a price."""
    best = next(iter(choices), None)
    if best is not None and not np.isfinite(best.value(minimise)):
        reason = best.outcome.bill.reasons.get(minimise, "the run does not determine it")
        raise EstimateError(f"{minimise!r} is not determined: {reason}", "Or minimise step_time.", "--minimise")


def _given_layout(run: Run, sized: Run) -> Choice | None:
    """The layout given in the run, if it is valid on these GPUs."""
    if run.layout is None:
        return None
    try:
        return choice(sized.replaced("layout", run.layout))
    except EstimateError:
        return None


def _runs_by_gpus(run: Run, gpus: int | str | Iterable[Any] | None) -> list[Run]:
    """The run on each number of GPUs, with its software stack chosen."""
    asked = [gpus] if isinstance(gpus, int) else gpus
    if asked is None and run.hardware.gpus is None:
        raise EstimateError("The number of GPUs is missing.", "Give hardware.gpus, or --gpus N.", "hardware.gpus")
    counts = [run.hardware.gpus] if asked is None else validated_values(run, "hardware.gpus", read(asked, "--gpus"))
    if len(counts) > MOST_COUNTS:
        raise EstimateError(
            f"{len(counts):,} numbers of GPUs are too many to plan for, at most {MOST_COUNTS}.",
            "Give a step: 64..1024*2 or 64..1024:64.",
            "--gpus",
        )
    return [run.replaced("hardware.gpus", count) for count in counts]


def _search(
    search: LayoutSearch, top: int, engine: str, scheduler: str | None, watch: Watch | None
) -> tuple[LayoutSearch, list[Choice], Flatness | None, int]:
    """The fastest layouts on one number of GPUs, how flat the optimum is, and how many layouts were evaluated."""
    cells, bounds = search.cells()
    fastest, done = Found.nothing(), 0

    def limit() -> float:
        """Cells whose bound exceeds it contain none of the ``top`` fastest, and none within ``FLAT`` of the best."""
        return (
            max(float(fastest.time[top - 1]), float(fastest.time[0]) * (1 + FLAT))
            if len(fastest.time) >= top
            else np.inf
        )

    for chunk, more in answers(search, _chunks(cells, bounds, limit), engine=engine, scheduler=scheduler, blocks=1):
        done += len(chunk)
        fastest = (fastest + more).fastest(max(top, len(fastest.time) + len(more.time)))
        fastest = fastest.below(limit())
        if watch:
            watch(done, len(cells))
    best = fastest.fastest(top)
    near = fastest.below(float(best.time[0]) * (1 + FLAT)) if len(best.time) else fastest
    layouts = [search.space.layout(int(cell), int(inner)) for cell, inner in zip(best.cell, best.inner, strict=True)]
    flat = Flatness.of(search.space, near.cell, near.inner, FLAT) if layouts else None
    return (
        search,
        [choice(search.run.replaced("layout", layout)) for layout in layouts],
        flat,
        done * int(np.prod(search.space.inner_shape)),
    )


def _chunks(cells: Values, bounds: Values, limit: Callable[[], float]) -> Iterator[Values]:
    """Cells in ascending order of their bound, until none of the rest can be among the best."""
    start, size = 0, FIRST_CHUNK
    while start < len(cells) and bounds[start] <= limit():
        yield cells[start : start + size]
        start += size
        size = min(2 * size, LARGEST_CHUNK)
