"""A training run as described by its user: ``run.yaml``, validated, in SI floats.

The same frozen object serves one run and a sweep: ``run.replaced("layout.tensor", np.array([1, 2, 4]))``.
"""

import copy
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, field_validator, model_validator
from pydantic_core import core_schema

from gpuhours.architecture.model_spec import ModelSpec
from gpuhours.cost.inputs import CostInputs
from gpuhours.data import Data
from gpuhours.hardware.kernel_constants import list_networks
from gpuhours.hardware.nodes import find_instance
from gpuhours.hardware.number_formats import Precision, spelled
from gpuhours.hardware.optimisers import OptimiserName
from gpuhours.inputs.errors import EstimateError, nearest
from gpuhours.inputs.profile_folders import find_profile, is_path
from gpuhours.inputs.units import Bandwidth, Count, Fraction, Reader, Seconds, Tokens, magnitude, measured_in, whole
from gpuhours.inputs.yaml_files import Key, Section, Source, read_yaml, short, validated
from gpuhours.layout.layout import Layout
from gpuhours.run.goodput import Operation
from gpuhours.run.input_pipeline import InputPipeline
from gpuhours.run.overlays import put, set_assumptions, staged, with_paths_from
from gpuhours.run.site import SiteFile, stack_of
from gpuhours.software.matching import is_unknown, software_named
from gpuhours.software.profile import known_as

SAMPLES = ("sample", "sequence", "clip")
"""What a sample is called, depending on what is trained on."""


def _samples(value: object) -> object:
    """A number of samples, with or without what they are called: ``2048``, ``2,048 sequences``. Raises ``UnitError``."""
    said = value.strip().lower().removesuffix("s") if isinstance(value, str) else ""
    return whole(next((name for name in SAMPLES if said.endswith(name)), "")).read(value)


Samples = Annotated[int, Reader(_samples, "count", core_schema.int_schema())]


class Training(Section):
    """One optimiser step, and its number formats."""

    global_batch: Samples | None = None
    """Samples (sequences, clips) per optimiser step, ``2048 samples``; with the unit "tokens" it is read as ``batch_tokens``."""
    batch_tokens: Tokens | None = None
    """Tokens per optimiser step, instead of samples."""
    dtype: Annotated[str, BeforeValidator(spelled)] = "bf16"
    state: str = "mixed"
    """State stored per parameter: mixed (16-bit weights, fp32 master and moments), amp, pure."""
    optimizer: OptimiserName = "adamw"
    """Determines the state per parameter besides its weights, and the time of the update."""
    convention: str = "causal"
    """How attention is counted in model FLOPs: causal, palm or 6nd."""

    @model_validator(mode="before")
    @classmethod
    def _batch_by_unit(cls, data: Any) -> Any:
        """``global_batch: 4M tokens`` is a batch in tokens."""
        batch = data.get("global_batch") if isinstance(data, Mapping) else None
        if isinstance(batch, str) and batch.strip().lower().endswith(("token", "tokens")):
            if data.get("batch_tokens") is not None:
                raise ValueError("global_batch in tokens and batch_tokens are the same; keep one")
            return {**{key: value for key, value in data.items() if key != "global_batch"}, "batch_tokens": batch}
        return data

    @property
    def precision(self) -> Precision:
        """The number formats of this run."""
        return Precision(self.dtype, self.state, self.optimizer)


class Interconnect(Section):
    """The network between nodes: its kind, and the rate that collectives reach, as a measured all-reduce of gigabytes or as a share."""

    kind: str | None = None
    """A file of ``hardware_specs/networks``; the node's own by default."""
    all_reduce: Bandwidth | None = None
    """Bus bandwidth, as printed by nccl-tests."""
    ranks: Count | None = None
    share: Fraction | None = None
    """Share of the rated bandwidth that collectives between nodes reach, in addition to the losses of this kind of network at that scale;
    typical by default."""

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str | None) -> str | None:
        if kind is not None and kind not in list_networks():
            raise ValueError(f"no such network. Known: {', '.join(list_networks())}.")
        return kind

    @model_validator(mode="after")
    def _measured_whole(self) -> "Interconnect":
        if (self.all_reduce is None) != (self.ranks is None):
            raise ValueError("a measured rate needs all_reduce and ranks")
        if self.kind is None and self.all_reduce is None and self.share is None:
            raise ValueError("give its kind, all_reduce and ranks as measured, or a share of the rated bandwidth")
        if self.all_reduce is not None and self.share is not None:
            raise ValueError("all_reduce is a measured rate and share a part of the rated one; leave one of them out")
        if self.share is not None and not self.share > 0.0:
            raise ValueError("share must be above 0")
        return self


class Hardware(Section):
    """The machine."""

    accelerator: str | None = None
    node: str | None = None
    instance: str | None = None
    """A cloud instance, which sets accelerator and node: ``p5.48xlarge``; it may also be given as ``accelerator``."""
    gpus: Count | None = None
    internode_bandwidth: Bandwidth | None = None
    """Per GPU and direction; from the node's network cards by default."""
    launch: Seconds | None = None
    """CPU time to launch a small nn.Linear (PyTorch, 64 by 64, from Python), 12 to 46 us: determines the time of steps limited by kernel
    launches. If not given, the typical time, and a range that covers other hosts; `Say first` of an estimate shows how to measure it."""
    network: Interconnect | None = None
    """Its kind, or its measured rate, which replaces ``internode_bandwidth``."""

    @property
    def has_network_rate(self) -> bool:
        """Whether anything gives the rate of collectives between nodes."""
        asked = self.network
        measured = asked is not None and (asked.all_reduce is not None or asked.share is not None)
        return measured or self.internode_bandwidth is not None

    @model_validator(mode="after")
    def _one_machine(self) -> "Hardware":
        if self.network is not None and self.network.all_reduce and self.internode_bandwidth is not None:
            raise ValueError(
                "network gives a measured rate and internode_bandwidth a stated one; leave one of them out"
            )
        if self.instance is not None and (self.accelerator is not None or self.node is not None):
            raise ValueError("an instance sets accelerator and node; leave those out")
        return self

    @property
    def named(self) -> str | None:
        """The name of the accelerator, or of the instance."""
        return self.accelerator if self.instance is None else self.instance


class Known(Section):
    """Results that are already known; the others are solved from them."""

    mfu: Annotated[float, measured_in("", most=1.0)] | None = None
    gpu_hours: Annotated[float, measured_in("GPU*hour")] | None = None
    wall_clock: Seconds | None = None
    days: Annotated[float, measured_in("day")] | None = None
    step_time: Seconds | None = None
    goodput: Annotated[float, measured_in("", most=1.0)] | None = None

    @model_validator(mode="after")
    def _one_duration(self) -> "Known":
        if self.days is not None and self.wall_clock is not None:
            raise ValueError("days and wall_clock are the same result; keep one")
        return self


class Supplied(Section):
    """An assumption for something left open: the value at a key, its range, and the reason."""

    value: Any
    low: Any = None
    high: Any = None
    """10th and 90th percentile; the range is propagated to every result."""
    reason: str
    source: str = ""
    depends_on: tuple[str, ...] = ()
    """The claims of a document that it was chosen to agree with, if any."""

    @model_validator(mode="after")
    def _in_order(self) -> "Supplied":
        if (self.low is None) != (self.high is None):
            raise ValueError("a range has a low and a high end")
        if self.low is not None and not 0 < magnitude(self.low) <= magnitude(self.value) <= magnitude(self.high):
            raise ValueError("low, value and high must be positive and in this order")
        return self


FIRST_YEAR, LAST_YEAR = 2010, 2100
"""Years that a run may be of."""


class Run(Section):
    """The complete input of an estimate."""

    name: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = "run"
    model: ModelSpec | None = None
    data: Data = Data.model_construct()
    input: InputPipeline = InputPipeline.model_construct()
    training: Training = Training.model_construct()
    hardware: Hardware = Hardware.model_construct()
    layout: Layout | None = None
    software: str | None = None
    year: Annotated[int, whole(least=FIRST_YEAR, most=LAST_YEAR)] | None = None
    """The year of the run, which sets typical values for what is not stated. The current year by default."""
    operation: Operation = Operation.model_construct()
    site: SiteFile = None
    """Calibration from this machine's own steps: the file that ``gpuhours calibrate`` writes."""
    known: Known = Known.model_construct()
    cost: CostInputs = CostInputs.model_construct()
    assumptions: Mapping[str, Supplied] = Field(default_factory=dict)
    stages: tuple["Run", ...] = ()
    """Training in several stages, each a whole run: in a file, the keys that differ from those outside ``stages``."""

    def __repr__(self) -> str:
        gpus, model = self.hardware.gpus, self.model
        machine = (f"{gpus:,.0f} x " if isinstance(gpus, int | float) else "") + (self.hardware.named or "")
        said = (
            model and (model.name or getattr(model, "kind", "")),
            machine,
            self.software,
            self.layout and "a layout",
        )
        return f"<Run {self.name}: {', '.join(str(one) for one in said if one) or 'nothing stated'}>"

    __str__ = __repr__

    @property
    def stack(self) -> str | None:
        """The named software; None if none is named, or an unknown one, which counts as open."""
        return None if self.software is None or is_unknown(self.software, self.year) else self.software

    def replaced(self, key: str, value: Any) -> "Run":
        """The same run with one key set, to an array for a sweep; nothing is validated."""
        replaced: Run = _with(self, key.split("."), value, key)
        return replaced

    def ranges(self) -> dict[str, tuple[float, float, float]]:
        """The assumptions with a range, by key: (low, value, high) in SI units."""
        by_key = {}
        for key, supplied in self.assumptions.items():
            if supplied.low is None or supplied.high is None:
                continue
            value, stated = float(self.value(key)), magnitude(supplied.value)
            by_key[key] = (value * magnitude(supplied.low) / stated, value, value * magnitude(supplied.high) / stated)
        return by_key

    def stated(self) -> dict[str, Any]:
        """What the run states, in the form of a run file: read back, it gives the same answer. What it leaves open stays open, since a
        default that is written down would count as known."""
        return self.model_dump(mode="json", exclude_none=True, exclude_unset=True)

    def value(self, key: str) -> Any:
        """The value at ``key``: ``run.value("data.frames")``."""
        block: Any = self
        for part in key.split("."):
            block = getattr(block, part, None)
        return block


def _with(block: BaseModel, parts: Sequence[str], value: Any, key: str) -> Any:
    """A copy of a nested block with the value at ``parts`` replaced."""
    name = parts[0]
    if name not in type(block).model_fields:
        raise EstimateError(f"No key {key!r}.", nearest(name, type(block).model_fields), key)
    if len(parts) > 1:
        inner = getattr(block, name)
        if not isinstance(inner, BaseModel):
            raise EstimateError(
                f"The run has no {name!r} block to set {key!r} in.", "Add it to the run file first.", key
            )
        value = _with(inner, parts[1:], value, key)
    return block.model_copy(update={name: value})


Described = Run | Path | str | Mapping[str, Any]
"""A run, its file, or the file's contents: accepted by every command's function."""


def load(path: Path | str, settings: Mapping[str, Any] | None = None) -> Run:
    """Read ``run.yaml``; ``settings`` (key -> value) override the file."""
    return from_source(run_file(path), settings)


def run_file(path: Path | str) -> Source:
    """A run file's contents, with relative paths resolved from its folder."""
    source = read_yaml(path)
    return Source(source.name, with_paths_from(source.data, Path(path).parent), source.places)


def from_dict(data: Mapping[str, Any], name: str = "the run", settings: Mapping[str, Any] | None = None) -> Run:
    """A run from plain values, as in YAML."""
    return from_source(Source(name, data), settings)


NO_MAPPING = "`gpuhours init` writes one to begin with; of a paper's text ask `gpuhours check` or `gpuhours reproduce`."


def from_source(source: Source, settings: Mapping[str, Any] | None = None) -> Run:
    """A run from a file's contents: settings are applied first, then assumed values are inserted, then the result is validated.

    Raises ``EstimateError``, with the position in the file, for a key or a value that a run does not have.
    """
    if not isinstance(source.data, Mapping):
        raise EstimateError("A run file is a mapping of keys to values.", NO_MAPPING, source.name)
    data = copy.deepcopy(dict(source.data))
    for key, value in (settings or {}).items():
        put(data, key, value)
    if not data:
        raise EstimateError("Nothing to estimate.", "See `gpuhours schema run`.", source.name)
    if isinstance(data.get("stages"), list):
        data["stages"] = staged(data)
    set_assumptions(data)
    written = Source(source.name, data, source.places, options=source.options)
    run = validated(Run, written)
    _find_names(written, run.year)
    return at_site(run)


def _machine(name: str, _year: int | None) -> object:
    return find_instance(name) or find_profile("accelerators", name)


def _node(name: str, _year: int | None) -> object:
    return find_profile("nodes", name)


def _stack(name: str, year: int | None) -> object:
    """The profile of a stack; None for an unknown one, which counts as open."""
    return None if is_unknown(name, year) else software_named(name, year)


NAMED: tuple[tuple[Key, Callable[[str, int | None], object]], ...] = (
    (("hardware", "accelerator"), _machine),
    (("hardware", "node"), _node),
    (("software",), _stack),
)
"""Keys whose values name a profile, each with what finds it in a run of a year."""


def _find_names(source: Source, year: int | None) -> None:
    """Look up the names in a run; raises ``EstimateError`` with the position of one that no profile has."""
    for key, find in NAMED:
        name = source.value(key)
        if not isinstance(name, str) or is_path(name):
            continue
        try:
            find(name, year)
        except EstimateError as error:
            where = f"{source.place(key)}  {'.'.join(map(str, key))} = {short(name)}"
            raise EstimateError(error.problem, error.hint, where) from None


def at_site(run: Run) -> Run:
    """The run with the stack and network that its site's calibration chose; its site is reduced to that stack's calibration.

    A run that names a stack without calibration keeps it; a run that names none gets the calibrated stack with most steps.
    """
    if run.stages:
        return run.replaced("stages", tuple(at_site(stage) for stage in run.stages))
    if run.site is None:
        return run
    calibration = stack_of(run.site, run.stack, run.year)
    if calibration is None:
        return run.replaced("site", run.site.model_copy(update={"stacks": ()}))
    supplied: Mapping[str, Supplied] = dict(run.assumptions)
    many = f"{len(calibration.steps)} step{'s' if len(calibration.steps) > 1 else ''}"
    reason = f"{run.site.name}: best explains {many} of {calibration.stated} here"
    if run.stack is None or calibration.software != (known_as(calibration.stated) or calibration.stated):
        supplied = {**supplied, "software": Supplied(value=calibration.software, reason=reason)}
    here = calibration.measured(step_digest(run)) if calibration.here is None else calibration.here
    calibration = calibration.model_copy(update={"here": here})
    taken = run.replaced("software", calibration.software).replaced(
        "site", run.site.model_copy(update={"stacks": (calibration,)})
    )
    if calibration.network is not None and run.hardware.network is None:
        taken = taken.replaced("hardware.network", Interconnect(kind=calibration.network))
        supplied = {**supplied, "hardware.network.kind": Supplied(value=calibration.network, reason=reason)}
    return taken.replaced("assumptions", supplied)


def step_digest(run: Run) -> str:
    """Digest, in twelve hexadecimal digits, of the stated values that determine a run's step time besides its stack. A measured step
    applies to every run with the same digest, whatever its length."""
    amounts = {"tokens", "samples", "dataset_samples", "epochs", "steps"}
    said = run.model_dump(
        mode="json",
        exclude_defaults=True,
        include={"model", "data", "training", "hardware", "layout"},
        exclude={"data": amounts},
    )
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:12]


def of_other_runs(run: Run) -> Run:
    """The run without its own measured step, so that its site's calibration for other runs applies: sweeps, plans and comparisons change
    the run."""
    if run.site is None or all(one.here is None for one in run.site.stacks):
        return run
    stacks = tuple(one.model_copy(update={"here": None}) for one in run.site.stacks)
    return run.replaced("site", run.site.model_copy(update={"stacks": stacks}))
