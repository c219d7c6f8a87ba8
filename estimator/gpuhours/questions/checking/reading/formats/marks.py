r"""Removes marks inside a line: bold and code, links, entities, and the few LaTeX commands that occur around numbers.

    **24k** -> 24k      `512x512` -> 512x512      10<sup>-4</sup> -> 10^-4      CO<sub>2</sub> -> CO2
    $1.78\times10^{23}$ -> 1.78×10^23             64~A100 -> 64 A100            1\,024 and 1{,}024 -> 1,024

pylatexenc was tried for the LaTeX: it drops line breaks (so quotes lose their line numbers) and raises on the fragments of LaTeX in
Markdown cards; a table of forty commands covers what numbers need. Every pass is one scan, and no line break is added or lost.
"""

from __future__ import annotations

import html
import re

from gpuhours.questions.checking.reading.vocabulary.chips import MODEL_NUMBER
from gpuhours.questions.checking.reading.vocabulary.number_words import spelled

SYMBOLS = {
    "times": "×", "cdot": "×", "sim": "~", "simeq": "~", "approx": "≈", "geq": "≥", "ge": "≥", "leq": "≤", "le": "≤", "pm": "±",
    "to": "→", "rightarrow": "→", "ldots": "...", "dots": "...", "textasciitilde": "~", "texttimes": "×", "beta": "beta",
    "epsilon": "epsilon", "lambda": "lambda", "alpha": "alpha", "gamma": "gamma", "textdollar": "$", "percent": "%", "degree": "°",
    "quad": " ", "qquad": " ", "newline": " ", "par": " ", "hline": " ", "toprule": " ", "midrule": " ", "bottomrule": " ",
    "day": "days", "hour": "hours", "GB": "GB", "MWh": "MWh", "kWh": "kWh",
    "kilo": "k", "milli": "m", "mega": "M", "giga": "G", "tera": "T", "peta": "P", "byte": "B", "watt": "W", "watthour": "Wh",
    "second": "s", "star": "*", "ast": "*", "dagger": "", "ddagger": "",
}  # fmt: skip
"""LaTeX commands without an argument, and the character or word they print."""
DROPPED = "cite|citep|citet|citealp|ref|eqref|autoref|cref|Cref|label|url|vspace|hspace|includegraphics|index|thanks|pageref|bibitem"
"""LaTeX commands whose argument prints nothing relevant."""
DOLLAR = "\ue000"
"""Replaces an escaped dollar while dollars around math are matched."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b-\u200f\u2028\u2029\ufeff]")
_TAG = re.compile(
    r"</?(?:b|i|u|em|strong|code|small|big|span|font|a|tt|kbd|mark|s|del|ins|abbr|cite|q|center|sup|sub|br|wbr|p|div|img|hr|details|summary)"
    r"(?:\s[^<>]{0,400})?/?>",
    re.IGNORECASE,
)
_SUP = re.compile(r"<sup>\s*([+\-−–]?\d{1,3})\s*</sup>", re.IGNORECASE)
_FOOT = re.compile(
    r"<sup>[^<\n]{0,40}</sup>|^\[\^[^\]\n]{1,40}\]:[ ]?|\[\^[^\]\n]{1,40}\]", re.IGNORECASE | re.MULTILINE
)
_LINK = re.compile(r"!?\[([^\[\]\n]{0,300})\]\((?:[^()\n]|\([^()\n]{0,100}\)){0,500}\)")
_MATH = re.compile(r"\$\$?([^$\n]{1,160}?)\$\$?|\\\(([^\n]{1,160}?)\\\)|\\\[([^\n]{1,160}?)\\\]")
_COMMAND = re.compile(r"\\([A-Za-z]+)\*?")
_DIGITS = re.compile(r"\d{41,}")
_GROUPS = re.compile(r"(?<=\d)(?:[\u202f\u2009\u00a0'’_]|\\,|\{,\})(?=\d{3}(?!\d))")
_LEADERS = re.compile(r"(?<=[\w)\]])[ \t]*(?:\.[ \t]?){4,200}(?=[ \t]*\S)")
"""``Memory of each accelerator ....... 32 GB``: leader dots between a label and its value."""
_THREAD = re.compile(r"^[ \t]*\d{1,2}/(?=[ \t])", re.MULTILINE)
"""``3/ MFU hovered at 42%``: the number of a post in a thread."""
_WIKI = re.compile(r"\[\[(?:[^\[\]|\n]{0,100}\|)?([^\[\]|\n]{0,100})\]\]")
_REFERENCE = re.compile(r"<ref[^<>\n]{0,200}>[^<>\n]{0,500}</ref>")


_DECIMAL_COMMA = re.compile(r"(?<![\d,.])(\d{1,4}),(\d{1,2})(?=\s?(?:%|[A-Za-z]{1,12}\b)|[:;)]|,? [A-Za-z]|$)(?!\d)")
GROUP_COMMA = re.compile(r"\d,\d{3}(?!\d)")
"""Digits grouped by a comma."""


def in_points(text: str) -> str:
    """Converts decimal commas (``27,6 days``) to decimal points.

    Only if decimal commas occur before units and no comma is followed by exactly three digits.
    """
    decimals = _DECIMAL_COMMA.findall(text)
    if len(decimals) < 2 or GROUP_COMMA.search(text):
        return text
    return re.sub(r"(?<![\d,.])(\d{1,4}),(\d{1,2})(?![\d,])", r"\1.\2", text)


_POINT_GROUPS = re.compile(
    r"(?<![\d.,])[1-9]\d{0,2}(?:\.\d{3})+(?![\d.,]?\d)(?!\s?(?:[eEkKMBTPZ]\b|[kmbt]illi?on|thousand|[×%^]))"
)
_GROUPED_COUNT = re.compile(
    r"(?<![\d.,])[1-9]\d{0,2}\.\d{3}(?:\.\d{3}|\s(?:sequences|samples|examples|steps|iterations|images|videos|clips|GPUs)\b(?!\s?(?:/|per\b|an?\b|each\b)))"
)
"""Numbers that cannot be fractions: a count (``4.096 sequences``), or two groups (``1.281.167``)."""


def without_point_groups(text: str) -> str:
    """Replaces points that group digits (``4.096 sequences``, ``1.200 GPU hours``) with commas.

    Only if the text has such a number that cannot be a fraction.
    """
    if not _GROUPED_COUNT.search(text):
        return text
    return _POINT_GROUPS.sub(lambda found: found.group().replace(".", ","), text)


_ENTITY = re.compile(r"&[A-Z]{2,8};")
_RAISED_E = re.compile(r"(?<=\d)[eE]\s?\^\s?\{?\s?([-−–+]?\d{1,3})\s?\}?")
"""``2e^{-4}``: two notations for a power at once."""


_JSON = re.compile(r"^([ \t{,]*)\"([A-Za-z][\w .]{0,60})\"[ \t]*:[ \t]*", re.MULTILINE)
"""``"train_runtime": 14233.9``: a JSON key, read as a label."""
_SLICE = re.compile(r"(?<![\w-])(?<!TPU )(?<!tpu )(v[2-6][ep]?)-\d{1,5}(?=[ \t]+(?:pod|slice|TPU))")
"""``v5e-128 pod slice``: a TPU named by its slice; the number counts cores or chips."""
_TIE = re.compile(r"(?<=\d)~(?=[A-Za-z])")
"""``2.88~s``: a LaTeX tie, also in text that is not otherwise LaTeX."""
_ARROW = re.compile(r"(?<=[\w%)])[ \t]*-{1,2}>[ \t]*(?=[~≈]?[\d.])")
_LOW = str.maketrans("₁₂", "12")
_SHAPE = re.compile(r"(?<![\w.])(\d{1,3})L\s?([/,])\s?(\d{3,5})d\b")
"""``32L / 4096d / 32 heads``: layers and width in short form."""
_STARRED = re.compile(r"(?<![\w.*])(\d{1,2})\s?\*\*\s?(\d{1,3})(?![\w.*])")
"""``2**19``: a power in a program's notation."""


_CLOCK = re.compile(
    r"(?<![\w.])(?:(\d{1,3})d[ :])?(\d{1,4})h ?(\d{1,2})m(?: ?(\d{1,2}(?:\.\d)?)s)?(?!\w|\.\d)", re.IGNORECASE
)
"""``1d 18h 3m 20s``: a duration printed by a program."""


_CUT_SHORT = re.compile(
    r"(?<![\w.])(grad|acc|accum|seq|len|max|min|num|avg|incl|excl|lr|bs|ctx|temp|resp|approx|params|iters|hrs|mins|secs)"
    r"\.(?=[ ]?[a-z\d])",
    re.IGNORECASE,
)
"""``grad. acc. 2``: abbreviations do not end a sentence."""
_SHORT_CLOCK = re.compile(
    r"(?<![\w.,])(\d{1,4}) ?h ?([0-5]\d)(?= ?min\b|[,.;:)](?:\s|$)|\s(?:on|in|for|and|of|per)\b|\s*$)(?: ?min\b)?",
    re.MULTILINE,
)
"""``11 h 40``: hours and minutes."""


_DEGREES = re.compile(r"(?<![\w-])(TP|PP|DP|CP)(\d{1,5})(?!\w)", re.IGNORECASE)
"""``TP4``: a degree of parallelism, in the letters that programs use."""


_CLOCK_TIME = re.compile(
    r"(?i)((?:time|took|elapsed|duration|runtime|walltime)(?:[ \t]{0,2}[:=][ \t]{0,2}|[ \t]{1,3}))"
    r"(?:(\d{1,3})(?:-| days?, ))?(\d{1,4}):(\d\d):(\d\d)(?![\d:])"
)
"""``Training time 2 days, 18:21:44``: hours, minutes and seconds after a word that says it is a duration."""


_TIME_OF_DAY = re.compile(
    r"(?i)\b(at|around|by|before|after|until|till|from|since) (?:[01]?\d|2[0-3]):[0-5]\d"
    r"(?:\s?(?:am|pm|CET|UTC|GMT|h))?(?![\d:.]|\s?(?:h|hours|min))"
)
"""``On Tuesday at 04:12``: a time of day, which is not a duration."""


def _clock_time(found: re.Match[str]) -> str:
    """Such a duration in words, with the word before it."""
    named = zip(found.groups()[1:], ("days", "hours", "minutes", "seconds"), strict=True)
    return found[1] + ", ".join(f"{int(number)} {unit}" for number, unit in named if number and int(number))


_TIMED = re.compile(r"(?i)\b(?:time|elapsed|duration|runtime|walltime|wall[ -]clock)\b")
_CLOCK_ALONE = re.compile(r"()(?:(\d{1,3})(?:-| days?, ))?(\d{1,4}):(\d\d):(\d\d)")


def in_words(label: str, value: str) -> str:
    """A duration such as ``3-06:12:00`` in words, if its label says that it is a time; otherwise the value unchanged."""
    short = _SHORT_ALONE.fullmatch(value.strip()) if _CLOCK_FORM.search(label) else None
    if short:
        units = (
            ("minutes", "seconds") if "mm:ss" in label.lower() and "hh" not in label.lower() else ("hours", "minutes")
        )
        return ", ".join(
            f"{int(number)} {unit}" for number, unit in zip(short.groups(), units, strict=True) if int(number)
        )
    found = _CLOCK_ALONE.fullmatch(value.strip()) if _TIMED.search(label) else None
    return _clock_time(found) if found else value


_CLOCK_FORM = re.compile(r"(?i)\b(?:h{1,4}:mm?|mm:ss|h:m)\b")
_SHORT_ALONE = re.compile(r"(\d{1,4}):(\d\d)")
"""``163:30`` under ``Elapsed (hh:mm)``: a duration in the form that its label gives."""


def _clock(found: re.Match[str]) -> str:
    """A duration printed by a program, in words."""
    named = zip(found.groups(), ("days", "hours", "minutes", "seconds"), strict=True)
    return ", ".join(f"{number} {unit}" for number, unit in named if number and float(number))


_FOR_AN_HOUR = re.compile(
    r"(\\?\$\d{1,3}(?:\.\d{1,4})?) for (?:an?|one|each|every) "
    rf"((?:{MODEL_NUMBER}|GPU|TPU|card|chip|device)[ -]hour\b)"
)
"""``$1.60 for an A100-hour``: a price per device-hour."""
_FRACTION = r"\b(?:(an?|one|two|three|four|five|seven|nine)[ -](third|quarter|fifth|sixth|eighth|tenth)s?|half)\b"
_OF_THE_PEAK = re.compile(
    rf"{_FRACTION}(?= (?:of )?(?:the |its |their )?(?:theoretical |hardware |dense |card's |chip's |nominal |BF16 |FP16 ){{0,2}}peak\b)",
    re.IGNORECASE,
)
_UTILISATION_OF = re.compile(
    rf"(?<=\bMFU )(of |was |is |came to |stood at )((?:some |about |around |roughly |nearly )?){_FRACTION}(?! (?:an?|the|of)\b)",
    re.IGNORECASE,
)
"""``an MFU of two fifths``"""
_DOLLARS_AND_CENTS = re.compile(
    r"\b((?:\d{1,3}|[a-z]+)(?:-[a-z]+)?) dollars?(?: and)? ((?:\d{1,2}|[a-z]+)(?:-[a-z]+)?) cents?\b", re.IGNORECASE
)
_UNIT_AND_A_HALF = re.compile(
    r"\b(an?|one|two|three|four|five|six|seven|eight|nine|ten|\d{1,3}) (minute|hour|day|week|month|year)s?( and a (?:half|quarter))\b",
    re.IGNORECASE,
)


def _half_before_unit(found: re.Match[str]) -> str:
    """``A day and a half`` as ``one and a half days``."""
    return f"{'one' if found[1].lower() in ('a', 'an') else found[1]}{found[3]} {found[2]}s"


NTHS = {"third": 3, "quarter": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}


def _percent(number: str | None, nth: str | None) -> str:
    """``two``, ``fifth``: about 40 %; a half if there is neither."""
    share = spelled(number) / NTHS[nth.lower()] if number and nth else 0.5
    return f"about {100 * share:.0f}%"


def _dollars(found: re.Match[str]) -> str:
    """``two dollars and forty cents`` as ``$2.40``; unchanged if the words are no numbers."""
    whole, cents = (float(word) if word.isdigit() else spelled(word) for word in found.groups())
    return f"${whole + cents / 100:.2f}" if whole and 0 < cents < 100 else found[0]


def _times_in_words(text: str) -> str:
    """Durations, times of day, prices for an hour and parts of the peak in the words that the grammar reads."""
    if "hour" in text:
        text = _FOR_AN_HOUR.sub(r"\1 per \2", text)
    if "peak" in text:
        text = _OF_THE_PEAK.sub(lambda found: _percent(found[1], found[2]), text)
    text = _UTILISATION_OF.sub(lambda found: f"{found[1]}{_percent(found[3], found[4])}", text)
    if " cent" in text:
        text = _DOLLARS_AND_CENTS.sub(_dollars, text)
    if " and a " in text:
        text = _UNIT_AND_A_HALF.sub(_half_before_unit, text)
    text = _CLOCK.sub(_clock, text)
    text = _CUT_SHORT.sub(r"\1", text)
    text = _SHORT_CLOCK.sub(r"\1 hours, \2 minutes", text)
    text = _CLOCK_TIME.sub(_clock_time, text)
    return _TIME_OF_DAY.sub(r"\1 that time", text)


def plain(text: str, *, latex: bool = False) -> str:
    """``text`` as it reads in print, with the same number of line breaks."""
    text = _times_in_words(text)
    text = _DEGREES.sub(r"\1 \2", text)
    if not latex:
        text = text.replace("\\\\(", "\\(").replace("\\\\)", "\\)")
    text = _RAISED_E.sub(r"e\1", text)
    text = text.replace("®", "").replace("™", "")
    if text.count('":') > 1 and len(_JSON.findall(text)) > 1:
        text = _JSON.sub(r"\1\2: ", text)
    text = _SLICE.sub(r"TPU \1", text)
    text = _ARROW.sub(" → ", text)
    if "β" in text:
        text = text.translate(_LOW).replace("β1", "beta1 ").replace("β2", "beta2 ")
    text = _SHAPE.sub(r"\1 layers \2 width \3", text)
    text = _TIE.sub(" ", text)
    text = _STARRED.sub(r"\1^\2", text)
    text = _CONTROL.sub(" ", text)
    text = _DIGITS.sub("#", text)
    text = _LEADERS.sub(": ", text)
    text = _THREAD.sub("", text)
    if "[[" in text:
        text = _WIKI.sub(r"\1", _REFERENCE.sub("", text))
    text = _GROUPS.sub(",", text).replace("\\$", DOLLAR)
    if "&" in text:
        text = html.unescape(_ENTITY.sub(lambda entity: entity[0].lower(), text))
    if "<" in text:
        text = _without_tags(text)
    if "\\" in text or "$" in text:
        text = _without_latex(text)
    text = re.sub(r"\\(?=[~*_#+.!|<>()\[\]-])", "", text.replace(DOLLAR, "$"))
    if latex:
        text = re.sub(r"(?<=[\w)}%$])~(?=[\w\\$(])", " ", text).replace("``", "“").replace("''", "”")
        text = text.replace("{", "").replace("}", "")
    text = text.replace("\u00a0", " ").replace("\u2009", " ").replace("\u202f", " ")
    return _without_emphasis(text)


def _without_tags(text: str) -> str:
    """Removes HTML tags inside a line; tags that are not HTML (``<params>``) stay."""
    text = _SUP.sub(lambda found: ("^" + found[1]) if _after_ten(text, found.start()) else " ", text)
    text = _FOOT.sub("", text)
    return _TAG.sub(lambda tag: " " if tag[0][1:3].lower() in ("br", "p>", "hr") else "", text)


def _after_ten(text: str, at: int) -> bool:
    return text[max(at - 2, 0) : at] == "10"


def _without_latex(text: str) -> str:
    """Replaces math between dollars (but not amounts of money) and LaTeX commands with plain text."""
    text = _MATH.sub(_math, text)
    if "\\" not in text:
        return text
    text = re.sub(r"\\(?:" + DROPPED + r")\*?(?:\[[^\]\n]{0,80}\])?\{[^{}\n]{0,300}\}", "", text)
    text = _FOOTNOTE.sub(lambda note: f" ({note[1].strip().rstrip('.')})", text)
    text = re.sub(r"\\(?:num|NUM)\{([^{}\n]{0,60})\}", r"\1", text)
    text = re.sub(r"\\(?:SI|qty|QTY)\{([^{}\n]{0,60})\}\{([^{}\n]{0,60})\}", r"\1 \2", text)
    text = text.replace("\\%", "%").replace("\\&", "&").replace("\\_", "_").replace("\\#", "#")
    text = re.sub(r"\\[,;:!> ]", " ", text)
    text = re.sub(r"\\\\(?:\[[^\]\n]{0,20}\])?", " ", text)
    text = _COMMAND.sub(lambda command: SYMBOLS.get(command[1], SYMBOLS.get(command[1].lower(), "")), text)
    return re.sub(r"(?<!\^)(?<!\^ )\{([^{}\n]{0,200})\}", r"\1", text)


_FOOTNOTE = re.compile(r"\\footnote\s?\{((?:[^{}\n]|\{[^{}\n]{0,80}\}){1,300})\}")
"""A footnote, read as words in brackets where it is referenced."""


def _math(found: re.Match[str]) -> str:
    inner = next(group for group in found.groups() if group is not None)
    dollars = found[0].startswith("$")
    if dollars and not (
        re.search(r"[\\^_{=]", inner)
        or re.fullmatch(r"[~<>]?[\d.,]+(?:e[-−+]?\d{1,3})?[kKMBT%]?|[A-Za-z]|[\d.,\s×x*+\-/]+", inner)
    ):
        return found[0]  # two amounts of money, not math
    if dollars and re.match(r"\d", text_after(found)) and re.match(r"[\d.,]+[kKMB]?(?:\s|/)", inner):
        return found[0]
    inner = re.sub(
        r"\\(?:text|mathrm|mathbf|mathit|mathsf|textbf|mathcal|operatorname|rm|bf)\s*\{([^{}]{0,100})\}", r"\1", inner
    )
    inner = re.sub(r"(?<=\d)(?:\\,|\{,\})(?=\d{3})", ",", inner).replace("{,}", ",").replace("\\%", "%")
    inner = re.sub(r"\\[,;:!> ]", " ", inner)
    inner = re.sub(r"\\frac\s*\{([^{}]{0,40})\}\s*\{([^{}]{0,40})\}", r"\1/\2", inner)
    inner = _COMMAND.sub(lambda command: SYMBOLS.get(command[1], " "), inner)
    inner = re.sub(r"\^\s*\{\s*([^{}]{0,20}?)\s*\}", r"^\1", inner)
    inner = re.sub(r"_\s*\{([A-Za-z]{3,12})\}", r" \1", inner)
    inner = re.sub(r"_\s*\{?(\w{1,12})\}?", r"\1", inner)
    return inner.replace("{", "").replace("}", "")


def text_after(found: re.Match[str]) -> str:
    """The character after a match."""
    return found.string[found.end() : found.end() + 1]


_ASTERISKS = re.compile(
    r"\*{2,3}|(?<=[^\s\d*])\*(?=\s|$|[).,;:|])|(?<=\d)\*(?=[\s).,;:|]|$)(?! ?\d)|(?:(?<=\s)|^)\*(?=[^\s*])",
    re.MULTILINE,
)
_UNDERSCORES = re.compile(r"(?<![A-Za-z0-9_])_{1,3}(?=\S)|(?<=\S)_{1,3}(?![A-Za-z0-9_])")


def _without_emphasis(text: str) -> str:
    """Removes bold, italic, code and footnote marks; ``2048 * 1024`` and ``sd_v1`` stay."""
    if "[" in text:
        text = _LINK.sub(r"\1", text)
        text = _FOOT.sub("", text)
    text = text.replace("`", "").replace("~~", "")
    if "*" in text:
        text = _ASTERISKS.sub("", text)
    if "_" in text:
        text = _UNDERSCORES.sub("", text)
    return re.sub(r"(?<=[A-Za-z).])[¹²³†‡§](?![\w])", "", text)
