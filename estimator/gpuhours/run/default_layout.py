"""The layout of a run that states none: the fastest of a few hundred common layouts that fits, found in one vectorised call."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product, takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuhours.architecture.operators import Model
from gpuhours.hardware.clusters import Cluster
from gpuhours.hardware.number_formats import Precision
from gpuhours.inputs.arrays import Array, Mask, Values
from gpuhours.layout.choices import Module, Recompute, Sharding, VisionPlacement
from gpuhours.layout.layout import Layout
from gpuhours.layout.ranks import ranks_of
from gpuhours.layout.schedules import Schedule
from gpuhours.layout.validity import offered
from gpuhours.memory import memory
from gpuhours.software.profile import DEGREES, Software
from gpuhours.step import step
from gpuhours.workload import Workload

LONG_SEQUENCE = 16384
"""Sequence length in tokens from which context parallelism is tried."""
DEEPEST = 64
"""Maximum number of pipeline stages tried."""
PARTLY = 2e10
"""Number of parameters from which full recomputation of every other layer is tried, except for adapters, whose trainers recompute all or
none."""
QUARTER = 0.25
"""Share of recomputed layers that is tried in addition to the common ones (all or half) when searching for the fastest layout, together
with activation offloading to host memory, which few runs use."""
LARGEST = 1e11
"""Number of parameters from which activation offloading is tried."""
OFFLOADED = 5e11
"""Number of parameters from which activation offloading counts as common practice."""
CELLS = 1 << 20
"""Layouts times rows evaluated in one call: larger grids are evaluated block by block, because a cell takes 150 bytes and more."""
SPLIT = ("pipeline", "microbatch", "tensor")
"""Fields by which a large grid is split first: nearly every term of time and memory depends on them."""
MIXTURE_MODULES = (Module.layernorm, Module.moe_act, Module.mla_up_proj)
FULL_TOKENS = 131072
"""Tokens per micro-batch up to which micro-batches of short samples are tried: images and clips are batched by the hundred."""


def default_layout(
    model: Model,
    global_batch: Array,
    cluster: Cluster,
    software: Software,
    precision: Precision,
    stated: Layout | None = None,
) -> Layout | None:
    """The fastest common layout that fits with a probability of at least 0.9; if none does, the one that needs least memory; None if none
    is valid.

    Inputs may be arrays: the layout's fields then have the same shape, with the best layout of each row. Common layouts: powers of two for
    the tensor (inside a node), pipeline, context (long sequences only) and expert degrees, 1 to 8 samples per micro-batch, ZeRO-1 or
    (without a pipeline) ZeRO-3, every recompute mode, one to four chunks per stage, an encoder on the first stage or on all stages.
    ``plan`` searches all layouts. Fields that ``stated`` sets are kept.
    """
    axes = layout_axes(model, global_batch, cluster, stated, software)
    if len(axes.get("recompute_share", ())) > 1:
        axes["recompute_share"] = [*axes["recompute_share"], QUARTER]
        if stated is None or "offload_activations" not in stated.model_fields_set:
            axes["offload_activations"] = [False, True]
    base = base_of(model, software, stated)
    asked = Workload(model, global_batch, base, cluster, software, software.as_run(precision))
    rows = _shape(model, global_batch, cluster)
    least, best = _fastest(asked, {name: np.asarray(values) for name, values in axes.items()}, rows)
    if not np.all(np.isfinite(least)):
        return None
    places = np.unravel_index(best, [len(values) for values in axes.values()])
    picked = {name: np.asarray(values)[place] for (name, values), place in zip(axes.items(), places, strict=True)}
    return chosen_layout(base, picked, model)


def _fastest(asked: Workload, axes: Mapping[str, Values], rows: tuple[int, ...]) -> tuple[Array, NDArray[np.int64]]:
    """(score, index in the grid) of each row's best layout, the first in the grid's order if several are as good.

    The score is the step time in s if the layout fits with a probability of at least 0.9, otherwise 1e30 times the memory needed, relative
    to the available memory; infinite if the layout is invalid or uncommon.
    """
    shape = [len(values) for values in axes.values()]
    least, best = np.asarray(np.inf), np.asarray(0)
    for parts in _blocks(axes, math.prod(rows)):
        score = _scores(asked, {name: values[parts.get(name, slice(None))] for name, values in axes.items()}, len(rows))
        flat = score.reshape(-1, *score.shape[len(axes) :])
        places = np.unravel_index(np.argmin(flat, axis=0), score.shape[: len(axes)])
        starts = [parts[name].start if name in parts else 0 for name in axes]
        index = np.ravel_multi_index([start + place for start, place in zip(starts, places, strict=True)], shape)
        lowest = np.min(flat, axis=0)
        better = np.less(lowest, least) | (np.equal(lowest, least) & np.less(index, best))
        least, best = np.minimum(least, lowest), np.where(better, index, best)
    return least, best


def _blocks(axes: Mapping[str, Values], rows: int) -> Iterator[dict[str, slice]]:
    """The part of each field's values in a block, block by block. A grid that exceeds ``CELLS`` is split by the fields on which most terms
    depend, so that little is computed twice: one value each, of the last of them as many as keep within ``CELLS``."""
    names = sorted(axes, key=lambda name: name not in SPLIT)
    cells = [rows * math.prod(len(axes[name]) for name in names[ahead:]) for ahead in range(len(names) + 1)]
    ahead = sum(block > CELLS for block in cells[:-1])
    widths = [1] * (ahead - 1) + [max(1, CELLS // cells[ahead])] * (ahead > 0)
    split = list(zip(names, widths, strict=False))
    for starts in product(*(range(0, len(axes[name]), width) for name, width in split)):
        yield {name: slice(start, start + width) for (name, width), start in zip(split, starts, strict=True)}


def _scores(asked: Workload, block: Mapping[str, Values], behind: int) -> Values:
    """The scores of a block of layouts, with one axis for each field and ``behind`` axes of rows behind them."""
    ahead = len(block)
    fields = {
        name: values.reshape([-1 if place == own else 1 for place in range(ahead)] + [1] * behind)
        for own, (name, values) in enumerate(block.items())
    }
    layouts = laid_out(asked.layout, fields, asked.model)
    workload = replace(asked, layout=layouts)
    with np.errstate(all="ignore"):  # invalid layouts may divide by zero; they are masked, not read
        predicted, held = step(workload), memory(workload)
    time, filled, valid, safe = np.broadcast_arrays(predicted.time, held.filled, predicted.valid, held.safe)
    common = usual(layouts, asked.global_batch, asked.cluster)
    return np.where(valid & common, np.where(safe, time, 1e30 * filled), np.inf)


def base_of(model: Model, software: Software, stated: Layout | None) -> Layout:
    """Fields common to all layouts tried: the stated ones, and for a mixture of experts the modules that selective recomputation covers.

    Megatron-Core recomputes norms, expert activations and MLA up-projections (``--recompute-modules``, since 2024), as DeepSeek-V3 does
    (arXiv:2412.19437, section 3.2.3). Recomputing only attention scores would free nothing, because fused kernels never store them.
    """
    base = Layout.model_construct() if stated is None else stated
    if "recompute" in base.model_fields_set or software.selective != "attention" or _experts_of(model) <= 1:
        return base
    return (
        base if base.recompute_modules is not None else base.model_copy(update={"recompute_modules": MIXTURE_MODULES})
    )


def usual(layouts: Layout, global_batch: Array, cluster: Cluster) -> Mask:
    """Mask of layouts that the stack supports and that are common: more than four chunks per stage only in pipelines of four or more
    stages; at least as many micro-batches as pipeline stages, unless the micro-batch is already one sample."""
    counted = ranks_of(layouts, cluster, global_batch).microbatches
    filled = np.greater_equal(counted, layouts.pipeline) | np.less_equal(layouts.microbatch, 1)
    chunks = np.less_equal(layouts.interleave, 4) | np.greater_equal(layouts.pipeline, 4)
    return offered(layouts) & chunks & filled


def fills_its_shard_group(stated: Layout, layouts: Layout, cluster: Cluster) -> Mask:
    """Mask of layouts with replicas for a whole shard group, if one is stated but no degree that decides how many replicas there are."""
    if stated.shard_group is None or stated.model_fields_set & {"tensor", "pipeline", "context", "data"}:
        return np.asarray(True)
    return np.greater_equal(ranks_of(layouts, cluster, 1).copies, stated.shard_group)


def customary(layouts: Layout, software: Software, model: Model) -> Mask:
    """Mask of layouts without rarely used features: activation offloading (used only by Kimi K2, a trillion parameters: arXiv:2507.20534,
    section 2.4.2), and ZeRO-3 in the Megatron family, whose runs combine pipelines with sharded optimiser states instead (BLOOM, GLM-130B,
    DeepSeek-V2 and V3, Kimi K2, Nemotron-4; Megatron-FSDP dates from 2025)."""
    gathered = np.greater(layouts.sharding, int(Sharding.zero2)) & (software.family == "megatron")
    offloaded = np.asarray(layouts.offload_activations, bool) & np.less(model.parameters, OFFLOADED)
    return np.logical_not(offloaded | gathered)


def laid_out(base: Layout, fields: Mapping[str, Any], model: Model) -> Layout:
    """Layouts with the given field values: ``recompute_share`` is converted to layers per stage, and the schedule follows from the number
    of chunks."""
    chosen = dict(fields)
    share = chosen.pop("recompute_share", None)
    if share is not None:
        chosen["recompute_layers"] = np.ceil(np.multiply(share, np.ceil(_depth(model) / chosen["pipeline"])))
    return base.replaced(**chosen, schedule=schedule_of(base, chosen["interleave"]))


def chosen_layout(base: Layout, picked: Mapping[str, Any], model: Model) -> Layout:
    """The layout with the picked values as plain numbers, without settings that have no effect."""
    fastest = laid_out(base, {name: plain_value(name, value) for name, value in picked.items()}, model)
    if np.ndim(fastest.recompute):
        return fastest
    whole = "recompute_share" in picked and (fastest.recompute is not Recompute.full or picked["recompute_share"] >= 1)
    if "recompute_share" in picked:
        fastest = fastest.replaced(recompute_layers=None if whole else int(np.max(fastest.recompute_layers or 0)))
    return fastest if fastest.recompute is Recompute.selective else fastest.replaced(recompute_modules=None)


def schedule_of(base: Layout, interleave: Any) -> Any:
    """The pipeline schedule: as stated; otherwise interleaved for several chunks per stage, 1F1B for one."""
    if "schedule" in base.model_fields_set:
        return base.schedule
    if np.ndim(interleave):
        return np.where(np.greater(interleave, 1), int(Schedule.interleaved), int(Schedule.f1b1))
    return Schedule.interleaved if interleave > 1 else Schedule.f1b1


DECISIVE = ("tensor", "pipeline", "microbatch", "sharding", "recompute")
"""Fields that determine step time and memory; a layout that sets only some of them is completed."""


def usual_expert_degree(most: int, ranks: int, experts: int) -> int:
    """The expert degree of a stack that spreads a layer's experts over up to ``most`` ranks: the largest one that divides the data-parallel
    ranks and the experts.

    >>> usual_expert_degree(64, 96, 128)
    32
    """
    both = math.gcd(ranks, experts)
    return max(degree for degree in range(1, min(most, both) + 1) if both % degree == 0)


def with_usual_experts(layout: Layout, model: Model, software: Software, gpus: Array) -> Layout:
    """A layout that is not searched for (no ``is_partial``), with the stack's usual expert degree if it states none; unchanged in sweeps of
    the number of ranks."""
    most, experts = software.dispatch.most_ranks, _experts_of(model)
    ranks = np.divide(gpus, layout.model_parallel)
    if most == 1 or experts <= 1 or "expert" in layout.model_fields_set or np.size(ranks) > 1 or np.any(ranks < 1):
        return layout
    degree = usual_expert_degree(most, int(np.max(ranks)), int(experts))
    return layout if degree == 1 else layout.replaced(expert=degree)


def is_partial(layout: Layout | None) -> bool:
    """Whether a layout sets at least one field but leaves one of ``DECISIVE`` open; always False if a field is an array."""
    if layout is None or not layout.model_fields_set:
        return False
    numbers = (getattr(layout, name) for name in layout.model_fields_set - {"recompute_modules", "stage_layers"})
    return any(name not in layout.model_fields_set for name in DECISIVE) and all(
        np.ndim(value) == 0 for value in numbers
    )


def with_explicit_defaults(layout: Layout | None) -> Layout | None:
    """The layout with unset ``DECISIVE`` fields explicitly set to their defaults, as in a measured run's description."""
    return None if layout is None else layout.replaced(**{name: getattr(layout, name) for name in DECISIVE})


def layout_axes(
    model: Model, global_batch: Array, cluster: Cluster, stated: Layout | None, software: Software
) -> dict[str, list[Any]]:
    """The values tried for each field of the layout: only the stated value, otherwise the common values that the stack supports (all
    degrees, if plain data parallelism cannot divide the batch evenly).

    A run that states a tensor or pipeline degree uses context parallelism only if it states that too. If it states tensor and expert
    degrees, the experts are also split over the tensor ranks if that is the stack's default (``Dispatch.folded``).
    """
    axes = candidates(model, global_batch, cluster)
    given = frozenset() if stated is None else stated.model_fields_set
    if stated is not None and (not is_partial(stated) or given & {"recompute", "recompute_layers"}):
        axes.pop("recompute_share", None)
    if stated is not None and not is_partial(stated):
        return _stated_values(with_usual_experts(stated, model, software, cluster.gpus), (*axes, "interleave"))
    even = bool(np.all(np.equal(np.remainder(global_batch, cluster.gpus), 0)))
    axes |= {name: [1.0] for name in axes.keys() & set(DEGREES) - set(software.degrees) if even}
    if not software.zero3:
        axes["sharding"] = axes["sharding"][:1]
    axes["interleave"] = _chunks(model, axes["pipeline"]) if "interleaved" in software.schedules else [1.0]
    if given & {"tensor", "pipeline"}:
        axes.pop("context", None)
    if given >= {"tensor", "expert"} and not software.dispatch.folded:
        axes.pop("expert_tensor", None)
    return axes | ({} if stated is None else _stated_values(stated, axes.keys() & given))


def _stated_values(stated: Layout, names: Iterable[str]) -> dict[str, list[Any]]:
    """The single value of each named field that a layout sets; None is left out, because it follows from the others (``expert_tensor``)."""
    return {name: [getattr(stated, name)] for name in names if getattr(stated, name) is not None}


def candidates(model: Model, global_batch: Array, cluster: Cluster) -> dict[str, list[Any]]:
    """The values tried for each field of the layout if nothing is stated; counts are floats, as in all sweeps."""
    gpus, domain = float(np.max(cluster.gpus)), float(np.max(cluster.gpus_per_domain))
    longest = max(
        (float(np.max(stack.sequence if stack.sequence is not None else stack.tokens)) for stack in model.stacks),
        default=0,
    )
    layers = _depth(model)
    experts = _experts_of(model)
    axes: dict[str, list[Any]] = {
        "tensor": _powers_of_two(min(gpus, domain, 8)),
        "microbatch": _microbatches(global_batch, gpus, max(8.0, FULL_TOKENS / longest) if longest else 8.0),
        "pipeline": _pipelines(gpus, layers),
        "sharding": _shardings(model, gpus),
        "recompute": [Recompute.none, Recompute.selective, Recompute.full],
    }
    if model.encoder:
        axes["vision"] = [VisionPlacement.first_stage, VisionPlacement.replicated]
    if np.max(model.parameters) >= PARTLY and not model.trains_adapters:
        axes["recompute_share"] = [1.0, 0.5]
    if np.max(model.parameters) >= LARGEST:
        axes["offload_activations"] = [False, True]
    if longest >= LONG_SEQUENCE:
        axes["context"] = _powers_of_two(min(gpus, longest // 4096))
    if experts > 1:
        axes["expert"] = _powers_of_two(min(gpus, experts))
        axes["expert_tensor"] = [1.0]
    return dict(reversed(axes.items()))


def _shardings(model: Model, gpus: float) -> list[Sharding]:
    """Shardings tried: of the optimiser states or of everything; of nothing or of everything for adapters, which have few states; of
    nothing on one accelerator."""
    if gpus <= 1:
        return [Sharding.none]
    return [Sharding.none if model.trains_adapters else Sharding.zero1, Sharding.zero3]


def _pipelines(gpus: float, layers: float) -> list[float]:
    """Pipeline degrees tried: powers of two, and if the number of accelerators is not one, its divisors up to the number of layers and
    ``DEEPEST``: BLOOM ran its 70 layers in 12 stages on 384."""
    most = min(gpus, layers, DEEPEST)
    odd = [] if np.log2(gpus) % 1 == 0 else [float(p) for p in range(3, int(most) + 1) if gpus % p == 0]
    return sorted({*_powers_of_two(most), *odd})


def _microbatches(global_batch: Array, gpus: float, most: float) -> list[float]:
    """Micro-batches tried, in samples: powers of two, and an accelerator's share of the batch halved repeatedly: 84 images, 42, 21."""
    share = float(np.max(global_batch)) / gpus
    halves = (share / 2**power for power in range(40)) if share % 1 == 0 else ()
    return sorted(
        {*_powers_of_two(most), *(part for part in takewhile(lambda part: part % 1 == 0, halves) if part <= most)}
    )


def _chunks(model: Model, pipelines: list[float]) -> list[float]:
    """Chunks per stage tried: 1, 2, 4, and for pipelines of four or more stages the numbers that give one or two layers per chunk."""
    layers = _depth(model)
    deep = {np.ceil(layers / stages) // depth for stages in pipelines if stages >= 4 for depth in (1, 2)}
    return sorted({1.0} | {float(chunks) for chunks in {2.0, 4.0} | deep if 1 < chunks <= layers / 2})


def _powers_of_two(most: float) -> list[float]:
    return list(takewhile(lambda degree: degree <= most, (2.0**power for power in range(40))))


def _depth(model: Model) -> float:
    """Layers of the deepest stack."""
    return max((float(np.max(stack.layers)) for stack in model.stacks), default=1.0)


def _experts_of(model: Model) -> float:
    """Experts per layer, 1 if there are none."""
    return max((float(np.max(one.experts)) for stack in model.stacks for one in stack.block.linears), default=1.0)


def _shape(model: Model, global_batch: Array, cluster: Cluster) -> tuple[int, ...]:
    """Shape of the rows that the inputs describe together."""
    numbers = [global_batch, cluster.gpus, cluster.network_bandwidth, model.hidden, model.parameters]
    numbers += [number for part in model.parts for number in (part.tokens, getattr(part, "layers", 0))]
    return np.broadcast_shapes(*map(np.shape, numbers))


ENUMERATIONS = {"sharding": Sharding, "recompute": Recompute, "vision": VisionPlacement}


def plain_value(name: str, value: Any) -> Any:
    """A single value as stored in the layout: an integer, a bool, a share or a member of its enumeration; arrays are returned unchanged."""
    if np.ndim(value):
        return value
    if name == "recompute_share":
        return float(value)
    if name == "offload_activations":
        return bool(value)
    return ENUMERATIONS[name](int(value)) if name in ENUMERATIONS else int(value)
