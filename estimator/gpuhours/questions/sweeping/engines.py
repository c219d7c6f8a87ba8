"""Where blocks are computed: in this process, in several processes on this machine, or on a dask cluster. All give the same rows."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.sweeping.workers import AHEAD, Answer, Work, Worker

WORTH_PROCESSES = 8
"""Blocks per process from which starting it (half a second) pays off."""


def answers(work: Work, numbers: Iterable[Any], *, engine: str, scheduler: str | None, blocks: int) -> Iterator[Answer]:
    """(number, work(number)) for every number, as they complete."""
    if engine == "dask":
        from gpuhours.questions.sweeping.cluster import dask_answers

        return dask_answers(work, numbers, scheduler)
    if engine != "local":
        raise EstimateError(f"No engine {engine!r}.", "local or dask.", "--engine")
    if scheduler is not None:
        raise EstimateError("A scheduler is for --engine dask.", "Add --engine dask.", f"--scheduler {scheduler}")
    processes = min(os.cpu_count() or 1, blocks // WORTH_PROCESSES)
    if processes <= 1:
        return ((number, work(number)) for number in numbers)
    return process_answers(work, numbers, processes)


def process_answers(work: Work, numbers: Iterable[Any], processes: int) -> Iterator[Answer]:
    """Blocks on several processes of this machine, a few ahead of the consumer.

    The processes are our own (``workers``) rather than ``multiprocessing``'s, which would run the caller's script again in each.
    """
    started = [Worker(work) for _ in range(processes)]
    idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    for worker in started:
        idle.put(worker)

    def ask(number: Any) -> Answer:
        worker = idle.get()
        answer = worker(number)
        idle.put(worker)
        return number, answer

    with ThreadPoolExecutor(processes) as threads:
        try:
            yield from in_flight(lambda number: threads.submit(ask, number), numbers, processes * (1 + AHEAD))
        finally:
            for worker in started:
                worker.stop()


def in_flight(submit: Callable[[Any], Future[Answer]], numbers: Iterable[Any], most: int) -> Iterator[Answer]:
    """Results as they complete, with at most ``most`` in flight."""
    left = iter(numbers)
    flying = {submit(number) for number in islice(left, most)}
    try:
        while flying:
            done, flying = wait(flying, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
                flying.update(submit(number) for number in islice(left, 1))
    finally:
        for future in flying:
            future.cancel()
