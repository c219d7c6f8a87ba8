"""A sweep as one frozen, picklable value: any process can compute any block of it, with the same result."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuhours.inputs.arrays import keep_freed_memory
from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import Coded, word
from gpuhours.questions.sweeping.arrow import arrow, numbers, words
from gpuhours.questions.sweeping.grid import Grid
from gpuhours.questions.sweeping.pareto import front
from gpuhours.questions.sweeping.rows import FITS, REASON, VALID, Rows, Values, rows
from gpuhours.questions.sweeping.where import Where
from gpuhours.run.results import RESULTS

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Best:
    """Which rows to keep: the ``most`` best by one result, or the Pareto front of two."""

    names: tuple[str, ...]
    signs: tuple[float, ...]
    """1 if smaller is better, -1 if larger is."""
    most: int | None = None
    """None: the Pareto front."""

    def keep(self, columns: tuple[Values, ...]) -> Values:
        """Indices of the rows to keep, best first (a front: by the first result); ties in row order, unknown values never."""
        goals = [sign * np.asarray(column, float) for sign, column in zip(self.signs, columns, strict=True)]
        known = np.flatnonzero(np.all([~np.isnan(goal) for goal in goals], axis=0))
        if self.most is None:
            return known[front(goals[0][known], goals[1][known])]
        goal = goals[0][known]
        if len(goal) > 4 * self.most:
            limit = np.partition(goal, self.most - 1)[self.most - 1]
            near = np.flatnonzero(goal <= limit)
            known, goal = known[near], goal[near]
        return known[np.argsort(goal, kind="stable")[: self.most]]


@dataclass(frozen=True)
class Job:
    """Everything that determines the rows."""

    grid: Grid
    where: Where | None = None
    best: Best | None = None
    breakdown: bool = False

    @functools.cached_property
    def units(self) -> Mapping[str, str]:
        """Every column with its unit, "" for a plain number."""
        units = {varied.key: "" for varied in self.grid.varied}
        units |= {name: line.unit for name, line in RESULTS.items()}
        if self.breakdown:
            units |= {name: "second" if name.startswith("time.") else "byte" for name in self._parts}
        return units

    @functools.cached_property
    def _parts(self) -> tuple[str, ...]:
        from gpuhours.memory.held import PARTS as HELD
        from gpuhours.step import PARTS

        return (*(f"time.{part}" for part in PARTS), *(f"memory.{part}" for part in HELD))

    @functools.cached_property
    def schema(self) -> pa.Schema:
        """Varied keys, ``valid`` and ``reason``, results; each field's metadata has its unit."""
        import pyarrow as pa

        kinds = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
        fields = [pa.field(varied.key, kinds[varied.kind]) for varied in self.grid.varied]
        fields += [pa.field(VALID, pa.bool_()), pa.field(REASON, pa.string())]
        for name, unit in self.units.items():
            if name not in {varied.key for varied in self.grid.varied}:
                kind = pa.bool_() if name == FITS else pa.float64()
                fields.append(pa.field(name, kind, metadata={"unit": unit} if unit else None))
        return pa.schema(fields)

    def block(self, number: int) -> pa.Table:
        """The selected rows of one block, as a table."""
        import pyarrow as pa

        keep_freed_memory()
        pieces = [
            (chosen, piece) for piece in rows(self.grid, self.grid.block(number), self.breakdown)
            for chosen in [self._chosen(piece)] if chosen is None or len(chosen)
        ]  # fmt: skip
        if not pieces:
            return self.schema.empty_table()
        tables = [self._table(piece, chosen) for chosen, piece in pieces]
        if len(tables) == 1:
            return tables[0]
        position = np.concatenate(
            [piece.position if chosen is None else piece.position[chosen] for chosen, piece in pieces]
        )
        ordered = pa.concat_tables(tables).take(arrow(np.argsort(position, kind="stable"), pa.int64()))
        return self.reduced(ordered)

    def reduced(self, table: pa.Table) -> pa.Table:
        """The best rows of a table with ordered rows; all of them if there is no goal."""
        if self.best is None:
            return table.combine_chunks()
        columns = tuple(numbers(table[name]) for name in self.best.names)
        return table.take(np.asarray(self.best.keep(columns))).combine_chunks()

    def _chosen(self, piece: Rows) -> Values | None:
        """Indices of the selected rows of a piece; None for all."""
        if self.where is None and self.best is None:
            return None
        kept = np.ones(len(piece.position), bool)
        if self.where is not None:
            kept = np.broadcast_to(self.where(lambda name: self._column_for_condition(piece, name)), kept.shape)
        chosen = np.flatnonzero(kept if self.best is None else kept & piece.valid)
        if self.best is None:
            return chosen
        best = self.best.keep(tuple(self._column_for_condition(piece, name)[chosen] for name in self.best.names))
        return np.sort(chosen[best]) if self.best.most is None else chosen[best]

    def _column_for_condition(self, piece: Rows, name: str) -> Any:
        """A column for a condition; results of invalid rows are unknown."""
        if name == VALID:
            return piece.valid
        if name in piece.columns:
            column = piece.column(name)
            if name in {varied.key for varied in self.grid.varied}:
                return column
            return column & piece.valid if column.dtype == bool else np.where(piece.valid, column, np.nan)
        if name in self.units:
            return np.full(len(piece.position), np.nan)
        value = self.grid.run.value(name)
        if isinstance(value, Coded):
            return word(type(value), value)
        return np.nan if value is None else value

    def _table(self, piece: Rows, chosen: Values | None) -> pa.Table:
        """The rows of one piece as Arrow columns; results of invalid rows are null."""
        import pyarrow as pa

        valid = piece.valid if chosen is None else piece.valid[chosen]
        bits = pa.py_buffer(np.packbits(valid, bitorder="little"))

        def column(field: pa.Field) -> pa.Array:
            if field.name == VALID:
                return arrow(valid, field.type)
            if field.name == REASON:
                return _reasons(piece, chosen)
            if field.name not in piece.columns:
                return pa.nulls(len(valid), field.type)
            if field.name in piece.choices:
                tried, spread = piece.choices[field.name]
                named = arrow(tried, field.type)
                plain = not named.null_count and pa.types.is_primitive(field.type) and field.type != pa.bool_()
                each = spread(tried if plain else np.arange(len(tried), dtype=np.int32)).reshape(-1)
                each = arrow(each if chosen is None else each[chosen], field.type if plain else pa.int32())
                return each if plain else named.take(each)
            values = piece.column(field.name)
            values = values if chosen is None else values[chosen]
            if field.type != pa.float64() or np.isnan(np.sum(values, dtype=np.float64)):
                return arrow(values, field.type, valid)
            data = pa.py_buffer(np.ascontiguousarray(values, np.float64))
            return pa.Array.from_buffers(field.type, len(valid), [bits, data])

        return pa.Table.from_arrays([column(field) for field in self.schema], schema=self.schema)


def _reasons(piece: Rows, chosen: Values | None) -> pa.Array:
    """Null for valid rows, otherwise the reason."""
    import pyarrow as pa

    code = (piece.code if chosen is None else piece.code[chosen]).astype(np.int32)
    reasons = words(list(piece.reasons) or [""])
    return pa.DictionaryArray.from_arrays(arrow(code - 1, pa.int32(), code > 0), reasons).cast(pa.string())
