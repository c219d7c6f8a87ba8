"""Ways to make a run fit, and the longest sequence that does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gpuhours.architecture.decoder import Decoder
from gpuhours.hardware.number_formats import Precision
from gpuhours.layout.layout import Layout
from gpuhours.memory import longest_sequence, memory, ways_to_fit
from gpuhours.software.profile import load_software
from gpuhours.workload import Workload
from tests.memory.machines import LLAMA_7B, LLAMA_8B, machine

# advice


def test_every_way_really_fits() -> None:
    model, cluster, software = (
        LLAMA_8B.model(8192), machine("h100-sxm-80gb", 64), load_software("megatron-core")
    )  # fmt: skip
    layout, precision = Layout(tensor=2, microbatch=4), Precision()
    before = memory(Workload(model, 256, layout, cluster, software, precision))
    assert not before.fits
    ways = ways_to_fit(Workload(model, 256, layout, cluster, software, precision))
    assert 1 <= len(ways) <= 3
    for way in ways:
        after = memory(Workload(model, 256, way.layout, cluster, software, precision))
        assert after.fits
        assert way.fits
        assert way.saved == pytest.approx(float(before.total - after.total))
        assert way.to_dict()["change"] == way.change


def test_ways_are_sorted_by_time_where_a_time_is_given() -> None:
    model, cluster, software = (
        LLAMA_8B.model(8192), machine("h100-sxm-80gb", 64), load_software("megatron-core")
    )  # fmt: skip

    def seconds(workload: Workload) -> float:
        layout = workload.layout
        return 1.0 + layout.recompute + 0.1 * layout.sharding + 0.01 * layout.tensor

    ways = ways_to_fit(Workload(model, 256, Layout(microbatch=2), cluster, software, Precision()), seconds)
    slower = [way.slower for way in ways]
    assert slower == sorted(slower)


def longest(card: str, gpus: int, software: str, **layout: Any) -> int:
    found = longest_sequence(
        Workload(LLAMA_8B.model(1024), 1, Layout(**layout), machine(card, gpus), load_software(software), Precision()),
        LLAMA_8B.model,
        multiple=1024,
    )
    assert found is not None
    return found


def test_longest_sequences_of_longvila() -> None:
    """LongVILA (arXiv:2408.10188), an 8B model without gradient checkpointing: 2D attention trains 2M tokens
    on 256 A100, Ulysses an eighth of it (32 heads); on 32 H100 2D attention trains 320K; on 64 H100 Megatron's
    context parallelism runs out of memory above 320K."""
    a100, h100 = "a100-sxm-80gb", "h100-sxm-80gb"
    shared = {"context": 256, "sharding": "zero3"}
    two_d = longest(a100, 256, "longvila", sequence_method="2d", **shared)
    assert 2.0e6 < two_d < 3.0e6
    ulysses = longest(a100, 256, "longvila", sequence_method="ulysses", **shared)
    assert ulysses / two_d == pytest.approx(1 / 8, rel=0.02)
    assert longest(h100, 32, "longvila", context=32, sharding="zero3", sequence_method="2d") > 320 * 1024
    assert longest(h100, 64, "megatron-2023", context=64, sharding="zero1") < 400 * 1024


def test_the_longest_sequence_is_the_longest() -> None:
    cluster, software = machine("a100-sxm-80gb", 32), load_software("burstengine")
    layout = Layout(context=32, sharding="zero3", recompute="full", sequence_method="ring")
    longest = longest_sequence(
        Workload(LLAMA_7B.model(1024), 1, layout, cluster, software, Precision()), LLAMA_7B.model, multiple=1024
    )
    assert longest is not None
    for tokens, fits in ((longest, True), (longest + 1024, False)):
        found = memory(Workload(LLAMA_7B.model(tokens), 1, layout, cluster, software, Precision()))
        assert bool(found.fits) is fits
    tiny = replace(cluster, accelerator=replace(cluster.accelerator, memory=1e9))
    assert (
        longest_sequence(Workload(LLAMA_7B.model(1024), 1, layout, tiny, software, Precision()), LLAMA_7B.model) is None
    )


def test_ulysses_shares_a_sequence_among_no_more_ranks_than_heads() -> None:
    """DeepSpeed-Ulysses distributes whole heads: with 32 heads, 64 ranks hold as much as 32."""

    def activations(context: int) -> float:
        layout = Layout(context=context, sharding="zero3", recompute="full", sequence_method="ulysses")
        cluster = machine("a100-sxm-80gb", context)
        found = memory(Workload(LLAMA_7B.model(2**21), 1, layout, cluster, load_software("deepspeed"), Precision()))
        return float(found.parts["activations"])

    assert activations(64) == pytest.approx(activations(32))


def test_a_run_that_does_not_fit_hears_of_blocks() -> None:
    cluster, software = machine("h100-sxm-80gb", 1), load_software("torch-eager")
    shape = Decoder(layers=16, hidden=2048, heads=32, kv_heads=8, ffn_hidden=8192, vocab=128256)
    inputs = (shape.model(65536), 1, Layout(recompute="full"), cluster, software, Precision("bf16", "pure"))
    assert not memory(Workload(*inputs)).fits
    for stated in (None, 1, 2):
        layout = inputs[2].replaced(loss_blocks=stated)
        (way, *_) = ways_to_fit(Workload(*inputs[:2], layout, *inputs[3:]))
        assert way.change == "the loss in 8 blocks", stated
        assert way.fits
