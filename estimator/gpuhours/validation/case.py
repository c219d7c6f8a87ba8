"""From a measured row to what ``step`` takes. Blanks are not filled in to look good: what is missing is a reason to skip."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gpuhours.architecture.decoder import Decoder
from gpuhours.errors import EstimateError
from gpuhours.hardware import Node, load_accelerator
from gpuhours.layout import WORDS, Layout, Recompute, Schedule, SequenceMethod, Sharding
from gpuhours.precision import Precision
from gpuhours.software import Software
from gpuhours.validation.architecture import decoder_of, unusable
from gpuhours.validation.rows import Row
from gpuhours.validation.words import DTYPES, KERNELS, METHODS, accelerator_of, node_of, software_of

SCOPES = {
    "mlp": "mlp", "attn": "attention-block", "attention": "attention-block", "attention-core": "attention",
    "attention core": "attention", "all-but-attention": "all-but-attention", "all-but-half-attention": "all-but-half-attention",
    "except attention outputs of part": "all-but-half-attention", "except attention outputs": "all-but-attention",
}  # fmt: skip
"""Words for what is recomputed -> ``Software.selective``."""
MOST_CHUNKS = 12
"""Chunks per stage of an interleaved schedule that does not print them: NVIDIA's recipes go down to one layer, and up to 12."""


@dataclass(frozen=True)
class Case:
    """One run, ready to be predicted."""

    row: Row
    decoder: Decoder
    tokens: int
    global_batch: int
    layout: Layout
    accelerator: str
    node: Node
    bandwidth: float | None
    gpus: int
    software: Software
    kernel: str
    precision: Precision
    remarks: tuple[str, ...]


class _Skip(Exception):
    """Why a row cannot be predicted."""


def case_of(row: Row) -> Case | str:
    """The case, or why the row cannot be predicted."""
    try:
        return _case(row)
    except _Skip as reason:
        return str(reason)
    except EstimateError as error:
        return " ".join((error.problem, error.hint)).strip()


def _case(row: Row) -> Case:
    reason = unusable(row)
    if reason:
        raise _Skip(reason)
    length, batch, gpus = _needed(row, "seq_len"), _needed(row, "global_batch"), _needed(row, "gpus")
    accelerator, remark = accelerator_of(row)
    if accelerator is None:
        raise _Skip("accelerator not stated, or no profile is near it")
    software, other = software_of(row)
    decoder, why = decoder_of(row)
    if decoder is None:
        raise _Skip(why)
    chip = load_accelerator(accelerator)
    precision = _precision(row, software, chip.generation)
    chip.peak_for(precision.product)
    software = software.model_copy(update=_scope(row, software))
    bandwidth = row.positive("internode_GBps_per_gpu")
    stated = "flash" if "triton" in (row.word("attention_kernel") or "") else row.word("attention_kind")
    kernel = software.flash if stated == "flash" else KERNELS.get(stated or "", software.attention_kernel(chip.generation))
    return Case(
        row=row,
        decoder=decoder,
        tokens=length,
        global_batch=batch,
        layout=_layout(row, software, decoder, gpus),
        accelerator=accelerator,
        node=node_of(row, accelerator),
        bandwidth=None if bandwidth is None else bandwidth * 1e9,
        gpus=gpus,
        software=software,
        kernel=kernel,
        precision=precision,
        remarks=tuple(text for text in (remark, other) if text),
    )


def _needed(row: Row, column: str) -> int:
    value = row.positive(column)
    if value is None:
        raise _Skip(f"{column} not stated")
    return max(1, round(value))


def _precision(row: Row, software: Software, generation: str) -> Precision:
    """Formats as stated; 16 bit of the card's time and the stack's own optimiser state where not."""
    text = (row.word("dtype") or row.word("precision") or ("fp16" if generation == "volta" else "bf16")).lower()
    dtype = DTYPES.get(text) or next((known for word, known in DTYPES.items() if text.startswith(word)), None)
    if dtype is None:
        raise _Skip(f"number format {text!r} is not known")
    if generation == "volta" and dtype == "bf16":
        dtype = "fp16"
    state = row.word("training_state")
    return Precision(dtype, state if state in ("amp", "mixed", "pure") else software.defaults.state)


def _layout(row: Row, software: Software, decoder: Decoder, gpus: int) -> Layout:
    """The layout as stated. A degree that is blank is 1 only where the others already account for every GPU."""
    degrees = {name: row.positive(name) for name in ("tp", "pp", "cp", "dp")}
    stated = 1.0
    for value in degrees.values():
        stated *= value or 1.0
    missing = [name for name in ("tp", "pp") if degrees[name] is None]
    if missing and stated != gpus:
        raise _Skip(f"{' and '.join(missing)} not stated")
    tensor, pipeline, context = (int(degrees[name] or 1) for name in ("tp", "pp", "cp"))
    data = int(degrees["dp"] or max(1, gpus // (tensor * pipeline * context)))
    if row.word("sequence_method") == "tensor" and tensor == 1:
        tensor, context = context, 1
    expert = row.positive("ep")
    if decoder.experts is not None and expert is None and gpus > 1:
        raise _Skip("expert degree (ep) not stated")
    schedule, interleave = _schedule(row, software, decoder, pipeline)
    shard_group = row.positive("shard_group")
    fields = {
        "tensor": tensor, "pipeline": pipeline, "interleave": interleave, "data": data, "context": context,
        "expert": int(expert or 1), "expert_tensor": _expert_tensor(row, software, decoder),
        "microbatch": _needed(row, "micro_batch"), "sequence_parallel": _sequence_parallel(row, software),
        "sharding": _word(Sharding, row.word("sharding"), software.defaults.sharding),
        "shard_group": None if shard_group is None else int(shard_group),
        "recompute": _word(
            Recompute, row.word("recompute_kind"), "none" if decoder.trainable == "lora" else software.defaults.recompute
        ),
        "schedule": schedule, "offload_activations": _offloads(row, "activations", "recompute"),
        "offload_optimizer": _offloads(row, "optimizer", "zero_stage"),
        "sequence_method": SequenceMethod(WORDS[SequenceMethod][METHODS.get(row.word("sequence_method") or "", "zigzag")]),
    }  # fmt: skip
    return Layout(**fields)


def _schedule(row: Row, software: Software, decoder: Decoder, pipeline: int) -> tuple[Schedule, int]:
    """The schedule and its chunks; an interleaved one that does not print them has one layer in each, as deep as they come."""
    words = {"1f1b": Schedule.f1b1, "interleaved": Schedule.interleaved, "zb-1p": Schedule.zb1p, "zb-2p": Schedule.zb2p,
             "gpipe": Schedule.gpipe}  # fmt: skip
    stated = row.positive("vp")
    chunks = int(stated or 1)
    schedule = words.get((row.word("schedule") or "").lower())
    if schedule is None and stated is None and software.defaults.interleaved:
        schedule = Schedule.interleaved
    if schedule is None:
        schedule = Schedule.interleaved if chunks > 1 else Schedule.f1b1
    if schedule is Schedule.interleaved and stated is None:
        chunks = min(max(1, int(decoder.layers) // pipeline), MOST_CHUNKS)
    return schedule, chunks if pipeline > 1 else 1


def _expert_tensor(row: Row, software: Software, decoder: Decoder) -> int | None:
    """The tensor degree inside experts: a column, else the words of the notes, else the stack's."""
    if decoder.experts is None:
        return None
    stated = row.positive("expert_tensor")
    if stated is not None:
        return int(stated)
    found = re.search(r"expert tensor parallel (\d+)", row.word("notes") or "")
    if found:
        return int(found[1])
    return 1 if software.dispatch.folded else None


def _offloads(row: Row, what: str, told_in: str) -> bool:
    return what in (row.word("offload") or "") or "offload" in (row.word(told_in) or "")


def _sequence_parallel(row: Row, software: Software) -> bool:
    stated = row.number("seq_parallel")
    return software.sequence_parallel if stated is None else stated == 1


def _scope(row: Row, software: Software) -> dict[str, str]:
    """What a row says that selective recompute meant: a column, else the source's words."""
    text = row.word("recompute_scope") or row.word("recompute") or ""
    return next(({"selective": scope} for words, scope in SCOPES.items() if text == words or (len(words) > 9 and words in text)), {})


def _word(choice: type[Sharding] | type[Recompute], text: str | None, default: str) -> Sharding | Recompute:
    known = {member.name: member for member in choice}
    return known.get((text or "").lower(), known[default])
