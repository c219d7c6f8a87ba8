"""Low-rank adapters: small trained products beside frozen weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from gpuhours.architecture.operators import Linear, Split
from gpuhours.errors import EstimateError
from gpuhours.units import Count

ATTENTION = ("q", "k", "v", "o")
MLP = ("gate", "up", "down")


class Lora(BaseModel):
    """``rank`` and the projections that get adapters (Hu et al. 2021, arXiv:2106.09685)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: Count = 8
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ATTENTION

    def adapters(self, projections: Mapping[str, Linear]) -> tuple[Linear, ...]:
        """Y = X W + (X A) B, with A [inputs, r] and B [r, outputs] for every target of one layer."""
        unknown = [target for target in self.targets if target not in projections]
        if unknown:
            known = ", ".join(projections)
            raise EstimateError(
                f"LoRA has no target {unknown[0]!r} in this model", f"Its projections are {known}."
            )
        return tuple(part for target in self.targets for part in _pair(projections[target], self.rank))


def _pair(weight: Linear, rank: int) -> tuple[Linear, Linear]:
    """A and B of one projection; A follows a row-split input, B a column-split output."""
    down = Split.ROW if weight.split is Split.ROW else Split.WHOLE
    up = Split.COLUMN if weight.split is Split.COLUMN else Split.WHOLE
    return (
        Linear(f"{weight.name} A", weight.inputs, rank, down, experts=weight.experts, active=weight.active),
        Linear(f"{weight.name} B", rank, weight.outputs, up, experts=weight.experts, active=weight.active),
    )
