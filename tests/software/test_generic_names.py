"""The error from generic names: every open source, predicted as the stack that a generic name leads to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np

from gpuhours.layout.choices import Sharding
from gpuhours.questions.validating.case import Case
from gpuhours.questions.validating.prediction import predict
from gpuhours.software.matching import StatedStack, match
from gpuhours.software.profile import ancestors, load_software
from tests.published import in_sample

GENERIC = {
    "split": ("Megatron", "Megatron-LM", "Megatron-DeepSpeed"),
    "recipes": ("Megatron-Core", "NeMo", "Megatron-Bridge"),
    "torch": ("PyTorch", "PyTorch DDP"),
    "sharded": ("PyTorch FSDP", "FSDP2"),
}
"""Generic names by the kind of run that they can be used for."""
MORE = 0.03
"""Increase in error allowed for a generic name over its parent."""
FEWEST = 5


def cases() -> dict[tuple[str, str], list[Case]]:
    """Judged rows by source and profile."""
    found: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in (one.case for one in in_sample().judged):
        if isinstance(case, Case) and case.row.seconds and not case.row.doubted:
            found[case.row.word("source_title") or "", case.software.name].append(case)
    return {key: rows for key, rows in found.items() if len(rows) >= FEWEST and "nanotron" not in key[1]}


def error(rows: Sequence[Case], profile: str) -> float:
    """Return the mean absolute error of rows predicted as another stack, with the kernels of the rows."""
    found = predict([replace(case, software=load_software(profile)) for case in rows])
    return float(
        np.mean(
            [abs(one.time / (case.row.seconds or 1) - 1) for case, one in zip(rows, found, strict=True) if one.time]
        )
    )


def names(rows: Sequence[Case], profile: str) -> tuple[str, ...]:
    """Return the generic names that a run of this kind may have."""
    root = (profile, *ancestors(profile))[-1]
    sharded = np.mean([case.layout.sharding is Sharding.zero3 for case in rows]) > 0.5
    if root == "torch-eager":
        return GENERIC["sharded" if sharded else "torch"] if "compile" not in profile else ()
    if profile in ("jax", "paxml", "flax") or sharded:
        return ()
    return GENERIC["recipes" if root == "megatron-core" and profile != "megatron-lm" else "split"]


def test_no_generic_name_costs_more_than_the_parent_and_a_little() -> None:
    tried, dearer = 0, []
    for (source, profile), rows in cases().items():
        given = names(rows, profile)
        if not given:
            continue
        tried += 1
        as_stack = cache(partial(error, rows))
        parent = as_stack((profile, *ancestors(profile))[min(1, len(ancestors(profile)))])
        year = rows[0].row.number("year")
        for name in given:
            reached = match(StatedStack(stated=name, year=None if year is None else round(year))).profile
            if (more := as_stack(reached) - parent) > MORE:
                dearer.append((source, profile, name, reached, more))
    assert dearer == []
    assert tried > 12, "most sources have a name to try"
