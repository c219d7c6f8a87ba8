"""Tells which figures of a text are one calculation: hours, their price and the bill."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gpuhours.questions.checking.claim import GIVEN, Claim

CALCULATIONS = (
    frozenset(["cost", "gpu_hours", "price"]), frozenset(["cost", "node_hours", "node_price"]),
    frozenset(["energy", "it_energy", "pue"]),
)  # fmt: skip
"""The figures of a bill: each follows from the others, whatever part of the run they are for."""


def calculated(claims: Sequence[Claim]) -> bool:
    """Whether figures are those of one calculation, such as hours, their price and the cost: stops, parts of the run and other runs would
    be in all of them. One sentence has them all, or the result is drawn from its neighbours."""
    if frozenset(claim.quantity for claim in claims) not in CALCULATIONS:
        return False
    if any(claim.either or claim.sentence == GIVEN for claim in claims):
        return False
    return len({claim.sentence for claim in claims}) == 1 or _concluded(claims)


CONCLUDES = re.compile(
    r"(?i)\b(?:therefore|thus|hence|accordingly|consequently|thereby|so that|which (?:makes|gives|comes|is)|(?:comes?|came) to"
    r"|amount(?:s|ed|ing)? to|works? out)\b"
)
"""Words by which a figure is what the figures before it give."""
MORE_THAN_HOURS = re.compile(
    r"(?i)\b(?:includ\w+|incl\.|plus|together with|on top|as well as|all in|in all|altogether|overall|project|storage|egress|staff"
    r"|salar\w+)\b"
)
"""Words by which a bill may have other lines than GPU-hours."""
REDUCED = re.compile(
    r"(?i)(?<!\bno )(?<!\bwithout )\b(?:discount\w*|rebates?|%\s*off|off the|list(?:s|ed)?(?: price)?\b|credits?|granted|negotiated)"
    r"|%\s*off\b"
)
"""Words by which the price paid may be another than the one quoted."""
CLOSE_BY = 40
"""Words over which a bill is worked out, at most."""


def _concluded(claims: Sequence[Claim]) -> bool:
    """Whether a cost is drawn from hours and price told just before it: it stands with the hours, or is introduced as what follows."""
    money = next((claim for claim in claims if claim.quantity == "cost"), None)
    if money is None or any(claim.part or claim.shared for claim in claims):
        return False
    sentences = [claim.sentence for claim in claims]
    said = clause_of(money.quote, money.text)
    with_hours = any(
        claim.quantity in ("gpu_hours", "node_hours") and claim.sentence == money.sentence for claim in claims
    )
    near = max(sentences) - min(sentences) <= CLOSE_BY and money.sentence == max(sentences)
    near = near and not any(REDUCED.search(claim.quote) for claim in claims)
    return near and (with_hours or CONCLUDES.search(said) is not None) and not of_more_than_hours(money)


def of_more_than_hours(money: Claim) -> bool:
    """Whether a cost's words say that it has other lines than GPU-hours, or that another price than the quoted one was paid."""
    return MORE_THAN_HOURS.search(money.quote) is not None or REDUCED.search(money.quote) is not None


def clause_of(quote: str, text: str) -> str:
    """Return the clause of a quote that a figure stands in; the whole quote if the figure is not in it."""
    quote = " ".join(quote.split())
    at = quote.find(" ".join(text.split()))
    if at < 0:
        return quote
    begins = max((found.end() for found in CLAUSE_ENDS.finditer(quote, 0, at)), default=0)
    ends = CLAUSE_ENDS.search(quote, at + len(text))
    return quote[begins : ends.start() if ends else None]


CLAUSE_ENDS = re.compile(r"[.,;!?](?=\s|$)| [-*•] ")
