"""Reads prose into placed figures, each with its quantity and the words that decided it; numbers not understood are listed too."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.checking.claim import Unplaced
from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.questions.checking.reading.figures.numbers import scan
from gpuhours.questions.checking.reading.figures.tokens import Figure, Item, tags
from gpuhours.questions.checking.reading.formats.blocks import Prose
from gpuhours.questions.checking.reading.naming.names import is_a_version
from gpuhours.questions.checking.reading.quantities.neighbours import HOP_STOPS, energy_before
from gpuhours.questions.checking.reading.quantities.place import Place
from gpuhours.questions.checking.reading.quantities.placing import place
from gpuhours.questions.checking.reading.sentences.antecedents import another_mfu, gapped, is_whole, of_them
from gpuhours.questions.checking.reading.sentences.listed import as_its_list, as_the_list_before, is_another_rate
from gpuhours.questions.checking.reading.sentences.pairs import by_label_lists, labelled_duration
from gpuhours.questions.checking.reading.sentences.placed import (
    Placed,
    ReadProse,
    active_of_all,
    corpora_that_runs_read,
    machines_partly_used,
    only_without_embeddings,
    refined_by,
    totals_of_active,
    without_tags,
)
from gpuhours.questions.checking.reading.sentences.questions import ASIDE, answered, asked_of_another
from gpuhours.questions.checking.reading.sentences.scopes import Sentence, sentences
from gpuhours.questions.checking.reading.sentences.subjects import with_subject_units

TAGGED = {"params": "parameters", "gpu_count": "gpus", "training": "wall_clock", "year": "year"}
"""The quantity of each tag in the tagged style; ``<training>`` may also contain GPU-hours."""
QUOTE = 96
NETWORK = frozenset(["parameters", "layers", "decoder_layers", "encoder_layers", "hidden", "heads", "vocabulary"])
OF_THE_SITE = frozenset(["carbon_intensity", "pue", "tdp", "year"])
"""Properties of a site that do not depend on what runs there."""
PARTS_OF_A_MODEL = frozenset(["trainable_parameters", "active_parameters"])


MOST_FIGURES = 100_000
"""The limit on figures in a text, each of which is tested against every rule: twice the number in a megabyte of prose."""


def read_prose(prose: Prose, name: str) -> ReadProse:
    """Every figure of a text, placed or listed as unplaced. Raises ``EstimateError`` with ``name`` at ``MOST_FIGURES`` or more figures."""
    text = prose.text
    items = with_subject_units(scan(text), text)
    if (count := sum(isinstance(item, Figure) for item in items)) >= MOST_FIGURES:
        raise EstimateError(f"has {count:,} figures", "Check one run's section at a time.", name)
    tagged = tuple((name, start, end) for name, spans in tags(text).items() for start, end in spans)
    found = tuple(sentences(items, text))
    placed: list[Placed] = []
    unplaced: list[Unplaced] = []
    for sentence in found:
        listed = by_label_lists(items, sentence)
        for index in range(sentence.first, sentence.last):
            item = items[index]
            if not isinstance(item, Figure) or _is_determiner(items, index) or is_a_version(items, index):
                continue
            entry = _place(items, index, sentence, tagged, placed)
            if index in listed:
                entry = Placed(index, item, sentence, listed[index], sentence.scope_at(index), False)
            line = prose.line(item.start)
            if entry is not None and not (_is_prose(items, index) and not entry.tagged and entry.place.by_default):
                placed.append(replace(entry, quote=quote(text, item), line=line))
            elif not _is_prose(items, index):
                unplaced.append(
                    Unplaced(
                        without_tags(item.text),
                        quote(text, item),
                        f"line {line}",
                        "no words say what it counts",
                        item.value,
                        sentence.first,
                    )
                )
    unplaced += _empty_tags(prose, items, tagged)
    totals_of_active(placed)
    only_without_embeddings(placed)
    active_of_all(placed)
    corpora_that_runs_read(items, placed)
    machines_partly_used(items, placed)
    placed = [
        entry for entry, behind in zip(placed, [*placed[1:], None], strict=False) if not refined_by(entry, behind)
    ]
    return ReadProse(prose, tuple(items), found, placed, tuple(unplaced), tagged)


def _empty_tags(prose: Prose, items: Sequence[Item], tagged: Iterable[tuple[str, int, int]]) -> list[Unplaced]:
    """Tags that should contain a figure but contain words: ``<training>several weeks</training>``."""
    figures = [item for item in items if isinstance(item, Figure)]
    return [
        Unplaced(
            without_tags(said := prose.text[start:end]),
            without_tags(said),
            f"line {prose.line(start)}",
            f"<{name}> contains no figure",
        )
        for name, start, end in tagged
        if name in TAGGED and not any(figure.start < end and figure.end > start for figure in figures)
    ]


def _by_tag(figure: Figure, index: int, sentence: Sentence, tagged: Iterable[tuple[str, int, int]]) -> Placed | None:
    """The place of a figure inside a tag that says what it is; None if no tag does."""
    for name, start, end in tagged:
        if figure.start < end and figure.end > start and name in TAGGED:
            if name == "gpu_count" and figure.sides:
                figure = replace(figure, value=float(math.prod(figure.sides)), unit="gpu")
            told = _tag_says(name, figure)
            if told is not None:
                return Placed(
                    index, figure, sentence, Place(told, f"<{name}>", 0.0), "", True, sentence.scope_at(index)
                )
    return None


def _scope(scope: str, found: Place, figure: Figure) -> str:
    """The scope of a figure in a sentence of a scope: none for what belongs to the site or to the network."""
    if found.quantity in OF_THE_SITE and figure.unit != "money":
        return ""
    of_network = found.quantity != "parameters" or figure.unit == "parameter" or scope == "fine-tuning"
    if scope in ("fine-tuning", "evaluation") and found.quantity in NETWORK and of_network:
        return ""  # the network is the same before and after tuning
    return scope


AMOUNTS = frozenset(["gpus", "nodes", "gpu_hours", "node_hours", "cost", "tokens", "wall_clock"])
"""Quantities of which a run may use a part."""


def _said_around(items: list[Item], index: int, sentence: Sentence) -> tuple[Figure, Place | None]:
    """The figure with the unit that a pronoun or a question gives it, which also replaces it in ``items``, and its place."""
    bare = items[index]
    if (counted := of_them(items, index)) is not None:
        items[index] = counted
    found = place(items, index, sentence.first, sentence.last)
    if counted is not None and found is not None and found.by_default and found.quantity == "global_batch":
        items[index], found = bare, None  # sequences, 37 of them: nothing says that a batch holds them
    if found is not None and found.quantity in AMOUNTS and is_whole(items, index):
        found = Place("count", "the whole of a part", 0.0)
    if (found is None or found.by_default) and (answer := answered(items, index, sentence)) is not None:
        items[index], found = answer
    figure = items[index]
    assert isinstance(figure, Figure)
    return figure, found


def _beside_others(
    items: list[Item], index: int, sentence: Sentence, before: list[Placed]
) -> tuple[Figure, Place | None]:
    """The figure as its words, its label, its list and earlier figures give it, which also replaces it in ``items``, and its place."""
    figure, found = _said_around(items, index, sentence)
    if found is None or found.by_default:
        found = as_the_list_before(items, index, before, sentence) or found
    if found is None and index and items[index - 1].text in (":", "="):
        found = labelled_duration(figure)
    if found is None and (meant := gapped(items, index, before)) is not None:
        figure, found = meant
        items[index] = figure
    if found is None and is_another_rate(items, index, before, sentence):
        found = replace(before[-1].place, cost=before[-1].place.cost + 1)
    return figure, as_its_list(items, index, before, sentence, found) or another_mfu(items, index, before)


def _of_a_pair(
    items: Sequence[Item], index: int, figure: Figure, sentence: Sentence, before: list[Placed]
) -> Place | None:
    """The place of a figure that is the second of two (``41.9M of 8.03B``, ``1e-3 → 1e-5``) or one of Adam's betas; None for any other."""
    last = before[-1] if before else None
    if last is not None and last.place.quantity == "beta1" and 0.5 < figure.value < 1 and index - last.index <= 3:
        return Place("beta2", "betas", 0.0)  # the two are given as a pair
    opened = index > 1 and items[index - 1].text == "("
    named = items[index - 3 if index > 2 and items[index - 2].text.lower() in ("with", "using") else max(index - 2, 0)]
    if opened and 0.5 < figure.value < 1 and not figure.unit and named.text.lower().startswith("adam"):
        return Place("beta1", "betas of Adam", 0.0)
    if last is None:
        return None
    falls = index and items[index - 1].text == "→" and last.index == index - 2
    if falls and last.place.quantity == "learning_rate" and figure.value < last.figure.value:
        return Place("final_learning_rate", "→", 0.0)
    slashed = (
        index and items[index - 1].text == "/" and last.index == index - 2 and figure.scale == last.figure.scale != ""
    )
    if (
        slashed
        and last.place.quantity == "parameters"
        and figure.value < last.figure.value
        and _tells_experts(items, sentence)
    ):
        return Place("active_parameters", "/", 0.0)  # 7.9B/1.4B, a mixture of experts
    part = last.place.quantity in PARTS_OF_A_MODEL and last.sentence is sentence and figure.scale
    near = (
        part and index - last.index <= 3
    )  # "out of" between them; a long sentence is not gone through for each figure
    if near and [item.text.lower() for item in items[last.index + 1 : index]] in (["of"], ["out", "of"]):
        return Place("parameters", "of which a part", 0.0)  # 41.9M of 8.03B
    return None


def _tells_experts(items: Sequence[Item], sentence: Sentence) -> bool:
    """Whether a sentence is about a mixture of experts."""
    near = items[sentence.first : min(sentence.last, sentence.first + FAR_FROM_EXPERTS)]
    return any(word in item.text.lower() for item in near for word in ("moe", "expert", "active", "sparse"))


FAR_FROM_EXPERTS = 60


def _place(
    items: list[Item], index: int, sentence: Sentence, tagged: Iterable[tuple[str, int, int]], before: list[Placed]
) -> Placed | None:
    figure = items[index]
    assert isinstance(figure, Figure)
    if (by_tag := _by_tag(figure, index, sentence, tagged)) is not None:
        return by_tag
    figure, found = _beside_others(items, index, sentence, before)
    found = _of_a_pair(items, index, figure, sentence, before) or found
    if found is None:
        return None
    if found.quantity == "carbon_intensity" and not figure.per and energy_before(items, index) == "mwh":
        figure = replace(figure, per=("mwh",))
    scope = _scope(sentence.scope_at(index), found, figure)
    if not scope and found.by_default and asked_of_another(items, sentence):
        scope = ASIDE
    of_cores = figure.word.lower().startswith("core")
    if of_cores and found.quantity in ("gpus", "gpus_per_node") and _names_processors(items, index, sentence):
        found = Place("count", "cores of CPUs", 0.0)
    if of_cores and found.quantity == "gpu_hours" and _of_processors(items, index):
        found = Place("count", "cores of CPUs", 0.0)
    return Placed(index, figure, sentence, found, scope, False)


PROCESSORS = ("cpu", "processor", "epyc", "xeon", "opteron", "threadripper", "vcpu")


def _names_processors(items: Sequence[Item], index: int, sentence: Sentence) -> bool:
    """``two processors with 64 cores each``: whether CPUs are named earlier in the sentence, with no TPU between."""
    for item in reversed(items[sentence.first : index]):
        words = item.text.lower().split()
        if any(word.startswith(PROCESSORS) for word in words):
            return True
        if "tpu" in words:
            return False
    return False


def _of_processors(items: Sequence[Item], index: int) -> bool:
    """Whether core-hours are those of CPUs: the nearby text mentions CPUs and no TPU."""
    near = [item.text.lower() for item in items[max(index - 120, 0) : index + 12]]
    return bool({"cpu", "cpus"} & set(near)) and not any(word.startswith("tpu") for word in near)


def _tag_says(name: str, figure: Figure) -> str | None:
    """The quantity that a tag gives to the figure inside it; None if the figure's unit or value does not fit."""
    if name == "training":
        units = {"time": "wall_clock", "gpu_time": "gpu_hours", "step": "steps", "epoch": "epochs", "token": "tokens"}
        return units.get(figure.unit)
    if name == "gpu_count" and figure.unit not in ("", "gpu", "chip"):
        return "nodes" if figure.unit == "node" else None
    if name == "params" and figure.unit not in ("", "parameter", "model"):
        return None
    quantity = QUANTITIES[TAGGED[name]]
    return quantity.name if quantity.least <= figure.value <= quantity.most else None


def _is_determiner(items: Sequence[Item], index: int) -> bool:
    """``so one global batch was``: whether ``one`` is a determiner and not a count."""
    figure = items[index]
    behind = items[index + 1] if index + 1 < len(items) else None
    if isinstance(figure, Figure) and figure.text.lower() in ("one replica", "one rank", "one worker"):
        return True
    if isinstance(figure, Figure) and figure.text.lower() in ("one epoch", "an epoch", "one pass"):
        before = items[index - 1].text.lower() if index else ""
        return (
            behind is not None
            and behind.text.lower() in ("of", "over", "is", "takes", "took", "needs", "needed", "lasts", "lasted")
            and before not in ("for", "only", "just", "exactly")
        )
    bare = isinstance(figure, Figure) and figure.text.lower() == "one" and not figure.unit
    if bare and index and items[index - 1].text.lower() in ("each", "every", "the", "this", "that", "which"):
        return True  # five folds, each one for 1,000 epochs
    return bare and behind is not None and behind.kind == "word" and behind.text.lower().strip() not in HOP_STOPS


def _is_prose(items: Sequence[Item], index: int) -> bool:
    """Whether a number is used as a word: "one of", a citation's year, a list marker."""
    figure = items[index]
    assert isinstance(figure, Figure)
    lowered = figure.text.lower()
    if lowered in ("one", "a", "two") and not figure.unit:
        return True
    year = figure.text.isdigit() and len(figure.text) == 4 and 1950 <= figure.value <= 2040
    around = {items[i].text for i in (index - 1, index + 1) if 0 <= i < len(items)}
    bracketed = bool(around & {"(", "[", ")", "]"})
    return (year and (bracketed or "," in around)) or ("[" in around and "]" in around)


NO_NUMBER = re.compile(r"(?<![\w-])[-+]?\.?(?:nan|inf|infinity)(?![\w-])", re.IGNORECASE)


def quote(text: str, figure: Item) -> str:
    """The words around a figure, without tags; a printed NaN or infinity cuts the quote, since it would read as an answer."""
    start = _between_words(text, max(0, figure.start - QUOTE // 2), -1)
    end = _between_words(text, min(len(text), figure.end + QUOTE // 3), 1)
    start = max(text.rfind("\n", start, figure.start), text.rfind("|", start, figure.start), start - 1) + 1
    line_end = text.find("\n", figure.end, end)
    end = end if line_end < 0 else line_end
    for found in NO_NUMBER.finditer(text, start, end):
        start = found.end() if found.end() <= figure.start else start
        end = min(end, found.start()) if found.start() >= figure.end else end
    return without_tags(text[start:end])


LONGEST_WORD = 60
"""Text between two spaces is cut at this many characters, so that text without spaces is read in linear time."""


def _between_words(text: str, at: int, step: int) -> int:
    """The nearest position before (``step`` -1) or after ``at`` that does not cut a word."""
    for _ in range(LONGEST_WORD):
        if not 0 < at < len(text) or text[at - (step < 0)].isspace():
            break
        at += step
    return at
