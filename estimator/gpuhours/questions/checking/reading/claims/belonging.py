"""How sure it is that a figure is about the run as a whole, and not about a later stage, a benchmark or the best moment of the run.

Such a figure is read as the run's where nothing else gives it, but it accuses nobody: if it contradicts the others, it is not used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from gpuhours.questions.checking.claim import GIVEN, Claim
from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.questions.checking.reading.sentences.placed import ReadProse
from gpuhours.questions.checking.reading.sentences.scopes import Sentence
from gpuhours.questions.checking.reading.vocabulary.run_words import PRONOUNS

LATER = re.compile(
    r"(?:after that|afterwards?|subsequently|then|next|finally|lastly|following this|on top of (?:this|that)"
    r"|(?:in |for |during )?(?:a|the|this|our|one) (?:\w+ )?(?:second|third|fourth|final|last|further|additional|later|next|new|separate)"
    r" (?:\w+ )?(?:stage|phase|step|part|round|leg|period|run))\b",
    re.IGNORECASE,
)
"""First words of a sentence about a later part of the training."""
AT_BEST = re.compile(
    r"\b(?:peak|best|maximum|highest|top) (?:\w+ )?(?:throughput|mfu|utili[sz]ation|speed|efficiency|rate)\b"
    r"|\bat (?:its|their|the|our)? ?(?:best|peak)\b(?! of)|\bpeaked at\b",
    re.IGNORECASE,
)
"""Words of a rate that was reached for a moment."""
PLANNED = re.compile(r"\b(?:is|are|was|were) planned\b|\bwe (?:plan|expect|intend|hope)\b", re.IGNORECASE)
"""Words of a run that is still to come."""
TESTED = re.compile(
    r"\b(?:benchmark(?:s|ed)?|micro-?benchmarks?|smoke test|dry run|scaling (?:test|study))\b(?! (?:score|suite|result))",
    re.IGNORECASE,
)
"""Words of a measurement beside the run."""


def doubtful_sentences(read: ReadProse) -> dict[int, str]:
    """Return the sentences (by their first item) whose figures may not be about the whole run, each with the reason."""
    found: dict[int, str] = {}
    told = False
    before: Sentence | None = None
    for sentence in read.sentences:
        text = " ".join(item.text for item in read.items[sentence.first : sentence.last])
        reason = "a run that is planned" if PLANNED.search(text) else _reason(text) if told else ""
        if not reason and before is not None and before.first in found and _goes_on(read, sentence):
            reason = found[before.first]
        if reason:
            found[sentence.first] = reason
        told = told or any(entry.sentence is sentence for entry in read.placed)
        before = sentence
    return found


def _reason(text: str) -> str:
    if LATER.match(text):
        return "a later part of the training"
    if AT_BEST.search(text):
        return "the run at its best"
    return "a benchmark" if TESTED.search(text) else ""


def _goes_on(read: ReadProse, sentence: Sentence) -> bool:
    """Whether a sentence continues the one before it: it follows a semicolon or begins with a pronoun."""
    semicolon = sentence.first > 0 and read.items[sentence.first - 1].text == ";"
    return semicolon or read.items[sentence.first].text.lower() in PRONOUNS - {"they", "there"}


def marked(kept: Iterable[Claim], aside: Sequence[Claim], doubtful: Mapping[int, str]) -> list[Claim]:
    """Return the claims of a run, those marked that may be about something else.

    These are the figures of ``doubtful`` sentences, and of a sentence that also gives another value for what the run states elsewhere:
    ``31 hours on 128 GPUs`` of a run on 256 GPUs is about a part of it.
    """
    kept = list(kept)
    held = {claim.quantity: claim.sentence for claim in kept}
    others = {
        claim.sentence: f"a sentence that gives another figure for {claim.title}"
        for claim in aside
        if claim.scope.startswith("another figure") and not claim.of_row and claim.sentence != held.get(claim.quantity)
        and claim.quantity in OF_A_RUN
    }  # fmt: skip
    reasons = {**others, **doubtful}
    return [
        replace(claim, part=reasons[claim.sentence])
        if claim.sentence in reasons and claim.sentence != GIVEN and not claim.of_row and QUANTITIES[claim.quantity].checked
        and not (claim.sentence in others and _all_of_them(claim))
        else claim
        for claim in kept
    ]  # fmt: skip


def _all_of_them(claim: Claim) -> bool:
    """``all 128 A100s were off``: whether machines are counted as all of the run's."""
    return (
        claim.quantity in ("gpus", "nodes")
        and re.search(rf"(?i)\ball (?:of )?(?:the |our )?{re.escape(claim.text)}", claim.quote) is not None
    )


OF_A_RUN = frozenset(
    ["gpus", "nodes", "wall_clock", "gpu_hours", "node_hours", "tokens", "steps", "epochs", "parameters", "active_parameters", "mfu",
     "global_batch", "global_batch_tokens", "seq_len", "energy", "carbon", "cost", "tokens_per_second", "tokens_per_second_per_gpu"]
)  # fmt: skip
"""Quantities of which a run has one value."""
