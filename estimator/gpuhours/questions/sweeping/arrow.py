"""Conversion between NumPy and Arrow arrays through their buffers: pyarrow's own converters import pandas if it is installed, which takes
longer than most sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuhours.questions.sweeping.rows import Values

if TYPE_CHECKING:
    import pyarrow as pa


def arrow(values: Values, kind: pa.DataType, known: Values | None = None) -> pa.Array:
    """An Arrow array of type ``kind`` from numbers, booleans or strings; null where a value is None, NaN or not ``known``."""
    import pyarrow as pa

    valid = _not_null(values) if known is None else known & _not_null(values)
    if pa.types.is_string(kind):
        return words([str(one) if said else None for one, said in zip(values, valid, strict=True)])
    if pa.types.is_boolean(kind):
        data = _bitmap(np.where(valid, values, False).astype(bool))
    else:
        data = pa.py_buffer(
            np.ascontiguousarray(
                np.where(valid, values, 0), {"double": "float64", "float": "float32"}.get(str(kind), str(kind))
            )
        )
    return pa.Array.from_buffers(kind, len(values), [None if valid.all() else _bitmap(valid), data])


def words(texts: Sequence[str | None]) -> pa.Array:
    """Texts as an array of strings."""
    import pyarrow as pa

    said = np.array([text is not None for text in texts], bool)
    parts = [(text or "").encode() for text in texts]
    ends = np.cumsum([0, *map(len, parts)]).astype(np.int32)
    buffers = [None if said.all() else _bitmap(said), pa.py_buffer(ends), pa.py_buffer(b"".join(parts))]
    return pa.Array.from_buffers(pa.string(), len(parts), buffers)


def numbers(column: pa.ChunkedArray) -> Values:
    """A column of numbers or booleans (as 1 and 0) as a NumPy array; NaN where it is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not len(column):
        return np.empty(0)
    found = column.cast(pa.float64()).combine_chunks()
    missing = pc.is_null(found).cast(pa.int8())
    plain = np.frombuffer(found.buffers()[1], np.float64)[found.offset : found.offset + len(found)]
    absent = np.frombuffer(missing.buffers()[1], np.int8)[missing.offset : missing.offset + len(found)]
    return np.where(absent == 1, np.nan, plain)


def _not_null(values: Values) -> Values:
    if values.dtype == object:
        return np.array([one is not None and one == one for one in values], bool)
    return ~np.isnan(values) if values.dtype.kind == "f" else np.ones(len(values), bool)


def _bitmap(mask: Values) -> Any:
    import pyarrow as pa

    return pa.py_buffer(np.packbits(mask, bitorder="little"))
