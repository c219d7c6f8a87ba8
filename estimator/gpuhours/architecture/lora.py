"""Low-rank adapters: small trained products beside frozen weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpuhours.architecture.operators import Linear, Split
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.errors import EstimateError, nearest

ATTENTION = ("q", "k", "v", "o")
EVERY = (*ATTENTION, "gate", "up", "down")


def adapters(rank: Array, targets: Sequence[str], projections: Mapping[str, Linear]) -> tuple[Linear, ...]:
    """Y = X W + (X A) B, with A [inputs, rank] and B [rank, outputs] beside every target W of one layer.

    Source: Hu et al. 2021, arXiv:2106.09685, section 4.1.
    """
    for target in targets:
        if target not in projections:
            hint = nearest(target, projections) or f"Its projections are {', '.join(projections)}."
            raise EstimateError(f"The model has no projection {target!r} to adapt.", hint, "targets")
    return tuple(part for target in targets for part in _pair(projections[target], rank))


def _pair(weight: Linear, rank: Array) -> tuple[Linear, Linear]:
    """A and B of one projection; A follows a row-split input, B a column-split output."""
    down = Split.ROW if weight.split is Split.ROW else Split.WHOLE
    up = Split.COLUMN if weight.split is Split.COLUMN else Split.WHOLE
    return (
        Linear(
            f"{weight.name} A",
            weight.inputs,
            rank,
            down,
            experts=weight.experts,
            active=weight.active,
            role=weight.role,
        ),
        Linear(
            f"{weight.name} B", rank, weight.outputs, up, experts=weight.experts, active=weight.active, role=weight.role
        ),
    )
