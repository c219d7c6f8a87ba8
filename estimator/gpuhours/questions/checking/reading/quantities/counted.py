"""Finds what a figure counts: the noun after it, or one taken from a list."""

from __future__ import annotations

from collections.abc import Sequence

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.quantities.neighbours import HOP_STOPS
from gpuhours.questions.checking.reading.vocabulary.units import noun

NETWORKS = frozenset(["encoder", "tower", "backbone", "transformer", "decoder", "network"])
THING_UNITS = frozenset(
    [
        "token",
        "residue",
        "parameter",
        "sample",
        "step",
        "epoch",
        "frame",
        "layer",
        "head",
        "expert",
        "node",
        "patch",
        "query",
        "stage",
        "replica",
        "worker",
        "rank",
        "model",
        "task",
        "dataset",
        "language",
        "time",
        "word",
        "pod",
        "benchmark",
        "shot",
        "shard",
        "fold",
        "dimensional",
        "bit",
    ]
)


def _known_noun(figure: Figure, items: Sequence[Item], index: int) -> str | None:
    """The noun that a figure brings with it, or has from its list or a bracket; None if the words behind it decide."""
    if figure.joined and figure.unit:
        return figure.unit
    if figure.unit and figure.unit not in THING_UNITS and not (figure.unit == "gpu" and figure.device):
        return figure.unit
    if figure.per:
        return figure.unit
    if not figure.unit and not figure.joined and (listed := _unit_of_the_list(items, index)):
        return listed
    if not figure.unit and figure.scale and (lent := _bracketed(items, index)):
        return lent
    return None


def head_noun(items: Sequence[Item], index: int) -> tuple[str, int]:
    """The noun that a figure counts (``150 million high-quality video-text pairs``), and its index."""
    figure = items[index]
    assert isinstance(figure, Figure)
    best, at = (figure.unit, index) if figure.unit in THING_UNITS else ("", index)
    if (known := _known_noun(figure, items, index)) is not None:
        return known, index
    hopped = 0
    network = items[index + 1].text.lower() in NETWORKS if index + 1 < len(items) else False
    if figure.unit == "sample" and figure.scale and network:
        return "parameter", index  # a 0.6B image tower
    for position in range(index + 1, min(index + 7, len(items))):
        item = items[position]
        lowered = item.text.lower().strip()
        if (
            position + 2 < len(items)
            and items[position + 1].text == "by"
            and items[position + 2].text.lower() == lowered
        ):
            break  # token by token
        if item.kind == "mark" and item.text in "-–":
            continue
        behind = items[position + 1].text.lower() if position + 1 < len(items) else ""
        if lowered == "total" and noun(behind) in THING_UNITS:
            continue  # 46B total parameters
        length = (
            isinstance(item, Figure) and position == index + 1 and item.unit in ("time", "frame") and bool(figure.scale)
        )
        if length and noun(behind) in THING_UNITS | {"sequence"}:
            continue  # 6.8M 16s video clips
        if item.kind != "word" or lowered in HOP_STOPS:
            break
        name = noun(lowered)
        if name == "node" and figure.unit == "gpu" and not lowered.endswith("s"):
            break  # an 8xH100 node
        if name == "gpu" or (name not in THING_UNITS and name not in ("sequence", "dimension", "gpu")):
            hopped += 1
            if best or hopped > 4:
                break
            continue
        best, at = name, position
        hopped = 0
    return best or figure.unit, at


NAMED_BY = frozenset(
    ["batch", "batches", "length", "lengths", "size", "rank", "window", "context", "pue", "pipeline", "tensor"]
)
"""Words that, directly before a figure, say what it is."""


def _bracketed(items: Sequence[Item], index: int) -> str:
    """``mined pairs (21M)``: the noun counted by an amount in brackets after it; empty if there is none."""
    if index < 2 or items[index - 1].text != "(" or items[min(index + 1, len(items) - 1)].text not in (")", ","):
        return ""
    word = items[index - 2].text.lower().split()[-1:] if items[index - 2].kind == "word" else []
    counted = noun(word[0]) if word and word[0].endswith("s") else ""
    return counted if counted in ("sample", "token", "residue", "parameter") else ""


def _unit_of_the_list(items: Sequence[Item], index: int) -> str:
    """``310 million, 80 million and 15 million clips``: the unit that the last item of a list gives to all of them; empty if none."""
    figure, joined = items[index], False
    assert isinstance(figure, Figure)
    if any(item.text.lower() in NAMED_BY for item in items[max(index - 2, 0) : index]):
        return ""  # a batch of 256 and 30k steps
    for item in items[index + 1 : index + 8]:
        if isinstance(item, Figure):
            if item.unit:
                return item.unit if item.unit in THING_UNITS and item.scale and (figure.scale or joined) else ""
        elif item.text.lower() not in (",", "and", "or"):
            return ""
        joined = joined or item.text.lower() in ("and", "or")
    return ""
