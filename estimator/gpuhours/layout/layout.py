"""The layout of a step over the accelerators. Every field may be an array: a sweep uses the same class."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from gpuhours.inputs.arrays import Array
from gpuhours.inputs.units import whole
from gpuhours.inputs.yaml_files import Section


class Coded(IntEnum):
    """An enumeration whose members can be stored in arrays as integers.

    ``__array_ufunc__`` is set for speed: NumPy looks it up on every operand, and the failing lookup takes 3 us on an enum class; one step
    makes about a hundred comparisons.

    >>> bool(np.asarray(1) == Sharding.zero1)
    True
    """

    __array_ufunc__ = np.ndarray.__array_ufunc__


class Sharding(Coded):
    """What data-parallel ranks shard (Rajbhandari et al. 2020, ZeRO stages)."""

    none = 0
    zero1 = 1
    zero2 = 2
    zero3 = 3


class Recompute(Coded):
    """Which activations the backward pass recomputes."""

    none = 0
    selective = 1
    full = 2


class Module(Coded):
    """Parts of a layer that selective recomputation can recompute, by their Megatron-Core names."""

    core_attn = 0
    moe_act = 1
    layernorm = 2
    mla_up_proj = 3
    mlp = 4
    moe = 5
    shared_experts = 6


class Schedule(Coded):
    """The order of a pipeline's forward and backward passes."""

    f1b1 = 0
    interleaved = 1
    zb1p = 2
    zb2p = 3
    gpipe = 4


class SequenceMethod(Coded):
    """How ``context`` ranks split the attention of one sequence."""

    allgather = 0
    ring = 1
    zigzag = 2
    ulysses = 3
    hybrid = 4


class VisionPlacement(Coded):
    """Where an encoder in front of a language model runs."""

    first_stage = 0
    """On the first pipeline stage, split over its tensor ranks like the language model."""
    replicated = 1
    """Whole on every rank; frames are distributed over tensor and pipeline ranks."""
    separate = 2
    """On its own accelerators, one micro-batch ahead of the language model."""


WORDS: dict[type[IntEnum], dict[str, int]] = {
    VisionPlacement: {"first-stage": 0, "replicated": 1, "separate": 2},
    Schedule: {"1f1b": 0, "interleaved": 1, "zb-1p": 2, "zb-2p": 3, "gpipe": 4},
    SequenceMethod: {"all-gather": 0, "ring": 1, "zigzag": 2, "ulysses": 3, "hybrid": 4, "2d": 4},
}
ALSO: dict[type[IntEnum], dict[str, str]] = {
    Sharding: {
        "zero-1": "zero1", "zero-2": "zero2", "zero-3": "zero3", "stage1": "zero1", "stage2": "zero2", "stage3": "zero3",
        "0": "none", "1": "zero1", "2": "zero2", "3": "zero3", "no-shard": "none", "ddp": "none", "fsdp": "zero3", "fsdp2": "zero3",
        "shard-grad-op": "zero2", "full-shard": "zero3",
    },
    Recompute: {
        "false": "none", "off": "none", "true": "full", "on": "full", "uniform": "full", "gradient-checkpointing": "full",
        "activation-checkpointing": "full",
    },
    Schedule: {"one-forward-one-backward": "1f1b", "interleaved-1f1b": "interleaved", "interleaved1f1b": "interleaved", "zb1p": "zb-1p",
               "zb2p": "zb-2p"},
    SequenceMethod: {"allgather": "all-gather", "p2p": "zigzag", "a2a": "ulysses", "a2a+p2p": "hybrid"},
    VisionPlacement: {"first": "first-stage"},
}  # fmt: skip
"""Other unambiguous names for the members, used by people and training code: PyTorch's ``FULL_SHARD``, DeepSpeed's stages, Megatron-Core's
``cp_comm_type`` for context parallelism (its ``p2p`` is the balanced ring)."""
IN_TWO_KEYS: dict[type[IntEnum], dict[str, str]] = {
    Sharding: {
        "hybrid-shard": "HYBRID_SHARD is zero3 with layout.shard_group, the accelerators of a node",
        "hsdp": "HSDP is zero3 with layout.shard_group, the ranks that share one copy",
        "-hybrid-shard-zero2": "_HYBRID_SHARD_ZERO2 is zero2 with layout.shard_group, the accelerators of a node",
    },
}
"""Names for what takes two keys, and which."""
Choice = TypeVar("Choice", bound=IntEnum)


def words(choice: type[IntEnum]) -> dict[str, int]:
    """The spelling of each member in run files: ``1f1b``, ``zero3``, ``full``."""
    return WORDS.get(choice) or {member.name: int(member) for member in choice}


def word(choice: type[IntEnum], value: int) -> str:
    """The spelling of one member."""
    return next(text for text, number in words(choice).items() if number == value)


def one_of(choice: type[IntEnum]) -> BeforeValidator:
    """A pydantic validator: spelling -> member; an unknown spelling raises ``ValueError`` with a list of the known ones."""

    def read(value: object) -> object:
        if isinstance(value, choice):
            return value
        known = words(choice)
        written = str(value).strip().lower()
        plain = written if written in known else written.replace("_", "-").replace(" ", "-")
        plain = ALSO.get(choice, {}).get(plain, plain) if isinstance(value, str | int) else ""
        if plain not in known:
            two = IN_TWO_KEYS.get(choice, {}).get(plain, "")
            raise ValueError(f"must be one of {', '.join(known)}" + (f"; {two}" if two else ""))
        return choice(known[plain])

    return BeforeValidator(read, json_schema_input_type=Literal[tuple(words(choice))])


def written_as_word(choice: type[IntEnum]) -> PlainSerializer:
    """A pydantic serialiser for JSON: member -> spelling."""
    return PlainSerializer(lambda value: word(choice, value), return_type=str, when_used="json")


Degree = Annotated[int, whole()]


class Layout(Section):
    """Degrees of parallelism, and what each rank stores.

    Ranks are numbered tensor innermost, then context, then data (expert inside it), then pipeline, as Megatron does.
    ``data`` follows from the GPU count if not given: gpus / (tensor x pipeline x context).
    """

    tensor: Degree = 1
    pipeline: Degree = 1
    interleave: Degree = 1
    """Model chunks per pipeline rank (virtual stages); more than one require ``schedule: interleaved``."""
    stage_layers: Annotated[tuple[Annotated[int, whole(least=0)], ...], Field(min_length=1)] | None = None
    """Layers of every stage, from first to last, or of every chunk in model order: ``[3, 4, 4, 3]``. The embedding is on the first
    stage, the head on the last; with 0 there are no layers beside them. Distributed evenly by default."""
    vocabulary_parallel: bool = False
    """Whether the vocabulary of embedding and head is also split over the pipeline stages (Yeung et al. 2024, arXiv:2411.05288)."""
    data: Degree | None = None
    context: Degree = 1
    expert: Degree = 1
    expert_tensor: Degree | None = None
    """Tensor degree inside an expert; by default ``tensor``, or 1 where other parts of the layout are drawn as well."""
    microbatch: Degree = 1
    """Sequences per data-parallel rank and forward pass."""
    sequence_parallel: bool = True
    """Norms, dropout and residuals split over the tensor ranks (Korthikanti et al. 2022); no effect with tensor 1."""
    sharding: Annotated[Sharding, one_of(Sharding), written_as_word(Sharding)] = Sharding.none
    shard_group: Degree | None = None
    """Ranks that share one copy of the sharded state; all data-parallel ranks by default."""
    recompute: Annotated[Recompute, one_of(Recompute), written_as_word(Recompute)] = Recompute.none
    recompute_layers: Annotated[int, whole(least=0)] | None = None
    """Layers per stage that ``recompute: full`` applies to; all by default."""
    recompute_modules: (
        Annotated[tuple[Annotated[Module, one_of(Module), written_as_word(Module)], ...], Field(min_length=1)] | None
    ) = None
    """What ``recompute: selective`` recomputes, in Megatron-Core's terms (``[core_attn, moe_act, layernorm]``); the stack's own definition
    by default."""
    schedule: Annotated[Schedule, one_of(Schedule), written_as_word(Schedule)] = Schedule.f1b1
    sequence_method: Annotated[SequenceMethod, one_of(SequenceMethod), written_as_word(SequenceMethod)] = (
        SequenceMethod.zigzag
    )
    ulysses: Degree | None = None
    """Ranks of ``context`` that exchange heads under ``hybrid``; those within one node by default."""
    vision: Annotated[VisionPlacement, one_of(VisionPlacement), written_as_word(VisionPlacement)] = (
        VisionPlacement.first_stage
    )
    """Where a vision encoder in front of a language model runs."""
    vision_gpus: Annotated[int, whole(least=0)] = 0
    """Accelerators reserved for the encoder by ``vision: separate``; the rest run the language model."""
    loss_blocks: Degree | None = None
    """Blocks of a micro-batch's tokens that the head and its loss process one after another, so that only one block's logits exist at a
    time; the stack's default if not given."""
    offload_optimizer: bool = False
    """Optimiser states in host memory, updated there (ZeRO-Offload)."""
    offload_parameters: bool = False
    """Weights in host memory; each layer's are copied to the accelerator for its passes (ZeRO-Infinity, or block swapping)."""
    offload_activations: bool = False
    optimizer_in_backward: bool = False
    """Apply each gradient as soon as it is computed, then free it: only one layer's gradients exist at a time."""
    expandable_segments: bool = False
    """The allocator grows its segments instead of adding new ones (``PYTORCH_CUDA_ALLOC_CONF``): little is reserved beyond the tensors."""

    @model_validator(mode="before")
    @classmethod
    def _chunks_interleave(cls, data: Any) -> Any:
        """Interleave above 1 implies ``schedule: interleaved``, if no schedule is given."""
        if not isinstance(data, Mapping) or "schedule" in data or str(data.get("interleave") or 1) == "1":
            return data
        return {**data, "schedule": word(Schedule, Schedule.interleaved)}

    @model_validator(mode="before")
    @classmethod
    def _modules_are_selective(cls, data: Any) -> Any:
        """Modules imply ``recompute: selective``, if no mode is given."""
        if not isinstance(data, Mapping) or data.get("recompute_modules") is None or "recompute" in data:
            return data
        return {**data, "recompute": Recompute.selective}

    @model_validator(mode="after")
    def _settings_agree(self) -> "Layout":
        if self.recompute_modules is not None and self.recompute is not Recompute.selective:
            stated = word(Recompute, self.recompute)
            raise ValueError(
                f"recompute_modules requires recompute: selective, not recompute: {stated}; leave one of them out"
            )
        if self.interleave > 1 and self.schedule is not Schedule.interleaved:
            stated = word(Schedule, self.schedule)
            raise ValueError(
                f"interleave {self.interleave} requires schedule: interleaved, not schedule: {stated}; leave one of them out"
            )
        chunks = self.pipeline * self.interleave
        if self.stage_layers is not None and len(self.stage_layers) not in (self.pipeline, chunks):
            raise ValueError(
                f"{len(self.stage_layers)} numbers are given in stage_layers; pipeline {self.pipeline} needs {self.pipeline}, one per stage"
                + (f", or for {chunks}, one per chunk" if chunks > self.pipeline else "")
            )
        return self

    def replaced(self, **fields: Array | None) -> "Layout":
        """The same layout with some fields replaced, by arrays for a sweep; nothing is validated."""
        return self.model_copy(update=fields)

    @property
    def model_parallel(self) -> Array:
        """Accelerators that hold one copy of the model."""
        return np.multiply(np.multiply(self.tensor, self.pipeline), self.context)

    @property
    def encoder_gpus(self) -> Array:
        """Accelerators that run no language model: ``vision_gpus`` with ``vision: separate``, otherwise 0."""
        return np.where(np.equal(self.vision, VisionPlacement.separate), self.vision_gpus, 0)
