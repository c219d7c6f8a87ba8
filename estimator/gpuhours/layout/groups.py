"""Communication groups of ranks and their placement in the cluster."""

from __future__ import annotations

import numpy as np

from gpuhours.hardware.clusters import Cluster
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.records import dataclass


@dataclass(frozen=True, eq=False)
class Group:
    """``size`` ranks that communicate, ``stride`` apart in the cluster's rank order (tensor innermost, stride 1).

    The ``stride`` groups that share a node communicate at the same time, so each rank has only its own share of the NICs.
    """

    size: Array
    stride: Array = 1

    def per_domain(self, cluster: Cluster) -> Array:
        """l: ranks of one group within a domain of scale-up links."""
        return np.minimum(np.maximum(np.floor_divide(cluster.gpus_per_domain, self.stride), 1), self.size)

    def domains(self, cluster: Cluster) -> Array:
        """d: number of domains of scale-up links that the group spans."""
        return self.spread(cluster)[1]

    def spread(self, cluster: Cluster) -> tuple[Array, Array]:
        """(l, d): ``per_domain`` and ``domains``."""
        local = self.per_domain(cluster)
        return local, np.ceil(np.divide(self.size, local))
