"""The unknowns of a run, and typical values for similar runs: the inputs of its sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.records import dataclass
from gpuhours.layout.layout import Layout
from gpuhours.run.batch import parts_of_a_copy
from gpuhours.run.evaluate import known_totals
from gpuhours.run.resolve import Resolved, resolve
from gpuhours.run.spec import Run
from gpuhours.run.totals import solve
from gpuhours.run.typical import (
    Kind,
    Parts,
    Slack,
    Typical,
    UsualWeights,
    blended,
    first,
    is_mixture,
    kind_of,
    parts,
    this_year,
    tuning_share,
    typical,
    usual_gpus,
)
from gpuhours.software.profile import DEGREES, Software, load_software
from gpuhours.workload import Workload


@dataclass(frozen=True)
class Practice:
    """A table of typical values, and the function that loads the stacks it names."""

    table: Typical
    software: Callable[[str], Software] = load_software


def needs_sampling(run: Run) -> bool:
    """Whether a run has to be sampled: it has no stages, states no MFU, GPU-hours or duration, and leaves its step or its goodput open."""
    known = run.known
    settled = (known.mfu, known.gpu_hours, known.wall_clock, known.days)
    step_open = run.stack is None and known.step_time is None
    return not run.stages and (step_open or known.goodput is None) and all(value is None for value in settled)


def known_step_time(run: Run, resolved: Resolved) -> float | None:
    """s per step if known: stated, or measured on this same run; None if it has to be predicted."""
    seconds = resolved.measured if run.known.step_time is None else run.known.step_time
    return None if seconds is None else float(np.max(seconds))


@dataclass(frozen=True, eq=False)
class Samplable:
    """A run with a known number of accelerators, and the typical values for such runs."""

    run: Run
    resolved: Resolved
    kind: Kind
    year: int
    stacks: Parts
    modes: UsualWeights
    slack: Slack
    practice: Practice

    @property
    def params(self) -> float:
        """Parameters of the model."""
        assert self.resolved.model is not None
        return float(np.max(self.resolved.model.parameters))

    @property
    def shares(self) -> tuple[tuple[float, Mapping[str, float]], ...]:
        """The stacks that each part of such runs may use, with weights, and the share of that part."""
        if self.run.stack is not None:
            return ((1.0, {self.resolved.software.name: 1.0}),)
        return tuple((share, line.weights) for share, line in self.stacks)

    @property
    def names(self) -> tuple[str, ...]:
        """The stacks that the run may use."""
        return tuple(dict.fromkeys(name for _, weights in self.shares for name in weights))

    @property
    def workloads(self) -> Mapping[str, Workload]:
        """The workload for each stack as it was in the run's year; a stated stack is used as resolved, which slows a stand-in."""
        asked = self.resolved.workload
        if self.run.stack is not None:
            return dict.fromkeys(self.names, asked)
        stacks = {name: self.practice.software(name).of_year(self.run.year) for name in self.names}
        return {name: replace(asked, software=stack) for name, stack in stacks.items()}

    @property
    def notes(self) -> list[Assumption]:
        """The rules by which stack and recompute mode are drawn."""
        given = frozenset() if self.run.layout is None else self.run.layout.model_fields_set
        named = sum(line.counted for _, line in self.stacks)
        notes = [] if self.run.stack is not None else [drawn_note("software", blended(self.stacks), named)]
        return notes + ([] if "recompute" in given else [drawn_note("layout.recompute", self.modes)])


def described(run: Run, practice: Practice) -> Samplable | None:
    """A run with the typical values for similar runs; None if an input that its step needs is not known."""
    if run.model is None or run.hardware.accelerator is None:
        return None
    resolved = resolve(run.replaced("layout", Layout.model_construct()), layout_open=True)
    if resolved.missing or resolved.model is None or resolved.cluster is None:
        return None
    table, model = practice.table, resolved.model
    kind, year = kind_of(model, resolved.data.frames), run.year or this_year()
    gpus, params = float(np.max(resolved.cluster.gpus)), float(np.max(model.trainable_parameters))
    traits = {"mixture": is_mixture(model), "adapters": model.trains_adapters}
    tuning = tuning_share(model, run.data)
    stacks = parts(table.stacks, kind, year, gpus, params, tuning, **traits)
    if run.stack is None:
        stacks = able(stacks, run.layout, practice)
    modes = blended(parts(table.recompute, kind, year, gpus, params, tuning, **traits))
    slack = first(table.layout, kind, year, gpus, params, **traits)
    return Samplable(run, resolved, kind, year, stacks, modes, slack, practice)


def able(stacks: Parts, layout: Layout | None, practice: Practice) -> Parts:
    """The stacks that can split a model in every way that the run states: DDP has no tensor degree. All of them if none can.

    Where that rules out some, the others weigh as judged: that a run is named for a stack does not say that it was split this way.
    """
    given = frozenset() if layout is None else layout.model_fields_set
    needed = {degree for degree in DEGREES if degree in given and np.max(getattr(layout, degree) or 1) > 1}
    if not needed:
        return stacks
    fitting = []
    for share, line in stacks:
        splits = line.only(lambda name: needed <= set(practice.software(name).degrees))
        if splits is not None:
            fitting.append((share, line if splits.judged == line.judged else splits.without(lambda _: True)))
    whole = sum(share for share, _ in fitting)
    return tuple((share / whole, line) for share, line in fitting) or stacks


def usual_practice() -> Practice:
    """The typical values included in gpuhours."""
    return Practice(typical())


SWAPPED = "layout.offload_parameters"
SWAPS = "the frozen weights do not fit beside the rest: blocks are swapped in from host memory, as trainers of diffusion models do"
SWAPS_SOURCE = "sd-scripts' and musubi-tuner's --blocks_to_swap, ai-toolkit's low_vram and OneTrainer's offloading, all for one card"


def with_gpus(run: Run, practice: Practice) -> tuple[Run, list[Assumption]]:
    """The run on a typical machine, and the assumptions: a typical number of accelerators if it states none, and blocks swapped in from
    host memory where that is how its adapters fit one card. Unchanged if its model, its accelerator or that accelerator's kernel times are
    not known.

    A run that does not say how much it trains gets the fewest: a node, or for adapters as many as hold the frozen weights.
    """
    layout, stated = run.layout, run.hardware.gpus
    swaps = run.model is not None and run.model.swaps_blocks and not _says_where(layout)
    if (stated is not None and not (swaps and np.all(np.equal(stated, 1)))) or (
        layout is not None and layout.data is not None
    ):
        return run, []
    alone = resolve(run.replaced("hardware.gpus", 1).replaced("layout", Layout.model_construct()))
    if alone.model is None or alone.cluster is None:
        return run, []
    held = parts_of_a_copy(alone.model, alone.cluster.accelerator.memory, alone.precision.frozen)
    notes = []
    if swaps and held > 1:
        beside = Layout.model_construct() if layout is None else layout
        run, held = run.replaced("layout", beside.replaced(offload_parameters=True)), 1.0
        notes = [Assumption(SWAPPED, "true", "", SWAPS, SWAPS_SOURCE)]
    gpus = _typical_gpus(run, alone, held, practice) if stated is None else None
    return (run, notes) if gpus is None else (run.replaced("hardware.gpus", gpus.value), [*notes, gpus])


def _says_where(layout: Layout | None) -> bool:
    """Whether a layout says where the weights are."""
    return layout is not None and bool(
        layout.model_fields_set & {"sharding", "tensor", "pipeline", "offload_parameters"}
    )


def _typical_gpus(run: Run, alone: Resolved, held: float, practice: Practice) -> Assumption | None:
    """The typical number of accelerators for a run, resolved on one, whose frozen weights fill ``held`` of them."""
    assert alone.model is not None
    assert alone.cluster is not None
    flops = solve(known_totals(run.replaced("hardware.gpus", 1), alone)).value("model_flops")
    if flops is None and not alone.timed:
        return None
    node = float(np.max(alone.cluster.gpus_per_node))
    if alone.model.trains_adapters:
        usual, least, most = practice.table.adapter_accelerators, held, max(held, node)
        reason = "no number of accelerators is stated: as usual for adapters of its cost" + (
            f"; {held:.0f} hold the frozen weights" if held > 1 else ""
        )
    else:
        alone_on_ethernet = node == 1 and alone.cluster.node.network == "ethernet"
        usual, least, most = practice.table.accelerators, node, 1.0 if alone_on_ethernet else np.inf
        reason = "no number of accelerators is stated: as many as published runs of its cost"
        if alone_on_ethernet:
            reason = "no number of accelerators is stated: one, since a node has one and Ethernet joins nodes"
    if flops is None:
        reason = "no number of accelerators is stated, nor how much is trained: the fewest that are usual"
    gpus = usual_gpus(0.0 if flops is None else float(flops), alone.peak, usual, least, most)
    return Assumption("hardware.gpus", gpus, "GPU", reason, usual.source)


def drawn_note(key: str, rule: UsualWeights, named: int = 0) -> Assumption:
    """The list entry for a key that is drawn: the alternatives with their shares, how many runs and scripts are ``named`` for them, and the
    source."""
    whole = sum(rule.weights.values())
    shown = ", ".join(f"{name} {weight / whole:.0%}" for name, weight in rule.weights.items())
    rest = f"{named} runs and scripts are named, the rest is a judgement" if named else "a judgement"
    reason = f"not stated: what runs of the year, kind and size use; {rest}"
    return Assumption(f"{key} (drawn)", shown, "", reason, rule.source)


def rated(run: Run, resolved: Resolved) -> bool:
    """Whether the network's rate is stated, or covered by a site calibration."""
    return run.hardware.has_network_rate or resolved.calibration is not None
