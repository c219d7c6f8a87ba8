"""What a text would have to say for a misfit to be a contradiction: whose its figures are, what they count, what they leave out.

A contradiction accuses the authors. A figure that stops, other conventions or another run may excuse is a doubt, shown with the
condition on which it would be a contradiction; so is one that no words tie to the others.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Sequence

from gpuhours.questions.checking.accelerators import CHIP, find_accelerator, is_a_peak
from gpuhours.questions.checking.claim import ALONE, GIVEN, NAME_OF_MODEL, TAGGED, Claim, Document
from gpuhours.questions.checking.outcome import Cause
from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.questions.checking.reconciling.bills_told import calculated, clause_of
from gpuhours.questions.checking.reconciling.explaining import USUAL
from gpuhours.questions.checking.reconciling.machine_hours import (
    GPU_HOURS,
    NET,
    misses_at_once,
    now_and_then,
    of_several_or_a_part,
)

NO_MISTAKE = {
    "part of the run": "covers the whole run, including stops",
    "downtime": "leaves out stops, restarts and evaluation",
    "other runs in the bill": "is for this run alone",
    "whole node in the energy": "is for the accelerators alone",
    "PUE left out": "is for the whole machine, cooling included",
    "base model's tokens": "is for this run alone",
}
"""Causes that are not mistakes, as the figure is right for something slightly larger or smaller, and what the figure would have to
cover for a contradiction."""
COUNTS_ATTENTION = "attention counted in full or not at all"
OF_STOPS = frozenset(["downtime", "part of the run", "stops left out"])
CONVENTION = 1.2
"""Factor that attention, embeddings and a rounded model size may apply to 6 FLOP per parameter and token."""
OF_HARDWARE = frozenset(["flops_per_second_per_gpu", "flops_per_second"])
"""Rates such as ``150 TFLOP/s``, which may or may not count recomputation. Against hours, which may include stops, they prove nothing."""
STOPPED = 1.6
"""Factor by which the hours of published runs exceed those that their rate implies, at most, due to stops and restarts."""
WORK = frozenset(["steps", "tokens", "samples", "epochs"])
"""Amounts of work that a time can cover: ``5 days (5M steps)`` is the whole time of these steps."""


def missing_condition(
    causes: Sequence[Cause],
    claims: Sequence[Claim],
    document: Document,
    factor: float = 10.0,
    *,
    to_its_digits: bool = False,
    others: Collection[int] = (),
) -> str:
    """Return what the text would have to say for a misfit to be a contradiction; empty if the text already says it.

    In a text about a single run, all figures belong to that run. In other texts a contradiction needs a mistake as its cause, or figures
    that stand together (see ``_side_by_side``; ``others`` are the sentences of other runs). It is not a contradiction if the best cause is
    a part of the run, stops, other runs in the bill or an unstated convention. A figure that is off by a mistake's one factor
    ``to_its_digits`` is no other run's: that one would not have the same digits.
    """
    alone = document.fact(ALONE)
    told = [claim for claim in claims if claim.because != NAME_OF_MODEL]
    if any(claim.sentence == GIVEN for claim in told) or alone == TAGGED:
        return ""
    if causes and of_its_experts(causes[0], factor, document):
        return ""
    if not _one_row(told) and (apart := _told_apart(told, document)):
        return apart
    if several := of_several_or_a_part(claims):
        return several
    if not causes and calculated(claims):
        return ""
    if _of_states(claims) and factor < LEAN_STATES and document.fact("precision") != "mixed":
        return "master weights and both moments are kept in 32 bits"
    if not causes:
        near = len({claim.sentence for claim in claims}) == 1 or 1 / UNEXPLAINED < factor < UNEXPLAINED
        near = near or not any(claim.quantity in SPENT for claim in claims)
        whole = alone is not None and not any(claim.part for claim in claims)
        together = _one_row(claims) or (near and (whole or _side_by_side(claims, others, factor)))
        return _of_a_part(claims, document) if together else "all of these are about one run"
    accused = next((claim for claim in claims if claim.quantity == causes[0].quantity), claims[0])
    condition = _of_any_text(causes[0], accused, claims, document, factor)
    if condition or alone is not None or _more_than_the_clock(causes[0], accused, claims, document):
        return condition
    if to_its_digits and causes[0].cause not in NO_MISTAKE:
        return ""
    return _of_several_runs(causes[0], accused, claims, document, factor)


LEAN_STATES = 2.0
"""16 bytes a parameter with 32-bit master weights and moments, over the 8 where all is kept in 16 bits."""


def _of_states(claims: Sequence[Claim]) -> bool:
    """Whether a model and the GPUs that hold it, and nothing else, are contradicted: by the memory of weights and optimiser states."""
    found = {claim.quantity for claim in claims}
    return "parameters" in found and found <= {"parameters", "gpus"}


TOTAL_FOR_ACTIVE = "total parameters for active ones"
BESIDE_SIX = 0.06
"""Largest log difference that attention and rounding make between 6 N D and the FLOPs that a text states."""


def of_its_experts(cause: Cause, factor: float, document: Document) -> bool:
    """Whether FLOPs are off by the ratio of a text's total to its active parameters: three of its own figures meet, which another run's
    would not."""
    every, active = document.claim("parameters"), document.claim("active_parameters")
    if cause.cause != TOTAL_FOR_ACTIVE or cause.quantity not in OF_ALL_WORK or every is None or active is None:
        return False
    sparsity = every.value / active.value
    return sparsity > LEAST_SPARSE and abs(math.log(factor / sparsity)) < BESIDE_SIX


OF_ALL_WORK = frozenset(["model_flops", "mfu", "flops_per_second", "flops_per_second_per_gpu"])
LEAST_SPARSE = 1.5
"""Ratio of total to active parameters above which the two cannot be mistaken for each other by rounding."""


EACH_CARD = re.compile(
    r"(?i)\b(?:each|every|per|a|one|single)[ -](?:\w+ )?(?:cards?|gpus?|accelerators?|chips?|devices?|[ahbv]\d{2,3}s?)\b"
)


def of_each_card(memory: Claim) -> bool:
    """Whether the clause of a memory size says that every card has it."""
    return EACH_CARD.search(clause_of(memory.quote, memory.text)) is not None


OF_ANOTHER = re.compile(
    r"(?i)\b(?:earlier|previous(?:ly)?|predecessors?|successors?|older|last year|former|formerly|sibling|sister|precursors?)\b"
)
"""Words of a sentence about a model before or beside the one that a text is about."""


def _told_apart(claims: Sequence[Claim], document: Document) -> str:
    """The condition that figures of different sentences are about one run where these name different cards, or another than the run's,
    or some speak of an earlier model; empty if they do not."""
    if misses_at_once(claims):
        return ""
    by_sentence = {claim.sentence: claim for claim in claims}
    cards = [found for claim in by_sentence.values() if (found := _cards(claim.quote))]
    other = [OF_ANOTHER.search(claim.quote) is not None for claim in by_sentence.values()]
    of_card = len(by_sentence) > 1 or not {claim.quantity for claim in claims} <= COUNTED_HOURS
    cards += [_cards((document.fact("accelerator") or "").upper())] if cards and of_card else []
    apart = any(one and another and not one & another for one, another in itertools.combinations(cards, 2))
    apart = apart or any(other) != all(other)
    return "all of these are about one run" if apart else ""


COUNTED_HOURS = frozenset(
    ["gpus", "nodes", "gpus_per_node", "wall_clock", "gpu_hours", "node_hours", "price", "node_price", "cost"]
)
"""Quantities whose equations are those of any card."""


def _cards(quote: str) -> frozenset[str]:
    return frozenset(chip for chip in CHIP.findall(quote) if find_accelerator(chip) is not None)


def _side_by_side(claims: Sequence[Claim], others: Collection[int], factor: float) -> bool:
    """Whether figures are told of one run without a break: each is only this run's and the whole run's, its words leave one meaning, and
    no figure of another run or work stands between them. A batch may be one of several ranks' only if they explain ``factor``."""
    times = max(factor, 1 / factor)
    ranks = abs(times / round(times) - 1) < OF_RANKS
    plain = not any(
        claim.shared or claim.part or claim.of_row or (claim.either and (claim.either != "microbatch" or ranks))
        for claim in claims
    )
    first, last = min(claim.sentence for claim in claims), max(claim.sentence for claim in claims)
    return plain and not any(first <= other <= last for other in others)


UNEXPLAINED = 3.2
"""The largest factor that no known mistake explains between figures of one run in different sentences: slips of units and counts, which are
larger, are known mistakes."""
SPENT = frozenset(
    [
        "gpus",
        "nodes",
        "wall_clock",
        "gpu_hours",
        "node_hours",
        "energy",
        "it_energy",
        "carbon",
        "cost",
        "parameters",
        "mfu",
        "model_flops",
    ]
)
"""What runs are told by: figures of two of them stand in a text more often than two batches or numbers of steps."""
OF_RANKS = 0.03
MOST_IN_A_BOX = 16
"""So many GPUs may be those of a node, beside the power of a machine of many."""
OF_ALL = re.compile(
    r"(?i)\b(?:whole|entire|full|total|all|together|in all|overall|clusters?|machine|system|partition)\b"
)
A_PART = re.compile(r"(?i)\b(?:servers?|nodes?|racks?|cabinets?|chassis|box(?:es)?|rows?)\b")
"""Words by which a power is that of all machines of a run, and by which it is that of some."""


def _of_all(power: Claim) -> bool:
    said = clause_of(power.quote, power.text)
    return OF_ALL.search(said) is not None and A_PART.search(said) is None


def _of_a_part(claims: Sequence[Claim], document: Document) -> str:
    """The condition that a figure is of the whole machine and run, where it may be of a part whose count is unsaid: a rack, a server, a
    group of ranks, one hour; empty if there is none."""
    if len({claim.sentence for claim in claims}) == 1 and document.fact(ALONE) is not None:
        return ""
    by_name = {claim.quantity: claim for claim in claims}
    some = "gpus" not in by_name or by_name["gpus"].value <= MOST_IN_A_BOX
    if "power" in by_name and (some or not _of_all(by_name["power"])):
        return f"“{by_name['power'].text}” is the power of the whole machine"
    if "cost" in by_name and by_name["cost"].value <= QUANTITIES["price"].most:
        return f"“{by_name['cost'].text}” is what the run cost"
    if {claim.quantity for claim in claims} == {"gpus", "data_parallel"}:
        return "all of these are about one run"
    return ""


def _more_than_the_clock(cause: Cause, accused: Claim, claims: Sequence[Claim], document: Document) -> bool:
    """Whether stops cannot explain that GPU-hours are not GPUs x time: the text denies them, or one sentence has more hours than passed."""
    if cause.cause not in OF_STOPS or not {claim.quantity for claim in claims} >= GPU_HOURS:
        return False
    more = (
        cause.cause == "downtime" and accused.quantity == "gpu_hours" and len({claim.sentence for claim in claims}) == 1
    )
    return more or document.fact("stops") is not None


def _by_the_clock(names: Collection[str]) -> bool:
    """Whether figures are hours of machines, the machines and the time that they were had: stops are in the hours as in the time."""
    return "wall_clock" in names and bool({"gpu_hours", "node_hours"} & {*names}) and bool({"gpus", "nodes"} & {*names})


def _of_any_text(cause: Cause, accused: Claim, claims: Sequence[Claim], document: Document, factor: float) -> str:
    """``missing_condition`` that holds even in a text about a single run: what the accused figure counts."""
    said = f"“{accused.text}” "
    by_name = {claim.quantity: claim for claim in claims}
    if cause.cause == "another card's peak" and (card := _named_with_it(cause, document)):
        return f"the run's accelerators are not the {card} that its figures are told with"
    rate = by_name.get("flops_per_second_per_gpu")
    if (
        rate is not None
        and is_a_peak(rate.value, document)
        and ACHIEVED.search(clause_of(rate.quote, rate.text)) is None
    ):
        return f"“{rate.text}” was achieved, and is not the peak of a card"
    if cause.cause == COUNTS_ATTENTION and accused.quantity == "mfu":
        return said + "counts 6 FLOP per parameter and token, and no attention"
    if cause.cause in ("per GPU for all", "accumulation forgotten") and accused.either:
        return said + "is for all GPUs together"
    if cause.cause == "HFU as MFU" and accused.quantity in OF_HARDWARE and _by_hours_alone(document):
        return said + "counts no recomputation, and the hours no stops"
    if cause.cause == "downtime" and NET.search(accused.quote):
        return ""
    if cause.cause == "downtime" and factor < STOPPED and not _by_the_clock(by_name.keys()):
        return said + NO_MISTAKE[cause.cause]
    if cause.cause in OF_STOPS and (had := now_and_then(claims)):
        return f"the machine computed all of the “{had}”"
    if (money := _money_apart(claims)) is not None:
        return f"“{money.text}” is what these hours cost"
    metered = {"energy", "gpu_power"} <= by_name.keys() and "pue" not in by_name and document.claim("it_energy") is None
    if metered and cause.cause in AT_THE_WALL and accused.quantity != "gpu_power":
        return f"“{by_name['energy'].text}” is for the accelerators alone"
    return ""


ACHIEVED = re.compile(
    r"(?i)\b(?:achiev\w+|sustain\w+|reach\w+|deliver\w+|effective|measured|observed|attain\w+|realis\w+|realiz\w+|average\w*|mean|record\w*|profil\w+|got|saw|hit|ran|runs)\b"
)
"""Words by which a rate is one that a run had."""


def _of_several_runs(cause: Cause, accused: Claim, claims: Sequence[Claim], document: Document, factor: float) -> str:
    """``missing_condition`` of a text that may be about several runs: what else the accused figure could cover."""
    said = f"“{accused.text}” "
    apart = not _one_row(claims) and not 1 / FAR < factor < FAR and _alone_in_its_sentence(accused, claims)
    if apart and cause.cause not in OF_ITS_OWN_TIME:
        return said + "is about this run"
    if not _one_row(claims) and _in_a_unit_unsaid(cause, document):
        return said + "is about this run"
    if any(claim.quantity == "parameters" for claim in claims) and 1 / CONVENTION < factor < CONVENTION:
        return "6 FLOP per parameter and token were counted, and no more"
    counted = any(
        claim.quantity in WORK and claim.sentence == accused.sentence for claim in claims if claim is not accused
    )
    counted = counted or (cause.cause == "downtime" and NET.search(accused.quote) is not None)
    if cause.cause in NO_MISTAKE and not counted:
        return said + NO_MISTAKE[cause.cause]
    if cause.cause == TOTAL_FOR_ACTIVE and document.claim("active_parameters") is None:
        return "all parameters are active for every token"
    if cause.cause == "epochs forgotten" and document.claim("epochs") is None:
        return said + "counts every pass"
    return ""


def _named_with_it(cause: Cause, document: Document) -> str:
    """The name of the card whose peak would make all figures agree, if one of the run's own figures is quoted with it; empty otherwise."""
    chip = CHIP.search(cause.text)
    return chip[0] if chip and any(chip[0] in claim.quote for claim in document.claims) else ""


_OF_FLOPS = re.compile(r"(?i)\bmfu\b|flop|peak|model|theor")
"""Words by which a utilisation is known to be one of FLOP/s."""
LEAST_BUSY = 0.7
"""The least share of the time in which the GPUs of a run are busy: they wait for data and for each other, but not a third of the time."""


def of_time_busy(mfu: Claim, implied: float) -> str:
    """Return the condition that a utilisation is one of FLOP/s and not the share of time in which kernels ran, as monitors report it.

    Empty if nothing is left open: its clause says of what it is a share, it is too low for a share of time, or the MFU ``implied`` by the
    other figures is itself unusual.
    """
    least, most = USUAL["mfu"]
    said = f"{mfu.because} {clause_of(mfu.quote, mfu.text)}"
    busy = "utili" in mfu.because.lower() and mfu.value >= LEAST_BUSY and _OF_FLOPS.search(said) is None
    if not busy or not least <= implied <= most:
        return ""
    return f"“{mfu.text}” is a share of the peak FLOP/s, not of the time that the GPUs were busy"


UNITS_OF_DATA = {
    "bytes read as tokens": re.compile(r"(?i)\b(?:bytes?|characters?|chars)\b"),
    "words read as tokens": re.compile(r"(?i)(?<!other )(?<!few )\bwords\b"),
}
"""Causes by which an amount of data is in another unit -> words by which a text speaks of that unit."""


OF_ITS_OWN_TIME = frozenset(["wall-clock for aggregate hours"])
"""Causes by which a figure repeats the run's own time: it is about this run, however far off."""
FAR = 10.0
"""Factor beyond which a figure that stands in a sentence of its own is more likely another run's than wrong."""


def _alone_in_its_sentence(accused: Claim, claims: Sequence[Claim]) -> bool:
    """Whether none of the other figures of a misfit stands in the accused one's sentence."""
    return all(claim is accused or claim.sentence != accused.sentence for claim in claims)


def _in_a_unit_unsaid(cause: Cause, document: Document) -> bool:
    """Whether a cause takes an amount of data to be in a unit that the text nowhere speaks of."""
    unit = UNITS_OF_DATA.get(cause.cause)
    said = (*document.claims, *document.set_aside)
    return unit is not None and not any(c.quantity == "dataset_bytes" or unit.search(c.quote) for c in said)


def _by_hours_alone(document: Document) -> bool:
    """Whether a text gives the duration of a run but none of the rates in ``TIMED``."""
    hours = document.claim("gpu_hours") or document.claim("wall_clock")
    return hours is not None and all(document.claim(name) is None for name in TIMED)


TIMED = ("step_time", "steps_per_second", "tokens_per_second", "tokens_per_second_per_gpu", "samples_per_second", "mfu")
AT_THE_WALL = frozenset(["TDP for measured power", "whole node in the energy", "PUE left out"])
"""Causes that also fit an energy metered together with hosts, fans and cooling."""
HOURS = frozenset(["gpu_hours", "gpus", "nodes", "wall_clock", "node_hours", "price", "energy"])


def _money_apart(claims: Sequence[Claim]) -> Claim | None:
    """Return a cost compared with hours or machines that no common sentence connects it to; None if there is no such cost."""
    money = next((claim for claim in claims if claim.quantity == "cost"), None)
    if money is None or any(claim.quantity in ("price", "node_price") for claim in claims):
        return None
    return None if any(claim.sentence == money.sentence and claim.quantity in HOURS for claim in claims) else money


def _one_row(claims: Sequence[Claim]) -> bool:
    """Whether at least three claims are all table cells whose row or column names the run; two conflict only through an assumption."""
    return len(claims) > 2 and all(claim.of_row for claim in claims)
