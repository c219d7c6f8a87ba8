"""What validation leaves out: each source with its stack's profile unknown, and whether methods are ranked as they were measured.

``python -m tests.benchmarks.swaps``
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from gpuhours.validation import Judged, validate
from gpuhours.validation.case import Case
from gpuhours.validation.learning import strangers
from gpuhours.validation.rows import Row

LONG = ("BurstEngine", "LongVILA", "EasyContext")
"""Sources that run one sequence by several methods."""


def with_the_parents_profile(judged: Iterable[Judged]) -> Iterator[tuple[str, int, float]]:
    """(source, runs, mean error) where each stack is taken for the one that its profile is written ``like``."""
    told = [one for one in judged if one.error is not None and one.case is not None and not one.average]
    ratios, sources, _ = strangers(told)
    for source in sorted(set(sources)):
        errors = np.abs(np.exp(-ratios[sources == source]) - 1)
        yield source.removesuffix(", stack unknown"), len(errors), float(errors.mean())


def ranked(judged: Iterable[Judged], apart: float, key: Callable[[Case], object]) -> tuple[int, int]:
    """(pairs, of which predicted in the measured order) of methods on one model, length and number of ranks that share a sequence.

    Pairs whose measured times differ by less than the share ``apart`` are left out; ``key`` holds further things equal.
    """
    groups: dict[object, list[tuple[object, float, float]]] = defaultdict(list)
    for one in judged:
        if isinstance(one.case, Case) and one.measured and one.predicted and _title(one).startswith(LONG):
            case, row = one.case, one.row
            sharing = max(case.layout.context, case.layout.tensor)
            same = (row.word("source_ref"), row.word("model_name"), case.gpus, case.tokens, sharing, key(case))
            groups[same].append((_method(row, case), math.log(one.measured), math.log(one.predicted)))
    pairs = right = 0
    for group in groups.values():
        for (method, measured, predicted), (other, *times) in itertools.combinations(group, 2):
            if method != other and abs(measured - times[0]) > apart:
                pairs += 1
                right += (measured - times[0]) * (predicted - times[1]) > 0
    return pairs, right


def stack(case: Case) -> str:
    """The stack of a run; profiles that differ in memory alone are one, and so are a profile's ways of recomputing."""
    return case.software.model_dump_json(exclude={"name", "title", "aliases", "memory", "selective"})


def _title(one: Judged) -> str:
    return one.row.word("source_title") or ""


def _method(row: Row, case: Case) -> tuple[str | None, ...]:
    """What tells two ways of running one sequence apart."""
    said = (row.word(name) for name in ("sequence_method", "recompute_kind", "recompute_scope"))
    return (stack(case), *said)


def main() -> None:
    """Print both."""
    judged = validate().judged
    print("mean error with the profile of the stack's parent")
    for source, runs, error in with_the_parents_profile(judged):
        print(f"  {source[:60]:60} {runs:4}  {error:6.1%}")
    print("methods in the measured order, of pairs that differ by more than")
    for apart in (0.0, 0.02, 0.05, 0.10):
        inside, across = ranked(judged, apart, stack), ranked(judged, apart, lambda _: None)
        print(f"  {apart:4.0%}  in one stack {inside[1]} of {inside[0]}, in any {across[1]} of {across[0]}")


if __name__ == "__main__":
    main()
