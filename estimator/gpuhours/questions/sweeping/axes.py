"""The varied keys of a run, with values validated once, each with an array axis of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, get_args

import numpy as np
from pydantic import BaseModel, ValidationError

from gpuhours.data import Data
from gpuhours.hardware.accelerators import load_accelerator
from gpuhours.hardware.nodes import find_instance, load_node
from gpuhours.hardware.number_formats import Precision
from gpuhours.inputs.errors import EstimateError, nearest
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import Source, explained
from gpuhours.layout.choices import Coded, word
from gpuhours.run.flags import key_of
from gpuhours.run.spec import Run
from gpuhours.software.matching import is_unknown

ONE_BY_ONE = 1000
"""Largest number of values that are all validated; of a longer list of plain numbers, only the extremes are."""


@dataclass(frozen=True)
class Varied:
    """One key and its values, as in the validated run."""

    key: str
    values: tuple[Any, ...]
    apart: bool = False
    """Whether each value changes the run's structure, so that values cannot share an array."""

    @cached_property
    def numeric(self) -> bool:
        """Whether values become arrays (numbers, switches, layout choices); text and blocks are tried one after another."""
        return not self.apart and all(isinstance(value, int | float) for value in self.values)

    @property
    def choice(self) -> type[Coded] | None:
        """The enumeration of the values, if any."""
        first = self.values[0]
        return type(first) if isinstance(first, Coded) else None

    def array(self, chosen: slice) -> np.ndarray[Any, Any]:
        """Some values: switches as bool, choices as int, all numbers as float64 (a product of counts overflows int64)."""
        values = self.values[chosen]
        if self.choice:
            return np.array([int(value) for value in values])
        return np.array(values, bool if isinstance(values[0], bool) else np.float64)

    def shown(self, chosen: slice = slice(None)) -> list[Any]:
        """The values as in a column of the result: numbers in SI units, choices by their names."""
        values = self.values[chosen]
        if self.choice:
            return [word(self.choice, value) for value in values]
        if self.kind is not str:
            return list(values)
        return [value if isinstance(value, str) else _label(value) for value in values]

    @cached_property
    def kind(self) -> type:
        """The type of its column: bool, int, float or str."""
        plain = [value for value in self.values if value is not None]
        if self.choice or not all(isinstance(value, int | float) for value in plain):
            return str
        return next((kind for kind in (bool, int) if all(type(value) is kind for value in plain)), float)


def _label(value: Any) -> str | None:
    if value is None:
        return None
    name = getattr(value, "name", None)
    return name if isinstance(name, str) and name else str(value)


@dataclass(frozen=True)
class Axis:
    """Keys that vary together: one of a product, or several of a ``--zip``."""

    members: tuple[Varied, ...]

    @property
    def length(self) -> int:
        """Points along it."""
        return len(self.members[0].values)

    @property
    def numeric(self) -> bool:
        """Whether all its keys can be arrays."""
        return all(member.numeric for member in self.members)


def axes(run: Run, vary: Mapping[str, Sequence[Any]], together: Sequence[Sequence[str]] = ()) -> tuple[Axis, ...]:
    """One axis per key, in the order given; a shortcut's name stands for its key. The keys of a group in ``together`` form one axis, at
    the position of the first."""
    vary = {key_of(key): values for key, values in vary.items()}
    groups = [tuple(key_of(key) for key in group) for group in together]
    partner = {key: group for group in groups for key in group}
    for key in partner:
        if key not in vary:
            raise EstimateError(f"--zip names {key!r}, which is not varied.", nearest(key, vary))
    built: list[Axis] = []
    done: set[str] = set()
    for key in vary:
        if key in done:
            continue
        group = partner.get(key, (key,))
        lengths = {name: len(vary[name]) for name in group}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise EstimateError(f"Zipped keys need the same number of values: {said}.", "", f"--zip {','.join(group)}")
        built.append(Axis(_members(run, {name: vary[name] for name in group})))
        done.update(group)
    return tuple(built)


def _members(run: Run, group: Mapping[str, Sequence[Any]]) -> tuple[Varied, ...]:
    """The keys of one axis. Those of a model's shape are validated together: hidden must be divisible by heads."""
    shape = [key for key in group if key.startswith("model.")]
    together: dict[str, list[Any]] = {key: [] for key in shape}
    if len(shape) > 1:
        for point in zip(*(group[key] for key in shape), strict=True):
            settled = run
            for key, value in zip(shape, point, strict=True):
                settled = settled.replaced(key, value)
            for key, value in zip(shape, point, strict=True):
                together[key].append(_validated(settled, key, value))
    return tuple(
        Varied(key, tuple(together.get(key) or ()) or validated_values(run, key, values), _changes_structure(run, key))
        for key, values in group.items()
    )


def _changes_structure(run: Run, key: str) -> bool:
    """Whether a key's value determines the model's structure or the software: ZeRO-3 without a named stack means FSDP."""
    return key.startswith("model.") or (key == "layout.sharding" and run.stack is None)


def validated_values(run: Run, key: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """The values as returned by the run's own validation; an invalid one raises the error that ``estimate`` gives."""
    plain = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if len(values) <= ONE_BY_ONE or not plain:
        return tuple(_validated(run, key, value) for value in values)
    broken = next((value for value in values if value != int(value)), values[0])
    for value in (min(values), max(values), broken):
        if _validated(run, key, value) != value:
            return tuple(_validated(run, key, one) for one in values)
    return tuple(values)


def _validated(run: Run, key: str, value: Any) -> Any:
    """One value, validated by its block."""
    *parents, name = key.split(".")
    block: BaseModel = run
    for part in parents:
        block = _block_at(block, part, key)
    kind = type(block)
    if name not in kind.model_fields:
        raise EstimateError("No such key.", nearest(name, kind.model_fields) or _known_keys(kind), key)
    fields = {field: getattr(block, field) for field in block.model_fields_set}
    try:
        whole = kind.model_validate({**fields, name: value})
    except ValidationError as error:
        raise explained(error, kind, Source("--vary", {}), tuple(parents)) from None
    more = whole.model_fields_set - fields.keys() - {name} if kind is Data else ()
    if also := [f"data.{other}" for other in more]:
        hint = f"Vary both together: --vary {key}=... --vary {also[0]}=... --zip {key},{also[0]}."
        raise EstimateError(f"{str(value)[:40]!r} sets {also[0]} as well, and an axis is one key.", hint, key)
    valid = getattr(whole, name)
    _check_name(key, valid)
    return valid


def _check_name(key: str, value: Any) -> None:
    """Check that a text names a known profile or format; the loader's own error lists near names."""
    if value is None:
        return
    if key == "software":
        is_unknown(value)  # raises an error for a misspelling
    elif key == "hardware.accelerator":
        if find_instance(value) is None:
            load_accelerator(value)
    elif key == "hardware.node":
        load_node(value)
    elif key in ("training.dtype", "training.state"):
        Precision(**{key.removeprefix("training."): value})


def _known_keys(kind: type[BaseModel]) -> str:
    return f"Known here: {', '.join(sorted(kind.model_fields))}."


def _block_at(block: BaseModel, part: str, key: str) -> BaseModel:
    """The block at ``part``; an empty one of its type if the run has none."""
    if part not in type(block).model_fields:
        raise EstimateError("No such key.", nearest(part, type(block).model_fields) or _known_keys(type(block)), key)
    inner = getattr(block, part)
    if isinstance(inner, BaseModel):
        return inner
    annotation = type(block).model_fields[part].annotation
    kinds = [
        kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type) and issubclass(kind, BaseModel)
    ]
    if inner is not None or len(kinds) != 1:
        raise EstimateError(f"{part!r} of this run is {inner!r}, so {key!r} cannot be varied.", "", key)
    return kinds[0]()


def with_blocks(run: Run, keys: Sequence[str]) -> Run:
    """The run with an empty block for every key whose block is missing (``layout.tensor``)."""
    for key in keys:
        parents = key.split(".")[:-1]
        for depth in range(1, len(parents) + 1):
            name = ".".join(parents[:depth])
            if run.value(name) is None:
                holder: Any = run.value(".".join(parents[: depth - 1])) if depth > 1 else run
                run = run.replaced(name, _block_at(holder, parents[depth - 1], key))
    return run
