"""NeMo 2's runs, which are Python: ``llm.llama31_70b.pretrain_recipe(...)``, attributes that are set on a recipe, and keywords of
``MegatronStrategy``, ``Trainer`` and data modules. No code runs.

Names: nemo/collections/llm/recipes and nemo/lightning/pytorch/strategies/megatron_strategy.py.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from typing import Any

from gpuhours.architecture.catalogue import names
from gpuhours.questions.interchange.keys import REST, ForeignFile, Undecided
from gpuhours.questions.interchange.python_calls import parsed
from gpuhours.questions.interchange.python_names import Scope, name_of

RECIPE = "recipe"
"""Key for the model whose recipe a script takes."""
_RECIPE = re.compile(r"^(pretrain|finetune)_recipe$")
_PART = re.compile(r"(MegatronStrategy|Trainer|DataModule|DistributedDataParallelConfig)$")
_EIGHT = re.compile(r"fp8_mixed$")
"""Functions that make a precision plugin with GEMMs of 8 bits: ``bf16_with_fp8_mixed``."""
_INSIDE = frozenset({"trainer", "strategy", "data", "model", "config", "optim", "ddp", "plugins"})
"""Parts of a recipe whose attributes scripts set."""
_NAMES = {"num_gpus_per_node": "devices", "peft_scheme": "peft.peft_scheme"}
OWN = {"precision": "bf16-mixed", "optim.name": "distributed_fused_adam"}
"""What recipes set where a script does not: ``bf16_mixed`` plugins and the distributed optimiser."""


def settings(cells: Sequence[str], where: str) -> dict[str, Any]:
    """The settings that a script makes, by NeMo's names; empty if it is none of NeMo 2's.

    >>> settings(["run = llm.llama3_8b.pretrain_recipe(num_nodes=2)\\nrun.trainer.strategy.sequence_parallel = True"], "x.py")["recipe"]
    'llama3_8b'
    """
    body, rest = parsed(cells, where)
    found: dict[str, Any] = {}
    for scope in Scope(body).every():
        for node in scope.nodes:
            found |= dict(_called(node, scope) if isinstance(node, ast.Call) else _set(node, scope))
    if RECIPE not in found and "tensor_model_parallel_size" not in found:
        return {}
    if RECIPE in found:
        rest.append(f"what the recipe of {found[RECIPE]} sets itself")
        found = OWN | found
    return found | ({REST: Undecided(", ".join(rest))} if rest else {})


def _called(call: ast.Call, scope: Scope) -> Iterator[tuple[str, Any]]:
    """The keywords of a recipe, of a part of one, or of the part that ``run.Config`` configures."""
    name = name_of(call.func)
    if name in ("Config", "Partial") and call.args:
        name = name_of(call.args[0])
    if _RECIPE.match(name) and isinstance(call.func, ast.Attribute):
        yield RECIPE, name_of(call.func.value)
    elif _EIGHT.search(name):
        yield "fp8", True
    elif not _PART.search(name):
        return
    for one in call.keywords:
        if one.arg is not None and not isinstance(one.value, ast.Call):
            yield _NAMES.get(one.arg, one.arg), scope.value(one.value)


def _set(node: ast.AST, scope: Scope) -> Iterator[tuple[str, Any]]:
    """An attribute of a recipe's part that is set to a plain value: ``recipe.trainer.max_steps = 100``."""
    if not isinstance(node, ast.Assign) or isinstance(node.value, ast.Call):
        return
    for target in node.targets:
        if isinstance(target, ast.Attribute) and name_of(target.value) in _INSIDE:
            yield target.attr, scope.value(node.value)


def model_of_recipe(theirs: ForeignFile) -> dict[str, Any]:
    """The model of a recipe, whose module is named without dots and hyphens: ``llama31_70b``."""
    recipe = theirs.get(RECIPE)
    if recipe is None:
        return {}
    known = [one for one in names() if re.sub(r"[-.]", "", one) == str(recipe).replace("_", "")]
    if len(known) != 1:
        theirs.leave(RECIPE)
        return {}
    return {"model.name": known[0]}
