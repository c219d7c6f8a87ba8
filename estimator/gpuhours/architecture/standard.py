"""The shape assumed when only the number of parameters is known, interpolated between public models."""

from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import model_validator

from gpuhours.architecture.decoder import Decoder
from gpuhours.architecture.decoder_shapes import Experts
from gpuhours.architecture.lora import ATTENTION, Targets
from gpuhours.architecture.operators import Model
from gpuhours.architecture.spec import Spec, Training
from gpuhours.data import Data
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.units import Count, measured_in

# Columns: parameters, layers, width. GPT-3 (arXiv:2005.14165, table 2.1) up to 2.7e9, Llama 1-3 (arXiv:2302.13971, table 2;
# arXiv:2407.21783, table 3) up to 405e9, Megatron-LM's 1T (arXiv:2104.04473, table 1)
DECODERS = np.array([
    (0.125e9, 12, 768), (0.35e9, 24, 1024), (0.76e9, 24, 1536), (1.3e9, 24, 2048), (2.7e9, 32, 2560),
    (6.7e9, 32, 4096), (13e9, 40, 5120), (32.5e9, 60, 6656), (65.2e9, 80, 8192), (405e9, 126, 16384),
    (1008e9, 128, 25600),
])  # fmt: skip
# ViT-B to bigG: open_clip model configurations; ViT-22B: arXiv:2302.05442, table 1
ENCODERS = np.array([
    (86e6, 12, 768, 3072), (304e6, 24, 1024, 4096), (632e6, 32, 1280, 5120), (1013e6, 40, 1408, 6144),
    (1845e6, 48, 1664, 8192), (3808e6, 56, 1792, 15360), (21743e6, 48, 6144, 24576),
])  # fmt: skip
VOCABULARY = 32_000
COARSE = 4.5
"""Ratio of total to active feed-forward weights up to which public mixtures route each token to two large experts."""
FAMILIES = "GPT-3, Llama 1-3 and Megatron-LM shapes (arXiv:2005.14165, 2302.13971, 2407.21783, 2104.04473)"


def rounded(value: Array, step: Array) -> Array:
    """Round to the nearest multiple of ``step``, at least ``step``."""
    return np.maximum(np.round(value / step), 1) * step


def between(table: np.ndarray, params: Array, column: int) -> Array:
    """Interpolate a column of a family table at ``params``, linearly in log-log coordinates."""
    return np.exp(np.interp(np.log(params), np.log(table[:, 0]), np.log(table[:, column])))


def decoder_shape(params: Array, vocab: Array = VOCABULARY) -> dict[str, Array]:
    """Depth and width interpolated between public models; the feed-forward width takes the remaining parameters.

        layers   rounded to a multiple of 8 (2 below 24 layers), so that pipeline stages divide them
        hidden   rounded to a multiple of 1024 (512 below 4096, 128 below 2048), so that tensor ranks divide the heads of size 128
        ffn      (params - 2 V h - L (2 h^2 + 2 h k)) / (3 L h), rounded to a multiple of 128; gated
        k        key-value width: 1024 (8 heads of 128) if h >= 4096, otherwise h

    Deviates from ``params`` by less than 1 %.
    """
    layers, hidden = between(DECODERS, params, 1), between(DECODERS, params, 2)
    layers = rounded(layers, np.where(layers < 24, 2, 8))
    hidden = rounded(hidden, np.select([hidden < 1792, hidden < 3584], [128, 512], 1024))
    heads = hidden // 128
    kv_heads = np.where(hidden < 4096, heads, 8)
    attention = layers * (2 * hidden**2 + 2 * hidden * kv_heads * 128)
    ffn = (params - 2 * vocab * hidden - attention) / (3 * layers * hidden)
    return {
        "layers": layers, "hidden": hidden, "heads": heads, "kv_heads": kv_heads, "head_dim": 128,
        "ffn_hidden": rounded(ffn, 128), "vocab": vocab,
    }  # fmt: skip


def mixture_shape(params: Array, active: Array, vocab: Array = VOCABULARY) -> tuple[dict[str, Array], dict[str, Array]]:
    """The fields of a decoder with ``params`` parameters, ``active`` of them used per token, and those of its experts.

    Depth, width and heads are those of a dense decoder with ``active`` parameters, as in public mixtures (Mixtral 8x7B 32 x 4,096,
    DBRX 40 x 6,144, DeepSeek-V3 61 x 7,168, Qwen3 30B 48 x 2,048). In every layer

        r = F / f         F, f: the dense feed-forward widths that give ``params`` and ``active``
        top_k = 2 up to r = 4.5 (Mixtral, DBRX, Grok), 8 beyond (OLMoE, Qwen3, DeepSeek, Kimi K2)
        count = r top_k, rounded up to a multiple of 8 (16 from 64 on);   width = (F - f) / (count - top_k)
        shared width = f - top_k width

    Deviates from either count by less than 1 %.
    """
    shape = decoder_shape(active, vocab)
    layers, hidden = shape["layers"], shape["hidden"]
    attention = layers * (2 * hidden**2 + 2 * hidden * shape["kv_heads"] * 128)
    whole, met = ((size - 2 * vocab * hidden - attention) / (3 * layers * hidden) for size in (params, active))
    chosen = np.where(whole / met <= COARSE, 2, 8)
    wanted = whole / met * chosen
    step = np.where(wanted > 64, 16, 8)
    count = np.maximum(np.ceil(wanted / step), 2) * step
    width = rounded((whole - met) / (count - chosen), 16)
    shared = rounded(met - chosen * width, 16)
    return shape, {"count": count, "top_k": chosen, "width": width, "shared_width": shared}


def encoder_shape(params: Array) -> dict[str, Array]:
    """A vision transformer interpolated between public ones: depth in multiples of 4, width in multiples of 64; the feed-forward width
    takes the remaining parameters.

    ffn = (params / L - 4 h^2) / (2 h), rounded to a multiple of 64.
    """
    layers, hidden = rounded(between(ENCODERS, params, 1), 4), rounded(between(ENCODERS, params, 2), 64)
    ffn = rounded((params / layers - 4 * hidden**2) / (2 * hidden), 64)
    return {"layers": layers, "hidden": hidden, "heads": hidden // 64, "head_dim": 64, "ffn_hidden": ffn}


def plain(shape: dict[str, Array]) -> dict[str, Array]:
    """Convert scalars to ints and leave arrays unchanged."""
    return {key: int(value) if np.ndim(value) == 0 else value for key, value in shape.items()}


def size_label(params: Array) -> str:
    """A label such as ``30B decoder``; for an array of sizes, only the kind.

    >>> size_label(1e12), size_label(6.7e9), size_label(124e6)
    ('1T decoder', '6.7B decoder', '124M decoder')
    """
    if np.ndim(params):
        return "decoder"
    scale, letter = (1e12, "T") if params >= 1e12 else (1e9, "B") if params >= 1e9 else (1e6, "M")
    return f"{params / scale:.3g}{letter} decoder"


class StandardShape(Spec):
    """A decoder of which only the size is known."""

    params: Annotated[float, measured_in("parameter", most=1e18)]
    active: Annotated[float, measured_in("parameter", most=1e18)] | None = None
    """For a mixture of experts: parameters used per token."""
    vocab: Count = VOCABULARY
    trainable: Training = "full"
    rank: Count = 8
    targets: Targets = ATTENTION
    kind: Literal["standard"] = "standard"

    @model_validator(mode="after")
    def _fewer_are_active_than_there_are(self) -> Self:
        if self.active is not None and self.active >= self.params:
            raise ValueError(
                f"{self.active:.4g} active parameters exceed the total of {self.params:.4g}; leave active out for a dense model"
            )
        return self

    @property
    def shape(self) -> Decoder:
        """The assumed decoder."""
        shape: dict[str, Any] = plain(decoder_shape(self.params, self.vocab))
        if self.active is not None:
            dense, experts = mixture_shape(self.params, self.active, self.vocab)
            shape = {**plain(dense), "experts": ONE_EXPERT.model_copy(update=plain(experts))}
        fixed = {
            "name": self.name or size_label(self.params),
            "trainable": self.trainable,
            "rank": self.rank,
            "targets": self.targets,
        }
        return SMALLEST.model_copy(update={**shape, **fixed})

    def build(self, data: Data) -> Model:
        """The computation of the assumed decoder for one text-only sample."""
        return self.shape.build(data)

    def tokens_per_sample(self, data: Data) -> Array | None:
        """As for any decoder."""
        return self.shape.tokens_per_sample(data)

    def sees_frames(self, data: Data) -> bool:
        """Whether the data give a number of tokens per frame."""
        return data.tokens_per_frame is not None

    def effective_tokens(self, data: Data) -> Array | None:
        """As for any decoder."""
        return self.shape.effective_tokens(data)

    def assumptions(self, data: Data | None = None) -> tuple[Assumption, ...]:
        """The assumed shape."""
        shape = self.shape
        said = f"{shape.layers} layers of {shape.hidden}, {shape.heads} heads, ffn {shape.ffn_hidden}"
        if shape.experts is not None:
            some = f"{shape.experts.top_k} of {shape.experts.count} experts of {shape.experts.width}"
            said = f"{shape.layers} layers of {shape.hidden}, {shape.heads} heads, {some}"
        said = "one shape per size" if np.ndim(self.params) else said
        reason = "only the size is known: depth and width between public models of that size"
        return (Assumption("model", said, "", reason, FAMILIES),)


ONE_EXPERT = Experts(count=1, top_k=1)
SMALLEST = Decoder(layers=1, hidden=128, heads=1, vocab=VOCABULARY)
