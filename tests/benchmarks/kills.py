"""Kill sweeps at random moments and resume them: no row may be lost, the final bytes must be the same and no process may remain.

    python -m tests.benchmarks.kills [KILLS] [SEED]

Formats and engines alternate; exit code 1 if any check fails.
"""

from __future__ import annotations

import atexit
import functools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

import gpuhours
from gpuhours.questions.sweeping import engines
from gpuhours.questions.sweeping.parts import folder_of, rows_so_far
from tests.questions.sweeping.small_run import RUN

VARY = {
    "layout.tensor": "1,2,4", "layout.pipeline": "1,2,4", "layout.microbatch": "1,2,4,8", "training.global_batch": "256..2048:256",
}  # fmt: skip
ENDINGS = (".csv", ".jsonl", ".parquet")
ENGINES = ("one", "processes", "one", "processes", "one", "processes", "dask")
"""Engines: this process, several processes on this machine, a dask cluster (which takes a second to start)."""
STATE: Counter[str] = Counter()
"""Progress of the sweeps when they were killed."""


def sweep_of(path: Path, engine: str, *, resume: bool, slowly: bool) -> None:
    """Run the sweep to its end."""
    engines.WORTH_PROCESSES = 1 if engine == "processes" else 1000
    watch = (lambda *_: time.sleep(0.01)) if slowly else None
    gpuhours.sweep(gpuhours.from_dict(RUN), VARY, output=path, block_rows=8, resume=resume, watch=watch,
                   **{"engine": "dask", "scheduler": cluster()} if engine == "dask" else {})  # fmt: skip


@functools.cache
def cluster() -> str:
    """Start a dask scheduler and one worker as separate processes that end with this one; return the scheduler's address."""
    scheduler = (
        "import distributed, asyncio\n"
        "async def main():\n    async with distributed.Scheduler(port=0, dashboard=False) as s:\n"
        "        print(s.address, flush=True)\n        await s.finished()\nasyncio.run(main())"
    )
    worker = (
        "import distributed, asyncio, sys\n"
        "async def main():\n    async with distributed.Worker(sys.argv[1]) as w:\n        await w.finished()\nasyncio.run(main())"
    )
    begun = subprocess.Popen(
        [sys.executable, "-c", scheduler], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert begun.stdout is not None
    address = begun.stdout.readline().strip()
    joined = subprocess.Popen(
        [sys.executable, "-c", worker, address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for one in (joined, begun):
        atexit.register(one.kill)
    return address


def started(path: Path, engine: str = "one", *, resume: bool = False, slowly: bool = True) -> int:
    """Start a sweep in a forked process with its own session; return the process id. The process exits with 1 if the sweep is refused.

    This process has imported everything and computed nothing, so that a kill does not cost another start of Python.
    """
    process = os.fork()
    if process == 0:
        code = 1
        try:
            os.setsid()
            sweep_of(path, engine, resume=resume, slowly=slowly)
            code = 0
        except gpuhours.EstimateError as error:
            print(f"{path.name}: {error.problem}", file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    return process


def left_of(session: int) -> list[str]:
    """Return the processes of a session that are still running."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if fields[3] == str(session) and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


def beginning(so_far: Path, once: Path) -> bool:
    """Whether a file's rows are the first ones of another."""
    if so_far.suffix == ".parquet":
        rows = pq.read_table(so_far)
        return rows.equals(pq.read_table(once).slice(0, len(rows)))
    return once.read_bytes().startswith(so_far.read_bytes())


def faults_of(ending: str, engine: str, kills: int, rng: random.Random, folder: Path) -> Iterator[str]:
    """Kill one sweep ``kills`` times, resume it to its end, and yield what went wrong."""
    once, path = folder / f"once{ending}", folder / f"out{ending}"
    parts, so_far = folder_of(path), rows_so_far(path)
    if not once.exists():
        os.waitpid(started(once, slowly=False), 0)
    for number in range(kills):
        process = started(path, engine, resume=parts.is_dir() or path.exists())
        time.sleep(rng.uniform(0, 1.2))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        deadline = time.monotonic() + 20
        while left_of(process) and time.monotonic() < deadline:
            time.sleep(0.02)
        if left_of(process):
            yield f"{ending}, {engine}, kill {number}: {len(left_of(process))} processes left"
        if path.exists() and path.read_bytes() != once.read_bytes():
            yield f"{ending}, kill {number}: half-written under the final name"
        if so_far.exists() and not beginning(so_far, once):
            yield f"{ending}, kill {number}: what is there is not the beginning of the file"
        STATE["begun" if parts.is_dir() else "ended" if path.exists() else "not begun"] += 1
    _, code = os.waitpid(started(path, engine, resume=parts.is_dir() or path.exists(), slowly=False), 0)
    if code:
        yield f"{ending}: not resumed"
        shutil.rmtree(parts, ignore_errors=True)
        path.unlink(missing_ok=True)
        return
    if path.read_bytes() != once.read_bytes():
        yield f"{ending}: other bytes than made in one go"
    path.unlink()


def main() -> int:
    """Kill and print."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    rng = random.Random(sys.argv[2] if len(sys.argv) > 2 else "0")
    done, sweeps, faults = 0, 0, []
    cluster()
    with tempfile.TemporaryDirectory() as folder:
        while done < kills:
            times = rng.randint(1, 4)
            faults += list(faults_of(rng.choice(ENDINGS), rng.choice(ENGINES), times, rng, Path(folder)))
            done, sweeps = done + times, sweeps + 1
    for fault in faults:
        print(fault)
    told = ", ".join(f"{count} {state}" for state, count in STATE.items())
    print(f"{done} kills in {sweeps} sweeps ({told}), {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
