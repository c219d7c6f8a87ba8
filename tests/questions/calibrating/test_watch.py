"""Watching a growing log against the prediction: the lines read, the end of the watch, and its exit code."""

from __future__ import annotations

import io
import itertools
import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.calibrating.watching import follow
from gpuhours.run.spec import Run, load
from tests.conftest import Command

RUN = """\
model: llama-2-7b
data: {steps: 100, seq_len: 4096}
training: {global_batch: 64, dtype: bf16}
hardware: {accelerator: a100-sxm-80gb, gpus: 8}
layout: {tensor: 1, pipeline: 1, sharding: zero1, recompute: none, microbatch: 1}
software: megatron-core
"""
LINE = "iteration {}/ 100 | consumed samples: 1 | elapsed time per iteration (ms): {:.1f} | global batch size: 64 |\n"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    path = tmp_path / "run.yaml"
    path.write_text(RUN, encoding="utf-8")
    return load(path)


@pytest.fixture
def seconds(run: Run) -> float:
    from gpuhours.questions.estimating.estimating import estimate

    step = estimate(run).outcome.step
    assert step is not None
    return float(step.time)


def lines(first: int, last: int, seconds: float) -> str:
    return "".join(LINE.format(step, 1e3 * seconds) for step in range(first, last + 1))


def test_a_log_that_is_there_is_read_at_once(tmp_path: Path, run: Run, seconds: float) -> None:
    log = tmp_path / "train.log"
    log.write_text(lines(1, 40, seconds), encoding="utf-8")
    (found,) = follow(log, run, once=True)
    assert (found.step, found.steps, found.verdict, found.below) == (40, 100, "inside", False)
    assert found.seen == pytest.approx(seconds, rel=1e-3)
    assert found.remaining == pytest.approx(60 * seconds, rel=1e-3)
    assert found.cost is not None
    assert found.cost > 0


def test_it_is_too_early_to_tell_from_a_few_steps(tmp_path: Path, run: Run, seconds: float) -> None:
    log = tmp_path / "train.log"
    log.write_text(lines(1, 4, 9 * seconds), encoding="utf-8")
    (found,) = follow(log, run, once=True)
    assert (found.verdict, found.below) == ("too early", False)


def test_the_pace_is_that_of_the_last_steps(tmp_path: Path, run: Run, seconds: float) -> None:
    log = tmp_path / "train.log"
    log.write_text(lines(1, 40, seconds) + lines(41, 60, 5 * seconds), encoding="utf-8")
    (found,) = follow(log, run, once=True)
    assert found.below


def test_a_growing_file_is_followed_to_its_last_step(tmp_path: Path, run: Run, seconds: float) -> None:
    log = tmp_path / "train.log"
    log.write_text(lines(1, 10, seconds)[:-20], encoding="utf-8")  # the last line is being written

    def grow() -> None:
        time.sleep(0.4)
        with log.open("a", encoding="utf-8") as file:
            file.write(lines(1, 10, seconds)[-20:] + lines(11, 100, seconds))

    thread = threading.Thread(target=grow)
    thread.start()
    seen = list(follow(log, run, every=0.1))
    thread.join()
    assert [one.step for one in seen] == [9, 100]
    assert seen[-1].finished
    assert seen[-1].remaining == 0


def test_a_log_that_nobody_adds_to_is_not_waited_for(
    tmp_path: Path, run: Run, seconds: float, gpuhours_command: Command
) -> None:
    """A job that stopped at step 40 of 100 a day ago; ``watch`` used to wait for it forever."""
    log = tmp_path / "train.log"
    log.write_text(lines(1, 40, seconds), encoding="utf-8")
    os.utime(log, (time.time() - 86400, time.time() - 86400))
    (found,) = follow(log, run, every=0.1)
    assert (found.step, found.ended) == (40, "nothing has been added for 24.0 hours")
    ran = gpuhours_command("watch", str(log), "--run", str(tmp_path / "run.yaml"))
    assert ran.code == 0
    assert "nothing has been added for 24.0 hours: no longer waiting for it" in " ".join(ran.out.split())


def test_steps_counted_from_zero_end_one_before_their_number(tmp_path: Path, run: Run, seconds: float) -> None:
    log = tmp_path / "train.log"
    log.write_text(lines(0, 99, seconds), encoding="utf-8")
    *_, last = follow(log, run, every=0.1)
    assert (last.step, last.finished, last.remaining) == (100, True, 0)


def test_watching_stops_where_the_throughput_falls_below_the_range(tmp_path: Path, run: Run, seconds: float) -> None:
    log = tmp_path / "train.log"
    log.write_text(lines(1, 30, 3 * seconds), encoding="utf-8")
    seen = list(itertools.islice(follow(log, run, every=0.1), 5))
    assert [one.below for one in seen] == [True]


def test_a_pipe_is_read_to_its_end(
    gpuhours_command: Command, tmp_path: Path, run: Run, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines(1, 50, seconds)))
    ran = gpuhours_command("watch", "-", "--run", str(tmp_path / "run.yaml"))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1].startswith("step 50 of 100")


@pytest.mark.parametrize(("times", "code"), [(1.0, 0), (3.0, 1), (0.3, 0)])
def test_the_exit_code_is_one_below_the_range_alone(
    gpuhours_command: Command, tmp_path: Path, run: Run, seconds: float, times: float, code: int
) -> None:
    log = tmp_path / "train.log"
    log.write_text(lines(1, 40, times * seconds), encoding="utf-8")
    ran = gpuhours_command("watch", str(log), "--run", str(tmp_path / "run.yaml"), "--once", "--json")
    found = json.loads(ran.out)
    assert ran.code == code
    assert found["schema"].startswith("gpuhours/watch/")
    assert found["verdict"] == {1.0: "inside", 3.0: "slower than predicted", 0.3: "faster than predicted"}[times]


def test_ctrl_c_ends_it_with_what_was_seen(
    gpuhours_command: Command, tmp_path: Path, run: Run, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpuhours.questions.calibrating import watching

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watching.time, "sleep", interrupted)
    log = tmp_path / "train.log"
    log.write_text(lines(1, 40, seconds), encoding="utf-8")
    ran = gpuhours_command("watch", str(log), "--run", str(tmp_path / "run.yaml"))
    assert (ran.code, ran.err) == (0, "")
    assert "step 40 of 100" in ran.out


def test_a_log_without_steps_or_a_file_that_is_not_there_is_bad_input(
    gpuhours_command: Command, tmp_path: Path, run: Run
) -> None:
    log = tmp_path / "train.log"
    log.write_text("nothing here\n", encoding="utf-8")
    assert gpuhours_command("watch", str(log), "--run", str(tmp_path / "run.yaml"), "--once").code == 2
    assert gpuhours_command("watch", str(tmp_path / "no.log"), "--run", str(tmp_path / "run.yaml")).code == 2


def test_a_log_that_was_begun_anew_is_said(tmp_path: Path, run: Run, seconds: float) -> None:
    log = tmp_path / "train.log"
    log.write_text(lines(1, 20, seconds), encoding="utf-8")
    watched = follow(log, run, every=0.1)
    next(watched)
    log.write_text(lines(1, 2, seconds), encoding="utf-8")
    with pytest.raises(EstimateError, match="was restarted"):
        next(watched)


def test_the_summary_of_a_run_ends_the_watch(tmp_path: Path, run: Run, seconds: float) -> None:
    """A run stopped early (``max_steps`` of the Trainer, patience) ends below the steps that its bar announced."""
    bars = "\r".join(
        f" {step:2}%|#  | {step}/100 [{int(step * seconds)}:00<9:00, {seconds:.2f}s/it]" for step in range(1, 41)
    )
    log = tmp_path / "train.log"
    log.write_text(bars + "\n{'train_runtime': 423.2, 'train_steps_per_second': 0.1}\n", encoding="utf-8")
    (found,) = follow(log, run, every=0.1)
    assert (found.step, found.ended) == (40, "the run has printed its summary")
