"""JSON Schemas of each kind of file, generated from the models that read them.

Editors complete from them: a key's description is the docstring under it in the model, with its unit and an example; names of
accelerators, nodes, stacks and models are listed, and a path to a user's file is accepted too.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from gpuhours.architecture.catalogue import names as model_names
from gpuhours.hardware.accelerators import AcceleratorProfile, list_accelerators
from gpuhours.hardware.nodes import NodeProfile, list_nodes
from gpuhours.inputs.units import unit_of
from gpuhours.inputs.yaml_files import read_yaml
from gpuhours.questions.checking.file import ClaimsFile
from gpuhours.questions.listing.names import UNREAD
from gpuhours.questions.reproducing import Published
from gpuhours.questions.validating.described import Measurements
from gpuhours.run.spec import Run
from gpuhours.software.profile import Software, list_software

SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DIALECT = "https://json-schema.org/draft/2020-12/schema"

EXAMPLES: Mapping[str, str] = {
    "byte": "80 GB", "byte/s": "3.35 TB/s", "FLOP/s": "989 TFLOP/s", "s": "1.5 s", "W": "700 W", "token": "500B", "parameter": "30B",
    "GPU*hour": "1.8M", "day": "45", "Hz": "1.98 GHz", "": "44.5%",
}  # fmt: skip
"""Unit -> an example value."""

UNITS: Mapping[str, str] = {"": "a number or a share", "count": "a whole number"}
"""Descriptions used where there is no unit."""
NAMES: Mapping[tuple[str, str], Callable[[], Any]] = {
    ("Hardware", "accelerator"): list_accelerators,
    ("Hardware", "node"): list_nodes,
    ("Run", "software"): list_software,
}
"""Keys whose values are names: the known ones; a path to a user's file is accepted too."""


class Editors(GenerateJsonSchema):
    """Pydantic's schema with what an editor shows: descriptions, units, examples, names."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        """A number that is read from text may be given as text."""
        unit = unit_of(schema["function"]["function"])
        if unit is None:
            described = super().function_before_schema(schema)
            return {"anyOf": [described, {"type": "string"}]} if described.get("type") == "number" else described
        text = UNITS.get(unit) or f"in {unit} or any unit of its kind"
        example = EXAMPLES.get(unit)
        either = {"anyOf": [{"type": "number"}, {"type": "string"}]}
        return {**either, "description": text, **({"examples": [example]} if example else {})}

    def encode_default(self, dft: Any) -> Any:
        """A default as JSON; rebuilds models that were not used yet (``Section`` defers building)."""
        if isinstance(dft, BaseModel):
            type(dft).model_rebuild()
        return super().encode_default(dft)

    def update_with_validations(self, json_schema: JsonSchemaValue, schema: Any, mapping: dict[str, str]) -> None:
        """The bounds of a number; whole ones as integers, since some versions of pydantic write 0.0, others 0."""
        super().update_with_validations(json_schema, schema, mapping)
        for name in mapping.values():
            bound = json_schema.get(name)
            if isinstance(bound, float) and bound.is_integer():
                json_schema[name] = int(bound)

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """A mapping, without the additionalProperties: true that only newer versions of pydantic write."""
        described = super().dict_schema(schema)
        return {key: told for key, told in described.items() if (key, told) != ("additionalProperties", True)}

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """A model's keys, each with its description."""
        described = super().model_schema(schema)
        cls = schema["cls"]
        described.get("properties", {}).pop(UNREAD, None)
        for key, field in described.get("properties", {}).items():
            self._describe(cls, key, field)
        return described

    def _describe(self, cls: type[Any], key: str, schema: dict[str, Any]) -> None:
        shared, ours = general(), examples()
        told_in_class: Mapping[str, str] = sentences(cls)  # type: ignore[arg-type] # a class is hashable
        sentence = told_in_class.get(key) or shared.get(f"{cls.__name__}.{key}") or shared.get(key)
        measured = (
            schema
            if "description" in schema
            else next((one for one in schema.get("anyOf", ()) if "description" in one), {})
        )
        unit = measured.get("description")
        if sentence or unit:
            schema["description"] = f"{sentence.rstrip('.')} ({unit})." if sentence and unit else sentence or unit
        own = ours.get(f"{cls.__name__}.{key}") or ours.get(key)
        example = own or used(cls.__module__).get(key, schema.get("default"))
        if own or (example not in (None, "", [], {}) and not shows_values(schema)):
            schema["examples"] = [example]
        listed = NAMES.get((cls.__name__, key))
        if listed is not None:
            schema.pop("type", None)
            schema["anyOf"] = [{"enum": list(listed())}, {"type": "string"}, {"type": "null"}]


def shows_values(schema: Any) -> bool:
    """Whether a key's schema itself shows which values are allowed."""
    if isinstance(schema, Mapping):
        own = {"examples", "enum", "const", "$ref"} & schema.keys() or schema.get("type") == "boolean"
        return bool(own) or any(shows_values(inner) for name, inner in schema.items() if name != "default")
    return isinstance(schema, list) and any(shows_values(inner) for inner in schema)


SHIPPED: Mapping[str, tuple[str, ...]] = {
    "gpuhours.architecture": ("gpuhours/architecture/models",),
    "gpuhours.hardware": ("hardware_specs/accelerators", "hardware_specs/nodes"),
    "gpuhours.software": ("gpuhours/software/profiles",),
    "gpuhours": ("gpuhours/examples", "gpuhours/published/documents", "gpuhours/published/described"),
}
"""Where the files are that the models of a package read."""


def used(module: str) -> Mapping[str, Any]:
    """Key -> a value from one of the included files: a value in use is the best example."""
    return used_in(next(name for name in SHIPPED if module.startswith(name)))


@cache
def used_in(package: str) -> Mapping[str, Any]:
    """The values in the files that the models of a package read."""
    definitions: dict[str, Any] = {}
    for place in SHIPPED[package]:
        top, _, inside = place.partition("/")
        for path in sorted(Path(str(files(top) / inside)).glob("*.yaml")):
            _collect(yaml.load(path.read_text(encoding="utf-8"), SafeLoader), definitions)
    return definitions


def _collect(value: Any, node: dict[str, Any]) -> None:
    """The first plain value, or list of values, at each key."""
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        one = inner["value"] if isinstance(inner, Mapping) and set(inner) >= {"value", "source"} else inner
        plain = isinstance(one, str | int | float) or (
            isinstance(one, list) and all(isinstance(x, str | int | float) for x in one)
        )
        if plain and not isinstance(one, bool) and len(str(one)) <= LONGEST_EXAMPLE:
            node.setdefault(str(key), one)
        _collect(inner, node)
    for inner in value if isinstance(value, list) else ():
        _collect(inner, node)


LONGEST_EXAMPLE = 60


@cache
def general() -> Mapping[str, str]:
    """Descriptions of keys that have none in their model, from ``keys.yaml`` next to this file."""
    return {str(key): str(sentence) for key, sentence in listing_file("keys.yaml").items()}


@cache
def examples() -> Mapping[str, Any]:
    """Values of keys that no included file uses, from ``examples.yaml`` next to this file."""
    return listing_file("examples.yaml")


def listing_file(name: str) -> Mapping[str, Any]:
    """The contents of a file in this folder."""
    texts: Mapping[str, Any] = read_yaml(Path(str(files("gpuhours.questions.listing"))) / name).data
    return texts


@cache
def sentences(cls: Any) -> Mapping[str, str]:
    """The docstring under each field of a model and its base classes, on one line."""
    by_key: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not (isinstance(base, type) and issubclass(base, BaseModel) and base is not BaseModel):
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        by_key |= dict(_documented(body))
    return by_key


def _documented(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """A field's name and the docstring after it."""
    for field, behind in pairwise(body):
        named = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        text = behind.value.value if isinstance(behind, ast.Expr) and isinstance(behind.value, ast.Constant) else None
        if named and isinstance(text, str):
            assert isinstance(field, ast.AnnAssign)
            assert isinstance(field.target, ast.Name)
            yield field.target.id, " ".join(text.split())


def schema(kind: str) -> dict[str, Any]:
    """The schema of a ``run``, a ``document``, ``claims``, ``hardware`` (accelerator or node), ``software`` or ``measurements`` file."""
    if kind == "hardware":
        inputs = [(AcceleratorProfile, "validation"), (NodeProfile, "validation")]
        _, definitions = models_json_schema(inputs, schema_generator=Editors)  # type: ignore[arg-type]
        either = [{"$ref": f"#/$defs/{model.__name__}"} for model, _ in inputs]
        return {"$schema": DIALECT, "title": "hardware", "anyOf": either, **definitions}
    readers: dict[str, type[BaseModel]] = {
        "run": Run,
        "document": Published,
        "claims": ClaimsFile,
        "software": Software,
        "measurements": Measurements,
    }
    document = readers[kind].model_json_schema(mode="validation", schema_generator=Editors)
    if kind == "document":  # words alone stand for an origin
        origins = document["properties"]["origins"]
        origins["additionalProperties"] = {"anyOf": [origins["additionalProperties"], {"type": "string"}]}
    return {"$schema": DIALECT, **(like_another(document) if kind == "software" else with_names(document))}


def like_another(node: dict[str, Any]) -> dict[str, Any]:
    """Make every key optional in a software profile with ``like: NAME``, also inside its groups, which may be ``like`` another's group."""
    like = {
        "description": "The profile from which everything not given here is taken.",
        "anyOf": [{"enum": list(list_software())}, {"type": "string"}],
    }
    of_group = {**like, "description": "The profile from whose group everything not given here is taken."}
    for part in (node, *node.get("$defs", {}).values()):
        part.pop("required", None)
        if part is not node and "source" in part.get("properties", {}):
            part["properties"] = {"like": of_group, **part["properties"]}
    return {**node, "properties": {"like": like, **node["properties"]}, "required": ["title"]}


PARTS = {"model": "llama-3-8b", "vision": "vit-l-14", "language": "llama-2-7b", "text": "gpt2", "encoder": "vit-l-14"}
"""Keys whose value is a model, each with a typical one."""


def with_names(node: dict[str, Any]) -> dict[str, Any]:
    """A model may be a name, a size, a file, or a named model with some fields changed."""
    text = {
        "anyOf": [{"enum": list(model_names())}, {"type": "string"}],
        "description": "a published model, a size such as 30B, or a config.json",
    }
    changed = {
        "type": "object", "properties": {"name": text}, "required": ["name"], "description": "a published model with some fields changed",
    }  # fmt: skip
    for part in (node, *node.get("$defs", {}).values()):
        for key in PARTS:
            shape = part.get("properties", {}).get(key)
            if isinstance(shape, dict) and shape.get("type") not in ("string", "number", "boolean"):
                kept = {name: shape.pop(name) for name in ("title", "default", "description") if name in shape}
                part["properties"][key] = {**kept, "examples": [PARTS[key]], "anyOf": [text, changed, shape]}
    return node
