"""Published models by name, and Hugging Face ``config.json`` files: text in, the shape's fields out."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gpuhours.inputs.errors import EstimateError, nearest
from gpuhours.inputs.profile_folders import LONGEST_NAME
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import read_yaml

ALIASES: Mapping[str, str] = MappingProxyType(
    {"ViT-G/14": "vit-bigg-14", "vit-G-14": "vit-bigg-14", "deepseek-r1": "deepseek-v3"}
)
"""Names distinguished only by a capital letter: ViT-g/14 is half as large."""


SIZE = r"-\d+(\.\d+)?[bm]"
"""A size at the end of a name."""
TUNED = re.compile(r"-(instruct|it|chat|base|hf|pt|sft|dpo|rlhf|deduped|thinking|v0\.1|\dt|fp16|bf16|\d{4}|\d{1,3}k)$")
"""Suffixes of hub names for fine-tuned weights of the same shape."""


SHAPED_LIKE = tuple(
    (re.compile(pattern), like)
    for pattern, like in (
        (r"flan-t5-(small|base|large|xl|xxl)", r"t5-v1.1-\1"),
        (r"(qwen2\.5)-(coder|math)-(.+)", r"\1-\3"),
        (r"deepseek-r1-distill-qwen-(7b|14b|32b)", r"qwen2.5-\1"),
        (r"deepseek-r1-distill-llama-(8b|70b)", r"llama-3.1-\1"),
        (r"deepseek-(v3\.1|v3-\d{4}|r1-\d{4}|r1-zero)", "deepseek-v3"),
        (r"(mistral-7b)-v0\.[12]", r"\1"),
        (r"(vicuna|alpaca)-(7b|13b)(-v1\.\d)?", r"llama-\2"),
        (r"zephyr-7b(-\w+)?", "mistral-7b"),
        (r"clip-vit-(.+)", r"clip-\1"),
        (r"(mistral-7b)-instruct-(v0\.3)", r"\1-\2"),
        (r"stable-diffusion-(3.*)", r"sd-\1"),
        (r"(google-)?bert-(base|large)-uncased", r"bert-\2"),
        (r"distilbert-base-uncased", "distilbert-base"),
        (r"vit-(ti|s|l)-16", r"vit-\1-16-classifier"),
        (r"deit-(ti|s|b)\w*(-.*)?", r"vit-\1-16-classifier"),
        (r"gpt-?2-small", "gpt2"),
    )
)
"""Models trained further from another's weights, or named otherwise: the same shape, to the parameter."""


CONVOLUTIONS = re.compile(
    r"sdxl.*|stable-diffusion-(xl|v?[12]).*|sd-?(xl|1|2)(\.\d)?|.*unet.*|resnet.*|efficientnet.*|convnext.*|yolo.*"
)
"""Models of convolutions, which are not modelled."""


@dataclass(frozen=True)
class NamedModel:
    """One file of ``architecture/models``."""

    name: str
    title: str
    kind: str
    shape: Mapping[str, Any]
    source: str
    parameters: float | None
    """The published count, if there is one."""
    within: float
    """Tolerance of that count: 0 if exact, otherwise half of its last digit as a fraction."""
    counted: str
    """Where the count comes from."""
    seen: float | None
    """Samples seen in its published training: steps x batch of its recipe, for data sets named without epochs."""
    frames: int | None
    """Frames of a clip in its published recipe, for runs that state none."""


def folder() -> Path:
    """The folder of the named models."""
    return Path(str(files("gpuhours.architecture"))) / "models"


def names() -> list[str]:
    """Every name, without reading files."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def plain(name: str) -> str:
    """``ViT-L/14`` -> ``vit-l-14``; ``meta-llama/Llama-3.1-8B-Instruct`` -> ``llama-3.1-8b``: a hub name without owner and fine-tuning
    suffix, if that leaves a known model."""
    spelt = ALIASES.get(name) or name.strip().lower().replace("_", "-").replace(" ", "-").replace("/", "-")
    if "/" not in name or spelt in names():
        return of_one_size(spelt)
    own = name.rpartition("/")[2].strip().lower().replace("_", "-").removeprefix("meta-")
    while own not in names() and (shorter := TUNED.sub("", own)) != own:
        own = shorter
    return own if own in names() else of_one_size(own) if of_one_size(own) in names() else spelt


def known_as(name: str) -> str:
    """The known model that a name means: as ``plain`` has it, without a fine-tuning suffix, as the model whose shape it has, or spelt with
    other hyphens; ``plain``'s name if none.

    >>> [known_as(name) for name in ("llama3-8b-instruct", "Wan2.1-14B", "flan-t5-xl", "qwen2.5-coder-7b", "gpt-2")]
    ['llama-3-8b', 'wan-2.1-14b', 't5-v1.1-xl', 'qwen2.5-7b', 'gpt2']
    """
    spelt, known = plain(name), names()
    if spelt in known:
        return spelt
    joined = {_joined(one): one for one in known}
    for own in (spelt, name.rpartition("/")[2].strip().lower().replace("_", "-")):
        shorter, longer = own, ""
        while shorter != longer:
            like = next((made.sub(shape, shorter) for made, shape in SHAPED_LIKE if made.fullmatch(shorter)), shorter)
            if (found := like if like in known else joined.get(_joined(like))) is not None:
                return found
            shorter, longer = TUNED.sub("", shorter), shorter
    return spelt


def _joined(name: str) -> str:
    """A name without the hyphens between a letter and a digit, where spellings differ: ``llama-3-8b`` and ``llama3-8b``."""
    return re.sub(r"(?<=[a-z])-(?=\d)", "", name)


def of_one_size(family: str) -> str:
    """``mistral-nemo`` -> ``mistral-nemo-12b``, where one model's name is the family's and a size; anything else as it is."""
    sizes = [known for known in names() if re.fullmatch(re.escape(family) + SIZE, known)]
    return sizes[0] if len(sizes) == 1 and family not in names() else family


@functools.cache
def named(name: str) -> NamedModel:
    """The published model of a name; an unknown name suggests the nearest."""
    file = known_as(name)
    if file not in names():  # not by looking for a file: the name may exceed the file system's limit
        if CONVOLUTIONS.fullmatch(file):
            hint = "Only transformers and state-space layers are: `gpuhours models list` shows them."
            raise EstimateError(
                f"{name[:LONGEST_NAME]!r} consists of convolutions, which are not modelled.", hint, "model"
            )
        asked = (name.rpartition("/")[2].lower() or file)[:LONGEST_NAME]
        begun = [known for known in names() if known.startswith(asked)]
        hint = (
            f"There are {', '.join(begun[:6])}."
            if len(begun) > 1
            else nearest(asked, begun or names(), 0.5 if begun else 0.7)
        )
        listing = f"{hint} `gpuhours models list` shows all; any other's config.json works, or its size (--params 7B).".strip()
        raise EstimateError(f"No model {name[:LONGEST_NAME]!r}.", listing, "model")
    content = read_yaml(folder() / f"{file}.yaml").data
    count = content.get("parameters") or {}
    return NamedModel(
        file, content["title"], content["kind"], content["shape"], content["source"], count.get("value"),
        count.get("within", 0), count.get("source", ""), content.get("seen", {}).get("samples"),
        content.get("clip", {}).get("frames"),
    )  # fmt: skip


def fields(value: Any) -> Any:
    """The fields meant by the ``model:`` block: a name or file -> its fields; a mapping with a known name ->
    those, overridden.

    Anything else is passed on and validated by its own type.
    """
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, Mapping) and {"vision", "name"} <= value.keys() and not _is_whole(value):
        return {**{key: item for key, item in value.items() if key != "name"}, "language": value["name"]}
    if isinstance(value, Mapping) and isinstance(value.get("name"), str) and not _is_whole(value):
        return {**_from_text(value["name"]), **value}
    return value


def _is_whole(value: Mapping[Any, Any]) -> bool:
    """Whether a mapping needs no named model: ``name`` is then only a label.

    One with ``unread`` is a complete model from our JSON, in which a missing figure is intentional.
    """
    if {"params", "language", "text", "unread"} & value.keys():
        return True
    return "layers" in value and not _is_known(value["name"])


def _is_known(name: str) -> bool:
    return name.endswith(".json") or known_as(name) in names()


def _from_text(text: str) -> dict[str, Any]:
    """A size (names start with letters), a configuration file or its folder, or a name."""
    if text[:1].isdigit():
        return {"params": text}
    if text.endswith(".json") or ("/" in text and os.path.isdir(text)):
        from gpuhours.architecture.hugging_face.config import read_config

        return read_config(Path(text))
    try:
        known = named(text)
    except EstimateError as error:
        raise ValueError(f"{error.problem} {error.hint}") from None
    return {**known.shape, "kind": known.kind, "name": known.name}
