"""How far the time of a step depends on a host whose launch pace is not stated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gpuhours.inputs.arrays import Array
from gpuhours.step.predict import step
from gpuhours.workload import Workload

SAME: tuple[float, float] = (1.0, 1.0)
"""``over_hosts`` of a step that takes the same time on every host."""


def over_hosts(workload: Workload, time: Array) -> tuple[Array, Array]:
    """Time of a step on a fast and on a slow host, relative to ``time``, which it takes on the usual one (s).

        t(10th percentile of the hosts' launch times) / t, t(90th percentile) / t

    Both are 1 if the run states its host's pace (``hardware.launch``), or if the stack is not modelled by kernel launches.
    """
    kernels = workload.software.host.kernels
    if kernels is None or kernels.hosts is None:
        return SAME
    paces = np.reshape(kernels.hosts, (2, *(1 for _ in np.shape(time))))
    fast, slow = np.divide(step(replace(workload, software=workload.software.on_host(paces))).time, time)
    return fast, slow
