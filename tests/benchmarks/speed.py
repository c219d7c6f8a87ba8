"""Measure the speed of gpuhours: ``python tests/benchmarks/speed.py [estimates|space|rows|start|papers|all]`` prints the results.

Everything is measured in the same run on the same machine; times are the minimum of a few repetitions, since other work on a shared
machine can only add to them.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
GPT3: dict[str, Any] = {
    "name": "GPT-3 175B",
    "model": {"layers": 96, "hidden": 12288, "heads": 96, "ffn_hidden": 49152, "vocab": 51200, "gated": False, "norm": "layer",
              "positions": "learned", "max_positions": 2048, "attention_bias": "all", "mlp_bias": True, "tied": True},
    "data": {"seq_len": 2048, "tokens": "300B"},
    "training": {"global_batch": 4096, "dtype": "bf16"},
    "hardware": {"accelerator": "a100-sxm-80gb", "gpus": 4096},
    "layout": {"tensor": 8, "pipeline": 8},
    "software": "megatron-core",
}  # fmt: skip
ONE_OFF = (
    "estimate", "--params", "30B", "--tokens", "500B", "--gpu", "h100-sxm-80gb", "--gpus", "512", "--tensor", "4", "--pipeline", "8",
    "--batch", "2048",
)  # fmt: skip
"""The command used to measure start-up."""
CALCULON = 7_126_368
"""Configurations of the same model, batch and machine that Calculon searches (Isaev et al. 2023)."""
SPACE = {
    "layout.tensor": "1..32*2", "layout.pipeline": "1..64*2", "layout.context": "1..4*2",
    "layout.interleave": "1,2,3,4,6,8,12,16,24,32,48,96",
    "layout.microbatch": "1..4096*2", "layout.recompute": "none,selective,full", "layout.sharding": "none,zero1,zero2,zero3",
    "layout.schedule": "1f1b,interleaved,zb-1p,zb-2p,gpipe", "layout.sequence_parallel": "true,false",
    "layout.sequence_method": "all-gather,ring,ulysses,hybrid",
}  # fmt: skip
"""9.4 million layouts, including those that do not divide evenly, as Calculon counts them."""
OFFERED = "fits_probability >= 0.9 and (layout.pipeline == 1 or layout.sharding == none or layout.sharding == zero1)"
"""Conditions of ``plan``: a layout fits with a probability of at least 0.9; no stack combines ZeRO-2 or ZeRO-3 with a pipeline."""
SMALL = {
    key: SPACE[key]
    for key in (
        "layout.tensor",
        "layout.pipeline",
        "layout.microbatch",
        "layout.recompute",
        "layout.sharding",
        "layout.schedule",
        "layout.sequence_parallel",
    )
}


def least(work: Callable[[], Any], times: int = 3, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the shortest time of a few runs in seconds."""
    found = []
    for _ in range(times):
        started = clock()
        work()
        found.append(clock() - started)
    return min(found)


def estimates() -> None:
    """Full estimates per second on one core, as Arrow columns: by wall-clock time and by CPU time."""
    from gpuhours import from_dict
    from gpuhours.questions.sweeping.running import make_job

    for name, breakdown in (("every result", False), ("every result, time and memory by part", True)):
        job = make_job(from_dict(GPT3), SMALL, (), None, (None, None, None, None), breakdown)
        rows = len(job.block(0))
        wall, busy = least(lambda: job.block(0), 7), least(lambda: job.block(0), 7, time.process_time)  # noqa: B023
        print(f"  {name:<40} {rows:>7,} rows {rows / wall:>11,.0f}/s {rows / busy:>11,.0f}/s of processor time")


def space() -> None:
    """The search that takes Calculon about six hours: exhaustive, and with ``plan``."""
    import gpuhours

    run = gpuhours.from_dict(GPT3)
    seen: list[Any] = []
    seconds = least(lambda: seen.append(gpuhours.sweep(run, SPACE, where=OFFERED, minimise="step_time", top=1)), 2)
    found = seen[-1]
    best = found.table["step_time"][0].as_py()
    assert found.rows >= CALCULON
    print(
        f"  exhaustively  {found.rows:>10,} layouts {seconds:>8.2f} s   best {best:.4f} s   {found.rows / seconds:>12,.0f}/s"
    )
    seconds = least(lambda: seen.append(gpuhours.plan(run, top=1)))
    plan = seen[-1]
    assert plan.space >= CALCULON
    print(
        f"  planned       {plan.space:>10,} layouts {seconds:>8.2f} s   best {plan.best[0].value('step_time'):.4f} s   "
        f"{plan.evaluated:,} worked out"
    )


ROWS = """
import gpuhours, resource, sys, time
run = gpuhours.from_dict({run!r})
vary = {{"layout.tensor": "1,2,4,8", "layout.microbatch": "1,2,4,8,16", "layout.pipeline": "1,2,4,8,16",
        "data.tokens": range(10**9, 10**9 + {points})}}
started = time.perf_counter()
found = gpuhours.sweep(run, vary, output={path!r})
seconds = time.perf_counter() - started
most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
size = found.path.stat().st_size / 1e6
rate = 1e6 * seconds / found.kept
print(f"  {{found.kept:>10,}} rows {{seconds:>8.2f}} s {{rate:>7.2f}} us/row   {{most:>6.0f}} MiB   {{size:>8.0f}} MB")
"""


def rows() -> None:
    """Time and memory of sweeps to a Parquet file by number of rows, each in its own process."""
    for power in (4, 5, 6, 7):
        with tempfile.TemporaryDirectory() as folder:
            code = ROWS.format(run=GPT3, points=10**power // 100, path=str(Path(folder) / "rows.parquet"))
            subprocess.run([sys.executable, "-c", code], check=True, env=environment())


def environment() -> dict[str, str]:
    """Return the environment for a new process: this checkout's packages, with compiled modules cached as in an installation."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    compiled = str(Path(tempfile.gettempdir()) / f"gpuhours-speed-{os.getuid()}")
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("cli", "estimator", ".")),
        "PYTHONPYCACHEPREFIX": compiled,
    }


def started(code: str, *words: str, times: int = 7) -> list[float]:
    """Return the CPU seconds (user and system) of new processes."""
    found = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code, *words], check=True, env=environment(), stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return found


def start() -> None:
    """Start-up of ``estimate`` and ``--help`` compared with imports (CPU time, minimum and median, interleaved)."""
    main, imports = "from gpuhours_cli.app import main; main()", "import typer, rich, pint, yaml"
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run.yaml"
        run.write_text(json.dumps(GPT3), encoding="utf-8")  # JSON is YAML
        cases: dict[str, tuple[str, Sequence[str]]] = {
            "import typer": ("import typer", ()), "gpuhours --help": (main, ("--help",)), imports: (imports, ()),
            "gpuhours estimate --params ...": (main, ONE_OFF), "gpuhours estimate run.yaml": (main, ("estimate", str(run))),
        }  # fmt: skip
        for code, words in cases.values():
            started(code, *words, times=1)
        for _ in range(9):
            for name, (code, words) in cases.items():
                found.setdefault(name, []).extend(started(code, *words, times=1))
    least_of = {name: min(seconds) for name, seconds in found.items()}
    for name, seconds in found.items():
        beside = "import typer" if name == "gpuhours --help" else imports
        print(
            f"  {name:<32} {least_of[name]:>7.3f} s   median {sorted(seconds)[len(seconds) // 2]:.3f} s"
            f"   {least_of[name] / least_of[beside]:.2f} x {beside}"
        )


def papers() -> None:
    """Time to check a table of runs and one megabyte of prose."""
    from importlib.resources import files

    from gpuhours.questions.checking.reading.text import read_paper
    from gpuhours.questions.checking.table import read_rows
    from gpuhours.questions.checking.verdict import check_table

    table = read_rows(Path(str(files("gpuhours") / "published" / "run_totals.csv"))) * 4
    seconds = least(lambda: check_table(table, "runs"), 3, time.process_time)
    print(f"  {len(table):>10,} rows    {seconds:>8.2f} s {1e3 * seconds / len(table):>8.2f} ms/row of processor time")
    told = "Osprey-9B was trained on 1.5 trillion tokens with 512 A100 GPUs for 14.5 days, 178,176 GPU-hours at an MFU of 42%.\n\n"
    for size in (100_000, 1_000_000):
        text = told * (size // len(told))
        seconds = least(lambda: read_paper(text), 1, time.process_time)  # noqa: B023
        print(f"  {len(text):>10,} characters {seconds:>5.2f} s {1e6 * seconds / len(text):>8.2f} us/character")


SECTIONS = {"estimates": estimates, "space": space, "rows": rows, "start": start, "papers": papers}


def main() -> None:
    """Print the requested sections, or all of them."""
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    asked = [word for word in sys.argv[1:] if word in SECTIONS] or list(SECTIONS)
    for name in asked:
        print(SECTIONS[name].__doc__.splitlines()[0])  # type: ignore[union-attr]
        SECTIONS[name]()


if __name__ == "__main__":
    main()
