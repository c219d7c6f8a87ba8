"""Extract the arguments of trainers from Python: keywords of ``TrainingArguments(...)``, ``LoraConfig(...)`` and such. No code runs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from typing import Any

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.interchange.keys import REST, Undecided, flat
from gpuhours.questions.interchange.python_names import Scope, name_of

_ASKED = re.compile(r"^(?!Generation|Auto).*(Arguments|Config|Trainer)$|^get_peft_model$")
_MODEL = re.compile(r"^(?!.*Peft).*(Model|For[A-Z]\w*)$")
"""Classes whose ``from_pretrained`` loads a model, neither a tokenizer nor trained adapters."""
RENAMED = {
    "r": "lora_r",
    "target_modules": "lora_target_modules",
    "pretrained_model_name_or_path": "model_name_or_path",
    "model_name": "model_name_or_path",
}
"""Keywords with another name on command lines."""
PLAIN = frozenset({"Trainer", "SFTTrainer", "Seq2SeqTrainer", "UnslothTrainer"})
"""Trainers of one pass forward and one backward; those of preferences and rewards run a model more often."""
OBJECTS = frozenset({
    "model", "args", "tokenizer", "processing_class", "train_dataset", "eval_dataset", "peft_config", "quantization_config",
    "device_map", "data_collator", "compute_metrics", "callbacks", "formatting_func", "token", "bias", "random_state",
})  # fmt: skip
"""Keywords that say nothing about cost: objects whose own keywords are read, and data."""


def arguments(*cells: str, where: str = "") -> dict[str, Any]:
    """Keyword -> value of the calls that configure training; constants are filled in. Raises ``EstimateError`` if no cell is Python.

    >>> arguments("n = 2\\nargs = TrainingArguments(per_device_train_batch_size=2 * n, bf16=True, output_dir=where())")
    {'per_device_train_batch_size': 4, 'bf16': True, 'output_dir': 'where(): computed in the script'}
    """
    found: dict[str, Any] = {}
    body, rest = parsed(cells, where)
    for scope in Scope(body).every():
        for name, value in (one for node in scope.nodes if isinstance(node, ast.Call) for one in _said(node, scope)):
            before = found.setdefault(name, value)
            if name == REST:
                rest.append(f"**{_short(value)}")
            elif before != value:
                found[name] = Undecided(f"{_short(before)} or {_short(value)}: the script says both")
    return flat(found | ({REST: Undecided(", ".join(dict.fromkeys(rest)))} if rest else {}))


def parsed(cells: Sequence[str], where: str) -> tuple[list[ast.AST], list[str]]:
    """The statements of the cells, and the names of the cells that are no Python. Raises ``EstimateError`` if none is."""
    rest: list[str] = []
    body: list[ast.AST] = []
    for number, text in enumerate(cells):
        try:
            body += ast.parse(text).body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = getattr(error, "lineno", None)
            if len(cells) == 1:
                raise EstimateError(
                    "is not Python that can be read.", "Python 3 is read.", f"{where}:{line}" if line else where
                ) from None
            rest.append(f"code cell {number + 1}")
    if not body and rest:
        raise EstimateError("has no code cell that is Python.", "Python 3 is read.", where)
    return body, rest


def _said(call: ast.Call, scope: Scope) -> Iterator[tuple[str, Any]]:
    """The keywords of a call that configures training, with their values; the first argument of ``from_pretrained`` is the model's name."""
    name = name_of(call.func)
    loads = name == "from_pretrained" and _MODEL.match(_class_of(call))
    if not (loads or _ASKED.match(name)):
        return
    if name.endswith("Trainer") and name not in PLAIN:
        yield "trainer", name
    if loads and call.args:
        yield "model_name_or_path", scope.value(call.args[0])
    for one in call.keywords:
        value = scope.value(one.value)
        if one.arg is None and isinstance(value, dict):
            yield from ((RENAMED.get(str(key), str(key)), inner) for key, inner in value.items() if key not in OBJECTS)
        elif one.arg is None:
            yield REST, value
        elif one.arg == "model" and isinstance(value, str) and not isinstance(value, Undecided):
            yield "model_name_or_path", value
        elif one.arg is not None and one.arg not in OBJECTS:
            yield RENAMED.get(one.arg, one.arg), value


def _class_of(call: ast.Call) -> str:
    """The class of which a method is called."""
    return name_of(call.func.value) if isinstance(call.func, ast.Attribute) else ""


def _short(value: Any) -> str:
    text = value.partition(": ")[0] if isinstance(value, Undecided) else str(value)
    return text if len(text) <= 16 else f"{text[:13]}..."
