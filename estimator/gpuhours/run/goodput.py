"""Wall-clock time from productive time: failures, restarts, lost work, checkpoints, evaluation and launch.

Every equation takes floats or arrays. Values that a run does not state are drawn from ``hardware_specs/operation/failures.yaml``.
"""

import functools
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from gpuhours.architecture.operators import Model
from gpuhours.hardware.number_formats import Precision
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.durations import DAY
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.units import Bandwidth, Fraction, Seconds, measured_in
from gpuhours.inputs.yaml_files import Section, read_yaml, validated
from gpuhours.run.ranges import spread_over

AT_SCALE = 4096
"""Number of accelerators from which restarts are assumed automatic."""
NEAR_BEST = 2.0
"""Maximum assumed checkpoint interval relative to the optimum; twice the optimum loses a quarter more time."""
MANY_NODES = 16
"""Number of nodes from which the launch takes as long as at scale."""


class Operation(Section):
    """The ``operation:`` block of a run: failures, restarts and checkpoints. None means drawn from typical values."""

    failures: Annotated[float, measured_in("")] | None = None
    """Failures that stop the run, per GPU and day: 5e-4."""
    restart: Seconds | None = None
    """From a failure to the next step: detection, replacement, start, loading."""
    checkpoint_interval: Seconds | None = None
    """Productive time between checkpoints."""
    checkpoint_steps: Annotated[float, measured_in("step")] | None = None
    """Steps between checkpoints, instead of a time."""
    storage: Literal["lustre", "nvme", "object"] | None = None
    """Where checkpoints are written; determines the write bandwidth."""
    checkpoint_bandwidth: Bandwidth | None = None
    """Write bandwidth of all ranks together in byte/s, if known."""
    blocking: bool | None = None
    """Whether training waits until a checkpoint is written; otherwise it waits only for a copy."""
    evaluation: Fraction | None = None
    """Share of the wall-clock time spent on evaluation."""
    launch: Seconds | None = None
    """From the start of the job to its first step."""


class UsualSpread(Section):
    """A figure of ``failures.yaml``: median, 10th and 90th percentile."""

    value: float
    low: float
    high: float
    source: str

    def draw(self, position: Array) -> Array:
        """The values at the quantiles ``position``, between 0 and 1."""
        return spread_over(self.low, self.value, self.high, np.asarray(position, float))


class UsualTime(UsualSpread):
    """A figure in seconds."""

    value: Seconds
    low: Seconds
    high: Seconds


class UsualRate(UsualSpread):
    """A figure in byte/s."""

    value: Bandwidth
    low: Bandwidth
    high: Bandwidth
    serves: float | None = None
    """Accelerators per file system of this rate, where larger clusters have proportionally more; otherwise None."""


class Usual(Section):
    """``hardware_specs/operation/failures.yaml``."""

    failures: UsualSpread
    restart: UsualTime
    restart_at_scale: UsualTime
    evaluation: UsualSpread
    launch: UsualTime
    launch_at_scale: UsualTime
    interval: UsualTime
    blocked: UsualTime
    client: UsualRate
    """Rate at which one node writes to a parallel file system."""
    storage: Mapping[Literal["lustre", "nvme", "object"], UsualRate]


@functools.cache
def usual() -> Usual:
    """The typical values included in gpuhours."""
    path = Path(str(files("hardware_specs"))) / "operation" / "failures.yaml"
    figures: Any = validated(Usual, read_yaml(path))
    return figures


def checkpoint_bytes(trained: Array, frozen: Array, precision: Precision) -> Array:
    """Bytes of one checkpoint: (weights + master + moments) P + stored F, P trainable and F frozen parameters.

    Bytes per parameter are those of ``Precision``: with Adam 2 + 4 + 8 = 14 for 16-bit weights with fp32 master weights, 12 for fp32 and
    autocast (the weight is the master weight), 6 for pure 16 bit. BLOOM's 2.3 TB are 13.05 bytes per parameter; MaxText's documentation
    states 12.

    >>> float(checkpoint_bytes(70e9, 0, Precision())) / 1e9    # GB of a 70B model with Adam
    980.0
    """
    return np.multiply(precision.weights + precision.optimiser, trained) + np.multiply(precision.frozen, frozen)


def checkpoint_of(model: Model, precision: Precision) -> Array:
    """Bytes of one checkpoint of a model: trainable parameters with optimiser states, frozen parameters as stored."""
    trained = model.trainable_parameters
    return checkpoint_bytes(trained, model.parameters - trained, precision)


def best_interval(blocked: Array, failures: Array) -> Array:
    """The optimal checkpoint interval in productive seconds: sqrt(2 C / f), C s blocked per checkpoint, f failures per s.

    Source: Young 1974, CACM 17(9):530. Valid if C is far below 1 / f. Daly 2006 (FGCS 22(3), equation 20) also subtracts C; this is left
    out because it changes the loss by less than C f.

    >>> float(best_interval(8.0, 1 / 3600))    # s, if a checkpoint takes 8 s and a failure occurs every hour
    240.0
    """
    return np.sqrt(2.0 * np.asarray(blocked, float) / failures)


def availability(failures: Array, restart: Array, interval: Array, blocked: Array) -> Array:
    """Productive share of the wall-clock time of a run that checkpoints every ``interval`` s and restarts from the last checkpoint.

        a = f tau / (e^(f R) (e^(f (tau + C)) - 1))

    f failures of the whole run per s, tau s between checkpoints, C s blocked per checkpoint, R s to restart. Exact for a constant failure
    rate that also applies during restarts: Daly 2006, A higher order estimate of the optimum checkpoint interval, FGCS 22(3), equation
    13. For small f (tau + C) it is (1 - f (R + tau / 2)) / (1 + C / tau), the form of Kokolis et al. (arXiv:2410.21680).
    Checked by an event simulation in tests/run/test_goodput.py.

    >>> round(float(availability(1 / 86400, 900, 3600, 30)), 3)    # a failure per day, 15 minutes to restart, checkpoints of 30 s
    0.961
    """
    f, tau = np.asarray(failures, float), np.asarray(interval, float)
    with np.errstate(over="ignore"):
        return f * tau / (np.exp(f * restart) * np.expm1(f * (tau + blocked)))


def write_time(size: Array, bandwidth: Array) -> Array:
    """s to write a checkpoint: bytes / (byte/s of all ranks together).

    >>> float(write_time(2.3e12, 57.5e9))    # BLOOM: 2.3 TB at 57.5 GB/s
    40.0
    """
    return np.divide(size, bandwidth)


def launched(productive: Array, launch: Array) -> Array:
    """Productive share of the time of a run of T = ``productive`` s that is launched once, in L = ``launch`` s: T / (T + L).

    >>> float(launched(5400.0, 600.0))
    0.9
    """
    return np.divide(productive, np.add(productive, launch))


def launch_time(position: Array, nodes: Array) -> Array:
    """s from the start of the job to its first step on n nodes: one^(1 - w) x many^w, w = min(1, log2(n) / log2(16)).

    ``one`` and ``many`` are the times on one node and on ``MANY_NODES`` and more, both at the quantile ``position``.

    >>> [round(float(launch_time(0.5, nodes))) for nodes in (1, 4, 16, 256)]
    [120, 268, 600, 600]
    """
    one, many = (times.draw(position) for times in (usual().launch, usual().launch_at_scale))
    share = np.clip(np.log2(np.maximum(nodes, 1.0)) / np.log2(MANY_NODES), 0.0, 1.0)
    return np.power(one, 1.0 - share) * np.power(many, share)


POSITIONS = ("failures", "restart", "checkpoints", "evaluation", "launch")
"""Unknowns that ``goodput`` draws if a run does not state them, each with its own coordinate."""


def goodput(
    operation: Operation,
    at: Mapping[str, Array],
    *,
    gpus: Array,
    nodes: Array,
    size: Array,
    step_time: Array,
    productive: Array,
) -> Array:
    """Productive over wall-clock time: availability x (1 - evaluation) x T / (T + launch).

    ``at``          quantiles of the unknowns in ``POSITIONS``, between 0 and 1 (0.5 is the median); ignored for what is stated
    ``size``        bytes of a checkpoint, ``step_time`` s, ``productive`` s of all steps together (T)
    """
    return interruptions(
        operation, at, gpus=gpus, nodes=nodes, size=size, step_time=step_time, productive=productive
    ).goodput


@dataclass(frozen=True)
class Interruptions:
    """What stops a run, and how long: stated or drawn."""

    failures: Array
    """of the whole run, per s"""
    restart: Array
    interval: Array
    """productive s between checkpoints"""
    blocked: Array
    """s that a checkpoint stops training"""
    evaluation: Array
    """share of the wall-clock time"""
    launch: Array
    productive: Array
    """s of all steps together"""

    @property
    def goodput(self) -> Array:
        """Productive over wall-clock time: availability x (1 - evaluation) x T / (T + launch)."""
        running = availability(self.failures, self.restart, self.interval, self.blocked)
        return running * (1.0 - np.asarray(self.evaluation)) * launched(self.productive, self.launch)

    @property
    def shares(self) -> dict[str, Array]:
        """Time of each cause over productive time, to first order: f R for restarts, f (tau + C) / 2 for work done again, C / tau for
        checkpoints, e / (1 - e) for evaluation, L / T for the launch (Kokolis et al., arXiv:2410.21680, for the first three)."""
        cycle = np.add(self.interval, self.blocked)
        return {
            "restarts": np.multiply(self.failures, self.restart),
            "lost work": np.multiply(self.failures, cycle) / 2,
            "checkpoints": np.divide(self.blocked, self.interval),
            "evaluation": np.asarray(self.evaluation) / (1.0 - np.asarray(self.evaluation)),
            "launch": np.divide(self.launch, self.productive),
        }


def interruptions(
    operation: Operation,
    at: Mapping[str, Array],
    *,
    gpus: Array,
    nodes: Array,
    size: Array,
    step_time: Array,
    productive: Array,
) -> Interruptions:
    """What stops a run; arguments as of ``goodput``."""
    known = usual()

    def stated_or_drawn(value: Array | None, drawn: UsualSpread, name: str) -> Array:
        return drawn.draw(at[name]) if value is None else value

    failures = np.multiply(stated_or_drawn(operation.failures, known.failures, "failures"), gpus) / DAY
    slow, quick = (
        stated_or_drawn(operation.restart, one, "restart") for one in (known.restart, known.restart_at_scale)
    )
    restart = np.where(np.greater_equal(gpus, AT_SCALE), quick, slow)
    blocked = blocked_time(operation, at["checkpoints"], size, nodes, gpus)
    interval = interval_of(operation, 1.0 - np.asarray(at["checkpoints"], float), step_time, blocked, failures)
    evaluation = stated_or_drawn(operation.evaluation, known.evaluation, "evaluation")
    launch = launch_time(at["launch"], nodes) if operation.launch is None else operation.launch
    return Interruptions(failures, restart, np.minimum(interval, productive), blocked, evaluation, launch, productive)


def blocked_time(operation: Operation, position: Array, size: Array, nodes: Array, gpus: Array) -> Array:
    """s that training is blocked per checkpoint: until it is written, or only until it is copied if the write is asynchronous.

    If ``blocking`` is not stated, draws with a quantile above 0.5 wait for the write; with ``AT_SCALE`` accelerators or more none do.
    """
    known, place = usual(), np.asarray(position, float)
    bandwidth: Array | None = operation.checkpoint_bandwidth
    if bandwidth is None:
        bandwidth = write_rate(operation.storage or "lustre", 1.0 - place, nodes, gpus)
    written, copied = write_time(size, bandwidth), known.blocked.draw(place)
    waits = np.greater(place, 0.5) & np.less(gpus, AT_SCALE) if operation.blocking is None else operation.blocking
    return np.where(waits, written, np.minimum(copied, written))


def write_rate(storage: Literal["lustre", "nvme", "object"], position: Array, nodes: Array, gpus: Array) -> Array:
    """Write rate in byte/s of all ranks together, at a quantile ``position``.

        parallel file system   min(client x nodes, rate x max(1, gpus / serves))
        drives of the nodes    rate x nodes
        object store           rate

    A parallel file system is bought with the cluster: NVIDIA's reference architecture asks four scalable units for four times the rate
    of one. A few nodes are limited by what each of them can send.

    >>> [round(float(write_rate("lustre", 0.5, nodes, 8 * nodes)) / 1e9) for nodes in (1, 32, 256)]    # GB/s
    [4, 20, 160]
    """
    tier = usual().storage[storage]
    rate = tier.draw(position)
    if storage == "nvme":
        return rate * nodes
    if tier.serves is None:
        return rate
    return np.minimum(usual().client.draw(position) * nodes, rate * np.maximum(1.0, np.divide(gpus, tier.serves)))


def interval_of(operation: Operation, position: Array, step_time: Array, blocked: Array, failures: Array) -> Array:
    """Productive s between checkpoints: as stated, otherwise typical, but at most ``NEAR_BEST`` times the optimum. Saves that take long may
    come too often: HLAT 70B lost 22 % to them (``tests/run/test_goodput.py``)."""
    if operation.checkpoint_interval is not None:
        return operation.checkpoint_interval
    if operation.checkpoint_steps is not None:
        return np.multiply(operation.checkpoint_steps, step_time)
    return np.minimum(usual().interval.draw(position), NEAR_BEST * best_interval(blocked, failures))
