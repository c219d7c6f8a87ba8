"""Failures while a sweep is written: a full disk, another process, Ctrl-C, other versions; nothing is lost and all are reported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import gpuhours
from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.sweeping import cluster
from gpuhours.questions.sweeping.parts import rows_so_far
from tests.benchmarks.kills import left_of
from tests.questions.sweeping.small_run import RUN

VARY = {
    "layout.tensor": "1,2,4",
    "layout.pipeline": "1,2,4",
    "layout.microbatch": "1,2,4,8",
    "training.global_batch": "256..1024:256",
}
pytestmark = pytest.mark.usefixtures("_rows_made_once")
ENDINGS = [".csv", ".jsonl", ".parquet"]
LIMITED = """
import resource, signal, sys, time, gpuhours
sys.dont_write_bytecode = True  # Python 3.11 would cut the compiled modules off at the limit, and leave them so
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, resource.RLIM_INFINITY))
try:
    gpuhours.sweep(gpuhours.from_dict({run!r}), {vary!r}, output={path!r}, block_rows=20)
except gpuhours.EstimateError as error:
    if "pandas" in sys.modules and {path!r}.endswith(".csv"):
        sys.exit("pandas is loaded, which takes longer than the sweep")
    sys.exit(f"{{error.problem}} {{error.hint}}")
"""
SLOW = """
import signal, sys, time, gpuhours
signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored in what a shell has started in the background
sys.argv = ["gpuhours", "sweep", {run!r}, *{vary!r}, "-o", {path!r}]
from gpuhours.questions.sweeping import filing, running
running.sweep.__kwdefaults__["block_rows"] = 20
commit = filing.Parts.commit
def slowly(*arguments):
    commit(*arguments)
    print("committed", flush=True)
    time.sleep(30)
filing.Parts.commit = slowly
from gpuhours_cli.app import main
main()
"""


def ran(code: str, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, text=True, **options)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path, ending: str) -> None:
    path, once = tmp_path / f"out{ending}", tmp_path / f"once{ending}"
    gpuhours.sweep(gpuhours.from_dict(RUN), VARY, output=once, block_rows=20)
    code = LIMITED.format(most=once.stat().st_size * 2 // 3, run=RUN, vary=VARY, path=str(path))
    process = ran(code, stderr=subprocess.PIPE)
    _, told = process.communicate(timeout=100)
    assert process.returncode == 1
    assert told.startswith("Cannot write on: ")
    assert told.endswith("File too large. Free some space; --resume then continues.\n")
    assert not path.exists(), "only a complete file has the name that was asked for"
    assert 0 < rows_so_far(path).stat().st_size < once.stat().st_size, "whole rows, of the last join that had room"
    assert not list(path.with_name(path.name + ".parts").glob("*.draft"))
    gpuhours.sweep(gpuhours.from_dict(RUN), VARY, output=path, block_rows=20, resume=True)
    assert path.read_bytes() == once.read_bytes()


@pytest.mark.parametrize("asked", [{"resume": True}, {"force": True}, {}])
def test_a_second_sweep_to_the_same_file_is_refused(tmp_path: Path, asked: dict[str, bool]) -> None:
    path, told = tmp_path / "out.csv", []

    def meanwhile(*_: int) -> None:
        with pytest.raises(EstimateError, match="Another process is writing this file") as refused:
            gpuhours.sweep(gpuhours.from_dict(RUN), VARY, output=path, block_rows=20, **asked)  # type: ignore[arg-type]
        told.append(refused.value.hint)

    found = gpuhours.sweep(gpuhours.from_dict(RUN), VARY, output=path, block_rows=20, watch=meanwhile)
    assert found.kept == 144
    assert set(told) == {"Wait for it, or name another file."}
    assert not path.with_name("out.csv.parts").exists()


def test_ctrl_c_leaves_whole_rows_and_no_process(tmp_path: Path) -> None:
    path, described = tmp_path / "out.csv", tmp_path / "run.yaml"
    described.write_text(repr(RUN), encoding="utf-8")
    vary = [word for key, values in VARY.items() for word in ("--vary", f"{key}={values}")]
    code = SLOW.format(run=str(described), vary=vary, path=str(path))
    process = ran(code, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "committed\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode not in (0, 3)
    assert "Traceback" not in said
    assert f"--resume continues {path}" in said
    assert not path.exists()
    first = rows_so_far(path).exists()  # the block committed may not be the first of the file
    assert (f"the rows so far: {rows_so_far(path)}" in said) == first
    assert not first or rows_so_far(path).read_text(encoding="utf-8").endswith("\n")
    deadline = time.monotonic() + 20
    while left_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left_of(process.pid)


def test_a_machine_with_another_version_is_refused() -> None:
    def double(number: int) -> int:
        return 2 * number

    assert cluster._answer(double, 4, cluster.stamp()) == (4, 8)
    with pytest.raises(EstimateError, match=r"A worker runs gpuhours .*; here it is 0\.0\.1, digest 0"):
        cluster._answer(double, 4, "0.0.1, digest 0")


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_an_answer_that_cannot_be_written_is_told(more: list[str]) -> None:
    words = ["estimate", "--params", "7B", "--tokens", "1T", "--gpu", "h100-sxm-80gb", "--mfu", "40%", *more]
    code = f"import sys; sys.argv = ['gpuhours', *{words!r}]; from gpuhours_cli.app import main; main()"
    with Path("/dev/full").open("w") as full:
        process = ran(code, stdout=full, stderr=subprocess.PIPE)
        _, told = process.communicate(timeout=100)
    assert process.returncode == 2
    assert told.startswith("error: The answer cannot be written: No space left on device.")


@pytest.mark.parametrize("said", [b"", b"\x80\x04"])
def test_a_worker_whose_near_end_has_gone_ends_without_a_word(said: bytes) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "from gpuhours.questions.sweeping.workers import serve; serve()"],
        input=said, capture_output=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("content", ["other columns", "none of its kind", "empty"])
def test_a_file_of_another_job_is_not_resumed(tmp_path: Path, ending: str, content: str) -> None:
    path = tmp_path / f"out{ending}"
    if content == "other columns":
        gpuhours.sweep(gpuhours.from_dict(RUN), VARY, output=path)
    else:
        path.write_bytes(b"\xff\x00nothing\n\x1b" * (content != "empty"))
    before = path.read_bytes()
    with pytest.raises(EstimateError, match="not from an interrupted sweep"):
        gpuhours.sweep(gpuhours.from_dict(RUN), {"layout.tensor": "1,2"}, output=path, resume=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_sweep_that_ended_before_it_had_begun_is_resumed(tmp_path: Path, ending: str) -> None:
    path, once = tmp_path / f"out{ending}", tmp_path / f"once{ending}"
    gpuhours.sweep(gpuhours.from_dict(RUN), VARY, output=once, block_rows=20)
    path.with_name(path.name + ".parts").mkdir()  # killed before it wrote what it is a sweep of
    gpuhours.sweep(gpuhours.from_dict(RUN), VARY, output=path, block_rows=20, resume=True)
    assert path.read_bytes() == once.read_bytes()
