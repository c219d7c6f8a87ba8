"""Whether the input pipeline keeps up with training: frame decoding, storage reads, and the CPU cores and hardware decoders needed."""

import functools
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from gpuhours.data import Data
from gpuhours.hardware.clusters import Cluster
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.units import Bandwidth, Bytes, Seconds, measured_in, whole
from gpuhours.inputs.yaml_files import Section, read_yaml, validated

Pixels = Annotated[float, measured_in("pixel")]
PixelRate = Annotated[float, measured_in("pixel/s")]
STORED = 340 * 256
"""Pixels of a stored frame if the run does not state them: the size in which Kinetics is usually stored."""


class InputPipeline(Section):
    """The ``input:`` block of a run: how frames get from storage to the accelerators."""

    decoder: Literal["cpu", "gpu", "none"] = "cpu"
    """``none``: frames or features were extracted before training."""
    frame_pixels: Pixels | None = None
    """Pixels of a stored frame."""
    stored_fps: Annotated[float, measured_in("FPS")] | None = None
    """Frames per second of the stored video; frames between the sampled ones are decoded too."""
    cores_per_gpu: Annotated[float, measured_in("")] | None = None
    """CPU cores per GPU; those of the node by default."""
    sample_bytes: Bytes | None = None
    """Bytes of one stored sample."""
    storage_bandwidth: Bandwidth | None = None
    """Read bandwidth of one node from storage; its network cards' by default."""


class Rate(Section):
    """A rate in pixel/s with its uncertainty."""

    value: PixelRate
    low: PixelRate
    high: PixelRate
    source: str


class UncertainTime(Section):
    """A time with its uncertainty."""

    value: Seconds
    low: Seconds
    high: Seconds
    source: str


class Decoding(Section):
    """``hardware_specs/input/decoding.yaml``."""

    video_core: Rate
    transform: UncertainTime
    image: UncertainTime
    hardware_decoder: Rate
    decoders: dict[str, Annotated[int, whole()]]
    """Number of NVDEC engines, by the first word of the accelerator's name."""
    decoders_source: str


@dataclass(frozen=True, eq=False)
class Feed:
    """The load of a step on the input pipeline. ``time`` is the shortest step time in s that it can sustain."""

    frames_per_second: Array
    """Frames used per second, at the predicted or stated step time."""
    cores_needed: Array | None
    """CPU cores needed to keep up; None if nothing is decoded on CPU cores."""
    time: Array
    low: Array
    """``time`` with the optimistic end of every rate and time."""
    high: Array
    """``time`` with the pessimistic end of every rate and time."""
    limit: str
    """The stage that determines ``time``."""


def feed(pipeline: InputPipeline, data: Data, batch: Array, step_time: Array, cluster: Cluster) -> Feed | None:
    """The load on the input pipeline of a run on clips or images at ``step_time`` s per step; None for text, or if no stage can be timed.

        time = max( B c / (cores), B f r a / (decoders v), B y / (nodes w) )

    B samples per step, c core seconds per sample (``core_seconds``), f frames, r decoded frames per used one, a pixels of a
    stored frame, v pixel/s of a hardware decoder, y bytes per sample, w byte/s read by a node.
    Assumes perfect balance over nodes and workers; the rates are uncertain by a factor of two.
    """
    if data.frames is None:
        return None
    used = np.multiply(batch, data.frames)
    nodes = np.ceil(np.divide(cluster.gpus, cluster.gpus_per_node))
    times: list[tuple[str, list[Array]]] = []
    needed = None
    if pipeline.decoder == "cpu":
        cores = _cores(pipeline, cluster)
        middle, fast, slow = (core_seconds(pipeline, data, bound) for bound in ("value", "high", "low"))
        needed = batch * middle / step_time
        if cores is not None:
            times.append(("decoding on CPU cores", [batch * each / cores for each in (middle, fast, slow)]))
    if pipeline.decoder == "gpu":
        engines = decoding().decoders.get(cluster.accelerator.name.split("-")[0])
        if engines is not None:
            rate, pixels = (
                decoding().hardware_decoder,
                used * decoded_per_used(pipeline, data) * stored_pixels(pipeline),
            )
            speeds = (rate.value, rate.high, rate.low)
            times.append(("hardware decoding", [pixels / (engines * cluster.gpus * speed) for speed in speeds]))
    if pipeline.sample_bytes is not None:
        read = (
            cluster.network_bandwidth * cluster.gpus_per_node
            if pipeline.storage_bandwidth is None
            else pipeline.storage_bandwidth
        )
        reading = batch * pipeline.sample_bytes / (nodes * read)
        times.append(("reading from storage", [reading] * 3))
    if not times:
        return None
    limit = max(times, key=lambda one: float(np.max(one[1][0])))[0]
    middle, fast, slow = (
        np.max(np.broadcast_arrays(*bound), axis=0) for bound in zip(*(one for _, one in times), strict=True)
    )
    return Feed(used / step_time, needed, middle, fast, slow, limit)


def core_seconds(pipeline: InputPipeline, data: Data, bound: str = "value") -> Array:
    """CPU core seconds per sample: f r a / v + f x for a clip, the time of one JPEG for an image.

    f frames, r decoded frames per used one, a pixels of a stored frame, v pixel/s of a core, x s to transform a frame.
    ``bound`` "high" uses the optimistic end of every rate and time, "low" the pessimistic end.
    """
    figures = decoding()
    slow = {"value": "value", "high": "low", "low": "high"}[bound]
    frames = np.asarray(data.frames, float)
    decoded = frames * decoded_per_used(pipeline, data) * stored_pixels(pipeline) / getattr(figures.video_core, bound)
    clip = decoded + frames * getattr(figures.transform, slow)
    return np.where(frames > 1, clip, getattr(figures.image, slow))


def decoded_per_used(pipeline: InputPipeline, data: Data) -> Array:
    """Frames decoded per frame used: stored FPS / sampled FPS, at least 1; frames between the sampled ones are decoded and dropped.

    >>> decoded_per_used(InputPipeline(stored_fps=30), Data(fps=2)).tolist()
    15.0
    """
    if pipeline.stored_fps is None or data.fps is None:
        return 1.0
    return np.maximum(np.divide(pipeline.stored_fps, data.fps), 1.0)


def stored_pixels(pipeline: InputPipeline) -> Array:
    """Pixels of a stored frame, ``STORED`` by default."""
    return STORED if pipeline.frame_pixels is None else pipeline.frame_pixels


def warning(found: Feed, step_time: Array) -> str | None:
    """A warning for a single run if the input pipeline limits the step or may limit it; otherwise, and for arrays, None."""
    if np.ndim(found.time) or np.ndim(step_time) or float(found.high) <= step_time:
        return None
    wants = f"{float(found.frames_per_second):,.0f} frames per second"
    span = f"{found.limit} takes {float(found.time):.3g} s per step ({float(found.low):.2g} to {float(found.high):.2g})"
    verb = "binds" if float(found.low) > step_time else "may bind"
    return f"the input pipeline {verb}: {wants} at {float(step_time):.3g} s per step, but {span}"


def _cores(pipeline: InputPipeline, cluster: Cluster) -> Array | None:
    """CPU cores of all nodes; None if the cores of the node are not known."""
    if pipeline.cores_per_gpu is not None:
        return np.multiply(pipeline.cores_per_gpu, cluster.gpus)
    own = cluster.node.cpu_cores
    return None if own is None else np.multiply(own / cluster.gpus_per_node, cluster.gpus)


@functools.cache
def decoding() -> Decoding:
    """The decoding rates and times included in gpuhours."""
    path = Path(str(files("hardware_specs"))) / "input" / "decoding.yaml"
    figures: Any = validated(Decoding, read_yaml(path))
    return figures
