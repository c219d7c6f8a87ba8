"""Runs from shortcuts: names that each set one key of a run (``run.flags``), so that a single estimate needs no file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gpuhours.run.flags import ELSEWHERE, SHORTCUTS, named_once

if TYPE_CHECKING:
    from pathlib import Path

    from gpuhours.inputs.yaml_files import Source
    from gpuhours.run.spec import Run

MODELS = ("params", "model", "lora", "qlora")
"""Shortcuts that describe the model."""


def overlaid(source: Source, shortcuts: Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> Run:
    """The run of a file's contents, overridden by shortcuts and then ``settings`` (key -> value). Errors name the option that set a key."""
    from gpuhours.inputs.yaml_files import Key, Source
    from gpuhours.run.spec import from_source

    said = {SHORTCUTS[name][0]: f"--{name.replace('_', '-')}" for name in shortcuts} | dict.fromkeys(
        settings or {}, "--set"
    )
    options: dict[Key, str] = {tuple(key.split(".")): option for key, option in said.items()}
    overridden = Source(source.name, source.data, source.places, options=options)
    return from_source(overridden, keys(shortcuts, source.data) | dict(settings or {}))


def run_of(run: Run | Path | str | Mapping[str, Any] | None, shortcuts: Mapping[str, Any]) -> Run:
    """A ``Run`` from a run, its file, its mapping, or shortcuts alone. Raises ``EstimateError`` for an unknown shortcut, for two names
    of the same one, and for shortcuts together with a ``Run``."""
    from pathlib import Path

    from gpuhours.inputs.errors import EstimateError, nearest
    from gpuhours.inputs.yaml_files import Source
    from gpuhours.run.spec import Run, run_file

    shortcuts = {flag: shortcuts[name] for name, flag in named_once(shortcuts).items()}
    for name in shortcuts:
        if name not in SHORTCUTS:
            hint = ELSEWHERE.get(name) or nearest(name, SHORTCUTS) or f"There are {', '.join(SHORTCUTS)}."
            raise EstimateError(f"No shortcut {name!r}.", hint)
    if isinstance(run, Run):
        if shortcuts:
            raise EstimateError(
                "Shortcuts apply to a file or a mapping, not to a Run.", "run.replaced(KEY, VALUE) sets a key."
            )
        return run
    if run is None or isinstance(run, Mapping):
        return overlaid(Source("the run", {} if run is None else dict(run)), shortcuts)
    if not isinstance(run, str | Path):
        hint = "An estimate has its run as .run." if hasattr(run, "run") else ""
        raise EstimateError(
            f"This is not a run: {type(run).__name__}.", f"Give a file, a mapping or a Run. {hint}".strip(), "run"
        )
    return overlaid(run_file(run), shortcuts)


def keys(shortcuts: Mapping[str, Any], data: Any) -> dict[str, Any]:
    """The keys that shortcuts set, and their values, given a run file's ``data``. Raises ``EstimateError`` if two shortcuts describe the
    model or its adapters."""
    from gpuhours.inputs.errors import EstimateError

    for one, other in (("params", "model"), ("lora", "qlora")):
        if one in shortcuts and other in shortcuts:
            both = f"--{one} {shortcuts[one]} and --{other} {shortcuts[other]}"
            raise EstimateError(f"Both {both} are given.", "Keep the one that describes the model.")
    described = data.get("model") if isinstance(data, Mapping) else None
    sized = "params" in shortcuts or (
        "model" not in shortcuts and isinstance(described, Mapping) and "params" in described
    )
    if "active" in shortcuts and not sized:
        raise EstimateError(
            f"--active {shortcuts['active']} needs the total size of the mixture.",
            "Give --params as well; a named model has its own.",
            "--active",
        )
    shortcuts = counted(shortcuts)
    settings: dict[str, Any] = {SHORTCUTS[name][0]: value for name, value in shortcuts.items() if name not in MODELS}
    if "params" in shortcuts or "model" in shortcuts:
        settings = {
            "model": shortcuts["model"] if "model" in shortcuts else {"params": shortcuts["params"]},
            **settings,
        }
    if "lora" in shortcuts or "qlora" in shortcuts:
        settings |= adapters(settings, data, shortcuts)
    return settings


def counted(shortcuts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The shortcuts with a number in ``--gpu "2x RTX 4090"`` moved to ``gpus``. Raises ``EstimateError`` if --gpus gives another number."""
    from gpuhours.inputs.errors import EstimateError

    match = re.fullmatch(r"\s*(\d{1,7})\s*[x×*]\s*(\D.*|\d{4}.*)", str(shortcuts.get("gpu", "")), re.IGNORECASE)
    if match is None:
        return shortcuts
    from gpuhours.hardware.nodes import find_instance

    if (node := find_instance(match[2])) is not None:
        many = f"--gpu {match[2]} --gpus {int(match[1]) * node.gpus:.0f}"
        raise EstimateError(
            f"{match[2]} is an instance of {node.gpus:.0f} accelerators.",
            f"Give the number of accelerators: {many}",
            "--gpu",
        )
    count = shortcuts.get("gpus", match[1])
    if str(count).strip() != match[1]:
        raise EstimateError(f"--gpu says {match[1]} of them, --gpus {count}.", "Keep one of the two.", "--gpu")
    return {**shortcuts, "gpu": match[2], "gpus": count}


def adapters(found: Mapping[str, Any], data: Any, shortcuts: Mapping[str, Any]) -> dict[str, Any]:
    """The dotted keys, with their values, that add adapters to the model, or to the language model behind an encoder. QLoRA puts adapters
    on every linear layer and stores frozen weights in 4 bits, as in the paper (Dettmers et al. 2023, arXiv:2305.14314, sections 3 and 4),
    and computes under autocast, as every recipe does that sets ``bf16`` (Trainer) or ``mixed_precision`` (diffusers).
    Raises ``EstimateError`` if there is no model that takes adapters."""
    from gpuhours.architecture.catalogue import fields
    from gpuhours.architecture.lora import ALL
    from gpuhours.inputs.errors import EstimateError

    block: dict[str, Any] = {"trainable": "lora", "rank": shortcuts.get("lora") or shortcuts["qlora"]}
    precision: dict[str, Any] = {}
    if "qlora" in shortcuts:
        block |= {"targets": [ALL]}
        training = data.get("training") if isinstance(data, Mapping) else None
        if "precision" not in shortcuts:
            precision = {"training.dtype": "nf4"}
            precision |= {} if isinstance(training, Mapping) and "state" in training else {"training.state": "amp"}
    model = found.get("model") or (data.get("model") if isinstance(data, Mapping) else None)
    if model is None:
        raise EstimateError("Adapters need a model.", "Give --model or --params.", "--lora")
    if "model.vision.name" in found:
        model = {
            **({"name": model} if isinstance(model, str) else model),
            "vision": {"name": found["model.vision.name"]},
        }
    try:
        whole = fields(model)
    except ValueError:
        return precision  # errors in the model are reported on reading the run
    if not isinstance(whole, Mapping) or "vision" not in whole:
        return {f"model.{key}": value for key, value in block.items()} | precision
    language = whole.get("language")
    if language is None:
        raise EstimateError(
            "It is not clear which part gets adapters.", "Give the language model: --model llama-2-7b.", "--lora"
        )
    adapted = {**({"name": language} if isinstance(language, str) else language), **block}
    return {"model": {**whole, **_frozen(whole), "language": adapted}} | precision


def _frozen(whole: Mapping[str, Any]) -> dict[str, Any]:
    """The encoder and the bridge in front of a language model with adapters, frozen unless they say what they train."""
    parts = {name: {"name": part} if isinstance(part, str) else part for name, part in whole.items()}
    return {
        name: {"trainable": "frozen", **part}
        for name, part in parts.items()
        if name in ("vision", "bridge") and isinstance(part, Mapping)
    }
