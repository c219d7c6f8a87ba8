"""How a step is composed of its parts, on the machine with round numbers, against hand calculations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gpuhours.flops import model_flops
from gpuhours.step.compute import GEMMS
from gpuhours.step.predict import (
    BUBBLE,
    CPU,
    OPTIMISER,
    P2P,
    Work,
    added,
    encoder_wait,
    encoder_waiting,
    encoding_time,
    p2p_time,
    scheduled,
    shared_work,
    step,
    step_of,
    timed_parts,
)
from gpuhours.step.schedule import Passes
from gpuhours.step.state import DATA, optimiser_time, step_reduction
from gpuhours.workload import Workload
from tests.round_machine import LINK, MODEL, PEAK, TOKENS, head, stack, workload

STREAM = 2 * TOKENS * 1024
"""Bytes of one sample between two stages."""
SLOW_HOST = {"forward": 0.0, "backward": 0.0, "step": 3e-3}
ENCODER = MODEL.model_copy(update={"hidden": 512, "heads": 4, "ffn_hidden": 1024}).model(TOKENS).stacks[0]


def sent(layer: float = 0.0, software: Any = None, **layout: Any) -> float:
    return float(p2p_time(workload(software=software, **layout), np.asarray(layer)))


def test_messages_are_split_as_the_stack_splits_them() -> None:
    """There and back; two chunks send twice; tensor and context ranks each send their share."""
    assert sent(gpus=2, pipeline=2) == pytest.approx(2 * STREAM / LINK)
    assert sent(gpus=4, pipeline=2, tensor=2) == pytest.approx(2 * STREAM / 2 / LINK)
    assert sent(gpus=4, pipeline=2, context=2) == pytest.approx(2 * STREAM / 2 / LINK)
    assert sent(gpus=2, pipeline=2, microbatch=4) == pytest.approx(4 * 2 * STREAM / LINK)
    assert sent(gpus=2, pipeline=2, interleave=2) == pytest.approx(2 * 2 * STREAM / LINK)
    whole = stack(network={"sends": "whole"})
    assert sent(software=whole, gpus=4, pipeline=2, tensor=2) == pytest.approx(2 * STREAM / LINK)
    assert sent() == 0


@pytest.mark.parametrize(("pipeline", "borders"), [(2, 1), (4, 2)])
def test_messages_to_other_nodes_wait_besides(pipeline: int, borders: int) -> None:
    """1 ms for both of each border of a stage, once for all borders while eight micro-batches fill the pipeline; none inside a node."""
    layout: dict[str, Any] = {"gpus": 8 * pipeline, "pipeline": pipeline, "tensor": 8}
    waits = stack(network={"send_wait": 1e-3})
    more = sent(software=waits, **layout) - sent(**layout)
    assert more == pytest.approx(2 * 1e-3 * (borders + (pipeline - 1) / 8))
    inside = {"gpus": pipeline, "pipeline": pipeline}
    assert sent(software=waits, **inside) == sent(**inside)


def test_the_parts_of_two_stages() -> None:
    """Eight micro-batches on the slower stage and one more on the other; the host launches either in 6 ms, also as the pipeline fills."""
    asked = workload(gpus=2, pipeline=2)
    work, found = shared_work(asked), step(asked)
    layer = float(added(work.all_layers).total) / 4
    first, last = (float(added(one).total) for one in (work.first, work.last))
    slowest = 2 * layer + max(first, last)
    together = 4 * layer + first + last
    assert found.parts[BUBBLE] == pytest.approx(8 * slowest + 6e-3 - 8 * together / 2)
    assert found.parts[P2P] == pytest.approx(8 * 2 * STREAM / LINK)
    assert found.parts[OPTIMISER] == pytest.approx(float(optimiser_time(asked)))
    assert float(found.time) == pytest.approx(sum(float(seconds) for seconds in found.parts.values()))
    assert 0 < slowest < 6e-3
    assert found.parts[CPU] == pytest.approx(8 * (6e-3 - slowest))


def test_a_vocabulary_shared_by_all_stages_is_work_of_none() -> None:
    """Embedding, head and loss leave the first and the last stage, and each of two stages has half of them; layers and the norm stay."""
    ends, shared = (workload(gpus=2, pipeline=2, vocabulary_parallel=flag) for flag in (False, True))
    apart, spread = shared_work(ends), shared_work(shared)
    assert added(apart.spread).total == 0
    moved = float(added(spread.spread).total)
    assert moved == pytest.approx(float(added(apart.first).total + added(apart.last).total))
    assert float(added(spread.first).total) == float(added(spread.last).total) == 0
    assert float(added(spread.all_layers).total) == pytest.approx(float(added(apart.all_layers).total))
    layer = float(added(spread.all_layers).total) / 4
    assert float(spread.placed(shared).slowest) == pytest.approx(2 * layer + moved / 2)
    both = replace(ends, layout=ends.layout.replaced(vocabulary_parallel=np.array([False, True])))
    for place, one in enumerate((apart, spread)):
        for name in ("first", "last", "spread"):
            found = np.broadcast_to(added(getattr(shared_work(both), name)).total, 2)[place]
            assert found == pytest.approx(float(added(getattr(one, name)).total))


def test_a_step_of_work_at_hand() -> None:
    """4 ms of GEMMs in all layers and nothing else, eight micro-batches, no launches: 32 ms, and the update of the optimiser."""
    asked = workload(software=stack(host={"forward": 0.0, "backward": 0.0, "step": 0.0}))
    work = Work(layers=4, shared=True, all_layers={GEMMS: Passes(1e-3, 2e-3, 1e-3)})
    parts, time = timed_parts(asked, work)
    assert float(parts[GEMMS]) == pytest.approx(8 * 4e-3)
    assert float(time) == pytest.approx(8 * 4e-3 + float(optimiser_time(asked)))
    found = step_of(asked, work)
    assert float(found.time) == float(time)
    assert float(found.mfu) == pytest.approx(float(model_flops(asked.model, 8)) / float(time) / PEAK)


def test_the_hosts_own_part_comes_once_a_step() -> None:
    found = step(workload(software=stack(host=SLOW_HOST)))
    assert found.parts[CPU] == pytest.approx(3e-3)


def test_sums_and_the_wait_for_the_slowest() -> None:
    """Two nodes: a hundredth of everything else is waiting time, reported with the sums; a slower stack is slower in every part."""
    plain, waiting = (
        workload(gpus=16, software=stack(host=SLOW_HOST, network={"stragglers": share})) for share in (0.0, 0.01)
    )
    before, after = step(plain), step(waiting)
    assert float(after.time) == pytest.approx(1.01 * float(before.time))
    assert after.parts[DATA] - before.parts[DATA] == pytest.approx(0.01 * float(before.time))
    work = shared_work(plain)
    beside = sum(float(added(one).total) for one in (work.all_layers, work.first, work.last))
    assert before.parts[DATA] == pytest.approx(float(step_reduction(plain, np.asarray(beside))))
    slow = step(replace(waiting, software=waiting.software.model_copy(update={"pace": 1.5})))
    assert float(slow.time) == pytest.approx(1.5 * float(after.time))
    assert all(slow.parts[name] == pytest.approx(1.5 * float(seconds)) for name, seconds in after.parts.items())


def test_the_peak_is_that_of_the_gemms_format_and_of_all_accelerators() -> None:
    assert float(step(workload(gpus=8)).peak) == 8 * PEAK
    assert float(step(workload(gpus=8, dtype="fp8")).peak) == 8 * 2 * PEAK
    assert bool(step(workload(gpus=8)).valid)
    assert not bool(step(workload(gpus=7)).valid), "seven ranks cannot share eight samples"


def seen(vision: str, **layout: Any) -> Workload:
    """Return a model with two encoder layers, half as wide, before the decoder."""
    asked = workload(vision=vision, **layout)
    return replace(asked, model=replace(asked.model, parts=(replace(ENCODER, layers=2), *asked.model.parts)))


def test_an_encoder_stands_where_the_layout_has_it() -> None:
    """On the first stage; on both with one of two samples each and gathered features; or on its own accelerator, which takes all."""
    piped = {"gpus": 2, "pipeline": 2, "microbatch": 2}
    plain = shared_work(workload(**piped))
    first, everywhere = (shared_work(seen(vision, **piped)) for vision in ("first-stage", "replicated"))
    front = float(added(first.first).total) - float(added(plain.first).total)
    assert front > 0
    assert float(added(first.all_layers).total) == pytest.approx(float(added(plain.all_layers).total))
    shared = seen("replicated", **piped)
    alone = shared_work(seen("first-stage", gpus=1, microbatch=1))
    one = float(added(alone.first).total) - float(added(shared_work(workload()).first).total)
    spread = float(added(everywhere.all_layers).total) - float(added(plain.all_layers).total)
    assert float(shared.encoding.ranks.microbatch) == 1
    gathered = 2 * (2 * TOKENS * 512) / 2 / LINK  # the other stage's sample, and its gradients back
    assert spread == pytest.approx(2 * (one + 2 * gathered))
    apart = seen("separate", gpus=3, pipeline=2, vision_gpus=1, microbatch=2)
    work = shared_work(apart)
    assert float(added(work.first).total) == pytest.approx(float(added(plain.first).total))
    assert float(added(work.apart).total) > 0
    assert float(encoding_time(work, apart)) == pytest.approx(max(float(added(work.apart).total), 2 * 3e-3), rel=0.5)
    assert encoder_wait(1.0, 4, 10.0) == 1.0


def test_gaps_of_an_encoder_on_its_own_accelerators_come_on_top() -> None:
    """Two layers of its own with a gap of 5 ms each, beyond what it computes or launches."""
    times = []
    for gap in (0.0, 5e-3):
        asked = seen("separate", gpus=3, pipeline=2, vision_gpus=1, software=stack(host={"gap": gap}))
        times.append(float(encoding_time(shared_work(asked), asked)))
    assert times[0] > 0
    assert times[1] == pytest.approx(times[0] + 2 * 5e-3)


def test_a_pipeline_fills_at_the_pace_of_its_host() -> None:
    """Two stages of two layers, each launched in 1 + 2 ms: 6 ms a micro-batch on either, of which the kernels' time is no overhead, and
    6 ms until the second starts."""
    software = stack(host={"forward": 1e-3, "backward": 2e-3})
    asked = workload(gpus=2, pipeline=2, software=software)
    line, host, passes = scheduled(asked, shared_work(asked), np.asarray(0.0))
    assert float(line.slowest) < 6e-3
    assert float(host) == pytest.approx(6e-3 - float(line.slowest))
    assert float(passes) == pytest.approx(8 * float(line.slowest) + 6e-3)


def test_the_wait_for_an_encoder_is_the_rest_of_the_bubble() -> None:
    """What a step waits beside its pipeline's own bubble: e + max(0, 8 e - t), at the stack's pace."""
    software = stack(host={"forward": 1e-3, "backward": 2e-3}).model_copy(update={"pace": 1.5})
    asked = seen("separate", gpus=3, pipeline=2, vision_gpus=1, software=software)
    work = shared_work(asked)
    line, host, passes = scheduled(asked, work, optimiser_time(asked))
    each = float(encoding_time(work, asked))
    own = float(passes - 8 * line.together.total / 2)
    waiting = 1.5 * (each + max(0.0, 8 * each - float(passes + 8 * host)))
    assert float(encoder_waiting(asked, work)) == pytest.approx(waiting)
    assert float(timed_parts(asked, work)[0]["pipeline bubble"]) == pytest.approx(waiting + 1.5 * own)


def test_an_end_without_a_vocabulary_stays_on_its_stage() -> None:
    """Patches in front of a decoder whose vocabulary all stages share, or the first and the last hold: only words are spread."""
    for shared in (True, False):
        asked = workload(gpus=2, pipeline=2, vocabulary_parallel=shared)
        patches = replace(head(asked), name="patches", first=True, vocabulary=0)
        plain, seen = (
            shared_work(replace(asked, model=replace(asked.model, parts=(*front, *asked.model.parts))))
            for front in ((), (patches,))
        )
        assert float(added(seen.first).total) > float(added(plain.first).total)
        for name in ("spread", "last"):
            assert float(added(getattr(seen, name)).total) == float(added(getattr(plain, name)).total)


@pytest.mark.parametrize(
    ("interleave", "pipeline", "one_chunk", "waited"),
    [(1, 0.5, 0.25, 0.25), (2, 0.5, 0.25, 2 * 0.5), (1, 0.5, None, 0.5)],
)
def test_messages_of_one_chunk_hide_apart(
    interleave: int, pipeline: float, one_chunk: float | None, waited: float
) -> None:
    """Hidden behind a layer of one second, by the stack's share for one chunk per stage or for several."""
    software = stack(exposed={"pipeline": pipeline, "one_chunk": one_chunk})
    found = sent(1.0, software, gpus=2, pipeline=2, interleave=interleave)
    assert found == pytest.approx(waited * 2 * STREAM / LINK)
