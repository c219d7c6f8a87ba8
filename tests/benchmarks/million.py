"""A million hostile inputs in this process: no internal error, no hang over a second, at most 500 MB, no number that is not finite.

    python -m tests.benchmarks.million [CASES] [SEED] [SECONDS] [SURFACE ...]

All surfaces (the functions of ``doors`` and the whole commands of ``hostile``) get the same computing time, so the fastest surfaces get
the most cases; the count of each surface is printed. The search is guided by coverage: one case in ``TRACED`` is traced line by line,
and a case that reaches a new pair of lines is kept and broken further. Case N of a surface is drawn with
``random.Random(f"{SEED}-{surface}-{N}")`` from the cases kept so far; with CASES as ``300x``, every surface gets 300 cases in turn, always
the same ones. Prints each distinct fault with the smallest input that triggers it; exit code 1 if there is any.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from gpuhours.inputs.errors import EstimateError, UnitError
from tests.benchmarks import fuzz, hostile
from tests.benchmarks.doors import Door, doors
from tests.benchmarks.valid_inputs import Seed, seeds

TRACED = 12
"""One case in this many is traced."""
LONGEST = 1.0
"""Seconds of CPU time that one case may take."""
MOST_KEPT = 1000
"""Most inputs of a surface that are kept to be broken further."""
LARGEST_INPUT = 8_000
"""Largest input in characters; an input of this size is not made longer."""
CELLS = 1 << 18
"""Size of a surface's map of the line pairs it has reached, one byte each. A set of the pairs themselves took over 500 MB by case 100,000.
If two pairs share a cell, one is lost: one in ten at 25,000 pairs."""


@dataclass
class Surface:
    """One entry point, and the state of its search."""

    name: str
    knock: Callable[[Any, float], str | None]
    broken: Callable[[Any, random.Random], Any]
    kept: list[Any]
    written: Callable[[Any], str]
    cases: int = 0
    took: float = 0.0
    seen: bytearray = field(default_factory=lambda: bytearray(CELLS))

    def next_case(self, rng: random.Random) -> Any:
        """Return one of the kept inputs, more often a recent one, broken once more."""
        half = len(self.kept) // 2
        place = rng.randrange(half, len(self.kept)) if rng.random() < 0.3 else rng.randrange(len(self.kept))
        return self.broken(self.kept[place], rng)


class Watch:
    """Trace function that records pairs of successive lines of gpuhours' code as cells of the map, reproducibly across processes."""

    def __init__(self) -> None:
        self.cells: set[int] = set()

    def new(self, seen: bytearray) -> bool:
        """Whether any recorded cell is new in ``seen``; marks all of them as seen."""
        found = [cell for cell in self.cells if not seen[cell]]
        for cell in found:
            seen[cell] = 1
        return bool(found)

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        """Handle a call: trace lines only in our own code."""
        code = frame.f_code
        if "gpuhours" not in code.co_filename or "benchmarks" in code.co_filename:
            return None
        cells, own, last = self.cells, home(code.co_filename, code.co_firstlineno), 0

        def line(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal last
            if event == "line":
                cells.add((own + last * 2_654_435_761 + frame.f_lineno * 40_503) % CELLS)
                last = frame.f_lineno
            return line

        return line


@functools.cache
def home(path: str, line: int) -> int:
    """Return a hash of the file and first line of a function."""
    return zlib.crc32(f"{path[path.rfind('gpuhours') :]}:{line}".encode())


def at_door(name: str, door: Door) -> Surface:
    """Return a door as a surface."""

    def knock(text: str, longest: float) -> str | None:
        return entered(name, door.enter, text, longest)

    def broken(text: str, rng: random.Random) -> str:
        for _ in range(rng.choice((1, 1, 2, 3))):
            breaks = hostile.LINE_BREAKS if door.words else hostile.FILE_BREAKS
            text = rng.choice(breaks)(text, rng)
        if rng.random() < 0.05:
            other = rng.choice(door.seeds)
            text = text[: rng.randrange(len(text) + 1)] + other[rng.randrange(len(other) + 1) :]
        return text[:LARGEST_INPUT]

    return Surface(name, knock, broken, list(door.seeds), str)


def by_command(name: str, fine: list[Seed]) -> Surface:
    """Return whole commands as a surface."""
    usual = 0.0

    def knock(case: Seed, longest: float) -> str | None:
        nonlocal usual
        started = time.process_time()
        fuzz.written(case)
        try:
            return fuzz.tried(case, usual if longest < math.inf else math.inf)
        finally:
            fuzz.emptied()
            if longest == math.inf:  # unbroken input: measure the usual time of such a command, imports included
                usual = max(usual, time.process_time() - started)

    def broken(seed: Seed, rng: random.Random) -> Seed:
        return hostile.hostile(seed, name, rng)

    def written(case: Seed) -> str:
        return f"gpuhours {' '.join(case.arguments)!r}\n  {case.content[:2000]!r}"

    return Surface(f"{name} commands", knock, broken, list(fine), written)


def entered(name: str, enter: Callable[[str], Any], text: str, longest: float) -> str | None:
    """Pass a text to a door and return what goes wrong, or None."""
    largest = fuzz.peak_anew()
    before, given = time.process_time(), None
    signal.setitimer(signal.ITIMER_PROF, fuzz.HANG)
    try:
        given = enter(text)
    except (EstimateError, UnitError):
        pass
    except fuzz.HangError:
        return f"hang: {name}"
    except BaseException as fault:
        return where(name, fault)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    took = time.process_time() - before
    if took > longest:
        return f"takes {took:.0f} s: {name}"
    if (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - largest) * 1024 > fuzz.LARGE:
        return f"takes too much memory: {name}"
    return no_number(name, given)


def where(name: str, fault: BaseException) -> str:
    """Describe a fault by its type and the innermost line of our code."""
    ours = [one for one in traceback.extract_tb(fault.__traceback__) if "/gpuhours" in one.filename]
    at = f"{os.path.basename(ours[-1].filename)}:{ours[-1].lineno}" if ours else "outside"
    return f"{type(fault).__name__} at {at}: {name}"


def no_number(name: str, given: Any) -> str | None:
    """Return a description, with its path, of a number in a door's result that is infinite or not a number; None if there is none."""
    queue = [("", given)]
    while queue:
        path, value = queue.pop()
        if isinstance(value, float):
            if not math.isfinite(value):
                return f"{path or 'it'} is {value}: {name}"
        elif isinstance(value, Mapping):
            queue += [(f"{path}.{key}" if len(path) < 60 else path, inner) for key, inner in value.items()]
        elif isinstance(value, list | tuple):
            queue += [(path, inner) for inner in value]
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            queue += [(f"{path}.{one.name}", getattr(value, one.name, None)) for one in dataclasses.fields(value)]
    return None


def surfaces(names: tuple[str, ...]) -> list[Surface]:
    """Return all surfaces, or the named ones."""
    found = [at_door(name, door) for name, door in doors().items()]
    found += [by_command(name, fine) for name, fine in seeds().items()]
    return [one for one in found if not names or one.name in names]


@dataclass
class Search:
    """A search over surfaces, with the faults found so far, each with its smallest input."""

    seed: str
    all: list[Surface]
    faults: dict[str, tuple[Surface, Any]] = field(default_factory=dict)
    peak: int = 0
    """Largest memory of this process during a case in KiB."""

    def warmed(self) -> None:
        """Run unbroken inputs on every surface first, so that imports and compilation do not count as time of a case."""
        for one in self.all:
            for case in one.kept[:: max(1, len(one.kept) // 4)]:
                fault = one.knock(case, math.inf)
                if fault is not None:
                    raise AssertionError(f"unbroken: {fault}\n{one.written(case)}")

    def case(self, one: Surface) -> None:
        """Run the next case of one surface."""
        rng = random.Random(f"{self.seed}-{one.name}-{one.cases}")
        case = one.next_case(rng)
        started = time.process_time()
        watched = one.cases % TRACED == 0 and not one.name.endswith(" commands")
        if watched:
            watch = Watch()
            sys.settrace(watch)
        try:
            fault = one.knock(case, math.inf if watched else LONGEST)
        finally:
            sys.settrace(None)
        if fault is not None and fault.startswith("takes"):  # repeat: compilation in the first run is not a fault
            fault = one.knock(case, LONGEST)
        self.peak = max(self.peak, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        one.cases += 1
        one.took += time.process_time() - started
        if watched and len(one.kept) < MOST_KEPT and watch.new(one.seen):
            one.kept.append(case)
        if fault is not None:
            self.found(fault, one, case)

    def found(self, fault: str, one: Surface, case: Any) -> None:
        """Record a fault if it is new or its input is smaller than before."""
        before = self.faults.get(fault)
        if before is None or len(one.written(case)) < len(before[0].written(before[1])):
            if before is None:
                print(
                    f"{one.name}, {one.cases - 1}: {fault}\n  {one.written(case)[:1500]!r}", file=sys.stderr, flush=True
                )
            self.faults[fault] = (one, case)

    @property
    def cases(self) -> int:
        """Number of cases on all surfaces."""
        return sum(one.cases for one in self.all)

    def report(self) -> str:
        """Format the number of cases of each surface, and the totals."""
        lines = [f"{one.name:22} {one.cases:9,} cases {one.took:8.1f} s {len(one.kept):5} kept" for one in self.all]
        return "\n".join(
            [*lines, f"{self.cases:,} cases, {len(self.faults)} faults, at most {self.peak / 1024:.0f} MB"]
        )


def main() -> int:
    """Search until the given number of cases is tried or the time is up."""
    asked = sys.argv[1].replace(",", "") if len(sys.argv) > 1 else "1000000"
    even = asked.endswith("x")
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else math.inf
    named = tuple(doors()) if even else tuple(sys.argv[4:])  # now: a command's case has a command line of its own
    number = sys.argv[2] if len(sys.argv) > 2 else "0"
    signal.signal(signal.SIGPROF, fuzz._too_long)
    warnings.filterwarnings("ignore", category=RuntimeWarning)
    os.environ["COLUMNS"], os.environ["NO_COLOR"] = "80", "1"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        fuzz.repository()
        search = Search(number, surfaces(named))
        most = int(asked[:-1]) * len(search.all) if even else int(asked)
        search.warmed()
        end = time.monotonic() + seconds
        tenth = 0
        while search.cases < most and time.monotonic() < end:
            search.case(min(search.all, key=lambda one: one.cases if even else one.took))
            if search.cases * 10 // most > tenth:
                tenth = search.cases * 10 // most
                print(search.report(), file=sys.stderr, flush=True)
        os.chdir("/")
    for fault, (one, case) in search.faults.items():
        print(f"{fault}\n  {one.written(case)!r}")
    print(search.report())
    return 1 if search.faults else 0


if __name__ == "__main__":
    sys.exit(main())
