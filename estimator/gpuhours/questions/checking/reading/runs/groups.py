"""Groups of list items and of sections, with the name of each member."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.questions.checking.reading.figures.labels import is_unit, unit_of
from gpuhours.questions.checking.reading.formats.blocks import NUMBERED_LEVEL, RUN_IN_LEVEL, Passage
from gpuhours.questions.checking.reading.naming.names import words_of

Group = tuple[list[list[int]], Callable[[int], str]]


def lists(blocks: Sequence[Passage]) -> Iterator[Group]:
    """Groups of consecutive list items on one level, each with the items nested under it."""
    group: list[list[int]] = []
    depth = 0
    for index in range(len(blocks) + 1):
        block = blocks[index] if index < len(blocks) else None
        if block is not None and block.kind == "item" and group and block.depth > depth:
            group[-1].append(index)
        elif block is not None and block.kind == "item" and (not group or block.depth == depth):
            group.append([index])
            depth = block.depth
        else:
            if len(group) > 1:
                yield group, lambda at: item_name(blocks[at].text)
            group = [[index]] if block is not None and block.kind == "item" else []
            depth = block.depth if block is not None else 0


def sections(blocks: Sequence[Passage], least: int = 0) -> Iterator[Group]:
    """Groups of sections under headings of the same level, for each level from ``least`` down."""
    levels = {block.depth for block in blocks if block.kind == "heading" and block.depth >= least}
    for level in sorted(levels - {NUMBERED_LEVEL}):
        group: list[list[int]] = []
        for index, block in enumerate(blocks):
            if block.kind == "heading" and block.depth == level:
                group.append([index])
            elif group:
                group[-1].append(index)
        if len(group) > 1:
            run_in = level == RUN_IN_LEVEL
            yield group, lambda at, run_in=run_in: item_name(blocks[at].text) if run_in else blocks[at].text[:60]  # type: ignore[misc]


def item_name(text: str) -> str:
    """``[Stage 1] 24k steps ...`` -> ``Stage 1``; ``sd-v1-1.ckpt: ...`` -> ``sd-v1-1.ckpt``; otherwise the first words."""
    bracket = re.match(r"\s*[\[(]([^\])\n]{1,40})[\])]", text)
    if bracket:
        return bracket[1].strip()
    label = re.match(r"\s*([^:\n]{1,48}?)\s*(?::|–|—|,|\(|\.\s)\s?", text)
    return label[1].strip() if label else " ".join(text.split()[:4])


def is_quantity(name: str) -> bool:
    """Whether an item's name is what it counts (``tokens``, ``seqs/step``, ``energy``), as in the settings of one run."""
    return not any(c.isdigit() for c in name) and (bool(unit_of(name)[1]) or name.lower() in TITLES)


def is_label(name: str) -> bool:
    """Whether an item's name is a label of one figure, with or without it: ``Corpus 62B tokens``, ``Tokens processed 310B``."""
    words = name.split()
    figure = next((at for at, word in enumerate(words) if any(c.isdigit() for c in word)), 0)
    if not figure:
        return is_quantity(name) or is_topic(name)
    head = " ".join(words[:figure])
    opens, ends = (unit_of(word)[1].lower() in OF_ONE_RUN for word in (words[0], words[-1]))
    return opens or _is_title_or_unit(head) or (ends and is_topic(head))


def _is_title_or_unit(head: str) -> bool:
    """``GPUs``, ``Days``, ``Wall-clock``: whether the words before a figure are a quantity's title or a unit; ``Node 3`` is a name."""
    return head.lower() in TITLES or (is_quantity(head) and is_unit(head) and head.endswith("s"))


OF_ONE_RUN = frozenset(["token", "tokens", "step", "steps", "epoch", "epochs"])
"""What a run counts once: ``tokens seen 310B`` is no model's name and size."""


TITLES = frozenset(quantity.title.lower() for quantity in QUANTITIES.values())


def is_topic(name: str) -> bool:
    """Whether a heading names a topic and not a run."""
    return all(word in TOPICS for word in words_of(name))


TOPICS = frozenset(
    ["hardware", "software", "cost", "costs", "compute", "model", "data", "training", "details", "time", "times", "environment",
     "environmental", "impact", "infrastructure", "hyperparameters", "hyper", "parameters", "speeds", "sizes", "results", "architecture",
     "setup", "and", "the", "of", "notes", "summary", "overview", "resources", "carbon", "footprint", "emissions", "energy", "budget",
     "limitations", "introduction", "method", "methods", "evaluation", "throughput", "optimization", "optimisation", "optimizer", "corpus",
     "dataset", "procedure", "configuration", "settings", "facts", "numbers", "background", "machine", "cluster", "money", "price"]
)  # fmt: skip
"""Words in headings that name a topic and not a run."""
