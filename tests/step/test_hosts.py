"""Steps on fast and slow hosts: laws, and the work at hand that no launch time enters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpuhours.software.profile import load_software
from gpuhours.step.hosts import over_hosts, step_and_hosts
from gpuhours.step.predict import shared_work, step, step_of, timed_parts
from gpuhours.workload import Workload
from tests.round_machine import workload


def eager() -> Workload:
    """The small model of the round machine in eager PyTorch, whose steps wait for launches."""
    return replace(workload(), software=load_software("torch-eager"))


def test_a_step_on_each_host_is_that_of_a_host_of_this_pace() -> None:
    usual = eager()
    kernels = usual.software.host.kernels
    assert kernels is not None
    assert kernels.hosts is not None
    on_each = [float(step(replace(usual, software=usual.software.on_host(pace))).time) for pace in kernels.hosts]
    time = step(usual).time
    assert np.multiply(over_hosts(usual, time), time) == pytest.approx(on_each)
    assert on_each[0] < float(time) < on_each[1], "launches bound this step"
    predicted, *hosts = step_and_hosts(usual)
    assert float(predicted.time) == float(time)
    assert hosts == list(over_hosts(usual, time))


def test_a_stated_host_and_one_without_launches_leave_nothing_open() -> None:
    stated = replace(eager(), software=eager().software.on_host(20e-6))
    assert over_hosts(stated, step(stated).time) == (1.0, 1.0)
    assert over_hosts(workload(), step(workload()).time) == (1.0, 1.0)


def test_the_work_of_a_step_serves_hosts_of_every_pace_and_its_parts_are_the_step() -> None:
    work = shared_work(eager())
    for pace in (12e-6, 46e-6):
        there = replace(eager(), software=eager().software.on_host(pace))
        parts, time = timed_parts(there, work)
        assert float(step_of(there, work).time) == float(step(there).time) == float(time)
        assert float(sum(parts.values())) == pytest.approx(float(time))
