"""Read training logs with a table of formats (``formats.yaml``): which tool wrote a log, and the time of each step."""

from __future__ import annotations

import codecs
import contextlib
import csv
import functools
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import PIPE, Section, read_yaml, validated

Quantity = Literal[
    "step", "steps", "step_time", "step_rate", "tokens_per_second", "tokens_per_second_per_gpu", "samples_per_second", "flops_per_gpu",
    "mfu", "batch", "memory", "loss",
]  # fmt: skip
UNITS: Mapping[str, float] = {"": 1.0, "s": 1.0, "ms": 1e-3, "%": 1e-2, "TFLOP/s": 1e12, "GiB": 2.0**30}
SUFFIXES: Mapping[str, float] = {"K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12}
TIMED: tuple[Quantity, ...] = (
    "step_time", "tokens_per_second", "tokens_per_second_per_gpu", "samples_per_second", "mfu",
)  # fmt: skip
"""Quantities from which a step's time can be derived, most direct first."""
COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
WARM_UP, SHARE = 10, 10
"""Warm-up readings to drop at the start: 1 / ``SHARE`` of all, at least one, at most ``WARM_UP`` (kernels are tuned, compiled and cached).
"""
MOST_BYTES, MOST_JSON = 500_000_000, 50_000_000
"""Maximum bytes of a log, and of a JSON log, which is loaded whole."""
PIECE = 1_000_000
"""Bytes read at a time."""
LONGEST_LINE = 2000
"""Characters of a line that are searched; the rest is ignored, because the search takes superlinear time."""


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]


class LoggedFigure(Section):
    """Where a quantity is in a line, and its unit."""

    find: Pattern
    unit: Literal["", "s", "ms", "%", "TFLOP/s", "GiB"] = ""


class LogFormat(Section):
    """The format in which one tool logs a step."""

    name: str
    also: str = ""
    line: Pattern
    reads: Mapping[Quantity, LoggedFigure]
    counts: Literal["steps", "batches"] = "steps"
    average: bool = False
    example: str
    means: Mapping[Quantity, float]

    @functools.cached_property
    def begins(self) -> Callable[[str], object]:
        """A function that tells whether a line logs a step in this format."""
        return re.compile(self.line).search

    def read(self, line: str) -> dict[str, float]:
        """All quantities of a line, in SI units."""
        cells = {}
        for quantity, reading in self.reads.items():
            match = re.search(reading.find, line)
            if match is not None and (value := number(match[1])) is not None:
                cells[str(quantity)] = value * UNITS[reading.unit]
        return timed(cells)


def timed(read: dict[str, float]) -> dict[str, float]:
    """Convert a rate of steps to a step time: progress bars switch between s/it and it/s."""
    rate = read.pop("step_rate", 0.0)
    return {**read, "step_time": 1 / rate} if rate > 0 and "step_time" not in read else read


class Column(LoggedFigure):
    """A column of a CSV log: which headers it has, and which quantity it holds."""

    quantity: Quantity


class Formats(Section):
    """The contents of ``formats.yaml``."""

    lines: tuple[LogFormat, ...]
    columns: tuple[Column, ...]


@functools.cache
def formats() -> Formats:
    """The table of formats included in gpuhours."""
    return validated(Formats, read_yaml(Path(str(files("gpuhours.questions.calibrating"))) / "formats.yaml"))


def number(text: str) -> float | None:
    """Parse a number such as ``1,234.5`` or ``1.23K``; None if it is not one."""
    plain = text.strip().replace(",", "")
    factor = SUFFIXES.get(plain[-1:], 1.0)
    try:
        value = float(plain[:-1] if plain[-1:] in SUFFIXES else plain) * factor
    except ValueError:
        return None
    return value if np.isfinite(value) else None


@dataclass(frozen=True)
class Log:
    """The contents of one log."""

    path: str
    tool: str
    lines: tuple[Mapping[str, float], ...]
    """The quantities of every step's line, in SI units."""
    counts: Literal["steps", "batches"] = "steps"
    average: bool = False
    """Whether the log is a single summary line of a whole run, including warm-up and pauses."""
    not_understood: tuple[str, ...] = ()
    """Lines or columns that contain numbers but were not understood."""
    skipped: int = field(default=0)
    """Number of other lines."""

    def values(self, quantity: Quantity) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The values of a quantity, from all lines that have it."""
        return np.array([line[quantity] for line in self.lines if quantity in line], float)

    @property
    def quantity(self) -> Quantity:
        """The most direct quantity in the log from which step times can be derived."""
        counts = {name: sum(name in line for line in self.lines) for name in TIMED}
        most = max(counts.values(), default=0)
        return next(name for name in TIMED if counts[name] >= most / 2 and counts[name])

    def last(self, quantity: Quantity) -> float | None:
        """The value of a quantity in the last line that has it; None if none does."""
        values = self.values(quantity)
        return float(values[-1]) if len(values) else None


@dataclass(frozen=True)
class Steady:
    """Statistics of a quantity over the steps after warm-up."""

    value: float
    """Median, which is robust against pauses, evaluations and checkpoints."""
    low: float
    high: float
    """90th percentile; ``low`` is the 10th."""
    steps: int
    left_out: int
    """Number of warm-up readings dropped at the start."""


def steady(values: np.ndarray[Any, np.dtype[np.float64]]) -> Steady:
    """Median and spread after warm-up; nothing is dropped from a log of one or two lines."""
    left_out = 0 if len(values) < 3 else min(WARM_UP, max(1, len(values) // SHARE))
    kept = values[left_out:]
    low, high = np.quantile(kept, [0.1, 0.9])
    return Steady(float(np.median(kept)), float(low), float(high), len(kept), left_out)


def read_log(path: Path | str) -> Log:
    """Read a log, ``trainer_state.json`` or a CSV of steps, recognised by its contents."""
    name = "standard input" if str(path) == PIPE else str(path)
    texts = texts_of(path)
    first = next(texts, "").lstrip("\ufeff")
    whole = itertools.chain((first,), texts)
    if first.lstrip().startswith("{") and '"log_history"' in first:
        return of_lines(trainer_lines(joined(whole, name), name), name)
    head = first.partition("\n")[0]
    if "," in head and not any(one.begins(head) for one in formats().lines) and columns_of(head):
        return of_table(rows_of(whole, name), name)
    return of_lines(lines_of(whole), name)


def texts_of(path: Path | str) -> Iterator[str]:
    """Read a log in pieces, so that a large file is never entirely in memory; invalid UTF-8 is replaced."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    left = MOST_BYTES
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if str(path) == PIPE else Path(path).open("rb") as file:
            while content := file.read(min(PIECE, left + 1)):
                left -= len(content)
                if left < 0:
                    raise EstimateError(f"is larger than {MOST_BYTES / 1e6:.0f} MB.", "Give its last part.", str(path))
                yield decoder.decode(content)
            yield decoder.decode(b"", final=True)
    except OSError as error:
        raise EstimateError(f"cannot be read: {error.strerror or error}", where=str(path)) from None


def joined(texts: Iterable[str], name: str) -> str:
    """The complete text of a JSON document, joined from its pieces."""
    found = ""
    for text in texts:
        found += text
        if len(found) > MOST_JSON:
            raise EstimateError(f"is larger than {MOST_JSON / 1e6:.0f} MB.", "Give what the run printed instead.", name)
    return found


def lines_of(texts: Iterable[str]) -> Iterator[str]:
    """Lines without colour codes, truncated to a safe length; carriage returns (progress bars) also end lines."""
    rest = ""
    for text in texts:
        *whole, rest = re.split(r"[\r\n]+", rest + text)
        yield from map(plain, whole)
        rest = rest[: 2 * LONGEST_LINE]
    yield plain(rest)


def plain(line: str) -> str:
    """A line without colour codes, truncated to ``LONGEST_LINE``."""
    return COLOUR.sub("", line[: 2 * LONGEST_LINE])[:LONGEST_LINE]


def rows_of(texts: Iterable[str], name: str) -> Iterator[str]:
    """Lines of a table, including line endings."""
    rest = ""
    for text in texts:
        *whole, rest = (rest + text).split("\n")
        yield from (f"{line}\n" for line in whole)
        if len(rest) > PIECE:
            raise EstimateError("has a line that is longer than any table's.", "", name)
    yield rest


def format_of(line: str) -> LogFormat | None:
    """The format that a line matches; None if there is none."""
    return next((one for one in formats().lines if one.begins(line)), None)


class LineReader:
    """Incremental reader of one log. It keeps the lines of the format that matches most; a summary line of the whole run is used only if
    there are no step lines."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.found: dict[str, list[Mapping[str, float]]] = {}
        self.unread: list[str] = []
        self.skipped = 0

    def feed(self, lines: Iterable[str]) -> None:
        """Process more lines."""
        for line in lines:
            one = format_of(line)
            read = one.read(line) if one is not None else {}
            if one is not None and any(quantity in read for quantity in TIMED):
                self.found.setdefault(one.name, []).append(read)
            elif puzzling(line) and len(self.unread) < FEW:
                self.unread.append(line.strip())
            else:
                self.skipped += bool(line.strip())

    @property
    def log(self) -> Log | None:
        """The log read so far; None if it has no steps."""
        if not self.found:
            return None
        kinds = {one.name: one for one in formats().lines}
        best = max(self.found, key=lambda tool: (not kinds[tool].average, len(self.found[tool])))
        kind = kinds[best]
        return Log(
            self.name, best, tuple(self.found[best]), kind.counts, kind.average, tuple(self.unread), self.skipped
        )

    def nothing(self) -> EstimateError:
        """The error for a log that no format matches."""
        known = ", ".join(dict.fromkeys(one.name.partition(",")[0] for one in formats().lines))
        nearest = f" The closest: {self.unread[0][:120]!r}." if self.unread else ""
        return EstimateError(
            f"has no recognised step.{nearest}",
            f"Supported: {known}, trainer_state.json, and a CSV with a column like step_time_s or tokens_per_second.",
            self.name,
        )


FEW = 5
"""Number of unrecognised lines that are kept."""


def of_lines(lines: Iterable[str], name: str) -> Log:
    """Read a complete log from its lines."""
    reader = LineReader(name)
    reader.feed(lines)
    if reader.log is None:
        raise reader.nothing()
    return reader.log


STEP = re.compile(r"(?i)\b(?:step|iter(?:ation)?)\b[^\d]*\d")
RATE = re.compile(r"(?i)\d *(?:ms|s/it|it/s)\b|tok(?:en)?s?[/_ ](?:per[_ ])?s|mfu|tflop")


def puzzling(line: str) -> bool:
    """Whether a line looks like a step in an unknown format: a step number followed by a rate."""
    step = STEP.search(line)
    return step is not None and RATE.search(line, step.end()) is not None


def trainer_lines(text: str, name: str) -> Iterator[str]:
    """The entries of ``trainer_state.json``, formatted as the Trainer prints them."""
    try:
        history = json.loads(text)["log_history"]
    except (ValueError, KeyError, TypeError) as error:
        raise EstimateError(f"is not a trainer_state.json: {error}.", "", name) from None
    if not any("train_runtime" in entry for entry in history if isinstance(entry, dict)):
        raise EstimateError(
            "has no times: the Trainer writes them at the end of a run (train_runtime).",
            "Give what it printed instead (its progress bar has s/it), or --observed step_time=1.42s.",
            name,
        )
    for entry in history:
        yield str(entry)


def columns_of(head: str) -> dict[str, Column]:
    """Header -> column rule; for each quantity the first matching rule is used."""
    columns: dict[str, Column] = {}
    try:
        names = [name.strip() for name in next(csv.reader([head]), ())]
    except csv.Error:  # a cell longer than any plausible header
        return {}
    for rule in formats().columns:
        for name in names:
            if (
                name not in columns
                and re.search(rule.find, name.lower())
                and rule.quantity not in {one.quantity for one in columns.values()}
            ):
                columns[name] = rule
    return columns if any(rule.quantity in (*TIMED, "step_rate") for rule in columns.values()) else {}


def of_table(rows: Iterable[str], name: str) -> Log:
    """A CSV with one step per row."""
    try:
        return _of_table(csv.DictReader(rows), name)
    except csv.Error as error:
        raise EstimateError(f"is not a CSV of steps: {error}.", "", name) from None


def _of_table(reader: csv.DictReader[str], name: str) -> Log:
    known = columns_of(",".join(f'"{field}"' for field in reader.fieldnames or ()))
    lines = []
    for cells in reader:
        read = {
            str(rule.quantity): value * UNITS[rule.unit]
            for header, rule in known.items()
            if isinstance(cell := cells.get(header), str) and cell.strip() and (value := number(cell)) is not None
        }
        read = timed(read)
        if any(quantity in read for quantity in TIMED):
            lines.append(read)
    if not lines:
        raise EstimateError("has no row with a time or a rate.", "", name)
    unread = tuple(header for header in reader.fieldnames or () if header not in known)
    return Log(name, "CSV", tuple(lines), not_understood=tuple(f"column {one}" for one in unread))
