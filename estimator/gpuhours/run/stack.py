"""Which software stack a run has: the stated one, the usual one for its year and layout, or one calibrated on a site's own steps."""

from __future__ import annotations

import numpy as np

from gpuhours.architecture.operators import Model
from gpuhours.data import Data
from gpuhours.hardware.clusters import Cluster
from gpuhours.inputs.assumptions import Assumption
from gpuhours.layout.choices import Sharding
from gpuhours.run.conformal import unmeasured_stack
from gpuhours.run.novelty import kind_of_model
from gpuhours.run.site import StackCalibration
from gpuhours.run.spec import Run
from gpuhours.run.typical import this_year
from gpuhours.software.matching import StatedStack, kind_of_layout, match, software_named, stands_in
from gpuhours.software.profile import Software, load_software

DISTRIBUTING = frozenset({"tensor", "pipeline", "sharding", "data"})
"""Fields of a layout that say whether a stack splits models or copies them; micro-batches and recomputation go with either."""


def stack_of_run(run: Run, model: Model | None, data: Data, notes: list[Assumption]) -> Software:
    """The stated stack; if none is stated or it is unknown, the usual one for the year and layout (``matching``)."""
    if run.stack is None:
        reason = "no stack is named" if run.software is None else f"{run.software!r} is not a known stack"
        name = match(_unnamed_stack(run, model, data)).profile
        usual = "for adapters" if model is not None and model.trains_adapters else "for the year and layout"
        notes.append(Assumption("software", name, "", f"{reason}: the usual one {usual}"))
        return load_software(name).of_year(run.year)
    name, remark = software_named(run.stack, run.year)
    if remark:
        notes.append(Assumption("software", name, "", remark))
    software = load_software(name).of_year(run.year)
    if not stands_in(run.stack, run.year):
        return software
    reason = f"not measured: {name} stands in for it, and such stacks took that much longer in the median"
    notes.append(Assumption("software.unmeasured_factor", round(unmeasured_stack(), 3), "", reason))
    return software.standing_in(unmeasured_stack())


def _unnamed_stack(run: Run, model: Model | None, data: Data) -> StatedStack:
    """What a run that names no known stack says of it: its year, layout and kind of model. Unless its layout says how the model is
    distributed (``DISTRIBUTING``), it is split, as most large runs are; not on one accelerator, and not by a trainer of adapters."""
    layout, adapters = run.layout, model is not None and model.trains_adapters
    alone = run.hardware.gpus is not None and bool(np.all(np.equal(run.hardware.gpus, 1)))
    split, sharding = not (adapters or alone), ""
    if layout is not None and layout.model_fields_set & DISTRIBUTING:
        split = bool(np.any(np.greater(layout.tensor * layout.pipeline, 1)))
        sharding = "" if np.ndim(layout.sharding) else Sharding(layout.sharding).name
    return StatedStack(
        year=run.year or this_year(),
        layout=kind_of_layout(split=split, sharding=sharding),
        adapters="" if not adapters else "text" if data.frames is None else "images",
        expert_ranks=layout is not None and bool(np.any(np.greater(layout.expert, 1))),
    )


def calibrated(
    run: Run, software: Software, model: Model | None, machine: Cluster | None, notes: list[Assumption]
) -> tuple[Software, StackCalibration | None]:
    """The stack scaled by the site's calibration factor, and that calibration; the stack unchanged and None if none applies to the run."""
    if run.site is None or model is None or machine is None:
        return software, None
    card, kind = machine.accelerator.name, kind_of_model(model, run.data.frames is not None)
    found = next((one for one in run.site.stacks if one.applies_to(software.name, card, kind)), None)
    if found is None:
        covered = "; ".join(f"{one.software}, {one.accelerator}, {one.kind}" for one in run.site.stacks)
        reason = f"{run.site.name} covers {covered or 'other stacks'}, not {software.name}, {card}, {kind}"
        notes.append(Assumption("site", "range and factor not used", "", reason))
        return software, None
    if found.here is not None:
        reason = f"{run.site.name}: measured on this run; its breakdown is predicted, with all parts scaled by the same factor"
        notes.append(Assumption("step measured", found.here, "second", reason))
    elif found.factor != 1.0:
        reason = f"{run.site.name}: the part that carries over of the ratio of {len(found.steps)} measured steps to their predictions"
        notes.append(Assumption("site factor", found.factor, "", reason))
    return software.model_copy(update={"pace": found.factor}), found
