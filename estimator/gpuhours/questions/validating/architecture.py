"""A measured row's architecture: from its columns, and from what is known about its model family."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import cache
from typing import Any

from pydantic import ValidationError

from gpuhours.architecture.catalogue import known_as, named, names
from gpuhours.architecture.decoder import Decoder
from gpuhours.architecture.decoder_shapes import Experts, LatentAttention
from gpuhours.architecture.lora import ATTENTION, EVERY
from gpuhours.questions.validating.rows import Row

ADAPTER_RANK = 16
"""Rank of adapters on every projection, if a row says only that adapters were trained."""
VOCABULARY = 50304
"""GPT-2's vocabulary padded to a multiple of 128, as is usual in training; used if a row gives none."""
ROUNDED = 0.01
"""Relative difference within which two model sizes are considered equal."""
NEAR = 0.12
"""Relative difference in parameters within which a named model is taken to be the row's."""
STEP = 256
"""Derived feed-forward widths are rounded to multiples of this."""
ALIGNED = 8
"""An unstated head size is rounded to a multiple of this if the width is not divisible by the number of heads."""
ROWS = 64
"""Vocabularies that are no multiple of this are padded in training."""
CLASSES = 8
"""Size of the output layer if no tokens are predicted: small enough for its cost to be negligible."""
LEARNED = re.compile(r"gpt-?[23]|gpt |mpt|opt|bloom|megatron|turing|nlg", re.IGNORECASE)
ROTARY = re.compile(r"neox|pythia|gpt-j|nemotron|falcon|palm|stablelm|phi", re.IGNORECASE)
VISION = re.compile(r"\bvit\b|vit-|siglip", re.IGNORECASE)
GATHERED = re.compile(r"tensorflow|\btf\b|paddle|apex|deepspeed|nvidia|mlperf|ngc|lamb", re.IGNORECASE)
"""Code that computes a masked model's output layer for masked tokens only: Google's and its derivatives (NVIDIA's examples, DeepSpeed's
BERT, PaddleNLP)."""
UNGATHERED = re.compile(r"megatron|nemo|hugging", re.IGNORECASE)
"""Code that computes it for every token; takes precedence over ``GATHERED``."""
HIDDEN = 0.15
"""Share of tokens that BERT masks (Devlin et al. 2019, arXiv:1810.04805, section 3.1)."""
BERT = re.compile(r"bert(?!a\w*\s*decoder)|electra", re.IGNORECASE)
OTHER = re.compile(
    r"clip|videomae|\bmae\b|\bdit\b|dit-|swin|t5|whisper|imagen|u-?net|mamba|jamba|hyena|rwkv|nemotron.?h\b|gemini",
    re.IGNORECASE,
)
GATED = re.compile(
    r"llama|mistral|mixtral|qwen|gemma|deepseek|yi-|internlm|baichuan|olmo|palm|dbrx|kimi|glm|phi-3", re.IGNORECASE
)
"""Families with a gated feed-forward layer."""
DEEPSEEK = LatentAttention(kv_rank=512, query_rank=1536, nope_dim=128, rope_dim=64, value_dim=128)
"""DeepSeek-V3 technical report, section 4.2; Kimi K2 has the same widths."""


@cache
def published_decoder(name: str) -> Decoder | None:
    """The published decoder that a table's name refers to, whatever follows it (``Llama 3 70B LoRA (2 nodes)``); None if there is none."""
    words = re.sub(r"\([^)]*\)", " ", name).split()
    tried = (" ".join(words[:count]) for count in range(len(words), 0, -1))
    found = next(
        (one for text in tried if (one := _without_marks().get(_plain(text), known_as(text))) in names()), None
    )
    return Decoder(**named(found).shape) if found is not None and named(found).kind == "decoder" else None


@cache
def _without_marks() -> dict[str, str]:
    return {_plain(name): name for name in names()}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", name.lower())


def with_published_shape(row: Row) -> tuple[Row, str]:
    """The row with blank widths filled from the published model that its name refers to, and a remark; unchanged if its width or heads are
    not that model's, or are blank too (``decoder_of`` then takes the whole model). A vocabulary that training would pad is left out."""
    known = published_decoder(row.word("model_name") or "")
    if known is None or (row.positive("hidden"), row.positive("heads")) != (known.hidden, known.heads):
        return row, ""
    columns = {"kv_heads": known.kv_heads or known.heads, "gated_mlp": int(known.gated)}
    if known.experts is None and row.positive("experts") is None:
        columns["ffn_hidden"] = int(known.ffn_width)
    if known.vocab % ROWS == 0:
        columns["vocab"] = int(known.vocab)
    blank = {column: str(value) for column, value in columns.items() if row.word(column) is None}
    if not blank:
        return row, ""
    return replace(
        row, cells={**row.cells, **blank}
    ), f"of the published model: {', '.join(f'{k} {v}' for k, v in blank.items())}"


def _named_alone(row: Row) -> Decoder | None:
    """The published model of a row that gives no width and no heads, with its layers if it gives them."""
    known = published_decoder(row.word("model_name") or "")
    if known is None or row.positive("hidden") is not None or row.positive("heads") is not None:
        return None
    layers = _whole(row, "layers")
    if layers not in (None, known.layers) and not isinstance(known.layers, int):
        return None
    update = {"layers": layers or known.layers, "vocab": _whole(row, "vocab") or known.vocab}
    return known.model_copy(update={**update, **_adapters(row, gated=known.gated)})


def of_size(parameters: float, billions: float) -> bool:
    """Whether a model of so many parameters is one that is said to have ``billions``."""
    return abs(parameters / (billions * 1e9) - 1) < NEAR


def _of_another_size(row: Row, whole: Decoder) -> str | None:
    """Why the stated parameters of a row that only names its model are not that model's, whole, of the row's layers or active; or None."""
    stated, published = row.positive("params_b"), published_decoder(row.word("model_name") or "")
    if stated is None or published is None:
        return None
    models = (published.model(1), whole.model(1))
    counts = [float(count) for model in models for count in (model.parameters, model.active_parameters)]
    if any(of_size(count, stated) for count in counts):
        return None
    return f"params_b = {stated:g}, but {row.word('model_name')} has {counts[0] / 1e9:.3g} billion parameters"


def unusable(row: Row) -> str | None:
    """Why a row's model cannot be built from its columns, or None."""
    name = f"{row.word('model_family') or ''} {row.word('model_name') or ''}"
    missing = [column for column in ("layers", "hidden", "heads") if row.positive(column) is None]
    whole = _named_alone(row)
    if missing and whole is None:
        return f"architecture not given ({', '.join(missing)})"
    if whole is not None and (reason := _of_another_size(row, whole)):
        return reason
    tuned = VISION.search(row.word("model_name") or "") and "fine-tune" in name.lower()
    if OTHER.search(name) and not tuned and "vlm" not in name.lower():
        return "neither a decoder language model nor a plain encoder: not supported"
    if (row.positive("experts") or 1) > 1 and row.positive("top_k") is None:
        return "top_k not stated"
    return None


def decoder_of(row: Row) -> tuple[Decoder | None, str]:
    """The decoder, or None and why not."""
    if (whole := _named_alone(row)) is not None:
        return whole, ""
    name = f"{row.word('model_family') or ''} {row.word('model_name') or ''}".lower()
    gated = _gated(row, name)
    fields: dict[str, Any] = {
        "layers": _whole(row, "layers"), "hidden": _whole(row, "hidden"), "heads": _whole(row, "heads"),
        "kv_heads": _whole(row, "kv_heads") or _whole(row, "heads"), "ffn_hidden": _width(row),
        "gated": gated, "vocab": _whole(row, "vocab") or VOCABULARY, "norm": "rms" if gated else "layer",
        "positions": "learned" if not gated and LEARNED.search(name) and not ROTARY.search(name) else "rotary",
    }  # fmt: skip
    if "vlm" not in name and (VISION.search(name) or BERT.search(name)):
        fields |= {"causal": False, "positions": "learned"}
        fields["vocab"] = fields["vocab"] if BERT.search(name) else CLASSES
        stack = " ".join(row.word(column) or "" for column in ("framework", "software", "source_title"))
        gathered = GATHERED.search(stack) and not UNGATHERED.search(stack)
        fields["head_share"] = HIDDEN if BERT.search(name) and gathered else 1.0
    if "mpt" in name:
        fields["norm"] = "layer-no-bias"
    elif not gated and not ROTARY.search(name):
        fields |= {"attention_bias": "all", "mlp_bias": True, "dropout": "gpt" in name and "h200" not in row.id}
    if "qwen3" in name:
        fields["head_dim"] = 128
    elif fields["hidden"] % fields["heads"]:
        fields["head_dim"] = ALIGNED * math.ceil(fields["hidden"] / fields["heads"] / ALIGNED)
    fields["head_dim"] = _whole(row, "head_dim") or fields.get("head_dim")
    if "qwen3" in name:
        fields["qk_norm"] = "head"
    if "pythia" in name or "neox" in name:
        fields["parallel_residual"] = True
    if (row.positive("experts") or 1) > 1:
        fields |= _experts(row, name)
    fields |= _adapters(row, gated=gated)
    try:
        decoder = Decoder(**{key: value for key, value in fields.items() if value is not None})
    except ValidationError as error:
        return None, f"architecture cannot be built: {error.errors()[0]['msg']}"
    return (decoder.model_copy(update={"tied": True}) if _tied(decoder, row) else decoder), ""


def _adapters(row: Row, *, gated: bool) -> dict[str, Any]:
    """What is trained, if adapters are: on every projection unless the row says where."""
    if not row.flag("lora"):
        return {}
    everything = EVERY if gated else (*ATTENTION, "up", "down")
    targets = tuple((row.word("lora_targets") or "").split()) or everything
    return {"trainable": "lora", "rank": _whole(row, "lora_rank") or ADAPTER_RANK, "targets": targets}


def _width(row: Row) -> int | None:
    """The feed-forward width as stated, with one exception: if the table derived it from a parameter count that equals the size in the
    model's name plus one more embedding table (tied weights stored at both ends of a pipeline), the width that gives the named size."""
    stated, size = (
        _whole(row, "ffn_hidden"),
        re.search(r"(\d+(?:\.\d+)?) ?[gb]\b", (row.word("model_name") or "").lower()),
    )
    counted = re.search(r"ffn_hidden from the parameter count", row.word("derived_fields") or "") is not None
    hidden, layers, vocab = (row.positive(column) for column in ("hidden", "layers", "vocab"))
    if not counted or size is None or stated is None or hidden is None or layers is None or vocab is None:
        return stated
    named, tied = float(size[1]) * 1e9, vocab * hidden
    share = (row.positive("kv_heads") or row.positive("heads") or 1) / (row.positive("heads") or 1)
    rest = tied + layers * (2 + 2 * share) * hidden * hidden
    twice = abs((row.positive("params_b") or 0) * 1e9 - named - tied) < ROUNDED * named
    return STEP * round((named - rest) / (3 * layers * hidden) / STEP) if twice else stated


def _gated(row: Row, name: str) -> bool:
    """Whether the feed-forward layer is gated: as stated, otherwise whichever matches the stated parameters, otherwise by family."""
    stated, parameters = _gated_by_word(row), row.positive("params_b")
    if stated is not None:
        return stated
    width, hidden, layers = (row.positive(column) for column in ("ffn_hidden", "hidden", "layers"))
    if parameters is None or width is None or hidden is None or layers is None or row.positive("experts") is not None:
        return GATED.search(name) is not None
    share = (row.positive("kv_heads") or row.positive("heads") or 1) / (row.positive("heads") or 1)
    attention = (2 + 2 * share) * hidden * hidden
    ends = 2 * (row.positive("vocab") or 0) * hidden
    sizes = [layers * (attention + matrices * hidden * width) + ends for matrices in (2, 3)]
    return abs(sizes[1] - parameters * 1e9) < abs(sizes[0] - parameters * 1e9)


def _gated_by_word(row: Row) -> bool | None:
    """Whether a cell says that the layer is gated, as yes or no or by its activation."""
    text = (row.word("gated_mlp") or "").lower()
    if re.search(r"\w*glu\b", text):
        return True
    return False if re.search(r"\b(gelu|relu2?)\b", text) else row.flag("gated_mlp")


def _tied(decoder: Decoder, row: Row) -> bool:
    """Whether the stated parameters are closer to the count with tied embeddings; False if the output layer is under 2 % of the model,
    where rounding would decide."""
    stated, head = row.positive("params_b"), decoder.vocab * decoder.hidden
    apart = float(decoder.model(1).parameters)
    if stated is None or head <= 0.02 * apart:
        return False
    return abs(apart - head - stated * 1e9) < abs(apart - stated * 1e9)


def _experts(row: Row, name: str) -> dict[str, Any]:
    """The mixture of experts, with the shared experts and latent attention known for its family."""
    count, used = _whole(row, "experts"), _whole(row, "top_k")
    if count is None or used is None:
        return {}
    width = _whole(row, "ffn_hidden")
    known: dict[str, Any] = {"count": count, "top_k": min(used, count), "width": width}
    if ("deepseek" in name and count == 256) or "kimi" in name:
        known |= {"shared_width": width, "first_dense": 1 if "kimi" in name else 3}
        known |= {} if "kimi" in name else {"groups": 8, "top_groups": 4}
        return {"experts": Experts(**known), "latent": DEEPSEEK, "ffn_hidden": 18432}
    if "qwen2" in name:
        known["shared_width"] = 8 * (width or 0)
    return {"experts": Experts(**known)}


def _whole(row: Row, column: str) -> int | None:
    value = row.positive(column)
    return None if value is None else round(value)
