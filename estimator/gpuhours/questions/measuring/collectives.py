"""Times of collectives between the GPUs of this machine, by ``torch.distributed``: one process per GPU, imported on demand.

Each collective runs on the first 2, 4, ... of the GPUs, several calls back to back as in nccl-tests, so that launch and host waiting are
excluded; a time is the slowest rank's median over such batches of calls.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass

SIZES = tuple(2**power for power in range(14, 31, 2))
"""Bytes of a message as nccl-tests count it, 16 KiB to 1 GiB."""
MOST_RANKS = 8
OPERATIONS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "ring_sendrecv")
WARM_UP, REPEATS = 2, 5
CALLS = 10
"""Calls per batch: timing single calls, each awaited by the host, made the links of a pair of H200 look 19 to 29 % slower than they are."""
ELEMENT = 2
"""Bytes per element sent: bf16."""


@dataclass(frozen=True)
class CollectiveTime:
    """One collective over the first ``ranks`` GPUs."""

    operation: str
    ranks: int
    bytes: int
    """The message, as nccl-tests count it: the whole of a gather or scatter, otherwise what one rank has."""
    seconds: float


def group_sizes(ranks: int) -> tuple[int, ...]:
    """2, 4, 8 and all of them."""
    return tuple(sorted({size for size in (2, 4, 8, ranks) if 2 <= size <= ranks}))


def collective_times(
    torch: Any, ranks: int, backend: str = "nccl", sizes: Sequence[int] = SIZES
) -> tuple[CollectiveTime, ...]:
    """Every collective at every size on 2, 4 and 8 ranks, as available; about 20 s. ``gloo`` runs on CPUs, for testing."""
    if ranks > MOST_RANKS:
        raise EstimateError(f"{ranks} GPUs are more than one node has.", f"At most {MOST_RANKS}.", "--gpus")
    if not torch.distributed.is_available():
        raise EstimateError(
            "This PyTorch has no torch.distributed.",
            "Install one that has, or measure one GPU with --gpus 1.",
            "--gpus",
        )
    processes: Any = importlib.import_module("torch.multiprocessing")
    with tempfile.TemporaryDirectory() as folder:
        processes.spawn(_rank, args=(ranks, backend, tuple(sizes), folder), nprocs=ranks, join=True)
        by_rank = [
            json.loads((Path(folder) / f"rank-{rank}.json").read_text(encoding="utf-8")) for rank in range(ranks)
        ]
    return slowest([[CollectiveTime(**one) for one in times] for times in by_rank])


def slowest(by_rank: Sequence[Sequence[CollectiveTime]]) -> tuple[CollectiveTime, ...]:
    """Each collective at its slowest rank."""
    most: dict[tuple[str, int, int], float] = {}
    for times in by_rank:
        for one in times:
            key = (one.operation, one.ranks, one.bytes)
            most[key] = max(most.get(key, 0.0), one.seconds)
    return tuple(CollectiveTime(*key, seconds) for key, seconds in most.items())


def _rank(rank: int, ranks: int, backend: str, sizes: tuple[int, ...], folder: str) -> None:
    """One process: writes its times to a file of its own."""
    torch: Any = importlib.import_module("torch")
    distributed = torch.distributed
    where = "cuda" if backend == "nccl" else "cpu"
    if where == "cuda":
        torch.cuda.set_device(rank)
    store = f"file://{os.path.join(folder, 'rendezvous')}"
    own = {"device_id": torch.device("cuda", rank)} if where == "cuda" else {}
    distributed.init_process_group(backend, init_method=store, rank=rank, world_size=ranks, **own)
    try:
        times = []
        for size in group_sizes(ranks):
            group = distributed.new_group(list(range(size)))
            if rank < size:
                for message in sizes:
                    for operation in OPERATIONS:
                        call = _call(torch, operation, rank, size, message, group, where)
                        if call is not None:
                            seconds = _timed(torch, call, group, where)
                            times.append(CollectiveTime(operation, size, message, seconds))
            distributed.barrier()
        text = json.dumps([asdict(one) for one in times])
        (Path(folder) / f"rank-{rank}.json").write_text(text, encoding="utf-8")
    finally:
        distributed.destroy_process_group()


def _call(
    torch: Any, operation: str, rank: int, ranks: int, message: int, group: Any, where: str
) -> Callable[[], object] | None:
    """One collective on its own buffers; None if a backend does not support it."""
    distributed = torch.distributed
    message_in_full = torch.randn(max(ranks, message // ELEMENT // ranks * ranks), device=where).to(torch.bfloat16)
    part = message_in_full[: message_in_full.numel() // ranks].clone()
    if operation == "all_reduce":
        return lambda: distributed.all_reduce(message_in_full, group=group)
    if operation == "all_gather":
        return lambda: distributed.all_gather_into_tensor(message_in_full, part, group=group)
    if where == "cpu":
        return None  # gloo supports neither reduce-scatter nor all-to-all of tensors
    if operation == "reduce_scatter":
        return lambda: distributed.reduce_scatter_tensor(part, message_in_full, group=group)
    received = torch.empty_like(message_in_full)
    if operation == "all_to_all":
        return lambda: distributed.all_to_all_single(received, message_in_full, group=group)

    def around() -> None:
        ahead = distributed.P2POp(distributed.isend, message_in_full, (rank + 1) % ranks, group)
        behind = distributed.P2POp(distributed.irecv, received, (rank - 1) % ranks, group)
        for request in distributed.batch_isend_irecv([ahead, behind]):
            request.wait()

    return around


def _timed(torch: Any, call: Callable[[], object], group: Any, where: str) -> float:
    """Median seconds per call over batches of ``CALLS``, all ranks of the group starting together."""
    times = []
    for turn in range(WARM_UP + REPEATS):
        torch.distributed.barrier(group=group)
        seconds = _row_on_gpu(torch, call) if where == "cuda" else _row_on_host(call)
        if turn >= WARM_UP:
            times.append(seconds / CALLS)
    return float(statistics.median(times))


def _row_on_gpu(torch: Any, call: Callable[[], object]) -> float:
    """Seconds of ``CALLS`` calls by GPU events: the stream waits for each collective, the host for none."""
    torch.cuda.synchronize()
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    for _ in range(CALLS):
        call()
    last.record()
    torch.cuda.synchronize()
    return float(first.elapsed_time(last)) * 1e-3


def _row_on_host(call: Callable[[], object]) -> float:
    """The same for calls that block until done (``gloo``)."""
    begun = time.perf_counter()
    for _ in range(CALLS):
        call()
    return time.perf_counter() - begun
