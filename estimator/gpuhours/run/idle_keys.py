"""Keys that a run states and that change nothing in it. They are said, so that nobody rests on them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpuhours.hardware.clusters import Cluster
from gpuhours.layout.layout import Layout, Schedule
from gpuhours.layout.ranks import solved_data
from gpuhours.run.samplable import foreseeable
from gpuhours.run.spec import Run
from gpuhours.run.typical import is_mixture
from gpuhours.software.matching import profile_in
from gpuhours.software.profile import Software, known_as

OF_FRAMES = ("video_hours", "fps", "resolution", "height", "longest_frames")
"""Keys of ``data`` that mean something only where the model sees frames."""
DECODED = ("frame_pixels", "stored_fps", "cores_per_gpu")
"""Keys of ``input`` that mean something only where frames are decoded while the run trains."""

Idle = Iterator[tuple[str, str]]
"""(key, why it changes nothing)."""


def idle_keys(
    run: Run, machine: Cluster | None, layout: Layout | None, software: Software | None = None
) -> tuple[str, ...]:
    """One remark for each stated key without effect; what was assumed is not remarked. ``run`` is as its user gave it.

    ``machine``, ``layout`` and ``software`` are what the run turned out to stand on, None where they are not known.
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
        *_of_operation(run),
        *_of_cost(run),
        *_of_year(run, software),
    )
    return tuple(f"{key} has no effect: {why}" for key, why in idle if key in stated - run.assumptions.keys())


def _of_adapters(run: Run) -> Idle:
    """What is said of adapters where there are none."""
    if getattr(run.model, "trainable", "lora") != "lora":
        yield from ((f"model.{name}", "no adapters are trained: trainable is not lora") for name in ("rank", "targets"))


def _of_data(run: Run) -> Idle:
    """What the data block says of frames, text and padding and nothing asks for."""
    data = run.data
    if run.model is not None and not run.model.sees_frames(data):
        yield from ((f"data.{name}", "the model sees no frames") for name in OF_FRAMES)
    elif run.model is not None and not run.model.sees_frames(data.model_copy(update={"tokens_per_frame": None})):
        yield from ((f"data.{name}", "data.tokens_per_frame says what a frame is") for name in ("resolution", "height"))
    else:
        counts_clips = data.video_hours is not None and data.dataset_samples is None
        if data.dataset_samples is not None:
            yield "data.video_hours", "data.dataset_samples says how many samples there are"
        elif data.fps is None or data.frames is None:
            yield "data.video_hours", "clips are counted from data.fps and data.frames as well"
        if not counts_clips and (run.input.stored_fps is None or run.input.decoder == "none"):
            yield (
                "data.fps",
                "data.frames says how long a clip is, and no data.video_hours or input.stored_fps is given",
            )
    if data.seq_len is not None and data.text_tokens is None:
        yield "data.text_corpus", "data.seq_len says how long a sample is"
    if data.text_tokens is not None and run.model is not None:
        yield "data.seq_len", "data.text_tokens says how much text a sample holds"
    if data.packed:
        yield "data.padding", "packed samples are not padded"
        if data.longest_frames is None and not np.any(data.padding):
            yield "data.packed", "nothing would be padded"


def _of_input(run: Run) -> Idle:
    """What the input block says of a pipeline that the run does not have."""
    asked, data = run.input, run.data
    if run.model is not None and not run.model.sees_frames(data):
        yield from ((f"input.{name}", "the model sees no frames") for name in type(asked).model_fields)
        return
    if asked.decoder == "none":
        yield from ((f"input.{name}", "nothing is decoded") for name in DECODED)
    elif asked.decoder == "gpu":
        yield "input.cores_per_gpu", "the accelerators decode"
    if data.fps is None and asked.decoder != "none":
        yield "input.stored_fps", "how many of the stored frames are used follows from data.fps, which is not stated"
    if asked.sample_bytes is None:
        yield "input.storage_bandwidth", "how much is read follows from input.sample_bytes, which is not stated"


def _of_network(machine: Cluster | None) -> Idle:
    """A network between nodes where there is only one."""
    if machine is not None and np.ndim(machine.gpus) == 0 and machine.gpus <= machine.gpus_per_node:
        yield from ((f"hardware.{name}", "the run stands in one node") for name in ("internode_bandwidth", "network"))


def _of_layout(machine: Cluster | None, layout: Layout | None) -> Idle:
    """How a degree that is 1 would be run; shards among more ranks than there are."""
    if layout is None or np.ndim(layout.tensor) or np.ndim(layout.pipeline):
        return
    if layout.tensor == 1:
        yield "layout.sequence_parallel", "tensor is 1, one rank holds what it would split"
    if layout.pipeline == 1:
        why = "pipeline is 1, one stage runs the whole model"
        yield from ((f"layout.{name}", why) for name in ("schedule", "vocabulary_parallel"))
    elif layout.schedule is Schedule.interleaved and layout.interleave == 1:
        yield "layout.schedule", "interleave is 1, and one chunk a stage runs as 1f1b"
    if machine is not None and not np.ndim(machine.gpus) and not np.ndim(layout.context):
        copies = int(solved_data(layout, machine)) * layout.context
        if layout.shard_group is not None and layout.shard_group > copies:
            yield "layout.shard_group", f"there are {copies} data-parallel ranks, which all share"


def _of_stack(run: Run, software: Software | None) -> Idle:
    """What a stack's kernels and its host do not ask for."""
    data = run.data
    if data.masked == data.model_copy(update={"masked": None}).hands_mask:
        yield "data.masked", "it says what data.padding and data.packed do"
    if software is None:
        return
    if software.padding_mask is None:
        yield "data.masked", f"attention of {software.name} takes as long with a mask of padding"
    if software.host.kernels is None or software.host.kernels.linear is None:
        yield "hardware.launch", f"{software.name} is timed by layers, not by launches"


def _of_operation(run: Run) -> Idle:
    """What stops the run, where it says what share of its time trains; two keys for the same."""
    asked = run.operation
    if run.known.goodput is not None and "known.goodput" not in run.assumptions:
        yield from (
            (f"operation.{name}", "known.goodput states what share trains") for name in type(asked).model_fields
        )
        return
    if asked.checkpoint_interval is not None:
        yield "operation.checkpoint_steps", "operation.checkpoint_interval says how often a checkpoint is saved"
    if asked.checkpoint_bandwidth is not None:
        yield "operation.storage", "operation.checkpoint_bandwidth says how fast a checkpoint is written"


def _of_year(run: Run, software: Software | None) -> Idle:
    """The year, where all that is usual of one is stated: the stack and what stops it, or the totals; the sample's length; no grid."""
    if foreseeable(run) or run.cost.country is not None:
        return
    named = run.software
    if named is not None and known_as(named) is None and profile_in(named, run.year) != profile_in(named):
        return
    if run.model is not None and run.model.tokens_per_sample(run.data) is None:
        return
    kernels = None if software is None else software.host.kernels
    grouped_since = None if kernels is None else kernels.looped_before
    if grouped_since is None or run.model is None or not is_mixture(run.model.build(run.data)):
        yield "year", "all that it would decide is stated, and no country is given"


def _of_cost(run: Run) -> Idle:
    """What would choose a price or a power that the run states itself."""
    asked = run.cost
    if asked.owned is not None:
        yield from ((f"cost.{name}", "the hardware is owned, not rented") for name in ("price", "terms", "years"))
    elif asked.price is not None:
        yield from ((f"cost.{name}", "cost.price states the price") for name in ("terms", "years"))
    if (asked.price is not None or asked.owned is not None) and asked.storage is None:
        yield "cost.provider", "no price is looked up"
    if asked.power is not None:
        yield "cost.power_share", "cost.power states the draw"
    stored = asked.storage
    if stored is not None and stored.data is None and stored.checkpoints is None and stored.egress is None:
        yield "cost.storage", "neither data, checkpoints nor egress says what is kept or sent"
    if asked.country is None and run.year is not None:
        yield "cost.year", "no country is given whose grid in that year would count"
    if asked.boundary == "accelerators":
        yield "cost.host_share", "cost.boundary counts the accelerators alone"
