"""Measured runs that do not fit the columns of a table (encoders, clips, diffusion), each given as a run file with its measurement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, StringConstraints, model_validator

from gpuhours.architecture.operators import Model
from gpuhours.hardware.clusters import Cluster
from gpuhours.hardware.number_formats import Precision
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.units import Bytes, Seconds
from gpuhours.inputs.yaml_files import Section, Source, validated
from gpuhours.layout.layout import Layout
from gpuhours.memory import memory
from gpuhours.questions.validating.leaving_out import (
    accelerator_without,
    as_unmeasured,
    libraries_without,
    node_without,
    software_without,
)
from gpuhours.questions.validating.prediction import Prediction
from gpuhours.questions.validating.rows import Row, described_runs
from gpuhours.run.default_layout import with_explicit_defaults
from gpuhours.run.input_pipeline import InputPipeline
from gpuhours.run.novelty import Traits, kind_of_model
from gpuhours.run.overlays import laid_over
from gpuhours.run.resolve import Resolved, resolve
from gpuhours.run.spec import Run, from_source, run_file
from gpuhours.software.matching import under
from gpuhours.software.memory import GIB
from gpuhours.software.profile import Software
from gpuhours.step import step_and_hosts
from gpuhours.workload import Workload

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
BATCH = "training.global_batch"
"""A key that an estimate may assume, but a measured run must state."""


class DescribedRun(Section):
    """One run: its keys beyond those common to all rows, and its measurements."""

    id: Name
    step_time: Seconds | None = None
    predicted_blind: Seconds | None = None
    """Step time predicted before the run was measured; reported along with today's prediction."""
    allocated: Bytes | None = None
    """Peak memory of the framework's allocator (``torch.cuda.max_memory_allocated``)."""
    average: bool = False
    """Whether the time is a whole run's divided by its steps, so that data loading, evaluation and restarts are included."""
    note: str = ""
    run: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _something_was_measured(self) -> Self:
        if self.step_time is None and self.allocated is None:
            raise ValueError(f"row {self.id!r} has no measurement; give step_time, allocated or both")
        if "known" in self.run:
            raise ValueError(f"row {self.id!r} is predicted, not solved from known values; leave known out")
        return self


class Measurements(Section):
    """One source's measured runs."""

    title: Name
    source: Name
    note: str = ""
    models: Mapping[str, Any] = Field(default_factory=dict)
    """Architectures by the names used for ``run.model`` here."""
    run: Mapping[str, Any] = Field(default_factory=dict)
    """Keys common to all rows."""
    rows: Annotated[tuple[DescribedRun, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _ids_differ(self) -> Self:
        names = [row.id for row in self.rows]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two rows are named {', '.join(map(repr, twice))}")
        if "known" in self.run:
            raise ValueError("measured runs are predicted, not solved from known values; leave known out of run")
        return self


@dataclass(frozen=True, eq=False)
class Described:
    """One run, ready to be predicted."""

    row: Row
    resolved: Resolved
    model: Model
    layout: Layout
    cluster: Cluster
    remarks: tuple[str, ...] = ()
    """What its file does not state, and what was assumed instead."""
    stack_said: bool = True
    """Whether its file names the stack."""
    launch: float | None = None
    """CPU time in s to launch a small nn.Linear on its host, if its file gives it."""
    without: str = ""
    """The system that its constants exclude; empty: none."""
    left_out: tuple[str, ...] = ()
    """What was left out to exclude it."""
    pipeline: InputPipeline = InputPipeline()
    """How its images or clips reach the accelerators, as far as its file says."""

    @property
    def accelerator(self) -> str:
        """Its profile's name."""
        return self.cluster.accelerator.name

    @property
    def software(self) -> Software:
        """The stack."""
        return self.resolved.software

    @property
    def precision(self) -> Precision:
        """Its number formats."""
        return self.resolved.precision

    @property
    def gpus(self) -> int:
        """Number of accelerators."""
        return int(self.cluster.gpus)

    @property
    def tokens(self) -> int:
        """Tokens of a sample in the widest stream."""
        return int(self.resolved.tokens_per_sample or 0)

    @cached_property
    def predicted(self) -> Prediction:
        """Its step and memory as predicted."""
        return _predicted(self.resolved.workload, step_time=True)

    @property
    def traits(self) -> Traits:
        """The traits that determine how similar it is to other runs."""
        chip, frames = self.cluster.accelerator, self.resolved.data.frames is not None
        kind = kind_of_model(self.model, frames)
        return Traits(
            self.software.name, chip.name, chip.generation, self.precision.dtype, kind, self.gpus, self.tokens,
            self.stack_said,
        )  # fmt: skip


def read_described(path: Path | str) -> tuple[Described, ...]:
    """Every run of a file; those of a file included in gpuhours are read once."""
    return _included(path) if path in described_runs() else _read(path)


@cache
def _included(path: Path | str) -> tuple[Described, ...]:
    return _read(path)


def _read(path: Path | str) -> tuple[Described, ...]:
    source = run_file(path)  # relative paths are resolved from its folder
    return tuple(_described(validated(Measurements, source), source))


def known_without(one: Described, system: str) -> Described:
    """The run with constants of its stack and machine that exclude a system's measured runs."""
    software, profile = software_without(one.software.name, system)
    libraries, newer = libraries_without(software.libraries, system)
    chip, kernels = accelerator_without(one.accelerator, system)
    node, network = node_without(one.cluster.node, system)
    left = (*profile, *newer, *kernels, *network)
    if not left:
        return one
    cluster = replace(one.cluster, accelerator=chip, node=node)
    software = as_unmeasured(software.model_copy(update={"libraries": libraries}).on_host(one.launch), left, system)
    resolved = replace(one.resolved, software=software, cluster=cluster)
    return replace(one, resolved=resolved, cluster=cluster, without=system, left_out=left)


def _described(table: Measurements, source: Source) -> Iterator[Described]:
    for line, one in enumerate(table.rows, 1):
        place = f"{source.name}  {one.id}"
        run = from_source(Source(place, {"name": one.id, **_merged_run(table, one)}))
        resolved = _resolved(run, place)
        assumed = [assumption.name for assumption in resolved.assumptions]
        missing = [*resolved.missing, *(["the global batch"] if BATCH in assumed else [])]
        if missing or run.stages:
            lacking = ", ".join(missing) or "which of the stages was measured"
            raise EstimateError(
                f"The step cannot be predicted; missing: {lacking}.", "Give it in the row's run.", place
            )
        asked = resolved.workload
        cells = {
            "id": one.id, "source_title": table.title, "outcome": "average" if one.average else "",
            "step_time_s": "" if one.step_time is None else repr(float(one.step_time)),
            "predicted_blind_s": "" if one.predicted_blind is None else repr(float(one.predicted_blind)),
            "mem_gib_per_gpu": "" if one.allocated is None else repr(float(one.allocated) / GIB),
            "seq_len": repr(float(resolved.tokens_per_sample or 0)),
        }  # fmt: skip
        remarks: tuple[str, ...] = (f"assumed {', '.join(assumed)}",) if assumed else ()
        stated = laid_over(table.run, one.run).get("software")
        if (own := under(table.title, str(stated))) is not None:
            remarks += (f"software {stated!r} read as {own}: the file's title names Hugging Face",)
        yield Described(
            Row(cells, line), resolved, asked.model, asked.layout, asked.cluster, remarks, run.stack is not None,
            run.hardware.launch, pipeline=run.input,
        )  # fmt: skip


def _resolved(run: Run, place: str) -> Resolved:
    """The run with its profiles and architecture; errors name the row."""
    try:
        return resolve(run.replaced("layout", with_explicit_defaults(run.layout)))
    except EstimateError as error:
        raise EstimateError(error.problem, error.hint, f"{place}  {error.where}".rstrip()) from None


def _merged_run(table: Measurements, one: DescribedRun) -> dict[str, Any]:
    """A row's run merged with the common keys, and its model looked up."""
    data = laid_over(table.run, one.run)
    if (own := under(table.title, str(data.get("software")))) is not None:
        data = {**data, "software": own}
    named = data.get("model")
    return {**data, "model": table.models[named]} if isinstance(named, str) and named in table.models else data


def predict_described(runs: Sequence[Described], *, step_time: bool = True) -> list[Prediction]:
    """Predict step time and allocated memory of each run."""
    return [one.predicted if step_time else _predicted(one.resolved.workload, step_time=False) for one in runs]


def _predicted(workload: Workload, *, step_time: bool) -> Prediction:
    """Allocated memory, and step time if asked for."""
    held = memory(workload)
    allocated, filled = float(held.allocated), float(held.filled)
    if not step_time:
        return Prediction(None, {}, allocated, filled)
    found, fast, slow = step_and_hosts(workload)
    problem = "; ".join(reason for reason, where in found.reasons.items() if np.any(where)) or None
    time = None if problem else float(found.time)
    parts = {name: float(value) for name, value in found.parts.items()}
    return Prediction(time, parts, allocated, filled, problem=problem, hosts=(float(fast), float(slow)))
