"""All layouts of a run on a number of GPUs, as array axes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gpuhours.architecture.operators import Model
from gpuhours.hardware.clusters import Cluster
from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import Recompute, Sharding, VisionPlacement, words
from gpuhours.layout.layout import Layout
from gpuhours.layout.placement import stream_layers
from gpuhours.layout.schedules import SCHEDULES, Schedule
from gpuhours.layout.sequence_methods import SequenceMethod
from gpuhours.layout.validity import divisors
from gpuhours.software.profile import DEGREES, Software

SHORTEST = 128
"""Minimum tokens of a sequence per context rank; with fewer, the tiles of the attention kernel are not filled."""
SHARES = (0.25, 0.5, 0.75)
"""Shares of a stage's layers that full recomputation may cover, besides all of them."""
Values = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Space:
    """All layouts: the product of ``outer`` (a cell) and ``inner`` axes; each axis is a table of fields that vary together.

    Not searched: shard groups, Ulysses degrees inside a hybrid, blocks of the loss.
    Layouts that differ only in a field without effect are listed once: sequence parallelism at tensor 1, schedules at pipeline 1.
    """

    base: Layout
    """Fields that are not searched (``GIVEN``)."""
    outer: tuple[dict[str, Values], ...]
    inner: tuple[dict[str, Values], ...]
    layers: float

    @classmethod
    def of(
        cls,
        model: Model,
        global_batch: float,
        cluster: Cluster,
        base: Layout | None = None,
        software: Software | None = None,
    ) -> Space:
        """The space of degrees that the stack supports and that divide what they split (GPUs, heads, experts, samples)."""
        has = DEGREES if software is None else software.degrees
        base = (base or Layout.model_construct()).replaced(data=None, ulysses=None, stage_layers=None)
        gpus, layers = (
            int(cluster.gpus),
            float(stream_layers(model)) or sum(float(stack.layers) for stack in model.stacks),
        )
        heads = max((int(core.heads) for stack in model.stacks for core in stack.block.attention), default=1)
        longest = max(float(stack.sequence or stack.tokens) for stack in model.stacks)
        experts = max((int(linear.experts) for stack in model.stacks for linear in stack.block.linears), default=1)
        ways = divisors(gpus)
        levels = [level for level in Sharding if software is None or software.zero3 or level < Sharding.zero3]

        def usable(name: str, found: list[int]) -> list[int]:
            return found if name in has else [1]

        return cls(
            base=base,
            outer=(
                schedules(layers, () if software is None else software.schedules),
                {"vision": np.array(placements(base) if model.encoder else [int(base.vision)])},
                {"pipeline": numbers(usable("pipeline", [degree for degree in ways if degree <= layers]))},
                expert_degrees(usable("expert", [degree for degree in divisors(experts) if gpus % degree == 0])),
                contexts(
                    [degree for degree in usable("context", ways) if degree > 1 and longest / degree >= SHORTEST], base
                ),
                {"sequence_parallel": np.array([True, False])},
                {"microbatch": numbers(divisors(int(global_batch)))},
                {"tensor": numbers(usable("tensor", [degree for degree in ways if heads % degree == 0]))},
            ),
            inner=(recomputes(), {"sharding": np.array([int(level) for level in levels])}, offloads()),
            layers=layers,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along each outer axis."""
        return tuple(len(next(iter(axis.values()))) for axis in self.outer)

    @property
    def inner_shape(self) -> tuple[int, ...]:
        """Points along each inner axis."""
        return tuple(len(next(iter(axis.values()))) for axis in self.inner)

    @property
    def size(self) -> int:
        """Number of layouts."""
        return math.prod(self.shape) * math.prod(self.inner_shape)

    def blocks(self, most: int) -> Iterator[tuple[slice, ...]]:
        """All cells in pieces of at most ``most``: leading axes one value at a time, trailing ones whole."""
        shape, behind = self.shape, 1
        place = len(shape)
        while place > 0 and behind * shape[place - 1] <= most:
            place -= 1
            behind *= shape[place]
        rest = tuple(slice(0, length) for length in shape[place:])
        for index in np.ndindex(shape[:place]):
            yield (*(slice(one, one + 1) for one in index), *rest)

    def cells(self, block: tuple[slice, ...]) -> Layout:
        """The layouts of a block, one array axis per outer axis, without recomputation, sharding or offloading."""
        fields: dict[str, Values] = {}
        for place, (axis, chosen) in enumerate(zip(self.outer, block, strict=True)):
            own = [-1 if other == place else 1 for other in range(len(self.outer))]
            fields |= {name: values[chosen].reshape(own) for name, values in axis.items()}
        plain: dict[str, Any] = {
            "recompute": Recompute.none,
            "sharding": Sharding.none,
            "offload_optimizer": False,
            "offload_activations": False,
        }
        return self._layout({**fields, **plain})

    def numbers(self, block: tuple[slice, ...]) -> Values:
        """The flat number of each cell of a block."""
        return np.ravel_multi_index(
            np.meshgrid(*(np.arange(one.start, one.stop) for one in block), indexing="ij"), self.shape
        )

    def some(self, cells: Values) -> Layout:
        """The layouts of some cells (flat numbers): cells along the first array axis, then the inner axes."""
        places = np.unravel_index(cells, self.shape)
        behind = (1,) * len(self.inner)
        fields = {
            name: values[place].reshape(-1, *behind)
            for axis, place in zip(self.outer, places, strict=True)
            for name, values in axis.items()
        }
        for number, axis in enumerate(self.inner):
            own = [1, *(-1 if other == number else 1 for other in range(len(self.inner)))]
            fields |= {name: values.reshape(own) for name, values in axis.items()}
        return self._layout(fields)

    def _layout(self, fields: dict[str, Values]) -> Layout:
        """Make relative fields absolute: expert_tensor 0 or 1 x tensor, recompute shares in layers per stage."""
        whole = fields.pop("whole_experts")
        fields["expert_tensor"] = np.where(whole, 1.0, fields["tensor"])
        share = fields.pop("recompute_share", None)
        if share is not None:
            fields["recompute_layers"] = np.ceil(share * np.ceil(self.layers / fields["pipeline"]))
        return self.base.replaced(**fields)

    def redundant(self, block: tuple[slice, ...]) -> Any:
        """Mask of the cells of a block that duplicate another cell."""
        at = self.cells(block)
        place = next(number for number, axis in enumerate(self.outer) if "whole_experts" in axis)
        own = [-1 if other == place else 1 for other in range(len(self.outer))]
        whole = self.outer[place]["whole_experts"][block[place]].reshape(own)
        return (np.equal(at.tensor, 1) & (np.logical_not(at.sequence_parallel) | whole)) | (
            np.equal(at.pipeline, 1) & np.not_equal(at.schedule, int(Schedule.f1b1))
        )

    def layout(self, cell: int, inner: int) -> Layout:
        """One layout as plain numbers, as a user would write it."""
        places = np.unravel_index([inner], self.inner_shape)
        one = self.some(np.array([cell]))
        picked = {
            name: np.broadcast_to(getattr(one, name), (1, *self.inner_shape))[(0, *(int(place[0]) for place in places))]
            for name in FIELDS
        }
        full = picked["recompute"] == Recompute.full
        some = full and picked["recompute_layers"] < np.ceil(self.layers / picked["pipeline"])
        experts = any(len(axis["expert"]) > 1 for axis in self.outer if "expert" in axis)
        selective = picked["recompute"] == Recompute.selective
        base = self.base if selective else self.base.replaced(recompute_modules=None)
        return base.replaced(
            tensor=int(picked["tensor"]), pipeline=int(picked["pipeline"]), interleave=int(picked["interleave"]),
            context=int(picked["context"]), expert=int(picked["expert"]), microbatch=int(picked["microbatch"]),
            expert_tensor=int(picked["expert_tensor"]) if experts else None,
            sequence_parallel=bool(picked["sequence_parallel"]), sharding=Sharding(int(picked["sharding"])),
            recompute=Recompute(int(picked["recompute"])),
            recompute_layers=int(picked["recompute_layers"]) if some else None,
            schedule=Schedule(int(picked["schedule"])), sequence_method=SequenceMethod(int(picked["sequence_method"])),
            vision=VisionPlacement(int(picked["vision"])),
            offload_optimizer=bool(picked["offload_optimizer"]), offload_activations=bool(picked["offload_activations"]),
        )  # fmt: skip


FIELDS = (
    "tensor", "pipeline", "interleave", "context", "expert", "expert_tensor", "microbatch", "sequence_parallel", "sharding",
    "recompute", "recompute_layers", "schedule", "sequence_method", "vision",
    "offload_optimizer", "offload_activations",
)  # fmt: skip
GIVEN = ("shard_group", "vision_gpus", "loss_blocks", "recompute_modules")
"""Fields that are kept as given."""


def numbers(values: list[int]) -> Values:
    """Counts as floats, as in all sweeps."""
    return np.array(values, float)


def schedules(layers: float, offers: tuple[str, ...] = ()) -> dict[str, Values]:
    """Each schedule that the stack ``offers`` (all if it lists none); the interleaved one with every number of equal chunks."""
    plain = [(int(schedule), 1) for schedule, rules in SCHEDULES.items() if not rules.chunked]
    parts = [part for part in divisors(int(layers)) if 1 < part <= layers / 2]
    chunks = [(int(one), part) for one, rules in SCHEDULES.items() if rules.chunked for part in parts]
    known = words(Schedule)
    has = {known[name] for name in offers} or set(known.values())
    pairs = [(one, part) for one, part in plain + chunks if one in has]
    return {"schedule": np.array([one for one, _ in pairs]), "interleave": numbers([part for _, part in pairs])}


def expert_degrees(degrees: list[int]) -> dict[str, Values]:
    """Expert degrees, each with experts split over the tensor ranks and with whole experts."""
    wholes = (False, True) if len(degrees) > 1 else (False,)
    pairs = [(degree, whole) for degree in degrees for whole in wholes]
    return {
        "expert": numbers([degree for degree, _ in pairs]),
        "whole_experts": np.array([whole for _, whole in pairs]),
    }


def contexts(degrees: list[int], base: Layout) -> dict[str, Values]:
    """Context degree 1, then every other degree with every method of splitting a sequence."""
    pairs = [(1, int(base.sequence_method))] + [
        (degree, int(method)) for degree in degrees for method in SequenceMethod
    ]
    return {
        "context": numbers([degree for degree, _ in pairs]),
        "sequence_method": np.array([method for _, method in pairs]),
    }


def placements(base: Layout) -> list[int]:
    """Where an encoder in front may run; on its own GPUs only if the run reserves some."""
    places = [VisionPlacement.first_stage, VisionPlacement.replicated]
    return [int(place) for place in (*places, *([VisionPlacement.separate] if base.vision_gpus else []))]


def offloads() -> dict[str, Values]:
    """What is kept in host memory: nothing, optimiser states, activations, or both."""
    return {
        "offload_optimizer": np.array([False, True, False, True]),
        "offload_activations": np.array([False, False, True, True]),
    }


def recomputes() -> dict[str, Values]:
    """Recomputation: none, selective, full for some of a stage's layers, full for all."""
    modes = [Recompute.none, Recompute.selective, *(Recompute.full for _ in SHARES), Recompute.full]
    return {"recompute": np.array([int(mode) for mode in modes]), "recompute_share": np.array([1.0, 1.0, *SHARES, 1.0])}
