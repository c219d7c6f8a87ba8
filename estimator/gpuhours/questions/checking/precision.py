"""Estimate how precise a figure is from its digits and from the words before it.

A figure is treated as a measurement. Its spread is the relative standard deviation of a lognormal distribution:

    s^2 = s_digits^2 + s_words^2        low, high = value * exp(shift -+ 1.2816 s)      (10th and 90th percentile)

``s_digits``   rounding: uniform over the last digit written, so half of that place / sqrt(3). Trailing zeros of a round
               number ("500 billion", "150 million") are not significant: the place is that of the last non-zero digit, but
               half of it counts for 5 % at most (people do not round 1.3 to 1). A number without a multiplier that was
               typed into a configuration (512 GPUs, batch 2048, 1000 steps) is exact.
``s_words``    5 % after a hedging word, 2 % if at least three digits follow it ("approximately 44.5 %").
``shift``      one-sided words move the centre: "over 300" lies between 300 and 330, "up to" between 70 and 100 %.

These are conventions of this project, chosen so that "approximately 3 months" spans 78 to 106 days and that a rounded figure is
never called wrong. We know of no survey of how authors round.
"""

from __future__ import annotations

import math

from gpuhours.inputs.records import dataclass

Z = 1.2816
"""Standard deviations between the median and the 90th percentile of a normal distribution."""

LARGEST_ROUNDING = 0.05
DURATION_ROUNDING = 0.17
NOMINAL_SIZE = 0.04
"""Relative s.d. of nominal model sizes: LLaMA 7B has 6.7 B parameters, LLaMA 30B has 32.5 B (LLaMA model card)."""

WORDS: dict[str, tuple[float, float, float]] = {
    # word: (relative spread, lower edge, upper edge)
    "approximately": (0.05, 0, 0), "approx": (0.05, 0, 0), "around": (0.05, 0, 0), "about": (0.05, 0, 0),
    "roughly": (0.05, 0, 0), "estimated": (0.05, 0, 0), "circa": (0.05, 0, 0), "some": (0.05, 0, 0),
    "close to": (0.05, 0, 0), "~": (0.05, 0, 0), "∼": (0.05, 0, 0), "≈": (0.05, 0, 0),
    "nearly": (0.0, -0.05, 0), "almost": (0.0, -0.05, 0), "just under": (0.0, -0.05, 0),
    "under": (0.0, -0.10, 0), "below": (0.0, -0.10, 0), "less than": (0.0, -0.10, 0), "fewer than": (0.0, -0.10, 0),
    "over": (0.0, 0, 0.10), "above": (0.0, 0, 0.10), "more than": (0.0, 0, 0.10), "greater than": (0.0, 0, 0.10),
    "just over": (0.0, 0, 0.05), "at least": (0.0, 0, 0.30),
    "up to": (0.0, -0.30, 0), "at most": (0.0, -0.30, 0), "no more than": (0.0, -0.30, 0),
    "exactly": (0.0, 0, 0),
}  # fmt: skip
SYNONYMS = {
    ">": "more than",
    "<": "less than",
    "≥": "at least",
    "≤": "at most",
    "\\sim": "~",
    "\\approx": "≈",
}


@dataclass(frozen=True)
class Spread:
    """The centre and the relative standard deviation of a figure, with the reason for them."""

    centre: float
    sigma: float
    reason: str

    @property
    def low(self) -> float:
        """10th percentile."""
        return self.centre * math.exp(-Z * self.sigma)

    @property
    def high(self) -> float:
        """90th percentile."""
        return self.centre * math.exp(Z * self.sigma)


def rounding(digits: str, value: float, *, largest: float = LARGEST_ROUNDING) -> float:
    """Return half of the last significant place, relative: ``"1.8" -> 0.028``, ``"500" -> 0.05`` (not 0.1), ``"3" -> largest``.

    Never more than ``largest``, which is also returned for zero and for digits that are not a single number.
    """
    plain = digits.replace(",", "").lstrip("+-").lower().partition("e")[0]
    if value == 0 or not any(digit in "123456789" for digit in plain):
        return largest
    if not plain.replace(".", "", 1).isdecimal():
        return largest  # several numbers, such as the sides of an image: none of them gives the precision of the figure
    integer, _, decimals = plain.partition(".")
    place = 10.0 ** (-len(decimals) if decimals else len(integer) - len(integer.rstrip("0")))
    return min(0.5 * place / float(plain), largest)


def hedge_words(text: str) -> str:
    """Normalise a hedging expression to a key of ``WORDS``: ``"an estimated" -> "estimated"``, ``"$\\sim$" -> "~"``."""
    word = " ".join(text.lower().replace("$", "").split())
    for article in ("at an ", "an "):
        word = word.removeprefix(article)
    return SYNONYMS.get(word, word.rstrip("."))


def spread(
    value: float,
    digits: str,
    hedges: tuple[str, ...] = (),
    *,
    exact: bool = False,
    duration: bool = False,
    nominal: bool = False,
) -> Spread:
    """Return the spread of one figure; set ``exact`` for settings, ``duration`` for times, ``nominal`` for model sizes."""
    reasons = []
    half = 0.0
    if not exact:
        half = rounding(digits, value, largest=DURATION_ROUNDING if duration else LARGEST_ROUNDING)
        reasons.append(f"digits ±{100 * half:.2g} %")
    variance = half**2 / 3
    if nominal:
        variance = max(variance, NOMINAL_SIZE**2) if half > 0.005 else variance
    precise = len(digits.replace(",", "").replace(".", "").strip("0")) >= 3
    shift = 0.0
    for hedge in hedges:
        around, lower, upper = WORDS.get(hedge, (0.05, 0.0, 0.0))
        around = min(around, 0.02) if precise else around
        width = math.log1p(upper) - math.log1p(lower)
        shift += (math.log1p(upper) + math.log1p(lower)) / 2
        variance += around**2 + (width / (2 * Z)) ** 2
        reasons.append(f"“{hedge}”")
    return Spread(value * math.exp(shift), math.sqrt(variance), ", ".join(reasons) or "exact")


def between(low: float, high: float) -> Spread:
    """Return the spread of a stated range, whose ends are taken as the 10th and 90th percentile."""
    centre = math.sqrt(low * high) if low > 0 else (low + high) / 2
    return Spread(centre, math.log(high / low) / (2 * Z) if low > 0 else 0.0, "range")
