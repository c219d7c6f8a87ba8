"""Compute blocks on a dask cluster: an existing scheduler with any number of workers, which may die at any time."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
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
        _wait_for_a_worker(client, scheduler)
        left = iter(numbers)
        flying = distributed.as_completed(loop=client.loop)
        out, most, asked = 0, _window(client, scheduler), time.monotonic()
        while True:
            for number in islice(left, max(0, most - out)):
                with _while_there(scheduler):
                    flying.add(client.submit(_answer, work, number, stamp(), pure=False, retries=3))
                out += 1
            if not out:
                return
            with _while_there(scheduler):
                future = next(flying)
                answer: Answer = future.result()
            yield answer
            future.release()
            out -= 1
            if time.monotonic() - asked > REFRESH:
                most, asked = _window(client, scheduler), time.monotonic()


def _distributed() -> Any:
    """dask.distributed, an optional dependency."""
    try:
        return import_module("distributed")
    except ImportError:
        raise EstimateError(
            "dask.distributed is not installed.", "pip install 'gpuhours[dask]'", "--engine dask"
        ) from None


def _wait_for_a_worker(client: Any, scheduler: str) -> None:
    """Raise ``EstimateError`` if no worker joins in time: without one, nothing would ever be answered."""
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        raise EstimateError(
            f"The scheduler has no worker, and none joined within {PATIENCE}.",
            f"Start one with `dask worker {scheduler}`.",
            f"--scheduler {scheduler}",
        ) from None


def _window(client: Any, scheduler: str) -> int:
    """Blocks to submit at once, by the current number of workers, which varies on a busy cluster."""
    with _while_there(scheduler):
        return max(1, sum(client.nthreads().values())) * (1 + AHEAD)


@contextlib.contextmanager
def _while_there(scheduler: str) -> Iterator[None]:
    """Say that the scheduler is gone where a request to it fails; all tasks are cancelled then."""
    try:
        yield
    except (asyncio.CancelledError, concurrent.futures.CancelledError, OSError) as error:
        raise EstimateError(
            f"The scheduler is gone: {error or type(error).__name__}.",
            "Start it again; with -o and --resume finished rows are kept.", f"--scheduler {scheduler}",
        ) from None  # fmt: skip


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
