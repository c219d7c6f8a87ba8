"""Reads numbers written in words: ``thirty-two``, ``two hundred and fifty-six``, ``three and a half``."""

from __future__ import annotations

SMALL = {
    word: value
    for value, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
} | {"a": 1, "an": 1, "half": 0.5}
TENS = {
    word: 10 * n
    for n, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)
}
POWERS_OF_TEN = {"hundred": 100.0, "thousand": 1e3, "dozen": 12.0}


def spelled(text: str) -> float:
    """The value of a number in words: ``"thirty-two" -> 32``, ``"three and a half" -> 3.5``, ``"one point six" -> 1.6``."""
    lowered = " ".join(text.lower().replace("-", " ").split())
    extra = 0.0
    for tail, amount in (
        (" and a half", 0.5),
        (" and a quarter", 0.25),
        (" and three quarters", 0.75),
        (" and three quarter", 0.75),
    ):
        if lowered.endswith(tail):
            lowered, extra = lowered.removesuffix(tail), amount
    lowered, _, decimals = lowered.partition(" point ")
    if decimals:
        extra = float("0." + "".join(f"{SMALL.get(word, 0):g}" for word in decimals.split()))
    if lowered.startswith("half a"):
        return 0.5
    if "quarter" in lowered:
        return 0.75 if lowered.startswith("three") else 0.25
    if lowered.endswith("single"):
        return 1.0
    total = current = 0.0
    for word in lowered.split():
        if word in SMALL:
            current += SMALL[word]
        elif word in TENS:
            current += TENS[word]
        elif word in POWERS_OF_TEN:
            current = max(current, 1.0) * POWERS_OF_TEN[word]
            if word == "thousand":
                total, current = total + current, 0.0
    return total + current + extra
