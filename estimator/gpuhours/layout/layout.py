"""The layout of a step over the accelerators. Every field may be an array: a sweep uses the same class."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from gpuhours.inputs.arrays import Array
from gpuhours.inputs.units import whole
from gpuhours.inputs.yaml_files import Section
from gpuhours.layout.choices import Module, Recompute, Sharding, VisionPlacement, one_of, word, written_as_word
from gpuhours.layout.schedules import SCHEDULES, Schedule
from gpuhours.layout.sequence_methods import SequenceMethod

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
        if self.interleave > 1 and not SCHEDULES[self.schedule].chunked:
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
