"""The flattened keys of a framework's configuration, with tracking of which were read, and tables that map them to a run's keys."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.questions.interchange.arithmetic import LARGEST

VOCABULARY = "vocabulary.of_tokenizer"
"""Internal key for the vocabulary size implied by the tokenizer's files."""
UNPADDED = "vocabulary.said"
"""Internal key for the vocabulary size before padding."""
NODES, PER_NODE, RANKS, ACCUMULATION, LOCAL_BATCH, LONGEST, MOST_SAMPLES, IN_NODE = (
    "machine.nodes",
    "machine.per_node",
    "machine.data",
    "batch.passes",
    "batch.local",
    "data.longest",
    "data.most_samples",
    "layout.sharded_in_node",
)
"""Quantities that frameworks' files state but a run does not, since it states GPUs, the global batch and the usual length of a sample
instead: ``LONGEST`` is the length to which longer samples are cut, ``MOST_SAMPLES``
the samples to which larger data sets are cut, and ``IN_NODE`` whether every node holds all shards."""


class Undecided(str):
    """A value that only running a script would give, described in words."""

    __slots__ = ()


REST = "not read"
"""Key for the parts of a script that may say more: a default stands for nothing that these may set."""


@dataclass(frozen=True)
class Key:
    """A key of a run and its names in another format; the first name is used for writing."""

    ours: str
    theirs: tuple[str, ...]
    read: Callable[[Any], Any] = lambda value: value
    write: Callable[[Any], Any] | None = lambda value: value
    """Conversion for writing; None: not written, since another key implies it."""


class ForeignFile:
    """The flattened keys of a framework's file; lists those that were not read."""

    def __init__(self, keys: Mapping[str, Any], *, last: bool = False) -> None:
        self._keys: dict[str, tuple[str, Any]] = {}
        for path, value in keys.items():
            self._keys.setdefault(path.rsplit(".", 1)[-1] if last else path, (path, value))
            self._keys.setdefault(".".join(path.split(".")[-2:]) if last else path, (path, value))
        self._all, self._read = dict(keys), set[str]()
        self._meaningless: dict[str, Any] = {}
        self._known = set[str]()

    def get(self, *names: str) -> Any:
        """The value of the first of ``names`` that is set, None if none is; all of them are marked as read."""
        first = None
        for name in names:
            path, value = self._keys.get(name, (name, None))
            self._read.add(path)
            if variable(value):
                self._meaningless[path] = value
            first = value if first is None and not unset(value) else first
        return first

    def count(self, *names: str, usual: int | None = None) -> int | None:
        """The first of ``names`` that is set, as a positive whole number: ``usual`` if none is, None if its value is not understood."""
        said = self.number(positive, *names)
        missing = all(_off(self._value(name)) and not variable(self._value(name)) for name in names)
        return usual if missing else said

    def number(self, read: Callable[[Any], Any], *names: str) -> Any:
        """The first of ``names`` that is set, converted by ``read``; listed as not understood if it is no number above zero."""
        value = self.get(*names)
        said = None if value is None else read(value)
        if said is None and not _off(value):
            self.leave(next(name for name in names if not unset(self._value(name))))
        return said

    def undecided(self, *names: str) -> bool:
        """Whether the value of one of ``names`` depends on a variable that the file does not define."""
        return any(variable(self._value(name)) for name in names)

    def _value(self, name: str) -> Any:
        return self._keys.get(name, (name, None))[1]

    def names(self, name: str) -> bool:
        """Whether a key has a value, which may be an undefined variable."""
        return not off_or_empty(self._value(name))

    def holds(self, *names: str) -> bool:
        """Whether one of ``names`` is in the file, even without a value."""
        return any(name in self._keys for name in names)

    def on(self, *names: str) -> bool:
        """Whether a switch is on: ``true``, ``1`` or a flag without a value."""
        return as_bool(self.get(*names)) is True

    def leave(self, name: str) -> None:
        """Mark a key as not understood, because its value has no meaning here."""
        path, value = self._keys.get(name, (name, None))
        self._meaningless[path] = value

    def irrelevant(self, part: str) -> None:
        """Mark all keys below a part of the file as read, because they have no effect in this configuration."""
        self._read.update(path for path in self._all if f".{part}." in f".{path}.")

    def meaningless(self) -> Iterator[tuple[str, Any]]:
        """Known keys with values that are not understood: text, or variables that the file does not define."""
        return iter(self._meaningless.items())

    def left(self) -> Iterator[tuple[str, Any]]:
        """Keys with a value that were not read."""
        return (
            (path, value) for path, value in self._all.items() if path not in self._read and not off_or_empty(value)
        )

    def automatic(self) -> Iterator[str]:
        """Keys set to ``auto``, except those marked by ``known``."""
        return (path for path, value in self._all.items() if value == "auto" and path not in self._known)

    def known(self, *names: str) -> None:
        """Mark keys for which the meaning of ``auto`` is known."""
        self._known.update(names)


def unset(value: Any) -> bool:
    """Whether a value counts as unset: missing, null, ``auto``, a placeholder, or a variable that the file does not define."""
    return value is None or value in ("auto", "null", "None", "", "???") or variable(value)


def variable(value: Any) -> bool:
    """Whether a value is a shell variable or OmegaConf reference that the file does not define, or is computed in a script."""
    return isinstance(value, Undecided) or (isinstance(value, str) and "$" in value)


def off_or_empty(value: Any) -> bool:
    """Whether a value is off or empty."""
    return value is None or value is False or value in ("", [], {}, "auto", "null", "None", "???")


def as_bool(value: Any) -> bool | None:
    """The boolean value of a switch, None if unset."""
    if value is None or isinstance(value, bool):
        return value
    return str(value).lower() in {"true", "1", "yes", "on"}


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Flatten nested mappings to dotted keys with hyphens replaced by underscores: ``fsdp_config.fsdp_version``."""
    values: dict[str, Any] = {}
    for key, inner in value.items():
        name = f"{path}.{key}".lstrip(".").replace("--", "").replace("-", "_")
        values |= flat(inner, name) if isinstance(inner, Mapping) else {name: inner}
    return values


def paired(theirs: ForeignFile, table: tuple[Key, ...]) -> dict[str, Any]:
    """Convert a file to the run's keys by a table; numbers that are none are listed as not understood."""
    values = {}
    for key in table:
        if key.read in (positive, above_zero):
            said = theirs.number(key.read, *key.theirs)
        else:
            value = theirs.get(*key.theirs)
            said = None if value is None else key.read(value)
        if said is not None and key.ours not in values:
            values[key.ours] = said
    return values


def written(values: Mapping[str, Any], table: tuple[Key, ...]) -> dict[str, Any]:
    """Convert a run's values to the other format's keys by a table."""
    lines = {}
    for key in table:
        value = values.get(key.ours)
        said = None if value is None or key.write is None else key.write(value)
        if said is not None and key.theirs[0] not in lines:
            lines[key.theirs[0]] = said
    return lines


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert dotted keys to nested mappings."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *parents, last = path.split(".")
        here = tree
        for part in parents:
            here = here.setdefault(part, {})
        here[last] = value
    return tree


def positive(value: Any) -> int | None:
    """The value as a positive whole number, otherwise None.

    >>> positive("1_024"), positive(8.0), positive("x"), positive(-1)
    (1024, 8, None, None)
    """
    try:
        number = int(value) if isinstance(value, float) and value.is_integer() else int(str(value).replace("_", ""))
    except ValueError:
        return None
    return number if 0 < number <= LARGEST else None


def _off(value: Any) -> bool:
    """Whether a file means "unset" by a value where a number belongs: missing, -1 or 0."""
    try:
        return unset(value) or (value is not True and float(value) in (-1, 0))
    except (TypeError, ValueError, OverflowError):
        return False


def above_zero(value: Any) -> float | None:
    """The value as a finite number above zero, otherwise None."""
    try:
        number = 0.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 < number < math.inf else None


def rate(value: Any, usual: float) -> float:
    """Parse a share from 0 to 1 in another format; ``usual`` if unset."""
    try:
        share = float(usual if value is None else value)
        if not 0 <= share <= 1:  # also excludes nan
            raise ValueError(share)
        return share
    except (TypeError, ValueError, OverflowError):
        raise EstimateError(
            f"{str(value)[:60]!r} is not a share.", "A share between 0 and 1, such as 0.1.", "dropout"
        ) from None


def above_one(value: Any) -> Any:
    """The value of a parallel degree, or None if it is 1."""
    return value if value is not None and value > 1 else None


def below_one(value: Any) -> Any:
    """The value of a share, or None if it is 1."""
    return value if value is not None and value < 1 else None


NEUTRAL = re.compile(
    r"^checkpoint[._]|(^|[._])(lr|learning_rate|min_lr|warmup|weight_decay|wd|adam|beta\d?|betas|eps|epsilon|momentum|clip|grad_norm|gradient_clipping"
    r"|max_norm|seed|log|logging|logger|wandb|tensorboard|comet|mlflow|profil\w*|print|steps_per_print|save|saves|load|ckpt"
    r"|exp_manager|resume|output|dump_folder|dir|path|folder|file|files|split|tokenizer|vocab_file|merge_file|data_path|dataset|datasets"
    r"|dataloader|workers|num_workers|val|valid|validation|eval|evals|evaluation|metric|metrics|init|std|master_addr|master_port|port"
    r"|rdzv\w*|node_rank|machine_rank|main_process\w*|main_training\w*|timeout|exit|job|description|name|hub\w*|push|special_tokens"
    r"|chat_template|loss_scale\w*|hysteresis|initial_scale_power|scheduler|lr_scheduler|decay|annealing|role|tee"
    r"|mail\w*|partition|account|error|scale_lr|rotary_base|rope_theta|rotary_scaling_factor|mscale\w*|nsys|legacy|downcast_bf16|same_network"
    r"|use_cpu|rdzv|tpu\w*|magic|compute_environment|debug|strict|shuffle|reset\w*|bos|eos|pad_token|cpu_ram\w*|state_dict\w*|use_orig_params"
    r"|backward_prefetch|forward_prefetch|sync_module_states|ignore\w*|allgather|reduce_bucket_size|bucket_size\w*|prefetch\w*|threshold"
    r"|wall_clock_breakdown|contiguous_gradients|round_robin\w*|sub_group_size|stage3_max\w*|stage3_gather\w*|loss_watchdog\w*|lora_alpha"
    r"|lora_dropout|overwrite\w*|plot_loss|report_to|preprocessing\w*|warmup_ratio|lr_scheduler_type|val_size|per_device_eval\w*|eval_\w*|logging_\w*|save_\w*|ddp_timeout|transformers|trust_remote_code|init_method|no_\w*rng|no_\w*optim|attention_softmax_in_fp32"
    r"|mock_data|data_impl|splits_string|tiktoken_pattern|pre_process|post_process|mcore_gpt|use_legacy_models|fp8_margin|fp8_interval"
    r"|fp8_amax\w*|reduce_amax|native_amp\w*|moe_aux_loss\w*|moe_z_loss\w*|moe_router_score_function|moe_router_pre_softmax"
    r"|moe_router_topk_scaling_factor|moe_router_load_balancing_type|moe_router_bias_update_rate|moe_input_jitter\w*|manual_gc\w*"
    r"|empty_unused_memory_level|calculate_per_token_loss|apply_query_key_layer_scaling|normalize_attention_scores|time_limit|max_time"
    r"|dependency|max_epochs|limit_\w*batches|eot_tokens|min_sample_len|min_seq_length|monitor\w*|comms_config|zero_allow_untested\w*"
    r"|drop_last|bert_binary_head|mask_prob|short_seq_prob|sample_rate|enable_one_logger|one_logger\w*|barrier_with\w*|check_for_nan\w*"
    r"|perform_initialization|answer_only_loss|trainer[._]accelerator|accumulate_grad_batches|peft_use_rslora|kill_switch\w*"
    r"|abort_on_unmet\w*|force_multi|hostfile|distributed_backend|transformer_block_type|attention_type|use_fast_tokenizer|do_eval"
    r"|ckpt_format|jobid|mpi|wait|kill_on_bad_exit|max_restarts|container\w*|persist_layer_norm|memory_efficient_layer_norm|gen_shape|use_reentrant)"
    r"([._]|$)"
)
"""Patterns of keys that affect learning, checkpoints or reporting, but not the cost of a step."""


COSTLY = re.compile(
    r"load_in_\dbit|checkpoint_activations|checkpoint_num_layers|split_rank|deepspeed_config_file|activation_checkpointing|offload"
)
"""Keys that match one of these patterns but do affect cost."""


def without_effect(path: str) -> bool:
    """Whether a key does not affect the cost of a step.

    >>> without_effect("eval_steps"), without_effect("load_in_8bit")
    (True, False)
    """
    return NEUTRAL.search(path.lower()) is not None and COSTLY.search(path.lower()) is None


REFERENCE = re.compile(r"\$\{([^${}]*)\}")
ENVIRONMENT = re.compile(r"(?:oc\.env:\w+,|[A-Z][A-Z\d_]*:-?)\s*([^\s].*)")
"""A variable of the environment with the value that stands for it: ``PRIMUS_TP:1``, ``oc.env:TP,1``."""


def interpolated(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Resolve OmegaConf references: ``${model.seq_length}``, relative ``${.hidden_size}``, ``${multiply:4, ${.hidden_size}}``.

    >>> interpolated({"tp": "${TP:2}", "pp": "${oc.env:PP,4}"})
    {'tp': '2', 'pp': '4'}
    >>> interpolated({"model.h": 8, "model.f": "${multiply:4, ${.h}}", "model.n": "${training.model.h}", "name": "${user}"})
    {'model.h': 8, 'model.f': 32, 'model.n': 8, 'name': '${user}'}
    """
    filled = dict(keys)
    for path, value in keys.items():
        for _ in range(4):  # references to references
            if not variable(value):
                break
            alone = REFERENCE.fullmatch(value)
            value = (
                _meant(alone[1], path, filled, alone[0])
                if alone
                else REFERENCE.sub(partial(_put_in, path=path, keys=filled), value)
            )
        filled[path] = value
    return filled


def _put_in(one: re.Match[str], path: str, keys: Mapping[str, Any]) -> str:
    return str(_meant(one[1], path, keys, one[0]))


def _meant(said: str, path: str, keys: Mapping[str, Any], whole: str) -> Any:
    """The value of a reference, or the unchanged reference ``whole`` if the file does not define it."""
    if (environment := ENVIRONMENT.fullmatch(said)) is not None:
        return environment[1]
    if said.startswith("multiply:"):
        factors = [positive(one.strip()) for one in said.removeprefix("multiply:").split(",")]
        return math.prod(one for one in factors if one) if all(factors) else whole
    up = len(said) - len(said.lstrip("."))
    target = ".".join([*path.split(".")[:-up], said[up:]]) if up else said
    return keys.get(target, keys.get(target.partition(".")[2], whole))
