"""Which accelerator profile the text of a table refers to."""

from __future__ import annotations

import re

from gpuhours.hardware.accelerators import list_accelerators, load_accelerator
from gpuhours.questions.validating.rows import Row

CHIPS = (
    "gh200", "gb300", "gb200", "b300", "b200", "b100", "h800", "h200", "h100", "h20", "a800", "a100", "v100", "l40s", "l4",
    "l40", "a40", "a30", "a10g", "a10", "a6000", "a5000", "pro 6000", "6000 ada", "5090", "4090", "4080", "3090", "3060", "2080 ti",
    "titan rtx", "t4", "p100", "gb10", "mi355x", "mi325x", "mi300x", "mi250x", "mi250", "v6e", "v5p", "v5e",
    "tpu-v4", "tpu-v3",
)  # fmt: skip
"""Parts of names that distinguish chips."""
FAMILIES = {
    "a6000": "rtx-a6000", "5090": "rtx-5090", "4090": "rtx-4090", "3090": "rtx-3090", "v6e": "tpu-v6e", "v5p": "tpu-v5p",
    "v5e": "tpu-v5e", "h20": "h20-sxm", "a5000": "rtx-a5000", "pro 6000": "rtx-pro-6000", "6000 ada": "rtx-6000-ada",
    "4080": "rtx-4080", "3060": "rtx-3060", "2080 ti": "rtx-2080-ti", "titan rtx": "titan-rtx", "mi250": "mi250x",
}  # fmt: skip
"""Prefix of a chip's profile names, if it is not the chip's name."""
FORMS = {"pcie": ("pcie", "pci-e"), "nvl": ("nvl",), "sxm": ("sxm", "hgx", "dgx")}
"""Module forms as spelled in tables."""


def accelerator_of(row: Row) -> tuple[str | None, str]:
    """The profile of the row's accelerator, or the nearest one, and a remark if the name differs."""
    for column in ("accelerator", "gpu"):
        text = row.word(column)
        if text is None:
            continue
        profile = profile_of(text)
        if profile is not None:
            return profile, "" if profile == text else f"accelerator {text!r} read as {profile}"
    return None, ""


def profile_of(text: str) -> str | None:
    """The profile that a text names: a profile's own name, otherwise chosen by the first chip named, its form (SXM by default) and its
    memory; None if no chip with a profile is named."""
    name = re.sub(r"^tpu-?(?=v\d)", "tpu-", re.sub(r"[\s_]+", "-", text.strip().lower()))
    if name in list_accelerators():
        return name
    chips = chips_in(name)
    if not chips:
        return None
    chip = chips[0]
    family = FAMILIES.get(chip, chip)
    known = [one for one in list_accelerators() if one == family or one.startswith(f"{family}-")]
    return _nearest_form(known, name, chip) if known else None


def chips_in(name: str) -> list[str]:
    """Every chip of ``CHIPS`` that appears as a word in a name, in order of appearance."""
    spaced = name.replace("-", " ")
    chips = (
        (re.search(rf"(?<![a-z0-9]){re.escape(chip.replace('-', ' '))}(?![a-z0-9])", spaced), chip) for chip in CHIPS
    )
    return [chip for _, chip in sorted((place.start(), chip) for place, chip in chips if place)]


def _nearest_form(known: list[str], name: str, chip: str) -> str:
    """Of several profiles of one chip, the one that matches the stated form and memory; where they are not stated, the most common one
    (SXM, with the larger memory that is not a later variant)."""
    rest = name.replace(chip, "", 1)
    form = next((form for form, words in FORMS.items() if any(word in rest for word in words)), "sxm")
    size = re.search(r"(\d+)-?g(?:i?b)?(?![a-z0-9])", rest)

    def distance(profile: str) -> tuple[bool, float, float]:
        memory = load_accelerator(profile).memory / 2**30
        wanted = float(size[1]) if size else 80.0
        return (f"-{form}" not in profile, abs(memory - wanted), memory)

    return min(known, key=distance)
