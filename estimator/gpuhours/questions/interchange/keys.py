"""A foreign file as a flat list of keys, each remembered when it is read, and the table that pairs them with a run's keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass

VOCABULARY = "vocabulary.of_tokenizer"
"""The size of a vocabulary that follows from the tokenizer's files."""
NODES, PER_NODE, RANKS, ACCUMULATION, LOCAL_BATCH = (
    "machine.nodes",
    "machine.per_node",
    "machine.data",
    "batch.passes",
    "batch.local",
)
"""What other files say and a run does not: it says GPUs and the global batch instead."""


@dataclass(frozen=True)
class Key:
    """One of a run's keys and the names another file has for it, the first of which is written."""

    ours: str
    theirs: tuple[str, ...]
    read: Callable[[Any], Any] = lambda value: value
    write: Callable[[Any], Any] | None = lambda value: value
    """None: another key of the file says it when it is written."""


class ForeignFile:
    """What a file of other code says, under flat names; what nobody asked for is left."""

    def __init__(self, keys: Mapping[str, Any], *, last: bool = False) -> None:
        self._keys: dict[str, tuple[str, Any]] = {}
        for path, value in keys.items():
            self._keys.setdefault(path.rsplit(".", 1)[-1] if last else path, (path, value))
            self._keys.setdefault(".".join(path.split(".")[-2:]) if last else path, (path, value))
        self._all, self._read = dict(keys), set[str]()
        self._meaningless: list[tuple[str, Any]] = []

    def get(self, *names: str) -> Any:
        """The value of the first of ``names`` that is set; all count as read."""
        first = None
        for name in names:
            path, value = self._keys.get(name, (name, None))
            self._read.add(path)
            first = value if first is None and not unset(value) else first
        return first

    def names(self, name: str) -> bool:
        """Whether a key is there at all, with a value or with a variable that the file does not set."""
        return name in self._keys

    def on(self, *names: str) -> bool:
        """Whether a switch is on: ``true``, ``1`` or a flag without a value."""
        return truth(self.get(*names)) is True

    def leave(self, name: str) -> None:
        """Count a key as not understood after all, whatever its name: its value means nothing here."""
        self._meaningless.append(self._keys.get(name, (name, None)))

    def meaningless(self) -> Iterator[tuple[str, Any]]:
        """Keys that are known, with values that are not."""
        return iter(self._meaningless)

    def left(self) -> Iterator[tuple[str, Any]]:
        """Keys that say something and that nobody read."""
        return ((path, value) for path, value in self._all.items() if path not in self._read and not silent(value))

    def automatic(self) -> Iterator[str]:
        """Keys left to the trainer."""
        return (path for path, value in self._all.items() if value == "auto")


def unset(value: Any) -> bool:
    """No statement: absent, null, left to the trainer, or a variable of a shell that is not set in the file."""
    return value is None or value in ("auto", "null", "None", "") or (isinstance(value, str) and "$" in value)


def silent(value: Any) -> bool:
    """What is off or empty says nothing."""
    return value is None or value is False or value in ("", [], {}, "auto", "null")


def truth(value: Any) -> bool | None:
    """``True`` for what switches on, ``False`` for off, None where nothing is said."""
    if value is None or isinstance(value, bool):
        return value
    return str(value).lower() in {"true", "1", "yes", "on"}


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys, with underscores for hyphens: ``fsdp_config.fsdp_version``."""
    values: dict[str, Any] = {}
    for key, inner in value.items():
        name = f"{path}.{key}".lstrip(".").replace("--", "").replace("-", "_")
        values |= flat(inner, name) if isinstance(inner, Mapping) else {name: inner}
    return values


def paired(theirs: ForeignFile, table: tuple[Key, ...]) -> dict[str, Any]:
    """The run's keys that a table finds in a file."""
    values = {}
    for key in table:
        value = theirs.get(*key.theirs)
        said = None if value is None else key.read(value)
        if said is not None and key.ours not in values:
            values[key.ours] = said
    return values


def written(values: Mapping[str, Any], table: tuple[Key, ...]) -> dict[str, Any]:
    """The other file's keys that a table has for a run's values."""
    lines = {}
    for key in table:
        value = values.get(key.ours)
        said = None if value is None or key.write is None else key.write(value)
        if said is not None and key.theirs[0] not in lines:
            lines[key.theirs[0]] = said
    return lines


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as nested mappings."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *parents, last = path.split(".")
        here = tree
        for part in parents:
            here = here.setdefault(part, {})
        here[last] = value
    return tree


def positive(value: Any) -> int | None:
    """A positive whole number; -1 and 0 are how files say nothing."""
    try:
        number = int(str(value).replace("_", ""))
    except ValueError:
        return None
    return number if number > 0 else None


def rate(value: Any, usual: float) -> float:
    """A share as another file writes it; the usual one where it says none."""
    try:
        share = float(usual if value is None else value)
        if not 0 <= share <= 1:  # nor nan
            raise ValueError(share)
        return share
    except (TypeError, ValueError, OverflowError):
        raise EstimateError(
            f"{str(value)[:60]!r} is no number.", "A share between 0 and 1, such as 0.1.", "dropout"
        ) from None


def above_one(value: Any) -> Any:
    """A degree worth saying."""
    return value if value is not None and value > 1 else None


NEUTRAL = re.compile(
    r"^checkpoint[._]|(^|[._])(lr|learning_rate|min_lr|warmup|weight_decay|wd|adam|beta\d?|betas|eps|epsilon|momentum|clip|grad_norm|gradient_clipping"
    r"|max_norm|seed|log|logging|logger|wandb|tensorboard|comet|mlflow|profil\w*|print|steps_per_print|save|saves|load|ckpt"
    r"|exp_manager|resume|output|dump_folder|dir|path|folder|file|files|split|tokenizer|vocab_file|merge_file|data_path|dataset|datasets"
    r"|dataloader|workers|num_workers|val|valid|validation|eval|evals|evaluation|metric|metrics|init|std|master_addr|master_port|port"
    r"|rdzv\w*|node_rank|machine_rank|main_process\w*|main_training\w*|timeout|exit|job|description|name|hub\w*|push|special_tokens"
    r"|chat_template|loss_scale\w*|hysteresis|initial_scale_power|scheduler|lr_scheduler|decay|annealing|role|tee"
    r"|mail\w*|partition|account|error|scale_lr|rotary_base|rope_theta|rotary_percent|nsys|legacy|downcast_bf16|same_network"
    r"|use_cpu|rdzv|tpu\w*|magic|compute_environment|debug|strict|shuffle|reset\w*|bos|eos|pad_token|cpu_ram\w*|state_dict\w*|use_orig_params"
    r"|backward_prefetch|forward_prefetch|sync_module_states|ignore\w*|allgather|reduce_bucket_size|bucket_size\w*|prefetch\w*|threshold"
    r"|wall_clock_breakdown|contiguous_gradients|round_robin\w*|sub_group_size|stage3_max\w*|stage3_gather\w*|loss_watchdog\w*|lora_alpha"
    r"|lora_dropout|overwrite\w*|plot_loss|report_to|preprocessing\w*|warmup_ratio|lr_scheduler_type|val_size|per_device_eval\w*|eval_\w*|logging_\w*|save_\w*|ddp_timeout|transformers|trust_remote_code|init_method|no_\w*rng|no_\w*optim|attention_softmax_in_fp32)"
    r"([._]|$)"
)
"""Names that change what is learned, kept or reported, and nothing about what a step costs."""


def without_effect(path: str) -> bool:
    """Whether a key is one of those."""
    return NEUTRAL.search(path.lower()) is not None
