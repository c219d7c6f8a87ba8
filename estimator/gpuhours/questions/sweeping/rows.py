"""From a block of the grid to rows: every varied key, every result, whether the row is valid, and otherwise the reason."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.questions.sweeping.grid import Grid, GridBlock, GridPiece
from gpuhours.run.central import RECOMPUTE, centre
from gpuhours.run.evaluate import Outcome, evaluate
from gpuhours.run.results import SHARES, results
from gpuhours.run.totals import TOLERANCE

VALID, REASON, FITS = "valid", "reason", "fits"
Values = np.ndarray[Any, Any]
Spread = Callable[[Values], Values]
FEW = 32
"""Rows of the largest piece that is always split in halves after an error; a larger one may be marked invalid as a whole."""
SAMPLES = 14
"""Random rows tried, besides the first and last, before a larger piece is marked invalid as a whole."""


@dataclass(frozen=True)
class Rows:
    """The rows of one piece, expanded on demand, column by column.

    ``position``  the index of each row in its block
    """

    position: Values
    columns: Mapping[str, Callable[[], Values]]
    choices: Mapping[str, tuple[Values, Spread]]
    """The varied keys: their values, and a function that expands them to one value per row."""
    valid: Values
    reasons: tuple[str, ...]
    """Reasons; ``code`` numbers them from 1, 0 is a valid row."""
    code: Values

    def column(self, name: str) -> Values:
        """One column, flat, in row order; values of invalid rows are meaningless."""
        return self.columns[name]().reshape(-1)


def rows(grid: Grid, block: GridBlock, breakdown: bool = False) -> Iterator[Rows]:
    """The rows of a block, piece by piece."""
    shape = tuple(chosen.stop - chosen.start for chosen in block)
    numbers = np.arange(int(np.prod(shape, dtype=np.int64))).reshape(shape)
    for part in grid.parts(block):
        yield from _evaluated(grid, block, part, numbers, breakdown)


def _evaluated(grid: Grid, block: GridBlock, part: GridBlock, numbers: Values, breakdown: bool) -> Iterator[Rows]:
    """The rows of one piece; if its evaluation raises an error, of its halves, down to the single invalid rows."""
    inside = tuple(slice(p.start - b.start, p.stop - b.start) for p, b in zip(part, block, strict=True))
    position = numbers[inside].reshape(-1)
    if grid.sampled and len(position) > 1:
        for single in singles(part):
            yield from _evaluated(grid, block, single, numbers, breakdown)
        return
    piece = grid.piece(part)
    try:
        with np.errstate(all="ignore"):  # invalid rows may divide by zero; they are masked, not read
            outcome = centre(grid.said_at(part))[-1] if grid.sampled else evaluate(piece.run)
    except EstimateError as error:
        if len(position) == 1 or (len(position) > FEW and _refused_for_every_row(grid, part, error)):
            yield _refused(grid, part, position, error)
            return
        longest = max(range(len(part)), key=lambda axis: part[axis].stop - part[axis].start)
        middle = (part[longest].start + part[longest].stop) // 2
        for half in (slice(part[longest].start, middle), slice(middle, part[longest].stop)):
            yield from _evaluated(grid, block, (*part[:longest], half, *part[longest + 1 :]), numbers, breakdown)
        return
    yield _worked_out(grid, part, position, piece, outcome, breakdown)


def singles(part: GridBlock) -> Iterator[GridBlock]:
    """The rows of a part, one by one."""
    ranges = (range(chosen.start, chosen.stop) for chosen in part)
    return (tuple(slice(index, index + 1) for index in row) for row in itertools.product(*ranges))


def _refused_for_every_row(grid: Grid, part: GridBlock, error: EstimateError) -> bool:
    """Whether the error is caused by the piece's non-numeric values, so that all rows are invalid: every row tried gives the same message.

    Messages about numbers include them, so they differ from row to row.
    """
    rng = np.random.default_rng(0)
    first, last = [one.start for one in part], [one.stop - 1 for one in part]
    samples = [first, last, *(rng.integers(first, last, endpoint=True).tolist() for _ in range(SAMPLES))]
    for sample in samples:
        try:
            with np.errstate(all="ignore"):
                evaluate(grid.piece(tuple(slice(index, index + 1) for index in sample)).run)
        except EstimateError as other:
            if str(other) == str(error):
                continue
        return False
    return True


def _refused(grid: Grid, part: GridBlock, position: Values, error: EstimateError) -> Rows:
    """Invalid rows, with the error message that ``estimate`` gives."""
    count = len(position)
    message = f"{error.where}: {error.problem}".lstrip(": ")
    message = f"{message} {error.hint}".strip() if grid.sampled else message
    inputs = choices(grid, part)
    return Rows(position, _inputs(inputs), inputs, np.zeros(count, bool), (message,), np.ones(count, np.int8))


def _worked_out(
    grid: Grid, part: GridBlock, position: Values, piece: GridPiece, outcome: Outcome, breakdown: bool
) -> Rows:
    """The rows of one vectorised call, as views of its results."""
    inputs = choices(grid, part)
    columns = _inputs(inputs)
    for name, value in named_values(outcome, breakdown).items():
        columns[name] = _view(piece, value)
    reasons, code = invalid(outcome)
    flat = piece.in_row_order(code).reshape(-1)
    return Rows(position, columns, inputs, flat == 0, reasons, flat)


def _view(piece: GridPiece, value: Any) -> Callable[[], Values]:
    return lambda: piece.in_row_order(value)


def named_values(outcome: Outcome, breakdown: bool) -> dict[str, Any]:
    """Every determined result, by name; with ``breakdown`` also the seconds and bytes of each part."""
    values = {name: one.value for name, one in results(outcome).items() if one is not None}
    if breakdown and outcome.step is not None and outcome.memory is not None:
        values |= {f"time.{part}": seconds for part, seconds in outcome.step.parts.items()}
        values |= {f"memory.{part}": size for part, size in outcome.memory.parts.items()}
    return values


def invalid(outcome: Outcome) -> tuple[tuple[str, ...], Any]:
    """Why rows are invalid: the reasons, and for each row the first that applies, numbered from 1."""
    reasons = dict(outcome.step.reasons) if outcome.step is not None else {}
    for name, takes in SHARES.items():
        share = outcome.value(name)
        if share is not None and not (name == "hfu" and RECOMPUTE in outcome.run.assumptions):
            reasons[f"it takes more than 100 % {takes}"] = np.greater(share, 1.0)
    for conflict in outcome.totals.conflicts:
        reasons[f"{conflict.identity.text}: the two sides differ"] = np.abs(conflict.factor - 1.0) > TOLERANCE
    code: Any = np.int8(0)
    for number, broken in enumerate(reasons.values(), start=1):
        code = np.where((code == 0) & broken, np.int8(number), code)
    return tuple(reasons), code


def _inputs(chosen: Mapping[str, tuple[Values, Spread]]) -> dict[str, Callable[[], Values]]:
    """The varied keys of a piece, as columns."""
    return {key: functools.partial(spread, values) for key, (values, spread) in chosen.items()}


def choices(grid: Grid, part: GridBlock) -> dict[str, tuple[Values, Spread]]:
    """For every varied key of a piece its values, and a function that expands them to one value per row."""
    lengths = tuple(chosen.stop - chosen.start for chosen in part)
    columns: dict[str, tuple[Values, Spread]] = {}
    for index, (axis, chosen) in enumerate(zip(grid.axes, part, strict=True)):
        spread = functools.partial(_spread, lengths, index)
        for member in axis.members:
            shown = np.array(member.shown(chosen), object if not member.numeric or member.choice else None)
            columns[member.key] = shown, spread
    return columns


def _spread(lengths: tuple[int, ...], axis: int, values: Values) -> Values:
    """Broadcast values along one axis over all axes."""
    return np.broadcast_to(values.reshape([-1 if other == axis else 1 for other in range(len(lengths))]), lengths)
