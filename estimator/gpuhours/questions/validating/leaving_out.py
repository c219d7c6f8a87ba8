"""The constants without one system's measured runs, for leave-one-out validation.

A source's error is meaningful only if no constant in its prediction was fitted on it. ``fitted_on`` next to a group of constants lists
the measured runs that determined it; ``published/sources.yaml`` lists sources that share a system and are left out together.

Without a system

    a profile measured in no other system   is replaced by its parent, except for documented facts of its code (memory, placement of layers)
    a group determined on the system        is refitted on the other systems' rows (``refitting``) if these determine it; otherwise it is
                                            replaced by its parent's, or by that of the stand-in profile
    kernel constants                        likewise: the generation's replace an accelerator's own, newer libraries' replace older ones

Constants that were measured separately (kernels, links, data sheets) or are documented are kept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from gpuhours.hardware.accelerators import Accelerator, load_accelerator
from gpuhours.hardware.kernel_constants import (
    AttentionConstants,
    KernelConstants,
    generation_constants,
)
from gpuhours.hardware.libraries import Time, libraries_of
from gpuhours.hardware.nodes import Node
from gpuhours.questions.validating.rows import described_stacks, measured_rows
from gpuhours.questions.validating.sources import system_of, systems_of
from gpuhours.questions.validating.words import software_of
from gpuhours.run.conformal import unmeasured_stack
from gpuhours.software.figures import ChosenDefault, Defaults, Kernels
from gpuhours.software.profile import Software, load_software, parent_of

FACTS = (
    "balances", "vocabulary_multiple", "uncausal_attention", "biased_attention", "biased_gemms", "grouped_attention",
    "model_code", "casts_layers", "works_wide", "masked", "frozen_carry_gradients", "degrees", "wide_experts", "clock_gain",
)  # fmt: skip
"""Facts about a stack's code, and figures of single kernels (``clock_gain``), which were not determined from measured steps."""
SHARES = frozenset({"Exposed", "Libraries"})
"""Classes of groups whose figures are shares of at most 1."""
Group = TypeVar("Group", bound=BaseModel)
KEPT = "kept: nothing else is known"
FIRST_FLASH = 0.5
"""Speed of the first FlashAttention relative to the second."""
NEWER: Mapping[Time, Time] = {"2022": "2024", "2024": "today"}
"""Kernel libraries used instead of older ones."""


def refits_path() -> Path:
    """The file of the refitted factors."""
    return Path(str(files("gpuhours"))) / "published" / "refits.json"


@cache
def refits() -> Mapping[str, Mapping[str, float]]:
    """System left out -> group of constants -> factor on its figures, as fitted on the other systems relative to all."""
    factors: Mapping[str, Mapping[str, float]] = json.loads(refits_path().read_text(encoding="utf-8"))["factors"]
    return factors


@cache
def met() -> Mapping[str, frozenset[str]]:
    """Profile -> systems with published runs of it, or of a profile derived from it."""
    sources: dict[str, set[str]] = {}
    stacks = [(software_of(row)[0].name, row.word("source_title") or "") for row in measured_rows() if row.seconds]
    for name, title in (*stacks, *described_stacks()):
        for one in _lineage(name):
            sources.setdefault(one, set()).add(system_of(title))
    return {name: frozenset(systems) for name, systems in sources.items()}


@cache
def software_without(name: str, system: str) -> tuple[Software, tuple[str, ...]]:
    """A profile with constants that exclude a system, under the same name, and a list of what was left out."""
    known, left = load_software(name), []
    while met().get(known.name) == frozenset({system}) and (parent := parent_of(known.name)) is not None:
        left.append(f"the profile {known.name} ({parent} instead)")
        known = load_software(parent)
    memory = load_software(name).memory
    fitted = tuple(memory.fitted or type(memory).model_fields) if system in _fitted_on(memory) else ()
    others = {one: getattr(known.memory, one) for one in fitted}
    update: dict[str, Any] = {"memory": _with_defaults_reset(memory.model_copy(update=others), system)[0]}
    update |= {fact: getattr(load_software(name), fact) for fact in (*FACTS, *load_software(name).named)}
    apart = _independent_groups(load_software(name), known, system) if left else {}
    update |= apart
    for group in Software.model_fields:
        value = getattr(known, group)
        if group not in apart and system in _fitted_on(value):
            update[group], how = _documented_defaults(value) or _group_without(known, group, system)
            left.append(f"{known.name}.{group} ({how})")
    known, chosen = _with_defaults_reset(known.model_copy(update={**update, "name": name}), system)
    if (kernels := known.host.kernels) is not None:
        kernels, more = _with_defaults_reset(kernels, system)
        kernels, timed = _launched_elsewhere(kernels, system)
        if more or timed:
            known = known.model_copy(update={"host": known.host.model_copy(update={"kernels": kernels})})
        left, chosen = [*left, *timed], (*chosen, *more)
    return known, (*left, *(f"{one} (a default of code)" for one in chosen))


def _launched_elsewhere(kernels: Kernels, system: str) -> tuple[Kernels, tuple[str, ...]]:
    """Launches as counted, with the times that the system determined replaced by those of ``launches_from``; and what was replaced."""
    if kernels.launches_from is None or system not in _fitted_on(kernels):
        return kernels, ()
    theirs = load_software(kernels.launches_from).host.kernels
    update = {field: getattr(theirs, field) for field in kernels.fitted}
    return kernels.model_copy(update=update), (f"host.kernels (launch times as in {kernels.launches_from})",)


def _independent_groups(software: Software, known: Software, system: str) -> dict[str, Any]:
    """The groups that a profile, or an ancestor below ``known``, determined independently of its steps (``apart``): group -> constants."""
    found: dict[str, Any] = {}
    for group in Software.model_fields:
        for name in _lineage(software.name):
            own = getattr(load_software(name), group)
            if name == known.name:
                break
            if getattr(own, "independent", False):
                found[group] = _with_parent_figures(own, getattr(known, group), system)
                break
            if (
                group == "host"
                and own.kernels is not None
                and own.kernels.independent
                and known.host.kernels is not None
            ):
                kernels = _with_parent_figures(own.kernels, known.host.kernels, system)
                found[group] = known.host.model_copy(update={"kernels": kernels})
                break
    return found


def _with_parent_figures(own: Any, parent: Any, system: str) -> Any:
    """A group with the figures determined on the system replaced by its parent's."""
    fields = own.fitted if system in _fitted_on(own) else ()
    return own.model_copy(update={field: getattr(parent, field) for field in fields})


def _lineage(name: str) -> Iterator[str]:
    """A profile and its ancestors, nearest first."""
    one: str | None = name
    while one is not None:
        yield one
        one = parent_of(one)


def _with_defaults_reset(group: Group, system: str) -> tuple[Group, tuple[str, ...]]:
    """A group with those code defaults reset that a system's measured runs determined, and the names of these defaults."""
    update = {
        name: chosen.without
        for name, field in type(group).model_fields.items()
        for chosen in field.metadata
        if isinstance(chosen, ChosenDefault)
        and system in systems_of(chosen.on)
        and getattr(group, name) == field.default
    }
    return (group.model_copy(update=update), tuple(update)) if update else (group, ())


def _documented_defaults(group: Any) -> tuple[Any, str] | None:
    """Defaults as documented by the stack's configuration, if measured runs determined others; None for any other group."""
    if not isinstance(group, Defaults) or group.documented is None:
        return None
    return group.model_copy(update={"recompute": group.documented}), "as documented"


def as_unmeasured(software: Software, left: Sequence[str], without: str, stands_in: bool = False) -> Software:
    """The profile with the slowdown of unmeasured stacks, if it stands in for the row's stack (``stands_in``, or because the stack's own
    profile was left out); otherwise unchanged."""
    if not stands_in and not any(what.startswith("the profile ") for what in left):
        return software
    return software.standing_in(unmeasured_stack(without))


def owner_of(software: Software, group: str) -> str:
    """The profile from which ``software`` inherits a group."""
    name = software.name
    while (parent := parent_of(name)) is not None and getattr(load_software(parent), group) == getattr(software, group):
        name = parent
    return name


def _group_without(software: Software, group: str, system: str, asked: frozenset[str] = frozenset()) -> tuple[Any, str]:
    """One group without a system, and its origin in words; ``asked``: profiles already tried."""
    own, owner = getattr(software, group), owner_of(software, group)
    factor = refits().get(system, {}).get(f"{owner}.{group}")
    if factor is not None:
        return scaled(own, factor), "refitted"
    parent = parent_of(owner)
    others = (parent,) if parent is not None else software.stand_in
    for other in others:
        theirs = getattr(load_software(other), group)
        if other in asked or owner_of(load_software(other), group) == owner:
            continue
        if system in _fitted_on(theirs):
            theirs, how = _group_without(load_software(other), group, system, asked | {owner})
            if how == KEPT:
                continue
        if theirs is None or not own.fitted:
            return theirs, f"as in {other}"
        return own.model_copy(update={field: getattr(theirs, field) for field in own.fitted}), f"as in {other}"
    return own, KEPT


def elsewhere(owner: str, group: str) -> float:
    """Mean log ratio of the fitted figures of a group in a profile's parent (or stand-in) to its own; 0 if they have none in common."""
    software = load_software(owner)
    parent = parent_of(owner)
    for other in (parent,) if parent is not None else software.stand_in:
        ours, theirs = _numbers(getattr(software, group)), _numbers(getattr(load_software(other), group))
        ratios = [math.log(theirs[name] / ours[name]) for name in ours if ours[name] > 0 and theirs.get(name, 0.0) > 0]
        if ratios:
            return sum(ratios) / len(ratios)
    return 0.0


def _numbers(group: Any) -> dict[str, float]:
    """Path -> value of the fitted figures of a group."""
    fields = () if group is None else group.fitted or tuple(type(group).model_fields)
    numbers: dict[str, float] = {}
    pending = [(name, getattr(group, name)) for name in fields]
    while pending:
        name, value = pending.pop()
        if isinstance(value, BaseModel | Mapping):
            inner = value if isinstance(value, BaseModel) else value.items()
            pending += [(f"{name}.{key}", one) for key, one in inner]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            numbers[name] = float(value)
    return numbers


def _fitted_on(group: Any) -> frozenset[str]:
    return systems_of(getattr(group, "fitted_on", ()))


def scaled(group: Any, factor: float) -> Any:
    """A group with its fitted figures multiplied by ``factor``; shares stay at most 1."""
    fields = group.fitted or tuple(type(group).model_fields)
    most = 1.0 if type(group).__name__ in SHARES else float("inf")
    return group.model_copy(update={name: _scaled_figures(getattr(group, name), factor, most) for name in fields})


def _scaled_figures(value: Any, factor: float, most: float) -> Any:
    if isinstance(value, BaseModel):
        return value.model_copy(update={name: _scaled_figures(inner, factor, most) for name, inner in value})
    if isinstance(value, Mapping):
        return {name: _scaled_figures(inner, factor, most) for name, inner in value.items()}
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return min(most, value * factor) if number else value


@cache
def accelerator_without(name: str, system: str) -> tuple[Accelerator, tuple[str, ...]]:
    """An accelerator with kernel constants that exclude a system, and a list of what was left out."""
    chip, left = load_accelerator(name), []
    own, factors = chip.kernels or KernelConstants(), refits().get(system, {})
    general = generation_constants(chip.generation)
    update: dict[str, Any] = {}
    gemm, place = (own.gemm, name) if own.gemm else (general.gemm, chip.generation)
    if system in _fitted_on(gemm):
        factor = factors.get(f"{place}.gemm")
        update["gemm"] = scaled(gemm, factor) if factor is not None else _gemm_elsewhere(name, system)
        left.append(f"{place}.gemm ({'refitted' if factor is not None else 'as known elsewhere'})")
    passes = {**general.attention, **(own.attention or {})}
    replaced = {kernel: _attention_without(kernel, passes, system) for kernel in passes}
    changed = {kernel: one for kernel, one in replaced.items() if one is not passes[kernel]}
    left += [f"{chip.generation}.attention.{kernel} (from flash2)" for kernel in changed]
    alignment = chip.alignment_constants
    if system in _fitted_on(alignment):
        update["alignment"] = alignment.model_copy(update={"even": alignment.odd})
        left.append("alignment.even (as odd)")
    if changed:
        update["attention"] = {**(own.attention or {}), **changed}
    return replace(chip, kernels=own.model_copy(update=update)) if update else chip, tuple(left)


def libraries_without(libraries: Time, system: str) -> tuple[Time, tuple[str, ...]]:
    """The kernel libraries of a stack, or newer ones if their constants were determined on the system; and a list of what was left out."""
    if system not in _fitted_on(libraries_of(libraries)):
        return libraries, ()
    newer, more = libraries_without(NEWER[libraries], system)
    return newer, (f"libraries of {libraries} ({newer} instead)", *more)


def _gemm_elsewhere(name: str, system: str) -> Any:
    """The generation's GEMM constants, or those of its stand-in generation."""
    general = generation_constants(load_accelerator(name).generation)
    while system in _fitted_on(general.gemm) and general.stand_in is not None:
        general = generation_constants(general.stand_in)
    return general.gemm


def _attention_without(kernel: str, known: Mapping[str, AttentionConstants], system: str) -> AttentionConstants:
    """A kernel's constants, or those of FlashAttention-2 if its own were determined on the system. The first FlashAttention then has half
    the rate of the second (Dao 2023, arXiv:2307.08691, abstract: "around 2x speedup compared to FlashAttention")."""
    own = known[kernel]
    if system not in _fitted_on(own.forward) or "flash2" not in known:
        return own
    share, second = (FIRST_FLASH if kernel == "flash1" else 1.0), known["flash2"]
    slower = {
        way: one.model_copy(update={"efficiency": {size: share * rate for size, rate in one.efficiency.items()}})
        for way, one in (("forward", second.forward), ("backward", second.backward))
    }
    return second.model_copy(update=slower)


def node_without(node: Node, system: str) -> tuple[Node, tuple[str, ...]]:
    """A node with network constants that exclude a system (those of the stand-in network, otherwise defaults for the fitted ones), and a
    list of what was left out."""
    constants = node.fabric
    if system not in _fitted_on(constants):
        return node, ()
    if constants.stand_in is not None:
        return replace(node, network=constants.stand_in), (f"{node.network} ({constants.stand_in} instead)",)
    unfitted = {name: type(constants).model_fields[name].default for name in constants.fitted}
    left = tuple(f"{node.network}.{name} ({value:g})" for name, value in unfitted.items())
    return replace(node, constants=constants.model_copy(update=unfitted)), left
