"""Reads the figure of a short answer by the question before it: ``How many GPUs did you use? 512.``, ``Sequence length? 4,096.``"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from gpuhours.questions.checking.reading.figures.labels import LENDABLE
from gpuhours.questions.checking.reading.figures.tokens import Figure, Item, tokens_of
from gpuhours.questions.checking.reading.figures.unit_tokens import unit_at
from gpuhours.questions.checking.reading.quantities.place import Place
from gpuhours.questions.checking.reading.quantities.placing import place
from gpuhours.questions.checking.reading.sentences.placed import ASKED
from gpuhours.questions.checking.reading.sentences.scopes import EVALUATION, FINE_TUNING, Sentence
from gpuhours.questions.checking.reading.vocabulary.run_words import holds
from gpuhours.questions.checking.reading.vocabulary.side_words import SIDE

_SPEAKER = re.compile(
    r"(?m)^([ \t]{0,8}(?:[*_]{1,2}|#{1,6}[ ])?)(?:Q|A|Question|Answer)(?:[ ]?\d{1,2})?[.:)](?=[ \t]+\S)"
)
"""``Q.`` and ``A:`` at the start of a line."""
LONGEST = 24
"""The most items in a question that says what its answer counts."""
SIZED = ("how big", "how large", "what size")
LASTED = ("how long", "how much time")


def without_speakers(text: str) -> str:
    """``text`` without the letters that mark questions and answers, if it has both."""
    letters = {found[0].lstrip(" \t*_#")[0] for found in _SPEAKER.finditer(text)}
    return _SPEAKER.sub(r"\1", text) if letters == {"Q", "A"} else text


ASIDE = "the answer to a question about something else"
RUN, PART, OTHER = "run", "part", "other"
"""What a question is about: the run as a whole, a quantity or part of it, or something else."""


def answered(items: Sequence[Item], index: int, sentence: Sentence) -> tuple[Figure, Place] | None:
    """The first figure of an answer, with the unit that its question gives it, and its place; None if no question decides it."""
    figure = items[index]
    question = _question(items, sentence)
    if not isinstance(figure, Figure) or question is None or figure.per:
        return None
    if any(isinstance(item, Figure) for item in items[sentence.first : index]):
        return None
    subject = _subject(items, question, sentence.first - 1)
    if subject == OTHER:
        return None
    said = " ".join(item.text.lower() for item in items[question : sentence.first])
    scaled = figure.scale in ("b", "m", "t", "billion", "million", "trillion")
    if subject == RUN and any(words in said for words in SIZED) and scaled and figure.unit in ("", "parameter"):
        return figure, Place("parameters", ASKED, 1.0)
    if subject == RUN and any(words in said for words in LASTED) and figure.unit == "time" and "step" not in said:
        return figure, Place("wall_clock", ASKED, 1.0)
    if not figure.unit and not figure.sides:
        figure = _with_unit(items, question, sentence.first, figure)
    together = [*items[question:index], figure, *items[index + 1 : sentence.last]]
    found = place(together, index - question, 0, len(together))
    return None if found is None else (figure, replace(found, because=ASKED) if found.because else found)


def asked_of_another(items: Sequence[Item], sentence: Sentence) -> bool:
    """``How long does one evaluation take? 3 hours``: whether a sentence answers a question that is not about the run."""
    question = _question(items, sentence)
    return question is not None and _subject(items, question, sentence.first - 1) == OTHER


def _subject(items: Sequence[Item], first: int, last: int) -> str:
    """What the question in the items ``first`` to ``last`` is about; one without a verb is about the run: ``For how long?``."""
    words = [item.text.lower() for item in items[first:last] if item.kind != "mark"]
    said = " ".join(words)
    if any(word.startswith((*EVALUATION, *FINE_TUNING, *CAPABLE)) for word in words):
        return OTHER
    if any(holds(said, phrases) for phrases in SIDE.values()):
        return OTHER
    asks = next((at for at, word in enumerate(words) if word in WANTED), None)
    verb = next((at for at, word in enumerate(words) if word in AUXILIARIES and at > (asks or 0)), None)
    if verb is None:
        return RUN
    if asks is None:
        return PART
    behind = words[verb + 1 : verb + 5]
    if not behind or behind[0] in SPEAKERS:
        return RUN
    written = next((item.text for item in items[first:last] if item.text.lower() == behind[0]), "")
    if written[:1].isupper():
        return RUN if _is_named_early(items, written) else OTHER
    runs = any(word.startswith(OF_RUNS) for word in behind)
    if behind[0] in SINGLE:
        return PART if runs or any(word.rstrip("s") in REPEATED for word in behind[1:3]) else OTHER
    return RUN if runs else PART if words[verb] in BE and behind[0] in ARTICLES else OTHER


def _is_named_early(items: Sequence[Item], written: str) -> bool:
    """Whether the text mentions a name at its start, as it does its own model's."""
    name = written.split("-")[0]
    return any(item.text.split("-")[0] == name for item in items[:BEGINNING])


BEGINNING = 60
"""The number of items in which a text names its model."""
WANTED = frozenset(["how", "what", "which"])
BE = frozenset(["is", "was", "are", "were"])
AUXILIARIES = BE | {"did", "does", "do", "has", "have", "had", "can", "could", "will"}
SPEAKERS = frozenset(["you", "we", "it", "they", "this", "that", "these", "those", "there", "i", "everything", "all"])
ARTICLES = frozenset(["the", "your", "our", "its", "their", "his", "her"])
SINGLE = frozenset(["a", "an", "one", "each", "every", "any", "another", "single"])
REPEATED = frozenset(
    ["step", "iteration", "update", "batch", "sequence", "sample", "epoch", "pass", "gpu", "card", "chip", "node"]
)
"""Parts of every run, whose figures are the run's own."""
OF_RUNS = ("train", "pretrain", "pre-train", "run", "model", "network", "job", "thing", "whole", "machine", "cluster", "team",
           "authors", "group", "lab", "project")  # fmt: skip
"""Beginnings of words for the run, its model, its machine and its authors."""
CAPABLE = (
    "support",
    "handle",
    "accept",
    "allow",
    "possibl",
    "maxim",
    "recommend",
    "checkpoint",
    "download",
    "warm-up",
    "warmup",
)
"""Beginnings of words in questions about what a model can do, or about what surrounds the run."""


def _question(items: Sequence[Item], sentence: Sentence) -> int | None:
    """Where the question directly before a sentence begins; None without one."""
    at = sentence.first - 1
    while at > 0 and items[at].kind == "stop" and items[at].text != "?":
        at -= 1  # the end of a heading
    if at < 1 or items[at].text != "?":
        return None
    while at > 0 and items[at - 1].kind != "stop" and sentence.first - at < LONGEST:
        at -= 1
    return at


def _with_unit(items: Sequence[Item], first: int, last: int, figure: Figure) -> Figure:
    """The number with the unit of ``how many GPU-hours``."""
    for at in range(first, last - 2):
        if items[at].text.lower() == "how" and items[at + 1].text.lower() in ("many", "much"):
            asked = tokens_of(" ".join(item.text for item in items[at + 2 : min(at + 6, last - 1)]))
            unit, _ = unit_at(asked, 0)
            if unit.kind in LENDABLE:
                return replace(
                    figure,
                    value=figure.value * unit.factor,
                    unit=unit.kind,
                    word=unit.word,
                    device=unit.device,
                    per=unit.per,
                )
    return figure
