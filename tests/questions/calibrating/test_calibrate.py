"""From logs and run files to a site, and use of the site in every command that predicts a step."""

from __future__ import annotations

import json
import math
import tempfile
from functools import cache
from pathlib import Path

import pytest
import yaml

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.calibrating.calibrating import Calibration, calibrate
from gpuhours.questions.calibrating.observed import Candidate
from gpuhours.questions.estimating.estimating import estimate
from gpuhours.run.band import band
from gpuhours.run.evaluate import evaluate
from gpuhours.run.shown import on_usual_network
from gpuhours.run.site import QUANTILE, read_site
from gpuhours.run.spec import load
from tests.conftest import Command

RUN = """\
model: llama-2-7b
data: {{tokens: 10B, seq_len: 4096}}
training: {{global_batch: {batch}, dtype: bf16}}
hardware: {{accelerator: a100-sxm-80gb, gpus: {gpus}}}
layout: {{tensor: {tensor}, pipeline: 1, sharding: zero1, recompute: none, microbatch: 1}}
software: {software}
known: {{step_time: {seconds} s}}
"""
SHAPES = ((64, 8, 1), (128, 16, 2), (256, 32, 4))
ANOTHER = (48, 8, 1)
"""A run that is not among those that define the site, as those use their own measurements."""


def predicted(software: str, shape: tuple[int, int, int], folder: Path) -> float:
    """s a step on a stack."""
    path = folder / "ask.yaml"
    path.write_text(described(software, shape, 1.0).replace("known", "# known"), encoding="utf-8")
    step = evaluate(on_usual_network(load(path))).step
    assert step is not None
    return float(step.time)


def described(software: str, shape: tuple[int, int, int], seconds: float) -> str:
    batch, gpus, tensor = shape
    return RUN.format(batch=batch, gpus=gpus, tensor=tensor, software=software, seconds=f"{seconds:.6f}")


@cache
def calibrated(stated: str, true: str, times: float = 1.0) -> Calibration:
    """Calibrate on three run files that state one stack, with measured steps of another."""
    with tempfile.TemporaryDirectory() as name:
        folder, paths = Path(name), []
        for place, shape in enumerate(SHAPES):
            path = folder / f"run-{place}.yaml"
            path.write_text(described(stated, shape, times * predicted(true, shape, folder)), encoding="utf-8")
            paths.append(path)
        return calibrate(paths)


def test_steps_as_predicted_choose_what_is_stated_and_narrow_the_range() -> None:
    found = calibrated("megatron-core", "megatron-core")
    (one,) = found.stacks
    assert (one.choice.stack, one.choice.factor) == (Candidate("megatron-core"), 1.0)
    assert one.site_high[0] / one.site_low[0] < one.high[0] / one.low[0]
    assert found.errors("after") == pytest.approx([0.0] * 3, abs=1e-5)


def test_steps_of_another_shipped_stack_are_known_for_it() -> None:
    """What megatron-2022 takes on these three is a third more than megatron-core's: no factor, no scatter. Two of them alone do not yet
    overrule what is stated, but carry a part over."""
    found = calibrated("megatron-core", "megatron-2022")
    (one,) = found.stacks
    assert one.changed
    assert max(abs(error) for error in found.errors("after")) < 0.03
    left_out, before = found.errors("left_out"), found.errors("before")
    assert all(abs(left) < abs(stated) for left, stated in zip(left_out, before, strict=True))
    assert min(abs(error) for error in before) > 0.1
    assert "likelier than megatron-core, the stated one" in one.why


def test_a_factor_that_all_steps_share_carries_over_in_part() -> None:
    found = calibrated("megatron-core", "megatron-core", times=1.06)
    (one,) = found.stacks
    assert one.choice.stack == Candidate("megatron-core")
    assert 1.0 < one.choice.factor < 1.06


def written(folder: Path, calibration: Calibration) -> Path:
    path = folder / "site.yaml"
    path.write_text(calibration.yaml(), encoding="utf-8")
    return path


def test_a_site_is_what_other_runs_take_in_every_prediction(tmp_path: Path) -> None:
    site = written(tmp_path, calibrated("megatron-core", "megatron-2022", times=1.1))
    met = read_site(site).stacks[0]
    asked = tmp_path / "ask.yaml"
    asked.write_text(
        described("megatron-core", ANOTHER, 1.0).replace("known", f"site: {site.name}\n# known"), encoding="utf-8"
    )
    run = load(asked)
    assert run.software == met.software
    outcome = evaluate(run)
    assert outcome.step is not None
    assert float(outcome.step.time) == pytest.approx(met.factor * predicted(met.software, ANOTHER, tmp_path), rel=1e-3)
    assert sum(float(part) for part in outcome.step.parts.values()) == pytest.approx(float(outcome.step.time))
    earned = band(outcome)
    assert earned is not None
    assert earned.own_steps == 3
    assert math.log(earned.high) >= 0.999 * QUANTILE * math.hypot(met.own, met.shared)
    assert earned.low == pytest.approx(1 / earned.high)


def test_another_card_keeps_the_choice_and_not_the_factor(tmp_path: Path) -> None:
    site = written(tmp_path, calibrated("megatron-core", "megatron-2022", times=1.2))
    asked = tmp_path / "ask.yaml"
    text = described("megatron-core", ANOTHER, 1.0).replace("a100-sxm-80gb", "h100-sxm-80gb")
    asked.write_text(text.replace("known", f"site: {site}\n# known"), encoding="utf-8")
    resolved = evaluate(load(asked)).resolved
    assert resolved.software.name == read_site(site).stacks[0].software
    assert (resolved.software.pace, resolved.calibration) == (1.0, None)
    assert any(one.name == "site" and "h100-sxm-80gb" in one.reason for one in resolved.assumptions)


def test_a_stack_that_no_step_was_of_keeps_its_own(tmp_path: Path) -> None:
    site = written(tmp_path, calibrated("megatron-core", "megatron-2022"))
    asked = tmp_path / "ask.yaml"
    asked.write_text(described("deepspeed", ANOTHER, 1.0).replace("known", f"site: {site}\n# known"), encoding="utf-8")
    assert load(asked).software == "deepspeed"
    assert evaluate(load(asked)).resolved.calibration is None


@pytest.mark.parametrize("command", ["estimate", "report", "trace", "plan"])
def test_every_command_takes_a_site(gpuhours_command: Command, tmp_path: Path, command: str) -> None:
    site = written(tmp_path, calibrated("megatron-core", "megatron-core", times=1.2))
    asked = tmp_path / "ask.yaml"
    asked.write_text(described("megatron-core", ANOTHER, 1.0).replace("known", "# known"), encoding="utf-8")
    outputs = {
        "report": ("-o", str(tmp_path / "r.html"), "--force"),
        "trace": ("-o", str(tmp_path / "t.json"), "--force"),
    }
    plain = gpuhours_command(command, str(asked), "--json", *outputs.get(command, ()))
    ran = gpuhours_command(command, str(asked), "--site", str(site), "--json", *outputs.get(command, ()))
    assert (ran.code, ran.err) == (plain.code, "")

    def seconds(document: str) -> float:
        found = json.loads(document)
        results = found["own"]["results"] if command == "plan" else found.get("results") or found["estimate"]["results"]
        return float(results["step_time"]["value"])

    if command == "trace":
        assert ran.out != plain.out
    else:
        factor = read_site(site).stacks[0].factor
        assert factor > 1.02
        assert seconds(ran.out) == pytest.approx(factor * seconds(plain.out), rel=0.02)


def test_a_sweep_and_a_comparison_take_it_too(gpuhours_command: Command, tmp_path: Path) -> None:
    site = written(tmp_path, calibrated("megatron-core", "megatron-core", times=1.2))
    factor = read_site(site).stacks[0].factor
    asked = tmp_path / "ask.yaml"
    text = described("megatron-core", ANOTHER, 1.0).replace("known", "# known")
    asked.write_text(text + "known: {goodput: 95%}\n", encoding="utf-8")
    vary = ("--vary", "training.global_batch=48,96", "--json")
    plain, ran = (
        json.loads(gpuhours_command("sweep", str(asked), *more, *vary).out)["rows"]
        for more in ((), ("--site", str(site)))
    )
    assert [row["step_time"] for row in ran] == pytest.approx([factor * row["step_time"] for row in plain])
    compared = json.loads(gpuhours_command("compare", str(asked), "--site", str(site), "--json").out)["results"]
    found = {one["name"]: one for one in compared}["step_time"]
    assert found["b"] == pytest.approx(factor * found["a"])


@pytest.mark.parametrize(
    ("change", "where", "problem"),
    [
        ({"software": "megatron-cor"}, "stacks.0.software", "Did you mean 'megatron-core'"),
        ({"network": "token-ring"}, "stacks.0.network", "is not a known network"),
        ({"factor": -1}, "stacks.0.factor", "greater than 0"),
        ({"speed": 2}, "stacks.0.speed", "No such key"),
    ],
)
def test_a_site_is_checked_like_any_input(
    gpuhours_command: Command, tmp_path: Path, change: dict[str, object], where: str, problem: str
) -> None:
    site = written(tmp_path, calibrated("megatron-core", "megatron-core"))
    data = yaml.safe_load(site.read_text(encoding="utf-8"))
    data["stacks"][0].update(change)
    site.write_text(yaml.safe_dump(data), encoding="utf-8")
    ran = gpuhours_command("estimate", "--model", "llama-2-7b", "--gpu", "a100-sxm-80gb", "--site", str(site))
    assert ran.code == 2
    assert f"{site}:" in ran.err
    assert where in ran.err
    assert problem.lower() in ran.err.lower()


TITAN = "step: {}  loss:  7.1  memory: 35.34GiB(37.20%)  tps: {}  mfu: 33.7%"


def a_log(folder: Path, rate: float) -> Path:
    path = folder / "train.log"
    path.write_text("\n".join(TITAN.format(step, f"{rate + step % 2:,.0f}") for step in range(1, 31)), encoding="utf-8")
    return path


def test_a_log_is_of_the_run_file_before_it(tmp_path: Path) -> None:
    run = tmp_path / "run.yaml"
    run.write_text(described("megatron-core", SHAPES[0], 1.0).replace("known", "# known"), encoding="utf-8")
    found = calibrate([run, a_log(tmp_path, 3000)])
    assert found.stacks[0].steps[0].seconds == pytest.approx(64 * 4096 / 8 / 3000, rel=1e-3)
    with pytest.raises(EstimateError, match="The run of this log is not given"):
        calibrate([a_log(tmp_path, 3000)])
    with pytest.raises(EstimateError, match="has no measured step"):
        calibrate([run])


def test_a_log_of_another_batch_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run.yaml"
    run.write_text(described("megatron-core", SHAPES[0], 1.0).replace("known", "# known"), encoding="utf-8")
    log = tmp_path / "m.log"
    line = (
        "iteration {}/ 100 | consumed samples: 1 | elapsed time per iteration (ms): 5000.0 | global batch size: 512 |"
    )
    log.write_text("\n".join(line.format(step) for step in range(1, 9)), encoding="utf-8")
    with pytest.raises(EstimateError, match="512 samples per step, the run 64"):
        calibrate([run, log])
    nano = tmp_path / "nano.log"
    nano.write_text(
        "step 00010/21400 | loss: 5.1 | dt: 494.7ms | tok/sec: 1,059,764 | mfu: 46.2\n" * 9, encoding="utf-8"
    )
    with pytest.raises(EstimateError, match=r"524,2\d\d tokens per step, the run 262,144"):
        calibrate([run, nano])


@pytest.mark.parametrize(
    ("printed", "batch", "refused"), [("1.02K", 1024, False), ("1.02K", 1100, True), ("512", 514, True)]
)
def test_a_batch_that_a_log_rounds_is_that_batch(tmp_path: Path, printed: str, batch: int, refused: bool) -> None:
    """nanotron prints three digits: 1,024 samples as 1.02K."""
    run, log = tmp_path / "run.yaml", tmp_path / "tron.log"
    text = described("megatron-core", (batch, 2, 1), 1.0).replace("known", "# known")
    run.write_text(text, encoding="utf-8")
    line = (
        "[INFO|DP=0|PP=0|TP=0]: iteration: {} / 15 | consumed_tokens: 50.3M | elapsed_time_per_iteration_ms: 98.5K | "
        f"tokens_per_sec: {batch * 4096 / 98.5 / 1000:.1f}K | tokens_per_sec_per_gpu: 7.7K | global_batch_size: {printed} | lm_loss: 9.12"
    )
    log.write_text("\n".join(line.format(step) for step in range(3, 12)), encoding="utf-8")
    if refused:
        with pytest.raises(EstimateError, match="samples per step, the run"):
            calibrate([run, log])
    else:
        assert calibrate([run, log]).stacks[0].steps[0].seconds == pytest.approx(98.5)


def test_a_table_of_runs_calibrates_stack_by_stack(gpuhours_command: Command, tmp_path: Path) -> None:
    shape = "32,4096,32,32,11008,1,32000,4096,{batch},1,a100-sxm-80gb,8,{software},bf16,1,1,none,flash2,none,{seconds}"
    head = (
        "id,layers,hidden,heads,kv_heads,ffn_hidden,gated_mlp,vocab,seq_len,global_batch,micro_batch,accelerator,gpus,software,dtype,"
        "tp,pp,sharding,attention_kind,recompute_kind,step_time_s"
    )
    rows = [
        f"{software}-{batch}," + shape.format(batch=batch, software=software, seconds=batch / 64 * 7.0)
        for software in ("megatron-core", "fsdp2-eager") for batch in (64, 128, 256)
    ]  # fmt: skip
    table = tmp_path / "runs.csv"
    table.write_text("\n".join([head, *rows, rows[0].replace(",7.0", ",")]), encoding="utf-8")
    ran = gpuhours_command("calibrate", str(table), "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["schema"].startswith("gpuhours/calibrate/")
    assert [one["stated"] for one in found["stacks"]] == ["megatron-core", "fsdp2-eager"]
    assert [len(one["steps"]) for one in found["stacks"]] == [3, 3]
    assert "no measured step time" in found["remarks"][0]
    assert {"before", "after", "left_out"} == set(found["summary"])


def test_sites_are_estimated_with_from_python(tmp_path: Path) -> None:
    site = written(tmp_path, calibrated("megatron-core", "megatron-core", times=1.2))
    import gpuhours

    words = {
        "model": "llama-2-7b",
        "gpu": "a100-sxm-80gb",
        "gpus": 8,
        "batch": 64,
        "seq_len": 4096,
        "software": "megatron-core",
    }
    plain, at_site = gpuhours.estimate(**words), gpuhours.estimate(**words, site=str(site))
    assert at_site.outcome.resolved.calibration is not None
    assert plain.outcome.resolved.calibration is None
    assert estimate(at_site.run).results["step_time"] == at_site.results["step_time"]


def test_what_a_run_leaves_open_is_what_an_estimate_shows(tmp_path: Path) -> None:
    """Recomputation and sharding that a run file does not state: they were taken for none, and the residual blamed on the stack."""
    path = tmp_path / "run.yaml"
    text = described("megatron-core", ANOTHER, 1.0).replace("sharding: zero1, recompute: none, ", "")
    path.write_text(text.replace("known", "# known"), encoding="utf-8")
    shown = estimate(load(path)).outcome.step
    assert shown is not None
    path.write_text(text.replace("1.000000 s", f"{float(shown.time)} s"), encoding="utf-8")
    (stack,) = calibrate([path]).stacks
    assert stack.before == pytest.approx((float(shown.time),), rel=1e-9)
