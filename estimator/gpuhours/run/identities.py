"""Identities between the quantities of one training run: one list, used by ``estimate`` to solve for totals and by the checks of texts and
tables.

An identity is a product, prod(x_i ^ a_i) = c, so it is linear in logarithms; two are sums. ``estimate`` solves the identities between
its totals exactly. Published figures satisfy them within ``sigma``: only rounding for GPUs = nodes x GPUs per node; more where papers
use a term loosely (6ND without attention, hours that include stops).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from gpuhours.inputs.arrays import Array
from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.records import dataclass

HARD = 0.002
"""Relative s.d. of an identity subject only to rounding."""
LOOSE_HOURS = 0.02
"""The same for published hours: some include restarts, some do not."""
STATE = 16.0
"""Bytes per trained parameter: 16-bit weight and gradient, 32-bit master weight and two moments (Rajbhandari et al. 2020)."""


Use = Literal["everywhere", "solving", "published"]


@dataclass(frozen=True)
class Identity:
    """``prod x_i^a_i = constant``; ``text`` is the equation in words."""

    text: str
    exponents: Mapping[str, float]
    constant: float
    sigma: float = HARD
    """Relative s.d. with which published figures satisfy it."""
    only: frozenset[str] = frozenset()
    """Conditions under which it applies to a published run (named in ``checking.setting``); a run given to ``estimate`` satisfies them by
    definition."""
    use: Use = "everywhere"
    """``solving``: redundant, needed only for solving one unknown at a time, not for least squares. ``published``: redundant, used for
    texts that do not state the quantities of the other identities."""

    def solve(self, unknown: str, known: Mapping[str, Array]) -> Array:
        """The value of ``unknown`` that satisfies the identity, given ``known`` values of all others, in the units of ``IDENTITIES``."""
        product: Array = 1.0 if self.constant == 1.0 else 1.0 / self.constant
        for name, exponent in self.exponents.items():
            if name != unknown:
                product = _times(product, known[name], exponent)
        return _times(1.0, product, -1.0 / self.exponents[unknown])

    def mismatch(self, known: Mapping[str, Array]) -> Array:
        """prod x_i^a_i / constant: 1 if the values agree."""
        product: Array = 1.0 / self.constant
        for name, exponent in self.exponents.items():
            product = _times(product, known[name], exponent)
        return product

    def given(self, known: Mapping[str, float]) -> Identity:
        """The same identity with exactly ``known`` quantities (an accelerator's peak) moved into the constant."""
        constant = self.constant
        for name in self.exponents.keys() & known.keys():
            constant *= math.pow(known[name], -self.exponents[name])
        left = {name: exponent for name, exponent in self.exponents.items() if name not in known}
        return replace(self, exponents=left, constant=constant)


@dataclass(frozen=True)
class Sum:
    """``whole = part_1 + part_2 + ...``: linearised at each Gauss-Newton step."""

    text: str
    whole: str
    parts: tuple[str, ...]
    sigma: float = HARD
    only: frozenset[str] = frozenset()


def _times(product: Array, value: Array, exponent: float) -> Array:
    """product x value^exponent; multiplies or divides if the exponent is +-1, which is ten times faster on arrays."""
    if exponent == 1:
        return product * np.asarray(value, float)
    if exponent == -1:
        return product / np.asarray(value, float)
    return product * np.power(value, float(exponent))


def product(
    text: str, *factors: str, per: Iterable[str] = (), times: float = 1.0, sigma: float = HARD, only: str = "",
    use: Use = "everywhere",
) -> Identity:  # fmt: skip
    """``result = times x factors / per``; the first of ``factors`` is the result. ``only``: conditions, separated by blanks."""
    result, *others = factors
    exponents = {result: 1.0} | dict.fromkeys(others, -1.0) | dict.fromkeys(per, 1.0)
    return Identity(text, exponents, times, sigma, frozenset(only.split()), use)


def _data() -> Iterator[Identity | Sum]:
    """Samples, tokens and steps."""
    yield product("samples = global batch x steps", "samples", "global_batch", "steps")
    yield product(
        "samples = epochs x samples of the data set", "samples", "epochs", "dataset_samples", sigma=0.05, only="clips"
    )
    yield product("tokens = samples x tokens per sample", "tokens", "samples", "tokens_per_sample", use="solving")
    yield product("tokens = steps x tokens per batch", "tokens", "steps", "global_batch_tokens", sigma=0.01)
    yield product(
        "tokens per batch = batch x tokens per sample", "global_batch_tokens", "global_batch", "tokens_per_sample"
    )
    yield product("tokens = data-set tokens x epochs", "tokens", "dataset_tokens", "epochs", sigma=0.02)
    yield product("tokens per sample = sequence length", "tokens_per_sample", "seq_len", sigma=0.01, only="sequences")
    yield product("visual tokens = samples x frames x tokens per frame", "visual_tokens", "samples", "frames_per_clip",
                  "tokens_per_frame", sigma=0.02, only="clips")  # fmt: skip
    yield Sum(
        "tokens = visual + text",
        "tokens",
        ("visual_tokens", "text_tokens"),
        0.02,
        frozenset({"clips", "counted_apart"}),
    )
    yield product(
        "clip = frames / frame rate", "clip_seconds", "frames_per_clip", per=["frame_rate"], only="clips cut_whole"
    )
    yield product("clips = hours x frame rate / frames per clip", "dataset_samples", "video_hours", "frame_rate",
                  per=["frames_per_clip"], times=HOUR, sigma=0.02, only="clips cut_from_hours")  # fmt: skip


def _work() -> Iterator[Identity | Sum]:
    """Parameters and FLOPs."""
    yield Sum(
        "parameters = language model + vision encoder", "parameters", ("language_parameters", "vision_parameters"), 0.03
    )
    yield product("trainable parameters = share x parameters", "trainable_parameters", "trainable_share", "parameters")
    yield product(
        "active parameters = share x parameters",
        "active_parameters",
        "active_share",
        "parameters",
        only="counts_active",
    )
    yield product("all parameters are active", "active_parameters", "parameters", only="dense")
    yield product("model FLOPs per step = global batch x FLOPs per sample", "model_flops_per_step", "global_batch",
                  "flops_per_sample")  # fmt: skip
    yield product("model FLOPs = samples x FLOPs per sample", "model_flops", "samples", "flops_per_sample")
    for held, sigma in (("sequences", 0.03), ("clips", 0.12)):
        yield product("model FLOPs = FLOPs per parameter and token x parameters x tokens", "model_flops", "flops_per_parameter",
                      "active_parameters", "tokens", sigma=sigma, only=f"unmasked {held}")  # fmt: skip
    yield product("hardware FLOPs per step = global batch x hardware FLOPs per sample", "hardware_flops_per_step",
                  "global_batch", "hardware_flops_per_sample")  # fmt: skip
    yield product("model FLOPs = FLOP/s per GPU x productive GPU-hours", "model_flops", "flops_per_second_per_gpu", "gpu_hours",
                  "goodput", times=HOUR)  # fmt: skip


def _speed() -> Iterator[Identity | Sum]:
    """Utilisation and rates."""
    yield product("MFU = model FLOPs per step / (step time x GPUs x peak)", "mfu", "model_flops_per_step",
                  per=["step_time", "gpus", "peak"])  # fmt: skip
    yield product("FLOP/s per GPU = MFU x peak", "flops_per_second_per_gpu", "mfu", "peak")
    yield product("FLOP/s = GPUs x FLOP/s per GPU", "flops_per_second", "gpus", "flops_per_second_per_gpu")
    yield product("peak as stated = dense peak of the accelerator", "peak_flops", "peak", sigma=0.03)
    yield product(
        "HFU = MFU x hardware FLOPs / model FLOPs", "hfu", "mfu", "hardware_flops_per_sample", per=["flops_per_sample"]
    )
    yield product("HFU = MFU x work with recomputation", "hfu", "mfu", "recompute_ratio")
    yield product("productive time = steps x step time", "productive_time", "steps", "step_time")
    yield product("goodput = productive time / wall-clock", "goodput", "productive_time", per=["wall_clock"])
    yield product("GPU-hours = GPUs x wall-clock", "gpu_hours", "gpus", "wall_clock", times=1 / HOUR, sigma=LOOSE_HOURS)
    yield product("GPU-hours = model FLOPs / (MFU x peak x goodput)", "gpu_hours", "model_flops", per=["mfu", "peak", "goodput"],
                  times=1 / HOUR, use="solving")  # fmt: skip
    yield product("tokens/s per GPU = tokens per sample x global batch / (step time x GPUs)", "tokens_per_second_per_gpu",
                  "tokens_per_sample", "global_batch", per=["step_time", "gpus"], use="solving")  # fmt: skip
    yield product("tokens/s per GPU = MFU x peak / FLOPs per token", "tokens_per_second_per_gpu", "mfu", "peak",
                  "tokens_per_sample", per=["flops_per_sample"])  # fmt: skip
    yield product(
        "tokens per batch = tokens/s x step time", "global_batch_tokens", "tokens_per_second", "step_time", sigma=0.01
    )
    yield product(
        "tokens/s = GPUs x tokens/s per GPU", "tokens_per_second", "gpus", "tokens_per_second_per_gpu", sigma=0.01
    )
    yield product(
        "tokens/s = nodes x tokens/s per node", "tokens_per_second", "nodes", "tokens_per_second_per_node", sigma=0.01
    )
    yield product("tokens = tokens/s per GPU x productive GPU-hours", "tokens", "tokens_per_second_per_gpu", "gpu_hours", "goodput",
                  times=HOUR, sigma=0.02, use="published")  # fmt: skip
    yield product("tokens = tokens/s x productive time", "tokens", "tokens_per_second", "productive_time", sigma=0.01)
    yield product("steps per second = 1 / step time", "steps_per_second", per=["step_time"], sigma=0.01)
    yield product("wall-clock = epochs x time per epoch", "wall_clock", "epochs", "epoch_time", sigma=0.03)
    yield product("batch = samples/s x step time", "global_batch", "samples_per_second", "step_time", sigma=0.01)
    yield product(
        "samples = samples/s x productive time", "samples", "samples_per_second", "productive_time", sigma=0.01
    )
    yield product(
        "time between checkpoints = steps between x step time", "checkpoint_time", "checkpoint_steps", "step_time"
    )


def _machine() -> Iterator[Identity | Sum]:
    """GPUs, nodes, degrees and memory."""
    yield product("GPUs = nodes x GPUs per node", "gpus", "nodes", "gpus_per_node")
    yield product("node-hours = nodes x hours", "node_hours", "nodes", "wall_clock", times=1 / HOUR, sigma=LOOSE_HOURS)
    yield product("GPU-hours = node-hours x GPUs per node", "gpu_hours", "node_hours", "gpus_per_node")
    yield product("GPUs = tensor x pipeline x context x data", "gpus", "tensor", "pipeline", "context", "data_parallel",
                  only="laid_out")  # fmt: skip
    yield product("GPUs = data-parallel ranks", "gpus", "data_parallel", only="data_parallel_alone")
    yield product(
        "batch = data x micro-batch x accumulation", "global_batch", "data_parallel", "microbatch", "accumulation"
    )
    yield product(
        "state per GPU = 16 bytes x parameters",
        "state_per_gpu",
        "parameters",
        times=STATE,
        sigma=0.05,
        only="replicated",
    )
    yield product("state per GPU is at least 16 bytes x parameters / GPUs", "state_per_gpu", "parameters", per=["gpus"],
                  times=STATE, sigma=0.05, only="sharded")  # fmt: skip
    yield product("memory as stated = memory of the accelerator", "memory_per_gpu", "memory_as_sold", sigma=0.01)


def _bill() -> Iterator[Identity | Sum]:
    """Energy, carbon, cost."""
    yield product("energy = GPU-hours x power x PUE", "energy", "gpu_hours", "gpu_power", "pue", sigma=0.02)
    yield product("energy = IT energy x PUE", "energy", "it_energy", "pue", sigma=0.01)
    yield product("model FLOPs = energy x FLOPs per joule", "model_flops", "energy", "flops_per_energy", times=1e9 * HOUR,
                  use="published")  # fmt: skip
    yield product("power = GPUs x power per GPU x PUE", "power", "gpus", "gpu_power", "pue", sigma=0.02)
    yield product("carbon = energy x intensity", "carbon", "energy", "carbon_intensity", times=1e-6, sigma=0.02)
    yield product(
        "carbon = GPU-hours x carbon per GPU-hour", "carbon", "gpu_hours", "carbon_rate", times=1e-3, use="published"
    )
    yield product("cost = GPU-hours x price", "cost", "gpu_hours", "price", sigma=0.02)
    yield product("price of a node = GPUs per node x price", "node_price", "gpus_per_node", "price", use="published")


IDENTITIES: tuple[Identity | Sum, ...] = (*_data(), *_work(), *_speed(), *_machine(), *_bill())
"""All identities. Units: times in s, ``gpu_hours`` and ``node_hours`` in hours, ``peak`` in FLOP/s of one GPU, FLOPs per step over all
GPUs, energy in Wh, ``flops_per_energy`` in GFLOP/J, carbon in tCO2e, ``carbon_intensity`` in kgCO2e/kWh, ``carbon_rate`` in kgCO2e per
GPU-hour."""
