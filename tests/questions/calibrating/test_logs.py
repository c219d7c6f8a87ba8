"""Lines of each tool are read as printed, warm-up steps are skipped, and lines that no reader understands are named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.calibrating.formats import LogFormat, clock, format_of, formats, tools
from gpuhours.questions.calibrating.logs import LineReader, of_lines, read_log, steady
from tests.conftest import Command

TOOLS = formats().lines


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_tools_own_line_is_read_as_its_entry_says(tool: LogFormat) -> None:
    assert format_of(tool.example) is tool, "an entry above it reads its line"
    assert tool.read(tool.example) == pytest.approx(tool.means, rel=1e-6)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_no_other_tool_reads_a_tools_line(tool: LogFormat) -> None:
    """Except for progress bars: Lightning's is a bar with a longer prefix, and so is tried first."""
    others = [one.name for one in TOOLS if one is not tool and of_one(one, tool.example)]
    assert [name for name in others if "progress bar" not in name] == []


def of_one(tool: LogFormat, line: str) -> bool:
    import re

    return re.search(tool.line, line) is not None


def megatron(step: int, ms: float, batch: int = 512) -> str:
    return (
        f" [2026-03-01 12:00:{step % 60:02}] iteration {step:8}/   50000 | consumed samples: {step * batch:12} |"
        f" elapsed time per iteration (ms): {ms:.1f} | learning rate: 1.000E-04 | global batch size: {batch:5} | lm loss: 3.1E+00 |"
    )


def test_warm_up_is_left_out_and_a_pause_moves_nothing() -> None:
    times = [40_000.0, 9000.0, *[5000.0 + step % 3 for step in range(48)]]
    times[30] = 90_000.0  # a checkpoint
    log = of_lines([megatron(step, ms) for step, ms in enumerate(times, 1)], "train.log")
    found = steady(log.values("step_time"))
    assert (found.steps, found.left_out) == (45, 5)
    assert found.value == pytest.approx(5.001, abs=0.0011)
    assert (log.last("step"), log.last("steps"), log.last("batch")) == (50, 50_000, 512)


@pytest.mark.parametrize(("readings", "left_out"), [(1, 0), (2, 0), (3, 1), (40, 4), (1000, 10)])
def test_how_many_readings_are_warm_up(readings: int, left_out: int) -> None:
    found = steady(np.ones(readings))
    assert (found.left_out, found.steps) == (left_out, readings - left_out)


def test_colours_and_bars_that_write_over_themselves_are_lines(tmp_path: Path) -> None:
    path = tmp_path / "titan.log"
    titan = "\x1b[31mstep: {}  \x1b[32mloss:  7.1  \x1b[38;2;54;234;195mmemory: 35.34GiB(37.20%)  \x1b[34mtps: 5,7{:02}  mfu: 33.7%\x1b[39m"
    path.write_text("\n".join(titan.format(step, step) for step in range(1, 11)), encoding="utf-8")
    assert read_log(path).values("tokens_per_second_per_gpu").tolist() == [5700.0 + step for step in range(1, 11)]
    bar = "".join(f"\r {step}%|#| {step}/100 [00:{step:02}<02:00,  1.{step:02}s/it]" for step in range(10, 20))
    path.write_text(bar, encoding="utf-8")
    assert read_log(path).values("step_time").tolist() == pytest.approx([1.0 + step / 100 for step in range(10, 20)])


def test_a_progress_bar_that_has_become_quick_is_still_one_step() -> None:
    """tqdm turns s/it into it/s below a second."""
    lines = [
        f"1%|#| {step}/100 [00:10<02:00,  {rate}]" for step, rate in ((1, "2.00s/it"), (2, "1.25it/s"), (3, "1.25it/s"))
    ]
    log = of_lines(lines, "x")
    assert log.values("step_time").tolist() == [2.0, 0.8, 0.8]


def bar(step: int, end: int, clock: str, rate: str, before: str = "") -> str:
    return f"{before} {100 * step // end}%|##  | {step}/{end} [{clock}<01:00,  {rate}]"


def test_bars_of_evaluations_are_no_steps() -> None:
    """An evaluation has more batches than there are steps and draws more bars; its clock starts anew each time."""
    evaluation = [bar(batch, 90, f"00:{batch // 10:02}", "10.00it/s") for batch in range(1, 91)]
    training = [bar(step, 30, f"{step // 30:02}:{2 * step % 60:02}", "2.00s/it") for step in range(1, 31)]
    log = of_lines([*training[:15], *evaluation, *training[15:], *evaluation], "x")
    assert log.values("step_time").tolist() == [2.0] * 30
    assert (log.last("step"), log.last("steps")) == (30, 30)


def test_a_tools_own_lines_go_before_bars_in_its_log() -> None:
    """Lightning draws a bar for every validation as well."""
    checks = [bar(batch, 50, "00:01", "20.00it/s", "Validation DataLoader 0:") for batch in range(1, 51)]
    steps = [bar(step, 9, "00:05", "2.00it/s, v_num=3", "Epoch 0:") for step in range(1, 10)]
    log = of_lines([*steps, *checks], "x")
    assert (log.tool, log.values("step_time").tolist()) == ("Lightning", [0.5] * 9)


def test_ranks_that_write_at_once_and_a_restart() -> None:
    """A line that another rank's ends up in front of is read; steps that are done again after a restart are steps."""
    lines = [megatron(step, 5000.0) for step in (*range(1, 30), *range(20, 40))]
    lines[7] = "[Rank 2] memory (MB) | allocated: 13236.0[rank3] NCCL WARN" + lines[7]
    log = of_lines(lines, "x")
    assert len(log.values("step_time")) == len(lines)
    assert log.last("step") == 39


def test_steps_go_before_the_summary_of_a_run() -> None:
    summary = "{'train_runtime': 100.0, 'train_steps_per_second': 0.5, 'train_loss': 1.0}"
    bar = " 12%|# | 12/100 [00:17<02:08,  1.42s/it]"
    assert of_lines([summary], "x").average
    assert not of_lines([bar, summary], "x").average


def test_trainer_state_is_read_once_the_run_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "trainer_state.json"
    history = [
        {"loss": 2.0, "step": 10},
        {"train_runtime": 1423.2, "train_steps_per_second": 0.703, "train_loss": 1.9, "step": 1000},
    ]
    path.write_text(json.dumps({"log_history": history, "max_steps": 1000}), encoding="utf-8")
    assert read_log(path).values("step_time").tolist() == pytest.approx([1 / 0.703])
    path.write_text(json.dumps({"log_history": history[:1], "max_steps": 1000}), encoding="utf-8")
    with pytest.raises(EstimateError, match="has no times"):
        read_log(path)


@pytest.mark.parametrize(
    ("table", "quantity", "value"),
    [
        ("step,step_time_s,loss\n1,9.0,2\n2,1.5,2\n", "step_time", [9.0, 1.5]),
        ("iteration,Iteration Time (ms)\n1,1500\n", "step_time", [1.5]),
        ("step,dt_ms\n1,494.7\n", "step_time", [0.4947]),
        ('"Step","run-a - train/step_time","run-a - train/step_time__MIN"\n1,1.5,1.2\n', "step_time", [1.5]),
        ("step,train/device/items_per_sec,train/loss\n1,5000,2\n", "tokens_per_second_per_gpu", [5000.0]),
        ("step,tok_per_sec\n1,529882\n", "tokens_per_second", [529882.0]),
        ("step,train_loss,train/mfu\n1,2.0,0.41\n2,2.0,\n", "mfu", [0.41]),
        ("step,mfu(%)\n1,41\n", "mfu", [0.41]),
    ],
)
def test_columns_as_trackers_write_them(tmp_path: Path, table: str, quantity: str, value: list[float]) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(table, encoding="utf-8")
    log = read_log(path)
    assert log.quantity == quantity
    assert log.values(log.quantity).tolist() == pytest.approx(value)


def test_columns_and_lines_that_nothing_reads_are_named(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,step_time_s,gpu_temp\n1,1.5,70\n", encoding="utf-8")
    assert read_log(path).not_understood == ("column gpu_temp",)
    log = of_lines([megatron(1, 5000.0), "iteration 12 took 14.2 ms in the other code", "saving checkpoint"], "x")
    assert log.not_understood == ("iteration 12 took 14.2 ms in the other code",)
    assert log.skipped == 1


def test_a_log_that_nobody_reads_says_what_is_nearest_and_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "other.log"
    path.write_text("hello\nstep 12: took 14.2 ms\n", encoding="utf-8")
    with pytest.raises(EstimateError) as error:
        read_log(path)
    assert "step 12: took 14.2 ms" in error.value.problem
    assert "Megatron-LM, torchtitan, nanochat" in error.value.hint.replace("nanotron, ", "")
    assert error.value.where == str(path)


def test_a_log_read_in_pieces_is_the_log_read_whole() -> None:
    lines = [megatron(step, 5000.0 + step) for step in range(1, 40)]
    reader = LineReader("x")
    for start in range(0, len(lines), 7):
        reader.feed(lines[start : start + 7])
    assert reader.log == of_lines(lines, "x")


def test_a_step_printed_in_several_lines_is_one_step_with_its_number() -> None:
    block = "[batch={0}/4800]:\n\t Train time/batch: {0}\n\t Train throughput/samples_per_sec: 3.2\n\t Train throughput/tokens_per_sec: {1}"
    log = of_lines("\n".join(block.format(step, 6000 + step) for step in range(1, 5)).split("\n"), "train.log")
    assert (log.tool, len(log.lines), log.last("step"), log.last("steps")) == ("Composer", 4, 4, 4800)
    assert log.values("tokens_per_second").tolist() == [6001, 6002, 6003, 6004]


@pytest.mark.parametrize(
    ("form", "tool"),
    [
        ("{{'loss': 1.6, 'train_speed(iter/s)': {rate}, 'global_step/max_steps': '{step}/1000'}}", "ms-swift"),
        ("step:{step}/1000 train_time:{seconds}000ms step_avg:{mean}ms", "modded-nanogpt"),
        ('{{"current_steps": {step}, "total_steps": 1000, "elapsed_time": "0:0{minutes}:00"}}', "LLaMA-Factory, its trainer_log.jsonl"),
    ],
)  # fmt: skip
def test_a_time_since_the_start_is_taken_apart(form: str, tool: str) -> None:
    """60 s by step 10, which holds 20 s of warm-up, then 60 s every 15 steps: 4 s a step, though the mean is still 4.5."""
    places = [(10 + 15 * more, 60 * (more + 1)) for more in range(5)]
    lines = [
        form.format(step=step, seconds=seconds, minutes=seconds // 60, rate=step / seconds, mean=1000 * seconds / step)
        for step, seconds in places
    ]
    log = of_lines(lines, "train.log")
    assert log.tool == tool
    assert log.values("step_time").tolist() == pytest.approx([4.0] * 4)


def metric_logger(header: str, step: int, seconds: float) -> str:
    return f"{header}  [{step:4}/521]  eta: 0:20:31  loss: 1.2345 (1.3456)  time: {seconds:.4f}  data: 0.0003  max mem: 12345"


@pytest.mark.parametrize("header", ["Epoch: [3]", "Epoch: [3/100]", "Train Epoch: [3]", "Training"])
def test_evaluations_of_the_metric_logger_are_no_steps(header: str) -> None:
    """DeiT, DINO, BLIP and DINOv2 head training differently; all head an evaluation with another word."""
    training = [metric_logger(header, 10 * step, 29.2) for step in range(1, 20)]
    tests = [metric_logger(word, 10 * step, 6.79) for word in ("Test:", "Evaluation:") for step in range(1, 30)]
    log = of_lines([*training, *tests], "train.log")
    assert (log.tool, log.values("step_time").tolist()) == ("MetricLogger", [29.2] * 19)


def test_a_log_of_evaluations_alone_has_no_step() -> None:
    with pytest.raises(EstimateError, match="no recognised step"):
        of_lines([metric_logger("Test:", 10 * step, 6.79) for step in range(1, 30)], "eval.log")


def test_a_run_of_more_than_a_day_has_its_time_since_the_start() -> None:
    """23:00:00, 1 day 1:00:00 and 2 days 1:00:00 by steps 100, 200 and 1400: 72 s a step."""
    form = '{{"current_steps": {}, "total_steps": 2000, "elapsed_time": "{}", "remaining_time": "1 day, 0:00:00"}}'
    places = ((100, "23:00:00"), (200, "1 day, 1:00:00"), (1400, "2 days, 1:00:00"))
    log = of_lines([form.format(step, clock) for step, clock in places], "trainer_log.jsonl")
    assert log.values("step_time").tolist() == pytest.approx([72.0, 72.0])


@pytest.mark.parametrize("prefix", ["[rank0]: ", "[default0]:", "2026-03-01 12:00:42 "])
def test_a_step_in_several_lines_behind_a_prefix_has_its_number(prefix: str) -> None:
    block = f"{prefix}[batch={{0}}/4800]:\n{prefix}\t Train throughput/tokens_per_sec: {{1}}"
    log = of_lines("\n".join(block.format(step, 6000 + step) for step in range(1, 5)).split("\n"), "train.log")
    assert [line["step"] for line in log.lines] == [1, 2, 3, 4]
    assert log.last("steps") == 4800


def test_a_step_whose_first_line_is_missing_has_no_number() -> None:
    """The number of the step before would be wrong. ``[epoch=1][batch=3/50]`` counts within an epoch, so it is not the run's step."""
    rate = "\t Train throughput/tokens_per_sec: 6000.0"
    log = of_lines(["[batch=2/4800]:", rate, rate, "[epoch=1][batch=3/50]:", rate], "train.log")
    assert [line.get("step") for line in log.lines] == [2, None, None]


def test_the_help_names_every_tool_whose_logs_are_read(gpuhours_command: Command) -> None:
    shown = " ".join(gpuhours_command("calibrate", "--help").out.split())
    assert f"Logs of {tools()}" in shown
    assert "Composer" in tools()


@pytest.mark.parametrize("history", ["NaN", "null", "3", '{"a": 1}'])
def test_a_trainer_state_of_another_kind_is_told(tmp_path: Path, history: str) -> None:
    path = tmp_path / "trainer_state.json"
    path.write_text(f'{{"log_history": {history}}}', encoding="utf-8")
    with pytest.raises(EstimateError, match=r"is not a trainer_state\.json"):
        read_log(path)


@pytest.mark.parametrize(
    "text", ["", ":", "02::50", "1:2:3:4", "0:14:" + "9" * 400, "9999999 days, 1:00", "-1:00", "x"]
)
def test_what_is_no_clock_gives_no_time(text: str) -> None:
    assert clock(text) is None


@pytest.mark.parametrize("text", ["02::50", "0:14:" + "9" * 400])
def test_a_bar_without_a_clock_still_has_its_step_time(text: str) -> None:
    bar = f" 12%|#5   | 120/1000 [{text}<20:50,  1.42s/it]"
    assert set(of_lines([bar] * 8, "x").values("step_time").tolist()) == {1.42}
