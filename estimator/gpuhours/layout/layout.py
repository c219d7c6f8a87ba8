"""How a step is laid out over the accelerators. Every field may be an array: a sweep is the same object."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from gpuhours.inputs.arrays import Array
from gpuhours.inputs.units import whole
from gpuhours.inputs.yaml_files import Section


class Sharding(IntEnum):
    """What data-parallel ranks split among them (Rajbhandari et al. 2020, ZeRO stages)."""

    none = 0
    zero1 = 1
    zero2 = 2
    zero3 = 3


class Recompute(IntEnum):
    """Which activations the backward pass computes again."""

    none = 0
    selective = 1
    full = 2


class Module(IntEnum):
    """Parts of a layer that selective recomputation may repeat, as Megatron-Core names them."""

    core_attn = 0
    moe_act = 1
    layernorm = 2
    mla_up_proj = 3
    mlp = 4
    moe = 5
    shared_experts = 6


class Schedule(IntEnum):
    """The order of a pipeline's forward and backward passes."""

    f1b1 = 0
    interleaved = 1
    zb1p = 2
    zb2p = 3
    gpipe = 4


class SequenceMethod(IntEnum):
    """How ``context`` ranks share one sequence's attention."""

    allgather = 0
    ring = 1
    zigzag = 2
    ulysses = 3
    hybrid = 4


class VisionPlacement(IntEnum):
    """Where an encoder in front of a language model runs."""

    first_stage = 0
    """On the first pipeline stage, split over its tensor ranks as the language model is."""
    replicated = 1
    """Whole on every rank; frames are dealt out over tensor and pipeline ranks."""
    separate = 2
    """On accelerators of its own, a micro-batch ahead of the language model."""


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
"""What people and their training code call the members, where that has one meaning: PyTorch's ``FULL_SHARD``, DeepSpeed's stages,
Megatron-Core's ways of communicating for context parallelism (``cp_comm_type``; its ``p2p`` is the balanced ring)."""
Choice = TypeVar("Choice", bound=IntEnum)


def words(choice: type[IntEnum]) -> dict[str, int]:
    """The words a user writes for each member: ``1f1b``, ``zero3``, ``full``."""
    return WORDS.get(choice) or {member.name: int(member) for member in choice}


def word(choice: type[IntEnum], value: int) -> str:
    """The word for one member."""
    return next(text for text, number in words(choice).items() if number == value)


def one_of(choice: type[IntEnum]) -> BeforeValidator:
    """A pydantic validator: the user's word -> the member; another word raises ``ValueError`` with the nearest."""

    def read(value: object) -> object:
        if isinstance(value, choice):
            return value
        known = words(choice)
        written = str(value).strip().lower()
        plain = written if written in known else written.replace("_", "-").replace(" ", "-")
        plain = ALSO.get(choice, {}).get(plain, plain) if isinstance(value, str | int) else ""
        if plain not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return choice(known[plain])

    return BeforeValidator(read, json_schema_input_type=Literal[tuple(words(choice))])


def said(choice: type[IntEnum]) -> PlainSerializer:
    """A pydantic serialiser: the member -> the user's word, in JSON."""
    return PlainSerializer(lambda value: word(choice, value), return_type=str, when_used="json")


Degree = Annotated[int, whole()]


class Layout(Section):
    """Degrees of parallelism and what each rank keeps.

    Ranks are numbered tensor innermost, then context, then data (expert inside it), then pipeline, as Megatron does.
    ``data`` is solved from the GPU count when not given: gpus / (tensor x pipeline x context).
    """

    tensor: Degree = 1
    pipeline: Degree = 1
    interleave: Degree = 1
    """Model chunks per pipeline rank (virtual stages); more than one are run by ``schedule: interleaved``."""
    stage_layers: Annotated[tuple[Annotated[int, whole(least=0)], ...], Field(min_length=1)] | None = None
    """Layers of every stage, from the first to the last, or of every chunk in the order of the model: ``[3, 4, 4, 3]``. The embedding
    stands on the first stage, the head on the last; 0 leaves them alone there. Dealt out evenly when not given."""
    vocabulary_parallel: bool = False
    """The words of embedding and head are shared out over the pipeline stages too (Yeung et al. 2024, arXiv:2411.05288)."""
    data: Degree | None = None
    context: Degree = 1
    expert: Degree = 1
    expert_tensor: Degree | None = None
    """Tensor degree inside an expert; ``tensor`` when not given."""
    microbatch: Degree = 1
    """Sequences per data-parallel rank and forward pass."""
    sequence_parallel: bool = True
    """Norms, dropout and residuals split over the tensor ranks (Korthikanti et al. 2022); no effect at tensor 1."""
    sharding: Annotated[Sharding, one_of(Sharding), said(Sharding)] = Sharding.none
    shard_group: Degree | None = None
    """Ranks one shard spans; all data-parallel ranks when not given."""
    recompute: Annotated[Recompute, one_of(Recompute), said(Recompute)] = Recompute.none
    recompute_layers: Annotated[int, whole(least=0)] | None = None
    """Layers per stage that ``recompute: full`` covers; all when not given. Every other layer is half of them."""
    recompute_modules: (
        Annotated[tuple[Annotated[Module, one_of(Module), said(Module)], ...], Field(min_length=1)] | None
    ) = None
    """What ``recompute: selective`` repeats, in Megatron-Core's words (``[core_attn, moe_act, layernorm]``); what the stack means by it
    when not given."""
    schedule: Annotated[Schedule, one_of(Schedule), said(Schedule)] = Schedule.f1b1
    sequence_method: Annotated[SequenceMethod, one_of(SequenceMethod), said(SequenceMethod)] = SequenceMethod.zigzag
    ulysses: Degree | None = None
    """Ranks of ``context`` that exchange heads under ``hybrid``; those in one node when not given."""
    vision: Annotated[VisionPlacement, one_of(VisionPlacement), said(VisionPlacement)] = VisionPlacement.first_stage
    """Where a vision encoder in front of a language model runs."""
    vision_gpus: Annotated[int, whole(least=0)] = 0
    """Accelerators of its own that ``vision: separate`` takes; the rest hold the language model."""
    loss_blocks: Degree | None = None
    """Blocks of a micro-batch's tokens that the head and its loss run over, one after another, so that one block's logits exist at
    a time; as the stack does when not given."""
    offload_optimizer: bool = False
    """Optimiser states in host memory, updated there (ZeRO-Offload)."""
    offload_parameters: bool = False
    """Weights too: each layer's comes from the host for its passes (ZeRO-Infinity, or blocks swapped in and out)."""
    offload_activations: bool = False
    optimizer_in_backward: bool = False
    """Each gradient is applied as soon as it is there, and freed: one layer's exist at a time."""
    expandable_segments: bool = False
    """The allocator grows its segments instead of adding some (``PYTORCH_CUDA_ALLOC_CONF``): little is held beyond the tensors."""

    @model_validator(mode="before")
    @classmethod
    def _chunks_interleave(cls, data: Any) -> Any:
        """Several chunks set the schedule that runs them, where none is said."""
        if not isinstance(data, Mapping) or "schedule" in data or str(data.get("interleave") or 1) == "1":
            return data
        return {**data, "schedule": word(Schedule, Schedule.interleaved)}

    @model_validator(mode="before")
    @classmethod
    def _modules_are_selective(cls, data: Any) -> Any:
        """Modules set the mode that repeats them, where none is said."""
        if not isinstance(data, Mapping) or data.get("recompute_modules") is None or "recompute" in data:
            return data
        return {**data, "recompute": Recompute.selective}

    @model_validator(mode="after")
    def _together(self) -> "Layout":
        if self.recompute_modules is not None and self.recompute is not Recompute.selective:
            said = word(Recompute, self.recompute)
            raise ValueError(
                f"only recompute: selective repeats what recompute_modules say, not recompute: {said}; leave one of them out"
            )
        if self.interleave > 1 and self.schedule is not Schedule.interleaved:
            said = word(Schedule, self.schedule)
            raise ValueError(
                f"only schedule: interleaved runs interleave {self.interleave}, not schedule: {said}; leave one of them out"
            )
        chunks = self.pipeline * self.interleave
        if self.stage_layers is not None and len(self.stage_layers) not in (self.pipeline, chunks):
            raise ValueError(
                f"{len(self.stage_layers)} numbers stand in stage_layers; pipeline {self.pipeline} asks for {self.pipeline}, one a stage"
                + (f", or for {chunks}, one a chunk" if chunks > self.pipeline else "")
            )
        return self

    def replaced(self, **fields: Array | None) -> "Layout":
        """The same layout with some fields set, to arrays for a sweep; nothing is validated."""
        return self.model_copy(update=fields)

    @property
    def model_parallel(self) -> Array:
        """Accelerators that hold one copy of the model."""
        return np.multiply(np.multiply(self.tensor, self.pipeline), self.context)

    @property
    def encoder_gpus(self) -> Array:
        """Accelerators that hold no language model: ``vision_gpus`` where vision stands separate."""
        return np.where(np.equal(self.vision, VisionPlacement.separate), self.vision_gpus, 0)
