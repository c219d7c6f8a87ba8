"""A lower bound on the time of all layouts of a cell, from one vectorised call over all cells."""

from __future__ import annotations

import numpy as np

from gpuhours.layout.schedules import by_schedule
from gpuhours.questions.planning.space import Values
from gpuhours.step import Step
from gpuhours.step.predict import waiting_share
from gpuhours.workload import Workload

PASSES = (
    "GEMMs", "attention", "other kernels", "tensor communication", "context communication", "expert communication"
)  # fmt: skip
BUBBLE = "pipeline bubble"


def lower_bound(at: Workload, relaxed: Step) -> Values:
    """Lower bound in seconds for every layout of a cell; ``relaxed`` is the step of the cells in ``at`` with nothing
    recomputed, sharded or offloaded.

        b = (1 + w) (sum of PASSES + B)        B = the bubble, or 0 under ZB-2p

    w is the share that stragglers add. A cell fixes everything but recomputation, sharding and offloading. Proof, with t the time of any
    layout of the cell and T, S the slowest stage and the sum over all stages for one micro-batch:

    1. t = (1 + w) (P + rest), P the time of all passes on their schedule, rest = gradient reduction, optimiser, sends and host,
       each at least 0; w depends only on the number of GPUs.
    2. Recomputation adds time to a layer's backward pass, and so does activation offloading; sharding adds exposed gathers and scatters to
       both passes; nothing reduces them. So with x the time of a layer, x >= its value in ``relaxed``.
    3. S = L x + first + last grows with slope L. T is a maximum of lines in x with slopes of at most c v <= L for p >= 2 (c v =
       ceil(L / (p v)) v <= L / p + v <= L, since p v <= L), so T and S - T do not fall as x grows; nor as first or last does,
       which have slope 1 in S and at most 1 in T.
    4. For 1F1B, GPipe, interleaved and ZB-1p, P = m T + k (S - T) with k = 1, 1 / v or 1/3: P does not fall as x grows, and in
       ``relaxed`` P = sum of PASSES + B. For ZB-2p, P >= m T >= m S / p, which is the sum of PASSES.
    5. B includes the wait W = e + max(0, m e - P - H) for an encoder on its own GPUs, with H the host's part of rest. P + H + W =
       e + max(P + H, m e) >= e' + max(P', m e'), with e' and P' those of ``relaxed``, which is at least P' plus its own wait.

    Checked against exhaustive search in tests/questions/planning/test_plan.py.
    """
    passes = sum((relaxed.parts[name] for name in PASSES), np.asarray(0.0))
    bubble = np.where(by_schedule(at.ranks.schedule, lambda rules: rules.bounded), relaxed.parts[BUBBLE], 0.0)
    return (passes + bubble) * (1 + waiting_share(at.cluster, at.software))
