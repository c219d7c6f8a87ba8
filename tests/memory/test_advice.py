"""Alternative layouts that are tried if a run does not fit, and which of them are reported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gpuhours.architecture.operators import Stack
from gpuhours.layout.layout import Layout
from gpuhours.memory import memory, ways_to_fit
from gpuhours.memory.advice import Way, _changes, _first_of_each_change, _wider
from gpuhours.memory.buffers import context_buffers
from gpuhours.software.profile import load_software
from gpuhours.workload import Workload
from tests.round_machine import workload

ALWAYS = {"the loss in 8 blocks", "optimiser states on the host"}
RECOMPUTED = {"recompute selective", "recompute full"}
ZERO = {"ZeRO-1", "ZeRO-2", "ZeRO-3"}


def tried(**layout: Any) -> set[str]:
    return {words for words, _ in _changes(workload(**layout))}


@pytest.mark.parametrize(("layout", "words"), [
    ({"gpus": 8, "batch": 64, "microbatch": 4},
     RECOMPUTED | ZERO | {"microbatch 2", "tensor 2", "pipeline 2", "context 2"} | ALWAYS),
    ({}, RECOMPUTED | ALWAYS),  # a single rank cannot shard anything, and one sample cannot be halved
    ({"gpus": 8, "tensor": 2}, RECOMPUTED | ZERO | {"pipeline 2", "context 2"} | ALWAYS),  # two key and value heads
    ({"gpus": 8, "pipeline": 4}, RECOMPUTED | ZERO | {"tensor 2", "context 2"} | ALWAYS),  # four layers
    ({"gpus": 8, "pipeline": 8}, RECOMPUTED | ALWAYS),
    ({"gpus": 3, "batch": 3}, RECOMPUTED | ZERO | ALWAYS),  # three ranks cannot give up half
    ({"gpus": 8, "context": 8}, RECOMPUTED | ZERO | ALWAYS),
    ({"gpus": 8, "recompute": "selective", "sharding": "zero2"},
     {"recompute full", "ZeRO-3", "tensor 2", "pipeline 2", "context 2"} | ALWAYS),
    ({"gpus": 8, "recompute": "full", "sharding": "zero3", "loss_blocks": 8, "offload_optimizer": True},
     {"tensor 2", "pipeline 2", "context 2"}),
    ({"gpus": 2, "batch": 9, "microbatch": 3},  # halves of three are ones; nine samples are three micro-batches of one rank
     RECOMPUTED | ZERO | {"microbatch 1", "tensor 2", "pipeline 2", "context 2"} | ALWAYS),
    ({"gpus": 4, "batch": 9, "microbatch": 3}, RECOMPUTED | ZERO | {"microbatch 1"} | ALWAYS),  # on two ranks they are not
])  # fmt: skip
def test_neighbours_that_divide(layout: dict[str, Any], words: set[str]) -> None:
    assert tried(**layout) == words


def test_a_doubled_degree_halves_the_copies() -> None:
    fields = dict(_changes(workload(gpus=8)))
    assert fields["tensor 2"] == {"tensor": 2, "data": 4}
    assert fields["recompute full"]["recompute_layers"] is None


def way(change: str, fits: bool = True, slower: float | None = None, **layout: Any) -> Way:
    return Way(change, Layout(**layout), 1e9, 1e9, fits, slower)


def test_of_ways_that_differ_in_degree_alone_the_first_is_told() -> None:
    ways = [
        way("ZeRO-2", sharding="zero2"),
        way("ZeRO-1", sharding="zero1"),
        way("tensor 2", tensor=2),
        way("tensor 4", tensor=4),
    ]
    assert [one.change for one in _first_of_each_change(Layout(), ways)] == ["ZeRO-2", "tensor 2", "tensor 4"]


def total(asked: Workload) -> float:
    return float(memory(asked).total)


def test_the_least_slowing_way_is_first_and_what_cannot_run_is_not_told() -> None:
    """On a card slightly too small for the run, with given times: ZeRO-1 takes 1.1 s, others two; two tensor ranks cannot run."""
    asked = workload(gpus=8, batch=64, microbatch=4)
    small = workload(gpus=8, batch=64, microbatch=4, card={"memory": 0.9 * total(asked)})

    def seconds(changed: Workload) -> float | None:
        layout = changed.layout
        if layout.tensor > 1:
            return None
        return 1.1 if int(layout.sharding) == 1 else 1.0 if layout == small.layout else 2.0

    found = ways_to_fit(small, seconds)
    assert 1 <= len(found) <= 3
    assert (found[0].change, found[0].slower) == ("ZeRO-1", pytest.approx(0.1))
    assert all(one.fits and one.saved > 0 and one.slower is not None for one in found)
    assert not any("tensor" in one.change for one in found)
    assert found[0].total == pytest.approx(total(workload(gpus=8, batch=64, microbatch=4, sharding="zero1")))
    assert found[0].saved == pytest.approx(total(small) - found[0].total)


def test_where_nothing_suffices_what_saves_most_is_told() -> None:
    hopeless = ways_to_fit(workload(gpus=2, batch=2, card={"memory": 1e6}))
    assert not any(one.fits for one in hopeless)
    saved = [one.saved for one in hopeless]
    assert saved == sorted(saved, reverse=True)
    assert len(hopeless) == 3


def test_two_changes_together_where_one_does_not_suffice() -> None:
    """States on the host leave 905 MB, full recomputation leaves 1,409 MB; both together leave 854 MB."""
    (found,) = ways_to_fit(workload(card={"memory": 8.7e8}))
    assert (found.change, found.fits) == ("recompute full and optimiser states on the host", True)
    assert found.total == pytest.approx(854e6, rel=0.01)


@pytest.mark.parametrize("timed", [True, False])
def test_ways_without_a_step_time_to_compare_with_are_told_by_what_they_save(timed: bool) -> None:
    """If no time is requested, or the given layout cannot run, no alternative can be called slower or faster."""
    asked = workload(gpus=8, batch=64, microbatch=4)
    small = workload(gpus=8, batch=64, microbatch=4, card={"memory": 0.9 * total(asked)})
    found = ways_to_fit(small, (lambda changed: None if changed.layout == small.layout else 2.0) if timed else None)
    assert [one.slower for one in found] == [None] * 3
    saved = [one.saved for one in found]
    assert saved == sorted(saved, reverse=True)
    assert all(one.fits for one in found)


def test_a_model_without_attention_has_no_heads_to_split() -> None:
    """Its GEMMs run on one tensor rank; rings of other models pass keys on, but its ranks have none."""
    asked = workload(gpus=8)
    parts = tuple(
        replace(one, block=replace(one.block, attention=())) if isinstance(one, Stack) else one
        for one in asked.model.parts
    )
    bare = replace(asked, model=replace(asked.model, parts=parts))
    assert {words for words, _ in _changes(asked)} - {words for words, _ in _changes(bare)} == {"tensor 2"}
    for method in ("ring", "ulysses", "all-gather"):
        ranks = workload(gpus=4, context=4, sequence_method=method).ranks
        assert float(np.sum(context_buffers(bare.model, 128.0, ranks, asked.precision))) == 0
        assert float(np.sum(context_buffers(asked.model, 128.0, ranks, asked.precision))) > 1000


def test_the_allocator_fills_what_the_context_leaves_and_no_more() -> None:
    """On a card with room for half of what it would reserve in vain, it reserves that half."""
    asked = workload(software=load_software("megatron-core"))
    roomy = memory(asked)
    assert float(roomy.context) > float(roomy.fragmentation) > 2 * float(roomy.least)
    half = 0.5 * float(roomy.fragmentation)
    tight = memory(
        workload(
            software=load_software("megatron-core"),
            card={"memory": float(roomy.allocated) + float(roomy.context) + half},
        )
    )
    assert float(tight.fragmentation) == pytest.approx(half)
    assert float(tight.margin) == pytest.approx(0.0, abs=1.0)


def test_more_accelerators_are_named_with_the_batch_only_where_it_no_longer_divides() -> None:
    found = dict(_wider(workload(gpus=2, batch=8, software=load_software("fsdp-compile"))))
    assert list(found)[:4] == [
        "--gpus 4 with ZeRO-3",
        "--gpus 8 with ZeRO-3",
        "--gpus 16 --batch 16 with ZeRO-3",
        "--gpus 32 --batch 32 with ZeRO-3",
    ]
    assert [float(one.cluster.gpus) for one in found.values()][:4] == [4, 8, 16, 32]
    assert [float(one.global_batch) for one in found.values()][:4] == [8, 8, 16, 32]
