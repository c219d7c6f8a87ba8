"""Schemas for completion in editors: every file that we ship validates, every key is explained, names are listed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from gpuhours.questions.listing.schemas import schema, shows_values
from gpuhours.questions.starting import example, example_names
from gpuhours.run.spec import from_dict

ROOT = Path(__file__).parents[3]
FILES = {
    "run": "tests/runs/*.yaml",
    "hardware": "hardware_specs/[an][co][cd]e*/*.yaml",
    "software": "estimator/gpuhours/software/profiles/*.yaml",
    "document": "estimator/gpuhours/published/documents/*.yaml",
    "measurements": "estimator/gpuhours/published/described/*.yaml",
}


def shipped() -> Iterator[Any]:
    for kind, pattern in FILES.items():
        for path in sorted(ROOT.glob(pattern)):
            yield pytest.param(kind, path, id=f"{kind}-{path.stem}")


@pytest.fixture(scope="module")
def validators() -> dict[str, Any]:
    return {kind: Draft202012Validator(schema(kind)) for kind in FILES}


@pytest.mark.parametrize(("kind", "path"), list(shipped()))
def test_a_shipped_file_passes(kind: str, path: Path, validators: dict[str, Any]) -> None:
    content = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    assert [error.message for error in validators[kind].iter_errors(content)] == []


@pytest.mark.parametrize("name", list(example_names()))
def test_an_example_to_begin_with_passes(name: str, validators: dict[str, Any]) -> None:
    assert [error.message for error in validators["run"].iter_errors(yaml.load(example(name), yaml.CSafeLoader))] == []


WRONG = [
    {"modle": "llama-3-8b"},
    {"model": "llama-3-8b", "hardware": {"gpu": "h100-sxm-80gb"}},
    {"model": "llama-3-8b", "layout": {"sharding": "zero4"}},
    {"model": "llama-3-8b", "data": {"tokens": [1, 2]}},
]


@pytest.mark.parametrize("run", WRONG, ids=str)
def test_a_wrong_run_does_not_pass(run: dict[str, Any], validators: dict[str, Any]) -> None:
    assert list(validators["run"].iter_errors(run))


def properties(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    found = schema(kind)
    for name, part in {"": found, **found.get("$defs", {})}.items():
        for key, told in part.get("properties", {}).items():
            yield f"{name}.{key}", told


UNIT = re.compile(r"|in \S+ or any unit of its kind|a number or a share|a whole number")
KINDS = ["run", "hardware", "software", "claims", "document", "measurements"]
BLOCKS = {"facts", "runs", "set", "saved", "saved_autocast", "gradients", "models"}
"""Keys that hold other keys."""


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_has_a_sentence(kind: str) -> None:
    """A unit alone does not count as a description."""
    silent = [key for key, told in properties(kind) if UNIT.fullmatch(told.get("description", ""))]
    assert silent == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_shows_a_value(kind: str) -> None:
    assert [
        key for key, told in properties(kind) if not shows_values(told) and key.rpartition(".")[2] not in BLOCKS
    ] == []


PLACES = {
    "data": "Data", "input": "InputPipeline", "training": "Training", "hardware": "Hardware", "layout": "Layout", "operation": "Operation",
    "known": "Known", "cost": "CostInputs", "cost.storage": "Storage", "cost.owned": "Owned",
}  # fmt: skip
NEEDS: dict[str, dict[str, Any]] = {
    "layout.recompute_layers": {"layout.recompute": "full"},
    "layout.recompute_modules": {"layout.recompute": "selective"},
    "layout.interleave": {"layout.schedule": "interleaved"},
    "layout.stage_layers": {"layout.pipeline": 4},
}
"""What must stand beside a key."""


@pytest.mark.parametrize("place", PLACES)
def test_examples_are_read(place: str) -> None:
    """Every example that an editor offers is accepted at its place."""
    for key, told in schema("run")["$defs"][PLACES[place]]["properties"].items():
        for shown in told.get("examples", ()):
            from_dict({"name": "x"}, settings={**NEEDS.get(f"{place}.{key}", {}), f"{place}.{key}": shown})


def test_quantities_have_a_unit_and_an_example() -> None:
    data = schema("run")["$defs"]["Hardware"]["properties"]["internode_bandwidth"]
    assert "byte/s" in data["description"]
    assert data["anyOf"][0]["examples"] == ["3.35 TB/s"]
    assert data["examples"] == ["50 GB/s"]


def test_names_are_listed() -> None:
    found = schema("run")
    run = found["$defs"]["Run"]["properties"]
    assert "h100-sxm-80gb" in found["$defs"]["Hardware"]["properties"]["accelerator"]["anyOf"][0]["enum"]
    assert "llama-3-8b" in run["model"]["anyOf"][0]["anyOf"][0]["enum"]
    assert "megatron-core" in run["software"]["anyOf"][0]["enum"]


def test_a_schema_needs_no_file_read_before() -> None:
    """Readers are built lazily, but default groups must be serialised correctly by a process that has read no file."""
    asked = "from gpuhours.questions.listing.schemas import schema; schema('software'); schema('hardware')"
    subprocess.run([sys.executable, "-c", asked], check=True)
