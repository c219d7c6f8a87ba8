"""Parse what a row states about its layout, in any wording, and derive what follows from it.

A blank is filled only if the rest of the row determines it (``dp`` from the number of accelerators, one sequence per rank if there are as
many sequences as ranks), or by the stack's documented default. Otherwise the row is skipped.
"""

from __future__ import annotations

import re

from gpuhours.architecture.decoder_shapes import Experts
from gpuhours.hardware.number_formats import FORMATS, WORDS
from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import Module, Recompute, Sharding, words
from gpuhours.layout.schedules import Schedule
from gpuhours.questions.validating.rows import Row
from gpuhours.run.default_layout import usual_expert_degree
from gpuhours.software.figures import Dispatch

DTYPES = WORDS | {
    "amp": "", "o1": "", "mixed": "", "16bit": "", "tensorfloat32": "tf32", "32true": "fp32", "32bit": "fp32", "fp8mx": "mxfp8",
}  # fmt: skip
"""Number formats as spelled in tables; an empty value is an unspecified 16-bit format."""
_FORMAT = rf"(?:{'|'.join(sorted(filter(None, DTYPES), key=len, reverse=True))})"
_ASIDE = (
    r"(?:optimi[sz]er|adam|moment|master|states?\b|grad|(?:all.?)?gather|reduc|comm|collective|dispatch|all.?to.?all|a2a\b|kv.?cache"
    r"|checkpoint)"
)
BESIDE = re.compile(
    rf"\b{_FORMAT}[ -](?:\w+[ -])?{_ASIDE}\w*|\b{_ASIDE}\w*(?: \w+)?(?: (?:in|at|with)|:|=) ?{_FORMAT}\b"
)
"""A format that is said of what is stored or sent, not of the GEMMs."""
COMPUTED = re.compile(
    rf"\b({_FORMAT})[ -](?:compute|computation|gemms?|mat.?mul\w*|products?|math)\b"
    rf"|\b(?:compute|computation|gemms?|mat.?mul\w*|products?|math)(?: (?:in|at|with)|:|=) ?({_FORMAT})\b"
)
"""A format that is said of the GEMMs."""
SHARDINGS = (
    (r"no.?shard", Sharding.none),
    (r"zero\W*3|\bz3\b|stage.?3", Sharding.zero3),
    (r"zero\W*2|\bz2\b|stage.?2|grad.?op|no reshard|reshard.after.forward\W*(false|off|no|0)\b", Sharding.zero2),
    (
        r"fsdp|hsdp|full(y)?.?shard|hybrid.?shard|zero\+\+|zero.?infinity|^3$|optim-grads-params",
        Sharding.zero3,
    ),
    (r"^2$|optim-grads", Sharding.zero2),
    (
        r"zero\W*1|\bz1\b|dist(ributed)?.?(fused.)?(opt\b|optim|adam)|zero.?offload|^1$|stage.?1|^os$|^optim(izer)?(.states?)?$|optimizer.states?.shard",
        Sharding.zero1,
    ),
    (r"none|^no$|zero\W*0|^0$|replicat|(un|not |without |no )-?shard", Sharding.none),
    (r"^(?!.*shard).*(ddp|\bdp\b|data.?parallel)", Sharding.none),
)
"""Patterns for what data-parallel ranks shard, first match wins; underscores are read as hyphens. "Sharded data parallel" leaves open what
is sharded."""
RECOMPUTES = (
    (
        r"^(none|no|off|false|0|disabled|not|without)\b|not (used|enabled|applied)"
        r"|^(?!.*offload)[\w\s-]*"
        r"(checkpoint|recomput|remat|ckpt|\bs?ac\b|\bgc\b|selective|\bmlp\b|\battn\b)"
        r"[\w\s-]*[=: (]+(none|no|off|false|0|disabled|unused)\)?$",
        Recompute.none,
    ),
    (r"^full\b(?!.*((?<!not )selective|attention only|except (?!0|no)|\+\+))", Recompute.full),
    (
        r"selective|attention only|^attention$|\bcore\b|\battn\b|\bmlp\b|every op|\bsac\b|\+\+|minimal|dots-|recompute-activations"
        r"|moe-act|layer-?norm|up-proj|\bmoe\b|shared-experts",
        Recompute.selective,
    ),
    (
        r"full|block|uniform|(per|every|all|each).?layer|checkpoint|recomput|remat|save-nothing|\bckpt\b|^(yes|true|1|on|all|enabled)\b",
        Recompute.full,
    ),
)
"""Patterns for what is recomputed, first match wins; underscores are read as hyphens. A word for "off" at the end counts if it is said of
recomputation, not of a part or of offloading."""
EVERY_OTHER = r"every (other|second|2nd) (layer|block)|half of the (layers|blocks)|alternate (layers|blocks)"
SOME_LAYERS = r"(\d+) ?(?:of|out of|/) ?(\d+) (?:layers|blocks)"
"""Pattern for full recomputation of some layers."""
_ONE_CHUNK = r"(non|not|no|without).{0,2}(interleav|virtual|vpp)|(interleav\w*|virtual[ \w-]*|vpp?)(\W*(off|none|false)\b|\W+1\b)"
SCHEDULES = (
    (r"zb-?2p|zb-?h2", Schedule.zb2p),
    (r"zb|zero.?bubble|dualpipe|chimera", Schedule.zb1p),
    (rf"^(?!.*(gpipe|afab|fill.?drain)).*({_ONE_CHUNK})", Schedule.f1b1),
    (rf"^(?!.*({_ONE_CHUNK})).*(interleav|1f1b-?i\b|virtual|vpp|circular|loop|breadth)", Schedule.interleaved),
    (r"gpipe|afab|fill.?drain", Schedule.gpipe),
    (r"1f1b|pipedream", Schedule.f1b1),
)
"""Patterns for the order of a pipeline's passes. Bidirectional pipelines (DualPipe, Chimera) and ZB-V have about ZB-1p's third of the
bubble."""
DISPATCHERS = re.compile(r"\b(deep|hybrid)-?ep\b")
"""Names of libraries that send tokens between the ranks that share a layer's experts."""
STATES = (
    (r"autocast|\bamp\b(?!.*\bo2\b)|\b(bf16|fp16|16)-mixed", "amp"),
    (r"\bpure\b|-true\b|(all|everything) (in )?(bf16|16)", "pure"),
)
"""Patterns for what the optimiser stores, first match wins; "mixed" alone may be either of the two usual kinds."""
NO_CHUNKS = r"\b(vp|virtual|interleav\w*|chunks)\b[^;.]*\bnot (given|stated|printed|said|in the table)"
"""Pattern for a table that does not state the chunks of its pipelines."""
ACCUMULATION = r"grad\w*\.? ?acc\w*(?: steps?)?\W{0,4}(\d+)"
"""Pattern for the number of passes accumulated into one step's gradient."""

MOST = 1e15
"""Largest plausible count in a cell."""


class UnstatedError(Exception):
    """An input that a prediction needs is neither stated nor implied by the row."""


@dataclass(frozen=True)
class Degrees:
    """Degrees of parallelism; their product is ``gpus``."""

    gpus: int
    tensor: int
    pipeline: int
    context: int
    data: int


def degrees_of(row: Row) -> Degrees:
    """The degrees as stated, with one blank derived from the others: gpus = tp x pp x cp x dp.

    If all are stated and contradict each other, the GPU count is trusted and ``dp`` (which some tables count without shards, experts or
    context ranks) is derived from it; if that leaves ranks without a sequence, ``cp`` is raised.
    """
    stated = {name: _whole(row, name) for name in ("tp", "pp", "cp", "dp")}
    gpus = _whole(row, "gpus")
    product = 1
    for value in stated.values():
        product *= value or 1
    if gpus is None:
        if stated["dp"] is None or stated["tp"] is None or stated["pp"] is None:
            raise UnstatedError("gpus not stated")
        gpus = product
    missing = [name for name in ("tp", "pp") if stated[name] is None]
    if len(missing) == 1 and stated["dp"] is not None and gpus % product == 0:
        stated[missing.pop()] = gpus // product
    if missing and product != gpus:
        raise UnstatedError(f"{' and '.join(missing)} not stated")
    tensor, pipeline, context = (stated[name] or 1 for name in ("tp", "pp", "cp"))
    if gpus % (tensor * pipeline * context):
        raise UnstatedError(f"tp x pp x cp = {tensor * pipeline * context} does not divide {gpus} GPUs")
    data, batch = gpus // (tensor * pipeline * context), _whole(row, "global_batch") or gpus
    if data > batch and stated["dp"] is not None and gpus % (tensor * pipeline * stated["dp"]) == 0:
        data = stated["dp"]
        context = gpus // (tensor * pipeline * data)
    return Degrees(gpus, tensor, pipeline, context, data)


def microbatch_of(row: Row, global_batch: int, data: int) -> int:
    """Sequences per rank in a micro-batch: as stated or from the stated number of accumulation passes, at most the rank's share of the
    batch; 1 if that share is 1. Raises ``UnstatedError`` if none of these is known."""
    stated = _whole(row, "micro_batch")
    share = max(1, global_batch // data)
    passes = re.search(ACCUMULATION, (row.word("notes") or "").lower())
    if stated is None and passes is not None and int(passes[1]) > 0:
        stated = max(1, share // int(passes[1]))
    if stated is None and share > 1:
        raise UnstatedError("micro_batch not stated")
    return min(stated or 1, share)


def needed(row: Row, column: str) -> int:
    """A required whole number; raises ``UnstatedError`` if the cell does not have one."""
    value = _whole(row, column)
    if value is None:
        text = row.word(column)
        raise UnstatedError(f"{column} not stated" if text is None else f"{column} = {text!r} is not one number")
    return value


def scaled_by_row(row: Row) -> bool:
    """Whether 8-bit GEMMs use one scale per row; these ran no faster than 16-bit ones (torchtitan's tables, 2025)."""
    return re.search(r"row.?wise|by.row", f"{row.word('dtype')} {row.word('precision')}".lower()) is not None


def dtype_of(row: Row, usual: str) -> str:
    """The format of the GEMMs that a row names: the narrowest of several, besides those of what is stored or sent. ``usual`` if none or
    just 16-bit, or for 8-bit GEMMs scaled by row."""
    said = [text for text in (row.word("dtype"), row.word("precision")) if text is not None]
    if scaled_by_row(row):
        return usual
    for text in said:
        joined = re.sub(r"(?<![a-z\d])(\d+)[- ](?=(?:bit|true)\b)|(fp8)[-_ ](?=mx\b)", r"\1\2", text.lower())
        known = _formats_in(BESIDE.sub(" ", joined)) or _formats_in(joined)
        computed = {DTYPES[one] for pair in COMPUTED.findall(joined) for one in pair if one}
        if computed:  # weights that are only stored in 4 bit make a format of their own
            known = [one for one in known if one in computed or (one and FORMATS[one].frozen < FORMATS[one].input)]
        if known:
            return min(filter(None, known), key=_width, default=usual)
    if said:
        raise UnstatedError(f"number format {said[0]!r} is not known")
    return usual


def _formats_in(text: str) -> list[str]:
    """The formats whose names occur in a text."""
    names = re.findall(r"[a-z]+\d*[a-z]*\d*|\d+(?:bit|true)", text)
    return [DTYPES[name] for name in names if name in DTYPES]


def expert_of(row: Row, dispatch: Dispatch, experts: Experts | None, degrees: Degrees, sharding: Sharding) -> int:
    """The expert degree as stated, otherwise the stack's usual one; 1 where every rank gathers all experts (ZeRO-3), unless a library is
    named that sends tokens between ranks."""
    stated = row.positive("ep")
    if stated is not None or experts is None or degrees.gpus == 1:
        return int(stated or 1)
    if dispatch.most_ranks > 1:
        return usual_expert_degree(dispatch.most_ranks, degrees.data, int(experts.count))
    if sharding is not Sharding.zero3 or DISPATCHERS.search(dispatch_words(row)) is not None:
        raise UnstatedError("expert degree (ep) not stated")
    return 1


def dispatch_words(row: Row) -> str:
    """The texts of a row that may say how tokens are sent to experts."""
    return " ".join(row.word(column) or "" for column in ("mfu_convention", "notes", "framework")).lower()


def state_of(row: Row, usual: str) -> str:
    """What the optimiser stores, as ``training_state`` or the words of the precision say, otherwise the stack's default."""
    said = (row.word("training_state") or "").lower()
    if said in ("amp", "mixed", "pure"):
        return said
    texts = (said, (row.word("precision") or "").lower(), (row.word("dtype") or "").lower())
    return next((state for text in texts for pattern, state in STATES if re.search(pattern, text)), usual)


def not_understood(row: Row) -> tuple[str, ...]:
    """Remarks on cells whose words say nothing that is known, so that the stack's default is taken."""
    columns = (
        ("sharding", SHARDINGS),
        ("recompute", (*RECOMPUTES, (EVERY_OTHER, 0), (SOME_LAYERS, 0))),
        ("schedule", SCHEDULES),
    )
    return tuple(
        f"{column} {row.word(column)!r} not understood: as usual for the stack"
        for column, patterns in columns
        if row.word(column) is not None and _read(patterns, row.word(column)) is None
    )


def _width(dtype: str) -> tuple[float, float]:
    """Orders formats named together: the one with the smallest inputs or frozen weights is that of the GEMMs; blocks have scales."""
    known = FORMATS[dtype]
    return min(known.input, known.frozen), -known.scale


def sharding_of(row: Row, usual: str) -> Sharding:
    """What data-parallel ranks shard, from the columns ``sharding`` or ``zero_stage``, otherwise the stack's default."""
    for column in ("sharding", "zero_stage"):
        word = _read(SHARDINGS, row.word(column))
        if word is not None:
            return Sharding(word)
    return Sharding[usual]


def recompute_of(row: Row, usual: str) -> Recompute:
    """What is recomputed, from the words of two columns, otherwise the stack's default."""
    kind, words = (row.word("recompute_kind") or "").lower(), (row.word("recompute") or "").lower()
    if re.search(EVERY_OTHER, words) or re.search(SOME_LAYERS, words):
        return Recompute.full
    if kind in Recompute.__members__:
        return Recompute[kind]
    word = _read(RECOMPUTES, row.word("recompute") or (kind or None))
    return Recompute[usual] if word is None else Recompute(word)


def recompute_modules_of(row: Row) -> tuple[Module, ...] | None:
    """The modules that a row names as Megatron-Core does (``layernorm moe_act``); None if it names none, or ``mlp`` alone, which other
    stacks recompute as well, or names them beside "none" or "full"."""
    told = row.word("recompute")
    text = row.word("recompute_scope") or (told if _read(RECOMPUTES, told) == Recompute.selective else None) or ""
    text = text.lower()
    named = tuple(one for one in Module if re.search(rf"\b{one.name.replace('_', '[-_ ]?')}\b", text))
    return None if set(named) <= {Module.mlp} else named


def recompute_layers_of(row: Row, layers: int, pipeline: int) -> int | None:
    """Layers per stage that full recomputation covers, from a column for the whole model or from words ("every other layer", "24 of 32
    blocks"); None for all."""
    text = (row.word("recompute") or "").lower()
    part = re.search(SOME_LAYERS, text)
    covered = _whole(row, "recompute_layers")
    if covered is None and re.search(EVERY_OTHER, text):
        covered = -(-layers // 2)
    if covered is None and part is not None:
        covered = round(layers * min(1.0, float(part[1]) / max(float(part[2]), 1.0)))
    return None if covered is None else -(-covered // pipeline)


def schedule_of(row: Row) -> Schedule | None:
    """The pipeline schedule as stated, by its word in run files or by a pattern; None if unstated, or for 1F1B if the notes say that chunks
    are not given (it may be interleaved)."""
    cell = row.word("schedule")
    word = words(Schedule).get((cell or "").lower(), _read(SCHEDULES, cell))
    if word == Schedule.f1b1 and row.positive("vp") is None and re.search(NO_CHUNKS, (row.word("notes") or "").lower()):
        return None
    return None if word is None else Schedule(word)


def chunks_of(layers: int, pipeline: int, most: int) -> int:
    """Chunks per stage assumed for an interleaved schedule that does not state them: the largest number up to ``most`` that divides the
    layers of a stage."""
    deep = -(-layers // pipeline)
    return max((chunks for chunks in range(1, most + 1) if deep % chunks == 0), default=1)


def _read(words: tuple[tuple[str, int], ...], text: str | None) -> int | None:
    plain = "" if text is None else text.lower().replace("_", "-")
    return next((value for pattern, value in words if plain and re.search(pattern, plain)), None)


def _whole(row: Row, column: str) -> int | None:
    text = (row.word(column) or "").lower()
    thousands = re.fullmatch(r"(\d+(?:\.\d+)?)\s*k", text) if column == "seq_len" else None
    value = float(thousands[1]) * 1024 if thousands else row.positive(column)
    return None if value is None or value > MOST else max(1, round(value))
