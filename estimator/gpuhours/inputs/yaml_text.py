"""Parses YAML text into plain values with the line and column of each. Only ``yaml_files`` imports this, when it has to parse a text."""

from __future__ import annotations

import re
from typing import Any

import yaml

from gpuhours.inputs.errors import EstimateError

Key = tuple[str | int, ...]

NO_NUMBER = re.compile(r"[-+]?\.?(nan|inf|infinity)", re.IGNORECASE)
MERGE, TEXT = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:str"
MOST_BITS = 10_000
"""Upper limit of an integer's size in bits: Python prints no more than 4,300 digits."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parsed(text: str, name: str) -> tuple[Any, dict[Key, tuple[int, int]]]:
    """The values of a YAML text, and the position of each key's value; raises ``EstimateError``, which refers to the text as ``name``."""
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, from a command line or JSON
        raise EstimateError("is not a text file", "It must be UTF-8 text.", name) from None
    loader = _Loader(text)
    places: dict[Key, tuple[int, int]] = {}
    try:
        node = loader.get_single_node()
        return ({} if node is None else _construct(node, (), loader, places, name)), places
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise EstimateError(f"is not YAML: {error.problem}", where=where) from None
    except yaml.YAMLError as error:
        raise EstimateError(f"is not YAML: {str(error).splitlines()[0]}", where=name) from None
    finally:
        loader.dispose()


def _construct(node: yaml.Node, key: Key, loader: Any, places: dict[Key, tuple[int, int]], name: str) -> Any:
    """Build plain Python values, recording the position of each key's value."""
    places[key] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if len(places) > 200_000 or len(key) > 50:
        raise EstimateError("nests or repeats too much", "Write the values out without aliases.", name)
    if isinstance(node, yaml.MappingNode):
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            where = _place(name, key_node)
            if key_node.tag == MERGE:
                raise EstimateError("merge keys (<<) are not read", "Write the values out.", where)
            entry = _plain(key_node, loader, name)
            if isinstance(entry, list | dict | set):
                raise EstimateError("a key must be a word or a number", where=where)
            if (
                not isinstance(entry, str) and type(entry) is not int
            ):  # on, no, null or a date as a key: kept as written
                entry = key_node.value
            if entry in mapping:
                raise EstimateError(f"the key {entry!r} is given twice", "Keep one of them.", where)
            mapping[entry] = _construct(value_node, (*key, entry), loader, places, name)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item, (*key, index), loader, places, name) for index, item in enumerate(node.value)]
    return _plain(node, loader, name)


def _plain(node: yaml.Node, loader: Any, name: str) -> Any:
    """The Python value of a scalar; text that programs write for a missing number (nan, inf) is refused."""
    if isinstance(node, yaml.ScalarNode):
        if NO_NUMBER.fullmatch(node.value):
            raise EstimateError(f"{node.value} is not a finite number", "Leave out unknown values.", _place(name, node))
        if node.tag == TEXT:
            return node.value
    try:
        value = loader.construct_object(node, deep=True)
        if (
            isinstance(value, int) and value.bit_length() > MOST_BITS
        ):  # hexadecimal ones are parsed whatever their length
            raise ValueError("a number of thousands of digits")
        return value
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
    ) as error:  # an invalid date, an integer of a thousand digits, a tag that does not fit
        raise EstimateError(f"is not a value: {str(error)[:80]}", where=_place(name, node)) from None


def _place(name: str, node: yaml.Node) -> str:
    """``run.yaml:7:12``."""
    return f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
