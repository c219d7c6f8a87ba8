"""``sweep``: vary inputs, keep every row or the best ones, in memory or in a file."""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuhours.cost.bill import offer
from gpuhours.cost.prices import Price
from gpuhours.hardware.clusters import cluster
from gpuhours.inputs.errors import EstimateError, nearest
from gpuhours.inputs.profile_folders import Unknown
from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import Coded
from gpuhours.layout.layout import Layout
from gpuhours.questions.envelope import envelope
from gpuhours.questions.html_table import html_table
from gpuhours.questions.sweeping.axes import axes, with_blocks
from gpuhours.questions.sweeping.engines import answers
from gpuhours.questions.sweeping.filing import head_of, to_file
from gpuhours.questions.sweeping.grid import BLOCK_ROWS, Grid
from gpuhours.questions.sweeping.job import Best, Job
from gpuhours.questions.sweeping.rows import FITS, VALID
from gpuhours.questions.sweeping.values import read
from gpuhours.questions.sweeping.where import where as condition
from gpuhours.run.default_layout import is_partial, with_explicit_defaults
from gpuhours.run.ensemble import settled
from gpuhours.run.results import RESULTS
from gpuhours.run.shortcuts import run_of
from gpuhours.run.spec import Described, Run, of_other_runs

if TYPE_CHECKING:
    import pyarrow as pa

MOST_IN_MEMORY = 20_000_000
"""Maximum number of rows in memory: about 5 GB."""
WITHOUT_LAYOUT = 128
"""Rows computed at once if each needs a layout search, which tries hundreds of layouts per row."""
TOP = 10
"""Rows kept by default if there is an objective."""
SHOWN = 1000
"""Rows in the JSON document if all of them are in a file."""
Watch = Callable[[int, int], None]
"""Called with (rows done, total rows) after every block."""


def _library(name: str) -> Any:
    """An optional dependency."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise EstimateError(f"This needs {name}.", f"pip install {name}") from None


@dataclass(frozen=True, repr=False)
class Sweep:
    """The rows of a sweep. ``table`` is an Arrow table; with a file it is the file's rows, memory-mapped, or its head."""

    job: Job
    table: pa.Table
    kept: int
    seconds: float
    path: Path | None = None

    @property
    def rows(self) -> int:
        """Number of cases computed."""
        return self.job.grid.rows

    def __len__(self) -> int:
        return self.kept

    def __repr__(self) -> str:
        varied = ", ".join(one.key for axis in self.job.grid.axes for one in axis.members)
        return f"<Sweep {self.job.grid.run.name}: {self.kept:,} of {self.rows:,} rows over {varied or 'nothing'}>"

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Arrow-compatible libraries (polars, pandas, DuckDB) accept a sweep as a table."""
        return self.table.__arrow_c_stream__(requested_schema)

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table; each field's metadata has its unit."""
        return self.table

    def to_pandas(self) -> Any:
        """The rows as a pandas frame, units under ``attrs["units"]``."""
        _library("pandas")
        frame = self.table.to_pandas()
        frame.attrs["units"] = {name: self.job.units.get(name, "") for name in self.table.schema.names}
        return frame

    def to_polars(self) -> Any:
        """The rows as a polars frame; units are only in ``to_arrow().schema``, since polars does not store them."""
        return _library("polars").from_arrow(self.table)

    @functools.cached_property
    def notes(self) -> tuple[str, ...]:
        """Which of the swept accelerators have no price, and whether the others are priced by different providers or on different terms,
        which may explain the difference."""
        run = self.job.grid.run
        names = [
            name for one in self.job.grid.varied if one.key == "hardware.accelerator" for name in one.values if name
        ]
        if run.cost.price is not None or run.cost.owned is not None or not names:
            return ()
        offers = {name: offer(cluster(name), run.cost)[0] for name in names}
        said = {
            name: f"{price.row.provider} {price.row.commitment}"
            for name, price in offers.items()
            if isinstance(price, Price)
        }
        missing = tuple(
            f"cost not determined: {one.reason}" for one in dict.fromkeys(offers.values()) if isinstance(one, Unknown)
        )
        if len(set(said.values())) < 2:
            return missing
        each = "; ".join(f"{name}: {words}" for name, words in said.items())
        return (
            f"costs are from different offers ({each}); cost.provider and cost.terms make them comparable",
            *missing,
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``gpuhours sweep --json``."""
        head = self.table.slice(0, SHOWN) if self.path is not None else self.table
        content = {
            "vary": [{"keys": [one.key for one in axis.members], "points": axis.length} for axis in self.job.grid.axes],
            "where": self.job.where.text if self.job.where else None,
            "evaluated": self.rows,
            "kept": self.kept,
            "seconds": self.seconds,
            "file": None if self.path is None else str(self.path),
            "columns": [
                {"name": field.name, "unit": self.job.units.get(field.name, "")} for field in self.table.schema
            ],
            "rows": head.to_pylist(),
            "notes": list(self.notes),
        }
        return envelope("sweep", content)

    def _repr_html_(self) -> str:
        """The view in a notebook: the first rows, with units under the names."""
        units = self.job.units
        names = [name for name in self.table.schema.names if self.table[name].null_count < len(self.table)]
        rows = [[row[name] for name in names] for row in self.table.slice(0, 20).to_pylist()]
        counted = f"{self.kept:,} rows of {self.rows:,} cases in {self.seconds:.2f} s"
        return html_table([f"{name}\n{units.get(name, '')}" for name in names], rows, notes=(counted, *self.notes))


def sweep(
    run: Described,
    vary: Mapping[str, str | Iterable[Any]],
    *,
    together: Sequence[Sequence[str]] = (),
    where: str | None = None,
    minimise: str | None = None,
    maximise: str | None = None,
    pareto: Sequence[str] | None = None,
    top: int | None = None,
    breakdown: bool = False,
    output: Path | str | None = None,
    force: bool = False,
    resume: bool = False,
    engine: str = "local",
    scheduler: str | None = None,
    watch: Watch | None = None,
    block_rows: int = BLOCK_ROWS,
) -> Sweep:
    """Estimate a run for every combination of the varied keys.

    ``vary``       key -> values: any iterable, or text such as ``"16..128:16"``
    ``together``   groups of keys that vary together instead of being combined
    ``where``      a condition over inputs and results: ``"fits and mfu > 40%"``
    ``minimise`` or ``maximise`` with ``top``, or ``pareto`` (two results): only the best valid rows are kept
    ``block_rows`` rows computed and written at once
    ``output``     a .csv, .parquet or .jsonl file, written block by block; ``resume`` continues it
    """
    job = make_job(run_of(run, {}), vary, together, where, (minimise, maximise, pareto, top), breakdown, block_rows)
    started = time.perf_counter()
    if output is None:
        if force or resume:
            raise EstimateError(
                "There is no file to replace or continue.",
                "Name one with -o FILE.",
                "--resume" if resume else "--force",
            )
        table = in_memory(job, engine, scheduler, watch)
        return Sweep(job, table, len(table), time.perf_counter() - started)
    path = Path(output)
    workers = partial(answers, engine=engine, scheduler=scheduler, blocks=job.grid.blocks)
    kept = to_file(job, path, workers, force=force, resume=resume, watch=watch)
    return Sweep(job, head_of(path, job), kept, time.perf_counter() - started, path)


def make_job(
    run: Run,
    vary: Mapping[str, str | Iterable[Any]],
    together: Sequence[Sequence[str]],
    where: str | None,
    goal: tuple[str | None, str | None, Sequence[str] | None, int | None],
    breakdown: bool = False,
    block_rows: int = BLOCK_ROWS,
) -> Job:
    """Validate everything before any work starts."""
    if not vary:
        raise EstimateError("Nothing varies.", "For example: --vary layout.tensor=1,2,4,8", "--vary")
    if run.stages:
        raise EstimateError(
            "A run of several stages has no single step to vary.", "Sweep one stage at a time.", "stages"
        )
    run = of_other_runs(run)
    said, run = with_blocks(run, list(vary)), with_blocks(_settled_base(run, vary), list(vary))
    if run.layout is None:
        block_rows = min(block_rows, WITHOUT_LAYOUT)
    grid = Grid(run, axes(run, {key: read(values, key) for key, values in vary.items()}, together), block_rows, said)
    plain = Job(grid, breakdown=breakdown)
    names = plain.schema.names
    best = _best(goal, [name for name in names if name not in (VALID, "reason")])
    asked = None
    if where is not None:
        asked = condition(where, _kinds(plain, where))
    return Job(grid, asked, best, breakdown)


def _settled_base(run: Run, vary: Collection[str]) -> Run:
    """The run with unstated inputs filled in once for all rows; as given if it is incomplete without the varied keys."""
    try:
        base = settled(run)
    except EstimateError:
        base = run
    if is_partial(base.layout):
        return base.replaced("layout", with_explicit_defaults(base.layout))
    return base if CHUNKED.isdisjoint(vary) else _without_chunks(base, run, vary)


def _without_chunks(found: Run, run: Run, vary: Collection[str]) -> Run:
    """One chunk per stage and the default schedule, if neither is stated: an assumption made for one pipeline may not suit another."""
    if found.layout is None or run.layout is None:
        return found
    stated = {f"layout.{name}" for name in run.layout.model_fields_set}.difference(vary)
    dropped = CHUNKS - stated
    kept = [name for name in found.layout.model_fields_set if f"layout.{name}" not in dropped]
    layout = Layout.model_validate({name: getattr(found.layout, name) for name in kept})
    assumed = {key: one for key, one in found.assumptions.items() if key not in dropped}
    return found.replaced("layout", layout).replaced("assumptions", assumed)


CHUNKS = frozenset({"layout.interleave", "layout.schedule"})
CHUNKED = CHUNKS | {"layout.pipeline"}
"""Keys that together determine whether chunks can be interleaved."""


def _kinds(job: Job, text: str) -> dict[str, str | None]:
    """What a condition may refer to: columns, and inputs of the run that are not varied."""
    import re

    kinds: dict[str, str | None] = {**job.units, FITS: "condition", VALID: "condition"}
    kinds |= {varied.key: {str: None, bool: "condition"}.get(varied.kind, "") for varied in job.grid.varied}
    for key in re.findall(r"[a-z_]+(?:\.[a-z_]+)+", text):
        value = job.grid.run.value(key)
        if key not in kinds and value is not None:
            kinds[key] = None if isinstance(value, str | Coded) else "condition" if isinstance(value, bool) else ""
    return kinds


def _best(goal: tuple[str | None, str | None, Sequence[str] | None, int | None], names: list[str]) -> Best | None:
    """Which rows to keep, from the options."""
    minimise, maximise, pareto, top = goal
    if sum(option is not None for option in (minimise, maximise, pareto)) > 1:
        raise EstimateError("One goal at a time: --minimise, --maximise or --pareto.")
    if top is not None and (top < 1 or pareto is not None or (minimise is None and maximise is None)):
        raise EstimateError(
            "--top N needs N of at least 1, and --minimise or --maximise.",
            "For example: --minimise cost --top 10",
            f"--top {top}",
        )
    if pareto is not None:
        if len(pareto) != 2 or pareto[0] == pareto[1]:
            raise EstimateError(
                "A Pareto front is over two results.", "For example: --pareto cost,wall_clock", "--pareto"
            )
        chosen, signs = (
            tuple(pareto),
            tuple(-1.0 if name in RESULTS and RESULTS[name].better == "more" else 1.0 for name in pareto),
        )
        most = None
    elif minimise is not None or maximise is not None:
        chosen, signs = (minimise or maximise or "",), (1.0 if minimise else -1.0,)
        most = top or TOP
    else:
        return None
    for name in chosen:
        if name not in names:
            raise EstimateError(f"No result {name!r}.", nearest(name, names) or f"Known: {', '.join(names)}.")
    return Best(chosen, signs, most)


def in_memory(job: Job, engine: str, scheduler: str | None, watch: Watch | None) -> pa.Table:
    """All selected rows as one table."""
    import pyarrow as pa

    if job.best is None and job.where is None and job.grid.rows > MOST_IN_MEMORY:
        raise EstimateError(f"{job.grid.rows:,} rows are too many to hold.", "Write them to a file: -o FILE.parquet")
    tables: dict[int, pa.Table] = {}
    total, held = job.grid.blocks, 0
    for number, table in answers(job.block, range(total), engine=engine, scheduler=scheduler, blocks=total):
        tables[number] = table
        held += len(table)
        if held > MOST_IN_MEMORY:
            raise EstimateError(
                f"More than {MOST_IN_MEMORY:,} rows are too many to hold.", "Write them to a file: -o FILE.parquet"
            )
        if watch:
            watch(len(tables) * job.grid.rows // total, job.grid.rows)
    return job.reduced(pa.concat_tables([tables[number] for number in sorted(tables)]))
