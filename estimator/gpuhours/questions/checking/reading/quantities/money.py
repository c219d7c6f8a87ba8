"""Decides what an amount of money pays for: a node, an item for sale, or people; otherwise it is the cost of the run."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.quantities.neighbours import HOP_STOPS


def hourly(items: Sequence[Item], index: int) -> bool:
    """``Hourly rate: $1.60 per GPU``: whether ``hour`` or ``hourly`` stands near an amount."""
    return any(item.text.lower() in ("hourly", "hour") for item in items[max(index - 6, 0) : index + 4])


def of_an_hour(items: Sequence[Item], index: int) -> bool:
    """``We price an A100 hour at $1.50``, ``a GPU-hour costs $2``: whether an amount is the price of one device-hour."""
    before = [item.text.lower() for item in items[max(index - 5, 0) : index]]
    hour = next((n for n in range(len(before) - 1, -1, -1) if before[n].replace("-", " ").endswith("hour")), None)
    if hour is None or any(word in before[hour + 1 :] for word in (",", ".", ";", "and", "(")):
        return False
    said = before[hour].split()
    named = items[max(index - 5, 0) + hour - 2 : max(index - 5, 0) + hour]
    ones = {"a", "an", "one", "each", "every", "per"}
    return bool(said and said[0] in ones) or any(item.text.lower().strip() in ones for item in named)


INSTANCES = frozenset(
    ["instance", "node", "server", "machine", "box", "system", "cluster", "pod", "slice", "instances", "nodes", "servers", "machines",
     "boxes", "systems", "pods"]
)  # fmt: skip


def of_an_instance(items: Sequence[Item], index: int, first: int) -> bool:
    """``price of the instance: $32.77/h``: whether an amount is the price of a whole node, not of one GPU."""
    behind = [item.text.lower() for item in items[index + 1 : index + 7]]
    if behind[:1] == ["for"] and any(word in INSTANCES or "large" in word for word in behind):
        return True  # $32.77 per hour for the instance
    counted = False
    for at in range(index - 1, max(first, index - NEAREST_INSTANCE) - 1, -1):
        item = items[at]
        if (isinstance(item, Figure) and item.unit == "gpu") or item.kind == "device":
            counted = True
        elif _is_instance(item):
            return not counted or (not _at_a_rate(items, index) and _holds_devices(items, at))
    return False


def _is_instance(item: Item) -> bool:
    """Whether an item is a node: counted, as a word, or by the name under which it is rented (``p4d.24xlarge``)."""
    lowered = item.text.lower()
    return lowered in INSTANCES or "xlarge" in lowered or (isinstance(item, Figure) and item.unit == "node")


NEAREST_INSTANCE = 12
HOLDING = frozenset(["with", "of", "has", "have", "having", "holding", "containing", "carrying", "(", ","])
"""Words between a node and the devices in it."""


def _at_a_rate(items: Sequence[Item], index: int) -> bool:
    """``nodes with 8 GPUs at $2.45``: whether an amount only follows ``at``; what is billed at an amount is the node."""
    billed = items[index - 2].text.lower() in ("billed", "charged", "priced", "listed", "offered")
    return items[index - 1].text.lower() in ("at", "@") and not billed


def of_a_node_hour(items: Sequence[Item], index: int) -> bool:
    """``Price per node-hour: 19.2 USD``: whether an amount is labelled as the price of an hour of one node."""
    before = " ".join(item.text.lower().strip() for item in items[max(index - NEAREST_INSTANCE, 0) : index])
    return _NODE_HOUR.search(before) is not None


_NODE_HOUR = re.compile(
    r"\b(?:price|rate|charge|tariff)\b[^.,;]*\b(?:node|server|instance|machine)(?: -)?(?: and)? hour\b[^.,;]*$"
    r"|\b(?:node|server|instance|machine) (?:- )?hour (?:price|rate|charge|tariff|costs?|is|was|at)\b[^.,;]*$"
)


def _holds_devices(items: Sequence[Item], at: int) -> bool:
    """``A node with 8 H100 GPUs costs $19.60 per hour``: whether the devices behind a node are said to be inside it."""
    behind = [item.text.lower() for item in items[at + 1 : at + 3]]
    return bool(behind) and behind[0] in HOLDING and (behind[0] != "," or behind[-1] in HOLDING)


COSTS = frozenset(["costs", "cost", "sells", "retails", "went", "goes"])
ARTICLES = frozenset(["a", "an", "each", "every", "one"])
OF_RUNS = (
    "run", "train", "pretrain", "pre-train", "model", "job", "experiment", "stage", "phase", "epoch", "campaign", "reproduc", "hour",
    "project", "attempt", "seed", "pass",
)  # fmt: skip
"""Prefixes of nouns that mean a training run; the cost of a run is not the price of an item."""


def of_a_thing(items: Sequence[Item], index: int, first: int) -> bool:
    """``A microphone costs $95``, ``an H100 sells for $30,000``: whether an amount is the price of an item, recognised by its article."""
    at = index - 1
    while at > first and items[at].text.lower() in ("about", "around", "for", "roughly", "us"):
        at -= 1
    if at <= first or items[at].text.lower() not in COSTS:
        return False
    nouns: list[Item] = []
    for item in reversed(items[max(first, at - 4) : at]):
        if item.text.lower() in ARTICLES or (isinstance(item, Figure) and item.value == 1):
            named = [noun for noun in nouns if noun.kind in ("word", "device")]
            return bool(named) and not any(noun.text.lower().startswith(OF_RUNS) for noun in named)
        if item.kind not in ("word", "device") or item.text.lower() in HOP_STOPS:
            return False
        nouns.append(item)
    return False


PEOPLE = (
    "annotator", "labeler", "labeller", "rater", "crowdworker", "crowd-worker", "freelancer", "contractor", "linguist", "transcriber",
    "translator", "wage", "salar", "volunteer", "physician", "radiologist",
)  # fmt: skip
"""Prefixes of words for people who are paid by the hour."""


def paid_to_people(items: Sequence[Item], index: int, first: int, last: int) -> bool:
    """``63 annotators at $19.50 per hour, $96K in total``: whether people are named before an amount and no machine is counted near it."""
    first, last = max(first, index - NEAR), min(last, index + NEAR)
    told = [at for at in range(first, last) if items[at].text.lower().split()[-1:] and _is_person(items[at])]
    machines = any(isinstance(item, Figure) and item.unit in ("gpu", "gpu_time", "node") for item in items[first:last])
    return any(at < index for at in told) and not machines


NEAR = 60


def _is_person(item: Item) -> bool:
    """Whether an item names people or counts them."""
    return item.text.lower().split()[-1].startswith(PEOPLE)


BEFORE_A_PRICE = frozenset(["the", "our", "a", "its", "about", "only", "just"])
DEAREST_HOUR = 20.0
"""In dollars; one accelerator-hour never costs more."""


def times_hours(items: Sequence[Item], index: int) -> bool:
    """``18,432 GPU-hours at $1.29``: whether an amount of money is a price multiplied by hours."""
    figure = items[index] if index < len(items) else None
    before = items[max(index - 3, 0) : index]
    at = next((n for n, item in enumerate(before) if isinstance(item, Figure) and item.unit == "gpu_time"), None)
    small = isinstance(figure, Figure) and figure.value < 200 and not figure.scale
    before_it = [
        item.text.lower() for item in items[max(index - 3, 0) : index] if item.text.lower() not in BEFORE_A_PRICE
    ]
    if small and before_it[-1:] in (["at"], ["@"]) and figure.value < DEAREST_HOUR and behind_hours(items, index):  # type: ignore[union-attr]
        return True  # 27,648 GPU hours (96 cards) at the $2.35 of our contract
    times = items[index + 1 : index + 3]
    if (
        small
        and len(times) == 2
        and times[0].text.lower() in ("x", "×", "*", "·")
        and isinstance(times[1], Figure)
        and times[1].unit == "time"
    ):
        return True  # 32 x $3.22 x 73 h
    return (
        small
        and at is not None
        and all(item.text.lower() in ("at", "@", "x", "×", "*", "times", ",", "(") for item in before[at + 1 :])
    )


def behind_hours(items: Sequence[Item], index: int) -> bool:
    """``19,968 GPU hours, and we paid $1.90 for each``: whether GPU-hours come before an amount in its sentence."""
    for at in range(index - 1, max(index - HOURS_BEFORE, -1), -1):
        item = items[at]
        if item.kind == "stop":
            return False
        if isinstance(item, Figure) and item.unit == "gpu_time":
            return True
    return False


def behind_a_price(items: Sequence[Item], index: int) -> bool:
    """``at $1.90 each, $38,000 together``: whether an amount follows a price that is marked with ``each``."""
    before = items[max(index - 4, 0) : index]
    each = next((n for n, item in enumerate(before) if item.text.lower() in ("each", "apiece")), None)
    return bool(each) and isinstance(before[each - 1], Figure) and getattr(before[each - 1], "unit", "") == "money"  # type: ignore[operator]


HOURS_BEFORE = 30


def hours_of_a_bill(items: Sequence[Item], index: int) -> str:
    """``300 W x 384 h``: the quantity of hours multiplied by a power: device-hours, or elapsed time if devices are a factor; else empty."""
    factors: list[Figure] = []
    at = index - 1
    while at > 0 and items[at].text.lower() in ("x", "×", "*", "·", "times") and isinstance(items[at - 1], Figure):
        factor = items[at - 1]
        assert isinstance(factor, Figure)
        factors.append(factor)
        at -= 2
    kinds = {factor.unit for factor in factors}
    if "power" not in kinds:
        return ""
    return "wall_clock" if kinds & {"gpu", "node"} else "gpu_hours"
