"""Read a Hugging Face ``config.json``, or a folder with one, and convert its keys to the fields of a model, by model type.

Each model type has a reader that takes the keys it understands. Keys in ``NEUTRAL`` do not affect cost. Every other key that is set is
reported with the model, so that nothing is ignored silently.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from gpuhours.architecture.hugging_face.refused import refusal
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.yaml_files import read_text

Fields = dict[str, Any]
Reader = Callable[["Config"], Fields]


class Config:
    """The keys of a file, with tracking of which were read."""

    def __init__(self, keys: Mapping[str, Any], where: str = "") -> None:
        self._keys, self._where = keys, where
        self._read: set[str] = set()
        self._inside: list[Config] = []
        self._otherwise: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return self._keys.get(key) is not None

    def __getitem__(self, key: str) -> Any:
        value = self.get(key)
        if value is None:
            kind = self._keys.get("model_type")
            raise EstimateError(f"The key {self._where + key!r} is missing for model_type {kind!r}.")
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key; ``default`` if missing or null. If the default is a boolean, the value must be one too."""
        self._read.add(key)
        value = self._keys.get(key)
        if isinstance(default, bool) and value not in (None, True, False):
            raise EstimateError(f"The key {self._where + key!r} must be true or false, not {str(value)[:60]!r}.")
        return default if value is None else value

    def without_effect(self, *keys: str) -> None:
        """Mark keys as understood but without effect on cost."""
        self._read.update(keys)

    def only(self, **values: Any) -> None:
        """Declare keys that are supported only with these values: any other value is reported, even if the reader reads the key."""
        self._otherwise.update(key for key, value in values.items() if self.get(key, value) != value)

    def number(self, *names: str, default: int | None = None) -> int:
        """The whole number under the first of ``names`` that the file has, since families and releases name a quantity differently."""
        for name in names:
            if name in self:
                return self._whole(name)
        if default is None:
            return self._whole(names[0])
        self._read.update(names)
        return default

    def optional(self, *names: str) -> int | None:
        """The whole number under the first of ``names`` that the file has, or None."""
        self._read.update(names)
        return next((self._whole(name) for name in names if name in self), None)

    def _whole(self, name: str) -> int:
        value = self[name]
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
            or value != int(value)
        ):
            raise EstimateError(f"The key {self._where + name!r} must be a whole number, not {str(value)[:60]!r}.")
        return int(value)

    def listed(self, key: str) -> list[Any]:
        """The list under a key; empty if the key is missing."""
        values = self.get(key, [])
        if not isinstance(values, list):
            raise EstimateError(f"The key {self._where + key!r} must be a list, not {str(values)[:60]!r}.")
        return values

    def inside(self, key: str, *, required: bool = True) -> Config:
        """The mapping under a key, as a ``Config`` that shares the tracking."""
        block = self[key] if required else self.get(key, {})
        if not isinstance(block, Mapping):
            raise EstimateError(f"The key {self._where + key!r} must be a mapping, not {str(block)[:60]!r}.")
        inner = Config(block, f"{self._where}{key}.")
        self._inside.append(inner)
        return inner

    def renamed(self, names: Mapping[str, str]) -> Config:
        """A copy with keys renamed for a reader; tracking is shared."""
        found = Config({names.get(key, key): value for key, value in self._keys.items()}, self._where)
        found._read, found._otherwise = self._read, self._otherwise
        self._read.update(names)
        return found

    def replaced(self, **keys: Any) -> Config:
        """A copy with some values replaced."""
        found = Config({**self._keys, **keys}, self._where)
        found._read, found._otherwise, found._inside = self._read, self._otherwise, self._inside
        return found

    def supplied(self, keys: Mapping[str, int]) -> Config:
        """A copy with keys added that the file omits because no layer uses them or another key implies them."""
        found = Config({**keys, **self._keys}, self._where)
        found._read, found._otherwise = self._read, self._otherwise
        return found

    @property
    def unread(self) -> Iterator[str]:
        """``key value`` for every key that is set and was not understood."""
        for key, value in self._keys.items():
            known = key in self._read or key in NEUTRAL or key.startswith("_") or value in EMPTY
            if not known or key in self._otherwise:
                shown = "{...}" if isinstance(value, Mapping) else str(value)[:40]
                yield f"{self._where}{key} = {shown}"
        for inner in self._inside:
            yield from inner.unread


EMPTY: tuple[Any, ...] = (None, False, [], {}, "")

NEUTRAL = frozenset(
    """
    architectures model_type torch_dtype dtype transformers_version auto_map name_or_path return_dict output_attentions
    output_hidden_states use_cache use_return_dict is_decoder is_encoder_decoder bos_token_id eos_token_id pad_token_id
    unk_token_id sep_token_id mask_token_id cls_token_id decoder_start_token_id forced_eos_token_id suppress_tokens begin_suppress_tokens
    initializer_range initializer_factor init_std layer_norm_eps rms_norm_eps layer_norm_epsilon norm_epsilon norm_eps epsilon
    rotary_emb_base     rope_theta rope_scaling rope_parameters
    rope_local_base_freq rope_interleave rope_type partial_rotary_factor rotary_pct rotary_dim
    max_position_embeddings max_sequence_length max_seq_len original_max_position_embeddings model_max_length seq_length n_positions n_ctx
    hidden_act activation_function hidden_activation activation hidden_dropout_prob attention_probs_dropout_prob attention_dropout
    attn_pdrop embd_pdrop resid_pdrop dropout hidden_dropout classifier_dropout pretraining_tp chunk_size_feed_forward id2label label2id
    num_labels problem_type finetuning_task task_specific_params generation prefix logit_scale logits_scaling embedding_multiplier
    residual_multiplier attention_multiplier final_logit_softcapping attn_logit_softcapping query_pre_attn_scalar final_logit_soft_cap
    output_router_logits router_aux_loss_coef aux_loss_alpha seq_aux router_jitter_noise moe_jitter_eps router_z_loss_coef norm_topk_prob
    routed_scaling_factor scoring_func topk_method n_group topk_group moe_router_score_function router_dtype
    quantization_config vision_token_id image_token_id video_token_id image_token_index vision_start_token_id vision_end_token_id
    image_token audio_token_id boi_token_id eoi_token_id boa_token_id eoa_token_id boi_token_index eoi_token_index eoa_token_index
    video_token_index scale_attn_weights scale_attn_by_inverse_layer_idx reorder_and_upcast_attn use_cache_fp16 attn_implementation
    attention_bias_in_fp32 clip_qkv layer_norm_elementwise_affine gradient_checkpointing embd_layer_norm
    cache_implementation time_step_limit time_step_min time_step_max time_step_floor time_step_rank_init mamba_chunk_size chunk_size
    summary_type summary_use_proj summary_proj_to_labels summary_first_dropout summary_activation time_step_init_scheme moe_norm_min
    residual_dropout eod_token_id no_rope_layers no_rope_layer_interval use_associative_scan embedding_initializer_range afn
    scale_decoder_outputs init_device norm_type embedding_fraction attn_impl attention_layers qk_head_dim attention_softmax_in_fp32
    scale_attention_softmax_in_fp32 multi_query vision_feature_select_strategy image_seq_length ignore_index
    use_mamba_kernels num_logits_to_keep rescale_prenorm_residual residual_in_fp32 hidden_size_per_layer mlp_multiplier
    """.split()  # noqa: SIM905 - a table that a person reads and extends
)
"""Keys that affect neither weights, FLOPs nor bytes: names, tokens, initialisation, losses, rotary tables, scaling factors."""

HOMES = (
    "text",
    "relatives",
    "gemmas",
    "mixtures",
    "hybrids",
    "encoders",
    "text_encoders",
    "encoder_decoders",
    "stages_and_sound",
    "multimodal",
    "shipped_code",
    "diffusers",
)
"""Modules of this folder that define ``READERS``."""


def read_config(path: Path) -> Fields:
    """Convert a ``config.json``, or the one in a folder, to the fields of a model."""
    file = path / "config.json" if path.is_dir() else path
    content = _content(file)
    kind = content.get("model_type") or content.get("_class_name")
    if not isinstance(kind, str):
        raise EstimateError(
            "has no model_type.", "A Hugging Face config.json names one (diffusers: _class_name).", str(file)
        )
    try:
        config = Config(content)
        read = reader(kind)(config)
    except EstimateError as error:
        raise EstimateError(error.problem, error.hint, str(file)) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise EstimateError(f"has a value of the wrong type: {str(error)[:80]}", where=str(file)) from None
    stem = file.parent.name if file.name == "config.json" else file.stem
    named = content.get("_name_or_path")
    shape = {"name": str(named) if isinstance(named, str) and named else stem, **read}
    shape.setdefault("kind", "decoder")
    unread = tuple(config.unread)
    return {**shape, "unread": unread} if unread else shape


def _content(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(read_text(file))
    except ValueError as error:
        raise EstimateError(f"is not JSON: {error}", where=str(file)) from None
    except RecursionError:
        raise EstimateError("nests too much", where=str(file)) from None
    if not isinstance(content, Mapping):
        raise EstimateError("must be a mapping of keys to values.", "A Hugging Face config.json is one.", str(file))
    return content


def readers() -> dict[str, Reader]:
    """Every supported model type, with its reader."""
    by_type: dict[str, Reader] = {}
    for home in HOMES:
        by_type |= import_module(f"gpuhours.architecture.hugging_face.{home}").READERS
    return by_type


def reader(kind: str) -> Reader:
    """The reader of a model type. Raises ``EstimateError`` for an unsupported type, naming the nearest supported ones."""
    for home in HOMES:
        known = import_module(f"gpuhours.architecture.hugging_face.{home}").READERS
        if kind in known:
            chosen: Reader = known[kind]
            return chosen
    raise refusal(kind, readers())
