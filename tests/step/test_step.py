"""The step: steps measured by others, and laws that hold for any constants."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuhours.architecture.decoder import Decoder
from gpuhours.architecture.decoder_shapes import Experts
from gpuhours.hardware.clusters import Cluster, cluster
from gpuhours.hardware.number_formats import Precision
from gpuhours.inputs.errors import EstimateError
from gpuhours.layout.choices import Recompute, Sharding
from gpuhours.layout.layout import Layout
from gpuhours.software.profile import load_software
from gpuhours.step import PARTS, Step, step
from gpuhours.workload import Workload

GPT3 = Decoder(
    layers=96, hidden=12288, heads=96, ffn_hidden=49152, gated=False, vocab=51200, norm="layer", positions="learned",
    attention_bias="all", mlp_bias=True, dropout=True,
)  # fmt: skip
GPT22 = GPT3.model_copy(update={"layers": 48, "hidden": 6144, "heads": 64, "ffn_hidden": 24576})
LLAMA8 = Decoder(layers=32, hidden=4096, heads=32, kv_heads=8, ffn_hidden=14336, vocab=128256)
LLAMA70 = Decoder(layers=80, hidden=8192, heads=64, kv_heads=8, ffn_hidden=28672, vocab=128256)
MIXTRAL = Decoder(
    layers=32, hidden=4096, heads=32, kv_heads=8, ffn_hidden=14336, vocab=32000, experts=Experts(count=8, top_k=2)
)
MIXTRAL22 = MIXTRAL.model_copy(update={"layers": 56, "hidden": 6144, "heads": 48, "ffn_hidden": 16384, "vocab": 32768})


@dataclass(frozen=True)
class Published:
    """A measured step with its source and the required accuracy."""

    run: str
    decoder: Decoder
    tokens: int
    batch: int
    accelerator: str
    gpus: int
    software: str
    dtype: str
    layout: dict[str, Any]
    seconds: float
    within: float
    source: str


RUNS = [
    Published(
        "22B, full recompute", GPT22, 2048, 4, "a100-sxm-80gb", 8, "megatron-2022", "fp16",
        {"tensor": 8, "microbatch": 4, "recompute": "full", "sequence_parallel": False}, 1.42, 0.06,
        "Korthikanti et al. 2022, table 5",
    ),
    Published(
        "175B, selective recompute", GPT3, 2048, 64, "a100-sxm-80gb", 64, "megatron-2022", "fp16",
        {"tensor": 8, "pipeline": 8, "interleave": 3, "schedule": "interleaved", "recompute": "selective"}, 13.75, 0.06,
        "Korthikanti et al. 2022, table 5",
    ),
    Published(
        "Llama 3.1 70B on 256", LLAMA70, 8192, 512, "h100-sxm-80gb", 256, "megatron-core", "bf16",
        {"tensor": 4, "pipeline": 4, "interleave": 5, "schedule": "interleaved", "context": 2, "sharding": "zero1"}, 14.80, 0.05,
        "NVIDIA DGX Cloud benchmarking recipes 24.11.1",
    ),
    Published(
        "Mixtral 8x22B, folded, 512", MIXTRAL22, 4096, 1024, "h100-sxm-80gb", 512, "megatron-core", "bf16",
        {"tensor": 2, "pipeline": 8, "interleave": 7, "schedule": "interleaved", "expert": 8, "expert_tensor": 1, "sharding": "zero1"},
        4.10, 0.08, "Liu et al. 2025, table 4: 483.6 TFLOP/s with causal FLOPs",
    ),
    Published(
        "llama3-8b, one H200, eager", LLAMA8, 4096, 1, "h200-sxm-141gb", 1, "torch-eager", "bf16",
        {"recompute": "full"}, 0.545, 0.06, "own measurements on H200, November 2026",
    ),
]  # fmt: skip


@pytest.mark.parametrize("published", RUNS, ids=lambda one: one.run)
def test_measured_steps(published: Published) -> None:
    found = predicted(
        published.decoder, published.layout, accelerator=published.accelerator, gpus=published.gpus, tokens=published.tokens,
        batch=published.batch, software=published.software, dtype=published.dtype,
    )  # fmt: skip
    assert float(found.time) == pytest.approx(published.seconds, rel=published.within), published.source
    assert bool(found.valid)


def predicted(
    decoder: Decoder = LLAMA8,
    layout: dict[str, Any] | Layout | None = None,
    *,
    accelerator: str = "h100-sxm-80gb",
    gpus: int = 64,
    tokens: int = 4096,
    batch: int = 128,
    software: str = "megatron-core",
    dtype: str = "bf16",
    machine: Cluster | None = None,
) -> Step:
    chosen = layout if isinstance(layout, Layout) else Layout(**(layout or {}))
    return step(
        Workload(
            decoder.model(tokens),
            batch,
            chosen,
            machine or cluster(accelerator, gpus=gpus),
            load_software(software),
            Precision(dtype),
        )
    )


LAYOUTS = st.fixed_dictionaries(
    {
        "tensor": st.sampled_from([1, 2, 4, 8]),
        "pipeline": st.sampled_from([1, 2, 4]),
        "microbatch": st.sampled_from([1, 2, 4]),
        "context": st.sampled_from([1, 2]),
        "recompute": st.sampled_from(["none", "selective", "full"]),
        "sharding": st.sampled_from(["none", "zero1", "zero2", "zero3"]),
        "order": st.sampled_from(
            [{"schedule": "1f1b"}, {"interleave": 2}, {"schedule": "zb-1p"}, {"schedule": "zb-2p"}]
        ),
        "sequence_parallel": st.booleans(),
        "sequence_method": st.sampled_from(["ring", "ulysses", "hybrid", "all-gather"]),
    }
).map(lambda one: {**one["order"], **{key: value for key, value in one.items() if key != "order"}})
STACKS = [
    "megatron-2022",
    "megatron-deepspeed",
    "megatron-core",
    "fsdp-eager",
    "torch-compile",
    "internevo",
    "jax",
    "deepspeed",
]


@settings(max_examples=60)
@given(layout=LAYOUTS, software=st.sampled_from(STACKS), decoder=st.sampled_from([LLAMA8, GPT22, MIXTRAL]))
def test_parts_add_up_to_the_time(layout: dict[str, Any], software: str, decoder: Decoder) -> None:
    found = predicted(decoder, layout, software=software)
    assert set(found.parts) == set(PARTS)
    assert all(float(seconds) >= 0 for seconds in found.parts.values())
    assert sum(float(seconds) for seconds in found.parts.values()) == pytest.approx(float(found.time), rel=1e-9)
    assert sum(float(share) for _, share in found.waterfall()) == pytest.approx(1.0)
    assert 0 < float(found.mfu) <= float(found.hfu) < 1


@settings(max_examples=30)
@given(layout=LAYOUTS, software=st.sampled_from(STACKS), decoder=st.sampled_from([LLAMA8, MIXTRAL]))
def test_a_better_machine_is_never_slower(layout: dict[str, Any], software: str, decoder: Decoder) -> None:
    machine = cluster("h100-sxm-80gb", gpus=64)
    plain = float(predicted(decoder, layout, software=software, machine=machine).time)
    chip, node = machine.accelerator, machine.node
    better = {
        "network": replace(machine, internode_bandwidth=2 * machine.network_bandwidth),
        "links": replace(machine, node=replace(node, link_bandwidth=2 * node.link_bandwidth),
                         accelerator=replace(chip, pair_bandwidth=2 * chip.pair_bandwidth)),
        "memory": replace(machine, accelerator=replace(chip, memory_bandwidth=2 * chip.memory_bandwidth)),
        "peak": replace(machine, accelerator=replace(chip, peak={name: 2 * rate for name, rate in chip.peak.items()})),
    }  # fmt: skip
    for what, upgraded in better.items():
        assert float(predicted(decoder, layout, software=software, machine=upgraded).time) <= plain * (1 + 1e-9), what


def test_recompute_costs_a_forward_pass() -> None:
    """Step time increases from no to selective to full recomputation; full adds about a third of forward and backward."""
    none, some, full = (
        float(predicted(GPT22, {"tensor": 8, "recompute": kind}).time) for kind in ("none", "selective", "full")
    )
    assert none < some < full
    assert full / none == pytest.approx(4 / 3, abs=0.07)


def test_twice_the_batch_takes_at_most_twice_as_long() -> None:
    small, large = (float(predicted(batch=batch).time) for batch in (128, 256))
    assert small < large <= 2 * small


def test_longer_sequences_cost_more_per_token() -> None:
    rates = [float(predicted(tokens=tokens, batch=2**20 // tokens).time) for tokens in (2048, 8192, 32768)]
    assert rates == sorted(rates)


def test_frozen_and_adapted_models_cost_less() -> None:
    full = float(predicted(LLAMA70, {"tensor": 8}).time)
    adapted = float(predicted(LLAMA70.model_copy(update={"trainable": "lora"}), {"tensor": 8}).time)
    assert adapted == pytest.approx(full * 2 / 3, rel=0.12)


def test_four_bit_weights_cost_their_unpacking() -> None:
    """QLoRA is slower than LoRA in 16 bit, and more so the fewer tokens share a weight."""
    adapted = LLAMA8.model_copy(update={"trainable": "lora"})
    slower = []
    for tokens in (512, 8192):
        wide, packed = (float(predicted(adapted, gpus=1, tokens=tokens, batch=1, dtype=dtype, software="torch-eager").time)
                        for dtype in ("bf16", "nf4"))  # fmt: skip
        slower.append(packed / wide)
    assert slower[0] > slower[1] > 1


@pytest.mark.parametrize("what", ["offload_optimizer", "offload_activations"])
def test_offloading_is_never_free(what: str) -> None:
    layout = {"sharding": "zero1", "recompute": "full"}
    assert float(predicted(layout={**layout, what: True}).time) > float(predicted(layout=layout).time)


def test_eight_bit_gemms_are_faster_but_not_twice() -> None:
    wide, narrow = (float(predicted(LLAMA70, {"tensor": 4}, dtype=dtype).time) for dtype in ("bf16", "fp8"))
    assert 1.2 < wide / narrow < 2


def test_folding_experts_saves_their_sums() -> None:
    """Experts split over tensor ranks gather and sum their tokens without overlap; unsplit experts within a node need neither."""
    layouts = ({"tensor": 2, "expert": 4, "expert_tensor": 2}, {"tensor": 2, "expert": 8, "expert_tensor": 1})
    split, folded = (predicted(MIXTRAL22, layout) for layout in layouts)
    assert float(split.time) > 1.02 * float(folded.time)
    assert float(split.parts["tensor communication"]) > 3 * float(folded.parts["tensor communication"])


def test_sends_of_one_chunk_are_waited_for() -> None:
    plain, deep = (
        predicted(LLAMA70, {"pipeline": 16, "interleave": chunks, "schedule": schedule}, gpus=128)
        for chunks, schedule in ((1, "1f1b"), (5, "interleaved"))
    )
    name = "pipeline communication"
    assert float(plain.parts[name]) > float(deep.parts[name])


def test_sums_across_nodes_are_not_hidden() -> None:
    """Tensor parallelism across nodes always takes time."""
    inside, across = (predicted(LLAMA70, {"tensor": tensor}) for tensor in (8, 16))
    name = "tensor communication"
    assert float(across.parts[name] / across.time) > 3 * float(inside.parts[name] / inside.time)


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        ({"tensor": 3}, "attention heads"), ({"tensor": 8, "data": 16}, "number of accelerators"), ({"microbatch": 3}, "global batch"),
        ({"pipeline": 32, "interleave": 2, "microbatch": 1}, "fewer layers"), ({"interleave": 2}, "needs a pipeline"),
    ],
)  # fmt: skip
def test_layouts_that_cannot_run_say_why(layout: dict[str, Any], reason: str) -> None:
    found = predicted(layout=layout)
    assert not bool(found.valid)
    assert any(reason in text for text, broken in found.reasons.items() if bool(broken))


def test_an_array_of_layouts_is_each_of_them() -> None:
    """One call over axes of degrees gives the results of single calls, to floating-point precision."""
    tensor, pipeline = np.array([1, 2, 8]).reshape(3, 1, 1), np.array([1, 4]).reshape(1, 2, 1)
    modes = np.array([int(mode) for mode in Recompute])
    swept = predicted(
        LLAMA70, Layout(sharding=Sharding.zero1).replaced(tensor=tensor, pipeline=pipeline, recompute=modes)
    )
    for place, time in np.ndenumerate(np.broadcast_to(swept.time, (3, 2, 3))):
        degrees = {"tensor": int(tensor[place[0], 0, 0]), "pipeline": int(pipeline[0, place[1], 0])}
        alone = predicted(LLAMA70, Layout(**degrees, recompute=Recompute(place[2]), sharding=Sharding.zero1))
        assert time == pytest.approx(float(alone.time), rel=1e-12)
    assert np.shape(swept.parts["GEMMs"]) != (3, 2, 3) or swept.time.shape == (3, 2, 3)


def test_a_format_the_card_lacks_is_an_error() -> None:
    with pytest.raises(EstimateError, match="fp8"):
        predicted(accelerator="a100-sxm-80gb", dtype="fp8")


def test_every_step_has_a_constant_of_its_stack() -> None:
    """12 ms under Megatron for any step, however short; none if own steps were timed without data loading or logging."""
    software = load_software("megatron-core")
    assert software.host.step == pytest.approx(0.012)
    assert load_software("torch-eager").host.step == 0
    free = software.model_copy(update={"host": software.host.model_copy(update={"step": 0.0})})
    machine, model = cluster("h100-sxm-80gb", gpus=8), LLAMA8.model(4096)
    with_it, without = (
        float(step(Workload(model, 8, Layout(), machine, one, Precision())).time) for one in (software, free)
    )
    assert with_it - without == pytest.approx(0.012, rel=0.01)


def test_sums_between_shard_groups_hide_on_slow_networks() -> None:
    """HSDP at 1 GB/s per GPU: a sum that fits behind the backward pass costs no more than its bytes."""
    software, model = load_software("fsdp-eager"), LLAMA8.model(8192)
    layout = Layout(sharding="zero3", shard_group=8, microbatch=2)

    def exposed_time(bandwidth: float) -> float:
        machine = cluster("h100-sxm-80gb", gpus=16, internode_bandwidth=bandwidth)
        return float(step(Workload(model, 32, layout, machine, software, Precision())).parts["data communication"])

    fast, slow = exposed_time(50e9), exposed_time(10e9)
    assert slow < 1.5 * fast


@pytest.mark.parametrize(("decoder", "expected"), [(LLAMA8, 1.25), (MIXTRAL, 1.0)])
def test_a_stack_that_nobody_measured_takes_longer_in_every_part_but_for_mixtures(
    decoder: Decoder, expected: float
) -> None:
    software = load_software("megatron-core")
    layout = Layout(tensor=2, microbatch=1, sharding="zero1")
    machine = cluster("h100-sxm-80gb", gpus=16)
    one, other = (
        step(Workload(decoder.model(4096), 16, layout, machine, stack, Precision("bf16")))
        for stack in (software, software.model_copy(update={"unmeasured_factor": 1.25}))
    )
    assert float(other.time) == pytest.approx(expected * float(one.time))
    assert sum(float(part) for part in other.parts.values()) == pytest.approx(float(other.time))
    assert float(other.parts["GEMMs"]) == pytest.approx(expected * float(one.parts["GEMMs"]))
