"""Turns a placed figure into a claim: its value in the unit of its quantity, its precision, and what its words leave open."""

from __future__ import annotations

import re

from gpuhours.inputs.durations import DAY
from gpuhours.questions.checking.claim import Claim
from gpuhours.questions.checking.precision import Spread, between, spread
from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.questions.checking.reading.figures.tokens import Figure
from gpuhours.questions.checking.reading.quantities.rates import unit_factor
from gpuhours.questions.checking.reading.sentences.placed import Placed

OF_ALL = re.compile(
    r"\b(?:global|total|effective|overall|aggregate|cluster|combined|whole|all|steps?|updates?|iterations?)\b",
    re.IGNORECASE,
)
"""Words that make a batch or speed that of the whole machine; without one it may be that of one GPU."""
SEEN = re.compile(
    r"\b(?:seen|saw|sees|consum\w+|process\w+|read|trained (?:for|on)|training on|total|altogether|in all|repeat\w*|passes)\b",
    re.IGNORECASE,
)
"""Words that make tokens those that the run processed; without one they may be those of its data set."""
TOOK = re.compile(
    r"(?: (?:of|in|for) (?:the )?(?:pre-?)?training)? (?:took|lasted|needed|required|kept)\b", re.IGNORECASE
)
"""``The 200B tokens of training took ten days``: what takes time is what the run processed."""
OF_ONE = re.compile(
    r"(?:gpu|tpu|card|chip|accelerator|device|apiece|\beach\b|\b(?:an?|one|per)\s+(?:[AHV]\d{2,3}|B200|L40|MI\d{3}|GH200)"
    r"|[AHV]\d{2,3}\S*[ -]hours?)",
    re.IGNORECASE,
)
"""Words that make a price that of one device; without one it may be a whole machine's."""
DOLLARS = ("$", "bucks", "us$", "\\$", "usd", "dollars", "dollar", "us dollars", "us dollar", "")
"""Amounts in other currencies are shown but not used: no exchange rate is assumed."""
BINARY = 0.05
"""80 GiB is sometimes written for the memory of a card sold with 80 GB."""


def claim_of(entry: Placed) -> Claim:
    """A placed figure as a claim about its run."""
    figure, quantity = entry.figure, QUANTITIES[entry.place.quantity]
    factor = unit_factor(quantity.name, figure)
    value = figure.value * factor
    said = figure_spread(quantity.name, figure, value, factor)
    value = said.centre if figure.unit == "dates" else value
    foreign = quantity.name in ("cost", "price") and figure.currency.lower() not in DOLLARS
    return Claim(
        quantity.name,
        value,
        said,
        entry.text,
        entry.quote,
        f"line {entry.line}",
        entry.place.because,
        f"in {figure.currency}, not dollars" if foreign else entry.scope,
        of_row=not foreign and entry.index < 0 and bool(entry.owner),
        sentence=_sentence_number(entry),
        either="" if foreign else _either(quantity.name, entry),
    )


USEFUL = re.compile(r"\b(?:mfu|models?|useful)\b", re.IGNORECASE)
"""Words that say that a share of the peak counts no recomputation; ``at 55 % of their peak`` leaves it open."""
OPEN = {
    "gpu_hours": (
        "wall_clock",
        re.compile(
            r"^[^:]{0,8}\b(?:hours used|compute hours|training hours)\b|\bcumulative [\d.,]+k? ?(?:h|hours)\b",
            re.IGNORECASE,
        ),
        None,
    ),
    "global_batch": ("microbatch", None, OF_ALL),
    "price": ("node_price", None, OF_ONE),
    "tokens": ("dataset_tokens", None, SEEN),
    "samples": ("dataset_samples", None, SEEN),
    "tokens_per_second": ("tokens_per_second_per_gpu", None, OF_ALL),
    "mfu": ("hfu", None, USEFUL),
}


def _either(name: str, entry: Placed) -> str:
    """The other quantity that a figure could have, given the words around it; empty if there is none."""
    other, open_where, closed_where = OPEN.get(name, ("", None, None))
    if open_where is not None:
        return (
            other if open_where.search(entry.quote.strip()) and "gpu" not in entry.quote.lower().split(":")[0] else ""
        )
    if name in ("tokens", "samples") and TOOK.match(entry.quote.partition(entry.text)[2]):
        return ""
    around = entry.place.because if name in ("tokens", "samples", "mfu") else f"{entry.quote} {entry.place.because}"
    return other if closed_where is not None and not closed_where.search(around) else ""


def _sentence_number(entry: Placed) -> int:
    """A number that identifies a figure's sentence; for table rows it is negative."""
    return -2 - entry.line if entry.index < 0 else entry.sentence.first


def figure_spread(name: str, figure: Figure, value: float, factor: float = 1.0) -> Spread:
    """How exact a figure is, from its digits, its hedges, and whether its quantity is a setting."""
    quantity = QUANTITIES[name]
    if figure.until is not None:
        return between(value, figure.until * factor)
    if name == "memory_per_gpu" and "i" in figure.word[1:2]:
        return Spread(value, BINARY, "GiB, as cards are named by either")
    hedges = tuple(word for word in figure.hedges if not (word in ("over", "under", "below") and _throughout(figure)))
    exact = quantity.exact and (not figure.scale or figure.scale in ("hundred", "dozen"))
    return spread(
        value, figure.digits, hedges,
        exact=exact, duration=figure.unit in ("time", "gpu_time") and value < 400 * DAY and name != "gpu_hours",
        nominal=name.endswith("parameters"),
    )  # fmt: skip


def _throughout(figure: Figure) -> bool:
    """Whether ``over`` may mean during, as in ``over 300 epochs`` and ``over 21 days``, and not more than."""
    return figure.unit in ("time", "epoch", "step", "layer", "node", "gpu", "percent", "pod")
