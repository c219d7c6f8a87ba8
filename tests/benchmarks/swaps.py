"""Check whether methods are ranked in the order in which they were measured, which validation does not test.

``python -m tests.benchmarks.swaps``
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable

from gpuhours.questions.validating import Judged, validate
from gpuhours.questions.validating.case import Case

LONG = ("BurstEngine", "LongVILA", "EasyContext")
"""Sources that run the same sequence with several methods."""


def ranked(judged: Iterable[Judged], apart: float, key: Callable[[Case], object]) -> tuple[int, int]:
    """Count pairs of methods on the same model, length and number of ranks per sequence; return (pairs, pairs in the measured order).

    Pairs whose measured times differ by less than the fraction ``apart`` are skipped; ``key`` adds further properties that must be equal.
    """
    groups: dict[object, list[Judged]] = defaultdict(list)
    for one in judged:
        source = one.row.word("source_ref")
        if isinstance(one.case, Case) and one.error is not None and _title(one).startswith(LONG):
            sharing = max(one.case.layout.context, one.case.layout.tensor)
            groups[source, one.row.word("model_name"), one.case.gpus, one.case.tokens, sharing, key(one.case)].append(
                one
            )
    pairs = right = 0
    for group in groups.values():
        for one, other in itertools.combinations(group, 2):
            if _method(one) != _method(other) and one.measured and other.measured and one.predicted and other.predicted:
                measured, predicted = math.log(one.measured / other.measured), math.log(one.predicted / other.predicted)
                pairs += abs(measured) > apart
                right += abs(measured) > apart and measured * predicted > 0
    return pairs, right


def _title(one: Judged) -> str:
    return one.row.word("source_title") or ""


def _method(one: Judged) -> tuple[str | None, ...]:
    """Return the properties that distinguish two methods of running one sequence."""
    return tuple(one.row.word(name) for name in ("software", "sequence_method", "recompute_kind", "recompute_scope"))


def main() -> None:
    """Print the counts."""
    judged = validate(in_sample=True).judged
    print("methods in the measured order, of pairs that differ by more than")
    for apart in (0.0, 0.02, 0.05, 0.10):
        inside, across = ranked(judged, apart, lambda case: case.software.name), ranked(judged, apart, lambda _: None)
        print(f"  {apart:4.0%}  in one stack {inside[1]} of {inside[0]}, in any {across[1]} of {across[0]}")


if __name__ == "__main__":
    main()
