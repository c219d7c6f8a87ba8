"""Arrays that are freed and allocated again reuse the same memory."""

from __future__ import annotations

import os
import resource

import numpy as np
import pytest

import gpuhours
from gpuhours.inputs.arrays import keep_freed_memory
from tests.questions.sweeping.small_run import RUN

ROUNDS, LENGTH = 100, 1 << 16
PAGES = LENGTH * 8 // resource.getpagesize()
GLIBC = "CS_GNU_LIBC_VERSION" in os.confstr_names


def faults() -> int:
    """Count the page faults while arrays of half a megabyte are allocated and freed repeatedly."""
    one = np.ones(LENGTH)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(ROUNDS):
        sums = [one + 1.0 for _ in range(4)]
        del sums
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not GLIBC, reason="other C libraries have no mallopt")
def test_freed_memory_serves_the_next_array() -> None:
    keep_freed_memory.cache_clear()
    keep_freed_memory()
    faults()
    assert faults() < 8 * PAGES  # else nearly all of the 4 x ROUNDS arrays are new pages


def test_sweeps_and_estimates_ask_for_it() -> None:
    run = gpuhours.from_dict(RUN)
    for ask in (lambda: gpuhours.estimate(run), lambda: gpuhours.sweep(run, {"layout.tensor": "1,2"})):
        keep_freed_memory.cache_clear()
        ask()
        assert keep_freed_memory.cache_info().currsize == 1
