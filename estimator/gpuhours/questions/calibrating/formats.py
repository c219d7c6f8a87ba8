"""The formats of training logs (``formats.yaml``): which tool wrote a line, and what it says in SI units."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator

from gpuhours.inputs.durations import DAY
from gpuhours.inputs.yaml_files import Section, read_yaml, validated

Quantity = Literal[
    "step", "steps", "step_time", "step_rate", "tokens_per_second", "tokens_per_second_per_gpu", "samples_per_second", "flops_per_gpu",
    "mfu", "batch", "memory", "loss", "elapsed", "mean_step_time", "mean_step_rate",
]  # fmt: skip
UNITS: Mapping[str, float] = {"": 1.0, "s": 1.0, "ms": 1e-3, "%": 1e-2, "TFLOP/s": 1e12, "GiB": 2.0**30, "h:m:s": 1.0}
SUFFIXES: Mapping[str, float] = {"K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12}
TIMED: tuple[Quantity, ...] = (
    "step_time", "tokens_per_second", "tokens_per_second_per_gpu", "samples_per_second", "mfu",
)  # fmt: skip
"""Quantities from which a step's time can be derived, most direct first."""


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
    unit: Literal["", "s", "ms", "%", "TFLOP/s", "GiB", "h:m:s"] = ""


class LogFormat(Section):
    """The format in which one tool logs a step."""

    name: str
    also: str = ""
    head: Pattern = ""
    """A line that opens the block of a step, for tools that print a step in several lines."""
    line: Pattern
    reads: Mapping[Quantity, LoggedFigure]
    counts: Literal["steps", "batches"] = "steps"
    average: bool = False
    example: str
    means: Mapping[Quantity, float]

    @functools.cached_property
    def begins(self) -> Callable[[str], object]:
        """A function that tells whether a line logs a step in this format, or opens its block."""
        return re.compile(f"{self.line}|{self.head}" if self.head else self.line).search

    def opens(self, line: str) -> bool:
        """Whether a line opens the block of a step."""
        return bool(self.head) and re.search(self.head, line) is not None

    def read(self, line: str) -> dict[str, float]:
        """All quantities of a line, in SI units."""
        cells = {}
        for quantity, reading in self.reads.items():
            match = re.search(reading.find, line)
            parse = clock if reading.unit == "h:m:s" else number
            if match is not None and (value := parse(match[1])) is not None:
                cells[str(quantity)] = value * UNITS[reading.unit]
        return timed(cells)

    @property
    def bar(self) -> bool:
        """Whether this is a progress bar, which evaluations and loading draw too."""
        return "elapsed" in self.reads and "step_rate" in self.reads


def timed(read: dict[str, float]) -> dict[str, float]:
    """Convert a rate of steps to a step time (progress bars switch between s/it and it/s), and the mean of all steps so far to the time
    since the start."""
    rate, mean_rate = read.pop("step_rate", 0.0), read.pop("mean_step_rate", 0.0)
    mean = read.pop("mean_step_time", 1 / mean_rate if mean_rate > 0 else 0.0)
    if mean > 0 and "step" in read:
        read["elapsed"] = read["step"] * mean
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


_CLOCK = re.compile(r"(?:(\d{1,6}) days?, )?(\d{1,9}(?::\d{1,9}){0,2})")


def clock(text: str) -> float | None:
    """The seconds of a bar's clock, or of a time as Python's ``timedelta`` prints it; None if it is neither.

    >>> clock("02:50"), clock("1:00:01"), clock("2 days, 1:00:01")
    (170.0, 3601.0, 176401.0)
    """
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        return None
    days, hours = found.groups()
    return float(days or 0) * DAY + sum(
        60.0**place * int(part) for place, part in enumerate(reversed(hours.split(":")))
    )


def tools() -> str:
    """The tools whose logs are read, by name: ``nanotron, Megatron-LM, torchtitan, ...``."""
    return ", ".join(dict.fromkeys(one.name.partition(",")[0] for one in formats().lines))


def format_of(line: str) -> LogFormat | None:
    """The format that a line matches; None if there is none."""
    return next((one for one in formats().lines if one.begins(line)), None)
