"""A sweep written to a file block by block; after an interruption it continues, with the same bytes as an uninterrupted one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.questions.sweeping.formats import Format, format_of
from gpuhours.questions.sweeping.job import Job
from gpuhours.questions.sweeping.parts import Parts

if TYPE_CHECKING:
    import pyarrow as pa

HEAD = 1000
"""Rows of a finished file that are read back for display."""
Workers = Callable[[Callable[[int], Any], Iterable[int]], Iterator[tuple[int, Any]]]
Watch = Callable[[int, int], None]


@dataclass(frozen=True)
class Encoded:
    """Computes and encodes a block in the worker, so that processes and clusters send back bytes."""

    job: Job
    format: Format

    def __call__(self, number: int) -> tuple[bytes, int]:
        """The bytes of one block, and its rows."""
        table = self.job.block(number)
        return self.format.encode(table), len(table)


def to_file(job: Job, path: Path, workers: Workers, *, force: bool, resume: bool, watch: Watch | None) -> int:
    """Write every selected row; returns their number."""
    form = format_of(path)
    stored = form if job.best is None else Format(form.suffix)
    work = Encoded(job, stored)
    parts = Parts(path, form, job.schema, job.grid.blocks, None if job.best is None else job.reduced)
    if resume and path.is_file() and parts.finished():
        rows = _finished(job, path, form)
        parts.close()
        return rows
    try:
        parts.open(_manifest(job), force=force, resume=resume)
        _check_first(parts, work)
        rows = _work_out(parts, work, workers, watch, job.grid.rows)
    except OSError as error:
        raise EstimateError(
            f"Cannot write on: {error.strerror or error}.", "Free some space; --resume then continues.", f"-o {path}"
        ) from None
    finally:
        parts.release()
    parts.close()
    return rows if job.best is None else rows_of(path)


def _work_out(parts: Parts, work: Encoded, workers: Workers, watch: Watch | None, cases: int) -> int:
    """Compute and commit every missing block, publishing the rows so far at intervals and on any interruption."""
    rows = {number: count for number, (_, count) in parts.there().items()}
    ready, published = 0, 0
    missing = [number for number in range(parts.blocks) if number not in rows]
    try:
        for number, (content, count) in workers(work, missing):
            parts.commit(number, content, count)
            rows[number] = count
            while ready in rows:
                ready += 1
            if ready >= max(1, 2 * published) and ready < parts.blocks:
                parts.publish(ready)
                published = ready
            if watch:
                watch(len(rows) * cases // parts.blocks, cases)
    finally:
        there = parts.there()  # a block may have been committed and not yet counted
        while ready in there:
            ready += 1
        if ready > published or ready == parts.blocks:
            parts.publish(ready)
    return sum(rows.values())


def _manifest(job: Job) -> dict[str, Any]:
    """What determines the rows of a sweep: a file is only continued if all of it is the same."""
    from gpuhours.inputs.version import __version__

    values = {varied.key: hashlib.sha256(repr(varied.values).encode()).hexdigest() for varied in job.grid.varied}
    return {
        "gpuhours": __version__,
        "the run": json.loads(job.grid.run.model_dump_json(exclude_none=True)),
        "--vary": values,
        "--zip": [[member.key for member in axis.members] for axis in job.grid.axes],
        "--where": job.where.text if job.where else None,
        "the goal": None if job.best is None else [list(job.best.names), list(job.best.signs), job.best.most],
        "the columns": job.schema.names,
        "rows per block": job.grid.block_rows,
    }


def _check_first(parts: Parts, work: Encoded) -> None:
    """Raise ``EstimateError`` if recomputing the first finished block gives other bytes: constants or equations have changed since."""
    there = parts.there()
    if there and work(min(there))[0] != there[min(there)][0].read_bytes():
        raise EstimateError(
            "The rows written before the interruption differ from those computed now: a profile or gpuhours itself has changed.",
            "--force starts anew.", f"-o {parts.target}",
        )  # fmt: skip


def _finished(job: Job, path: Path, form: Format) -> int:
    """``--resume`` of a complete file: nothing to do if it belongs to this sweep."""
    own = job.block(0) if job.best is None else None
    try:
        head = head_of(path, job)
    except (
        ValueError,
        TypeError,
        KeyError,
        OSError,
    ):  # pyarrow's errors for a file with other columns or of another kind
        head = job.schema.empty_table()
    same = 0 if own is None else min(len(own), len(head))
    if own is None or not same or not head.slice(0, same).equals(own.slice(0, same)):
        raise EstimateError(
            "The file exists, and is not from an interrupted sweep.", "--force overwrites it.", f"-o {path}"
        )
    return rows_of(path)


def head_of(path: Path, job: Job) -> pa.Table:
    """The first rows of a finished file."""
    import pyarrow as pa

    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            batch = next(file.iter_batches(batch_size=HEAD), None) if file.num_row_groups else None
        return job.schema.empty_table() if batch is None else pa.Table.from_batches([batch]).cast(job.schema)
    with path.open("rb") as file:
        lines = list(islice(file, HEAD + 1))
    if path.suffix == ".jsonl":
        return pa.Table.from_pylist([json.loads(line) for line in lines[:HEAD]], job.schema)
    import pyarrow.csv

    if len(lines) < 2:
        return job.schema.empty_table()
    types = {field.name: field.type for field in job.schema}
    options = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=True)
    return pyarrow.csv.read_csv(pa.BufferReader(b"".join(lines)), convert_options=options).cast(job.schema)


def rows_of(path: Path) -> int:
    """Rows of a finished file."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            return int(file.metadata.num_rows)
    with path.open("rb") as file:
        lines = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    return lines - (path.suffix == ".csv")
