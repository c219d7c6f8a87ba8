"""From a measured row to the inputs of ``step``. Missing values are not guessed: they are a reason to skip the row."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from gpuhours.architecture.decoder import Decoder
from gpuhours.hardware.accelerators import Accelerator, load_accelerator
from gpuhours.hardware.kernel_constants import generation_constants
from gpuhours.hardware.networks import implied_network
from gpuhours.hardware.nodes import Node
from gpuhours.hardware.number_formats import FORMATS, Precision
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import words
from gpuhours.layout.layout import Layout
from gpuhours.layout.schedules import SCHEDULES, Schedule
from gpuhours.layout.sequence_methods import SequenceMethod
from gpuhours.layout.validity import ENDS, chunks_divide, refuse_placement
from gpuhours.questions.validating.accelerators import accelerator_of
from gpuhours.questions.validating.architecture import decoder_of, unusable, with_published_shape
from gpuhours.questions.validating.leaving_out import (
    accelerator_without,
    as_unmeasured,
    libraries_without,
    node_without,
    software_without,
)
from gpuhours.questions.validating.rows import Row
from gpuhours.questions.validating.stated import (
    DISPATCHERS,
    Degrees,
    UnstatedError,
    chunks_of,
    degrees_of,
    dispatch_words,
    dtype_of,
    expert_of,
    microbatch_of,
    needed,
    not_understood,
    recompute_layers_of,
    recompute_modules_of,
    recompute_of,
    scaled_by_row,
    schedule_of,
    sharding_of,
    state_of,
)
from gpuhours.questions.validating.words import (
    family_alone,
    kernel_in,
    method_in,
    node_of,
    optimiser_in,
    software_of,
    stack_said,
    stack_stands_in,
    with_named,
)
from gpuhours.run.novelty import Traits, kind_of
from gpuhours.software.figures import Dispatch, Traffic
from gpuhours.software.profile import Software, load_software

SCOPES = {
    "mlp": "mlp", "attn": "attention-block", "attention": "attention-block", "attention-core": "attention",
    "attention core": "attention", "all-but-attention": "all-but-attention", "all-but-half-attention": "all-but-half-attention",
    "except attention outputs of part": "all-but-half-attention", "except attention outputs": "all-but-attention",
}  # fmt: skip
"""Descriptions of what is recomputed -> ``Software.selective``."""
INSTEAD = {
    "flash1": ("flash2", "cudnn"), "flash2": ("cudnn", "flash1"), "flash3": ("cudnn", "flash2", "flash1"), "cudnn": ("flash2", "flash1"),
}  # fmt: skip
"""Attention kernel -> kernels to use instead on a GPU generation that does not support it, nearest first."""
ROW_WISE = "8-bit GEMMs scaled by row, computed at the rate of 16-bit ones"
FLASH_YEAR = 2023
"""Year from which training stacks have FlashAttention unless stated otherwise (Dao et al., May 2022; Dao, July 2023)."""
MOST_CHUNKS = 12
"""Largest number of chunks per stage assumed for an interleaved schedule that does not state it: NVIDIA's recipes have down to one layer
per chunk and up to 12 chunks."""


@dataclass(frozen=True)
class Case:
    """One run, ready to be predicted."""

    row: Row
    decoder: Decoder
    tokens: int
    global_batch: int
    layout: Layout
    accelerator: str
    chip: Accelerator
    """The accelerator's figures and kernels, without what is left out."""
    node: Node
    bandwidth: float | None
    delay: float
    """See ``Cluster``."""
    gpus: int
    software: Software
    kernel: str
    precision: Precision
    remarks: tuple[str, ...]
    without: str = ""
    """The system that its constants exclude; empty: none."""
    left_out: tuple[str, ...] = ()
    """What was left out to exclude it."""

    @property
    def traits(self) -> Traits:
        """The traits by which its similarity to other runs is judged."""
        kind = kind_of(experts=self.decoder.experts is not None, partly=self.decoder.trainable != "full", frames=False)
        return Traits(
            self.software.name, self.accelerator, self.chip.generation, self.precision.dtype, kind, self.gpus, self.tokens,
            stack_said=stack_said(self.row) and not family_alone(self.row),
            stands_in=stack_stands_in(self.row) or family_alone(self.row),
        )  # fmt: skip


def case_of(row: Row, without: str = "", stack: str | None = None) -> Case | str:
    """The case, or why the row cannot be predicted. ``without``: use constants that exclude this system's measured runs. ``stack``: use
    this profile whatever the row says."""
    try:
        return _case(row, without, stack)
    except UnstatedError as reason:
        return str(reason)
    except EstimateError as error:
        return " ".join((error.problem, error.hint)).strip()
    except (ArithmeticError, ValueError) as error:  # figures that no model or machine can have
        return f"implausible figures: {str(error).splitlines()[0][:80]}"


def _profiles_without(
    without: str, row: Row, software: Software, accelerator: str, node: Node
) -> tuple[Software, Accelerator, Node, tuple[str, ...]]:
    """The profiles of the stack, the accelerator and the node without what was measured by the system ``without``, and what that was."""
    software, profile = software_without(software.name, without)
    software = software.of_year(row.number("year"))
    libraries, newer = libraries_without(software.libraries, without)
    software = software.model_copy(update={"libraries": libraries})
    chip, kernels = accelerator_without(accelerator, without)
    node, network = node_without(node, without)
    return software, chip, node, (*profile, *newer, *kernels, *network)


def _profiles(
    row: Row, software: Software, accelerator: str, without: str
) -> tuple[Software, Accelerator, Node, tuple[str, ...]]:
    """The profiles of the stack (of the row's year, on its host), the accelerator and the node, and what was left out to exclude
    ``without``."""
    software = software.of_year(row.number("year"))
    chip, node = load_accelerator(accelerator), node_of(row, accelerator)
    left: tuple[str, ...] = ()
    if without:
        software, chip, node, left = _profiles_without(without, row, software, accelerator, node)
    launch = row.positive("launch_us")
    software = software.on_host(None if launch is None else launch * 1e-6)
    return as_unmeasured(software, left, without, stack_said(row) and stack_stands_in(row)), chip, node, left


def _as_trained(decoder: Decoder, row: Row, software: Software) -> Decoder:
    """The model with the dropout of the row, and with adapters where the stack puts them unless the row says where."""
    if decoder.trainable == "lora" and software.adapters.targets and row.word("lora_targets") is None:
        decoder = decoder.model_copy(update={"targets": software.adapters.targets})
    return decoder.model_copy(update={"dropout": _drops(row, software, decoder)})


def _case(row: Row, without: str, stack: str | None) -> Case:
    if reason := unusable(row):
        raise UnstatedError(reason)
    row, named = with_named(row)
    row, shape = with_published_shape(row)
    length, batch, degrees = needed(row, "seq_len"), needed(row, "global_batch"), degrees_of(row)
    accelerator, remark = accelerator_of(row)
    if accelerator is None:
        raise UnstatedError("accelerator not stated, or without a matching profile")
    software, other = software_of(row) if stack is None else (load_software(stack), "")
    software, chip, node, left = _profiles(row, software, accelerator, without)
    decoder, why = decoder_of(row)
    if decoder is None:
        raise UnstatedError(why)
    decoder = _as_trained(decoder, row, software)
    precision = _precision(row, software, chip)
    chip.peak_for(precision.gemm)
    software = software.model_copy(update={**_scope(row, software), **_dispatch(row, software)})
    bandwidth, delay = _network(row, node, degrees.gpus)
    layout = _layout(row, software, decoder, degrees, batch)
    return Case(
        row=row,
        decoder=decoder,
        tokens=length,
        global_batch=batch,
        layout=layout,
        accelerator=accelerator,
        chip=chip,
        node=node,
        bandwidth=bandwidth,
        delay=delay,
        gpus=degrees.gpus,
        software=software,
        kernel=_kernel(row, software, chip.generation),
        precision=precision,
        remarks=tuple(filter(None, (remark, other, named, shape, *_remarks(row, layout)))),
        without=without if left else "",
        left_out=left,
    )


def _remarks(row: Row, layout: Layout) -> tuple[str, ...]:
    """What was supposed or not understood in reading a row."""
    spread = layout.expert if layout.expert > 1 and row.positive("ep") is None else 1
    supposed = f"expert degree {spread}, usual for the stack" if spread > 1 else ""
    return (ROW_WISE if scaled_by_row(row) else "", supposed, *not_understood(row))


def _network(row: Row, node: Node, gpus: int) -> tuple[float | None, float]:
    """B/s per GPU between nodes and the delay per ring step: from an all-reduce measured in the run, otherwise as stated."""
    met, stated = row.positive("allreduce_GBps"), row.positive("internode_GBps_per_gpu")
    if met is not None:
        return implied_network(node, met * 1e9, gpus)
    return None if stated is None else stated * 1e9, 0.0


def _kernel(row: Row, software: Software, generation: str) -> str:
    """The attention kernel as stated, otherwise the stack's (unfused before ``FLASH_YEAR``); if the GPU generation does not support it,
    the nearest kernel that it does."""
    detail, kind = row.word("attention_kernel") or "", row.word("attention_kind")
    stated = "flash" if "triton" in detail else kernel_in(kind or detail)
    usual = "unfused" if (row.number("year") or FLASH_YEAR) < FLASH_YEAR else software.attention_kernel(generation)
    kernel = software.flash_kernel(row.number("year")) if stated == "flash" else stated or usual
    known = ("unfused", *generation_constants(generation).attention)
    return next((one for one in (kernel, *INSTEAD.get(kernel, ())) if one in known), "unfused")


def _precision(row: Row, software: Software, chip: Accelerator) -> Precision:
    """Formats as stated; otherwise the card's 16-bit format and the stack's own optimiser state."""
    wide = "bf16" if "bf16" in chip.peak else "fp16"
    dtype = dtype_of(row, wide)
    if dtype == "bf16":
        dtype = wide
    return Precision(dtype, state_of(row, software.defaults.state), optimiser_in(row.word("optimizer") or ""))


def _layout(row: Row, software: Software, decoder: Decoder, degrees: Degrees, batch: int) -> Layout:
    """The layout as stated, and as far as it can be derived (``validation.stated``)."""
    tensor, context = degrees.tensor, degrees.context
    if row.word("sequence_method") == "tensor" and tensor == 1:
        tensor, context = context, 1
    sharding = sharding_of(row, software.defaults.sharding)
    schedule, interleave = _schedule(row, software, decoder, degrees.pipeline)
    shard_group, blocks = row.positive("shard_group"), row.positive("loss_blocks")
    fields: dict[str, Any] = {
        "tensor": tensor, "pipeline": degrees.pipeline, "interleave": interleave, "data": degrees.data, "context": context,
        "expert": expert_of(row, software.dispatch, decoder.experts, degrees, sharding),
        "expert_tensor": _expert_tensor(row, software, decoder),
        "microbatch": microbatch_of(row, batch, degrees.data), "sequence_parallel": _sequence_parallel(row, software),
        "sharding": sharding, "shard_group": None if shard_group is None else max(1, int(shard_group)),
        "recompute": recompute_of(row, _recomputed(row, software, decoder)),
        "recompute_modules": recompute_modules_of(row),
        "recompute_layers": recompute_layers_of(row, int(decoder.layers), degrees.pipeline),
        "schedule": schedule, "offload_activations": _offloads(row, "activations", "recompute"),
        "offload_optimizer": _offloads(row, "optimizer", "zero_stage"), "offload_parameters": "param" in (row.word("offload") or ""),
        "optimizer_in_backward": "in backward" in (row.word("optimizer") or "").lower(),
        "sequence_method": _sequence_method(row, software), "loss_blocks": None if blocks is None else max(1, int(blocks)),
    }  # fmt: skip
    layers = int(decoder.layers)
    try:
        layout = Layout(**fields, stage_layers=_stage_layers(row, layers, degrees.pipeline, interleave))
        refuse_placement(layout, layers)
    except ValidationError as error:
        first = error.errors()[0]
        own = first["msg"].removeprefix("Value error, ")
        raise UnstatedError(
            f"{first['loc'][0]} = {first['input']:g}: not possible in any layout" if first["loc"] else own
        ) from None
    except EstimateError as error:
        raise UnstatedError(": ".join(one.removesuffix(".") for one in (error.problem, error.hint) if one)) from None
    return layout


def _recomputed(row: Row, software: Software, decoder: Decoder) -> str:
    """What the stack recomputes if a row does not say."""
    narrow = FORMATS[dtype_of(row, "bf16")].unpacked
    return software.defaults.recomputed(adapters=decoder.trainable == "lora", narrow=narrow)


def _stage_layers(row: Row, layers: int, pipeline: int, interleave: int) -> tuple[int, ...] | None:
    """Layers of every stage as stated (``7 8 8 7``); None for equal chunks.

    If equal chunks would need three layers more than the model has, the first and last stage have one layer fewer, and so has the stage
    before the last (or the last again, with two stages). This is the case of DeepSeek-V3's 61 layers in NVIDIA's recipes, where the third
    place is taken by the multi-token prediction layer (not modelled).
    """
    stated = row.word("stage_layers")
    if stated is not None:
        return tuple(int(number) for number in re.findall(r"\d+", stated))
    if pipeline == 1 or chunks_divide(layers, pipeline, interleave):
        return None
    each = -(-layers // (pipeline * interleave))
    if each * pipeline * interleave - layers != ENDS + 1:
        return None
    by_stage = [each * interleave] * pipeline
    for stage in (0, -1, -2 if pipeline > 2 else -1):
        by_stage[stage] -= 1
    return tuple(by_stage)


def _schedule(row: Row, software: Software, decoder: Decoder, pipeline: int) -> tuple[Schedule, int]:
    """The schedule and its chunks per stage; if an interleaved one does not state them, as many as ``chunks_of`` allows."""
    stated, deepest = row.positive("vp"), max(1, -(-int(decoder.layers) // pipeline))
    schedule = schedule_of(row)
    if schedule is None and stated is None and software.defaults.interleaved:
        schedule = Schedule.interleaved
    if schedule is None:
        schedule = Schedule.interleaved if (stated or 1) > 1 else Schedule.f1b1
    if pipeline == 1:
        return schedule, 1
    if stated is None:
        return schedule, chunks_of(int(decoder.layers), pipeline, MOST_CHUNKS) if SCHEDULES[schedule].chunked else 1
    return schedule, min(int(stated), deepest)


def _expert_tensor(row: Row, software: Software, decoder: Decoder) -> int | None:
    """The tensor degree inside experts: a column, otherwise the notes, otherwise the stack's."""
    if decoder.experts is None:
        return None
    stated = row.positive("expert_tensor")
    if stated is not None:
        return int(stated)
    degree = re.search(r"expert tensor parallel (\d+)", row.word("notes") or "")
    if degree:
        return int(degree[1])
    return 1 if software.dispatch.folded or "folding" in (row.word("framework") or "").lower() else None


def _offloads(row: Row, what: str, told_in: str) -> bool:
    noted = f"{what} offload on" in (row.word("notes") or "").lower()
    return noted or what in (row.word("offload") or "") or "offload" in (row.word(told_in) or "")


def _sequence_method(row: Row, software: Software) -> SequenceMethod:
    """How context ranks split a sequence, as the row says; a ring is load-balanced (zigzag) if the stack's is."""
    said = method_in(row.word("sequence_method") or "")
    return SequenceMethod(words(SequenceMethod)["ring" if said == "zigzag" and not software.context.balanced else said])


def _drops(row: Row, software: Software, decoder: Decoder) -> bool:
    """Whether dropout is applied to scores and hidden states: as the column ``dropout`` says, otherwise as usual for the model family,
    otherwise the stack's own default (``Defaults.dropout``) if all weights train and the stack is not a stand-in.

    Megatron-LM and Megatron-DeepSpeed default to 0.1 for both unless a script sets them; until 2025 DeepSpeed-Ulysses existed only in
    Megatron-DeepSpeed. This is not fitted on rows: FlashAttention-2 takes 1.16 to 1.18 times as long with dropout (measured on H200),
    and attention under Megatron-LM and DeepSpeed-Ulysses would need a factor of 1.12 to 1.23 in two sources, under other stacks none.
    """
    stated = row.number("dropout")
    if stated is not None:
        return stated > 0
    usual = "none" if stack_stands_in(row) else software.defaults.dropout
    dropped = usual != "none" and usual in ("all", _sequence_method(row, software).name)
    return decoder.dropout or (decoder.trainable == "full" and dropped)


def _sequence_parallel(row: Row, software: Software) -> bool:
    stated = row.flag("seq_parallel")
    return software.sequence_parallel if stated is None else stated


def _scope(row: Row, software: Software) -> dict[str, str]:
    """What selective recomputation covers, from ``recompute_scope`` or the wording of ``recompute``; empty if the row does not say."""
    text = row.word("recompute_scope") or row.word("recompute") or ""
    return next(
        (
            {"selective": scope}
            for words, scope in SCOPES.items()
            if text == words or (len(words) > 9 and words in text)
        ),
        {},
    )


def _dispatch(row: Row, software: Software) -> dict[str, Dispatch]:
    """How tokens are dispatched to experts, as far as the row says: by DeepEP or HybridEP, which send a token once to each rank that holds
    some of its experts and sort tokens in the same kernel (their documentation); or with a fixed capacity per expert relative to the mean
    load ("capacity factor 1"), where excess tokens are dropped and free slots padded."""
    text = dispatch_words(row)
    factor = re.search(r"capacity factor\D{0,4}(\d+(?:\.\d+)?)", text)
    capacity = row.positive("expert_capacity") or (None if factor is None else float(factor[1]))
    said: dict[str, Any] = {}
    if DISPATCHERS.search(text):
        said = {"sends": "ranks", "packing": Traffic(forward=0.0, backward=0.0)}
    elif capacity is not None:
        said = {"load": capacity, "packing": software.dispatch.slots}
    return {"dispatch": software.dispatch.model_copy(update=said)} if said else {}
