"""The comment of ``gpuhours ci``: Markdown for a pull request."""

from __future__ import annotations

import re
from typing import Any

from gpuhours.questions.estimating.estimates import Result
from gpuhours.questions.reviewing import Review, ReviewedRun
from gpuhours_cli.render import numbers
from gpuhours_cli.render.compare import said
from gpuhours_cli.render.sweep import column

MARK = "<!-- gpuhours ci -->"
"""The first line, used to find and replace an older comment."""
SHOWN = {"cost": "cost", "gpu_hours": "GPU-hours", "wall_clock": "wall-clock"}


def markdown(review: Review) -> str:
    """The full comment."""
    if not review.runs:
        return f"{MARK}\nNo run file changed against {code(review.base)}.\n"
    heads = ["run", "", *SHOWN.values(), "fits"]
    lines = [MARK, f"### {headline(review)}", "", row(heads), row(["---", "---", *("---:" for _ in SHOWN), "---"])]
    lines += [row(cells) for run in review.runs for cells in sides(run)]
    lines += ["", *verdicts(review)]
    keys = [f"- {code(run.path)}: {changes(run)}" for run in review.runs if run.inputs]
    if keys:
        lines += ["<details><summary>What changed</summary>", "", *keys, "", "</details>"]
    return "\n".join(lines) + "\n"


def headline(review: Review) -> str:
    """``Training cost +12 k USD, of 68 k USD for 2 changed runs``."""
    count = f"{len(review.runs)} changed run{'s' if len(review.runs) > 1 else ''}"
    change, total = review.change("cost"), review.total("cost")
    if change is None or total is None:
        return f"Training cost of {count}: not determined"
    return f"Training cost {signed(change)}, now {money(total)} for {count}"


def row(cells: list[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def sides(run: ReviewedRun) -> list[list[str]]:
    """The table rows of a run: one for the base commit if the file exists there, one for now (or a note that it was deleted)."""
    path = code(run.path)
    if run.now is None:
        return [[path, "was", *amounts(run, now=False), ""], ["", "**deleted**", *("–" for _ in SHOWN), ""]]
    fits = {True: "yes", False: "**no**", None: "?"}
    now = [*amounts(run, now=True), fits[run.now.fits]]
    if run.before is None:
        return [[path, "new", *now]]
    return [[path, "was", *amounts(run, now=False), fits[run.before.fits]], ["", "now", *now]]


def amounts(run: ReviewedRun, *, now: bool) -> list[str]:
    """The results of one side, each with its range."""
    return [amount(name, run.result(name, now=now)) for name in SHOWN]


def amount(name: str, result: Result | None) -> str:
    """``1.38 M USD (1.2 – 1.7 M)``."""
    if result is None:
        return "not determined"
    text = money if name == "cost" else column(name)[1]
    if result.low is None or result.high is None:
        return text(result.value)
    return f"{text(result.value)} {numbers.span(result.value, result.low, result.high, text)}"


def money(value: float) -> str:
    """``1.38 M USD``."""
    return f"{numbers.count(value)} USD"


def signed(value: float) -> str:
    """``+12 k USD``, ``−3 USD``."""
    return f"{'−' if value < 0 else '+'}{money(abs(value))}"


def verdicts(review: Review) -> list[str]:
    """The reasons for which the check fails, or a line that it passes."""
    unfit = [run.path for run in review.runs if run.now is not None and run.now.fits is False]
    lines = [f"**{code(path)} does not fit** its accelerators' memory." for path in unfit]
    cost = review.total("cost")
    if review.budget is not None and cost is None:
        lines.append(f"**Budget** {money(review.budget)}: cannot be guaranteed, since a cost is not determined.")
    elif review.budget is not None and cost is not None:
        left = review.budget - cost
        lines.append(
            f"**Budget** {money(review.budget)}: "
            + (f"{money(left)} left." if left >= 0 else f"**over by {money(-left)}**.")
        )
    return [text for line in lines for text in (line, "")]


def changes(run: ReviewedRun) -> str:
    """``data.tokens`` 1 T → 2 T, ..."""
    return ", ".join(f"{code(one.key)} {value(one.first)} → {value(one.second)}" for one in run.inputs)


def value(given: Any) -> str:
    """A short description of an input, as code if it has other characters than words and numbers."""
    text = said(given)
    return text if re.fullmatch(r"[\w .,%−+-]*", text) else code(text)


def code(text: str) -> str:
    """A text as inline code, with backticks escaped, so that a file name cannot inject Markdown into the comment.

    >>> code("runs/`a` @b.yaml")
    '`` runs/`a` @b.yaml ``'
    """
    line = text.replace("\r", "\\r").replace("\n", "\\n")
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence}{line}{fence}" if len(fence) == 1 else f"{fence} {line} {fence}"


def answer(review: Review) -> str:
    """The one-line answer for ``--quiet``."""
    return f"{headline(review) if review.runs else 'no run file changed'}: {'passes' if review.passes else 'fails'}"
