"""Blocks on a dask cluster: an existing scheduler, any number of workers, any of which may die."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from gpuhours.errors import EstimateError
from gpuhours.sweeping.engines import AHEAD, Answer, Work

PATIENCE = "30s"
"""How long a scheduler may take to answer."""


def dask_answers(work: Work, numbers: Iterable[Any], scheduler: str | None) -> Iterator[Answer]:
    """(number, work(number)) as they are done. Blocks of a worker that dies are given to another by the scheduler.

    Only a few blocks per worker thread are handed out at once, so neither scheduler nor this process holds many. Each task
    carries the whole job (a few kB): nothing that a task needs can be lost with a worker.
    """
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise EstimateError("dask.distributed is not installed.", "pip install 'gpuhours[dask]'", "--engine dask") from None
    if scheduler is None:
        raise EstimateError("Which cluster?", "Add --scheduler tcp://HOST:8786.", "--engine dask")
    try:
        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise EstimateError(f"No scheduler answers: {error}", "Start one with `dask scheduler`.", f"--scheduler {scheduler}") from None
    with client:
        client.wait_for_workers(1)
        left = iter(numbers)

        def submit(number: Any) -> Any:
            return client.submit(_answer, work, number, pure=False, retries=3)

        threads = max(1, sum(client.nthreads().values()))
        flying = as_completed([submit(number) for number in islice(left, threads * (1 + AHEAD))])
        for future in flying:
            yield future.result()
            future.release()
            for number in islice(left, 1):
                flying.add(submit(number))


def _answer(work: Work, number: Any) -> Answer:
    return number, work(number)
