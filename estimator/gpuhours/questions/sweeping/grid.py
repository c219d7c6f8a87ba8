"""All rows of a sweep as a grid: the order of rows, and how a block of them becomes one run of arrays."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.questions.sweeping.axes import Axis, Varied
from gpuhours.run.spec import Run

GridBlock = tuple[slice, ...]
"""One slice per axis: the rows of a block are the product of its slices, the last axis fastest."""

BLOCK_ROWS = 1 << 17
"""Rows computed at once: enough to make the overhead per equation negligible, few enough to stay in the caches."""
MOST_ROWS = 10**12
SAMPLED = 64
"""Largest number of rows for which each row is estimated from its own sample (takes seconds). With more, each row is a single run of
such a sample."""
INNERMOST = ("data.", "model.", "layout.context", "layout.microbatch", "layout.tensor")
"""Keys that kernel times depend on, from outer to inner."""
INNER_LENGTH = 64
"""Desired length of the last array axis."""


@dataclass(frozen=True)
class Grid:
    """The product of some axes over a run."""

    run: Run
    axes: tuple[Axis, ...]
    block_rows: int = BLOCK_ROWS
    said: Run | None = None
    """The run as given, before unstated inputs were filled in; None if rows are not to be sampled."""

    def __post_init__(self) -> None:
        if self.rows > MOST_ROWS:
            raise EstimateError(
                f"That is {self.rows:.2g} rows.", f"At most {MOST_ROWS:.0e}: vary less at once.", "--vary"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along each axis."""
        return tuple(axis.length for axis in self.axes)

    @property
    def rows(self) -> int:
        """Total number of rows."""
        return math.prod(self.shape)

    @property
    def varied(self) -> tuple[Varied, ...]:
        """Every varied key, in order."""
        return tuple(member for axis in self.axes for member in axis.members)

    @property
    def _block_axis(self) -> tuple[int, int]:
        """(the axis that blocks divide, points of it per block): the axes after it are not divided."""
        behind = 1
        for position in range(len(self.axes) - 1, -1, -1):
            if behind * self.shape[position] >= self.block_rows:
                return position, max(1, self.block_rows // behind)
            behind *= self.shape[position]
        return 0, max(1, self.shape[0]) if self.axes else 1

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        position, points = self._block_axis
        return math.prod(self.shape[:position]) * math.ceil(self.shape[position] / points) if self.axes else 1

    def block(self, number: int) -> GridBlock:
        """The rows of one block, contiguous in row order."""
        if not self.axes:
            return ()
        position, points = self._block_axis
        chunks = math.ceil(self.shape[position] / points)
        outer, chunk = divmod(number, chunks)
        leading = np.unravel_index(outer, self.shape[:position]) if position else ()
        cut = slice(chunk * points, min((chunk + 1) * points, self.shape[position]))
        return (
            *(slice(int(index), int(index) + 1) for index in leading),
            cut,
            *(slice(0, length) for length in self.shape[position + 1 :]),
        )

    def parts(self, block: GridBlock) -> Iterator[GridBlock]:
        """The block in pieces for one vectorised call each: non-numeric values one at a time."""
        choices = [
            [chosen] if axis.numeric else [slice(index, index + 1) for index in range(chosen.start, chosen.stop)]
            for axis, chosen in zip(self.axes, block, strict=True)
        ]
        return iter(itertools.product(*choices))

    def run_with(self, row: Mapping[str, Any]) -> Run:
        """The single run of one row, from its columns; its estimate equals the row."""
        run = self.said if self.sampled and self.said is not None else self.run
        for varied in self.varied:
            run = run.replaced(varied.key, varied.values[varied.shown().index(row[varied.key])])
        return run

    def said_at(self, part: GridBlock) -> Run:
        """The run as given, with the values of a part that consists of one row."""
        run = self.run if self.said is None else self.said
        for axis, chosen in zip(self.axes, part, strict=True):
            for member in axis.members:
                run = run.replaced(member.key, member.values[chosen.start])
        return run

    @property
    def sampled(self) -> bool:
        """Whether each row is the median of its own sample, as in an estimate."""
        return self.said is not None and self.rows <= SAMPLED

    def piece(self, part: GridBlock) -> GridPiece:
        """The run with the arrays of one piece."""
        return GridPiece.of(self, part)


@dataclass(frozen=True)
class GridPiece:
    """A run of arrays whose axes are not in row order, with the mapping back to it.

    Every varied key has its own array axis, except that the last few may share one (see ``_order``).
    """

    run: Run
    order: tuple[int, ...]
    """Axes of the grid in array order."""
    lengths: tuple[int, ...]
    """Points per axis of the grid."""
    merged: int
    """How many of the last axes share one array axis."""

    @classmethod
    def of(cls, grid: Grid, part: GridBlock) -> GridPiece:
        """Lay out the axes of one piece."""
        lengths = tuple(chosen.stop - chosen.start for chosen in part)
        order, merged = _order(grid, lengths)
        piece = cls(grid.run, order, lengths, merged)
        run = grid.run
        for index, (axis, chosen) in enumerate(zip(grid.axes, part, strict=True)):
            for member in axis.members:
                run = run.replaced(member.key, piece._laid_out(member, index, chosen))
        return cls(run, order, lengths, merged)

    def _laid_out(self, member: Varied, index: int, chosen: slice) -> Any:
        """One key's values along its array axis; a non-numeric value unchanged."""
        if not member.numeric:
            return member.values[chosen.start]
        own = [self.lengths[other] if other == index else 1 for other in self.order]
        values = member.array(chosen).reshape(own)
        split = len(self.order) - self.merged
        if index not in self.order[split:]:
            return values.reshape([*own[:split], 1])
        full = np.broadcast_to(values, [*own[:split], *(self.lengths[other] for other in self.order[split:])])
        return np.ascontiguousarray(full).reshape([*own[:split], -1])

    def in_row_order(self, value: Any) -> np.ndarray[Any, Any]:
        """A result of any shape -> an array with one axis per axis of the grid."""
        array = np.asarray(value)
        if array.size == 1:
            return np.full(self.lengths, array.reshape(-1)[0], array.dtype)
        split = len(self.order) - self.merged
        full = [self.lengths[index] for index in self.order]
        flat = [*full[:split], math.prod(full[split:])]
        spread = np.broadcast_to(array, flat).reshape(full)
        return spread.transpose(np.argsort(self.order))


def _order(grid: Grid, lengths: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """(axes from outer to inner, how many of the last share one array axis).

    The last array axis should be long, since NumPy's inner loops run along it. If one axis has ``INNER_LENGTH`` points, it goes last;
    otherwise the axes that kernel times depend on are flattened into one. This costs nothing, since kernel times are needed for all
    their combinations anyway.
    """
    longest = max(range(len(lengths)), key=lambda index: lengths[index], default=None)
    if longest is not None and lengths[longest] >= INNER_LENGTH:
        return (*(index for index in range(len(lengths)) if index != longest), longest), 1
    order = tuple(sorted(range(len(lengths)), key=lambda index: (_rank(grid.axes[index]), index)))
    merged, inner = 0, 1
    while merged < len(order) and inner < INNER_LENGTH:
        merged += 1
        inner *= lengths[order[-merged]]
    return order, merged


def _rank(axis: Axis) -> int:
    """Sort key of an axis, from 0 (outermost) to inner."""
    ranks = [
        next((place + 1 for place, start in enumerate(INNERMOST) if member.key.startswith(start)), 0)
        for member in axis.members
    ]
    return max(ranks)
