"""``import``: convert configuration files of training frameworks to a run, and report keys that were not understood."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpuhours.hardware.clusters import cluster
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.questions.envelope import envelope
from gpuhours.questions.interchange.deepspeed import stage_named
from gpuhours.questions.interchange.files import CODES, opened
from gpuhours.questions.interchange.keys import (
    ACCUMULATION,
    IN_NODE,
    LOCAL_BATCH,
    LONGEST,
    MOST_SAMPLES,
    NODES,
    PER_NODE,
    RANKS,
    UNPADDED,
    VOCABULARY,
    ForeignFile,
    without_effect,
)
from gpuhours.run.overlays import put
from gpuhours.run.spec import Run, from_dict

EVERY = "recompute.every"
OPTIMISER_KEYS = {
    "megatron": ("optimizer",), "nemo": ("optim.name",), "torchtitan": ("optimizer.name",), "deepspeed": ("optimizer.type",),
    "accelerate": (), "nanotron": ("optimizer.optimizer_factory.name",), "axolotl": ("optimizer",),
    "llama-factory": ("optim",), "trainer": ("optim",),
}  # fmt: skip
"""The key that names the optimiser, by framework."""
ORDER = ("name", "model", "data", "training", "hardware", "layout", "software")


@dataclass(frozen=True)
class Origin:
    """One imported file, its framework, and its keys that have no equivalent in a run."""

    file: str
    code: str
    not_understood: tuple[str, ...]
    without_effect: tuple[str, ...]


def as_written(value: Any) -> Any:
    """Format a value as in a handwritten file: whole numbers without decimal point or quotes."""
    if isinstance(value, Mapping):
        return {key: inner if key == "name" else as_written(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_written(inner) for inner in value]
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


@dataclass(frozen=True)
class Imported:
    """A run assembled from files of training frameworks."""

    data: Mapping[str, Any]
    run: Run
    origins: tuple[Origin, ...]
    open: tuple[str, ...]
    """Keys that a run needs but the files do not give, and uncertain interpretations."""

    @property
    def yaml(self) -> str:
        """The run as YAML, with keys that were not understood as comments."""
        import yaml

        text = str(yaml.safe_dump(as_written(dict(self.data)), sort_keys=False, default_flow_style=None, width=120))
        theirs = [f"# from {', '.join(f'{one.file} ({one.code})' for one in self.origins)}"]
        theirs += [f"# {one}" for one in self.open]
        theirs += [f"# not understood in {one.file}: {said}" for one in self.origins for said in one.not_understood]
        return "\n".join(theirs) + "\n" + text

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``gpuhours import --json``."""
        files = [
            {
                "file": one.file,
                "code": one.code,
                "not_understood": list(one.not_understood),
                "without_effect": list(one.without_effect),
            }
            for one in self.origins
        ]
        return envelope("import", {"run": dict(self.data), "files": files, "open": list(self.open)})


def _origin(path: Path, code: str, theirs: ForeignFile, *, optimiser_read: bool) -> Origin:
    """What was taken from a file once it has been read: the settings that were not understood, and those without effect."""
    name = theirs.get(*OPTIMISER_KEYS[code])
    unknown = [f"{OPTIMISER_KEYS[code][0]} = {name}"] if name is not None and not optimiser_read else []
    left = [*theirs.meaningless(), *((name, value) for name, value in theirs.left() if not without_effect(name))]
    automatic = (name for name in theirs.automatic() if not without_effect(name))
    not_read = (
        *unknown,
        *(f"{name} = {_short(value)}" for name, value in left),
        *(f"{name} = auto: decided by the trainer" for name in automatic),
    )
    mute = tuple(name for name, value in theirs.left() if without_effect(name))
    return Origin(str(path), CODES[code].title, not_read, mute)


def import_files(paths: Sequence[Path | str], settings: Mapping[str, Any] | None = None) -> Imported:
    """Build a run from files of training frameworks (``files.CODES``) and a model's config.json. Later files override earlier ones, and
    ``settings`` override all files."""
    stated: dict[str, Any] = {}
    origins: list[Origin] = []
    models = []
    waiting, referred = list(map(Path, paths)), set[Path]()
    while waiting:
        path = waiting.pop(0)
        code, keys = opened(path)
        if code == "model":
            models.append(str(path))
            origins.append(Origin(str(path), "a model's configuration", (), ()))
            continue
        theirs = ForeignFile(keys, last=CODES[code].last)
        said = read(code, theirs)
        named = _named_beside(path, theirs, {one.file for one in origins} | set(map(str, waiting)))
        waiting, referred = [*waiting, *named], referred | set(named)
        first = OF_COMMAND & stated.keys() if path in referred else set()
        ours = {key: value for key, value in said.items() if value is not None and key not in first}
        stated |= _beside(stated, ours)
        origins.append(_origin(path, code, theirs, optimiser_read="training.optimizer" in said))
    other: list[str] = []
    if models:
        other = _other_shape(stated, models[-1])
        stated.pop(VOCABULARY, None)
        stated = {"model": models[-1], **{key: value for key, value in stated.items() if not _of_shape(key)}}
    found = _finished(stated | dict(settings or {}), tuple(origins))
    return replace(found, open=(*other, *found.open))


BESIDE = ("deepspeed_config.deepspeed_config_file", "deepspeed", "config_file")
"""Keys that name another file: DeepSpeed's in an accelerate or Trainer configuration, accelerate's in a launch command."""
OF_COMMAND = {NODES, PER_NODE, ACCUMULATION, "hardware.gpus", "layout.microbatch"}
"""Quantities that a launch command overrides in the files that it names."""


def _named_beside(path: Path, theirs: ForeignFile, given: set[str]) -> list[Path]:
    """The files that a configuration refers to, if they exist and were not also given; they are imported too."""
    found = []
    for key in BESIDE:
        said = theirs.get(key)
        if said is None or Path(str(said)).suffix not in (".json", ".yaml", ".yml"):
            if key == "deepspeed" and isinstance(said, str) and not stage_named(said):
                theirs.leave(key)
            continue
        file = path.parent / str(said)
        if _is_file(file):
            found += [] if str(file) in given else [file]
        elif (
            key == "config_file"
            or (key == BESIDE[0] and not any(Path(one).name == file.name for one in given))
            or (key == "deepspeed" and not given and not stage_named(str(said)))
        ):
            theirs.leave(key)
    return found


def _is_file(path: Path) -> bool:
    """Whether a file is there; no file has a name that is too long for the file system."""
    try:
        return path.is_file()
    except OSError:
        return False


def reread(code: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a file's keys to the run's keys, without deriving others from them."""
    return read(code, ForeignFile(keys, last=CODES[code].last))


def read(code: str, theirs: ForeignFile) -> dict[str, Any]:
    """Convert a file to the run's keys, including the optimiser."""
    said = CODES[code].read(theirs)
    name = theirs.get(*OPTIMISER_KEYS[code])
    meant = None if name is None else optimiser_called(str(name))
    return said if meant is None else {**said, "training.optimizer": meant}


def optimiser_called(name: str) -> str | None:
    """The optimiser for a framework's name of it, None if unknown: ``adamw_bnb_8bit``, ``distributed_fused_adam``, ``paged_adamw_8bit``."""
    words = name.lower().replace("-", "_")
    special = next((one for one in ("galore", "adafactor", "muon", "soap", "lion") if one in words), None)
    if special is not None:
        return special
    if "adam" in words:
        return "adamw-8bit" if "8bit" in words else "adamw"
    return "sgd" if words == "sgd" else None


def _beside(found: Mapping[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """Set the software stack if a DeepSpeed file and a Hugging Face trainer's file are combined, which is a separate stack."""
    stacks = {str(found.get("software", "")), str(said.get("software", ""))}
    if stacks == {"deepspeed", "llama-factory"}:
        return {**said, "software": "llama-factory"}
    if "deepspeed" in stacks and any(one.startswith("huggingface") for one in stacks):
        return {**said, "software": "huggingface-deepspeed"}
    return said


def _of_shape(key: str) -> bool:
    """Whether a key describes the model's shape, for which a model's configuration takes precedence; keys of adapters do not."""
    return key == "model" or (
        key.startswith("model.") and key not in ("model.trainable", "model.rank", "model.targets")
    )


def _short(value: Any) -> str:
    """A setting's value as shown; TOML's ``1e999`` is read as infinite, and no answer shows that as a number."""
    if isinstance(value, float) and not math.isfinite(value):
        return "no finite number"
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _vocabulary(found: dict[str, Any], guessed: tuple[int, str] | None, origins: tuple[Origin, ...]) -> list[str]:
    """Fill in the vocabulary of a shape that takes it from a tokenizer: that of the known model whose tokenizer the file names. Raises
    ``EstimateError`` if it names none."""
    if "model.layers" not in found or "model.name" in found or "model.vocab" in found:
        return []
    if guessed is None:
        raise EstimateError(
            "The vocabulary size is missing: it is the tokenizer's, padded.",
            "Set it, as in --set model.vocab=128256 (Llama 3), 32000 (Llama 2), 51200 (GPT-2's at tensor 8), or name the config.json.",
            ", ".join(one.file for one in origins),
        )
    found["model.vocab"], whose = guessed
    return [f"vocabulary {guessed[0]:,}: that of {whose}, whose tokenizer is named, padded as Megatron pads it"]


def _other_shape(stated: Mapping[str, Any], path: str) -> list[str]:
    """Remarks on contradictions between a model's configuration and the shape stated in other files."""
    from gpuhours.architecture.hugging_face.config import read_config

    own = read_config(Path(path))
    apart = [
        f"{name} {stated[key]} for {own[name]}"
        for name in ("layers", "hidden", "heads", "vocab")
        if (key := f"model.{name}") in stated and name in own and stated[key] != own[name]
    ]
    return [f"another shape than {path}, which counts: {', '.join(apart)}"] if apart else []


def _adapters_alone(found: dict[str, Any]) -> list[str]:
    """Drop adapters whose base model is not known by the name in the files, and report them."""
    about = [key for key in found if key.startswith("model.")]
    if "model" in found or not about or set(about) - {"model.trainable", "model.rank", "model.targets"}:
        return []
    said = {key: found.pop(key) for key in about}
    rank, targets = said.get("model.rank", 8), said.get("model.targets")
    beside = f" --set model.targets=[{','.join(targets)}]" if targets else ""
    return [f"adapters of rank {rank} on an unknown model: --model CONFIG.json --lora {rank}{beside}"]


def _per_node(run: Run, nodes: int | None, launched: int | None) -> int | None:
    """GPUs per node that a run uses: the launcher's, those of all nodes divided by the nodes, or those of the server."""
    hardware, gpus = run.hardware, run.hardware.gpus
    size = launched
    if size is None and nodes and gpus:
        size = max(1, int(gpus) // nodes)
    elif size is None and hardware.named is not None:
        size = cluster(hardware.named, hardware.node).gpus_per_node
    return size if size is None or gpus is None else min(size, int(gpus))


def _sharded_in_node(data: dict[str, Any], run: Run, group: int | None) -> tuple[Run, list[str]]:
    """Let every node of ``group`` GPUs hold all shards: the run, or a remark if the number is not known."""
    if group is None:
        return run, ["every node holds all shards, and its number of GPUs is missing: --set layout.shard_group=N"]
    put(data, "layout.shard_group", group)
    return from_dict(data, "what the files say"), []


def _missing(data: Mapping[str, Any], run: Run, longest: int | None) -> Iterator[str]:
    """What an estimate needs and the files do not say."""
    if longest and run.data.seq_len is None:
        say = "--set data.text_tokens=N" if getattr(run.model, "kind", "") == "video-language" else "--seq-len N"
        yield f"samples are cut to {longest:,} tokens, not packed; their usual length is missing: {say}"
    if "model" not in data:
        yield "the model's shape is missing: --model NAME-OR-CONFIG.json or --params"
    if "accelerator" not in data.get("hardware", {}):
        yield "the accelerator is missing: --gpu h100-sxm-80gb"


EQUIVALENT = (
    NODES, PER_NODE, RANKS, ACCUMULATION, LOCAL_BATCH, EVERY, VOCABULARY, UNPADDED, LONGEST, MOST_SAMPLES, IN_NODE,
)  # fmt: skip
"""Quantities of files that are no keys of a run, but from which keys follow."""


def _gpus_and_batch(found: dict[str, Any], said: Mapping[str, Any]) -> list[str]:
    """Derive the number of GPUs and the global batch from equivalent quantities, in place; returns what is missing for the batch."""
    degrees = [found.get(f"layout.{name}") or 1 for name in ("tensor", "pipeline", "context")]
    copy = math.prod(
        int(degree) if isinstance(degree, int | float | str) else 1 for degree in degrees
    )  # a list is refused with the run
    if "hardware.gpus" not in found and said[NODES] and said[PER_NODE]:
        found["hardware.gpus"] = said[NODES] * said[PER_NODE]
    if "hardware.gpus" not in found and said[RANKS]:
        found["hardware.gpus"] = said[RANKS] * copy
    if "training.global_batch" in found:
        return []
    gpus, passes, microbatch = found.get("hardware.gpus"), said[ACCUMULATION], found.get("layout.microbatch")
    local = said[LOCAL_BATCH] or (int(microbatch) * passes if passes and microbatch else None)
    if local and gpus:
        found["training.global_batch"] = local * (int(gpus) // copy)
    elif local:
        return [
            f"the global batch is {local} samples times the data-parallel ranks, and the number of GPUs is missing: --gpus N"
        ]
    elif passes:
        return [f"a step has {passes} passes of a micro-batch of unknown size: --microbatch N"]
    return []


def _finished(found: dict[str, Any], origins: tuple[Origin, ...]) -> Imported:
    """Derive the number of GPUs and the global batch from equivalent quantities in the files, then nest all keys and validate the run."""
    said = {key: found.pop(key, None) for key in EQUIVALENT}
    remarks = _gpus_and_batch(found, said)
    remarks += _vocabulary(found, said[VOCABULARY], origins)
    if said[UNPADDED] and said[UNPADDED] != found.get("model.vocab"):
        remarks.append(f"vocabulary {found['model.vocab']:,}: {said[UNPADDED]:,}, padded as Megatron pads it")
    if said[EVERY]:
        remarks.append(
            f"one layer in {said[EVERY]} is recomputed: set layout.recompute full and layout.recompute_layers to a stage's share"
        )
    most = said[MOST_SAMPLES]
    if most and not {"data.steps", "data.samples", "data.tokens"} & found.keys():
        remarks.append(f"the data sets are cut to {most:,} samples in all: --samples {most} if they have as many")
    remarks += _adapters_alone(found)
    if not found:
        raise EstimateError("Nothing in the files is understood.", "", ", ".join(one.file for one in origins))
    data: dict[str, Any] = {}
    for key, value in sorted(found.items(), key=lambda item: len(item[0].split("."))):
        put(data, key, value)
    data = {name: data[name] for name in (*ORDER, *(set(data) - set(ORDER))) if name in data}
    run = from_dict(data, "what the files say")
    if said[IN_NODE] and "layout.shard_group" not in found and found.get("layout.sharding") != "none":
        run, missing = _sharded_in_node(data, run, _per_node(run, said[NODES], said[PER_NODE]))
        remarks += missing
    return Imported(data, run, origins, (*remarks, *_missing(data, run, said[LONGEST])))
