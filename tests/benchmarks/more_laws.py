"""More laws for random runs: the effects of more work, more cards, a faster format, adapters and stops; idle keys and screens are true."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from gpuhours.inputs.errors import EstimateError
from gpuhours.layout.ranks import has_experts
from gpuhours.questions.estimating.estimating import estimate
from gpuhours.run.evaluate import Outcome, evaluate
from gpuhours.run.results import plain_results
from gpuhours.run.spec import from_dict
from tests.benchmarks.random_runs import said
from tests.benchmarks.tried import ROUNDING, Tried

WIDE, MANY = 4096, 4096
"""Hidden size and tokens of a product on a rank from which it is compute-bound, so that a faster format gains more than its casts cost."""


def held(outcome: Outcome) -> float:
    """Return the bytes held on the rank with the most memory in use."""
    assert outcome.memory is not None
    return float(outcome.memory.total)


def seconds(outcome: Outcome) -> float:
    """Return the predicted time of a step in seconds."""
    assert outcome.step is not None
    return float(outcome.step.time)


def more_work_is_more(tried: Tried) -> Iterator[str]:
    """More work per step needs no less time or memory.

    A larger micro-batch at the same batch holds no less memory; twice the batch takes no less time per step; samples twice as long take
    no less time and hold no less memory.
    """
    layout, training, data = (tried.described[block] for block in ("layout", "training", "data"))
    larger = tried.with_said(("layout.microbatch", 2 * layout["microbatch"]))
    ranks = tried.described["hardware"]["gpus"] // (layout["tensor"] * layout["pipeline"] * layout["context"])
    passes = training["global_batch"] // (
        ranks * 2 * layout["microbatch"]
    )  # a single pass accumulates nothing and keeps no other pass waiting
    if (
        larger is not None
        and passes > max(1, 2 * layout["pipeline"])
        and held(larger) < held(tried.outcome) * (1 - ROUNDING)
    ):
        yield f"twice the micro-batch holds {held(larger) / held(tried.outcome):.5f} as much"
    twice = tried.with_said(("training.global_batch", 2 * training["global_batch"]))
    if twice is not None and seconds(twice) < seconds(tried.outcome) * (1 - ROUNDING):
        yield f"twice the batch takes {seconds(twice) / seconds(tried.outcome):.5f} of the time a step"
    if "seq_len" not in data:
        return
    longer = tried.with_said(("data.seq_len", 2 * data["seq_len"]))
    if longer is None:
        return
    for name, before, after in (
        ("time a step", seconds(tried.outcome), seconds(longer)),
        ("memory", held(tried.outcome), held(longer)),
    ):
        if after < before * (1 - ROUNDING):
            yield f"samples twice as long take {after / before:.5f} of the {name}"


def more_cards_cost_no_less(tried: Tried) -> Iterator[str]:
    """With twice the data-parallel accelerators at the same batch, unsharded GPU-hours do not fall, and no accelerator holds more."""
    gpus = tried.described["hardware"]["gpus"]
    twice = tried.with_said(("hardware.gpus", 2 * gpus))
    if twice is None:
        return
    before, after = plain_results(tried.outcome)["gpu_hours"], plain_results(twice)["gpu_hours"]
    unsharded = tried.described["layout"]["sharding"] == "none" and "expert" not in tried.described["layout"]
    if unsharded and after < before * (1 - ROUNDING):
        yield f"twice the accelerators take {after / before:.5f} of the GPU-hours"
    assert tried.outcome.memory is not None
    assert twice.memory is not None
    ours, theirs = (  # leave out the context, which grows with the first group of ranks
        sum(float(amount) for part, amount in one.parts.items() if part != "context")
        for one in (tried.outcome.memory, twice.memory)
    )
    layout = tried.described["layout"]
    alone = (
        gpus == layout["tensor"] * layout["pipeline"] * layout["context"]
    )  # the first additional replica needs memory for the gradients that are summed
    if not alone and theirs > ours * (1 + ROUNDING):
        yield f"twice the accelerators hold {theirs / ours:.5f} as much each"


def gemms_are_large(tried: Tried) -> bool:
    """Whether a rank's GEMMs are so large that their time is compute-bound, not bound by launches or by casts of weights.

    An expert sees only the tokens that are routed to it: with 256 of them, casting its weights takes longer than fp8 saves.
    """
    stacks = tried.outcome.resolved.workload.model.stacks
    wide = min((float(stack.block.linears[0].inputs) for stack in stacks if stack.block.linears), default=0)
    layout = tried.described["layout"]
    tokens = tried.described["data"]["seq_len"] * layout["microbatch"] / layout["context"]
    linears = [linear for stack in stacks for linear in stack.block.linears]
    routed = min((float(linear.active / linear.experts) for linear in linears if has_experts(linear)), default=1.0)
    return bool(wide / layout["tensor"] >= WIDE and tokens * routed * layout.get("expert", 1) >= MANY)


def a_quicker_format_is_no_slower(tried: Tried) -> Iterator[str]:
    """On a card with a higher fp8 peak, fp8 is no slower than bf16 if GEMMs are large."""
    peak = tried.outcome.resolved.workload.cluster.accelerator.peak
    if peak.get("fp8", 0) <= peak.get("bf16", math.inf) or "seq_len" not in tried.described["data"]:
        return
    if not gemms_are_large(tried):
        return
    plain, quick = (tried.with_said(("training.dtype", dtype)) for dtype in ("bf16", "fp8"))
    if plain is not None and quick is not None and seconds(quick) > seconds(plain) * (1 + ROUNDING):
        yield f"fp8 takes {seconds(quick) / seconds(plain):.4f} of the time of bf16"


def adapters_cost_no_more(tried: Tried) -> Iterator[str]:
    """Adapters of rank 8 need no more FLOPs, optimiser time, time for large GEMMs or memory than full training on the same layout.

    Total time is not tested, as the memory-bound kernels of some trainers (dropout and casts before each adapter) can cost more than
    adapters save. The same holds for memory if a trainer keeps extra inputs for each adapter (peft: its input again, in fp32) and the
    states are sharded; for such stacks only weights, gradients, optimiser states and logits are compared. Nor are GEMMs in 8 and 4 bit,
    beside which adapters in 16 or 32 bit may take longer than the gradients that are saved.
    """
    model = tried.described["model"]
    if not isinstance(model, str) or "seq_len" not in tried.described["data"]:
        return
    adapted = tried.with_said(("model", {"name": model, "trainable": "lora", "rank": 8}))
    if adapted is None:
        return
    assert adapted.step is not None
    if tried.outcome.resolved.workload.model.trainable_parameters < 1e9:
        return  # with GEMMs of a few thousand, launching those of the adapters takes as long
    narrow = tried.outcome.resolved.precision.format.narrow
    timed = ("GEMMs", "optimiser") if gemms_are_large(tried) and not narrow else ("optimiser",)
    for name, whole, part in (
        ("FLOPs", float(tried.step.model_flops), float(adapted.step.model_flops)),
        *((name, float(tried.step.parts[name]), float(adapted.step.parts[name])) for name in timed),
        ("memory", *(beside_inputs(one) for one in (tried.outcome, adapted))),
    ):
        if part > whole * (1 + ROUNDING):
            yield f"adapters take {part / whole:.4f} of the {name}"


def beside_inputs(outcome: Outcome) -> float:
    """Return the bytes of the fullest rank; for a stack that keeps inputs for adapters, only those of states and logits."""
    assert outcome.memory is not None
    if not outcome.resolved.workload.software.memory.adapter_inputs:
        return held(outcome)
    return sum(float(outcome.memory.parts[name]) for name in ("weights", "gradients", "optimiser", "logits"))


def stops_take_their_share(tried: Tried) -> Iterator[str]:
    """Half the goodput doubles GPU-hours and wall-clock time and does not change step time, MFU and productive time."""
    whole, half = (tried.with_said(("known.goodput", share)) for share in (1.0, 0.5))
    assert whole is not None
    assert half is not None
    before, after = plain_results(whole), plain_results(half)
    for name, times in (
        ("gpu_hours", 2.0),
        ("wall_clock", 2.0),
        ("step_time", 1.0),
        ("mfu", 1.0),
        ("productive_time", 1.0),
    ):
        if before[name] is not None and not math.isclose(after[name], times * before[name], rel_tol=ROUNDING):
            yield f"at half the goodput {name} is {after[name] / before[name]} times as much"


def an_idle_key_is_idle(tried: Tried) -> Iterator[str]:
    """A key that is reported to have no effect can be removed without changing the answer."""
    extra: list[tuple[str, Any]] = tried.rng.sample([
        ("data.padding", 0.2), ("data.packed", True), ("cost.terms", "reserved"), ("cost.year", 2021), ("model.rank", 32),
        ("layout.schedule", "1f1b"), ("layout.sequence_parallel", False), ("layout.shard_group", 2), ("hardware.network", {"share": 0.9}),
        ("operation.failures", 1e-4), ("operation.checkpoint_interval", "1 hour"), ("cost.host_share", 0.4), ("cost.power_share", 0.7),
        ("cost.storage", {"kept": "1 year"}), ("layout.vocabulary_parallel", True), ("layout.sequence_method", "ring"),
        ("layout.vision", "replicated"), ("layout.recompute_layers", 1), ("data.fps", "2 FPS"), ("data.text_corpus", "1B"),
        ("input.decoder", "gpu"), ("input.stored_fps", "30 FPS"), ("cost.boundary", "accelerators"),
    ], 4)  # fmt: skip
    if isinstance(tried.described["model"], str):
        extra = [(key, value) for key, value in extra if not key.startswith("model.")]
    for key, value in extra:
        described = said(tried.described, (key, value))
        try:
            stated = estimate(from_dict(described))
        except EstimateError:
            continue
        if not any(text.startswith(f"{key} has no effect") for text in stated.warnings):
            continue
        ours, theirs = plain_results(evaluate(from_dict(described))), plain_results(tried.without(key))
        for name, one in ours.items():
            other = theirs[name]
            if (one is None) != (other is None) or (one is not None and not math.isclose(one, other, rel_tol=ROUNDING)):
                yield f"{key} is said to have no effect: {name} {other} is {one} with it"


FIGURE = re.compile(
    r"^  (GPU-hours|MFU|steps|tokens|model FLOPs|memory|cost|wall-clock) +([\d.,]+) ?([kMBTZYEPG]?)", re.MULTILINE
)
SCALES = {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12, "P": 1e15, "E": 1e18, "Z": 1e21, "Y": 1e24, "G": 1e9}
NAMES = {"GPU-hours": "gpu_hours", "MFU": "mfu", "steps": "steps", "tokens": "tokens"}
"""Rows of the screen with a fixed unit."""


def the_screen_says_the_numbers(tried: Tried) -> Iterator[str]:
    """The numbers on the screen equal those of the JSON to three digits."""
    from gpuhours_cli.render.estimate import screen

    try:
        found = estimate(tried.run)
    except EstimateError:
        return
    paper = Console(file=io.StringIO(), width=100, color_system=None)
    paper.print(screen(found))
    text = paper.file.getvalue()  # type: ignore[attr-defined]
    results = found.to_dict()["results"]
    for title, digits, scale in FIGURE.findall(text):
        one = results.get(NAMES.get(title, ""))
        if one is None:
            continue
        shown = float(digits.replace(",", "")) * SCALES[scale] / (100.0 if title == "MFU" else 1.0)
        if not math.isclose(shown, one["value"], rel_tol=6e-3, abs_tol=6e-4 if title == "MFU" else 0.0):  # 7.0 %
            yield f"{title} is {digits} {scale} on the screen, {one['value']} in JSON"
