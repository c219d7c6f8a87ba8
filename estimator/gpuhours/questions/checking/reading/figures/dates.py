"""Date ranges: the number of days between two dates that a text gives as a start and an end."""

from __future__ import annotations

import datetime
import re
from typing import NamedTuple

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_YEAR = r"(?:,?\s*(?:19|20)\d\d)?"
_DATE = rf"(?:{_MONTH}\s+{_DAY}(?!\d){_YEAR}|{_DAY}\s+(?:of\s+)?{_MONTH}{_YEAR}|(?:19|20)\d\d-\d\d-\d\d|\d\d?/\d\d?/(?:19|20)\d\d)"
_SPAN = re.compile(
    rf"(?<![\w/-])(?:(?:from|between)\s+)?({_DATE}|{_DAY}(?=\s*(?:to|until|and|–|—|-)\s*{_DAY}\s+(?:of\s+)?{_MONTH}))\s*(?:to|until|till|through|and|–|—|-|→|\.\.\.?)\s*({_DATE}|{_DAY}(?:,?\s*(?:19|20)\d\d)?(?![\w.%]))",
    re.IGNORECASE,
)
LONGEST = 2000
_APART = re.compile(
    rf"(?<![\w-])(?:start(?:ed|s|ing)?|beg[ai]n|begun|kick(?:ed)?[ -]?off|launch(?:ed)?|commenced|first step)\b"
    rf"(?P<one>[^\d\n]{{0,40}}?)(?<![\d./-])(?P<from>{_DATE})(?P<between>[^\d]{{1,100}}?)"
    rf"(?<![\w-])(?:end(?:ed|s|ing)?|finish(?:ed)?|complet(?:ed|ion)|done|stop(?:ped)?|conclud(?:ed|es)|until|last step|over)"
    r"\b"
    rf"(?P<two>[^\d\n]{{0,40}}?)(?<![\d./-])(?P<to>{_DATE})",
    re.IGNORECASE,
)
"""``Started: 3 March`` on one line and ``Finished: 28 March`` on the next, or in the next sentence."""
_TRAINS = re.compile(
    r"(?:pre-?|re-?)?train|\brun\b|\bjob\b|\bstart(?:s|ed)?\s{0,4}[:=]|\bstart (?:date|time)|\bkick", re.IGNORECASE
)


class Span(NamedTuple):
    """The number of days from one date to another, and where the text says so."""

    start: int
    end: int
    days: int


def spans_of_dates(text: str) -> list[Span]:
    """Every date range in the text, in order."""
    found = []
    for match in _SPAN.finditer(text):
        days = _days(match[1], match[2])
        if days is not None and 0 < days < LONGEST:
            found.append(Span(match.start(), match.end(), days))
    for match in _APART.finditer(text) if "20" in text else ():
        days = _days(match["from"], match["to"])
        inside = any(span.start < match.end("to") and span.end > match.start("from") for span in found)
        about = _TRAINS.search(text, max(match.start() - 60, 0), match.end())
        if days is not None and 0 < days < LONGEST and about and not inside:
            found.append(Span(match.start("from"), match.end("to"), days))
    return sorted(found)


def _days(first: str, second: str) -> int | None:
    """The days between two dates; a year or month given for only one date applies to both. None if the dates are not valid."""
    one, two = _parts(first), _parts(second)
    year = one[0] or two[0] or 2001
    try:
        end = datetime.date(two[0] or one[0] or 2001, two[1] or one[1] or 0, two[2])
        begin = datetime.date(one[0] or year, one[1] or two[1] or 0, one[2])
        if begin > end and not (one[0] and two[0]):
            begin = begin.replace(year=begin.year - 1)
    except ValueError:
        return None
    return (end - begin).days


def _parts(text: str) -> tuple[int, int, int]:
    """Year, month and day; 0 for a part that is not given."""
    lowered = text.lower()
    numbers = [int(number) for number in re.findall(r"\d+", lowered)]
    if re.match(r"(?:19|20)\d\d-", lowered):
        return numbers[0], numbers[1], numbers[2]
    if "/" in lowered:
        return numbers[2], numbers[0], numbers[1]
    month = next((index for index, name in enumerate(MONTHS, 1) if re.search(rf"\b{name}", lowered)), 0)
    day = next((number for number in numbers if number <= 31), 0)
    return next((number for number in numbers if number > 1000), 0), month, day
