"""Where the keys of a document's runs come from: every one is in the words of the text, follows from its figures, or has an outside source
with an address.

A bare key is an assumption without a source, and is refused. What words and addresses say is not checked here: the screen counts them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from gpuhours.architecture.catalogue import names as models
from gpuhours.hardware.accelerators import list_accelerators
from gpuhours.inputs.errors import EstimateError, nearest
from gpuhours.questions.reproducing.document import AskedFigure, Published
from gpuhours.run.overlays import keys_of, revised
from gpuhours.software.profile import list_software

_ADDRESS = re.compile(
    r"https?://\S+\.\S+|\barXiv:\d{4}\.\d{4,5}|\bdoi:\s*10\.\d{4,}/\S+|\b(?:[\w-]+\.)+[a-z]{2,}/\S|\bISBN[- :]*[\dX-]{10,}|\bMODEL\.md\b",
    re.IGNORECASE,
)
"""An address by which a person can look a source up: a page, an arXiv number, a DOI, an ISBN, this project's own equations."""
_PROFILE = re.compile(r"\bprofile ([\w.-]*\w)")
_PAPER = re.compile(r"arXiv:\d{4}\.\d{4,5}", re.IGNORECASE)
_TITLE = re.compile(r'"([^"]+)"')
_THIS_TEXT = re.compile(r"\b(?:the|this|same) (?:paper|text|document|report|description|article)\b", re.IGNORECASE)
_PURPOSE = re.compile(
    r"\b(?:so that|such that|to (?:match|fit|give|reach|meet|make)|chosen|fitted|tuned|adjusted|solved|back-?calculated)\b",
    re.IGNORECASE,
)
"""Words of a value that was made to agree with something."""
_LETTERS = re.compile(r"[^\W\d_]{2}|\d")
OWN = ("assumptions", "stages", "name")
"""Keys of a run that describe nothing of it."""


def has_address(source: str) -> bool:
    """Whether a source can be looked up: it has an address, or names a profile that ships (``profile a100-sxm-80gb``)."""
    named = _PROFILE.search(source)
    known = named is not None and named[1] in {*models(), *list_accelerators(), *list_software()}
    return known or _ADDRESS.search(source) is not None


def is_outside(source: str, text: Published) -> bool:
    """Whether a source is outside the text: it can be looked up, is not the text itself by title, number or as ``the paper``, and
    not a value made to agree with something (``chosen so that``)."""
    own = {one.lower() for one in (*_PAPER.findall(text.source), *_TITLE.findall(text.source))}
    named = any(one in source.lower() for one in own) or source.strip().lower() == text.name.lower()
    return has_address(source) and not (named or _THIS_TEXT.search(source) or _PURPOSE.search(source))


def run_of(text: Published, name: str) -> Mapping[str, Any]:
    """The document's run ``name``; its own run if empty."""
    return revised(text.run, text.runs[name]) if name else text.run


def bare(data: Mapping[str, Any], settings: Mapping[str, Any]) -> frozenset[str]:
    """Keys that a run or its stages set and that neither ``settings`` replaces nor an assumption explains."""
    found: set[str] = set()
    for stage in (data, *(data.get("stages") or ())):
        own = keys_of({key: value for key, value in stage.items() if key not in OWN})
        assumed = {**(data.get("assumptions") or {}), **(stage.get("assumptions") or {})}
        found |= {key for key in own if not _within(key, assumed) and not _within(key, settings)}
    return frozenset(found)


def origin_of(key: str, text: Published) -> str | None:
    """The entry of ``origins`` for a key: its own, or that of the smallest block around it; None if there is none."""
    parts = key.split(".")
    blocks = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((block for block in blocks if block in text.origins), None)


def used(text: Published, figure: AskedFigure, name: str) -> frozenset[str]:
    """The entries of ``origins`` that a figure's run ``name`` and settings rest on."""
    keys = bare(run_of(text, name), figure.settings)
    keys |= frozenset() if figure.source or figure.descends else bare(figure.settings, {})
    return frozenset(entry for key in keys if (entry := origin_of(key, text)) is not None)


def refuse_bare(text: Published, where: str) -> None:
    """Raise ``EstimateError`` for a key without an origin: in a run, or in the settings of a figure that is judged."""
    claimed = {claim.key for claim in text.claims.values() if claim.key}
    for name in ("", *text.runs):
        for key in sorted(bare(run_of(text, name), {}) - claimed):
            if origin_of(key, text) is None and key not in text.readings:
                raise _no_source(key, f"{where}, run{f's.{name}' if name else ''}")
    for figure in text.figures:
        if figure.claim is None or figure.source or figure.descends:
            continue
        for key in sorted(bare(figure.settings, {}) - claimed):
            if origin_of(key, text) is None and key not in text.readings:
                raise _no_source(key, f"{where}, figure {figure.label!r}")


def _no_source(key: str, where: str) -> EstimateError:
    return EstimateError(
        f"{key} does not say what it came from.",
        f"If the text says it, add its words: origins: {{{key}: \"...\"}}. If it does not, make it an assumption with "
        "a reason, and from: [figures] or source: an address.",
        where,
    )  # fmt: skip


def refuse_unfounded(text: Published, where: str) -> None:
    """Raise ``EstimateError`` for an entry of ``origins`` that says nothing, or whose source cannot be looked up."""
    for key, origin in text.origins.items():
        if not (_LETTERS.search(origin.words) or origin.descends or is_outside(origin.source, text)):
            raise EstimateError(
                f"The origin of {key} names no words of the text, no figure and no address.",
                "Write the words, from: [figures], or source: a page, arXiv number, DOI or profile.", where,
            )  # fmt: skip
        for name in origin.descends:
            if name not in text.claims:
                raise EstimateError(
                    f"The origin of {key} is {name!r}, which is not a claim.", nearest(name, text.claims), where
                )


def assumed_by_its_author(text: Published, origins: Iterable[str]) -> frozenset[str]:
    """Those entries of ``origins`` that the text does not say in words."""
    return frozenset(key for key in origins if not text.origins[key].words)


def _within(key: str, blocks: Mapping[str, Any]) -> bool:
    return any(key == block or key.startswith(f"{block}.") for block in blocks)
