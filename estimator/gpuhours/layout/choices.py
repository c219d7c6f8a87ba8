"""Enumerations of a layout's fields: members that arrays can hold, their spelling in run files, and their other names."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Literal, Self, TypeVar

import numpy as np
from pydantic import BeforeValidator, PlainSerializer


class Coded(IntEnum):
    """An enumeration whose members can be stored in arrays as integers.

    A member is declared as its integer, its spelling in run files (its name if left out) and its other unambiguous names, as people and
    training code use them. ``__array_ufunc__`` is set for speed: NumPy looks it up on every operand, and the failing lookup takes 3 us on
    an enum class; one step makes about a hundred comparisons.

    >>> bool(np.asarray(1) == Sharding.zero1), Sharding.zero3.also[-1]
    (True, 'full-shard')
    """

    __array_ufunc__ = np.ndarray.__array_ufunc__
    spelling: str
    also: tuple[str, ...]

    def __new__(cls, code: int, spelling: str = "", *also: str) -> Self:
        """The member with that integer."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.spelling, member.also = spelling, also
        return member


class Sharding(Coded):
    """What data-parallel ranks shard (Rajbhandari et al. 2020, ZeRO stages); other names are PyTorch's and DeepSpeed's."""

    none = 0, "none", "0", "no-shard", "ddp"
    zero1 = 1, "zero1", "zero-1", "stage1", "1"
    zero2 = 2, "zero2", "zero-2", "stage2", "2", "shard-grad-op"
    zero3 = 3, "zero3", "zero-3", "stage3", "3", "fsdp", "fsdp2", "full-shard"


class Recompute(Coded):
    """Which activations the backward pass recomputes."""

    none = 0, "none", "false", "off"
    selective = 1, "selective"
    full = 2, "full", "true", "on", "uniform", "gradient-checkpointing", "activation-checkpointing"


class Module(Coded):
    """Parts of a layer that selective recomputation can recompute, by their Megatron-Core names."""

    core_attn = 0
    moe_act = 1
    layernorm = 2
    mla_up_proj = 3
    mlp = 4
    moe = 5
    shared_experts = 6


class VisionPlacement(Coded):
    """Where an encoder in front of a language model runs."""

    first_stage = 0, "first-stage", "first"
    """On the first pipeline stage, split over its tensor ranks like the language model."""
    replicated = 1, "replicated"
    """Whole on every rank; frames are distributed over tensor and pipeline ranks."""
    separate = 2, "separate"
    """On its own accelerators, one micro-batch ahead of the language model."""


IN_TWO_KEYS: Mapping[type[Coded], Mapping[str, str]] = {
    Sharding: {
        "hybrid-shard": "HYBRID_SHARD is zero3 with layout.shard_group, the accelerators of a node",
        "hsdp": "HSDP is zero3 with layout.shard_group, the ranks that share one copy",
        "-hybrid-shard-zero2": "_HYBRID_SHARD_ZERO2 is zero2 with layout.shard_group, the accelerators of a node",
    },
}
"""Names for what takes two keys, and which."""
Choice = TypeVar("Choice", bound=Coded)


def words(choice: type[Coded]) -> dict[str, int]:
    """The spelling of each member in run files: ``1f1b``, ``zero3``, ``full``."""
    return {member.spelling or member.name: int(member) for member in choice}


def word(choice: type[Coded], value: int) -> str:
    """The spelling of one member."""
    return next(text for text, number in words(choice).items() if number == value)


def one_of(choice: type[Coded]) -> BeforeValidator:
    """A pydantic validator: spelling -> member; an unknown spelling raises ``ValueError`` with a list of the known ones."""
    known = words(choice)
    also = {name: int(member) for member in choice for name in member.also}

    def read(value: object) -> object:
        if isinstance(value, choice):
            return value
        written = str(value).strip().lower()
        plain = written if written in known else written.replace("_", "-").replace(" ", "-")
        found = {**known, **also}.get(plain) if isinstance(value, str | int) else None
        if found is None:
            two = IN_TWO_KEYS.get(choice, {}).get(plain, "")
            raise ValueError(f"must be one of {', '.join(known)}" + (f"; {two}" if two else ""))
        return choice(found)

    return BeforeValidator(read, json_schema_input_type=Literal[tuple(known)])


def written_as_word(choice: type[Coded]) -> PlainSerializer:
    """A pydantic serialiser for JSON: member -> spelling."""
    return PlainSerializer(lambda value: word(choice, value), return_type=str, when_used="json")
