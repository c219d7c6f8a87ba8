"""Sweeps killed at random moments, resumed, killed again: no row lost, the same bytes in the end, no process left behind.

    python -m tests.benchmarks.kills [KILLS] [SEED]

Formats and numbers of workers by turns; exit code 1 if anything is lost.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import gpuhours
from tests.questions.sweeping.small_run import RUN

VARY = {
    "layout.tensor": "1,2,4", "layout.pipeline": "1,2,4", "layout.microbatch": "1,2,4,8", "training.global_batch": "256..2048:256",
}  # fmt: skip
ENDINGS = (".csv", ".jsonl", ".parquet")
SWEEP = """
import sys, time, gpuhours
from gpuhours.questions.sweeping import engines
engines.WORTH_PROCESSES = {worth}
print("started", flush=True)
gpuhours.sweep(gpuhours.from_dict({run!r}), {vary!r}, output={path!r}, block_rows=8, resume={resume}, watch=lambda *_: time.sleep(0.01))
"""


def started(path: Path, *, worth: int, resume: bool) -> subprocess.Popen[str]:
    """A sweep in a session of its own, begun."""
    code = SWEEP.format(run=RUN, vary=VARY, path=str(path), worth=worth, resume=resume)
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, text=True,
        stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    return process


def left_of(session: int) -> list[str]:
    """Processes of a session that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if fields[3] == str(session) and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


def faults_of(ending: str, worth: int, kills: int, rng: random.Random, folder: Path) -> Iterator[str]:
    """One sweep, killed so many times, and resumed to its end."""
    once, path = folder / f"once{ending}", folder / f"out{ending}"
    if not once.exists():
        gpuhours.sweep(gpuhours.from_dict(RUN), VARY, output=once, block_rows=8)
    for number in range(kills):
        process = started(path, worth=worth, resume=path.with_name(path.name + ".parts").is_dir())
        time.sleep(rng.uniform(0, 1.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 20
        while left_of(process.pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        if left_of(process.pid):
            yield f"{ending}, {worth} blocks are worth a process, kill {number}: {len(left_of(process.pid))} processes left"
        if ending != ".parquet" and path.exists() and not once.read_bytes().startswith(path.read_bytes()):
            yield f"{ending}, kill {number}: what is there is not the beginning of the file"
    try:
        gpuhours.sweep(gpuhours.from_dict(RUN), VARY, output=path, block_rows=8,
                       resume=path.with_name(path.name + ".parts").is_dir() or path.exists())  # fmt: skip
    except gpuhours.EstimateError as error:
        yield f"{ending}: not resumed: {error.problem}"
        shutil.rmtree(path.with_name(path.name + ".parts"), ignore_errors=True)
        return
    if path.read_bytes() != once.read_bytes():
        yield f"{ending}: other bytes than made in one go"
    path.unlink()


def main() -> int:
    """Kill and print."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    rng = random.Random(sys.argv[2] if len(sys.argv) > 2 else "0")
    done, sweeps, faults = 0, 0, []
    with tempfile.TemporaryDirectory() as folder:
        while done < kills:
            times = rng.randint(1, 4)
            faults += list(faults_of(rng.choice(ENDINGS), rng.choice((1, 1000)), times, rng, Path(folder)))
            done, sweeps = done + times, sweeps + 1
    for fault in faults:
        print(fault)
    print(f"{done} kills in {sweeps} sweeps, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
