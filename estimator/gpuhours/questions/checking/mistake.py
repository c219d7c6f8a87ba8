"""One known mistake: the figure it is in, the factor that it applies, how common it is, and what to say of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from gpuhours.inputs.records import dataclass


@dataclass(frozen=True)
class Mistake:
    """``stated = factor x true`` for one quantity; the factor is searched for between ``least`` and ``most``."""

    cause: str
    quantity: str
    least: float
    most: float
    prior: float
    text: str
    also: tuple[str, ...] = ()
    """Other quantities that carry the same factor if the text states them, because they derive from the same count."""
    nominal: float | None = None
    """The theoretical factor, if the range only allows for differences in what else is counted."""


def one(
    cause: str, quantities: str, factor: float, prior: float, text: str, most: float | None = None
) -> Iterator[Mistake]:
    """Yield a mistake for each of the ``quantities`` (separated by blanks); with ``most`` its factor is searched for from ``factor`` on."""
    for quantity in quantities.split():
        yield Mistake(cause, quantity, factor, factor if most is None else most, prior, text)


COMPUTED_FROM = {
    "gpu_hours": ("it_energy", "energy", "carbon", "cost"),
    "it_energy": ("energy", "carbon"),
    "energy": ("carbon",),
    "tokens": ("model_flops",),
    "active_parameters": ("model_flops",),
    "model_flops": ("flops_per_second_per_gpu", "mfu"),
    "flops_per_second_per_gpu": ("mfu",),
}
"""Quantity -> those that authors compute from it, in proportion to it."""
CARRIED = 0.8
"""How much less likely it is that a mistake was carried on than that it stayed in one figure."""


def carried(mistakes: Iterable[Mistake], stated: Collection[str]) -> Iterator[Mistake]:
    """Yield the mistakes with one factor as carried on into the stated figures that are computed from the wrong one."""
    for mistake in mistakes:
        also = tuple(name for name in COMPUTED_FROM.get(mistake.quantity, ()) if name in stated)
        if also and not mistake.also and mistake.least == mistake.most:
            yield replace(mistake, also=also, prior=CARRIED * mistake.prior)
