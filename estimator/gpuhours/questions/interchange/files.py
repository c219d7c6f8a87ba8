"""Detect the framework of a file, and parse and write its text."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import read_text, read_yaml_text
from gpuhours.questions.interchange import (
    accelerate,
    axolotl,
    deepspeed,
    llama_factory,
    megatron,
    nanotron,
    nemo_recipes,
    notebooks,
    python_calls,
    shell,
    swift,
    torchtitan,
    trainer,
)
from gpuhours.questions.interchange.keys import REST, ForeignFile, Undecided, flat, interpolated, nested

NEMO_PATHS = {
    "num_nodes": "trainer", "devices": "trainer", "precision": "trainer", "max_steps": "trainer", "name": "model.optim",
}  # fmt: skip
"""Paths of NeMo's keys outside ``model``."""


@dataclass(frozen=True)
class Code:
    """A supported training framework, with its file format."""

    title: str
    ending: str
    read: Callable[[ForeignFile], dict[str, Any]]
    write: Callable[[Mapping[str, Any]], str]
    last: bool = False
    """Whether keys are identified by the last part of their path alone."""


def _yaml(values: Mapping[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(nested(values), sort_keys=False))


def _toml(values: Mapping[str, Any]) -> str:
    """Write TOML tables of plain values, which is all that torchtitan's files use."""
    lines = []
    for table, keys in nested(values).items():
        lines += ["", f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    return "\n".join(lines[1:]) + "\n"


def _shell(values: Mapping[str, Any], program: str = "pretrain_gpt.py", spelt: str = "-") -> str:
    """Write arguments as a shell array, followed by the launch command."""
    machine = {name: values[name] for name in ("nnodes", "nproc_per_node") if name in values}
    said = {
        name: value
        for name, value in values.items()
        if name not in (*machine, "activation", "bias") and value is not False
    }
    lines = [
        f"    --{name.replace('_', spelt)}" + ("" if value is True else f" {_word(value)}")
        for name, value in said.items()
    ]
    start = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in machine.items())
    body = "\n".join(lines)
    return f'#!/bin/bash\nARGUMENTS=(\n{body}\n)\ntorchrun {start} {program} "${{ARGUMENTS[@]}}"\n'


def _word(value: Any) -> str:
    """A value as one word of a command line, or a list as several."""
    return " ".join(map(_word, value)) if isinstance(value, list) else shlex.quote(str(value))


def _nemo(values: Mapping[str, Any]) -> str:
    only_megatron = ("swiglu", "untie_embeddings_and_output_weights", "disable_bias_linear", "group_query_attention")
    paths = {
        f"{NEMO_PATHS.get(name, 'model')}.{name}": value for name, value in values.items() if name not in only_megatron
    }
    return _yaml(paths)


CODES: Mapping[str, Code] = {
    "megatron": Code("Megatron-LM", ".sh", megatron.read, lambda values: _shell(megatron.write(values)), last=True),
    "torchtitan": Code("torchtitan", ".toml", torchtitan.read, lambda values: _toml(torchtitan.write(values))),
    "deepspeed": Code("DeepSpeed", ".json", deepspeed.read, lambda values: json.dumps(nested(deepspeed.write(values)), indent=2) + "\n"),
    "accelerate": Code("accelerate", ".yaml", accelerate.read, lambda values: _yaml(accelerate.write(values))),
    "nemo": Code("NeMo", ".yaml", partial(megatron.read, software="nemo"), lambda values: _nemo(megatron.write(values, "nemo")), last=True),
    "nanotron": Code("nanotron", ".yaml", nanotron.read, lambda values: _yaml(nanotron.write(values))),
    "axolotl": Code("axolotl", ".yaml", axolotl.read, lambda values: _yaml(axolotl.write(values))),
    "trainer": Code("Trainer", ".sh", trainer.read, lambda values: _shell(trainer.write(values), "train.py", "_")),
    "llama-factory": Code("LLaMA-Factory", ".yaml", llama_factory.read, lambda values: _yaml(llama_factory.write(values))),
}  # fmt: skip


UNREAD: tuple[tuple[str, set[str]], ...] = (
    ("GPT-NeoX", {"pipe_parallel_size"}), ("OLMo", {"device_train_microbatch_size", "mlp_hidden_size"}),
    ("llm-foundry or OLMo", {"device_train_microbatch_size"}), ("torchtune", {"_component_"}), ("LitGPT", {"lr_warmup_steps", "devices"}),
    ("MaxText", {"base_emb_dim"}), ("MaxText", {"ici_fsdp_parallelism"}), ("ms-swift", {"train_type", "torch_dtype"}),
)  # fmt: skip
"""Unsupported frameworks, each with keys that together identify its files."""
_READ = f"Supported: {', '.join(code.title for code in CODES.values())}."


def opened(path: Path) -> tuple[str, dict[str, Any]]:
    """Read a file: (framework, keys). The framework ``model`` is a Hugging Face model configuration."""
    text, ending = read_text(path).removeprefix("\ufeff"), path.suffix.lower()  # Windows marks the start of a file
    if ending == ".toml":
        try:
            keys = flat(tomllib.loads(text))
        except RecursionError:
            raise EstimateError("nests too deep.", where=str(path)) from None
        except tomllib.TOMLDecodeError as error:
            raise EstimateError(f"is not TOML: {error}", where=str(path)) from None
        except ValueError:
            raise EstimateError("contains a number with thousands of digits.", where=str(path)) from None
        if {name.split(".", 1)[0] for name in keys} & {
            "parallelism",
            "training",
            "activation_checkpoint",
            "experimental",
        }:
            return "torchtitan", keys
    if ending in (".json", ".yaml", ".yml"):
        data = read_yaml_text(text, str(path)).data
        if isinstance(data, Mapping) and data:
            code, keys = _owner(flat(data), path)
            return code, interpolated(keys) if code in ("nemo", "megatron") else keys
    python = ending in (".py", ".ipynb")
    launch = notebooks.commands(text, str(path)) if ending == ".ipynb" else "" if python else text
    cells = notebooks.code(text, str(path)) if ending == ".ipynb" else [text]
    if python and (recipe := nemo_recipes.settings(cells, str(path))):
        return "nemo", recipe
    arguments = python_calls.arguments(*cells, where=str(path)) if python else {}
    if launch and arguments:
        arguments[REST] = Undecided(", ".join(filter(None, [arguments.get(REST), "shell commands"])))
    elif launch:
        python, arguments = False, shell.arguments(launch, str(path))
    known = {*trainer.MARKS, *megatron.MARKS, "finetuning_type", swift.LAUNCHED, "config_file"}
    if not arguments or not (python or known & arguments.keys()):
        raise EstimateError("contains no known arguments or keys.", _READ, str(path))
    return _launched(arguments, python=python), arguments


def _launched(arguments: Mapping[str, Any], *, python: bool) -> str:
    """Detect the framework of a launch command, or of Python, by its arguments."""
    if "finetuning_type" in arguments:
        return "llama-factory"
    if swift.LAUNCHED in arguments:
        return "megatron" if str(arguments[swift.LAUNCHED]).startswith("megatron") else "trainer"
    shaped = {"num_layers", "hidden_size", "tensor_model_parallel_size", "micro_batch_size"} & arguments.keys()
    marked = bool(trainer.MARKS & arguments.keys())
    return "trainer" if (marked or not shaped if python else marked and not shaped) else "megatron"


def _owner(keys: dict[str, Any], path: Path) -> tuple[str, dict[str, Any]]:
    """Detect the framework by keys that only its files have."""
    last = {name.rsplit(".", 1)[-1] for name in keys}
    first = {name.split(".", 1)[0] for name in keys}
    for title, marks in UNREAD:
        if marks <= keys.keys() | first | last:
            raise EstimateError(f"is a file of {title}, which is not supported.", _READ, str(path))
    if {"model_type", "architectures", "_class_name"} & first and "base_model" not in first:
        return "model", {"model": str(path)}
    if "base_model" in first:
        return "axolotl", keys
    if {"finetuning_type", "cutoff_len", "template"} & first:
        return "llama-factory", keys
    if trainer.MARKS & first:
        return "trainer", keys
    if {"parallelism.tp", "tokens.sequence_length"} & keys.keys() and "parallelism.dp" in keys:
        return "nanotron", keys
    if first & {"distributed_type", "compute_environment", "num_processes"} or any(
        name.startswith("fsdp_config.fsdp_") for name in keys
    ):
        return "accelerate", keys
    if first & {"zero_optimization", "train_batch_size", "train_micro_batch_size_per_gpu"}:
        return "deepspeed", keys
    if "trainer" in first and last & {"tensor_model_parallel_size", "micro_batch_size", "num_layers"}:
        return "nemo", keys
    if last & {"tensor_model_parallel_size", "micro_batch_size", "num_layers", "hidden_size"}:
        return "megatron", keys
    raise EstimateError(
        "has no key that identifies its framework.",
        f"{_READ} A gpuhours run file goes directly to `gpuhours estimate`.",
        str(path),
    )


def opened_text(code: str, text: str) -> dict[str, Any]:
    """Parse the text of a file that was just written."""
    if code in ("megatron", "trainer"):
        return shell.arguments(text)
    return flat(tomllib.loads(text) if code == "torchtitan" else read_yaml_text(text, code).data)
