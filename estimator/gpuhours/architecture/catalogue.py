"""Look up a published model by name, or read a Hugging Face ``config.json``; both give the fields of a model's shape."""

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
    {
        "ViT-G/14": "vit-bigg-14",
        "vit-G-14": "vit-bigg-14",
        "deepseek-r1": "deepseek-v3",
        "devstral": "mistral-small-24b",
        "magistral": "mistral-small-24b",
    }
)
"""Names that lower-casing would confuse (ViT-G/14 with ViT-g/14, which is half as large), and other names of a model."""


SIZE = r"-\d+(\.\d+)?[bm]"
"""Pattern of a size at the end of a name, as in ``-7b``."""
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
        (r"(google-)?bert-(base|large)-uncased", r"bert-\2"),
        (r"distilbert-base-uncased", "distilbert-base"),
        (r"vit-(ti|s|l)-16", r"vit-\1-16-classifier"),
        (r"deit-(ti|s|b)\w*(-.*)?", r"vit-\1-16-classifier"),
        (r"gpt-?2-small", "gpt2"),
        (r"flux\.1-(kontext-dev|kontext|krea-dev|krea)", "flux.1-dev"),
        (r"flux(\.1)?", "flux.1-dev"),
        (r"qwen-image-edit(-\d{4}|-plus)?", "qwen-image"),
        (r"z-image-turbo", "z-image"),
        (r"wan-?2\.2-(t2v-)?a?14b(?!.*(i2v|s2v|animate))(-.*)?", "wan-2.1-14b"),
        (r"wan-?2\.2-ti2v-5b(-.*)?", "wan-2.2-5b"),
        (r"ltx-video", "ltx-video-2b"),
        (r"(?:stable-diffusion|sd)-?3(\.5-(?:medium|large)|-medium)(-.*)?", r"sd-3\1"),
        (r"sd3(\.5-(?:medium|large)|-medium)", r"sd-3\1"),
        (r"cogvideox-?1\.5-5b(-i2v)?", "cogvideox-1.5-5b"),
        (r"glm-4\.[67]", "glm-4.5"),
        (r"kimi-k2-(thinking|instruct-\d{4})", "kimi-k2"),
        (r"deepseek-v3\.2-(exp|speciale)", "deepseek-v3.2"),
        (r"qwen3-coder-30b-a3b", "qwen3-30b-a3b"),
        (r"qwen3-next", "qwen3-next-80b-a3b"),
        (r"(devstral|magistral)-small(-\d{4})?", "mistral-small-24b"),
        (r"internvl-?2-5-(\d+b)(-.*)?", r"internvl2.5-\1"),
        (r"(internvl3-\d+b)-.*", r"\1"),
        (r"llava-onevision-qwen2-(0\.5b|7b|72b)(-.*)?", r"llava-onevision-\1"),
        (r"llava-ov-(0\.5b|7b|72b)(-.*)?", r"llava-onevision-\1"),
        (r"paligemma-?2-(3b|10b|28b)(-.*)?", r"paligemma-2-\1"),
        (r"smolvlm2?(-2\.2b)?", "smolvlm-2.2b"),
        (r"smolvlm2?-(256m|500m)(-.*)?", r"smolvlm-\1"),
        (r"idefics-?3(-8b)?(-llama3)?", "idefics3-8b"),
        (r"llama-3\.2-vision-(11b|90b)", r"llama-3.2-\1-vision"),
    )
)
"""Pattern -> the model of exactly the same shape: models fine-tuned from another's weights, and alternative names."""


CONVOLUTIONS = re.compile(
    r"sdxl.*|stable-diffusion-(xl|v?[12]).*|sd-?(xl|1|2)(\.\d)?|.*unet.*|resnet.*|efficientnet.*|convnext.*|yolo.*"
)
"""Names of convolutional models, which are not supported."""


@dataclass(frozen=True)
class NamedModel:
    """One published model: the contents of a file in ``architecture/models``."""

    name: str
    title: str
    kind: str
    shape: Mapping[str, Any]
    source: str
    parameters: float | None
    """The published parameter count; None if there is none."""
    within: float
    """Relative tolerance of that count: 0 if exact, otherwise half a unit of its last published digit."""
    counted: str
    """Source of the count."""
    seen: float | None
    """Samples seen in its published training (steps x batch), the default for runs that name a data set but no epochs."""
    frames: int | None
    """Frames per clip in its published recipe, the default for runs that state none."""
    dtype: str | None
    """Number format of its published training if not 16 bit, the default for runs that train it from scratch and state none."""


@functools.cache
def folder() -> Path:
    """The folder of the named models."""
    return Path(str(files("gpuhours.architecture"))) / "models"


@functools.cache
def names() -> tuple[str, ...]:
    """Names of all published models, sorted; taken from file names without reading the files."""
    return tuple(sorted(name.removesuffix(".yaml") for name in os.listdir(folder()) if name.endswith(".yaml")))


@functools.lru_cache(maxsize=1024)
def plain(name: str) -> str:
    """Normalise a name: ``ViT-L/14`` -> ``vit-l-14``. The owner and fine-tuning suffix of a hub name are dropped if that leaves a known
    model: ``meta-llama/Llama-3.1-8B-Instruct`` -> ``llama-3.1-8b``."""
    spelt = (
        ALIASES.get(name)
        or ALIASES.get(name.lower())
        or name.strip().lower().replace("_", "-").replace(" ", "-").replace("/", "-")
    )
    if "/" not in name or spelt in names():
        return of_one_size(spelt)
    own = name.rpartition("/")[2].strip().lower().replace("_", "-").removeprefix("meta-")
    while own not in names() and (shorter := TUNED.sub("", own)) != own:
        own = shorter
    return own if own in names() else of_one_size(own) if of_one_size(own) in names() else spelt


@functools.lru_cache(maxsize=1024)
def known_as(name: str) -> str:
    """The known model that a name refers to: the name normalised by ``plain``, without fine-tuning suffixes, replaced by the model of the
    same shape (``SHAPED_LIKE``), or with different hyphens. If none is known, the result of ``plain``.

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
    """The name without hyphens between a letter and a digit, so that ``llama-3-8b`` and ``llama3-8b`` compare equal."""
    return re.sub(r"(?<=[a-z])-(?=\d)", "", name)


def of_one_size(family: str) -> str:
    """Append the size to a family with a single size: ``mistral-nemo`` -> ``mistral-nemo-12b``. Any other name is returned unchanged."""
    sizes = [known for known in names() if known.startswith(family) and re.fullmatch(SIZE, known[len(family) :])]
    return sizes[0] if len(sizes) == 1 and family not in names() else family


@functools.cache
def named(name: str) -> NamedModel:
    """Read a published model by name. Raises ``EstimateError`` for an unknown name, suggesting the nearest."""
    from gpuhours.architecture.hugging_face.refused import parts_of_family

    file = known_as(name)
    if file not in names():  # not by looking for a file: the name may exceed the file system's limit
        if CONVOLUTIONS.fullmatch(file):
            hint = "Only transformers and state-space layers are: `gpuhours models list` shows them."
            raise EstimateError(
                f"{name[:LONGEST_NAME]!r} consists of convolutions, which are not modelled.", hint, "model"
            )
        asked = (name.rpartition("/")[2].lower() or file)[:LONGEST_NAME]
        if (parts := parts_of_family(asked)) is not None:
            hint = "`gpuhours models list` shows what is; --params gives a plain transformer of its size."
            raise EstimateError(f"{name[:LONGEST_NAME]!r} has {parts}, which is not modelled.", hint, "model")
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
        content.get("clip", {}).get("frames"), content.get("trained_in", {}).get("dtype"),
    )  # fmt: skip


def fields(value: Any) -> Any:
    """Expand the ``model:`` block to fields: a name or file -> its fields; a mapping with a known name -> that model's fields, overridden
    by the mapping's own.

    Anything else is returned unchanged and validated by its own type.
    """
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, Mapping) and _changes_parts(value):
        return _with_parts(_from_text(value["name"]), value)
    if isinstance(value, Mapping) and {"vision", "name"} <= value.keys() and not _is_whole(value):
        return {**{key: item for key, item in value.items() if key != "name"}, "language": value["name"]}
    if isinstance(value, Mapping) and isinstance(value.get("name"), str) and not _is_whole(value):
        return {**_from_text(value["name"]), **value}
    return value


PARTS = ("vision", "bridge", "language")
"""Parts of a video-language model."""


def _changes_parts(value: Mapping[Any, Any]) -> bool:
    """Whether a mapping changes parts of a named video-language model: ``{name: qwen2.5-vl-7b, vision: {trainable: frozen}}``."""
    name = value.get("name")
    if (
        not isinstance(name, str)
        or "unread" in value
        or not any(isinstance(value.get(part), Mapping) for part in PARTS)
    ):
        return False
    return not name.endswith(".json") and _is_known(name) and named(name).kind == "video-language"


def _with_parts(shape: Mapping[str, Any], value: Mapping[Any, Any]) -> dict[Any, Any]:
    """The fields of a named model with those of its parts replaced one by one."""
    changed = {
        part: {**shape[part], **value[part]} for part in PARTS if isinstance(value.get(part), Mapping) and part in shape
    }
    return {**shape, **value, **changed}


def _is_whole(value: Mapping[Any, Any]) -> bool:
    """Whether a mapping describes a model completely, so that its ``name`` is only a label and is not looked up.

    A mapping with ``unread`` comes from our own JSON output and is complete; a field missing there is intentional.
    """
    if {"params", "language", "text", "unread"} & value.keys():
        return True
    return "layers" in value and not _is_known(value["name"])


def _is_known(name: str) -> bool:
    return name.endswith(".json") or known_as(name) in names()


def _is_folder_of_a_model(text: str) -> bool:
    """Whether a name that no known model has is a folder here with a config.json, as a download makes it."""
    return (
        len(text) <= LONGEST_NAME
        and known_as(text) not in names()
        and os.path.isfile(os.path.join(text, "config.json"))
    )


def _from_text(text: str) -> dict[str, Any]:
    """The fields for a text: a size (starts with a digit, unlike names), a configuration file or its folder, or a model's name."""
    if text[:1].isdigit():
        return {"params": text}
    if text.endswith(".json") or ("/" in text and os.path.isdir(text)) or _is_folder_of_a_model(text):
        from gpuhours.architecture.hugging_face.config import read_config

        return read_config(Path(text))
    try:
        known = named(text)
    except EstimateError as error:
        raise ValueError(f"{error.problem} {error.hint}") from None
    return {**known.shape, "kind": known.kind, "name": known.name}
