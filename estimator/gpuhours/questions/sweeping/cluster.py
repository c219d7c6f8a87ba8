"""Blocks on a dask cluster: an existing scheduler, any number of workers, any of which may die."""

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
"""How long a scheduler may take to answer."""
REFRESH = 2.0
"""s between looks at how many workers there are."""


def dask_answers(work: Work, numbers: Iterable[Any], scheduler: str | None) -> Iterator[Answer]:
    """(number, work(number)) as they are done. Blocks of a worker that dies are given to another by the scheduler.

    Only a few blocks per worker thread are handed out at once, so neither scheduler nor this process holds many. Each task
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
    """dask.distributed, which few people need."""
    try:
        return import_module("distributed")
    except ImportError:
        raise EstimateError(
            "dask.distributed is not installed.", "pip install 'gpuhours[dask]'", "--engine dask"
        ) from None


def _window(client: Any) -> int:
    """Blocks to have out at once, by the workers there are now: they come and go on a busy cluster."""
    return max(1, sum(client.nthreads().values())) * (1 + AHEAD)


def _result(future: Any, scheduler: str) -> Answer:
    """What a task came to; a scheduler that is gone cancels all of them."""
    try:
        answer: Answer = future.result()
    except EstimateError:
        raise
    except (asyncio.CancelledError, concurrent.futures.CancelledError, OSError) as error:
        raise EstimateError(
            f"The scheduler is gone: {error or type(error).__name__}.",
            "Start it again; with -o and --resume the rows that are done are kept.", f"--scheduler {scheduler}",
        ) from None  # fmt: skip
    return answer


def stamp() -> str:
    """What must be the same on all machines: the version, and the digest of its constants."""
    from gpuhours.inputs.version import __version__

    return f"{__version__}, digest {digest()}"


def _answer(work: Work, number: Any, asked: str) -> Answer:
    if asked != stamp():
        raise EstimateError(
            f"A worker has gpuhours {stamp()}; here it is {asked}.",
            "Install the same on all machines.",
            "--engine dask",
        )
    return number, work(number)
