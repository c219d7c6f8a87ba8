"""The order of passes on each pipeline rank, and an event-by-event simulation of a step's schedule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gpuhours.inputs.records import dataclass
from gpuhours.layout.schedules import SCHEDULES, Order, Schedule

FORWARD, BACKWARD, WEIGHT = "forward", "backward", "weight gradients"


class Pass(NamedTuple):
    """One pass of one micro-batch through one chunk of a rank's layers. ``backward`` includes the weight gradients unless the
    schedule separates them."""

    kind: str
    chunk: int
    microbatch: int


@dataclass(frozen=True)
class TimedPipeline:
    """A pipeline to simulate: ``seconds[rank][chunk][kind]`` of each pass, and ``after[kind]`` seconds for which the rank stays busy after
    a pass, without delaying the next rank."""

    schedule: Schedule
    microbatches: int
    seconds: Sequence[Sequence[dict[str, float]]]
    after: dict[str, float]

    @property
    def order(self) -> Order:
        """The order of passes on a rank."""
        return SCHEDULES[self.schedule].order

    @property
    def ranks(self) -> int:
        """Pipeline ranks, p."""
        return len(self.seconds)

    @property
    def chunks(self) -> int:
        """Chunks per rank, v."""
        return len(self.seconds[0])

    def takes(self, rank: int, one: Pass) -> float:
        """Seconds of a pass."""
        return self.seconds[rank][one.chunk][one.kind]

    def before(self, rank: int, one: Pass) -> tuple[int, Pass] | None:
        """The pass on another rank (or chunk) that must have ended first; None if there is none.

        Chunk c of rank r is stage c p + r. A forward pass waits for that of the previous stage; a backward pass for that of the next stage
        (on the last stage, for its own forward pass); weight gradients for their own backward pass.
        """
        stage = one.chunk * self.ranks + rank
        if one.kind == WEIGHT:
            return rank, one._replace(kind=BACKWARD)
        if one.kind == BACKWARD and stage == self.ranks * self.chunks - 1:
            return rank, one._replace(kind=FORWARD)
        there = stage - 1 if one.kind == FORWARD else stage + 1
        if there < 0:
            return None
        return there % self.ranks, one._replace(chunk=there // self.ranks)


class Timed(NamedTuple):
    """A pass with its start and end; the rank is free again at ``free``."""

    what: Pass
    start: float
    end: float
    free: float


Simulated = list[list[Timed]]


def orders(line: TimedPipeline) -> list[list[Pass]]:
    """Each rank's passes in order: some forward passes (``layout.schedules.SCHEDULES``), then alternating forward and backward, then the
    remaining backward passes.

    With v chunks, 2 (p - 1 - r) + (v - 1) p forward passes come first, and chunks change every p micro-batches (Narayanan et al. 2021,
    section 2.2).
    """
    made = _in_turns if line.order.lag is None else _with_weights
    return [list(made(line, rank)) for rank in range(line.ranks)]


def _ahead(line: TimedPipeline, rank: int) -> int:
    """Forward passes before the first backward pass, not counting the one that it belongs to."""
    p, v, m = line.ranks, line.chunks, line.microbatches
    behind = p - 1 - rank
    if v > 1:
        return min(2 * behind + (v - 1) * (p + m % p if m >= p else m), m * v)
    return m if line.order.ahead is None else min(line.order.ahead * behind, m)


def _in_turns(line: TimedPipeline, rank: int) -> Iterator[Pass]:
    """Leading forward passes, then alternating forward and backward, then the remaining backward passes."""
    v, passes, ahead = line.chunks, line.microbatches * line.chunks, _ahead(line, rank)
    forward = list(_by_groups(line.ranks, v, line.microbatches))
    for place in range(passes + ahead):
        if place < passes:
            yield Pass(FORWARD, *forward[place])
        if place >= ahead:
            chunk, microbatch = forward[place - ahead]
            yield Pass(BACKWARD, v - 1 - chunk, microbatch)


def _with_weights(line: TimedPipeline, rank: int) -> Iterator[Pass]:
    """The same, with weight gradients a given number of micro-batches behind the backward passes, the last ones at the end."""
    lag = (line.order.lag or 0) * rank
    for one in _in_turns(line, rank):
        yield one
        if one.kind == BACKWARD and one.microbatch >= lag:
            yield one._replace(kind=WEIGHT, microbatch=one.microbatch - lag)
    for microbatch in range(max(0, line.microbatches - lag), line.microbatches):
        yield Pass(WEIGHT, 0, microbatch)


def _by_groups(p: int, v: int, m: int) -> Iterator[tuple[int, int]]:
    """(chunk, micro-batch): p micro-batches through each chunk in turn; a remainder joins the last group of p."""
    groups = max(1, m // p)
    for group in range(groups):
        first, behind = group * p, m if group == groups - 1 else (group + 1) * p
        for chunk in range(v):
            for microbatch in range(first, behind):
                yield chunk, microbatch


def simulate(line: TimedPipeline, order: list[list[Pass]], early: float = 0.0) -> Simulated:
    """Run every pass as soon as its rank is free and its dependency has ended, or will end within ``early`` s."""
    played: Simulated = [[] for _ in order]
    ended: dict[tuple[int, Pass], float] = {}
    free = [0.0] * line.ranks
    moved = True
    while moved:
        moved = False
        for rank, passes in enumerate(order):
            while len(played[rank]) < len(passes):
                one = passes[len(played[rank])]
                before = line.before(rank, one)
                if before is not None and before not in ended:
                    break
                ready = 0.0 if before is None else ended[before]
                start = max(free[rank], ready - early)
                end = start + line.takes(rank, one)
                free[rank] = end + line.after[one.kind]
                ended[rank, one] = end
                played[rank].append(Timed(one, start, end, free[rank]))
                moved = True
    if any(len(done) < len(passes) for done, passes in zip(played, order, strict=True)):
        raise ValueError(f"the order of {line.schedule.name} waits for itself")
    return played


def length(played: Simulated) -> float:
    """The time at which the last rank is free."""
    return max(passes[-1].free for passes in played)


def simulated_within(line: TimedPipeline, seconds: float) -> tuple[Simulated, float, float]:
    """(the simulated passes, ending by ``seconds``; by how many seconds each may start before its dependency ends to achieve this, 0 if
    not needed; the end without this).

    With a large enough value nothing waits and the end is set by the busiest rank, below which no schedule's equation goes. The smallest
    sufficient value is found by bisection.
    """
    order = orders(line)
    played = simulate(line, order)
    by_itself, rounded = length(played), seconds * (1 + 1e-12)
    if by_itself <= rounded:
        return played, 0.0, by_itself
    low, high = 0.0, by_itself
    for _ in range(24):
        middle = (low + high) / 2
        if length(simulate(line, order, middle)) <= rounded:
            high = middle
        else:
            low = middle
    return simulate(line, order, high), high, by_itself
