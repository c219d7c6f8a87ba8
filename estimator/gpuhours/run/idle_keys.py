"""Keys that a run states but that have no effect on it. They are reported, so that nobody relies on them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpuhours.hardware.clusters import Cluster
from gpuhours.inputs.arrays import Array
from gpuhours.layout.choices import Sharding
from gpuhours.layout.layout import Layout
from gpuhours.layout.ranks import ranks_of, solved_data
from gpuhours.layout.schedules import Schedule
from gpuhours.run.samplable import needs_sampling
from gpuhours.run.spec import Run
from gpuhours.run.typical import is_mixture
from gpuhours.run.usual_data import usual_frames
from gpuhours.software.matching import is_unknown, software_named
from gpuhours.software.profile import Software

OF_FRAMES = ("video_hours", "fps", "resolution", "height", "longest_frames")
"""Keys of ``data`` that matter only if the model takes frames."""
DECODED = ("frame_pixels", "stored_fps", "cores_per_gpu")
"""Keys of ``input`` that matter only if frames are decoded during training."""

Idle = Iterator[tuple[str, str]]
"""(key, why it has no effect)."""


def idle_keys(
    run: Run,
    machine: Cluster | None,
    layout: Layout | None,
    software: Software | None = None,
    batch: Array | None = None,
) -> tuple[str, ...]:
    """One remark for each stated key without effect; assumptions are not reported. ``run`` is as given by the user.

    ``machine``, ``layout``, ``software`` and ``batch`` (samples per step) are those that the run resolved to, None if not known.
    """
    stated = {"year"} & run.model_fields_set | {
        f"{block}.{name}"
        for block in ("model", "data", "input", "hardware", "layout", "operation", "cost")
        for name in getattr(getattr(run, block), "model_fields_set", ())
    }
    idle = (
        *_of_adapters(run),
        *_of_data(run),
        *_of_input(run),
        *_of_network(machine),
        *_of_layout(machine, layout),
        *_of_stack(run, software),
        *_of_sharding(machine, layout, software, batch),
        *_of_operation(run),
        *_of_cost(run),
        *_of_year(run, software),
    )
    return tuple(f"{key} has no effect: {why}" for key, why in idle if key in stated - run.assumptions.keys())


def _of_adapters(run: Run) -> Idle:
    """Keys about adapters if there are none."""
    if getattr(run.model, "trainable", "lora") != "lora":
        yield from ((f"model.{name}", "no adapters are trained: trainable is not lora") for name in ("rank", "targets"))


def _of_data(run: Run) -> Idle:
    """Unused keys of the data block about frames, text and padding."""
    data = run.data
    if run.model is not None and not run.model.sees_frames(data):
        yield from ((f"data.{name}", "the model takes no frames") for name in OF_FRAMES)
    elif run.model is not None and not run.model.sees_frames(data.model_copy(update={"tokens_per_frame": None})):
        yield from (
            (f"data.{name}", "data.tokens_per_frame sets the tokens of a frame") for name in ("resolution", "height")
        )
    else:
        counts_clips = data.video_hours is not None and data.dataset_samples is None
        if data.dataset_samples is not None:
            yield "data.video_hours", "data.dataset_samples sets the number of samples"
        elif data.fps is None or data.frames is None:
            yield "data.video_hours", "counting clips also needs data.fps and data.frames"
        if not counts_clips and (run.input.stored_fps is None or run.input.decoder == "none"):
            yield (
                "data.fps",
                "data.frames sets the length of a clip, and no data.video_hours or input.stored_fps is given",
            )
    if data.seq_len is not None and data.text_tokens is None:
        yield "data.text_corpus", "data.seq_len sets the length of a sample"
    if data.text_tokens is not None and run.model is not None:
        yield "data.seq_len", "data.text_tokens sets the text of a sample"
    if data.packed:
        yield "data.padding", "packed samples are not padded"
        if data.longest_frames is None and not np.any(data.padding):
            yield "data.packed", "there is no padding"


def _of_input(run: Run) -> Idle:
    """Unused keys of the input block: no frames, no decoding, or a missing key that they depend on."""
    asked, data = run.input, run.data
    if run.model is not None and not run.model.sees_frames(data):
        yield from ((f"input.{name}", "the model takes no frames") for name in type(asked).model_fields)
        return
    if asked.decoder == "none":
        yield from ((f"input.{name}", "nothing is decoded") for name in DECODED)
    elif asked.decoder == "gpu":
        yield "input.cores_per_gpu", "the accelerators decode"
    if data.fps is None and asked.decoder != "none":
        yield "input.stored_fps", "data.fps, which determines how many stored frames are used, is not stated"
    if asked.sample_bytes is None:
        yield "input.storage_bandwidth", "input.sample_bytes, which determines how much is read, is not stated"


def _of_network(machine: Cluster | None) -> Idle:
    """Keys about the network between nodes, if there is only one node."""
    if machine is not None and np.ndim(machine.gpus) == 0 and machine.gpus <= machine.gpus_per_node:
        yield from ((f"hardware.{name}", "the run fits in one node") for name in ("internode_bandwidth", "network"))


def _of_layout(machine: Cluster | None, layout: Layout | None) -> Idle:
    """Keys about tensor or pipeline parallelism if its degree is 1; a shard group of more ranks than there are."""
    if layout is None or np.ndim(layout.tensor) or np.ndim(layout.pipeline):
        return
    if layout.tensor == 1:
        yield "layout.sequence_parallel", "tensor is 1, so there is nothing to split"
    if layout.pipeline == 1:
        why = "pipeline is 1, so one stage runs the whole model"
        yield from ((f"layout.{name}", why) for name in ("schedule", "vocabulary_parallel"))
    elif layout.schedule is Schedule.interleaved and layout.interleave == 1:
        yield "layout.schedule", "interleave is 1, and one chunk per stage runs as 1f1b"
    if machine is not None and not np.ndim(machine.gpus) and not np.ndim(layout.context):
        copies = int(solved_data(layout, machine)) * layout.context
        if layout.shard_group is not None and layout.shard_group > copies:
            yield "layout.shard_group", f"there are {copies} data-parallel ranks, which all share one shard group"


def _of_stack(run: Run, software: Software | None) -> Idle:
    """Keys that the stack's kernels, memory and CPU-overhead model do not use."""
    data = run.data
    if data.masked == data.model_copy(update={"masked": None}).gets_padding_mask:
        yield "data.masked", "it repeats data.padding and data.packed"
    if software is None:
        return
    if software.padding_mask is None:
        yield "data.masked", f"attention of {software.name} takes the same time with a padding mask"
    if software.host.kernels is None or software.host.kernels.linear is None:
        yield "hardware.launch", f"{software.name} is modelled by layers, not by kernel launches"


def _of_sharding(
    machine: Cluster | None, layout: Layout | None, software: Software | None, batch: Array | None
) -> Idle:
    """ZeRO-2 in a pipeline that keeps gradients whole (``memory.states``)."""
    if machine is None or layout is None or software is None or batch is None:
        return
    many = software.memory.gradients_live or np.all(np.greater(ranks_of(layout, machine, batch).microbatches, 1))
    if many and np.all(np.greater(layout.pipeline, 1) & np.equal(layout.sharding, Sharding.zero2)):
        yield (
            "layout.sharding",
            "a pipeline keeps gradients whole until its last micro-batch, so zero2 does what zero1 does",
        )


def _of_operation(run: Run) -> Idle:
    """Keys about stops if the productive share of time is stated; two keys for the same quantity."""
    asked = run.operation
    if run.known.goodput is not None and "known.goodput" not in run.assumptions:
        yield from (
            (f"operation.{name}", "known.goodput states the productive share of time")
            for name in type(asked).model_fields
        )
        return
    if asked.checkpoint_interval is not None:
        yield "operation.checkpoint_steps", "operation.checkpoint_interval sets how often a checkpoint is saved"
    if asked.checkpoint_bandwidth is not None:
        yield "operation.storage", "operation.checkpoint_bandwidth sets how fast a checkpoint is written"


def _of_year(run: Run, software: Software | None) -> Idle:
    """``year``, if everything that it would set is stated: stack and goodput (or the totals), sample length, and no grid intensity is
    needed."""
    if needs_sampling(run) or run.cost.country is not None:
        return
    named = run.stack
    if named is not None and (is_unknown(named) or software_named(named, run.year) != software_named(named)):
        return
    usual = usual_frames(run)
    data = run.data if usual is None else run.data.model_copy(update={"frames": usual[0]})
    if run.model is not None and run.model.tokens_per_sample(data) is None:
        return
    if software is not None and (
        software.memory.compiled_loss is not None or getattr(software.gathering, "each", 0.0) > 0
    ):
        return
    kernels = None if software is None else software.host.kernels
    grouped_since = None if kernels is None else kernels.looped_before
    if grouped_since is None or run.model is None or not is_mixture(run.model.build(data)):
        yield "year", "all that it would decide is stated, and no country is given"


def _of_cost(run: Run) -> Idle:
    """Cost keys that would select a price, a power or a year that the run states or does not need."""
    asked = run.cost
    if asked.owned is not None:
        yield from ((f"cost.{name}", "the hardware is owned, not rented") for name in ("price", "terms", "years"))
    elif asked.price is not None:
        yield from ((f"cost.{name}", "cost.price states the price") for name in ("terms", "years"))
    if (asked.price is not None or asked.owned is not None) and asked.storage is None:
        yield "cost.provider", "no price is looked up"
    if asked.power is not None:
        yield "cost.power_share", "cost.power states the power"
    stored = asked.storage
    if stored is not None and stored.data is None and stored.checkpoints is None and stored.egress is None:
        yield "cost.storage", "none of data, checkpoints and egress is given"
    if asked.country is None and run.year is not None:
        yield "cost.year", "no country is given"
    if asked.boundary == "accelerators":
        yield "cost.host_share", "cost.boundary counts only the accelerators"
