"""Classifies figures by their immediate neighbours (a symbol, another figure, a time) before any word table is tried."""

from __future__ import annotations

from collections.abc import Sequence

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.quantities.money import hours_of_a_bill, of_a_thing, paid_to_people
from gpuhours.questions.checking.reading.quantities.neighbours import (
    before_a_sequence,
    for_an_amount,
    of_media,
    of_two_betas,
    to_a_node,
)
from gpuhours.questions.checking.reading.quantities.peaks import obtained_of_a_peak, of_a_bare_peak
from gpuhours.questions.checking.reading.quantities.per_step import (
    counts_batches,
    in_a_batch,
    in_each_step,
    lasts_a_step,
    makes_a_bill,
    of_sequences,
    of_steps,
    of_steps_at,
)
from gpuhours.questions.checking.reading.quantities.place import Place, plausible
from gpuhours.questions.checking.reading.quantities.relations import (
    after_a_rise,
    behind_a_machine,
    behind_its_base,
    each_of_several,
    hours_of_a_day,
    hours_of_clips,
    instead_of,
    is_a_part,
    keeps_busy,
    nodes_times_devices,
    of_passes,
    of_things_cut,
    on_a_machine,
    on_each_of,
    on_so_many,
    on_some_of_them,
    part_of_a_stop,
    since_when,
    so_the_batch_is,
    speaks_of_flops,
    spent_on_machines,
    times_a_device,
)
from gpuhours.questions.checking.reading.quantities.sizes_by_names import (
    at_work,
    before_a_name,
    by_letter,
    by_symbol,
    in_apposition,
    in_brackets_of_a_tower,
    of_a_corpus,
    of_a_tool,
    of_adapters,
    of_the_name_before,
)

FEWEST_BATCHES = 50
MOST_AT_WORK = 16
"""The most experts that work on one token."""
FEWEST_FLOP = 1e17
"""No other kind of number in a text about training exceeds this."""
LONGEST_SEQUENCE = 1_048_576
SHORTEST_RECORD = 60.0
"""In seconds; a shorter time on a machine is that of a step."""
SHORTEST_RUN = 600.0
"""In seconds; a shorter time that stands alone is not taken for a run's."""
LONGEST_RUN = 7e7
"""In seconds; no run lasts longer."""
LONGEST_STEP, LONGEST_CLIP = 3600.0, 600.0
"""In seconds."""


def next_to_a_symbol(items: Sequence[Item], index: int, unit: str, first: int) -> Place | None:
    """The place of a figure that a name, letter or bracket directly beside it decides; None if nothing does."""
    figure = items[index]
    assert isinstance(figure, Figure)
    return (
        _by_a_name(figure, items, index, unit, first)
        or _by_what_is_counted(figure, items, index, unit, first)
        or _by_a_symbol(figure, items, index, unit, first)
    )


def _by_a_name(figure: Figure, items: Sequence[Item], index: int, unit: str, first: int) -> Place | None:
    """The place of a figure before or behind the name of a model, a tool, a card or an adapter."""
    if figure.unit == "parameter" and in_brackets_of_a_tower(items, index):
        return Place("vision_parameters", "in brackets behind its name", 0.0)
    if figure.scale and not figure.unit and of_the_name_before(items, index):
        return Place("parameters", "behind its name", 0.0)
    if (
        figure.scale in ("b", "m", "billion", "million")
        and figure.unit in ("", "model")
        and of_a_tool(items, index, first)
    ):
        return Place("count", "of a tool", 0.0)
    if figure.scale in ("b", "m") and not unit and not figure.joined and before_a_name(items, index):
        return Place("parameters", "before its name", 0.0)
    if not figure.unit and not figure.scale and times_a_device(items, index):
        return Place("gpus", "times", 0.0)
    if not figure.unit and figure.value >= FEWEST_FLOP and speaks_of_flops(items, index, first):
        return Place("model_flops", "", 0.0)
    if not figure.unit and not figure.scale and of_adapters(items, index):
        return Place("lora_rank", "r", 0.0)
    return None


def _by_what_is_counted(figure: Figure, items: Sequence[Item], index: int, unit: str, first: int) -> Place | None:
    """The place of experts, tokens, samples, steps or money, by the words directly beside them."""
    if figure.unit == "expert" and figure.value <= MOST_AT_WORK and at_work(items, index):
        return Place("count", "at work on a token", 0.0)
    if figure.unit == "node" and each_of_several(items, index):
        return Place("count", "of each of several", 0.0)
    if figure.scale in ("b", "m", "billion", "million") and not unit and in_apposition(items, index, first):
        return Place("parameters", "beside its name", 0.0)
    if (
        figure.unit == "token"
        and figure.joined
        and figure.value <= LONGEST_SEQUENCE
        and before_a_sequence(items, index)
    ):
        return Place("seq_len", items[index + 1].text, 0.0)
    if (
        figure.unit in ("token", "residue")
        and figure.value <= LONGEST_SEQUENCE
        and not figure.per
        and of_sequences(items, index)
    ):
        return Place("seq_len", "of so many sequences", 0.0)
    if figure.unit in ("sequence", "sample") and not figure.per and in_a_batch(items, index):
        return Place("global_batch", "in a batch", 0.0)
    if figure.unit == "step" and of_sequences(items, index):
        return Place("count", "of a trajectory", 0.0)
    if figure.unit == "token" and behind_its_base(items, index):
        return Place("base_tokens", "in brackets behind the base", 0.0)
    if figure.unit == "token" and of_a_corpus(items, index):
        return Place("dataset_tokens", "in brackets behind its name", 0.0)
    if figure.unit == "money" and not figure.per and paid_to_people(items, index, first, min(len(items), index + 12)):
        return Place("count", "paid to people", 0.0)
    if figure.unit == "money" and not figure.per and of_a_thing(items, index, first):
        return Place("count", "the price of a thing", 0.0)
    return None


def _by_a_symbol(figure: Figure, items: Sequence[Item], index: int, unit: str, first: int) -> Place | None:
    """The place of a figure beside a letter or symbol, and of GPUs to a node."""
    if not figure.unit and 0.5 < figure.value < 1 and (beta := of_two_betas(items, index)):
        return Place(beta, "two betas", 0.0)
    if unit in ("", "gpu") and figure.unit in ("", "gpu") and 1 < figure.value <= 16 and to_a_node(items, index):
        return Place("gpus_per_node", "to a node", 0.0)
    if figure.scale and figure.unit in ("", "token") and (symbol := by_symbol(items, index)):
        return Place(symbol, items[index - 2].text, 0.0)
    if not figure.unit and not figure.scale and (letter := by_letter(items, index)):
        return Place(letter, items[index - 2].text, 0.0)
    if not figure.unit and not figure.scale and index > first and items[index - 1].text.lower() == "epoch":
        return Place("partial", "epoch", 0.0)  # the best one was epoch 291
    return None


def next_to_figures(items: Sequence[Item], index: int, unit: str, at: int) -> Place | None:
    """The place of a figure that follows from the figures before it; None if nothing follows."""
    figure = items[index]
    assert isinstance(figure, Figure)
    bare = not figure.unit and not figure.per
    if figure.scale and figure.unit in ("", "token") and is_a_part(items, index):
        return Place("count", "a part of the tokens", 0.0)
    if instead_of(items, index):
        return Place("count", "what it was instead", 0.0)
    if figure.unit == "percent" and (of_a_bare_peak(items, index) or obtained_of_a_peak(items, index)):
        return Place("mfu", "of the peak", 0.0)
    if bare and not figure.joined and figure.value >= FEWEST_BATCHES and counts_batches(items, index):
        return Place("steps", "batches of", 0.0)
    if (read := of_passes(items, index)) and not figure.per:
        return Place(read, "passes over", 0.0)
    if bare and not figure.joined and so_the_batch_is(items, index):
        return Place("global_batch", "of all devices", 0.0)
    if bare and not figure.scale and not figure.joined and on_some_of_them(items, index):
        return Place("gpus", "of them", 0.0)
    if bare and nodes_times_devices(items, index):
        return Place("gpus", "nodes x devices", 0.0)
    if bare and not figure.scale and on_each_of(items, index):
        return Place("microbatch", "on each of so many", 0.0)
    if bare and not figure.scale and not figure.joined and on_so_many(items, index):
        return Place("gpus", "on so many", 0.5)
    if (taken := of_steps(items, index, unit, at)) and plausible(taken, figure):
        return Place(taken, "in each of so many steps", 0.0)
    if (taken := in_each_step(items, index, figure.unit, at)) and plausible(taken, figure):
        return Place(taken, "in each step", 0.0)
    if (risen := after_a_rise(items, index)) and plausible(risen, figure):
        return Place(risen, "until the rate is reached", 0.0)
    return None


def next_to_a_time(items: Sequence[Item], index: int, first: int, last: int) -> Place | None:
    """The place of a time or a number of hours that belongs to one trillion tokens, a bill, clips and so on; None for any other figure."""
    figure = items[index]
    assert isinstance(figure, Figure)
    if figure.unit == "gpu_time":
        return _next_to_gpu_hours(items, index, figure, first, last)
    if figure.unit != "time":
        return None
    if SHORTEST_RUN > figure.value >= SHORTEST_RECORD and on_a_machine(items, index):
        return Place("wall_clock", "on a machine", 1.0)
    if first == index == last - 1 and figure.value >= SHORTEST_RUN and behind_a_machine(items, index):
        return Place("wall_clock", "alone behind a machine", 1.0)
    if not figure.word.lower().startswith("time") and keeps_busy(items, index, first):
        return Place("count", "for one trillion", 0.0)
    return _next_to_machines(items, index, figure, first, last) or _next_to_things(items, index, figure, first)


def _next_to_gpu_hours(items: Sequence[Item], index: int, figure: Figure, first: int, last: int) -> Place | None:
    """``next_to_a_time`` of GPU-hours."""
    if keeps_busy(items, index, first) or for_an_amount(items, index, last):
        return Place("gpu_hours_per_trillion_tokens", "for the same trillion", 0.0)
    if figure.value == 1 and figure.text[:1].isalpha():
        return Place("count", "what one costs", 0.0)  # one H100 hour is priced at
    return None


def _next_to_machines(items: Sequence[Item], index: int, figure: Figure, first: int, last: int) -> Place | None:
    """``next_to_a_time`` of hours that are a run's, or of each of its steps."""
    long = figure.word.lower().startswith("h") and figure.value > LONGEST_RUN
    before = [item.text.lower() for item in items[max(index - 2, 0) : index]]
    if long and before == ["hours", ":"]:
        return Place("gpu_hours", "more than a clock shows", 1.0)
    if figure.value < LONGEST_STEP and len(before) == 2 and before[1] == ",":
        steps, behind = items[index - 2], items[index + 1].text.lower() if index + 1 < len(items) else ""
        if isinstance(steps, Figure) and steps.unit == "step" and behind in ("each", "apiece"):
            return Place("step_time", "each", 0.0)  # 600k updates, 0.42 s each
    if hours_of_a_day(items, index):
        return Place("count", "hours of a day", 0.0)
    if figure.value >= LONGEST_STEP and makes_a_bill(items, index):
        return Place("wall_clock", "makes", 1.0)
    if long and spent_on_machines(items, index, first, last):
        return Place("gpu_hours", "more than a clock shows", 1.0)
    return None


def _next_to_things(items: Sequence[Item], index: int, figure: Figure, first: int) -> Place | None:
    """``next_to_a_time`` of sound, of the past, of a stop, of a bill, of a step or of clips."""
    step = figure.value < LONGEST_STEP
    if step and of_media(items, index):
        return Place("count", "of sound", 0.0)  # 800 seconds of speech per GPU
    if since_when(items, index):
        return Place("count", "how long ago", 0.0)
    if part_of_a_stop(items, index, first):
        return Place("count", "part of a stop", 0.0)
    if billed := hours_of_a_bill(items, index):
        return Place(billed, "times a power", 0.0)
    if step and lasts_a_step(items, index):
        return Place("step_time", "lasts", 0.0)
    if step and of_steps_at(items, index):
        return Place("step_time", "steps at", 0.0)
    if figure.value < LONGEST_CLIP and of_things_cut(items, index):
        return Place("clip_seconds", "of so many", 0.0)
    if film := hours_of_clips(items, index):
        return Place(film, "hours of clips", 0.0)
    return None
