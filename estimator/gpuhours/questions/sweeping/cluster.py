"""Compute blocks on a dask cluster: an existing scheduler with any number of workers, which may die at any time."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import islice
from typing import Any

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.sweeping.workers import AHEAD, Answer, Work
from gpuhours.run.digest import digest

PATIENCE = "30s"
"""Time allowed for a scheduler to answer."""
REFRESH = 2.0
"""s between checks of the number of workers."""


def dask_answers(work: Work, numbers: Iterable[Any], scheduler: str | None) -> Iterator[Answer]:
    """(number, work(number)) as they complete. The scheduler reassigns blocks of a worker that dies.

    Only a few blocks per worker thread are submitted at once, so that neither scheduler nor this process has many in memory. Each task
    carries the whole job (a few kB): nothing that a task needs can be lost with a worker.
    """
    distributed = _distributed()
    if scheduler is None:
        raise EstimateError("Which cluster?", "Add --scheduler tcp://HOST:8786.", "--engine dask")
    try:
        client: Any = distributed.Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise EstimateError(
            f"No scheduler answers: {error}", "Start one with `dask scheduler`.", f"--scheduler {scheduler}"
        ) from None
    with client:
        client.wait_for_workers(1)
        left = iter(numbers)
        flying = distributed.as_completed(loop=client.loop)
        out, most, asked = 0, _window(client), time.monotonic()
        while True:
            for number in islice(left, max(0, most - out)):
                flying.add(client.submit(_answer, work, number, stamp(), pure=False, retries=3))
                out += 1
            if not out:
                return
            future = next(flying)
            yield _result(future, scheduler)
            future.release()
            out -= 1
            if time.monotonic() - asked > REFRESH:
                most, asked = _window(client), time.monotonic()


def _distributed() -> Any:
    """dask.distributed, an optional dependency."""
    try:
        return import_module("distributed")
    except ImportError:
        raise EstimateError(
            "dask.distributed is not installed.", "pip install 'gpuhours[dask]'", "--engine dask"
        ) from None


def _window(client: Any) -> int:
    """Blocks to submit at once, by the current number of workers, which varies on a busy cluster."""
    return max(1, sum(client.nthreads().values())) * (1 + AHEAD)


def _result(future: Any, scheduler: str) -> Answer:
    """The result of a task; if the scheduler is gone, all tasks are cancelled."""
    try:
        answer: Answer = future.result()
    except EstimateError:
        raise
    except (asyncio.CancelledError, concurrent.futures.CancelledError, OSError) as error:
        raise EstimateError(
            f"The scheduler is gone: {error or type(error).__name__}.",
            "Start it again; with -o and --resume finished rows are kept.", f"--scheduler {scheduler}",
        ) from None  # fmt: skip
    return answer


def stamp() -> str:
    """The version and the digest of the constants, which must be identical on all machines."""
    from gpuhours.inputs.version import __version__

    return f"{__version__}, digest {digest()}"


def _answer(work: Work, number: Any, asked: str) -> Answer:
    if asked != stamp():
        raise EstimateError(
            f"A worker runs gpuhours {stamp()}; here it is {asked}.",
            "Install the same version on all machines.",
            "--engine dask",
        )
    return number, work(number)
