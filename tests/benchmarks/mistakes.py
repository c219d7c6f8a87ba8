"""Runs whose figures agree, and the mistakes that can be made in one of them, as ``tests.benchmarks.accused`` writes them down.

A mistake is a set of figures and one that is wrong: multiplied by a factor, and printed as its quantity is printed elsewhere. Its causes
are the names, or parts of them, of which one must come first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

HOUR, DAY = 3600.0, 86_400.0


@dataclass(frozen=True)
class Run:
    """A run whose figures agree by construction: 6 N D over the peak, the MFU and the GPUs gives the time."""

    card: str
    peak: float
    size: float
    active: float
    tokens: float
    gpus: float
    mfu: float
    power: float
    kind: str = "dense"
    epochs: float = 4.0
    seq_len: float = 4096.0
    batch: float = 1024.0
    per_node: float = 8.0
    pue: float = 1.15
    grid: float = 0.35
    price: float = 2.4
    goodput: float = 1.0
    """Share of the hours in which steps advance."""

    def figures(self) -> dict[str, float]:
        """Return every figure of the run; times in seconds, energy in Wh, carbon in tonnes."""
        flops = 6 * self.active * self.tokens
        rate = self.mfu * self.peak
        hours = flops / rate / HOUR / self.goodput
        time = hours / self.gpus * HOUR
        steps = self.tokens / self.batch / self.seq_len
        energy = hours * self.power * self.pue
        return {
            "parameters": self.size, "active_parameters": self.active, "tokens": self.tokens, "gpus": self.gpus,
            "dataset_tokens": self.tokens / self.epochs, "epochs": self.epochs, "mfu": self.mfu, "model_flops": flops,
            "gpu_hours": hours, "wall_clock": time, "flops_per_second_per_gpu": rate, "nodes": self.gpus / self.per_node,
            "gpus_per_node": self.per_node, "node_hours": hours / self.per_node,
            "tokens_per_second_per_gpu": rate / 6 / self.active, "tokens_per_second": rate / 6 / self.active * self.gpus,
            "seq_len": self.seq_len, "global_batch": self.batch, "global_batch_tokens": self.batch * self.seq_len,
            "steps": steps, "step_time": time * self.goodput / steps, "tensor": 4.0, "data_parallel": self.gpus / 4, "microbatch": 2.0,
            "accumulation": self.batch / (self.gpus / 4) / 2,
            "gpu_power": self.power, "pue": self.pue, "energy": energy, "carbon_intensity": self.grid,
            "carbon": energy * self.grid / 1e6, "price": self.price, "cost": hours * self.price, "memory_per_gpu": 80e9,
            "goodput": self.goodput, "node_price": self.price * self.per_node,
        }  # fmt: skip


HOPPER = Run("H100", 989.4e12, 13e9, 13e9, 1.5e12, 256, 0.41, 520.0)
AMPERE = Run("A100", 312e12, 7e9, 7e9, 2e12, 512, 0.47, 330.0)
EXPERTS = Run("H800", 989.4e12, 120e9, 14e9, 3e12, 1024, 0.31, 560.0, kind="experts")
CHIPS = Run("TPU v3", 123e12, 8e9, 8e9, 0.5e12, 512, 0.44, 220.0)
WORK = ("parameters", "tokens", "gpus", "wall_clock")
STEP = ("tokens", "steps", "seq_len", "global_batch", "step_time")


@dataclass(frozen=True)
class Mistake:
    """One wrong figure among others: ``wrong`` is printed as ``factor`` times its value."""

    name: str
    stated: tuple[str, ...]
    wrong: str
    factor: float | Callable[[Mapping[str, float]], float]
    causes: tuple[str, ...]
    runs: tuple[Run, ...] = (HOPPER, AMPERE)
    run: Mapping[str, Any] = field(default_factory=dict)
    """Properties of the run that this mistake needs at another value."""
    also: tuple[str, ...] = ()
    """Figures that were computed from the wrong one and carry its factor."""

    def figures(self, run: Run, *, wrong: bool) -> dict[str, float]:
        """Return the figures that the text states, the wrong one multiplied if ``wrong``."""
        every = replace(run, **self.run).figures()
        stated = {name: every[name] for name in self.stated}
        factor = self.factor if isinstance(self.factor, float | int) else self.factor(every)
        return stated | ({name: every[name] * factor for name in (self.wrong, *self.also)} if wrong else {})


MISTAKES = (
    Mistake("GiB for GB", ("gpus", "memory_per_gpu", "wall_clock"), "memory_per_gpu", 1.0737, ("GB for GiB",)),
    Mistake("nodes for GPUs", (*WORK, "gpu_hours"), "gpus", 1 / 8, ("nodes for GPUs",)),
    Mistake("systems for chips", (*WORK, "nodes", "gpus_per_node"), "gpus", 1 / 8, ("nodes for GPUs",)),
    Mistake("node-hours for GPU-hours", (*WORK, "gpu_hours"), "gpu_hours", 1 / 8, ("nodes for GPUs",)),
    Mistake("GPUs twice", (*WORK, "gpu_hours"), "gpus", 8, ("GPUs of a node counted twice",)),
    Mistake("GPUs for nodes", (*WORK, "nodes", "gpus_per_node"), "nodes", 8, ("GPUs for nodes",)),
    Mistake("one card's hours", (*WORK, "gpu_hours"), "gpu_hours", 1 / 512, ("wall-clock for aggregate",), (AMPERE,)),
    Mistake("all cards' hours", (*WORK, "gpu_hours"), "wall_clock", 256, ("aggregate for wall-clock",), (HOPPER,)),
    Mistake("hours of one day", (*WORK, "gpu_hours"), "gpu_hours", lambda run: DAY / run["wall_clock"], ("hours of one day",)),
    Mistake("replica for cluster", ("parameters", "gpus", "tokens_per_second", "mfu"), "tokens_per_second", 1 / 32,
            ("replica for cluster",)),
    Mistake("all for one GPU", ("parameters", "gpus", "tokens_per_second_per_gpu", "mfu"), "tokens_per_second_per_gpu", 256,
            ("all for per GPU",), (HOPPER,)),
    Mistake("one GPU for all", ("parameters", "gpus", "tokens_per_second", "mfu"), "tokens_per_second", 1 / 512,
            ("per GPU for all", "replica for cluster"), (AMPERE,)),
    Mistake("node for one GPU", ("parameters", "gpus", "tokens_per_second_per_gpu", "mfu"), "tokens_per_second_per_gpu", 8,
            ("per node for per GPU",)),
    Mistake("sparse peak", (*WORK, "mfu"), "mfu", 0.5, ("sparse peak",)),
    Mistake("sparse peak, rate", ("parameters", "gpus", "tokens_per_second_per_gpu", "mfu"), "mfu", 0.5, ("sparse peak",)),
    Mistake("another card's peak", ("parameters", "gpus", "tokens_per_second_per_gpu", "mfu"), "mfu", 312 / 989.4,
            ("another card's peak",), (AMPERE,)),
    Mistake("total for active", ("parameters", "active_parameters", "tokens", "gpus", "wall_clock", "model_flops"),
            "model_flops", 120 / 14, ("total parameters for active",), (EXPERTS,)),
    Mistake("total for active, MFU", ("parameters", "active_parameters", "tokens", "gpus", "wall_clock", "mfu"),
            "mfu", 120 / 14, ("total parameters for active",), (EXPERTS,)),
    Mistake("2ND", (*WORK, "model_flops"), "model_flops", 1 / 3, ("2ND",)),
    Mistake("8ND", (*WORK, "model_flops"), "model_flops", 4 / 3, ("8ND",)),
    Mistake("HFU as MFU", ("parameters", "gpus", "tokens_per_second_per_gpu", "mfu"), "mfu", 4 / 3, ("HFU as MFU",)),
    Mistake("MAC for FLOP", ("parameters", "tokens", "model_flops"), "model_flops", 0.5, ("MAC for FLOP",)),
    Mistake("TDP for measured", ("gpus", "gpu_hours", "gpu_power", "pue", "energy"), "energy", 700 / 520,
            ("TDP for measured",), (HOPPER,)),
    Mistake("PUE left out", ("gpus", "gpu_hours", "gpu_power", "pue", "energy"), "energy", 1 / 1.5,
            ("PUE left out",), run={"pue": 1.5}),
    Mistake("kWh for MWh", ("gpus", "gpu_hours", "gpu_power", "energy"), "energy", 1000, ("kWh for MWh", "thousand")),
    Mistake("MWh for kWh", ("gpus", "gpu_hours", "gpu_power", "energy"), "energy", 0.001, ("MWh for kWh", "thousand")),
    Mistake("kilograms for tonnes", ("gpu_hours", "energy", "carbon_intensity", "carbon"), "carbon", 1000,
            ("kilograms for tonnes",)),
    Mistake("tonnes for kilograms", ("gpu_hours", "energy", "carbon_intensity", "carbon"), "carbon", 0.001,
            ("tonnes for kilograms",)),
    Mistake("carbon for CO2", ("gpu_hours", "energy", "carbon_intensity", "carbon"), "carbon", 12 / 44, ("carbon for CO2",)),
    Mistake("cost of one GPU", ("gpus", "wall_clock", "price", "cost"), "cost", 1 / 256, ("cost of one GPU",), (HOPPER,)),
    Mistake("price of a node", ("gpus", "gpu_hours", "price", "cost"), "price", 8, ("price per node", "per node for per GPU")),
    Mistake("thousandfold cost", ("gpu_hours", "price", "cost"), "cost", 1000, ("thousand",)),
    Mistake("epochs forgotten", ("parameters", "dataset_tokens", "epochs", "tokens", "gpus", "wall_clock", "mfu"), "tokens",
            1 / 4, ("epochs forgotten",)),
    Mistake("epochs counted twice", ("dataset_tokens", "epochs", "tokens", "steps", "global_batch_tokens"), "dataset_tokens", 4,
            ("epochs counted twice",)),
    Mistake("downtime", (*WORK, "tokens_per_second_per_gpu"), "wall_clock", 1.7, ("downtime",)),
    Mistake("days for hours", (*WORK, "gpu_hours"), "gpu_hours", 1 / 24, ("hours for days", "days for hours")),
    Mistake("percent for fraction", (*WORK, "mfu"), "mfu", 0.01, ("percent or fraction",)),
    Mistake("bytes for tokens", (*WORK, "mfu"), "tokens", 4.2, ("bytes read as tokens",)),
    Mistake("trillion for billion", WORK, "tokens", 1000, ("thousand",)),
    Mistake("million for billion", (*WORK, "mfu"), "parameters", 0.001, ("thousand",)),
    Mistake("a digit too many", ("tokens", "steps", "global_batch_tokens", "gpus"), "tokens", 10, ("a digit",)),
    Mistake("sequences for tokens", ("tokens", "steps", "seq_len", "global_batch_tokens"), "global_batch_tokens", 1 / 4096,
            ("sequences for tokens",)),
    Mistake("tokens for sequences", ("tokens", "steps", "seq_len", "global_batch"), "global_batch", 4096,
            ("tokens for sequences",)),
    Mistake("accumulation forgotten", ("tokens", "steps", "seq_len", "global_batch", "accumulation"), "global_batch", 1 / 8,
            ("accumulation forgotten",), (HOPPER,)),
    Mistake("micro-steps", ("tokens", "steps", "seq_len", "global_batch", "accumulation"), "steps", 8, ("micro-steps",),
            (HOPPER,)),
    Mistake("degree in the ranks", ("gpus", "tensor", "data_parallel", "wall_clock"), "data_parallel", 4,
            ("tensor or pipeline degree",)),
    Mistake("cores for chips", (*WORK, "gpu_hours"), "gpus", 2, ("cores for chips",), (CHIPS,)),
    Mistake("faster than the peak", WORK, "wall_clock", 0.1, ("a digit", "hours", "nodes for GPUs")),
    Mistake("hours of one node", (*WORK, "nodes", "gpus_per_node", "gpu_hours"), "gpu_hours", 1 / 32, ("hours of one node",),
            (HOPPER,)),
    Mistake("hours of one node, steps", ("parameters", "gpus", "gpus_per_node", *STEP, "wall_clock", "gpu_hours"), "gpu_hours", 1 / 64,
            ("hours of one node",), (AMPERE,)),
    Mistake("another card's peak, rates", (*WORK, "gpu_hours", "flops_per_second_per_gpu", "mfu"), "mfu", 312 / 989.4,
            ("another card's peak",), (AMPERE,)),
    Mistake("another card's peak, time", (*WORK, "gpu_hours", "mfu"), "mfu", 312 / 989.4, ("another card's peak",), (AMPERE,)),
    Mistake("an older card's peak", (*WORK, "mfu"), "mfu", 989.4 / 312, ("another card's peak",), (HOPPER,), {"mfu": 0.21}),
    Mistake("sparse peak, rates", (*WORK, "gpu_hours", "flops_per_second_per_gpu", "mfu"), "mfu", 0.5, ("sparse peak",)),
    Mistake("TDP, carbon with it", (*WORK, "gpu_hours", "gpu_power", "pue", "energy", "carbon_intensity", "carbon"), "energy",
            700 / 520, ("TDP for measured",), (HOPPER,), also=("carbon",)),
    Mistake("PUE twice", ("gpu_hours", "gpu_power", "pue", "energy", "carbon_intensity", "carbon"), "carbon", 1.3, ("PUE",),
            run={"pue": 1.3}),
    Mistake("hours of nodes at the price of nodes", (*WORK, "gpu_hours", "nodes", "node_price", "cost"), "cost", 8,
            ("price per node",), (HOPPER,)),
    Mistake("price of a GPU for a node", ("nodes", "gpus_per_node", "wall_clock", "node_price", "cost"), "cost", 1 / 8,
            ("per GPU for per node",), (HOPPER,)),
    Mistake("hours for days, steps", ("gpus", "gpu_hours", *STEP, "wall_clock"), "wall_clock", 1 / 24, ("hours for days",)),
    Mistake("stops taken off twice", (*WORK, "goodput", "gpu_hours"), "gpu_hours", 0.72, ("part of the run", "stops"),
            run={"goodput": 0.72}),
    Mistake("total for active, both rates",
            ("parameters", "active_parameters", "tokens", "gpus", "wall_clock", "gpu_hours", "model_flops", "mfu"),
            "model_flops", 120 / 14, ("total parameters for active",), (EXPERTS,)),
    Mistake("2ND, rates", (*WORK, "gpu_hours", "model_flops", "flops_per_second_per_gpu", "mfu"), "model_flops", 1 / 3, ("2ND",)),
    Mistake("replica, steps",
            ("parameters", "gpus", "tensor", "data_parallel", "seq_len", "global_batch", "step_time", "tokens_per_second", "mfu"),
            "tokens_per_second", 1 / 64, ("replica for cluster",), (HOPPER,)),
    Mistake("one GPU for all, time", (*WORK, "gpu_hours", "tokens_per_second", "mfu"), "tokens_per_second", 1 / 512,
            ("per GPU for all",), (AMPERE,)),
    Mistake("million for billion, steps", (*WORK, "steps", "seq_len", "global_batch", "global_batch_tokens", "mfu"), "tokens",
            0.001, ("thousand",)),
    Mistake("thousandfold cost, time", ("gpus", "wall_clock", "gpu_hours", "price", "cost"), "cost", 1000, ("thousand",)),
    Mistake("epochs forgotten, hours", ("parameters", "dataset_tokens", "epochs", "tokens", "gpus", "wall_clock", "gpu_hours", "mfu"),
            "tokens", 1 / 4, ("epochs forgotten",)),
)  # fmt: skip
