"""One measured step beside a run that is planned, swept, compared or reported."""

from __future__ import annotations

from pathlib import Path

import pytest

import gpuhours
from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.calibrating.calibrating import calibrated
from gpuhours.questions.calibrating.observed import observed_run
from gpuhours.questions.calibrating.own_step import on_site, site_of_step
from gpuhours.run.shortcuts import overlaid
from gpuhours.run.spec import run_file
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
    with pytest.raises(EstimateError, match="has a site already"):
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
    """The stack that it is held against is the usual one of the run's sample, not the best one."""
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
