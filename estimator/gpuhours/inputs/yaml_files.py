"""Reads YAML files with line numbers, and validates them so that every error gives file, line, key and value."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Tag, TypeAdapter, ValidationError

from gpuhours.inputs.compiled import compiled
from gpuhours.inputs.errors import EstimateError, nearest
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.unions import ByKind

Key = tuple[str | int, ...]
Places = Mapping[Key, tuple[int, int]]
Kept = TypeVar("Kept")
Validated = TypeVar("Validated", bound=BaseModel)

LARGEST_FILE, LARGEST_TABLE = 10_000_000, 20_000_000

IN_WORDS = {
    "model_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "string_pattern_mismatch": "must be text on one line, without control characters",
}
"""Pydantic's most frequent messages, reworded for authors of YAML."""
RENAMED = {
    "settled_on": "fitted_on", "settled": "fitted", "met": "measured_on", "unmet": "unmeasured_factor",
    "apart": "independent", "eased": "clock_gain", "narrow": "single_system",
    "caption_products": "caption_layers", "merge_product": "merge_linear", "time_product": "time_linear",
    "biased_products": "biased_gemms", "pads_products": "pads_gemms",
}  # fmt: skip
"""Earlier names of keys of models and profiles, which users write too, and what they are called now."""
RENAMED_NAMES = {"product": "gemm"}
"""The same of names that are keys of a mapping (``keyed_by``)."""


class Section(BaseModel):
    """One mapping of a file. It is frozen and refuses unknown keys; a sweep may put arrays where numbers are expected.

    The validator is built on first use, because most of the hundred section types are read only as parts of others, or not at all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, defer_build=True)


class Sourced(Section):
    """Values with a common source."""

    source: Annotated[str, Field(min_length=4)]
    note: str = ""
    fitted_on: tuple[str, ...] = ()
    """Measured runs whose step times determined these figures, by their names in ``published/sources.yaml``; empty if the figures were
    measured separately or are documented. Validation on those runs leaves these figures out."""
    fitted: tuple[str, ...] = ()
    """Names of the figures that those runs determined; empty means all."""
    independent: bool = False
    """Whether the figures were counted in the stack's code, described in its paper, or measured kernel by kernel, and so are known without
    any step of the stack, except for those listed in ``fitted``."""


def keyed_by(what: str, known: Iterable[str]) -> AfterValidator:
    """A pydantic validator of a mapping: an unknown key raises ``ValueError`` with the nearest known one, since it would have no
    effect."""
    names, article = tuple(known), "an" if what[0] in "aeiou" else "a"

    def hint(name: str) -> str:
        if RENAMED_NAMES.get(name) in names:
            return f"It is called {RENAMED_NAMES[name]!r} now."
        return nearest(name, names) or "Known: " + ", ".join(names) + "."

    def read(mapping: dict[str, Any]) -> dict[str, Any]:
        for name in mapping:
            if name not in names:
                raise ValueError(f"{name!r} is not {article} {what}. {hint(name)}")
        return mapping

    return AfterValidator(read)


@dataclass(frozen=True)
class Source:
    """The contents of a file, with the line and column of every key's value."""

    name: str
    data: Any
    places: Places = field(default_factory=dict)
    included: bytes = b""
    """The text that ``data`` comes from, if that is in files included in gpuhours: what is made of it is kept (``compiled``)."""
    options: Mapping[Key, str] = field(default_factory=dict)
    """The keys that an option set after the file was read -> the option: ``--gpu``."""

    def place(self, key: Key) -> str:
        """``run.yaml:7:12``: the position of the key, or of its nearest parent that has one; the option that set it, if one did."""
        for length in range(len(key), -1, -1):
            if key[:length] in self.options:
                return self.options[key[:length]]
            if key[:length] in self.places:
                line, column = self.places[key[:length]]
                return f"{self.name}:{line}:{column}"
        return self.name

    def value(self, key: Key) -> Any:
        """The value at ``key``, or None."""
        inner = self.data
        for part in key:
            try:
                inner = inner[part]
            except (KeyError, IndexError, TypeError):
                return None
        return inner


PIPE = "-"
"""File name that means standard input."""


def read_yaml(path: Path | str) -> Source:
    """Read one YAML file, or standard input for ``-``; raises ``EstimateError`` with the position if it cannot be read."""
    name = "standard input" if str(path) == PIPE else str(path)
    content = read_bytes(path)
    if not os.path.realpath(name).startswith(_own_folders()):
        return read_yaml_text(_decoded(content, name), name)
    data, places = compiled(Path(path), content, lambda: _parsed(_decoded(content, name), name))
    return Source(name, data, places, content)


@cache
def _own_folders() -> tuple[str, ...]:
    """The folders of the files included in gpuhours, whose parsed contents are kept (``compiled``)."""
    return tuple(f"{os.path.realpath(str(files(package)))}{os.sep}" for package in ("gpuhours", "hardware_specs"))


class ReadOnce(Generic[Kept]):
    """A cached reader that reads a file again only if it changed, so that a session that edits its own profile sees the edit."""

    def __init__(self, read: Callable[[Path], Kept]) -> None:
        self.read = read
        self.kept: dict[Path, tuple[tuple[int, int, int], Kept]] = {}

    def __call__(self, path: Path) -> Kept:
        """What ``read`` returns for the current contents of the file."""
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return self.read(path)  # raises the error that explains what is wrong with it
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        before = self.kept.get(path)
        if before is not None and before[0] == stamp:
            return before[1]
        self.kept[path] = (stamp, self.read(path))
        return self.kept[path][1]

    def cache_clear(self) -> None:
        """Forget all files."""
        self.kept.clear()


def read_text(path: Path | str) -> str:
    """The contents of a UTF-8 text file of at most ``LARGEST_FILE`` bytes; raises ``EstimateError`` if it cannot be read as such."""
    return _decoded(read_bytes(path), str(path))


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise EstimateError("is not a text file", "It must be UTF-8 text.", name) from None


def read_bytes(path: Path | str, most: int = LARGEST_FILE, hint: str = "") -> bytes:
    """The contents of a file or of standard input; raises ``EstimateError`` if it cannot be read or has more than ``most`` bytes."""
    try:
        with Path(path).open("rb") if str(path) != PIPE else nullcontext(sys.stdin.buffer) as file:
            content = file.read(most + 1)  # not the reported size: a pipe or a device has none
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        raise EstimateError(f"cannot be read: {getattr(error, 'strerror', None) or error}", where=str(path)) from None
    if len(content) > most:
        raise EstimateError(f"is larger than {most / 1e6:.0f} MB", hint, str(path))
    return content


def read_table_text(path: Path | str) -> str:
    """The contents of a UTF-8 CSV file of at most ``LARGEST_TABLE`` bytes; raises ``EstimateError`` if it cannot be read as such."""
    try:
        return read_bytes(path, LARGEST_TABLE, "Split the table.").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise EstimateError("is not a text file", "Tables are UTF-8 CSV.", str(path)) from None


def read_yaml_text(text: str, name: str) -> Source:
    """Parse YAML text; raises ``EstimateError``, which refers to it as ``name``, if that fails."""
    return Source(name, *_parsed(text, name))


def _parsed(text: str, name: str) -> tuple[Any, Places]:
    from gpuhours.inputs.yaml_text import parsed  # imports yaml, which a run from flags does not need

    return parsed(text, name)


def validated(model: type[Validated], source: Source, *, prefix: Key = ()) -> Validated:
    """An instance of ``model`` with the contents of ``source``; raises ``EstimateError`` for the first validation error, unknown keys
    first."""

    def read() -> Validated:
        try:
            return model.model_validate(source.data)
        except ValidationError as error:
            raise explained(error, model, source, prefix) from None

    return _made(read, model, source)


def validated_as(kind: Any, source: Source) -> Any:
    """As ``validated``, for a file that contains a list or a mapping of models: ``tuple[PriceRow, ...]``."""

    def read() -> Any:
        try:
            return TypeAdapter(kind).validate_python(source.data)
        except ValidationError as error:
            raise explained(error, kind, source) from None

    return _made(read, kind, source)


def _made(read: Callable[[], Kept], kind: Any, source: Source) -> Kept:
    """What ``read`` makes of a source; kept for the next process if it is an included file, as building a validator takes longer than the
    estimate of a run. What holds a whole run is never kept: a run's model is read from another file."""
    if not source.included or "gpuhours.questions" in str(kind):
        return read()
    return compiled(Path(source.name), source.included, read, re.sub(r"\W+", "-", str(kind)))


def explained(error: ValidationError, model: Any, source: Source, prefix: Key = ()) -> EstimateError:
    """One validation error for the user: position, key = value, problem, hint. ``model`` is the expected type."""
    errors = error.errors(include_url=False)
    first = next((entry for entry in errors if entry["type"] == "extra_forbidden"), errors[0])
    location = tuple(part for part in first["loc"] if not _names_a_type(part))
    key = ".".join(str(part) for part in (*prefix, *location)) or "the whole input"
    value = first["input"]
    shown = f" = {short(value)}" if not isinstance(value, Mapping | list | BaseModel) else ""
    where = f"{source.place(location)}  {key}{shown}"
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, first["loc"][:-1])
        asked = str(location[-1]) if location else ""
        hint = nearest(asked, known) or f"Known here: {', '.join(sorted(known))}."
        if RENAMED.get(asked) in known:
            hint = f"{asked!r} is called {RENAMED[asked]!r} now."
        return EstimateError("No such key.", hint, f"{source.place(location)}  {key}")
    if first["type"] == "missing":
        return EstimateError("This key is missing.", "", f"{source.place(location[:-1])}  {key}")
    problem = IN_WORDS.get(first["type"], first["msg"].removeprefix("Value error, "))
    return EstimateError(problem[0].upper() + problem[1:], "", where)


def _names_a_type(part: object) -> bool:
    """Whether a part of a location names a union member: pydantic includes these, but messages show keys only."""
    return isinstance(part, str) and part.startswith(("[", "function-"))


def short(value: object) -> str:
    """A value as shown in an error."""
    from gpuhours.inputs.yaml_text import MOST_BITS

    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        return "a number of thousands of digits"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _fields_at(model: Any, location: Key) -> list[str]:
    """The keys that a mapping at ``location`` may have; a tag in brackets selects the member of a union."""
    here = _models_in(model)
    for part in location:
        if _names_a_type(part):
            here = [(found, tag) for found, tag in here if tag in ("", part)]
        elif any(part in found.model_fields for found, _ in here):  # otherwise an index, or a key chosen by the user
            fields = [found.model_fields[part] for found, _ in here if part in found.model_fields]
            here = [pair for field in fields for pair in _models_in(field.annotation)]
    return sorted({name for found, _ in here for name in found.model_fields})


def _models_in(annotation: Any, tag: str = "") -> list[tuple[type[BaseModel], str]]:
    """The pydantic models in an annotation, each with its tag in a union, or an empty tag."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [(annotation, tag)]
    parts = [part.union() if isinstance(part, ByKind) else part for part in get_args(annotation)]
    own = next((part.tag for part in parts if isinstance(part, Tag)), tag)
    return [pair for part in parts for pair in _models_in(part, own)]
