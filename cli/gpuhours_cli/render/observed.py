"""The block of ``gpuhours estimate --observed``: a measured step next to the predicted one, part by part."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gpuhours.questions.estimating.explanation import Explanation, PartResidual
from gpuhours_cli.render import numbers


def comparison(explanation: Explanation) -> RenderableType:
    """Measured and predicted, the factor that each part alone would need, and which alternatives would explain the difference."""
    where = "inside" if explanation.inside else "outside"
    low_high = numbers.span(explanation.predicted, explanation.low, explanation.high, numbers.duration)
    more = "more" if explanation.residual > 0 else "less"
    difference = f"{numbers.duration(abs(explanation.residual))} {more}"
    head = Text.assemble(
        ("Observed", "bold"), f"  {numbers.duration(explanation.measured)} per step ({explanation.given})\n",
        f"predicted {numbers.duration(explanation.predicted)} {low_high}: {where}; ",
        f"{explanation.residual / explanation.predicted:+.0%}, {difference}",
    )  # fmt: skip
    return Group(head, Text(), Padding(parts(explanation), (0, 0, 0, 2)), Text(), others(explanation))


def parts(explanation: Explanation) -> RenderableType:
    """Each part of the step, and the factor that would explain the difference if it alone were wrong."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("part", "predicted", "if it alone were wrong", style="dim")
    for one in explanation.parts:
        table.add_row(one.name, numbers.duration(one.seconds), alone(one))
    table.add_row(
        "all parts equally",
        numbers.duration(explanation.predicted),
        f"x {explanation.measured / explanation.predicted:.2f}",
    )
    return table


def alone(one: PartResidual) -> str:
    """``x 2.31``, or that no factor on this part alone explains the step."""
    if one.factor is None:
        return "not even if it took no time"
    return f"x {one.factor:.2f}" if one.plausible else f"x {numbers.digits(one.factor)}: not on its own"


def others(explanation: Explanation) -> RenderableType:
    """Alternative readings of the run that explain the step better, most likely first."""
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=12)
    table.add_column(overflow="fold", ratio=1)
    better = [one for one in explanation.hypotheses if one.odds > 1]
    for index, one in enumerate(better):
        odds = "a million" if one.odds > 1e6 else numbers.digits(one.odds)
        said = f"{one.what}: {numbers.duration(one.seconds)}, {odds} times more likely   {one.set}"
        table.add_row("Or it is" if index == 0 else "", said)
    if not better:
        nearest = f"; the nearest is {explanation.hypotheses[0].what}" if explanation.hypotheses else ""
        table.add_row(
            "Or it is", f"no other shipped stack or network is more likely than the run as described{nearest}"
        )
    for remark in explanation.remarks:
        table.add_row("Note", remark)
    return table
