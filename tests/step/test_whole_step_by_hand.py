"""What goes over PCIe, weights, gradients and the whole step on a machine with round numbers, against hand calculations."""

from __future__ import annotations

import numpy as np
import pytest

from gpuhours.layout.weights import Weights
from gpuhours.step.breakdown import Step, where_violated
from gpuhours.step.compute import (
    ATTENTION,
    GEMMS,
    OTHER,
    layer_compute,
)
from gpuhours.step.offload import activations_time, host_update_time, parameters_time
from gpuhours.step.predict import (
    Work,
    added,
    encoder_wait,
    encoding_time,
    joined,
    p2p_time,
    pace_of,
    shared_work,
    step,
    unmeasured_factor,
    waiting_share,
)
from gpuhours.step.recompute import repeated
from gpuhours.step.schedule import Passes, Stages, exposed_time, pipeline_time, stages
from gpuhours.step.state import (
    accumulation_time,
    blocks_time,
    optimiser_time,
    orthogonalisation_time,
    sharded_passes,
    step_reduction,
    trained_tensors,
)
from tests.round_machine import (
    BATCH_AT_ONCE,
    LAYER,
    LINK,
    MEMORY,
    MIXTURE,
    MODEL,
    PCIE,
    PEAK,
    STREAM,
    VOCABULARY,
    WHOLE,
    head,
    layer,
    machine,
    stack,
    workload,
)

# what goes over PCIe, at 0.88 of 10 GB/s


def test_an_update_on_the_host() -> None:
    """2 bytes down and 2 up; 28 bytes of Adam at 25 GB/s."""
    assert host_update_time(1e9, workload()) == pytest.approx(4e9 / (0.88 * PCIE) + 28 / 25)


def test_activations_to_the_host_and_back() -> None:
    """34 bytes per element of the stream, or only the input under full recomputation; a tenth of the time is visible beside a long pass."""
    kept = {"none": 34, "full": 2}
    for recompute, each in kept.items():
        asked = workload(offload_activations=True, recompute=recompute)
        copied = 2 * each * STREAM / (0.88 * PCIE)
        assert activations_time(layer(asked), asked, 0.0) == pytest.approx(copied)
        assert activations_time(layer(asked), asked, 10.0) == pytest.approx(0.1 * copied)
    assert activations_time(layer(workload()), workload(), 0.0) == 0.0


def test_weights_fetched_for_each_pass() -> None:
    asked = workload(offload_parameters=True)
    found = parameters_time(layer(asked), asked, Passes())
    fetched = 2 * LAYER / (0.88 * PCIE)
    assert (found.forward, found.backward) == (pytest.approx(fetched), pytest.approx(2 * fetched)), "and gradients down"
    assert parameters_time(layer(asked), workload(), Passes()).total == 0.0


# the whole step


def test_a_share_for_each_doubling_of_nodes() -> None:
    software = stack(network={"stragglers": 0.004})
    assert waiting_share(machine(32), software) == pytest.approx(0.008)
    assert waiting_share(machine(8), software) == 0.0
    assert waiting_share(machine(4), software) == 0.0


def test_a_stack_that_nobody_measured_takes_longer() -> None:
    """All parts take longer by the same factor; it was not learned on mixtures and is not applied to them."""
    kin = stack(unmeasured_factor=1.2)
    assert unmeasured_factor(workload(software=kin)) == 1.2
    assert unmeasured_factor(workload(MIXTURE, software=kin)) == 1.0
    assert step(workload(software=kin)).time == pytest.approx(1.2 * float(step(workload()).time))


def test_a_measured_pace_slows_all_that_a_micro_batch_meets() -> None:
    """Multiplies the factor of unmeasured stacks; layers, ends and a separate encoder are slowed alike, and counts do not change."""
    ours = stack(unmeasured_factor=1.2, pace=1.5)
    assert pace_of(workload(software=ours)) == pytest.approx(1.8)
    work = Work(
        8, True, {"a": Passes(1, 2, 3)}, {"a": Passes(1)}, {"b": Passes(0, 2)}, {"c": Passes(0, 0, 1)}, {"d": Passes(4)}
    )
    slower = work.at_pace(1.5)
    assert slower.layers == 8
    assert slower.all_layers["a"].total == 9
    totals = [added(parts).total for parts in (slower.first, slower.last, slower.spread, slower.apart)]
    assert totals == [1.5, 3.0, 1.5, 6.0]


def test_work_is_placed_on_stages_and_each_is_late_by_its_layers() -> None:
    """Eight layers of 6 s on two stages: 24 s on either, 1 s more on the first, 2 on the last, a half of 1 s on both; late by 4 s of half
    the layers. On one stage all of it, late by 8 s of all layers."""
    work = Work(8, True, {"a": Passes(8, 16, 24)}, {"a": Passes(1)}, {"b": Passes(0, 2)}, {"c": Passes(0, 0, 1)})
    eight = MODEL.model_copy(update={"layers": 8})
    two, one = workload(eight, gpus=2, pipeline=2), workload(eight)
    assert float(work.placed(two).slowest) == pytest.approx(24 + 2 + 0.5)
    late = work.placed(two, lambda share, busy: 8 * share)
    assert (float(late.slowest), float(late.together.total)) == (
        pytest.approx(24 + 2 + 0.5 + 4),
        pytest.approx(48 + 1 + 2 + 1 + 8),
    )
    behind = work.placed(two, lambda share, busy: 26 - busy)
    assert (float(behind.slowest), float(behind.together.total)) == (26, 52), "each is late by what it is faster"
    assert float(work.placed(one, lambda share, busy: 8 * share).slowest) == pytest.approx(48 + 1 + 2 + 1 + 8)
    assert float(work.placed(two).together.total) == pytest.approx(48 + 1 + 2 + 1)


def test_kinds_are_added_and_joined() -> None:
    one, other = {"a": Passes(1, 2, 3)}, {"a": Passes(1, 1, 1), "b": Passes(0, 0, 4)}
    assert added(joined(one, other)).total == 6 + 3 + 4
    assert joined(one, other)["a"].backward == 3


def test_what_waits_for_an_encoder_apart() -> None:
    """Four micro-batches of 1 s before passes of 3 s: the first is waited for, and the second, which is missing."""
    assert encoder_wait(1.0, 4, 3.0) == pytest.approx(2.0)
    assert encoder_wait(0.5, 4, 3.0) == pytest.approx(0.5)
    work = shared_work(workload())
    assert encoding_time(work, workload()) == 0.0, "no encoder"
    assert (work.layers, work.shared) == (4, True)
    assert added(work.all_layers).forward > 3 * added(layer_compute(layer(workload()), workload())).forward


@pytest.mark.parametrize(("chunks", "messages"), [(1, 2), (2, 4)])
def test_messages_between_stages(chunks: int, messages: int) -> None:
    asked = workload(gpus=2, pipeline=2, interleave=chunks, schedule="interleaved" if chunks > 1 else "1f1b")
    assert p2p_time(asked, np.asarray(0.0)) == pytest.approx(messages * 2 * STREAM / LINK)


def test_stages_on_a_schedule() -> None:
    """Four stages of 6 s and eight micro-batches: 8 x 6, and three more to fill and drain."""
    from gpuhours.layout.placement import Placement

    line = stages(BATCH_AT_ONCE, Placement(4.0, 4), Passes(), Passes())
    assert (line.slowest, line.together.total) == (6.0, 24.0)
    assert pipeline_time(line, 8, 4, 1, 0) == pytest.approx(8 * 6 + 3 * 6)
    assert pipeline_time(Stages(Passes(6.0), 6.0), 8, 1, 1, 0) == 48.0
    assert exposed_time(3.0, 2.0, 0.5) == pytest.approx(1.5)


def test_what_full_and_selective_recomputation_repeat() -> None:
    parts = {GEMMS: Passes(1.0), ATTENTION: Passes(2.0), OTHER: Passes(4.0)}
    for recompute, seconds in (("none", 0.0), ("selective", 2.0), ("full", 7.0)):
        asked = workload(recompute=recompute)
        assert repeated(layer(asked), asked, parts) == pytest.approx(seconds)
    some = workload(recompute="full", recompute_layers=1)
    assert repeated(layer(some), some, parts) == pytest.approx(7 / 4), "one layer of four"


# weights and gradients, 2 bytes of each


def test_zero3_gathers_twice_and_scatters_once() -> None:
    asked = workload(gpus=8, sharding="zero3")
    found = sharded_passes(layer(asked), asked, Passes())
    gathered = 2 * LAYER * 7 / 8 / LINK
    assert (found.forward, found.backward) == (pytest.approx(gathered), pytest.approx(2 * gathered))
    assert sharded_passes(layer(asked), workload(gpus=8, sharding="zero1"), Passes()).total == 0.0


@pytest.mark.parametrize("sharding", ["none", "zero1"])
def test_gradients_of_all_parameters_are_summed_once(sharding: str) -> None:
    """An all-reduce, or a reduce-scatter and an all-gather: 2 x 7/8 of 2 bytes per parameter in both cases."""
    asked = workload(gpus=8, sharding=sharding)
    assert step_reduction(asked, np.asarray(0.0)) == pytest.approx(2 * 2 * WHOLE * 7 / 8 / LINK)


def test_adding_up_gradients() -> None:
    weights = Weights(1e9, 0.0)
    assert accumulation_time(weights, workload()) == pytest.approx(6.5e9 / MEMORY)
    kept = stack(accumulation={"first": False})
    assert accumulation_time(weights, workload(software=kept)) == pytest.approx(6.5e9 * 7 / 8 / MEMORY), (
        "7 of 8 are added"
    )


def test_a_loss_in_four_blocks_adds_its_gradient_thrice() -> None:
    asked = workload(loss_blocks=4)
    assert blocks_time(head(asked), asked) == pytest.approx(3 * 2 * 2 * VOCABULARY / MEMORY)
    assert blocks_time(head(asked), workload()) == 0.0


def test_the_update_of_what_a_rank_owns() -> None:
    """34 bytes per parameter; an eighth of the parameters under ZeRO-1."""
    assert optimiser_time(workload()) == pytest.approx(34 * WHOLE / MEMORY)
    assert optimiser_time(workload(gpus=8, sharding="zero1")) == pytest.approx(34 * WHOLE / 8 / MEMORY)
    away = workload(offload_optimizer=True)
    assert optimiser_time(away) == pytest.approx(host_update_time(WHOLE, away))


def test_newton_schulz_of_a_layer() -> None:
    sides = [(1024, 1536), (1024, 1024), (1024, 4096), (1024, 2048)]
    flops = 4 * sum(4 * m * m * n + 2 * m**3 for m, n in sides)
    assert orthogonalisation_time(workload(), 5) == pytest.approx(5 * flops / PEAK)


def test_tensors_that_are_updated_one_by_one() -> None:
    """The GEMMs and norms of every layer; the host needs 0.1 s per tensor, more than the card needs for its bytes."""
    asked = workload(software=stack(optimiser={"tensors": {"adamw": 0.1}}))
    block = layer(asked).block
    each = sum(one.fused for one in block.linears) + sum(np.max(one.parameters) > 0 for one in block.elementwise)
    assert trained_tensors(asked) == layer(asked).layers * each
    assert optimiser_time(asked) == pytest.approx(0.1 * layer(asked).layers * each)


def test_reasons_and_rates_of_a_step() -> None:
    reasons = {"too many": np.array([True, False]), "odd": np.array([False, False])}
    assert np.array_equal(where_violated(reasons), [True, False])
    assert where_violated({}) is False
    one = Step(2.0, {}, 8e14, 1e15, 1e15, np.asarray(True), {})
    assert (one.mfu, one.hfu) == (pytest.approx(0.4), pytest.approx(0.5))


def test_a_step_is_the_sum_of_what_is_worked_out_above() -> None:
    """One rank, eight micro-batches: layers, ends, accumulation and update; the host's 12 ms per micro-batch determine the time."""
    asked = workload()
    found = step(asked)
    busy = (
        added(shared_work(asked).all_layers).total
        + added(shared_work(asked).first).total
        + added(shared_work(asked).last).total
    )
    assert busy < 12e-3
    assert found.time == pytest.approx(8 * 12e-3 + optimiser_time(asked))
    assert dict(found.waterfall())["mfu"] == pytest.approx(found.mfu)
