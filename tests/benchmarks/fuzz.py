"""Feed hostile inputs to every surface: none may cause an internal error, a hang, an invisible character or a number that is not finite.

    python -m tests.benchmarks.fuzz [SECONDS] [SEED] [CASES]

``hostile`` defines the inputs and how they are broken. The run ends after the given seconds or cases, whichever comes first; the same SEED
tries the same cases in the same order. Prints each distinct fault with the smallest input that triggers it; exit code 1 if there is any.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import math
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpuhours_cli.app import main as command
from tests.benchmarks.hostile import hostile
from tests.benchmarks.valid_inputs import Seed, seeds

HANG = 30.0
"""Seconds of CPU time after which a case is aborted as a hang."""
LONG = 1.0
"""Seconds of CPU time that a case may take in addition to the time for the unbroken file."""
LARGE = 400e6
"""Bytes by which the memory of this process may grow in one case."""
HUGE = 1e40
"""Largest plausible number in an answer."""
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
NO_NUMBER = re.compile(r"(?<![\w.-])[-+]?\.?(nan|inf|NaN|Infinity)(?![\w-])")


class HangError(BaseException):
    """A case that took too long."""


def tried(case: Seed, usual: float = 0.0) -> str | None:
    """Run one command and return what went wrong, or None; ``usual`` is the CPU time (s) that the unbroken command takes."""
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["gpuhours", *case.arguments]
    name = " ".join(word for word in case.arguments[:2] if word.isalpha())
    code: Any = 0
    largest = peak_anew()
    before = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, HANG)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            command()
    except SystemExit as stop:
        code = stop.code or 0
    except HangError:
        return f"hang: {name}"
    except BaseException as fault:
        return f"{type(fault).__name__} is not caught: {name}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        gc.unfreeze()  # a command leaves what it made uncollected: its process ends
    took = time.process_time() - before
    if code == 3:
        return err.getvalue().partition("failed (")[2].splitlines()[0][:90]
    if code not in (0, 1, 2):
        return f"exit code {code}: {name}"
    if took > LONG + usual:
        return f"takes {took:.0f} s: {name}"
    if (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - largest) * 1024 > LARGE:
        return f"takes too much memory: {name}"
    return next(misprints(case, out.getvalue(), err.getvalue(), code, name), None)


def peak_anew() -> int:
    """Let the peak memory of this process start anew, so that a large case does not hide the next one (Linux); return it in KiB."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def misprints(case: Seed, out: str, err: str, code: int, name: str) -> Iterator[str]:
    """Yield what should not have been printed or written to a file."""
    made = [path.read_text(encoding="utf-8", errors="replace") for path in Path().iterdir()
            if path.name != case.name and path.suffix in (".md", ".html", ".yaml", ".json")]  # fmt: skip
    unseen = next((found for text in (out, err, *made) if (found := UNSEEN.search(text))), None)
    if unseen:
        yield f"prints {unseen[0]!r}: {name}"
    given = {match[0].lower() for match in NO_NUMBER.finditer(" ".join((case.content, *case.arguments)))}
    if any(
        match[0].lower() not in given for match in NO_NUMBER.finditer(out)
    ):  # a word quoted from the input is not a result
        yield f"prints what is no number: {name}"
    if "--json" in case.arguments and code == 0 and case.arguments[0] in ("estimate", "compare"):
        for path, value in numbers(json.loads(out)):
            if not abs(value) < HUGE:
                yield f"{path} is {value:.1g}: {name}"
    if not (out or err) and case.arguments[0] != "import" and "-o" not in case.arguments:
        yield f"says nothing: {name}"


def numbers(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number of a JSON document with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from numbers(inner, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, float(value)


def _too_long(*_: object) -> None:
    raise HangError


def repository() -> None:
    """Make the current folder a git repository with one commit, for ``gpuhours ci``."""
    named = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
    for words in (
        ("init", "--quiet", "--initial-branch", "main"),
        (*named, "commit", "--quiet", "--allow-empty", "-m", "none"),
    ):
        subprocess.run(("git", *words), check=True, capture_output=True)


def emptied() -> None:
    """Delete the files of earlier cases, but not the repository and the files of doors."""
    for path in Path().iterdir():
        if path.is_file():
            path.unlink()
        elif path.name == "papers":
            shutil.rmtree(path)


def written(case: Seed) -> None:
    """Write the file of a case."""
    Path(case.name).parent.mkdir(exist_ok=True)
    Path(case.name).write_text(case.content, encoding="utf-8", errors="surrogatepass", newline="")
    Path("empty").touch()


def main() -> int:
    """Try broken inputs until the time is up or all cases are tried."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    number = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns()
    most = int(sys.argv[3]) if len(sys.argv) > 3 else sys.maxsize
    signal.signal(signal.SIGPROF, _too_long)
    os.environ["COLUMNS"], os.environ["NO_COLOR"] = "80", "1"
    fine, cases = seeds(), 0
    faults: dict[str, Seed] = {}
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        repository()
        while time.monotonic() < end and cases < most:
            rng = random.Random(f"{number}-{cases}")
            surface = rng.choice(tuple(fine))
            seed = rng.choice(fine[surface])
            case = hostile(seed, surface, rng)
            cases += 1
            written(case)
            fault = tried(case)
            if fault is not None and fault.startswith("takes"):  # beside what it takes unbroken, all imported
                emptied()
                written(seed)
                started = time.process_time()
                tried(seed, math.inf)
                usual = time.process_time() - started
                emptied()
                written(case)
                fault = tried(case, usual)
            if fault is not None and len(case.content) < len(
                faults.get(fault, Seed((), "", case.content + "x")).content
            ):
                faults[fault] = case
                print(f"{surface}, {number}-{cases - 1}: {fault}", file=sys.stderr, flush=True)
            emptied()
        os.chdir("/")
    for fault, case in faults.items():
        print(f"{fault}\n  gpuhours {' '.join(case.arguments)!r}\n  {case.content[:600]!r}")
    print(f"{cases} cases, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
