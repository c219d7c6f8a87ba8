"""The page of ``gpuhours report``: one HTML file that loads nothing else. Every string from outside goes through ``escape``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files

from gpuhours import __version__
from gpuhours.questions.estimating.estimates import Estimate
from gpuhours.questions.reporting.report import Decides, Report
from gpuhours.run.results import RESULTS
from gpuhours_cli.render import numbers
from gpuhours_cli.render.estimate import (
    assumed,
    edges,
    heading,
    layout_words,
    likeness,
    remark,
    shown,
    verdict,
    way_words,
    written,
)
from gpuhours_cli.render.figures import Bar, Point, bars, limit, plot

FIRST = ("gpu_hours", "wall_clock", "mfu", "cost", "memory_per_gpu", "energy", "carbon", "step_time")
"""The results shown as the answer, most important first."""
UNKNOWNS = {"remainder": "beyond the steps"}
"""Unknowns that the page calls by another name."""
LEAST = 0.005
"""Parts with a smaller share are left out of figures; the tables list them."""


def page(report: Report) -> str:
    """The full HTML document."""
    one = report.estimate
    title = heading(one)
    style = (files("gpuhours_cli") / "render" / "report.css").read_text(encoding="utf-8")
    parts = (
        answer(one, report.decides),
        figures(one),
        scale(report),
        deciding(one, report.decides),
        advice(one),
        resting(one),
        assumptions(one),
    )
    body = "\n".join(section for part in parts for section in part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}: what it costs</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#answer">To the answer</a>\n'
        f'<header><h1>{escape(title)}</h1>\n<p class="soft">{escape(layout_words(one))}</p></header>\n'
        f"<main>\n{body}\n</main>\n"
        f"<footer><p>gpuhours {escape(__version__)}. Ranges run from the 10th to the 90th percentile.</p></footer>\n"
        "</body>\n</html>\n"
    )


def section(name: str, title: str, *content: str) -> str:
    """A part of the page under its heading."""
    inside = "\n".join(content)
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(title)}</h2>\n{inside}\n</section>'


def paragraph(said: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f"<p{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{escape(said)}</p>"


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, prose: str = "") -> str:
    """A table with column and row headers. With ``prose`` (a CSS class) rows are stacked on narrow screens; without, cells are numbers."""
    kind = "" if prose else ' class="number"'
    head = "".join(f'<th scope="col"{kind if place else ""}>{escape(name)}</th>' for place, name in enumerate(columns))
    lines = [
        f'<tr><th scope="row">{broken(first)}</th>'
        + "".join(f"<td{kind}>{escape(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    ]
    inside = f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody>"
    if prose:
        return f'<table class="stack {prose}">{inside}</table>'
    return f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption, quote=True)}"><table>{inside}</table></div>'


def broken(name: str) -> str:
    """A name as HTML that may be broken after its dots and underscores: ``hardware.<wbr>network``."""
    return re.sub(r"([._])(?=\w)", r"\1<wbr>", escape(name))


def answer(estimate: Estimate, drawn: Decides | None) -> Iterator[str]:
    """The answer with its range (from the sampled runs if GPU-hours are not determined), and whether the run fits."""
    rows = {name: (label, text, result) for label, name, text, result in shown(estimate)}
    cards = []
    for name in (name for name in FIRST if name in rows):
        label, text, result = rows[name]
        value, spread = escape(text(result.value)), escape(edges(result, text).strip("()"))
        said = f'<dd class="range">{spread}</dd>' if spread else ""
        cards.append(f'<div><dt>{escape(label)}</dt><dd class="value">{value}</dd>{said}</div>')
    if "gpu_hours" not in rows and drawn is not None:
        value = f"{numbers.count(drawn.low)} – {numbers.count(drawn.high)}"
        said = f"of {drawn.draws} runs that fit the description"
        cards.insert(
            0,
            f'<div><dt>GPU-hours</dt><dd class="value">{escape(value)}</dd><dd class="range">{escape(said)}</dd></div>',
        )
    content = [f'<dl class="answer">{"".join(cards)}</dl>'] if cards else []
    if estimate.outcome.memory is not None:
        chance = float(estimate.outcome.memory.fits_probability)
        content.append(paragraph(f"Memory: {verdict(chance)}.", "good" if estimate.fits else "bad"))
    if not any(name in rows for name in ("gpu_hours", "wall_clock")):
        content.append(
            paragraph("GPU-hours and time cannot be derived from what is given; the notes say what is missing.", "bad")
        )
    content += [paragraph(f"Note: {warning}") for warning in estimate.warnings]
    yield section("answer", "The answer", *content)


def resting(estimate: Estimate) -> Iterator[str]:
    """Every result, and what it is derived from."""
    rows = [
        (label, text(result.value), edges(result, text).strip("()"), str(remark(estimate, name, result)))
        for label, name, text, result in shown(estimate)
    ]
    content = [] if estimate.band is None else [paragraph(f"Runs like this one: {likeness(estimate.band)}.")]
    listed = table("Results", ("result", "value", "range", "from"), rows, prose="results") if rows else ""
    yield section("rests", "How it follows", *content, listed)
    if estimate.stages:
        names = [name for name in ("gpu_hours", "wall_clock", "tokens", "mfu") if name in RESULTS]
        lines = [(stage.run.name, *(of_stage(stage, name) for name in names)) for stage in estimate.stages]
        columns = ("stage", *(RESULTS[name].label for name in names))
        yield section("stages", "Stages", table("Stages, one after another", columns, lines))


def of_stage(stage: Estimate, name: str) -> str:
    """A result of one stage."""
    result = stage.results[name]
    return "open" if result is None else written(name)(result.value)


def figures(estimate: Estimate) -> Iterator[str]:
    """The waterfall from peak to MFU and memory against capacity, side by side."""
    drawn = [*waterfall(estimate), *memory(estimate)]
    if drawn:
        yield section("limits", "What limits it", f'<div class="pair">{"".join(drawn)}</div>')


def waterfall(estimate: Estimate) -> Iterator[str]:
    """From the peak down to MFU: the share that each part of a step takes."""
    step = estimate.outcome.step
    if step is None:
        return
    parts = {name: float(share) for name, share in step.waterfall()}
    useful = parts.pop("mfu")
    rows, left = [Bar("peak", 0.0, 1.0, "100 %")], 1.0
    lost = [(name, share) for name, share in parts.items() if share >= LEAST]
    for name, share in lost:
        left -= share
        rows.append(Bar(name, max(left, 0.0), share, f"−{share:.1%}".replace("%", " %"), "lost"))
    rows.append(Bar("MFU", 0.0, useful, numbers.percent(useful)))
    words = f"Of the peak, {numbers.percent(useful)} is used. Lost to " + ", ".join(
        f"{name} {numbers.percent(share)}" for name, share in lost
    )
    picture = bars("waterfall", "From peak to MFU", words + ".", rows)
    listed = [
        (part, numbers.duration(seconds), numbers.percent(seconds / float(step.time)))
        for part, seconds in estimate.time.items()
        if seconds > 0
    ]
    said = table(f"A step of {numbers.duration(float(step.time))}, by part", ("part", "time", "share"), listed)
    yield f"<figure><h3>From peak to MFU</h3>{picture}{said}</figure>"


def memory(estimate: Estimate) -> Iterator[str]:
    """The memory of the fullest rank, part by part, against its capacity."""
    held = estimate.outcome.memory
    if held is None or not estimate.memory:
        return
    capacity, total = float(held.capacity), sum(estimate.memory.values())
    scale = max(capacity, total) * 1.02
    size = numbers.si("B")
    rows, at = [], 0.0
    for part, taken in sorted(estimate.memory.items(), key=lambda pair: -pair[1]):
        if taken >= LEAST * total:
            rows.append(Bar(part, at / scale, taken / scale, size(taken), "over" if at + taken > capacity else "bar"))
        at += taken
    words = f"{size(total)} of {size(capacity)}: " + ", ".join(f"{row.label} {row.text}" for row in rows)
    picture = limit(
        "memory", "Memory against capacity", words + ".", rows, capacity / scale, f"capacity {size(capacity)}"
    )
    listed = [
        (part, size(taken), numbers.percent(taken / capacity)) for part, taken in estimate.memory.items() if taken > 0
    ]
    said = table(f"{size(total)} on the fullest rank, by part", ("part", "memory", "of capacity"), listed)
    yield f"<figure><h3>Memory against capacity</h3>{picture}{said}</figure>"


def scale(report: Report) -> Iterator[str]:
    """The same training on other numbers of GPUs."""
    rows = report.scale
    if len(rows) < 2:
        return
    own = report.estimate.outcome.value("gpus")
    days, hours = max(row.wall_clock for row in rows), numbers.duration
    unit = next(one for one in numbers.SCALES["second"] if days >= one[0])

    def points(values: Iterable[float]) -> list[Point]:
        pairs = zip(rows, values, strict=True)
        return [Point(row.gpus, value, row.fits, float(own) == row.gpus) for row, value in pairs]

    least, most = rows[0], rows[-1]
    ends = (
        f"on {least.gpus:,} GPUs {{}}, on {most.gpus:,} {{}}. A ring marks the run itself, a hollow mark does not fit."
    )
    time = plot(
        "time", f"Wall-clock time in {unit[2]}, by GPUs", "Wall-clock time " + ends.format(hours(least.wall_clock), hours(most.wall_clock)),
        points(row.wall_clock / unit[1] for row in rows), (numbers.count, numbers.count),
    )  # fmt: skip
    spent = plot(
        "spent", "GPU-hours, by GPUs", "GPU-hours " + ends.format(numbers.count(least.gpu_hours), numbers.count(most.gpu_hours)),
        points(row.gpu_hours for row in rows), (numbers.count, numbers.count),
    )  # fmt: skip
    listed = [
        (f"{row.gpus:,}{' (this run)' if float(own) == row.gpus else ''}", hours(row.wall_clock), numbers.count(row.gpu_hours),
         numbers.percent(row.mfu), "fits" if row.fits else "does not fit")
        for row in rows
    ]  # fmt: skip
    caption = "The same batch and steps with more or fewer replicas of this layout, or another layout where one replica does not fit"
    columns = ("GPUs", "wall-clock", "GPU-hours", "MFU", "memory")
    yield section(
        "scale", "On other numbers of GPUs",
        '<div class="pair">'
        f"<figure><h3>Wall-clock, {unit[2]}</h3>{time}</figure><figure><h3>GPU-hours</h3>{spent}</figure></div>",
        table(caption, columns, listed),
    )  # fmt: skip


def deciding(one: Estimate, report: Decides | None) -> Iterator[str]:
    """Where the range comes from, and which fact would narrow it."""
    if report is None:
        return
    edge = numbers.count
    between = f"between {edge(report.low)} and {edge(report.high)}"
    content = [paragraph(f"Over {report.draws} runs that fit this description, GPU-hours lie {between}.")]
    if one.sample is None and "remainder" in report.shares and one.results["gpu_hours"] is not None:
        said = "The range above covers the steps alone; this one also includes what published runs took beyond steps and stops."
        content.append(paragraph(said, "soft"))
    if report.narrowed_low is not None and report.narrowed_high is not None:
        content.append(
            paragraph(
                f"Say first {report.how} ({report.fact}): it would narrow them to "
                f"{edge(report.narrowed_low)} – {edge(report.narrowed_high)}."
            )
        )
    rows = [
        Bar(UNKNOWNS.get(name, name), 0.0, share, f"{share:.0%}".replace("%", " %"))
        for name, share in report.shares.items()
    ]
    words = "Shares of the variance of GPU-hours: " + ", ".join(f"{row.label} {row.text}" for row in rows) + "."
    picture = bars("decides", "What decides", words, rows)
    listed = table("Share of the range", ("unknown", "share"), [(row.label, row.text) for row in rows])
    yield section(
        "narrow",
        "What one more fact would tell",
        *content,
        f'<div class="pair"><figure>{picture}</figure>{listed}</div>',
    )


def advice(estimate: Estimate) -> Iterator[str]:
    """Layout changes that would make the run fit or shorten its step."""
    ways = [f"To make it fit: {way_words(way)}" for way in estimate.advice.ways]
    faster = [f"Faster by {change.words} ({change.gain:+.0%})".replace("(-", "(−") for change in estimate.advice.faster]
    if said := ways + faster:
        yield section("change", "What to change", "<ul>" + "".join(f"<li>{escape(one)}</li>" for one in said) + "</ul>")


def assumptions(estimate: Estimate) -> Iterator[str]:
    """Every assumption, why it was made, and its source."""
    if not estimate.assumptions:
        return
    rows = [
        (one.name, assumed(one).removeprefix(f"{one.name} "), one.reason, one.source) for one in estimate.assumptions
    ]
    many = f"Assumed ({len(rows)}); each is a key of the run that replaces it"
    yield section(
        "assumed", "Assumptions and sources", table(many, ("key", "value", "why", "source"), rows, prose="reasons")
    )
