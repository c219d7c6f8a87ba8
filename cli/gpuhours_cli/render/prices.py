"""The screen of ``gpuhours prices``: one table per accelerator, and the sources."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gpuhours.cost.prices import PriceRow
from gpuhours.questions.listing.prices import PriceTable, per_hour


def screen(offers: PriceTable) -> RenderableType:
    """Offers, storage, sources."""
    sources: dict[str, int] = {}
    parts: list[RenderableType] = []
    for name, rows in offers.offers.items():
        parts += [Text(name, style="bold"), Padding(_offers(rows, sources), (0, 0, 1, 2))]
    for name in offers.unpriced:
        parts += [Text(f"{name}: no dated price is known; set one with --price '2.5 USD/GPU-hour'"), Text()]
    if offers.storage:
        parts += [Text("storage and traffic", style="bold"), Padding(_storage(offers, sources), (0, 0, 1, 2))]
    parts += [Text(f"[{number}] {source}") for source, number in sources.items()]
    return Group(*parts)


def _table() -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), show_header=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    return table


def _cited(source: str, address: str, sources: dict[str, int]) -> str:
    """``[3]``: the number of a source in the list below."""
    said = f"{source}; {address}" if address else source
    return f"[{sources.setdefault(said, len(sources) + 1)}]"


def _offers(rows: tuple[PriceRow, ...], sources: dict[str, int]) -> Table:
    """provider and offering, USD per GPU-hour, terms, date, source."""
    table = _table()
    for row in rows:
        who = " ".join(part for part in (row.provider, row.offering) if part)
        table.add_row(who, f"{per_hour(row):.2f}", row.commitment, row.as_of, _cited(row.source, row.seen_at, sources))
    return table


def _storage(offers: PriceTable, sources: dict[str, int]) -> Table:
    table = _table()
    for row in offers.storage:
        number, _, unit = row.price.partition(" ")
        table.add_row(
            f"{row.provider} {row.offering}", number, unit, row.as_of, _cited(row.source, row.address, sources)
        )
    return table


def lines(offers: PriceTable) -> str:
    """One offer per line, for ``--quiet``."""
    return "\n".join(
        f"{name}: {per_hour(row):.2f} USD/GPU-hour, {row.name}" for name, rows in offers.offers.items() for row in rows
    )
