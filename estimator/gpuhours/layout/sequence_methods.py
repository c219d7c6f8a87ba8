"""Ways of splitting the attention of one sequence over ``context`` ranks, each declared here alone: its names and what ranks exchange.

To add one, add a member to ``SequenceMethod`` and a line to ``METHODS``. A kind of exchange that no other method has also needs its
time in ``step.context`` and its buffers in ``memory.buffers``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from gpuhours.inputs.arrays import Array, Mask
from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import Coded


class SequenceMethod(Coded):
    """How ``context`` ranks split the attention of one sequence; other names are Megatron-Core's ``cp_comm_type`` (its ``p2p`` is the
    balanced ring)."""

    allgather = 0, "all-gather", "allgather"
    ring = 1, "ring"
    zigzag = 2, "zigzag", "p2p"
    ulysses = 3, "ulysses", "a2a"
    hybrid = 4, "hybrid", "2d", "a2a+p2p"


@dataclass(frozen=True)
class Exchange:
    """What the ranks of one method exchange.

    ``heads``     the ranks that exchange heads by all-to-all (``Ranks.ulysses``): none, all of ``context``, or some of them
    ``keys``      how the rest exchanges keys and values: around a ring, or by an all-gather of the whole sequence
    ``balanced``  whether each rank has as many unmasked pairs of a causal mask as any other
    ``usual``     whether a run that states no method may have it (``step.left_open``)
    ``megatron``  Megatron-Core's name for it
    """

    heads: Literal["none", "all", "some"] = "none"
    keys: Literal["ring", "all-gather"] = "ring"
    balanced: bool = True
    usual: bool = False
    megatron: str = "p2p"


METHODS: Mapping[SequenceMethod, Exchange] = {
    SequenceMethod.allgather: Exchange(keys="all-gather", megatron="all_gather"),
    SequenceMethod.ring: Exchange(balanced=False),
    SequenceMethod.zigzag: Exchange(usual=True),
    SequenceMethod.ulysses: Exchange(heads="all", usual=True, megatron="a2a"),
    SequenceMethod.hybrid: Exchange(heads="some", megatron="a2a+p2p"),
}
"""Every method."""


def with_exchange(method: Array, trait: Callable[[Exchange], bool]) -> Mask:
    """Whether a method's exchange has a trait.

    >>> bool(with_exchange(SequenceMethod.ring, lambda exchange: exchange.balanced))
    False
    """
    if np.ndim(method) == 0:
        return trait(METHODS[SequenceMethod(int(method))])
    found: Mask = np.asarray(False)
    for one, exchange in METHODS.items():
        if trait(exchange):
            found = found | np.equal(method, one)
    return found
