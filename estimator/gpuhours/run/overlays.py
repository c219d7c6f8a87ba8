"""Operations on a run's mapping before validation: resolve paths, override keys, merge stages with their common
keys, insert assumed values."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.yaml_files import read_yaml_text, short
from gpuhours.run.flags import key_of

FILES = (".json", ".yaml", ".yml")
"""Endings of files that a run may name."""
MOST_STAGES = 32
"""Maximum number of stages, each evaluated as a separate run: eight times the most of any published run."""


def with_paths_from(value: Any, folder: Path) -> Any:
    """A run file's values with relative paths of existing files resolved against ``folder``, the run file's, not the current directory."""
    if isinstance(value, Mapping):
        return {key: with_paths_from(inner, folder) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_paths_from(inner, folder) for inner in value]
    if isinstance(value, str) and len(value) < 1000 and (value.endswith(FILES) or "/" in value):
        path = folder / value
        named = value.endswith(FILES) and _is_file(path)
        return str(path) if named or _is_file(path / "config.json") else value
    return value


def _is_file(path: Path) -> bool:
    """Whether the path is an existing file; False if the text is too long for a file name, such as a reason of 300 letters with a slash."""
    try:
        return path.is_file()
    except OSError:
        return False


def staged(data: Mapping[str, Any]) -> list[Any]:
    """Each of ``stages`` merged with the keys outside ``stages``, with its assumed values inserted; raises ``EstimateError`` for a stage
    that is not a mapping, and for more than ``MOST_STAGES``."""
    if len(data["stages"]) > MOST_STAGES:
        raise EstimateError(
            f"{len(data['stages'])} stages; at most {MOST_STAGES} are supported.",
            "Merge those that differ little.",
            "stages",
        )
    common = {key: value for key, value in data.items() if key not in ("stages", "name")}
    whole = []
    for number, stage in enumerate(data["stages"], 1):
        if not isinstance(stage, Mapping):
            raise EstimateError(
                f"Stage {number} is {short(stage)}.", "A stage is a mapping of the keys that differ.", "stages"
            )
        merged = revised(common, {"name": f"stage {number}", **stage})
        set_assumptions(merged)
        whole.append(merged)
    return whole


def set_assumptions(data: dict[str, Any]) -> None:
    """Set each assumption's value at its key, in place; raises ``EstimateError`` for an assumption about an assumption."""
    assumptions = data.get("assumptions")
    for key, assumption in assumptions.items() if isinstance(assumptions, Mapping) else ():
        if str(key).partition(".")[0] == "assumptions":
            raise EstimateError(
                "An assumption cannot be about an assumption.", "Name a key of the run.", f"assumptions.{key}"
            )
        if isinstance(assumption, Mapping) and "value" in assumption:
            put(data, str(key), assumption["value"])


def revised(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``laid_over``, without the assumptions of ``below`` about keys that ``above`` sets."""
    merged = laid_over(below, above)
    overriding = keys_of({key: value for key, value in above.items() if key != "assumptions"})
    own, assumed = above.get("assumptions") or {}, merged.get("assumptions") or {}
    if not isinstance(assumed, Mapping) or not isinstance(own, Mapping):
        return merged  # invalid types are reported on reading
    kept = {
        key: assumption
        for key, assumption in assumed.items()
        if key in own or not any(key == one or key.startswith(f"{one}.") for one in overriding)
    }
    return {**merged, "assumptions": kept} if merged.get("assumptions") else merged


def keys_of(data: Mapping[str, Any]) -> set[str]:
    """Dotted keys of everything set: ``{"data": {"frames": 16}}`` -> ``data.frames``."""
    keys = set()
    for key, value in data.items():
        if isinstance(value, Mapping):
            keys |= {f"{key}.{below}" for below in keys_of(value)}
        else:
            keys.add(str(key))
    return keys


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``below`` overridden by ``above``, merged recursively by block; a model given by name accepts further keys."""
    merged = copy.deepcopy(dict(below))
    for key, value in above.items():
        under = merged.get(key)
        if key == "model" and isinstance(under, str) and isinstance(value, Mapping):
            under = {"name": under}
        merged[key] = (
            laid_over(under, value)
            if isinstance(under, Mapping) and isinstance(value, Mapping)
            else copy.deepcopy(value)
        )
    return merged


def put(data: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key such as ``hardware.gpus`` in nested mappings, in place, creating missing ones; raises ``EstimateError`` if a value
    is in the way."""
    *parents, last = key.split(".")
    here = data
    for part in parents:
        below = here.setdefault(part, {})
        if part == "model" and here is data and isinstance(below, str):
            below = here[part] = {"name": below}  # a model given by name accepts further keys
        if not isinstance(below, dict):
            raise EstimateError(f"{part!r} is {below!r}, so {key!r} cannot be set in it.", "", key)
        here = below
    here[last] = value


def setting(text: str) -> tuple[str, Any]:
    """Key and value of a ``KEY=VALUE`` argument. The key may be a flag's name; the value is parsed as YAML. Raises ``EstimateError`` for
    any other form."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise EstimateError(f"--set {text!r} is not KEY=VALUE.", "For example: --set layout.tensor=4")
    key = key_of(key.strip())
    try:
        return key, read_yaml_text(value, "--set").data if value.strip() else None
    except EstimateError:
        return key, value
