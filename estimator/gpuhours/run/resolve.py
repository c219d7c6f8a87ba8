"""Derives the inputs of the equations from the user's input; every value that is filled in is listed with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field, replace

import numpy as np

from gpuhours.architecture.catalogue import known_as, named, names
from gpuhours.architecture.model_spec import ModelSpec
from gpuhours.architecture.operators import Model
from gpuhours.data import Data
from gpuhours.hardware import kernel_constants
from gpuhours.hardware.clusters import Cluster, cluster
from gpuhours.hardware.networks import implied_bandwidth, on_network
from gpuhours.hardware.nodes import find_instance, instance_hint
from gpuhours.hardware.number_formats import Precision
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.layout.layout import Layout
from gpuhours.layout.validity import refuse, remarks
from gpuhours.run.batch import dividing_microbatch, global_batch, parts_of_a_copy
from gpuhours.run.default_layout import default_layout, is_partial, with_usual_experts
from gpuhours.run.site import StackCalibration
from gpuhours.run.spec import Interconnect, Run
from gpuhours.run.stack import calibrated, stack_of_run
from gpuhours.run.typical import tuning_share
from gpuhours.run.usual_data import completed
from gpuhours.software.matching import is_family
from gpuhours.software.profile import Software
from gpuhours.workload import Workload


@dataclass(frozen=True, eq=False)
class Resolved:
    """The inputs of the equations. Those that the run does not determine are None and listed in ``missing``."""

    data: Data
    model: Model | None
    tokens_per_sample: Array | None
    global_batch: Array | None
    gpus: Array | None
    cluster: Cluster | None
    layout: Layout | None
    software: Software
    precision: Precision
    assumptions: tuple[Assumption, ...]
    warnings: tuple[str, ...] = ()
    bases: Mapping[str, str] = field(default_factory=dict)
    family_alone: bool = False
    """Whether the run names no more than the family of its stack."""
    calibration: StackCalibration | None = None
    """The site's calibration for the run's stack, accelerator and kind; None if there is none."""

    @property
    def measured(self) -> float | None:
        """Measured step time of this same run in s; None if it was not measured."""
        return None if self.calibration is None else self.calibration.here

    def basis(self, key: str) -> str:
        """The origin of a value: given, solved or assumed."""
        return self.bases.get(key, "given")

    @property
    def peak(self) -> float:
        """Dense FLOP/s of one accelerator in the run's number format."""
        assert self.cluster is not None
        return self.cluster.accelerator.peak_for(self.precision.gemm)

    @property
    def workload(self) -> Workload:
        """The input of ``step`` and ``memory``. Raises ``ValueError`` if something is ``missing``."""
        if self.model is None or self.global_batch is None or self.layout is None or self.cluster is None:
            raise ValueError(f"not known: {', '.join(self.missing)}")
        return Workload(
            self.model,
            self.global_batch,
            self.layout,
            self.cluster,
            self.software,
            self.software.as_run(self.precision),
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """The inputs that a prediction of the step still needs."""
        needed = {
            "the model": self.model,
            "the global batch": self.global_batch,
            "the accelerator": self.cluster,
            "the number of accelerators": self.gpus,
            "the layout": self.layout,
        }
        kernels = () if self.cluster is None or self.timed else (f"the speed of {self.cluster.accelerator.title}",)
        return (*(name for name, value in needed.items() if value is None), *kernels)

    @property
    def timed(self) -> bool:
        """Whether kernel times are known for the accelerator."""
        return self.cluster is not None and kernel_constants.is_known(self.cluster.accelerator.generation)


def resolve(run: Run, *, layout_open: bool = False) -> Resolved:
    """Fill in the values that the run leaves open, listing each as an assumption. ``layout_open``: the batch must suit any layout, not only
    the run's own.

    Raises ``EstimateError`` for contradictory input: frames for a text model, two batches, a layout that does not match the ranks.
    """
    notes: list[Assumption] = [
        Assumption(key, supplied.value, "", supplied.reason, supplied.source)
        for key, supplied in run.assumptions.items()
    ]
    bases = dict.fromkeys(run.assumptions, "assumed")
    data = completed(run, notes, bases)
    model, tokens = (None, None) if run.model is None else _model(run.model, data)
    if run.model is not None:
        notes += [*run.model.not_understood, *run.model.assumptions(data)]
    machine, gpus = _machine(run)
    software, calibration = calibrated(
        run, stack_of_run(run, model, data, notes).on_host(run.hardware.launch), model, machine, notes
    )
    precision = run.training.precision if machine is None else _precision(run, model, data, machine, notes)
    if run.layout is not None and model is not None:
        refuse(run.layout, model)
    without_effect = () if run.layout is None or model is None else remarks(run.layout, model)
    known = _Known(run, data, model, tokens, machine, gpus, software, precision)
    batch, layout = _batch_and_layout(known, notes, bases, layout_open=layout_open)
    priced = machine is not None and kernel_constants.is_known(machine.accelerator.generation)
    if (
        (model is None or not priced) and run.stack is None and "software" not in run.assumptions
    ):  # the stack has no effect then
        notes = [note for note in notes if note.name != "software"]
    return Resolved(
        data,
        model,
        tokens,
        batch,
        gpus,
        machine,
        layout,
        software,
        precision,
        tuple(notes),
        without_effect,
        bases,
        is_family(run.stack or ""),
        calibration,
    )


@dataclass(frozen=True, eq=False)
class _Known:
    """What is resolved before the batch and the layout."""

    run: Run
    data: Data
    model: Model | None
    tokens: Array | None
    machine: Cluster | None
    gpus: Array | None
    software: Software
    precision: Precision


def _batch_and_layout(
    known: _Known, notes: list[Assumption], bases: dict[str, str], *, layout_open: bool
) -> tuple[Array | None, Layout | None]:
    """The global batch, and the layout with its data-parallel degree: as stated, or the usual ones that fit what is stated."""
    run, model, machine, gpus = known.run, known.model, known.machine, known.gpus
    partial = is_partial(run.layout) and all(value is not None for value in (model, machine, gpus))
    notes += _unstated(run, machine if gpus is not None else None, partial=partial)
    layout, whole = None if partial else run.layout, gpus
    if partial and run.layout is not None and gpus is not None:
        whole = np.subtract(gpus, run.layout.encoder_gpus)
    if machine is not None and gpus is not None and layout is not None:
        layout = layout.replaced(data=_data_degree(layout, gpus))
        whole = np.multiply(_data_degree(layout, gpus), layout.microbatch)
    # a copy over several: trainers of adapters shard it, each rank with samples
    split = model is not None and not model.trains_adapters
    many = split and machine is not None and (layout_open or layout is None)
    parts = parts_of_a_copy(model, machine.accelerator.memory) if many and machine is not None else 1.0
    pictures = known.data.frames is not None
    batch = global_batch(run, model, known.tokens, whole, notes, bases, parts, pictures=pictures)
    if layout is not None and batch is not None and "layout.microbatch" in run.assumptions:
        layout = layout.replaced(microbatch=dividing_microbatch(layout, batch))
    if layout is not None and model is not None and gpus is not None:
        spread = with_usual_experts(layout, model, known.software, np.subtract(gpus, layout.encoder_gpus))
        if spread is not layout:
            notes.append(
                Assumption("layout.expert", spread.expert, "", f"not stated: usual with {known.software.name}")
            )
        layout = spread
    if layout is None and model is not None and machine is not None and gpus is not None and batch is not None:
        layout = _usual_layout(model, batch, machine, known.software, known.precision, run.layout, notes)
    return batch, layout


def _unstated(run: Run, machine: Cluster | None, *, partial: bool) -> Iterator[Assumption]:
    """Assumptions for an accelerator's default node, and for decisive fields of a layout that are not stated."""
    if machine is not None and run.hardware.node is None and find_instance(run.hardware.named or "") is None:
        reason = f"no node is stated: the usual one for {machine.accelerator.title}"
        yield Assumption("hardware.node", machine.node.name, "", reason)
    if run.layout is not None and not partial:
        unstated = {"microbatch", "sharding", "recompute"} - run.layout.model_fields_set
        if unstated:
            fields = run.layout.model_dump(mode="json", include=unstated)
            shown = ", ".join(f"{name} {value}" for name, value in fields.items())
            yield Assumption("layout", shown, "", "not stated: one sample at a time, no sharding, no recomputation")


def _usual_layout(
    model: Model,
    batch: Array,
    machine: Cluster,
    software: Software,
    precision: Precision,
    stated: Layout | None,
    notes: list[Assumption],
) -> Layout | None:
    """The fastest common layout that fits and keeps what is stated; the stated one if kernel times of the accelerator are not known."""
    if not kernel_constants.is_known(machine.accelerator.generation):
        return stated
    layout = default_layout(model, batch, machine, software, precision, stated)
    if layout is None and stated is not None:
        return stated.replaced(data=_data_degree(stated, machine.gpus))
    if layout is not None:
        layout = layout.replaced(data=_data_degree(layout, machine.gpus))
        shown = (
            ", ".join(f"{name} {value}" for name, value in _chosen_settings(layout, stated))
            if np.ndim(layout.tensor) == 0
            else "per run"
        )
        notes.append(
            Assumption(
                "layout",
                shown or "plain data parallelism",
                "",
                "the fastest usual one that fits and matches what is stated",
            )
        )
    return layout


def _chosen_settings(layout: Layout, stated: Layout | None) -> list[tuple[str, object]]:
    """The fields of a layout that are neither stated nor defaults, as a user writes them."""
    given = set() if stated is None else stated.model_fields_set
    chosen = layout.model_dump(mode="json", exclude={"data", *given}, exclude_defaults=True)
    return list(chosen.items())


def _machine(run: Run) -> tuple[Cluster | None, Array | None]:
    """The cluster and its number of GPUs: as stated, or the product of the layout's degrees; None for what is not known."""
    hardware, layout = run.hardware, run.layout
    gpus: Array | None = hardware.gpus
    if gpus is None and layout is not None and layout.data is not None:
        gpus = np.multiply(layout.model_parallel, layout.data) + layout.encoder_gpus
    if hardware.named is None:
        return None, gpus
    if hardware.instance is not None and find_instance(hardware.instance) is None:
        raise EstimateError(
            "No such instance.", instance_hint(hardware.instance), f"hardware.instance = {hardware.instance!r}"
        )
    machine = cluster(
        hardware.named,
        hardware.node,
        1 if gpus is None else gpus,
        internode_bandwidth=hardware.internode_bandwidth,
    )
    if hardware.network is not None:
        machine = _on_network(machine, hardware.network)
    return machine, gpus


def _on_network(machine: Cluster, network: Interconnect) -> Cluster:
    """The machine with its nodes joined by another kind of network, at the measured rate or the given share."""
    if network.kind is not None:
        machine = on_network(machine, network.kind)
    if network.share is not None:
        return replace(machine, internode_bandwidth=np.multiply(machine.network_bandwidth, network.share))
    if network.all_reduce is None or network.ranks is None:
        return machine
    return replace(machine, internode_bandwidth=implied_bandwidth(machine.node, network.all_reduce, network.ranks))


def _data_degree(layout: Layout, gpus: Array) -> Array:
    """data = gpus / (tensor x pipeline x context), without the encoder's GPUs; stated degrees must multiply to the number of GPUs."""
    ranks = layout.model_parallel
    degree: Array = np.divide(np.subtract(gpus, layout.encoder_gpus), ranks)
    if np.ndim(degree) == 0:
        stated = layout.data
        product = f"tensor {layout.tensor} x pipeline {layout.pipeline} x context {layout.context}"
        if stated is not None and np.ndim(stated) == 0 and stated != degree:
            raise EstimateError(
                f"{product} x data {stated} = {ranks * stated} ranks, on {gpus} GPUs.",
                "Leave out layout.data to derive it from the GPUs.",
                "layout",
            )
        if degree < 1 or degree != np.floor(degree):
            less = f" less {layout.encoder_gpus} for vision" if layout.encoder_gpus else ""
            raise EstimateError(f"{product} = {ranks} does not divide {gpus} GPUs{less}.", "", "layout")
        degree = int(degree)
    return degree if layout.data is None else layout.data


def _model(spec: ModelSpec, data: Data) -> tuple[Model, Array | None]:
    """The model as it sees a sample, and the tokens of a sample. Raises ``EstimateError`` for frames that it does not take and for samples
    that are empty."""
    if data.frames is not None and not spec.sees_frames(data):
        seeing = f"{known_as(spec.name)}-vision"
        model_with = f"name {seeing}" if seeing in names() else "name a model with a vision encoder"
        hint = f"Leave data.frames out, give data.tokens_per_frame, or {model_with}."
        raise EstimateError("The model takes no frames, only text.", hint, "data.frames")
    model, tokens = spec.build(data), spec.tokens_per_sample(data)
    if tokens is not None and np.any(np.equal(tokens, 0)):
        hint = "Give the text per sample, or leave it out if data.seq_len gives the length of a sample."
        raise EstimateError("A sample is empty: no frames and no text.", hint, "data.text_tokens")
    return model, tokens


def _precision(run: Run, model: Model | None, data: Data, machine: Cluster, notes: list[Assumption]) -> Precision:
    """Number formats as stated; otherwise that of the model's published training, or bf16 (fp16 on accelerators without bf16), with fp32
    master weights unless ``state`` is given."""
    if "dtype" in run.training.model_fields_set:
        return run.training.precision
    formats = machine.accelerator.peak
    published = _published_format(run, model, data)
    dtype, reason = "bf16", "no number format is stated: nearly all runs since 2022 use it"
    if published in formats:
        dtype, reason = str(published), "no number format is stated: the one of the model's published training"
    elif dtype not in formats and "fp16" in formats:
        dtype, reason = "fp16", f"no number format is stated, and {machine.accelerator.title} has no bf16"
    notes.append(Assumption("training.dtype", dtype, "", reason))
    return Precision(dtype, run.training.state, run.training.optimizer)


def _published_format(run: Run, model: Model | None, data: Data) -> str | None:
    """The number format of the named model's published training; None if it is 16 bit, not known, or the run tunes the model further, which
    trainers do in 16 bit."""
    name = getattr(run.model, "name", None)
    if model is None or not isinstance(name, str) or known_as(name) not in names():
        return None
    tuned = model.trains_adapters or tuning_share(model, data) > 0.5
    return None if tuned else named(name).dtype
