"""What can be named where: the keys of a run, and the names that each accepts. Used by shell completion, schemas and the
reference pages.

A shell asks on every key press: profiles are listed by file name, without reading them.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin


def accelerators() -> list[str]:
    """Accelerators, and the cloud instances that have them."""
    from gpuhours.hardware.accelerators import list_accelerators
    from gpuhours.hardware.nodes import list_instances

    return [*list_accelerators(), *list_instances()]


def nodes() -> list[str]:
    """Servers."""
    from gpuhours.hardware.nodes import list_nodes

    return list_nodes()


def instances() -> list[str]:
    """Cloud instances."""
    from gpuhours.hardware.nodes import list_instances

    return list_instances()


def models() -> list[str]:
    """Published models."""
    from gpuhours.architecture.catalogue import names

    return list(names())


def stacks() -> list[str]:
    """Software profiles."""
    from gpuhours.software.profile import list_software

    return list(list_software())


def countries() -> list[str]:
    """Countries whose grid is known."""
    from gpuhours.cost.grids import countries as known

    return [country.name for country in known().values()]


def providers() -> list[str]:
    """Providers with a dated price."""
    from gpuhours.cost.prices import price_rows
    from gpuhours.inputs.profile_folders import profile_paths

    return sorted({row.provider for name in profile_paths("prices") for row in price_rows(name)})


def formats() -> list[str]:
    """Number formats that a run can use."""
    from gpuhours.hardware.number_formats import FORMATS

    return [name for name, one in FORMATS.items() if one.trains]


def results() -> list[str]:
    """Results of an estimate."""
    from gpuhours.run.results import RESULTS

    return list(RESULTS)


NAMED: Mapping[str, Callable[[], list[str]]] = {
    "model": models, "model.name": models, "model.vision": models, "model.vision.name": models, "model.language": models,
    "model.language.name": models, "hardware.accelerator": accelerators, "hardware.node": nodes, "hardware.instance": instances,
    "software": stacks, "training.dtype": formats, "cost.country": countries, "cost.provider": providers,
}  # fmt: skip
"""Keys whose values are names from a list; for models and profiles a path to a user's file is accepted too."""


UNREAD = "unread"
"""The field for parts of configurations that a reader did not understand; not a key."""
UNSAID = frozenset({UNREAD, "stages"})
"""Fields that are not keys with a value: ``stages`` contains whole runs."""


def values(key: str) -> list[str]:
    """The words that a key of a run accepts; none if it takes a number or any text."""
    if key in NAMED:
        return NAMED[key]()
    return next((words for name, words in _keys() if name == key), [])


def run_keys() -> list[str]:
    """Every key of a run file that has a value, dotted: ``layout.tensor``."""
    return list(dict.fromkeys(name for name, _ in _keys()))


def _keys() -> Iterator[tuple[str, list[str]]]:
    from gpuhours.run.spec import Run

    return _inside(Run, "", ())


def _inside(model: Any, above: str, outside: tuple[Any, ...]) -> Iterator[tuple[str, list[str]]]:
    """The keys of a model and, recursively, of the models in it."""
    for name, field in model.model_fields.items():
        if name in UNSAID:
            continue
        key = f"{above}{name}"
        blocks, words = _taken(field.annotation)
        words += [word for one in field.metadata for word in _taken(getattr(one, "json_schema_input_type", None))[1]]
        if not blocks or words or key in NAMED:
            yield key, words
        for block in blocks:
            if block is not model and block not in outside:
                yield from _inside(block, f"{key}.", (*outside, model))


def _taken(annotation: Any) -> tuple[list[Any], list[str]]:
    """The models and the allowed words in a type annotation."""
    from pydantic import BaseModel

    from gpuhours.inputs.unions import ByKind

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation], []
    if get_origin(annotation) is Literal:
        return [], [str(word) for word in get_args(annotation)]
    arguments = get_args(annotation)
    union = next((one for one in arguments if isinstance(one, ByKind)), None)
    if union is not None:
        return [union.member(kind) for kind in union.homes], []
    if get_origin(annotation) in (Annotated, Union, types.UnionType, tuple):
        parts = [_taken(part) for part in arguments]
        return [block for taken, _ in parts for block in taken], [word for _, taken in parts for word in taken]
    return [], []
