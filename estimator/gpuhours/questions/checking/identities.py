"""What must hold between the figures of one training run.

Each identity is linear in logarithms,  sum_i a_i ln x_i = ln c,  holding to a relative standard deviation ``sigma``; two
are sums and are linearised where they are solved. Hard ones (GPU-hours = GPUs x hours) have a sigma of rounding only; where
the field itself is loose (attention beside 6ND, hours that include stops) sigma says how loose, with its reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gpuhours.questions.checking.accelerators import Named
from gpuhours.questions.checking.claim import Document
from gpuhours.questions.checking.quantities import HOUR

HARD = 0.002
LOOSE_HOURS = 0.02


@dataclass(frozen=True)
class Identity:
    """``prod x_i^a_i = c`` to within ``sigma`` (relative s.d.)."""

    text: str
    terms: Mapping[str, float]
    constant: float = 1.0
    sigma: float = HARD
    note: str = ""


@dataclass(frozen=True)
class Sum:
    """``whole = part_1 + part_2 + ...``: linearised at each Gauss-Newton step."""

    text: str
    whole: str
    parts: tuple[str, ...]
    sigma: float = HARD


@dataclass(frozen=True)
class Assumed:
    """A value nobody stated and that a run of this kind has: mild, and listed."""

    quantity: str
    value: float
    sigma: float
    reason: str


@dataclass(frozen=True)
class Setting:
    """What kind of run a document describes, as far as the identities care."""

    accelerator: Named | None
    video: bool
    masked: bool
    experts: bool
    flops_per_parameter: float
    """6 for full training, 4 with adapters (no weight gradients), 2 where all is frozen."""
    kind: str
    claimed: frozenset[str]
    peak: float | None
    recompute: str | None
    sharding: str | None
    frozen: bool


FULL = 6.0


def setting(document: Document, accelerator: Named | None) -> Setting:
    """Read the kind of run from facts and from which figures are claimed."""
    claimed = frozenset(claim.quantity for claim in document.claims if claim.checked)
    ratio = document.claim("mask_ratio")
    lora = document.fact("trainable") is not None
    kind = document.fact("architecture") or ""
    video = bool(claimed & {"frames_per_clip", "video_hours", "tokens_per_frame", "frame_rate", "visual_tokens"})
    video = video or document.fact("vision_encoder") is not None or kind in ("masked autoencoder", "diffusion")
    eight = accelerator is not None and document.fact("precision") == "fp8" and accelerator.sparse_peak is not None
    peak = accelerator.peak * (2.0 if eight else 1.0) if accelerator else None
    return Setting(
        accelerator, video, kind == "masked autoencoder" or (ratio is not None and ratio.value >= 0.5),
        kind == "mixture of experts" or "active_parameters" in claimed,
        4.0 if lora else FULL, kind, claimed, peak, document.fact("recompute"),
        document.fact("sharding"), document.fact("frozen") is not None,
    )  # fmt: skip


def identities(run: Setting) -> Iterator[Identity | Sum]:
    """Every identity between quantities that a run of this kind has."""
    yield from _machine(run)
    yield from _data(run)
    yield from _work(run)
    yield from _pace()
    yield from _bill()


def _machine(run: Setting) -> Iterator[Identity | Sum]:
    yield Identity("GPU-hours = GPUs x hours", {"gpu_hours": 1, "gpus": -1, "wall_clock": -1}, 1 / HOUR, LOOSE_HOURS)
    yield Identity("GPUs = nodes x GPUs per node", {"gpus": 1, "nodes": -1, "gpus_per_node": -1})
    yield Identity(
        "node-hours = nodes x hours", {"node_hours": 1, "nodes": -1, "wall_clock": -1}, 1 / HOUR, LOOSE_HOURS
    )
    yield Identity("GPU-hours = node-hours x GPUs per node", {"gpu_hours": 1, "node_hours": -1, "gpus_per_node": -1})
    if run.claimed & {"tensor", "pipeline", "context", "data_parallel"}:
        degrees = dict.fromkeys(("tensor", "pipeline", "context", "data_parallel"), -1.0)
        yield Identity("GPUs = tensor x pipeline x context x data", {"gpus": 1, **degrees})
    elif run.sharding is not None:
        yield Identity("GPUs = data-parallel ranks", {"gpus": 1, "data_parallel": -1}, note=f"sharding {run.sharding}")
    yield Identity(
        "batch = data x micro-batch x accumulation",
        {"global_batch": 1, "data_parallel": -1, "microbatch": -1, "accumulation": -1},
    )
    yield from _memory(run)
    yield Sum(
        "parameters = language model + vision encoder",
        "parameters",
        ("language_parameters", "vision_parameters"),
        0.03,
    )
    yield Identity(
        "trainable parameters = share x parameters",
        {"trainable_parameters": 1, "trainable_share": -1, "parameters": -1},
    )


STATE = 16.0
"""Bytes per trained parameter: 16-bit weight and gradient, 32-bit master weight and two moments (Rajbhandari et al. 2020)."""


def _memory(run: Setting) -> Iterator[Identity]:
    """What must fit: all state on every GPU under plain data parallelism, spread over all GPUs at best otherwise."""
    if run.flops_per_parameter == FULL and not run.frozen:
        if run.sharding == "ddp":
            yield Identity("state per GPU = 16 bytes x parameters", {"state_per_gpu": 1, "parameters": -1}, STATE, 0.05)
        else:
            spread = {"state_per_gpu": 1.0, "parameters": -1.0, "gpus": 1.0}
            yield Identity("state per GPU is at least 16 bytes x parameters / GPUs", spread, STATE, 0.05)
    if run.accelerator is not None and run.accelerator.memory is not None and "GB assumed" not in run.accelerator.note:
        yield Identity(
            "memory as stated = memory of the accelerator",
            {"memory_per_gpu": 1},
            run.accelerator.memory,
            0.04,
        )


def _data(run: Setting) -> Iterator[Identity | Sum]:
    yield Identity("samples seen = steps x batch", {"samples_seen": 1, "steps": -1, "global_batch": -1})
    yield Identity(
        "tokens = steps x tokens per batch", {"tokens": 1, "steps": -1, "global_batch_tokens": -1}, sigma=0.01
    )
    yield Identity(
        "tokens per batch = batch x tokens per sample",
        {"global_batch_tokens": 1, "global_batch": -1, "tokens_per_sample": -1},
    )
    yield Identity("tokens = data-set tokens x epochs", {"tokens": 1, "dataset_tokens": -1, "epochs": -1}, sigma=0.02)
    if run.video:
        yield Identity("samples seen = samples x epochs", {"samples_seen": 1, "samples": -1, "epochs": -1}, sigma=0.05)
        visual = {"visual_tokens": 1, "samples_seen": -1, "frames_per_clip": -1, "tokens_per_frame": -1}
        yield Identity("visual tokens = samples x frames x tokens per frame", visual, sigma=0.02)
        if run.claimed & {"text_tokens", "visual_tokens", "tokens_per_frame"}:
            yield Sum("tokens = visual + text", "tokens", ("visual_tokens", "text_tokens"), 0.02)
        if "clip_seconds" not in run.claimed:
            yield Identity("clip = frames / frame rate", {"clip_seconds": 1, "frames_per_clip": -1, "frame_rate": 1})
        if "samples" not in run.claimed:
            frames = {"samples": 1, "frames_per_clip": 1, "video_hours": -1, "frame_rate": -1}
            yield Identity("clips = hours x frame rate / frames per clip", frames, HOUR, 0.02)
    else:
        yield Identity("tokens per sample = sequence length", {"tokens_per_sample": 1, "seq_len": -1}, sigma=0.01)


def _work(run: Setting) -> Iterator[Identity | Sum]:
    if not run.experts:
        yield Identity("all parameters are active", {"active_parameters": 1, "parameters": -1})
    if not run.masked:
        constant, sigma, why = _per_token(run)
        yield Identity(
            f"compute = {run.flops_per_parameter:g} x parameters x tokens",
            {"model_flops": 1, "active_parameters": -1, "tokens": -1}, constant, sigma, why,
        )  # fmt: skip
    yield Identity(
        "compute = FLOP/s per GPU x productive GPU-hours",
        {"model_flops": 1, "flops_per_second_per_gpu": -1, "gpu_hours": -1, "goodput": -1}, HOUR,
    )  # fmt: skip
    if run.peak is not None:
        rate = {"flops_per_second_per_gpu": 1, "mfu": -1}
        yield Identity("FLOP/s per GPU = MFU x peak", rate, run.peak)
        yield Identity("peak as stated = dense peak of the accelerator", {"peak_flops": 1}, run.peak, 0.03)
    yield Identity(
        "FLOP/s = GPUs x FLOP/s per GPU", {"flops_per_second": 1, "gpus": -1, "flops_per_second_per_gpu": -1}
    )
    yield Identity("HFU = MFU x work with recomputation", {"hfu": 1, "mfu": -1, "recompute_ratio": -1})


def _per_token(run: Setting) -> tuple[float, float, str]:
    """FLOP per parameter and token, with what attention adds.

        6 (1 + a),   a = s / (6 d) with full attention, half of that when counted causal

    s tokens in a sequence, d the width. Sizes of published models put d near (128 N / 12)^(1/3); unknown s is taken as 2-4k.
    The convention is rarely said, so the centre is 3/4 of full and sigma spans both.
    """
    spread = 0.12 if run.video else 0.03
    return (
        run.flops_per_parameter * (1.08 if run.video else 1.03),
        spread,
        "attention adds 0 to 8 %, more for long sequences",
    )


def _pace() -> Iterator[Identity | Sum]:
    yield Identity(
        "wall-clock x goodput = steps x step time",
        {"wall_clock": 1, "goodput": 1, "steps": -1, "step_time": -1},
    )
    yield Identity(
        "tokens per batch = tokens/s x step time",
        {"global_batch_tokens": 1, "tokens_per_second": -1, "step_time": -1},
        sigma=0.01,
    )
    yield Identity(
        "tokens/s = GPUs x tokens/s per GPU",
        {"tokens_per_second": 1, "gpus": -1, "tokens_per_second_per_gpu": -1},
        sigma=0.01,
    )
    yield Identity("steps per second = 1 / step time", {"steps_per_second": 1, "step_time": 1}, sigma=0.01)
    yield Identity(
        "tokens = tokens/s per GPU x productive GPU-hours",
        {"tokens": 1, "tokens_per_second_per_gpu": -1, "gpu_hours": -1, "goodput": -1},
        HOUR,
        0.02,
    )
    yield Identity(
        "tokens/s = nodes x tokens/s per node",
        {"tokens_per_second": 1, "nodes": -1, "tokens_per_second_per_node": -1},
        sigma=0.01,
    )
    yield Identity(
        "tokens = tokens/s x productive time",
        {"tokens": 1, "tokens_per_second": -1, "wall_clock": -1, "goodput": -1},
        sigma=0.01,
    )
    yield Identity(
        "wall-clock = epochs x time per epoch", {"wall_clock": 1, "epochs": -1, "epoch_time": -1}, sigma=0.03
    )
    yield Identity(
        "batch = samples/s x step time",
        {"global_batch": 1, "samples_per_second": -1, "step_time": -1},
        sigma=0.01,
    )
    yield Identity(
        "samples seen = samples/s x productive time",
        {"samples_seen": 1, "samples_per_second": -1, "wall_clock": -1, "goodput": -1}, sigma=0.01,
    )  # fmt: skip
    yield Identity(
        "time between checkpoints = steps between x step time",
        {"checkpoint_time": 1, "checkpoint_steps": -1, "step_time": -1},
    )


def _bill() -> Iterator[Identity | Sum]:
    yield Identity(
        "energy = GPU-hours x power x PUE",
        {"energy": 1, "gpu_hours": -1, "gpu_power": -1, "pue": -1},
        sigma=0.02,
    )
    yield Identity(
        "power = GPUs x power per GPU x PUE", {"power": 1, "gpus": -1, "gpu_power": -1, "pue": -1}, sigma=0.02
    )
    yield Identity("carbon = energy x intensity", {"carbon": 1, "energy": -1, "carbon_intensity": -1}, 1e-6, 0.02)
    yield Identity("cost = GPU-hours x price", {"cost": 1, "gpu_hours": -1, "price": -1}, sigma=0.02)


def assumed(run: Setting) -> Iterator[Assumed]:
    """What a run of this kind has where nobody says otherwise; each mild enough not to decide anything alone."""
    if "goodput" not in run.claimed:
        yield Assumed("goodput", 0.97, 0.05, "hours as published include some restarts and evaluation")
    if "recompute_ratio" not in run.claimed:
        ratio = {"full": (4 / 3, 0.03), "selective": (1.02, 0.02)}.get(run.recompute or "", (1.13, 0.12))
        yield Assumed("recompute_ratio", *ratio, f"recomputation: {run.recompute or 'not said, none to full'}")
    if "pue" not in run.claimed:
        yield Assumed("pue", 1.12, 0.08, "data centres for training report 1.05 to 1.3")
    if not run.claimed & {"context"} and run.claimed & {"tensor", "pipeline", "data_parallel"}:
        yield Assumed("context", 1.0, HARD, "no context parallelism is mentioned")
        for name in ("tensor", "pipeline"):
            if name not in run.claimed:
                yield Assumed(name, 1.0, HARD, f"no {name} parallelism is mentioned")


@dataclass(frozen=True)
class Limit:
    """Where a quantity cannot be, or has never been seen: ``hard`` says which."""

    quantity: str
    least: float
    most: float
    why: str
    hard: bool = False


def limits(run: Setting) -> Iterator[Limit]:
    """Bounds on implied values."""
    yield Limit("mfu", 0.0, 1.0, "more than the accelerator's dense peak", hard=True)
    yield Limit("mfu", 0.004, 0.78, "no published run sustained more than 78 % or less than 0.4 % of the dense peak")
    yield Limit("hfu", 0.0, 1.0, "more than the accelerator's dense peak", hard=True)
    yield Limit("goodput", 0.25, 1.05, "productive time cannot exceed the time spent")
    yield Limit("pue", 1.0, 2.5, "PUE is at least 1")
    yield Limit("carbon_intensity", 0.004, 1.4, "grids emit 5 to 1,300 g CO2e per kWh")
    yield Limit("price", 0.08, 40.0, "an accelerator-hour costs 0.1 to 30 USD")
    yield Limit("gpus_per_node", 1.0, 72.0, "nodes hold 1 to 72 accelerators")
    yield Limit("data_parallel", 1.0, math.inf, "fewer GPUs than the model-parallel group needs", hard=True)
    if run.accelerator is not None and run.accelerator.memory is not None:
        yield Limit(
            "state_per_gpu",
            0.0,
            1.1 * run.accelerator.memory,
            "more than the accelerator's memory",
            hard=True,
        )
    if run.accelerator is not None and run.accelerator.power is not None:
        power = run.accelerator.power
        yield Limit(
            "gpu_power",
            0.2 * power,
            2.6 * power,
            f"the accelerator draws up to {power:.0f} W, a node up to twice that per GPU",
        )


def attention_share(parameters: float, seq_len: float) -> float:
    """Full attention beside 6N, from size and length alone: s / (6 d), d = (128 N / 12)^(1/3).

    d follows from N = 12 L d^2 and a depth of L = d / 128, the shape of published decoders (within 25 %).
    Source: A. Chowdhery et al. 2022, PaLM, appendix B for 12 L H Q T; Kaplan et al. 2020 for N = 12 L d^2.
    """
    return seq_len / (6 * (128 * parameters / 12) ** (1 / 3))
