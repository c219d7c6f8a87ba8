"""What the host launches, kernel by kernel, on a machine with round numbers, against hand calculations."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpuhours.architecture.operators import Elementwise, Ends, Pointwise, Trainable
from gpuhours.layout.choices import Sharding
from gpuhours.layout.weights import Weights
from gpuhours.software.figures import NO_LAUNCHES, Gathering, Kernels, Launches, Masking, Traffic
from gpuhours.step.compute import (
    narrowing_bytes,
    read_again,
)
from gpuhours.step.context import attention_passes
from gpuhours.step.cpu_overhead import (
    as_run,
    attention_calls,
    forward_launches,
    kernel_launches,
    late_and_gaps,
    launch_time,
    launches,
    launches_forward,
    layer_kernels,
    modules,
    table_copies,
)
from gpuhours.step.hosts import over_hosts, step_and_hosts
from gpuhours.step.predict import (
    added,
    shared_work,
    step,
)
from gpuhours.step.schedule import Passes
from gpuhours.step.state import (
    gather_copies,
)
from tests.round_machine import (
    BATCH_AT_ONCE,
    CARD,
    MEMORY,
    MODEL,
    TOKENS,
    cpu_overhead_time,
    head,
    layer,
    stack,
    workload,
)

# the host: 1 ms forward and 2 ms backward of a llama layer


def test_a_llama_block_is_what_hosts_were_timed_on() -> None:
    block = layer(workload()).block
    assert launches(block) == 1.0
    assert launches(block, unfused=True) == pytest.approx(19 / 14)
    biased = replace(block, elementwise=(*block.elementwise, Elementwise(Pointwise.BIAS, 1024, sharded=False)))
    assert launches(biased) == 1.0, "a bias is added by its GEMM"


def test_waiting_for_the_host() -> None:
    """Four layers of 3 ms and 5 ms of computation; an accelerator that is busy for longer does not wait."""
    asked = workload()
    assert launch_time(asked.model.parts, asked) == (pytest.approx(12e-3), 0.0)
    assert cpu_overhead_time(asked, 5e-3) == pytest.approx(7e-3)
    assert cpu_overhead_time(asked, 20e-3) == 0.0
    again = workload(recompute="full")
    assert launch_time(again.model.parts, again)[0] == pytest.approx(16e-3)


def test_a_table_of_positions_copied_from_the_host() -> None:
    part = Ends("positions", (), 0, 1568, True, tabled=768)
    asked = workload(batch=16, microbatch=16, software=stack(pageable=8e9))
    assert table_copies(part, asked) == pytest.approx(4 * 1568 * 768 * 16 / 8e9)
    assert table_copies(part, workload()) == 0.0


def test_gradients_through_frozen_parts() -> None:
    frozen = replace(layer(workload()), trainable=Trainable.FROZEN)
    carries = stack(frozen_carry_gradients=True)
    assert as_run(frozen, workload(software=carries, recompute="full")).trainable is Trainable.PASS_THROUGH
    assert as_run(frozen, workload(software=carries)) is frozen
    assert as_run(frozen, workload(recompute="full")) is frozen


KERNELS = Kernels(
    source="by hand, for a test",
    operators={"gemm": Traffic(forward=1, backward=2), "attention": Traffic(forward=1, backward=3)},
    each=Launches(forward=1e-5, backward=2e-5), layer=Launches(forward=1e-4, backward=2e-4), gap=1e-6,
)  # fmt: skip


def test_norms_of_queries_and_keys_are_two() -> None:
    host = KERNELS.model_copy(update={"operators": {"qk-norm": Traffic(forward=3, backward=5)}})
    normed = MODEL.model_copy(update={"qk_norm": "head"})
    asked = workload(normed, software=stack(host={"kernels": host}))
    assert layer_kernels(layer(asked), asked) == (2 * 3, 2 * 5)


def test_updating_takes_the_host_only_where_something_trains() -> None:
    """Four layers of 0.72 ms of launches and, once in eight micro-batches, 5 ms of updating minus the GPU's 1 ms."""
    host = stack(host={"kernels": KERNELS.model_copy(update={"gap": 0.0, "update": 5e-3})})
    asked = workload(software=host)
    assert cpu_overhead_time(asked, 0.0, 1e-3) == pytest.approx(4 * 0.72e-3 + 4e-3 / 8)
    frozen = replace(asked.model, parts=tuple(replace(part, trainable=Trainable.FROZEN) for part in asked.model.parts))
    assert cpu_overhead_time(replace(asked, model=frozen), 0.0) == pytest.approx(4 * 0.18e-3)


def test_split_layers_are_launched_again_where_they_are_computed_again() -> None:
    host = stack(host={"kernels": KERNELS, "tensor": 2e-3})
    for recompute, kernels, again in (("none", 0.72e-3, 2e-3), ("full", 0.90e-3, 3e-3)):
        asked = workload(software=host, gpus=2, tensor=2, recompute=recompute)
        assert kernel_launches(layer(asked), asked)[0] == pytest.approx(kernels + again)


def test_launches_kernel_by_kernel() -> None:
    """Seven GEMMs (three for queries, keys, values; gate and up) and one attention: 8 kernels forward, 17 backward."""
    asked = workload(software=stack(host={"kernels": KERNELS}))
    assert layer_kernels(layer(asked), asked) == (8, 17)
    launching, gaps = kernel_launches(layer(asked), asked)
    assert launching == pytest.approx(1e-4 + 8e-5 + 2e-4 + 17 * 2e-5)
    assert gaps == pytest.approx(25e-6)
    assert modules(layer(asked), asked) == 7 + 2, "GEMMs and norms"
    with pytest.raises(ValueError, match="by layers"):
        kernel_launches(layer(asked), workload())


def test_a_step_spreads_over_hosts_as_far_as_it_launches() -> None:
    """Layers whose launches take far longer than their computation: twice as fast a host saves half of them in each of eight
    micro-batches, half as fast a one adds as much again. Nothing spreads where the host is stated, or where the card takes longer."""
    kernels = KERNELS.model_copy(
        update={"each": Launches(forward=1e-2, backward=2e-2), "linear": 20e-6, "hosts": (10e-6, 40e-6)}
    )
    asked = workload(software=stack(host={"kernels": kernels}))
    time, launching = float(step(asked).time), 8 * 4 * (1e-4 + 8e-2 + 2e-4 + 17 * 2e-2)
    spread = (pytest.approx(1 - launching / 2 / time), pytest.approx(1 + launching / time))
    assert over_hosts(asked, time) == spread
    whole, *hosts = step_and_hosts(asked)
    assert (float(whole.time), tuple(hosts)) == (pytest.approx(time), spread)
    there = workload(software=stack(host={"kernels": kernels}).on_host(40e-6))
    assert over_hosts(there, step(there).time) == (1.0, 1.0)
    busy = workload(
        software=stack(host={"kernels": kernels.model_copy(update={"each": NO_LAUNCHES, "layer": NO_LAUNCHES})})
    )
    assert over_hosts(busy, step(busy).time) == (1.0, 1.0)


def test_a_loss_that_reads_back_parts_the_passes() -> None:
    """Four layers of 0.18 ms forward and 0.54 ms backward: 1 ms of the forward pass hides its own launches, but not the backward ones."""
    kernels = KERNELS.model_copy(update={"gap": 0.0, "reads_back": True})
    asked = workload(software=stack(host={"kernels": kernels}))
    assert launches_forward(layer(asked), asked, 8) == pytest.approx(1e-4 + 8 * 1e-5)
    assert forward_launches(asked) == pytest.approx(4 * 0.18e-3)
    passes = Passes(1e-3, 0.5e-3, 0.5e-3)
    assert late_and_gaps(asked, 0.0, passes)[0](1.0, 9e-3) == pytest.approx(4 * 0.54e-3 - 1e-3)
    assert cpu_overhead_time(asked, 9e-3) == 0.0, "nothing is read back of a pass that is not told apart"
    waits = workload(software=stack(host={"kernels": kernels.model_copy(update={"gap": 1e-6})}))
    late, _, gaps = late_and_gaps(waits, 0.0, Passes(1.0, 1.0, 1.0))
    assert (late(1.0, 9e-3), gaps) == (0.0, pytest.approx(4 * 25e-6)), "gaps come in any case"
    halves = workload(software=stack(host={"kernels": kernels}), gpus=2, pipeline=2)
    late, filling, _ = late_and_gaps(halves, -16e-3, passes)
    assert late(0.5, 9e-3) == pytest.approx((4 * 0.54e-3 - 1e-3) / 2 + 16e-3 / 8)
    assert filling(0.5, 9e-3) == pytest.approx((4 * 0.54e-3 - 1e-3) / 2), (
        "a stage launches half of the layers, and computes half; the update comes after the pipeline has filled"
    )


def test_a_host_that_lags_delays_the_stage_with_the_most_layers() -> None:
    """One layer is on the first stage, three are on the second, which takes longest: each layer is launched in 0.72 ms, some of it while
    the accelerator is busy with the optimiser."""
    kernels = KERNELS.model_copy(update={"gap": 0.0, "reads_back": True})
    asked = workload(software=stack(host={"kernels": kernels}), gpus=2, pipeline=2, stage_layers=(1, 3))
    layers = float(added(shared_work(asked).all_layers).total)
    assert 0 < layers < 1e-3
    parts = step(asked).parts
    assert float(parts["CPU overhead"]) == pytest.approx(8 * 3 * (0.72e-3 - layers / 4) - parts["optimiser"])


def test_a_head_by_blocks_reads_its_weights_for_each() -> None:
    """Two blocks read 2 x 1,024 x V weights and write T V logits of 2 B; a pass that is skipped takes no time."""
    asked = workload(loss_blocks=2)
    gemm = head(asked).linears[0]
    read = 2.0 * gemm.outputs * (2 * gemm.inputs + TOKENS) / (CARD.gemm_constants.memory_share * MEMORY)
    found = read_again(Passes(1e-12, 1.0, 0.0), gemm, TOKENS, asked)
    assert (found.forward, found.backward, found.weight) == (pytest.approx(read), 1.0, 0.0)
    assert read_again(BATCH_AT_ONCE, gemm, TOKENS, workload()) is BATCH_AT_ONCE


def test_a_mask_of_padding_takes_all_pairs() -> None:
    """Twice the time of attention without the causal mask forward, three times backward."""
    asked = workload(software=stack(padding_mask=Masking(source="by hand", forward=2.0, backward=3.0)))
    plain = layer(asked)
    masked, open_core = plain.with_mask, replace(plain.block.attention[0], causal=False)
    all_pairs = attention_passes(replace(plain, block=replace(plain.block, attention=(open_core,))), asked)
    found = attention_passes(masked, asked)
    assert (found.forward, found.backward) == (
        pytest.approx(2 * all_pairs.forward),
        pytest.approx(3 * all_pairs.backward),
    )
    assert attention_passes(masked, workload()).total == attention_passes(plain, workload()).total, (
        "a stack that needs none"
    )


def test_copies_around_a_gather() -> None:
    """A million weights of 2 B over two ranks: 3 x 4 MB / 2 into the buffer, 2 x 2 MB out of it; the same for frozen ones."""
    facts = Gathering(source="by hand", shares=3.0, whole=1.0)
    held, none = Weights(1e6, 0.0), Weights(0.0, 0.0)
    for trained in (held, none):
        shared = workload(gpus=2, sharding="zero3", software=stack(gathering=facts))
        assert float(gather_copies(held, trained, shared)) == pytest.approx(10e6 / MEMORY)
        alone = workload(sharding="zero3", software=stack(gathering=facts))
        assert float(gather_copies(held, trained, alone)) == 0
    assert gather_copies(held, held, workload(gpus=2, sharding="zero3")) == 0


def test_casts_around_quantised_gemms() -> None:
    """6 B x (3 x 1,024 + 1,536 + 1,024 + 1,024 + 2 x 1,024 + 4,096 + 2,048 + 1,024), as queries, keys and values each cast their input."""
    asked = workload()
    assert float(narrowing_bytes(layer(asked).block, 10.0, asked.ranks)) == 6 * 10 * 15872


def test_windows_called_one_by_one() -> None:
    asked = workload(microbatch=2)
    windows = replace(layer(asked), sequence=64)
    looped = replace(
        windows, block=replace(windows.block, attention=(replace(windows.block.attention[0], looped=True),))
    )
    assert attention_calls(looped, asked) == 2 * 8 - 1
    assert attention_calls(windows, asked) == 0


def test_parts_of_a_layer_are_launched_within_it() -> None:
    """Two GEMMs of a llama layer's seven: two sevenths of its modules' 3.5 and 7 ms, and no call of their own to recompute them."""
    kernels = Kernels(
        source="round", launches_from="", each=Launches(forward=0.0, backward=0.0), layer=Launches(forward=3.5e-3, backward=7e-3),
        recomputed=Launches(forward=1e-3, backward=2e-3), operators={},
    )  # fmt: skip
    asked = workload(recompute="full")
    asked = replace(asked, software=asked.software.model_copy(
        update={"host": asked.software.host.model_copy(update={"kernels": kernels})}))  # fmt: skip
    alone = layer(asked)
    keys = replace(alone.block, linears=(replace(alone.block.linears[0], fused=2),), attention=(), elementwise=())
    part = replace(alone, block=keys)
    assert kernel_launches(part, asked)[0] == pytest.approx(3.5e-3 + 7e-3 + 1e-3 + 2e-3 + 3.5e-3)
    assert kernel_launches(replace(part, within=True), asked)[0] == pytest.approx(1e-3 + 2e-3 + 1e-3)


def test_layers_checkpointed_within_a_checkpointed_stage_run_twice_more() -> None:
    """Swin's layers and stages are both checkpointed in transformers: forward 3.5 ms, backward 7, and twice the call and the forward pass
    again; in other code once."""
    kernels = Kernels(
        source="round", launches_from="", each=Launches(forward=0.0, backward=0.0), layer=Launches(forward=3.5e-3, backward=7e-3),
        recomputed=Launches(forward=1e-3, backward=2e-3), operators={},
    )  # fmt: skip
    asked = workload(recompute="full")
    update = {"host": asked.software.host.model_copy(update={"kernels": kernels})}
    nested = replace(layer(asked), nested=True)
    for model_code, times in ((False, 1), (True, 2)):
        own = replace(asked, software=asked.software.model_copy(update={**update, "model_code": model_code}))
        again = times * (1e-3 + 2e-3 + 3.5e-3)
        assert kernel_launches(nested, own)[0] == pytest.approx(3.5e-3 + 7e-3 + again)
        hooked = [
            replace(own, software=own.software.model_copy(update={"host": own.software.host.model_copy(update={
                "shard": 0.0, "kernels": kernels.model_copy(update={"module": module})})}),
                layout=own.layout.replaced(sharding=Sharding.zero3))
            for module in (0.0, 1e-3)
        ]  # fmt: skip
        hooks = kernel_launches(nested, hooked[1])[0] - kernel_launches(nested, hooked[0])[0]
        assert hooks == pytest.approx((2 + times) * 1e-3 * modules(nested, own)), (
            "ZeRO-3 gathers weights for every pass"
        )
