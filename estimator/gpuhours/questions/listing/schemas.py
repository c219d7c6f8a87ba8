"""What may stand in each kind of file, as JSON Schema made from the models that read them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gpuhours.hardware.accelerators import AcceleratorProfile
from gpuhours.hardware.nodes import NodeProfile
from gpuhours.questions.checking.file import ClaimsFile
from gpuhours.questions.reproducing import Published
from gpuhours.questions.validating.described import Measurements
from gpuhours.run.spec import Run
from gpuhours.software.profile import Software

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(kind: str) -> dict[str, Any]:
    """The schema of a ``run``, a ``document``, ``claims``, ``hardware`` (accelerator or node), ``software`` or ``measurements`` file."""
    if kind == "hardware":
        inputs = [(AcceleratorProfile, "validation"), (NodeProfile, "validation")]
        _, definitions = models_json_schema(inputs)  # type: ignore[arg-type]
        either = [{"$ref": f"#/$defs/{model.__name__}"} for model, _ in inputs]
        return {"$schema": DIALECT, "title": "hardware", "anyOf": either, **definitions}
    readers: dict[str, type[BaseModel]] = {
        "run": Run,
        "document": Published,
        "claims": ClaimsFile,
        "software": Software,
        "measurements": Measurements,
    }
    return {"$schema": DIALECT, **readers[kind].model_json_schema(mode="validation")}
