"""How far the time of a step depends on a host whose launch pace is not stated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gpuhours.inputs.arrays import Array
from gpuhours.step.breakdown import Step
from gpuhours.step.predict import Work, shared_work, step_of, timed_parts
from gpuhours.workload import Workload

SAME: tuple[float, float] = (1.0, 1.0)
"""``over_hosts`` of a step that takes the same time on every host."""


def over_hosts(workload: Workload, time: Array) -> tuple[Array, Array]:
    """Time of a step on a fast and on a slow host, relative to ``time``, which it takes on the usual one (s).

        t(10th percentile of the hosts' launch times) / t, t(90th percentile) / t

    Both are 1 if the run states its host's pace (``hardware.launch``), or if the stack is not modelled by kernel launches.
    """
    return SAME if workload.software.states_launch_time else _over_hosts(workload, shared_work(workload), time)


def step_and_hosts(workload: Workload) -> tuple[Step, Array, Array]:
    """A step with ``over_hosts`` of its time, the work on the accelerators worked out once for both."""
    work = shared_work(workload)
    predicted = step_of(workload, work)
    return predicted, *_over_hosts(workload, work, predicted.time)


def _over_hosts(workload: Workload, work: Work, time: Array) -> tuple[Array, Array]:
    """``over_hosts``, with the ``shared_work`` of the step at hand."""
    kernels = workload.software.host.kernels
    if kernels is None or kernels.hosts is None:
        return SAME
    paces = np.reshape(kernels.hosts, (2, *(1 for _ in np.shape(time))))
    fast, slow = np.divide(timed_parts(replace(workload, software=workload.software.on_host(paces)), work)[1], time)
    return fast, slow
