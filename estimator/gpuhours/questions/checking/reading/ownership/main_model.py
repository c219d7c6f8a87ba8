"""Finds the model that a text is about: from its title, its label, and what the text says is trained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.naming.names import Mention, coined, mentions, stem, words_of
from gpuhours.questions.checking.reading.ownership.sections import TURNS, compared_blocks, goes_on_about_others
from gpuhours.questions.checking.reading.ownership.subject_changes import is_compared, is_measure
from gpuhours.questions.checking.reading.sentences.placed import ReadProse
from gpuhours.questions.checking.reading.sentences.scopes import Sentence
from gpuhours.questions.checking.reading.vocabulary.run_words import BASES, CONTINUED, MEASURES, compares, holds
from gpuhours.questions.checking.reading.vocabulary.side_words import SIDE

TRAINS = (
    "train",
    "pretrain",
    "pre-train",
    "present",
    "introduc",
    "releas",
    "our",
    "built",
    "build",
    "model",
    "called",
    "named",
    "it's",
)
FOLLOWED = (
    "was",
    "is",
    "went",
    "read",
    "reads",
    "learned",
    "took",
    "takes",
    "has",
    "needed",
    "sees",
    "saw",
    "used",
    "(",
    "ran",
    "covers",
    "consumed",
    "were",
    "'s",
    "trains",
)


SHORT_TITLE = 4
"""A text before a title's colon with fewer words than this is a name: ``JetMoE: better than Llama-2``."""
REPORTED = frozenset(["estimated", "reported", "said", "believed", "known", "thought", "rumoured", "rumored", "quoted"])
"""``GPT-3 is estimated at 552 t``: verbs used about other people's models."""
BASE_LABELS = (
    "base_model",
    "base model",
    "base-model",
    "initialised from",
    "initialized from",
    "starting checkpoint",
    "teacher",
)
BASE_LABEL = 12.0
"""``base_model: meta-llama/Llama-3.1-8B``: labels before the name of a starting model, and the score that such a name loses."""
OF_THE_RUN = ("an allocation", "a part of the machine")
"""Sentences that are not about the run's own figures but still contain its name."""


def main_model(read: ReadProse, titles: Sequence[str], said: str) -> str:
    """The model that a text is about, from its title, its label and what is trained; empty if nothing decides it."""
    if said:
        return said
    scores: defaultdict[str, float] = defaultdict(float)
    first = True
    others = compared_blocks(read.prose)
    last, about_others = -1, False
    for sentence in read.sentences:
        items = read.items
        lowered = " ".join(item.text.lower() for item in items[sentence.first : sentence.last])
        here = read.prose.block(items[sentence.first].start)
        about_others = goes_on_about_others(items, sentence, lowered, begins=here != last, before=about_others)
        last = here
        compared = about_others or compares(lowered) or here in others
        compared = compared and not lowered.startswith(TURNS)
        beside = any(holds(lowered, phrases) for name, phrases in SIDE.items() if name not in OF_THE_RUN)
        if first and not compared and (subject := _coined_subject(items, sentence)):
            scores[subject] += 3
        for mention in mentions(items, sentence.first, sentence.last, ()):
            if is_measure(items, mention.first, mention.last, sentence) or is_compared(
                items, mention.first, sentence, MEASURES
            ):
                continue
            scores[mention.shown] += first + _score(read, sentence, mention, compared=compared, beside=beside)
            first = False
    for name in scores:
        scores[name] += sum(_score_of_title(name, title) for title in titles)
    best = max(scores, key=lambda name: scores[name], default="")
    return best if best and scores[best] > 0 else ""


def _score(read: ReadProse, sentence: Sentence, mention: Mention, *, compared: bool, beside: bool) -> float:
    """How strongly a mention suggests that the text is about its model. ``compared``, ``beside``: the sentence compares, or is about
    something other than the run."""
    items = read.items
    before = [item.text.lower() for item in items[max(sentence.first, mention.first - 4) : mention.first]]
    after = [item.text.lower() for item in items[mention.last + 1 : min(mention.last + 3, sentence.last)]]
    next_word, next_but_one = (*after, "", "")[:2]
    trained = any(word.startswith(TRAINS) for word in before)
    reported = next_word in ("is", "was") and next_but_one in REPORTED
    based = bool(before) and before[-1] in BASES and not trained
    continued = bool(before) and before[-1] in CONTINUED
    score = 0.5 - 4.0 * (compared or reported or continued or beside) - 2.0 * based
    score += 3.0 * trained + 1.5 * (next_word in FOLLOWED) + 0.5 * (mention.size is not None)
    block = read.prose.blocks[read.prose.block(items[mention.first].start)]
    score -= BASE_LABEL * block.text.lower().lstrip("-* ").startswith(BASE_LABELS)
    return score + 4.0 * (block.kind == "heading" or len(block.text) < 40) * (not compared)


def _score_of_title(name: str, title: str) -> int:
    """How strongly a title suggests the model of this name: more if the name is all that stands before its colon."""
    if not stem(name):
        return 0
    label = title.partition(":")[0].strip(" #*") if ":" in title else ""
    labels = len(label.split()) < SHORT_TITLE and stem(name) in words_of(label)
    return 3 * (stem(name) in words_of(title)) + 4 * labels


def _coined_subject(items: Sequence[Item], sentence: Sentence) -> str:
    """``GLaM (64B/64E) holds 1.2T parameters``: a coined name without a size that opens a sentence about its parameters; else empty."""
    name = items[sentence.first].text
    sized = any(isinstance(i, Figure) and i.unit == "parameter" for i in items[sentence.first + 1 : sentence.last])
    named = any(
        item.kind == "word" and item.text.lower() in HOLDS for item in items[sentence.first + 1 : sentence.last]
    )
    return name if coined(name) and sized and named else ""


HOLDS = frozenset(["holds", "has", "have", "comprises", "contains", "counts"])
"""Verbs between a model and its number of parameters."""
