"""Extract the arguments of trainers from Python: keywords of ``TrainingArguments(...)``, ``LoraConfig(...)`` and such. No code runs."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

_ASKED = re.compile(r"(Arguments|Config|Trainer|from_pretrained|get_peft_model)$")
RENAMED = {
    "r": "lora_r",
    "target_modules": "lora_target_modules",
    "pretrained_model_name_or_path": "model_name_or_path",
}
"""Keywords with another name on command lines."""
OBJECTS = frozenset({
    "model", "args", "tokenizer", "processing_class", "train_dataset", "eval_dataset", "peft_config", "quantization_config",
    "device_map", "data_collator", "compute_metrics", "callbacks", "formatting_func", "token", "bias", "random_state",
})  # fmt: skip
"""Keywords that say nothing about cost: objects whose own keywords are read, and data."""
DECIDED_THERE = "auto"
"""Stands for a value that only running the code would give."""


def arguments(text: str) -> dict[str, Any]:
    """Keyword -> value of the calls that configure training; constants of the module are filled in. Empty if the text is no Python.

    >>> arguments("n = 4\\nargs = TrainingArguments(per_device_train_batch_size=n, bf16=True, output_dir=where())")
    {'per_device_train_batch_size': 4, 'bf16': True, 'output_dir': 'auto'}
    """
    try:
        tree = ast.parse(_code(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    known: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant | ast.List):
            known |= {target.id: _value(node.value, {}) for target in node.targets if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _ASKED.search(_name(node.func)):
            for name, value in ((name, value) for name, value in _said(node) if name not in OBJECTS):
                found.setdefault(RENAMED.get(name, name), _value(value, known))
    return found


def _code(text: str) -> str:
    """Python's text, or the code cells of a notebook without their shell commands."""
    if not text.lstrip().startswith("{"):
        return text
    cells = json.loads(text).get("cells", [])
    lines = ["".join(cell.get("source", "")) for cell in cells if cell.get("cell_type") == "code"]
    return "\n".join(line for line in "\n".join(lines).splitlines() if not line.lstrip().startswith(("!", "%")))


def _said(call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    """The keywords of a call; the first argument of ``from_pretrained`` is the model's name."""
    if _name(call.func) == "from_pretrained" and call.args:
        yield "model_name_or_path", call.args[0]
    yield from ((one.arg, one.value) for one in call.keywords if one.arg)


def _name(node: ast.expr) -> str:
    """The last part of a dotted name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _value(node: ast.expr, known: dict[str, Any]) -> Any:
    """A constant, a list of constants, the last part of ``torch.bfloat16``, or what a variable was set to."""
    if isinstance(node, ast.Name):
        return known.get(node.id, DECIDED_THERE)
    if isinstance(node, ast.Attribute):
        return node.attr if _name(node.value) == "torch" else DECIDED_THERE
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError):
        return DECIDED_THERE
