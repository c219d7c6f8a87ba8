"""One measured step of a run: that run uses the measurement, and other runs use what carries over."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

import gpuhours
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.yaml_files import Source
from gpuhours.questions.calibrating.calibrating import calibrated
from gpuhours.questions.calibrating.observed import observed_run
from gpuhours.questions.calibrating.own_step import on_site, site_of_step, with_step
from gpuhours.questions.estimating.estimates import Estimate, Result
from gpuhours.questions.reporting.trace import trace
from gpuhours.run.shortcuts import overlaid
from gpuhours.run.spec import Run, run_file
from tests.conftest import Command

TESTS = Path(__file__).parents[2]
RUN, LOG = TESTS / "runs" / "gpt-22b.yaml", TESTS / "steps" / "train.log"


def test_one_step_makes_the_site_that_calibrate_makes_of_it() -> None:
    stated = overlaid(run_file(RUN), {}, {"known.step_time": "7.5 s"})
    step = observed_run(stated, "x")
    assert step is not None
    site = site_of_step(gpuhours.load(RUN), "step_time=7.5s", None)
    assert site is not None
    assert site.name == "--observed step_time=7.5s"
    (here,), (there,) = site.stacks, calibrated([step]).site.stacks
    assert (here.software, here.network, here.factor) == (there.software, there.network, there.factor)
    assert here.steps[0].measured == 7.5
    taken = on_site(gpuhours.load(RUN), site)
    assert taken.software == here.software
    assert taken.site is not None


def test_nothing_observed_changes_nothing() -> None:
    run = gpuhours.load(RUN)
    assert site_of_step(run, None, None) is None
    assert on_site(run, None) is run


def test_a_log_or_a_figure_and_no_site_beside_it() -> None:
    run = gpuhours.load(RUN)
    with pytest.raises(EstimateError, match="Both --observed and --log"):
        site_of_step(run, "step_time=7.5s", LOG)
    at = on_site(run, site_of_step(run, "step_time=7.5s", None))
    with pytest.raises(EstimateError, match="already has a site"):
        site_of_step(at, "step_time=7.5s", None)


@pytest.mark.parametrize("command", ["plan", "sweep", "compare", "report", "trace"])
def test_commands_take_it(gpuhours_command: Command, command: str) -> None:
    more = {
        "sweep": ("--vary", "layout.tensor=1"),
        "compare": ("--gpu", "h100-sxm-80gb"),
        "report": ("--json",),
        "trace": ("--json",),
    }
    ran = gpuhours_command(command, str(RUN), *more.get(command, ()), "--observed", "speed=3")
    assert ran.code == 2
    assert "No observation 'speed'" in ran.err


def test_a_slower_step_never_makes_a_run_without_a_stack_faster() -> None:
    """The step is compared with the usual stack of the run's sample, not with the best one."""
    run = gpuhours.from_dict(
        {
            "model": "llama-3-8b",
            "data": {"tokens": "1T", "seq_len": 8192},
            "training": {"global_batch": 512},
            "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 64},
        }
    )
    plain = gpuhours.estimate(run).results["gpu_hours"]
    slower = gpuhours.estimate(on_site(run, site_of_step(run, "step_time=16s", None))).results["gpu_hours"]
    assert plain is not None
    assert slower is not None
    assert slower.value > plain.value


def test_a_stack_named_by_an_alias_is_stated_not_assumed() -> None:
    """torchtitan is fsdp2-eager: the calibration keeps it, so there is nothing to tell of it."""
    run = overlaid(Source("the run", {}), {**LITTLE, "batch": "256", "software": "torchtitan"})
    at = on_site(run, site_of_step(run, "step_time=8s", None))
    assert at.software == "fsdp2-eager"
    assert "software" not in at.assumptions


def test_a_step_that_is_impossible_is_named(gpuhours_command: Command, tmp_path: Path) -> None:
    ran = gpuhours_command("estimate", str(RUN), "--observed", "step_time=0.2s")
    assert ran.code == 1
    assert "error: --observed step_time=0.2s  mfu" in ran.err
    log = tmp_path / "train.log"
    log.write_text("\n".join(f"iter {step}: loss 5.1234, time 252.42ms, mfu 46.12%" for step in range(9)))
    ran = gpuhours_command("estimate", str(RUN), "--log", str(log))
    assert ran.code == 1
    assert f"error: {log}  mfu" in ran.err


LITTLE = {"params": "7B", "tokens": "1T", "gpu": "h100-sxm-80gb", "gpus": "64"}


def step_of(found: Estimate) -> Result:
    step = found.results["step_time"]
    assert step is not None
    return step


@cache
def as_predicted(said: str) -> tuple[Run, Estimate]:
    """Return a run that states everything or little, and its prediction."""
    run = gpuhours.load(RUN) if said == "all" else overlaid(Source("the run", {}), LITTLE)
    return run, gpuhours.estimate(run)


@cache
def hours_at_predicted_step(said: str) -> float:
    """Return the GPU-hours if the measured step equals the predicted one."""
    run, predicted = as_predicted(said)
    hours = with_step(run, predicted, f"step_time={step_of(predicted).value} s", None).results["gpu_hours"]
    assert hours is not None
    return hours.value


@pytest.mark.parametrize(("said", "factor"), [("all", 0.8), ("all", 8.0), ("little", 0.7)])
def test_a_run_takes_what_was_measured_of_it(said: str, factor: float) -> None:
    """However far from the prediction, and whether or not layout and stack are stated; the range is that of reading a log."""
    run, predicted = as_predicted(said)
    seconds = factor * step_of(predicted).value
    found = with_step(run, predicted, f"step_time={seconds} s", None)
    step, hours = step_of(found), found.results["gpu_hours"]
    assert step.value == pytest.approx(seconds, rel=1e-3)
    assert step.low is not None
    assert step.high is not None
    assert 0.95 * seconds < step.low < seconds < step.high < 1.05 * seconds
    assert step.basis == "given"
    assert sum(found.time.values()) == pytest.approx(seconds, rel=1e-3)
    assert hours is not None
    assert hours.value == pytest.approx(factor * hours_at_predicted_step(said), rel=2e-3)
    assert found.observed is not None
    assert found.observed.predicted == pytest.approx(step_of(predicted).value, rel=1e-3)


def test_the_events_of_a_measured_step_add_up_to_it() -> None:
    """No part of the difference is reported as idle time."""
    run = overlaid(run_file(RUN), {"recompute": "full", "microbatch": "4"})
    plain = trace(run)
    taken = trace(on_site(run, site_of_step(run, "step_time=7.5 s", None)))
    assert taken.seconds == pytest.approx(7.5, rel=1e-3)
    shares = [
        {part: seconds / sum(one.parts().values()) for part, seconds in one.parts().items()} for one in (plain, taken)
    ]
    assert shares[0] == pytest.approx(shares[1], abs=0.01)


def test_other_layouts_take_what_carries_over_and_no_more() -> None:
    """Plans and sweeps change the run, so its own measurement does not apply to them."""
    run = gpuhours.load(RUN)
    at = on_site(run, site_of_step(run, "step_time=30 s", None))
    assert gpuhours.estimate(at).results["step_time"].value == pytest.approx(30.0)  # type: ignore[union-attr]
    best = gpuhours.plan(at).best[0].value("step_time")
    assert gpuhours.plan(run).best[0].value("step_time") < best < 30.0


def test_a_site_knows_the_run_that_made_it(tmp_path: Path) -> None:
    """``calibrate`` records the run of each step; only that run then uses the measurement itself."""
    stated = overlaid(run_file(RUN), {}, {"known.step_time": "16 s"})
    observed = observed_run(stated, "x")
    assert observed is not None
    path = tmp_path / "site.yaml"
    path.write_text(calibrated([observed]).yaml())
    same = overlaid(run_file(RUN), {"site": str(path), "tokens": "3B"})
    other = overlaid(run_file(RUN), {"site": str(path), "microbatch": "2"})
    assert step_of(gpuhours.estimate(same)).value == pytest.approx(16.0, rel=1e-3)
    assert step_of(gpuhours.estimate(other)).value < 15.0


@pytest.mark.parametrize("command", ["plan", "compare"])
def test_what_is_carried_over_is_said_where_the_run_changes(gpuhours_command: Command, command: str) -> None:
    more = ("--gpu", "h100-sxm-80gb") if command == "compare" else ()
    ran = gpuhours_command(command, str(RUN), *more, "--observed", "step_time=30 s")
    assert ran.code == 0, ran.err
    said = " ".join(ran.out.split())
    assert "--observed step_time=30 s: 1 measured step took x" in said
    assert "for other runs x" in said
