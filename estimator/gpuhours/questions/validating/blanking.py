"""What a row leaves open, and rows in which facts were blanked at random: measured runs of which less is said, from which the ranges of
such runs are learned (``learning``)."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from gpuhours.questions.validating.rows import Row
from gpuhours.questions.validating.sources import system_of

FACTS = {
    "recompute": ("recompute_kind", "recompute", "recompute_scope", "recompute_layers"),
    "attention": ("attention_kind", "attention_kernel"),
    "sharding": ("sharding", "zero_stage", "shard_group"),
    "network": ("network", "internode_GBps_per_gpu", "allreduce_GBps", "nodes_interconnect", "switch_reduction"),
    "precision": ("dtype", "precision", "training_state"),
    "schedule": ("schedule", "vp"),
    "sequence_method": ("sequence_method",),
}
"""Fact of ``step.left_open`` -> columns that state it."""
BESIDES = {
    "stack": ("software", "framework", "method", "release"),
    "release": ("release",),
    "year": ("year",),
    "sequence parallelism": ("seq_parallel",),
    "node": ("gpus_per_node",),
    "host": ("launch_us",),
}
"""Further facts that may be blanked -> columns that state them."""
SHARE = 0.5
"""Probability that a stated fact is blanked."""
EACH = 80
"""Number of blanked rows of a system: a sample of its rows, or each of them several times if it has fewer."""
SEED = 20


def is_open(row: Row, fact: str) -> bool:
    """Whether a row does not state a fact of ``FACTS``."""
    return not any(row.word(column) for column in FACTS[fact])


def without(row: Row, facts: Iterable[str]) -> Row:
    """The row with the columns of some facts blank."""
    blank = {column: "" for fact in facts for column in (FACTS | BESIDES)[fact]}
    return replace(row, cells={**row.cells, **blank})


def blanked(rows: Iterable[Row]) -> Iterator[Row]:
    """``EACH`` rows of every system, with each stated fact blanked with probability ``SHARE``."""
    by_system: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_system[system_of(row.word("source_title") or "")].append(row)
    chance = random.Random(SEED)
    for own in by_system.values():
        for row in chance.sample(own * -(-EACH // len(own)), EACH):
            stated = [fact for fact, columns in (FACTS | BESIDES).items() if any(map(row.word, columns))]
            yield without(row, [fact for fact in stated if chance.random() < SHARE])
