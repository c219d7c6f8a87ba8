"""What a sentence is about: the run itself, or fine-tuning, evaluation or side experiments.

A figure belongs to the last scope word before it in its sentence, or else to the scope of the paragraph. Fine-tuning lasts to the end of
its paragraph or to the next word about pre-training; evaluation lasts to the next word about training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.sentences.spans import TURNING, clause_numbers, end_of_opening
from gpuhours.questions.checking.reading.vocabulary.run_words import PRONOUNS

FINE_TUNING = ("finetun", "fine-tun", "downstream", "post-training", "posttraining", "instruction-tun", "instruction tun", "supervised tun",
               "sft", "rlhf", "post-pre-training", "transfer learning")  # fmt: skip
EVALUATION = (
    "evaluat",
    "latency",
    "inference",
    "ablation",
    "experiments",
    "benchmarking",
    "profiling",
    "profiled",
    "scores",
    "scored",
)
PRETRAINING = ("pre-train", "pretrain", "main run", "main training", "training run", "final run")
TRAINING = ("train", "optimiz", "optimis")
OPENING = 7
FILES = frozenset(["py", "sh", "yaml", "yml", "json", "sbatch", "cfg", "toml", "ipynb"])
"""File name extensions; a word in a file name says nothing about the scope."""


@dataclass(frozen=True)
class Sentence:
    """Items ``first`` to ``last`` of a text, and the scope of the paragraph at its start."""

    first: int
    last: int
    scope: str
    scopes: tuple[tuple[int, str], ...]
    """Where another scope begins in the sentence."""

    def scope_at(self, index: int) -> str:
        """The scope of the item at ``index``."""
        scope = self.scope
        for start, name in self.scopes:
            if start <= index:
                scope = name
        return scope


def sentences(items: Sequence[Item], text: str) -> Iterator[Sentence]:
    """The sentences of a text; a blank line or a table cell starts a new paragraph."""
    carried, first = "", 0
    stages = "initial training" in text.lower()  # fine-tuning is then the rest of the same training
    bounds = _bounds(items)
    for bound in [*bounds, len(items)]:
        if bound > first:
            marks = tuple(_marks(items, first, bound, stages=stages))
            opening = next((name for start, name in marks if start - first < OPENING), None)
            begins = (
                ""
                if opening == "" or (carried == "evaluation" and not marks and not _goes_on(items, first, bound))
                else carried
            )
            if not marks and _of_all_stages(items, first, bound):
                begins = ""
            told = {name for at, name in marks if not items[at].text.lower().startswith("score")}
            if (
                told == {"evaluation"}
                and len(told) == len({name for _, name in marks})
                and not _trains(items, first, bound)
            ):
                begins = "evaluation"
            yield Sentence(first, bound, begins, marks)
            if marks:
                carried = _carry(carried, marks, first)
        if bound < len(items):
            stop = items[bound]
            gap = text[stop.start : items[bound + 1].start] if bound + 1 < len(items) else ""
            if "|" in stop.text or "\n\n" in gap or stop.text.startswith("\n"):
                carried = ""
        first = bound + 1


DEEP = 60
"""The number of items after which an unclosed bracket is ignored."""


def _bounds(items: Sequence[Item]) -> list[int]:
    """Where sentences end; a semicolon inside brackets does not end one."""
    bounds, opened = [], -DEEP
    for index, item in enumerate(items):
        if item.text == "(":
            opened = index
        elif item.text.count(")") > item.text.count("("):  # a device may end with it: (NVIDIA A100-80GB)
            opened = -DEEP
        elif item.kind == "stop" and not (item.text == ";" and index - opened < DEEP):
            bounds.append(index)
            opened = -DEEP
    return bounds


def _marks(items: Sequence[Item], first: int, last: int, *, stages: bool) -> Iterator[tuple[int, str]]:
    """The scope words of a sentence, in order; a word about the run itself has the empty scope."""
    resumes = frozenset(_resumes(items, first, last))
    for index in range(first, last):
        item = items[index]
        if index in resumes:
            yield index, ""
        if item.kind not in ("word", "device"):
            continue
        lowered = item.text.lower()
        pair = f"{lowered} {items[index + 1].text.lower()}" if index + 1 < last else lowered
        if index + 2 < last and items[index + 1].text == "." and items[index + 2].text.lower() in FILES:
            continue  # sft.py
        opens = lowered == "tuning" and index == first  # Tuning added 3M examples
        if opens or any(lowered.startswith(word) or pair.startswith(word) for word in FINE_TUNING):
            if stages and pair.endswith((" phase", " stage")):
                yield index, ""  # a part of the training
                continue
            yield index, "fine-tuning"
        elif any(lowered.startswith(word) or pair.startswith(word) for word in PRETRAINING):
            yield index, ""
        elif (
            index - first > 1
            and items[index - 1].text.lower() in ("and", "or", "&", "/")
            and items[index - 2].text.lower().startswith(TRAINING)
        ):
            continue  # energy consumption during training and inference
        elif any(lowered.startswith(word) for word in EVALUATION) and not _on_machines(items, index, first, last):
            yield index, "evaluation"


def _resumes(items: Sequence[Item], first: int, last: int) -> Iterator[int]:
    """Where a clause about training follows one about evaluation: ``While evaluation took three days, the model was trained for 20``."""
    numbers = clause_numbers(items, first, last)
    opened = end_of_opening(items, first, last)
    for at in range(first + 1, last):
        before, number = numbers[at - 1 - first], numbers[at - first]
        turns = at == opened or items[at].text.lower() in TURNING | {"before"}
        if number == before or not turns:
            continue
        clause = [item for item, its in zip(items[first:last], numbers, strict=True) if its == number]
        beside = any(item.text.lower().startswith((*EVALUATION, *FINE_TUNING)) for item in items[first:at])
        if beside and _trains(clause, 0, len(clause)):
            yield at


CONDUCTED = frozenset(["conducted", "run", "performed", "done", "executed", "made", "carried"])


HERE = frozenset(["this", "our", "the", "these"])


def _on_machines(items: Sequence[Item], index: int, first: int, last: int) -> bool:
    """``The experiments are conducted on 64 A800``: whether ``experiments`` introduces the run's own machines."""
    before = items[index - 1].text.lower() if index > first else ""
    named = items[index].text.lower()
    if named == "experiments" and before.startswith((*PRETRAINING, *TRAINING)):
        return True  # all pre-training experiments were carried out on
    if (
        named == "experiments"
        and before == "all"
        and items[index + 1].text.lower() in ("use", "used", "employ", "share", "shared")
    ):
        return True  # all experiments use Adam with betas of 0.9 and 0.98
    reach = 9
    while index + 3 < last and items[index + 1].text.lower() in ("in", "of") and items[index + 2].text.lower() in HERE:
        index, reach = index + 3, 16  # all experiments in this chapter were run on
    behind = [item.text.lower() for item in items[index + 1 : min(index + 3, last)]]
    ran = named == "experiments" and behind[:1] in (["ran"], ["run"], ["used"], ["use"])
    if ran and any(
        isinstance(item, Figure) and item.unit in ("gpu", "node")
        for item in items[index + 2 : min(index + reach, last)]
    ):
        return True
    said = named == "experiments" and behind[:1] in (["are"], ["were"])
    machines = [isinstance(item, Figure) and item.unit == "gpu" for item in items[index + 3 : min(index + reach, last)]]
    return said and behind[1:] != [] and behind[1] in CONDUCTED and any(machines)


def _carry(carried: str, marks: tuple[tuple[int, str], ...], first: int) -> str:
    """The scope that the next sentence starts with."""
    last_start, last = marks[-1]
    if last == "fine-tuning" and last_start - first >= OPENING and "" in {name for _, name in marks}:
        return carried  # a mention of both: 100M clips for pre-training and 10M for fine-tuning
    if last == "evaluation":
        return "evaluation" if last_start - first < OPENING else carried
    return last


def _goes_on(items: Sequence[Item], first: int, last: int) -> bool:
    """Whether a sentence continues the topic of the last one: it begins with a pronoun and does not mention training."""
    return items[first].text.lower() in PRONOUNS and not _trains(items, first, last)


def _of_all_stages(items: Sequence[Item], first: int, last: int) -> bool:
    """``The two phases amount to``: whether a sentence opens with all parts of the training."""
    opening = [item.text.lower() for item in items[first : min(first + 3, last)]]
    if opening[:1] == ["all"] and opening[1:2] in (["runs"], ["models"], ["trainings"], ["experiments"]):
        return True
    return opening[:1] in (["the"], ["both"], ["all"]) and any(
        word.split()[-1:] and word.split()[-1] in ("phases", "stages", "parts") for word in opening
    )


def _trains(items: Sequence[Item], first: int, last: int) -> bool:
    """Whether a sentence mentions training."""
    return any(item.text.lower().startswith(TRAINING) for item in items[first:last] if item.kind == "word")
