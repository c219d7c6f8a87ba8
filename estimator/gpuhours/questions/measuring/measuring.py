"""A profile of this machine's GPU: the constants of its generation, scaled to the measured level."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gpuhours.hardware.accelerators import Accelerator, list_accelerators, load_accelerator
from gpuhours.hardware.kernel_constants import (
    AttentionConstants,
    AttentionPass,
    GemmConstants,
    KernelConstants,
    MemoryConstants,
)
from gpuhours.hardware.nodes import load_node
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import read_yaml
from gpuhours.kernels.attention import attention_time
from gpuhours.kernels.gemm import gemm_time
from gpuhours.questions.envelope import envelope
from gpuhours.questions.measuring.collectives import MOST_RANKS, collective_times
from gpuhours.questions.measuring.gpu_benchmark import Device, KernelTimings, benchmark, device, torch_with_gpu
from gpuhours.questions.measuring.levels import MOST, Level, best
from gpuhours.questions.measuring.links import link_levels


@dataclass(frozen=True)
class Measured:
    """The result of ``gpuhours hardware measure``, and the profile derived from it."""

    accelerator: Accelerator
    device: Device
    levels: tuple[Level, ...]
    profile: dict[str, Any]
    """The contents of the accelerator's YAML file, with ``kernels`` as measured."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        plain = {"name": self.device.name, "memory": self.device.memory, "torch": self.device.torch}
        levels = [level.to_dict() for level in self.levels]
        content = {
            "accelerator": self.accelerator.name,
            "device": plain,
            "levels": levels,
            "kernels": self.profile["kernels"],
        }
        return envelope("hardware", content)

    def yaml(self) -> str:
        """The profile as YAML."""
        import yaml

        return str(yaml.safe_dump(self.profile, sort_keys=False, allow_unicode=True, width=120))


def measure(name: str | None = None, gpus: int | None = None) -> Measured:
    """Measure the first GPU of this machine, and its connections to the others of ``gpus`` (all available, up to eight); ``name`` of
    its profile if the device's own name is ambiguous."""
    torch = torch_with_gpu()
    there = int(torch.cuda.device_count())
    asked = min(there, MOST_RANKS) if gpus is None else gpus
    if not 1 <= asked <= there:
        raise EstimateError(f"{asked} GPUs of {there} that PyTorch sees.", f"1 to {min(there, MOST_RANKS)}.", "--gpus")
    card = device(torch)
    accelerator = load_accelerator(name or recognised(card))
    together = collective_times(torch, asked) if asked > 1 else ()
    return fitted(replace(benchmark(torch), collectives=together), accelerator)


def recognised(found: Device) -> str:
    """The profile for a device's name: the same model, then the nearest memory, form and number of multiprocessors."""
    words = found.name.lower().replace("-", " ").split()
    parts = [load_accelerator(name) for name in list_accelerators() if name.split("-")[0] in words]
    if not parts:
        hint = "Name its profile with --accelerator, or write one first (`gpuhours schema hardware`)."
        raise EstimateError(f"No profile is known for {found.name!r}.", hint)

    def distance(part: Accelerator) -> tuple[float, bool, float]:
        form = ("pcie" in words) != ("pcie" in part.name)
        return round(abs(part.memory - found.memory) / 4e9), form, abs((part.sms or 0) - found.multiprocessors)

    return min(parts, key=distance).name


def fitted(times: KernelTimings, accelerator: Accelerator) -> Measured:
    """The accelerator's constants scaled to the measured level: one factor for GEMMs, one for copies, two for attention.

    The shape parameters of each formula (tiles, splits, waste of an attention kernel) depend on the libraries and are kept; the level
    depends on the card, its power limit and its clock. 30 GEMMs determine it to 2 % (fits with A100, H100 and H200 exchanged).
    """
    today = datetime.date.today().isoformat()
    source = f"gpuhours hardware measure on {times.device.name}, PyTorch {times.device.torch}, {today} (random data)"
    gemm, gemms = gemm_level(times, accelerator, source)
    copied = accelerator.memory_constants
    share = times.copy_bandwidth / accelerator.memory_bandwidth
    memory = MemoryConstants(copy_share=round(min(share, MOST), 3), launch=float(f"{times.launch:.2g}"), source=source)
    levels = [gemms, Level("copies", share / copied.copy_share, times.copy_bandwidth, 1, 0.0)]
    kernels: dict[str, Any] = {"gemm": gemm, "memory": memory}
    if times.kernel is not None:
        core, attention = attention_levels(times, times.kernel, accelerator, source)
        kernels["attention"] = {**((accelerator.kernels and accelerator.kernels.attention) or {}), times.kernel: core}
        levels += attention
    if accelerator.kernels is not None:
        kernels |= {"links": accelerator.kernels.links, "unfused": accelerator.kernels.unfused}
    if times.collectives:
        node = load_node(accelerator.node, accelerator.path)
        kernels["links"], joined = link_levels(times.collectives, accelerator, node, source)
        levels += joined
    measured = KernelConstants(**kernels).model_dump(exclude_none=True, exclude_defaults=True)
    assert accelerator.path is not None
    kept = {key: value for key, value in read_yaml(accelerator.path).data.items() if key != "kernels"}
    return Measured(accelerator, times.device, tuple(levels), {**kept, "kernels": measured})


def gemm_level(times: KernelTimings, accelerator: Accelerator, source: str) -> tuple[GemmConstants, Level]:
    """E and rho of ``gemm_time``, multiplied by one factor."""
    m, n, k, t = np.array([(one.m, one.n, one.k, one.seconds) for one in times.gemms]).T
    base = accelerator.gemm_constants

    def at(factor: float) -> GemmConstants:
        scaled = {
            "tile_efficiency": min(base.tile_efficiency * factor, MOST),
            "ceiling": min(base.ceiling * factor, MOST),
        }
        return base.model_copy(update={**scaled, "source": source, "note": f"shape constants as before: {base.source}"})

    def predicted(factor: float) -> Array:
        return gemm_time(m, n, k, with_kernels(accelerator, gemm=at(factor)), times.dtype)

    factor, error, before = best(predicted, t)
    rate = float(np.median(2 * m * n * k / t))
    constants = at(factor)
    rounded = {key: round(getattr(constants, key), 3) for key in ("tile_efficiency", "ceiling")}
    return constants.model_copy(update=rounded), Level("GEMMs", factor, rate, len(t), error, before)


def attention_levels(
    times: KernelTimings, kernel: str, accelerator: Accelerator, source: str
) -> tuple[AttentionConstants, list[Level]]:
    """E of each direction, multiplied by its own factor."""
    base = accelerator.attention_constants(kernel)
    shapes = np.array([(one.batch, one.heads, one.length, one.head_dim) for one in times.attention], float).T
    passes: dict[str, AttentionPass] = {}
    levels = []
    for direction, work in (("forward", 2.0), ("backward", 5.0)):
        one: AttentionPass = getattr(base, direction)
        t = np.array([getattr(shape, direction) for shape in times.attention])

        def at(factor: float, one: AttentionPass = one) -> AttentionPass:
            efficiency = {width: round(min(share * factor, MOST), 3) for width, share in one.efficiency.items()}
            return one.model_copy(
                update={"efficiency": efficiency, "source": source, "note": f"shape constants as before: {one.source}"}
            )

        def predicted(factor: float, direction: str = direction, at: Callable[[float], AttentionPass] = at) -> Array:
            both = base.model_copy(update={direction: at(factor)})
            part = with_kernels(accelerator, attention={kernel: both})
            batch, heads, length, width = shapes
            return attention_time(
                kernel,
                direction,
                part,
                batch=batch,
                heads=heads,
                kv_heads=heads,
                length=length,
                head_dim=width,
                causal=True,
            )

        factor, error, before = best(predicted, t)
        rate = float(np.median(work * np.prod(shapes, axis=0) * shapes[2] / t))
        passes[direction] = at(factor)
        levels.append(Level(f"attention {direction} ({kernel})", factor, rate, len(t), error, before))
    return AttentionConstants(**passes), levels


def with_kernels(accelerator: Accelerator, **kernels: Any) -> Accelerator:
    """The accelerator with other kernel constants."""
    return replace(accelerator, kernels=KernelConstants(**kernels))


def write(measured: Measured, path: Path) -> None:
    """Write the profile as a file that ``accelerator:`` and ``gpuhours hardware show`` accept."""
    try:
        path.write_text(measured.yaml(), encoding="utf-8")
    except OSError as error:
        raise EstimateError(
            f"cannot be written: {error.strerror}.", "Name a file in an existing folder.", str(path)
        ) from None
