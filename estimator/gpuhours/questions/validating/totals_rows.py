"""A row of whole-run totals as the run that a user would describe: without its hours, days, MFU, FLOPs, energy or cost."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gpuhours.architecture.catalogue import named, names, plain
from gpuhours.architecture.model_spec import read_model
from gpuhours.architecture.video_language import CAPTION, TEXT_OF_PAIR
from gpuhours.data import SIDES, Data
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.yaml_files import read_yaml
from gpuhours.questions.validating.accelerators import profile_of
from gpuhours.questions.validating.architecture import of_size
from gpuhours.questions.validating.rows import Row
from gpuhours.run.spec import Run, from_dict
from gpuhours.software.matching import profile_in

Given = Literal["least", "usual", "all"]
BILLION, MILLION = 1e9, 1e6
OTHER_TEXT = 0.3
"""The same when two towers are identified by the image tower: the text tower has a third of the weights and a tenth of the FLOPs."""
SPARSE = 1.5
"""Ratio of total to active parameters from which a model is a mixture of experts; counts without embeddings differ by less."""
WEB_PAIRS = 1e8
"""Number of image-text pairs from which the texts are web captions rather than questions and answers: the largest instruction
mixtures have tens of millions (Infinity-MM, arXiv:2410.18558)."""
SHORT = Data(seq_len=1)
COUNTS = (
    "year", "params_b", "active_params_b", "trainable_params_b", "tokens_b", "samples_m", "epochs", "frames_per_sample", "tokens_per_frame",
    "gpus",
)  # fmt: skip
"""Columns that hold numbers only; lengths, batches and resolutions may be ranges or have units."""
READ = frozenset({
    *COUNTS, "id", "model", "modality", "kind", "gpu", "gpu_hours", "seq_len", "global_batch", "resolution", "source", "source_title",
    "parallelism", "recompute", "mfu_pct",
})  # fmt: skip
"""Columns that a prediction or its score uses."""
NEVER_READ = frozenset({
    "country", "layers", "hidden", "train_flops", "days", "tflops_per_gpu", "energy_mwh", "tco2e", "cost_usd", "derived_fields", "notes",
    "source_ref", "fps", "implied_mfu_6nd_pct", "implied_mfu_alt_pct", "alt_method",
})  # fmt: skip
"""Columns of published tables that describe a run but that no prediction uses."""
HEARING = frozenset({"encoder-decoder", "sound"})
"""Kinds of models that take sound."""
SEEING = frozenset({"self-distillation", "masked-autoencoder", "diffusion", "two-stream", "vision"})
"""Kinds of models that take images or clips and have no text tower."""
XXL, XXL_WIDTH, WIDTHS = 11.1e9, 4096, 128
"""Parameters and width of T5 v1.1 XXL; the unit to which widths are rounded."""
MULTIPLES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9}
_BATCH = re.compile(r"([\d.,]*\d)\s*([kmb]?)\b\s*(tok|seq|image|pair|clip|sample|video)?", re.IGNORECASE)
_ENCODER = re.compile(r"(?:vit|siglip)[- ]?(bigg|[a-z])[-/ ](\d+)(?:[@-](\d{3}))?(-plus-\d{3})?", re.IGNORECASE)
_TOWER = re.compile(r"(?<![a-z0-9])(bigg|[a-z])/(\d+)()()(?![\d+])", re.IGNORECASE)
"""A tower named by size and patch alone, as in CLIPA H/14."""
_ALIGNED = re.compile(r"\b(projector|connector|alignment)\b", re.IGNORECASE)
_DEGREES = {"tensor": r"\bTP\s*=?\s*(\d+)", "pipeline": r"\bPP\s*=?\s*(\d+)", "expert": r"\bEP\s*=?\s*(\d+)"}
_ZERO_BUBBLE = re.compile(r"zero[- ]bubble", re.IGNORECASE)


def described(row: Row, given: Given) -> Run:
    """The run that a row describes, using the columns that ``given`` allows; raises ``EstimateError`` if something is missing."""
    _refuse_text_for_counts(row)
    chip = profile_of(row.word("gpu") or "")
    if chip is None:
        named = row.word("gpu")
        raise EstimateError("no accelerator" if named is None else f"no profile of the accelerator {named!r}")
    shape = _architecture(row, given)
    keys: dict[str, Any] = {"name": row.id, "hardware.accelerator": chip, **shape, **_amount(row, shape.get("model"))}
    if (year := row.positive("year")) is not None:
        keys["year"] = int(year)
    if given != "least":
        keys |= _scale(row, _length(row))
    if given == "all":
        keys |= _layout(row)
    return from_dict({}, row.id, settings=keys)


def _refuse_text_for_counts(row: Row) -> None:
    """Refuse a cell with text or a negative number where ``COUNTS`` are expected: as a blank it would silently change the run. Zero is a
    blank: tables use it for what does not apply."""
    for column in COUNTS:
        text, value = row.word(column), row.number(column)
        if text is not None and (value is None or value < 0):
            raise EstimateError(f"{column} is not a number of at least 0: {text!r}")


def unread(rows: Iterable[Row]) -> tuple[str, ...]:
    """Columns with content that are not known, in order: a misspelt one would otherwise silently count as missing."""
    said = dict.fromkeys(name for row in rows for name, cell in row.cells.items() if cell.strip())
    return tuple(name for name in said if name not in READ | NEVER_READ)


def _architecture(row: Row, given: Given) -> dict[str, Any]:
    """The model keys: a named model if recognised, otherwise a shape with the row's parameters; with clips or images if it takes them."""
    modality = (row.word("modality") or "text").lower()
    if "contrastive" in modality or "clip" in modality:
        return _contrastive(row)
    if any(word in modality for word in ("mim", "ssl", "jepa", "generation", "segmentation", "audio")):
        in_words = row.positive("tokens_b") is not None and known_model(row, SEEING) is None
        heard = known_model(row, HEARING) if "audio" in modality and not in_words else None
        if heard or in_words:
            return {"model": heard or _decoder(row, given)}
        return _vision_model(row)
    if row.positive("tokens_b") is None and row.positive("samples_m") is not None:
        return _of_pairs(row)
    return {"model": _decoder(row, given)}


def _decoder(row: Row, given: Given) -> dict[str, Any] | str:
    """A named decoder, otherwise one of its size; a mixture of experts if far fewer parameters are active than stored."""
    model = known_model(row, frozenset({"encoder-decoder" if two_sided(row) else "decoder"}))
    if model is not None:
        return model
    size, active = row.positive("params_b"), row.positive("active_params_b")
    if size is None and active is None:
        raise EstimateError("neither parameters nor a known model")
    if two_sided(row) and size is not None:
        return _encoder_decoder(size * BILLION)
    if size is not None and active is not None and active * SPARSE <= size:
        return {"params": size * BILLION, "active": active * BILLION}
    return {"params": (active or size or 0.0) * BILLION}


def two_sided(row: Row) -> bool:
    """Whether a row says that its model is an encoder-decoder, where each token passes through only one half."""
    return "encoder-decoder" in f"{row.word('model')} {row.word('modality')} {row.word('kind')}".lower()


def _encoder_decoder(params: float) -> dict[str, Any]:
    """T5 v1.1 XXL, scaled in width: 24 layers per side, heads of 64, gated (arXiv:2002.05202)."""
    width = max(1, round(XXL_WIDTH * (params / XXL) ** 0.5 / WIDTHS)) * WIDTHS
    return {
        "kind": "encoder-decoder", "encoder_layers": 24, "decoder_layers": 24, "hidden": width, "heads": width // 64,
        "ffn_hidden": int(2.5 * width), "gated": True, "vocab": 32128, "tied": False,
    }  # fmt: skip


def known_model(row: Row, kinds: frozenset[str] = frozenset({"decoder"})) -> str | None:
    """The catalogue's name for the row's model: the longest with which the row's text begins (ignoring a version like ``-01``, and the v
    of ``v1.2``) and whose total or active size matches; None if there is none."""
    words = re.sub(r"\(.*?\)|\bLLM\b", " ", row.word("model") or "")
    text = plain(" ".join(words.split()))
    size, active = row.positive("params_b"), row.positive("active_params_b")
    said = {
        f"{text}-",
        f"{_without_last_hyphen(text)}-",
        f"{text}-{size:g}b-" if size else "",
        f"{re.sub('-0[1-9](?=-)', '', text)}-",
        re.sub(r"(?<=-)v(?=\d)", "", f"{text}-"),
    }
    fitting = [name for name in names() if any(one.startswith(f"{name}-") for one in said)]
    for name in sorted(fitting, key=len, reverse=True):
        if named(name).kind in kinds and _is_of_size(name, size, active):
            return name
    return None


def _without_last_hyphen(name: str) -> str:
    """``vit-7b-16`` in the spelling without the last hyphen, ``vit-7b16``."""
    return re.sub(r"(?<=\bvit-)(\w+)-(?=\d)", r"\1", name)


def _is_of_size(name: str, size: float | None, active: float | None) -> bool:
    """Whether a named decoder has about the stated parameters, total or active (8 x 7 B is a name, not a size)."""
    count = named(name).parameters
    if count is None or size is None or of_size(count, size):
        return True
    if active is None:
        return False
    met = float(np.max(read_model(name).build(SHORT).active_parameters))
    return of_size(met, active)


def _contrastive(row: Row) -> dict[str, Any]:
    """CLIP or SigLIP, identified by its vision tower, which has most of the FLOPs."""
    text = row.word("model") or ""
    tower, family = _ENCODER.search(text) or _TOWER.search(text), "siglip" if "siglip" in text.lower() else "clip"
    name = None if tower is None else f"{family}-{_size_letter(tower[1])}-{tower[2]}" + (tower[4] or "").lower()
    name = name or known_model(row, frozenset({"contrastive"}))
    wide = row.positive("resolution") == 336
    name = f"{name}-336" if name and wide and f"{name}-336" in names() else name
    if name not in names():
        raise _unknown(row)
    size, count = row.positive("params_b"), named(str(name)).parameters
    if size and count and abs(count / (size * BILLION) - 1) > OTHER_TEXT:
        raise EstimateError(f"{row.word('model')!r} is no {name}: {size} B parameters, not {count / BILLION:.3g}")
    return {"model": name, "data.frames": 1}


def _unknown(row: Row) -> EstimateError:
    """The error for a model that takes images, clips or sound and that the catalogue does not have."""
    named = row.word("model")
    return EstimateError("no model is named" if named is None else f"no architecture is known for {named!r}")


FAMILIES = {
    "dinov2": "dinov2-vit-{}14",
    "dinov3": "dinov3-vit-{}16",
    "videomae v2": "videomae-v2-{}",
    "videomae": "videomae-{}",
    "mae": "mae-{}",
}
"""Families of encoders, completed with the letter of their size."""


def _size_letter(size: str) -> str:
    """The size letter in lower case; ViT-G is open_clip's bigG."""
    return "bigg" if size == "G" or size.lower() == "bigg" else size.lower()


def _vision_model(row: Row) -> dict[str, Any]:
    """A named model of images or clips, otherwise a masked autoencoder identified by its encoder."""
    text = (row.word("model") or "").lower()
    tower = _ENCODER.search(text) or re.search(r"vit-?(\d+b|[a-z])\b", text)
    family = next((pattern for words, pattern in FAMILIES.items() if re.search(rf"\b{words}\b", text)), None)
    short = family.format(_size_letter(tower[1])) if family and tower else None
    modality = (row.word("modality") or "").lower()
    clips = "video" in modality
    masked = f"{'videomae' if clips else 'mae'}-{_size_letter(tower[1])}" if "mim" in modality and tower else None
    name = known_model(row, SEEING) or next((one for one in (short, masked) if one in names()), None)
    if name is None:
        raise _unknown(row)
    frames = row.positive("frames_per_sample") or (16 if clips else 1)
    keys: dict[str, Any] = {"model": name, "data.frames": int(frames)}
    if "single masking" in (row.word("kind") or ""):
        keys["model.decoder_keeps"] = 1.0
    if (side := row.positive("resolution")) is not None:
        keys["data.resolution"] = int(side)
    elif (sides := SIDES.fullmatch(row.word("resolution") or "")) is not None:
        keys |= {"data.resolution": int(sides[1]), "data.height": int(sides[2])}
    return keys


def _of_pairs(row: Row) -> dict[str, Any]:
    """A language model behind CLIP's ViT-L/14 at 336 pixels, as in LLaVA and most of its derivatives.

    If the row says that only the connector or few of the weights are trained, the language model is frozen and the texts are captions.
    From ``WEB_PAIRS`` samples the texts are captions too.
    """
    size = row.positive("params_b")
    if size is None:
        raise EstimateError("neither parameters nor a known model")
    frames = int(row.positive("frames_per_sample") or 1)
    trainable = row.positive("trainable_params_b")
    few = trainable is not None and trainable < 0.1 * size
    frozen = few or _ALIGNED.search(f"{row.word('model')} {row.word('modality')} {row.word('kind')}") is not None
    short = frozen or (row.positive("samples_m") or 0.0) * MILLION >= WEB_PAIRS
    language: dict[str, Any] = {"params": size * BILLION, "trainable": "frozen" if frozen else "full"}
    keys: dict[str, Any] = {
        "model": {"vision": {"name": "vit-l-14-336", "trainable": "frozen"}, "language": language},
        "data.frames": frames, "data.text_tokens": CAPTION if short else TEXT_OF_PAIR,
    }  # fmt: skip
    if (tokens := row.positive("tokens_per_frame")) is not None:
        keys["data.tokens_per_frame"] = tokens
    elif frames > 1:
        keys["data.tokens_per_frame"] = 256
    return keys


def _amount(row: Row, model: Any) -> dict[str, Any]:
    """Tokens, otherwise samples seen: those of the model's published recipe if the row gives no epochs, otherwise the ``samples_m`` column
    times the epochs (1 if not given)."""
    tokens, samples, epochs = row.positive("tokens_b"), row.positive("samples_m"), row.positive("epochs")
    if tokens is not None:
        return {"data.tokens": tokens * BILLION}
    if (recipe := published_amount(row, model)) is not None:
        return {"data.samples": recipe}
    if samples is None:
        raise EstimateError("neither tokens nor samples")
    return {"data.samples": samples * MILLION * (epochs or 1.0)}


def published_amount(row: Row, model: Any) -> float | None:
    """Samples that the named model's own recipe saw, if a row gives a data set without the number of epochs."""
    if (
        not isinstance(model, str)
        or not model
        or row.positive("tokens_b") is not None
        or row.positive("epochs") is not None
    ):
        return None
    return named(model).seen


def _length(row: Row) -> float | None:
    return row.positive("seq_len") if row.positive("tokens_b") is not None else None


def _scale(row: Row, length: float | None) -> dict[str, Any]:
    """Accelerators, sequence length and batch, as far as the row gives them."""
    keys: dict[str, Any] = {}
    if (gpus := row.positive("gpus")) is not None:
        keys["hardware.gpus"] = int(gpus)
    if length is not None:
        keys["data.seq_len"] = int(length)
    text = row.word("global_batch")
    match = None if text is None else _BATCH.search(text.replace("~", ""))
    if match is not None:
        value = float(match[1].replace(",", "")) * MULTIPLES[match[2].lower()]
        tokens = (match[3] or "").lower() == "tok"
        keys["training.global_batch"] = f"{value:.0f} tokens" if tokens else round(value)
    return keys


def _layout(row: Row) -> dict[str, Any]:
    """Parallel degrees, recomputation and stack, as far as the row states them."""
    words = " ".join(row.word(column) or "" for column in ("parallelism", "recompute"))
    keys: dict[str, Any] = {}
    for name, pattern in _DEGREES.items():
        match = re.search(pattern, words)
        if match is not None:
            keys[f"layout.{name}"] = int(match[1])
    if re.search(r"\bno TP\b", words):
        keys["layout.tensor"] = 1
    if "layout.pipeline" in keys and _ZERO_BUBBLE.search(words):
        keys["layout.schedule"] = "zb-1p"
    sharding = re.search(r"zero-?([123])", words, re.IGNORECASE)
    if sharding is not None:
        keys["layout.sharding"] = f"zero{sharding[1]}"
    recompute = (row.word("recompute") or "").lower()
    if recompute.startswith(("full", "yes", "gradient check", "grad check", "activation check")):
        keys["layout.recompute"] = "full"
    elif recompute.startswith(("none", "selective")):
        keys["layout.recompute"] = recompute.split()[0]
    year = row.positive("year")
    stack = profile_in(
        _ZERO_BUBBLE.sub("", words), None if year is None else int(year)
    )  # the schedule, not the authors' fork
    return keys | ({"software": stack} if stack else {})


@functools.cache
def _organisations() -> Mapping[str, list[str]]:
    path = Path(str(files("gpuhours"))) / "published" / "organisations.yaml"
    names: Mapping[str, list[str]] = read_yaml(path).data
    return names


def organisation(row: Row) -> str:
    """The organisation that trained a row's model: from the words of its id, model and source, otherwise the source itself."""
    found = (owner(row.word(column) or "") for column in ("id", "model", "source_title", "source"))
    return next((name for name in found if name), None) or row.word("source_title") or row.word("source") or row.id


def owner(text: str) -> str | None:
    """The organisation named in a title or a name; None if there is none."""
    for name, words in _organisations().items():
        if any(re.search(rf"(?<![a-z0-9]){re.escape(word)}", text.lower()) for word in words):
            return name
    return None
