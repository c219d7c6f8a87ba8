"""Find the accelerator that prose refers to: ``NVIDIA A100 80GB GPUs`` -> a profile, with a note on what the wording leaves open."""

from __future__ import annotations

import csv
import functools
import re
from dataclasses import replace
from importlib.resources import files
from typing import Any

from gpuhours.hardware.accelerators import load_accelerator
from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.claim import Document
from gpuhours.questions.checking.reading.vocabulary.chips import MODEL_NUMBER

CHIP = re.compile(rf"\b{MODEL_NUMBER}")
"""A model number where a word begins."""


@dataclass(frozen=True)
class Named:
    """An accelerator as a document names it.

    ``peak`` is dense half-precision FLOP/s; ``sparse_peak`` is the data-sheet figure with 2:4 sparsity (None without support);
    ``memory`` is bytes as sold; ``power`` is in watts; ``profile`` names the matching file in ``hardware_specs``, or is None.
    """

    name: str
    peak: float
    sparse_peak: float | None
    memory: float | None
    power: float | None
    gpus_per_node: int
    source: str
    profile: str | None = None
    note: str = ""

    @property
    def sold_memory(self) -> float | None:
        """Memory in bytes according to the card's name (80 GB), slightly less than the card holds; None if the name gives no size."""
        said = re.search(r"(\d{2,3})\s?GB", self.name)
        return 1e9 * float(said[1]) if said else None

    def to_dict(self) -> dict[str, Any]:
        """Return the accelerator as it appears in the JSON of a check."""
        return {
            "name": self.name,
            "profile": self.profile,
            "peak": {"value": self.peak, "unit": "FLOP/s"},
            "source": self.source,
            "note": self.note or None,
        }


@functools.cache
def _table() -> tuple[dict[str, str], ...]:
    """Rows of ``published/accelerators_in_prose.csv``: names used in prose and half-precision peaks, most specific first."""
    text = (files("gpuhours") / "published" / "accelerators_in_prose.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


@functools.lru_cache(maxsize=8192)
def find_accelerator(text: str) -> Named | None:
    """Return the accelerator that ``text`` names, or None.

    The memory size selects the variant (A100 40 or 80 GB, V100 16 or 32 GB). Without a size, the first listed variant is used;
    its FLOP/s are the same. The ``PCIe`` and ``NVL`` variants match only if the text names them.
    """
    plain = "".join(c for c in text.lower() if c.isalnum())
    for row in _table():
        if all(any(word in plain for word in part.split("|")) for part in row["words"].split("+")):
            named = _named(row)
            memory = named.sold_memory
            said = memory is not None and re.search(rf"{memory / 1e9:.0f}\s?-?gi?b", text.lower()) is not None
            return replace(named, note="") if said and "GB assumed" in named.note else named
    return None


@functools.cache
def _peaks() -> tuple[float, ...]:
    named = [_named(row) for row in _table()]
    return tuple(peak for one in named for peak in (one.peak, one.sparse_peak) if peak)


AS_PRINTED = 0.005
"""Relative tolerance of a peak as data sheets print it."""


def is_a_peak(rate: float, document: Document) -> bool:
    """Whether FLOP/s of one device are the dense or sparse half-precision peak of the document's accelerator as its data sheet prints it;
    of any accelerator if the document names none."""
    own = stated_accelerator(document)
    peaks = _peaks() if own is None else (own.peak, own.sparse_peak or own.peak)
    return any(abs(rate / peak - 1) < AS_PRINTED for peak in peaks)


def stated_accelerator(document: Document) -> Named | None:
    """Return a document's accelerator, or None: first from the words of the text (which add a note on what is open), then by profile."""
    fact = next((fact for fact in document.facts if fact.name == "accelerator"), None)
    return None if fact is None else find_accelerator(fact.quote) or by_name(fact.value)


def by_name(name: str) -> Named | None:
    """Return the accelerator for a profile name or, failing that, for a name in prose; None if neither matches."""
    for row in _table():
        if row["profile"] == name:
            return _named(row)
    return find_accelerator(name)


def _named(row: dict[str, str]) -> Named:
    doubled = 2.0 if row["sparse"] == "yes" else None
    per_node = int(row["gpus_per_node"])
    if row["profile"]:
        profile = load_accelerator(row["profile"])
        dtype = "bf16" if "bf16" in profile.peak else "fp16"
        peak, figure = profile.peak_for(dtype), profile.figures.get(f"peak.{dtype}")
        source = figure.source if figure else profile.title
        return Named(profile.title, peak, doubled and doubled * peak, profile.memory, profile.power, per_node, source,
                     row["profile"], row["note"])  # fmt: skip
    peak = float(row["peak"])
    memory, power = (float(row[key]) if row[key] else None for key in ("memory", "power"))
    return Named(
        row["title"],
        peak,
        doubled and doubled * peak,
        memory,
        power,
        per_node,
        row["source"],
        None,
        row["note"],
    )
