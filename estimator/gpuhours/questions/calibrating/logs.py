"""Read training logs: which tool wrote a log, and the time of each step."""

from __future__ import annotations

import codecs
import contextlib
import csv
import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import PIPE
from gpuhours.questions.calibrating.formats import (
    TIMED,
    UNITS,
    Column,
    LogFormat,
    Quantity,
    format_of,
    formats,
    number,
    timed,
    tools,
)

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


class LineReader:
    """Incremental reader of one log. It keeps the lines of the format that matches most; a summary line of the whole run is used only if
    there are no step lines."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.found: dict[str, list[Mapping[str, float]]] = {}
        self.unread: list[str] = []
        self.skipped = 0
        self.opened: dict[str, Mapping[str, float]] = {}
        """What the line that opened a step's block says, by tool."""
        self.before: dict[str, Mapping[str, float]] = {}
        """The line before, of tools that print the time since the start."""

    def feed(self, lines: Iterable[str]) -> None:
        """Process more lines."""
        for line in lines:
            one = format_of(line)
            read = self._read(one, line) if one is not None else {}
            if one is not None and any(quantity in read for quantity in TIMED):
                self.found.setdefault(one.name, []).append(read)
            elif one is not None and "elapsed" in read:
                continue  # the first line of those that are only timed against the one before
            elif looks_like_a_step(line) and len(self.unread) < FEW:
                self.unread.append(line.strip())
            else:
                self.skipped += bool(line.strip())

    def _read(self, one: LogFormat, line: str) -> Mapping[str, float]:
        """All quantities of a line. A step that is printed in several lines has its number from the first, and none if that is missing;
        where only the time since the start is printed, a step takes (t - t of the line before) / (step - step of the line before)."""
        if one.opens(line):
            self.opened[one.name] = one.read(line)
            return {}
        read = {**self.opened.pop(one.name, {}), **one.read(line)}
        if one.bar or "elapsed" not in read or "step" not in read:
            return read
        last, self.before[one.name] = self.before.get(one.name, read), read
        steps, seconds = read["step"] - last["step"], read["elapsed"] - last["elapsed"]
        return {**read, "step_time": seconds / steps} if steps > 0 and seconds > 0 else read

    @property
    def log(self) -> Log | None:
        """The log read so far; None if it has no steps."""
        if not self.found:
            return None
        kinds = {one.name: one for one in formats().lines}
        best = max(
            self.found,
            key=lambda tool: (
                not kinds[tool].average,
                not kinds[tool].bar and len(self.found[tool]) >= FEWEST,
                len(self.found[tool]),
            ),
        )
        kind = kinds[best]
        lines = longest_bar(self.found[best]) if kind.bar else self.found[best]
        return Log(self.name, best, tuple(lines), kind.counts, kind.average, tuple(self.unread), self.skipped)

    def nothing(self) -> EstimateError:
        """The error for a log that no format matches."""
        nearest = f" The closest: {self.unread[0][:120]!r}." if self.unread else ""
        return EstimateError(
            f"has no recognised step.{nearest}",
            f"Supported: {tools()}, trainer_state.json, and a CSV with a column like step_time_s or tokens_per_second.",
            self.name,
        )


def longest_bar(lines: list[Mapping[str, float]]) -> list[Mapping[str, float]]:
    """The lines of the training's bar: of bars to different ends the one whose clock ran longest, because training contains its
    evaluations."""
    clocks: dict[float, float] = {}
    for line in lines:
        end = line.get("steps", 0.0)
        clocks[end] = max(clocks.get(end, 0.0), line.get("elapsed", 0.0))
    longest = max(clocks, key=clocks.__getitem__)
    return [line for line in lines if line.get("steps", 0.0) == longest]


FEWEST = 3
"""Lines by which a tool's own format goes before the progress bars that are in its log."""
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


def looks_like_a_step(line: str) -> bool:
    """Whether a line looks like a step in an unknown format: a step number followed by a rate."""
    step = STEP.search(line)
    return step is not None and RATE.search(line, step.end()) is not None


def trainer_lines(text: str, name: str) -> Iterator[str]:
    """The entries of ``trainer_state.json``, formatted as the Trainer prints them."""
    try:
        history = json.loads(text)["log_history"]
    except (ValueError, KeyError, TypeError) as error:
        raise EstimateError(f"is not a trainer_state.json: {error}.", "", name) from None
    if not isinstance(history, list):
        raise EstimateError("is not a trainer_state.json: its log_history is not a list.", "", name)
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
