"""The tokens, sequences or time of one step, where they are given beside the number of steps."""

from __future__ import annotations

from collections.abc import Sequence

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.vocabulary.units import noun

EACH = frozenset(["each", "apiece", "per"])
LINKS = frozenset([",", "with", "of", "at", "about", "(", "and", "on", "each", "having", "holding", "containing"])
"""Words between the number of steps and the amount that each step takes."""
PER_STEP = {
    "token": "global_batch_tokens",
    "residue": "global_batch_tokens",
    "sequence": "global_batch",
    "sample": "global_batch",
}


def of_steps(items: Sequence[Item], index: int, unit: str, at: int) -> str:
    """``270K updates at 3.2M tokens`` and ``120k steps with 8,192 images each``: the per-step quantity of the figure, or empty.

    ``at``: the index of the noun that the figure counts.
    """
    if unit not in PER_STEP:
        return ""
    before = index - 1
    while before > index - 4 and before >= 0 and items[before].text.lower() in LINKS:
        before -= 1
    steps = items[before] if before >= 0 else None
    if not isinstance(steps, Figure) or steps.unit != "step" or steps.per or before == index - 1:
        return ""
    between = {item.text.lower() for item in items[before + 1 : index]}
    behind = [item.text.lower() for item in items[at + 1 : at + 9]]
    each = bool(EACH & set(behind[:2])) or "in each" in " ".join(behind) or "in every" in " ".join(behind)
    if each or (between & {"with", "of", "at"} and "and" not in between):
        return PER_STEP[unit]
    return ""


def in_each_step(items: Sequence[Item], index: int, unit: str, at: int) -> str:
    """``half a million tokens (524,288) in each step``: the per-step quantity, also of the figure in brackets; empty if it is not one."""
    behind = at + 1
    if unit not in PER_STEP:
        return ""
    if _opens_each(items, index):
        return PER_STEP[unit]
    if behind < len(items) and items[behind].text == "(":
        behind = next((n + 1 for n in range(behind, min(behind + 4, len(items))) if items[n].text == ")"), behind)
    behind += behind < len(items) and items[behind].text == ")"
    words = [item.text.lower().strip() for item in items[behind : behind + 3]]
    each = words[:2] in (["in", "each"], ["in", "every"], ["in", "a"], ["in", "one"])
    named = words[2:3] if each else words[1:2] if words[:1] in (["per"], ["each"], ["every"]) else []
    return PER_STEP[unit] if (named and named[0].startswith(A_STEP)) or _is_taken_by_a_step(items, index) else ""


def length_of_sequences(items: Sequence[Item], index: int) -> bool:
    """``192 sequences of 2,048 tokens per step``: whether the figure is the length of sequences that were counted before it."""
    if index < 3 or items[index - 1].text.lower() != "of":
        return False
    counted = next((item for item in reversed(items[max(index - 4, 0) : index - 1]) if isinstance(item, Figure)), None)
    return counted is not None and PER_STEP.get(counted.unit) == "global_batch"


def _opens_each(items: Sequence[Item], index: int) -> bool:
    """``1,500 updates. In each, 256 prompts are drawn``: whether the figure describes each of the steps in the sentence before."""
    before = index - 1
    before -= before > 0 and items[before].text == ","
    if before > 1 and items[before].text.lower() in ("them", "these") and items[before - 1].text.lower() == "of":
        before -= 2
    if before < 2 or items[before].text.lower() != "each" or items[before - 1].text.lower() not in ("in", "at", "for"):
        return False
    if items[before - 2].kind != "stop":
        return False
    told = [item for item in items[max(before - BEFORE_EACH, 0) : before - 2] if isinstance(item, Figure)]
    return bool(told) and told[-1].unit == "step" and not told[-1].per


BEFORE_EACH = 14
OF_STEPS = frozenset(["optimizer", "optimiser", "gradient", "training", "single", "weight", "parameter", "global"])


def _is_taken_by_a_step(items: Sequence[Item], index: int) -> bool:
    """``Every update sees 1,024 sequences``, ``each optimizer step covers 4M tokens``: whether one step is the subject of the amount."""
    verb = index - 1
    if verb > 3 and items[verb].text == "=" and items[verb - 1].text[:1].isdigit():
        verb -= 2  # each step holds 2,048 x 4,096 = 8.4M tokens
    while verb > index - 3 and verb > 2 and items[verb].text.lower() in ON_AVERAGE:
        verb -= 1
    said = items[verb].text.lower() if verb > 1 else ""
    if items[verb].kind != "word" or not said.endswith(("s", "ed", "saw")) or said in NO_VERBS:
        return False
    if items[verb - 1].text.lower() not in A_STEP:
        return False
    before = [item.text.lower().strip() for item in items[max(verb - 4, 0) : verb - 1]]
    while before and before[-1] in OF_STEPS:
        before.pop()
    return before[-1:] != [] and before[-1] in ("each", "every", "a", "an", "one")


NO_VERBS = frozenset(["was", "is", "has", "steps", "less", "needed", "as"])
"""Words that end like verbs but do not say what a step takes."""


def of_sequences(items: Sequence[Item], index: int) -> bool:
    """``2,048 sequences of 4,096 tokens`` and ``1,024 trajectories of 64 steps``: whether the figure is the length of each."""
    at = index - 1
    while (
        at > index - 4 and at > 0 and items[at].text.lower() in ("length", "up", "to", "each", "(", "about", "exactly")
    ):
        at -= 1
    many = items[at - 1] if at > 0 and items[at].text.lower() in ("of", "with", "at", "x", "×") else None
    if at > 1 and many is not None and many.kind == "word" and noun(many.text.lower()) in ("sample", "sequence"):
        counted = items[at - 2]  # 64 rows of 1,024 tokens
        return isinstance(counted, Figure) and not counted.unit and counted.value > 1
    return isinstance(many, Figure) and many.unit in ("sequence", "sample") and many.value > 1 and not many.per


def counts_batches(items: Sequence[Item], index: int) -> bool:
    """``300k batches of 2,048 pictures``: whether the number of batches is the number of steps."""
    behind = items[index + 1 : index + 4]
    return (
        len(behind) == 3
        and behind[0].text.lower() in A_BATCH
        and behind[0].text.lower().endswith("s")
        and behind[1].text.lower() in ("of", "with", "holding")
        and isinstance(behind[2], Figure)
        and behind[2].unit in PER_STEP
    )


A_BATCH = frozenset(["batch", "batches", "minibatch", "mini-batch", "minibatches"])


def in_a_batch(items: Sequence[Item], index: int) -> bool:
    """``2,048 sequences of 4,096 tokens in a batch``: whether the figure is the size of a batch, possibly with a length between."""
    behind = index + 1
    if behind < len(items) and items[behind].text.lower() in ("of", "with", "at"):
        length = next((n for n in range(behind + 1, min(behind + 4, len(items))) if isinstance(items[n], Figure)), None)
        if length is None or getattr(items[length], "unit", "") not in (
            "token",
            "residue",
            "frame",
            "step",
            "time",
            "",
        ):
            return False
        behind = length + 1
    words = [item.text.lower() for item in items[behind : behind + 5]]
    words = words[1:] if words[:1] == ["each"] else words
    return (
        words[:1] in (["in"], ["per"], ["to"], ["form"], ["make"], ["make up"], ["a"], ["for"])
        and any(word in A_BATCH for word in words[1:4])
        and not any(word in ("test", "validation", "evaluation") for word in words)
    )


def of_steps_at(items: Sequence[Item], index: int) -> bool:
    """``90k steps of 32,768 pairs at 3.20 s``: whether the time is that of one step, after the amount it reads."""
    if index < 4 or items[index - 1].text.lower() not in ("at", "@"):
        return False
    amount = items[index - 2]
    if not isinstance(amount, Figure) or amount.unit not in PER_STEP:
        return False
    steps = items[index - 4]
    return isinstance(steps, Figure) and steps.unit == "step" and items[index - 3].text.lower() in ("of", "with", "on")


LASTS = frozenset(
    ["lasts", "lasted", "last", "takes", "took", "take", "needs", "needed", "need", "requires", "required", "require", "is", "was",
     "complete", "completes", "completed", "finish", "finishes", "finished", "run", "runs", "ran", "average", "averages", "averaged",
     "cost", "costs"]
)  # fmt: skip
A_STEP = ("step", "update", "iteration", "batch")
ANY_ONE = frozenset(
    [
        "a",
        "an",
        "one",
        "each",
        "every",
        "any",
        "single",
        "optimizer",
        "optimiser",
        "training",
        "the",
        "gradient",
        "average",
        "mean",
        "median",
        "typical",
    ]
)
ON_AVERAGE = frozenset(
    [
        "about",
        "around",
        "roughly",
        "only",
        "just",
        "some",
        "on",
        "average",
        "typically",
        "then",
        "thus",
        "us",
        ",",
        "so",
        "in",
        "within",
    ]
)
PLURAL_STEPS = frozenset(["steps", "updates", "iterations"])


def _opens_with_a_step(items: Sequence[Item], at: int) -> bool:
    """Whether the sentence before an item starts with one step as its subject."""
    first = next((n + 1 for n in range(at - 1, max(at - 50, 0), -1) if items[n].kind == "stop"), max(at - 50, 0))
    words = [item.text.lower() for item in items[first : first + 3]]
    said = " ".join(words)
    return said.startswith(ONE_STEP)


def makes_a_bill(items: Sequence[Item], index: int) -> bool:
    """``33 hours → $792``: whether an amount of money or device-hours is derived from the time."""
    behind = items[index + 1 : index + 3]
    made = behind[1] if len(behind) == 2 else None
    return (
        made is not None
        and behind[0].text in ("→", "=")
        and isinstance(made, Figure)
        and made.unit in ("money", "gpu_time")
    )


ONE_STEP = ("one step", "each step", "every step", "a step", "one update", "each update", "every update", "one iteration", "each iteration",
            "every iteration", "1 step")  # fmt: skip


def lasts_a_step(items: Sequence[Item], index: int) -> bool:
    """``part of an update, which lasts 210 s`` and ``each iteration then took about 8 s``: whether a time is that of one step."""
    at = index - 1
    while at > index - 5 and at > 0 and items[at].text.lower() in ON_AVERAGE:
        at -= 1
    if at < 1 or items[at].text.lower() not in LASTS:
        return False
    if items[at - 1].text.lower() in ("and", ",") and _opens_with_a_step(items, at):
        return True  # One step draws 256 prompts, and takes 9.5 minutes
    relative = items[at - 1].text.lower() in ("which", "that")
    if not relative and items[at].text.lower() in ("is", "was"):
        return False
    at -= 1 + relative
    while at > 0 and items[at].text.lower() in ON_AVERAGE:
        at -= 1
    step = items[at]
    if isinstance(step, Figure):
        return step.unit == "step" and step.value == 1  # one update
    named = step.text.lower()
    if named in PLURAL_STEPS:
        return not relative and not isinstance(items[at - 1], Figure)  # iterations took 3.1 s
    return named.startswith(A_STEP) and not named.endswith("s") and items[at - 1].text.lower().strip() in ANY_ONE
